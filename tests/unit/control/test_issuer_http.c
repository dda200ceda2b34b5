/* SPDX-License-Identifier: Apache-2.0
 *
 * The embedded provider as a browser and a client see it: its handlers run in memory on a server, a
 * signer and a store that this file fakes (the store is SQLite in memory). No ports, no sleeps: the
 * clock is the test's, the password is hashed once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/control.h"
#include "control/store_issuer.h"
#include "identity/jwt.h"
#include "identity/signed.h"
#include "platform/encode.h"

#define URL	  "https://control.example:8443"
#define EMAIL	  "alice@example.com"
#define PASSWORD  "correct horse <battery>"
#define VERIFIER  "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
#define AUTHORIZE                                                                                  \
	"/oidc/authorize?client_id=warren&redirect_uri=http%3A%2F%2F127.0.0.1%3A5000%2Fcallback"   \
	"&response_type=code&scope=openid+email+groups+offline_access&state=st%26te&nonce=nn"      \
	"&code_challenge=" CHALLENGE "&code_challenge_method=S256"

/* ---- the fakes */

struct route {
	unsigned origins;
	char method[8], path[64];
	server_handler *handler;
	void *ctx;
};

struct server {
	struct route routes[64];
	size_t count;
};

struct server_request {
	enum server_origin origin;
	char method[8], path[512], query[2048], body[4096], cookie[512], authorization[4096];
	void (*on_close)(void *ctx);
	void *close_ctx;
	/* answer */
	int status;
	char type[64], location[4096], set_cookie[4][256], headers[1024];
	size_t cookies;
	char *text;
};

struct job {
	int (*fn)(void *db, void *arg);
	void (*done)(void *arg, int result);
	void *arg;
};

struct store {
	sqlite3 *db;
	struct job jobs[16];
	size_t count;
};

struct signer {
	uint8_t public_key[32], secret_key[64];
};

int server_route(struct server *s, unsigned origins, const char *method, const char *path,
		 server_handler *handler, void *ctx)
{
	struct route *r = &s->routes[s->count++];
	r->origins = origins;
	snprintf(r->method, sizeof(r->method), "%s", method);
	snprintf(r->path, sizeof(r->path), "%s", path);
	r->handler = handler;
	r->ctx = ctx;
	return 0;
}

const char *server_request_path(const struct server_request *r)
{
	return r->path;
}

const char *server_request_query(const struct server_request *r)
{
	return r->query;
}

const char *server_request_body(const struct server_request *r, size_t *ret_len)
{
	if (ret_len != NULL)
		*ret_len = strlen(r->body);
	return r->body;
}

const char *server_request_header(const struct server_request *r, const char *name)
{
	if (strcasecmp(name, "cookie") == 0)
		return r->cookie;
	if (strcasecmp(name, "authorization") == 0 && r->authorization[0] != 0)
		return r->authorization;
	return NULL;
}

void server_request_source(const struct server_request *r, struct endpoint *ret_source)
{
	(void)r;
	assert_int_equal(endpoint_parse("192.0.2.1:999", ret_source), 0);
}

void server_request_on_close(struct server_request *r, void (*fn)(void *ctx), void *ctx)
{
	r->on_close = fn;
	r->close_ctx = ctx;
}

void server_reply(struct server_request *r, int status, const char *type,
		  const char *const *headers, const void *body, size_t len)
{
	assert_int_equal(r->status, 0); /* answered once */
	assert_null(r->on_close);	/* taken back before the answer */
	r->status = status;
	snprintf(r->type, sizeof(r->type), "%s", type != NULL ? type : "");
	r->text = calloc(1, len + 1);
	if (len > 0)
		memcpy(r->text, body, len);
	for (; headers != NULL && *headers != NULL; headers++) {
		if (strncmp(*headers, "Set-Cookie: ", 12) == 0)
			snprintf(r->set_cookie[r->cookies++], sizeof(r->set_cookie[0]), "%s",
				 *headers + 12);
		else
			snprintf(r->headers + strlen(r->headers),
				 sizeof(r->headers) - strlen(r->headers), "%s\n", *headers);
	}
}

void server_reply_json(struct server_request *r, int status, const void *json_body)
{
	char *text = json_dumps(json_body, 0);
	assert_non_null(text);
	server_reply(r, status, "application/json", NULL, text, strlen(text));
	free(text);
}

void server_reply_error(struct server_request *r, int status, const char *code, const char *fmt,
			...)
{
	(void)fmt;
	server_reply(r, status, "application/json", NULL, code, strlen(code));
}

void server_redirect(struct server_request *r, const char *location, const char *const *headers)
{
	snprintf(r->location, sizeof(r->location), "%s", location);
	server_reply(r, 303, NULL, headers, NULL, 0);
}

int store_job(struct store *s, int (*fn)(void *db, void *arg), void *arg,
	      void (*done)(void *arg, int result))
{
	s->jobs[s->count++] = (struct job){fn, done, arg};
	return 0;
}

int signer_public(struct signer *s, uint8_t ret_signing[32], uint8_t ret_issuer[32],
		  uint8_t ret_enroll[32])
{
	memset(ret_signing, 1, 32);
	memset(ret_enroll, 2, 32);
	memcpy(ret_issuer, s->public_key, 32);
	return 0;
}

struct state {
	char ended[512];
};

void state_cut_prepare(const struct state *s, const char *identity, bool block, bool logins,
		       const char *reason, struct store_cutoff_change *ret_change)
{
	(void)s;
	assert_true(logins);
	*ret_change = (struct store_cutoff_change){.cutoff = {.blocked = block}};
	snprintf(ret_change->cutoff.identity, 256, "%s", identity);
	snprintf(ret_change->cutoff.reason, 64, "%s", reason);
}

int64_t state_token_s(const struct state *s, int64_t now_s)
{
	(void)s;
	return now_s;
}

void state_cut_stored(struct state *s, const struct store_cutoff_change *change)
{
	size_t len = strlen(s->ended);
	snprintf(s->ended + len, sizeof(s->ended) - len, "%s%s %s\n",
		 change->unblock ? "not " : "", change->cutoff.reason, change->cutoff.identity);
}

static int sign(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	struct signer *s = ctx;
	return crypto_sign_detached(ret_sig, NULL, data, len, s->secret_key);
}

int signer_jwt(struct signer *s, const json_t *claims, const char *type, char **ret_token)
{
	uint8_t print[SIGNED_FINGERPRINT_BYTES];
	char kid[32];
	signed_fingerprint(s->public_key, print);
	encode_base64url(kid, print, sizeof(print));
	return jwt_make(claims, type, kid, sign, s, ret_token);
}

/* ---- the fixture */

struct fixture {
	struct control_config config;
	struct control c;
	struct server server;
	struct store store;
	struct signer signer;
	struct state state;
	struct clock_fake time;
	struct clock clock;
	struct random_fake fake;
	struct random_source random;
	uv_loop_t loop;
	struct issuer *issuer;
	char jar[4][256]; /* name=value */
	struct server_request last;
};

static char password_hash[ISSUER_PASSWORD_HASH];

/* Runs what waits: the store's jobs, the password threads. */
static void settle(struct fixture *f)
{
	do {
		while (f->store.count > 0) {
			struct job job = f->store.jobs[0];
			memmove(f->store.jobs, f->store.jobs + 1,
				--f->store.count * sizeof(f->store.jobs[0]));
			job.done(job.arg, job.fn(f->store.db, job.arg));
		}
		uv_run(&f->loop, UV_RUN_DEFAULT);
	} while (f->store.count > 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_issuer_put put = {.set_password = true,
				       .set_groups = true,
				       .set_name = true,
				       .user = {.email = EMAIL,
						.subject = "u_1",
						.name = "Alice",
						.groups = "[\"ops\",\"dev\"]"}};
	struct error err;
	snprintf(f->config.public_url, sizeof(f->config.public_url), URL);
	f->time.monotonic_ns = 5000 * NSEC_PER_SEC;
	f->time.realtime_ns = 1790000000 * NSEC_PER_SEC;
	f->clock = clock_fake_clock(&f->time);
	f->fake.state = 42;
	f->random = random_fake_source(&f->fake);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	assert_int_equal(sqlite3_open(":memory:", &f->store.db), SQLITE_OK);
	/* What of the network's tables is written with a user. */
	assert_int_equal(
		sqlite3_exec(f->store.db,
			     "CREATE TABLE network (revision INTEGER);"
			     "INSERT INTO network VALUES (1);"
			     "CREATE TABLE changes (revision, at, kind, subject);"
			     "CREATE TABLE cutoffs (identity TEXT, peer TEXT, before INTEGER,"
			     " token_before INTEGER, until INTEGER, blocked INTEGER, reason TEXT,"
			     " PRIMARY KEY (identity, peer));",
			     NULL, NULL, NULL),
		SQLITE_OK);
	crypto_sign_keypair(f->signer.public_key, f->signer.secret_key);
	f->c = (struct control){.config = &f->config,
				.loop = &f->loop,
				.clock = &f->clock,
				.random = &f->random,
				.server = &f->server,
				.signer = &f->signer,
				.state = &f->state,
				.store = &f->store};
	assert_int_equal(issuer_new(&f->c, &f->issuer, &err), 0);
	assert_int_equal(issuer_routes(f->issuer), 0);
	settle(f);
	memcpy(put.user.password, password_hash, sizeof(password_hash));
	assert_int_equal(store_issuer_put(f->store.db, &put), 0);
	assert_true(put.created);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	free(f->last.text);
	issuer_free(f->issuer);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	sqlite3_close(f->store.db);
	free(f);
	return 0;
}

static void pass(struct fixture *f, uint64_t seconds)
{
	f->time.monotonic_ns += seconds * NSEC_PER_SEC;
	f->time.realtime_ns += seconds * NSEC_PER_SEC;
}

static const struct route *route_of(struct fixture *f, enum server_origin origin,
				    const char *method, const char *path)
{
	const struct route *best = NULL;
	for (size_t i = 0; i < f->server.count; i++) {
		const struct route *r = &f->server.routes[i];
		size_t len = strlen(r->path);
		bool fits = r->path[len - 1] == '/' ? strncmp(path, r->path, len) == 0
						    : strcmp(path, r->path) == 0;
		if (fits && strcmp(r->method, method) == 0 && (r->origins & 1u << origin) != 0 &&
		    (best == NULL || strlen(best->path) < len))
			best = r;
	}
	return best;
}

/* Keeps what Set-Cookie says, as a browser does. */
static void keep_cookies(struct fixture *f)
{
	for (size_t i = 0; i < f->last.cookies; i++) {
		char *cookie = f->last.set_cookie[i];
		size_t name = strcspn(cookie, "=") + 1, len = strcspn(cookie, ";"), slot = 4;
		assert_int_equal(strncmp(cookie, "__Host-", 7), 0);
		assert_non_null(strstr(cookie, "; HttpOnly"));
		assert_non_null(strstr(cookie, "; SameSite=Lax"));
		assert_non_null(strstr(cookie, "; Secure"));
		assert_non_null(strstr(cookie, "; Path=/;"));
		for (size_t n = 4; n-- > 0;) {
			if (f->jar[n][0] == 0 || strncmp(f->jar[n], cookie, name) == 0)
				slot = n;
		}
		assert_int_not_equal(slot, 4);
		snprintf(f->jar[slot], sizeof(f->jar[0]), "%.*s", (int)len, cookie);
	}
}

/* A request by the browser (or, without cookies in the jar, by a client); its status. */
static int request_from(struct fixture *f, enum server_origin origin, const char *method,
			const char *target, const char *body, const char *authorization)
{
	struct server_request *r = &f->last;
	free(r->text);
	memset(r, 0, sizeof(*r));
	r->origin = origin;
	snprintf(r->method, sizeof(r->method), "%s", method);
	snprintf(r->path, sizeof(r->path), "%.*s", (int)strcspn(target, "?"), target);
	if (strchr(target, '?') != NULL)
		snprintf(r->query, sizeof(r->query), "%s", strchr(target, '?') + 1);
	snprintf(r->body, sizeof(r->body), "%s", body);
	snprintf(r->authorization, sizeof(r->authorization), "%s", authorization);
	for (size_t i = 0; i < 4; i++)
		snprintf(r->cookie + strlen(r->cookie), sizeof(r->cookie) - strlen(r->cookie),
			 "%s; ", f->jar[i]);
	const struct route *route = route_of(f, origin, method, r->path);
	if (route == NULL) {
		fail_msg("no route for %s %s", method, r->path);
		return 0;
	}
	route->handler(route->ctx, r);
	settle(f);
	keep_cookies(f);
	return r->status;
}

static int get(struct fixture *f, const char *target)
{
	return request_from(f, SERVER_PUBLIC, "GET", target, "", "");
}

static int post(struct fixture *f, const char *target, const char *body)
{
	return request_from(f, SERVER_PUBLIC, "POST", target, body, "");
}

/* The value of a hidden field of the page. */
static void field(struct fixture *f, const char *name, char *out, size_t cap)
{
	char start[64];
	snprintf(start, sizeof(start), "name=\"%s\" value=\"", name);
	const char *at = strstr(f->last.text, start);
	if (at == NULL)
		fail_msg("no field %s in %s", name, f->last.text);
	at += strlen(start);
	snprintf(out, cap, "%.*s", (int)strcspn(at, "\""), at);
}

static int submit(struct fixture *f, const char *action, const char *more)
{
	char csrf[64], id[64] = "", body[1024];
	field(f, "csrf", csrf, sizeof(csrf));
	if (strstr(f->last.text, "name=\"i\"") != NULL)
		field(f, "i", id, sizeof(id));
	snprintf(body, sizeof(body), "csrf=%s&i=%s&%s", csrf, id, more);
	return post(f, action, body);
}

static int follow(struct fixture *f)
{
	char location[4096];
	assert_int_equal(f->last.status, 303);
	snprintf(location, sizeof(location), "%s", f->last.location);
	assert_int_equal(location[0], '/');
	return get(f, location);
}

static void login_at(struct fixture *f)
{
	assert_int_equal(follow(f), 200);
	assert_non_null(strstr(f->last.text, "type=\"password\""));
	assert_int_equal(submit(f, "/login",
				"email=ALICE%40example.com&password=correct+horse+%3Cbattery%3E"),
			 303);
	assert_int_equal(follow(f), 200);
}

/* The code of the redirect to the client. */
static void code_of(struct fixture *f, char *out, size_t cap)
{
	assert_int_equal(f->last.status, 303);
	const char *start = "http://127.0.0.1:5000/callback?code=";
	if (strncmp(f->last.location, start, strlen(start)) != 0)
		fail_msg("%s", f->last.location);
	assert_non_null(
		strstr(f->last.location, "&state=st%26te&iss=https%3A%2F%2Fcontrol.example"));
	snprintf(out, cap, "%.*s", (int)strcspn(f->last.location + strlen(start), "&"),
		 f->last.location + strlen(start));
}

static json_t *answer(struct fixture *f)
{
	json_t *body = json_loads(f->last.text, 0, NULL);
	assert_non_null(body);
	return body;
}

static void assert_oauth_error(struct fixture *f, const char *error)
{
	json_t *body = answer(f);
	assert_int_equal(f->last.status, 400);
	assert_string_equal(json_string_value(json_object_get(body, "error")), error);
	json_decref(body);
}

/* Verifies the ID token as any client would: keys from /oidc/jwks. */
static void check_id_token(struct fixture *f, const char *token, const char *nonce)
{
	static const char *const audiences[] = {"warren", NULL};
	struct jwt_expect expect = {.issuer = URL,
				    .audiences = audiences,
				    .nonce = nonce,
				    .now_s = clock_realtime_s(&f->clock),
				    .require_email_verified = true};
	struct jwt_identity id;
	struct jwks *jwks;
	struct error err = {0};
	char *copy = strdup(token);
	assert_int_equal(get(f, "/oidc/jwks"), 200);
	assert_int_equal(jwks_parse(f->last.text, strlen(f->last.text), &jwks, &err), 0);
	assert_int_equal(jwks_count(jwks), 1);
	if (jwt_verify(copy, strlen(copy), jwks, &expect, &id, &err) != JWT_OK)
		fail_msg("%s", err.text);
	assert_string_equal(id.user, EMAIL);
	assert_string_equal(id.subject, "u_1");
	assert_int_equal(id.group_count, 2);
	assert_string_equal(id.groups[0], "ops");
	assert_int_equal(id.auth_time_s, 1790000000);
	assert_int_equal(id.expires_s - id.issued_s, 3600);
	jwt_identity_done(&id);
	jwks_free(jwks);
	free(copy);
}

/* ---- the tests */

static void test_discovery(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(get(f, "/.well-known/openid-configuration"), 200);
	json_t *doc = answer(f);
	assert_string_equal(json_string_value(json_object_get(doc, "issuer")), URL);
	static const char *const endpoints[] = {
		"authorization_endpoint", "token_endpoint",	 "device_authorization_endpoint",
		"userinfo_endpoint",	  "revocation_endpoint", "jwks_uri"};
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		const char *url = json_string_value(json_object_get(doc, endpoints[i]));
		assert_int_equal(strncmp(url, URL "/oidc/", sizeof(URL "/oidc/") - 1), 0);
		bool post_only =
			strstr(url, "token") || strstr(url, "device") || strstr(url, "revoke");
		assert_non_null(route_of(f, SERVER_PUBLIC, post_only ? "POST" : "GET",
					 url + sizeof(URL) - 1));
	}
	assert_int_equal(json_array_size(json_object_get(doc, "claims_supported")), 10);
	json_decref(doc);
}

static void test_code_flow(void **state)
{
	struct fixture *f = *state;
	char code[64], body[1024], refresh[128], access[2048];

	assert_int_equal(get(f, AUTHORIZE), 303);
	login_at(f);
	assert_non_null(strstr(f->last.text, EMAIL)); /* consent */
	assert_int_equal(submit(f, "/oidc/continue", "decision=allow"), 303);
	code_of(f, code, sizeof(code));

	snprintf(body, sizeof(body),
		 "grant_type=authorization_code&client_id=warren&code=%s&code_verifier=%s"
		 "&redirect_uri=http%%3A%%2F%%2F127.0.0.1%%3A5000%%2Fcallback",
		 code, VERIFIER);
	pass(f, 5);
	assert_int_equal(post(f, "/oidc/token", body), 200);
	json_t *tokens = answer(f);
	snprintf(refresh, sizeof(refresh), "%s",
		 json_string_value(json_object_get(tokens, "refresh_token")));
	snprintf(access, sizeof(access), "Bearer %s",
		 json_string_value(json_object_get(tokens, "access_token")));
	check_id_token(f, json_string_value(json_object_get(tokens, "id_token")), "nn");

	/* userinfo takes the access token and nothing else. */
	assert_int_equal(request_from(f, SERVER_PUBLIC, "GET", "/oidc/userinfo", "", access), 200);
	assert_non_null(strstr(f->last.text, "\"sub\": \"u_1\""));
	snprintf(access, sizeof(access), "Bearer %s",
		 json_string_value(json_object_get(tokens, "id_token")));
	assert_int_equal(request_from(f, SERVER_PUBLIC, "GET", "/oidc/userinfo", "", access), 401);
	assert_int_equal(get(f, "/oidc/userinfo"), 401);
	json_decref(tokens);

	/* The same code again is refused and takes the refresh token with it. */
	assert_int_equal(post(f, "/oidc/token", body), 400);
	assert_oauth_error(f, "invalid_grant");
	snprintf(body, sizeof(body), "grant_type=refresh_token&client_id=warren&refresh_token=%s",
		 refresh);
	assert_int_equal(post(f, "/oidc/token", body), 400);
	assert_oauth_error(f, "invalid_grant");

	/* Signed in: the next request asks for consent only; prompt=login asks for the password. */
	assert_int_equal(get(f, AUTHORIZE), 303);
	assert_int_equal(strncmp(f->last.location, "/oidc/continue", 14), 0);
	pass(f, 1);
	assert_int_equal(get(f, AUTHORIZE "&prompt=login"), 303);
	assert_int_equal(strncmp(f->last.location, "/login", 6), 0);
	assert_int_equal(get(f, AUTHORIZE "&max_age=1"), 303);
	assert_int_equal(strncmp(f->last.location, "/login", 6), 0);
	assert_int_equal(get(f, AUTHORIZE "&prompt=none"), 303);
	assert_non_null(strstr(f->last.location, "error=consent_required"));
}

static void test_refresh(void **state)
{
	struct fixture *f = *state;
	char code[64], body[1024], refresh[3][128], again[1024];

	assert_int_equal(get(f, AUTHORIZE), 303);
	login_at(f);
	assert_int_equal(submit(f, "/oidc/continue", "decision=allow"), 303);
	code_of(f, code, sizeof(code));
	snprintf(body, sizeof(body),
		 "grant_type=authorization_code&client_id=warren&code=%s&code_verifier=%s"
		 "&redirect_uri=http%%3A%%2F%%2F127.0.0.1%%3A5000%%2Fcallback",
		 code, VERIFIER);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(post(f, "/oidc/token", body), 200);
		json_t *tokens = answer(f);
		snprintf(refresh[i], sizeof(refresh[i]), "%s",
			 json_string_value(json_object_get(tokens, "refresh_token")));
		check_id_token(f, json_string_value(json_object_get(tokens, "id_token")), NULL);
		json_decref(tokens);
		snprintf(body, sizeof(body),
			 "grant_type=refresh_token&client_id=warren&refresh_token=%s", refresh[i]);
		pass(f, 3000);
	}
	/* Another client cannot use it. */
	snprintf(again, sizeof(again),
		 "grant_type=refresh_token&client_id=warren-control&refresh_token=%s", refresh[2]);
	assert_int_equal(post(f, "/oidc/token", again), 400);
	/* The first once more: refused, and the newest is over too. */
	snprintf(again, sizeof(again), "grant_type=refresh_token&client_id=warren&refresh_token=%s",
		 refresh[0]);
	assert_int_equal(post(f, "/oidc/token", again), 400);
	assert_oauth_error(f, "invalid_grant");
	assert_int_equal(post(f, "/oidc/token", body), 400);
	assert_oauth_error(f, "invalid_grant");
}

static void device_start(struct fixture *f, char *device, char *user)
{
	assert_int_equal(post(f, "/oidc/device_authorization",
			      "client_id=warren&scope=openid+email+groups&nonce=dn"),
			 200);
	json_t *body = answer(f);
	snprintf(device, 64, "%s", json_string_value(json_object_get(body, "device_code")));
	snprintf(user, 16, "%s", json_string_value(json_object_get(body, "user_code")));
	assert_string_equal(json_string_value(json_object_get(body, "verification_uri")),
			    URL "/device");
	assert_non_null(strstr(
		json_string_value(json_object_get(body, "verification_uri_complete")), user));
	json_decref(body);
}

static void device_poll(struct fixture *f, const char *device)
{
	char body[256];
	snprintf(body, sizeof(body),
		 "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Adevice_code"
		 "&client_id=warren&device_code=%s",
		 device);
	post(f, "/oidc/token", body);
}

static void test_device_flow(void **state)
{
	struct fixture *f = *state;
	char device[64], user[16], target[64], code[64];

	device_start(f, device, user);
	device_poll(f, device);
	assert_oauth_error(f, "authorization_pending");
	device_poll(f, device);
	assert_oauth_error(f, "slow_down");

	snprintf(target, sizeof(target), "/device?user_code=%s", user);
	assert_int_equal(get(f, target), 200);
	assert_non_null(strstr(f->last.text, user));
	snprintf(code, sizeof(code), "user_code=%s", user);
	assert_int_equal(submit(f, "/device", code), 303);
	login_at(f);
	/* The page says who, which code, and from where. */
	assert_non_null(strstr(f->last.text, EMAIL));
	assert_non_null(strstr(f->last.text, user));
	assert_non_null(strstr(f->last.text, "192.0.2.1"));
	assert_int_equal(submit(f, "/oidc/continue", "decision=allow"), 200);
	assert_non_null(strstr(f->last.text, "id=\"warren-state\" value=\"done\""));
	pass(f, 7);
	device_poll(f, device);
	assert_int_equal(f->last.status, 200);
	json_t *tokens = answer(f);
	assert_null(json_object_get(tokens, "refresh_token"));
	check_id_token(f, json_string_value(json_object_get(tokens, "id_token")), "dn");
	json_decref(tokens);
	device_poll(f, device);
	assert_oauth_error(f, "invalid_grant");

	/* Refused, by the one who is signed in still. */
	device_start(f, device, user);
	assert_int_equal(get(f, "/device"), 200);
	snprintf(code, sizeof(code), "user_code=%s", user);
	assert_int_equal(submit(f, "/device", code), 303);
	assert_int_equal(follow(f), 200);
	assert_int_equal(submit(f, "/oidc/continue", "decision=refuse"), 200);
	device_poll(f, device);
	assert_oauth_error(f, "access_denied");

	assert_int_equal(get(f, "/device"), 200);
	assert_int_equal(submit(f, "/device", "user_code=BCDF-GHJK"), 404);
	/* Guessing is slow. */
	int last = 0;
	for (int i = 0; i < 12 && last != 429; i++) {
		assert_int_equal(get(f, "/device"), 200);
		last = submit(f, "/device", "user_code=BCDF-GHJK");
	}
	assert_int_equal(last, 429);
}

static void test_passwords(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(get(f, AUTHORIZE), 303);
	assert_int_equal(follow(f), 200);
	assert_int_equal(submit(f, "/login", "email=alice%40example.com&password=wrong"), 403);
	assert_non_null(strstr(f->last.text, "is wrong"));
	/* An unknown account reads the same. */
	char *text = strdup(strstr(f->last.text, "role=\"alert\""));
	*strstr(text, "</p>") = 0;
	assert_int_equal(submit(f, "/login", "email=mallory%40example.com&password=wrong"), 403);
	assert_non_null(strstr(f->last.text, text));
	free(text);
	/* What was typed comes back escaped. */
	assert_int_equal(submit(f, "/login", "email=x%27%26y%40example.com&password=wrong"), 403);
	assert_non_null(strstr(f->last.text, "value=\"x&#39;&amp;y@example.com\""));
	for (int i = 0; i < 4; i++)
		assert_int_equal(submit(f, "/login", "email=alice%40example.com&password=wrong"),
				 403);
	/* The right one is not even tried now; half a minute later it is, once. */
	assert_int_equal(submit(f, "/login",
				"email=alice%40example.com&password=correct+horse+%3Cbattery%3E"),
			 429);
	pass(f, 30);
	assert_int_equal(submit(f, "/login",
				"email=alice%40example.com&password=correct+horse+%3Cbattery%3E"),
			 303);
}

static void test_forged_forms(void **state)
{
	struct fixture *f = *state;
	char csrf[64], id[64], body[512];
	assert_int_equal(get(f, AUTHORIZE), 303);
	assert_int_equal(follow(f), 200);
	field(f, "csrf", csrf, sizeof(csrf));
	field(f, "i", id, sizeof(id));
	/* No token, another token, a token of another form. */
	snprintf(body, sizeof(body), "i=%s&email=alice%%40example.com&password=x", id);
	assert_int_equal(post(f, "/login", body), 410);
	csrf[5] = csrf[5] == 'A' ? 'B' : 'A';
	snprintf(body, sizeof(body), "csrf=%s&i=%s&email=alice%%40example.com&password=x", csrf,
		 id);
	assert_int_equal(post(f, "/login", body), 410);
	assert_int_equal(get(f, "/device"), 200);
	field(f, "csrf", csrf, sizeof(csrf));
	snprintf(body, sizeof(body), "csrf=%s&i=%s&email=alice%%40example.com&password=x", csrf,
		 id);
	assert_int_equal(post(f, "/login", body), 410);
	/* Another browser with the id alone. */
	memset(f->jar, 0, sizeof(f->jar));
	snprintf(body, sizeof(body), "/login?i=%s", id);
	assert_int_equal(get(f, body), 410);
}

static void test_bad_requests(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *query, *want; /* NULL: a page, no redirect */
	} table[] = {
		{"client_id=nobody&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F", NULL},
		{"client_id=warren&redirect_uri=https%3A%2F%2Fevil.example%2F", NULL},
		{"client_id=warren", NULL},
		{"client_id=warren&client_id=warren&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F",
		 NULL},
		{"client_id=warren&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F&scope=openid"
		 "&response_type=token",
		 "unsupported_response_type"},
		{"client_id=warren&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F&scope=openid"
		 "&response_type=code",
		 "invalid_request"},
		{"client_id=warren&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F&scope=openid"
		 "&response_type=code&code_challenge_method=plain&code_challenge=" CHALLENGE,
		 "invalid_request"},
		{"client_id=warren&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F&scope=email"
		 "&response_type=code&code_challenge_method=S256&code_challenge=" CHALLENGE,
		 "invalid_scope"},
		{"client_id=warren&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F&request=x",
		 "request_not_supported"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char target[1024], want[64];
		snprintf(target, sizeof(target), "/oidc/authorize?%s", table[i].query);
		int status = get(f, target);
		if (table[i].want == NULL) {
			assert_int_equal(status, 400);
			assert_string_equal(f->last.location, "");
			continue;
		}
		snprintf(want, sizeof(want), "http://127.0.0.1:1/?error=%s", table[i].want);
		assert_int_equal(status, 303);
		if (strncmp(f->last.location, want, strlen(want)) != 0)
			fail_msg("%s: %s", table[i].query, f->last.location);
	}
	assert_int_equal(post(f, "/oidc/token", "grant_type=password&client_id=warren"), 400);
	assert_oauth_error(f, "unsupported_grant_type");
	assert_int_equal(post(f, "/oidc/token", "grant_type=authorization_code"), 400);
	assert_oauth_error(f, "invalid_client");
	assert_int_equal(
		post(f, "/oidc/device_authorization", "client_id=warren-control&scope=openid"),
		400);
	assert_oauth_error(f, "unauthorized_client");
}

static void test_self_made_certificate(void **state)
{
	struct fixture *f = *state;
	f->config.tls_self_made = true;
	assert_int_equal(get(f, "/device"), 503);
	assert_non_null(strstr(f->last.text, "certificate"));
	assert_int_equal(get(f, AUTHORIZE), 303);
	assert_int_equal(follow(f), 503);
	assert_int_equal(post(f, "/login", "email=alice%40example.com&password=x"), 503);
	f->config.demo = true;
	assert_int_equal(get(f, "/device"), 200);
}

/* A client that goes away while its answer is made must not be answered. */
static void test_client_gone(void **state)
{
	struct fixture *f = *state;
	struct server_request *r = &f->last;
	char code[64];
	assert_int_equal(get(f, AUTHORIZE), 303);
	login_at(f);
	assert_int_equal(submit(f, "/oidc/continue", "decision=allow"), 303);
	code_of(f, code, sizeof(code));
	free(r->text);
	memset(r, 0, sizeof(*r));
	snprintf(r->body, sizeof(r->body),
		 "grant_type=authorization_code&client_id=warren&code=%s&code_verifier=%s"
		 "&redirect_uri=http%%3A%%2F%%2F127.0.0.1%%3A5000%%2Fcallback",
		 code, VERIFIER);
	const struct route *route = route_of(f, SERVER_PUBLIC, "POST", "/oidc/token");
	route->handler(route->ctx, r);
	assert_non_null(r->on_close);
	r->on_close(r->close_ctx);
	r->on_close = NULL;
	settle(f);
	assert_int_equal(r->status, 0);
}

/* Is the identity blocked in the store? */
static int blocked(struct fixture *f, const char *identity)
{
	sqlite3_stmt *st = NULL;
	assert_int_equal(sqlite3_prepare_v2(f->store.db,
					    "SELECT blocked FROM cutoffs WHERE identity = ?", -1,
					    &st, NULL),
			 SQLITE_OK);
	sqlite3_bind_text(st, 1, identity, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int value = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return value;
}

static void test_users(void **state)
{
	struct fixture *f = *state;
	assert_null(route_of(f, SERVER_PUBLIC, "POST", "/v1/admin/users"));
	assert_int_equal(request_from(f, SERVER_ADMIN, "POST", "/v1/admin/users",
				      "{\"email\":\"Bob@Example.com\",\"groups\":[\"dev\"],"
				      "\"password\":\"bobs password\"}",
				      ""),
			 201);
	assert_int_equal(request_from(f, SERVER_ADMIN, "GET", "/v1/admin/users", "", ""), 200);
	assert_non_null(strstr(f->last.text, "bob@example.com"));
	assert_null(strstr(f->last.text, "argon2"));
	/* Bob can sign in, until he is disabled: his session goes with it. */
	assert_int_equal(get(f, AUTHORIZE), 303);
	assert_int_equal(follow(f), 200);
	assert_int_equal(submit(f, "/login", "email=bob%40example.com&password=bobs+password"),
			 303);
	assert_int_equal(follow(f), 200);
	assert_int_equal(request_from(f, SERVER_ADMIN, "POST", "/v1/admin/users",
				      "{\"email\":\"bob@example.com\",\"disabled\":true}", ""),
			 200);
	assert_string_equal(f->state.ended, "disabled bob@example.com\n");
	assert_int_equal(blocked(f, "bob@example.com"), 1);
	assert_int_equal(request_from(f, SERVER_ADMIN, "POST", "/v1/admin/users",
				      "{\"email\":\"nobody@example.com\",\"disabled\":true}", ""),
			 404);
	assert_int_equal(get(f, AUTHORIZE), 303);
	assert_int_equal(follow(f), 200);
	assert_non_null(strstr(f->last.text, "type=\"password\""));
	assert_int_equal(submit(f, "/login", "email=bob%40example.com&password=bobs+password"),
			 403);

	static const char *const bad[] = {
		"{\"email\":\"carol@example.com\"}",
		"{\"email\":\"carol@example.com\",\"password\":\"short\"}",
		"{\"email\":\"carol\",\"password\":\"long enough\"}",
		"{\"email\":\"c@example.com\",\"password\":\"long enough\",\"admin\":true}",
		"{\"email\":\"c@example.com\",\"password\":\"long enough\",\"groups\":[1]}",
		"[]",
		"",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			request_from(f, SERVER_ADMIN, "POST", "/v1/admin/users", bad[i], ""), 400);
	assert_int_equal(request_from(f, SERVER_ADMIN, "DELETE",
				      "/v1/admin/users/bob%40example.com", "", ""),
			 204);
	assert_int_equal(
		request_from(f, SERVER_ADMIN, "DELETE", "/v1/admin/users/bob@example.com", "", ""),
		404);
	assert_int_equal(request_from(f, SERVER_ADMIN, "DELETE", "/v1/admin/users/", "", ""), 400);
	assert_string_equal(f->state.ended, "disabled bob@example.com\nremoved bob@example.com\n");
	assert_int_equal(blocked(f, "bob@example.com"), 0); /* the next Bob is not disabled */
}

static int hash_once(void **state)
{
	(void)state;
	return sodium_init() < 0 ? -1 : issuer_password_hash(PASSWORD, password_hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_discovery, setup, teardown),
		cmocka_unit_test_setup_teardown(test_code_flow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refresh, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_flow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_passwords, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forged_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_self_made_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_users, setup, teardown),
	};
	return cmocka_run_group_tests(tests, hash_once, NULL);
}
