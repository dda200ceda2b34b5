/* SPDX-License-Identifier: Apache-2.0
 *
 * The store behind domain-level operations: what the network remembers. One thread runs them in the
 * order they were asked for; each changing one is a transaction that raises the network's revision
 * and writes the row of `changes`. Answers come back on the loop, in order. SQL is in store_*.c
 * only; another backend implements struct store_ops and passes the same tests.
 */
#ifndef WARREN_CONTROL_STORE_H
#define WARREN_CONTROL_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "control/ident.h"
#include "platform/addr.h"
#include "platform/clock.h"
#include "platform/error.h"

struct store;

struct store_network {
	char id[IDENT_SIZE];
	int64_t epoch, revision;
	int64_t starts; /* times a server has opened the store */
	struct ip_prefix prefix4, prefix6;
	char *policy; /* text in force; owned */
};

struct store_peer {
	char id[IDENT_SIZE];
	char name[64];	 /* unique */
	bool name_fixed; /* an administrator chose it: the host name no longer changes it */
	char hostname[128], os[64], version[64];
	char setup_key[64];    /* name of the key it enrolled with, or "" */
	char enrolled_by[256]; /* identity, or "" */
	uint8_t node_key[32], path_key[32], identity_key[32];
	struct ip_addr v4, v6;
	bool ssh_enabled, ssh_advertised, ephemeral;
	uint16_t ssh_port;
	char host_keys[2048];	/* JSON array of strings */
	char ssh_features[512]; /* JSON array of strings */
	int64_t created_s;
};

struct store_login {
	char peer[IDENT_SIZE];
	char identity[256];
	json_t *groups; /* array of strings; owned */
	int64_t expires_s;
	int64_t issued_s; /* of the newest token that was shown */
};

/* What was issued to an identity up to a moment is void (PROTOCOL.md section 6, "blocked"). */
struct store_cutoff {
	char identity[256];
	char peer[IDENT_SIZE]; /* for connections from there; "": from everywhere */
	int64_t before_s;
	int64_t token_before_s; /* the same for tokens, in the clock of their provider */
	int64_t until_s;	/* nobody needs to know it any longer */
	bool blocked;		/* and nothing new is issued until unblocked; peer is "" */
	char reason[64];	/* "logout", "expired", "disabled", "removed", "blocked", "revoked" */
};

/* A certificate that was given out. */
struct store_cert {
	uint64_t serial; /* below 2^63 */
	char identity[256];
	char caller[IDENT_SIZE], target[IDENT_SIZE];
	char login[64];
	int64_t issued_s, expires_s;
	int64_t revoked_s; /* 0: no */
};

struct store_setup_key {
	char name[64];
	uint8_t public_key[32];
	int64_t uses_left; /* -1: unlimited */
	int64_t used;
	int64_t expires_s; /* 0: never */
	int64_t created_s;
	bool revoked, ephemeral;
};

struct store_nonce {
	char nonce[32];
	int64_t expires_s;
};

/* ---- arguments of the operations: inputs first, then results */

struct store_load {
	struct ip_prefix prefix4; /* of a new network */
	int64_t now_s;
	struct store_network network;
	struct store_peer *peers;
	size_t peer_count;
	struct store_login *logins;
	size_t login_count;
	struct store_setup_key *keys;
	size_t key_count;
	struct store_nonce *nonces;
	size_t nonce_count;
	struct store_cutoff *cutoffs; /* the oldest first */
	size_t cutoff_count;
	struct store_cert *revoked;
	size_t revoked_count;
};
void store_load_done(struct store_load *a);

struct store_enroll {
	struct store_peer peer; /* all but addresses; name is what is wished for */
	char key_name[64];	/* setup key, or "" (a login) */
	int64_t now_s;
	/* results: peer complete (the existing one when its identity key was known) */
	bool existing;
	int64_t key_uses_left, key_used;
	int64_t revision;
};

/* Which fields a change sets; the others stay what they are when its turn comes. */
enum store_peer_fields {
	STORE_PEER_NAME = 1 << 0,     /* name, chosen by an administrator */
	STORE_PEER_HOSTNAME = 1 << 1, /* hostname; and name after it, unless one was chosen */
	STORE_PEER_SYSTEM = 1 << 2,   /* os, version */
	STORE_PEER_SSH = 1 << 3,      /* ssh_advertised, ssh_port, ssh_features */
	STORE_PEER_HOST_KEYS = 1 << 4,
	STORE_PEER_SSH_ENABLED = 1 << 5,
};

struct store_peer_change {
	struct store_peer peer; /* id and the fields to set; result: the whole row */
	unsigned fields;
	const char *kind; /* for `changes`: "self", "admin" */
	int64_t now_s, revision;
};

struct store_peer_remove {
	char id[IDENT_SIZE];
	int64_t now_s, quarantine_until_s, revision;
};

struct store_login_change {
	struct store_login login; /* groups owned by the argument */
	bool remove;
	struct store_cutoff cutoff; /* of a removal: what the login gave is void */
	int64_t now_s, revision;
};

struct store_policy {
	char *text; /* owned */
	char actor[64];
	int64_t now_s, revision;
};

struct store_key_change {
	struct store_setup_key key; /* create: whole; revoke: name */
	bool revoke;
	int64_t now_s, revision;
};

struct store_nonce_put {
	struct store_nonce nonce;
	int64_t now_s; /* older ones are forgotten */
};

struct store_event {
	char kind[64], actor[256], subject[256];
	char *detail; /* JSON or NULL; owned */
	int64_t now_s;
};

struct store_events {
	int64_t before, limit; /* ids below before (0: newest) */
	json_t *events;	       /* result: array, newest first */
};

/* Errors: -ENOENT no such row, -EEXIST a unique name or key is taken, -EKEYEXPIRED, -EKEYREVOKED,
 * -EDQUOT (key used up), -ENOSPC no address left, -EIO the database. Nothing changes on error. */
struct store_ops {
	int (*open)(const char *where, const struct random_source *random, void **ret_db,
		    struct error *err);
	void (*close)(void *db);
	void *(*native)(void *db); /* for store_job: the handle of the backend's own type */
	int (*load)(void *db, struct store_load *a);
	int (*enroll)(void *db, struct store_enroll *a);
	int (*peer_change)(void *db, struct store_peer_change *a);
	int (*peer_remove)(void *db, struct store_peer_remove *a);
	int (*login_change)(void *db, struct store_login_change *a);
	int (*policy_set)(void *db, struct store_policy *a);
	int (*key_change)(void *db, struct store_key_change *a);
	int (*nonce_put)(void *db, struct store_nonce_put *a);
	int (*event_put)(void *db, struct store_event *a);
	int (*events)(void *db, struct store_events *a);
};
extern const struct store_ops store_sqlite_ops;

/* Opens (where: a file, ":memory:") on the calling thread, so that errors are sentences, then
 * starts the thread. */
int store_new(uv_loop_t *loop, const struct store_ops *ops, const char *where,
	      const struct random_source *random, struct store **ret_store,
	      struct error *err) WARREN_MUST_USE;
/* Runs what is queued, tells its callbacks, closes. The loop must run once more after it. */
void store_close(struct store *s);
/* After the loop has closed the store's handle. */
void store_free(struct store *s);

/* Synchronous, before the loop runs. */
int store_load(struct store *s, struct store_load *a) WARREN_MUST_USE;

/* Each calls done(a, result) on the loop later, exactly once; a is the caller's until then lent to
 * the store. -ENOMEM, -ESHUTDOWN: done is not called. */
typedef void store_done(void *a, int result);
int store_enroll(struct store *s, struct store_enroll *a, store_done *done) WARREN_MUST_USE;
int store_peer_change(struct store *s, struct store_peer_change *a,
		      store_done *done) WARREN_MUST_USE;
int store_peer_remove(struct store *s, struct store_peer_remove *a,
		      store_done *done) WARREN_MUST_USE;
int store_login_change(struct store *s, struct store_login_change *a,
		       store_done *done) WARREN_MUST_USE;
int store_policy_set(struct store *s, struct store_policy *a, store_done *done) WARREN_MUST_USE;
int store_key_change(struct store *s, struct store_key_change *a, store_done *done) WARREN_MUST_USE;
int store_nonce_put(struct store *s, struct store_nonce_put *a, store_done *done) WARREN_MUST_USE;
int store_event_put(struct store *s, struct store_event *a, store_done *done) WARREN_MUST_USE;
int store_events(struct store *s, struct store_events *a, store_done *done) WARREN_MUST_USE;
/* store_job is declared in control.h. */

#endif
