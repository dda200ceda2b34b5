/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading the network from SQLite at start, and making one in an empty database.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/store_sqlite_impl.h"
#include "platform/json.h"

static int make_network(struct db *db, const struct store_load *a)
{
	char id[IDENT_SIZE], prefix4[IP_PREFIX_STRLEN], prefix6[IP_PREFIX_STRLEN];
	struct ip_prefix ula;

	ident_make('n', db->random, id);
	ident_ula(db->random, &ula);
	return sqlite_run(
		db,
		"INSERT INTO network (one, id, epoch, revision, starts, prefix4, prefix6) "
		"SELECT 1, ?, 1, 1, 0, ?, ? WHERE NOT EXISTS (SELECT 1 FROM network)",
		"ttt", id, ip_prefix_format(&a->prefix4, prefix4), ip_prefix_format(&ula, prefix6));
}

static int load_network(struct db *db, struct store_network *n)
{
	sqlite3_stmt *st = sqlite_bind(
		db, "SELECT id, epoch, revision, starts, prefix4, prefix6 FROM network", "");
	char text[IP_PREFIX_STRLEN];
	int r = -EIO;

	if (st && sqlite3_step(st) == SQLITE_ROW) {
		sqlite_text(st, 0, n->id, sizeof(n->id));
		n->epoch = sqlite3_column_int64(st, 1);
		n->revision = sqlite3_column_int64(st, 2);
		n->starts = sqlite3_column_int64(st, 3);
		sqlite_text(st, 4, text, sizeof(text));
		r = ip_prefix_parse(text, &n->prefix4);
		sqlite_text(st, 5, text, sizeof(text));
		if (r == 0)
			r = ip_prefix_parse(text, &n->prefix6);
	}
	sqlite3_finalize(st);
	st = sqlite_bind(db, "SELECT text FROM policies ORDER BY revision DESC LIMIT 1", "");
	if (r == 0 && st && sqlite3_step(st) == SQLITE_ROW) {
		n->policy = strdup((const char *)sqlite3_column_text(st, 0));
		r = n->policy ? 0 : -ENOMEM;
	}
	sqlite3_finalize(st);
	return r;
}

static void row_peer(sqlite3_stmt *st, void *out)
{
	sqlite_peer(st, out);
}

static void row_login(sqlite3_stmt *st, void *out)
{
	struct store_login *l = out;
	const char *groups = (const char *)sqlite3_column_text(st, 2);

	sqlite_text(st, 0, l->peer, sizeof(l->peer));
	sqlite_text(st, 1, l->identity, sizeof(l->identity));
	l->groups = groups ? json_load_strict(groups, strlen(groups), 1u << 20, NULL) : NULL;
	if (!json_is_array(l->groups)) {
		json_decref(l->groups);
		l->groups = json_array();
	}
	for (size_t i = json_array_size(l->groups); i-- > 0;) /* never written by us */
		if (!json_is_string(json_array_get(l->groups, i)))
			(void)json_array_remove(l->groups, i);
	l->expires_s = sqlite3_column_int64(st, 3);
	l->issued_s = sqlite3_column_int64(st, 4);
}

static void row_key(sqlite3_stmt *st, void *out)
{
	struct store_setup_key *k = out;

	sqlite_text(st, 0, k->name, sizeof(k->name));
	sqlite_key32(st, 1, k->public_key);
	k->uses_left = sqlite3_column_int64(st, 2);
	k->used = sqlite3_column_int64(st, 3);
	k->expires_s = sqlite3_column_int64(st, 4);
	k->created_s = sqlite3_column_int64(st, 5);
	k->revoked = sqlite3_column_int(st, 6) != 0;
	k->ephemeral = sqlite3_column_int(st, 7) != 0;
}

static void row_nonce(sqlite3_stmt *st, void *out)
{
	struct store_nonce *n = out;

	sqlite_text(st, 0, n->nonce, sizeof(n->nonce));
	n->expires_s = sqlite3_column_int64(st, 1);
}

int sqlite_load_rows(sqlite3_stmt *st, size_t size, void (*row)(sqlite3_stmt *st, void *out),
		     void *ret_rows, size_t *ret_count)
{
	char *rows = NULL;
	size_t count = 0, cap = 0;
	int rc = SQLITE_ERROR;

	while (st && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (count == cap) {
			cap = cap ? cap * 2 : 64;
			char *more = realloc(rows, cap * size);
			if (!more)
				break;
			rows = more;
		}
		memset(rows + count * size, 0, size);
		row(st, rows + count * size);
		count++;
	}
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE) {
		free(rows);
		return -EIO;
	}
	memcpy(ret_rows, &rows, sizeof(rows));
	*ret_count = count;
	return 0;
}

int sqlite_load(void *arg, struct store_load *a)
{
	struct db *db = arg;
	int r = sqlite_begin(db);

	if (r < 0)
		return r;
	r = make_network(db, a);
	if (r == 0)
		r = sqlite_run(db, "UPDATE network SET starts = starts + 1", "");
	if (r == 0)
		r = sqlite_run(db, "DELETE FROM nonces WHERE expires < ?", "i", a->now_s);
	r = sqlite_end(db, r);
	if (r == 0)
		r = load_network(db, &a->network);
	if (r == 0)
		r = sqlite_load_rows(sqlite_bind(db,
					  "SELECT " SQLITE_PEER_COLUMNS " FROM peers ORDER BY id",
					  ""),
			      sizeof(*a->peers), row_peer, &a->peers, &a->peer_count);
	if (r == 0)
		r = sqlite_load_rows(
			sqlite_bind(db, "SELECT peer, identity, groups, expires, issued FROM logins",
				    ""),
			sizeof(*a->logins), row_login, &a->logins, &a->login_count);
	if (r == 0)
		r = sqlite_load_rows(
			sqlite_bind(db,
				    "SELECT name, public_key, uses_left, used, expires, created, "
				    "revoked, ephemeral FROM setup_keys ORDER BY created, name",
				    ""),
			sizeof(*a->keys), row_key, &a->keys, &a->key_count);
	if (r == 0)
		r = sqlite_load_rows(sqlite_bind(db, "SELECT nonce, expires FROM nonces", ""),
			      sizeof(*a->nonces), row_nonce, &a->nonces, &a->nonce_count);
	if (r == 0)
		r = sqlite_load_cutoffs(db, a);
	if (r < 0)
		store_load_done(a);
	return r;
}
