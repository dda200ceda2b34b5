/* SPDX-License-Identifier: Apache-2.0
 *
 * A wire with a delay between two network namespaces, where the kernel has no netem: a TAP in each, and
 * every packet of one comes out of the other after the same time. Packets are superpackets (TSO), so that
 * the process is not the bottleneck. Run it under chrt -f where that is allowed.
 *
 *   delay MILLISECONDS NAMESPACE NAMESPACE    (names of ip-netns(8); the devices are called "delay")
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define SLOTS     4096 /* packets under way in one direction; more are dropped */
#define SLOT_SIZE 65600

struct way {
	int from, to;
	size_t head, count;
	struct {
		int64_t due_ns;
		size_t len;
		uint8_t *data;
	} slots[SLOTS];
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int open_tap(const char *ns)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	char path[256];
	int fd, ns_fd;

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	ns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ns_fd < 0 || setns(ns_fd, CLONE_NEWNET) < 0)
		die(path);
	close(ns_fd);
	snprintf(r.ifr_name, sizeof(r.ifr_name), "delay");
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		die("/dev/net/tun");
	return fd;
}

static void take_in(struct way *w, int64_t delay_ns)
{
	for (int i = 0; i < 64; i++) {
		static uint8_t dropped[SLOT_SIZE];
		size_t at = (w->head + w->count) % SLOTS;
		uint8_t *data = w->count < SLOTS ? w->slots[at].data : dropped;
		ssize_t n;

		if (data == NULL && (data = w->slots[at].data = malloc(SLOT_SIZE)) == NULL)
			die("memory");
		n = read(w->from, data, SLOT_SIZE);
		if (n <= 0 || data == dropped)
			return;
		w->slots[at].len = (size_t)n;
		w->slots[at].due_ns = now_ns() + delay_ns;
		w->count++;
	}
}

static void let_out(struct way *w)
{
	for (; w->count > 0 && w->slots[w->head].due_ns <= now_ns(); w->count--) {
		if (write(w->to, w->slots[w->head].data, w->slots[w->head].len) < 0 && errno != EIO &&
		    errno != EAGAIN)
			die("write");
		w->head = (w->head + 1) % SLOTS;
	}
}

int main(int argc, char **argv)
{
	static struct way ways[2];
	int64_t delay_ns = argc == 4 ? (int64_t)(strtod(argv[1], NULL) * 1e6) : -1;

	if (delay_ns < 0) {
		fprintf(stderr, "usage: delay MILLISECONDS NAMESPACE NAMESPACE\n");
		return 2;
	}
	ways[0].from = ways[1].to = open_tap(argv[2]);
	ways[1].from = ways[0].to = open_tap(argv[3]);
	for (;;) {
		struct pollfd p[2] = {{.fd = ways[0].from, .events = POLLIN},
				      {.fd = ways[1].from, .events = POLLIN}};
		int64_t due_ns = INT64_MAX, now;
		struct timespec wait;

		for (int i = 0; i < 2; i++)
			if (ways[i].count > 0 && ways[i].slots[ways[i].head].due_ns < due_ns)
				due_ns = ways[i].slots[ways[i].head].due_ns;
		now = now_ns();
		due_ns = due_ns > now ? due_ns - now : 0;
		if (due_ns > INT64_C(1000000000))
			due_ns = INT64_C(1000000000);
		wait = (struct timespec){due_ns / 1000000000, due_ns % 1000000000};
		if (ppoll(p, 2, &wait, NULL) < 0 && errno != EINTR)
			die("poll");
		for (int i = 0; i < 2; i++) {
			let_out(&ways[i]);
			if (p[i].revents != 0)
				take_in(&ways[i], delay_ns);
		}
	}
}
