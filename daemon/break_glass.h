/* SPDX-License-Identifier: Apache-2.0
 *
 * CAs of an offline kind that root pinned on this machine: their certificates log in without the
 * control server (ssh/PROTOCOL.md section 7). STATE/root/break_glass.json, owned by the broker.
 */
#ifndef WARREN_DAEMON_BREAK_GLASS_H
#define WARREN_DAEMON_BREAK_GLASS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"
#include "ssh/wire/ssh_wire.h"

#define BREAK_GLASS_FINGERPRINT 52 /* "SHA256:…" as ssh-keygen -l shows it */

struct break_glass {
	size_t count, revoked_count;
	uint8_t keys[SSH_WIRE_BREAK_GLASS_MAX][32]; /* Ed25519 */
	uint64_t revoked[SSH_WIRE_REVOKED_MAX];	    /* serials */
};

/* Reads the file of the folder dirfd, whose path is for messages. A missing one: nothing is pinned.
 */
int break_glass_load(int dirfd, const char *path, struct break_glass *ret_glass,
		     struct error *err) WARREN_MUST_USE;
int break_glass_save(int dirfd, const struct break_glass *g) WARREN_MUST_USE;
/* Applies one of {"pin": "ssh-ed25519 AAAA… comment"}, {"unpin": "SHA256:…" or "all"}, {"revoke":
 * "serial"}, or none. *ret_narrowed: something that was let in no longer is. Nothing changes on
 * failure. */
int break_glass_apply(struct break_glass *g, const json_t *request, bool *ret_narrowed,
		      struct error *err) WARREN_MUST_USE;
/* {"keys":[{"key":"ssh-ed25519 …","fingerprint":"SHA256:…"}],"revoked":["7"]}; NULL without memory.
 */
json_t *break_glass_json(const struct break_glass *g);
void break_glass_fingerprint(const uint8_t key[static 32],
			     char ret_text[static BREAK_GLASS_FINGERPRINT]);

#endif
