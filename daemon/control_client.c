/* SPDX-License-Identifier: Apache-2.0
 *
 * Trust in a control server (control/PROTOCOL.md section 1) and signed requests (sections 2 and 3).
 * The server object is fetched without a check of TLS only when a fingerprint or a pinned key
 * proves it; everything else goes to servers whose SPKI is in that object.
 */
#include "daemon/control_client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/control_client_internal.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/secret.h"

#define MAX_BODY (1u << 20)
#define MAX_SPKI 16
#define SKEW_S	 60

int control_client_new(uv_loop_t *loop, struct http *http, const struct clock *clock,
		       const struct random_source *random, const struct control_client_ops *ops,
		       struct control_client **ret_client)
{
	struct control_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->loop = loop;
	c->http = http;
	c->clock = clock;
	c->random = random;
	c->ops = *ops;
	control_stream_init(c);
	*ret_client = c;
	return 0;
}

static void on_freed(uv_handle_t *handle)
{
	struct control_client *c = handle->data;

	buffer_done(&c->line);
	free(c);
}

static void forget_server(struct control_client *c)
{
	struct http_request *fetch = c->fetch;

	c->known = false;
	if (fetch != NULL)
		http_cancel(fetch);
}

void control_client_free(struct control_client *c)
{
	if (c == NULL)
		return;
	control_stream_done(c);
	while (c->calls != NULL)
		control_call_cancel(c->calls);
	forget_server(c);
	uv_close((uv_handle_t *)&c->timer, on_freed);
}

/* Host as curl writes it: lower case, without the scheme's own port. */
static int parse_url(const char *url, char *authority, size_t cap)
{
	bool https = strncmp(url, "https://", 8) == 0;
	const char *host = url + (https ? 8 : 7);
	const char *port = https ? ":443" : ":80";
	size_t len;

	if (!https && strncmp(url, "http://", 7) != 0)
		return -EINVAL;
	len = strcspn(host, "/?#@ ");
	if (host[len] != '\0' || len == 0 || len >= cap)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		authority[i] = (char)tolower((unsigned char)host[i]);
	authority[len] = '\0';
	if (len > strlen(port) && strcmp(authority + len - strlen(port), port) == 0)
		authority[len - strlen(port)] = '\0';
	return 0;
}

int control_client_configure(struct control_client *c, const char *url, const uint8_t *signing_key,
			     const uint8_t *fingerprint, const struct state_keys *keys,
			     struct error *err)
{
	char authority[256], copy[256];
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	if (len >= sizeof(copy))
		return error_set(err, -EINVAL, "the URL of the control server is too long");
	memcpy(copy, url, len);
	copy[len] = '\0';
	if (parse_url(copy, authority, sizeof(authority)) < 0)
		return error_set(
			err, -EINVAL,
			"\"%s\" is not the URL of a control server: write https://host:8443", url);
	control_client_stop(c);
	forget_server(c);
	memcpy(c->url, copy, sizeof(c->url));
	memcpy(c->authority, authority, sizeof(c->authority));
	c->pinned = signing_key != NULL;
	if (signing_key != NULL)
		memcpy(c->signing_key, signing_key, 32);
	c->has_fingerprint = fingerprint != NULL;
	if (fingerprint != NULL)
		memcpy(c->fingerprint, fingerprint, 16);
	c->keys = keys;
	memset(&c->pin, 0, sizeof(c->pin));
	return 0;
}

void control_client_identify(struct control_client *c, const struct control_pin *pin)
{
	c->pin = *pin;
}

const struct control_server *control_client_known(const struct control_client *c)
{
	return c->known ? &c->server : NULL;
}

void control_client_trust(const struct control_client *c, struct http_trust *ret_trust)
{
	memset(ret_trust, 0, sizeof(*ret_trust));
	ret_trust->pinned_spki = c->known ? c->server.pins : "sha256//";
}

void control_client_distrust(struct control_client *c)
{
	c->known = false;
}

/* ---- the server object */

static void tell_waiters(struct control_client *c, const struct error *err)
{
	/* Who is told may ask again or cancel others that wait. */
	c->telling = c->waiters;
	c->waiters = NULL;
	while (c->telling != NULL) {
		struct control_waiter *w = c->telling;

		c->telling = w->next;
		w->done(w->ctx, err == NULL ? &c->server : NULL, err);
		free(w);
	}
}

static int read_pins(const json_t *payload, struct control_server *s)
{
	struct writer w = writer_init(s->pins, sizeof(s->pins) - 1);
	json_t *list, *item;
	size_t i;

	if (json_get_array(payload, "spki", MAX_SPKI, &list, NULL) < 0 ||
	    json_array_size(list) == 0)
		return -EINVAL;
	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(item);
		uint8_t hash[32];

		if (text == NULL || encode_base64_exact(hash, sizeof(hash), text) < 0)
			return -EINVAL;
		if (i > 0)
			writer_u8(&w, ';');
		writer_bytes(&w, "sha256//", 8);
		writer_bytes(&w, text, strlen(text));
	}
	s->pins[w.len] = '\0';
	return w.failed ? -EMSGSIZE : 0;
}

static int read_ports(const json_t *issuer, struct control_server *s, struct error *err)
{
	const size_t max = sizeof(s->redirect_ports) / sizeof(s->redirect_ports[0]);
	json_t *list, *item;
	size_t i;
	int r = json_get_array(issuer, "redirect_ports", max, &list, err);

	if (r < 0)
		return r;
	json_array_foreach(list, i, item)
	{
		if (!json_is_integer(item) || json_integer_value(item) < 1 ||
		    json_integer_value(item) > 65535)
			return -EINVAL;
		s->redirect_ports[s->redirect_port_count++] = (uint16_t)json_integer_value(item);
	}
	return 0;
}

/* What an older server leaves out has its default. */
static int read_issuer(const json_t *issuer, struct control_server *s, struct error *err)
{
	int r = json_get_string(issuer, "user_claim", s->user_claim, sizeof(s->user_claim), err);

	if (r == 0 || r == -ENOENT)
		r = json_get_string(issuer, "access_audience", s->access_audience,
				    sizeof(s->access_audience), err);
	if (r == 0 || r == -ENOENT)
		r = json_get_string(issuer, "resource", s->resource, sizeof(s->resource), err);
	if (r == 0 || r == -ENOENT)
		r = json_get_int(issuer, "max_age", 0, INT32_MAX, &s->login_max_age_s, err);
	if (r == 0 || r == -ENOENT)
		r = read_ports(issuer, s, err);
	return r == -ENOENT ? 0 : r;
}

static int read_server(const json_t *payload, struct control_server *s, struct error *err)
{
	json_t *issuer, *stun, *item;
	char enroll[64];
	size_t i;

	if (json_get_string(payload, "network", s->network, sizeof(s->network), err) < 0 ||
	    json_get_string(payload, "domain", s->domain, sizeof(s->domain), err) < 0 ||
	    json_get_string(payload, "enroll_key", enroll, sizeof(enroll), err) < 0 ||
	    json_get_int(payload, "valid_until", 0, INT64_MAX, &s->valid_until_s, err) < 0 ||
	    json_get_object(payload, "issuer", &issuer, err) < 0 ||
	    json_get_string(issuer, "issuer", s->issuer, sizeof(s->issuer), err) < 0 ||
	    json_get_string(issuer, "client_id", s->client_id, sizeof(s->client_id), err) < 0 ||
	    json_get_bool(issuer, "embedded", &s->embedded, err) < 0 ||
	    read_issuer(issuer, s, err) < 0 || json_get_array(payload, "stun", 64, &stun, err) < 0)
		return -EBADMSG;
	if (encode_base64url_exact(s->enroll_key, sizeof(s->enroll_key), enroll) < 0 ||
	    read_pins(payload, s) < 0)
		return error_set(err, -EBADMSG,
				 "the control server's description has a wrong form");
	json_array_foreach(stun, i, item)
	{
		const char *text = json_string_value(item);

		if (text != NULL && s->stun_count < CONTROL_MAX_STUN &&
		    strlen(text) < sizeof(s->stun[0]))
			(void)stpcpy(s->stun[s->stun_count++], text);
	}
	return 0;
}

static int check_key(const struct control_client *c, const uint8_t key[32], struct error *err)
{
	uint8_t fingerprint[16];

	signed_fingerprint(key, fingerprint);
	if ((c->pinned && !secret_equal(key, c->signing_key, 32)) ||
	    (c->has_fingerprint && !secret_equal(fingerprint, c->fingerprint, sizeof(fingerprint))))
		return error_set(
			err, -EKEYREJECTED,
			"the server at %s shows another signing key than the one you were given: "
			"check the URL, and the setup key or the fingerprint behind #",
			c->url);
	return 0;
}

static int64_t now_s(const struct control_client *c)
{
	return clock_realtime_s(c->clock);
}

static void say_minutes(int64_t off_s, char out[static 64])
{
	int64_t s = off_s < 0 ? -off_s : off_s;
	int n = s < 120 ? snprintf(out, 64, "%lld seconds", (long long)s)
			: snprintf(out, 64, "%lld minutes", (long long)(s / 60));

	if (n < 0)
		out[0] = '\0';
}

static void clock_sentence(const struct control_client *c, int64_t server_s, char *out, size_t cap)
{
	int64_t off_s = server_s - now_s(c);
	char minutes[64];
	int n;

	say_minutes(off_s, minutes);
	n = snprintf(out, cap, "this machine's clock is %s %s the control server's: set the time",
		     minutes, off_s > 0 ? "behind" : "ahead of");
	if (n < 0 && cap > 0)
		out[0] = '\0';
}

static int open_server(struct control_client *c, const char *body, size_t len, struct error *err)
{
	json_t *answer = json_load_strict(body, len, MAX_BODY, err);
	struct control_server s = {0};
	json_t *payload = NULL;
	const char *key_text, *text;
	struct error inner = {0};
	int64_t time_s = 0;
	int r = -EBADMSG;

	if (answer == NULL || json_get_text(answer, "signing_key", 64, &key_text, NULL) < 0 ||
	    json_get_text(answer, "signed", SIGNED_MAX_BYTES, &text, NULL) < 0 ||
	    encode_base64url_exact(s.signing_key, 32, key_text) < 0) {
		(void)error_set(err, r, "what answers at %s is not a Warren control server",
				c->url);
		goto out;
	}
	r = check_key(c, s.signing_key, err);
	if (r < 0)
		goto out;
	payload =
		signed_open(text, strlen(text), "server", s.signing_key, now_s(c), SKEW_S, &inner);
	if (payload == NULL && inner.code == -ETIME) {
		/* Ended, unless it is our clock that is wrong. */
		payload = signed_open(text, strlen(text), "server", s.signing_key, 0, 0, NULL);
		if (payload != NULL &&
		    json_get_int(payload, "time", 0, INT64_MAX, &time_s, NULL) == 0) {
			r = error_set(err, -ETIME, "x");
			clock_sentence(c, time_s, err != NULL ? err->text : inner.text,
				       sizeof(inner.text));
			goto out;
		}
	}
	if (payload == NULL) {
		r = error_set(
			err, -EKEYREJECTED,
			"the description of the control server at %s is not signed by its key: %s",
			c->url, error_text(&inner));
		goto out;
	}
	r = read_server(payload, &s, err);
	if (r == 0) {
		c->server = s;
		c->known = true;
		if (!c->pinned) {
			memcpy(c->signing_key, s.signing_key, 32);
			c->pinned = true;
		}
	}
out:
	json_decref(payload);
	json_decref(answer);
	return r;
}

/* The transport's words without the URL that we name ourselves. */
static const char *reason(const char *text)
{
	const char *colon = strncmp(text, "cannot reach http", 17) == 0 ? strstr(text, ": ") : NULL;

	return colon != NULL ? colon + 2 : text;
}

void control_client_unreachable(const struct control_client *c,
				const struct http_response *response, struct error *err)
{
	if (response->error == -EPROTO && !c->pinned && !c->has_fingerprint)
		(void)error_set(
			err, response->error,
			"the TLS certificate of %s is not one that this machine trusts: give the "
			"fingerprint of its signing key behind #, or a setup key (%s)",
			c->url, reason(response->error_text));
	else
		(void)error_set(err, response->error, "the control server %s cannot be reached: %s",
				c->url, reason(response->error_text));
}

static void on_server(void *ctx, const struct http_response *response)
{
	struct control_client *c = ctx;
	struct error err = {0};
	int r = 0;

	c->fetch = NULL;
	if (response->error != 0) {
		r = response->error;
		control_client_unreachable(c, response, &err);
	} else if (response->status != 200) {
		r = error_set(&err, -EPROTO,
			      "what answers at %s is not a Warren control server (status %ld)",
			      c->url, response->status);
	} else {
		r = open_server(c, response->body, response->body_len, &err);
	}
	tell_waiters(c, r < 0 ? &err : NULL);
}

void control_client_server(struct control_client *c, control_server_cb *done, void *ctx)
{
	struct http_options options = {.method = "GET", .on_done = on_server, .ctx = c};
	struct control_waiter *waiter;
	struct error err = {0};
	char url[320];
	int n;

	if (c->known) {
		done(ctx, &c->server, NULL);
		return;
	}
	waiter = calloc(1, sizeof(*waiter));
	if (waiter == NULL) {
		(void)error_set(&err, -ENOMEM, "no memory");
		done(ctx, NULL, &err);
		return;
	}
	*waiter = (struct control_waiter){c->waiters, done, ctx};
	c->waiters = waiter;
	if (c->fetch != NULL)
		return;
	n = snprintf(url, sizeof(url), "%s/v1/server", c->url);
	options.url = url;
	options.timeout_ms = 10000;
	options.trust.insecure_once = c->pinned || c->has_fingerprint;
	if (c->url[0] == '\0')
		(void)error_set(&err, -ENOENT, "no control server is known: give --control URL");
	else if (n < 0 || http_start(c->http, &options, &c->fetch, &err) < 0)
		c->fetch = NULL;
	if (err.code != 0)
		tell_waiters(c, &err);
}

/* ---- calls */

int control_call_new(struct control_client *c, const char *method, const char *path,
		     const char *query, const json_t *body, control_reply_cb *done, void *ctx,
		     struct control_call **ret_call)
{
	struct control_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return -ENOMEM;
	if (strlen(method) >= sizeof(call->method) || strlen(path) >= sizeof(call->path) ||
	    (query != NULL && strlen(query) >= sizeof(call->query))) {
		free(call);
		return -EMSGSIZE;
	}
	(void)stpcpy(call->method, method);
	(void)stpcpy(call->path, path);
	(void)stpcpy(call->query, query != NULL ? query : "");
	if (body != NULL) {
		call->body = json_dumps(body, JSON_COMPACT);
		if (call->body == NULL) {
			free(call);
			return -ENOMEM;
		}
		call->body_len = strlen(call->body);
	}
	call->client = c;
	call->done = done;
	call->ctx = ctx;
	call->timeout_ms = 15000;
	call->next = c->calls;
	call->link = &c->calls;
	if (c->calls != NULL)
		c->calls->link = &call->next;
	c->calls = call;
	*ret_call = call;
	return 0;
}

static void call_free(struct control_call *call)
{
	*call->link = call->next;
	if (call->next != NULL)
		call->next->link = call->link;
	if (call->body != NULL)
		secret_wipe(call->body, call->body_len);
	free(call->body);
	secret_wipe(call->setup_secret, sizeof(call->setup_secret));
	free(call);
}

static void finish(struct control_call *call, const struct control_reply *reply)
{
	control_reply_cb *done = call->cancelled ? NULL : call->done;
	void *ctx = call->ctx;

	call_free(call);
	if (done != NULL)
		done(ctx, reply);
}

static void forget_waiter(struct control_waiter **list, const void *ctx)
{
	for (; *list != NULL; list = &(*list)->next)
		if ((*list)->ctx == ctx) {
			struct control_waiter *gone = *list;

			*list = gone->next;
			free(gone);
			return;
		}
}

void control_call_cancel(struct control_call *call)
{
	struct http_request *request;

	if (call == NULL || call->cancelled)
		return;
	call->cancelled = true;
	forget_waiter(&call->client->waiters, call);
	forget_waiter(&call->client->telling, call);
	request = call->request;
	if (request != NULL)
		http_cancel(request); /* its callback frees the call */
	else
		call_free(call);
}

static void read_error(const struct control_call *call, const json_t *body,
		       struct control_reply *reply)
{
	const struct control_client *c = call->client;
	json_t *error;
	int64_t time_s;

	if (body == NULL || json_get_object(body, "error", &error, NULL) < 0 ||
	    json_get_string(error, "code", reply->code, sizeof(reply->code), NULL) < 0 ||
	    json_get_string(error, "message", reply->message, sizeof(reply->message), NULL) < 0) {
		(void)snprintf(reply->message, sizeof(reply->message),
			       "the control server answered %s %.200s with status %ld",
			       call->method, call->path, reply->status);
		return;
	}
	if (strcmp(reply->code, "clock_skew") == 0 &&
	    (json_get_int(error, "time", 0, INT64_MAX, &time_s, NULL) == 0 ||
	     json_get_int(body, "time", 0, INT64_MAX, &time_s, NULL) == 0))
		clock_sentence(c, time_s, reply->message, sizeof(reply->message));
}

static void on_server_for_call(void *ctx, const struct control_server *server,
			       const struct error *err);

static void on_call_done(void *ctx, const struct http_response *response)
{
	struct control_call *call = ctx;
	struct control_client *c = call->client;
	struct control_reply reply = {.error = response->error, .status = response->status};
	struct error err = {0};
	json_t *body = NULL;

	call->request = NULL;
	if (response->error == -EPROTO && !call->retried && !call->cancelled) {
		/* Another certificate: the signed set says whether it is a good one. */
		call->retried = true;
		control_client_distrust(c);
		control_client_server(c, on_server_for_call, call);
		return;
	}
	if (response->error != 0) {
		control_client_unreachable(c, response, &err);
		(void)snprintf(reply.message, sizeof(reply.message), "%.399s", err.text);
	} else if (response->body_len > 0) {
		body = json_load_strict(response->body, response->body_len, MAX_BODY, NULL);
		if (!json_is_object(body)) {
			json_decref(body);
			body = NULL;
		}
	}
	reply.body = body;
	if (response->error == 0 && (response->status < 200 || response->status > 299))
		read_error(call, body, &reply);
	finish(call, &reply);
	json_decref(body);
}

int control_client_sign(struct control_client *c, const struct control_call *call,
			struct httpsig_headers *h)
{
	struct httpsig_message m = {.method = call->method,
				    .authority = c->authority,
				    .path = call->path,
				    .query = call->query,
				    .body = call->body,
				    .body_len = call->body_len};
	char identity[64] = "ik_";
	struct httpsig_key keys[HTTPSIG_MAX_KEYS];
	uint8_t nonce[16];
	size_t count = 0;

	encode_base64url(identity + 3, c->keys->identity_public, 32);
	random_bytes(c->random, nonce, sizeof(nonce));
	if (call->enrolment && call->setup_keyid[0] != '\0')
		keys[count++] = (struct httpsig_key){'w', call->setup_keyid, call->setup_secret};
	keys[count] = (struct httpsig_key){count == 0 ? 'w' : 'i',
					   call->enrolment ? identity : c->pin.peer,
					   c->keys->identity_secret};
	count++;
	return httpsig_sign(&m, keys, count, now_s(c), nonce, h);
}

static int send_call(struct control_call *call, struct error *err)
{
	struct control_client *c = call->client;
	struct http_options options = {.method = call->method,
				       .body = call->body,
				       .body_len = call->body_len,
				       .timeout_ms = call->timeout_ms,
				       .on_done = on_call_done,
				       .ctx = call};
	struct httpsig_headers h;
	const char *headers[] = {h.digest, h.input, h.signature, NULL, NULL};
	char url[1400];
	int r;

	if (call->body != NULL)
		headers[3] = "Content-Type: application/json";
	r = snprintf(url, sizeof(url), "%s%s%s%s", c->url, call->path,
		     call->query[0] != '\0' ? "?" : "", call->query);
	if (r < 0 || (size_t)r >= sizeof(url))
		return error_set(err, -EMSGSIZE, "the URL is too long");
	r = control_client_sign(c, call, &h);
	if (r < 0)
		return error_set(err, r, "cannot sign the request");
	options.url = url;
	options.headers = headers;
	control_client_trust(c, &options.trust);
	return http_start(c->http, &options, &call->request, err);
}

static void fail_call(struct control_call *call, const struct error *err)
{
	struct control_reply reply = {.error = err->code != 0 ? err->code : -EIO};

	(void)snprintf(reply.message, sizeof(reply.message), "%.399s", error_text(err));
	finish(call, &reply);
}

static void on_server_for_call(void *ctx, const struct control_server *server,
			       const struct error *err)
{
	struct control_call *call = ctx;
	struct error inner = {0};

	if (server == NULL)
		fail_call(call, err);
	else if (send_call(call, &inner) < 0)
		fail_call(call, &inner);
}

void control_call_run(struct control_call *call)
{
	control_client_server(call->client, on_server_for_call, call);
}

int control_client_call(struct control_client *c, const char *method, const char *path,
			const char *query, const json_t *body, unsigned timeout_ms,
			control_reply_cb *done, void *ctx, struct control_call **ret_call)
{
	struct control_call *call;
	int r;

	if (c->pin.peer[0] == '\0' || c->keys == NULL)
		return -ENOTCONN;
	r = control_call_new(c, method, path, query, body, done, ctx, &call);
	if (r < 0)
		return r;
	if (timeout_ms != 0)
		call->timeout_ms = timeout_ms;
	if (ret_call != NULL)
		*ret_call = call;
	control_call_run(call);
	return 0;
}

int control_reply_exit(const struct control_reply *reply)
{
	if (strcmp(reply->code, "login_required") == 0)
		return WARREN_EXIT_LOGIN_NEEDED;
	if (strcmp(reply->code, "denied") == 0)
		return WARREN_EXIT_DENIED;
	return WARREN_EXIT_FAILED;
}
