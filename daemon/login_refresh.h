/* SPDX-License-Identifier: Apache-2.0
 *
 * Refresh tokens of the people on this machine, in locked memory, by local account: they renew a
 * login whose token has ended before --ssh-jwt-cache-ttl is over, counted from the login itself.
 */
#ifndef WARREN_DAEMON_LOGIN_REFRESH_H
#define WARREN_DAEMON_LOGIN_REFRESH_H

#include <sys/types.h>

#include "identity/oidc.h"

struct login_refresh {
	struct login_refresh *next;
	uid_t uid;
	char *token; /* secret memory */
	char subject[256];
	int64_t auth_time_s;
	uint64_t until_ns; /* monotonic */
};

/* Replaces what is kept for uid. Without a refresh token, or a claim "auth_time" that says when the
 * person really logged in, nothing is kept: false. */
bool login_refresh_keep(struct login_refresh **list, uid_t uid, const struct oidc_tokens *tokens,
			uint64_t until_ns);
/* NULL: none that may still be used. Borrowed. */
const struct login_refresh *login_refresh_find(struct login_refresh **list, uid_t uid,
					       uint64_t now_ns);
/* Is that the same person's same login? */
bool login_refresh_same(const struct login_refresh *kept, const struct oidc_tokens *tokens);
void login_refresh_forget(struct login_refresh **list, uid_t uid);
void login_refresh_clear(struct login_refresh **list);

#endif
