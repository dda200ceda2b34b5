/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict reading of a request head (RFC 9112 sections 2 to 6). Owns the request line, the header
 * fields and the length of the body; refuses folded lines, bare CR, repeated Host, Content-Length
 * or signature fields, Transfer-Encoding, HTTP/1.0, and target forms other than origin-form. The
 * target is kept byte for byte, because request signatures cover it.
 */
#include "control/server_http.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"

static bool token_char(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!token_char((unsigned char)*s))
			return false;
	return true;
}

static void lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
}

/* "METHOD /path?query HTTP/1.1" */
static int parse_request_line(char *line, struct server_http_head *head)
{
	char *target = strchr(line, ' ');
	char *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version)
		return -400;
	*target++ = 0;
	*version++ = 0;
	if (strcmp(version, "HTTP/1.1") != 0)
		return strncmp(version, "HTTP/", 5) == 0 ? -505 : -400;
	if (!token(line) || strlen(line) > 16 || *target != '/')
		return -400;
	for (const char *c = target; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || *c == '#')
			return -400;
	if (strlen(target) > 8192)
		return -414;
	char *query = strchr(target, '?');
	if (query)
		*query++ = 0;
	head->method = line;
	head->path = target;
	head->query = query ? query : "";
	return 0;
}

static int parse_header(char *line, struct server_http_head *head)
{
	char *colon = strchr(line, ':');

	if (!colon || head->header_count == SERVER_HTTP_MAX_HEADERS)
		return colon ? -431 : -400;
	*colon = 0;
	if (!token(line)) /* also refuses folded lines and space before the colon */
		return -400;
	lower(line);
	char *value = colon + 1, *end = value + strlen(value);
	while (*value == ' ' || *value == '\t')
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = 0;
	for (const char *c = value; *c; c++)
		if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
			return -400;
	head->headers[head->header_count++] = (struct server_http_header){line, value};
	return 0;
}

/* Fields that must not come twice: which one of two would count is a question nobody may ask. */
static bool has_twice(const struct server_http_head *head, const char *name)
{
	unsigned seen = 0;

	for (size_t i = 0; i < head->header_count; i++)
		seen += strcmp(head->headers[i].name, name) == 0;
	return seen > 1;
}

static int parse_length(const char *text, size_t *ret_length)
{
	size_t v = 0;

	if (!*text || strlen(text) > 12)
		return -400;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -400;
		v = v * 10 + (size_t)(*text - '0');
	}
	*ret_length = v;
	return 0;
}

static int check_framing(struct server_http_head *head)
{
	static const char *const once[] = {"host",	     "content-length",	"transfer-encoding",
					   "content-digest", "signature-input", "signature",
					   "authorization",  "content-type",	"cookie"};
	const char *value;

	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
		if (has_twice(head, once[i]))
			return -400;
	if (server_http_header(head, "transfer-encoding"))
		return -501;
	head->host = server_http_header(head, "host");
	if (!head->host || strlen(head->host) > 255)
		return -400;
	value = server_http_header(head, "content-length");
	if (value && parse_length(value, &head->content_length) < 0)
		return -400;
	value = server_http_header(head, "connection");
	head->keep_alive = !value || !strstr(value, "close");
	value = server_http_header(head, "expect");
	if (value && strcmp(value, "100-continue") != 0)
		return -400;
	head->expect_continue = value != NULL;
	return 0;
}

static int parse_lines(struct server_http_head *head)
{
	char *line = head->text;
	int r = 0;

	for (bool first = true; r == 0; first = false) {
		char *end = strstr(line, "\r\n");

		if (!end)
			return -400;
		*end = 0;
		if (end == line)
			return first ? -400 : check_framing(head);
		r = first ? parse_request_line(line, head) : parse_header(line, head);
		line = end + 2;
	}
	return r;
}

int server_http_parse(const char *data, size_t len, struct server_http_head *ret_head)
{
	struct server_http_head head = {0};
	size_t limit = len < SERVER_HTTP_MAX_HEAD ? len : SERVER_HTTP_MAX_HEAD;
	const char *end = len == 0 ? NULL : memmem(data, limit, "\r\n\r\n", 4);

	if (!end)
		return len >= SERVER_HTTP_MAX_HEAD ? -431 : 0;
	size_t taken = (size_t)(end - data) + 4;
	if (memchr(data, 0, taken))
		return -400;
	head.text = malloc(taken + 1);
	if (!head.text)
		return -503;
	memcpy(head.text, data, taken);
	head.text[taken] = 0;
	head.text_len = taken;
	int r = parse_lines(&head);
	if (r < 0) {
		server_http_head_done(&head);
		return r;
	}
	for (size_t i = 0; i < head.header_count; i++)
		if (strcmp(head.headers[i].name, "host") == 0)
			lower(head.text + (head.headers[i].value - head.text));
	*ret_head = head;
	return (int)taken;
}

void server_http_head_done(struct server_http_head *head)
{
	if (head->text)
		secret_wipe(head->text, head->text_len); /* cookies, authorization */
	free(head->text);
	*head = (struct server_http_head){0};
}

const char *server_http_header(const struct server_http_head *head, const char *name)
{
	for (size_t i = 0; i < head->header_count; i++)
		if (strcmp(head->headers[i].name, name) == 0)
			return head->headers[i].value;
	return NULL;
}

const char *server_http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{302, "Found"},
		{303, "See Other"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{411, "Length Required"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{422, "Unprocessable Content"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}
