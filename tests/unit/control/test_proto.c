/* SPDX-License-Identifier: Apache-2.0
 *
 * control/proto: request signatures against RFC 9421 appendix B.2.6 and RFC 9530, strict reading,
 * every changed bit refused; maps against a property (apply(diff(a, b)) is b); setup keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/proto/httpsig.h"
#include "control/proto/map.h"
#include "control/proto/setup_key.h"
#include "platform/clock.h"
#include "platform/encode.h"

/* ---- RFC 9421, appendix B.1.4 (key) and B.2.6 (signature) ---- */

static void test_vector_b26(void **state)
{
	const struct httpsig_component components[] = {
		{"date", "Tue, 20 Apr 2021 02:07:55 GMT"},
		{"@method", "POST"},
		{"@path", "/foo"},
		{"@authority", "example.com"},
		{"content-type", "application/json"},
		{"content-length", "18"},
	};
	const char *params = "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" "
			     "\"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
	uint8_t seed[32], public_key[32], expected_public[32], secret[64], signature[64],
		expected[64];
	struct buffer base;

	(void)state;
	assert_int_equal(
		0, encode_base64url_exact(seed, 32, "n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU"));
	assert_int_equal(0, encode_base64url_exact(expected_public, 32,
						   "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"));
	assert_int_equal(0, encode_base64_exact(expected, 64,
						"wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1"
						"u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="));
	setup_key_pair(seed, public_key, secret);
	assert_memory_equal(public_key, expected_public, 32);
	buffer_init(&base, 4096);
	assert_int_equal(0, httpsig_base(components, 6, params, &base));
	assert_int_equal(0, crypto_sign_detached(signature, NULL, base.data, base.len, secret));
	assert_memory_equal(signature, expected, 64);
	buffer_done(&base);
}

/* RFC 9530 appendix D: the digest of {"hello": "world"} and a line feed is another; this one is of
 * RFC 9421 section 7.2.5's body without one. */
static void test_digest(void **state)
{
	char digest[HTTPSIG_DIGEST_SIZE];

	(void)state;
	httpsig_digest("{\"hello\": \"world\"}", 18, digest);
	assert_string_equal(digest, "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
	httpsig_digest(NULL, 0, digest);
	assert_string_equal(digest, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
}

struct signed_request {
	struct httpsig_message m;
	uint8_t public_w[32], public_i[32];
	struct httpsig_headers h;
	const char *digest, *input, *signature;
};

static void sign(struct signed_request *r)
{
	uint8_t seed[32] = {1}, secret_w[64], secret_i[64], nonce[16] = {7};

	setup_key_pair(seed, r->public_w, secret_w);
	seed[0] = 2;
	setup_key_pair(seed, r->public_i, secret_i);
	r->m = (struct httpsig_message){"POST", "control:8443", "/v1/enroll", "a=b", "{}", 2};
	const struct httpsig_key keys[] = {{'w', "sk_abc", secret_w}, {'i', "ik_def", secret_i}};
	assert_int_equal(0, httpsig_sign(&r->m, keys, 2, 1790000000, nonce, &r->h));
	r->digest = r->h.digest + strlen("Content-Digest: ");
	r->input = r->h.input + strlen("Signature-Input: ");
	r->signature = r->h.signature + strlen("Signature: ");
}

static int verify(const struct signed_request *r, char label)
{
	return httpsig_verify(&r->m, r->digest, r->input, r->signature, label,
			      label == 'w' ? r->public_w : r->public_i);
}

static void test_sign_verify(void **state)
{
	struct signed_request r;
	struct httpsig_parsed p;

	(void)state;
	sign(&r);
	assert_int_equal(0, verify(&r, 'w'));
	assert_int_equal(0, verify(&r, 'i'));
	assert_int_equal(-EBADMSG, verify(&r, 'x'));
	assert_int_equal(0, httpsig_parse(r.input, 'i', &p));
	assert_string_equal(p.keyid, "ik_def");
	assert_int_equal(p.created_s, 1790000000);
	assert_string_equal(p.nonce, "BwAAAAAAAAAAAAAAAAAAAA");
	assert_int_equal(-ENOENT, httpsig_parse(r.input, 'x', &p));
}

static void test_everything_is_covered(void **state)
{
	struct signed_request r, good;

	(void)state;
	sign(&good);
	r = good;
	r.m.method = "PUT";
	assert_int_equal(-EBADMSG, verify(&r, 'w'));
	r = good;
	r.m.authority = "control:8444";
	assert_int_equal(-EBADMSG, verify(&r, 'w'));
	r = good;
	r.m.path = "/v1/enrol";
	assert_int_equal(-EBADMSG, verify(&r, 'w'));
	r = good;
	r.m.query = "a=c";
	assert_int_equal(-EBADMSG, verify(&r, 'w'));
	r = good;
	r.m.query = NULL;
	assert_int_equal(-EBADMSG, verify(&r, 'w'));
	r = good;
	r.m.body = "[]";
	assert_int_equal(-EBADMSG, verify(&r, 'w'));
	/* A line break in a component can't make a second line of the base. */
	r = good;
	r.m.path = "/v1/enroll\n\"@query\": ?a=b";
	assert_int_equal(-EBADMSG, verify(&r, 'w'));
	/* Each byte of the fields. */
	for (int field = 0; field < 3; field++) {
		const char *text = field == 0	? good.digest
				   : field == 1 ? good.input
						: good.signature;

		for (size_t i = 0; i < strlen(text); i++) {
			char *changed = strdup(text);

			changed[i] ^= 1;
			struct signed_request w = good;
			*(field == 0 ? &w.digest : field == 1 ? &w.input : &w.signature) = changed;
			/* The other label's part may change without harm to this one, but not to
			 * both. */
			assert_true(verify(&w, 'w') < 0 || verify(&w, 'i') < 0);
			free(changed);
		}
	}
}

static void test_strict_input(void **state)
{
#define C "(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\")"
#define N "nonce=\"BwAAAAAAAAAAAAAAAAAAAA\""
	static const char *const bad[] = {
		"",
		"w",
		"w=" C,
		"w=" C ";created=1;" N ";keyid=\"p\"",
		"w=" C ";created=1;" N ";keyid=\"p\";alg=\"rsa-pss-sha512\"",
		"w=(\"@method\");created=1;" N ";keyid=\"p\";alg=\"ed25519\"",
		"w=" C ";" N ";created=1;keyid=\"p\";alg=\"ed25519\"",
		"w=" C ";created=-1;" N ";keyid=\"p\";alg=\"ed25519\"",
		"w=" C ";created=1234567890123456;" N ";keyid=\"p\";alg=\"ed25519\"",
		"w=" C ";created=1;nonce=\"short\";keyid=\"p\";alg=\"ed25519\"",
		"w=" C ";created=1;" N ";keyid=\"\";alg=\"ed25519\"",
		"w=" C ";created=1;" N ";keyid=\"p\\\"\";alg=\"ed25519\"",
		"w=" C ";created=1;" N ";keyid=\"p\";alg=\"ed25519\";tag=\"x\"",
		"w=" C ";created=1;" N ";keyid=\"p\";alg=\"ed25519\" ",
		"w=" C ";created=1;" N ";keyid=\"p\";alg=\"ed25519\",",
		"w=" C ";created=1;" N ";keyid=\"p\";alg=\"ed25519\", w=" C ";created=1;" N
		";keyid=\"p\";alg=\"ed25519\"",
	};
	struct httpsig_parsed p;

	(void)state;
	assert_int_equal(
		0, httpsig_parse("w=" C ";created=1;" N ";keyid=\"p\";alg=\"ed25519\"", 'w', &p));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(-EINVAL, httpsig_parse(bad[i], 'w', &p));
}

/* ---- maps ---- */

static json_t *random_value(const struct random_source *random)
{
	uint8_t n;

	random_bytes(random, &n, 1);
	return json_pack("{s:i,s:[i]}", "b", n % 3, "a", n % 2);
}

static struct map *random_map(const struct random_source *random)
{
	struct map *m;
	uint8_t count, key;
	char name[16];

	assert_int_equal(0, map_new(&m));
	random_bytes(random, &count, 1);
	for (int i = 0; i < count % 20; i++) {
		random_bytes(random, &key, 1);
		snprintf(name, sizeof(name), "peer:%d", key % 24);
		json_t *value = random_value(random);
		assert_int_equal(0, map_set(m, name, value));
		json_decref(value);
	}
	return m;
}

static void test_diff_apply(void **state)
{
	struct random_fake fake = {42};
	struct random_source random = random_fake_source(&fake);

	(void)state;
	for (int i = 0; i < 500; i++) {
		struct map *a = random_map(&random), *b = random_map(&random), *copy;
		uint8_t x[32], y[32];

		assert_int_equal(0, map_copy(a, &copy));
		json_t *ops = map_diff(a, b);
		assert_non_null(ops);
		map_digest(a, x);
		map_digest(b, y);
		assert_int_equal(json_array_size(ops) == 0, memcmp(x, y, 32) == 0);
		assert_int_equal(0, map_apply(a, ops, NULL));
		map_digest(a, x);
		assert_memory_equal(x, y, 32);
		assert_int_equal(map_count(a), map_count(b));
		/* The copy kept what it was: its difference to b is the same. */
		json_t *again = map_diff(copy, b);
		assert_true(json_equal(ops, again));
		json_decref(again);
		json_decref(ops);
		map_free(a);
		map_free(b);
		map_free(copy);
	}
}

static void test_digest_form(void **state)
{
	struct map *m;
	uint8_t got[32], expected[32];
	const char text[] = "a\0{\"x\":1,\"y\":2}\nb\0[]\n";

	(void)state;
	assert_int_equal(0, map_new(&m));
	json_t *b = json_array(), *a = json_pack("{s:i,s:i}", "y", 2, "x", 1);
	assert_int_equal(0, map_set(m, "b", b));
	assert_int_equal(0, map_set(m, "a", a));
	json_decref(a);
	json_decref(b);
	crypto_hash_sha256(expected, (const uint8_t *)text, sizeof(text) - 1);
	map_digest(m, got);
	assert_memory_equal(got, expected, 32);
	map_free(m);
}

static void test_bad_ops_change_nothing(void **state)
{
	static const char *const bad[] = {
		"{}",
		"[{\"set\":\"a\",\"value\":1},{\"del\":\"nothing\"}]",
		"[{\"set\":\"a\",\"value\":1},{\"set\":\"b\"}]",
		"[{\"set\":\"a\",\"value\":1},{\"del\":\"x\",\"value\":1}]",
		"[{\"set\":\"a\",\"value\":1},{\"set\":\"\",\"value\":1}]",
		"[{\"set\":\"a\",\"value\":1},{\"set\":\"with space\",\"value\":1}]",
		"[{\"set\":\"a\",\"value\":1},5]",
	};
	struct map *m;
	uint8_t before[32], after[32];
	json_t *one = json_integer(1);

	(void)state;
	assert_int_equal(0, map_new(&m));
	assert_int_equal(0, map_set(m, "x", one));
	json_decref(one);
	map_digest(m, before);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *ops = json_loads(bad[i], 0, NULL);
		struct error err = {0};

		assert_non_null(ops);
		assert_true(map_apply(m, ops, &err) < 0);
		assert_true(err.code < 0);
		json_decref(ops);
		map_digest(m, after);
		assert_memory_equal(before, after, 32);
	}
	map_free(m);
}

/* ---- setup keys ---- */

static void test_setup_key(void **state)
{
	uint8_t seed[32], print[16], seed2[32], print2[16];
	char text[SETUP_KEY_TEXT_SIZE], other[SETUP_KEY_TEXT_SIZE + 8];

	(void)state;
	for (int i = 0; i < 32; i++)
		seed[i] = (uint8_t)(i * 7);
	for (int i = 0; i < 16; i++)
		print[i] = (uint8_t)(200 + i);
	setup_key_format(seed, print, text);
	assert_int_equal(0, strncmp(text, "wsk_", 4));
	assert_int_equal(68, strlen(text));
	assert_int_equal(0, setup_key_parse(text, seed2, print2));
	assert_memory_equal(seed, seed2, 32);
	assert_memory_equal(print, print2, 16);
	for (size_t i = 0; i < strlen(text); i++) { /* every truncation */
		snprintf(other, sizeof(other), "%.*s", (int)i, text);
		assert_int_equal(-EINVAL, setup_key_parse(other, seed2, print2));
	}
	snprintf(other, sizeof(other), "%sA", text);
	assert_int_equal(-EINVAL, setup_key_parse(other, seed2, print2));
	snprintf(other, sizeof(other), " %s", text);
	assert_int_equal(-EINVAL, setup_key_parse(other, seed2, print2));
	snprintf(other, sizeof(other), "%s", text);
	other[10] = '+';
	assert_int_equal(-EINVAL, setup_key_parse(other, seed2, print2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector_b26),   cmocka_unit_test(test_digest),
		cmocka_unit_test(test_sign_verify),  cmocka_unit_test(test_everything_is_covered),
		cmocka_unit_test(test_strict_input), cmocka_unit_test(test_diff_apply),
		cmocka_unit_test(test_digest_form),  cmocka_unit_test(test_bad_ops_change_nothing),
		cmocka_unit_test(test_setup_key),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
