/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the browser's request to the loopback redirect. Takes GET /callback with a Host that is the
 * listener itself (a page elsewhere whose name resolves to 127.0.0.1 is not), each parameter once,
 * properly escaped. Everything else is somebody else's request or none.
 */
#include "identity/oidc_redirect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "platform/encode.h"
#include "platform/secret.h"

#define PATH "/callback"

/* Percent-decodes text[len]; + is a space. Control characters and NUL are refused. */
static int decode(const char *text, size_t len, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];
		size_t got = 0;

		if (n + 1 >= cap)
			return -EBADMSG;
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			if (len - i < 3 || encode_hex_decode(&c, 1, text + i + 1, 2, &got) < 0)
				return -EBADMSG;
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return -EBADMSG;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

static int take_parameter(const char *text, size_t len, struct oidc_redirect *r, unsigned *seen)
{
	const struct {
		const char *name;
		char *out;
		size_t cap;
	} known[] = {
		{"code", r->code, sizeof(r->code)},
		{"state", r->state, sizeof(r->state)},
		{"error", r->error, sizeof(r->error)},
		{"error_description", r->description, sizeof(r->description)},
		{"iss", r->issuer, sizeof(r->issuer)},
	};
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i].name) != name_len || memcmp(text, known[i].name, name_len) != 0)
			continue;
		if (!equals || *seen & 1u << i)
			return -EBADMSG;
		*seen |= 1u << i;
		return decode(equals + 1, len - name_len - 1, known[i].out, known[i].cap);
	}
	return 0; /* session_state and others */
}

static int read_query(const char *query, size_t len, struct oidc_redirect *r)
{
	unsigned seen = 0;
	int rc = 0;

	while (len > 0 && rc == 0) {
		const char *end = memchr(query, '&', len);
		size_t item = end ? (size_t)(end - query) : len;

		rc = take_parameter(query, item, r, &seen);
		item += end ? 1 : 0;
		query += item;
		len -= item;
	}
	return rc;
}

/* "METHOD TARGET HTTP/1.x"; *ret_ours: GET of our path. */
static int read_request_line(const char *line, size_t len, struct oidc_redirect *r, bool *ret_ours)
{
	const char *target = memchr(line, ' ', len), *version, *query;
	size_t target_len, path_len;

	if (!target || target == line)
		return -EBADMSG;
	target++;
	version = memchr(target, ' ', len - (size_t)(target - line));
	if (!version || line + len - version != 9 || memcmp(version, " HTTP/1.", 8) != 0)
		return -EBADMSG;
	target_len = (size_t)(version - target);
	query = memchr(target, '?', target_len);
	path_len = query ? (size_t)(query - target) : target_len;
	*ret_ours = target - line == 4 && memcmp(line, "GET", 3) == 0 && path_len == strlen(PATH) &&
		    memcmp(target, PATH, path_len) == 0;
	if (!*ret_ours || !query)
		return 0;
	return read_query(query + 1, target_len - path_len - 1, r);
}

/* Exactly one Host, and it is 127.0.0.1:port. */
static bool host_is_ours(const char *head, size_t len, uint16_t port)
{
	unsigned hosts = 0, ours = 0;
	char want[32];
	int want_len = snprintf(want, sizeof(want), "127.0.0.1:%u", port);

	while (len > 0) {
		const char *end = memmem(head, len, "\r\n", 2);
		size_t line = end ? (size_t)(end - head) : len;

		if (line >= 5 && strncasecmp(head, "Host:", 5) == 0) {
			const char *value = head + 5;
			size_t value_len = line - 5;

			while (value_len > 0 && *value == ' ') {
				value++;
				value_len--;
			}
			hosts++;
			ours += want_len > 0 && value_len == (size_t)want_len &&
				memcmp(value, want, value_len) == 0;
		}
		line += end ? 2 : 0;
		head += line;
		len -= line;
	}
	return hosts == 1 && ours == 1;
}

int oidc_redirect_parse(const char *data, size_t len, uint16_t port, struct oidc_redirect *ret)
{
	const char *end = memmem(data, len, "\r\n\r\n", 4), *line_end;
	struct oidc_redirect *r;
	bool ours = false;
	int rc;

	if (memchr(data, 0, end ? (size_t)(end - data) : len))
		return -EBADMSG;
	if (!end)
		return -EAGAIN;
	line_end = memmem(data, len, "\r\n", 2); /* there is one: end begins with it */
	r = calloc(1, sizeof(*r));
	if (!r || !line_end) {
		free(r);
		return -ENOMEM;
	}
	rc = read_request_line(data, (size_t)(line_end - data), r, &ours);
	if (rc == 0) {
		r->for_us = ours &&
			    host_is_ours(line_end + 2, (size_t)(end + 2 - (line_end + 2)), port);
		*ret = *r;
	}
	secret_wipe(r, sizeof(*r));
	free(r);
	return rc;
}
