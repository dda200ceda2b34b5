/* SPDX-License-Identifier: Apache-2.0
 *
 * A device with two TUNs and a hook that sends TCP port 22 to the second as 22022 and back, under a
 * filter that allows what PROTOCOL.md says the loop calls. Built and driven by
 * test_tunnel_redirect.sh.
 *
 *   tunnel_redirect IFNAME NETNS-OF-THE-SECOND-TUN UDP-PORT < UAPI-REQUEST
 *
 * REDIRECT_FORM: what the TUN that serves port 22 can do: "full", "csum" (no segmentation), "none"
 * (a header, nothing on), "plain" (no header). REDIRECT_HOST=1: that is the first TUN; the server
 * listens in the host's stack (design section 8, where no namespace can be made).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/netns.h"
#include "platform/sandbox.h"
#include "platform/tun.h"
#include "tunnel/tunnel.h"

struct second {
	int fd;
	struct tun_caps caps;
	struct error err;
};

static bool host_stack; /* set once in main */

static int open_plain(const char *name, struct second *s)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	s->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (s->fd < 0 || ioctl(s->fd, TUNSETIFF, &request) < 0)
		return -errno;
	s->caps = (struct tun_caps){0};
	return 0;
}

static int open_form(const char *name, const char *form, struct second *s)
{
	char taken[IFNAMSIZ];
	int r;

	if (strcmp(form, "plain") == 0)
		return open_plain(name, s);
	r = tun_open(name, false, taken, &s->fd, &s->caps, &s->err);
	if (r < 0 || strcmp(form, "full") == 0)
		return r;
	s->caps.tso = s->caps.uso = false;
	return ioctl(s->fd, TUNSETOFFLOAD,
		     strcmp(form, "csum") == 0 ? (unsigned long)TUN_F_CSUM : 0ul) < 0
		       ? -errno
		       : 0;
}

static const char *form_of(bool second)
{
	const char *form = getenv("REDIRECT_FORM");

	return form && second != host_stack ? form : "full";
}

static int open_second(void *ctx)
{
	return open_form("ssh0", form_of(true), ctx);
}

static uint16_t port_at(const struct superpacket *p, size_t at)
{
	return (uint16_t)(p->data[at] << 8 | p->data[at + 1]);
}

static void filter(void *ctx, enum tunnel_direction dir, const uint8_t key[32],
		   struct superpacket *packets, size_t count, uint64_t now_ns)
{
	(void)ctx;
	(void)key;
	(void)now_ns;
	for (size_t i = 0; i < count; i++) {
		struct superpacket *p = &packets[i];
		size_t l4 = p->data[0] >> 4 == 4 ? 20 : 40;
		bool tcp = p->len >= l4 + 4 && p->data[l4 == 20 ? 9 : 6] == IPPROTO_TCP;

		p->drop = false;
		if (dir == TUNNEL_RX && tcp && port_at(p, l4 + 2) == 22) {
			p->port = host_stack ? TUNNEL_PORT_MAIN : TUNNEL_PORT_SSH;
			p->rewrite_port = 22022;
		} else if (dir == TUNNEL_TX && host_stack) {
			if (tcp && port_at(p, l4) == 22022)
				p->rewrite_port = 22;
		} else if (dir == TUNNEL_TX && p->port == TUNNEL_PORT_SSH) {
			if (tcp && port_at(p, l4) == 22022)
				p->rewrite_port = 22;
			else
				p->drop = true;
		}
	}
}

static int die(const char *what, int r, const struct error *err)
{
	fprintf(stderr, "tunnel_redirect: %s: %s\n", what, err ? error_text(err) : strerror(-r));
	return 1;
}

int main(int argc, char **argv)
{
	static const char *const calls[] = {"read",	  "readv",     "write",		"writev",
					    "sendmsg",	  "sendmmsg",  "recvmsg",	"recvmmsg",
					    "epoll_wait", "epoll_ctl", "clock_gettime", "getrandom",
					    NULL};
	struct sandbox_profile profile = {.name = "tunnel", .allow = calls};
	struct tunnel_config config = {.roaming = true, .hooks = {.filter = filter}};
	struct second first = {.fd = -1}, second = {.fd = -1};
	struct error err = {0};
	struct buffer request, reply;
	struct tunnel *t;
	char path[128];
	int fd4, fd6, ns, r;

	if (argc != 4)
		return 2;
	host_stack = getenv("REDIRECT_HOST") != NULL;
	buffer_init(&request, 65536);
	buffer_init(&reply, 65536);
	if (tunnel_new(&config, &t) < 0 || file_read_fd(0, &request) < 0)
		return die("start", -1, NULL);
	r = open_form(argv[1], form_of(false), &first);
	if (r < 0 || tunnel_attach_tun(t, TUNNEL_PORT_MAIN, first.fd, &first.caps) < 0)
		return die("first TUN", r, &first.err);
	snprintf(path, sizeof(path), "/run/netns/%s", argv[2]);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	r = netns_run(ns, open_second, &second);
	if (r < 0 || tunnel_attach_tun(t, TUNNEL_PORT_SSH, second.fd, &second.caps) < 0)
		return die("second TUN", r, &second.err);
	r = tunnel_udp_open((uint16_t)strtoul(argv[3], NULL, 10), 0, &fd4, &fd6);
	if (r < 0 || tunnel_attach_udp(t, fd4, fd6) < 0)
		return die("port", r, NULL);
	r = tunnel_uapi(t, (const char *)request.data, request.len, &reply);
	if (r < 0 || !strstr(buffer_cstring(&reply), "errno=0"))
		return die("configuration", r, NULL);
	tunnel_set_up(t, true);
	r = tunnel_start(t);
	if (r < 0)
		return die("threads", r, NULL);
	r = sandbox_apply(&profile, &err);
	if (r < 0)
		return die("sandbox", r, &err);
	return tunnel_run(t) < 0;
}
