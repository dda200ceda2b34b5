/* SPDX-License-Identifier: Apache-2.0
 *
 * Routes, requests and answers of the HTTP server. Owns the listeners, what a handler sees of a
 * request, and the headers of answers: no-store and nosniff everywhere, and on pages a content
 * security policy that allows nothing but their own style and forms.
 */
#include "control/server.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/server_impl.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/unixsock.h"

static const char page_headers[] =
	"Content-Security-Policy: default-src 'none'; style-src 'self' 'unsafe-inline'; "
	"img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n";
static const char page_fixed_headers[] = "X-Frame-Options: DENY\r\n"
					 "Referrer-Policy: no-referrer\r\n";

/* ---- life ---- */

static int bind_tcp(struct server *s, const char *listen, struct error *err)
{
	struct endpoint ep;
	int r;

	if (endpoint_parse(listen, &ep) < 0)
		return error_set(
			err, -EINVAL,
			"\"%s\" is not an address to listen on: write it as 0.0.0.0:8443 or "
			"[::]:8443",
			listen);
	r = uv_tcp_init(s->loop, &s->tcp);
	if (r < 0)
		return error_set(err, r, "no TCP socket: %s", uv_strerror(r));
	s->has_tcp = true;
	s->tcp.data = s;
	r = uv_tcp_bind(&s->tcp, &ep.sa, 0);
	if (r < 0)
		return error_set(err, r, "cannot listen on %s: %s", listen, uv_strerror(r));
	snprintf(s->tcp_name, sizeof(s->tcp_name), "%s", listen);
	return 0;
}

static int bind_unix(struct server *s, const char *path, uv_pipe_t *pipe, char bound[108],
		     bool *has, struct error *err)
{
	int fd, r;

	r = unixsock_listen(path, 0600, &fd, err);
	if (r < 0)
		return r;
	r = uv_pipe_init(s->loop, pipe, 0);
	if (r == 0) {
		*has = true;
		pipe->data = s;
		r = uv_pipe_open(pipe, fd);
	}
	if (r < 0) {
		file_close(&fd);
		return error_set(err, r, "cannot use the socket %s: %s", path, uv_strerror(r));
	}
	snprintf(bound, 108, "%s", path);
	return 0;
}

int server_new(const struct server_config *config, struct server **ret_server, struct error *err)
{
	struct server *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	s->loop = config->loop;
	s->max_body = config->max_body ? config->max_body : 1u << 20;
	s->max_connections = config->max_connections ? config->max_connections : 10000;
	if (config->listen) {
		r = server_tls_new(config->tls_cert_pem, config->tls_key_file, &s->tls, err);
		if (r == 0)
			r = bind_tcp(s, config->listen, err);
	}
	if (r == 0 && config->admin_socket)
		r = bind_unix(s, config->admin_socket, &s->pipe, s->pipe_path, &s->has_pipe, err);
	if (r == 0 && config->public_socket)
		r = bind_unix(s, config->public_socket, &s->plain, s->plain_path, &s->has_plain,
			      err);
	if (r == 0 && ((r = uv_timer_init(s->loop, &s->sweep)) < 0 ||
		       (r = uv_prepare_init(s->loop, &s->flush)) < 0))
		error_set(err, r, "no timer: %s", uv_strerror(r));
	if (r < 0) {
		server_stop(s);
		(void)uv_run(s->loop, UV_RUN_NOWAIT);
		server_free(s);
		return r;
	}
	s->sweep.data = s->flush.data = s;
	*ret_server = s;
	return 0;
}

static void on_public(uv_stream_t *listener, int status)
{
	if (status == 0)
		(void)server_conn_accept(listener->data, listener, SERVER_PUBLIC);
}

static void on_pipe(uv_stream_t *listener, int status)
{
	if (status == 0)
		(void)server_conn_accept(listener->data, listener, SERVER_ADMIN);
}

static void on_sweep(uv_timer_t *timer)
{
	server_conn_sweep(timer->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
	server_conn_process_all(prepare->data);
	server_conn_flush_all(prepare->data);
}

int server_start(struct server *s, struct error *err)
{
	int r = 0;

	if (s->has_tcp)
		r = uv_listen((uv_stream_t *)&s->tcp, 511, on_public);
	if (r < 0) /* libuv keeps a taken port to itself until here */
		return error_set(err, r, "cannot listen on %s: %s", s->tcp_name, uv_strerror(r));
	if (s->has_pipe)
		r = uv_listen((uv_stream_t *)&s->pipe, 16, on_pipe);
	if (r == 0 && s->has_plain)
		r = uv_listen((uv_stream_t *)&s->plain, 128, on_public);
	if (r == 0)
		r = uv_timer_start(&s->sweep, on_sweep, 1000, 1000);
	if (r == 0)
		r = uv_prepare_start(&s->flush, on_prepare);
	if (r < 0)
		return error_set(err, r, "cannot listen on %s: %s", s->pipe_path, uv_strerror(r));
	return 0;
}

uint16_t server_port(const struct server *s)
{
	struct endpoint ep = {0};
	int len = sizeof(ep);

	if (!s->has_tcp || uv_tcp_getsockname(&s->tcp, &ep.sa, &len) < 0)
		return 0;
	return endpoint_port(&ep);
}

static void close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void server_stop(struct server *s)
{
	if (!s || s->stopping)
		return;
	server_conn_flush_all(s); /* last words of streams */
	s->stopping = true;
	if (s->has_tcp)
		close_handle((uv_handle_t *)&s->tcp);
	if (s->has_pipe) {
		close_handle((uv_handle_t *)&s->pipe);
		(void)unlink(s->pipe_path); /* may be another user's folder by now: then it stays */
	}
	if (s->has_plain) {
		close_handle((uv_handle_t *)&s->plain);
		(void)unlink(s->plain_path);
	}
	if (s->sweep.data) {
		close_handle((uv_handle_t *)&s->sweep);
		close_handle((uv_handle_t *)&s->flush);
	}
	for (struct server_conn *c = s->first; c; c = c->next)
		server_conn_close(c);
}

void server_free(struct server *s)
{
	if (!s)
		return;
	SSL_CTX_free(s->tls);
	free(s);
}

/* ---- routes ---- */

int server_route(struct server *s, unsigned origins, const char *method, const char *path,
		 server_handler *handler, void *ctx)
{
	size_t len = strlen(path);
	struct server_route *route;

	if (s->route_count == SERVER_MAX_ROUTES)
		return -ENOSPC;
	route = &s->routes[s->route_count];
	if (path[0] != '/' || len >= sizeof(route->path) ||
	    (method && strlen(method) >= sizeof(route->method)))
		return -EINVAL;
	for (size_t i = 0; i < s->route_count; i++)
		if (strcmp(s->routes[i].path, path) == 0 && (s->routes[i].origins & origins) &&
		    strcmp(s->routes[i].method, method ? method : "") == 0)
			return -EEXIST;
	*route = (struct server_route){.origins = origins,
				       .path_len = len,
				       .handler = handler,
				       .ctx = ctx,
				       .prefix = path[len - 1] == '/'};
	memcpy(route->path, path, len + 1);
	if (method)
		memcpy(route->method, method, strlen(method) + 1);
	s->route_count++;
	return 0;
}

static bool path_matches(const struct server_route *route, const char *path)
{
	return route->prefix && route->path_len > 1
		       ? strncmp(route->path, path, route->path_len) == 0
		       : strcmp(route->path, path) == 0;
}

static const struct server_route *find_route(const struct server *s, const struct server_request *r,
					     bool *ret_path_known)
{
	const struct server_route *best = NULL;
	const char *method = r->head_only ? "GET" : r->head.method;

	*ret_path_known = false;
	for (size_t i = 0; i < s->route_count; i++) {
		const struct server_route *route = &s->routes[i];

		if (!(route->origins & (1u << r->origin)) || !path_matches(route, r->head.path))
			continue;
		*ret_path_known = true;
		if (route->method[0] && strcmp(route->method, method) != 0)
			continue;
		if (!best || route->path_len > best->path_len)
			best = route;
	}
	return best;
}

static void request_free(struct server_request *r)
{
	server_http_head_done(&r->head);
	buffer_done(&r->body);
	free(r);
}

void server_request_orphan(struct server_request *r)
{
	r->conn = NULL;
	if (r->on_close) {
		r->on_close(r->on_close_ctx);
		request_free(r);
	}
}

void server_dispatch(struct server_conn *c)
{
	struct server_request *r = calloc(1, sizeof(*r));
	size_t len = c->head.content_length;
	bool path_known;

	if (!r) {
		server_conn_close(c);
		return;
	}
	r->server = c->server;
	r->conn = c;
	r->origin = c->origin;
	r->source = c->source;
	r->head = c->head;
	c->head = (struct server_http_head){0};
	c->request = r;
	r->head_only = strcmp(r->head.method, "HEAD") == 0;
	snprintf(r->authority, sizeof(r->authority), "%s", r->head.host);
	buffer_init(&r->body, len);
	if ((len && buffer_append(&r->body, c->in.data, len) < 0) || !buffer_cstring(&r->body)) {
		server_conn_close(c);
		if (!c->request)
			request_free(r);
		return;
	}
	buffer_consume(&c->in, len);
	const struct server_route *route = find_route(c->server, r, &path_known);
	if (route)
		route->handler(route->ctx, r);
	else if (path_known)
		server_reply_error(r, 405, "bad_request", "%s is not a method of %s",
				   r->head.method, r->head.path);
	else
		server_reply_error(r, 404, "not_found", "there is nothing at %s", r->head.path);
}

/* ---- what a handler reads ---- */

enum server_origin server_request_origin(const struct server_request *r)
{
	return r->origin;
}

const char *server_request_method(const struct server_request *r)
{
	return r->head.method;
}

const char *server_request_path(const struct server_request *r)
{
	return r->head.path;
}

const char *server_request_query(const struct server_request *r)
{
	return r->head.query;
}

const char *server_request_authority(const struct server_request *r)
{
	return r->authority;
}

const char *server_request_header(const struct server_request *r, const char *name)
{
	for (size_t i = 0; i < r->head.header_count; i++)
		if (strcasecmp(r->head.headers[i].name, name) == 0)
			return r->head.headers[i].value;
	return NULL;
}

const char *server_request_body(const struct server_request *r, size_t *ret_len)
{
	if (ret_len)
		*ret_len = r->body.len;
	return (const char *)r->body.data;
}

void server_request_source(const struct server_request *r, struct endpoint *ret_source)
{
	*ret_source = r->source;
}

void server_request_on_close(struct server_request *r, void (*fn)(void *ctx), void *ctx)
{
	r->on_close = fn;
	r->on_close_ctx = ctx;
}

/* ---- answers ---- */

static bool has_header(const char *const *headers, const char *name)
{
	size_t n = strlen(name);

	for (; headers && *headers; headers++)
		if (strncasecmp(*headers, name, n) == 0 && (*headers)[n] == ':')
			return true;
	return false;
}

static bool header_safe(const char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < 0x20 || *line == 0x7f)
			return false;
	return true;
}

/* Status line and headers into the connection's queue. len < 0: chunked. */
static int put_head(struct server_conn *c, int status, const char *type, const char *const *headers,
		    int64_t len)
{
	struct buffer *out = &c->out;
	int r = buffer_printf(out, "HTTP/1.1 %d %s\r\nX-Content-Type-Options: nosniff\r\n", status,
			      server_http_reason(status));

	if (r == 0 && type)
		r = buffer_printf(out, "Content-Type: %s\r\n", type);
	if (r == 0 && len < 0)
		r = buffer_printf(out, "Transfer-Encoding: chunked\r\nX-Accel-Buffering: no\r\n");
	else if (r == 0 && status != 204)
		r = buffer_printf(out, "Content-Length: %" PRId64 "\r\n", len);
	if (r == 0 && !has_header(headers, "Cache-Control"))
		r = buffer_printf(out, "Cache-Control: no-store\r\n");
	if (r == 0 && type && strncmp(type, "text/html", 9) == 0) {
		if (!has_header(headers, "Content-Security-Policy"))
			r = buffer_append(out, page_headers, sizeof(page_headers) - 1);
		if (r == 0)
			r = buffer_append(out, page_fixed_headers, sizeof(page_fixed_headers) - 1);
	}
	if (r == 0 && c->close_after)
		r = buffer_printf(out, "Connection: close\r\n");
	for (; r == 0 && headers && *headers; headers++)
		if (header_safe(*headers))
			r = buffer_printf(out, "%s\r\n", *headers);
	if (r == 0)
		r = buffer_append(out, "\r\n", 2);
	return r;
}

void server_reply(struct server_request *r, int status, const char *content_type,
		  const char *const *headers, const void *body, size_t len)
{
	struct server_conn *c = r->conn;

	if (!c) {
		request_free(r);
		return;
	}
	bool body_sent = !r->head_only && status != 204 && len;
	int e = put_head(c, status, content_type, headers, (int64_t)len);
	if (e == 0 && body_sent)
		e = buffer_append(&c->out, body, len);
	c->request = NULL;
	request_free(r);
	if (e < 0)
		server_conn_close(c);
	else
		server_conn_answered(c);
}

void server_refuse(struct server_conn *c, int status)
{
	char body[160];
	int n = snprintf(
		body, sizeof(body),
		"{\"error\":{\"code\":\"bad_request\",\"message\":\"the request is refused: "
		"%s\"}}",
		server_http_reason(status));

	c->close_after = true;
	if (n < 0 || put_head(c, status, "application/json", NULL, n) < 0 ||
	    buffer_append(&c->out, body, (size_t)n) < 0)
		server_conn_close(c);
	else
		server_conn_answered(c);
}

void server_reply_json(struct server_request *r, int status, const void *json_body)
{
	size_t len = 0;
	char *text = json_canonical(json_body, &len);

	if (!text) {
		server_reply(r, 500, NULL, NULL, NULL, 0);
		return;
	}
	server_reply(r, status, "application/json", NULL, text, len);
	free(text);
}

void server_reply_error(struct server_request *r, int status, const char *code, const char *fmt,
			...)
{
	char message[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	json_t *text = json_string(message);
	if (!text) /* cut in the middle of a character, or never text */
		text = json_string("the request was refused");
	json_t *body = json_pack("{s:{s:s,s:o}}", "error", "code", code, "message", text);
	server_reply_json(r, status, body);
	json_decref(body);
}

void server_redirect(struct server_request *r, const char *location, const char *const *headers)
{
	char line[4096];
	const char *all[16];
	size_t n = 0;
	int len = snprintf(line, sizeof(line), "Location: %s", location);

	if (len < 0 || (size_t)len >= sizeof(line) || !header_safe(line)) {
		server_reply_error(r, 500, "bad_request", "the address to go on to is unusable");
		return;
	}
	all[n++] = line;
	for (; headers && *headers && n < 15; headers++)
		all[n++] = *headers;
	all[n] = NULL;
	server_reply(r, 303, NULL, all, NULL, 0);
}

/* ---- streams ---- */

/* Never from within a write: a connection that breaks there would pull its stream away under the
 * caller. */
static void flush_later(struct server_conn *c)
{
	c->unflushed = true;
	c->server->unflushed = true;
}

int server_stream_begin(struct server_request *r, const char *content_type)
{
	struct server_conn *c = r->conn;

	if (!c)
		return -EPIPE;
	c->close_after = true; /* a stream ends with its connection */
	int e = put_head(c, 200, content_type, NULL, -1);
	if (e < 0)
		return e;
	r->streaming = true;
	flush_later(c);
	return 0;
}

int server_stream_write(struct server_request *r, const void *data, size_t len)
{
	struct server_conn *c = r->conn;
	int e;

	if (!c)
		return -EPIPE;
	if (len == 0)
		return 0;
	if (server_conn_queued(c) + len > SERVER_MAX_QUEUE && server_conn_queued(c) > 0)
		return -EAGAIN;
	e = buffer_printf(&c->out, "%zx\r\n", len);
	if (e == 0)
		e = buffer_append(&c->out, data, len);
	if (e == 0)
		e = buffer_append(&c->out, "\r\n", 2);
	flush_later(c);
	return e;
}

size_t server_stream_queued(const struct server_request *r)
{
	return r->conn ? server_conn_queued(r->conn) : 0;
}

void server_stream_on_drain(struct server_request *r, void (*fn)(void *ctx), void *ctx)
{
	r->on_drain = fn;
	r->on_drain_ctx = ctx;
}

void server_stream_end(struct server_request *r)
{
	struct server_conn *c = r->conn;

	if (c) {
		int e = buffer_append(&c->out, "0\r\n\r\n", 5);

		c->request = NULL;
		request_free(r);
		if (e < 0)
			server_conn_close(c);
		else
			server_conn_answered(c);
		return;
	}
	request_free(r);
}
