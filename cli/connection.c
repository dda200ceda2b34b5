/* SPDX-License-Identifier: Apache-2.0
 *
 * See connection.h.
 */
#include "cli/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/addr.h"
#include "platform/dscp.h"
#include "platform/file.h"

#define CONNECT_LIMIT_MS 10000

/* One of the two is not this socket's. */
static void set_tos(int fd, int tos)
{
	setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

int connection_begin(const char *address, int port, bool certificate)
{
	struct ip_addr ip;
	struct endpoint ep;
	int fd, r;

	r = ip_addr_parse(address, &ip);
	if (r < 0)
		return r;
	endpoint_from_ip(&ip, (uint16_t)port, &ep);
	fd = socket(ep.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (certificate)
		set_tos(fd, DSCP_CERTIFICATE_TOS);
	if (connect(fd, &ep.sa, endpoint_len(&ep)) < 0 && errno != EINPROGRESS) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* They stay on the descriptor that ssh gets, which sets none itself then: a target that has
 * vanished is noticed within 90 s, without anything in the user's configuration. */
static void set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},	 {SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, 30}, {IPPROTO_TCP, TCP_KEEPINTVL, 15},
		{IPPROTO_TCP, TCP_KEEPCNT, 4},	 {IPPROTO_TCP, TCP_USER_TIMEOUT, 90000},
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

int connection_finish(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	int error = 0, r;
	socklen_t len = sizeof(error);

	r = poll(&pfd, 1, CONNECT_LIMIT_MS);
	if (r == 0)
		r = -ETIMEDOUT;
	else if (r < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		r = -errno;
	else
		r = -error;
	if (r == 0) {
		set_tos(fd, 0); /* only the first packet is marked */
		set_options(fd);
		r = file_set_nonblock(fd, false);
	}
	if (r < 0)
		close(fd);
	return r;
}

/* stdout is a socket with ProxyUseFdpass: ssh gets the connection itself and no byte is copied. */
int connection_pass(int fd)
{
	struct iovec iov = {.iov_base = (char[1]){0}, .iov_len = 1};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control.space)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	return sendmsg(STDOUT_FILENO, &msg, 0) < 0 ? -errno : 0;
}

/* Without ProxyUseFdpass (old clients, `-W` style use): copies both ways until both have ended. */
int connection_copy(int fd)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	static char buf[65536];

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (p[i].fd < 0 || p[i].revents == 0)
				continue;
			n = read(p[i].fd, buf, sizeof(buf));
			if (n > 0 &&
			    file_write_all(i == 0 ? fd : STDOUT_FILENO, buf, (size_t)n) == 0)
				continue;
			if (n < 0 && errno == EINTR)
				continue;
			p[i].fd = -1;
			if (i == 1)
				return 0;
			shutdown(fd, SHUT_WR);
		}
	}
	return 0;
}
