/* SPDX-License-Identifier: Apache-2.0
 *
 * signed_open on arbitrary text, and on the same text with a good signature behind it.
 */
#include <sodium.h>
#include <string.h>

#include "identity/signed.h"
#include "platform/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t public_key[32], secret[64];
	const uint8_t seed[32] = {7};
	char text[4096];
	uint8_t sig[64];
	json_t *payload;
	size_t len;

	if (sodium_init() < 0)
		__builtin_trap();
	crypto_sign_seed_keypair(public_key, secret, seed);
	payload = signed_open((const char *)data, size, "t", public_key, 1000, 60, NULL);
	if (payload)
		json_decref(payload);
	if (size + 128 > sizeof(text))
		return 0;
	memcpy(text, data, size);
	crypto_sign_detached(sig, NULL, data, size, secret);
	text[size] = '.';
	len = size + 1 + encode_base64url(text + size + 1, sig, sizeof(sig));
	payload = signed_open(text, len, "t", public_key, 1000, 60, NULL);
	if (payload && !json_is_object(payload))
		__builtin_trap();
	json_decref(payload);
	return 0;
}
