/* SPDX-License-Identifier: Apache-2.0
 *
 * Peers in SQLite: enrolment with a setup key or a login, change, removal; names and overlay
 * addresses are settled inside the transaction.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/store_sqlite_impl.h"

void sqlite_peer(sqlite3_stmt *st, struct store_peer *p)
{
	*p = (struct store_peer){0};
	sqlite_text(st, 0, p->id, sizeof(p->id));
	sqlite_text(st, 1, p->name, sizeof(p->name));
	p->name_fixed = sqlite3_column_int(st, 2) != 0;
	sqlite_text(st, 3, p->hostname, sizeof(p->hostname));
	sqlite_text(st, 4, p->os, sizeof(p->os));
	sqlite_text(st, 5, p->version, sizeof(p->version));
	sqlite_text(st, 6, p->setup_key, sizeof(p->setup_key));
	sqlite_text(st, 7, p->enrolled_by, sizeof(p->enrolled_by));
	sqlite_key32(st, 8, p->node_key);
	sqlite_key32(st, 9, p->path_key);
	sqlite_key32(st, 10, p->identity_key);
	sqlite_addr(st, 11, &p->v4);
	sqlite_addr(st, 12, &p->v6);
	p->ssh_enabled = sqlite3_column_int(st, 13) != 0;
	p->ssh_advertised = sqlite3_column_int(st, 14) != 0;
	p->ephemeral = sqlite3_column_int(st, 15) != 0;
	p->ssh_port = (uint16_t)sqlite3_column_int(st, 16);
	sqlite_text(st, 17, p->host_keys, sizeof(p->host_keys));
	sqlite_text(st, 18, p->ssh_features, sizeof(p->ssh_features));
	p->created_s = sqlite3_column_int64(st, 19);
}

/* Does the statement find a row? Finalizes it. */
static int finds(sqlite3_stmt *st)
{
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR;

	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -EIO;
}

struct address_query {
	struct db *db;
	int64_t now_s;
	bool failed;
};

static bool address_taken(void *ctx, const struct ip_addr *addr)
{
	struct address_query *q = ctx;
	int r = finds(sqlite_bind(q->db,
				  "SELECT 1 FROM peers WHERE v4=?1 OR v6=?1 UNION ALL "
				  "SELECT 1 FROM quarantine WHERE addr=?1 AND until > ?2",
				  "ai", addr, q->now_s));

	q->failed |= r < 0;
	return r != 0;
}

static int give_addresses(struct db *db, struct store_peer *p, int64_t now_s)
{
	struct address_query q = {db, now_s, false};
	struct ip_prefix prefix4 = {0}, prefix6 = {0};
	sqlite3_stmt *st = sqlite_bind(db, "SELECT prefix4, prefix6 FROM network", "");
	char text[IP_PREFIX_STRLEN];
	int r = -EIO;

	if (st && sqlite3_step(st) == SQLITE_ROW) {
		sqlite_text(st, 0, text, sizeof(text));
		r = ip_prefix_parse(text, &prefix4);
		sqlite_text(st, 1, text, sizeof(text));
		if (r == 0)
			r = ip_prefix_parse(text, &prefix6);
	}
	sqlite3_finalize(st);
	if (r == 0)
		r = ident_address(&prefix4, db->random, address_taken, &q, &p->v4);
	if (r == 0)
		r = ident_address(&prefix6, db->random, address_taken, &q, &p->v6);
	return q.failed ? -EIO : r;
}

/* "name", or "name-2", "name-3"… */
static int give_name(struct db *db, struct store_peer *p)
{
	char wished[56], name[64];

	snprintf(wished, sizeof(wished), "%.48s", p->name);
	snprintf(name, sizeof(name), "%s", wished);
	for (int i = 2; i < 10000; i++) {
		int r = finds(sqlite_bind(db, "SELECT 1 FROM peers WHERE name=? AND id<>?", "tt",
					  name, p->id));
		if (r < 0)
			return r;
		if (r == 0) {
			memcpy(p->name, name, sizeof(p->name));
			return 0;
		}
		snprintf(name, sizeof(name), "%s-%d", wished, i);
	}
	return -EEXIST;
}

static int use_key(struct db *db, struct store_enroll *a)
{
	sqlite3_stmt *st = sqlite_bind(db,
				       "SELECT uses_left, used, expires, revoked, ephemeral "
				       "FROM setup_keys WHERE name=?",
				       "t", a->key_name);
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR;
	int r = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -ENOENT : -EIO;

	if (r == 0) {
		int64_t expires = sqlite3_column_int64(st, 2);

		a->key_uses_left = sqlite3_column_int64(st, 0);
		a->key_used = sqlite3_column_int64(st, 1);
		a->peer.ephemeral = sqlite3_column_int(st, 4) != 0;
		if (sqlite3_column_int(st, 3))
			r = -EKEYREVOKED;
		else if (expires && expires <= a->now_s)
			r = -EKEYEXPIRED;
		else if (a->key_uses_left == 0 && !a->existing)
			r = -EDQUOT;
	}
	sqlite3_finalize(st);
	if (r < 0 || a->existing)
		return r;
	a->key_uses_left -= a->key_uses_left > 0;
	a->key_used++;
	return sqlite_run(db, "UPDATE setup_keys SET uses_left=?, used=? WHERE name=?", "iit",
			  a->key_uses_left, a->key_used, a->key_name);
}

static int insert_peer(struct db *db, const struct store_peer *p)
{
	return sqlite_run(db,
			  "INSERT INTO peers (" SQLITE_PEER_COLUMNS
			  ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
			  "ttittttt"
			  "kkk"
			  "aa"
			  "iiii"
			  "tti",
			  p->id, p->name, (int64_t)p->name_fixed, p->hostname, p->os, p->version,
			  p->setup_key, p->enrolled_by, p->node_key, p->path_key, p->identity_key,
			  &p->v4, &p->v6, (int64_t)p->ssh_enabled, (int64_t)p->ssh_advertised,
			  (int64_t)p->ephemeral, (int64_t)p->ssh_port, p->host_keys,
			  p->ssh_features, p->created_s);
}

/* The peer with this identity key, if there is one; its node and path keys become the new ones. */
static int find_existing(struct db *db, struct store_enroll *a)
{
	sqlite3_stmt *st =
		sqlite_bind(db, "SELECT " SQLITE_PEER_COLUMNS " FROM peers WHERE identity_key=?",
			    "k", a->peer.identity_key);
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR;
	struct store_peer wished = a->peer;

	a->existing = rc == SQLITE_ROW;
	if (a->existing) {
		sqlite_peer(st, &a->peer);
		memcpy(a->peer.node_key, wished.node_key, 32);
		memcpy(a->peer.path_key, wished.path_key, 32);
	}
	sqlite3_finalize(st);
	if (!a->existing)
		return rc == SQLITE_DONE ? 0 : -EIO;
	return sqlite_run(db, "UPDATE peers SET node_key=?, path_key=? WHERE id=?", "kkt",
			  a->peer.node_key, a->peer.path_key, a->peer.id);
}

int sqlite_enroll(void *arg, struct store_enroll *a)
{
	struct db *db = arg;
	int r = sqlite_begin(db);

	if (r < 0)
		return r;
	r = find_existing(db, a);
	bool ephemeral = a->peer.ephemeral;
	if (r == 0 && a->key_name[0])
		r = use_key(db, a);
	if (a->existing)
		a->peer.ephemeral = ephemeral;
	if (r == 0 && !a->existing) {
		r = give_name(db, &a->peer);
		if (r == 0)
			r = give_addresses(db, &a->peer, a->now_s);
		if (r == 0)
			r = insert_peer(db, &a->peer);
	}
	if (r == 0)
		r = sqlite_revise(db, "enroll", a->peer.id, a->now_s, &a->revision);
	return sqlite_end(db, r);
}

static int read_peer(struct db *db, const char *id, struct store_peer *ret_peer)
{
	sqlite3_stmt *st =
		sqlite_bind(db, "SELECT " SQLITE_PEER_COLUMNS " FROM peers WHERE id=?", "t", id);
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		sqlite_peer(st, ret_peer);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -ENOENT : -EIO;
}

/* Sets the fields of the change in the row as it is. */
static int merge_peer(struct db *db, struct store_peer *p, const struct store_peer *set,
		      unsigned fields)
{
	if (fields & STORE_PEER_SYSTEM) {
		memcpy(p->os, set->os, sizeof(p->os));
		memcpy(p->version, set->version, sizeof(p->version));
	}
	if (fields & STORE_PEER_SSH) {
		p->ssh_advertised = set->ssh_advertised;
		p->ssh_port = set->ssh_port;
		memcpy(p->ssh_features, set->ssh_features, sizeof(p->ssh_features));
	}
	if (fields & STORE_PEER_HOST_KEYS)
		memcpy(p->host_keys, set->host_keys, sizeof(p->host_keys));
	if (fields & STORE_PEER_SSH_ENABLED)
		p->ssh_enabled = set->ssh_enabled;
	if (fields & STORE_PEER_NAME) {
		memcpy(p->name, set->name, sizeof(p->name));
		p->name_fixed = true;
	}
	if (fields & STORE_PEER_HOSTNAME) {
		memcpy(p->hostname, set->hostname, sizeof(p->hostname));
		if (!p->name_fixed) {
			ident_label(p->hostname, p->name, sizeof(p->name));
			return give_name(db, p);
		}
	}
	return 0;
}

int sqlite_peer_change(void *arg, struct store_peer_change *a)
{
	struct db *db = arg;
	struct store_peer p;
	int r = sqlite_begin(db);

	if (r < 0)
		return r;
	r = read_peer(db, a->peer.id, &p);
	struct store_peer before = p;
	if (r == 0)
		r = merge_peer(db, &p, &a->peer, a->fields);
	if (r == 0 && memcmp(&before, &p, sizeof(p)) == 0) { /* nothing new: no revision */
		a->peer = p;
		return sqlite_end(db, 0);
	}
	if (r == 0)
		r = sqlite_run(
			db,
			"UPDATE peers SET name=?, name_fixed=?, hostname=?, os=?, version=?, "
			"ssh_enabled=?, ssh_advertised=?, ssh_port=?, host_keys=?, "
			"ssh_features=? WHERE id=?",
			"tittt"
			"iii"
			"ttt",
			p.name, (int64_t)p.name_fixed, p.hostname, p.os, p.version,
			(int64_t)p.ssh_enabled, (int64_t)p.ssh_advertised, (int64_t)p.ssh_port,
			p.host_keys, p.ssh_features, p.id);
	if (r == 0)
		r = sqlite_revise(db, a->kind, p.id, a->now_s, &a->revision);
	r = sqlite_end(db, r);
	if (r == 0)
		a->peer = p;
	return r;
}

int sqlite_peer_remove(void *arg, struct store_peer_remove *a)
{
	struct db *db = arg;
	int r = sqlite_begin(db);

	if (r < 0)
		return r;
	r = sqlite_run(db, "DELETE FROM quarantine WHERE until <= ?", "i", a->now_s);
	if (r == 0)
		r = sqlite_run(
			db,
			"INSERT OR REPLACE INTO quarantine SELECT v4, ?2 FROM peers WHERE id=?1 "
			"UNION ALL SELECT v6, ?2 FROM peers WHERE id=?1",
			"ti", a->id, a->quarantine_until_s);
	if (r == 0)
		r = sqlite_run(db, "DELETE FROM peers WHERE id=?", "t", a->id);
	if (r == 0 && sqlite3_changes(db->handle) == 0)
		r = -ENOENT;
	if (r == 0)
		r = sqlite_revise(db, "remove", a->id, a->now_s, &a->revision);
	return sqlite_end(db, r);
}
