/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-sshd -i behind pipes (a ProxyCommand, xinetd's kind): libssh wants one socket, so bytes are
 * carried between it and standard input and output. Nothing is looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/file.h"
#include "ssh/sshd_internal.h"

#define CHUNK 65536

/* What was read and not yet written. from -1: nothing more comes. */
struct way {
	int from, to;
	size_t at, len;
	uint8_t data[CHUNK];
};

static void close_to(struct way *w)
{
	/* The other way of a socket goes on. */
	if (shutdown(w->to, SHUT_WR) < 0)
		close(w->to);
	w->to = -1;
}

static void step(struct way *w, short from, short to)
{
	ssize_t n;

	if (w->len == 0 && from != 0 && w->from >= 0) {
		n = read(w->from, w->data, sizeof(w->data));
		if (n > 0) {
			w->at = 0;
			w->len = (size_t)n;
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			w->from = -1;
		}
	}
	if (w->len > 0 && to != 0 && w->to >= 0) {
		n = write(w->to, w->data + w->at, w->len);
		if (n > 0) {
			w->at += (size_t)n;
			w->len -= (size_t)n;
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			w->from = w->to = -1;
			w->len = 0;
		}
	}
	if (w->from < 0 && w->len == 0 && w->to >= 0)
		close_to(w);
}

void sshd_relay_run(int in, int out, int sock)
{
	static struct way there, back;
	bool nonblock = file_set_nonblock(in, true) == 0 && file_set_nonblock(out, true) == 0 &&
			file_set_nonblock(sock, true) == 0;

	there.from = in;
	there.to = sock;
	back.from = sock;
	back.to = out;
	signal(SIGPIPE, SIG_IGN);
	/* Over when the server has said everything. */
	while (nonblock && back.to >= 0) {
		struct pollfd p[] = {
			{.fd = there.len == 0 ? there.from : -1, .events = POLLIN},
			{.fd = there.len > 0 ? there.to : -1, .events = POLLOUT},
			{.fd = back.len == 0 ? back.from : -1, .events = POLLIN},
			{.fd = back.len > 0 ? back.to : -1, .events = POLLOUT},
		};

		if (poll(p, 4, -1) < 0 && errno != EINTR)
			return;
		step(&there, p[0].revents, p[1].revents);
		step(&back, p[2].revents, p[3].revents);
	}
}
