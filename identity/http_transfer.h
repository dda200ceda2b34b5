/* SPDX-License-Identifier: Apache-2.0
 *
 * One transfer of http.c: its options on a curl handle, what comes back, its errors as sentences.
 * Only identity/http*.c include this.
 */
#ifndef WARREN_IDENTITY_HTTP_TRANSFER_H
#define WARREN_IDENTITY_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "identity/http.h"
#include "platform/buffer.h"

struct http_request {
	struct http *http;
	struct http_request *next;
	CURL *easy;
	struct curl_slist *headers;
	bool in_multi;
	bool ended; /* on_done was called; freed when curl lets go */

	char *target; /* "https://host:port", for sentences */
	char *pins;   /* trust.pinned_spki */
	char *body;   /* wiped */
	size_t body_len;
	bool https, loopback_only, proxy_allowed, streaming;
	uint64_t first_byte_ms, idle_ms; /* streaming: time-outs */
	uint64_t deadline_ms;		 /* streaming: on uv_now, 0 for none */
	int (*on_data)(void *ctx, const char *data, size_t len);
	void (*on_done)(void *ctx, const struct http_response *response);
	void (*on_spki)(void *ctx, const uint8_t sha256[32]);
	void *ctx;

	struct buffer answer;
	int stop_error; /* why a callback of ours ended the transfer */
	char detail[CURL_ERROR_SIZE];
	struct http_response response;
};

/* Builds the request with its curl handle; -EINVAL for what is not allowed (plain http elsewhere…).
 */
int http_transfer_new(const struct http_options *options, const char *user_agent,
		      struct http_request **ret_request, struct error *err) WARREN_MUST_USE;
void http_transfer_free(struct http_request *r);
/* Fills r->response from curl's result. */
void http_transfer_result(struct http_request *r, CURLcode code);
void http_transfer_fail(struct http_request *r, int error, const char *what);
/* In http.c: a byte came, or a callback begins and ends. */
void http_touch(struct http_request *r);

#endif
