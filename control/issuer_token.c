/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider's endpoints for programs: /oidc/device_authorization (RFC 8628 section 3.1),
 * /oidc/token (RFC 6749 section 3.2 with the three grants), /oidc/revoke (RFC 7009),
 * /oidc/userinfo. All clients are public, so a code is worth nothing without its PKCE verifier or
 * device code. Refresh tokens rotate; one that comes twice ends its family (RFC 9700
 * section 4.14.2).
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/issuer_internal.h"
#include "control/store_issuer.h"
#include "identity/jwt.h"
#include "platform/encode.h"
#include "platform/log.h"
#include "platform/secret.h"

#define GRANT_DEVICE  "urn:ietf:params:oauth:grant-type:device_code"
#define REFRESH_BYTES 48 /* family[16] and secret[32] */
#define REFRESH_SIZE  ENCODE_BASE64URL_SIZE(REFRESH_BYTES)

/* RFC 6749 section 5.2. */
static void oauth_error(struct server_request *r, const char *error, const char *description)
{
	json_t *body = json_pack("{s:s, s:s*}", "error", error, "error_description", description);
	server_reply_json(r, 400, body);
	json_decref(body);
}

static const struct issuer_client *client_of(struct server_request *r, const char *form)
{
	char id[64];
	const struct issuer_client *client = NULL;
	if (server_form_value(form, "client_id", id, sizeof(id)) == 0)
		client = issuer_oauth_client(id);
	if (client == NULL)
		oauth_error(r, "invalid_client", "client_id is missing or unknown");
	return client;
}

/* ---- device authorization */

static void handle_device_authorization(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	const char *form = server_request_body(r, NULL);
	char scope[512] = "", device_code[PAGES_TOKEN_SIZE], user_code[ISSUER_USER_CODE_SIZE];
	struct issuer_device_request request = {0};
	int e;

	if (!issuer_pace(i, r, "device", 300))
		return;
	request.client = client_of(r, form);
	if (request.client == NULL)
		return;
	e = server_form_value(form, "scope", scope, sizeof(scope));
	request.scopes = issuer_oauth_scopes(scope);
	if ((e != 0 && e != -ENOENT) || (request.scopes & ISSUER_SCOPE_OPENID) == 0) {
		oauth_error(r, "invalid_scope", "scope must have openid");
		return;
	}
	e = server_form_value(form, "nonce", request.nonce, sizeof(request.nonce));
	if (e != 0 && e != -ENOENT) {
		oauth_error(r, "invalid_request", "nonce is too long or malformed");
		return;
	}
	if (!request.client->native) {
		oauth_error(r, "unauthorized_client", "this client has no device codes");
		return;
	}
	server_request_source(r, &request.source);
	if (issuer_flow_device_open(i->flow, &request, device_code, user_code) != 0) {
		oauth_error(r, "slow_down", "too many logins wait for somebody; try again later");
		return;
	}
	json_t *body = json_pack("{s:s, s:s, s:o, s:o, s:i, s:i}", "device_code", device_code,
				 "user_code", user_code, "verification_uri",
				 json_sprintf("%s/device", i->url), "verification_uri_complete",
				 json_sprintf("%s/device?user_code=%s", i->url, user_code),
				 "expires_in", ISSUER_DEVICE_S, "interval", ISSUER_DEVICE_POLL_S);
	server_reply_json(r, 200, body);
	json_decref(body);
	secret_wipe(device_code, sizeof(device_code));
}

/* ---- tokens */

struct token_job {
	struct server_request *r;
	struct issuer *i;
	struct store_issuer_tokens store;
	char nonce[256];
	char refresh[REFRESH_SIZE]; /* given out now; "" when not offline */
};

static void job_free(struct token_job *job)
{
	issuer_unref(job->i);
	secret_wipe(job, sizeof(*job));
	free(job);
}

static struct token_job *job_new(struct issuer *i, struct server_request *r,
				 const struct issuer_client *client)
{
	struct token_job *job = calloc(1, sizeof(*job));
	if (job == NULL) {
		server_reply_error(r, 503, "unavailable", "out of memory");
		return NULL;
	}
	job->i = issuer_ref(i);
	job->store.now_s = clock_realtime_s(i->c->clock);
	job->store.expires_s = job->store.now_s + ISSUER_REFRESH_S;
	snprintf(job->store.client, sizeof(job->store.client), "%s", client->id);
	return job;
}

/* A refresh token of this family with a fresh secret, whose hash goes to the store. */
static void make_refresh(struct token_job *job, const uint8_t family[16])
{
	uint8_t raw[REFRESH_BYTES];
	memcpy(raw, family, 16);
	random_bytes(job->i->c->random, raw + 16, 32);
	crypto_hash_sha256(job->store.fresh, raw + 16, 32);
	encode_hex(job->store.family, family, 16);
	encode_base64url(job->refresh, raw, sizeof(raw));
	secret_wipe(raw, sizeof(raw));
}

static int read_refresh(const char *token, uint8_t ret_family[16], uint8_t ret_hash[32])
{
	uint8_t raw[REFRESH_BYTES];
	if (encode_base64url_exact(raw, sizeof(raw), token) != 0)
		return -EINVAL;
	memcpy(ret_family, raw, 16);
	crypto_hash_sha256(ret_hash, raw + 16, 32);
	secret_wipe(raw, sizeof(raw));
	return 0;
}

static json_t *make_answer(struct token_job *job)
{
	struct issuer *i = job->i;
	struct issuer_claims what = {.issuer = i->url,
				     .audience = job->store.client,
				     .nonce = job->nonce,
				     .scopes = job->store.scopes,
				     .now_s = state_token_s(i->c->state, job->store.now_s),
				     .auth_time_s = job->store.auth_time_s};
	char *id_token = NULL, *access = NULL, scope[ISSUER_SCOPE_TEXT];
	json_t *id_claims = issuer_claims_id(&what, &job->store.user);
	json_t *access_claims = issuer_claims_access(&what, i->userinfo_url, &job->store.user);
	json_t *answer = NULL;

	issuer_oauth_scope_text(what.scopes, scope);
	if (id_claims != NULL && access_claims != NULL &&
	    signer_jwt(i->c->signer, id_claims, "JWT", &id_token) == 0 &&
	    signer_jwt(i->c->signer, access_claims, "at+jwt", &access) == 0)
		answer = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s*}", "access_token", access,
				   "token_type", "Bearer", "expires_in", ISSUER_TOKEN_S, "scope",
				   scope, "id_token", id_token, "refresh_token",
				   job->refresh[0] != 0 ? job->refresh : NULL);
	free(id_token);
	free(access);
	json_decref(id_claims);
	json_decref(access_claims);
	return answer;
}

static void tokens_stored(void *arg, int result)
{
	struct token_job *job = arg;
	struct server_request *r = issuer_resume(&job->r);
	json_t *answer = NULL;

	if (result == -EEXIST)
		log_warn("a refresh token was used twice, its login is over", "family=%.8s",
			 job->store.family);
	if (r == NULL) {
		job_free(job);
		return;
	}
	if (result == 0)
		answer = make_answer(job);
	if (answer != NULL)
		server_reply_json(r, 200, answer);
	else if (result == -ENOENT || result == -EACCES || result == -EEXIST)
		oauth_error(r, "invalid_grant", "the login is over; sign in again");
	else
		server_reply_error(r, 503, "unavailable",
				   "the store or the signer does not answer");
	json_decref(answer);
	job_free(job);
}

static int store_tokens(void *db, void *arg)
{
	struct token_job *job = arg;
	return store_issuer_tokens(db, &job->store);
}

static void job_start(struct token_job *job, struct server_request *r)
{
	issuer_hold(r, &job->r);
	if (store_job(job->i->c->store, store_tokens, job, tokens_stored) != 0)
		tokens_stored(job, -EIO);
}

/* A person's login is done: tokens, and a family when offline_access was asked for. */
static void give_login(struct token_job *job, struct server_request *r, unsigned scopes,
		       const char *nonce, const struct issuer_person *person,
		       const uint8_t family[16])
{
	job->store.grant = STORE_ISSUER_LOGIN;
	job->store.scopes = scopes;
	job->store.auth_time_s = person->auth_time_s;
	memcpy(job->store.user.email, person->email, sizeof(job->store.user.email));
	snprintf(job->nonce, sizeof(job->nonce), "%s", nonce);
	job->store.offline = (scopes & ISSUER_SCOPE_OFFLINE) != 0;
	if (job->store.offline)
		make_refresh(job, family);
	job_start(job, r);
}

static int revoke_family(void *db, void *arg)
{
	return store_issuer_revoke(db, arg);
}

static void family_revoked(void *arg, int result)
{
	(void)result;
	free(arg);
}

static void end_family(struct issuer *i, const char *family)
{
	struct store_issuer_revoke *job = calloc(1, sizeof(*job));
	if (job == NULL)
		return;
	snprintf(job->family, sizeof(job->family), "%s", family);
	if (store_job(i->c->store, revoke_family, job, family_revoked) != 0)
		free(job);
}

static void grant_code(struct issuer *i, struct server_request *r,
		       const struct issuer_client *client, const char *form)
{
	char code[PAGES_TOKEN_SIZE], uri[256], verifier[132], family_text[ISSUER_FAMILY_SIZE];
	struct issuer_request request;
	struct issuer_person person;
	uint8_t family[16];

	if (server_form_value(form, "code", code, sizeof(code)) != 0 ||
	    server_form_value(form, "redirect_uri", uri, sizeof(uri)) != 0 ||
	    server_form_value(form, "code_verifier", verifier, sizeof(verifier)) != 0) {
		oauth_error(r, "invalid_request",
			    "code, redirect_uri and code_verifier are needed");
		return;
	}
	random_bytes(i->c->random, family, sizeof(family));
	encode_hex(family_text, family, sizeof(family));
	enum issuer_code taken = issuer_flow_code_take(i->flow, code, client->id, uri, verifier,
						       &request, &person, family_text);
	secret_wipe(verifier, sizeof(verifier));
	if (taken == ISSUER_CODE_REUSED)
		end_family(i, family_text);
	if (taken != ISSUER_CODE_OK) {
		oauth_error(r, "invalid_grant", "the code is not right, over, or was used already");
		return;
	}
	struct token_job *job = job_new(i, r, client);
	if (job != NULL)
		give_login(job, r, request.scopes, request.nonce, &person, family);
}

static void grant_device(struct issuer *i, struct server_request *r,
			 const struct issuer_client *client, const char *form)
{
	static const char *const errors[] = {
		[ISSUER_POLL_PENDING] = "authorization_pending",
		[ISSUER_POLL_SLOW_DOWN] = "slow_down",
		[ISSUER_POLL_EXPIRED] = "expired_token",
		[ISSUER_POLL_DENIED] = "access_denied",
		[ISSUER_POLL_UNKNOWN] = "invalid_grant",
	};
	char code[PAGES_TOKEN_SIZE];
	struct issuer_device_request request;
	struct issuer_person person;
	uint8_t family[16];

	if (server_form_value(form, "device_code", code, sizeof(code)) != 0) {
		oauth_error(r, "invalid_request", "device_code is needed");
		return;
	}
	enum issuer_poll poll =
		issuer_flow_device_poll(i->flow, code, client->id, &request, &person);
	if (poll != ISSUER_POLL_OK) {
		oauth_error(r, errors[poll], NULL);
		return;
	}
	struct token_job *job = job_new(i, r, client);
	if (job == NULL)
		return;
	random_bytes(i->c->random, family, sizeof(family));
	give_login(job, r, request.scopes, request.nonce, &person, family);
}

static void grant_refresh(struct issuer *i, struct server_request *r,
			  const struct issuer_client *client, const char *form)
{
	char token[REFRESH_SIZE];
	uint8_t family[16], presented[32];

	if (server_form_value(form, "refresh_token", token, sizeof(token)) != 0 ||
	    read_refresh(token, family, presented) != 0) {
		oauth_error(r, "invalid_grant", "the refresh token is missing or not one of ours");
		return;
	}
	secret_wipe(token, sizeof(token));
	struct token_job *job = job_new(i, r, client);
	if (job == NULL)
		return;
	job->store.grant = STORE_ISSUER_ROTATE;
	memcpy(job->store.presented, presented, sizeof(presented));
	make_refresh(job, family);
	job_start(job, r);
}

static void handle_token(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	const char *form = server_request_body(r, NULL);
	char grant[64];

	if (!issuer_pace(i, r, "token", 3000))
		return;
	const struct issuer_client *client = client_of(r, form);
	if (client == NULL)
		return;
	if (server_form_value(form, "grant_type", grant, sizeof(grant)) != 0)
		oauth_error(r, "invalid_request", "grant_type is needed");
	else if (strcmp(grant, "authorization_code") == 0)
		grant_code(i, r, client, form);
	else if (strcmp(grant, "refresh_token") == 0)
		grant_refresh(i, r, client, form);
	else if (strcmp(grant, GRANT_DEVICE) == 0)
		grant_device(i, r, client, form);
	else
		oauth_error(r, "unsupported_grant_type", NULL);
}

/* RFC 7009: an unknown token is answered as a revoked one. */
static void handle_revoke(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	const char *form = server_request_body(r, NULL);
	char token[REFRESH_SIZE], text[ISSUER_FAMILY_SIZE];
	uint8_t family[16], hash[32];

	if (!issuer_pace(i, r, "token", 3000) || client_of(r, form) == NULL)
		return;
	if (server_form_value(form, "token", token, sizeof(token)) == 0 &&
	    read_refresh(token, family, hash) == 0) {
		encode_hex(text, family, sizeof(family));
		end_family(i, text);
	}
	server_reply(r, 200, "application/json", NULL, "{}", 2);
}

int issuer_token_routes(struct issuer *i)
{
	struct server *s = i->c->server;
	unsigned all = 1u << SERVER_PUBLIC;
	int r = server_route(s, all, "POST", "/oidc/device_authorization",
			     handle_device_authorization, i);
	if (r == 0)
		r = server_route(s, all, "POST", "/oidc/token", handle_token, i);
	if (r == 0)
		r = server_route(s, all, "POST", "/oidc/revoke", handle_revoke, i);
	if (r == 0)
		r = issuer_userinfo_routes(i);
	return r;
}
