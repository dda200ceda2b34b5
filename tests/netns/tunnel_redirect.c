/* SPDX-License-Identifier: Apache-2.0
 *
 * A device with two TUNs and a hook that sends TCP port 22 to the second as 22022 and back, under a
 * filter that allows what PROTOCOL.md says the loop calls. Built and driven by
 * test_tunnel_redirect.sh.
 *
 *   tunnel_redirect IFNAME NETNS-OF-THE-SECOND-TUN UDP-PORT < UAPI-REQUEST
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static int open_second(void *ctx)
{
	struct second *s = ctx;
	char name[IFNAMSIZ];

	return tun_open("ssh0", false, name, &s->fd, &s->caps, &s->err);
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
			p->port = TUNNEL_PORT_SSH;
			p->rewrite_port = 22022;
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
	struct second second = {.fd = -1};
	struct tun_caps caps;
	struct error err = {0};
	struct buffer request, reply;
	struct tunnel *t;
	char path[128], name[IFNAMSIZ];
	int fd, fd4, fd6, ns, r;

	if (argc != 4)
		return 2;
	buffer_init(&request, 65536);
	buffer_init(&reply, 65536);
	if (tunnel_new(&config, &t) < 0 || file_read_fd(0, &request) < 0)
		return die("start", -1, NULL);
	r = tun_open(argv[1], false, name, &fd, &caps, &err);
	if (r < 0 || tunnel_attach_tun(t, TUNNEL_PORT_MAIN, fd, &caps) < 0)
		return die("first TUN", r, &err);
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
