/* SPDX-License-Identifier: Apache-2.0
 *
 * The network's OIDC provider as control describes it (control/PROTOCOL.md, /v1/server). When any of
 * its settings changes, logins that begin use the new ones at once, and those under way end as they
 * began.
 */
#ifndef WARREN_DAEMON_LOGIN_PROVIDER_H
#define WARREN_DAEMON_LOGIN_PROVIDER_H

#include "daemon/main_core.h"

struct login_provider;
struct login_providers {
	struct login_provider *current;
	struct login_provider *old; /* of logins under way */
};

/* For a login of now, until login_provider_put; NULL with the sentence in err. */
struct login_provider *login_provider_get(struct main_core *m, struct login_providers *all,
					  const struct control_server *server, struct error *err);
void login_provider_put(struct login_provider *p);
struct oidc *login_provider_oidc(const struct login_provider *p);

/* Is it another one, or set up otherwise? False as long as none is in use. */
bool login_providers_differ(const struct login_providers *all, const struct control_server *server);
/* The current one takes no new logins. */
void login_providers_retire(struct login_providers *all);
/* Ends all logins under way. */
void login_providers_end(struct login_providers *all);

#endif
