/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of refresh tokens. One that is used twice ends the login at many providers, so each is
 * replaced or dropped when it was used.
 */
#include "daemon/login_refresh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"

#define SKEW_S 60

static void entry_free(struct login_refresh *e)
{
	secret_free(e->token);
	free(e);
}

static bool login_moment(const struct oidc_tokens *tokens, int64_t *ret_s)
{
	const json_t *claim = json_object_get(tokens->identity.claims, "auth_time");

	*ret_s = json_integer_value(claim);
	return json_is_integer(claim) && *ret_s > 0;
}

void login_refresh_forget(struct login_refresh **list, uid_t uid)
{
	for (struct login_refresh **at = list; *at != NULL;) {
		struct login_refresh *e = *at;

		if (e->uid != uid) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		entry_free(e);
	}
}

void login_refresh_clear(struct login_refresh **list)
{
	while (*list != NULL)
		login_refresh_forget(list, (*list)->uid);
}

bool login_refresh_keep(struct login_refresh **list, uid_t uid, const struct oidc_tokens *tokens,
			uint64_t until_ns)
{
	struct login_refresh *e;
	int64_t auth_time_s;

	login_refresh_forget(list, uid);
	if (tokens->refresh_token == NULL || !login_moment(tokens, &auth_time_s))
		return false;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return false;
	e->token = secret_strdup(tokens->refresh_token);
	if (e->token == NULL) {
		free(e);
		return false;
	}
	e->uid = uid;
	e->auth_time_s = auth_time_s;
	e->until_ns = until_ns;
	(void)snprintf(e->subject, sizeof(e->subject), "%s", tokens->identity.subject);
	e->next = *list;
	*list = e;
	return true;
}

const struct login_refresh *login_refresh_find(struct login_refresh **list, uid_t uid,
					       uint64_t now_ns)
{
	for (struct login_refresh *e = *list; e != NULL; e = e->next)
		if (e->uid == uid && now_ns < e->until_ns)
			return e;
	login_refresh_forget(list, uid);
	return NULL;
}

bool login_refresh_same(const struct login_refresh *kept, const struct oidc_tokens *tokens)
{
	int64_t auth_time_s;

	/* A provider that calls a renewal a login would undo "max_login_age". */
	return strcmp(kept->subject, tokens->identity.subject) == 0 &&
	       login_moment(tokens, &auth_time_s) && auth_time_s <= kept->auth_time_s + SKEW_S;
}
