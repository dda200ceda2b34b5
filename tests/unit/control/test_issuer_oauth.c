/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider's pure rules: RFC 7636's vector, redirect URIs, user codes, scopes; and the table
 * that counts tries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/issuer_oauth.h"
#include "control/issuer_throttle.h"

#define URL "https://control.example:8443"

/* RFC 7636 appendix B. */
#define VERIFIER  "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

static void test_pkce(void **state)
{
	char changed[64];
	(void)state;
	assert_true(issuer_oauth_challenge_ok(CHALLENGE));
	assert_true(issuer_oauth_verifier_ok(CHALLENGE, VERIFIER));
	snprintf(changed, sizeof(changed), "%s", VERIFIER);
	changed[42] = 'l';
	assert_false(issuer_oauth_verifier_ok(CHALLENGE, changed));
	/* Too short, too long, and letters outside of the unreserved ones. */
	assert_false(issuer_oauth_verifier_ok(CHALLENGE, "short"));
	char longer[130];
	memset(longer, 'a', 129);
	longer[129] = 0;
	assert_false(issuer_oauth_verifier_ok(CHALLENGE, longer));
	assert_false(issuer_oauth_verifier_ok(CHALLENGE, ""));
	changed[42] = '+';
	assert_false(issuer_oauth_verifier_ok(CHALLENGE, changed));
	/* "plain": the verifier itself is no challenge. */
	assert_false(issuer_oauth_verifier_ok(VERIFIER, VERIFIER));
	assert_false(issuer_oauth_challenge_ok(""));
	assert_false(issuer_oauth_challenge_ok("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c"));
	assert_false(issuer_oauth_challenge_ok("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"));
}

static void test_redirects(void **state)
{
	static const struct {
		const char *client, *uri;
		enum issuer_redirect want;
	} table[] = {
		{"warren", "http://127.0.0.1:41234/callback", ISSUER_REDIRECT_LOOPBACK},
		{"warren", "http://127.0.0.1:1/", ISSUER_REDIRECT_LOOPBACK},
		{"warren", "http://127.0.0.1:65535", ISSUER_REDIRECT_LOOPBACK},
		{"warren", "http://[::1]:8080/callback", ISSUER_REDIRECT_LOOPBACK},
		{"warren", URL "/ssh/callback", ISSUER_REDIRECT_OURS},
		{"warren-control", URL "/ssh/callback", ISSUER_REDIRECT_OURS},
		{"warren-control", "http://127.0.0.1:41234/callback", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1/callback", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1:0/callback", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1:65536/callback", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1:123456/callback", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1:80@evil.example/", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1:80.evil.example/", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1.evil.example:80/", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://localhost:80/callback", ISSUER_REDIRECT_REFUSED},
		{"warren", "https://127.0.0.1:80/callback", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.2:80/callback", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1:80/callback?x=1", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1:80/callback#x", ISSUER_REDIRECT_REFUSED},
		{"warren", "http://127.0.0.1:80/a\r\nSet-Cookie: x", ISSUER_REDIRECT_REFUSED},
		{"warren", URL "/ssh/callback/", ISSUER_REDIRECT_REFUSED},
		{"warren", URL "/ssh/callback?x", ISSUER_REDIRECT_REFUSED},
		{"warren", URL ".evil.example/ssh/callback", ISSUER_REDIRECT_REFUSED},
		{"warren", "", ISSUER_REDIRECT_REFUSED},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct issuer_client *client = issuer_oauth_client(table[i].client);
		assert_non_null(client);
		enum issuer_redirect got = issuer_oauth_redirect(client, URL, table[i].uri);
		if (got != table[i].want)
			fail_msg("%s with %s: %d", table[i].client, table[i].uri, (int)got);
	}
	assert_null(issuer_oauth_client("warren-other"));
	assert_null(issuer_oauth_client(""));
}

static void test_scopes(void **state)
{
	char text[ISSUER_SCOPE_TEXT];
	(void)state;
	assert_int_equal(issuer_oauth_scopes(""), 0);
	assert_int_equal(issuer_oauth_scopes("openid"), ISSUER_SCOPE_OPENID);
	assert_int_equal(issuer_oauth_scopes("openidx xopenid admin"), 0);
	unsigned all = issuer_oauth_scopes("offline_access  groups profile email openid");
	assert_int_equal(all, 31);
	issuer_oauth_scope_text(all, text);
	assert_string_equal(text, "openid email profile groups offline_access");
	issuer_oauth_scope_text(ISSUER_SCOPE_EMAIL, text);
	assert_string_equal(text, "email");
}

static void test_user_codes(void **state)
{
	struct random_fake fake = {.state = 7};
	struct random_source random = random_fake_source(&fake);
	char code[ISSUER_USER_CODE_SIZE], read[ISSUER_USER_CODE_SIZE], typed[32];
	size_t seen[256] = {0};
	(void)state;
	for (int i = 0; i < 2500; i++) {
		issuer_oauth_user_code(&random, code);
		assert_int_equal(strlen(code), 9);
		assert_int_equal(code[4], '-');
		assert_int_equal(issuer_oauth_user_code_read(code, read), 0);
		assert_string_equal(code, read);
		for (int n = 0; n < 9; n++)
			seen[(unsigned char)code[n]]++;
	}
	/* 20,000 letters: each of the twenty about 1,000 times. */
	size_t letters = 0;
	for (int c = 'A'; c <= 'Z'; c++) {
		letters += seen[c] != 0;
		if (seen[c] != 0)
			assert_in_range(seen[c], 850, 1150);
	}
	assert_int_equal(letters, 20);
	/* As people type. */
	snprintf(typed, sizeof(typed), " %c%.3s %.4s ", code[0] - 'A' + 'a', code + 1, code + 5);
	assert_int_equal(issuer_oauth_user_code_read(typed, read), 0);
	assert_string_equal(code, read);
	assert_int_equal(issuer_oauth_user_code_read("BCDF-GHJ", read), -EINVAL);
	assert_int_equal(issuer_oauth_user_code_read("BCDF-GHJKL", read), -EINVAL);
	assert_int_equal(issuer_oauth_user_code_read("ACDF-GHJK", read), -EINVAL);
	assert_int_equal(issuer_oauth_user_code_read("", read), -EINVAL);
	assert_int_equal(issuer_oauth_user_code_read("<script>", read), -EINVAL);
}

static void test_email(void **state)
{
	char out[256], small[8];
	(void)state;
	assert_int_equal(issuer_oauth_email("Alice@Example.COM", out, sizeof(out)), 0);
	assert_string_equal(out, "alice@example.com");
	assert_int_equal(issuer_oauth_email("a+b@c", out, sizeof(out)), 0);
	static const char *const bad[] = {"",	   "@",	    "a@",      "@b",	 "ab",
					  "a@b@c", "a b@c", "a@b\n",   "<a>@b",	 "a\"@b",
					  "a,b@c", "a@b;c", "a\x7f@b", "a\x01@b"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(issuer_oauth_email(bad[i], out, sizeof(out)), -EINVAL);
	assert_int_equal(issuer_oauth_email("alice@x.y", small, sizeof(small)), -EINVAL);
}

static void test_percent(void **state)
{
	char out[32];
	(void)state;
	assert_int_equal(issuer_oauth_percent("a-z.~_ &=\xc3\xa9", out, sizeof(out)), 0);
	assert_string_equal(out, "a-z.~_%20%26%3D%C3%A9");
	assert_int_equal(issuer_oauth_percent("\r\n", out, 6), -EMSGSIZE);
	assert_int_equal(issuer_oauth_percent("\r\n", out, 7), 0);
	assert_string_equal(out, "%0D%0A");
}

static void test_throttle(void **state)
{
	struct random_fake fake = {.state = 1};
	struct random_source random = random_fake_source(&fake);
	const struct issuer_rate rate = {5, 30 * NSEC_PER_SEC};
	struct issuer_throttle *t;
	uint64_t now = 1000 * NSEC_PER_SEC;
	unsigned wait = 0;
	(void)state;
	assert_int_equal(issuer_throttle_new(&random, &t), 0);
	for (int i = 0; i < 5; i++)
		assert_true(issuer_throttle_take(t, "a", &rate, now, &wait));
	assert_false(issuer_throttle_take(t, "a", &rate, now, &wait));
	assert_int_equal(wait, 30);
	assert_true(issuer_throttle_take(t, "b", &rate, now, &wait));
	now += 29 * NSEC_PER_SEC;
	assert_false(issuer_throttle_take(t, "a", &rate, now, &wait));
	assert_int_equal(wait, 1);
	now += NSEC_PER_SEC;
	assert_true(issuer_throttle_take(t, "a", &rate, now, &wait));
	assert_false(issuer_throttle_take(t, "a", &rate, now, &wait));
	/* A success gives its try back. */
	issuer_throttle_give(t, "a", &rate);
	assert_true(issuer_throttle_take(t, "a", &rate, now, &wait));
	assert_false(issuer_throttle_take(t, "a", &rate, now, &wait));
	/* A flood of other keys, one try each, does not free the exhausted one. */
	for (int i = 0; i < 50000; i++) {
		char key[32];
		snprintf(key, sizeof(key), "flood %d", i);
		issuer_throttle_take(t, key, &rate, now, &wait);
	}
	assert_false(issuer_throttle_take(t, "a", &rate, now, &wait));
	/* Rest fills it up, and no further. */
	now += 86400 * NSEC_PER_SEC;
	for (int i = 0; i < 5; i++)
		assert_true(issuer_throttle_take(t, "a", &rate, now, &wait));
	assert_false(issuer_throttle_take(t, "a", &rate, now, &wait));
	issuer_throttle_free(t);
}

static void test_throttle_source(void **state)
{
	struct endpoint ep;
	char key[96], other[96];
	(void)state;
	assert_int_equal(endpoint_parse("192.0.2.7:1000", &ep), 0);
	issuer_throttle_source("login", &ep, key, sizeof(key));
	assert_string_equal(key, "login|192.0.2.7");
	assert_int_equal(endpoint_parse("[2001:db8::1:2:3:4]:1", &ep), 0);
	issuer_throttle_source("login", &ep, key, sizeof(key));
	assert_int_equal(endpoint_parse("[2001:db8::9:9:9:9]:1", &ep), 0);
	issuer_throttle_source("login", &ep, other, sizeof(other));
	assert_string_equal(key, other); /* one /64 is one source */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pkce),	 cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_scopes),	 cmocka_unit_test(test_user_codes),
		cmocka_unit_test(test_email),	 cmocka_unit_test(test_percent),
		cmocka_unit_test(test_throttle), cmocka_unit_test(test_throttle_source),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
