/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the embedded provider share. issuer.c owns the object and the routes,
 * issuer_web.c the pages of a login, issuer_device_web.c the page of a device code, issuer_token.c
 * the endpoints for clients, issuer_admin.c the users.
 */
#ifndef WARREN_CONTROL_ISSUER_INTERNAL_H
#define WARREN_CONTROL_ISSUER_INTERNAL_H

#include "control/control.h"
#include "control/issuer_flow.h"
#include "control/issuer_password.h"
#include "control/issuer_throttle.h"
#include "control/pages.h"

#define ISSUER_TOKEN_S	  3600
#define ISSUER_REFRESH_S  (30 * 86400)
#define ISSUER_URL_SIZE	  512
#define ISSUER_COOKIE_SSO "warren-sso"

struct issuer {
	struct control *c;
	const char *url; /* issuer identifier: config's public_url */
	bool secure;	 /* url is https: cookies are Secure */
	unsigned refs;	 /* one per asynchronous job, one of the owner */
	uint8_t csrf_key[32];
	char kid[32];
	char userinfo_url[ISSUER_URL_SIZE]; /* audience of access tokens */
	struct jwks *jwks;
	json_t *jwks_json;
	struct issuer_flow *flow;
	struct issuer_throttle *throttle;
	struct issuer_password_pool pool;
};

struct issuer *issuer_ref(struct issuer *i);
void issuer_unref(struct issuer *i);

/* For jobs that answer later: *slot becomes NULL when the client goes away first. */
void issuer_hold(struct server_request *r, struct server_request **slot);
/* Takes the request back to answer it; NULL: nobody waits any more. */
struct server_request *issuer_resume(struct server_request **slot);

/* Answers 503 when passwords must not be asked for here (self-made certificate without --demo). */
bool issuer_may_ask(struct issuer *i, struct server_request *r);
/* Per source and minute; answers 429 itself when it is too often. */
bool issuer_pace(struct issuer *i, struct server_request *r, const char *kind, unsigned per_minute);
/* Gives the try back: it was none that counts. */
void issuer_unpace(struct issuer *i, const struct server_request *r, const char *kind,
		   unsigned per_minute);

int issuer_web_routes(struct issuer *i) WARREN_MUST_USE;
int issuer_login_routes(struct issuer *i) WARREN_MUST_USE;
int issuer_device_routes(struct issuer *i) WARREN_MUST_USE;
int issuer_token_routes(struct issuer *i) WARREN_MUST_USE;
int issuer_userinfo_routes(struct issuer *i) WARREN_MUST_USE;
int issuer_admin_routes(struct issuer *i) WARREN_MUST_USE;

/* issuer_web.c, for issuer_device_web.c: goes to /login for an open interaction, or straight on. */
void issuer_web_continue(struct issuer *i, struct server_request *r,
			 const struct pages_browser *browser, const char *interaction);
/* Who the browser is signed in as. */
bool issuer_web_person(struct issuer *i, struct server_request *r,
		       struct issuer_person *ret_person);
void issuer_web_redirect(struct server_request *r, const char *location, const char *cookie);
/* The page of an open interaction for a device, for somebody who is signed in; and its answer. */
void issuer_device_ask(struct issuer *i, struct server_request *r,
		       const struct pages_browser *browser, const char *interaction,
		       const struct issuer_interaction *what, const struct issuer_person *person);
void issuer_device_decide(struct issuer *i, struct server_request *r, const char *interaction,
			  const struct issuer_interaction *what, const struct issuer_person *person,
			  bool allow);

/* issuer_claims.c: pure. Claims of an ID token; NULL without memory. */
struct store_issuer_user;
struct issuer_claims {
	const char *issuer, *audience, *nonce; /* nonce "" or NULL: none */
	unsigned scopes;
	int64_t now_s, auth_time_s;
};
json_t *issuer_claims_id(const struct issuer_claims *what, const struct store_issuer_user *user);
json_t *issuer_claims_access(const struct issuer_claims *what, const char *userinfo_url,
			     const struct store_issuer_user *user);
/* What userinfo and the ID token say about a person. */
int issuer_claims_about(json_t *claims, unsigned scopes,
			const struct store_issuer_user *user) WARREN_MUST_USE;

#endif
