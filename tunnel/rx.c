/* SPDX-License-Identifier: Apache-2.0
 *
 * From datagrams to inner packets: opened in place in the receive buffer, replay window, coalesced,
 * allowed IPs and filter once per super-packet, then up to a TUN.
 */
#include <string.h>

#include "tunnel/answer.h"
#include "tunnel/bytes.h"
#include "tunnel/device.h"
#include "tunnel/ip.h"
#include "tunnel/segment.h"
#include "tunnel/shards.h"
#include "tunnel/timers.h"

#define SOURCE_ASK_NS (100 * NSEC_PER_MSEC) /* at most so often, for one peer */

static bool same_source(const struct udp_source *a, const struct udp_source *b)
{
	return a->ifindex == b->ifindex && ip_addr_equal(&a->addr, &b->addr);
}

void rx_forget_source(struct peer *p)
{
	p->source = p->refused = (struct udp_source){0};
	p->source_asked_ns = 0;
}

void rx_refuse_source(struct peer *p, const struct udp_source *source)
{
	p->refused = *source;
	if (same_source(&p->source, source))
		p->source = (struct udp_source){0};
}

/* As in the kernel's WireGuard a source is kept while its route leads out where its packets come
 * in. Control finds that out; meanwhile it is believed. */
static bool ask_source(struct peer *p, uint64_t now_ns)
{
	struct note note = {.type = NOTE_SOURCE,
			    .peer = p,
			    .endpoint = p->endpoint,
			    .source = p->source,
			    .now_ns = now_ns};

	p->source_asked_ns = now_ns;
	return shards_tell_control(p->device, &note, NULL, 0);
}

static bool source_matters(const struct peer *p, const struct udp_source *source)
{
	return p->device->hooks.source && source->addr.family && source->ifindex;
}

void rx_recheck_source(struct peer *p, uint64_t now_ns)
{
	struct udp_source source = p->source;

	rx_forget_source(p);
	if (!source_matters(p, &source) || !p->current)
		return;
	p->source = source;
	if (!ask_source(p, now_ns))
		p->source = (struct udp_source){0};
}

/* A peer that changes its mind with each packet does not ask more often. */
static void learn_source(struct peer *p, const struct udp_source *source, uint64_t now_ns)
{
	if (same_source(&p->source, source))
		return;
	if (!source_matters(p, source)) {
		p->source = *source;
		return;
	}
	if (same_source(&p->refused, source) ||
	    (p->source_asked_ns && now_ns - p->source_asked_ns < SOURCE_ASK_NS))
		return;
	p->source = *source;
	(void)ask_source(p, now_ns);
}

void rx_endpoint(struct peer *p, const struct endpoint *from, const struct udp_source *source,
		 uint64_t now_ns)
{
	if (endpoint_equal(&p->endpoint, from)) {
		learn_source(p, source, now_ns);
		return;
	}
	/* Without roaming the caller owns endpoints, but no endpoint at all helps nobody. */
	if (p->device->roaming || !endpoint_is_set(&p->endpoint)) {
		peer_set_endpoint(p, from);
		rx_forget_source(p);
		learn_source(p, source, now_ns);
	}
	peer_event(p, TUNNEL_EVENT_ROAMED, from, now_ns);
}

static bool source_allowed(struct tunnel *t, const struct peer *p, const struct superpacket *sp)
{
	struct ip_view ip;

	if (!ip_parse_gso(sp->data, sp->head_len, &ip))
		return false;
	return (ip.version == 4 ? routes_find4(&t->routes, sp->data + ip.src)
				: routes_find6(&t->routes, sp->data + ip.src)) == p;
}

static void deliver(struct tunnel *t, size_t i)
{
	struct superpacket *sp = &t->rx->superpackets[i];
	uint8_t vnet[SEGMENT_VNET_BYTES];
	struct iovec iov[COALESCE_MAX_COUNT + 1];
	int count;

	if (sp->drop) {
		DEVICE_COUNT(t->drops[DROP_RX_FILTER], 1);
		return;
	}
	if (sp->rewrite_port && !segment_rewrite_port(sp, TUNNEL_RX)) {
		DEVICE_COUNT(t->drops[DROP_RX_REDIRECT], 1);
		return;
	}
	segment_to_vnet(sp, vnet);
	iov[0] = (struct iovec){.iov_base = vnet, .iov_len = sizeof(vnet)};
	count = 1 + coalesce_gather(t->rx, i, iov + 1);
	if (t->io.deliver(t->io.deliver_ctx, sp->port, sp, iov, count))
		DEVICE_COUNT(t->stats[STAT_RX_WRITES], 1);
	else
		DEVICE_COUNT(t->drops[DROP_RX_TUN_WRITE], 1);
}

/* The batch of one peer goes up. */
static void flush_batch(struct tunnel *t, uint64_t now_ns)
{
	struct coalesce *c = t->rx;
	struct peer *p = t->rx_peer;
	size_t kept = 0;

	if (!c->packet_count)
		return;
	coalesce_finish(c);
	for (size_t i = 0; i < c->group_count; i++) {
		if (!p || !source_allowed(t, p, &c->superpackets[i])) {
			DEVICE_COUNT(t->drops[DROP_RX_NOT_ALLOWED], 1);
			continue;
		}
		c->superpackets[kept] = c->superpackets[i];
		c->superpackets[kept].drop = t->hooks.filter != NULL;
		c->groups[kept] = c->groups[i];
		kept++;
	}
	if (kept && t->hooks.filter)
		t->hooks.filter(t->filter_ctx, TUNNEL_RX, p->key, c->superpackets, kept, now_ns);
	for (size_t i = 0; i < kept; i++)
		deliver(t, i);
	coalesce_reset(c, c->tcp, c->udp);
}

static void enqueue(struct tunnel *t, struct peer *p, uint8_t *data, uint32_t len, bool congested,
		    uint64_t now_ns)
{
	struct ip_view ip;

	if (!ip_parse(data, len, &ip)) {
		DEVICE_COUNT(t->drops[DROP_RX_BAD_INNER], 1);
		return;
	}
	if (congested)
		answer_mark_ce(data);
	if (t->rx_peer != p) {
		flush_batch(t, now_ns);
		t->rx_peer = p;
	}
	DEVICE_COUNT(t->stats[STAT_RX_PACKETS], 1);
	/* ip.total: what is behind it is padding. */
	if (!coalesce_add(t->rx, data, ip.total)) {
		flush_batch(t, now_ns);
		if (!coalesce_add(t->rx, data, ip.total))
			DEVICE_COUNT(t->drops[DROP_RX_BAD_INNER], 1);
	}
}

/* Consecutive datagrams under one session, opened together. */
struct rx_batch {
	struct aead_job jobs[AEAD_BATCH];
	size_t count;
	uint32_t index; /* receiver index of all */
	struct keypair *keypair;
};

/* The data packet joins the batch or is dropped. The batch is empty or for the same index. */
static void gather(struct tunnel *t, struct rx_batch *b, uint8_t *data, size_t len, uint64_t now_ns)
{
	uint64_t counter = bytes_get_le64(data + offsetof(struct wire_data, counter));

	if (!b->count) {
		struct index_entry *entry = index_find(&t->index, b->index);

		if (!entry || !entry->keypair) {
			DEVICE_COUNT(t->drops[DROP_RX_UNKNOWN_INDEX], 1);
			return;
		}
		b->keypair = entry->keypair;
	}
	if (!b->keypair->peer->running || !peer_can_receive(b->keypair, now_ns) ||
	    counter >= REJECT_AFTER_MESSAGES) {
		DEVICE_COUNT(t->drops[DROP_RX_EXPIRED_SESSION], 1);
		return;
	}
	b->jobs[b->count++] = (struct aead_job){.data = data + sizeof(struct wire_data),
						.len = (uint32_t)(len - sizeof(struct wire_data)),
						.counter = counter};
}

/* A first authenticated packet of a batch stands for all that came in the same moment. */
static void authenticated(struct peer *p, struct keypair *kp, const struct endpoint *from,
			  const struct udp_source *source, uint64_t now_ns)
{
	rx_endpoint(p, from, source, now_ns);
	timers_any_authenticated_received(p);
	timers_any_authenticated_traversal(p, now_ns);
	if (peer_confirm(p, kp)) {
		timers_handshake_complete(p, now_ns);
		if (p->staged.first)
			tx_staged(p, now_ns);
	}
	handshake_keep_fresh_receiving(p, now_ns);
}

static void open_batch(struct tunnel *t, struct rx_batch *b, const struct endpoint *from,
		       const struct udp_source *source, uint64_t now_ns)
{
	struct keypair *kp = b->keypair;
	size_t accepted = 0;

	if (!b->count)
		return;
	aead_open_many(t->aead, &kp->open, b->jobs, b->count);
	for (size_t i = 0; i < b->count; i++) {
		const struct aead_job *job = &b->jobs[i];
		struct peer *p = kp->peer;

		if (!job->ok) {
			DEVICE_COUNT(t->drops[DROP_RX_BAD_PACKET], 1);
			continue;
		}
		if (!replay_accept(&kp->replay, job->counter)) {
			DEVICE_COUNT(t->drops[DROP_RX_REPLAY], 1);
			continue;
		}
		DEVICE_COUNT(p->rx_bytes, job->len + sizeof(struct wire_data));
		if (!accepted++)
			authenticated(p, kp, from, source, now_ns);
		if (job->len == AEAD_TAG_BYTES) /* keepalive */
			continue;
		timers_data_received(p, now_ns);
		enqueue(t, p, job->data, job->len - AEAD_TAG_BYTES, source->ecn == 3, now_ns);
	}
	b->count = 0;
}

static bool is_wireguard(const uint8_t *data, size_t len)
{
	return len >= 4 && data[0] >= WIRE_INITIATION && data[0] <= WIRE_DATA && !data[1] &&
	       !data[2] && !data[3];
}

static void receive_other(struct tunnel *t, const uint8_t *data, size_t len,
			  const struct endpoint *from, const struct udp_source *source,
			  uint64_t now_ns)
{
	if (is_wireguard(data, len)) {
		if (t->up)
			handshake_receive(t, data, len, from, source, now_ns);
	} else if (t->hooks.foreign && len) {
		struct note note = {.type = NOTE_FOREIGN, .endpoint = *from};

		if (!shards_tell_control(t, &note, data, len))
			DEVICE_COUNT(t->drops[DROP_RX_FOREIGN], 1);
	} else {
		DEVICE_COUNT(t->drops[DROP_RX_FOREIGN], 1);
	}
}

static void receive_data(struct tunnel *t, struct rx_batch *b, uint8_t *data, size_t len,
			 const struct endpoint *from, const struct udp_source *source,
			 uint64_t now_ns)
{
	uint32_t index;

	if (!t->up)
		return;
	if (len < WIRE_DATA_OVERHEAD) {
		DEVICE_COUNT(t->drops[DROP_RX_SHORT], 1);
		return;
	}
	index = bytes_get_le32(data + offsetof(struct wire_data, receiver));
	if (b->count == AEAD_BATCH || (b->count && index != b->index))
		open_batch(t, b, from, source, now_ns);
	b->index = index;
	gather(t, b, data, len, now_ns);
}

void rx_train(struct tunnel *t, uint8_t *data, size_t len, size_t seg_size,
	      const struct endpoint *from, const struct udp_source *source, uint64_t now_ns)
{
	struct rx_batch batch;
	size_t at = 0;

	batch.count = 0;
	if (!seg_size)
		seg_size = len;
	while (at < len) {
		size_t n = len - at < seg_size ? len - at : seg_size;

		DEVICE_COUNT(t->stats[STAT_RX_DATAGRAMS], 1);
		DEVICE_COUNT(t->stats[STAT_RX_BYTES], n);
		if (is_wireguard(data + at, n) && data[at] == WIRE_DATA) {
			receive_data(t, &batch, data + at, n, from, source, now_ns);
		} else {
			/* It may end sessions. */
			open_batch(t, &batch, from, source, now_ns);
			receive_other(t, data + at, n, from, source, now_ns);
		}
		at += n;
	}
	open_batch(t, &batch, from, source, now_ns);
}

void rx_set_offloads(struct tunnel *t, bool tso, bool uso)
{
	coalesce_reset(t->rx, tso, uso);
}

void rx_flush(struct tunnel *t, uint64_t now_ns)
{
	flush_batch(t, now_ns);
	t->rx_peer = NULL;
	tx_flush(t);
}
