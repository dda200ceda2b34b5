/* SPDX-License-Identifier: Apache-2.0
 *
 * The admin API on the admin socket: setup keys, peers, policy, events (users are the issuer's).
 * Who may is settled by the socket's peer credentials; the public port has none of these routes.
 */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/api.h"
#include "control/proto/setup_key.h"
#include "control/state.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/secret.h"

#define ADMIN (1u << SERVER_ADMIN)
#define USERS "/v1/admin/users"

/* ---- answering a change ---- */

struct admin_wait {
	struct api_wait *wait;
	json_t *body; /* of success; NULL: 204 */
	char what[160];
};

static void changed(void *ctx, int result)
{
	struct admin_wait *w = ctx;
	struct server_request *r = api_wait_end(w->wait);

	if (!r)
		;
	else if (result == 0 && w->body)
		server_reply_json(r, 201, w->body);
	else if (result == 0)
		server_reply(r, 204, NULL, NULL, NULL, 0);
	else if (result == -EEXIST)
		server_reply_error(r, 409, "name_taken", "there is another %s", w->what);
	else if (result == -ENOENT)
		server_reply_error(r, 404, "not_found", "there is no %s", w->what);
	else
		server_reply_error(r, 503, "unavailable", "the store did not take the change: %s",
				   strerror(-result));
	json_decref(w->body);
	free(w);
}

/* what: "peer \"name\"". body is taken. */
static struct admin_wait *wait_new(struct control *c, struct server_request *r, json_t *body,
				   const char *kind, const char *name)
{
	struct admin_wait *w = calloc(1, sizeof(*w));

	if (!w || !(w->wait = api_wait_new(c, r))) {
		if (!w)
			server_reply_error(r, 503, "unavailable", "out of memory");
		json_decref(body);
		free(w);
		return NULL;
	}
	w->body = body;
	snprintf(w->what, sizeof(w->what), "%s \"%s\"", kind, name);
	return w;
}

static void start(struct admin_wait *w, int r)
{
	if (r < 0)
		changed(w, r);
}

/* The part of the path behind prefix, decoded; otherwise answered. */
static int path_name(struct server_request *r, const char *prefix, char *out, size_t cap)
{
	char form[512];
	int n = snprintf(form, sizeof(form), "n=%s", server_request_path(r) + strlen(prefix));

	if (n > 0 && (size_t)n < sizeof(form) && server_form_value(form, "n", out, cap) == 0 &&
	    out[0])
		return 0;
	server_reply_error(r, 404, "not_found", "the path names nothing");
	return -ENOENT;
}

/* ---- setup keys ---- */

static const char *key_state(const struct store_setup_key *k, int64_t now_s)
{
	if (k->revoked)
		return "revoked";
	if (k->expires_s && k->expires_s <= now_s)
		return "expired";
	return k->uses_left == 0 ? "used up" : "valid";
}

static json_t *key_json(const struct store_setup_key *k, int64_t now_s)
{
	return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:b}", "name", k->name, "state",
			 key_state(k, now_s), "uses_left", (json_int_t)k->uses_left, "used",
			 (json_int_t)k->used, "expires", (json_int_t)k->expires_s, "created",
			 (json_int_t)k->created_s, "ephemeral", k->ephemeral);
}

static void list_keys(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	json_t *list = json_array();

	for (size_t i = 0; i < state_key_count(c->state); i++)
		(void)json_array_append_new(
			list, key_json(state_key_at(c->state, i), clock_realtime_s(c->clock)));
	json_t *body = json_pack("{s:o}", "setup_keys", list);
	server_reply_json(r, 200, body);
	json_decref(body);
}

static bool name_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > 63)
		return false;
	for (; *name; name++)
		if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
		      (*name >= '0' && *name <= '9') || strchr("-_.", *name)))
			return false;
	return true;
}

static int read_key(const json_t *body, int64_t now_s, struct store_setup_key *key,
		    struct error *err)
{
	int64_t life = 0;
	int r = json_get_string(body, "name", key->name, sizeof(key->name), err);

	if (r < 0)
		return r;
	if (!name_valid(key->name))
		return error_set(
			err, -EINVAL,
			"the name \"%s\" does not do: use letters, digits, \"-\", \"_\" and "
			"\".\", at most 63",
			key->name);
	key->uses_left = 1;
	r = json_get_int(body, "uses", -1, 1000000, &key->uses_left, err);
	if (r == 0 && key->uses_left == 0)
		return error_set(err, -EINVAL, "a key for 0 uses is of no use: write 1 or more");
	if (r == 0 || r == -ENOENT)
		r = json_get_bool(body, "ephemeral", &key->ephemeral, err);
	if (r == 0 || r == -ENOENT)
		r = json_get_int(body, "expires_in", 1, INT64_C(86400) * 3650, &life, err);
	if (r < 0 && r != -ENOENT)
		return r;
	key->created_s = now_s;
	key->expires_s = life ? now_s + life : 0;
	return 0;
}

static void create_key(void *ctx, struct server_request *r)
{
	static const char *const keys[] = {"name", "uses", "ephemeral", "expires_in", NULL};
	struct control *c = ctx;
	json_t *body = api_body(r, keys);
	struct store_setup_key key = {0};
	uint8_t seed[32], secret[64], signing[32], other[32], print[SIGNED_FINGERPRINT_BYTES];
	char text[SETUP_KEY_TEXT_SIZE];
	struct error err = {0};

	if (!body)
		return;
	int e = read_key(body, clock_realtime_s(c->clock), &key, &err);
	json_decref(body);
	if (e < 0) {
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
		return;
	}
	if (state_key(c->state, key.name)) {
		server_reply_error(r, 409, "name_taken", "there is another setup key \"%s\"",
				   key.name);
		return;
	}
	if (signer_public(c->signer, signing, other, other) < 0) {
		server_reply_error(r, 503, "unavailable", "the signer does not answer");
		return;
	}
	random_bytes(c->random, seed, sizeof(seed));
	signed_fingerprint(signing, print);
	setup_key_pair(seed, key.public_key, secret);
	setup_key_format(seed, print, text);
	json_t *answer = key_json(&key, key.created_s);
	(void)json_object_set_new(answer, "key", json_string(text));
	secret_wipe(seed, sizeof(seed));
	secret_wipe(secret, sizeof(secret));
	secret_wipe(text, sizeof(text));
	struct admin_wait *w = wait_new(c, r, answer, "setup key", key.name);
	if (w)
		start(w, state_create_key(c->state, &key, changed, w));
}

static void revoke_key(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	char name[64];

	if (path_name(r, "/v1/admin/setup-keys/", name, sizeof(name)) < 0)
		return;
	struct admin_wait *w = wait_new(c, r, NULL, "setup key", name);
	if (w)
		start(w, state_revoke_key(c->state, name, changed, w));
}

/* ---- peers ---- */

static json_t *peer_json(struct control *c, const struct store_peer *p)
{
	char v4[IP_ADDR_STRLEN], v6[IP_ADDR_STRLEN], node[ENCODE_BASE64URL_SIZE(32)];

	encode_base64url(node, p->node_key, 32);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:b,s:b,s:b,s:b,s:I}", "id",
			 p->id, "name", p->name, "fqdn", state_peer(c->state, p->id)->fqdn,
			 "overlay4", ip_addr_format(&p->v4, v4), "overlay6",
			 ip_addr_format(&p->v6, v6), "node_key", node, "os", p->os, "version",
			 p->version, "identities", state_identities(c->state, p->id), "setup_key",
			 p->setup_key, "online", state_online(c->state, p->id), "ssh_enabled",
			 p->ssh_enabled, "ssh_advertised", p->ssh_advertised, "ephemeral",
			 p->ephemeral, "created", (json_int_t)p->created_s);
}

static void list_peers(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	json_t *list = json_array();

	for (size_t i = 0; i < state_peer_count(c->state); i++)
		(void)json_array_append_new(list, peer_json(c, state_row_at(c->state, i)));
	json_t *body = json_pack("{s:o}", "peers", list);
	server_reply_json(r, 200, body);
	json_decref(body);
}

/* By name or id; otherwise answered. */
static const struct store_peer *find_peer(struct control *c, struct server_request *r)
{
	char name[64];

	if (path_name(r, "/v1/admin/peers/", name, sizeof(name)) < 0)
		return NULL;
	const struct store_peer *p = state_row(c->state, name);
	if (!p)
		p = state_row_by_name(c->state, name);
	if (!p)
		server_reply_error(r, 404, "not_found", "there is no peer \"%s\"", name);
	return p;
}

static void remove_peer(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	const struct store_peer *p = find_peer(c, r);
	struct admin_wait *w = p ? wait_new(c, r, NULL, "peer", p->name) : NULL;

	if (w)
		start(w, state_remove_peer(c->state, p->id, changed, w));
}

static void change_peer(void *ctx, struct server_request *r)
{
	static const char *const keys[] = {"name", "ssh_enabled", NULL};
	struct control *c = ctx;
	const struct store_peer *p = find_peer(c, r);
	json_t *body = p ? api_body(r, keys) : NULL;
	struct error err = {0};

	if (!body)
		return;
	struct store_peer row = *p;
	unsigned fields = 0;
	int e = json_get_string(body, "name", row.name, sizeof(row.name), &err);
	if (e == 0) {
		fields |= STORE_PEER_NAME;
		if (!ident_label_valid(row.name))
			e = error_set(
				&err, -EINVAL,
				"\"%s\" is not a host name: use a-z, 0-9 and \"-\", at most 63",
				row.name);
	}
	if (e == 0 || e == -ENOENT)
		e = json_get_bool(body, "ssh_enabled", &row.ssh_enabled, &err);
	if (e == 0)
		fields |= STORE_PEER_SSH_ENABLED;
	json_decref(body);
	if (e < 0 && e != -ENOENT) {
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
		return;
	}
	struct admin_wait *w = wait_new(c, r, NULL, "peer", row.name);
	if (w)
		start(w, state_change_peer(c->state, &row, fields, "admin", changed, w));
}

/* ---- policy ---- */

static void get_policy(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	const char *text = state_policy_text(c->state);

	server_reply(r, 200, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

static void file_name(const struct server_request *r, char *out, size_t cap)
{
	if (server_form_value(server_request_query(r), "file", out, cap) < 0 || !out[0])
		snprintf(out, cap, "policy");
}

static void put_policy(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	struct error err = {0};
	char file[256];
	size_t len;
	const char *text = server_request_body(r, &len);

	file_name(r, file, sizeof(file));
	struct admin_wait *w = wait_new(c, r, NULL, "policy", file);
	if (!w)
		return;
	int e = state_set_policy(c->state, file, text, len, "admin", changed, w, &err);
	if (e == 0)
		return;
	r = api_wait_end(w->wait);
	free(w);
	server_reply_error(r, 422, "bad_policy", "%s", error_text(&err));
}

/* "at": seconds since 1970; none: now. */
static int test_moment(const struct server_request *r, int64_t *ret_s)
{
	char text[24], *end;
	int e = server_form_value(server_request_query(r), "at", text, sizeof(text));

	*ret_s = -1;
	if (e == -ENOENT)
		return 0;
	if (e < 0 || !text[0] || strspn(text, "0123456789") != strlen(text) || strlen(text) > 15)
		return -EINVAL;
	*ret_s = strtoll(text, &end, 10);
	return 0;
}

static void test_policy(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	struct error err = {0};
	int64_t at_s;
	char file[256];
	size_t len;
	const char *text = server_request_body(r, &len);

	file_name(r, file, sizeof(file));
	if (test_moment(r, &at_s) < 0)
		server_reply_error(r, 400, "bad_request", "\"at\" is no moment");
	else if (state_test_policy(c->state, file, text, len, at_s, &err) < 0)
		server_reply_error(r, 422, "bad_policy", "%s", error_text(&err));
	else
		server_reply(r, 204, NULL, NULL, NULL, 0);
}

/* ---- events ---- */

struct events_wait {
	struct store_events a; /* first */
	struct api_wait *wait;
};

static void events_read(void *arg, int result)
{
	struct events_wait *w = arg;
	struct server_request *r = api_wait_end(w->wait);

	if (r && result == 0) {
		json_t *body = json_pack("{s:O}", "events", w->a.events);

		server_reply_json(r, 200, body);
		json_decref(body);
	} else if (r) {
		server_reply_error(r, 503, "unavailable", "the store does not answer");
	}
	json_decref(w->a.events);
	free(w);
}

static void list_events(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	struct events_wait *w = calloc(1, sizeof(*w));
	char text[24];

	if (!w || !(w->wait = api_wait_new(c, r))) {
		if (!w)
			server_reply_error(r, 503, "unavailable", "out of memory");
		free(w);
		return;
	}
	w->a.limit = 100;
	if (server_form_value(server_request_query(r), "limit", text, sizeof(text)) == 0)
		w->a.limit = strtoll(text, NULL, 10);
	if (w->a.limit < 1 || w->a.limit > 1000)
		w->a.limit = 100;
	if (server_form_value(server_request_query(r), "before", text, sizeof(text)) == 0)
		w->a.before = strtoll(text, NULL, 10);
	if (store_events(c->store, &w->a, events_read) < 0)
		events_read(w, -EAGAIN);
}

/* ---- the network ---- */

static void get_network(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	uint8_t signing[32], other[32], print[SIGNED_FINGERPRINT_BYTES];
	char text[ENCODE_BASE64URL_SIZE(SIGNED_FINGERPRINT_BYTES)];

	if (signer_public(c->signer, signing, other, other) < 0) {
		server_reply_error(r, 503, "unavailable", "the signer does not answer");
		return;
	}
	signed_fingerprint(signing, print);
	encode_base64url(text, print, sizeof(print));
	json_t *body = json_pack(
		"{s:s,s:s,s:s,s:s,s:I,s:I,s:I}", "network", state_network(c->state), "url",
		c->config->public_url, "fingerprint", text, "domain", c->config->domain, "epoch",
		(json_int_t)state_epoch(c->state), "revision", (json_int_t)state_revision(c->state),
		"peers", (json_int_t)state_peer_count(c->state));
	server_reply_json(r, 200, body);
	json_decref(body);
}

/* With a provider of its own the network has no list of users. */
static void users_elsewhere(void *ctx, struct server_request *r)
{
	struct control *c = ctx;

	server_reply_error(r, 409, "not_embedded",
			   "this network's people are kept by its login provider %.200s: add and "
			   "remove them there (warren-control identity block ends what one has "
			   "here)",
			   c->config->issuer);
}

int admin_routes(struct control *c)
{
	static const struct {
		const char *method, *path;
		server_handler *handler;
	} routes[] = {
		{"GET", "/v1/admin/network", get_network},
		{"GET", "/v1/admin/setup-keys", list_keys},
		{"POST", "/v1/admin/setup-keys", create_key},
		{"DELETE", "/v1/admin/setup-keys/", revoke_key},
		{"GET", "/v1/admin/peers", list_peers},
		{"DELETE", "/v1/admin/peers/", remove_peer},
		{"PATCH", "/v1/admin/peers/", change_peer},
		{"GET", "/v1/admin/policy", get_policy},
		{"PUT", "/v1/admin/policy", put_policy},
		{"POST", "/v1/admin/policy/test", test_policy},
		{"GET", "/v1/admin/events", list_events},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(routes) / sizeof(routes[0]); i++)
		r = server_route(c->server, ADMIN, routes[i].method, routes[i].path,
				 routes[i].handler, c);
	if (r == 0)
		r = admin_cutoff_routes(c);
	if (r == 0 && c->config->issuer[0]) {
		r = server_route(c->server, ADMIN, "GET", USERS, users_elsewhere, c);
		if (r == 0)
			r = server_route(c->server, ADMIN, "POST", USERS, users_elsewhere, c);
		if (r == 0)
			r = server_route(c->server, ADMIN, "DELETE", USERS "/", users_elsewhere, c);
	}
	return r;
}
