/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the SSH server listens (design section 8): in a network namespace of its own, behind a
 * second TUN that carries the same overlay addresses, so that the host's firewall, ports and
 * processes never meet it. Where no namespace can be made, in the host's stack, and status says so.
 */
#include "daemon/broker_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "platform/netlink.h"
#include "platform/netns.h"

#define SSH_IFNAME "wrnssh0"

enum { SSH_PORT = 22022, SSH_BACKLOG = 128 };

static int listen_on(const struct ip_addr *addr, int *ret_fd)
{
	const int on = 1;
	struct endpoint ep;
	int fd, rc = 0;

	endpoint_from_ip(addr, SSH_PORT, &ep);
	fd = socket(ep.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (addr->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, &ep.sa, endpoint_len(&ep)) < 0 || listen(fd, SSH_BACKLOG) < 0)
		rc = -errno;
	if (rc < 0) {
		file_close(&fd);
		return rc;
	}
	/* The worker looks for a mark on it (platform/dscp.h); without, it is as if there were
	 * none. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on));
	*ret_fd = fd;
	return 0;
}

/* IPv4 must work where there is an address; IPv6 may be switched off on this machine. */
static int listen_all(struct broker_net *n)
{
	int rc = -EADDRNOTAVAIL, rc6;

	if (n->config.addr4.addr.family == 4) {
		rc = listen_on(&n->config.addr4.addr, &n->listen4);
		if (rc < 0)
			return rc;
	}
	if (n->config.addr6.addr.family == 6) {
		rc6 = listen_on(&n->config.addr6.addr, &n->listen6);
		if (rc6 < 0 && rc < 0)
			return rc6;
		if (rc6 < 0)
			log_warn("the SSH server has no IPv6 address", "error=%s", strerror(-rc6));
	}
	return 0;
}

struct build {
	struct broker *b;
	struct error *err;
};

/* IPv6 may be switched off on this machine, or not fit the MTU. */
static void add_ipv6(const struct broker_net *n, const char *name)
{
	struct error inner = {0};
	int rc;

	if (n->config.addr6.addr.family != 6)
		return;
	rc = netlink_addr_add(name, &n->config.addr6, &inner);
	if (rc == 0)
		rc = netlink_route_default(name, 6);
	if (rc < 0)
		log_warn("no IPv6 in the SSH server's namespace", "error=%s", strerror(-rc));
}

/* Runs inside the namespace. */
static int build(void *ctx)
{
	struct build *c = ctx;
	struct broker_net *n = &c->b->net;
	char name[IFNAMSIZ];
	int rc;

	rc = broker_tun_open(c->b, SSH_IFNAME, name, n->ssh_tuns, &n->ssh_caps, c->err);
	if (rc == 0)
		rc = netlink_link_set(name, true, n->mtu, c->err);
	if (rc == 0 && n->config.addr4.addr.family == 4) {
		rc = netlink_addr_add(name, &n->config.addr4, c->err);
		if (rc == 0 && (rc = netlink_route_default(name, 4)) < 0)
			error_set(c->err, rc, "cannot set a route: %s", strerror(-rc));
	}
	if (rc < 0)
		return rc;
	add_ipv6(n, name);
	rc = listen_all(n);
	return rc < 0 ? error_set(c->err, rc, "cannot listen: %s", strerror(-rc)) : 0;
}

static void close_all(struct broker_net *n)
{
	file_close(&n->listen4);
	file_close(&n->listen6);
	broker_close_all(n->ssh_tuns);
	file_close(&n->ssh_ns); /* the last descriptor: the namespace goes */
}

static int in_namespace(struct broker *b, struct error *err)
{
	struct broker_net *n = &b->net;
	struct build context = {b, err};
	int rc = netns_create(&n->ssh_ns, err);

	if (rc == 0)
		rc = netns_run(n->ssh_ns, build, &context);
	if (rc == 0) {
		rc = broker_tun_attach(b, WIRE_ATTACH_SSH_TUN, n->ssh_tuns, &n->ssh_caps);
		if (rc < 0)
			error_set(err, rc, "the engine did not take the SSH server's interface");
	}
	if (rc < 0)
		close_all(n);
	return rc;
}

static int watch_listeners(struct broker *b)
{
	struct broker_net *n = &b->net;
	int rc = 0;

	if (n->listen4 >= 0)
		rc = broker_loop_add(b->loop, n->listen4, broker_ssh_accept, NULL);
	if (rc == 0 && n->listen6 >= 0)
		rc = broker_loop_add(b->loop, n->listen6, broker_ssh_accept, NULL);
	return rc;
}

void broker_ssh_net_start(struct broker *b)
{
	struct broker_net *n = &b->net;
	struct error err = {0};
	int rc;

	n->ssh_note[0] = '\0';
	n->ssh_mode = WIRE_SSH_NAMESPACE;
	rc = in_namespace(b, &err);
	if (rc < 0) {
		n->ssh_mode = WIRE_SSH_HOST;
		rc = listen_all(n);
		if (rc == 0)
			snprintf(n->ssh_note, sizeof(n->ssh_note),
				 "the SSH server listens in the host's own network (%.120s)",
				 error_text(&err));
		else
			snprintf(n->ssh_note, sizeof(n->ssh_note),
				 "the SSH server cannot listen on port %d: %s", SSH_PORT,
				 strerror(-rc));
	}
	if (rc == 0)
		rc = watch_listeners(b);
	if (rc < 0) {
		close_all(n);
		n->ssh_mode = WIRE_SSH_OFF;
	}
	if (n->ssh_note[0])
		log_warn(n->ssh_note, NULL);
}

/* Runs inside the namespace. */
static int set_mtu(void *ctx)
{
	const struct broker *b = ctx;
	struct error err = {0};
	int rc = netlink_link_set(SSH_IFNAME, true, b->net.mtu, &err);

	if (rc < 0)
		log_warn(error_text(&err), NULL);
	else
		add_ipv6(&b->net, SSH_IFNAME); /* the kernel takes it away below 1,280 */
	return rc;
}

void broker_ssh_net_mtu(struct broker *b)
{
	if (b->net.ssh_ns >= 0 && netns_run(b->net.ssh_ns, set_mtu, b) < 0)
		log_debug("the SSH server keeps its MTU", NULL);
}

void broker_ssh_net_stop(struct broker *b)
{
	struct broker_net *n = &b->net;

	if (n->ssh_tuns[0] >= 0 && b->engine.sock >= 0) {
		struct writer w = broker_engine_begin(b, WIRE_DETACH);

		writer_u8(&w, WIRE_ATTACH_SSH_TUN);
		if (broker_engine_call(b, &w, NULL, 0) < 0)
			log_debug("the engine did not detach the SSH interface", NULL);
	}
	broker_loop_del(b->loop, n->listen4);
	broker_loop_del(b->loop, n->listen6);
	close_all(n);
	n->ssh_mode = WIRE_SSH_OFF;
	n->ssh_note[0] = '\0';
}
