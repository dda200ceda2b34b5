/* SPDX-License-Identifier: Apache-2.0
 *
 * The SSH host key of this machine (design section 3).
 */
#ifndef WARREN_DAEMON_BROKER_HOSTKEY_H
#define WARREN_DAEMON_BROKER_HOSTKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define BROKER_HOSTKEY_PATH "/etc/ssh/ssh_host_ed25519_key"

struct broker_hostkey {
	uint8_t seed[32];
	uint8_t public[32];
	char line[96];	 /* "ssh-ed25519 AAAA…" */
	bool of_machine; /* OpenSSH's, not our own */
};

/* An unencrypted Ed25519 key as ssh-keygen writes it (PROTOCOL.key of OpenSSH), nothing else:
 * -EINVAL, or -ENOKEY when it is encrypted or of another kind. */
int broker_hostkey_parse(const char *text, size_t len,
			 struct broker_hostkey *ret_key) WARREN_MUST_USE;
/* The machine's key at path where it is usable and root's alone, else our own in the folder dirfd
 * (made when there is none). folder is for messages. */
int broker_hostkey_load(const char *path, int dirfd, const char *folder,
			struct broker_hostkey *ret_key, struct error *err) WARREN_MUST_USE;

#endif
