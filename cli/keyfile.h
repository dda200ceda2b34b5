/* SPDX-License-Identifier: Apache-2.0
 *
 * The short-lived key of one SSH login: made here, in the caller's process, so that its secret half
 * never leaves it; written as OpenSSH private key and certificate (PROTOCOL.key, openssh-key-v1).
 */
#ifndef WARREN_CLI_KEYFILE_H
#define WARREN_CLI_KEYFILE_H

#include <stdint.h>

#include "platform/error.h"

struct keyfile {
	uint8_t public_key[32];
	uint8_t secret_key[64];
	char public_text[128]; /* "ssh-ed25519 AAAA…" */
};

void keyfile_generate(struct keyfile *k);
void keyfile_wipe(struct keyfile *k);
/* Writes DIR/NAME (0600, the private key) and DIR/NAME-cert.pub, atomically, and sets their times to
 * expires_s: the broker removes what has expired. */
int keyfile_write(const struct keyfile *k, const char *dir, const char *name,
		  const char *certificate, int64_t expires_s, struct error *err) WARREN_MUST_USE;

#endif
