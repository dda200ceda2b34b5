/* SPDX-License-Identifier: Apache-2.0
 *
 * The interposed EVP_DigestSign and EVP_DigestVerify: OpenSSL's own unless armed, then the
 * monitor's signature for the stand-in key only, and a note of what a client signed. Vector: RFC
 * 8032 section 7.1, TEST 2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "platform/encode.h"
#include "ssh/libssh_hooks.h"

static const char seed_hex[] = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
static const char signature_hex[] =
	"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
	"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
static const uint8_t message[] = {0x72};

struct signer {
	unsigned calls;
	int rc;
	uint8_t hash[64];
	size_t len;
};

static int fake_sign(void *ctx, const uint8_t *hash, size_t len, uint8_t *ret_signature)
{
	struct signer *s = ctx;

	s->calls++;
	assert_true(len <= sizeof(s->hash));
	memcpy(s->hash, hash, len);
	s->len = len;
	if (s->rc == 0)
		memset(ret_signature, 0x5a, 64);
	return s->rc;
}

/* EVP_DigestSign with the key of this seed. */
static int digest_sign(const uint8_t seed[32], const uint8_t *data, size_t len, uint8_t *out,
		       size_t *out_len)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int rc;

	assert_non_null(key);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
	rc = EVP_DigestSign(ctx, out, out_len, data, len);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return rc;
}

static int digest_verify(const uint8_t *signature, size_t signature_len, const void *data,
			 size_t len)
{
	uint8_t seed[32];
	EVP_PKEY *key;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int rc;

	assert_int_equal(encode_hex_exact(seed, sizeof(seed), seed_hex), 0);
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key), 1);
	rc = EVP_DigestVerify(ctx, signature, signature_len, data, len);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return rc;
}

static void test_other_keys_are_signed_by_openssl(void **state)
{
	uint8_t seed[32], expected[64], got[64];
	struct signer signer = {0};
	size_t len = sizeof(got);

	(void)state;
	assert_int_equal(encode_hex_exact(seed, sizeof(seed), seed_hex), 0);
	assert_int_equal(encode_hex_exact(expected, sizeof(expected), signature_hex), 0);
	libssh_hooks_arm_sign(fake_sign, &signer);
	assert_int_equal(digest_sign(seed, message, sizeof(message), got, &len), 1);
	libssh_hooks_arm_sign(NULL, NULL);
	assert_int_equal(len, 64);
	assert_memory_equal(got, expected, 64);
	assert_int_equal(signer.calls, 0);
}

static void test_stand_in_is_signed_by_the_monitor(void **state)
{
	static const uint8_t zero[32];
	uint8_t hash[32], got[64];
	struct signer signer = {0};
	size_t len = sizeof(got);

	(void)state;
	memset(hash, 7, sizeof(hash));
	libssh_hooks_arm_sign(fake_sign, &signer);
	assert_int_equal(digest_sign(zero, hash, sizeof(hash), got, &len), 1);
	assert_int_equal(signer.calls, 1);
	assert_int_equal(signer.len, sizeof(hash));
	assert_memory_equal(signer.hash, hash, sizeof(hash));
	assert_int_equal(len, 64);
	assert_int_equal(got[0], 0x5a);

	/* Too little room, and a monitor that refuses. */
	len = 63;
	assert_int_equal(digest_sign(zero, hash, sizeof(hash), got, &len), 0);
	signer.rc = -EPIPE;
	len = sizeof(got);
	assert_int_equal(digest_sign(zero, hash, sizeof(hash), got, &len), 0);
	assert_int_equal(signer.calls, 2);

	/* Not armed: the zero key is a key like any other. */
	libssh_hooks_arm_sign(NULL, NULL);
	len = sizeof(got);
	assert_int_equal(digest_sign(zero, hash, sizeof(hash), got, &len), 1);
	assert_int_not_equal(got[0], 0x5a);
}

static void test_verify_falls_through(void **state)
{
	uint8_t signature[64];

	(void)state;
	assert_int_equal(encode_hex_exact(signature, sizeof(signature), signature_hex), 0);
	assert_int_equal(digest_verify(signature, 64, message, sizeof(message)), 1);
	signature[5] ^= 1;
	assert_int_not_equal(digest_verify(signature, 64, message, sizeof(message)), 1);
	assert_null(libssh_hooks_find(message, sizeof(message)));
}

static void test_verify_takes_notes(void **state)
{
	uint8_t signature[64];
	const struct libssh_hooks_proof *proof;

	(void)state;
	memset(signature, 9, sizeof(signature));
	assert_int_equal(libssh_hooks_arm_verify(), 0);
	assert_null(libssh_hooks_find((const uint8_t *)"alice", 5));
	assert_int_equal(digest_verify(signature, 64, "old alice", 9), 1);
	assert_int_equal(digest_verify(signature, 10, "new alice", 9), 1);
	assert_int_equal(digest_verify(signature, 64, "robert", 6), 1);
	proof = libssh_hooks_find((const uint8_t *)"alice", 5);
	assert_non_null(proof);
	assert_int_equal(proof->signature_len, 10);
	assert_int_equal(proof->data_len, 9);
	assert_memory_equal(proof->data, "new alice", 9);
	assert_null(libssh_hooks_find((const uint8_t *)"carol", 5));
	assert_null(libssh_hooks_find((const uint8_t *)"", 0));

	/* The oldest goes first. */
	for (int i = 0; i < 4; i++)
		assert_int_equal(digest_verify(signature, 64, "mallory", 7), 1);
	assert_null(libssh_hooks_find((const uint8_t *)"robert", 6));

	libssh_hooks_disarm_verify();
	assert_null(libssh_hooks_find((const uint8_t *)"mallory", 7));
	assert_int_not_equal(digest_verify(signature, 64, "mallory", 7), 1);
}

static void test_verify_bounds(void **state)
{
	static uint8_t big[LIBSSH_HOOKS_DATA_MAX + 1];

	(void)state;
	assert_int_equal(libssh_hooks_arm_verify(), 0);
	assert_int_equal(digest_verify(big, 64, big, sizeof(big)), 0);
	assert_int_equal(digest_verify(big, LIBSSH_HOOKS_SIGNATURE_MAX + 1, big, 10), 0);
	assert_int_equal(digest_verify(big, LIBSSH_HOOKS_SIGNATURE_MAX, big, sizeof(big) - 1), 1);
	libssh_hooks_disarm_verify();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_keys_are_signed_by_openssl),
		cmocka_unit_test(test_stand_in_is_signed_by_the_monitor),
		cmocka_unit_test(test_verify_falls_through),
		cmocka_unit_test(test_verify_takes_notes),
		cmocka_unit_test(test_verify_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
