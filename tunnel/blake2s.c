/* SPDX-License-Identifier: Apache-2.0
 *
 * BLAKE2s (RFC 7693) through OpenSSL's EVP: Hash, Mac, Hmac (RFC 2104) and Kdf of the WireGuard
 * paper section 5.4. Algorithms are fetched once; a failure of a kept context cannot be caused by
 * input and ends the process.
 */
#include "tunnel/blake2s.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"

#define BLOCK_BYTES 64

struct blake2s {
	EVP_MD *md;
	EVP_MD_CTX *md_ctx;
	EVP_MAC *mac;
	EVP_MAC_CTX *mac_ctx;
};

static void must(int ok)
{
	if (ok != 1)
		abort();
}

int blake2s_new(struct blake2s **ret_blake)
{
	struct blake2s *b = calloc(1, sizeof(*b));
	size_t size = BLAKE2S_MAC_BYTES;
	OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
			       OSSL_PARAM_construct_end()};

	if (!b)
		return -ENOMEM;
	b->md = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
	b->md_ctx = EVP_MD_CTX_new();
	b->mac = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
	b->mac_ctx = b->mac ? EVP_MAC_CTX_new(b->mac) : NULL;
	if (!b->md || !b->md_ctx || !b->mac_ctx ||
	    EVP_MAC_CTX_set_params(b->mac_ctx, params) != 1) {
		blake2s_free(b);
		return -ENOTSUP;
	}
	*ret_blake = b;
	return 0;
}

void blake2s_free(struct blake2s *b)
{
	if (!b)
		return;
	EVP_MAC_CTX_free(b->mac_ctx);
	EVP_MAC_free(b->mac);
	EVP_MD_CTX_free(b->md_ctx);
	EVP_MD_free(b->md);
	free(b);
}

void blake2s_hash(struct blake2s *b, uint8_t out[static BLAKE2S_BYTES], const void *a, size_t a_len,
		  const void *c, size_t c_len)
{
	must(EVP_DigestInit_ex2(b->md_ctx, b->md, NULL));
	if (a_len)
		must(EVP_DigestUpdate(b->md_ctx, a, a_len));
	if (c_len)
		must(EVP_DigestUpdate(b->md_ctx, c, c_len));
	must(EVP_DigestFinal_ex(b->md_ctx, out, NULL));
}

void blake2s_mac(struct blake2s *b, uint8_t out[static BLAKE2S_MAC_BYTES], const void *key,
		 size_t key_len, const void *data, size_t len)
{
	size_t got = 0;

	must(EVP_MAC_init(b->mac_ctx, key, key_len, NULL));
	must(EVP_MAC_update(b->mac_ctx, data, len));
	must(EVP_MAC_final(b->mac_ctx, out, &got, BLAKE2S_MAC_BYTES));
	assert(got == BLAKE2S_MAC_BYTES);
}

void blake2s_hmac(struct blake2s *b, uint8_t out[static BLAKE2S_BYTES],
		  const uint8_t key[static BLAKE2S_BYTES], const void *data, size_t len,
		  uint8_t last)
{
	uint8_t pad[BLOCK_BYTES];
	uint8_t inner[BLAKE2S_BYTES];

	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < BLAKE2S_BYTES; i++)
		pad[i] ^= key[i];
	must(EVP_DigestInit_ex2(b->md_ctx, b->md, NULL));
	must(EVP_DigestUpdate(b->md_ctx, pad, sizeof(pad)));
	if (len)
		must(EVP_DigestUpdate(b->md_ctx, data, len));
	if (last)
		must(EVP_DigestUpdate(b->md_ctx, &last, 1));
	must(EVP_DigestFinal_ex(b->md_ctx, inner, NULL));

	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	must(EVP_DigestInit_ex2(b->md_ctx, b->md, NULL));
	must(EVP_DigestUpdate(b->md_ctx, pad, sizeof(pad)));
	must(EVP_DigestUpdate(b->md_ctx, inner, sizeof(inner)));
	must(EVP_DigestFinal_ex(b->md_ctx, out, NULL));
	secret_wipe(pad, sizeof(pad));
	secret_wipe(inner, sizeof(inner));
}

void blake2s_kdf(struct blake2s *b, uint8_t out1[static BLAKE2S_BYTES], uint8_t *out2,
		 uint8_t *out3, const uint8_t key[static BLAKE2S_BYTES], const void *input,
		 size_t len)
{
	uint8_t t0[BLAKE2S_BYTES];
	uint8_t t[BLAKE2S_BYTES];

	blake2s_hmac(b, t0, key, input, len, 0);
	blake2s_hmac(b, t, t0, NULL, 0, 1);
	memcpy(out1, t, sizeof(t));
	if (out2) {
		blake2s_hmac(b, t, t0, t, sizeof(t), 2);
		memcpy(out2, t, sizeof(t));
	}
	if (out2 && out3) {
		blake2s_hmac(b, t, t0, t, sizeof(t), 3);
		memcpy(out3, t, sizeof(t));
	}
	secret_wipe(t0, sizeof(t0));
	secret_wipe(t, sizeof(t));
}
