/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads of a device: N shards that run packets to completion, and control (the thread of the
 * caller), which computes handshakes and changes the configuration. They talk by bounded rings of
 * notes; the configuration is a snapshot behind an atomic pointer, which each shard takes over
 * between two turns of its loop. Before shards_start, and in a device without operating system,
 * there is one thread and everything happens at once.
 */
#ifndef WARREN_TUNNEL_SHARDS_H
#define WARREN_TUNNEL_SHARDS_H

#include "platform/secret_pool.h"
#include "tunnel/device.h"

#define SHARDS_MAX 64

enum note_type {
	/* From a shard to control. */
	NOTE_INITIATE,	 /* make an initiation for peer */
	NOTE_CLEAR,	 /* forget the handshake of peer */
	NOTE_INITIATION, /* data: came from endpoint; mac1 and, under load, the cookie were good */
	NOTE_RESPONSE,	 /* data: to the initiation of peer */
	NOTE_COOKIE,	 /* data: to a message to peer */
	NOTE_EVENT,
	NOTE_SOURCE,  /* peer at endpoint is answered from source: is that its route? */
	NOTE_FOREIGN, /* data: not WireGuard */
	/* From control to the shard of peer. */
	NOTE_SEND_INITIATION, /* data, whose sender is index */
	NOTE_SEND_RESPONSE,   /* data, to endpoint, under the session keypair */
	NOTE_SESSION,	      /* keypair: the initiation was answered from endpoint */
	NOTE_REFUSE_SOURCE,   /* it is not */
};

struct note {
	enum note_type type;
	enum tunnel_event_type event;
	uint32_t index;
	struct peer *peer;
	struct keypair *keypair;
	uint64_t now_ns;
	struct endpoint endpoint;
	struct udp_source source;
};

/* What all shards see alike. One is in force, one is being made. */
struct snapshot {
	struct routes routes;
	struct peer *changed; /* linked by change.next; each shard takes its own */
	bool up;
	bool identity_set, identity_changed;
	bool forget_sources;
	uint16_t mtu[2];
	uint8_t public_key[NOISE_KEY_BYTES];
	void (*call)(void *ctx, struct tunnel *shard); /* may be NULL */
	void *call_ctx;
};

struct shards_threads;

struct shards {
	struct tunnel *all[SHARDS_MAX];
	unsigned count;
	struct shards_threads *threads; /* NULL: none run */
	_Atomic(const struct snapshot *) current;
	struct secret_pool *peer_memory, *keypair_memory; /* any thread */

	/* Control's. */
	struct snapshot slots[2];
	struct loop *loop; /* what the caller watches; NULL without operating system */
	int notes_fd, passed_fd;
	struct peer *changed, *changed_last;
	struct routes_edit routes;
	bool routes_lost; /* for want of memory: to be made anew */
	bool identity_changed, forget_sources;
	bool up;
	uint16_t mtu[2];
	uint64_t *drops; /* of control: its own, or the only shard's while there are no threads */
	uint64_t own_drops[DROP_REASONS];
	int steer4, steer6; /* maps of bpf.h from prefix to shard; -1: none */

	/* Written by shards. */
	_Atomic bool closed; /* the main TUN is gone */
	_Atomic int error;   /* a loop failed */
};

int shards_new(struct tunnel *head, unsigned count, struct shards **ret_shards) WARREN_MUST_USE;
/* Before anything of a shard is freed. */
void shards_stop(struct shards *s);
void shards_free(struct shards *s);

/* ---- control ---- */

/* Threads run from here on; all signals are blocked in them. */
int shards_start(struct tunnel *head) WARREN_MUST_USE;
/* Puts what changed into force: makes a snapshot, waits until every shard has taken it over and
 * called call(ctx, shard) there (NULL: nothing), and frees what nobody uses any more. -ENOMEM:
 * peers that are new, or all allowed IPs, are out of force until the next one. */
int shards_publish(struct tunnel *head, void (*call)(void *ctx, struct tunnel *shard),
		   void *ctx) WARREN_MUST_USE;
/* A note to a shard; wakes it. False: its ring is full. */
bool shards_tell(struct tunnel *shard, const struct note *note, const void *data, size_t len);
/* Allowed IPs, and the kernel's map of them. */
int shards_route(struct peer *p, const struct ip_prefix *prefix) WARREN_MUST_USE;
void shards_unroute(struct peer *p, const struct ip_prefix *prefix);
void shards_unroute_all(struct peer *p);

/* ---- a shard ---- */

/* False: the ring is full, which a flood must not make larger. */
bool shards_tell_control(struct tunnel *t, const struct note *note, const void *data, size_t len);
/* The main TUN is gone: the device ends. */
void shards_closed(struct tunnel *t);
/* Between two turns: nothing of the former configuration is in use. */
void shards_quiescent(struct tunnel *t);

#endif
