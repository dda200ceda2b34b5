/* SPDX-License-Identifier: Apache-2.0
 *
 * What login.c (logins on their way) and login_kept.c (what stays of them) share.
 */
#ifndef WARREN_DAEMON_LOGIN_INTERNAL_H
#define WARREN_DAEMON_LOGIN_INTERNAL_H

#include "daemon/login.h"
#include "daemon/login_provider.h"
#include "daemon/login_refresh.h"
#include "identity/oidc.h"
#include "identity/token_cache.h"

struct login_service {
	struct token_cache *cache;
	struct login_refresh *refresh;
	struct login_providers providers;
	struct login_pending *pending;
	unsigned count;
};

/* Keeps the login of uid for ttl_s; a renewed one as long as the login it renews would have lived.
 * True: what renews it was kept as well. */
bool login_keep(struct main_core *m, uid_t uid, const struct oidc_tokens *tokens, bool renewed,
		uint32_t ttl_s);
/* What was obtained and is not kept is not left to live on at the provider. NULL is fine. */
void login_revoke_silently(struct login_provider *provider, const char *refresh_token);
/* The same for all that is kept. */
void login_refresh_end_all(struct login_service *s);
/* Nothing of one provider is ever shown to another, and what was made for other settings control
 * would refuse: when they differ, all that is kept ends. */
void login_provider_changed(struct main_core *m, const struct control_server *server);

#endif
