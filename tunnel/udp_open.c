/* SPDX-License-Identifier: Apache-2.0
 *
 * Opens the pair of sockets that tunnel_attach_udp takes: one port for IPv4 and IPv6. Apart from
 * udp.c because it is for whoever may open sockets, which the process that runs packets may not.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/bpf.h"
#include "tunnel/tunnel.h"

#define PORT_TRIES   20
#define BUFFER_BYTES (4 << 20)

static int open_one(int family, uint16_t port, uint32_t fwmark, bool shared)
{
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int on = 1;
	int buffer = BUFFER_BYTES;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		r = -errno;
	if (r == 0 && shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		r = -errno;
	if (r == 0 && fwmark && setsockopt(fd, SOL_SOCKET, SO_MARK, &fwmark, sizeof(fwmark)) < 0)
		r = -errno;
	/* Best by who has the right to; the tunnel does what it can otherwise. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	if (r == 0 && bind(fd,
			   family == AF_INET ? (struct sockaddr *)(void *)&any4
					     : (struct sockaddr *)(void *)&any6,
			   family == AF_INET ? sizeof(any4) : sizeof(any6)) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)(void *)&name, &len) < 0)
		return 0;
	return ntohs(name.sin6_port); /* same place for IPv4 */
}

/* A machine may lack either family. */
static bool missing(int r)
{
	return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL || r == -EPROTONOSUPPORT;
}

int tunnel_udp_open(uint16_t port, uint32_t fwmark, int *ret_fd4, int *ret_fd6)
{
	for (unsigned try = 0;; try++) {
		int fd4 = open_one(AF_INET, port, fwmark, false);
		int fd6;

		if (fd4 < 0 && !missing(fd4))
			return fd4;
		fd6 = open_one(AF_INET6, fd4 >= 0 ? port_of(fd4) : port, fwmark, false);
		if (fd6 >= 0 || (fd4 >= 0 && missing(fd6))) {
			*ret_fd4 = fd4 >= 0 ? fd4 : -1;
			*ret_fd6 = fd6 >= 0 ? fd6 : -1;
			return 0;
		}
		if (fd4 >= 0)
			close(fd4);
		/* A port that IPv4 chose may be taken in IPv6. */
		if (port || fd6 != -EADDRINUSE || try >= PORT_TRIES)
			return fd6;
	}
}

/* The first socket had its port for itself alone when it was bound, so that nobody else's is shared
 * by mistake; from then on ours may join it. */
static int share(int *fds, size_t count, int family, uint32_t fwmark)
{
	int on = 1;

	if (fds[0] < 0)
		return 0;
	if (setsockopt(fds[0], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		return -errno;
	for (size_t i = 1; i < count; i++) {
		int fd = open_one(family, port_of(fds[0]), fwmark, true);

		if (fd < 0)
			return fd;
		fds[i] = fd;
	}
	return bpf_reuseport_attach(fds[0], (unsigned)count);
}

int tunnel_udp_open_many(uint16_t port, uint32_t fwmark, size_t count, int *ret_fds4, int *ret_fds6)
{
	int r;

	for (size_t i = 0; i < count; i++)
		ret_fds4[i] = ret_fds6[i] = -1;
	r = tunnel_udp_open(port, fwmark, &ret_fds4[0], &ret_fds6[0]);
	if (r < 0 || count == 1)
		return r;
	r = share(ret_fds4, count, AF_INET, fwmark);
	if (r == 0)
		r = share(ret_fds6, count, AF_INET6, fwmark);
	for (size_t i = 0; i < count && r < 0; i++) {
		if (ret_fds4[i] >= 0)
			close(ret_fds4[i]);
		if (ret_fds6[i] >= 0)
			close(ret_fds6[i]);
		ret_fds4[i] = ret_fds6[i] = -1;
	}
	return r;
}
