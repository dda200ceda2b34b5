/* SPDX-License-Identifier: Apache-2.0
 *
 * SQL of cutoffs and certificates. A cutoff only ever grows: a later one for the same identity and
 * machine moves its times on, and only unblocking takes the block off.
 */
#include "control/store_cutoff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control/store_sqlite_impl.h"

int sqlite_cutoff(struct db *db, const struct store_cutoff *c, int64_t now_s)
{
	int r = sqlite_run(db, "DELETE FROM cutoffs WHERE blocked = 0 AND until < ?", "i", now_s);

	if (r < 0)
		return r;
	return sqlite_run(db,
			  "INSERT INTO cutoffs (identity, peer, before, token_before, until, "
			  "blocked, reason) VALUES (?,?,?,?,?,?,?) ON CONFLICT (identity, peer) DO "
			  "UPDATE SET before = max(before, excluded.before), "
			  "token_before = max(token_before, excluded.token_before), "
			  "until = max(until, excluded.until), "
			  "reason = CASE WHEN blocked = 0 OR excluded.reason = 'blocked' THEN "
			  "excluded.reason ELSE reason END, "
			  "blocked = max(blocked, excluded.blocked)",
			  "ttiiiit", c->identity, c->peer, c->before_s, c->token_before_s,
			  c->until_s, (int64_t)c->blocked, c->reason);
}

static int unblock(struct db *db, const struct store_cutoff *c)
{
	int r = sqlite_run(db,
			   "UPDATE cutoffs SET blocked = 0 WHERE identity = ? AND peer = '' AND "
			   "blocked = 1 AND reason = ?",
			   "tt", c->identity, c->reason);

	return r == 0 && sqlite3_changes(db->handle) == 0 ? -ENOENT : r;
}

int store_cutoff_within(void *handle, struct store_cutoff_change *a)
{
	struct db db = {.handle = handle};
	int r = a->unblock ? unblock(&db, &a->cutoff) : sqlite_cutoff(&db, &a->cutoff, a->now_s);

	return r < 0 ? r
		     : sqlite_revise(&db, "cutoff", a->cutoff.identity, a->now_s, &a->revision);
}

int store_cutoff_put(void *handle, void *arg)
{
	struct db db = {.handle = handle};
	int r = sqlite_begin(&db);

	return r < 0 ? r : sqlite_end(&db, store_cutoff_within(handle, arg));
}

int store_cert_put(void *handle, void *arg)
{
	struct db db = {.handle = handle};
	const struct store_cert *c = arg;
	int r = sqlite_run(&db,
			   "INSERT INTO certs (serial, identity, caller, target, login, issued, "
			   "expires) VALUES (?,?,?,?,?,?,?)",
			   "ittttii", (int64_t)c->serial, c->identity, c->caller, c->target,
			   c->login, c->issued_s, c->expires_s);

	/* Serials are random: about every hundredth sweeps. */
	if (r == 0 && c->serial % 100 == 0)
		r = sqlite_run(&db, "DELETE FROM certs WHERE expires < ?", "i",
			       c->issued_s - STORE_CERT_KEEP_S);
	return r;
}

static void cert_row(sqlite3_stmt *st, struct store_cert *c)
{
	c->serial = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite_text(st, 1, c->identity, sizeof(c->identity));
	sqlite_text(st, 2, c->caller, sizeof(c->caller));
	sqlite_text(st, 3, c->target, sizeof(c->target));
	sqlite_text(st, 4, c->login, sizeof(c->login));
	c->issued_s = sqlite3_column_int64(st, 5);
	c->expires_s = sqlite3_column_int64(st, 6);
	c->revoked_s = sqlite3_column_int64(st, 7);
}

static int revoke_row(struct db *db, struct store_cert_revoke *a)
{
	sqlite3_stmt *st = sqlite_bind(
		db, "SELECT serial, identity, caller, target, login, issued, expires, revoked "
		    "FROM certs WHERE serial = ?",
		"i", (int64_t)a->cert.serial);
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		cert_row(st, &a->cert);
	sqlite3_finalize(st);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? -ENOENT : -EIO;
	if (a->cert.revoked_s != 0)
		return -EALREADY;
	a->cert.revoked_s = a->now_s;
	return sqlite_run(db, "UPDATE certs SET revoked = ? WHERE serial = ?", "ii", a->now_s,
			  (int64_t)a->cert.serial);
}

int store_cert_revoke(void *handle, void *arg)
{
	struct db db = {.handle = handle};
	struct store_cert_revoke *a = arg;
	int r = sqlite_begin(&db);

	if (r < 0)
		return r;
	r = revoke_row(&db, a);
	if (r == 0)
		r = sqlite_revise(&db, "cert-revoked", a->cert.target, a->now_s, &a->revision);
	return sqlite_end(&db, r);
}

static const char *cert_state(const struct store_cert *c, int64_t now_s)
{
	return c->revoked_s ? "revoked" : c->expires_s <= now_s ? "expired" : "valid";
}

int store_certs(void *handle, void *arg)
{
	struct db db = {.handle = handle};
	struct store_certs *a = arg;
	json_t *rows = json_array();
	sqlite3_stmt *st = sqlite_bind(
		&db, "SELECT serial, identity, caller, target, login, issued, expires, revoked "
		     "FROM certs WHERE ?1 = '' OR identity = ?1 ORDER BY issued DESC, serial "
		     "LIMIT ?2",
		"ti", a->identity, a->limit);
	int rc = SQLITE_ERROR;

	while (rows && st && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_cert c = {0};
		char serial[24];

		cert_row(st, &c);
		snprintf(serial, sizeof(serial), "%" PRIu64, c.serial);
		/* Text: readers of JSON round large numbers. */
		if (json_array_append_new(
			    rows, json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:s}", "serial",
					    serial, "identity", c.identity, "caller", c.caller,
					    "target", c.target, "login", c.login, "issued",
					    (json_int_t)c.issued_s, "expires",
					    (json_int_t)c.expires_s, "revoked",
					    (json_int_t)c.revoked_s, "state",
					    cert_state(&c, a->now_s))) < 0)
			break;
	}
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE) {
		json_decref(rows);
		return -EIO;
	}
	a->certs = rows;
	return 0;
}

static void row_cutoff(sqlite3_stmt *st, void *out)
{
	struct store_cutoff *c = out;

	sqlite_text(st, 0, c->identity, sizeof(c->identity));
	sqlite_text(st, 1, c->peer, sizeof(c->peer));
	c->before_s = sqlite3_column_int64(st, 2);
	c->token_before_s = sqlite3_column_int64(st, 3);
	c->until_s = sqlite3_column_int64(st, 4);
	c->blocked = sqlite3_column_int(st, 5) != 0;
	sqlite_text(st, 6, c->reason, sizeof(c->reason));
}

static void row_cert(sqlite3_stmt *st, void *out)
{
	cert_row(st, out);
}

int sqlite_load_cutoffs(struct db *db, struct store_load *a)
{
	int r = sqlite_load_rows(
		sqlite_bind(db,
			    "SELECT identity, peer, before, token_before, until, blocked, reason "
			    "FROM cutoffs WHERE blocked = 1 OR until >= ? ORDER BY before, "
			    "identity, peer",
			    "i", a->now_s),
		sizeof(*a->cutoffs), row_cutoff, &a->cutoffs, &a->cutoff_count);

	if (r < 0)
		return r;
	return sqlite_load_rows(
		sqlite_bind(db,
			    "SELECT serial, identity, caller, target, login, issued, expires, "
			    "revoked FROM certs WHERE revoked > ? ORDER BY serial",
			    "i", a->now_s - STORE_CERT_KEEP_S),
		sizeof(*a->revoked), row_cert, &a->revoked, &a->revoked_count);
}
