/* SPDX-License-Identifier: Apache-2.0
 *
 * Signature fields and setup keys from the network. Nothing that was not signed may verify.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/proto/httpsig.h"
#include "control/proto/setup_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = {0x26, 0xb4, 0x0b, 0x8f, 0x93, 0xff, 0xf3, 0xd8,
					0x97, 0x11, 0x2f, 0x7e, 0xbc, 0x58, 0x2b, 0x23,
					0x2d, 0xbd, 0x72, 0x51, 0x7d, 0x08, 0x2f, 0xe8,
					0x3c, 0xfb, 0x30, 0xdd, 0xce, 0x43, 0xd1, 0xbb};
	const struct httpsig_message m = {"GET", "a", "/", NULL, NULL, 0};
	struct httpsig_parsed parsed;
	uint8_t seed[32], print[16];
	char again[SETUP_KEY_TEXT_SIZE];
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	char *second = memchr(text, '\n', size);
	if (second)
		*second++ = 0;
	else
		second = text + size;
	if (httpsig_parse(text, 'w', &parsed) == 0 && (!parsed.keyid[0] || parsed.created_s < 0))
		abort();
	if (httpsig_verify(&m, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", text,
			   second, 'w', key) == 0)
		abort();
	if (setup_key_parse(text, seed, print) == 0) {
		setup_key_format(seed, print, again);
		if (strcmp(again, text) != 0)
			abort();
	}
	free(text);
	return 0;
}
