/* SPDX-License-Identifier: Apache-2.0
 *
 * Setup keys as text (control/PROTOCOL.md section 2). Owns the prefix and the layout; refuses
 * anything that is not exactly one whole key.
 */
#include "control/proto/setup_key.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "platform/encode.h"
#include "platform/secret.h"

#define PREFIX	   "wsk_"
#define PREFIX_LEN 4
#define SEED_LEN   32
#define FP_LEN	   16

static_assert(PREFIX_LEN + ENCODE_BASE64URL_SIZE(SEED_LEN + FP_LEN) <= SETUP_KEY_TEXT_SIZE,
	      "a setup key fits its text");

int setup_key_parse(const char *text, uint8_t ret_seed[32], uint8_t ret_fingerprint[16])
{
	uint8_t raw[SEED_LEN + FP_LEN];
	int r;

	if (strncmp(text, PREFIX, PREFIX_LEN) != 0)
		return -EINVAL;
	r = encode_base64url_exact(raw, sizeof(raw), text + PREFIX_LEN);
	if (r == 0) {
		memcpy(ret_seed, raw, SEED_LEN);
		memcpy(ret_fingerprint, raw + SEED_LEN, FP_LEN);
	}
	secret_wipe(raw, sizeof(raw));
	return r < 0 ? -EINVAL : 0;
}

void setup_key_format(const uint8_t seed[32], const uint8_t fingerprint[16],
		      char out[static SETUP_KEY_TEXT_SIZE])
{
	uint8_t raw[SEED_LEN + FP_LEN];

	memcpy(raw, seed, SEED_LEN);
	memcpy(raw + SEED_LEN, fingerprint, FP_LEN);
	memcpy(out, PREFIX, PREFIX_LEN);
	encode_base64url(out + PREFIX_LEN, raw, sizeof(raw));
	secret_wipe(raw, sizeof(raw));
}

void setup_key_pair(const uint8_t seed[32], uint8_t ret_public[32], uint8_t ret_secret[64])
{
	/* Fails for no input. */
	(void)crypto_sign_seed_keypair(ret_public, ret_secret, seed);
}
