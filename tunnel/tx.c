/* SPDX-License-Identifier: Apache-2.0
 *
 * From inner super-packets to datagrams: cryptokey routing, filter, segmentation and sealing into
 * one slab, where datagrams of one peer lie behind each other so that one send carries them all.
 */
#include <string.h>

#include "tunnel/answer.h"
#include "tunnel/bytes.h"
#include "tunnel/device.h"
#include "tunnel/ip.h"
#include "tunnel/segment.h"
#include "tunnel/timers.h"

#define ANSWER_INTERVAL_NS (10 * NSEC_PER_MSEC)

void tx_seal(struct tunnel *t)
{
	struct device_tx *tx = &t->tx;

	if (!tx->job_count)
		return;
	aead_seal_many(t->aead, &tx->job_keypair->seal, tx->jobs, tx->job_count);
	tx->job_count = 0;
	tx->job_keypair = NULL;
}

void tx_flush(struct tunnel *t)
{
	struct device_tx *tx = &t->tx;

	tx_seal(t);
	tx->blocked = false;
	if (tx->train_first < tx->train_count) {
		tx->train_first += t->io.send(t->io.send_ctx, tx->trains + tx->train_first,
					      tx->train_count - tx->train_first);
		tx->blocked = tx->train_first < tx->train_count;
	}
	if (!tx->blocked)
		tx->train_first = tx->train_count = tx->slab_used = 0;
}

void tx_discard(struct tunnel *t)
{
	struct device_tx *tx = &t->tx;

	for (size_t i = tx->train_first; i < tx->train_count; i++)
		DEVICE_COUNT(t->drops[DROP_TX_SOCKET], train_datagrams(&tx->trains[i]));
	tx->train_first = tx->train_count = tx->slab_used = 0;
	tx->blocked = false;
}

void tx_forget_peer(struct tunnel *t, const struct peer *p)
{
	for (size_t i = t->tx.train_first; i < t->tx.train_count; i++)
		if (t->tx.trains[i].peer == p)
			t->tx.trains[i].peer = NULL;
	if (t->rx_peer == p)
		t->rx_peer = NULL;
}

void tx_message_to(struct tunnel *t, const struct endpoint *to, const struct udp_source *source,
		   const void *msg, size_t len)
{
	uint8_t data[sizeof(struct wire_initiation)];
	struct train train = {.data = data,
			      .len = (uint32_t)len,
			      .seg_size = (uint32_t)len,
			      .to = *to,
			      .source = *source};

	if (len > sizeof(data))
		return;
	memcpy(data, msg, len);
	if (data[0] != WIRE_COOKIE)
		train.tos = DEVICE_HANDSHAKE_TOS;
	if (t->io.send(t->io.send_ctx, &train, 1) != 1)
		DEVICE_COUNT(t->drops[DROP_TX_SOCKET], 1);
}

void tx_message(struct peer *p, const void *msg, size_t len)
{
	if (!endpoint_is_set(&p->endpoint)) {
		DEVICE_COUNT(p->device->drops[DROP_TX_NO_ENDPOINT], 1);
		return;
	}
	DEVICE_COUNT(p->tx_bytes, len);
	tx_message_to(p->device, &p->endpoint, &p->source, msg, len);
}

static bool train_takes(const struct train *train, const struct peer *p, const uint8_t *data,
			uint32_t len, uint8_t tos)
{
	return train->peer == p && train->tos == tos && train->data + train->len == data &&
	       len <= train->seg_size && train->len % train->seg_size == 0 &&
	       train->len + len <= DEVICE_TRAIN_BYTES &&
	       train->len / train->seg_size < DEVICE_TRAIN_COUNT &&
	       memcmp(&train->to, &p->endpoint, sizeof(train->to)) == 0;
}

static void train_add(struct tunnel *t, struct peer *p, uint8_t *data, uint32_t len, uint8_t tos)
{
	struct device_tx *tx = &t->tx;

	t->tx.slab_used += len;
	DEVICE_COUNT(p->tx_bytes, len);
	DEVICE_COUNT(t->stats[STAT_TX_BYTES], len);
	DEVICE_COUNT(t->stats[STAT_TX_PACKETS], 1);
	if (tx->train_count > tx->train_first &&
	    train_takes(&tx->trains[tx->train_count - 1], p, data, len, tos)) {
		tx->trains[tx->train_count - 1].len += len;
		return;
	}
	tx->trains[tx->train_count++] = (struct train){.data = data,
						       .len = len,
						       .seg_size = len,
						       .tos = tos,
						       .to = p->endpoint,
						       .source = p->source,
						       .peer = p};
}

/* Room for one datagram, sending what waits when there is none; NULL: the socket is full. */
static uint8_t *slab_room(struct tunnel *t, uint32_t len)
{
	struct device_tx *tx = &t->tx;

	if (tx->slab_used + len > DEVICE_SLAB_BYTES || tx->train_count == DEVICE_TRAINS) {
		tx_flush(t);
		if (tx->slab_used + len > DEVICE_SLAB_BYTES || tx->train_count == DEVICE_TRAINS)
			return NULL;
	}
	return tx->slab + tx->slab_used;
}

/* To a multiple of 16, but never beyond the MTU: the path is sized for that (paper 5.4.6). */
static uint32_t padded_len(const struct tunnel *t, uint32_t len)
{
	uint32_t mtu = t->mtu[TUNNEL_PORT_MAIN] ? t->mtu[TUNNEL_PORT_MAIN] : DEVICE_DEFAULT_MTU;
	uint32_t padded = (len + 15) & ~15u;

	if (padded <= mtu)
		return padded;
	return len < mtu ? mtu : len;
}

/* len bytes of plaintext are in place behind the header's room at data; tx_seal does the rest. */
static void seal_later(struct tunnel *t, struct keypair *kp, uint8_t *data, uint32_t len)
{
	struct device_tx *tx = &t->tx;
	struct wire_data header;
	uint64_t counter = kp->send_counter++;

	bytes_put_le32(header.type, WIRE_DATA);
	bytes_put_le32(header.receiver, kp->remote_index);
	bytes_put_le64(header.counter, counter);
	memcpy(data, &header, sizeof(header));
	if (tx->job_keypair != kp || tx->job_count == AEAD_BATCH)
		tx_seal(t);
	tx->job_keypair = kp;
	tx->jobs[tx->job_count++] =
		(struct aead_job){.data = data + sizeof(header), .len = len, .counter = counter};
}

static void seal_packet(struct peer *p, struct keypair *kp, const struct superpacket *sp,
			uint64_t now_ns)
{
	struct tunnel *t = p->device;
	struct segment_plan plan;
	uint8_t tos = answer_outer_ecn(sp->data);

	if (!segment_plan(sp, &plan)) {
		DEVICE_COUNT(t->drops[DROP_TX_BAD_INNER], 1);
		return;
	}
	for (uint16_t i = 0; i < sp->count; i++) {
		uint32_t len = segment_len(sp, &plan, i);
		uint32_t padded = padded_len(t, len);
		uint8_t *data = slab_room(t, (uint32_t)WIRE_DATA_OVERHEAD + padded);
		uint8_t *plain;

		if (!data || kp->send_counter >= REJECT_AFTER_MESSAGES) {
			DEVICE_COUNT(t->drops[DROP_TX_SOCKET], 1);
			break;
		}
		plain = data + sizeof(struct wire_data);
		segment_write(sp, &plan, i, plain);
		memset(plain + len, 0, padded - len);
		seal_later(t, kp, data, padded);
		train_add(t, p, data, (uint32_t)WIRE_DATA_OVERHEAD + padded, tos);
	}
	timers_any_authenticated_traversal(p, now_ns);
	timers_any_authenticated_sent(p);
	timers_data_sent(p, now_ns);
}

/* Seals under the current session, or lets the packet wait for one. */
static void send_or_stage(struct peer *p, const struct superpacket *sp, uint64_t now_ns)
{
	struct tunnel *t = p->device;
	struct keypair *kp = endpoint_is_set(&p->endpoint) ? peer_sendable(p, now_ns) : NULL;
	size_t dropped;

	if (kp) {
		seal_packet(p, kp, sp, now_ns);
		return;
	}
	if (!staging_push(&t->staging, &p->staged, sp, &dropped))
		dropped++;
	DEVICE_COUNT(t->drops[DROP_TX_STAGE_FULL], dropped);
	handshake_initiate(p, false, now_ns);
}

void tx_staged(struct peer *p, uint64_t now_ns)
{
	struct tunnel *t = p->device;
	struct superpacket sp;

	while (p->staged.first) {
		struct keypair *kp =
			endpoint_is_set(&p->endpoint) ? peer_sendable(p, now_ns) : NULL;

		if (!kp) {
			handshake_initiate(p, false, now_ns);
			return;
		}
		if (staging_pop(&t->staging, &p->staged, t->tx.arena, &sp))
			seal_packet(p, kp, &sp, now_ns);
	}
	handshake_keep_fresh_sending(p, now_ns);
	tx_flush(t);
}

void tx_keepalive(struct peer *p, uint64_t now_ns)
{
	struct tunnel *t = p->device;
	struct keypair *kp = endpoint_is_set(&p->endpoint) ? peer_sendable(p, now_ns) : NULL;
	uint8_t *data;

	if (!p->running)
		return;
	if (p->staged.first) {
		tx_staged(p, now_ns);
		return;
	}
	if (!kp) {
		handshake_initiate(p, false, now_ns);
		return;
	}
	data = slab_room(t, (uint32_t)WIRE_DATA_OVERHEAD);
	if (!data) {
		DEVICE_COUNT(t->drops[DROP_TX_SOCKET], 1);
		return;
	}
	seal_later(t, kp, data, 0);
	train_add(t, p, data, (uint32_t)WIRE_DATA_OVERHEAD, 0);
	timers_any_authenticated_traversal(p, now_ns);
	timers_any_authenticated_sent(p);
	handshake_keep_fresh_sending(p, now_ns);
	tx_flush(t);
}

/* Programs here learn at once that nobody has this address, as from the kernel's WireGuard. */
static void answer(struct tunnel *t, const struct superpacket *sp, uint64_t now_ns)
{
	uint8_t vnet[SEGMENT_VNET_BYTES];
	uint8_t out[ANSWER_MAX];
	struct superpacket reply = {.data = out, .count = 1, .port = sp->port};
	struct iovec iov[2] = {{vnet, sizeof(vnet)}, {out, 0}};

	if (t->answer_ns && now_ns - t->answer_ns < ANSWER_INTERVAL_NS)
		return;
	reply.len = answer_unreachable(sp->data, sp->len, out);
	if (!reply.len)
		return;
	t->answer_ns = now_ns;
	iov[1].iov_len = reply.len;
	segment_to_vnet(&reply, vnet);
	if (!t->io.deliver(t->io.deliver_ctx, reply.port, &reply, iov, 2))
		DEVICE_COUNT(t->drops[DROP_RX_TUN_WRITE], 1);
}

static struct peer *route(struct tunnel *t, const struct superpacket *sp, uint64_t now_ns)
{
	struct ip_view ip;
	struct peer *p;
	bool ok = sp->gso_type ? ip_parse_gso(sp->data, sp->len, &ip)
			       : ip_parse(sp->data, sp->len, &ip);

	if (!ok) {
		DEVICE_COUNT(t->drops[DROP_TX_BAD_INNER], 1);
		return NULL;
	}
	p = ip.version == 4 ? routes_find4(&t->routes, sp->data + ip.dst)
			    : routes_find6(&t->routes, sp->data + ip.dst);
	if (p && p->device != t) {
		DEVICE_COUNT(t->drops[DROP_TX_OTHER_SHARD], 1);
		return NULL;
	}
	if (!p || !p->running) {
		DEVICE_COUNT(t->drops[DROP_TX_NO_PEER], 1);
		answer(t, sp, now_ns);
		return NULL;
	}
	return p;
}

static void send_run(struct tunnel *t, struct peer *p, struct superpacket *packets, size_t count,
		     uint64_t now_ns)
{
	for (size_t i = 0; i < count; i++)
		packets[i].drop = t->hooks.filter != NULL;
	if (t->hooks.filter)
		t->hooks.filter(t->filter_ctx, TUNNEL_TX, p->key, packets, count, now_ns);
	for (size_t i = 0; i < count; i++) {
		if (packets[i].drop)
			DEVICE_COUNT(t->drops[DROP_TX_FILTER], 1);
		else if (packets[i].rewrite_port && !segment_rewrite_port(&packets[i], TUNNEL_TX))
			DEVICE_COUNT(t->drops[DROP_TX_REDIRECT], 1);
		else
			send_or_stage(p, &packets[i], now_ns);
	}
	handshake_keep_fresh_sending(p, now_ns);
}

/* At most DEVICE_TX_READS packets. */
static void send_batch(struct tunnel *t, struct superpacket *packets, size_t count, uint64_t now_ns)
{
	struct peer *peers[DEVICE_TX_READS];
	size_t run;

	for (size_t i = 0; i < count; i++)
		peers[i] = route(t, &packets[i], now_ns);
	for (size_t i = 0; i < count; i += run) {
		run = 1;
		while (i + run < count && peers[i + run] == peers[i])
			run++;
		if (peers[i])
			send_run(t, peers[i], packets + i, run, now_ns);
	}
}

void tx_packets(struct tunnel *t, struct superpacket *packets, size_t count, uint64_t now_ns)
{
	DEVICE_COUNT(t->stats[STAT_TX_READS], count);
	for (size_t i = 0; t->up && i < count; i += DEVICE_TX_READS)
		send_batch(t, packets + i,
			   count - i < DEVICE_TX_READS ? count - i : DEVICE_TX_READS, now_ns);
	tx_flush(t);
}
