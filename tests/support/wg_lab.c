/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-wg with a lab around it, by the linker's --wrap; the program itself has no such options.
 *
 *   LAB_SPEED=N            its clocks run N times as fast: sessions live 120/N seconds
 *   LAB_CLOCK=FILE         its clocks are the eight bytes of FILE, nanoseconds that somebody else moves (pings.py)
 *   LAB_MESSAGES=N         each session begins N messages before REJECT_AFTER_MESSAGES
 *   LAB_WITHOUT=WORD,…     a kernel without uso, tso, csum (of TUNs), gso, gro (of UDP)
 *   LAB_GSO_EIO=N          UDP GSO answers EIO from the Nth send on
 *   LAB_COUNTERS=FILE      the counters, written on exit, "name value" a line
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tunnel/device.h"
#include "tunnel/timers.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20U
#endif
#ifndef TUN_F_USO6
#define TUN_F_USO6 0x40U
#endif

int __real_tunnel_new(const struct tunnel_config *config, struct tunnel **ret_tunnel);
int __wrap_tunnel_new(const struct tunnel_config *config, struct tunnel **ret_tunnel);
void __real_tunnel_free(struct tunnel *t);
void __wrap_tunnel_free(struct tunnel *t);
int __real_peer_begin_session(struct peer *p, uint64_t now_ns);
int __wrap_peer_begin_session(struct peer *p, uint64_t now_ns);
int __real_epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms);
int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __real_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);

static uint64_t number(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static bool without(const char *word)
{
	const char *list = getenv("LAB_WITHOUT");
	size_t len = strlen(word);

	for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, word, len) == 0 && (at[len] == ',' || !at[len]))
			return true;
	return false;
}

/* ---- clocks ---- */

struct fast {
	uint64_t speed, monotonic_ns, realtime_ns; /* of the start */
};

static const _Atomic uint64_t *shared_ns; /* NULL: no LAB_CLOCK */

static uint64_t fast_monotonic(void *ctx)
{
	const struct fast *f = ctx;

	if (shared_ns)
		return *shared_ns;
	return f->monotonic_ns + (clock_monotonic_ns(&clock_system) - f->monotonic_ns) * f->speed;
}

static uint64_t fast_realtime(void *ctx)
{
	const struct fast *f = ctx;

	if (shared_ns)
		return f->realtime_ns + (*shared_ns - f->monotonic_ns);
	return f->realtime_ns + (clock_realtime_ns(&clock_system) - f->realtime_ns) * f->speed;
}

static const _Atomic uint64_t *map_clock(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED) {
		perror(path);
		exit(1);
	}
	return p;
}

int __wrap_tunnel_new(const struct tunnel_config *config, struct tunnel **ret_tunnel)
{
	static struct fast fast;
	static struct clock clock = {fast_monotonic, fast_realtime, &fast};
	struct tunnel_config changed = *config;

	if (getenv("LAB_CLOCK"))
		shared_ns = map_clock(getenv("LAB_CLOCK"));
	fast.speed = number("LAB_SPEED", 1);
	fast.monotonic_ns = shared_ns ? *shared_ns : clock_monotonic_ns(&clock_system);
	fast.realtime_ns = clock_realtime_ns(&clock_system);
	changed.clock = &clock;
	return __real_tunnel_new(&changed, ret_tunnel);
}

int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
	int speed = (int)number("LAB_SPEED", 1);

	if (timeout_ms > 0)
		timeout_ms = (timeout_ms + speed - 1) / speed;
	if (shared_ns && (timeout_ms < 0 || timeout_ms > 2))
		timeout_ms = 2; /* it moves without our doing */
	return __real_epoll_wait(fd, events, count, timeout_ms);
}

/* ---- counters ---- */

int __wrap_peer_begin_session(struct peer *p, uint64_t now_ns)
{
	const struct keypair *before = p->next_keypair;
	int r = __real_peer_begin_session(p, now_ns);
	uint64_t left = number("LAB_MESSAGES", 0);
	struct keypair *made =
		p->next_keypair && p->next_keypair != before ? p->next_keypair : p->current;

	if (r == 0 && left && made)
		made->send_counter = REJECT_AFTER_MESSAGES - left;
	return r;
}

void __wrap_tunnel_free(struct tunnel *t)
{
	const char *path = getenv("LAB_COUNTERS");
	FILE *f = path && t ? fopen(path, "w") : NULL;
	const char *name;
	uint64_t value;

	for (size_t i = 0; f && tunnel_counter(t, i, &name, &value); i++)
		fprintf(f, "%s %llu\n", name, (unsigned long long)value);
	if (f)
		fclose(f);
	__real_tunnel_free(t);
}

/* ---- capabilities ---- */

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == TUNSETOFFLOAD) {
		unsigned long flags = (unsigned long)(uintptr_t)argument;

		if ((flags & (TUN_F_USO4 | TUN_F_USO6) && without("uso")) ||
		    (flags & (TUN_F_TSO4 | TUN_F_TSO6) && without("tso")) ||
		    (flags & TUN_F_CSUM && without("csum"))) {
			errno = EINVAL;
			return -1;
		}
	}
	return __real_ioctl(fd, request, argument);
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (level == SOL_UDP && name == UDP_SEGMENT && without("gso")) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_getsockopt(fd, level, name, value, len);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (level == SOL_UDP && name == UDP_GRO && without("gro")) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_setsockopt(fd, level, name, value, len);
}

static bool has_gso(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT)
			return true;
	return false;
}

int __wrap_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	static uint64_t sends;
	uint64_t limit = number("LAB_GSO_EIO", 0);

	if (limit && ++sends >= limit)
		for (unsigned i = 0; i < n; i++)
			if (has_gso(&msgs[i].msg_hdr)) {
				if (i)
					return __real_sendmmsg(fd, msgs, i, flags);
				errno = EIO;
				return -1;
			}
	return __real_sendmmsg(fd, msgs, n, flags);
}
