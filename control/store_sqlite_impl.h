/* SPDX-License-Identifier: Apache-2.0
 *
 * What the SQLite backend's files share: statements with typed arguments, transactions, rows.
 * Private to store_sqlite*.c.
 */
#ifndef WARREN_CONTROL_STORE_SQLITE_IMPL_H
#define WARREN_CONTROL_STORE_SQLITE_IMPL_H

#include <sqlite3.h>

#include "control/store.h"

struct db {
	sqlite3 *handle;
	const struct random_source *random;
};

/* Prepares sql and binds by the letters of types: t const char * (NULL: NULL), i int64_t,
 * k const uint8_t[32], a const struct ip_addr *. NULL on failure. */
sqlite3_stmt *sqlite_bind(struct db *db, const char *sql, const char *types, ...);
/* The same, run to its end; -EEXIST for a constraint, else -EIO. */
int sqlite_run(struct db *db, const char *sql, const char *types, ...) WARREN_MUST_USE;
int sqlite_begin(struct db *db) WARREN_MUST_USE;
/* Commits when result is 0, else rolls back; returns result or what went wrong. */
int sqlite_end(struct db *db, int result) WARREN_MUST_USE;
/* Raises the revision and writes the row of `changes`; inside a transaction. */
int sqlite_revise(struct db *db, const char *kind, const char *subject, int64_t now_s,
		  int64_t *ret_revision) WARREN_MUST_USE;
int sqlite_code(int rc);
void sqlite_text(sqlite3_stmt *st, int column, char *out, size_t cap);
void sqlite_key32(sqlite3_stmt *st, int column, uint8_t out[32]);
void sqlite_addr(sqlite3_stmt *st, int column, struct ip_addr *ret_addr);

#define SQLITE_PEER_COLUMNS                                                                        \
	"id,name,name_fixed,hostname,os,version,setup_key,enrolled_by,node_key,path_key,"          \
	"identity_key,v4,v6,ssh_enabled,ssh_advertised,ephemeral,ssh_port,host_keys,"              \
	"ssh_features,created"
void sqlite_peer(sqlite3_stmt *st, struct store_peer *ret_peer);

/* store_sqlite_peers.c */
int sqlite_enroll(void *db, struct store_enroll *a);
int sqlite_peer_change(void *db, struct store_peer_change *a);
int sqlite_peer_remove(void *db, struct store_peer_remove *a);
/* store_sqlite_load.c */
int sqlite_load(void *db, struct store_load *a);
/* All rows of a statement into an array of elements of this size; *ret_rows is the caller's. */
int sqlite_load_rows(sqlite3_stmt *st, size_t size, void (*row)(sqlite3_stmt *st, void *out),
		     void *ret_rows, size_t *ret_count) WARREN_MUST_USE;
/* store_cutoff.c; the first inside a transaction */
int sqlite_cutoff(struct db *db, const struct store_cutoff *c, int64_t now_s) WARREN_MUST_USE;
int sqlite_load_cutoffs(struct db *db, struct store_load *a) WARREN_MUST_USE;

#endif
