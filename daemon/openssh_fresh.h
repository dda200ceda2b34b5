/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates of the last seconds: logins that begin together, with one key and by one login of
 * the person's, share one. Pure.
 */
#ifndef WARREN_DAEMON_OPENSSH_FRESH_H
#define WARREN_DAEMON_OPENSSH_FRESH_H

#include <stdint.h>
#include <sys/types.h>

#include "platform/error.h"

#define OPENSSH_FRESH_MAX 16

struct openssh_fresh {
	struct openssh_fresh_entry {
		uint8_t request[32];
		uint64_t made_ns; /* monotonic */
		int64_t valid_before;
		char *certificate; /* NULL: free */
	} list[OPENSSH_FRESH_MAX];
	size_t next;
};

/* What makes two requests one: account, target, login, key, and the token it is asked with. */
void openssh_fresh_request(uint8_t ret_request[32], uid_t uid, const char *peer, const char *login,
			   const char *public_key, const char *token);
/* NULL: none of the last seconds. Borrowed until the next call. */
const char *openssh_fresh_find(struct openssh_fresh *f, const uint8_t request[32], uint64_t now_ns,
			       int64_t *ret_valid_before);
/* Without memory nothing is kept. */
void openssh_fresh_keep(struct openssh_fresh *f, const uint8_t request[32], uint64_t now_ns,
			const char *certificate, int64_t valid_before);
void openssh_fresh_done(struct openssh_fresh *f);

#endif
