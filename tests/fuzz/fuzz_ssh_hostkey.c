/* SPDX-License-Identifier: Apache-2.0
 *
 * The parser of OpenSSH private keys: whatever it takes has a public half of its own.
 */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/config/hostkey.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hostkey key;

	if (sodium_init() < 0)
		abort();
	if (hostkey_parse((const char *)data, size, &key) == 0 &&
	    strncmp(key.line, "ssh-ed25519 AAAA", 16) != 0)
		abort();
	return 0;
}
