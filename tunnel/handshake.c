/* SPDX-License-Identifier: Apache-2.0
 *
 * Handshake messages of a device: when to send them, and what to do with those that come (WireGuard
 * paper sections 5.3, 5.4 and 6). mac1 is checked before anything costly; under load a sender has
 * to prove its address by a cookie.
 */
#include <string.h>

#include "platform/secret.h"
#include "tunnel/bytes.h"
#include "tunnel/device.h"
#include "tunnel/timers.h"

#define TAI64_BASE     UINT64_C(0x400000000000000a)
#define STAMP_GRAIN_NS (1u << 24) /* whitening: 16.8 ms, under 1/50 s */
#define LOAD_WINDOW_NS (100 * NSEC_PER_MSEC)
#define LOAD_MEMORY_NS NSEC_PER_SEC

/* TAI64N, coarse so that it tells nothing about our timers, and never going back while we run. */
static void make_timestamp(struct tunnel *t, uint8_t out[static WIRE_TIMESTAMP_BYTES])
{
	uint64_t real_ns = clock_realtime_ns(t->clock);
	uint64_t seconds = TAI64_BASE + real_ns / NSEC_PER_SEC;
	uint32_t nanos = (uint32_t)(real_ns % NSEC_PER_SEC) & ~(STAMP_GRAIN_NS - 1);

	bytes_put_be64(out, seconds);
	bytes_put_be32(out + 8, nanos);
	if (memcmp(out, t->last_timestamp, WIRE_TIMESTAMP_BYTES) <= 0) {
		seconds = ((uint64_t)bytes_get_be32(t->last_timestamp) << 32) |
			  bytes_get_be32(t->last_timestamp + 4);
		nanos = bytes_get_be32(t->last_timestamp + 8) + STAMP_GRAIN_NS;
		if (nanos >= NSEC_PER_SEC) {
			nanos = 0;
			seconds++;
		}
		bytes_put_be64(out, seconds);
		bytes_put_be32(out + 8, nanos);
	}
	memcpy(t->last_timestamp, out, WIRE_TIMESTAMP_BYTES);
}

void handshake_initiate(struct peer *p, bool is_retry, uint64_t now_ns)
{
	struct tunnel *t = p->device;
	struct wire_initiation msg;
	uint8_t stamp[WIRE_TIMESTAMP_BYTES];
	uint32_t index;

	if (!p->running || !t->identity.set)
		return;
	if (!is_retry)
		p->handshake_attempts = 0;
	if (!endpoint_is_set(&p->endpoint)) {
		/* Retry later; an endpoint that is set meanwhile starts at once. */
		if (!p->timers[PEER_TIMER_RETRANSMIT])
			timers_handshake_initiated(p, now_ns);
		peer_event(p, TUNNEL_EVENT_NEED_ENDPOINT, NULL, now_ns);
		return;
	}
	if (p->last_sent_handshake_ns && now_ns - p->last_sent_handshake_ns < REKEY_TIMEOUT)
		return;
	peer_clear_handshake(p);
	if (index_add(&t->index, p, &index) < 0)
		return;
	make_timestamp(t, stamp);
	if (!noise_create_initiation(&t->noise, &t->identity, &p->handshake, stamp, index, &msg)) {
		index_remove(&t->index, index);
		return;
	}
	p->last_sent_handshake_ns = now_ns ? now_ns : 1;
	cookie_add_macs(&p->cookie, &t->noise, &msg, sizeof(msg), now_ns);
	timers_any_authenticated_traversal(p, now_ns);
	timers_any_authenticated_sent(p);
	tx_message(p, &msg, sizeof(msg));
	timers_handshake_initiated(p, now_ns);
}

static void send_response(struct peer *p, const struct endpoint *to,
			  const struct udp_source *source, uint64_t now_ns)
{
	struct tunnel *t = p->device;
	struct wire_response msg;
	uint32_t index;

	if (index_add(&t->index, p, &index) < 0)
		return;
	if (!noise_create_response(&t->noise, &p->handshake, index, &msg)) {
		index_remove(&t->index, index);
		return;
	}
	cookie_add_macs(&p->cookie, &t->noise, &msg, sizeof(msg), now_ns);
	if (peer_begin_session(p, now_ns) < 0)
		return;
	p->last_sent_handshake_ns = now_ns ? now_ns : 1;
	timers_session_derived(p, now_ns);
	timers_any_authenticated_traversal(p, now_ns);
	timers_any_authenticated_sent(p);
	p->tx_bytes += sizeof(msg);
	tx_message_to(t, to, source, &msg, sizeof(msg));
}

static void receive_initiation(struct tunnel *t, const struct wire_initiation *msg,
			       const struct endpoint *from, const struct udp_source *source,
			       uint64_t now_ns)
{
	struct noise_initiation read;
	uint32_t old_index;
	struct peer *p;

	if (noise_read_initiation(&t->noise, &t->identity, msg, &read) != NOISE_OK) {
		t->drops[DROP_RX_BAD_HANDSHAKE]++;
		return;
	}
	p = peer_find(t, read.remote_static);
	if (!p || !p->running) {
		t->drops[DROP_RX_UNKNOWN_PEER]++;
		goto out;
	}
	old_index = p->handshake.local_index;
	switch (noise_consume_initiation(&t->noise, &p->handshake, msg, &read, now_ns)) {
	case NOISE_OK:
		break;
	case NOISE_REPLAY:
		t->drops[DROP_RX_REPLAYED_HANDSHAKE]++;
		goto out;
	case NOISE_FLOOD:
		t->drops[DROP_RX_HANDSHAKE_FLOOD]++;
		goto out;
	case NOISE_BAD:
		t->drops[DROP_RX_BAD_HANDSHAKE]++;
		goto out;
	}
	index_remove(&t->index, old_index);
	p->rx_bytes += sizeof(*msg);
	rx_endpoint(p, from, source, now_ns);
	timers_any_authenticated_received(p);
	timers_any_authenticated_traversal(p, now_ns);
	/* Back to where it came from, also when the caller owns the endpoint. */
	send_response(p, from, source, now_ns);
out:
	secret_wipe(&read, sizeof(read));
}

static void receive_response(struct tunnel *t, const struct wire_response *msg,
			     const struct endpoint *from, const struct udp_source *source,
			     uint64_t now_ns)
{
	const struct index_entry *entry = index_find(&t->index, bytes_get_le32(msg->receiver));
	struct peer *p = entry && !entry->keypair ? entry->peer : NULL;

	if (!p || !p->running) {
		t->drops[DROP_RX_UNKNOWN_INDEX]++;
		return;
	}
	if (noise_consume_response(&t->noise, &t->identity, &p->handshake, msg) != NOISE_OK) {
		t->drops[DROP_RX_BAD_HANDSHAKE]++;
		return;
	}
	p->rx_bytes += sizeof(*msg);
	rx_endpoint(p, from, source, now_ns);
	timers_any_authenticated_received(p);
	timers_any_authenticated_traversal(p, now_ns);
	if (peer_begin_session(p, now_ns) < 0)
		return;
	timers_session_derived(p, now_ns);
	timers_handshake_complete(p, now_ns);
	/* What waits, or an empty packet: the responder may not send before it heard us (5.4.5). */
	if (p->staged.first)
		tx_staged(p, now_ns);
	else
		tx_keepalive(p, now_ns);
}

static void receive_cookie(struct tunnel *t, const struct wire_cookie *msg, uint64_t now_ns)
{
	const struct index_entry *entry = index_find(&t->index, bytes_get_le32(msg->receiver));

	if (!entry)
		t->drops[DROP_RX_UNKNOWN_INDEX]++;
	else if (!cookie_consume(&entry->peer->cookie, msg, now_ns))
		t->drops[DROP_RX_BAD_COOKIE]++;
}

/* Counts handshakes with a good mac1; more than load_limit in 100 ms is load, for a second. */
static bool under_load(struct tunnel *t, uint64_t now_ns)
{
	if (now_ns - t->load_window_ns >= LOAD_WINDOW_NS) {
		t->load_window_ns = now_ns;
		t->load_count = 0;
	}
	if (++t->load_count > t->load_limit)
		t->load_until_ns = now_ns + LOAD_MEMORY_NS;
	return now_ns < t->load_until_ns;
}

/* True when this handshake message of msg[len] may cost us curve operations. */
static bool admit(struct tunnel *t, const uint8_t *msg, size_t len, const struct endpoint *from,
		  const struct udp_source *source, uint64_t now_ns)
{
	struct wire_cookie reply;
	struct ip_addr addr;

	if (!t->identity.set ||
	    cookie_check(&t->checker, &t->noise, msg, len, from, false, now_ns) == COOKIE_BAD_MAC) {
		t->drops[DROP_RX_BAD_MAC]++;
		return false;
	}
	if (!under_load(t, now_ns))
		return true;
	if (cookie_check(&t->checker, &t->noise, msg, len, from, true, now_ns) != COOKIE_MAC2) {
		t->drops[DROP_RX_COOKIE_SENT]++;
		cookie_reply(&t->checker, &t->noise, msg, len, bytes_get_le32(msg + 4), from,
			     now_ns, &reply);
		tx_message_to(t, from, source, &reply, sizeof(reply));
		return false;
	}
	endpoint_ip(from, &addr);
	if (!ratelimiter_allow(&t->limiter, &addr, now_ns)) {
		t->drops[DROP_RX_RATE_LIMITED]++;
		return false;
	}
	return true;
}

void handshake_receive(struct tunnel *t, const uint8_t *data, size_t len,
		       const struct endpoint *from, const struct udp_source *source,
		       uint64_t now_ns)
{
	union {
		struct wire_initiation initiation;
		struct wire_response response;
		struct wire_cookie cookie;
	} msg;
	size_t expected = data[0] == WIRE_INITIATION ? sizeof(msg.initiation)
			  : data[0] == WIRE_RESPONSE ? sizeof(msg.response)
						     : sizeof(msg.cookie);

	if (len != expected) {
		t->drops[DROP_RX_SHORT]++;
		return;
	}
	memcpy(&msg, data, len);
	if (data[0] == WIRE_COOKIE) {
		receive_cookie(t, &msg.cookie, now_ns);
		return;
	}
	if (!admit(t, data, len, from, source, now_ns))
		return;
	if (data[0] == WIRE_INITIATION)
		receive_initiation(t, &msg.initiation, from, source, now_ns);
	else
		receive_response(t, &msg.response, from, source, now_ns);
}

void handshake_keep_fresh_sending(struct peer *p, uint64_t now_ns)
{
	const struct keypair *kp = p->current;

	if (kp && (kp->send_counter > REKEY_AFTER_MESSAGES ||
		   (kp->initiator && now_ns - kp->created_ns >= REKEY_AFTER_TIME)))
		handshake_initiate(p, false, now_ns);
}

void handshake_keep_fresh_receiving(struct peer *p, uint64_t now_ns)
{
	const struct keypair *kp = p->current;

	if (p->sent_lastminute_handshake || !kp || !kp->initiator)
		return;
	if (now_ns - kp->created_ns >= REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT) {
		p->sent_lastminute_handshake = true;
		handshake_initiate(p, false, now_ns);
	}
}
