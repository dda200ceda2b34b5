/* SPDX-License-Identifier: Apache-2.0
 *
 * A peer: its keys, sessions, endpoint, timers and queue; and the table of peers by public key.
 */
#ifndef WARREN_TUNNEL_PEER_H
#define WARREN_TUNNEL_PEER_H

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

struct peer {
	struct tunnel *device;
	struct peer *next, *prev; /* all peers, in order of creation */
	struct noise_handshake handshake;
	struct cookie_maker cookie;
	struct keypair *previous, *current, *next_keypair;
	struct endpoint endpoint;
	struct udp_source source;
	struct allowedips_list allowed;
	struct staging_queue staged;

	struct heap_node timer_node;
	uint64_t timers[PEER_TIMERS];	 /* deadlines; 0: off */
	uint64_t last_sent_handshake_ns; /* 0: never */
	uint64_t event_ns[PEER_EVENT_TYPES];
	uint64_t last_handshake_real_ns; /* wall clock; 0: never */
	uint64_t rx_bytes, tx_bytes;
	uint16_t persistent_keepalive_s;
	uint8_t handshake_attempts;
	bool need_another_keepalive;
	bool sent_lastminute_handshake;
	bool running;
};

struct peer_table {
	struct peer **slots;
	size_t mask;
	size_t count;
	uint8_t hash_key[16];
	struct peer *first, *last;
};

int peer_table_init(struct peer_table *t, const struct random_source *random) WARREN_MUST_USE;
void peer_table_done(struct peer_table *t);
struct peer *peer_find(const struct tunnel *t, const uint8_t key[static NOISE_KEY_BYTES]);
/* -ENOMEM; -ENOSPC above max_peers; -EEXIST. */
int peer_new(struct tunnel *t, const uint8_t key[static NOISE_KEY_BYTES],
	     struct peer **ret_peer) WARREN_MUST_USE;
/* Removes it from every table, wipes and frees it. */
void peer_remove(struct peer *p);

/* Sessions and handshake gone, keys wiped; staged packets stay. */
void peer_clear_keys(struct peer *p);
/* The handshake in progress is forgotten, its index freed. */
void peer_clear_handshake(struct peer *p);
/* All sessions become unusable for sending at once (identity changed). */
void peer_expire_sessions(struct peer *p);
/* Makes a session out of the finished handshake (paper sections 5.4.5 and 6.1). */
int peer_begin_session(struct peer *p, uint64_t now_ns) WARREN_MUST_USE;
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
