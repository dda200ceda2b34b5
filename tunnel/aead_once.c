/* SPDX-License-Identifier: Apache-2.0
 *
 * The three seals of a handshake (WireGuard paper section 5.4): libsodium, since a context would
 * cost more than the message.
 */
#include <sodium.h>

#include "tunnel/aead.h"

#define NONCE_BYTES 12

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
