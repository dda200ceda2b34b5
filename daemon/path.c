/* SPDX-License-Identifier: Apache-2.0
 *
 * The path machine's peers, events and timers (daemon/PATHS.md section 3). Owns the decision which
 * endpoint of a peer is used: the best proven one, with hysteresis; refuses endpoints inside the
 * mesh itself and addresses that no host can have.
 */
#include "daemon/path.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/path_internal.h"
#include "platform/secret.h"

int path_new(const uint8_t path_secret[32], const struct random_source *random,
	     const struct path_ops *ops, uint64_t sequence_base, struct path **ret_path)
{
	struct path *p = secret_alloc(sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->ops = *ops;
	p->random = random;
	p->sequence = sequence_base;
	memcpy(p->secret, path_secret, sizeof(p->secret));
	crypto_scalarmult_base(p->public_key, p->secret);
	p->key_id = probe_key_id(p->public_key);
	*ret_path = p;
	return 0;
}

static void peer_free(struct path_peer *peer)
{
	if (peer == NULL)
		return;
	free(peer->candidates);
	secret_wipe(peer->shared, sizeof(peer->shared));
	free(peer);
}

void path_free(struct path *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->count; i++)
		peer_free(p->peers[i]);
	free(p->peers);
	secret_free(p);
}

struct path_peer *path_peer_by_id(const struct path *p, const char *id)
{
	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->peers[i]->id, id) == 0)
			return p->peers[i];
	return NULL;
}

static struct path_peer *peer_by_node_key(const struct path *p, const uint8_t node_key[32])
{
	for (size_t i = 0; i < p->count; i++)
		if (memcmp(p->peers[i]->node_key, node_key, 32) == 0)
			return p->peers[i];
	return NULL;
}

/* ---- candidates */

bool path_usable_candidate(const struct path *p, const struct endpoint *ep)
{
	struct ip_addr addr;

	if (!endpoint_is_set(ep) || endpoint_port(ep) == 0)
		return false;
	endpoint_ip(ep, &addr);
	if (p->overlay4.addr.family == addr.family && ip_prefix_contains(&p->overlay4, &addr))
		return false;
	if (p->overlay6.addr.family == addr.family && ip_prefix_contains(&p->overlay6, &addr))
		return false;
	if (addr.family == 4) /* "this" network, loopback, multicast and above */
		return addr.bytes[0] != 0 && addr.bytes[0] != 127 && addr.bytes[0] < 224;
	if (IN6_IS_ADDR_UNSPECIFIED(&ep->in6.sin6_addr) || IN6_IS_ADDR_LOOPBACK(&ep->in6.sin6_addr))
		return false;
	return addr.bytes[0] != 0xff;
}

struct path_candidate *path_candidate_add(struct path *p, struct path_peer *peer,
					  const struct endpoint *ep, uint8_t type)
{
	struct path_candidate *c = NULL;

	(void)p;
	if (peer->candidates == NULL) {
		peer->candidates = calloc(PATH_MAX_CANDIDATES, sizeof(*peer->candidates));
		if (peer->candidates == NULL)
			return NULL;
	}
	for (size_t i = 0; i < peer->count; i++) {
		if (!endpoint_equal(&peer->candidates[i].endpoint, ep))
			continue;
		if (type != PROBE_CANDIDATE_SEEN && type != PROBE_CANDIDATE_LAST_GOOD)
			peer->candidates[i].type = type;
		return &peer->candidates[i];
	}
	if (peer->count < PATH_MAX_CANDIDATES) {
		c = &peer->candidates[peer->count++];
	} else {
		/* The one that has been silent for longest makes room. */
		for (size_t i = 0; i < peer->count; i++) {
			struct path_candidate *old = &peer->candidates[i];

			if (old != peer->current && !old->proven &&
			    (c == NULL || old->last_ping_ns < c->last_ping_ns))
				c = old;
		}
	}
	if (c == NULL)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->endpoint = *ep;
	c->type = type;
	return c;
}

void path_choose(struct path *p, struct path_peer *peer, uint64_t now_ns)
{
	struct path_candidate *best = NULL, *current = peer->current;

	for (size_t i = 0; i < peer->count; i++) {
		struct path_candidate *c = &peer->candidates[i];

		if (c->proven && now_ns - c->last_proof_ns <= PATH_TRUST_NS &&
		    (best == NULL || c->rtt_ns < best->rtt_ns))
			best = c;
	}
	if (best == NULL || best == current)
		return;
	/* Hysteresis: clearly better, or nothing to lose. */
	if (current != NULL && best->rtt_ns + 3 * MS + current->rtt_ns / 4 >= current->rtt_ns)
		return;
	peer->current = best;
	peer->urgent_ns = 0;
	peer->rounds_failed = 0;
	peer->next_round_ns = 0;
	peer->keepalive_ns = now_ns + PATH_KEEPALIVE_BUSY_NS;
	peer->compare_ns = now_ns + PATH_COMPARE_NS;
	p->ops.endpoint(p->ops.ctx, peer->node_key, &best->endpoint);
}

/* ---- rounds */

bool path_wanted(const struct path_peer *peer, uint64_t now_ns)
{
	return peer->wanted_until_ns > now_ns;
}

void path_round_start(struct path *p, struct path_peer *peer, uint64_t now_ns)
{
	uint64_t earliest = peer->signal_out_ns == 0 ? 0 : peer->signal_out_ns + PATH_SIGNAL_MIN_NS;

	peer->round_start_ns = now_ns;
	peer->next_round_ns = 0;
	for (size_t i = 0; i < peer->count; i++) {
		struct path_candidate *c = &peer->candidates[i];

		if (c == peer->current && now_ns - c->last_proof_ns < PATH_RETRY_NS)
			continue;
		c->tries = 0;
		c->next_ping_ns = now_ns;
	}
	path_probe_stun_start(p, false, now_ns);
	peer->signal_due_ns = path_probe_stun_waiting(p) ? now_ns + PATH_STUN_WAIT_NS : now_ns;
	if (peer->signal_due_ns < earliest)
		peer->signal_due_ns = earliest;
}

static void path_lost(struct path *p, struct path_peer *peer, uint64_t now_ns)
{
	peer->current->proven = false;
	peer->current = NULL;
	peer->urgent_ns = 0;
	peer->lost_ns = now_ns;
	path_choose(p, peer, now_ns);
	if (peer->current != NULL)
		return;
	peer->wanted_until_ns = now_ns + PATH_LOST_WANTED_NS;
	peer->rounds_failed = 0;
	path_round_start(p, peer, now_ns);
}

static void want(struct path *p, struct path_peer *peer, uint64_t now_ns)
{
	bool was = path_wanted(peer, now_ns);

	if (peer->wanted_until_ns < now_ns + PATH_WANTED_NS)
		peer->wanted_until_ns = now_ns + PATH_WANTED_NS;
	if (peer->current != NULL || peer->round_start_ns != 0 || !peer->usable)
		return;
	if (!was) {
		peer->rounds_failed = 0;
		path_round_start(p, peer, now_ns);
	}
}

/* ---- configuration */

void path_set_active(struct path *p, bool active, uint64_t now_ns)
{
	if (p->active == active)
		return;
	p->active = active;
	memset(p->pending, 0, sizeof(p->pending));
	for (size_t i = 0; i < p->count; i++) {
		struct path_peer *peer = p->peers[i];

		peer->current = NULL;
		peer->round_start_ns = peer->next_round_ns = peer->signal_due_ns = 0;
		peer->wanted_until_ns = peer->urgent_ns = 0;
		for (size_t j = 0; j < peer->count; j++)
			peer->candidates[j].proven = false;
	}
	for (size_t i = 0; i < p->stun_count; i++)
		p->stun[i].waiting = false;
	if (active)
		path_probe_stun_start(p, true, now_ns);
}

static struct path_peer *peer_new(const struct path *p, const struct path_peer_config *config)
{
	struct path_peer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL)
		return NULL;
	(void)stpncpy(peer->id, config->id, sizeof(peer->id) - 1);
	memcpy(peer->node_key, config->node_key, 32);
	memcpy(peer->path_key, config->path_key, 32);
	peer->key_id = probe_key_id(config->path_key);
	peer->usable = probe_shared(config->path_key, p->secret, peer->shared) == 0;
	peer->signal_result = 1;
	return peer;
}

int path_set_peers(struct path *p, const struct path_peer_config *peers, size_t count,
		   uint64_t now_ns)
{
	struct path_peer **list = calloc(count + 1, sizeof(struct path_peer *));

	(void)now_ns;
	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct path_peer *old = path_peer_by_id(p, peers[i].id);

		if (old != NULL && (memcmp(old->path_key, peers[i].path_key, 32) != 0 ||
				    memcmp(old->node_key, peers[i].node_key, 32) != 0))
			old = NULL;
		list[i] = old;
		if (old == NULL)
			list[i] = peer_new(p, &peers[i]);
		if (list[i] == NULL)
			goto no_memory;
	}
	for (size_t i = 0; i < p->count; i++)
		p->peers[i]->marked = false;
	for (size_t i = 0; i < count; i++) {
		memset(list[i]->name, 0, sizeof(list[i]->name));
		(void)stpncpy(list[i]->name, peers[i].name, sizeof(list[i]->name) - 1);
		list[i]->marked = true;
	}
	for (size_t i = 0; i < p->count; i++)
		if (!p->peers[i]->marked)
			peer_free(p->peers[i]);
	free(p->peers);
	p->peers = list;
	p->count = count;
	return 0;
no_memory:
	for (size_t i = 0; i < count && list[i] != NULL; i++)
		if (path_peer_by_id(p, list[i]->id) != list[i])
			peer_free(list[i]);
	free(list);
	return -ENOMEM;
}

void path_set_local(struct path *p, const struct endpoint *local, size_t count)
{
	p->local_count = 0;
	for (size_t i = 0; i < count && p->local_count < PATH_MAX_LOCAL; i++)
		if (path_usable_candidate(p, &local[i]))
			p->local[p->local_count++] = local[i];
}

void path_set_overlay(struct path *p, const struct ip_prefix *prefix4,
		      const struct ip_prefix *prefix6)
{
	p->overlay4 = *prefix4;
	p->overlay6 = *prefix6;
}

void path_set_stun(struct path *p, const struct endpoint *servers, size_t count, uint64_t now_ns)
{
	struct path_stun list[PATH_MAX_STUN_SERVERS] = {0};
	bool changed;

	if (count > PATH_MAX_STUN_SERVERS)
		count = PATH_MAX_STUN_SERVERS;
	changed = count != p->stun_count;
	for (size_t i = 0; i < count; i++) {
		list[i].server = servers[i];
		for (size_t j = 0; j < p->stun_count; j++)
			if (endpoint_equal(&p->stun[j].server, &servers[i]))
				list[i] = p->stun[j];
		changed = changed || !endpoint_equal(&p->stun[i].server, &servers[i]);
	}
	memcpy(p->stun, list, sizeof(list));
	p->stun_count = count;
	if (changed && p->active)
		path_probe_stun_start(p, false, now_ns);
}

/* ---- events */

void path_network_changed(struct path *p, uint64_t now_ns)
{
	if (!p->active)
		return;
	for (size_t i = 0; i < p->stun_count; i++)
		memset(&p->stun[i].mapped, 0, sizeof(p->stun[i].mapped));
	path_probe_stun_start(p, true, now_ns);
	for (size_t i = 0; i < p->count; i++) {
		struct path_peer *peer = p->peers[i];

		if (!peer->usable || (peer->current == NULL && !path_wanted(peer, now_ns)))
			continue;
		for (size_t j = 0; j < peer->count; j++)
			if (&peer->candidates[j] != peer->current)
				peer->candidates[j].proven = false;
		peer->rounds_failed = 0;
		path_round_start(p, peer, now_ns);
		if (peer->current != NULL) {
			peer->current->next_ping_ns = now_ns;
			peer->urgent_ns = now_ns + PATH_URGENT_NS;
		}
	}
}

void path_want(struct path *p, const uint8_t node_key[32], uint64_t now_ns)
{
	struct path_peer *peer = peer_by_node_key(p, node_key);

	if (p->active && peer != NULL)
		want(p, peer, now_ns);
}

void path_announce(struct path *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->peers[i]->current != NULL)
			p->ops.endpoint(p->ops.ctx, p->peers[i]->node_key,
					&p->peers[i]->current->endpoint);
}

void path_need_endpoint(struct path *p, const uint8_t node_key[32], uint64_t now_ns)
{
	struct path_peer *peer = peer_by_node_key(p, node_key);

	if (!p->active || peer == NULL)
		return;
	want(p, peer, now_ns);
	if (peer->current != NULL)
		p->ops.endpoint(p->ops.ctx, node_key, &peer->current->endpoint);
}

void path_no_reply(struct path *p, const uint8_t node_key[32], uint64_t now_ns)
{
	struct path_peer *peer = peer_by_node_key(p, node_key);

	if (!p->active || peer == NULL)
		return;
	want(p, peer, now_ns);
	if (peer->current == NULL || peer->urgent_ns != 0 ||
	    now_ns - peer->current->last_proof_ns < PATH_RETRY_NS)
		return;
	/* Two chances within the second. */
	path_probe_send(p, peer, peer->current, 0, now_ns);
	peer->current->next_ping_ns = now_ns + 400 * MS;
	peer->urgent_ns = now_ns + PATH_URGENT_NS;
}

void path_roamed(struct path *p, const uint8_t node_key[32], const struct endpoint *from,
		 uint64_t now_ns)
{
	struct path_peer *peer = peer_by_node_key(p, node_key);
	struct path_candidate *c;

	if (!p->active || peer == NULL || !peer->usable || !path_usable_candidate(p, from))
		return;
	if (peer->current != NULL && endpoint_equal(&peer->current->endpoint, from))
		return;
	c = path_candidate_add(p, peer, from, PROBE_CANDIDATE_SEEN);
	if (c != NULL && !(c->proven && now_ns - c->last_proof_ns < PATH_TRUST_NS)) {
		c->tries = 0;
		c->next_ping_ns = now_ns;
	}
	if (peer->current != NULL && peer->urgent_ns == 0 &&
	    now_ns - peer->current->last_proof_ns >= PATH_RETRY_NS) {
		peer->current->next_ping_ns = now_ns;
		peer->urgent_ns = now_ns + PATH_URGENT_NS;
	}
}

void path_activity(struct path *p, const uint8_t node_key[32], uint64_t now_ns)
{
	struct path_peer *peer = peer_by_node_key(p, node_key);

	if (!p->active || peer == NULL)
		return;
	peer->activity_ns = now_ns;
	want(p, peer, now_ns);
	if (peer->current != NULL && peer->current->tries == 0 &&
	    peer->keepalive_ns > now_ns + PATH_KEEPALIVE_BUSY_NS)
		peer->keepalive_ns = now_ns + PATH_KEEPALIVE_BUSY_NS;
}

void path_hint(struct path *p, const uint8_t node_key[32], const struct endpoint *ep)
{
	struct path_peer *peer = peer_by_node_key(p, node_key);

	if (peer != NULL && peer->usable && path_usable_candidate(p, ep))
		(void)path_candidate_add(p, peer, ep, PROBE_CANDIDATE_LAST_GOOD);
}

bool path_ping(struct path *p, const char *peer_id, uint64_t token, uint64_t now_ns)
{
	struct path_peer *peer = path_peer_by_id(p, peer_id);

	if (!p->active || peer == NULL || !peer->usable)
		return false;
	want(p, peer, now_ns);
	if (peer->current != NULL) {
		path_probe_send(p, peer, peer->current, token, now_ns);
		return true;
	}
	/* A person waits: don't sit out a long back-off. */
	if (peer->round_start_ns == 0 && peer->next_round_ns > now_ns + PATH_BACKOFF_MIN_NS)
		peer->next_round_ns = now_ns + PATH_BACKOFF_MIN_NS;
	return false;
}

/* ---- timers */

static void earlier(uint64_t *next, uint64_t when)
{
	if (when < *next)
		*next = when;
}

static void tick_candidates(struct path *p, struct path_peer *peer, uint64_t now_ns, uint64_t *next)
{
	/* After the first, second, … unanswered ping of a round. */
	static const uint64_t gaps[] = {250 * MS, 500 * MS, 1000 * MS, 1500 * MS};

	for (size_t i = 0; i < peer->count; i++) {
		struct path_candidate *c = &peer->candidates[i];

		if (c->next_ping_ns == 0)
			continue;
		if (c->next_ping_ns <= now_ns) {
			path_probe_send(p, peer, c, 0, now_ns);
			c->next_ping_ns = c->tries <= sizeof(gaps) / sizeof(gaps[0])
						  ? now_ns + gaps[c->tries - 1]
						  : 0;
		}
		if (c->next_ping_ns != 0)
			earlier(next, c->next_ping_ns);
	}
}

/* A jitter of ±12 % keeps both sides and all peers from marching in step. */
static uint64_t backoff(struct path *p, unsigned failed)
{
	uint64_t wait = PATH_BACKOFF_MIN_NS << (failed > 9 ? 9 : failed - 1);
	uint8_t jitter;

	if (wait > PATH_BACKOFF_MAX_NS)
		wait = PATH_BACKOFF_MAX_NS;
	random_bytes(p->random, &jitter, 1);
	return wait - wait / 8 + wait / 4 * jitter / 256;
}

static void tick_round(struct path *p, struct path_peer *peer, uint64_t now_ns, uint64_t *next)
{
	if (peer->round_start_ns != 0 && now_ns - peer->round_start_ns >= PATH_ROUND_NS) {
		peer->round_start_ns = 0;
		if (peer->current == NULL && path_wanted(peer, now_ns))
			peer->next_round_ns = now_ns + backoff(p, ++peer->rounds_failed);
	}
	if (peer->current == NULL && peer->next_round_ns != 0 && peer->next_round_ns <= now_ns) {
		peer->next_round_ns = 0;
		if (path_wanted(peer, now_ns))
			path_round_start(p, peer, now_ns);
	}
	if (peer->round_start_ns != 0)
		earlier(next, peer->round_start_ns + PATH_ROUND_NS);
	if (peer->next_round_ns != 0)
		earlier(next, peer->next_round_ns);
	if (peer->signal_due_ns != 0 && peer->signal_due_ns <= now_ns)
		path_probe_signal(p, peer, now_ns);
	if (peer->signal_due_ns != 0)
		earlier(next, peer->signal_due_ns);
}

static void compare(struct path_peer *peer, uint64_t now_ns)
{
	for (size_t i = 0; i < peer->count; i++) {
		struct path_candidate *c = &peer->candidates[i];

		if (c == peer->current || c->next_ping_ns != 0)
			continue;
		c->tries = 4; /* one ping */
		c->next_ping_ns = now_ns;
	}
	peer->compare_ns = now_ns + PATH_COMPARE_NS;
}

static void tick_current(struct path *p, struct path_peer *peer, size_t direct, uint64_t now_ns,
			 uint64_t *next)
{
	bool busy = peer->activity_ns != 0 && now_ns - peer->activity_ns < PATH_BUSY_NS;
	struct path_candidate *c = peer->current;

	if ((peer->urgent_ns != 0 && peer->urgent_ns <= now_ns) ||
	    (c->tries >= 4 && now_ns - c->last_proof_ns > PATH_TRUST_NS &&
	     now_ns - c->last_ping_ns >= PATH_RETRY_NS)) {
		path_lost(p, peer, now_ns);
		earlier(next, now_ns + MS);
		return;
	}
	if (!busy && direct > PATH_QUIET_KEPT) {
		/* Too many to keep open: traffic will prove it again. */
		if (now_ns - c->last_proof_ns > PATH_KEEPALIVE_QUIET_NS) {
			c->proven = false;
			peer->current = NULL;
		}
		return;
	}
	if (peer->keepalive_ns <= now_ns) {
		path_probe_send(p, peer, c, 0, now_ns);
		peer->keepalive_ns = now_ns + PATH_RETRY_NS; /* later once the pong is here */
	}
	if (busy && peer->compare_ns <= now_ns)
		compare(peer, now_ns);
	earlier(next, peer->keepalive_ns);
	if (busy)
		earlier(next, peer->compare_ns);
	if (peer->urgent_ns != 0)
		earlier(next, peer->urgent_ns);
}

uint64_t path_tick(struct path *p, uint64_t now_ns)
{
	uint64_t next = PATH_NEVER;
	size_t direct = 0;

	if (!p->active)
		return next;
	next = path_probe_stun_tick(p, now_ns);
	for (size_t i = 0; i < p->count; i++)
		direct += p->peers[i]->current != NULL;
	for (size_t i = 0; i < p->count; i++) {
		struct path_peer *peer = p->peers[i];

		if (peer->current != NULL)
			tick_current(p, peer, direct, now_ns, &next);
		tick_round(p, peer, now_ns, &next);
		tick_candidates(p, peer, now_ns, &next);
	}
	return next <= now_ns ? now_ns + MS : next;
}
