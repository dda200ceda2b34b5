/* SPDX-License-Identifier: Apache-2.0
 *
 * ChaCha20-Poly1305 (RFC 8439) with a kept context per key and direction, for the packet path, and
 * one-shot forms for handshakes. Nonces are WireGuard's: four zero bytes, counter little-endian.
 */
#ifndef WARREN_TUNNEL_AEAD_H
#define WARREN_TUNNEL_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define AEAD_KEY_BYTES 32
#define AEAD_TAG_BYTES 16

struct aead {
	void *evp; /* EVP_CIPHER_CTX, wiped by aead_done */
};

int aead_init(struct aead *a, const uint8_t key[static AEAD_KEY_BYTES], bool seal) WARREN_MUST_USE;
void aead_done(struct aead *a);
/* In place, no associated data: data[len + AEAD_TAG_BYTES]. Cannot fail for any input. */
void aead_seal(struct aead *a, uint64_t counter, uint8_t *data, size_t len);
/* In place: data[len] holds ciphertext and tag (len >= AEAD_TAG_BYTES). On failure data is garbage.
 */
bool aead_open(struct aead *a, uint64_t counter, uint8_t *data, size_t len) WARREN_MUST_USE;

/* One message under a key that is used once: counter 0, associated data ad. */
void aead_seal_once(uint8_t *out, const uint8_t key[static AEAD_KEY_BYTES], const void *plain,
		    size_t len, const void *ad, size_t ad_len);
bool aead_open_once(uint8_t *out, const uint8_t key[static AEAD_KEY_BYTES], const void *sealed,
		    size_t len, const void *ad, size_t ad_len) WARREN_MUST_USE;

#endif
