/* SPDX-License-Identifier: Apache-2.0
 *
 * Links, addresses and routes through libnl-route, in the calling thread's network namespace. Each
 * call opens its own netlink socket (configuration is rare); events come from a monitor.
 */
#ifndef WARREN_PLATFORM_NETLINK_H
#define WARREN_PLATFORM_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "platform/addr.h"
#include "platform/error.h"

int netlink_link_index(const char *ifname) WARREN_MUST_USE; /* > 0 or -errno */
int netlink_link_set(const char *ifname, bool up, unsigned mtu /* 0: leave */, struct error *err)
	WARREN_MUST_USE;
int netlink_link_get(const char *ifname, bool *ret_up, unsigned *ret_mtu) WARREN_MUST_USE;
/* The same of an interface that may have been renamed; -ENODEV: gone, or in another namespace. */
int netlink_link_get_index(int index, bool *ret_up, unsigned *ret_mtu) WARREN_MUST_USE;
int netlink_link_delete(const char *ifname) WARREN_MUST_USE;
/* Idempotent: an address or route that is there already is success; a missing one on removal too. */
int netlink_addr_add(const char *ifname, const struct ip_prefix *addr_with_host_bits,
		     struct error *err) WARREN_MUST_USE;
int netlink_addr_del(const char *ifname, const struct ip_prefix *addr) WARREN_MUST_USE;
int netlink_route_add(const char *ifname, const struct ip_prefix *dst, struct error *err)
	WARREN_MUST_USE;
int netlink_route_del(const char *ifname, const struct ip_prefix *dst) WARREN_MUST_USE;
/* Default route through an interface (for the private namespace of the SSH server). */
int netlink_route_default(const char *ifname, int family /* 4 or 6 */) WARREN_MUST_USE;

struct netlink_local_addr {
	struct ip_addr addr;
	uint8_t prefix_bits;
	int ifindex;
	char ifname[IFNAMSIZ];
	bool link_local;
	bool up;
};
/* All unicast addresses of interfaces that are up (loopback left out); at most max entries. */
int netlink_list_addrs(struct netlink_local_addr *out, size_t max, size_t *ret_count) WARREN_MUST_USE;

/* A descriptor that becomes readable when links, addresses or routes change (RTNLGRP_LINK,
 * IPV4/6_IFADDR, IPV4/6_ROUTE), plus LINK messages decoded on demand. */
int netlink_monitor_open(int *ret_fd) WARREN_MUST_USE;
/* Drains the descriptor without blocking; *ret_changed: anything but noise was read. */
int netlink_monitor_drain(int fd, bool *ret_changed) WARREN_MUST_USE;

/* A descriptor to ask netlink_route_get on; needs no right. */
int netlink_route_open(int *ret_fd) WARREN_MUST_USE;
/* The interface by which packets from src (of another family or 0: any) to dst leave under mark.
 * Never blocks. -ENETUNREACH and others when there is no such route; -EINVAL: src is not ours. */
int netlink_route_get(int fd, const struct ip_addr *dst, const struct ip_addr *src, uint32_t mark,
		      unsigned *ret_ifindex) WARREN_MUST_USE;

#endif
