/* SPDX-License-Identifier: Apache-2.0
 *
 * Handshakes as a shard sees them (WireGuard paper sections 5.3, 5.4 and 6): when to send messages,
 * and which that come are worth computing. mac1 is checked before anything costly; under load a
 * sender has to prove its address by a cookie. The curves are control.c's, on another thread.
 */
#include <string.h>

#include "tunnel/bytes.h"
#include "tunnel/device.h"
#include "tunnel/shards.h"
#include "tunnel/timers.h"

#define LOAD_WINDOW_NS (100 * NSEC_PER_MSEC)
#define LOAD_MEMORY_NS NSEC_PER_SEC

void handshake_initiate(struct peer *p, bool is_retry, uint64_t now_ns)
{
	struct note note = {.type = NOTE_INITIATE, .peer = p, .now_ns = now_ns};
	struct tunnel *t = p->device;

	if (!p->running || !t->identity_set)
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
	p->last_sent_handshake_ns = now_ns ? now_ns : 1;
	timers_any_authenticated_traversal(p, now_ns);
	timers_any_authenticated_sent(p);
	timers_handshake_initiated(p, now_ns);
	/* When control is too busy to hear it, the timer tries again. */
	(void)shards_tell_control(t, &note, NULL, 0);
}

/* ---- what control made ---- */

static void send_initiation(struct peer *p, uint32_t index, const uint8_t *msg, size_t len)
{
	peer_clear_pending(p);
	if (index_add(&p->device->index, index, p, NULL) < 0)
		return; /* the timer tries again, with another number */
	p->pending_index = index;
	tx_message(p, msg, len);
}

static void authenticated(struct peer *p, const struct note *note)
{
	rx_endpoint(p, &note->endpoint, &note->source, note->now_ns);
	timers_any_authenticated_received(p);
	timers_any_authenticated_traversal(p, note->now_ns);
}

static void send_response(struct peer *p, const struct note *note, const uint8_t *msg, size_t len)
{
	uint64_t now_ns = note->now_ns;

	DEVICE_COUNT(p->rx_bytes, sizeof(struct wire_initiation));
	authenticated(p, note);
	if (peer_begin_session(p, note->keypair) < 0)
		return;
	p->last_sent_handshake_ns = now_ns ? now_ns : 1;
	timers_session_derived(p, now_ns);
	timers_any_authenticated_traversal(p, now_ns);
	timers_any_authenticated_sent(p);
	DEVICE_COUNT(p->tx_bytes, len);
	/* Back to where it came from, also when the caller owns the endpoint. */
	tx_message_to(p->device, &note->endpoint, &note->source, msg, len);
}

static void begin_session(struct peer *p, const struct note *note)
{
	uint64_t now_ns = note->now_ns;

	DEVICE_COUNT(p->rx_bytes, sizeof(struct wire_response));
	authenticated(p, note);
	if (peer_begin_session(p, note->keypair) < 0)
		return;
	timers_session_derived(p, now_ns);
	timers_handshake_complete(p, now_ns);
	/* What waits, or an empty packet: the responder may not send before it heard us (5.4.5). */
	if (p->staged.first)
		tx_staged(p, now_ns);
	else
		tx_keepalive(p, now_ns);
}

void handshake_note(struct tunnel *t, const struct note *note, const uint8_t *data, size_t len)
{
	struct peer *p = note->peer;

	if (!p->running) {
		peer_free_keypair(t, note->keypair);
		return;
	}
	if (note->type == NOTE_REFUSE_SOURCE)
		rx_refuse_source(p, &note->source);
	else if (note->type == NOTE_SEND_INITIATION)
		send_initiation(p, note->index, data, len);
	else if (note->type == NOTE_SEND_RESPONSE)
		send_response(p, note, data, len);
	else
		begin_session(p, note);
}

/* ---- what comes ---- */

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

	if (!t->identity_set ||
	    cookie_check(&t->checker, &t->noise, msg, len, from, false, now_ns) == COOKIE_BAD_MAC) {
		DEVICE_COUNT(t->drops[DROP_RX_BAD_MAC], 1);
		return false;
	}
	if (!under_load(t, now_ns))
		return true;
	if (cookie_check(&t->checker, &t->noise, msg, len, from, true, now_ns) != COOKIE_MAC2) {
		DEVICE_COUNT(t->drops[DROP_RX_COOKIE_SENT], 1);
		cookie_reply(&t->checker, &t->noise, msg, len, bytes_get_le32(msg + 4), from,
			     now_ns, &reply);
		tx_message_to(t, from, source, &reply, sizeof(reply));
		return false;
	}
	endpoint_ip(from, &addr);
	if (!ratelimiter_allow(&t->limiter, &addr, now_ns)) {
		DEVICE_COUNT(t->drops[DROP_RX_RATE_LIMITED], 1);
		return false;
	}
	return true;
}

/* Hands a message to control. What finds no room is lost, and that is load too. */
static void hand_over(struct tunnel *t, struct note *note, const uint8_t *data, size_t len)
{
	if (shards_tell_control(t, note, data, len))
		return;
	DEVICE_COUNT(t->drops[DROP_RX_HANDSHAKE_FLOOD], 1);
	t->load_until_ns = note->now_ns + LOAD_MEMORY_NS;
}

void handshake_receive(struct tunnel *t, const uint8_t *data, size_t len,
		       const struct endpoint *from, const struct udp_source *source,
		       uint64_t now_ns)
{
	struct note note = {
		.type = NOTE_INITIATION, .now_ns = now_ns, .endpoint = *from, .source = *source};
	const struct index_entry *entry;
	size_t expected = data[0] == WIRE_INITIATION ? sizeof(struct wire_initiation)
			  : data[0] == WIRE_RESPONSE ? sizeof(struct wire_response)
						     : sizeof(struct wire_cookie);

	if (len != expected) {
		DEVICE_COUNT(t->drops[DROP_RX_SHORT], 1);
		return;
	}
	if (data[0] != WIRE_COOKIE && !admit(t, data, len, from, source, now_ns))
		return;
	if (data[0] != WIRE_INITIATION) {
		bool response = data[0] == WIRE_RESPONSE;

		entry = index_find(
			&t->index,
			bytes_get_le32(data + (response ? offsetof(struct wire_response, receiver)
							: offsetof(struct wire_cookie, receiver))));
		if (!entry || (response && (entry->keypair || !entry->peer->running))) {
			DEVICE_COUNT(t->drops[DROP_RX_UNKNOWN_INDEX], 1);
			return;
		}
		note.type = response ? NOTE_RESPONSE : NOTE_COOKIE;
		note.peer = entry->peer;
	}
	hand_over(t, &note, data, len);
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
