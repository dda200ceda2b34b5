/* SPDX-License-Identifier: Apache-2.0
 *
 * The key of SSH logins from one account to one login on one host: made here, in the caller's
 * process, so that its secret half never leaves it; written as OpenSSH private key and certificate
 * (PROTOCOL.key, openssh-key-v1). ssh reads the public half before it signs: while a key may be in
 * use it stays, and only its certificate is renewed, so that parallel logins never take each
 * other's key away.
 */
#ifndef WARREN_CLI_KEYFILE_H
#define WARREN_CLI_KEYFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/error.h"

struct keyfile {
	uint8_t public_key[32];
	uint8_t secret_key[64];
	char public_text[128]; /* "ssh-ed25519 AAAA…" */
};

#define KEYFILE_TEXT 1024

void keyfile_generate(struct keyfile *k);
/* The key in DIR/NAME when it is ours alone, whole, and not about to be removed. -ENOENT otherwise.
 */
int keyfile_load(struct keyfile *k, const char *dir, const char *name) WARREN_MUST_USE;
void keyfile_wipe(struct keyfile *k);
/* When the certificate in DIR/NAME-cert.pub ends, in seconds of the wall clock: 0 when it has ended,
 * or there is none, or no key for it. */
int64_t keyfile_certificate_until(const char *dir, const char *name);
/* The private key file's text, for the caller to wipe. -EMSGSIZE. */
int keyfile_text(const struct keyfile *k, char out[static KEYFILE_TEXT]) WARREN_MUST_USE;
/* Writes DIR/NAME (0600, the private key) and DIR/NAME-cert.pub, atomically, and sets their times
 * to expires_s: the broker removes what has expired. -EEXIST: another key is in use there (it is
 * now in *k): ask for a certificate of that one. */
int keyfile_write(struct keyfile *k, const char *dir, const char *name, const char *certificate,
		  int64_t expires_s, struct error *err) WARREN_MUST_USE;
/* Writes DIR/NAME.hosts (known_hosts lines). -ENOENT when there is no such folder yet. */
int keyfile_write_hosts(const char *dir, const char *name, const char *lines,
			int64_t expires_s) WARREN_MUST_USE;
/* Whether DIR/NAME.hosts is there for longer than a login takes. */
bool keyfile_has_hosts(const char *dir, const char *name);
/* Removes all keys, certificates and host lines in DIR. */
void keyfile_forget(const char *dir);

#endif
