/* SPDX-License-Identifier: Apache-2.0
 *
 * The lines of sftp-server's log. The reader runs in the monitor on text that a user's process wrote:
 * it copies bounded pieces and believes nothing.
 */
#include "ssh/sftp_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "platform/file.h"

void sftp_log_write(int fd, const char *fmt, ...)
{
	char line[SFTP_LOG_LINE_MAX];
	va_list ap;
	int len;

	if (fd < 0)
		return;
	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	if ((size_t)len > sizeof(line) - 2)
		len = (int)sizeof(line) - 2;
	line[len] = '\n';
	/* The monitor may be gone; the transfer ends with the connection then. */
	if (file_write_all(fd, line, (size_t)len + 1) < 0)
		return;
}

const char *sftp_log_path(const char *path, char *out, size_t cap)
{
	size_t n = 0;

	for (; *path != '\0' && n + 5 < cap; path++) {
		unsigned char c = (unsigned char)*path;

		if (c > 0x20 && c < 0x7f && c != '\\' && c != '"')
			out[n++] = (char)c;
		else if (c == ' ')
			out[n++] = ' ';
		else
			n += (size_t)snprintf(out + n, cap - n, "\\%03o", c);
	}
	out[n] = '\0';
	return out;
}

/* ------------------------------------------------------------------ reading */

struct text {
	const char *at, *end;
};

static bool word(struct text *t, const char *expected)
{
	size_t len = strlen(expected);

	if ((size_t)(t->end - t->at) < len || memcmp(t->at, expected, len) != 0)
		return false;
	t->at += len;
	return true;
}

static int octal(const char *at, const char *end)
{
	if (end - at < 4 || at[0] != '\\' || at[1] < '0' || at[1] > '3' || at[2] < '0' ||
	    at[2] > '7' || at[3] < '0' || at[3] > '7')
		return -1;
	return (at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0');
}

/* "PATH", unescaped; what does not fit is cut. sftp-server leaves quotes as they are, so the text ends
 * at a quote that the rest of the line agrees with: see closing. */
static void unescape(const char *at, const char *end, char out[static SFTP_LOG_PATH_MAX])
{
	size_t n = 0;

	while (at < end && n + 1 < SFTP_LOG_PATH_MAX) {
		int c = octal(at, end);

		if (c > 0) {
			out[n++] = (char)c;
			at += 4;
		} else {
			if (*at == '\\' && end - at > 1 && at[1] == '\\')
				at++; /* vis writes it twice */
			out[n++] = *at++;
		}
	}
	out[n] = '\0';
}

/* Reads `"…"` up to `"` + after (after "" : up to the quote at the end of the line). */
static bool quoted(struct text *t, const char *after, char out[static SFTP_LOG_PATH_MAX])
{
	size_t len = strlen(after);
	const char *start = t->at + 1, *close = NULL;

	if (t->at >= t->end || *t->at != '"')
		return false;
	for (const char *p = start; p < t->end; p++) {
		if (*p != '"' || (size_t)(t->end - p - 1) < len || memcmp(p + 1, after, len) != 0)
			continue;
		if (len == 0 && p + 1 != t->end)
			continue;
		close = p; /* the last one: a name may hold the same words, the line's end is ours */
	}
	if (close == NULL)
		return false;
	unescape(start, close, out);
	t->at = close + 1 + len;
	return true;
}

static bool number(struct text *t, uint64_t *ret_value)
{
	uint64_t value = 0;
	const char *start = t->at;

	for (; t->at < t->end && *t->at >= '0' && *t->at <= '9' && t->at - start < 19; t->at++)
		value = value * 10 + (uint64_t)(*t->at - '0');
	*ret_value = value;
	return t->at > start;
}

static void rest(const struct text *t, char *out, size_t cap)
{
	size_t n = 0;

	for (const char *p = t->at; p < t->end && n + 1 < cap; p++)
		out[n++] = *p >= 0x20 && *p < 0x7f ? *p : '?';
	out[n] = '\0';
}

static bool one_path(struct text *t, const char *after, const char *op, struct sftp_log_event *e)
{
	snprintf(e->op, sizeof(e->op), "%s", op);
	if (!quoted(t, after, e->path))
		return false;
	rest(t, e->detail, sizeof(e->detail));
	return true;
}

static bool two_paths(struct text *t, const char *between, const char *op,
		      struct sftp_log_event *e)
{
	snprintf(e->op, sizeof(e->op), "%s", op);
	return quoted(t, between, e->path) && (t->at--, true) && quoted(t, "", e->path2);
}

static bool closed(struct text *t, struct sftp_log_event *e)
{
	snprintf(e->op, sizeof(e->op), "close");
	return quoted(t, " bytes read ", e->path) && number(t, &e->read) && word(t, " written ") &&
	       number(t, &e->written) && t->at == t->end;
}

bool sftp_log_parse(const char *line, size_t len, struct sftp_log_event *ret_event)
{
	static const struct {
		const char *begin, *after, *op;
		bool two;
	} forms[] = {
		{"open ", " flags ", "open", false},
		{"opendir ", "", "list", false},
		{"remove name ", "", "remove", false},
		{"mkdir name ", " mode ", "mkdir", false},
		{"rmdir name ", "", "rmdir", false},
		{"rename old ", " new \"", "rename", true},
		{"posix-rename old ", " new \"", "rename", true},
		{"hardlink old ", " new \"", "link", true},
		{"symlink old ", " new \"", "symlink", true},
		{"set ", " size ", "set", false},
		{"set ", " mode ", "set", false},
		{"set ", " modtime ", "set", false},
		{"set ", " owner ", "set", false},
		{"lsetstat ", "", "set", false},
		{"refused ", "", "refused", false},
	};
	struct sftp_log_event *e = ret_event;

	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct text t = {line, line + len};

		memset(e, 0, sizeof(*e));
		if (!word(&t, forms[i].begin))
			continue;
		if (forms[i].two ? two_paths(&t, forms[i].after, forms[i].op, e)
				 : one_path(&t, forms[i].after, forms[i].op, e))
			return true;
	}
	for (int forced = 0; forced < 2; forced++) {
		struct text t = {line, line + len};

		memset(e, 0, sizeof(*e));
		if (word(&t, forced ? "forced close " : "close ") && closed(&t, e))
			return true;
	}
	memset(e, 0, sizeof(*e));
	return false;
}
