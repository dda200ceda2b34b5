/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's side of handshakes: the Noise messages (WireGuard paper section 5.4), computed away
 * from packets. It owns every peer's handshake; what it makes of a message goes to the shard of the
 * peer.
 */
#include <string.h>

#include "platform/secret.h"
#include "tunnel/bytes.h"
#include "tunnel/device.h"
#include "tunnel/shards.h"

#define TAI64_BASE     UINT64_C(0x400000000000000a)
#define STAMP_GRAIN_NS (1u << 24) /* whitening: 16.8 ms, under 1/50 s */

static void drop(struct tunnel *t, enum drop_reason reason)
{
	DEVICE_COUNT(t->shards->drops[reason], 1);
}

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

static uint32_t new_index(struct tunnel *t, const struct peer *p)
{
	return index_make(t->random, p->device->number, t->shards->count);
}

static void initiate(struct tunnel *t, struct peer *p, uint64_t now_ns)
{
	struct note note = {.type = NOTE_SEND_INITIATION, .peer = p, .now_ns = now_ns};
	struct wire_initiation msg;
	uint8_t stamp[WIRE_TIMESTAMP_BYTES];

	make_timestamp(t, stamp);
	note.index = new_index(t, p);
	if (!noise_create_initiation(&t->control_noise, &t->identity, &p->handshake, stamp,
				     note.index, &msg))
		return;
	cookie_add_macs(&p->cookie, &msg, sizeof(msg), now_ns);
	(void)shards_tell(p->device, &note, &msg, sizeof(msg));
}

/* The session goes with the message; without a way to send it there is none. */
static void tell_session(struct peer *p, struct note *note, const void *msg, size_t len)
{
	note->peer = p;
	note->keypair = peer_make_keypair(p, note->now_ns);
	if (note->keypair && !shards_tell(p->device, note, msg, len))
		peer_free_keypair(p->device, note->keypair);
}

static void respond(struct tunnel *t, struct peer *p, struct note *note)
{
	struct wire_response msg;

	note->type = NOTE_SEND_RESPONSE;
	if (!noise_create_response(&t->control_noise, &p->handshake, new_index(t, p), &msg))
		return;
	cookie_add_macs(&p->cookie, &msg, sizeof(msg), note->now_ns);
	tell_session(p, note, &msg, sizeof(msg));
}

static void on_initiation(struct tunnel *t, struct note *note, const uint8_t *data)
{
	struct wire_initiation msg;
	struct noise_initiation read;
	struct peer *p;

	memcpy(&msg, data, sizeof(msg));
	if (noise_read_initiation(&t->control_noise, &t->identity, &msg, &read) != NOISE_OK) {
		drop(t, DROP_RX_BAD_HANDSHAKE);
		return;
	}
	p = peer_find(t, read.remote_static);
	if (!p || !t->shards->up) {
		drop(t, DROP_RX_UNKNOWN_PEER);
		goto out;
	}
	switch (noise_consume_initiation(&p->handshake, &msg, &read, note->now_ns)) {
	case NOISE_OK:
		respond(t, p, note);
		break;
	case NOISE_REPLAY:
		drop(t, DROP_RX_REPLAYED_HANDSHAKE);
		break;
	case NOISE_FLOOD:
		drop(t, DROP_RX_HANDSHAKE_FLOOD);
		break;
	case NOISE_BAD:
		drop(t, DROP_RX_BAD_HANDSHAKE);
		break;
	}
out:
	secret_wipe(&read, sizeof(read));
}

static void on_response(struct tunnel *t, struct note *note, const uint8_t *data)
{
	struct peer *p = note->peer;
	struct wire_response msg;

	memcpy(&msg, data, sizeof(msg));
	/* It may answer an initiation that another has replaced meanwhile. */
	if (bytes_get_le32(msg.receiver) != p->handshake.local_index ||
	    noise_consume_response(&t->identity, &p->handshake, &msg) != NOISE_OK) {
		drop(t, DROP_RX_BAD_HANDSHAKE);
		return;
	}
	note->type = NOTE_SESSION;
	tell_session(p, note, NULL, 0);
}

static void on_cookie(struct tunnel *t, const struct note *note, const uint8_t *data)
{
	struct wire_cookie msg;

	memcpy(&msg, data, sizeof(msg));
	if (!cookie_consume(&note->peer->cookie, &msg, note->now_ns))
		drop(t, DROP_RX_BAD_COOKIE);
}

static void on_event(struct tunnel *t, const struct note *note)
{
	struct tunnel_event event = {.type = note->event, .endpoint = note->endpoint};

	if (!t->hooks.event)
		return;
	if (note->peer)
		memcpy(event.peer_key, note->peer->key, sizeof(event.peer_key));
	t->hooks.event(t->hooks.ctx, &event);
}

static void on_source(struct tunnel *t, struct note *note)
{
	if (t->hooks.source(t->hooks.ctx, &note->endpoint, &note->source.addr,
			    note->source.ifindex))
		return;
	note->type = NOTE_REFUSE_SOURCE;
	(void)shards_tell(note->peer->device, note, NULL, 0);
}

void control_closed(struct tunnel *t)
{
	const struct note note = {.event = TUNNEL_EVENT_CLOSED};

	if (t->stopped)
		return;
	tunnel_stop(t);
	on_event(t, &note);
}

void control_note(struct tunnel *shard, const struct note *from_shard, const uint8_t *data,
		  size_t len)
{
	struct tunnel *t = shard->shards->all[0];
	struct note note = *from_shard;

	if (note.peer && note.peer->change.removed)
		return;
	switch (note.type) {
	case NOTE_INITIATE:
		initiate(t, note.peer, note.now_ns);
		break;
	case NOTE_CLEAR:
		noise_handshake_clear(&note.peer->handshake);
		break;
	case NOTE_INITIATION:
		on_initiation(t, &note, data);
		break;
	case NOTE_RESPONSE:
		on_response(t, &note, data);
		break;
	case NOTE_COOKIE:
		on_cookie(t, &note, data);
		break;
	case NOTE_EVENT:
		on_event(t, &note);
		break;
	case NOTE_SOURCE:
		on_source(t, &note);
		break;
	case NOTE_FOREIGN:
		t->hooks.foreign(t->hooks.ctx, &note.endpoint, data, len);
		break;
	case NOTE_SEND_INITIATION:
	case NOTE_SEND_RESPONSE:
	case NOTE_SESSION:
	case NOTE_REFUSE_SOURCE:
		break;
	}
}
