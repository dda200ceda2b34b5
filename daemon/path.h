/* SPDX-License-Identifier: Apache-2.0
 *
 * The path machine (design section 5, daemon/PATHS.md): which endpoint of a peer to send to.
 * Sans-I/O: events and monotonic time go in, datagrams, signals and endpoint decisions come out by
 * path_ops, which may be called during any path_* call and must not call back. One thread.
 */
#ifndef WARREN_DAEMON_PATH_H
#define WARREN_DAEMON_PATH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/probe.h"
#include "platform/addr.h"
#include "platform/buffer.h"
#include "platform/clock.h"
#include "platform/error.h"

#define PATH_MAX_LOCAL	      12
#define PATH_MAX_STUN_SERVERS 8

enum path_state {
	PATH_IDLE,	 /* nobody asked for it */
	PATH_CONNECTING, /* being probed, or waiting for the next round */
	PATH_DIRECT,	 /* a proven endpoint is in use */
};

struct path_ops {
	void *ctx;
	void (*send)(void *ctx, const struct endpoint *to, const void *data, size_t len);
	/* A box for POST /v1/signal; the outcome comes back by path_signal_outcome. */
	void (*signal)(void *ctx, const char *peer_id, const uint8_t *box, size_t len);
	/* From now on traffic for this peer goes there. */
	void (*endpoint)(void *ctx, const uint8_t node_key[32], const struct endpoint *ep);
	/* Answer to path_ping. */
	void (*pong)(void *ctx, uint64_t token, uint64_t rtt_ns, const struct endpoint *ep);
};

struct path_peer_config {
	const char *id, *name; /* copied */
	uint8_t node_key[32], path_key[32];
};

struct path;

/* sequence_base: larger at each start of the program (wall clock in microseconds). */
int path_new(const uint8_t path_secret[32], const struct random_source *random,
	     const struct path_ops *ops, uint64_t sequence_base,
	     struct path **ret_path) WARREN_MUST_USE;
void path_free(struct path *p);

/* Off: nothing is sent or answered, what was proven is forgotten. */
void path_set_active(struct path *p, bool active, uint64_t now_ns);
/* The peers of the map; those that stay keep their state. Unusable path keys make a peer that is
 * never probed. -ENOMEM leaves the former list. */
int path_set_peers(struct path *p, const struct path_peer_config *peers, size_t count,
		   uint64_t now_ns) WARREN_MUST_USE;
/* Our own candidates of type interface (with the tunnel's port), at most PATH_MAX_LOCAL are kept.
 */
void path_set_local(struct path *p, const struct endpoint *local, size_t count);
/* Prefixes routed into the mesh: never candidates. family 0: none. */
void path_set_overlay(struct path *p, const struct ip_prefix *prefix4,
		      const struct ip_prefix *prefix6);
void path_set_stun(struct path *p, const struct endpoint *servers, size_t count, uint64_t now_ns);

/* An interface, address or route changed: everything known is in doubt and probed at once. */
void path_network_changed(struct path *p, uint64_t now_ns);
/* A datagram that is not WireGuard arrived on the tunnel's socket. */
void path_datagram(struct path *p, const struct endpoint *from, const uint8_t *data, size_t len,
		   uint64_t now_ns);
void path_signal(struct path *p, const char *from_peer, const uint8_t *box, size_t len,
		 uint64_t now_ns);
/* result 0: delivered; -ENOENT: the peer has no stream; other: control could not be asked. */
void path_signal_outcome(struct path *p, const char *peer_id, int result);

/* Says the endpoint in use again for all peers that have one: after the engine was configured. */
void path_announce(struct path *p);
/* Traffic for a peer that the engine has no endpoint for: the one in use again, else it is wanted.
 */
void path_need_endpoint(struct path *p, const uint8_t node_key[32], uint64_t now_ns);
/* Somebody asked for this peer (up, ping). */
void path_want(struct path *p, const uint8_t node_key[32], uint64_t now_ns);
/* Traffic went out and nothing came back for a second. */
void path_no_reply(struct path *p, const uint8_t node_key[32], uint64_t now_ns);
/* An authenticated packet of the peer came from here. */
void path_roamed(struct path *p, const uint8_t node_key[32], const struct endpoint *from,
		 uint64_t now_ns);
/* Bytes were exchanged with the peer since the last call. */
void path_activity(struct path *p, const uint8_t node_key[32], uint64_t now_ns);
/* An endpoint from before (saved, or what the engine still uses): probed first. */
void path_hint(struct path *p, const uint8_t node_key[32], const struct endpoint *ep);

/* A probe for a person, over the path in use; false when there is none (the peer is wanted then).
 */
bool path_ping(struct path *p, const char *peer_id, uint64_t token, uint64_t now_ns);

/* Does what is due; returns when to call again (UINT64_MAX: not before something happens). */
uint64_t path_tick(struct path *p, uint64_t now_ns);

struct path_info {
	enum path_state state;
	struct endpoint endpoint; /* in use; unset unless PATH_DIRECT */
	uint64_t rtt_ns;	  /* smoothed; 0: unknown */
	uint64_t last_proof_ns;	  /* 0: never */
};
/* -ENOENT for an unknown peer. */
int path_get(const struct path *p, const char *peer_id, struct path_info *ret_info) WARREN_MUST_USE;
/* Sentences for `warren why`, and the candidates as an array of {endpoint, type, outcome,
 * latency_ms} (new reference, may be NULL without memory). */
int path_why(const struct path *p, const char *peer_id, uint64_t now_ns, struct buffer *out,
	     json_t **ret_candidates) WARREN_MUST_USE;
/* Our own reflexive addresses, as STUN servers saw them. */
size_t path_reflexive(const struct path *p, struct endpoint *out, size_t max);

#endif
