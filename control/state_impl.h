/* SPDX-License-Identifier: Apache-2.0
 *
 * What state.c (lookup, life), state_world.c, state_change.c (changes), state_map.c (maps) and state_stream.c
 * share. Private to them.
 */
#ifndef WARREN_CONTROL_STATE_IMPL_H
#define WARREN_CONTROL_STATE_IMPL_H

#include "control/proto/map.h"
#include "control/state.h"

#define STATE_LINE_MAX	   (1u << 20)
#define STATE_PING_NS	   (25 * NSEC_PER_SEC)
#define STATE_QUARANTINE_S 86400
#define STATE_EPHEMERAL_S  1800
/* Of one machine, who enrolled it included: what verifiers take (ssh/judge.c). One more login is
 * refused, for a list cut short could lack whom a rule denies. */
#define STATE_MAX_IDENTITIES 256

struct login {
	struct login *next;
	char identity[256];
	json_t *groups;
	int64_t expires_s;
	int64_t issued_s; /* of the newest token that was shown */
};

struct entry {
	struct state_peer pub; /* what others see; first member */
	struct store_peer row;
	struct login *logins;
	struct stream *stream;
	/* What the peer was sent last: the base of the next difference. */
	struct map *sent;
	int64_t sent_revision;
	/* The object of type "ssh": signed again only when its content changed or half its life is
	 * over, so that maps stay equal. */
	uint8_t ssh_hash[32];
	char *ssh_signed;
	int64_t ssh_until_s;
	/* What others are told of it, made when first asked for: its item in objects of type "ssh"
	 * and that item's hash. The component "peer:ID" is in the state's `shared`. */
	json_t *ssh_item;
	uint8_t ssh_item_hash[32];
	int64_t last_seen_s;
	bool leaving; /* its removal is under way: state_farewell.c */
	double signal_tokens;
	uint64_t signal_at_ns;
};

/* A certificate that no longer counts on its target. */
struct revoked {
	uint64_t serial;
	char target[IDENT_SIZE];
	int64_t until_s;
};

struct nonce {
	char text[32];
	int64_t expires_s;
};

struct state {
	struct control *c;
	struct store_network network;
	struct entry **peers; /* sorted by id */
	size_t peer_count, peer_cap;
	struct store_setup_key *keys;
	size_t key_count, key_cap;
	struct policy *policy;
	struct policy_world *world;
	struct map *shared; /* components "peer:ID", the same in every map */
	/* open addressing, power of two, grows; rebuilt as old ones go */
	struct nonce *nonces;
	size_t nonce_cap, nonce_count;
	int64_t next_nonce_sweep_s;
	struct store_cutoff *cutoffs; /* the oldest first */
	size_t cutoff_count, cutoff_cap;
	struct revoked *revoked;
	size_t revoked_count, revoked_cap;
	int64_t next_cutoff_sweep_s;
	struct stream *streams;
	struct farewell *farewells;
	json_t *stun, *issuer; /* components */
	int64_t seq;	       /* of ssh objects */
	uv_timer_t tick, flush;
	bool timers, stopping;
	bool world_stale; /* the last attempt to make it failed */
};

struct stream {
	struct stream *next, *prev;
	struct state *s;
	struct entry *entry;
	struct stream_sink sink;
	struct map *sending; /* a snapshot under way, or NULL */
	size_t sending_at;
	int64_t sending_revision;
	char *head; /* signed "map" object of what was sent last */
	int64_t head_until_s;
	uint64_t next_ping_ns;
	bool dirty, blocked, ended;
};

/* state.c */
struct entry *state_entry(const struct state *s, const char *id);
int state_insert(struct state *s, const struct store_peer *row,
		 struct entry **ret_entry) WARREN_MUST_USE;
void state_drop_entry(struct state *s, struct entry *e);
void state_publish(struct state *s, struct entry *e);
/* After any change of what others are told of e. */
void state_forget_view(struct state *s, struct entry *e);
/* "peer:ID"; out[MAP_MAX_KEY]. */
void state_peer_key(const struct entry *e, char *out);
int state_make_world(struct state *s) WARREN_MUST_USE;
/* Whom a rule connects with e: an answer per element of peers, the caller frees it. NULL: no
 * memory. */
bool *state_concerned(struct state *s, const struct entry *e);
bool state_has_identity(const struct entry *e, const char *identity);
int64_t state_now(const struct state *s);

/* state_nonce.c: makes the table anew without what has expired. */
int state_nonces_rebuild(struct state *s, int64_t now_s) WARREN_MUST_USE;

/* state_cutoff.c */
int state_cutoffs_load(struct state *s, const struct store_load *a) WARREN_MUST_USE;
/* At once, before the store has it: what ends access may be early. */
int state_cut_now(struct state *s, const struct store_cutoff *c) WARREN_MUST_USE;
/* How long a cutoff of this moment must be told: after that no object, certificate or grant of
 * before it is valid any more. */
int64_t state_cut_until(const struct state *s, int64_t now_s);
/* "revoked" and "blocked" of the object of e; concerned as state_concerned says. */
json_t *state_revoked(const struct state *s, const struct entry *e);
json_t *state_blocked(const struct state *s, const struct entry *e, const bool *concerned);
void state_cutoffs_tick(struct state *s, int64_t now_s);

/* state_map.c: the whole map of a peer as it shall be now. */
int state_build_map(struct state *s, struct entry *e, struct map **ret_map) WARREN_MUST_USE;

/* state_farewell.c: sessions of e and on e end; then, when their users could be told. */
int state_farewell(struct state *s, struct entry *e, void (*then)(void *arg), void *arg) WARREN_MUST_USE;
/* It stays after all. */
void state_farewell_back(struct state *s, struct entry *e);
/* Ends all farewells at once. */
void state_farewell_stop(struct state *s);

/* state_stream.c */
void state_mark(struct state *s, struct entry *e);
void state_mark_all(struct state *s);
/* e, and every peer that a rule connects with it. Called before and after a change of e. */
void state_mark_around(struct state *s, struct entry *e);
void state_stream_reset(struct stream *t, const char *reason);
void state_stream_tick(struct state *s);

#endif
