/* SPDX-License-Identifier: Apache-2.0
 *
 * SQLite backend of the store: open, schema and its versions, statements, and the small operations.
 * WAL with synchronous FULL: what was answered survives a power cut.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "control/store_sqlite_impl.h"
#include "platform/json.h"

#define KEEP_EVENTS  100000
#define KEEP_CHANGES 10000

/* One string per version; a database is brought from user_version to the last. */
static const char *const schema[] = {
	"CREATE TABLE network (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL,"
	" epoch INTEGER NOT NULL, revision INTEGER NOT NULL, starts INTEGER NOT NULL,"
	" prefix4 TEXT NOT NULL, prefix6 TEXT NOT NULL);"
	"CREATE TABLE changes (revision INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT "
	"NULL,"
	" subject TEXT NOT NULL);"
	"CREATE TABLE peers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	" name_fixed INTEGER NOT NULL, hostname TEXT NOT NULL, os TEXT NOT NULL,"
	" version TEXT NOT NULL, setup_key TEXT NOT NULL, enrolled_by TEXT NOT NULL,"
	" node_key BLOB NOT NULL UNIQUE, path_key BLOB NOT NULL UNIQUE,"
	" identity_key BLOB NOT NULL UNIQUE, v4 BLOB NOT NULL UNIQUE, v6 BLOB NOT NULL UNIQUE,"
	" ssh_enabled INTEGER NOT NULL, ssh_advertised INTEGER NOT NULL,"
	" ephemeral INTEGER NOT NULL, ssh_port INTEGER NOT NULL, host_keys TEXT NOT NULL,"
	" ssh_features TEXT NOT NULL, created INTEGER NOT NULL);"
	"CREATE TABLE quarantine (addr BLOB PRIMARY KEY, until INTEGER NOT NULL);"
	"CREATE TABLE logins (peer TEXT NOT NULL REFERENCES peers(id) ON DELETE CASCADE,"
	" identity TEXT NOT NULL, groups TEXT NOT NULL, expires INTEGER NOT NULL,"
	" PRIMARY KEY (peer, identity));"
	"CREATE TABLE setup_keys (name TEXT PRIMARY KEY, public_key BLOB NOT NULL UNIQUE,"
	" uses_left INTEGER NOT NULL, used INTEGER NOT NULL, expires INTEGER NOT NULL,"
	" created INTEGER NOT NULL, revoked INTEGER NOT NULL, ephemeral INTEGER NOT NULL);"
	"CREATE TABLE nonces (nonce TEXT PRIMARY KEY, expires INTEGER NOT NULL);"
	"CREATE TABLE policies (revision INTEGER PRIMARY KEY, at INTEGER NOT NULL,"
	" actor TEXT NOT NULL, text TEXT NOT NULL);"
	"CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,"
	" kind TEXT NOT NULL, actor TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT);",
	"CREATE TABLE cutoffs (identity TEXT NOT NULL, peer TEXT NOT NULL,"
	" before INTEGER NOT NULL, token_before INTEGER NOT NULL, until INTEGER NOT NULL,"
	" blocked INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (identity, peer));"
	"CREATE TABLE certs (serial INTEGER PRIMARY KEY, identity TEXT NOT NULL,"
	" caller TEXT NOT NULL, target TEXT NOT NULL, login TEXT NOT NULL,"
	" issued INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX certs_issued ON certs(issued);"
	"CREATE INDEX certs_expires ON certs(expires);"
	"CREATE INDEX certs_revoked ON certs(revoked) WHERE revoked > 0;"
	"ALTER TABLE logins ADD COLUMN issued INTEGER NOT NULL DEFAULT 0;",
};
#define SCHEMA_VERSION (int)(sizeof(schema) / sizeof(schema[0]))

int sqlite_code(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

static int bind_one(sqlite3_stmt *st, int at, char type, va_list *ap)
{
	const char *text;
	const struct ip_addr *addr;

	switch (type) {
	case 't':
		text = va_arg(*ap, const char *);
		return text ? sqlite3_bind_text(st, at, text, -1, SQLITE_TRANSIENT)
			    : sqlite3_bind_null(st, at);
	case 'i':
		return sqlite3_bind_int64(st, at, va_arg(*ap, int64_t));
	case 'k':
		return sqlite3_bind_blob(st, at, va_arg(*ap, const uint8_t *), 32,
					 SQLITE_TRANSIENT);
	case 'a':
		addr = va_arg(*ap, const struct ip_addr *);
		return sqlite3_bind_blob(st, at, addr->bytes, addr->family == 4 ? 4 : 16,
					 SQLITE_TRANSIENT);
	default:
		return SQLITE_MISUSE;
	}
}

static sqlite3_stmt *bind_list(struct db *db, const char *sql, const char *types, va_list *ap)
{
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(db->handle, sql, -1, &st, NULL) != SQLITE_OK)
		return NULL;
	for (int i = 0; types[i]; i++) {
		if (bind_one(st, i + 1, types[i], ap) != SQLITE_OK) {
			sqlite3_finalize(st);
			return NULL;
		}
	}
	return st;
}

sqlite3_stmt *sqlite_bind(struct db *db, const char *sql, const char *types, ...)
{
	va_list ap;

	va_start(ap, types);
	sqlite3_stmt *st = bind_list(db, sql, types, &ap);
	va_end(ap);
	return st;
}

int sqlite_run(struct db *db, const char *sql, const char *types, ...)
{
	va_list ap;
	int rc;

	va_start(ap, types);
	sqlite3_stmt *st = bind_list(db, sql, types, &ap);
	va_end(ap);
	if (!st)
		return -EIO;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		;
	sqlite3_finalize(st);
	return sqlite_code(rc);
}

int sqlite_begin(struct db *db)
{
	return sqlite_run(db, "BEGIN IMMEDIATE", "");
}

int sqlite_end(struct db *db, int result)
{
	int r = result;

	if (r == 0)
		r = sqlite_run(db, "COMMIT", "");
	if (r < 0 && !sqlite3_get_autocommit(db->handle) && sqlite_run(db, "ROLLBACK", "") < 0)
		return -EIO;
	return r;
}

int sqlite_revise(struct db *db, const char *kind, const char *subject, int64_t now_s,
		  int64_t *ret_revision)
{
	sqlite3_stmt *st;
	int64_t revision = 0;
	int r;

	st = sqlite_bind(db, "UPDATE network SET revision = revision + 1 RETURNING revision", "");
	if (st && sqlite3_step(st) == SQLITE_ROW)
		revision = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	if (revision == 0)
		return -EIO;
	r = sqlite_run(db, "INSERT INTO changes VALUES (?,?,?,?)", "iitt", revision, now_s, kind,
		       subject);
	if (r == 0 && revision % 100 == 0)
		r = sqlite_run(db, "DELETE FROM changes WHERE revision < ?", "i",
			       revision - KEEP_CHANGES);
	if (r == 0)
		*ret_revision = revision;
	return r;
}

void sqlite_text(sqlite3_stmt *st, int column, char *out, size_t cap)
{
	const char *text = (const char *)sqlite3_column_text(st, column);
	size_t len = text ? strlen(text) : 0;

	if (len >= cap) /* never written by us */
		len = 0;
	if (len)
		memcpy(out, text, len);
	out[len] = 0;
}

void sqlite_key32(sqlite3_stmt *st, int column, uint8_t out[32])
{
	const void *blob = sqlite3_column_blob(st, column);

	memset(out, 0, 32);
	if (blob && sqlite3_column_bytes(st, column) == 32)
		memcpy(out, blob, 32);
}

void sqlite_addr(sqlite3_stmt *st, int column, struct ip_addr *ret_addr)
{
	const void *blob = sqlite3_column_blob(st, column);
	int len = sqlite3_column_bytes(st, column);

	*ret_addr = (struct ip_addr){0};
	if (blob && (len == 4 || len == 16)) {
		ret_addr->family = len == 4 ? 4 : 6;
		memcpy(ret_addr->bytes, blob, (size_t)len);
	}
}

/* ---- open ---- */

static int migrate(struct db *db, const char *where, struct error *err)
{
	sqlite3_stmt *st = sqlite_bind(db, "PRAGMA user_version", "");
	int version = st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int(st, 0) : -1;
	char pragma[64];
	int r = 0;

	sqlite3_finalize(st);
	if (version < 0)
		return error_set(
			err, -EIO,
			"%s is not a database of warren-control: %s; move it away to start "
			"with an empty network",
			where, sqlite3_errmsg(db->handle));
	if (version > SCHEMA_VERSION)
		return error_set(
			err, -EPROTO,
			"%s was written by a newer warren-control (schema %d, this one knows "
			"%d): install that version again",
			where, version, SCHEMA_VERSION);
	for (; r == 0 && version < SCHEMA_VERSION; version++) {
		r = sqlite_begin(db);
		if (r == 0)
			r = sqlite_code(
				sqlite3_exec(db->handle, schema[version], NULL, NULL, NULL));
		sqlite3_snprintf(sizeof(pragma), pragma, "PRAGMA user_version = %d", version + 1);
		if (r == 0)
			r = sqlite_code(sqlite3_exec(db->handle, pragma, NULL, NULL, NULL));
		r = sqlite_end(db, r);
	}
	if (r < 0)
		return error_set(err, r, "%s: the schema cannot be made: %s", where,
				 sqlite3_errmsg(db->handle));
	return 0;
}

static void close_db(void *arg)
{
	struct db *db = arg;

	if (db->handle)
		sqlite3_close_v2(db->handle);
	free(db);
}

static int open_db(const char *where, const struct random_source *random, void **ret_db,
		   struct error *err)
{
	struct db *db = calloc(1, sizeof(*db));
	int rc, r;

	if (!db)
		return error_set(err, -ENOMEM, "out of memory");
	db->random = random;
	rc = sqlite3_open_v2(where, &db->handle,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX |
				     SQLITE_OPEN_NOFOLLOW,
			     NULL);
	if (rc != SQLITE_OK) {
		r = error_set(err, -EIO, "%s cannot be opened: %s", where,
			      db->handle ? sqlite3_errmsg(db->handle) : "out of memory");
		close_db(db);
		return r;
	}
	(void)sqlite3_busy_timeout(db->handle, 2000);
	rc = sqlite3_exec(db->handle,
			  "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			  "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;",
			  NULL, NULL, NULL);
	r = rc == SQLITE_OK
		    ? migrate(db, where, err)
		    : error_set(err, -EIO,
				"%s is not a usable database: %s; if another warren-control "
				"runs on it, stop that one first",
				where, sqlite3_errmsg(db->handle));
	if (r < 0) {
		close_db(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

static void *native(void *arg)
{
	return ((struct db *)arg)->handle;
}

/* ---- small operations ---- */

static int login_change(void *arg, struct store_login_change *a)
{
	struct db *db = arg;
	char *groups = NULL;
	int r = sqlite_begin(db);

	if (r < 0)
		return r;
	if (a->remove) {
		r = sqlite_run(db, "DELETE FROM logins WHERE peer=? AND identity=?", "tt",
			       a->login.peer, a->login.identity);
		if (r == 0 && sqlite3_changes(db->handle) == 0)
			r = -ENOENT;
		if (r == 0 && a->cutoff.identity[0])
			r = sqlite_cutoff(db, &a->cutoff, a->now_s);
	} else {
		groups = json_canonical(a->login.groups, NULL);
		r = !groups ? -ENOMEM
			    : sqlite_run(db,
					 "INSERT INTO logins (peer, identity, groups, expires, "
					 "issued) VALUES (?,?,?,?,?) ON CONFLICT (peer, identity) "
					 "DO UPDATE SET groups=excluded.groups, "
					 "expires=excluded.expires, issued=max(issued, "
					 "excluded.issued)",
					 "tttii", a->login.peer, a->login.identity, groups,
					 a->login.expires_s, a->login.issued_s);
	}
	if (r == 0)
		r = sqlite_revise(db, a->remove ? "logout" : "login", a->login.peer, a->now_s,
				  &a->revision);
	free(groups);
	return sqlite_end(db, r);
}

static int policy_set(void *arg, struct store_policy *a)
{
	struct db *db = arg;
	int r = sqlite_begin(db);

	if (r < 0)
		return r;
	r = sqlite_revise(db, "policy", a->actor, a->now_s, &a->revision);
	if (r == 0)
		r = sqlite_run(db, "INSERT INTO policies VALUES (?,?,?,?)", "iitt", a->revision,
			       a->now_s, a->actor, a->text);
	return sqlite_end(db, r);
}

static int key_change(void *arg, struct store_key_change *a)
{
	struct db *db = arg;
	const struct store_setup_key *k = &a->key;
	int r = sqlite_begin(db);

	if (r < 0)
		return r;
	if (a->revoke) {
		r = sqlite_run(db, "UPDATE setup_keys SET revoked=1 WHERE name=?", "t", k->name);
		if (r == 0 && sqlite3_changes(db->handle) == 0)
			r = -ENOENT;
	} else {
		r = sqlite_run(db, "INSERT INTO setup_keys VALUES (?,?,?,?,?,?,?,?)", "tkiiiiii",
			       k->name, k->public_key, k->uses_left, k->used, k->expires_s,
			       k->created_s, (int64_t)k->revoked, (int64_t)k->ephemeral);
	}
	if (r == 0)
		r = sqlite_revise(db, a->revoke ? "setup-key-revoked" : "setup-key", k->name,
				  a->now_s, &a->revision);
	return sqlite_end(db, r);
}

static int nonce_put(void *arg, struct store_nonce_put *a)
{
	struct db *db = arg;
	int r = sqlite_begin(db);

	if (r < 0)
		return r;
	r = sqlite_run(db, "INSERT INTO nonces VALUES (?,?)", "ti", a->nonce.nonce,
		       a->nonce.expires_s);
	if (r == 0)
		r = sqlite_run(db, "DELETE FROM nonces WHERE expires < ?", "i", a->now_s);
	return sqlite_end(db, r);
}

static int event_put(void *arg, struct store_event *a)
{
	struct db *db = arg;
	int r = sqlite_run(db,
			   "INSERT INTO events (at,kind,actor,subject,detail) VALUES (?,?,?,?,?)",
			   "itttt", a->now_s, a->kind, a->actor, a->subject, a->detail);

	int64_t id = sqlite3_last_insert_rowid(db->handle);
	if (r == 0 && id % 1000 == 0)
		r = sqlite_run(db, "DELETE FROM events WHERE id < ?", "i", id - KEEP_EVENTS);
	return r;
}

static json_t *event_row(sqlite3_stmt *st)
{
	const char *detail = (const char *)sqlite3_column_text(st, 5);
	json_t *parsed = detail ? json_load_strict(detail, strlen(detail), 1u << 20, NULL) : NULL;
	json_t *row =
		json_pack("{s:I,s:I,s:s,s:s,s:s}", "id", (json_int_t)sqlite3_column_int64(st, 0),
			  "time", (json_int_t)sqlite3_column_int64(st, 1), "kind",
			  (const char *)sqlite3_column_text(st, 2), "actor",
			  (const char *)sqlite3_column_text(st, 3), "subject",
			  (const char *)sqlite3_column_text(st, 4));

	if (row && parsed)
		(void)json_object_set(row, "detail", parsed);
	json_decref(parsed);
	return row;
}

static int events(void *arg, struct store_events *a)
{
	struct db *db = arg;
	json_t *rows = json_array();
	sqlite3_stmt *st = sqlite_bind(db,
				       "SELECT id,at,kind,actor,subject,detail FROM events "
				       "WHERE ?1 = 0 OR id < ?1 ORDER BY id DESC LIMIT ?2",
				       "ii", a->before, a->limit);
	int rc = SQLITE_ERROR;

	while (rows && st && (rc = sqlite3_step(st)) == SQLITE_ROW)
		if (json_array_append_new(rows, event_row(st)) < 0)
			break;
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE) {
		json_decref(rows);
		return -EIO;
	}
	a->events = rows;
	return 0;
}

const struct store_ops store_sqlite_ops = {
	.open = open_db,
	.close = close_db,
	.native = native,
	.load = sqlite_load,
	.enroll = sqlite_enroll,
	.peer_change = sqlite_peer_change,
	.peer_remove = sqlite_peer_remove,
	.login_change = login_change,
	.policy_set = policy_set,
	.key_change = key_change,
	.nonce_put = nonce_put,
	.event_put = event_put,
	.events = events,
};
