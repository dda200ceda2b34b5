/* SPDX-License-Identifier: Apache-2.0
 *
 * What tests/netns/test_authorized_keys.sh cannot see from outside: what a grant holds, patterns
 * against an oracle, bounds, times, and names of files.
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

#include "ssh/authorized_keys_file.h"

#define NOW INT64_C(1790000000)
#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static uint8_t blob[51] = "\0\0\0\vssh-ed25519\0\0\0 ";
static struct authorized_keys_grant grant;

static int match(const char *text, size_t len)
{
	const struct authorized_keys_query q = {
		.blob = blob,
		.blob_len = sizeof(blob),
		.login = "deploy",
		.client = {.family = 4, .bytes = {100, 64, 0, 9}},
		.client_name = "Laptop",
		.now_s = NOW,
	};

	memset(&grant, 0xa5, sizeof(grant));
	return authorized_keys_match(text, len, &q, &grant, NULL);
}

static int match_text(const char *text)
{
	return match(text, strlen(text));
}

static void what_a_grant_holds(void **state)
{
	(void)state;
	assert_int_equal(match_text("# one\n" KEY " me\n"), 0);
	assert_int_equal(grant.line, 2);
	assert_true(grant.pty && grant.port_forwarding && grant.agent_forwarding);
	assert_false(grant.has_command || grant.limits_open || grant.limits_listen);
	assert_int_equal(
		match_text("restrict,pty,command=\"a \\\"b\\\"\",environment=\"A=1\",environment="
			   "\"B=2\",environment=\"A=3\",permitopen=\"[fd00::1]:22\",permitopen="
			   "\"db:*\",permitlisten=\"8080\" " KEY),
		0);
	assert_true(grant.pty && grant.has_command && grant.limits_open && grant.limits_listen);
	assert_false(grant.port_forwarding || grant.agent_forwarding);
	assert_string_equal(grant.command, "a \"b\"");
	assert_int_equal(grant.env_count, 2);
	assert_string_equal(grant.env[0], "A=1");
	assert_int_equal(grant.open_count, 2);
	assert_string_equal(grant.open[0].host, "fd00::1");
	assert_int_equal(grant.open[0].port, 22);
	assert_int_equal(grant.open[1].port, 0);
	assert_string_equal(grant.listen[0].host, "*");
	assert_false(authorized_keys_may_open(&grant, "db", 1)); /* no forwarding at all */
	grant.port_forwarding = true;
	assert_true(authorized_keys_may_open(&grant, "db", 1));
	assert_true(authorized_keys_may_open(&grant, "fd00::1", 22));
	assert_false(authorized_keys_may_open(&grant, "fd00::1", 23));
	assert_false(authorized_keys_may_open(&grant, "DB", 1));
	assert_true(authorized_keys_may_listen(&grant, "localhost", 8080));
	assert_false(authorized_keys_may_listen(&grant, "localhost", 8081));
}

static void refusals(void **state)
{
	static const char *const other[] = {
		"", "\n", "#" KEY, "cert-authority " KEY,
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	};
	static const char *const no[] = {
		"frob " KEY,
		"no-cert-authority " KEY,
		"command=x " KEY,
		"from=\"\" " KEY,
		"from=\"100.64.0.1/10\" " KEY,
		"from=\"desktop\" " KEY,
		"from=\"!laptop,*\" " KEY,
		"expiry-time=\"20000101\" " KEY,
		"expiry-time=\"20990230\" " KEY,
		"permitopen=\"db\" " KEY,
		"permitopen=\"db:0\" " KEY,
		"permitopen=\"db:65536\" " KEY,
		"permitlisten=\"db:x\" " KEY,
		"environment=\"A\" " KEY,
		"environment=\"A-B=1\" " KEY,
		"principals=\"deploy\" " KEY,
		"tunnel=\"\" " KEY,
		"command=\"a\",command=\"a\" " KEY,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_int_equal(match_text(other[i]), -ENOENT);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		char both[1024];

		assert_int_equal(match_text(no[i]), -EACCES);
		snprintf(both, sizeof(both), "%s\n%s\n", no[i], KEY);
		assert_int_equal(match_text(both), 0); /* a later line may allow */
		assert_int_equal(grant.line, 2);
	}
	assert_int_equal(match_text("from=\"laptop\" " KEY), 0);
	assert_int_equal(match("x\0" KEY "\n", sizeof("x\0" KEY)), -ENOENT);
}

/* Too much of anything refuses, and is never cut. */
static void bounds(void **state)
{
	char *text = malloc(2 * AUTHORIZED_KEYS_LINE_MAX);
	int len;

	(void)state;
	assert_non_null(text);
	memset(text, ' ', AUTHORIZED_KEYS_LINE_MAX);
	len = snprintf(text + AUTHORIZED_KEYS_LINE_MAX, AUTHORIZED_KEYS_LINE_MAX, "%s", KEY);
	assert_int_equal(match(text, AUTHORIZED_KEYS_LINE_MAX + (size_t)len), -ENOENT);
	len = snprintf(text, 2 * AUTHORIZED_KEYS_LINE_MAX, "command=\"%0*d\" %s",
		       AUTHORIZED_KEYS_COMMAND_MAX - 1, 0, KEY);
	assert_int_equal(match(text, (size_t)len), 0);
	len = snprintf(text, 2 * AUTHORIZED_KEYS_LINE_MAX, "command=\"%0*d\" %s",
		       AUTHORIZED_KEYS_COMMAND_MAX, 0, KEY);
	assert_int_equal(match(text, (size_t)len), -EACCES);
	len = 0;
	for (int i = 0; i <= AUTHORIZED_KEYS_PERMITS_MAX; i++)
		len += snprintf(text + len, 64, "%spermitopen=\"a:%d\"", i ? "," : "", i + 1);
	len += snprintf(text + len, 200, " %s", KEY);
	assert_int_equal(match(text, (size_t)len), -EACCES);
	free(text);
}

/* Slow and obvious. */
static bool oracle(const char *text, const char *pattern)
{
	if (*pattern == '\0')
		return *text == '\0';
	if (*pattern == '*')
		return oracle(text, pattern + 1) || (*text != '\0' && oracle(text + 1, pattern));
	return *text != '\0' && (*pattern == '?' || *pattern == *text) &&
	       oracle(text + 1, pattern + 1);
}

static void patterns(void **state)
{
	static const char letters[] = "ab*?";
	uint32_t seed = 1;

	(void)state;
	for (int n = 0; n < 20000; n++) {
		char text[9] = "", pattern[9] = "";

		for (size_t i = 0; i < 8; i++) {
			seed = seed * 1103515245 + 12345;
			text[i] = letters[(seed >> 16) % 2];
			pattern[i] = letters[(seed >> 20) % 4];
		}
		text[(seed >> 8) % 9] = '\0';
		pattern[(seed >> 12) % 9] = '\0';
		assert_int_equal(authorized_keys_pattern(text, pattern), oracle(text, pattern));
	}
}

static void times(void **state)
{
	static const char *const bad[] = {"",	      "2026",	       "20260631",
					  "20260100", "2026010124000", "202601012400",
					  "19690101Z", "20260101ZZ",   "2026010112x"};
	int64_t at;

	(void)state;
	assert_int_equal(authorized_keys_time("20260102030405Z", &at), 0);
	assert_int_equal(at, 1767323045);
	assert_int_equal(authorized_keys_time("202601020304UTC", &at), 0);
	assert_int_equal(at, 1767323040);
	assert_int_equal(authorized_keys_time("20260102z", &at), 0);
	assert_int_equal(at, 1767312000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(authorized_keys_time(bad[i], &at), -EINVAL);
}

static void names(void **state)
{
	const struct user_account account = {.name = "deploy", .uid = 7, .home = "/home/deploy"};
	char out[64];

	(void)state;
#define NAME(pattern) \
	authorized_keys_file_name(pattern, strlen(pattern), &account, out, sizeof(out))
	assert_int_equal(NAME(".ssh/authorized_keys"), 0);
	assert_string_equal(out, "/home/deploy/.ssh/authorized_keys");
	assert_int_equal(NAME("/etc/keys/%u.%U%%"), 0);
	assert_string_equal(out, "/etc/keys/deploy.7%");
	assert_int_equal(NAME("%h/keys"), 0);
	assert_string_equal(out, "/home/deploy/keys");
	assert_int_equal(NAME("%x"), -EINVAL);
	assert_int_equal(NAME("a%"), -EINVAL);
	assert_int_equal(NAME("0123456789012345678901234567890123456789012345678901234567890"),
			 -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_grant_holds),
		cmocka_unit_test(refusals),
		cmocka_unit_test(bounds),
		cmocka_unit_test(patterns),
		cmocka_unit_test(times),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
