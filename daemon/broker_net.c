/* SPDX-License-Identifier: Apache-2.0
 *
 * CONFIGURE and TEARDOWN: our TUN, its addresses and routes inside the allowed overlay prefixes,
 * the UDP sockets. The broker keeps a descriptor of each, so that a new engine can be handed the
 * same.
 */
#include "daemon/broker_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/bpf.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/netlink.h"
#include "platform/unixsock.h"

enum {
	PORT_TRIES = 100,
	UDP_BUFFER_BYTES = 8 << 20,
	MIN_MTU = 576,
	IPV6_MIN_MTU = 1280,
	MAX_MTU = 9000,
	FIRST_FREE_PORT = 1024,
};

void broker_net_init(struct broker_net *n)
{
	*n = (struct broker_net){.monitor = -1, .ssh_ns = -1, .listen4 = -1, .listen6 = -1};
	for (unsigned i = 0; i < DAEMON_MAX_SHARDS; i++)
		n->tuns[i] = n->udp4[i] = n->udp6[i] = n->ssh_tuns[i] = -1;
}

bool broker_net_interface_exists(const struct broker *b)
{
	return netlink_link_index(b->net.ifname) > 0;
}

/* addr within route, route within what the machine's configuration allows. */
static bool inside(const struct ip_prefix *addr, const struct ip_prefix *route,
		   const struct ip_prefix *allowed)
{
	if (addr->addr.family == 0)
		return route->addr.family == 0;
	return addr->addr.family == allowed->addr.family &&
	       route->addr.family == allowed->addr.family && route->bits >= allowed->bits &&
	       ip_prefix_contains(allowed, &route->addr) &&
	       ip_prefix_contains(route, &addr->addr) && addr->bits >= route->bits &&
	       addr->bits <= (addr->addr.family == 4 ? 32 : 128) &&
	       route->bits <= (route->addr.family == 4 ? 32 : 128);
}

static int check(const struct broker *b, const struct broker_config *c, struct error *err)
{
	char text[IP_PREFIX_STRLEN], allowed[IP_PREFIX_STRLEN];

	if (!inside(&c->addr4, &c->route4, &b->options->prefix4))
		return error_set(
			err, -EPERM,
			"the network uses %s, which is not inside %s: set overlay_prefix4 in "
			"/etc/warren/warren.json if that is wanted",
			ip_prefix_format(&c->route4, text),
			ip_prefix_format(&b->options->prefix4, allowed));
	if (!inside(&c->addr6, &c->route6, &b->options->prefix6))
		return error_set(
			err, -EPERM,
			"the network uses %s, which is not inside %s: set overlay_prefix6 in "
			"/etc/warren/warren.json if that is wanted",
			ip_prefix_format(&c->route6, text),
			ip_prefix_format(&b->options->prefix6, allowed));
	if (c->addr4.addr.family == 0 && c->addr6.addr.family == 0)
		return error_set(err, -EINVAL, "the network gave this machine no address");
	/* What root did not configure is no port of a system service. */
	if (c->port != 0 && c->port < FIRST_FREE_PORT && c->port != b->options->wireguard_port)
		return error_set(err, -EPERM, "the UDP port %u is not main's to take", c->port);
	if (c->mtu < MIN_MTU || c->mtu > MAX_MTU)
		return error_set(err, -EINVAL, "the MTU %u is not within %d to %d", c->mtu, MIN_MTU,
				 MAX_MTU);
	return 0;
}

/* shared: joins the socket that has the port already. */
static int open_udp(int family, uint16_t port, bool shared, int *ret_fd)
{
	const int on = 1, bytes = UDP_BUFFER_BYTES;
	struct endpoint any = {0};
	int fd, rc = 0;

	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	any.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET6)
		any.in6.sin6_port = htons(port);
	else
		any.in.sin_port = htons(port);
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		rc = -errno;
	if (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		rc = -errno;
	/* Larger buffers are a gain, not a need. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	if (rc == 0 && bind(fd, &any.sa, endpoint_len(&any)) < 0)
		rc = -errno;
	if (rc < 0) {
		file_close(&fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/* A socket for every other shard on the port of the first, which was bound alone, so that nobody
 * else's port is shared by mistake. */
static int share(struct broker *b, int family, int *fds)
{
	const int on = 1;
	int rc = 0;

	if (b->shards == 1 || fds[0] < 0)
		return 0;
	if (setsockopt(fds[0], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		return -errno;
	for (unsigned i = 1; i < b->shards && rc == 0; i++)
		rc = open_udp(family, b->net.port, true, &fds[i]);
	return rc < 0 ? rc : bpf_reuseport_attach(fds[0], b->shards);
}

static int share_sockets(struct broker *b, struct error *err)
{
	int rc = share(b, AF_INET, b->net.udp4);

	if (rc == 0)
		rc = share(b, AF_INET6, b->net.udp6);
	return rc < 0 ? error_set(err, rc, "cannot share the tunnel's UDP port among threads: %s",
				  strerror(-rc))
		      : 0;
}

/* Both families on one port; a machine without IPv6 has IPv4 only. */
static int open_sockets(struct broker_net *n, uint16_t wanted, struct error *err)
{
	for (unsigned i = 0; i < PORT_TRIES; i++) {
		uint16_t port = (uint16_t)(wanted + i < 65536 ? wanted + i : 1024 + i);
		int rc = open_udp(AF_INET, port, false, &n->udp4[0]);

		if (rc == 0) {
			rc = open_udp(AF_INET6, port, false, &n->udp6[0]);
			if (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL)
				rc = 0;
		}
		if (rc == 0) {
			n->port = port;
			return 0;
		}
		file_close(&n->udp4[0]);
		if (rc != -EADDRINUSE && rc != -EACCES)
			return error_set(err, rc, "cannot make the tunnel's UDP socket: %s",
					 strerror(-rc));
	}
	return error_set(err, -EADDRINUSE,
			 "the UDP ports from %u on are all taken: start warrend with another "
			 "--wireguard-port",
			 wanted);
}

/* A machine with IPv6 switched off refuses addresses; the mesh then has IPv4. */
static int add_address(const char *ifname, const struct ip_prefix *addr,
		       const struct ip_prefix *route, struct error *err)
{
	struct error inner = {0};
	int rc;

	if (addr->addr.family == 0)
		return 0;
	rc = netlink_addr_add(ifname, addr, &inner);
	if (rc == 0)
		rc = netlink_route_add(ifname, route, &inner);
	if (rc < 0 && addr->addr.family == 6) {
		log_warn("no IPv6 in the mesh on this machine", "error=%s", error_text(&inner));
		return 0;
	}
	return rc < 0 ? error_set(err, rc, "%s", error_text(&inner)) : 0;
}

/* Also puts back what somebody else took away; an MTU that somebody chose stays. */
static int set_up(struct broker_net *n, const struct broker_config *c, struct error *err)
{
	int rc = netlink_link_set(n->ifname, true, n->mtu ? 0 : c->mtu, err);

	if (rc == 0 && n->mtu == 0)
		n->mtu = c->mtu;
	if (rc == 0)
		rc = add_address(n->ifname, &c->addr4, &c->route4, err);
	if (rc == 0)
		rc = add_address(n->ifname, &c->addr6, &c->route6, err);
	return rc;
}

static int make_interface(struct broker *b, const struct broker_config *c, struct error *err)
{
	struct broker_net *n = &b->net;
	int rc = broker_tun_open(b, b->options->interface, n->ifname, n->tuns, &n->caps, err);

	return rc < 0 ? rc : set_up(n, c, err);
}

static int attach_udp(struct broker *b)
{
	int rc = 0;

	for (unsigned i = 0; i < b->shards && rc == 0; i++) {
		struct writer w = broker_engine_begin(b, WIRE_ATTACH);
		const int fds[] = {b->net.udp4[i], b->net.udp6[i]};

		writer_u8(&w, WIRE_ATTACH_UDP);
		writer_bytes(&w, (const uint8_t[5]){0}, 5);
		writer_u8(&w, (uint8_t)i);
		rc = broker_engine_call(b, &w, fds, b->net.udp6[i] >= 0 ? 2 : 1);
	}
	return rc;
}

static void detach(struct broker *b, uint8_t which)
{
	struct writer w;

	if (b->engine.sock < 0)
		return;
	w = broker_engine_begin(b, WIRE_DETACH);
	writer_u8(&w, which);
	/* On failure the engine is started anew, which detaches too. */
	if (broker_engine_call(b, &w, NULL, 0) < 0)
		log_debug("the engine did not detach", "which=%u", which);
}

int broker_net_attach_all(struct broker *b)
{
	struct broker_net *n = &b->net;
	int rc;

	n->intercepting = false; /* a new engine starts without */
	rc = broker_steer_tell(b);
	if (rc < 0 || !n->up)
		return rc;
	rc = broker_steer_attach(b, n->tuns[0]);
	if (rc == 0)
		rc = broker_tun_attach(b, WIRE_ATTACH_TUN, n->tuns, &n->caps);
	if (rc == 0)
		rc = attach_udp(b);
	if (rc == 0 && n->ssh_tuns[0] >= 0) {
		rc = broker_steer_attach(b, n->ssh_tuns[0]);
		if (rc == 0)
			rc = broker_tun_attach(b, WIRE_ATTACH_SSH_TUN, n->ssh_tuns, &n->ssh_caps);
	}
	if (rc == 0)
		broker_ssh_apply(b);
	return rc;
}

/* Without an answer: there may be many changes. */
static void tell_engine(struct broker *b)
{
	struct writer w = writer_init(b->out, sizeof(b->out));

	wire_begin(&w, WIRE_SOURCES, 0);
	if (b->engine.sock >= 0 && unixsock_send(b->engine.sock, w.data, w.len, NULL, 0) < 0)
		log_debug("the engine was not told of a change of routes", NULL);
}

/* An administrator's MTU is the SSH server's too, and the engine pads packets no further. */
static void follow_mtu(struct broker *b, unsigned mtu)
{
	struct writer w = writer_init(b->out, sizeof(b->out));
	uint16_t before = b->net.mtu;
	struct error err = {0};

	if (mtu == 0 || mtu > UINT16_MAX || mtu == b->net.mtu)
		return;
	wire_begin(&w, WIRE_MTU, 0);
	writer_u16(&w, (uint16_t)mtu);
	if (b->engine.sock >= 0 && unixsock_send(b->engine.sock, w.data, w.len, NULL, 0) < 0)
		return; /* with the next change of the network */
	b->net.mtu = (uint16_t)mtu;
	log_info("the interface has another MTU", "interface=%s mtu=%u", b->net.ifname, mtu);
	/* Below that the kernel takes IPv6 addresses away. */
	if (before < IPV6_MIN_MTU && mtu >= IPV6_MIN_MTU &&
	    set_up(&b->net, &b->net.config, &err) < 0)
		log_warn(error_text(&err), NULL);
	broker_ssh_net_mtu(b);
}

/* Somebody else changed links, addresses or routes: is ours still up? */
static void on_netlink(struct broker *b, int fd, void *ctx)
{
	struct broker_net *n = &b->net;
	bool changed = false, up = false;
	unsigned mtu;

	(void)ctx;
	if (netlink_monitor_drain(fd, &changed) < 0) {
		broker_loop_del(b->loop, fd);
		file_close(&n->monitor);
		return;
	}
	if (!changed || !n->up)
		return;
	tell_engine(b);
	if (netlink_link_get(n->ifname, &up, &mtu) < 0)
		up = false;
	else
		follow_mtu(b, mtu);
	if (up != n->link_up) {
		log_warn("somebody changed our interface", "interface=%s up=%d", n->ifname, up);
		n->link_up = up;
		broker_main_tell_link(b, up);
	}
}

static void watch_links(struct broker *b)
{
	struct broker_net *n = &b->net;

	if (n->monitor >= 0 || netlink_monitor_open(&n->monitor) < 0)
		return;
	if (broker_loop_add(b->loop, n->monitor, on_netlink, NULL) < 0)
		file_close(&n->monitor);
}

static bool same(const struct broker_config *a, const struct broker_config *b)
{
	return ip_addr_equal(&a->addr4.addr, &b->addr4.addr) && a->addr4.bits == b->addr4.bits &&
	       ip_addr_equal(&a->addr6.addr, &b->addr6.addr) && a->addr6.bits == b->addr6.bits &&
	       ip_prefix_equal(&a->route4, &b->route4) && ip_prefix_equal(&a->route6, &b->route6) &&
	       a->mtu == b->mtu && a->port == b->port;
}

int broker_net_configure(struct broker *b, const struct broker_config *config, struct error *err)
{
	struct broker_net *n = &b->net;
	int rc;

	if (b->cannot)
		return error_set(err, -EPERM, "%s", b->cannot);
	rc = check(b, config, err);
	if (rc < 0)
		return rc;
	if (n->up && same(&n->config, config))
		return set_up(n, config, err);
	broker_net_teardown(b);
	n->config = *config;
	rc = make_interface(b, config, err);
	if (rc == 0)
		rc = open_sockets(n, config->port ? config->port : b->options->wireguard_port, err);
	if (rc == 0)
		rc = share_sockets(b, err);
	if (rc == 0) {
		rc = broker_tun_attach(b, WIRE_ATTACH_TUN, n->tuns, &n->caps);
		if (rc == 0)
			rc = attach_udp(b);
		if (rc < 0)
			error_set(err, rc, "the engine did not take the interface: try again");
	}
	if (rc < 0) {
		n->up = true; /* so that what is there goes */
		broker_net_teardown(b);
		return rc;
	}
	n->up = n->link_up = true;
	watch_links(b);
	broker_ssh_apply(b);
	log_info("the interface is up", "interface=%s port=%u", n->ifname, n->port);
	return 0;
}

void broker_net_teardown(struct broker *b)
{
	struct broker_net *n = &b->net;

	if (!n->up)
		return;
	n->up = false;
	broker_ssh_apply(b);
	detach(b, WIRE_ATTACH_UDP);
	detach(b, WIRE_ATTACH_TUN);
	broker_loop_del(b->loop, n->monitor);
	file_close(&n->monitor);
	broker_close_all(n->udp4);
	broker_close_all(n->udp6);
	broker_close_all(n->tuns); /* the last descriptors: the interface goes */
	if (n->ifname[0])
		log_info("the interface is gone", "interface=%s", n->ifname);
	broker_net_init(n);
}
