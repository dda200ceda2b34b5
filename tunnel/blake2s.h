/* SPDX-License-Identifier: Apache-2.0
 *
 * BLAKE2s (RFC 7693) as WireGuard uses it (paper section 5.4): Hash, Mac and Kdf.
 */
#ifndef WARREN_TUNNEL_BLAKE2S_H
#define WARREN_TUNNEL_BLAKE2S_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2S_BYTES	  32
#define BLAKE2S_MAC_BYTES 16

/* Hash(a || c); either may be empty. out may be one of them. */
void blake2s_hash(uint8_t out[static BLAKE2S_BYTES], const void *a, size_t a_len, const void *c,
		  size_t c_len);
/* Mac(key[1..32], data): keyed BLAKE2s with 16 bytes of output. */
void blake2s_mac(uint8_t out[static BLAKE2S_MAC_BYTES], const void *key, size_t key_len,
		 const void *data, size_t len);
/* Kdf_n(key, input) of the paper; out2 and out3 may be NULL (out3 only with out2 given). out1 may
 * be the key itself. */
void blake2s_kdf(uint8_t out1[static BLAKE2S_BYTES], uint8_t *out2, uint8_t *out3,
		 const uint8_t key[static BLAKE2S_BYTES], const void *input, size_t len);

#endif
