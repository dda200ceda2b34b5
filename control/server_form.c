/* SPDX-License-Identifier: Apache-2.0
 *
 * Values out of queries, forms and cookies: percent-decoding with bounds. A parameter that comes
 * twice, a bad escape or a NUL is refused.
 */
#include <errno.h>
#include <string.h>

#include "control/server.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes text[len] into out[cap]. */
static int decode(const char *text, size_t len, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			if (len - i < 3 || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0)
				return -EINVAL;
			c = (char)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
			i += 2;
		}
		if (c == 0)
			return -EINVAL;
		if (n + 1 >= cap)
			return -EMSGSIZE;
		out[n++] = c;
	}
	out[n] = 0;
	return 0;
}

int server_form_value(const char *form, const char *name, char *out, size_t cap)
{
	size_t name_len = strlen(name), found_len = 0;
	const char *found = NULL;

	if (cap == 0)
		return -EMSGSIZE;
	while (*form) {
		size_t len = strcspn(form, "&");
		const char *equals = memchr(form, '=', len);
		char key[128];
		size_t key_len = equals ? (size_t)(equals - form) : len;

		if (decode(form, key_len, key, sizeof(key)) == 0 && strlen(key) == name_len &&
		    memcmp(key, name, name_len) == 0) {
			if (found)
				return -EINVAL;
			found = equals ? equals + 1 : form + len;
			found_len = (size_t)(form + len - found);
		}
		form += len;
		if (*form == '&')
			form++;
	}
	return found ? decode(found, found_len, out, cap) : -ENOENT;
}

int server_request_cookie(const struct server_request *r, const char *name, char *out, size_t cap)
{
	const char *at = server_request_header(r, "cookie");
	size_t name_len = strlen(name);

	while (at && *at) {
		size_t len = strcspn(at, ";");

		if (len > name_len && at[name_len] == '=' && strncmp(at, name, name_len) == 0) {
			size_t value_len = len - name_len - 1;

			if (value_len >= cap)
				return -EMSGSIZE;
			memcpy(out, at + name_len + 1, value_len);
			out[value_len] = 0;
			return 0;
		}
		at += len;
		while (*at == ';' || *at == ' ')
			at++;
	}
	return -ENOENT;
}
