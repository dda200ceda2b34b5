/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of an HTTP/1.1 request (RFC 9112), read strictly from a buffer. Sans-I/O.
 */
#ifndef WARREN_CONTROL_SERVER_HTTP_H
#define WARREN_CONTROL_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/error.h"

#define SERVER_HTTP_MAX_HEAD	16384
#define SERVER_HTTP_MAX_HEADERS 64

struct server_http_header {
	const char *name;  /* lower-case */
	const char *value; /* without surrounding white space */
};

/* Strings point into text, a copy of the head that is cut up in place. */
struct server_http_head {
	char *text;
	size_t text_len;
	const char *method, *path, *query;
	const char *host; /* lower-case */
	struct server_http_header headers[SERVER_HTTP_MAX_HEADERS];
	size_t header_count;
	size_t content_length;
	bool keep_alive, expect_continue;
};

/* Reads one head from data[len]. Returns the bytes it took; 0 when more are needed; or minus the
 * HTTP status to refuse it with (400, 411, 414, 431, 501, 505). Free the head after success. */
int server_http_parse(const char *data, size_t len,
		      struct server_http_head *ret_head) WARREN_MUST_USE;
void server_http_head_done(struct server_http_head *head);
/* name is lower-case; NULL when absent. */
const char *server_http_header(const struct server_http_head *head, const char *name);
const char *server_http_reason(int status);

#endif
