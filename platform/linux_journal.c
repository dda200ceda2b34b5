/* SPDX-License-Identifier: Apache-2.0
 *
 * journald and syslog by their datagram sockets.
 */
#include "platform/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/file.h"

#define MESSAGE_MAX  (128 * 1024)
#define SYSLOG_MAX   8192
#define FACILITY     10 /* authpriv */

struct journal {
	const char *name;
	int fd; /* unconnected */
};

struct journal *journal_new(const char *name)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	j->name = name;
	j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return j;
}

void journal_free(struct journal *j)
{
	if (j == NULL)
		return;
	file_close(&j->fd);
	free(j);
}

static int send_to(const struct journal *j, const char *path, const void *data, size_t len)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memcpy(addr.sun_path, path, strlen(path) + 1);
	return sendto(j->fd, data, len, MSG_NOSIGNAL, (struct sockaddr *)&addr, sizeof(addr)) < 0
		       ? -errno
		       : 0;
}

/* NAME=value, or for a value with newlines: NAME, newline, u64 length (little-endian), value. */
static int put(struct buffer *out, const char *name, const char *value)
{
	size_t len = strlen(value);
	uint8_t length[8];
	int r;

	if (strchr(value, '\n') == NULL)
		return buffer_printf(out, "%s=%s\n", name, value);
	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)((uint64_t)len >> (8 * i));
	r = buffer_printf(out, "%s\n", name);
	if (r == 0)
		r = buffer_append(out, length, sizeof(length));
	if (r == 0)
		r = buffer_append(out, value, len);
	return r == 0 ? buffer_append(out, "\n", 1) : r;
}

static int send_journal(const struct journal *j, int priority, const char *message,
			const struct journal_field *fields, size_t count)
{
	struct buffer out;
	int r;

	buffer_init(&out, MESSAGE_MAX);
	r = buffer_printf(&out, "PRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=%s\n", priority,
			  FACILITY, j->name);
	if (r == 0)
		r = put(&out, "MESSAGE", message);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (fields[i].value != NULL && fields[i].value[0] != '\0')
			r = put(&out, fields[i].name, fields[i].value);
	if (r == 0)
		r = send_to(j, JOURNAL_SOCKET, out.data, out.len);
	buffer_done(&out);
	return r;
}

static int send_syslog(const struct journal *j, int priority, const char *message)
{
	char line[SYSLOG_MAX], date[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	int len;

	if (localtime_r(&now, &tm) == NULL || strftime(date, sizeof(date), "%b %e %H:%M:%S", &tm) == 0)
		return -EINVAL;
	len = snprintf(line, sizeof(line), "<%d>%s %s[%d]: %s", FACILITY * 8 + priority, date,
		       j->name, (int)getpid(), message);
	if (len < 0)
		return -EINVAL;
	return send_to(j, JOURNAL_SYSLOG, line,
		       (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1);
}

int journal_send(struct journal *j, int priority, const char *message,
		 const struct journal_field *fields, size_t count)
{
	int r;

	if (j == NULL || j->fd < 0)
		return -ENOTCONN;
	r = send_journal(j, priority, message, fields, count);
	if (r == -ENOENT || r == -ECONNREFUSED || r == -EMSGSIZE)
		r = send_syslog(j, priority, message);
	return r;
}
