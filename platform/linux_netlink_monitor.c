/* SPDX-License-Identifier: Apache-2.0
 *
 * Link, address and route events (rtnetlink(7)) on a descriptor of their own. Only the kernel is
 * believed. The path machine asks "did anything change?", so a message is judged, not decoded.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "platform/file.h"
#include "platform/netlink.h"

enum { EVENT_BYTES = 32768 };

int netlink_monitor_open(int *ret_fd)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
				     RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
	int fd, rc = 0;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		rc = -errno;
	for (size_t i = 0; rc == 0 && i < sizeof(groups) / sizeof(groups[0]); i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])) < 0)
			rc = -errno;
	if (rc < 0) {
		file_close(&fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/* Routes that the kernel keeps for itself follow from addresses, which are reported as such; a
 * wireless driver reports scan results as link messages. */
static bool is_noise(const struct nlmsghdr *head, const uint8_t *body, size_t len)
{
	struct rtmsg route;

	switch (head->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (len < sizeof(route))
			return true;
		memcpy(&route, body, sizeof(route));
		return (route.rtm_flags & RTM_F_CLONED) || route.rtm_table == RT_TABLE_LOCAL;
	case RTM_NEWLINK:
		if (len < sizeof(struct ifinfomsg))
			return true;
		for (size_t at = sizeof(struct ifinfomsg); len - at >= sizeof(struct rtattr);) {
			struct rtattr attr;

			memcpy(&attr, body + at, sizeof(attr));
			if (attr.rta_len < sizeof(attr) || attr.rta_len > len - at)
				break;
			if (attr.rta_type == IFLA_WIRELESS)
				return true;
			if (RTA_ALIGN(attr.rta_len) >= len - at)
				break;
			at += RTA_ALIGN(attr.rta_len);
		}
		return false;
	case RTM_DELLINK:
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return false;
	default:
		return true;
	}
}

static bool any_change(const uint8_t *data, size_t len)
{
	while (len >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr head;

		memcpy(&head, data, sizeof(head));
		if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > len)
			return false;
		if (!is_noise(&head, data + NLMSG_HDRLEN, head.nlmsg_len - NLMSG_HDRLEN))
			return true;
		if (NLMSG_ALIGN(head.nlmsg_len) >= len)
			return false;
		data += NLMSG_ALIGN(head.nlmsg_len);
		len -= NLMSG_ALIGN(head.nlmsg_len);
	}
	return false;
}

int netlink_monitor_drain(int fd, bool *ret_changed)
{
	uint8_t data[EVENT_BYTES];
	bool changed = false;

	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from,
				     &from_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			changed = true; /* events were lost: something happened */
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (from_len == sizeof(from) && from.nl_pid == 0 && any_change(data, (size_t)n))
			changed = true;
	}
	*ret_changed = changed;
	return 0;
}
