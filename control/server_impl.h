/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the HTTP server share: server.c (routes, requests, answers), server_conn.c
 * (connections: bytes in and out, deadlines) and server_tls.c. Private to them.
 */
#ifndef WARREN_CONTROL_SERVER_IMPL_H
#define WARREN_CONTROL_SERVER_IMPL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <uv.h>

#include "control/server.h"
#include "control/server_http.h"
#include "platform/buffer.h"

#define SERVER_MAX_ROUTES 128
#define SERVER_MAX_QUEUE  (1u << 20)  /* of a stream */
#define SERVER_MAX_ANSWER (32u << 20) /* of a whole answer */
#define SERVER_CHUNK	  65536

struct server_route {
	unsigned origins;
	char method[8]; /* "": any */
	char path[128];
	size_t path_len;
	bool prefix;
	server_handler *handler;
	void *ctx;
};

struct server {
	uv_loop_t *loop;
	struct server_route routes[SERVER_MAX_ROUTES];
	size_t route_count;
	SSL_CTX *tls;
	uv_tcp_t tcp;
	uv_pipe_t pipe, plain;
	uv_timer_t sweep;
	uv_prepare_t flush; /* before the loop sleeps: streams that were written to */
	bool has_tcp, has_pipe, has_plain, stopping, unflushed, unprocessed;
	char pipe_path[108], plain_path[108], tcp_name[128];
	size_t max_body;
	unsigned max_connections, connections;
	uint64_t refused; /* over the limit */
	struct server_conn *first;
};

enum conn_state {
	CONN_HEAD,  /* between requests or reading one */
	CONN_BODY,  /* head is there, body is not */
	CONN_BUSY,  /* a request is with its handler */
	CONN_DRAIN, /* last answer is written; input is thrown away until the client closes */
	CONN_CLOSED,
};

struct server_conn {
	struct server *server;
	struct server_conn *next, *prev;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	};
	uv_write_t write;
	uv_shutdown_t shutdown;
	enum server_origin origin;
	enum conn_state state;
	struct endpoint source;
	SSL *tls;	       /* NULL on the Unix socket */
	BIO *tls_in, *tls_out; /* owned by tls */
	struct buffer in;      /* plain text not yet taken */
	struct buffer out;     /* plain text not yet given to the kernel or TLS */
	char *writing;	       /* bytes of the uv_write in flight */
	size_t writing_len;
	struct server_http_head head;
	struct server_request *request;
	uint64_t deadline_ms; /* of the loop's clock; 0: none */
	bool close_after, processing, shut, unflushed;
	bool unprocessed; /* the next request may be here already */
};

struct server_request {
	struct server *server;
	struct server_conn *conn; /* NULL: the client went away */
	struct server_http_head head;
	struct buffer body;
	char authority[256];
	enum server_origin origin;
	struct endpoint source;
	void (*on_close)(void *ctx);
	void *on_close_ctx;
	void (*on_drain)(void *ctx);
	void *on_drain_ctx;
	bool streaming, head_only;
};

/* server_tls.c */
int server_tls_new(const char *cert_file, const char *key_file, SSL_CTX **ret_ctx,
		   struct error *err) WARREN_MUST_USE;
/* Feeds wire bytes in, appends plain text to out. 0; -EPIPE at close_notify; -EPROTO. */
int server_tls_read(struct server_conn *c, const void *wire, size_t len,
		    struct buffer *out) WARREN_MUST_USE;
/* Moves plain text from c->out into TLS, at most a chunk; wire bytes are then in tls_out. */
int server_tls_write(struct server_conn *c) WARREN_MUST_USE;

/* server_conn.c */
int server_conn_accept(struct server *s, uv_stream_t *listener, enum server_origin origin);
void server_conn_close(struct server_conn *c);
/* Sends what is queued as far as the kernel takes it. */
void server_conn_flush(struct server_conn *c);
size_t server_conn_queued(const struct server_conn *c);
/* The request of this connection has its whole answer queued. */
void server_conn_answered(struct server_conn *c);
void server_conn_sweep(struct server *s);
/* Sends what streams have queued since the last call. */
void server_conn_flush_all(struct server *s);
/* Takes requests that came behind one that was answered late. */
void server_conn_process_all(struct server *s);

/* server.c: takes over head; body is moved. */
void server_dispatch(struct server_conn *c);
/* Answers with a status before a request exists, and closes. */
void server_refuse(struct server_conn *c, int status);
void server_request_orphan(struct server_request *r);

#endif
