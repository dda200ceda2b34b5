/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections of the HTTP server: bytes in through TLS to whole requests, answers out, one uv_write
 * in flight, and a deadline for every state. Owns buffers and their limits: what a client sends
 * beyond one request in hand is at most SERVER_HTTP_MAX_HEAD bytes plus a body.
 */
#include "control/server_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/unixsock.h"

#define HEAD_MS	 10000 /* TLS handshake and head */
#define BODY_MS	 30000
#define IDLE_MS	 75000 /* between requests */
#define STALL_MS 60000 /* an answer that makes no progress */
#define DRAIN_MS 2000

static void process(struct server_conn *c);

static void set_deadline(struct server_conn *c, uint64_t in_ms)
{
	c->deadline_ms = in_ms ? uv_now(c->server->loop) + in_ms : 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct server_conn *c = handle->data;
	struct server *s = c->server;

	if (c->prev)
		c->prev->next = c->next;
	else
		s->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->connections--;
	SSL_free(c->tls);
	buffer_done(&c->in);
	buffer_done(&c->out);
	free(c->writing);
	server_http_head_done(&c->head);
	free(c);
}

void server_conn_close(struct server_conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	if (c->request) {
		struct server_request *r = c->request;

		c->request = NULL;
		server_request_orphan(r);
	}
	if (!uv_is_closing(&c->handle))
		uv_close(&c->handle, on_closed);
}

size_t server_conn_queued(const struct server_conn *c)
{
	return c->out.len + c->writing_len + (c->tls ? BIO_ctrl_pending(c->tls_out) : 0);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
	struct server_conn *c = request->handle->data;

	(void)status;
	if (c->state == CONN_DRAIN)
		set_deadline(c, DRAIN_MS);
}

static void on_written(uv_write_t *request, int status)
{
	struct server_conn *c = request->handle->data;

	free(c->writing);
	c->writing = NULL;
	c->writing_len = 0;
	if (status < 0 || c->state == CONN_CLOSED) {
		server_conn_close(c);
		return;
	}
	server_conn_flush(c);
}

/* Everything has left: end the connection, or tell the stream. */
static void drained(struct server_conn *c)
{
	struct server_request *r = c->request;

	if (c->state == CONN_DRAIN && !c->shut) {
		c->shut = true;
		if (c->tls) {
			(void)SSL_shutdown(c->tls);
			server_conn_flush(c); /* the alert */
		}
		set_deadline(c, DRAIN_MS);
		if (c->state != CONN_CLOSED &&
		    uv_shutdown(&c->shutdown, &c->stream, on_shutdown) < 0)
			server_conn_close(c);
	} else if (r && r->streaming) {
		c->deadline_ms = 0;
		if (r->on_drain)
			r->on_drain(r->on_drain_ctx);
	}
}

/* Takes the next piece of wire bytes: plain on the Unix socket, TLS records else. */
static int next_piece(struct server_conn *c, char **ret_piece, size_t *ret_len)
{
	size_t len;

	if (c->tls) {
		if (server_tls_write(c) < 0)
			return -EPROTO;
		len = BIO_ctrl_pending(c->tls_out);
	} else {
		len = c->out.len < SERVER_CHUNK ? c->out.len : SERVER_CHUNK;
	}
	*ret_len = len;
	*ret_piece = NULL;
	if (!len)
		return 0;
	char *piece = malloc(len);
	if (!piece)
		return -ENOMEM;
	if (c->tls) {
		if (BIO_read(c->tls_out, piece, (int)len) != (int)len) {
			free(piece);
			return -EPROTO;
		}
	} else {
		memcpy(piece, c->out.data, len);
		buffer_consume(&c->out, len);
	}
	*ret_piece = piece;
	return 0;
}

void server_conn_flush(struct server_conn *c)
{
	while (c->state != CONN_CLOSED && !c->writing) {
		char *piece;
		size_t len;

		if (next_piece(c, &piece, &len) < 0) {
			server_conn_close(c);
			return;
		}
		if (!len) {
			if (c->out.len == 0)
				drained(c);
			return;
		}
		uv_buf_t whole = uv_buf_init(piece, (unsigned)len);
		int n = uv_try_write(&c->stream, &whole, 1);
		if (n == (int)len) {
			free(piece);
			continue;
		}
		if (n < 0 && n != UV_EAGAIN) {
			free(piece);
			server_conn_close(c);
			return;
		}
		size_t done = n > 0 ? (size_t)n : 0;
		uv_buf_t rest = uv_buf_init(piece + done, (unsigned)(len - done));
		c->writing = piece;
		c->writing_len = len - done;
		set_deadline(c, STALL_MS);
		if (uv_write(&c->write, &c->stream, &rest, 1, on_written) < 0)
			server_conn_close(c);
	}
}

void server_conn_answered(struct server_conn *c)
{
	c->request = NULL;
	if (c->state == CONN_CLOSED)
		return;
	if (c->close_after || c->server->stopping) {
		c->state = CONN_DRAIN;
		set_deadline(c, STALL_MS);
		server_conn_flush(c);
		return;
	}
	c->state = CONN_HEAD;
	set_deadline(c, IDLE_MS);
	server_conn_flush(c);
	/* Who answers late is in the middle of something: the next request of this client, which may
	 * take away what it works with, waits for the loop. */
	if (c->state == CONN_HEAD && !c->processing)
		c->unprocessed = c->server->unprocessed = true;
}

/* Head and body of the next request out of c->in; false: more bytes are needed, or the end. */
static bool next_request(struct server_conn *c)
{
	if (c->state == CONN_HEAD) {
		int n = server_http_parse((const char *)c->in.data, c->in.len, &c->head);

		if (n < 0)
			server_refuse(c, -n);
		if (n <= 0)
			return false;
		buffer_consume(&c->in, (size_t)n);
		size_t max = c->origin == SERVER_ADMIN ? 8u << 20 : c->server->max_body;
		if (c->head.content_length > max) {
			server_refuse(c, 413);
			return false;
		}
		c->in.max = c->head.content_length + 2 * SERVER_HTTP_MAX_HEAD + SERVER_CHUNK;
		c->state = CONN_BODY;
		set_deadline(c, BODY_MS);
		if (c->head.expect_continue && c->in.len < c->head.content_length) {
			static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

			if (buffer_append(&c->out, go_on, sizeof(go_on) - 1) < 0) {
				server_conn_close(c);
				return false;
			}
			server_conn_flush(c);
		}
	}
	return c->state == CONN_BODY && c->in.len >= c->head.content_length;
}

static void process(struct server_conn *c)
{
	c->processing = true;
	while ((c->state == CONN_HEAD || c->state == CONN_BODY) && next_request(c)) {
		c->state = CONN_BUSY;
		c->deadline_ms = 0;
		c->close_after = !c->head.keep_alive;
		server_dispatch(c);
	}
	c->processing = false;
	if (c->state == CONN_HEAD && c->in.len && c->deadline_ms)
		set_deadline(c, HEAD_MS);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(malloc(16384), 16384);
	if (!buf->base)
		buf->len = 0;
}

static int take_bytes(struct server_conn *c, const char *data, size_t len)
{
	if (c->tls) {
		int r = server_tls_read(c, data, len, &c->in);

		if (BIO_ctrl_pending(c->tls_out))
			server_conn_flush(c); /* handshake, alerts */
		return r;
	}
	return c->state == CONN_DRAIN ? 0 : buffer_append(&c->in, data, len);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct server_conn *c = stream->data;
	int r = 0;

	if (n > 0 && c->state != CONN_CLOSED)
		r = take_bytes(c, buf->base, (size_t)n);
	free(buf->base);
	if (n < 0 || r < 0) {
		server_conn_close(c); /* also half-closed ones: nobody needs those */
		return;
	}
	if (c->state == CONN_HEAD || c->state == CONN_BODY)
		process(c);
}

static bool admin_allowed(uv_pipe_t *pipe)
{
	struct unixsock_cred cred;
	uv_os_fd_t fd;

	return uv_fileno((uv_handle_t *)pipe, &fd) == 0 && unixsock_peer_cred(fd, &cred) == 0 &&
	       (cred.uid == 0 || cred.uid == geteuid());
}

static int start_tls(struct server_conn *c)
{
	struct sockaddr_storage name;
	int len = sizeof(name);

	uv_tcp_nodelay(&c->tcp, 1);
	uv_tcp_keepalive(&c->tcp, 1, 60);
	if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&name, &len) < 0)
		return -ENOTCONN;
	endpoint_from_sockaddr((struct sockaddr *)&name, (socklen_t)len, &c->source);
	c->tls = SSL_new(c->server->tls);
	c->tls_in = BIO_new(BIO_s_mem());
	c->tls_out = BIO_new(BIO_s_mem());
	if (!c->tls || !c->tls_in || !c->tls_out) {
		BIO_free(c->tls_in);
		BIO_free(c->tls_out);
		return -ENOMEM;
	}
	BIO_set_mem_eof_return(c->tls_in, -1);
	BIO_set_mem_eof_return(c->tls_out, -1);
	SSL_set_bio(c->tls, c->tls_in, c->tls_out);
	SSL_set_accept_state(c->tls);
	return 0;
}

int server_conn_accept(struct server *s, uv_stream_t *listener, enum server_origin origin)
{
	struct server_conn *c = calloc(1, sizeof(*c));
	bool local = listener->type == UV_NAMED_PIPE;
	int r;

	if (!c)
		return -ENOMEM;
	c->server = s;
	c->origin = origin;
	buffer_init(&c->in, 2 * SERVER_HTTP_MAX_HEAD + SERVER_CHUNK);
	buffer_init(&c->out, SERVER_MAX_ANSWER);
	r = local ? uv_pipe_init(s->loop, &c->pipe, 0) : uv_tcp_init(s->loop, &c->tcp);
	if (r < 0) {
		free(c);
		return r;
	}
	c->handle.data = c;
	c->next = s->first;
	if (c->next)
		c->next->prev = c;
	s->first = c;
	s->connections++;
	r = uv_accept(listener, &c->stream);
	if (r == 0 && s->connections > s->max_connections) {
		s->refused++;
		r = -EMFILE;
	}
	if (r == 0 && origin == SERVER_ADMIN && !admin_allowed(&c->pipe))
		r = -EACCES;
	if (r == 0 && !local)
		r = start_tls(c);
	if (r == 0)
		r = uv_read_start(&c->stream, on_alloc, on_read);
	if (r < 0)
		server_conn_close(c);
	else
		set_deadline(c, HEAD_MS);
	return r;
}

void server_conn_sweep(struct server *s)
{
	uint64_t now = uv_now(s->loop);

	for (struct server_conn *c = s->first, *next; c; c = next) {
		next = c->next;
		if (c->state != CONN_CLOSED && c->deadline_ms && now >= c->deadline_ms)
			server_conn_close(c);
	}
}

void server_conn_process_all(struct server *s)
{
	if (!s->unprocessed)
		return;
	s->unprocessed = false;
	for (struct server_conn *c = s->first, *next; c; c = next) {
		next = c->next;
		if (!c->unprocessed)
			continue;
		c->unprocessed = false;
		if (c->state == CONN_HEAD)
			process(c);
	}
}

void server_conn_flush_all(struct server *s)
{
	/* A drained stream may write again at once; what that leaves is taken in the next round. */
	for (int round = 0; s->unflushed && round < 8; round++) {
		s->unflushed = false;
		for (struct server_conn *c = s->first, *next; c; c = next) {
			next = c->next;
			if (c->unflushed) {
				c->unflushed = false;
				server_conn_flush(c);
			}
		}
	}
}
