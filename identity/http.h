/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP client: curl multi on a libuv loop, HTTP/1.1, TLS verified or pinned, everything bounded.
 * One http per loop; all calls and callbacks on the loop's thread.
 */
#ifndef WARREN_IDENTITY_HTTP_H
#define WARREN_IDENTITY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "platform/error.h"

struct http;
struct http_request;

/* Also ignores SIGPIPE where nobody handles it. */
int http_new(uv_loop_t *loop, const char *user_agent, struct http **ret_http) WARREN_MUST_USE;
/* Cancels what runs (their done callbacks are called with -ECANCELED), then frees; the loop must
 * run on until its handles have closed. May be called from any callback. */
void http_free(struct http *h);

/* Connections that are open may be dead (an address of this machine is gone): later requests make
 * their own, until curl's pool has forgotten all of them. */
void http_distrust_connections(struct http *h);

uv_loop_t *http_loop(const struct http *h);

/* How to trust the server's TLS. All NULL: the system's CAs. */
struct http_trust {
	const char *ca_file;	 /* PEM file instead of the system's */
	const char *pinned_spki; /* "sha256//BASE64;sha256//BASE64": these keys and no CA check */
	bool insecure_once;	 /* no check at all: only to fetch the signed SPKI set that is then
				  * verified against the pinned signing key; send no secret on it */
	void (*on_spki)(void *ctx,
			const uint8_t sha256[32]); /* told the leaf's SPKI hash; may be NULL */
};

struct http_response {
	int error; /* 0, or -ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, -EPROTO (TLS), -ECANCELED… */
	char error_text[256]; /* when error: a sentence */
	long status;
	const char *body; /* NUL-terminated; NULL for what was streamed */
	size_t body_len;
	char content_type[128];
	char location[2048];
	long max_age_s; /* Cache-Control; 0: not to be kept; -1: nothing said */
};

struct http_options {
	const char *method;	    /* "GET", … */
	const char *url;	    /* https://…; http:// only to loopback, or unix_socket set */
	const char *unix_socket;    /* NULL */
	const char *const *headers; /* "Name: value", NULL-terminated, copied; NULL */
	const void *body;	    /* copied */
	size_t body_len;
	size_t max_body;     /* of the response; 0: 1 MiB */
	unsigned timeout_ms; /* whole request; 0: 15 s; streaming: connect and first byte only */
	unsigned idle_timeout_ms; /* streaming: no byte for this long ends it; 0: 90 s */
	struct http_trust trust;
	bool follow_redirects; /* at most 5, GET only, same scheme */
	/* Streaming: called with pieces of the body of a 2xx response; return non-zero to stop. */
	int (*on_data)(void *ctx, const char *data, size_t len);
	void (*on_done)(void *ctx, const struct http_response *response); /* exactly once */
	void *ctx;
};
int http_start(struct http *h, const struct http_options *options,
	       struct http_request **ret_request, struct error *err) WARREN_MUST_USE;
/* on_done is called with -ECANCELED before it returns. */
void http_cancel(struct http_request *r);

#endif
