/* SPDX-License-Identifier: Apache-2.0
 *
 * A peer: its keys, sessions, endpoint, timers and queue; and the table of peers by public key. The
 * control thread owns its handshake and its configuration, the shard that it was given to owns the
 * rest for as long as it lives; what both read is atomic.
 */
#ifndef WARREN_TUNNEL_PEER_H
#define WARREN_TUNNEL_PEER_H

#include <stdatomic.h>

#include "platform/addr.h"
#include "tunnel/aead.h"
#include "tunnel/allowedips.h"
#include "tunnel/cookie.h"
#include "tunnel/heap.h"
#include "tunnel/noise.h"
#include "tunnel/replay.h"
#include "tunnel/staging.h"
#include "tunnel/tunnel.h"

/* Our side of a path: the address packets of the peer came to (sticky source). family 0: none. */
struct udp_source {
	struct ip_addr addr;
	unsigned ifindex; /* where they came in; sending leaves that to the route */
	uint8_t ecn; /* of the datagrams that just came; says nothing about sending */
};

/* One session (paper section 5.4.5). */
struct keypair {
	struct peer *peer;
	uint32_t local_index;
	uint32_t remote_index;
	bool initiator;
	uint64_t created_ns;
	uint64_t send_counter;
	struct aead seal;
	struct aead open;
	struct replay replay;
};

enum peer_timer {
	PEER_TIMER_RETRANSMIT,	  /* handshake initiation again */
	PEER_TIMER_KEEPALIVE,	  /* passive keepalive */
	PEER_TIMER_NEW_HANDSHAKE, /* sent data, nothing came back */
	PEER_TIMER_ZERO_KEYS,
	PEER_TIMER_PERSISTENT,
	PEER_TIMER_NO_REPLY, /* event for the path machine */
	PEER_TIMERS,
};

#define PEER_EVENT_TYPES (TUNNEL_EVENT_CLOSED + 1)

/* What a set changed of a peer, until its shard has taken it over (shards.h). */
struct peer_change {
	bool listed; /* in the list of changes */
	bool added, removed;
	bool endpoint_set, keepalive_set;
	bool keepalive_on; /* it was off */
	uint16_t keepalive_s;
	struct endpoint endpoint;
	int result; /* of the shard: 0 or -ENOMEM */
	struct peer *next;
};

/* An endpoint that one thread writes and any reads (a sequence lock over atomic words). */
struct peer_shown_endpoint {
	_Atomic uint32_t sequence; /* odd: being written */
	_Atomic uint64_t words[(sizeof(struct endpoint) + 7) / 8];
};

struct peer {
	struct tunnel *device; /* the shard; never changes, as the key */
	uint8_t key[NOISE_KEY_BYTES];

	/* Control's. */
	struct peer *next, *prev; /* all peers, in order of creation */
	struct noise_handshake handshake;
	struct cookie_maker cookie;
	struct allowedips_list allowed;
	uint16_t configured_keepalive_s;
	struct peer_change change; /* its shard reads it while it takes a snapshot over */

	/* Everybody's: written by the shard, read by control for get=1. */
	uint64_t rx_bytes, tx_bytes;	 /* DEVICE_COUNT, DEVICE_READ */
	uint64_t last_handshake_real_ns; /* wall clock; 0: never */
	struct peer_shown_endpoint shown;

	/* The shard's. */
	struct peer *own_next, *own_prev; /* of this shard */
	struct keypair *previous, *current, *next_keypair;
	uint32_t pending_index; /* of the initiation that is under way; 0: none */
	struct endpoint endpoint;
	struct udp_source source;
	struct udp_source refused; /* its route leads elsewhere: not to be learned */
	uint64_t source_asked_ns;
	struct staging_queue staged;

	struct heap_node timer_node;
	uint64_t timers[PEER_TIMERS];	 /* deadlines; 0: off */
	uint64_t last_sent_handshake_ns; /* 0: never */
	uint64_t event_ns[PEER_EVENT_TYPES];
	uint16_t persistent_keepalive_s;
	uint8_t handshake_attempts;
	bool need_another_keepalive;
	bool sent_lastminute_handshake;
	bool adopted; /* by its shard */
	bool running;
};

struct peer_table {
	struct peer **slots;
	size_t mask;
	size_t count;
	uint8_t hash_key[16];
	struct peer *first, *last;
};

/* ---- control ---- */

int peer_table_init(struct peer_table *t, const struct random_source *random) WARREN_MUST_USE;
void peer_table_done(struct peer_table *t); /* of a device without threads */
struct peer *peer_find(const struct tunnel *t, const uint8_t key[static NOISE_KEY_BYTES]);
/* Gives it to the shard with the fewest, which hears of it with the next snapshot. -ENOMEM; -ENOSPC
 * above max_peers; -EEXIST. */
int peer_new(struct tunnel *t, const uint8_t key[static NOISE_KEY_BYTES],
	     struct peer **ret_peer) WARREN_MUST_USE;
/* Out of control's tables at once; freed when the next snapshot is in force. */
void peer_remove(struct peer *p);
/* Puts it on the list of changes. */
void peer_changed(struct peer *p);
/* The shard has let go of it (peer_drop): wiped and freed. */
void peer_free(struct peer *p);
/* Makes a session out of the finished handshake (paper section 5.4.5); NULL without memory. */
struct keypair *peer_make_keypair(struct peer *p, uint64_t now_ns);
/* t: any shard of its device. */
void peer_free_keypair(struct tunnel *t, struct keypair *kp);

/* ---- any thread ---- */

void peer_shown_endpoint(const struct peer *p, struct endpoint *ret_endpoint);

/* ---- the peer's shard ---- */

/* -ENOMEM. */
int peer_adopt(struct peer *p) WARREN_MUST_USE;
void peer_drop(struct peer *p);
void peer_set_endpoint(struct peer *p, const struct endpoint *endpoint);
/* Sessions gone, keys wiped; staged packets stay. (The handshake is control's.) */
void peer_clear_keys(struct peer *p);
/* The index of the initiation under way is freed. */
void peer_clear_pending(struct peer *p);
/* All sessions become unusable for sending at once (identity changed). */
void peer_expire_sessions(struct peer *p);
/* Takes a new session (paper section 6.1), also when it refuses it: -ENOMEM, -EEXIST. */
int peer_begin_session(struct peer *p, struct keypair *kp) WARREN_MUST_USE;
/* A packet came under kp: if that was the unconfirmed one it becomes current; true then. */
bool peer_confirm(struct peer *p, struct keypair *kp);
/* The session to send with, NULL: none that is young enough. */
struct keypair *peer_sendable(const struct peer *p, uint64_t now_ns);
bool peer_can_receive(const struct keypair *kp, uint64_t now_ns);

void peer_start(struct peer *p); /* device up */
void peer_stop(struct peer *p);	 /* device down: keys, timers and queue gone */
/* Tells the hook, at most once a second and type. endpoint may be NULL. */
void peer_event(struct peer *p, enum tunnel_event_type type, const struct endpoint *endpoint,
		uint64_t now_ns);

#endif
