/* SPDX-License-Identifier: Apache-2.0
 *
 * /oidc/userinfo (OpenID Connect Core section 5.3): what the ID token said, as it is now, for an
 * access token of ours. A user who was deleted or disabled since is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/issuer_internal.h"
#include "control/store_issuer.h"
#include "identity/jwt.h"
#include "platform/json.h"

struct userinfo_job {
	struct server_request *r;
	struct issuer *i;
	unsigned scopes;
	struct store_issuer_user user;
};

static void refuse(struct server_request *r)
{
	static const char *const headers[] = {"WWW-Authenticate: Bearer error=\"invalid_token\"",
					      NULL};
	static const char body[] = "{\"error\":\"invalid_token\"}";
	server_reply(r, 401, "application/json", headers, body, sizeof(body) - 1);
}

static void user_found(void *arg, int result)
{
	struct userinfo_job *job = arg;
	struct server_request *r = issuer_resume(&job->r);
	json_t *claims = json_object();

	if (r != NULL && (result == -ENOENT || (result == 0 && job->user.disabled)))
		refuse(r);
	else if (r != NULL && result == 0 && claims != NULL &&
		 issuer_claims_about(claims, job->scopes, &job->user) == 0)
		server_reply_json(r, 200, claims);
	else if (r != NULL)
		server_reply_error(r, 503, "unavailable", "the store does not answer");
	json_decref(claims);
	issuer_unref(job->i);
	free(job);
}

static int get_user(void *db, void *arg)
{
	struct userinfo_job *job = arg;
	return store_issuer_get(db, &job->user);
}

static void handle_userinfo(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	const char *header = server_request_header(r, "authorization");
	static const char *const types[] = {"at+jwt", NULL};
	const char *audiences[] = {i->userinfo_url, NULL};
	struct jwt_expect expect = {.issuer = i->url,
				    .audiences = audiences,
				    .types = types,
				    .now_s = clock_realtime_s(i->c->clock),
				    .skew_s = 5};
	struct jwt_identity identity = {0};
	char scope[ISSUER_SCOPE_TEXT] = "";

	if (!issuer_pace(i, r, "token", 3000))
		return;
	if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0 ||
	    jwt_verify(header + 7, strlen(header + 7), i->jwks, &expect, &identity, NULL) !=
		    JWT_OK) {
		refuse(r);
		return;
	}
	struct userinfo_job *job = calloc(1, sizeof(*job));
	if (job == NULL) {
		server_reply_error(r, 503, "unavailable", "out of memory");
		jwt_identity_done(&identity);
		return;
	}
	if (json_get_string(identity.claims, "scope", scope, sizeof(scope), NULL) != 0)
		scope[0] = 0;
	job->scopes = issuer_oauth_scopes(scope);
	snprintf(job->user.email, sizeof(job->user.email), "%s", identity.user);
	jwt_identity_done(&identity);
	job->i = issuer_ref(i);
	issuer_hold(r, &job->r);
	if (store_job(i->c->store, get_user, job, user_found) != 0)
		user_found(job, -EIO);
}

int issuer_userinfo_routes(struct issuer *i)
{
	struct server *s = i->c->server;
	int r = server_route(s, 1u << SERVER_PUBLIC, "GET", "/oidc/userinfo", handle_userinfo, i);
	if (r == 0)
		r = server_route(s, 1u << SERVER_PUBLIC, "POST", "/oidc/userinfo", handle_userinfo,
				 i);
	return r;
}
