/* SPDX-License-Identifier: Apache-2.0
 *
 * What a policy's decision makes of a certificate, and what a grant says.
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

#include "control/login_internal.h"

#define NOW 1790000000

static struct state_peer caller = {.id = "p_aaaaaaaaaaaaaaaa", .name = "first"};

static struct login_cert_want want_of(const char *login)
{
	return (struct login_cert_want){.caller = &caller,
					.target = "p_bbbbbbbbbbbbbbbb",
					.login = login,
					.identity = "alice@example.com",
					.request_id = "rrrr",
					.serial = 77,
					.auth_time_s = 1600000000,
					.now_s = NOW};
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(ip_addr_parse("100.64.0.1", &caller.v4), 0);
	assert_int_equal(ip_addr_parse("fd00:1:2::1", &caller.v6), 0);
	return 0;
}

static void test_cert(void **state)
{
	struct sshcert cert = {0};
	struct login_cert_want want = want_of("deploy");
	struct policy_ssh_decision d = {
		.allowed = true, .caps = POLICY_SSH_SHELL, .cert_ttl_s = 300};
	char text[IP_PREFIX_STRLEN];
	(void)state;
	assert_int_equal(login_cert_fill(&want, &d, &cert), 0);
	assert_int_equal(cert.type, 1);
	assert_int_equal(cert.serial, 77);
	assert_string_equal(cert.key_id, "alice@example.com caller=p_aaaaaaaaaaaaaaaa "
					 "target=p_bbbbbbbbbbbbbbbb request=rrrr auth=1600000000");
	assert_int_equal(cert.principal_count, 1);
	assert_string_equal(cert.principals[0], "deploy");
	assert_int_equal(cert.valid_after_s, NOW - 60);
	assert_int_equal(cert.valid_before_s, NOW + 300);
	assert_true(cert.has_source_address);
	assert_int_equal(cert.source_count, 2);
	assert_string_equal(ip_prefix_format(&cert.sources[0], text), "100.64.0.1/32");
	assert_string_equal(ip_prefix_format(&cert.sources[1], text), "fd00:1:2::1/128");
	assert_string_equal(cert.force_command, "");
}

static void test_extensions(void **state)
{
	static const struct {
		uint32_t caps, extensions;
	} table[] = {
		{POLICY_SSH_SHELL, SSHCERT_PERMIT_PTY | SSHCERT_PERMIT_USER_RC},
		{POLICY_SSH_EXEC, SSHCERT_PERMIT_PTY | SSHCERT_PERMIT_USER_RC},
		{POLICY_SSH_SFTP, 0},
		{POLICY_SSH_FORWARD, SSHCERT_PERMIT_PORT_FORWARDING},
		{POLICY_SSH_REMOTE_FORWARD, SSHCERT_PERMIT_PORT_FORWARDING},
		{POLICY_SSH_AGENT, SSHCERT_PERMIT_AGENT_FORWARDING},
		{POLICY_SSH_SHELL | POLICY_SSH_FORWARD | POLICY_SSH_AGENT,
		 SSHCERT_PERMIT_PTY | SSHCERT_PERMIT_USER_RC | SSHCERT_PERMIT_PORT_FORWARDING |
			 SSHCERT_PERMIT_AGENT_FORWARDING},
		{0, 0},
	};
	struct login_cert_want want = want_of("deploy");
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sshcert cert = {0};
		struct policy_ssh_decision d = {.allowed = true, .caps = table[i].caps};
		assert_int_equal(login_cert_fill(&want, &d, &cert), 0);
		assert_int_equal(cert.extensions, table[i].extensions);
	}
}

static void test_lifetime(void **state)
{
	static const struct {
		uint32_t ttl_s;
		int64_t not_after_s, want; /* 0: refused */
	} table[] = {
		{0, 0, NOW + 300},	   {3600, 0, NOW + 3600},	{1000000, 0, NOW + 86400},
		{300, NOW + 20, NOW + 20}, {300, NOW + 500, NOW + 300}, {300, NOW, 0},
		{300, NOW - 1, 0},
	};
	struct login_cert_want want = want_of("deploy");
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sshcert cert = {0};
		struct policy_ssh_decision d = {.allowed = true,
						.cert_ttl_s = table[i].ttl_s,
						.not_after_s = table[i].not_after_s};
		int r = login_cert_fill(&want, &d, &cert);
		assert_int_equal(r, table[i].want != 0 ? 0 : -EACCES);
		if (r == 0)
			assert_int_equal(cert.valid_before_s, table[i].want);
	}
}

static void test_no_cert(void **state)
{
	struct sshcert cert = {0};
	struct policy_ssh_decision d = {.allowed = false, .caps = ~0u};
	struct login_cert_want want = want_of("deploy");
	struct state_peer nowhere = {.id = "p_c"};
	(void)state;
	assert_int_equal(login_cert_fill(&want, &d, &cert), -EACCES);
	d.allowed = true;
	want.caller = &nowhere; /* no source-address would mean: from everywhere */
	assert_int_equal(login_cert_fill(&want, &d, &cert), -EINVAL);
	static const char *const bad[] = {"", "=", "a,b", "a b", "-x", "*", "root\n", "a/b"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		want = want_of(bad[i]);
		assert_int_equal(login_cert_fill(&want, &d, &cert), -EINVAL);
	}
	/* The target reads the key id up to the first space: this would be bob. */
	want = want_of("deploy");
	want.identity = "bob@example.com alice";
	assert_int_equal(login_cert_fill(&want, &d, &cert), -EINVAL);
}

static void test_grant(void **state)
{
	struct login_pending e = {.id = "id",
				  .target = "p_b",
				  .caller = "p_a",
				  .login = "deploy",
				  .session = "00ff",
				  .identity = {.user = "alice@example.com",
					       .auth_time_s = NOW - 5,
					       .group_count = 1}};
	(void)state;
	e.caller_address = caller.v4;
	e.identity.groups = calloc(1, sizeof(*e.identity.groups));
	snprintf(e.identity.groups[0], sizeof(e.identity.groups[0]), "ops");
	json_t *payload = login_grant_payload(&e, NOW);
	char *text = json_dumps(payload, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(
		text,
		"{\"auth_time\":1789999995,\"caller\":\"p_a\",\"caller_address\":\"100.64.0.1\","
		"\"groups\":[\"ops\"],\"identity\":\"alice@example.com\",\"issued\":1790000000,"
		"\"login\":\"deploy\",\"session\":\"00ff\",\"target\":\"p_b\","
		"\"valid_until\":1790000060}");
	free(text);
	json_decref(payload);
	free(e.identity.groups);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cert),	 cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_lifetime), cmocka_unit_test(test_no_cert),
		cmocka_unit_test(test_grant),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
