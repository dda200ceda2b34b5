/* SPDX-License-Identifier: Apache-2.0
 *
 * Trust in a control server (control/PROTOCOL.md section 1) and signed requests (sections 2 and 3).
 * Everything but the server object goes to servers whose SPKI is in that object.
 */
#include "daemon/control_client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/control_client_internal.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/secret.h"

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
		control_client_clock_sentence(c, time_s, reply->message, sizeof(reply->message));
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
		body = json_load_strict(response->body, response->body_len, CONTROL_BODY_MAX, NULL);
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
	return httpsig_sign(&m, keys, count, control_client_now_s(c), nonce, h);
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
