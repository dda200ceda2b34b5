/* SPDX-License-Identifier: Apache-2.0
 *
 * The SSH host key of this machine (design section 3).
 */
#ifndef WARREN_SSH_CONFIG_HOSTKEY_H
#define WARREN_SSH_CONFIG_HOSTKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define HOSTKEY_PATH "/etc/ssh/ssh_host_ed25519_key"

struct hostkey {
	uint8_t seed[32];
	uint8_t public[32];
	char line[96];	 /* "ssh-ed25519 AAAA…" */
	bool of_machine; /* OpenSSH's, not our own */
};

/* An unencrypted Ed25519 key as ssh-keygen writes it (PROTOCOL.key of OpenSSH), nothing else:
 * -EINVAL, -ENOKEY when it is encrypted, -EKEYREJECTED when it is of another type. */
int hostkey_parse(const char *text, size_t len,
			 struct hostkey *ret_key) WARREN_MUST_USE;
/* The file of such a key, root's or the caller's alone: -errno, -EPERM when others can read it. */
int hostkey_read(const char *path, struct hostkey *ret_key) WARREN_MUST_USE;
/* What a code of these two means to a person, and what to do. */
const char *hostkey_problem(int code);
/* The machine's key at path where it is usable and root's alone, else our own in the folder dirfd
 * (made when there is none). folder is for messages. */
int hostkey_load(const char *path, int dirfd, const char *folder,
			struct hostkey *ret_key, struct error *err) WARREN_MUST_USE;

#endif
