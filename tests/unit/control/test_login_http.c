/* SPDX-License-Identifier: Apache-2.0
 *
 * The login service as peers and browsers see it: handlers in memory, with a server, a network, a
 * signer and a provider that this file fakes. The policy is the real one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/control.h"
#include "control/login_pending.h"
#include "platform/encode.h"
#include "platform/secret.h"

#define URL	"https://control.example:8443"
#define FIRST	"p_aaaaaaaaaaaaaaaa"
#define SECOND	"p_bbbbbbbbbbbbbbbb"
#define SESSION "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
#define ALLOW_DEPLOY                                                                               \
	"{\"ssh\":[{\"from\":[\"alice@example.com\"],\"to\":[\"peer:second\"],"                    \
	"\"logins\":[\"deploy\"],\"allow\":[\"shell\"]}]}"

/* ---- the fakes */

struct route {
	char method[8], path[64];
	server_handler *handler;
	void *ctx;
};

struct server {
	struct route routes[32];
	size_t count;
};

struct server_request {
	char path[512], query[2048], body[8192], cookie[512];
	const char *peer; /* who signed it */
	void (*on_close)(void *ctx);
	void *close_ctx;
	int status;
	char location[4096], set_cookie[256], code[64];
	char *text;
};

struct state {
	struct state_peer peers[2];
	struct policy *policy;
	struct policy_world *world;
	char logins[512], events[2048], pushed[512];
	const char *refused; /* an identity, for the tests of what was ended */
	int certs_made;
	int64_t login_issued_s;
};

struct signer {
	uint8_t public_key[32], secret_key[64];
};

struct oidc {
	char redirect[256], state[64], nonce[64], challenge[64], prompt[32];
	struct oidc_login_ops ops; /* an exchange that waits */
	bool waits;
};

int server_route(struct server *s, unsigned origins, const char *method, const char *path,
		 server_handler *handler, void *ctx)
{
	struct route *r = &s->routes[s->count++];
	assert_int_equal(origins, 1u << SERVER_PUBLIC);
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
	return strcasecmp(name, "cookie") == 0 ? r->cookie : NULL;
}

void server_request_on_close(struct server_request *r, void (*fn)(void *ctx), void *ctx)
{
	r->on_close = fn;
	r->close_ctx = ctx;
}

void server_reply(struct server_request *r, int status, const char *type,
		  const char *const *headers, const void *body, size_t len)
{
	(void)type;
	assert_int_equal(r->status, 0);
	assert_null(r->on_close);
	r->status = status;
	r->text = calloc(1, len + 1);
	if (len > 0)
		memcpy(r->text, body, len);
	for (; headers != NULL && *headers != NULL; headers++) {
		if (strncmp(*headers, "Set-Cookie: ", 12) == 0)
			snprintf(r->set_cookie, sizeof(r->set_cookie), "%s", *headers + 12);
	}
}

void server_reply_json(struct server_request *r, int status, const void *json_body)
{
	char *text = json_dumps(json_body, JSON_COMPACT);
	assert_non_null(text);
	const json_t *error = json_object_get(json_body, "error");
	if (error != NULL)
		snprintf(r->code, sizeof(r->code), "%s",
			 json_string_value(json_object_get(error, "code")));
	server_reply(r, status, "application/json", NULL, text, strlen(text));
	free(text);
}

void server_reply_error(struct server_request *r, int status, const char *code, const char *fmt,
			...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(r->code, sizeof(r->code), "%s", code);
	server_reply(r, status, "application/json", NULL, text, strlen(text));
}

void server_redirect(struct server_request *r, const char *location, const char *const *headers)
{
	snprintf(r->location, sizeof(r->location), "%s", location);
	server_reply(r, 303, NULL, headers, NULL, 0);
}

const struct state_peer *state_peer(const struct state *s, const char *id)
{
	for (size_t i = 0; i < 2; i++) {
		if (strcmp(s->peers[i].id, id) == 0)
			return &s->peers[i];
	}
	return NULL;
}

const struct state_peer *state_peer_by_addr(const struct state *s, const struct ip_addr *overlay)
{
	for (size_t i = 0; i < 2; i++) {
		if (ip_addr_equal(&s->peers[i].v4, overlay) ||
		    ip_addr_equal(&s->peers[i].v6, overlay))
			return &s->peers[i];
	}
	return NULL;
}

const struct policy *state_policy(const struct state *s)
{
	return s->policy;
}

const struct policy_world *state_world(const struct state *s)
{
	return s->world;
}

uint32_t state_ca_generation(const struct state *s, const char *peer)
{
	(void)s;
	(void)peer;
	return 3;
}

bool state_nonce_until(struct state *s, const char *nonce, bool durable, int64_t expires_s);
bool state_nonce_until(struct state *s, const char *nonce, bool durable, int64_t expires_s)
{
	(void)s, (void)nonce, (void)durable, (void)expires_s;
	return true;
}

bool state_nonce_known(struct state *s, const char *nonce);
bool state_nonce_known(struct state *s, const char *nonce)
{
	(void)s, (void)nonce;
	return false;
}

void state_login(struct state *s, const char *peer, const char *identity, const char *const *groups,
		 size_t group_count, int64_t expires_s, void (*done)(void *ctx, int result),
		 void *ctx)
{
	snprintf(s->logins, sizeof(s->logins), "%s %s %s %lld", peer, identity,
		 group_count > 0 ? groups[0] : "-", (long long)expires_s);
	done(ctx, 0);
}

int64_t state_login_issued(const struct state *s, const char *identity)
{
	(void)identity;
	return s->login_issued_s;
}

void state_logout(struct state *s, const char *peer, const char *identity,
		  void (*done)(void *ctx, int result), void *ctx)
{
	(void)peer;
	bool there = strstr(s->logins, identity) != NULL;
	s->logins[0] = 0;
	done(ctx, there ? 0 : -ENOENT);
}

void state_event(struct state *s, const char *kind, const char *actor, const char *subject,
		 const json_t *detail)
{
	(void)detail;
	size_t len = strlen(s->events);
	snprintf(s->events + len, sizeof(s->events) - len, "%s %s %s\n", kind, actor, subject);
}

const char *state_refused(const struct state *s, const char *identity, const char *peer,
			  int64_t token_issued_s)
{
	(void)peer;
	return token_issued_s < INT64_MAX && s->refused != NULL && strcmp(s->refused, identity) == 0
		       ? "this login was ended"
		       : NULL;
}

int64_t state_issue_s(const struct state *s, const char *identity, const char *peer, int64_t now_s)
{
	(void)s;
	(void)identity;
	(void)peer;
	return now_s;
}

int64_t state_token_s(const struct state *s, int64_t now_s)
{
	(void)s;
	return now_s;
}

void state_cert_made(struct state *s, const struct store_cert *cert)
{
	(void)cert;
	s->certs_made++;
}

bool state_push(struct state *s, const char *peer, const json_t *line)
{
	char *text = json_dumps(line, JSON_COMPACT);
	snprintf(s->pushed, sizeof(s->pushed), "%s %s", peer, text);
	free(text);
	return true;
}

const struct state_peer *api_authenticate(struct control *c, struct server_request *r)
{
	if (r->peer != NULL)
		return state_peer(c->state, r->peer);
	server_reply_error(r, 401, "bad_signature", "not signed");
	return NULL;
}

static int sign(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	struct signer *s = ctx;
	return crypto_sign_detached(ret_sig, NULL, data, len, s->secret_key);
}

int signer_cert(struct signer *s, const char *target, uint32_t generation, struct sshcert *cert,
		struct buffer *ret_blob)
{
	uint8_t nonce[32] = {0};
	assert_string_equal(target, SECOND);
	assert_int_equal(generation, 3);
	memcpy(cert->ca, s->public_key, 32);
	return sshcert_make(cert, nonce, sign, s, ret_blob);
}

int signer_object(struct signer *s, const char *type, const json_t *payload, char **ret_text)
{
	(void)s;
	assert_string_equal(type, "grant");
	*ret_text = json_dumps(payload, JSON_COMPACT | JSON_SORT_KEYS);
	return 0;
}

int signer_ca_public(struct signer *s, const char *target, uint32_t generation, uint8_t ret_ca[32])
{
	assert_string_equal(target, SECOND);
	assert_int_equal(generation, 3);
	memcpy(ret_ca, s->public_key, 32);
	return 0;
}

static struct jwt_identity identity_of(const char *user)
{
	struct jwt_identity id = {
		.issued_s = 1790000000 - 100, .auth_time_s = 1790000000 - 200, .group_count = 1};
	snprintf(id.user, sizeof(id.user), "%s", user);
	id.groups = calloc(1, sizeof(*id.groups));
	snprintf(id.groups[0], sizeof(id.groups[0]), "ops");
	id.claims = json_object();
	return id;
}

/* "token:USER" is good, "late" has expired, "down" finds no provider. */
int oidc_verify(struct oidc *o, const char *token, const char *const *audiences, int64_t max_age_s,
		oidc_verify_cb *on_done, void *ctx)
{
	struct error err = {0};
	(void)o;
	assert_null(audiences); /* the configuration's */
	assert_int_equal(max_age_s, 0);
	if (strncmp(token, "token:", 6) == 0) {
		struct jwt_identity id = identity_of(token + 6);
		on_done(ctx, JWT_OK, &id, NULL);
	} else if (strcmp(token, "down") == 0) {
		error_set(&err, -ECONNREFUSED, "connection refused");
		on_done(ctx, JWT_UNKNOWN_KEY, NULL, &err);
	} else {
		error_set(&err, -EACCES, "the token has expired");
		on_done(ctx, JWT_EXPIRED, NULL, &err);
	}
	return 0;
}

int oidc_authorize_url(struct oidc *o, const char *redirect_uri, const char *state,
		       const char *nonce, const char *code_challenge, const char *prompt,
		       oidc_url_cb *on_done, void *ctx)
{
	snprintf(o->redirect, sizeof(o->redirect), "%s", redirect_uri);
	snprintf(o->state, sizeof(o->state), "%s", state);
	snprintf(o->nonce, sizeof(o->nonce), "%s", nonce);
	snprintf(o->challenge, sizeof(o->challenge), "%s", code_challenge);
	snprintf(o->prompt, sizeof(o->prompt), "%s", prompt != NULL ? prompt : "-");
	on_done(ctx, "https://provider.example/authorize?x", NULL);
	return 0;
}

int oidc_exchange_code(struct oidc *o, const char *code, const char *redirect_uri,
		       const char *code_verifier, const char *nonce,
		       const struct oidc_login_ops *ops, struct oidc_login **ret_login,
		       struct error *err)
{
	uint8_t hash[32];
	char challenge[64];
	(void)err;
	*ret_login = NULL;
	crypto_hash_sha256(hash, (const uint8_t *)code_verifier, strlen(code_verifier));
	encode_base64url(challenge, hash, 32);
	assert_string_equal(challenge, o->challenge);
	assert_string_equal(nonce, o->nonce);
	assert_string_equal(redirect_uri, URL "/ssh/callback");
	assert_string_equal(code, "the-code");
	o->ops = *ops;
	o->waits = true;
	return 0;
}

void oidc_tokens_done(struct oidc_tokens *t)
{
	jwt_identity_done(&t->identity);
}

static void exchanged(struct oidc *o, const char *user)
{
	struct oidc_tokens tokens = {.identity = identity_of(user)};
	assert_true(o->waits);
	o->waits = false;
	o->ops.on_done(o->ops.ctx, &tokens, NULL);
}

/* ---- the fixture */

struct browser {
	char cookie[256];
};

struct fixture {
	struct control_config config;
	struct control c;
	struct server server;
	struct state state;
	struct signer signer;
	struct oidc oidc;
	struct clock_fake time;
	struct clock clock;
	struct random_fake fake;
	struct random_source random;
	uv_loop_t loop;
	struct login_service *login;
	struct server_request last, poll;
};

static void set_policy(struct fixture *f, const char *text)
{
	struct error err = {0};
	policy_free(f->state.policy);
	if (policy_parse("test", text, strlen(text), &f->state.policy, &err) != 0)
		fail_msg("%s", err.text);
}

static void add_peer(struct fixture *f, size_t i, const char *id, const char *name, const char *v4,
		     const char *v6)
{
	struct state_peer *p = &f->state.peers[i];
	snprintf(p->id, sizeof(p->id), "%s", id);
	snprintf(p->name, sizeof(p->name), "%s", name);
	assert_int_equal(ip_addr_parse(v4, &p->v4), 0);
	assert_int_equal(ip_addr_parse(v6, &p->v6), 0);
	p->ssh_enabled = p->ssh_advertised = true;
	struct policy_peer peer = {.id = id,
				   .name = name,
				   .v4 = p->v4,
				   .v6 = p->v6,
				   .ssh_enabled = true,
				   .ssh_advertised = true};
	assert_int_equal(policy_world_add_peer(f->state.world, &peer), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;
	snprintf(f->config.public_url, sizeof(f->config.public_url), URL);
	f->config.login_ttl_s = 86400;
	f->time.monotonic_ns = 5000 * NSEC_PER_SEC;
	f->time.realtime_ns = 1790000000 * NSEC_PER_SEC;
	f->clock = clock_fake_clock(&f->time);
	f->fake.state = 4711;
	f->random = random_fake_source(&f->fake);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	crypto_sign_keypair(f->signer.public_key, f->signer.secret_key);
	assert_int_equal(policy_world_new(&f->state.world), 0);
	add_peer(f, 0, FIRST, "first", "100.64.0.1", "fd00::1");
	add_peer(f, 1, SECOND, "second", "100.64.0.2", "fd00::2");
	set_policy(f, ALLOW_DEPLOY);
	f->c = (struct control){.config = &f->config,
				.loop = &f->loop,
				.clock = &f->clock,
				.random = &f->random,
				.server = &f->server,
				.signer = &f->signer,
				.state = &f->state,
				.oidc = &f->oidc};
	assert_int_equal(login_service_new(&f->c, &f->login, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	free(f->last.text);
	free(f->poll.text);
	login_service_free(f->login);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	policy_free(f->state.policy);
	policy_world_free(f->state.world);
	free(f);
	return 0;
}

static int run(struct fixture *f, struct server_request *r, const char *peer, struct browser *b,
	       const char *method, const char *target, const char *body)
{
	const struct route *best = NULL;
	free(r->text);
	memset(r, 0, sizeof(*r));
	r->peer = peer;
	snprintf(r->path, sizeof(r->path), "%.*s", (int)strcspn(target, "?"), target);
	if (strchr(target, '?') != NULL)
		snprintf(r->query, sizeof(r->query), "%s", strchr(target, '?') + 1);
	snprintf(r->body, sizeof(r->body), "%s", body);
	if (b != NULL)
		snprintf(r->cookie, sizeof(r->cookie), "%s", b->cookie);
	for (size_t i = 0; i < f->server.count; i++) {
		const struct route *o = &f->server.routes[i];
		size_t len = strlen(o->path);
		bool fits = o->path[len - 1] == '/' ? strncmp(r->path, o->path, len) == 0
						    : strcmp(r->path, o->path) == 0;
		if (fits && strcmp(o->method, method) == 0 &&
		    (best == NULL || strlen(best->path) < len))
			best = o;
	}
	if (best == NULL) {
		fail_msg("no route for %s %s", method, r->path);
		return 0;
	}
	best->handler(best->ctx, r);
	if (b != NULL && r->set_cookie[0] != 0)
		snprintf(b->cookie, sizeof(b->cookie), "%.*s", (int)strcspn(r->set_cookie, ";"),
			 r->set_cookie);
	return r->status;
}

static int peer_asks(struct fixture *f, const char *peer, const char *method, const char *target,
		     const char *body)
{
	return run(f, &f->last, peer, NULL, method, target, body);
}

static int browse(struct fixture *f, struct browser *b, const char *method, const char *target,
		  const char *body)
{
	return run(f, &f->last, NULL, b, method, target, body);
}

static int submit(struct fixture *f, struct browser *b, const char *id, const char *decision)
{
	char body[256], target[64];
	const char *at = strstr(f->last.text, "name=\"csrf\" value=\"");
	assert_non_null(at);
	snprintf(body, sizeof(body), "csrf=%.43s&decision=%s",
		 at + strlen("name=\"csrf\" value=\""), decision);
	snprintf(target, sizeof(target), "/ssh/%s", id);
	return browse(f, b, "POST", target, body);
}

static void open_login(struct fixture *f, char id[32])
{
	assert_int_equal(peer_asks(f, SECOND, "POST", "/v1/ssh/login",
				   "{\"login\":\"deploy\",\"caller\":\"100.64.0.1\",\"session\":"
				   "\"" SESSION "\"}"),
			 201);
	json_t *body = json_loads(f->last.text, 0, NULL);
	snprintf(id, 32, "%s", json_string_value(json_object_get(body, "id")));
	assert_int_equal(strlen(id), 22);
	char url[128];
	snprintf(url, sizeof(url), URL "/ssh/%s", id);
	assert_string_equal(json_string_value(json_object_get(body, "url")), url);
	assert_int_equal(json_integer_value(json_object_get(body, "expires")), 1790000600);
	json_decref(body);
}

static int page(struct fixture *f, struct browser *b, const char *id)
{
	char target[64];
	snprintf(target, sizeof(target), "/ssh/%s", id);
	return browse(f, b, "GET", target, "");
}

static int callback(struct fixture *f, struct browser *b, const char *state)
{
	char target[256];
	snprintf(target, sizeof(target), "/ssh/callback?code=the-code&state=%s", state);
	return browse(f, b, "GET", target, "");
}

static void start_poll(struct fixture *f, const char *id)
{
	char target[128];
	snprintf(target, sizeof(target), "/v1/ssh/login/%s?wait=25", id);
	assert_int_equal(run(f, &f->poll, SECOND, NULL, "GET", target, ""), 0); /* it waits */
}

static void poll_state(struct fixture *f, const char *id, const char *want)
{
	char target[128];
	snprintf(target, sizeof(target), "/v1/ssh/login/%s", id);
	assert_int_equal(peer_asks(f, SECOND, "GET", target, ""), 200);
	json_t *body = json_loads(f->last.text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(body, "state")), want);
	json_decref(body);
}

/* ---- certificates */

static int ask_cert(struct fixture *f, const char *target, const char *login, const char *token)
{
	char body[1024];
	snprintf(body, sizeof(body),
		 "{\"target\":\"%s\",\"login\":\"%s\",\"public_key\":\"" KEY
		 "\",\"id_token\":\"%s\"}",
		 target, login, token);
	return peer_asks(f, FIRST, "POST", "/v1/ssh/cert", body);
}

static void test_cert(void **state)
{
	struct fixture *f = *state;
	uint8_t blob[8192];
	char type[64], text[IP_PREFIX_STRLEN];
	size_t len;
	struct sshcert cert;
	struct error err = {0};

	assert_int_equal(ask_cert(f, SECOND, "deploy", "token:alice@example.com"), 200);
	json_t *body = json_loads(f->last.text, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(body, "valid_before")), 1790000300);
	assert_int_equal(json_integer_value(json_object_get(body, "valid_after")), 1789999940);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(body, "principals"), 0)),
		"deploy");
	assert_int_equal(
		sshcert_text_decode(json_string_value(json_object_get(body, "certificate")), blob,
				    sizeof(blob), &len, type),
		0);
	if (sshcert_parse(blob, len, &cert, &err) != 0)
		fail_msg("%s", err.text);
	assert_memory_equal(cert.ca, f->signer.public_key, 32);
	assert_int_equal(cert.extensions, SSHCERT_PERMIT_PTY | SSHCERT_PERMIT_USER_RC);
	assert_int_equal(cert.source_count, 2);
	assert_string_equal(ip_prefix_format(&cert.sources[0], text), "100.64.0.1/32");
	assert_non_null(strstr(cert.key_id, "alice@example.com caller=" FIRST " target=" SECOND));
	json_decref(body);
	assert_string_equal(f->state.events, "ssh_cert alice@example.com " SECOND "\n");
	assert_string_equal(f->state.logins, ""); /* a certificate is no login on the peer */
	assert_int_equal(f->state.certs_made, 1);
	/* Whose login was ended gets nothing for a token that has time left. */
	f->state.refused = "alice@example.com";
	assert_int_equal(ask_cert(f, SECOND, "deploy", "token:alice@example.com"), 401);
	assert_string_equal(f->last.code, "login_required");
	assert_non_null(strstr(f->last.text, "this login was ended"));
	assert_int_equal(f->state.certs_made, 1);
}

/* A token from before the newest login proves no groups: that login does, and it has none here. */
static void test_old_groups(void **state)
{
	struct fixture *f = *state;

	set_policy(f, "{\"ssh\":[{\"from\":[\"group:ops\"],\"to\":[\"peer:second\"],"
		      "\"logins\":[\"deploy\"]}]}");
	assert_int_equal(ask_cert(f, SECOND, "deploy", "token:alice@example.com"), 200);
	f->state.login_issued_s = 1790000000 - 100; /* with this very token */
	assert_int_equal(ask_cert(f, SECOND, "deploy", "token:alice@example.com"), 200);
	f->state.login_issued_s = 1790000000 - 99;
	assert_int_equal(ask_cert(f, SECOND, "deploy", "token:alice@example.com"), 403);
	assert_string_equal(f->last.code, "denied");
}

static void test_no_cert(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask_cert(f, SECOND, "deploy", "token:bob@example.com"), 403);
	assert_string_equal(f->last.code, "denied");
	assert_true(strlen(f->last.text) > 10); /* the policy's reason */
	assert_int_equal(ask_cert(f, SECOND, "root", "token:alice@example.com"), 403);
	assert_int_equal(ask_cert(f, FIRST, "deploy", "token:alice@example.com"), 403);
	assert_int_equal(ask_cert(f, "p_nobody", "deploy", "token:alice@example.com"), 404);
	assert_int_equal(ask_cert(f, SECOND, "deploy", "late"), 401);
	assert_string_equal(f->last.code, "login_required");
	assert_non_null(strstr(f->last.text, "\"token\":"));
	assert_int_equal(ask_cert(f, SECOND, "deploy", "down"), 503);
	assert_int_equal(ask_cert(f, SECOND, "a,root", "token:alice@example.com"), 400);
	assert_int_equal(ask_cert(f, SECOND, "=", "token:alice@example.com"), 400);
	assert_int_equal(
		peer_asks(f, FIRST, "POST", "/v1/ssh/cert",
			  "{\"target\":\"" SECOND "\",\"login\":\"deploy\",\"public_key\":"
			  "\"ssh-ed25519 AAAA\",\"id_token\":\"token:alice@example.com\"}"),
		400);
	assert_int_equal(peer_asks(f, NULL, "POST", "/v1/ssh/cert", "{}"), 401);
	f->state.peers[1].ssh_advertised = false;
	assert_int_equal(ask_cert(f, SECOND, "deploy", "token:alice@example.com"), 409);
	assert_string_equal(f->last.code, "ssh_off");
	f->state.peers[1].removed = true;
	assert_int_equal(ask_cert(f, SECOND, "deploy", "token:alice@example.com"), 404);
	assert_null(strstr(f->state.events, "ssh_cert "));
}

/* ---- logins on a peer */

static void test_self_login(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(peer_asks(f, FIRST, "POST", "/v1/self/login",
				   "{\"id_token\":\"token:alice@example.com\"}"),
			 200);
	assert_string_equal(f->last.text,
			    "{\"identity\":\"alice@example.com\",\"expires\":1790086300}");
	assert_string_equal(f->state.logins, FIRST " alice@example.com ops 1790086300");
	assert_string_equal(f->state.events, "login alice@example.com " FIRST "\n");
	assert_int_equal(peer_asks(f, FIRST, "DELETE", "/v1/self/login",
				   "{\"identity\":\"alice@example.com\"}"),
			 204);
	assert_int_equal(peer_asks(f, FIRST, "DELETE", "/v1/self/login",
				   "{\"identity\":\"alice@example.com\"}"),
			 404);
	assert_int_equal(peer_asks(f, FIRST, "POST", "/v1/self/login", "{\"id_token\":\"late\"}"),
			 401);
	assert_int_equal(peer_asks(f, FIRST, "POST", "/v1/self/login",
				   "{\"id_token\":\"token:a@b\",\"peer\":\"" SECOND "\"}"),
			 400);
	assert_int_equal(peer_asks(f, FIRST, "POST", "/v1/self/login", "{"), 400);
}

/* ---- logins of connections */

static void test_connection(void **state)
{
	struct fixture *f = *state;
	struct browser alice = {""};
	char id[32];

	open_login(f, id);
	start_poll(f, id);
	assert_int_equal(page(f, &alice, id), 200);
	/* Everything is named before anybody signs in. */
	assert_non_null(strstr(f->last.text, "deploy"));
	assert_non_null(strstr(f->last.text, "second"));
	assert_non_null(strstr(f->last.text, "first (100.64.0.1)"));
	assert_int_equal(submit(f, &alice, id, "continue"), 303);
	assert_string_equal(f->last.location, "https://provider.example/authorize?x");
	assert_string_equal(f->oidc.redirect, URL "/ssh/callback");
	assert_string_equal(f->oidc.prompt, "-");

	assert_int_equal(callback(f, &alice, f->oidc.state), 0);
	exchanged(&f->oidc, "alice@example.com");
	assert_int_equal(f->last.status, 303);
	assert_int_equal(page(f, &alice, id), 200);
	assert_non_null(strstr(f->last.text, "alice@example.com logs in as deploy on second, asked "
					     "from first (100.64.0.1)"));
	assert_int_equal(f->poll.status, 0); /* nothing is granted yet */
	assert_int_equal(submit(f, &alice, id, "allow"), 200);
	assert_non_null(strstr(f->last.text, "value=\"done\""));

	assert_int_equal(f->poll.status, 200);
	json_t *body = json_loads(f->poll.text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(body, "state")), "granted");
	const char *grant = json_string_value(json_object_get(body, "grant"));
	assert_string_equal(grant, "{\"auth_time\":1789999800,\"caller\":\"" FIRST
				   "\",\"caller_address\":\"100.64.0.1\",\"groups\":[\"ops\"],"
				   "\"identity\":\"alice@example.com\",\"issued\":1790000000,"
				   "\"login\":\"deploy\",\"session\":\"" SESSION
				   "\",\"target\":\"" SECOND "\",\"valid_until\":1790000060}");
	json_decref(body);
	assert_non_null(strstr(f->state.pushed, SECOND " {\"type\":\"ssh_login\""));
	assert_string_equal(f->state.events, "ssh_login alice@example.com " SECOND "\n");
	/* The link is over. */
	assert_int_equal(page(f, &alice, id), 410);
}

static void test_connection_denied(void **state)
{
	struct fixture *f = *state;
	struct browser bob = {""};
	char id[32];

	open_login(f, id);
	assert_int_equal(page(f, &bob, id), 200);
	assert_int_equal(submit(f, &bob, id, "other"), 303);
	assert_string_equal(f->oidc.prompt, "login");
	assert_int_equal(callback(f, &bob, f->oidc.state), 0);
	exchanged(&f->oidc, "bob@example.com");
	assert_int_equal(f->last.status, 403);
	poll_state(f, id, "denied");
	assert_non_null(strstr(f->last.text, "\"message\":"));
	assert_null(strstr(f->last.text, "grant"));
	assert_string_equal(f->state.events, "ssh_login_denied bob@example.com " SECOND "\n");
}

/* The policy changes while the confirm page is open. */
static void test_policy_changes(void **state)
{
	struct fixture *f = *state;
	struct browser alice = {""};
	char id[32];
	open_login(f, id);
	assert_int_equal(page(f, &alice, id), 200);
	assert_int_equal(submit(f, &alice, id, "continue"), 303);
	assert_int_equal(callback(f, &alice, f->oidc.state), 0);
	exchanged(&f->oidc, "alice@example.com");
	assert_int_equal(page(f, &alice, id), 200);
	set_policy(f, "{}");
	assert_int_equal(submit(f, &alice, id, "allow"), 403);
	poll_state(f, id, "denied");
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct browser alice = {""};
	char id[32];
	open_login(f, id);
	assert_int_equal(page(f, &alice, id), 200);
	assert_int_equal(submit(f, &alice, id, "continue"), 303);
	assert_int_equal(callback(f, &alice, f->oidc.state), 0);
	exchanged(&f->oidc, "alice@example.com");
	assert_int_equal(page(f, &alice, id), 200);
	assert_int_equal(submit(f, &alice, id, "refuse"), 200);
	poll_state(f, id, "denied");
	assert_non_null(strstr(f->last.text, "refused this login in the browser"));
}

/* Whoever sent the link cannot use what the receiver's browser did, and the other way round. */
static void test_other_browsers(void **state)
{
	struct fixture *f = *state;
	struct browser alice = {""}, mallory = {""};
	char id[32], alices_state[64];

	open_login(f, id);
	assert_int_equal(page(f, &alice, id), 200);
	assert_int_equal(submit(f, &alice, id, "continue"), 303);
	snprintf(alices_state, sizeof(alices_state), "%s", f->oidc.state);
	/* Alice's state in Mallory's browser, and a state that is nobody's. */
	assert_int_equal(page(f, &mallory, id), 200);
	assert_int_equal(callback(f, &mallory, alices_state), 400);
	assert_int_equal(callback(f, &alice, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 400);

	/* Mallory presses Continue while Alice's code is being exchanged: nobody is known then. */
	char target[256];
	snprintf(target, sizeof(target), "/ssh/callback?code=the-code&state=%s", alices_state);
	assert_int_equal(run(f, &f->poll, NULL, &alice, "GET", target, ""), 0);
	struct oidc_login_ops ops = f->oidc.ops;
	assert_int_equal(page(f, &mallory, id), 200);
	assert_int_equal(submit(f, &mallory, id, "continue"), 303);
	struct oidc_tokens tokens = {.identity = identity_of("alice@example.com")};
	ops.on_done(ops.ctx, &tokens, NULL);
	assert_int_equal(f->poll.status, 410);
	assert_int_equal(page(f, &mallory, id), 200);
	assert_null(strstr(f->last.text, "alice"));

	/* Once Alice is known, Mallory sees the first page and no name, and cannot allow. */
	assert_int_equal(page(f, &alice, id), 200);
	assert_int_equal(submit(f, &alice, id, "continue"), 303);
	assert_int_equal(callback(f, &alice, f->oidc.state), 0);
	exchanged(&f->oidc, "alice@example.com");
	assert_int_equal(page(f, &mallory, id), 200);
	assert_null(strstr(f->last.text, "alice"));
	assert_int_equal(submit(f, &mallory, id, "allow"), 200); /* the first page again */
	poll_state(f, id, "pending");
	/* A state is good for one answer. */
	assert_int_equal(callback(f, &alice, f->oidc.state), 400);
}

/* Two people who may both: the one who was asked first cannot use the other's login. */
static void test_second_person(void **state)
{
	struct fixture *f = *state;
	struct browser alice = {""}, bob = {""};
	char id[32], body[256], target[64];

	set_policy(f, "{\"ssh\":[{\"from\":[\"alice@example.com\",\"bob@example.com\"],"
		      "\"to\":[\"peer:second\"],\"logins\":[\"deploy\"],\"allow\":[\"shell\"]}]}");
	open_login(f, id);
	assert_int_equal(page(f, &bob, id), 200);
	assert_int_equal(submit(f, &bob, id, "continue"), 303);
	assert_int_equal(callback(f, &bob, f->oidc.state), 0);
	exchanged(&f->oidc, "bob@example.com");
	assert_int_equal(page(f, &bob, id), 200);
	const char *at = strstr(f->last.text, "name=\"csrf\" value=\"");
	snprintf(body, sizeof(body), "csrf=%.43s&decision=allow",
		 at + strlen("name=\"csrf\" value=\""));

	assert_int_equal(page(f, &alice, id), 200);
	assert_int_equal(submit(f, &alice, id, "continue"), 303);
	assert_int_equal(callback(f, &alice, f->oidc.state), 0);
	exchanged(&f->oidc, "alice@example.com");
	snprintf(target, sizeof(target), "/ssh/%s", id);
	assert_int_equal(browse(f, &bob, "POST", target, body), 410);
	poll_state(f, id, "pending");
}

/* A rule that wants a younger login than the provider remembers: it is asked for a fresh one, once.
 */
static void test_old_login(void **state)
{
	struct fixture *f = *state;
	struct browser alice = {""};
	char id[32];

	set_policy(f, "{\"ssh\":[{\"from\":[\"alice@example.com\"],\"to\":[\"peer:second\"],"
		      "\"logins\":[\"deploy\"],\"allow\":[\"shell\"],\"max_login_age\":100}]}");
	open_login(f, id);
	assert_int_equal(page(f, &alice, id), 200);
	assert_int_equal(submit(f, &alice, id, "continue"), 303);
	assert_string_equal(f->oidc.prompt, "-");
	assert_int_equal(callback(f, &alice, f->oidc.state), 0);
	exchanged(&f->oidc, "alice@example.com"); /* logged in 200 s ago */
	assert_int_equal(f->last.status, 303);
	assert_string_equal(f->last.location, "https://provider.example/authorize?x");
	assert_string_equal(f->oidc.prompt, "login");
	poll_state(f, id, "pending");
	assert_int_equal(callback(f, &alice, f->oidc.state), 0);
	exchanged(&f->oidc, "alice@example.com"); /* still: it does not do as asked */
	assert_int_equal(f->last.status, 403);
	poll_state(f, id, "denied");
}

static void test_connection_requests(void **state)
{
	struct fixture *f = *state;
	char id[32], target[64];
	static const char *const bad[] = {
		"{\"login\":\"deploy\",\"caller\":\"100.64.0.1\"}",
		"{\"login\":\"deploy\",\"caller\":\"100.64.0.1\",\"session\":\"00\"}",
		"{\"login\":\"=\",\"caller\":\"100.64.0.1\",\"session\":\"" SESSION "\"}",
		"{\"login\":\"deploy\",\"caller\":\"first\",\"session\":\"" SESSION "\"}",
		"[]",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(peer_asks(f, SECOND, "POST", "/v1/ssh/login", bad[i]), 400);
	/* Nobody may: told at once. */
	assert_int_equal(peer_asks(f, SECOND, "POST", "/v1/ssh/login",
				   "{\"login\":\"root\",\"caller\":\"100.64.0.1\",\"session\":"
				   "\"" SESSION "\"}"),
			 403);
	assert_string_equal(f->last.text, "nobody may log in as root on second from first");
	assert_int_equal(peer_asks(f, SECOND, "POST", "/v1/ssh/login",
				   "{\"login\":\"deploy\",\"caller\":\"100.64.0.9\",\"session\":"
				   "\"" SESSION "\"}"),
			 403);
	/* Another peer's login is nobody else's. */
	open_login(f, id);
	snprintf(target, sizeof(target), "/v1/ssh/login/%s", id);
	assert_int_equal(peer_asks(f, FIRST, "GET", target, ""), 404);
	assert_int_equal(peer_asks(f, FIRST, "DELETE", target, ""), 404);
	start_poll(f, id);
	assert_int_equal(peer_asks(f, SECOND, "DELETE", target, ""), 204);
	assert_int_equal(f->poll.status, 404);
	assert_int_equal(peer_asks(f, SECOND, "GET", target, ""), 404);
	/* So many at a time. */
	for (int i = 0; i < LOGIN_MAX_TARGET; i++)
		open_login(f, id);
	assert_int_equal(peer_asks(f, SECOND, "POST", "/v1/ssh/login",
				   "{\"login\":\"deploy\",\"caller\":\"100.64.0.1\",\"session\":"
				   "\"" SESSION "\"}"),
			 429);
}

/* A poll whose connection goes, and one that is open when the service ends. */
static void test_polls_end(void **state)
{
	struct fixture *f = *state;
	char id[32];
	open_login(f, id);
	start_poll(f, id);
	f->poll.on_close(f->poll.close_ctx);
	f->poll.on_close = NULL;
	start_poll(f, id);
	login_service_free(f->login);
	f->login = NULL;
	assert_int_equal(f->poll.status, 503);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cert, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_cert, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_self_login, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connection_denied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_browsers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_person, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_login, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connection_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_polls_end, setup, teardown),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
