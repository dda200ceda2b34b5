/* SPDX-License-Identifier: Apache-2.0
 *
 * One question to the kernel's routing on a descriptor of one's own (rtnetlink(7), RTM_GETROUTE):
 * for a process that has no right to open one any more. The kernel answers while it takes the
 * question, so nothing here waits.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "platform/netlink.h"

enum { ANSWER_BYTES = 4096, STALE_MAX = 16 };

struct question {
	struct nlmsghdr head;
	struct rtmsg route;
	uint8_t attributes[3 * RTA_SPACE(16)];
};

int netlink_route_open(int *ret_fd)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static void put_attribute(struct question *q, unsigned short type, const void *data, size_t len)
{
	struct rtattr attr = {.rta_len = (unsigned short)RTA_LENGTH(len), .rta_type = type};
	uint8_t *at = (uint8_t *)q + NLMSG_ALIGN(q->head.nlmsg_len);

	memcpy(at, &attr, sizeof(attr));
	memcpy(at + RTA_LENGTH(0), data, len);
	q->head.nlmsg_len = NLMSG_ALIGN(q->head.nlmsg_len) + (uint32_t)RTA_SPACE(len);
}

static int read_answer(const uint8_t *data, size_t len, unsigned *ret_ifindex)
{
	struct nlmsghdr head;
	struct nlmsgerr refusal;

	memcpy(&head, data, sizeof(head));
	if (head.nlmsg_type == NLMSG_ERROR && len >= sizeof(head) + sizeof(refusal)) {
		memcpy(&refusal, data + sizeof(head), sizeof(refusal));
		return refusal.error < 0 ? refusal.error : -EIO;
	}
	if (head.nlmsg_type != RTM_NEWROUTE)
		return -EIO;
	for (size_t at = NLMSG_SPACE(sizeof(struct rtmsg)); at + sizeof(struct rtattr) <= len;) {
		struct rtattr attr;
		uint32_t ifindex;

		memcpy(&attr, data + at, sizeof(attr));
		if (attr.rta_len < sizeof(attr) || attr.rta_len > len - at)
			break;
		if (attr.rta_type == RTA_OIF && attr.rta_len == RTA_LENGTH(sizeof(ifindex))) {
			memcpy(&ifindex, data + at + RTA_LENGTH(0), sizeof(ifindex));
			*ret_ifindex = ifindex;
			return 0;
		}
		at += RTA_ALIGN(attr.rta_len);
	}
	return -ENETUNREACH;
}

int netlink_route_get(int fd, const struct ip_addr *dst, const struct ip_addr *src, uint32_t mark,
		      unsigned *ret_ifindex)
{
	size_t bytes = dst->family == 4 ? 4 : 16;
	struct question q = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
				      .nlmsg_type = RTM_GETROUTE,
				      .nlmsg_flags = NLM_F_REQUEST},
			     .route = {.rtm_family = dst->family == 4 ? AF_INET : AF_INET6,
				       .rtm_dst_len = (unsigned char)(bytes * 8)}};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct iovec iov = {.iov_base = &q};
	struct msghdr msg = {.msg_name = &kernel,
			     .msg_namelen = sizeof(kernel),
			     .msg_iov = &iov,
			     .msg_iovlen = 1};
	uint8_t answer[ANSWER_BYTES];

	put_attribute(&q, RTA_DST, dst->bytes, bytes);
	if (src->family == dst->family) {
		q.route.rtm_src_len = (unsigned char)(bytes * 8);
		put_attribute(&q, RTA_SRC, src->bytes, bytes);
	}
	if (mark)
		put_attribute(&q, RTA_MARK, &mark, sizeof(mark));
	iov.iov_len = q.head.nlmsg_len;
	if (sendmsg(fd, &msg, MSG_DONTWAIT) < 0)
		return -errno;
	for (unsigned i = 0; i < STALE_MAX; i++) {
		ssize_t n;

		iov = (struct iovec){.iov_base = answer, .iov_len = sizeof(answer)};
		msg.msg_namelen = sizeof(kernel);
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
		if (n < 0)
			return -errno;
		if ((size_t)n >= sizeof(struct nlmsghdr) && kernel.nl_pid == 0)
			return read_answer(answer, (size_t)n, ret_ifindex);
	}
	return -EIO;
}
