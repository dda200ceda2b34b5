/* SPDX-License-Identifier: Apache-2.0
 *
 * Setup keys: "wsk_" + base64url(seed[32] || fingerprint[16]) (control/PROTOCOL.md section 2).
 */
#ifndef WARREN_CONTROL_PROTO_SETUP_KEY_H
#define WARREN_CONTROL_PROTO_SETUP_KEY_H

#include <stdint.h>

#include "platform/error.h"

#define SETUP_KEY_TEXT_SIZE 72

/* Strict; -EINVAL for anything that is not a whole setup key. Seed and secret are the caller's to
 * wipe. */
int setup_key_parse(const char *text, uint8_t ret_seed[32],
		    uint8_t ret_fingerprint[16]) WARREN_MUST_USE;
void setup_key_format(const uint8_t seed[32], const uint8_t fingerprint[16],
		      char out[static SETUP_KEY_TEXT_SIZE]);
/* Ed25519 key pair of the seed. */
void setup_key_pair(const uint8_t seed[32], uint8_t ret_public[32], uint8_t ret_secret[64]);

#endif
