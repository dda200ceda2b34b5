/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP server of warren-control, HTTP/1.1 on libuv with TLS by OpenSSL: routes to handlers,
 * whole requests in, whole or streamed answers out, answers may come later. All on the loop's
 * thread.
 */
#ifndef WARREN_CONTROL_SERVER_H
#define WARREN_CONTROL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "platform/addr.h"
#include "platform/error.h"

struct server;
struct server_request;

enum server_origin {
	SERVER_PUBLIC, /* TLS port (or public_socket) */
	SERVER_ADMIN,  /* admin Unix socket: root or the server's own uid, checked at accept */
};

struct server_config {
	uv_loop_t *loop;
	const char *listen;			 /* "0.0.0.0:8443", "[::]:8443" */
	const char *tls_cert_pem, *tls_key_file; /* file paths */
	const char *admin_socket;
	const char
		*public_socket; /* the public routes as plain HTTP on a Unix socket (0600); NULL */
	size_t max_body;	/* 0: 1 MiB; on the admin socket 8 MiB */
	unsigned max_connections; /* 0: 10,000 */
};

/* handler owns the request until it calls server_reply or server_stream_end. */
typedef void server_handler(void *ctx, struct server_request *r);

int server_new(const struct server_config *config, struct server **ret_server,
	       struct error *err) WARREN_MUST_USE;
/* Longest prefix wins; method NULL: any; path ending in "/" matches all below it. origins: bit mask
 * of 1 << enum server_origin. Routes nobody added answer 404, another method 405. */
int server_route(struct server *s, unsigned origins, const char *method, const char *path,
		 server_handler *handler, void *ctx) WARREN_MUST_USE;
/* server_new has bound the listeners (so privileges may be dropped after it); this accepts. */
int server_start(struct server *s, struct error *err) WARREN_MUST_USE;
/* The port that was bound (for listen "…:0"). */
uint16_t server_port(const struct server *s);
/* Closes listeners and connections; free after the loop has run out. */
void server_stop(struct server *s);
void server_free(struct server *s);

enum server_origin server_request_origin(const struct server_request *r);
const char *server_request_method(const struct server_request *r);
const char *server_request_path(const struct server_request *r);      /* undecoded, without query */
const char *server_request_query(const struct server_request *r);     /* without "?"; "" */
const char *server_request_authority(const struct server_request *r); /* Host, lower-case */
const char *server_request_header(const struct server_request *r, const char *name); /* or NULL */
const char *server_request_body(const struct server_request *r,
				size_t *ret_len); /* NUL-terminated */
void server_request_source(const struct server_request *r, struct endpoint *ret_source);
/* Percent-decoded value of a query or x-www-form-urlencoded parameter; -ENOENT, -EMSGSIZE, -EINVAL.
 */
int server_form_value(const char *form, const char *name, char *out, size_t cap) WARREN_MUST_USE;
/* Value of a cookie. */
int server_request_cookie(const struct server_request *r, const char *name, char *out,
			  size_t cap) WARREN_MUST_USE;
/* Told once when the client goes away before the answer was complete; the request is invalid after.
 * Without it the request stays valid until it is answered (into the void). */
void server_request_on_close(struct server_request *r, void (*fn)(void *ctx), void *ctx);

/* Answers; headers: "Name: value" lines, NULL-terminated (NULL: none). Copies all. The server adds
 * Content-Length, Cache-Control: no-store unless given, and the security headers of pages
 * (Content-Security-Policy unless given: a form that ends in a redirect to another origin needs its
 * own form-action). */
void server_reply(struct server_request *r, int status, const char *content_type,
		  const char *const *headers, const void *body, size_t len);
void server_reply_json(struct server_request *r, int status,
		       const void *json_body); /* json_t *, borrowed */
/* {"error":{"code","message"}} */
void server_reply_error(struct server_request *r, int status, const char *code, const char *fmt,
			...) WARREN_PRINTF(4, 5);
void server_redirect(struct server_request *r, const char *location, const char *const *headers);

/* Streaming: headers at once, then pieces. Queued bytes per stream are bounded: server_stream_write
 * returns -EAGAIN when more than 1 MiB waits (then nothing was queued). */
int server_stream_begin(struct server_request *r, const char *content_type) WARREN_MUST_USE;
int server_stream_write(struct server_request *r, const void *data, size_t len) WARREN_MUST_USE;
size_t server_stream_queued(const struct server_request *r);
/* Told each time everything queued has left the process (a slow reader caught up). */
void server_stream_on_drain(struct server_request *r, void (*fn)(void *ctx), void *ctx);
void server_stream_end(struct server_request *r);

#endif
