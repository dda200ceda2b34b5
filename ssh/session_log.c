/* SPDX-License-Identifier: Apache-2.0
 *
 * What a file transfer did: lines that sftp-server (of OpenSSH, or ours) writes, one audit event each.
 * The text comes from a process of the user: it is bounded, and says something about this connection
 * only. OpenSSH's server can log to its stderr only, so what is no log line there goes on to the
 * client.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"
#include "ssh/monitor.h"
#include "ssh/sftp_log.h"

#define READ_BYTES 16384
#define READS_MAX  64 /* of what an ended process left behind */

int session_log_open(struct session *s, const struct session_wish *wish, int *ret_child_log)
{
	int p[2], r;

	s->log_fd = s->pass_fd = -1;
	buffer_init(&s->log_line, SFTP_LOG_LINE_MAX);
	if (!wish->logged)
		return 0;
	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	r = file_set_nonblock(p[0], true);
	if (r < 0) {
		close(p[0]);
		close(p[1]);
		return r;
	}
	s->log_fd = p[0];
	*ret_child_log = p[1];
	return 0;
}

void session_log_pass(struct session *s, int passed)
{
	s->pass_fd = passed;
	if (passed >= 0 && file_set_nonblock(passed, true) < 0)
		file_close(&s->pass_fd); /* never waited for */
}

/* Its own chatter that is no operation. */
static bool of_the_log(const char *line, size_t len)
{
	static const char *const begins[] = {"session opened for local user ",
					     "session closed for local user ", "sent status ",
					     "closedir ", "statvfs ", "expand \"", "received client "};

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (len >= strlen(begins[i]) && memcmp(line, begins[i], strlen(begins[i])) == 0)
			return true;
	return false;
}

static void report(struct monitor *m, const struct session *s, const struct sftp_log_event *e)
{
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_CHANNEL, NULL, s->channel},
		{SSH_AUDIT_OP, e->op, 0},
		{SSH_AUDIT_PATH, e->path, 0},
		{SSH_AUDIT_PATH2, e->path2, 0},
		{SSH_AUDIT_DETAIL, e->detail, 0},
		{SSH_AUDIT_READ, NULL, e->read},
		{SSH_AUDIT_WRITTEN, NULL, e->written},
	};
	bool closed = strcmp(e->op, "close") == 0;

	if (strcmp(e->op, "open") == 0)
		return; /* its close says more */
	monitor_event(m, SSH_AUDIT_SFTP, fields, closed ? 7 : 5);
}

static void line_done(struct monitor *m, struct session *s)
{
	const char *line = (const char *)s->log_line.data;
	size_t len = s->log_line.len;
	struct sftp_log_event e;

	if (sftp_log_parse(line, len, &e))
		report(m, s, &e);
	else if (s->pass_fd >= 0 && !of_the_log(line, len) &&
		 (write(s->pass_fd, line, len) < 0 || write(s->pass_fd, "\n", 1) < 0))
		file_close(&s->pass_fd); /* the client does not read; nobody waits for it */
	buffer_reset(&s->log_line);
}

static void take(struct monitor *m, struct session *s, const char *data, size_t len)
{
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end != NULL ? (size_t)(end - data) : len;

		if (buffer_append(&s->log_line, data, n) < 0)
			buffer_reset(&s->log_line); /* no line of a log is that long */
		if (end != NULL)
			line_done(m, s);
		n += end != NULL;
		data += n;
		len -= n;
	}
}

/* true: there may be more. */
static bool read_some(struct monitor *m, struct session *s)
{
	char data[READ_BYTES];
	ssize_t n = read(s->log_fd, data, sizeof(data));

	if (n > 0)
		take(m, s, data, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		file_close(&s->log_fd);
	return n > 0;
}

void session_log_ready(struct monitor *m, struct session *s)
{
	if (s->log_fd >= 0)
		(void)read_some(m, s);
}

void session_log_close(struct monitor *m, struct session *s)
{
	for (int i = 0; i < READS_MAX && s->log_fd >= 0 && read_some(m, s); i++)
		;
	if (s->log_line.len > 0)
		line_done(m, s);
	file_close(&s->log_fd);
	file_close(&s->pass_fd);
	buffer_done(&s->log_line);
}
