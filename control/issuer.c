/* SPDX-License-Identifier: Apache-2.0
 *
 * The embedded OpenID provider at the control server's public URL: its object, routes, discovery
 * document and key set (OpenID Connect Discovery 1.0, RFC 7517, RFC 8414). It knows users and
 * nothing of the network; everybody else talks to it as to any provider.
 */
#include "control/issuer_internal.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/store_issuer.h"
#include "identity/jwt.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/log.h"
#include "platform/secret.h"

struct issuer *issuer_ref(struct issuer *i)
{
	i->refs++;
	return i;
}

void issuer_unref(struct issuer *i)
{
	if (i == NULL || --i->refs > 0)
		return;
	issuer_flow_free(i->flow);
	issuer_throttle_free(i->throttle);
	jwks_free(i->jwks);
	json_decref(i->jwks_json);
	secret_wipe(i, sizeof(*i));
	free(i);
}

void issuer_free(struct issuer *i)
{
	issuer_unref(i);
}

static void held_gone(void *ctx)
{
	struct server_request **slot = ctx;
	*slot = NULL;
}

void issuer_hold(struct server_request *r, struct server_request **slot)
{
	*slot = r;
	server_request_on_close(r, held_gone, slot);
}

struct server_request *issuer_resume(struct server_request **slot)
{
	struct server_request *r = *slot;
	*slot = NULL;
	if (r != NULL)
		server_request_on_close(r, NULL, NULL);
	return r;
}

bool issuer_may_ask(struct issuer *i, struct server_request *r)
{
	if (!i->c->config->tls_self_made || i->c->config->demo)
		return true;
	pages_message(
		r, 503, "No passwords on this certificate",
		"This server has a certificate that it made itself, so your browser cannot tell "
		"it from somebody in between, and it does not ask for passwords. An "
		"administrator can give it a certificate (tls_cert and tls_key in its "
		"configuration) or a provider of logins, or, to try Warren out, start it with "
		"--demo.");
	return false;
}

static void pace_of(const struct server_request *r, const char *kind, unsigned per_minute,
		    char key[static 96], struct issuer_rate *ret_rate)
{
	struct endpoint source;
	ret_rate->burst = per_minute;
	ret_rate->interval_ns = 60 * NSEC_PER_SEC / per_minute;
	server_request_source(r, &source);
	issuer_throttle_source(kind, &source, key, 96);
}

bool issuer_pace(struct issuer *i, struct server_request *r, const char *kind, unsigned per_minute)
{
	static const char text[] = "{\"error\":\"slow_down\",\"error_description\":\"too many "
				   "requests from this address; try again in a minute\"}";
	char key[96], line[64];
	const char *headers[] = {line, NULL};
	struct issuer_rate rate;
	unsigned wait = 0;

	pace_of(r, kind, per_minute, key, &rate);
	if (issuer_throttle_take(i->throttle, key, &rate, clock_monotonic_ns(i->c->clock), &wait))
		return true;
	snprintf(line, sizeof(line), "Retry-After: %u", wait);
	server_reply(r, 429, "application/json", headers, text, sizeof(text) - 1);
	return false;
}

void issuer_unpace(struct issuer *i, const struct server_request *r, const char *kind,
		   unsigned per_minute)
{
	char key[96];
	struct issuer_rate rate;
	pace_of(r, kind, per_minute, key, &rate);
	issuer_throttle_give(i->throttle, key, &rate);
}

/* ---- documents for clients */

static json_t *url_of(const struct issuer *i, const char *path)
{
	return json_sprintf("%s%s", i->url, path);
}

static void handle_discovery(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	json_t *doc = json_pack(
		"{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:[s], s:[s], s:[sss], s:[s], s:[s], s:[s], "
		"s:[s], "
		"s:[sssss], s:[ssssssssss], s:[ss], s:b, s:[s]}",
		"issuer", i->url, "authorization_endpoint", url_of(i, "/oidc/authorize"),
		"token_endpoint", url_of(i, "/oidc/token"), "device_authorization_endpoint",
		url_of(i, "/oidc/device_authorization"), "userinfo_endpoint",
		url_of(i, "/oidc/userinfo"), "revocation_endpoint", url_of(i, "/oidc/revoke"),
		"jwks_uri", url_of(i, "/oidc/jwks"), "response_types_supported", "code",
		"response_modes_supported", "query", "grant_types_supported", "authorization_code",
		"refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
		"subject_types_supported", "public", "id_token_signing_alg_values_supported",
		"EdDSA", "token_endpoint_auth_methods_supported", "none",
		"code_challenge_methods_supported", "S256", "scopes_supported", "openid", "email",
		"profile", "groups", "offline_access", "claims_supported", "iss", "sub", "aud",
		"exp", "iat", "auth_time", "email", "email_verified", "name", "groups",
		"prompt_values_supported", "none", "login",
		"authorization_response_iss_parameter_supported", 1,
		"revocation_endpoint_auth_methods_supported", "none");
	if (doc == NULL) {
		server_reply_error(r, 500, "internal", "out of memory");
		return;
	}
	char *text = json_dumps(doc, JSON_COMPACT);
	static const char *const headers[] = {"Cache-Control: public, max-age=300", NULL};
	if (text != NULL)
		server_reply(r, 200, "application/json", headers, text, strlen(text));
	else
		server_reply_error(r, 500, "internal", "out of memory");
	free(text);
	json_decref(doc);
}

static void handle_jwks(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	static const char *const headers[] = {"Cache-Control: public, max-age=300", NULL};
	char *text = json_dumps(i->jwks_json, JSON_COMPACT);
	if (text != NULL)
		server_reply(r, 200, "application/jwk-set+json", headers, text, strlen(text));
	else
		server_reply_error(r, 500, "internal", "out of memory");
	free(text);
}

/* ---- life */

static int make_keys(struct issuer *i, struct error *err)
{
	uint8_t signing[32], key[32], enroll[32], print[SIGNED_FINGERPRINT_BYTES];
	char x[ENCODE_BASE64URL_SIZE(32)];
	int r = signer_public(i->c->signer, signing, key, enroll);
	if (r != 0)
		return error_set(err, r, "the signer does not say its public keys: %s",
				 strerror(-r));
	signed_fingerprint(key, print);
	encode_base64url(i->kid, print, sizeof(print));
	encode_base64url(x, key, sizeof(key));
	i->jwks_json =
		json_pack("{s:[{s:s, s:s, s:s, s:s, s:s, s:s}]}", "keys", "kty", "OKP", "crv",
			  "Ed25519", "x", x, "kid", i->kid, "use", "sig", "alg", "EdDSA");
	char *text = i->jwks_json != NULL ? json_dumps(i->jwks_json, JSON_COMPACT) : NULL;
	if (text == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	r = jwks_parse(text, strlen(text), &i->jwks, err);
	free(text);
	return r;
}

const json_t *issuer_keys(const struct issuer *i)
{
	return i->jwks_json;
}

static void tables_made(void *arg, int result)
{
	if (result != 0)
		log_error("the embedded issuer's tables cannot be made", "error=\"%s\"",
			  strerror(-result));
	issuer_unref(arg);
}

static int init_tables(void *db, void *arg)
{
	(void)arg;
	return store_issuer_init(db, NULL);
}

int issuer_routes(struct issuer *i)
{
	struct server *s = i->c->server;
	unsigned all = 1u << SERVER_PUBLIC;
	int r = server_route(s, all, "GET", "/.well-known/openid-configuration", handle_discovery,
			     i);
	if (r == 0)
		r = server_route(s, all, "GET", "/oidc/jwks", handle_jwks, i);
	if (r == 0)
		r = issuer_web_routes(i);
	if (r == 0)
		r = issuer_device_routes(i);
	if (r == 0)
		r = issuer_token_routes(i);
	if (r == 0)
		r = issuer_admin_routes(i);
	return r;
}

int issuer_new(struct control *c, struct issuer **ret_issuer, struct error *err)
{
	struct issuer *i = calloc(1, sizeof(*i));
	int r;
	if (i == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	i->c = c;
	i->refs = 1;
	i->url = c->config->public_url;
	i->secure = strncmp(i->url, "https://", 8) == 0;
	i->pool.loop = c->loop;
	random_bytes(c->random, i->csrf_key, sizeof(i->csrf_key));
	snprintf(i->userinfo_url, sizeof(i->userinfo_url), "%s/oidc/userinfo", i->url);
	r = issuer_flow_new(c->clock, c->random, &i->flow);
	if (r == 0)
		r = issuer_throttle_new(c->random, &i->throttle);
	if (r != 0)
		error_set(err, r, "out of memory");
	if (r == 0)
		r = make_keys(i, err);
	if (r == 0) {
		r = store_job(c->store, init_tables, issuer_ref(i), tables_made);
		if (r != 0) {
			i->refs--;
			error_set(err, r, "the store takes no job: %s", strerror(-r));
		}
	}
	if (r != 0) {
		issuer_unref(i);
		return r;
	}
	*ret_issuer = i;
	return 0;
}
