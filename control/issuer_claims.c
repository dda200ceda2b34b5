/* SPDX-License-Identifier: Apache-2.0
 *
 * Claims of the tokens: OpenID Connect Core section 2, RFC 9068 for access tokens.
 */
#include <errno.h>

#include "control/issuer_internal.h"
#include "control/store_issuer.h"

int issuer_claims_about(json_t *claims, unsigned scopes, const struct store_issuer_user *user)
{
	int r = json_object_set_new(claims, "sub", json_string(user->subject));
	if ((scopes & ISSUER_SCOPE_EMAIL) != 0) {
		r |= json_object_set_new(claims, "email", json_string(user->email));
		/* An administrator entered it; nobody can change it for himself. */
		r |= json_object_set_new(claims, "email_verified", json_true());
	}
	if ((scopes & ISSUER_SCOPE_PROFILE) != 0 && user->name[0] != 0)
		r |= json_object_set_new(claims, "name", json_string(user->name));
	if ((scopes & ISSUER_SCOPE_GROUPS) != 0) {
		json_t *groups = json_loads(user->groups, 0, NULL);
		if (!json_is_array(groups)) {
			json_decref(groups);
			groups = json_array();
		}
		r |= json_object_set_new(claims, "groups", groups);
	}
	return r == 0 ? 0 : -ENOMEM;
}

static json_t *times(const struct issuer_claims *what)
{
	return json_pack("{s:s, s:I, s:I, s:I}", "iss", what->issuer, "iat",
			 (json_int_t)what->now_s, "exp", (json_int_t)(what->now_s + ISSUER_TOKEN_S),
			 "auth_time", (json_int_t)what->auth_time_s);
}

json_t *issuer_claims_id(const struct issuer_claims *what, const struct store_issuer_user *user)
{
	json_t *claims = times(what);
	int r = claims == NULL ? -ENOMEM : issuer_claims_about(claims, what->scopes, user);
	r |= json_object_set_new(claims, "aud", json_string(what->audience));
	r |= json_object_set_new(claims, "azp", json_string(what->audience));
	if (what->nonce != NULL && what->nonce[0] != 0)
		r |= json_object_set_new(claims, "nonce", json_string(what->nonce));
	if (r != 0) {
		json_decref(claims);
		return NULL;
	}
	return claims;
}

json_t *issuer_claims_access(const struct issuer_claims *what, const char *userinfo_url,
			     const struct store_issuer_user *user)
{
	char scope[ISSUER_SCOPE_TEXT];
	json_t *claims = times(what);
	issuer_oauth_scope_text(what->scopes, scope);
	int r = claims == NULL ? -ENOMEM : 0;
	r |= json_object_set_new(claims, "aud", json_string(userinfo_url));
	r |= json_object_set_new(claims, "sub", json_string(user->subject));
	r |= json_object_set_new(claims, "client_id", json_string(what->audience));
	r |= json_object_set_new(claims, "scope", json_string(scope));
	/* jwt_verify wants the user claim; userinfo looks the user up by it. */
	r |= json_object_set_new(claims, "email", json_string(user->email));
	if (r != 0) {
		json_decref(claims);
		return NULL;
	}
	return claims;
}
