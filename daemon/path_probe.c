/* SPDX-License-Identifier: Apache-2.0
 *
 * What the path machine puts on the wire and takes from it: pings and pongs, signals, STUN
 * (daemon/PATHS.md sections 1 to 3). A pong counts only when it answers a pending ping, was made by
 * the peer that was asked and comes from the endpoint that was asked.
 */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "daemon/path_internal.h"
#include "platform/secret.h"

static void send_probe(struct path *p, const struct path_peer *peer, const struct probe *probe,
		       const struct endpoint *to)
{
	uint8_t nonce[PROBE_NONCE_BYTES], datagram[PROBE_BYTES];

	random_bytes(p->random, nonce, sizeof(nonce));
	probe_seal(probe, p->key_id, peer->shared, nonce, datagram);
	p->ops.send(p->ops.ctx, to, datagram, sizeof(datagram));
}

void path_probe_send(struct path *p, struct path_peer *peer, struct path_candidate *c,
		     uint64_t token, uint64_t now_ns)
{
	size_t slot = p->pending_next++ % PATH_PENDING;
	struct path_pending *pending = &p->pending[slot];
	struct probe probe = {.type = PROBE_PING};

	/* The first two bytes find the slot again; the other ten are random. */
	random_bytes(p->random, probe.txid, sizeof(probe.txid));
	probe.txid[0] = (uint8_t)(slot >> 8);
	probe.txid[1] = (uint8_t)slot;
	memcpy(pending->txid, probe.txid, sizeof(pending->txid));
	pending->sent_ns = now_ns;
	pending->token = token;
	pending->key_id = peer->key_id;
	pending->to = c->endpoint;
	c->last_ping_ns = now_ns;
	c->sent++;
	if (c->tries < UINT8_MAX)
		c->tries++;
	send_probe(p, peer, &probe, &c->endpoint);
}

/* ---- signals */

static void signal_add(struct probe_signal *s, const struct endpoint *ep, uint8_t type)
{
	if (s->count >= PROBE_SIGNAL_MAX_CANDIDATES)
		return;
	for (size_t i = 0; i < s->count; i++)
		if (endpoint_equal(&s->candidates[i].endpoint, ep))
			return;
	s->candidates[s->count].type = type;
	s->candidates[s->count++].endpoint = *ep;
}

void path_probe_signal(struct path *p, struct path_peer *peer, uint64_t now_ns)
{
	struct probe_signal s = {.sequence = ++p->sequence};
	uint8_t nonce[PROBE_NONCE_BYTES], box[PROBE_SIGNAL_MAX_BYTES];
	size_t len;

	for (size_t i = 0; i < p->local_count; i++)
		signal_add(&s, &p->local[i], PROBE_CANDIDATE_INTERFACE);
	for (size_t i = 0; i < p->stun_count; i++)
		if (endpoint_is_set(&p->stun[i].mapped))
			signal_add(&s, &p->stun[i].mapped, PROBE_CANDIDATE_REFLEXIVE);
	random_bytes(p->random, nonce, sizeof(nonce));
	len = probe_signal_seal(&s, peer->shared, nonce, box);
	peer->signal_due_ns = 0;
	peer->signal_out_ns = now_ns;
	peer->signal_result = 1;
	p->ops.signal(p->ops.ctx, peer->id, box, len);
}

/* Forgets candidates that the peer no longer names. */
static void forget_unnamed(struct path_peer *peer, const struct probe_signal *s)
{
	for (size_t i = 0; i < peer->count;) {
		struct path_candidate *c = &peer->candidates[i];
		struct path_candidate *last = &peer->candidates[peer->count - 1];
		bool named = c == peer->current || c->type == PROBE_CANDIDATE_SEEN ||
			     c->type == PROBE_CANDIDATE_LAST_GOOD;

		for (size_t j = 0; j < s->count && !named; j++)
			named = endpoint_equal(&c->endpoint, &s->candidates[j].endpoint);
		if (named) {
			i++;
			continue;
		}
		if (peer->current == last)
			peer->current = c;
		*c = *last;
		peer->count--;
	}
}

void path_signal(struct path *p, const char *from_peer, const uint8_t *box, size_t len,
		 uint64_t now_ns)
{
	struct path_peer *peer = path_peer_by_id(p, from_peer);
	struct probe_signal s;

	if (!p->active || peer == NULL || !peer->usable ||
	    probe_signal_open(box, len, peer->shared, &s) < 0 || s.sequence <= peer->sequence_in)
		return;
	peer->sequence_in = s.sequence;
	peer->signal_in_ns = now_ns;
	forget_unnamed(peer, &s);
	for (size_t i = 0; i < s.count; i++)
		if (path_usable_candidate(p, &s.candidates[i].endpoint))
			(void)path_candidate_add(p, peer, &s.candidates[i].endpoint,
						 s.candidates[i].type);
	/* It has come up or moved: what we use is in doubt, what it names is probed. */
	if (peer->current != NULL && peer->urgent_ns == 0) {
		path_probe_send(p, peer, peer->current, 0, now_ns);
		peer->urgent_ns = now_ns + PATH_URGENT_NS;
	}
	path_round_start(p, peer, now_ns);
	if (peer->signal_out_ns != 0 && now_ns - peer->signal_out_ns < PATH_SIGNAL_GAP_NS)
		peer->signal_due_ns = 0;
}

void path_signal_outcome(struct path *p, const char *peer_id, int result)
{
	struct path_peer *peer = path_peer_by_id(p, peer_id);

	if (peer != NULL)
		peer->signal_result = result;
}

/* ---- STUN */

bool path_probe_stun_waiting(const struct path *p)
{
	for (size_t i = 0; i < p->stun_count; i++)
		if (p->stun[i].waiting)
			return true;
	return false;
}

static void stun_send(struct path *p, struct path_stun *s, uint64_t now_ns)
{
	uint8_t request[STUN_REQUEST_BYTES];

	random_bytes(p->random, s->txid, sizeof(s->txid));
	stun_request(s->txid, request);
	s->sent_ns = now_ns;
	s->tries++;
	p->ops.send(p->ops.ctx, &s->server, request, sizeof(request));
}

void path_probe_stun_start(struct path *p, bool force, uint64_t now_ns)
{
	for (size_t i = 0; i < p->stun_count; i++) {
		struct path_stun *s = &p->stun[i];
		bool fresh = s->answered_ns != 0 && now_ns - s->answered_ns < PATH_STUN_FRESH_NS;

		if ((s->waiting || fresh) && !force)
			continue;
		s->waiting = true;
		s->tries = 0;
		stun_send(p, s, now_ns);
	}
}

uint64_t path_probe_stun_tick(struct path *p, uint64_t now_ns)
{
	uint64_t next = PATH_NEVER;

	for (size_t i = 0; i < p->stun_count; i++) {
		struct path_stun *s = &p->stun[i];

		if (s->waiting && now_ns - s->sent_ns >= PATH_STUN_RETRY_NS) {
			if (s->tries >= PATH_STUN_TRIES) {
				s->waiting = false;
				memset(&s->mapped, 0, sizeof(s->mapped));
			} else {
				stun_send(p, s, now_ns);
			}
		}
		if (s->waiting && s->sent_ns + PATH_STUN_RETRY_NS < next)
			next = s->sent_ns + PATH_STUN_RETRY_NS;
	}
	return next;
}

static void stun_datagram(struct path *p, const struct endpoint *from, const uint8_t *data,
			  size_t len, uint64_t now_ns)
{
	uint8_t txid[STUN_TXID_BYTES];
	struct endpoint mapped;

	if (stun_response(data, len, txid, &mapped) < 0)
		return;
	for (size_t i = 0; i < p->stun_count; i++) {
		struct path_stun *s = &p->stun[i];
		bool changed;

		if (!s->waiting || !endpoint_equal(&s->server, from) ||
		    !secret_equal(s->txid, txid, sizeof(txid)))
			continue;
		changed = !endpoint_equal(&s->mapped, &mapped);
		s->waiting = false;
		s->answered_ns = now_ns;
		s->mapped = mapped;
		for (size_t j = 0; j < p->count; j++) {
			struct path_peer *peer = p->peers[j];

			/* Who waits for it is told at once; who was told something else, too. */
			if (peer->signal_due_ns != 0 || (changed && peer->round_start_ns != 0))
				peer->signal_due_ns = now_ns;
		}
		return;
	}
}

/* ---- probes */

static struct path_peer *peer_by_key_id(const struct path *p, uint64_t key_id)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->peers[i]->key_id == key_id && p->peers[i]->usable)
			return p->peers[i];
	return NULL;
}

static struct path_candidate *candidate_find(struct path_peer *peer, const struct endpoint *ep)
{
	for (size_t i = 0; i < peer->count; i++)
		if (endpoint_equal(&peer->candidates[i].endpoint, ep))
			return &peer->candidates[i];
	return NULL;
}

/* One answer per 50 ms and a burst of PATH_PONG_BURST. */
static bool may_answer(struct path_peer *peer, uint64_t now_ns)
{
	uint64_t tokens = (now_ns - peer->pong_refill_ns) / (50 * MS);

	if (tokens > 0) {
		peer->pongs = tokens >= peer->pongs ? 0 : peer->pongs - (unsigned)tokens;
		peer->pong_refill_ns = now_ns;
	}
	if (peer->pongs >= PATH_PONG_BURST)
		return false;
	peer->pongs++;
	return true;
}

static void take_ping(struct path *p, struct path_peer *peer, const struct probe *ping,
		      const struct endpoint *from, uint64_t now_ns)
{
	struct probe pong = {.type = PROBE_PONG, .seen = *from};
	struct path_candidate *c;

	if (!may_answer(peer, now_ns))
		return;
	memcpy(pong.txid, ping->txid, sizeof(pong.txid));
	send_probe(p, peer, &pong, from);
	if (!path_usable_candidate(p, from))
		return;
	c = path_candidate_add(p, peer, from, PROBE_CANDIDATE_SEEN);
	if (c == NULL)
		return;
	/* Their ping opened the way: ours may pass now. */
	if ((!c->proven || now_ns - c->last_proof_ns > PATH_TRUST_NS) &&
	    (c->last_ping_ns == 0 || now_ns - c->last_ping_ns >= 200 * MS)) {
		c->tries = 0;
		c->next_ping_ns = now_ns;
	}
}

static void take_pong(struct path *p, struct path_peer *peer, const struct probe *pong,
		      const struct endpoint *from, uint64_t now_ns)
{
	size_t slot = ((size_t)pong->txid[0] << 8 | pong->txid[1]) % PATH_PENDING;
	struct path_pending *pending = &p->pending[slot];
	struct path_candidate *c;
	uint64_t rtt_ns, token = pending->token;

	if (pending->sent_ns == 0 || pending->key_id != peer->key_id ||
	    !endpoint_equal(&pending->to, from) ||
	    !secret_equal(pending->txid, pong->txid, sizeof(pong->txid)))
		return;
	rtt_ns = now_ns - pending->sent_ns;
	memset(pending, 0, sizeof(*pending));
	c = candidate_find(peer, from);
	if (rtt_ns > PATH_PENDING_NS || c == NULL)
		return;
	c->received++;
	c->rtt_ns = c->rtt_ns == 0 || !c->proven ? rtt_ns : (3 * c->rtt_ns + rtt_ns) / 4;
	c->proven = true;
	c->tries = 0;
	c->next_ping_ns = 0;
	c->last_proof_ns = now_ns;
	if (c == peer->current) {
		bool busy = peer->activity_ns != 0 && now_ns - peer->activity_ns < PATH_BUSY_NS;

		peer->urgent_ns = 0;
		peer->keepalive_ns =
			now_ns + (busy ? PATH_KEEPALIVE_BUSY_NS : PATH_KEEPALIVE_QUIET_NS);
	}
	path_choose(p, peer, now_ns);
	if (token != 0)
		p->ops.pong(p->ops.ctx, token, rtt_ns, from);
}

void path_datagram(struct path *p, const struct endpoint *from, const uint8_t *data, size_t len,
		   uint64_t now_ns)
{
	struct path_peer *peer;
	struct probe probe;

	if (!p->active)
		return;
	if (stun_looks_like(data, len)) {
		stun_datagram(p, from, data, len, now_ns);
		return;
	}
	if (!probe_looks_like(data, len))
		return;
	peer = peer_by_key_id(p, probe_sender(data));
	if (peer == NULL || probe_open(data, len, peer->shared, &probe) < 0)
		return;
	if (probe.type == PROBE_PING)
		take_ping(p, peer, &probe, from, now_ns);
	else
		take_pong(p, peer, &probe, from, now_ns);
}
