/* SPDX-License-Identifier: Apache-2.0
 *
 * The map stream (control/PROTOCOL.md section 5): one long answer of lines, asked for again with
 * back-off of 0.5 to 30 s when it breaks, at once when the network changes. What arrives goes
 * through control_map_line; nothing is believed before its signature held.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/control_client_internal.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/log.h"

/* A line may carry the object for the SSH monitor. */
#define MAX_LINE       (SIGNED_MAX_BYTES + (1u << 20))
#define IDLE_MS	       60000
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
#define MAX_SIGNAL     4096

static void connect_stream(struct control_client *c);

void control_stream_init(struct control_client *c)
{
	buffer_init(&c->line, MAX_LINE);
	(void)uv_timer_init(c->loop, &c->timer);
	c->timer.data = c;
}

void control_stream_done(struct control_client *c)
{
	control_client_stop(c);
}

bool control_client_connected(const struct control_client *c)
{
	return c->connected;
}

static void on_timer(uv_timer_t *timer)
{
	connect_stream(timer->data);
}

static void schedule(struct control_client *c)
{
	uint64_t wait = (uint64_t)BACKOFF_MIN_MS << (c->failures > 6 ? 6 : c->failures);
	uint8_t jitter;

	if (wait > BACKOFF_MAX_MS)
		wait = BACKOFF_MAX_MS;
	random_bytes(c->random, &jitter, 1);
	wait = wait / 2 + wait / 2 * jitter / 256;
	c->failures++;
	(void)uv_timer_start(&c->timer, on_timer, wait, 0);
}

/* sentence NULL: by our own doing, which says nothing about the server. */
static void broken(struct control_client *c, const char *sentence)
{
	c->connected = false;
	buffer_reset(&c->line);
	map_free(c->map != NULL ? c->map->building : NULL);
	if (c->map != NULL)
		c->map->building = NULL;
	if (!c->streaming)
		return;
	if (sentence != NULL)
		c->ops.connection(c->ops.ctx, false, sentence);
	if (c->streaming)
		schedule(c);
}

/* ---- lines */

static void take_signal(struct control_client *c, const json_t *line)
{
	uint8_t box[MAX_SIGNAL];
	const char *text;
	char from[32];
	size_t len;

	if (json_get_string(line, "from", from, sizeof(from), NULL) < 0 ||
	    json_get_text(line, "box", 2 * MAX_SIGNAL, &text, NULL) < 0 ||
	    encode_base64url_decode(box, sizeof(box), text, strlen(text), &len) < 0)
		return;
	c->ops.signal(c->ops.ctx, from, box, len);
}

static int take_reset(struct control_client *c, const json_t *line)
{
	char reason[32] = "";

	if (json_get_string(line, "reason", reason, sizeof(reason), NULL) < 0)
		reason[0] = '\0';
	if (strcmp(reason, "cursor") == 0)
		c->resync = true;
	if (strcmp(reason, "removed") == 0) {
		c->streaming = false;
		c->ops.removed(c->ops.ctx, "this machine was removed from the network");
	}
	return error_set(&c->stream_error, -ECONNRESET, "the control server ended the stream (%s)",
			 reason);
}

static int take_line(struct control_client *c, const json_t *line)
{
	enum control_map_result result = CONTROL_MAP_NOTHING;
	char type[32], id[64];
	int r;

	if (json_get_string(line, "type", type, sizeof(type), &c->stream_error) < 0)
		return -EBADMSG;
	if (strcmp(type, "signal") == 0) {
		take_signal(c, line);
		return 0;
	}
	if (strcmp(type, "ssh_login") == 0) {
		if (json_get_string(line, "id", id, sizeof(id), NULL) == 0)
			c->ops.ssh_login(c->ops.ctx, id);
		return 0;
	}
	if (strcmp(type, "reset") == 0)
		return take_reset(c, line);
	r = control_map_line(c->map, &c->pin, line, &result, &c->stream_error);
	if (r == -ESTALE)
		c->resync = false;
	if (r < 0)
		return r;
	if (result == CONTROL_MAP_RESYNC) {
		c->resync = true;
		c->failures = 0;
		return error_set(
			&c->stream_error, -EBADMSG,
			"the control server's changes do not fit the map: asking for all of it");
	}
	if (result == CONTROL_MAP_CHANGED || result == CONTROL_MAP_RENEWED) {
		bool was = c->connected;

		c->resync = false;
		c->connected = true;
		c->failures = 0;
		if (!was)
			c->ops.connection(c->ops.ctx, true, "");
		c->ops.map_changed(c->ops.ctx, result == CONTROL_MAP_CHANGED);
	}
	return 0;
}

static int take_lines(struct control_client *c)
{
	const uint8_t *end;

	while (c->line.len > 0 && (end = memchr(c->line.data, '\n', c->line.len)) != NULL) {
		size_t len = (size_t)(end - c->line.data);
		json_t *line = json_load_strict((const char *)c->line.data, len, MAX_LINE, NULL);
		int r;

		buffer_consume(&c->line, len + 1);
		if (!json_is_object(line)) {
			json_decref(line);
			return error_set(&c->stream_error, -EBADMSG,
					 "the control server sent a line that is not an object");
		}
		r = take_line(c, line);
		json_decref(line);
		if (r < 0)
			return r;
		if (!c->streaming)
			return -ECANCELED;
	}
	return 0;
}

static int on_data(void *ctx, const char *data, size_t len)
{
	struct control_client *c = ctx;

	if (c->map == NULL || buffer_append(&c->line, data, len) < 0) {
		(void)error_set(&c->stream_error, -EMSGSIZE,
				"the control server sent a line that is too long");
		return 1;
	}
	return take_lines(c) < 0 ? 1 : 0;
}

/* ---- the request */

static void refused(struct control_client *c, const struct http_response *response, char *out,
		    size_t cap)
{
	json_t *body =
		response->body_len == 0
			? NULL
			: json_load_strict(response->body, response->body_len, 1u << 20, NULL);
	char code[32] = "", message[400] = "";
	json_t *error = NULL;

	if (body == NULL || json_get_object(body, "error", &error, NULL) < 0 ||
	    json_get_string(error, "code", code, sizeof(code), NULL) < 0 ||
	    json_get_string(error, "message", message, sizeof(message), NULL) < 0)
		message[0] = '\0';
	if (strcmp(code, "expired") == 0)
		c->resync = true;
	(void)snprintf(out, cap, "%s",
		       message[0] != '\0' ? message : "the control server refused the map stream");
	if (strcmp(code, "unknown_peer") == 0) {
		c->streaming = false;
		c->ops.removed(c->ops.ctx, "this machine is no longer in the network");
	}
	json_decref(body);
}

static void on_stream_done(void *ctx, const struct http_response *response)
{
	struct control_client *c = ctx;
	struct error err = {0};
	char sentence[600];

	c->stream = NULL;
	c->outdated = true;
	if (c->stopping)
		return;
	if (c->kicked) {
		broken(c, NULL);
		return;
	}
	if (c->stream_error.code != 0)
		(void)snprintf(sentence, sizeof(sentence), "%s", c->stream_error.text);
	else if (response->error != 0)
		control_client_unreachable(c, response, &err);
	else if (response->status != 200)
		refused(c, response, sentence, sizeof(sentence));
	else
		(void)snprintf(sentence, sizeof(sentence), "the control server closed the stream");
	if (response->error == -EPROTO)
		control_client_distrust(c);
	broken(c, err.code != 0 ? err.text : sentence);
}

static void on_server(void *ctx, const struct control_server *server, const struct error *err)
{
	struct control_client *c = ctx;
	struct http_options options = {.method = "GET",
				       .idle_timeout_ms = IDLE_MS,
				       .on_data = on_data,
				       .on_done = on_stream_done,
				       .ctx = c};
	struct control_call request = {.client = c};
	struct httpsig_headers h;
	const char *headers[] = {h.digest, h.input, h.signature, NULL};
	char url[900];
	int n;

	if (!c->streaming || c->stream != NULL)
		return;
	if (server == NULL) {
		broken(c, error_text(err));
		return;
	}
	memset(&c->stream_error, 0, sizeof(c->stream_error));
	(void)stpcpy(request.method, "GET");
	(void)stpcpy(request.path, "/v1/stream");
	n = snprintf(request.query, sizeof(request.query), "epoch=%lld&cursor=%lld",
		     (long long)c->map->epoch,
		     c->resync || c->map->map == NULL ? 0 : (long long)c->map->revision);
	if (n > 0)
		n = snprintf(url, sizeof(url), "%s%s?%s", c->url, request.path, request.query);
	options.url = url;
	options.headers = headers;
	control_client_trust(c, &options.trust);
	if (n < 0 || control_client_sign(c, &request, &h) < 0 ||
	    http_start(c->http, &options, &c->stream, &c->stream_error) < 0) {
		c->stream = NULL;
		broken(c, error_text(&c->stream_error));
	}
}

static void connect_stream(struct control_client *c)
{
	if (c->streaming && c->stream == NULL)
		control_client_server_anew(c, on_server, c);
}

void control_client_start(struct control_client *c, struct control_map *map)
{
	if (c->streaming)
		return;
	c->map = map;
	c->streaming = true;
	c->failures = 0;
	c->resync = false;
	connect_stream(c);
}

void control_client_stop(struct control_client *c)
{
	c->streaming = false;
	(void)uv_timer_stop(&c->timer);
	if (c->stream != NULL) {
		c->stopping = true;
		http_cancel(c->stream);
		c->stopping = false;
	}
	c->stream = NULL;
	c->connected = false;
	buffer_reset(&c->line);
	if (c->map != NULL) {
		map_free(c->map->building);
		c->map->building = NULL;
	}
	c->map = NULL;
}

void control_client_kick(struct control_client *c, bool lost)
{
	if (lost)
		http_distrust_connections(c->http);
	if (!c->streaming)
		return;
	c->failures = 0;
	if (c->stream == NULL) {
		(void)uv_timer_stop(&c->timer);
		connect_stream(c);
	} else if (!c->connected || lost) {
		c->kicked = true;
		http_cancel(c->stream); /* begins again after 0.5 s */
		c->kicked = false;
	}
}
