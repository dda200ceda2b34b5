/* SPDX-License-Identifier: Apache-2.0
 *
 * ssh rules: who is meant by a selector, logins, what adds up, when it ends, and the sentences of
 * refusals; the truth table of features.md N4; destinations; tests and explanations of a policy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/filter.h"
#include "policy/policy.h"

#define NOW 1700000000

static struct policy *parse(const char *text)
{
	struct policy *p;
	struct error err = {0};

	if (policy_parse("p", text, strlen(text), &p, &err))
		fail_msg("%s", err.text);
	return p;
}

/* first: enrolled with key "lab", alice is logged in on it. second: the target. ci: key "ci". */
static struct policy_world *make_world(void)
{
	static const char *const alice[] = {"Alice@Example.com"}, *const ops[] = {"ops"};
	const struct policy_peer peers[] = {
		{.id = "p_1",
		 .name = "first",
		 .v4 = {4, {100, 64, 0, 1}},
		 .setup_key = "lab",
		 .identities = alice,
		 .identity_count = 1},
		{.id = "p_2",
		 .name = "second",
		 .v4 = {4, {100, 64, 0, 2}},
		 .ssh_enabled = true,
		 .ssh_advertised = true},
		{.id = "p_3", .name = "ci", .v4 = {4, {100, 64, 0, 3}}, .setup_key = "ci"},
	};
	struct policy_world *w;

	assert_int_equal(policy_world_new(&w), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(policy_world_add_peer(w, &peers[i]), 0);
	assert_int_equal(policy_world_add_identity(w, "alice@example.com", ops, 1), 0);
	return w;
}

static void test_world(void **state)
{
	struct policy_world *w = make_world();
	struct policy_peer peer = {.id = "p_1", .name = "other"};

	(void)state;
	assert_true(policy_world_add_peer(w, &peer) < 0);
	peer.id = "p_9";
	peer.name = "SECOND";
	assert_true(policy_world_add_peer(w, &peer) < 0);
	assert_true(policy_world_add_identity(w, "ALICE@example.com", NULL, 0) < 0);
	policy_world_free(w);
	policy_world_free(NULL);
	policy_free(NULL);
}

/* One rule with this "from", "logins" and more; one question; the answer. */
static const struct {
	const char *from, *logins, *more;
	const char *identity, *group, *caller, *login;
	bool want;
} table[] = {
	/* people, by e-mail (any case), by group proven by the login, by group we know */
	{"alice@example.com", "\"deploy\"", "", "alice@example.com", NULL, "p_1", "deploy", true},
	{"ALICE@example.com", "\"deploy\"", "", "Alice@EXAMPLE.com", NULL, "p_3", "deploy", true},
	{"alice@example.com", "\"deploy\"", "", "bob@example.com", NULL, "p_1", "deploy", false},
	{"group:ops", "\"deploy\"", "", "alice@example.com", NULL, "p_3", "deploy", true},
	{"group:ops", "\"deploy\"", "", "bob@example.com", NULL, "p_1", "deploy", false},
	{"group:ops", "\"deploy\"", "", "bob@example.com", "ops", "p_1", "deploy", true},
	{"group:OPS", "\"deploy\"", "", "bob@example.com", "ops", "p_1", "deploy", false},
	/* a machine's people are not the machine */
	{"alice@example.com", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_1", "deploy",
	 false},
	{"alice@example.com", "\"deploy\"", ", \"auth\": \"machine\"", "bob@example.com", NULL,
	 "p_1", "deploy", false},
	{"laptops", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_1", "deploy", true},
	{"laptops", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_3", "deploy", false},
	/* machines, with and without a person in front of them */
	{"setup-key:ci", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_3", "deploy",
	 true},
	{"setup-key:ci", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_1", "deploy",
	 false},
	{"setup-key:ci", "\"deploy\"", "", NULL, NULL, "p_3", "deploy", false},
	{"setup-key:ci", "\"deploy\"", "", "bob@example.com", NULL, "p_3", "deploy", true},
	{"peer:ci", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_3", "deploy", true},
	{"peer:CI", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_3", "deploy", true},
	{"100.64.0.0/30", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_3", "deploy",
	 true},
	{"100.64.0.0/31", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_3", "deploy",
	 false},
	{"*", "\"deploy\"", "", "x@y.z", NULL, "p_3", "deploy", true},
	{"*", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_3", "deploy", true},
	{"*", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_unknown", "deploy", false},
	{"team", "\"deploy\"", ", \"auth\": \"machine\"", NULL, NULL, "p_3", "deploy", true},
	{"team", "\"deploy\"", "", "alice@example.com", NULL, "p_2", "deploy", true},
	/* "=" */
	{"*", "\"=\"", "", "alice@example.com", NULL, "p_1", "alice", true},
	{"*", "\"=\"", "", "Alice@example.com", NULL, "p_1", "alice", true},
	{"*", "\"=\"", "", "alice@example.com", NULL, "p_1", "deploy", false},
	{"*", "\"=\"", "", "root@example.com", NULL, "p_1", "root", false},
	{"*", "\"=\"", "", "a+b@example.com", NULL, "p_1", "a+b", false},
	{"*", "\"=\"", "", "alice", NULL, "p_1", "alice", false},
	{"*", "\"=\"", "", "@example.com", NULL, "p_1", "", false},
	{"*", "\"=\"", ", \"auth\": \"machine\"", NULL, NULL, "p_1", "alice", false},
	/* root is a login like another, but only in words */
	{"*", "\"deploy\", \"=\"", "", "alice@example.com", NULL, "p_1", "root", false},
	{"*", "\"root\"", "", "alice@example.com", NULL, "p_1", "root", true},
	{"*", "\"deploy\"", "", "alice@example.com", NULL, "p_1", "Deploy", false},
	/* time: login an hour ago */
	{"*", "\"deploy\"", ", \"max_login_age\": 3601", "a@b.c", NULL, "p_1", "deploy", true},
	{"*", "\"deploy\"", ", \"max_login_age\": 3600", "a@b.c", NULL, "p_1", "deploy", false},
	{"*", "\"deploy\"", ", \"max_login_age\": \"2h\", \"auth\": \"machine\"", NULL, NULL, "p_1",
	 "deploy", false},
	{"*", "\"deploy\"", ", \"when\": {\"not_after\": \"2023-11-14T22:13:21Z\"}", "a@b.c", NULL,
	 "p_1", "deploy", true},
	{"*", "\"deploy\"", ", \"when\": {\"not_after\": \"2023-11-14T22:13:20Z\"}", "a@b.c", NULL,
	 "p_1", "deploy", false},
};

static void test_table(void **state)
{
	struct policy_world *w = make_world();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[1024];

		(void)snprintf(text, sizeof(text),
			       "{\"groups\": {\"team\": [\"alice@example.com\", \"setup-key:ci\"]},"
			       " \"hosts\": {\"laptops\": [\"alice@example.com\"]},"
			       " \"ssh\": [{\"from\": \"%s\", \"to\": \"peer:second\", \"logins\": "
			       "[%s]%s}]}",
			       table[i].from, table[i].logins, table[i].more);
		struct policy *p = parse(text);
		struct policy_ssh_query query = {
			.identity = table[i].identity,
			.groups = &table[i].group,
			.group_count = table[i].group != NULL,
			.caller_peer = table[i].caller,
			.target_peer = "p_2",
			.login = table[i].login,
			.auth_time_s = NOW - 3600,
			.now_s = NOW,
		};
		struct policy_ssh_decision d;

		policy_ssh_check(p, w, &query, &d);
		if (d.allowed != table[i].want)
			fail_msg("row %zu (%s): %s", i, text, d.reason);
		assert_int_equal(d.allowed, d.reason[0] == '\0');
		assert_true(d.allowed || (d.caps == 0 && !d.machine_auth && d.cert_ttl_s == 0));
		query.target_peer = "p_1";
		policy_ssh_check(p, w, &query, &d);
		assert_false(d.allowed);
		policy_free(p);
	}
	policy_world_free(w);
}

static void test_union(void **state)
{
	struct policy *p = parse(
		"{\"ssh\": ["
		"{\"from\": \"*\", \"to\": \"*\", \"logins\": [\"deploy\"]},"
		"{\"from\": \"group:ops\", \"to\": \"*\", \"logins\": [\"deploy\"], \"cert_ttl\": "
		"\"8h\","
		" \"allow\": [\"forward\"], \"destinations\": [\"db:5432\", \"[fd00::1]:80\"],"
		" \"when\": {\"not_after\": \"2023-11-14T23:13:20Z\"}},"
		"{\"from\": \"group:dev\", \"to\": \"*\", \"logins\": [\"deploy\"], "
		"\"max_login_age\": 3600,"
		" \"allow\": [\"forward\", \"agent\", \"remote-forward\"], \"auth\": "
		"\"machine\"}]}");
	struct policy_world *w = make_world();
	static const char *const dev[] = {"dev"};
	struct policy_ssh_query query = {.identity = "x@y.z",
					 .caller_peer = "p_1",
					 .target_peer = "p_2",
					 .login = "deploy",
					 .auth_time_s = NOW - 60,
					 .now_s = NOW};
	struct policy_ssh_decision d;

	(void)state;
	policy_ssh_check(p, w, &query, &d);
	assert_int_equal(d.caps, POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_SFTP);
	assert_int_equal(d.cert_ttl_s, 300);
	assert_int_equal(d.not_after_s, 0);
	assert_false(d.machine_auth);
	query.identity = "alice@example.com";
	policy_ssh_check(p, w, &query, &d);
	assert_int_equal(d.caps,
			 POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_SFTP | POLICY_SSH_FORWARD);
	/* Shell and forward for eight hours is what no rule says. */
	assert_int_equal(d.cert_ttl_s, 300);
	assert_int_equal(d.not_after_s, NOW + 3600);
	assert_int_equal(d.destination_count, 2);
	assert_string_equal(d.destinations[1], "[fd00::1]:80");
	/* A rule without destinations allows any; the earliest end counts. */
	query.groups = dev;
	query.group_count = 1;
	policy_ssh_check(p, w, &query, &d);
	assert_int_equal(d.destination_count, 0);
	assert_true(d.machine_auth);
	assert_int_equal(d.not_after_s, NOW + 3540);
	assert_true(d.caps & POLICY_SSH_AGENT && d.caps & POLICY_SSH_REMOTE_FORWARD);
	policy_free(p);
	policy_world_free(w);
}

/* What several rules allow together: confined is what only confined rules allow. */
static void test_files_only(void **state)
{
	enum {
		ALL = POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_SFTP,
		NONE = 0,
	};
	static const char confined[] = "\"files_only\": true", usual[] = "\"auth\": \"identity\"",
			  shell[] = "\"allow\": [\"shell\"]", exec[] = "\"allow\": [\"exec\"]",
			  sftp[] = "\"allow\": [\"sftp\"]", forward[] = "\"allow\": [\"forward\"]",
			  open[] = "\"files_only\": false";
	static const struct {
		const char *rules[3];
		uint32_t caps;
		bool files_only;
	} cases[] = {
		{{confined}, POLICY_SSH_SFTP, true},
		{{open}, ALL, false},
		{{sftp}, POLICY_SSH_SFTP, false},
		{{confined, confined}, POLICY_SSH_SFTP, true},
		{{confined, usual}, ALL, false},
		{{usual, confined}, ALL, false},
		{{confined, sftp}, POLICY_SSH_SFTP, false},
		{{sftp, confined}, POLICY_SSH_SFTP, false},
		/* A shell is a shell; sftp stays what its own rule says. */
		{{confined, shell}, POLICY_SSH_SFTP | POLICY_SSH_SHELL, true},
		{{shell, confined}, POLICY_SSH_SFTP | POLICY_SSH_SHELL, true},
		{{confined, exec}, POLICY_SSH_SFTP | POLICY_SSH_EXEC, true},
		{{confined, forward}, POLICY_SSH_SFTP | POLICY_SSH_FORWARD, true},
		{{forward, confined}, POLICY_SSH_SFTP | POLICY_SSH_FORWARD, true},
		{{shell}, POLICY_SSH_SHELL, false},
		{{confined, shell, sftp}, POLICY_SSH_SFTP | POLICY_SSH_SHELL, false},
		{{sftp, shell, confined}, POLICY_SSH_SFTP | POLICY_SSH_SHELL, false},
		{{shell, confined, forward},
		 POLICY_SSH_SFTP | POLICY_SSH_SHELL | POLICY_SSH_FORWARD,
		 true},
	};
	struct policy_world *w = make_world();
	struct policy_ssh_query query = {.identity = "x@y.z",
					       .caller_peer = "p_1",
					       .target_peer = "p_2",
					       .login = "deploy",
					       .auth_time_s = NOW - 60,
					       .now_s = NOW};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[1024] = "{\"ssh\": [";
		struct policy_ssh_decision d;
		struct policy *p;

		for (size_t j = 0; j < 3 && cases[i].rules[j]; j++) {
			size_t at = strlen(text);

			snprintf(text + at, sizeof(text) - at,
				 "{\"from\": \"*\", \"to\": \"*\", \"logins\": [\"deploy\"], %s},",
				 cases[i].rules[j]);
		}
		strncat(text, "]}", sizeof(text) - strlen(text) - 1);
		p = parse(text);
		policy_ssh_check(p, w, &query, &d);
		assert_true(d.allowed);
		if (d.caps != cases[i].caps || d.files_only != cases[i].files_only)
			fail_msg("row %zu: caps %x files_only %d", i, d.caps, d.files_only);
		policy_free(p);
	}
	policy_world_free(w);
}

static void test_reasons(void **state)
{
	struct policy *p = parse(
		"{\"ssh\": [{\"from\": \"alice@example.com\", \"to\": \"peer:second\", \"logins\": "
		"[\"deploy\"],"
		" \"max_login_age\": 3600}, {\"from\": \"bob@example.com\", \"to\": "
		"\"peer:second\","
		" \"logins\": [\"old\"], \"when\": {\"not_after\": \"2020-01-01T00:00:00Z\"}},"
		" {\"from\": \"peer:ci\", \"to\": \"peer:second\", \"logins\": [\"build\"]}]}");
	struct policy_world *w = make_world();
	const struct {
		const char *identity, *caller, *target, *login, *reason;
		int64_t auth_time_s;
	} rows[] = {
		{"alice@example.com", "p_1", "p_2", "root",
		 "policy lets alice@example.com log in on second, but not as root", NOW},
		{"alice@example.com", "p_1", "p_2", "deploy",
		 "policy asks for a more recent login; log in again (warren login)", NOW - 3600},
		{"alice@example.com", "p_1", "p_2", "deploy",
		 "policy asks for a more recent login; log in again (warren login)", 0},
		{"bob@example.com", "p_1", "p_2", "old",
		 "the rule that let bob@example.com log in on second has expired or is not in force at this hour", NOW},
		{"bob@example.com", "p_1", "p_2", "deploy",
		 "no ssh rule lets bob@example.com log in on second as deploy", NOW},
		{NULL, "p_3", "p_2", "build", "policy asks for a person's login on second", 0},
		{"alice@example.com", "p_1", "p_nowhere", "deploy",
		 "the target is not a peer of this network", NOW},
		{"eve\x1b[2J@x", "p_1", "p_2", "x",
		 "no ssh rule lets eve?[2J@x log in on second as x", NOW},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_ssh_query query = {.identity = rows[i].identity,
						 .caller_peer = rows[i].caller,
						 .target_peer = rows[i].target,
						 .login = rows[i].login,
						 .auth_time_s = rows[i].auth_time_s,
						 .now_s = NOW};
		struct policy_ssh_decision d;

		policy_ssh_check(p, w, &query, &d);
		assert_false(d.allowed);
		assert_string_equal(d.reason, rows[i].reason);
	}
	policy_free(p);
	policy_world_free(w);
}

static void test_logins(void **state)
{
	struct policy *p = parse(
		"{\"ssh\": [{\"from\": \"*\", \"to\": \"*\", \"logins\": [\"deploy\", \"=\", "
		"\"web\"]},"
		"{\"from\": \"*\", \"to\": \"*\", \"logins\": [\"web\", \"alice\", \"root\"]},"
		"{\"from\": \"bob@example.com\", \"to\": \"*\", \"logins\": [\"bobby\"]}]}");
	struct policy_world *w = make_world();
	struct policy_ssh_query query = {.identity = "alice@example.com",
					 .caller_peer = "p_1",
					 .target_peer = "p_2",
					 .auth_time_s = NOW,
					 .now_s = NOW};
	struct buffer out;

	(void)state;
	buffer_init(&out, 1024);
	assert_int_equal(buffer_printf(&out, "web\n"),
			 0); /* what was there before stays out of it */
	assert_int_equal(policy_ssh_logins(p, w, &query, &out), 0);
	assert_string_equal(buffer_cstring(&out), "web\ndeploy\nweb\nalice\nroot\n");
	buffer_done(&out);
	policy_free(p);
	policy_world_free(w);
}

static void test_anyone(void **state)
{
	static const struct {
		const char *from, *logins, *more, *caller, *login;
		bool want;
	} rows[] = {
		{"alice@example.com", "\"deploy\"", "", "p_1", "deploy", true},
		{"alice@example.com", "\"deploy\"", "", "p_1", "root", false},
		{"alice@example.com", "\"=\"", "", "p_1", "alice", true},
		{"alice@example.com", "\"=\"", "", "p_1", "bob", false},
		{"group:x", "\"=\"", "", "p_1", "bob", true},
		{"*", "\"=\"", "", "p_1", "bob", true},
		{"*", "\"=\"", "", "p_1", "root", false},
		{"*", "\"=\"", "", "p_1", "a b", false},
		{"peer:ci", "\"=\", \"deploy\"", "", "p_3", "deploy", true},
		{"peer:ci", "\"=\", \"deploy\"", "", "p_1", "deploy", false},
		{"team", "\"deploy\"", "", "p_1", "deploy", true},
		{"laptops", "\"deploy\"", "", "p_1", "deploy", true},
		{"laptops", "\"deploy\"", "", "p_3", "deploy", false},
		{"*", "\"deploy\"", ", \"when\": {\"not_after\": \"2023-11-14T22:13:20Z\"}", "p_1",
		 "deploy", false},
		{"*", "\"deploy\"", ", \"max_login_age\": 60", "p_1", "deploy", true},
	};
	struct policy_world *w = make_world();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[1024];

		(void)snprintf(text, sizeof(text),
			       "{\"groups\": {\"team\": [\"alice@example.com\"]},"
			       " \"hosts\": {\"laptops\": [\"alice@example.com\"]},"
			       " \"ssh\": [{\"from\": \"%s\", \"to\": \"peer:second\", \"logins\": "
			       "[%s]%s}]}",
			       rows[i].from, rows[i].logins, rows[i].more);
		struct policy *p = parse(text);

		if (policy_ssh_anyone(p, w, rows[i].caller, "p_2", rows[i].login, NOW) !=
		    rows[i].want)
			fail_msg("row %zu", i);
		assert_false(policy_ssh_anyone(p, w, rows[i].caller, "p_1", rows[i].login, NOW));
		policy_free(p);
	}
	policy_world_free(w);
}

/* ---- N4 ---- */

static enum filter_drop arrive(const void *blob, size_t len, uint16_t port)
{
	static const uint8_t seed[16] = {0};
	uint8_t syn[40] = {0x45, [3] = 40, [8] = 64, [9] = 6, [12] = 100, 64,	       0,
			   1,	 100,	   64,	     0,	      2,	  [32] = 0x50, [33] = 2};
	struct filter_result r;
	struct filter *f;

	syn[20] = 0x20;
	syn[22] = (uint8_t)(port >> 8);
	syn[23] = (uint8_t)port;
	assert_int_equal(filter_new(16, seed, &f), 0);
	assert_int_equal(filter_set_rules(f, blob, len), 0);
	filter_check(f, FILTER_IN, false, syn, sizeof(syn), 1, &r);
	filter_free(f);
	return r.drop;
}

static void test_n4_truth_table(void **state)
{
	static const struct {
		const char *rules;
		bool tcp22, plain22022, denies22022;
	} rows[] = {
		{"", false, false, false},
		{"{\"from\":\"*\",\"to\":\"*\",\"proto\":\"tcp\",\"ports\":22}", true, false,
		 false},
		{"{\"from\":\"*\",\"to\":\"*\",\"proto\":\"tcp\",\"ports\":\"20-25\"}", true, false,
		 false},
		{"{\"from\":\"*\",\"to\":\"*\",\"proto\":\"tcp\",\"ports\":\"80,22,443\"}", true,
		 false, false},
		{"{\"from\":\"*\",\"to\":\"*\",\"proto\":\"any\",\"ports\":22}", true, false,
		 false},
		{"{\"from\":\"*\",\"to\":\"*\",\"proto\":\"udp\",\"ports\":22}", false, false,
		 false},
		{"{\"from\":\"*\",\"to\":\"*\",\"proto\":\"tcp\",\"ports\":\"21,23\"}", false,
		 false, false},
		{"{\"from\":\"*\",\"to\":\"*\",\"proto\":\"tcp\",\"ports\":22022}", false, true,
		 false},
		{"{\"from\":\"*\",\"to\":\"*\"}", true, true, false},
		{"{\"from\":\"*\",\"to\":\"*\"},{\"action\":\"deny\",\"from\":\"*\",\"to\":\"*\","
		 "\"ports\":22}",
		 false, true, false},
		{"{\"from\":\"*\",\"to\":\"*\"},{\"action\":\"deny\",\"from\":\"*\",\"to\":\"*\","
		 "\"ports\":22022}",
		 true, false, true},
		{"{\"from\":\"*\",\"to\":\"*\",\"ports\":\"22,22022\"},"
		 "{\"action\":\"deny\",\"from\":\"peer:first\",\"to\":\"peer:second\"}",
		 false, false, true},
		{"{\"from\":\"peer:second\",\"to\":\"peer:first\",\"ports\":22}", false, false,
		 false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int bits = 0; bits < 4; bits++) {
			bool enabled = bits & 1, advertised = bits & 2;
			const struct policy_peer peers[] = {
				{.id = "p_1", .name = "first", .v4 = {4, {100, 64, 0, 1}}},
				{.id = "p_2",
				 .name = "second",
				 .v4 = {4, {100, 64, 0, 2}},
				 .ssh_enabled = enabled,
				 .ssh_advertised = advertised},
			};
			char text[512];
			struct policy_world *w;
			struct error err;
			void *blob;
			size_t len;

			(void)snprintf(text, sizeof(text), "{\"rules\": [%s]}", rows[i].rules);
			struct policy *p = parse(text);
			assert_int_equal(policy_world_new(&w), 0);
			assert_int_equal(policy_world_add_peer(w, &peers[0]), 0);
			assert_int_equal(policy_world_add_peer(w, &peers[1]), 0);
			bool ssh = enabled && advertised;
			bool opens = ssh && rows[i].tcp22 && !rows[i].denies22022;
			bool inner = ssh ? opens : rows[i].plain22022;

			assert_int_equal(policy_opens_ssh(p, w, "p_1", "p_2", NOW), opens);
			assert_int_equal(policy_allows(p, w, "p_1", "p_2", 6, 22, NOW, NULL),
					 rows[i].tcp22);
			assert_int_equal(policy_allows(p, w, "p_1", "p_2", 6, 22022, NOW, NULL),
					 inner);
			assert_int_equal(policy_compile(p, w, "p_2", NOW, &blob, &len, &err), 0);
			assert_int_equal(arrive(blob, len, 22) == FILTER_PASS, rows[i].tcp22);
			assert_int_equal(arrive(blob, len, 22022) == FILTER_PASS, inner);
			free(blob);
			policy_free(p);
			policy_world_free(w);
		}
}

/* ---- destinations ---- */

static void test_destinations(void **state)
{
	static const struct {
		const char *pattern, *host;
		uint16_t port;
		bool want;
	} rows[] = {
		{"db:5432", "db", 5432, true},	       {"db:5432", "DB.", 5432, true},
		{"db:5432", "db2", 5432, false},       {"db:5432", "db", 5433, false},
		{"*:22", "anything", 22, true},	       {"*:*", "10.0.0.1", 1, true},
		{"*:8000-8100", "x", 8100, true},      {"*:8000-8100", "x", 8101, false},
		{"*.e.com:1", "a.e.com", 1, true},     {"*.e.com:1", "a.b.E.com", 1, true},
		{"*.e.com:1", "e.com", 1, false},      {"*.e.com:1", ".e.com", 1, false},
		{"*.e.com:1", "ae.com", 1, false},     {"10.0.0.9:1", "10.0.0.9", 1, true},
		{"10.0.0.9:1", "10.0.0.90", 1, false}, {"[fd00::1]:1", "fd00:0::1", 1, true},
		{"[fd00::1]:1", "fd00::2", 1, false},  {"*:1", "", 1, false},
	};
	static const char *const wrong[] = {
		"",	  "db",		":1",	   "db:",	   "db:0",	 "db:65536",
		"db:2-1", "fd00::1:80", "[db]:1",  "[10.0.0.1]:1", "a b:1",	 "*db:1",
		"db*:1",  "*.:1",	"a\x01:1", "db:1-",	   "[fd00::1:1", "db:-1"};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (policy_destination_matches(rows[i].pattern, rows[i].host, rows[i].port) !=
		    rows[i].want)
			fail_msg("%s %s:%u", rows[i].pattern, rows[i].host, rows[i].port);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (policy_destination_valid(wrong[i]))
			fail_msg("%s", wrong[i]);
		assert_false(policy_destination_matches(wrong[i], "db", 1));
	}
}

/* ---- tests and explanations ---- */

static void test_failing_tests(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{"{\"tests\": [{\"from\": \"a@b.c\", \"accept\": [\"peer:x:22\"]}]}",
		 "p:1:41: test failed: a@b.c may not reach peer:x:22 by tcp (\"a machine of "
		 "a@b.c\" to "
		 "\"x\"): no rule allows it"},
		{"{\"rules\": [{\"from\": \"*\", \"to\": \"*\"}],\n"
		 "\"tests\": [{\"from\": \"a@b.c\", \"proto\": \"icmp\", \"deny\": [\"peer:x\"]}]}",
		 "p:2:55: test failed: a@b.c may reach peer:x by icmp (\"a machine of a@b.c\" to "
		 "\"x\"): "
		 "allowed by the rule at p:1:12"},
		{"{\"rules\": [{\"from\": \"*\", \"to\": \"*\"}, {\"action\": \"deny\", \"from\": "
		 "\"*\", \"to\": "
		 "\"*\"}],\n\"tests\": [{\"from\": \"*\", \"accept\": [\"100.64.0.0/10:5\"]}]}",
		 "p:2:36: test failed: * may not reach 100.64.0.0/10:5 by tcp (\"any other "
		 "machine\" to \"a "
		 "machine of 100.64.0.0/10\"): denied by the rule at p:1:38"},
		{"{\"hosts\": {\"none\": []}, \"tests\": [{\"from\": \"a@b.c\", \"deny\": "
		 "[\"none:1\"]}]}",
		 "p:1:62: test failed: there are no two machines for a@b.c and none:1"},
		{"{\"ssh\": [{\"from\": \"a@b.c\", \"to\": \"*\", \"logins\": [\"=\"]}],\n"
		 "\"sshTests\": [{\"from\": \"a@b.c\", \"to\": \"peer:x\", \"accept\": [\"a\"], "
		 "\"deny\": [\"root\"]},\n"
		 " {\"from\": \"a@b.c\", \"to\": \"peer:x\", \"deny\": [\"a\"]}]}",
		 "p:3:45: test failed: an ssh rule lets a@b.c log in on \"x\" as a"},
		{"{\"ssh\": [{\"from\": \"setup-key:k\", \"to\": \"*\", \"logins\": [\"b\"]}],\n"
		 "\"sshTests\": [{\"from\": \"setup-key:k\", \"to\": \"peer:x\", \"accept\": "
		 "[\"b\"]}]}",
		 "p:2:65: test failed: setup-key:k may not log in on \"x\" as b: policy asks for a "
		 "person's "
		 "login on x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy *p = parse(rows[i].text);
		struct error err = {0};

		assert_int_equal(policy_run_tests(p, NULL, NOW, &err), -1);
		assert_string_equal(err.text, rows[i].message);
		policy_free(p);
	}
}

static void test_tests_in_a_world(void **state)
{
	/* alice is logged in on a machine that is denied by its setup key: only the world shows it.
	 */
	struct policy *p =
		parse("{\"rules\": [{\"from\": \"alice@example.com\", \"to\": \"peer:second\", "
		      "\"ports\": 22},"
		      " {\"action\": \"deny\", \"from\": \"setup-key:lab\", \"to\": \"*\"}],"
		      " \"tests\": [{\"from\": \"alice@example.com\", \"accept\": "
		      "[\"peer:second:22\"]}]}");
	struct policy_world *w = make_world();
	struct error err = {0};

	(void)state;
	assert_int_equal(policy_run_tests(p, NULL, NOW, &err), 0);
	assert_int_equal(policy_run_tests(p, w, NOW, &err), -1);
	assert_non_null(
		strstr(err.text, "(\"first\" to \"second\"): denied by the rule at p:1:77"));
	policy_free(p);
	policy_world_free(w);
}

static void test_explain(void **state)
{
	struct policy *p = parse("{\"rules\": [{\"from\": [\"group:ops\", \"peer:ci\"], \"to\": "
				 "\"peer:second\", \"proto\": \"tcp\","
				 " \"ports\": \"22,80-90\"}],\n"
				 " \"ssh\": [{\"from\": \"group:ops\", \"to\": \"*\", \"logins\": "
				 "[\"deploy\", \"=\"]}]}");
	struct policy_world *w = make_world();
	struct error err = {0};
	struct buffer out;

	(void)state;
	buffer_init(&out, 65536);
	assert_int_equal(
		policy_explain(p, w, "alice@example.com", "second", 6, 22, NOW, &out, &err), 0);
	assert_string_equal(
		buffer_cstring(&out),
		"alice@example.com -> second, tcp 22:\n"
		"  first -> second: allowed by the rule at p:1:12\n"
		"    p:1:12 accept from group:ops, peer:ci to peer:second, tcp 22,80-90\n"
		"    embedded SSH server of second: reachable (tcp 22 and 22022)\n"
		"    ssh logins of alice@example.com: deploy alice\n");
	buffer_reset(&out);
	assert_int_equal(policy_explain(p, w, "p_2", "First", 17, 53, NOW, &out, &err), 0);
	assert_string_equal(buffer_cstring(&out), "p_2 -> First, udp 53:\n"
						  "  second -> first: denied: no rule allows it\n"
						  "    ssh logins of the machine itself: none\n");
	buffer_reset(&out);
	assert_int_equal(
		policy_explain(p, NULL, "bob@example.com", "peer:new", 0, 0, NOW, &out, &err), 0);
	assert_non_null(strstr(buffer_cstring(&out), "denied: no rule speaks of them"));
	buffer_reset(&out);
	assert_true(policy_explain(p, w, "secnd", "first", 6, 22, NOW, &out, &err) < 0);
	assert_string_equal(
		err.text,
		"\"secnd\" is neither a group nor a host of this policy; define it, or write "
		"peer:secnd for one machine (and there is no peer of that name)");
	assert_true(policy_explain(p, w, "nobody@x.y", "first", 6, 22, NOW, &out, &err) < 0);
	assert_string_equal(err.text, "there are no two machines for nobody@x.y and first");
	buffer_done(&out);
	policy_free(p);
	policy_world_free(w);
}

static void test_via(void **state)
{
	static const char text[] =
		"{\"hosts\":{\"jumps\":[\"peer:j1\",\"peer:j2\"]},"
		"\"ssh\":[{\"from\":\"a@x.y\",\"to\":\"peer:t\",\"logins\":[\"deploy\"],\"via\":\"jumps\"},"
		"{\"from\":\"a@x.y\",\"to\":\"peer:t\",\"logins\":[\"root\"]}]}";
	static const struct policy_peer peers[] = {
		{.id = "p_c", .name = "c"}, {.id = "p_j1", .name = "j1"}, {.id = "p_j2", .name = "j2"},
		{.id = "p_t", .name = "t"}, {.id = "p_o", .name = "o"}};
	struct policy_ssh_query q = {.identity = "a@x.y", .caller_peer = "p_c", .target_peer = "p_t",
				     .login = "deploy", .auth_time_s = 1000, .now_s = 1000};
	struct policy_ssh_decision d;
	struct policy_world *w;
	struct policy *p = NULL, *slice = NULL;
	struct error err = {0};
	const char *ids[8];
	struct buffer out;

	(void)state;
	assert_int_equal(policy_parse("p", text, strlen(text), &p, &err), 0);
	assert_int_equal(policy_world_new(&w), 0);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(policy_world_add_peer(w, &peers[i]), 0);
	buffer_init(&out, POLICY_MAX_TEXT);
	assert_int_equal(policy_slice(p, w, "p_t", &out), 0);
	assert_int_equal(policy_parse("slice", buffer_cstring(&out), out.len, &slice, &err), 0);
	for (int part = 0; part < 2; part++) {
		const struct policy *judge = part ? slice : p;

		q.via_peer = NULL, q.login = "deploy";
		policy_ssh_check(judge, w, &q, &d);
		assert_true(d.allowed);
		q.via_peer = "p_j2";
		policy_ssh_check(judge, w, &q, &d);
		assert_true(d.allowed);
		q.via_peer = "p_o";
		policy_ssh_check(judge, w, &q, &d);
		assert_false(d.allowed);
		assert_non_null(strstr(d.reason, "not through o"));
		q.via_peer = "p_gone";
		policy_ssh_check(judge, w, &q, &d);
		assert_false(d.allowed);
		q.via_peer = "p_j2", q.login = "root";
		policy_ssh_check(judge, w, &q, &d);
		assert_false(d.allowed);
		assert_int_equal(policy_ssh_via(judge, w, &q, ids, 8), 0);
		q.login = "deploy";
		assert_int_equal(policy_ssh_via(judge, w, &q, ids, 8), 2);
		assert_string_equal(ids[0], "p_j1");
		assert_string_equal(ids[1], "p_j2");
		assert_int_equal(policy_ssh_via(judge, w, &q, ids, 1), 1);
		q.identity = "b@x.y";
		assert_int_equal(policy_ssh_via(judge, w, &q, ids, 8), 0);
		q.identity = "a@x.y";
	}
	/* The target has to know whose address that is. */
	assert_true(policy_concerns(p, w, "p_j1", "p_t"));
	assert_false(policy_concerns(p, w, "p_o", "p_t"));
	buffer_done(&out);
	policy_free(slice);
	policy_free(p);
	policy_world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_via),
		cmocka_unit_test(test_world),	       cmocka_unit_test(test_table),
		cmocka_unit_test(test_union),	       cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_logins),	       cmocka_unit_test(test_anyone),
		cmocka_unit_test(test_n4_truth_table), cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_failing_tests),  cmocka_unit_test(test_tests_in_a_world),
		cmocka_unit_test(test_explain),	       cmocka_unit_test(test_files_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
