/* SPDX-License-Identifier: Apache-2.0
 *
 * Signed objects: round trip, every bit flipped, another type, another key, age.
 */
#include "identity/signed.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/encode.h"

static uint8_t public_key[32], secret_key[64];

static int sign(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx);
}

static int refuse(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	(void)ctx, (void)data, (void)len, (void)ret_sig;
	return -EPERM;
}

static char *make(const char *type, json_t *payload)
{
	char *text = NULL;

	assert_int_equal(signed_make(type, payload, sign, secret_key, &text), 0);
	json_decref(payload);
	return text;
}

static int open_code(const char *text, size_t len, const char *type, int64_t now, int64_t skew)
{
	struct error err = {0};
	json_t *payload = signed_open(text, len, type, public_key, now, skew, &err);

	json_decref(payload);
	if (payload)
		return 0;
	assert_true(err.code < 0);
	assert_true(err.text[0] != '\0');
	return err.code;
}

static void test_round_trip(void **state)
{
	json_t *payload = json_pack("{s:i, s:s, s:[s,s]}", "v", 1, "network", "n_ü", "a", "x", "y");
	char *text = make("server", json_incref(payload));
	json_t *back;

	(void)state;
	assert_int_equal(strncmp(text, "wso1.server.", 12), 0);
	back = signed_open(text, strlen(text), "server", public_key, 0, 0, NULL);
	assert_non_null(back);
	assert_true(json_equal(back, payload));
	json_decref(back);
	json_decref(payload);
	free(text);
}

/* RFC 8032 section 7.1 test 2 fixes the key, so that the whole text is fixed too. */
static void test_known_text(void **state)
{
	uint8_t seed[32], pk[32], sk[64], sig[64];
	char want[256], *text = NULL;
	char b64[ENCODE_BASE64URL_SIZE(64)];
	json_t *payload = json_pack("{s:i}", "v", 1);

	(void)state;
	assert_int_equal(encode_hex_exact(seed, 32,
					  "4ccd089b28ff96da9db6c346ec114e0f"
					  "5b8a319f35aba624da8cf6ed4fb8a6fb"),
			 0);
	crypto_sign_seed_keypair(pk, sk, seed);
	assert_int_equal(signed_make("t", payload, sign, sk, &text), 0);
	crypto_sign_detached(sig, NULL, (const uint8_t *)"wso1.t.eyJ2IjoxfQ", 17, sk);
	encode_base64url(b64, sig, 64);
	snprintf(want, sizeof(want), "wso1.t.eyJ2IjoxfQ.%s", b64);
	assert_string_equal(text, want);
	free(text);
	json_decref(payload);
}

static void test_every_change_is_noticed(void **state)
{
	char *text = make("server", json_pack("{s:i, s:s}", "v", 1, "k", "value"));
	size_t len = strlen(text);

	(void)state;
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ (1 << bit));
			assert_int_equal(open_code(text, len, "server", 0, 0), -EBADMSG);
			text[i] = (char)(text[i] ^ (1 << bit));
		}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(open_code(text, cut, "server", 0, 0), -EBADMSG);
	assert_int_equal(open_code(text, len, "server", 0, 0), 0);
	free(text);
}

static void test_trailing_bytes(void **state)
{
	char *text = make("server", json_pack("{s:i}", "v", 1));
	char longer[512];

	(void)state;
	snprintf(longer, sizeof(longer), "%s\n", text);
	assert_int_equal(open_code(longer, strlen(longer), "server", 0, 0), -EBADMSG);
	snprintf(longer, sizeof(longer), "%s=", text);
	assert_int_equal(open_code(longer, strlen(longer), "server", 0, 0), -EBADMSG);
	free(text);
}

static void test_type(void **state)
{
	char *text = make("grant", json_pack("{s:i}", "v", 1)), *none = NULL;
	json_t *payload = json_object(), *list = json_array();

	(void)state;
	assert_int_equal(open_code(text, strlen(text), "ssh", 0, 0), -EPROTOTYPE);
	assert_int_equal(open_code(text, strlen(text), "gran", 0, 0), -EPROTOTYPE);
	assert_int_equal(open_code(text, strlen(text), "grants", 0, 0), -EPROTOTYPE);
	free(text);
	assert_int_equal(signed_make("", payload, sign, secret_key, &none), -EINVAL);
	assert_int_equal(signed_make("a.b", payload, sign, secret_key, &none), -EINVAL);
	assert_int_equal(signed_make("ok", list, sign, secret_key, &none), -EINVAL);
	assert_int_equal(signed_make("ok", payload, refuse, NULL, &none), -EPERM);
	assert_null(none);
	json_decref(payload);
	json_decref(list);
}

static void test_other_key(void **state)
{
	char *text = make("grant", json_pack("{s:i}", "v", 1));
	uint8_t other_public[32], other_secret[64];
	struct error err = {0};

	(void)state;
	crypto_sign_keypair(other_public, other_secret);
	assert_null(signed_open(text, strlen(text), "grant", other_public, 0, 0, &err));
	assert_int_equal(err.code, -EBADMSG);
	/* Another key is noticed before another type. */
	assert_null(signed_open(text, strlen(text), "ssh", other_public, 0, 0, &err));
	assert_int_equal(err.code, -EBADMSG);
	free(text);
}

static void test_age(void **state)
{
	char *text = make("grant", json_pack("{s:i}", "valid_until", 1000));

	(void)state;
	assert_int_equal(open_code(text, strlen(text), "grant", 1000, 0), 0);
	assert_int_equal(open_code(text, strlen(text), "grant", 1001, 0), -ETIME);
	assert_int_equal(open_code(text, strlen(text), "grant", 1060, 60), 0);
	assert_int_equal(open_code(text, strlen(text), "grant", 1061, 60), -ETIME);
	assert_int_equal(open_code(text, strlen(text), "grant", 0, 0), 0);
	free(text);
	text = make("grant", json_pack("{s:s}", "valid_until", "1000"));
	assert_int_equal(open_code(text, strlen(text), "grant", 1, 0), -EBADMSG);
	free(text);
	text = make("grant", json_pack("{s:i}", "valid_until", -1));
	assert_int_equal(open_code(text, strlen(text), "grant", 1, 0), -EBADMSG);
	free(text);
}

/* Good signatures over what is no object of ours. */
static void test_signed_nonsense(void **state)
{
	static const char *const bodies[] = {
		"wso1.t.bm90IGpzb24",	     /* not json */
		"wso1.t.W10",		     /* [] */
		"wso1.t.eyJ2IjoxfQ==",	     /* padded */
		"wso1.t.eyJhIjoxLCJhIjoyfQ", /* {"a":1,"a":2} */
		"wso1.t.",
		"wso1.t",
		"wso1..eyJ2IjoxfQ",
		"wso1.T.eyJ2IjoxfQ",
		"wso2.t.eyJ2IjoxfQ",
		"wso1.t.eyJ2IjoxfQ.x",
	};
	char b64[ENCODE_BASE64URL_SIZE(64)], text[512];
	uint8_t sig[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		crypto_sign_detached(sig, NULL, (const uint8_t *)bodies[i], strlen(bodies[i]),
				     secret_key);
		encode_base64url(b64, sig, 64);
		snprintf(text, sizeof(text), "%s.%s", bodies[i], b64);
		assert_int_equal(open_code(text, strlen(text), "t", 0, 0), -EBADMSG);
	}
}

static void test_fingerprint(void **state)
{
	uint8_t key[32] = {0}, print[16];
	char hex[ENCODE_HEX_SIZE(16)];

	(void)state;
	signed_fingerprint(key, print);
	encode_hex(hex, print, 16);
	assert_string_equal(hex, "66687aadf862bd776c8fc18b8e9f8e20"); /* sha256sum of 32 zeros */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_known_text),
		cmocka_unit_test(test_every_change_is_noticed),
		cmocka_unit_test(test_trailing_bytes),
		cmocka_unit_test(test_type),
		cmocka_unit_test(test_other_key),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_signed_nonsense),
		cmocka_unit_test(test_fingerprint),
	};

	if (sodium_init() < 0)
		return 1;
	crypto_sign_keypair(public_key, secret_key);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
