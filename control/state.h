/* SPDX-License-Identifier: Apache-2.0
 *
 * The network in memory: peers, logins, setup keys, policy, and the map of each peer that listens.
 * control.h has what the issuer and the login service use; this is for the core (api, admin, main)
 * and for tests. Everything on the loop's thread. A change goes to the store first and is taken
 * over here when it is there; then the maps of those concerned are made anew and their differences
 * sent.
 */
#ifndef WARREN_CONTROL_STATE_H
#define WARREN_CONTROL_STATE_H

#include "control/control.h"
#include "control/store.h"

struct stream;

typedef void state_done(void *ctx, int result);

/* Loads the network; c->store, c->signer, c->clock, c->random and c->config are set. Initialises
 * the signer with the network and the issuer. */
int state_new(struct control *c, struct state **ret_state, struct error *err) WARREN_MUST_USE;
/* Ends all streams with "restart" and closes timers; free after the loop has run. */
void state_stop(struct state *s);
void state_free(struct state *s);

int64_t state_epoch(const struct state *s);
int64_t state_revision(const struct state *s);
void state_prefixes(const struct state *s, struct ip_prefix *ret_v4, struct ip_prefix *ret_v6);
/* The component "stun": borrowed. */
json_t *state_stun(const struct state *s);
const char *state_policy_text(const struct state *s);
/* The row behind a peer; NULL when it is not there. */
const struct store_peer *state_row(const struct state *s, const char *id);
const struct store_peer *state_row_by_name(const struct state *s, const char *name);
const struct store_peer *state_row_by_identity(const struct state *s, const uint8_t key[32]);
size_t state_peer_count(const struct state *s);
const struct store_peer *state_row_at(const struct state *s, size_t index);
bool state_online(const struct state *s, const char *id);
/* Identities of a peer as a JSON array: who enrolled it and who is logged in on it. New reference.
 */
json_t *state_identities(const struct state *s, const char *id);
const struct store_setup_key *state_key(const struct state *s, const char *name);
const struct store_setup_key *state_key_by_public(const struct state *s, const uint8_t key[32]);
size_t state_key_count(const struct state *s);
const struct store_setup_key *state_key_at(const struct state *s, size_t index);

/* False when it was there already or when too many are remembered; otherwise it is remembered, also
 * in the store when durable. */
bool state_nonce(struct state *s, const char *nonce, bool durable);
/* The same until a time of the caller's choice; and: is it remembered? */
bool state_nonce_until(struct state *s, const char *nonce, bool durable, int64_t expires_s);
bool state_nonce_known(struct state *s, const char *nonce);
/* Token bucket per peer for what it asks of others. */
bool state_may_signal(struct state *s, const char *peer);

/* What is not the state's own, and part of maps, has changed. */
void state_renew_maps(struct state *s);

/* ---- changes; each calls done exactly once, later, unless it returns an error at once */
/* a is heap memory with the wished peer; it is the state's until done, whose ctx gets *a read-only
 * through state_enroll_done. */
typedef void state_enroll_done(void *ctx, int result, const struct store_enroll *a);
int state_enroll(struct state *s, const struct store_enroll *wished, state_enroll_done *done,
		 void *ctx) WARREN_MUST_USE;
/* row: id and the fields to set (enum store_peer_fields). kind names the change. */
int state_change_peer(struct state *s, const struct store_peer *row, unsigned fields,
		      const char *kind, state_done *done, void *ctx) WARREN_MUST_USE;
int state_remove_peer(struct state *s, const char *id, state_done *done, void *ctx) WARREN_MUST_USE;
/* Parses, runs the tests against this world, then stores; -EINVAL or -EPERM with the sentence at
 * once and the old policy stays. */
int state_set_policy(struct state *s, const char *file, const char *text, size_t len,
		     const char *actor, state_done *done, void *ctx,
		     struct error *err) WARREN_MUST_USE;
/* Runs the tests as at that moment (seconds; negative: now). */
int state_test_policy(const struct state *s, const char *file, const char *text, size_t len,
		      int64_t at_s, struct error *err) WARREN_MUST_USE;
int state_create_key(struct state *s, const struct store_setup_key *key, state_done *done,
		     void *ctx) WARREN_MUST_USE;
int state_revoke_key(struct state *s, const char *name, state_done *done,
		     void *ctx) WARREN_MUST_USE;

/* Ends what identity has: certificates and grants so far are void and sessions end; logins: also
 * its logins, and tokens so far; block: and nothing more is issued until state_unblock. reason as
 * in struct store_cutoff. */
int state_cut(struct state *s, const char *identity, bool block, bool logins, const char *reason,
	      state_done *done, void *ctx) WARREN_MUST_USE;
/* -ENOENT by done: an administrator has not blocked it. */
int state_unblock(struct state *s, const char *identity, state_done *done,
		  void *ctx) WARREN_MUST_USE;
bool state_is_blocked(const struct state *s, const char *identity);
/* Array of {identity, reason, since}: new reference. */
json_t *state_blocked_identities(const struct state *s);
/* One certificate: -ENOENT, -EALREADY by done; -ENOSPC at once: too many are revoked. */
typedef void state_revoke_done(void *ctx, int result, const struct store_cert *cert);
int state_revoke(struct state *s, uint64_t serial, state_revoke_done *done,
		 void *ctx) WARREN_MUST_USE;

/* ---- streams */
struct stream_sink {
	/* One whole line; -EAGAIN: the reader is slow (nothing taken), other errors: it is gone. */
	int (*write)(void *ctx, const void *data, size_t len);
	/* Ends the answer; the sink is not used after. */
	void (*end)(void *ctx);
	void *ctx;
};
/* Attaches a peer's stream (an older one ends with "reset restart") and starts to send. */
int state_stream_open(struct state *s, const char *peer, int64_t epoch, int64_t cursor,
		      const struct stream_sink *sink, struct stream **ret_stream) WARREN_MUST_USE;
/* The client went away; sink.end is not called. */
void state_stream_gone(struct stream *t);
/* The sink takes lines again. */
void state_stream_drained(struct stream *t);

/* Timers' work, for tests: expiries, pings, renewals. And what a change left to send. */
void state_tick(struct state *s);
void state_flush(struct state *s);

#endif
