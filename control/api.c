/* SPDX-License-Identifier: Apache-2.0
 *
 * The API of peers: who speaks (request signatures, time, nonces), /v1/server and /v1/self. Owns
 * the order of checks: form, then signature, then time, then nonce, so that nobody without a key
 * learns or uses up anything.
 */
#include "control/api.h"
#include "control/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/state.h"
#include "platform/encode.h"
#include "platform/json.h"

#define SKEW_S	     60
#define SERVER_TTL_S (7 * 86400)

struct api {
	struct control *c;
	char spki[64];
	uint8_t signing[32], enroll[32];
	json_t *answer; /* of /v1/server, for a second */
	int64_t answer_s;
};

/* ---- helpers ---- */

static void on_gone(void *ctx)
{
	((struct api_wait *)ctx)->request = NULL;
}

struct api_wait *api_wait_new(struct control *c, struct server_request *r)
{
	struct api_wait *w = calloc(1, sizeof(*w));

	if (!w) {
		server_reply_error(r, 503, "unavailable", "the server is out of memory; try again");
		return NULL;
	}
	w->request = r;
	w->c = c;
	server_request_on_close(r, on_gone, w);
	return w;
}

struct server_request *api_wait_end(struct api_wait *w)
{
	struct server_request *r = w->request;

	if (r)
		server_request_on_close(r, NULL, NULL);
	free(w);
	return r;
}

json_t *api_body(struct server_request *r, const char *const *keys)
{
	struct error err = {0};
	size_t len;
	const char *text = server_request_body(r, &len);
	json_t *body = json_load_strict(text, len, 1u << 20, &err);

	if (body && !json_is_object(body))
		error_set(&err, -EINVAL, "the body is not a JSON object");
	else if (body && json_only_keys(body, keys, &err) == 0)
		return body;
	json_decref(body);
	server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
	return NULL;
}

int api_text_array(const json_t *obj, const char *key, size_t max, size_t max_text, char *out,
		   size_t cap, struct error *err)
{
	json_t *array, *item;
	size_t i, len = 0;
	int r = json_get_array(obj, key, max, &array, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	json_array_foreach(array, i, item)
	{
		if (!json_is_string(item) || json_string_length(item) > max_text)
			return error_set(err, -EINVAL,
					 "\"%s\" holds something else than short texts", key);
	}
	char *text = json_canonical(array, &len);
	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	if (len >= cap)
		r = error_set(err, -EMSGSIZE, "\"%s\" is too long", key);
	else
		memcpy(out, text, len + 1);
	free(text);
	return r;
}

int api_host_keys(const json_t *obj, char *out, size_t cap, struct error *err)
{
	const json_t *item, *array = json_object_get(obj, "host_keys");
	size_t i;

	json_array_foreach(array, i, item)
	{
		const char *text = json_string_value(item);
		uint8_t blob[1024];
		char type[64];
		size_t len;

		if (!text || sshcert_text_decode(text, blob, sizeof(blob), &len, type) < 0 ||
		    strstr(type, "-cert-"))
			return error_set(
				err, -EINVAL,
				"\"host_keys\" holds something else than OpenSSH public keys");
	}
	return api_text_array(obj, "host_keys", 8, 1500, out, cap, err);
}

int api_ssh(const json_t *obj, struct store_peer *row, struct error *err)
{
	static const char *const keys[] = {"advertised", "port", "features", NULL};
	json_t *ssh;
	int64_t port;
	int r = json_get_object(obj, "ssh", &ssh, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = json_only_keys(ssh, keys, err);
	if (r == 0)
		r = json_get_bool(ssh, "advertised", &row->ssh_advertised, err);
	if (r == 0 || r == -ENOENT)
		r = json_get_int(ssh, "port", 0, 65535, &port, err);
	if (r == 0)
		row->ssh_port = (uint16_t)port;
	if (r == 0 || r == -ENOENT)
		r = api_text_array(ssh, "features", 16, 32, row->ssh_features,
				   sizeof(row->ssh_features), err);
	return r;
}

/* ---- who speaks ---- */

static void request_message(struct server_request *r, struct httpsig_message *m)
{
	*m = (struct httpsig_message){
		.method = server_request_method(r),
		.authority = server_request_authority(r),
		.path = server_request_path(r),
		.query = server_request_query(r),
	};
	m->body = server_request_body(r, &m->body_len);
}

int api_signature(struct server_request *r, char label, struct httpsig_parsed *ret_parsed)
{
	const char *input = server_request_header(r, "signature-input");

	if (!input || httpsig_parse(input, label, ret_parsed) < 0) {
		server_reply_error(
			r, 401, "bad_signature",
			"the request carries no signature \"%c\" in the form of this API", label);
		return -EBADMSG;
	}
	return 0;
}

/* Told only to those whose signature held. */
int api_check_time(struct control *c, struct server_request *r, int64_t created_s)
{
	int64_t now = clock_realtime_s(c->clock), off = created_s - now;
	char message[160];

	if (off <= SKEW_S && off >= -SKEW_S)
		return 0;
	snprintf(message, sizeof(message),
		 "this machine's clock is %" PRId64 " seconds %s the control server's: set it (for "
		 "example with timedatectl or chronyd) and try again",
		 off < 0 ? -off : off, off < 0 ? "behind" : "ahead of");
	json_t *body = json_pack("{s:{s:s,s:s,s:I}}", "error", "code", "clock_skew", "message",
				 message, "time", (json_int_t)now);
	server_reply_json(r, 401, body);
	json_decref(body);
	return -ETIME;
}

int api_verify(struct server_request *r, char label, const uint8_t key[32])
{
	const char *digest = server_request_header(r, "content-digest");
	const char *input = server_request_header(r, "signature-input");
	const char *signature = server_request_header(r, "signature");
	struct httpsig_message m;

	request_message(r, &m);
	if (digest && input && signature &&
	    httpsig_verify(&m, digest, input, signature, label, key) == 0)
		return 0;
	server_reply_error(r, 401, "bad_signature",
			   "the signature \"%c\" of the request does not hold", label);
	return -EBADMSG;
}

int api_take_nonce(struct control *c, struct server_request *r, const char *nonce, bool durable)
{
	if (state_nonce(c->state, nonce, durable))
		return 0;
	server_reply_error(r, 409, "replayed", "this request was taken before; make a new one");
	return -EEXIST;
}

static int check_speaker(struct control *c, struct server_request *r, bool durable,
			 const struct state_peer **ret_peer)
{
	struct httpsig_parsed parsed;
	const struct state_peer *peer;
	bool mutating = strcmp(server_request_method(r), "GET") != 0;

	if (api_signature(r, 'w', &parsed) < 0)
		return -EBADMSG;
	peer = state_peer(c->state, parsed.keyid);
	if (!peer) {
		server_reply_error(
			r, 401, "unknown_peer",
			"this machine is not (or no longer) in the network: enrol it with "
			"warren up and a setup key");
		return -ENOENT;
	}
	if (api_verify(r, 'w', peer->identity_key) < 0 ||
	    api_check_time(c, r, parsed.created_s) < 0 ||
	    (mutating && api_take_nonce(c, r, parsed.nonce, durable) < 0))
		return -EACCES;
	*ret_peer = peer;
	return 0;
}

const struct state_peer *api_authenticate(struct control *c, struct server_request *r)
{
	const struct state_peer *peer;
	bool durable = strcmp(server_request_path(r), "/v1/signal") != 0;

	return check_speaker(c, r, durable, &peer) == 0 ? peer : NULL;
}

/* ---- GET /v1/server ---- */

static json_t *key_text(const uint8_t key[32])
{
	char text[ENCODE_BASE64URL_SIZE(32)];

	encode_base64url(text, key, 32);
	return json_string(text);
}

static int make_answer(struct api *a, int64_t now_s)
{
	const struct control_config *config = a->c->config;
	char *text = NULL;
	json_t *stun = json_incref(state_stun(a->c->state));
	json_t *payload = json_pack(
		"{s:s,s:[s],s:o,s:o,s:o,s:I,s:I}", "domain", config->domain, "spki", a->spki,
		"enroll_key", key_text(a->enroll), "issuer", config_issuer_object(config), "stun",
		stun, "time", (json_int_t)now_s, "valid_until", (json_int_t)(now_s + SERVER_TTL_S));
	int r = payload ? signer_object(a->c->signer, "server", payload, &text) : -ENOMEM;

	json_decref(payload);
	if (r < 0)
		return r;
	json_decref(a->answer);
	a->answer = json_pack("{s:o,s:s}", "signing_key", key_text(a->signing), "signed", text);
	a->answer_s = now_s;
	free(text);
	return a->answer ? 0 : -ENOMEM;
}

static void get_server(void *ctx, struct server_request *r)
{
	struct api *a = ctx;
	int64_t now_s = clock_realtime_s(a->c->clock);

	if ((!a->answer || a->answer_s != now_s) && make_answer(a, now_s) < 0)
		server_reply_error(r, 503, "unavailable", "the signer does not answer; try again");
	else
		server_reply_json(r, 200, a->answer);
}

/* ---- /v1/self ---- */

static void changed(void *ctx, int result)
{
	struct server_request *r = api_wait_end(ctx);

	if (!r)
		return;
	if (result == 0)
		server_reply(r, 204, NULL, NULL, NULL, 0);
	else if (result == -ENOENT)
		server_reply_error(r, 404, "not_found", "it is not there any more");
	else
		server_reply_error(r, 503, "unavailable",
				   "the store did not take the change; try again");
}

/* Starts a change that answers 204; r is what starting it returned. */
static void start_change(struct api_wait *w, int r)
{
	if (r < 0)
		changed(w, r);
}

static int self_text(const json_t *body, const char *key, unsigned field, char *out, size_t cap,
		     unsigned *fields, struct error *err)
{
	int r = json_get_string(body, key, out, cap, err);

	if (r == 0)
		*fields |= field;
	return r == -ENOENT ? 0 : r;
}

static int read_self(const json_t *body, struct store_peer *row, unsigned *ret_fields,
		     struct error *err)
{
	unsigned fields = 0;
	int r = self_text(body, "hostname", STORE_PEER_HOSTNAME, row->hostname,
			  sizeof(row->hostname), &fields, err);

	if (r == 0)
		r = self_text(body, "os", STORE_PEER_SYSTEM, row->os, sizeof(row->os), &fields,
			      err);
	if (r == 0)
		r = self_text(body, "version", STORE_PEER_SYSTEM, row->version,
			      sizeof(row->version), &fields, err);
	if (r == 0)
		r = api_ssh(body, row, err);
	if (r == 0)
		r = api_host_keys(body, row->host_keys, sizeof(row->host_keys), err);
	if (json_object_get(body, "ssh"))
		fields |= STORE_PEER_SSH;
	if (json_object_get(body, "host_keys"))
		fields |= STORE_PEER_HOST_KEYS;
	*ret_fields = fields;
	return r;
}

static void put_self(void *ctx, struct server_request *r)
{
	static const char *const keys[] = {"hostname", "os", "version", "ssh", "host_keys", NULL};
	struct api *a = ctx;
	const struct state_peer *peer = api_authenticate(a->c, r);
	json_t *body = peer ? api_body(r, keys) : NULL;
	struct error err = {0};
	unsigned fields;

	if (!body)
		return;
	struct store_peer row = *state_row(a->c->state, peer->id);
	int e = read_self(body, &row, &fields, &err);
	json_decref(body);
	if (e < 0) {
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
		return;
	}
	struct api_wait *w = api_wait_new(a->c, r);
	if (w)
		start_change(w, state_change_peer(a->c->state, &row, fields, "self", changed, w));
}

static void delete_self(void *ctx, struct server_request *r)
{
	struct api *a = ctx;
	const struct state_peer *peer = api_authenticate(a->c, r);
	struct api_wait *w = peer ? api_wait_new(a->c, r) : NULL;

	if (w)
		start_change(w, state_remove_peer(a->c->state, peer->id, changed, w));
}

/* ---- POST /v1/signal ---- */

static void post_signal(void *ctx, struct server_request *r)
{
	static const char *const keys[] = {"to", "box", NULL};
	struct api *a = ctx;
	struct control *c = a->c;
	const struct state_peer *peer = api_authenticate(c, r);
	json_t *body = peer ? api_body(r, keys) : NULL;
	char to[IDENT_SIZE];
	const char *box;
	struct error err = {0};

	if (!body)
		return;
	if (json_get_string(body, "to", to, sizeof(to), &err) < 0 ||
	    json_get_text(body, "box", ENCODE_BASE64URL_SIZE(4096), &box, &err) < 0) {
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
	} else if (!state_may_signal(c->state, peer->id)) {
		json_t *e =
			json_pack("{s:{s:s,s:s,s:i}}", "error", "code", "slow_down", "message",
				  "too many signals at once; wait a second", "retry_after_s", 1);
		server_reply_json(r, 429, e);
		json_decref(e);
	} else {
		json_t *line =
			json_pack("{s:s,s:s,s:s}", "type", "signal", "from", peer->id, "box", box);
		bool there = state_peer(c->state, to) &&
			     policy_concerns(state_policy(c->state), state_world(c->state),
					     peer->id, to) &&
			     state_push(c->state, to, line);

		json_decref(line);
		if (there)
			server_reply(r, 202, NULL, NULL, NULL, 0);
		else
			server_reply_error(
				r, 404, "not_found",
				"that peer is not connected or no rule connects you with it");
	}
	json_decref(body);
}

/* ---- life ---- */

int api_new(struct control *c, const char *spki, struct api **ret_api, struct error *err)
{
	struct api *a = calloc(1, sizeof(*a));
	uint8_t issuer[32];
	unsigned public = 1u << SERVER_PUBLIC;
	int r;

	if (!a)
		return error_set(err, -ENOMEM, "out of memory");
	a->c = c;
	snprintf(a->spki, sizeof(a->spki), "%s", spki);
	r = signer_public(c->signer, a->signing, issuer, a->enroll);
	if (r == 0)
		r = server_route(c->server, public, "GET", "/v1/server", get_server, a);
	if (r == 0)
		r = server_route(c->server, public, "PUT", "/v1/self", put_self, a);
	if (r == 0)
		r = server_route(c->server, public, "DELETE", "/v1/self", delete_self, a);
	if (r == 0)
		r = server_route(c->server, public, "POST", "/v1/signal", post_signal, a);
	if (r == 0)
		r = api_enroll_routes(c);
	if (r == 0)
		r = api_stream_routes(c);
	if (r < 0) {
		api_free(a);
		return error_set(err, r, "the API's routes cannot be added: %s", strerror(-r));
	}
	*ret_api = a;
	return 0;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	json_decref(a->answer);
	free(a);
}
