/* SPDX-License-Identifier: Apache-2.0
 *
 * "workloads": reading, matching (globs against a slow oracle), and what they may in rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "policy/policy.h"

#define NOW 1790000000

static struct policy *parse(const char *text)
{
	struct policy *p = NULL;
	struct error err = {0};

	if (policy_parse("p", text, strlen(text), &p, &err) < 0)
		fail_msg("%s", err.text);
	return p;
}

static void refused(const char *text, const char *words)
{
	struct policy *p = NULL;
	struct error err = {0};

	assert_true(policy_parse("p", text, strlen(text), &p, &err) < 0);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

/* Claims as "name=value" lines. */
static const char *value(void *ctx, const char *claim, size_t index)
{
	const char *const *lines = ctx;

	for (; *lines; lines++)
		if (strncmp(*lines, claim, strlen(claim)) == 0 && (*lines)[strlen(claim)] == '=' &&
		    index-- == 0)
			return *lines + strlen(claim) + 1;
	return NULL;
}

static int whom(const struct policy *p, const char *issuer, const char *const *lines,
		const char **ret_name, bool *ret_enroll)
{
	union {
		const char *const *lines;
		void *ctx;
	} u = {.lines = lines};
	const struct policy_claims claims = {u.ctx, value};
	struct error err = {0};

	*ret_name = "";
	return policy_workload(p, issuer, &claims, ret_name, ret_enroll, &err);
}

#define CI "\"issuer\":\"https://ci.example\""

static void test_match(void **state)
{
	struct policy *p = parse(
		"{\"workloads\":{"
		"\"deploy\":{" CI
		",\"claims\":{\"repository\":\"org/app\",\"ref\":[\"refs/heads/main\","
		"\"refs/tags/v*\"]}},"
		"\"build\":{" CI ",\"claims\":{\"repository\":\"org/lib-*\"},\"enroll\":true},"
		"\"twice\":{" CI ",\"claims\":{\"repository\":\"org/lib-x\"}},"
		"\"named\":{}}}");
	static const char *const good[] = {"repository=org/app", "ref=refs/heads/main", NULL};
	static const char *const tag[] = {"repository=org/app", "ref=refs/tags/v1.2", NULL};
	static const char *const deep[] = {"repository=org/app", "ref=refs/tags/v1/x", NULL};
	static const char *const other[] = {"repository=org/app2", "ref=refs/heads/main", NULL};
	static const char *const less[] = {"repository=org/app", NULL};
	static const char *const array[] = {"repository=x", "repository=org/lib-a", NULL};
	static const char *const both[] = {"repository=org/lib-x", NULL};
	static const char *const none[] = {NULL};
	const char *name;
	bool enroll = true;

	(void)state;
	assert_int_equal(whom(p, "https://ci.example", good, &name, &enroll), 0);
	assert_string_equal(name, "deploy");
	assert_false(enroll);
	assert_int_equal(whom(p, "https://ci.example", tag, &name, &enroll), 0);
	assert_int_equal(whom(p, "https://ci.example", deep, &name, &enroll), -ENOENT);
	assert_int_equal(whom(p, "https://ci.example", other, &name, &enroll), -ENOENT);
	assert_int_equal(whom(p, "https://ci.example", less, &name, &enroll), -ENOENT);
	assert_int_equal(whom(p, "https://ci.example", none, &name, &enroll), -ENOENT);
	assert_int_equal(whom(p, "https://ci.example/", good, &name, &enroll), -ENOENT);
	assert_int_equal(whom(p, "", good, &name, &enroll), -ENOENT);
	assert_int_equal(whom(p, "https://ci.example", array, &name, &enroll), 0);
	assert_string_equal(name, "build");
	assert_true(enroll);
	assert_int_equal(whom(p, "https://ci.example", both, &name, &enroll), -ENOTUNIQ);
	policy_free(p);
}

static void test_refused(void **state)
{
	(void)state;
	refused("{\"workloads\":[]}", "workloads");
	refused("{\"workloads\":{\"Deploy\":{" CI ",\"claims\":{\"a\":\"b\"}}}}", "name");
	refused("{\"workloads\":{\"d\":{" CI "}}}", "claims");
	refused("{\"workloads\":{\"d\":{\"claims\":{\"a\":\"b\"}}}}", "issuer");
	refused("{\"workloads\":{\"d\":{\"issuer\":\"http://x\",\"claims\":{\"a\":\"b\"}}}}",
		"https");
	refused("{\"workloads\":{\"d\":{" CI ",\"claims\":{}}}}", "every token");
	refused("{\"workloads\":{\"d\":{" CI ",\"claims\":{\"a\":\"**\"}}}}", "everybody");
	refused("{\"workloads\":{\"d\":{" CI ",\"claims\":{\"a\":[]}}}}", "write one");
	refused("{\"workloads\":{\"d\":{" CI ",\"claims\":{\"a\":7}}}}", "string");
	refused("{\"workloads\":{\"d\":{" CI ",\"claims\":{\"a\":\"b\"},\"enrol\":true}}}",
		"enroll");
	refused("{\"groups\":{\"g\":[\"workload:nobody\"]}}", "no workload");
	refused("{\"groups\":{\"g\":[\"user:workload:x\"]}}", "no person");
}

static bool slow_glob(const char *p, const char *t)
{
	if (*p == '\0')
		return *t == '\0';
	if (p[0] == '*' && p[1] == '*')
		return slow_glob(p + 2, t) || (p[2] == '*' && slow_glob(p + 1, t)) ||
		       (*t && slow_glob(p, t + 1));
	if (*p == '*')
		return slow_glob(p + 1, t) || (*t && *t != '/' && slow_glob(p, t + 1));
	return *p == *t && slow_glob(p + 1, t + 1);
}

static void test_glob(void **state)
{
	static const char letters[] = "ab/*";
	struct random_fake fake = {.state = 11};
	struct random_source source = random_fake_source(&fake);
	unsigned yes = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint8_t raw[18];
		char pattern[9] = "", text[10] = "";
		size_t n, m;

		random_bytes(&source, raw, sizeof(raw));
		n = raw[0] % 8;
		m = raw[1] % 9;
		for (size_t j = 0; j < n; j++)
			pattern[j] = letters[raw[2 + j] % 4];
		for (size_t j = 0; j < m; j++)
			text[j] = letters[raw[9 + j] % 3];
		yes += slow_glob(pattern, text);
		if (policy_workload_glob(pattern, text) != slow_glob(pattern, text))
			fail_msg("%s on %s", pattern, text);
	}
	assert_true(yes > 1000);
}

static bool may(const struct policy *p, const struct policy_world *w, const char *identity)
{
	struct policy_ssh_query query = {.identity = identity,
					 .caller_peer = "p_c",
					 .target_peer = "p_t",
					 .login = "deploy",
					 .auth_time_s = NOW,
					 .now_s = NOW};
	struct policy_ssh_decision d;

	policy_ssh_check(p, w, &query, &d);
	return d.allowed;
}

static void test_rules(void **state)
{
	static const char *const ids[] = {"workload:bot"};
	struct policy_world *w;
	struct policy_peer caller = {
		.id = "p_c", .name = "c", .identities = ids, .identity_count = 1};
	struct policy_peer target = {
		.id = "p_t", .name = "t", .ssh_enabled = true, .ssh_advertised = true};
	struct buffer out;
	struct policy *p, *slice;

	(void)state;
	assert_int_equal(ip_addr_parse("100.64.0.1", &caller.v4), 0);
	assert_int_equal(ip_addr_parse("100.64.0.2", &target.v4), 0);
	assert_int_equal(policy_world_new(&w), 0);
	assert_int_equal(policy_world_add_peer(w, &caller), 0);
	assert_int_equal(policy_world_add_peer(w, &target), 0);
	p = parse("{\"workloads\":{\"bot\":{" CI ",\"claims\":{\"a\":\"b\"}},\"other\":{}},"
		  "\"groups\":{\"ci\":[\"workload:bot\"]},"
		  "\"rules\":[{\"from\":\"workload:bot\",\"to\":\"peer:t\",\"ports\":22}],"
		  "\"ssh\":[{\"from\":\"ci\",\"to\":\"peer:t\",\"logins\":[\"deploy\"]}],"
		  "\"tests\":[{\"from\":\"workload:bot\",\"accept\":[\"peer:t:22\"]},"
		  "{\"from\":\"workload:other\",\"deny\":[\"peer:t:22\"]}],"
		  "\"sshTests\":[{\"from\":\"workload:bot\",\"to\":\"peer:t\",\"accept\":["
		  "\"deploy\"],"
		  "\"deny\":[\"root\"]}]}");
	struct error err = {0};
	if (policy_run_tests(p, NULL, NOW, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(may(p, w, "workload:bot"));
	assert_false(may(p, w, "workload:other"));
	assert_false(may(p, w, "bot"));
	assert_true(policy_allows(p, w, "p_c", "p_t", POLICY_PROTO_TCP, 22, NOW, NULL));
	/* Nobody is asked to sign in as a workload. */
	assert_false(policy_ssh_anyone(p, w, "p_c", "p_t", "deploy", NOW));

	/* Machines get the name and not the claims, and judge the same. */
	buffer_init(&out, POLICY_MAX_TEXT);
	assert_int_equal(policy_slice(p, w, "p_t", &out), 0);
	assert_non_null(strstr(buffer_cstring(&out), "\"workloads\":{\"bot\":{}}"));
	assert_null(strstr(buffer_cstring(&out), "ci.example"));
	slice = parse(buffer_cstring(&out));
	assert_true(may(slice, w, "workload:bot"));
	assert_false(may(slice, w, "workload:other"));
	policy_free(slice);
	buffer_done(&out);
	policy_free(p);

	/* "*" is every person. */
	p = parse("{\"ssh\":[{\"from\":\"*\",\"to\":\"*\",\"logins\":[\"deploy\"]}]}");
	assert_true(may(p, w, "alice@example.com"));
	assert_false(may(p, w, "workload:bot"));
	policy_free(p);
	policy_world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_glob),
		cmocka_unit_test(test_rules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
