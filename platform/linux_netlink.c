/* SPDX-License-Identifier: Apache-2.0
 *
 * rtnetlink(7) through libnl-route. libnl folds the kernel's error numbers into fewer codes of its
 * own; a callback keeps the kernel's, so that callers get the errno that was meant.
 */
#include "platform/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <string.h>

struct connection {
	struct nl_sock *sock;
	int kernel_error; /* -errno of the last refusal, or 0 */
};

static int keep_kernel_error(struct sockaddr_nl *from, struct nlmsgerr *refusal, void *ctx)
{
	(void)from;
	((struct connection *)ctx)->kernel_error = refusal->error;
	return NL_STOP;
}

static int connection_open(struct connection *c)
{
	*c = (struct connection){.sock = nl_socket_alloc()};
	if (!c->sock)
		return -ENOMEM;
	nl_socket_modify_err_cb(c->sock, NL_CB_CUSTOM, keep_kernel_error, c);
	errno = 0;
	if (nl_connect(c->sock, NETLINK_ROUTE) < 0) { /* close-on-exec */
		int rc = errno ? -errno : -EIO;

		nl_socket_free(c->sock);
		return rc;
	}
	return 0;
}

static void connection_close(struct connection *c)
{
	nl_socket_free(c->sock);
}

/* -errno for what libnl returned. */
static int translate(const struct connection *c, int nl_code)
{
	if (nl_code >= 0)
		return 0;
	if (c->kernel_error < 0)
		return c->kernel_error;
	switch (-nl_code) {
	case NLE_EXIST:
		return -EEXIST;
	case NLE_OBJ_NOTFOUND:
	case NLE_NODEV:
		return -ENODEV;
	case NLE_NOADDR:
		return -EADDRNOTAVAIL;
	case NLE_PERM:
		return -EPERM;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_INVAL:
		return -EINVAL;
	case NLE_BUSY:
		return -EBUSY;
	default:
		return -EIO;
	}
}

int netlink_link_index(const char *ifname)
{
	unsigned index = if_nametoindex(ifname);

	if (index == 0)
		return errno ? -errno : -ENODEV;
	return (int)index;
}

static int explain(struct error *err, int code, const char *what, const char *ifname,
		   const char *object)
{
	if (code == -EPERM || code == -EACCES)
		return error_set(err, code,
				 "no permission to %s %s%s%s: run as root, or give the program "
				 "CAP_NET_ADMIN",
				 what, object, *object ? " on " : "", ifname);
	if (code == -ENODEV)
		return error_set(err, code, "there is no network interface %s", ifname);
	return error_set(err, code, "cannot %s %s%s%s: %s", what, object, *object ? " on " : "",
			 ifname, strerror(-code));
}

int netlink_link_set(const char *ifname, bool up, unsigned mtu, struct error *err)
{
	struct rtnl_link *link = NULL, *change = NULL;
	struct connection c;
	int rc;

	rc = connection_open(&c);
	if (rc < 0)
		return explain(err, rc, "configure", ifname, "");
	rc = translate(&c, rtnl_link_get_kernel(c.sock, 0, ifname, &link));
	if (rc < 0)
		goto out;
	change = rtnl_link_alloc();
	if (!change) {
		rc = -ENOMEM;
		goto out;
	}
	if (up)
		rtnl_link_set_flags(change, IFF_UP);
	else
		rtnl_link_unset_flags(change, IFF_UP);
	if (mtu > 0)
		rtnl_link_set_mtu(change, mtu);
	rc = translate(&c, rtnl_link_change(c.sock, link, change, 0));
out:
	rtnl_link_put(change);
	rtnl_link_put(link);
	connection_close(&c);
	return rc < 0 ? explain(err, rc, "configure", ifname, "") : 0;
}

/* By index when it is not 0, else by name. */
static int link_get(int index, const char *ifname, bool *ret_up, unsigned *ret_mtu)
{
	struct rtnl_link *link = NULL;
	struct connection c;
	int rc;

	rc = connection_open(&c);
	if (rc < 0)
		return rc;
	rc = translate(&c, rtnl_link_get_kernel(c.sock, index, ifname, &link));
	if (rc == 0) {
		*ret_up = rtnl_link_get_flags(link) & IFF_UP;
		*ret_mtu = rtnl_link_get_mtu(link);
	}
	rtnl_link_put(link);
	connection_close(&c);
	return rc;
}

int netlink_link_get(const char *ifname, bool *ret_up, unsigned *ret_mtu)
{
	return link_get(0, ifname, ret_up, ret_mtu);
}

int netlink_link_get_index(int index, bool *ret_up, unsigned *ret_mtu)
{
	return index > 0 ? link_get(index, NULL, ret_up, ret_mtu) : -ENODEV;
}

int netlink_link_delete(const char *ifname)
{
	struct rtnl_link *link;
	struct connection c;
	int rc, index;

	index = netlink_link_index(ifname);
	if (index < 0)
		return index;
	rc = connection_open(&c);
	if (rc < 0)
		return rc;
	link = rtnl_link_alloc();
	if (link) {
		rtnl_link_set_ifindex(link, index);
		rc = translate(&c, rtnl_link_delete(c.sock, link));
	} else {
		rc = -ENOMEM;
	}
	rtnl_link_put(link);
	connection_close(&c);
	return rc;
}

/* NULL for a prefix without family or without memory. */
static struct nl_addr *to_nl_addr(const struct ip_prefix *prefix)
{
	struct nl_addr *addr;

	if ((prefix->addr.family != 4 || prefix->bits > 32) &&
	    (prefix->addr.family != 6 || prefix->bits > 128))
		return NULL;
	addr = prefix->addr.family == 4 ? nl_addr_build(AF_INET, prefix->addr.bytes, 4)
					: nl_addr_build(AF_INET6, prefix->addr.bytes, 16);
	if (addr)
		nl_addr_set_prefixlen(addr, prefix->bits);
	return addr;
}

static int change_addr(const char *ifname, const struct ip_prefix *prefix, bool add)
{
	struct nl_addr *local = to_nl_addr(prefix);
	struct rtnl_addr *addr = rtnl_addr_alloc();
	int index = netlink_link_index(ifname);
	struct connection c;
	int rc;

	if (index < 0 || !local || !addr) {
		rc = index < 0 ? index : -EINVAL;
		goto out;
	}
	rc = connection_open(&c);
	if (rc < 0)
		goto out;
	rtnl_addr_set_ifindex(addr, index);
	rc = translate(&c, rtnl_addr_set_local(addr, local));
	/* Our prefix has no second owner on the link: usable at once instead of after a second. */
	if (rc == 0 && prefix->addr.family == 6)
		rtnl_addr_set_flags(addr, IFA_F_NODAD);
	if (rc == 0)
		rc = translate(&c, add ? rtnl_addr_add(c.sock, addr, 0)
				       : rtnl_addr_delete(c.sock, addr, 0));
	connection_close(&c);
	if ((add && rc == -EEXIST) || (!add && rc == -EADDRNOTAVAIL))
		rc = 0;
out:
	rtnl_addr_put(addr);
	nl_addr_put(local);
	return rc;
}

int netlink_addr_add(const char *ifname, const struct ip_prefix *addr_with_host_bits,
		     struct error *err)
{
	char text[IP_PREFIX_STRLEN];
	int rc = change_addr(ifname, addr_with_host_bits, true);

	if (rc == 0)
		return 0;
	return explain(err, rc, "add the address", ifname,
		       ip_prefix_format(addr_with_host_bits, text));
}

int netlink_addr_del(const char *ifname, const struct ip_prefix *addr)
{
	return change_addr(ifname, addr, false);
}

/* dst of zero bits is the default route. */
static int fill_route(struct rtnl_route *route, const struct ip_prefix *prefix, int index)
{
	struct nl_addr *dst = to_nl_addr(prefix);
	struct rtnl_nexthop *hop;
	int rc;

	if (!dst)
		return -EINVAL;
	rc = rtnl_route_set_dst(route, dst);
	nl_addr_put(dst);
	if (rc < 0)
		return -EINVAL;
	hop = rtnl_route_nh_alloc();
	if (!hop)
		return -ENOMEM;
	rtnl_route_nh_set_ifindex(hop, index);
	rtnl_route_add_nexthop(route, hop); /* owned by the route from here */
	rtnl_route_set_table(route, RT_TABLE_MAIN);
	rtnl_route_set_protocol(route, RTPROT_STATIC);
	rtnl_route_set_scope(route, prefix->addr.family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
	return 0;
}

static int change_route(const char *ifname, const struct ip_prefix *dst, bool add)
{
	int index = netlink_link_index(ifname);
	struct rtnl_route *route;
	struct connection c;
	int rc;

	if (index < 0)
		return index;
	route = rtnl_route_alloc();
	if (!route)
		return -ENOMEM;
	rc = fill_route(route, dst, index);
	if (rc < 0)
		goto out;
	rc = connection_open(&c);
	if (rc < 0)
		goto out;
	rc = translate(&c, add ? rtnl_route_add(c.sock, route, 0)
			       : rtnl_route_delete(c.sock, route, 0));
	connection_close(&c);
	if ((add && rc == -EEXIST) || (!add && rc == -ESRCH))
		rc = 0;
out:
	rtnl_route_put(route);
	return rc;
}

int netlink_route_add(const char *ifname, const struct ip_prefix *dst, struct error *err)
{
	char text[IP_PREFIX_STRLEN];
	int rc = change_route(ifname, dst, true);

	if (rc == -ENETDOWN)
		return error_set(err, rc, "cannot add the route %s: the interface %s is down",
				 ip_prefix_format(dst, text), ifname);
	if (rc < 0)
		return explain(err, rc, "add the route", ifname, ip_prefix_format(dst, text));
	return 0;
}

int netlink_route_del(const char *ifname, const struct ip_prefix *dst)
{
	return change_route(ifname, dst, false);
}

int netlink_route_default(const char *ifname, int family)
{
	struct ip_prefix all = {.addr = {.family = (uint8_t)family}};

	if (family != 4 && family != 6)
		return -EINVAL;
	return change_route(ifname, &all, true);
}

/* False for what peers can't use: loopback, links that are down, addresses that are not ready. */
static bool describe_addr(struct rtnl_addr *addr, struct nl_cache *links,
			  struct netlink_local_addr *ret)
{
	struct nl_addr *local = rtnl_addr_get_local(addr);
	int index = rtnl_addr_get_ifindex(addr), family = rtnl_addr_get_family(addr);
	struct rtnl_link *link;
	unsigned flags;

	if (!local || (family != AF_INET && family != AF_INET6) ||
	    nl_addr_get_len(local) != (family == AF_INET ? 4U : 16U))
		return false;
	if (rtnl_addr_get_flags(addr) & (IFA_F_TENTATIVE | IFA_F_DADFAILED))
		return false;
	link = rtnl_link_get(links, index);
	if (!link)
		return false;
	flags = rtnl_link_get_flags(link);
	*ret = (struct netlink_local_addr){
		.addr.family = family == AF_INET ? 4 : 6,
		.prefix_bits = (uint8_t)rtnl_addr_get_prefixlen(addr),
		.ifindex = index,
		.up = flags & IFF_UP,
		.link_local = rtnl_addr_get_scope(addr) == RT_SCOPE_LINK,
	};
	memcpy(ret->addr.bytes, nl_addr_get_binary_addr(local), family == AF_INET ? 4 : 16);
	if (family == AF_INET && ret->addr.bytes[0] == 169 && ret->addr.bytes[1] == 254)
		ret->link_local = true;
	memccpy(ret->ifname, rtnl_link_get_name(link), '\0', IFNAMSIZ - 1);
	rtnl_link_put(link);
	return (flags & IFF_UP) && !(flags & IFF_LOOPBACK);
}

int netlink_list_addrs(struct netlink_local_addr *out, size_t max, size_t *ret_count)
{
	struct nl_cache *links = NULL, *addrs = NULL;
	struct connection c;
	size_t count = 0;
	int rc;

	rc = connection_open(&c);
	if (rc < 0)
		return rc;
	rc = translate(&c, rtnl_link_alloc_cache(c.sock, AF_UNSPEC, &links));
	if (rc == 0)
		rc = translate(&c, rtnl_addr_alloc_cache(c.sock, &addrs));
	if (rc < 0)
		goto out;
	for (struct nl_object *o = nl_cache_get_first(addrs); o && count < max;
	     o = nl_cache_get_next(o))
		if (describe_addr((struct rtnl_addr *)o, links, &out[count]))
			count++;
	*ret_count = count;
out:
	nl_cache_free(addrs);
	nl_cache_free(links);
	connection_close(&c);
	return rc;
}
