/* SPDX-License-Identifier: Apache-2.0
 *
 * The SQLite store's operations, called as its thread calls them: names, addresses and their
 * quarantine, uses of keys, revisions, what survives a restart; labels of host names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/store.h"
#include "control/store_cutoff.h"

#define NOW 1000000

static const struct store_ops *const ops = &store_sqlite_ops;

static void *open_db(const char *where, const char *prefix, struct store_load *load)
{
	void *db;
	struct error err = {0};

	assert_int_equal(0, ops->open(where, &random_system, &db, &err));
	*load = (struct store_load){.now_s = NOW};
	assert_int_equal(0, ip_prefix_parse(prefix, &load->prefix4));
	assert_int_equal(0, ops->load(db, load));
	return db;
}

static int add_key(void *db, const char *name, int64_t uses, int64_t expires_s)
{
	struct store_key_change a = {.key = {.uses_left = uses, .expires_s = expires_s},
				     .now_s = NOW};

	snprintf(a.key.name, sizeof(a.key.name), "%s", name);
	random_bytes(&random_system, a.key.public_key, 32);
	return ops->key_change(db, &a);
}

static struct store_enroll wish(const char *key, const char *name, int64_t now_s)
{
	struct store_enroll a = {.now_s = now_s};

	snprintf(a.key_name, sizeof(a.key_name), "%s", key);
	snprintf(a.peer.name, sizeof(a.peer.name), "%s", name);
	ident_make('p', &random_system, a.peer.id);
	random_bytes(&random_system, a.peer.node_key, 32);
	random_bytes(&random_system, a.peer.path_key, 32);
	random_bytes(&random_system, a.peer.identity_key, 32);
	memcpy(a.peer.host_keys, "[]", 3);
	memcpy(a.peer.ssh_features, "[]", 3);
	return a;
}

static void test_addresses(void **state)
{
	struct store_load load;
	void *db = open_db(":memory:", "10.9.8.0/28", &load);
	struct store_enroll a[16];
	uint32_t seen = 0;
	int64_t revision = load.network.revision;

	(void)state;
	assert_int_equal(0, add_key(db, "k", -1, 0));
	for (int i = 0; i < 15; i++) { /* .1 to .15 */
		a[i] = wish("k", "name", NOW);
		assert_int_equal(0, ops->enroll(db, &a[i]));
		assert_int_equal(4, a[i].peer.v4.family);
		assert_memory_equal(a[i].peer.v4.bytes, "\x0a\x09\x08", 3);
		uint8_t last = a[i].peer.v4.bytes[3];
		assert_true(last >= 1 && last <= 15 && !(seen & (1u << last)));
		seen |= 1u << last;
		assert_int_equal(6, a[i].peer.v6.family);
		assert_true(ip_prefix_contains(&load.network.prefix6, &a[i].peer.v6));
		assert_int_equal(revision + 2 + i, a[i].revision);
	}
	assert_string_equal(a[0].peer.name, "name");
	assert_string_equal(a[1].peer.name, "name-2");
	assert_string_equal(a[14].peer.name, "name-15");
	a[15] = wish("k", "name", NOW);
	assert_int_equal(-ENOSPC, ops->enroll(db, &a[15]));

	struct store_peer_remove gone = {.now_s = NOW, .quarantine_until_s = NOW + 86400};
	memcpy(gone.id, a[7].peer.id, sizeof(gone.id));
	assert_int_equal(0, ops->peer_remove(db, &gone));
	assert_int_equal(-ENOENT, ops->peer_remove(db, &gone));
	a[15] = wish("k", "name", NOW + 86399);
	assert_int_equal(-ENOSPC, ops->enroll(db, &a[15]));
	a[15] = wish("k", "name", NOW + 86400);
	assert_int_equal(0, ops->enroll(db, &a[15]));
	assert_true(ip_addr_equal(&a[15].peer.v4, &a[7].peer.v4));
	assert_string_equal(a[15].peer.name, "name-8"); /* the free one */
	store_load_done(&load);
	ops->close(db);
}

static void test_keys(void **state)
{
	struct store_load load;
	void *db = open_db(":memory:", "100.64.0.0/10", &load);

	(void)state;
	assert_int_equal(0, add_key(db, "twice", 2, 0));
	assert_int_equal(-EEXIST, add_key(db, "twice", 2, 0));
	assert_int_equal(0, add_key(db, "old", 1, NOW));
	struct store_enroll one = wish("twice", "a", NOW), two = wish("twice", "b", NOW);
	struct store_enroll three = wish("twice", "c", NOW), late = wish("old", "d", NOW);
	struct store_enroll none = wish("none", "e", NOW);
	assert_int_equal(0, ops->enroll(db, &one));
	assert_int_equal(1, one.key_uses_left);
	assert_int_equal(0, ops->enroll(db, &two));
	assert_int_equal(-EDQUOT, ops->enroll(db, &three));
	assert_int_equal(-EKEYEXPIRED, ops->enroll(db, &late));
	assert_int_equal(-ENOENT, ops->enroll(db, &none));
	/* The same machine again takes no use, and keeps name and addresses. */
	struct store_enroll again = wish("twice", "other", NOW);
	memcpy(again.peer.identity_key, one.peer.identity_key, 32);
	assert_int_equal(0, ops->enroll(db, &again));
	assert_true(again.existing);
	assert_string_equal(again.peer.id, one.peer.id);
	assert_string_equal(again.peer.name, "a");
	assert_true(ip_addr_equal(&again.peer.v4, &one.peer.v4));
	/* A node key of another machine is refused and nothing is left of it. */
	struct store_key_change revoke = {.key = {.name = "twice"}, .revoke = true, .now_s = NOW};
	assert_int_equal(0, add_key(db, "more", -1, 0));
	struct store_enroll thief = wish("more", "t", NOW);
	memcpy(thief.peer.node_key, two.peer.node_key, 32);
	assert_int_equal(-EEXIST, ops->enroll(db, &thief));
	assert_int_equal(0, ops->key_change(db, &revoke));
	assert_int_equal(-EKEYREVOKED, ops->enroll(db, &again));
	store_load_done(&load);
	ops->close(db);
}

static void test_restart(void **state)
{
	char file[64] = "/tmp/warren-store-XXXXXX", other[80];
	struct store_load load, second;
	int fd = mkstemp(file);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	void *db = open_db(file, "100.64.0.0/10", &load);
	assert_int_equal(0, add_key(db, "k", -1, 0));
	struct store_enroll one = wish("k", "a", NOW);
	assert_int_equal(0, ops->enroll(db, &one));
	struct store_login_change login = {
		.login = {.groups = json_pack("[s]", "g"), .expires_s = NOW + 10}, .now_s = NOW};
	memcpy(login.login.peer, one.peer.id, sizeof(login.login.peer));
	snprintf(login.login.identity, sizeof(login.login.identity), "a@b.c");
	assert_int_equal(0, ops->login_change(db, &login));
	struct store_policy policy = {.text = (char[]){"{}"}, .now_s = NOW};
	assert_int_equal(0, ops->policy_set(db, &policy));
	struct store_nonce_put nonce = {.nonce = {"n", NOW + 100}, .now_s = NOW};
	assert_int_equal(0, ops->nonce_put(db, &nonce));
	assert_int_equal(-EEXIST, ops->nonce_put(db, &nonce));
	ops->close(db);

	db = open_db(file, "10.0.0.0/8", &second); /* the range of a network that is there stays */
	assert_string_equal(load.network.id, second.network.id);
	assert_true(ip_prefix_equal(&load.network.prefix4, &second.network.prefix4));
	assert_int_equal(policy.revision, second.network.revision);
	assert_int_equal(load.network.starts + 1, second.network.starts);
	assert_int_equal(1, second.peer_count);
	assert_int_equal(1, second.login_count);
	assert_int_equal(1, second.key_count);
	assert_int_equal(1, second.nonce_count);
	assert_string_equal("{}", second.network.policy);
	assert_string_equal("a", second.peers[0].name);
	assert_true(ip_addr_equal(&one.peer.v6, &second.peers[0].v6));
	/* A row that somebody else wrote. */
	assert_int_equal(0, sqlite3_exec(ops->native(db),
					 "UPDATE logins SET groups='[1,null,\"ok\",{},[\"x\"]]'", NULL,
					 NULL, NULL));
	ops->close(db);
	store_load_done(&second);
	db = open_db(file, "10.0.0.0/8", &second);
	assert_int_equal(1, json_array_size(second.logins[0].groups));
	assert_string_equal("ok", json_string_value(json_array_get(second.logins[0].groups, 0)));
	assert_int_equal(0,
			 sqlite3_exec(ops->native(db), "PRAGMA user_version=99", NULL, NULL, NULL));
	ops->close(db);
	struct error err = {0};
	assert_true(ops->open(file, &random_system, &db, &err) < 0);
	assert_non_null(strstr(err.text, "newer"));
	json_decref(login.login.groups);
	store_load_done(&load);
	store_load_done(&second);
	unlink(file);
	snprintf(other, sizeof(other), "%s-wal", file);
	unlink(other);
	snprintf(other, sizeof(other), "%s-shm", file);
	unlink(other);
}

static void test_unchanged_is_no_revision(void **state)
{
	struct store_load load;
	void *db = open_db(":memory:", "100.64.0.0/10", &load);

	(void)state;
	assert_int_equal(0, add_key(db, "k", -1, 0));
	struct store_enroll one = wish("k", "a", NOW);
	assert_int_equal(0, ops->enroll(db, &one));
	struct store_peer_change a = {
		.peer = one.peer, .fields = STORE_PEER_SYSTEM, .kind = "self", .now_s = NOW};
	snprintf(a.peer.os, sizeof(a.peer.os), "linux");
	snprintf(a.peer.name, sizeof(a.peer.name), "not asked for");
	assert_int_equal(0, ops->peer_change(db, &a));
	assert_int_equal(one.revision + 1, a.revision);
	assert_string_equal("a", a.peer.name);
	assert_string_equal("linux", a.peer.os);
	a.revision = 0;
	assert_int_equal(0, ops->peer_change(db, &a));
	assert_int_equal(0, a.revision);
	store_load_done(&load);
	ops->close(db);
}

static void test_labels(void **state)
{
	static const char *const labels[][2] = {
		{"web-1", "web-1"}, {"Web_1.example.com", "web-1"}, {"--x--", "x"}, {"", "peer"},
		{"...", "peer"},    {"\xc3\xa4\xc3\xb6", "peer"},   {"a b", "a-b"},
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		ident_label(labels[i][0], out, sizeof(out));
		assert_string_equal(labels[i][1], out);
		assert_true(ident_label_valid(out));
	}
	char endless[300];
	memset(endless, 'a', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = 0;
	ident_label(endless, out, sizeof(out));
	assert_int_equal(48, strlen(out));
	assert_false(ident_label_valid("A"));
	assert_false(ident_label_valid("-a"));
	assert_false(ident_label_valid("a.b"));
	assert_false(ident_label_valid(""));
}

static struct store_cutoff_change cut(const char *identity, bool block, const char *reason,
				      int64_t before_s)
{
	struct store_cutoff_change a = {.cutoff = {.before_s = before_s,
						   .token_before_s = before_s,
						   .until_s = before_s + 100,
						   .blocked = block},
					.now_s = NOW};

	snprintf(a.cutoff.identity, sizeof(a.cutoff.identity), "%s", identity);
	snprintf(a.cutoff.reason, sizeof(a.cutoff.reason), "%s", reason);
	return a;
}

/* Cutoffs only grow, a block stays until its own reason is taken back, and what is over goes. */
static void test_cutoffs(void **state)
{
	const char *where = "/tmp/warren-test-cutoffs.db";
	struct store_load load;
	char path[64];
	struct store_cutoff_change a;

	(void)state;
	snprintf(path, sizeof(path), "%s.%d", where, (int)getpid());
	void *db = open_db(path, "10.9.8.0/28", &load);
	void *handle = ops->native(db);
	int64_t revision = load.network.revision;

	a = cut("alice", false, "revoked", NOW + 5);
	assert_int_equal(0, store_cutoff_put(handle, &a));
	assert_int_equal(revision + 1, a.revision);
	a = cut("alice", true, "blocked", NOW + 3);
	assert_int_equal(0, store_cutoff_put(handle, &a));
	a = cut("alice", true, "disabled", NOW + 4);
	assert_int_equal(0, store_cutoff_put(handle, &a));
	a.unblock = true; /* enabled again: the administrator's block stays */
	assert_int_equal(-ENOENT, store_cutoff_put(handle, &a));
	a = cut("bob", true, "disabled", NOW);
	assert_int_equal(0, store_cutoff_put(handle, &a));
	a.unblock = true;
	assert_int_equal(0, store_cutoff_put(handle, &a));
	assert_int_equal(-ENOENT, store_cutoff_put(handle, &a));
	a = cut("carol", false, "removed", NOW - 1000); /* over */
	assert_int_equal(0, store_cutoff_put(handle, &a));
	store_load_done(&load);
	ops->close(db);

	db = open_db(path, "10.9.8.0/28", &load);
	assert_int_equal(2, load.cutoff_count);
	assert_string_equal("bob", load.cutoffs[0].identity); /* the oldest first */
	assert_false(load.cutoffs[0].blocked);
	assert_string_equal("alice", load.cutoffs[1].identity);
	assert_true(load.cutoffs[1].blocked);
	assert_string_equal("blocked", load.cutoffs[1].reason);
	assert_int_equal(NOW + 5, load.cutoffs[1].before_s);
	store_load_done(&load);
	ops->close(db);
	assert_int_equal(0, unlink(path));
}

static void test_certs(void **state)
{
	struct store_load load;
	void *db = open_db(":memory:", "10.9.8.0/28", &load);
	void *handle = ops->native(db);
	struct store_cert made = {.serial = INT64_MAX, .issued_s = NOW, .expires_s = NOW + 300};
	struct store_certs list = {.limit = 10, .now_s = NOW};

	(void)state;
	snprintf(made.identity, sizeof(made.identity), "alice");
	snprintf(made.target, sizeof(made.target), "p_two");
	assert_int_equal(0, store_cert_put(handle, &made));
	made.serial = 1;
	snprintf(made.identity, sizeof(made.identity), "bob");
	assert_int_equal(0, store_cert_put(handle, &made));
	assert_int_equal(-EEXIST, store_cert_put(handle, &made));

	struct store_cert_revoke a = {.cert = {.serial = INT64_MAX}, .now_s = NOW + 1};
	assert_int_equal(0, store_cert_revoke(handle, &a));
	assert_string_equal("p_two", a.cert.target);
	assert_string_equal("alice", a.cert.identity);
	assert_int_equal(-EALREADY, store_cert_revoke(handle, &a));
	a.cert.serial = 2;
	assert_int_equal(-ENOENT, store_cert_revoke(handle, &a));

	assert_int_equal(0, store_certs(handle, &list));
	assert_int_equal(2, json_array_size(list.certs));
	json_decref(list.certs);
	snprintf(list.identity, sizeof(list.identity), "alice");
	assert_int_equal(0, store_certs(handle, &list));
	assert_int_equal(1, json_array_size(list.certs));
	json_t *row = json_array_get(list.certs, 0);
	assert_string_equal("9223372036854775807",
			    json_string_value(json_object_get(row, "serial")));
	assert_string_equal("revoked", json_string_value(json_object_get(row, "state")));
	json_decref(list.certs);
	store_load_done(&load);
	ops->close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_restart),	  cmocka_unit_test(test_unchanged_is_no_revision),
		cmocka_unit_test(test_labels),	  cmocka_unit_test(test_cutoffs),
		cmocka_unit_test(test_certs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
