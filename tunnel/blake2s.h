/* SPDX-License-Identifier: Apache-2.0
 *
 * BLAKE2s as WireGuard uses it (paper section 5.4): Hash, Mac, Hmac and Kdf, over contexts that are
 * kept. One thread per struct.
 */
#ifndef WARREN_TUNNEL_BLAKE2S_H
#define WARREN_TUNNEL_BLAKE2S_H

#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define BLAKE2S_BYTES	  32
#define BLAKE2S_MAC_BYTES 16

struct blake2s;

int blake2s_new(struct blake2s **ret_blake) WARREN_MUST_USE;
void blake2s_free(struct blake2s *b);
/* Hash(a || c); either may be empty. */
void blake2s_hash(struct blake2s *b, uint8_t out[static BLAKE2S_BYTES], const void *a, size_t a_len,
		  const void *c, size_t c_len);
/* Mac(key[1..32], data): keyed BLAKE2s with 16 bytes of output. */
void blake2s_mac(struct blake2s *b, uint8_t out[static BLAKE2S_MAC_BYTES], const void *key,
		 size_t key_len, const void *data, size_t len);
/* Hmac(key[32], data || more) over BLAKE2s with 32 bytes of output. */
void blake2s_hmac(struct blake2s *b, uint8_t out[static BLAKE2S_BYTES],
		  const uint8_t key[static BLAKE2S_BYTES], const void *data, size_t len,
		  uint8_t last /* a byte after data; 0: none */);
/* Kdf_n(key, input) of the paper; out2 and out3 may be NULL (out3 only with out2 given). out1 may
 * be the key itself. */
void blake2s_kdf(struct blake2s *b, uint8_t out1[static BLAKE2S_BYTES], uint8_t *out2,
		 uint8_t *out3, const uint8_t key[static BLAKE2S_BYTES], const void *input,
		 size_t len);

#endif
