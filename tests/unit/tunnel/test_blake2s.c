/* SPDX-License-Identifier: Apache-2.0
 *
 * BLAKE2s against RFC 7693's vector and against OpenSSL: every length over several blocks in every
 * split, every key length, and the Kdf as HMACs of another implementation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#include "platform/encode.h"
#include "tunnel/blake2s.h"

#define LEN 300

static uint8_t data[LEN];

static void fill(void)
{
	uint32_t x = 1;

	for (size_t i = 0; i < LEN; i++) {
		x = x * 1664525u + 1013904223u;
		data[i] = (uint8_t)(x >> 24);
	}
}

static void oracle_hash(uint8_t out[32], const void *in, size_t len)
{
	EVP_MD *md = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);

	assert_non_null(md);
	assert_int_equal(EVP_Digest(in, len, out, NULL, md, NULL), 1);
	EVP_MD_free(md);
}

static void oracle_mac(const char *name, const OSSL_PARAM *params, uint8_t *out, size_t out_len,
		       const uint8_t *key, size_t key_len, const void *in, size_t len)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, name, NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	size_t got = 0;

	assert_non_null(ctx);
	assert_int_equal(EVP_MAC_init(ctx, key, key_len, params), 1);
	assert_int_equal(EVP_MAC_update(ctx, in, len), 1);
	assert_int_equal(EVP_MAC_final(ctx, out, &got, out_len), 1);
	assert_int_equal(got, out_len);
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

static void oracle_hmac(uint8_t out[32], const uint8_t key[32], const void *in, size_t len)
{
	char digest[] = "BLAKE2S-256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()};

	oracle_mac("HMAC", params, out, 32, key, 32, in, len);
}

static void test_vector(void **state)
{
	/* RFC 7693 appendix B */
	static const char abc[] =
		"508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
	uint8_t out[32], expected[32];

	(void)state;
	assert_int_equal(encode_hex_exact(expected, 32, abc), 0);
	blake2s_hash(out, "a", 1, "bc", 2);
	assert_memory_equal(out, expected, 32);
	blake2s_hash(out, NULL, 0, "abc", 3);
	assert_memory_equal(out, expected, 32);
}

static void test_hash(void **state)
{
	uint8_t out[32], expected[32];

	(void)state;
	fill();
	for (size_t len = 0; len <= LEN; len++) {
		oracle_hash(expected, data, len);
		for (size_t split = 0; split <= len; split++) {
			blake2s_hash(out, data, split, data + split, len - split);
			assert_memory_equal(out, expected, 32);
		}
	}
	/* In place, as Hash := Hash(Hash || data). */
	memcpy(out, data, 32);
	oracle_hash(expected, data, 100);
	blake2s_hash(out, out, 32, data + 32, 68);
	assert_memory_equal(out, expected, 32);
}

static void test_mac(void **state)
{
	size_t size = BLAKE2S_MAC_BYTES;
	const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
				     OSSL_PARAM_construct_end()};
	uint8_t out[BLAKE2S_MAC_BYTES], expected[BLAKE2S_MAC_BYTES];

	(void)state;
	fill();
	for (size_t key_len = 1; key_len <= 32; key_len++) {
		for (size_t len = 0; len <= LEN - 32; len += key_len == 32 ? 1 : 17) {
			oracle_mac("BLAKE2SMAC", params, expected, sizeof(expected), data, key_len,
				   data + 32, len);
			blake2s_mac(out, data, key_len, data + 32, len);
			assert_memory_equal(out, expected, sizeof(out));
		}
	}
}

/* WireGuard paper 5.4: tau_0 := Hmac(key, input); tau_i := Hmac(tau_0, tau_{i-1} || i) */
static void test_kdf(void **state)
{
	uint8_t out[3][32], alone[32], key[32], tau0[32], chain[33];

	(void)state;
	fill();
	for (size_t len = 0; len <= LEN - 32; len++) {
		blake2s_kdf(out[0], out[1], out[2], data, data + 32, len);
		oracle_hmac(tau0, data, data + 32, len);
		for (size_t i = 0; i < 3; i++) {
			chain[32] = (uint8_t)(i + 1);
			if (i == 0)
				oracle_hmac(chain, tau0, chain + 32, 1);
			else
				oracle_hmac(chain, tau0, chain, 33);
			assert_memory_equal(out[i], chain, 32);
		}
		blake2s_kdf(alone, NULL, NULL, data, data + 32, len);
		assert_memory_equal(alone, out[0], 32);
		memset(alone, 0, sizeof(alone));
		memcpy(key, data, 32);
		blake2s_kdf(key, alone, NULL, key, data + 32, len); /* out1 is the key */
		assert_memory_equal(key, out[0], 32);
		assert_memory_equal(alone, out[1], 32);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_mac),
		cmocka_unit_test(test_kdf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
