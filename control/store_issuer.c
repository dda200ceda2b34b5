/* SPDX-License-Identifier: Apache-2.0
 *
 * SQL of the embedded provider. Changes run in a savepoint, which is right inside and outside of a
 * transaction of the store's.
 */
#include "control/store_issuer.h"

#include <errno.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "platform/secret.h"

static int translate(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	default:
		return -EIO;
	}
}

static int run(sqlite3 *db, const char *sql)
{
	return translate(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int store_issuer_init(void *db, void *arg)
{
	(void)arg;
	return run(db, "CREATE TABLE IF NOT EXISTS issuer_users("
		       " email TEXT PRIMARY KEY NOT NULL,"
		       " subject TEXT NOT NULL UNIQUE,"
		       " name TEXT NOT NULL,"
		       " groups TEXT NOT NULL,"
		       " password TEXT NOT NULL,"
		       " disabled INTEGER NOT NULL DEFAULT 0,"
		       " created_s INTEGER NOT NULL) WITHOUT ROWID;"
		       "CREATE TABLE IF NOT EXISTS issuer_refresh("
		       " family TEXT PRIMARY KEY NOT NULL,"
		       " email TEXT NOT NULL,"
		       " client TEXT NOT NULL,"
		       " scopes INTEGER NOT NULL,"
		       " auth_time_s INTEGER NOT NULL,"
		       " current BLOB NOT NULL,"
		       " expires_s INTEGER NOT NULL,"
		       " revoked INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
		       "CREATE INDEX IF NOT EXISTS issuer_refresh_email ON issuer_refresh(email);");
}

/* Prepares sql and binds values: t text, i int64, b 32 bytes, in order of types. */
static int prepare(sqlite3 *db, sqlite3_stmt **ret_stmt, const char *sql, const char *types, ...)
{
	va_list ap;
	int r = sqlite3_prepare_v2(db, sql, -1, ret_stmt, NULL);
	va_start(ap, types);
	for (int i = 1; r == SQLITE_OK && *types != 0; types++, i++) {
		if (*types == 't')
			r = sqlite3_bind_text(*ret_stmt, i, va_arg(ap, const char *), -1,
					      SQLITE_TRANSIENT);
		else if (*types == 'i')
			r = sqlite3_bind_int64(*ret_stmt, i, va_arg(ap, int64_t));
		else
			r = sqlite3_bind_blob(*ret_stmt, i, va_arg(ap, const uint8_t *), 32,
					      SQLITE_TRANSIENT);
	}
	va_end(ap);
	return translate(r);
}

/* Steps a statement that returns no row, and finalizes it. */
static int finish(sqlite3_stmt *stmt, int prepared)
{
	int r = prepared;
	if (r == 0)
		r = translate(sqlite3_step(stmt));
	sqlite3_finalize(stmt);
	return r;
}

static void column_text(sqlite3_stmt *stmt, int column, char *out, size_t cap)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);
	snprintf(out, cap, "%s", text != NULL ? (const char *)text : "");
}

int store_issuer_get(void *db, void *arg)
{
	struct store_issuer_user *u = arg;
	sqlite3_stmt *stmt = NULL;
	int r = prepare(db, &stmt,
			"SELECT subject, name, groups, password, disabled, created_s"
			" FROM issuer_users WHERE email = ?",
			"t", u->email);
	if (r == 0) {
		int step = sqlite3_step(stmt);
		if (step == SQLITE_ROW) {
			column_text(stmt, 0, u->subject, sizeof(u->subject));
			column_text(stmt, 1, u->name, sizeof(u->name));
			column_text(stmt, 2, u->groups, sizeof(u->groups));
			column_text(stmt, 3, u->password, sizeof(u->password));
			u->disabled = sqlite3_column_int(stmt, 4) != 0;
			u->created_s = sqlite3_column_int64(stmt, 5);
		} else {
			r = step == SQLITE_DONE ? -ENOENT : translate(step);
		}
	}
	sqlite3_finalize(stmt);
	return r;
}

static int end_refresh(sqlite3 *db, const char *email)
{
	sqlite3_stmt *stmt = NULL;
	int r = prepare(db, &stmt, "DELETE FROM issuer_refresh WHERE email = ?", "t", email);
	return finish(stmt, r);
}

/* fn in a savepoint of its own. */
static int within(sqlite3 *db, int (*fn)(sqlite3 *db, void *arg), void *arg)
{
	int r = run(db, "SAVEPOINT issuer");
	if (r != 0)
		return r;
	r = fn(db, arg);
	int end =
		r == 0 ? run(db, "RELEASE issuer") : run(db, "ROLLBACK TO issuer; RELEASE issuer");
	return r != 0 ? r : end;
}

static int user_insert(sqlite3 *db, const struct store_issuer_user *u)
{
	sqlite3_stmt *stmt = NULL;
	int r = prepare(db, &stmt,
			"INSERT INTO issuer_users(email, subject, name, groups, password, disabled,"
			" created_s) SELECT ?, ?, ?, ?, ?, ?, ?"
			" WHERE (SELECT count(*) FROM issuer_users) < ?",
			"tttttiii", u->email, u->subject, u->name, u->groups, u->password,
			(int64_t)u->disabled, u->created_s, (int64_t)STORE_ISSUER_USERS);
	r = finish(stmt, r);
	if (r == 0 && sqlite3_changes(db) != 1)
		r = -ENOSPC;
	return r;
}

static int put_in(sqlite3 *db, void *arg)
{
	struct store_issuer_put *put = arg;
	struct store_issuer_user now = {0};
	sqlite3_stmt *stmt = NULL;

	memcpy(now.email, put->user.email, sizeof(now.email));
	int r = store_issuer_get(db, &now);
	if (r == -ENOENT) {
		if (!put->set_password)
			return -EINVAL;
		if (!put->set_groups)
			snprintf(put->user.groups, sizeof(put->user.groups), "[]");
		put->created = true;
		return user_insert(db, &put->user);
	}
	if (r != 0)
		return r;
	r = prepare(db, &stmt,
		    "UPDATE issuer_users SET name = ?, groups = ?, password = ?, disabled = ?"
		    " WHERE email = ?",
		    "tttit", put->set_name ? put->user.name : now.name,
		    put->set_groups ? put->user.groups : now.groups,
		    put->set_password ? put->user.password : now.password,
		    (int64_t)(put->set_disabled ? put->user.disabled : now.disabled), now.email);
	r = finish(stmt, r);
	if (r == 0 && (put->set_password || (put->set_disabled && put->user.disabled)))
		r = end_refresh(db, now.email);
	if (r == 0 && put->set_disabled) {
		r = store_cutoff_within(db, &put->cut);
		if (r == -ENOENT && put->cut.unblock) /* it was not disabled */
			r = 0;
	}
	secret_wipe(&now, sizeof(now));
	return r;
}

int store_issuer_put(void *db, void *arg)
{
	return within(db, put_in, arg);
}

static int delete_in(sqlite3 *db, void *arg)
{
	struct store_issuer_delete *a = arg;
	const struct store_issuer_user *u = &a->user;
	sqlite3_stmt *stmt = NULL;
	int r = prepare(db, &stmt, "DELETE FROM issuer_users WHERE email = ?", "t", u->email);
	r = finish(stmt, r);
	if (r == 0 && sqlite3_changes(db) == 0)
		r = -ENOENT;
	if (r == 0)
		r = end_refresh(db, u->email);
	/* Somebody of that address who is added later is not disabled. */
	if (r == 0) {
		struct store_cutoff_change enable = a->cut;

		enable.unblock = true;
		snprintf(enable.cutoff.reason, sizeof(enable.cutoff.reason), "disabled");
		r = store_cutoff_within(db, &enable);
		r = r == -ENOENT ? 0 : r;
	}
	return r == 0 ? store_cutoff_within(db, &a->cut) : r;
}

int store_issuer_delete(void *db, void *arg)
{
	return within(db, delete_in, arg);
}

int store_issuer_list(void *db, void *arg)
{
	struct store_issuer_list *list = arg;
	sqlite3_stmt *stmt = NULL;
	json_t *users = json_array();
	int step, r = prepare(db, &stmt,
			      "SELECT email, name, groups, disabled, created_s FROM issuer_users"
			      " ORDER BY email",
			      "");
	if (users == NULL && r == 0)
		r = -ENOMEM;
	while (r == 0 && (step = sqlite3_step(stmt)) != SQLITE_DONE) {
		if (step != SQLITE_ROW) {
			r = translate(step);
			break;
		}
		json_t *groups = json_loads((const char *)sqlite3_column_text(stmt, 2), 0, NULL);
		json_t *user = json_pack("{s:s, s:s, s:o, s:b, s:I}", "email",
					 sqlite3_column_text(stmt, 0), "name",
					 sqlite3_column_text(stmt, 1), "groups",
					 groups != NULL ? groups : json_array(), "disabled",
					 sqlite3_column_int(stmt, 3), "created",
					 (json_int_t)sqlite3_column_int64(stmt, 4));
		if (user == NULL || json_array_append_new(users, user) != 0)
			r = -ENOMEM;
	}
	sqlite3_finalize(stmt);
	if (r == 0)
		list->users = users;
	else
		json_decref(users);
	return r;
}

/* ---- tokens */

static int family_start(sqlite3 *db, const struct store_issuer_tokens *t)
{
	sqlite3_stmt *stmt = NULL;
	int r = prepare(
		db, &stmt,
		"DELETE FROM issuer_refresh WHERE expires_s <= ? OR (email = ? AND family IN"
		" (SELECT family FROM issuer_refresh WHERE email = ?"
		"  ORDER BY expires_s DESC LIMIT -1 OFFSET ?))",
		"itti", t->now_s, t->user.email, t->user.email,
		(int64_t)(STORE_ISSUER_FAMILIES - 1));
	r = finish(stmt, r);
	if (r != 0)
		return r;
	r = prepare(
		db, &stmt,
		"INSERT INTO issuer_refresh(family, email, client, scopes, auth_time_s, current,"
		" expires_s) VALUES(?, ?, ?, ?, ?, ?, ?)",
		"tttiibi", t->family, t->user.email, t->client, (int64_t)t->scopes, t->auth_time_s,
		t->fresh, t->expires_s);
	return finish(stmt, r);
}

static int family_update(sqlite3 *db, const struct store_issuer_tokens *t, bool revoke)
{
	sqlite3_stmt *stmt = NULL;
	int r;
	if (revoke)
		r = prepare(db, &stmt, "UPDATE issuer_refresh SET revoked = 1 WHERE family = ?",
			    "t", t->family);
	else
		r = prepare(db, &stmt, "UPDATE issuer_refresh SET current = ? WHERE family = ?",
			    "bt", t->fresh, t->family);
	return finish(stmt, r);
}

static int family_read(sqlite3 *db, struct store_issuer_tokens *t, uint8_t ret_current[32])
{
	sqlite3_stmt *stmt = NULL;
	char client[sizeof(t->client)];
	int r = prepare(db, &stmt,
			"SELECT email, client, scopes, auth_time_s, current, expires_s, revoked"
			" FROM issuer_refresh WHERE family = ?",
			"t", t->family);
	if (r == 0 && sqlite3_step(stmt) != SQLITE_ROW)
		r = -ENOENT;
	if (r == 0) {
		column_text(stmt, 0, t->user.email, sizeof(t->user.email));
		column_text(stmt, 1, client, sizeof(client));
		t->scopes = (unsigned)sqlite3_column_int64(stmt, 2);
		t->auth_time_s = sqlite3_column_int64(stmt, 3);
		if (sqlite3_column_bytes(stmt, 4) == 32)
			memcpy(ret_current, sqlite3_column_blob(stmt, 4), 32);
		else
			r = -EIO;
		if (strcmp(client, t->client) != 0 || sqlite3_column_int(stmt, 6) != 0 ||
		    sqlite3_column_int64(stmt, 5) <= t->now_s)
			r = -EACCES;
	}
	sqlite3_finalize(stmt);
	return r;
}

/* A used token revokes its family, and that must stay: so -EEXIST is not returned from in here. */
static int tokens_in(sqlite3 *db, void *arg)
{
	struct store_issuer_tokens *t = arg;
	uint8_t current[32];
	int r;

	if (t->grant == STORE_ISSUER_ROTATE) {
		r = family_read(db, t, current);
		if (r != 0)
			return r;
		if (sodium_memcmp(current, t->presented, sizeof(current)) != 0) {
			t->user.email[0] = 0;
			return family_update(db, t, true);
		}
	}
	r = store_issuer_get(db, &t->user);
	if (r != 0)
		return r;
	if (t->user.disabled)
		return -EACCES;
	if (t->grant == STORE_ISSUER_ROTATE)
		return family_update(db, t, false);
	return t->offline ? family_start(db, t) : 0;
}

int store_issuer_tokens(void *db, void *arg)
{
	struct store_issuer_tokens *t = arg;
	int r = within(db, tokens_in, t);
	secret_wipe(t->user.password, sizeof(t->user.password));
	return r == 0 && t->user.email[0] == 0 ? -EEXIST : r;
}

int store_issuer_revoke(void *db, void *arg)
{
	const struct store_issuer_revoke *revoke = arg;
	sqlite3_stmt *stmt = NULL;
	int r = prepare(db, &stmt, "DELETE FROM issuer_refresh WHERE family = ?", "t",
			revoke->family);
	r = finish(stmt, r);
	if (r == 0 && sqlite3_changes(db) == 0)
		r = -ENOENT;
	return r;
}
