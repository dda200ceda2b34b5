/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes warren-sshd a daemon: background, syslog, pid file, readiness, and the kernel's score
 * for the moment when memory is short.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "ssh/sshd_internal.h"

#define LINE_MAX_BYTES 2304

int sshd_daemon_detach(int *ret_log, struct error *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log[2] = {-1, -1};
	pid_t pid;

	if (null < 0 || pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_set(err, -errno, "cannot go into the background: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return error_set(err, -errno, "cannot go into the background: %s", strerror(errno));
	if (pid > 0)
		_exit(0);
	if (setsid() < 0 || chdir("/") < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(log[1], 2) < 0)
		_exit(1);
	file_close(&log[1]);
	file_close(&null);
	*ret_log = log[0];
	return 0;
}

static int priority_of(const char *line)
{
	if (strstr(line, "error") != NULL)
		return LOG_ERR;
	return strstr(line, "warn") != NULL ? LOG_WARNING : LOG_INFO;
}

bool sshd_daemon_log(int log, int facility)
{
	char text[LINE_MAX_BYTES], *at = text, *end;
	ssize_t n = read(log, text, sizeof(text) - 1);

	if (n == 0)
		return false;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	text[n] = '\0';
	while (*at != '\0') {
		end = strchr(at, '\n');
		if (end != NULL)
			*end = '\0';
		if (*at != '\0')
			syslog(priority_of(at) | facility, "%s", at);
		if (end == NULL)
			break;
		at = end + 1;
	}
	return true;
}

void sshd_daemon_pid_file(const char *path, bool make)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (path == NULL || (geteuid() != 0 && strcmp(path, SSHD_PID_FILE) == 0))
		return;
	if (!make)
		unlink(path);
	else if (file_write_atomic(path, text, (size_t)len, 0644) < 0)
		log_warn("the pid file cannot be written", "file=%s", path);
}

void sshd_daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (addr.sun_path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_debug("the service manager does not listen", NULL);
	file_close(&fd);
}
