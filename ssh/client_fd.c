/* SPDX-License-Identifier: Apache-2.0
 *
 * See client_fd.h.
 */
#include "ssh/client_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void client_fd_open(struct client_fd *f, int fd)
{
	char path[32];
	struct stat st;
	int own;

	*f = (struct client_fd){.fd = fd, .kind = CLIENT_FD_SHARED};
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode)) {
		f->kind = CLIENT_FD_SOCKET;
	} else if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) {
		f->kind = CLIENT_FD_FILE;
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		if (own >= 0) {
			f->fd = own;
			f->kind = CLIENT_FD_STREAM;
		}
	}
}

void client_fd_close(struct client_fd *f, int given)
{
	if (f->fd >= 0 && f->fd != given)
		close(f->fd);
	f->fd = -1;
}

static bool writable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return poll(&p, 1, 0) > 0;
}

ssize_t client_fd_write(const struct client_fd *f, const void *data, size_t len)
{
	ssize_t n;

	do {
		if (f->kind == CLIENT_FD_SOCKET) {
			n = send(f->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		} else if (f->kind == CLIENT_FD_SHARED) {
			/* So much fits into a pipe that is writable at all (pipe(7)). */
			if (!writable(f->fd))
				return -EAGAIN;
			n = write(f->fd, data, len < PIPE_BUF ? len : PIPE_BUF);
		} else {
			n = write(f->fd, data, len);
		}
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
