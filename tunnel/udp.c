/* SPDX-License-Identifier: Apache-2.0
 *
 * UDP sending and receiving. What can be missing or go missing is survived: GSO (EIO from a device
 * without checksum offload, EINVAL above the path's MTU), and the source address of a path that
 * changed under us (the packet in hand is sent again without it).
 */
#include "tunnel/udp.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/loop.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define RX_MESSAGES    8
#define RX_BUFFER      DEVICE_PACKET_MAX
#define RX_ROUNDS      4 /* receive calls per turn and socket, so that TUNs have theirs */
#define TX_MESSAGES    64
#define SOCKET_BUFFER  (4 << 20)
#define SOCKET_DEFAULT 212992 /* Linux's rmem_default */
#define GSO_RETRY_NS   (10 * NSEC_PER_SEC)
#define CONTROL_BYTES  (CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)) + 32)

struct socket {
	int fd;
	bool gso;
};

union control {
	struct cmsghdr align;
	uint8_t bytes[CONTROL_BYTES];
};

struct udp {
	struct tunnel *device;
	struct socket v4, v6;
	bool watching_room;
	uint32_t gso_limit; /* segments of this size or more failed with GSO; 0: none */
	uint64_t gso_limit_ns;

	/* RX_MESSAGES buffers and one more: super-packets that start in the last buffer may be read
	 * to their gathered length without leaving the mapping. */
	uint8_t *rx;
	struct mmsghdr rx_msgs[RX_MESSAGES];
	struct iovec rx_iov[RX_MESSAGES];
	struct sockaddr_in6 rx_from[RX_MESSAGES];
	union control rx_control[RX_MESSAGES];
	struct mmsghdr tx_msgs[TX_MESSAGES];
	struct iovec tx_iov[TX_MESSAGES];
	union control tx_control[TX_MESSAGES];
};

#define RX_MAPPING ((size_t)(RX_MESSAGES + 1) * RX_BUFFER)

int udp_new(struct tunnel *t, struct udp **ret_udp)
{
	struct udp *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->rx = mmap(NULL, RX_MAPPING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (u->rx == MAP_FAILED) {
		free(u);
		return -ENOMEM;
	}
	u->device = t;
	u->v4.fd = u->v6.fd = -1;
	*ret_udp = u;
	return 0;
}

static void socket_close(struct udp *u, struct socket *s)
{
	if (s->fd < 0)
		return;
	loop_unwatch(u->device->loop, s->fd);
	close(s->fd);
	s->fd = -1;
}

void udp_free(struct udp *u)
{
	if (!u)
		return;
	socket_close(u, &u->v4);
	socket_close(u, &u->v6);
	munmap(u->rx, RX_MAPPING);
	free(u);
}

/* Raises only: whoever opened the socket may have been allowed more than we are, and an
 * unprivileged request above rmem_max or wmem_max would lower what is there. */
static void raise_buffer(int fd, int option, int forced)
{
	int want = SOCKET_BUFFER;
	int now = 0;
	socklen_t len = sizeof(now);

	if (getsockopt(fd, SOL_SOCKET, option, &now, &len) < 0 || now / 2 >= want)
		return;
	if (setsockopt(fd, SOL_SOCKET, forced, &want, sizeof(want)) < 0 && now <= SOCKET_DEFAULT)
		setsockopt(fd, SOL_SOCKET, option, &want, sizeof(want));
}

/* Everything here is an improvement; a kernel without it only costs time. */
static void socket_prepare(struct socket *s, int family)
{
	int on = 1;
	int dont = IP_PMTUDISC_DONT;
	int segment = 0;
	socklen_t len = sizeof(segment);

	raise_buffer(s->fd, SO_RCVBUF, SO_RCVBUFFORCE);
	raise_buffer(s->fd, SO_SNDBUF, SO_SNDBUFFORCE);
	if (family == AF_INET)
		setsockopt(s->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	else
		setsockopt(s->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	/* As the kernel's WireGuard: routers may fragment what is too large for a path whose ICMP is
	 * filtered, instead of losing it for ever. */
	if (family == AF_INET)
		setsockopt(s->fd, IPPROTO_IP, IP_MTU_DISCOVER, &dont, sizeof(dont));
	if (family == AF_INET)
		setsockopt(s->fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on));
	else
		setsockopt(s->fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on));
	setsockopt(s->fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	s->gso = getsockopt(s->fd, SOL_UDP, UDP_SEGMENT, &segment, &len) == 0;
}

static void read_pktinfo(struct msghdr *msg, struct udp_source *ret_source, size_t *ret_seg_size)
{
	memset(ret_source, 0, sizeof(*ret_source));
	*ret_seg_size = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret_source->addr.family = 4;
			memcpy(ret_source->addr.bytes, &info.ipi_spec_dst, 4);
			ret_source->ifindex = (unsigned)info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret_source->addr.family = 6;
			memcpy(ret_source->addr.bytes, &info.ipi6_addr, 16);
			ret_source->ifindex = info.ipi6_ifindex;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			ret_source->ecn = *CMSG_DATA(c) & 3;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			int class;

			memcpy(&class, CMSG_DATA(c), sizeof(class));
			ret_source->ecn = (uint8_t)(class & 3);
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			if (size > 0)
				*ret_seg_size = (size_t)size;
		}
	}
}

static int receive(struct udp *u, int fd)
{
	for (unsigned i = 0; i < RX_MESSAGES; i++) {
		u->rx_iov[i] = (struct iovec){u->rx + (size_t)i * RX_BUFFER, RX_BUFFER};
		u->rx_msgs[i].msg_hdr = (struct msghdr){.msg_name = &u->rx_from[i],
							.msg_namelen = sizeof(u->rx_from[i]),
							.msg_iov = &u->rx_iov[i],
							.msg_iovlen = 1,
							.msg_control = &u->rx_control[i],
							.msg_controllen = CONTROL_BYTES};
	}
	return recvmmsg(fd, u->rx_msgs, RX_MESSAGES, MSG_DONTWAIT, NULL);
}

static void socket_ready(void *ctx, int fd, uint32_t events)
{
	struct udp *u = ctx;
	struct tunnel *t = u->device;

	if (events & EPOLLOUT)
		tx_flush(t);
	for (unsigned round = 0; round < RX_ROUNDS; round++) {
		int count = receive(u, fd);
		uint64_t now_ns = device_now(t);

		for (int i = 0; i < count; i++) {
			struct msghdr *msg = &u->rx_msgs[i].msg_hdr;
			struct udp_source source;
			struct endpoint from;
			size_t seg_size;

			if (msg->msg_flags & MSG_TRUNC)
				continue;
			endpoint_from_sockaddr(msg->msg_name, msg->msg_namelen, &from);
			read_pktinfo(msg, &source, &seg_size);
			rx_train(t, u->rx + (size_t)i * RX_BUFFER, u->rx_msgs[i].msg_len, seg_size,
				 &from, &source, now_ns);
		}
		rx_flush(t, now_ns);
		if (count < RX_MESSAGES)
			break;
		/* The hook may have attached other sockets. */
		if (fd != u->v4.fd && fd != u->v6.fd)
			break;
	}
}

int udp_attach(struct udp *u, int fd4, int fd6)
{
	struct socket v4 = {.fd = fd4};
	struct socket v6 = {.fd = fd6};
	int r;

	if (fd4 >= 0) {
		r = loop_watch(u->device->loop, fd4, EPOLLIN, socket_ready, u);
		if (r < 0)
			return r;
		socket_prepare(&v4, AF_INET);
	}
	if (fd6 >= 0) {
		r = loop_watch(u->device->loop, fd6, EPOLLIN, socket_ready, u);
		if (r < 0) {
			loop_unwatch(u->device->loop, fd4);
			return r;
		}
		socket_prepare(&v6, AF_INET6);
	}
	if (u->v4.fd != fd4)
		socket_close(u, &u->v4);
	if (u->v6.fd != fd6)
		socket_close(u, &u->v6);
	u->v4 = v4;
	u->v6 = v6;
	u->watching_room = false;
	u->gso_limit = 0;
	return 0;
}

void udp_release(struct udp *u)
{
	loop_unwatch(u->device->loop, u->v4.fd);
	loop_unwatch(u->device->loop, u->v6.fd);
	u->v4.fd = u->v6.fd = -1;
}

int udp_watch_room(struct udp *u, bool on)
{
	uint32_t events = on ? EPOLLIN | EPOLLOUT : EPOLLIN;
	int r = 0;

	if (u->watching_room == on)
		return 0;
	u->watching_room = on;
	if (u->v4.fd >= 0)
		r = loop_change(u->device->loop, u->v4.fd, events);
	if (r == 0 && u->v6.fd >= 0)
		r = loop_change(u->device->loop, u->v6.fd, events);
	return r;
}

static struct socket *socket_for(struct udp *u, const struct endpoint *to)
{
	struct socket *s = to->sa.sa_family == AF_INET ? &u->v4 : &u->v6;

	return s->fd >= 0 ? s : NULL;
}

static bool gso_usable(struct udp *u, const struct socket *s, const struct train *train)
{
	if (!s->gso)
		return false;
	if (u->gso_limit && train->seg_size >= u->gso_limit) {
		if (device_now(u->device) - u->gso_limit_ns < GSO_RETRY_NS)
			return false;
		u->gso_limit = 0;
	}
	return true;
}

static struct cmsghdr *put_control(union control *control, size_t used, int level, int type,
				   const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)(control->bytes + used);

	memset(c, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	return c;
}

/* Writes source, traffic class and, for seg_size > 0, the segment size; returns the length. */
static size_t fill_control(union control *control, const struct train *train, uint16_t seg_size)
{
	const struct udp_source *source = &train->source;
	int family = train->to.sa.sa_family;
	int tos = train->tos;
	size_t used = 0;

	if (source->addr.family == 4 && family == AF_INET) {
		/* No interface: the route decides it, also after it changed. */
		struct in_pktinfo info = {0};

		memcpy(&info.ipi_spec_dst, source->addr.bytes, 4);
		put_control(control, used, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
		used += CMSG_SPACE(sizeof(info));
	} else if (source->addr.family == 6 && family == AF_INET6 &&
		   !(source->addr.bytes[0] == 0xfe && (source->addr.bytes[1] & 0xc0) == 0x80)) {
		/* Link-local needs none: the scope of the destination says it. */
		struct in6_pktinfo info = {0};

		memcpy(&info.ipi6_addr, source->addr.bytes, 16);
		put_control(control, used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
		used += CMSG_SPACE(sizeof(info));
	}
	if (tos && family == AF_INET) {
		put_control(control, used, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
		used += CMSG_SPACE(sizeof(tos));
	} else if (tos) {
		put_control(control, used, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
		used += CMSG_SPACE(sizeof(tos));
	}
	if (seg_size) {
		put_control(control, used, SOL_UDP, UDP_SEGMENT, &seg_size, sizeof(seg_size));
		used += CMSG_SPACE(sizeof(seg_size));
	}
	return used;
}

static void fill_message(struct udp *u, unsigned i, struct train *train, uint8_t *data, size_t len,
			 uint16_t seg_size)
{
	size_t control = fill_control(&u->tx_control[i], train, seg_size);

	u->tx_iov[i] = (struct iovec){.iov_base = data, .iov_len = len};
	u->tx_msgs[i].msg_hdr = (struct msghdr){.msg_name = &train->to.sa,
						.msg_namelen = endpoint_len(&train->to),
						.msg_iov = &u->tx_iov[i],
						.msg_iovlen = 1,
						.msg_control = control ? &u->tx_control[i] : NULL,
						.msg_controllen = control};
}

enum outcome {
	SENT,  /* all of it, or lost for good */
	AGAIN, /* the call is worth repeating now */
	FULL,  /* the socket is full */
};

/* What to do about the error of a send of train. */
static enum outcome failed(struct udp *u, struct socket *s, struct train *train, bool with_gso,
			   int error)
{
	struct tunnel *t = u->device;

	if (error == EINTR)
		return AGAIN;
	if (error == EAGAIN || error == EWOULDBLOCK)
		return FULL;
	if (error == EIO && with_gso) { /* no checksum offload on this way */
		s->gso = false;
		DEVICE_COUNT(t->stats[STAT_GSO_LOST], 1);
		return AGAIN;
	}
	if (train->source.addr.family &&
	    (error == EINVAL || error == EADDRNOTAVAIL || error == ENETUNREACH ||
	     error == EHOSTUNREACH || error == ENODEV)) {
		DEVICE_COUNT(t->stats[STAT_SOURCE_LOST], 1);
		memset(&train->source, 0, sizeof(train->source));
		if (train->peer)
			memset(&train->peer->source, 0, sizeof(train->peer->source));
		return AGAIN;
	}
	if (with_gso && (error == EINVAL || error == EMSGSIZE)) {
		/* Segments larger than the path's MTU must be sent (and fragmented) one by one. */
		u->gso_limit = train->seg_size;
		u->gso_limit_ns = device_now(t);
		return AGAIN;
	}
	DEVICE_COUNT(t->drops[DROP_TX_SOCKET], train_datagrams(train));
	return SENT;
}

/* Without GSO: datagram by datagram. On FULL the train is what is left of it. */
static enum outcome send_split(struct udp *u, struct socket *s, struct train *train)
{
	while (train->len) {
		unsigned n = 0;
		int sent;

		for (uint32_t at = 0; at < train->len && n < TX_MESSAGES; at += train->seg_size) {
			uint32_t len = train->len - at < train->seg_size ? train->len - at
									 : train->seg_size;

			fill_message(u, n++, train, train->data + at, len, 0);
		}
		sent = sendmmsg(s->fd, u->tx_msgs, n, MSG_DONTWAIT);
		if (sent < 0) {
			enum outcome o = failed(u, s, train, false, errno);

			if (o != AGAIN)
				return o;
			continue;
		}
		DEVICE_COUNT(u->device->stats[STAT_TX_TRAINS], (unsigned)sent);
		for (; sent > 0; sent--) {
			uint32_t len = train->len < train->seg_size ? train->len : train->seg_size;

			train->data += len;
			train->len -= len;
		}
	}
	return SENT;
}

/* As many trains of one socket as one call takes; *ret_done of them are finished. */
static enum outcome send_some(struct udp *u, struct socket *s, struct train *trains, size_t count,
			      size_t *ret_done)
{
	unsigned n = 0;
	int sent;

	*ret_done = 0;
	while (n < count && n < TX_MESSAGES && socket_for(u, &trains[n].to) == s) {
		struct train *train = &trains[n];
		bool many = train->len > train->seg_size;

		if (many && !gso_usable(u, s, train))
			break;
		fill_message(u, n++, train, train->data, train->len,
			     many ? (uint16_t)train->seg_size : 0);
	}
	if (!n) {
		enum outcome o = send_split(u, s, trains);

		*ret_done = o == SENT;
		return o;
	}
	sent = sendmmsg(s->fd, u->tx_msgs, n, MSG_DONTWAIT);
	if (sent >= 0) {
		DEVICE_COUNT(u->device->stats[STAT_TX_TRAINS], (unsigned)sent);
		*ret_done = (size_t)sent;
		return AGAIN;
	}
	switch (failed(u, s, trains, trains->len > trains->seg_size, errno)) {
	case SENT:
		*ret_done = 1;
		return AGAIN;
	case FULL:
		return FULL;
	case AGAIN:
		break;
	}
	return AGAIN;
}

size_t udp_send(void *udp, struct train *trains, size_t count)
{
	struct udp *u = udp;
	size_t done = 0;

	while (done < count) {
		struct socket *s = socket_for(u, &trains[done].to);
		size_t n;

		if (!s) {
			DEVICE_COUNT(u->device->drops[DROP_TX_SOCKET],
				     train_datagrams(&trains[done]));
			done++;
			continue;
		}
		if (send_some(u, s, trains + done, count - done, &n) == FULL)
			return done + n;
		done += n;
	}
	return done;
}

int udp_send_foreign(struct udp *u, const struct endpoint *to, const void *data, size_t len)
{
	const struct socket *s = socket_for(u, to);
	struct endpoint name = *to;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_name = &name.sa,
			     .msg_namelen = endpoint_len(to),
			     .msg_iov = &iov,
			     .msg_iovlen = 1};

	if (!s)
		return -EAFNOSUPPORT;
	for (unsigned i = 0; i < 3; i++) {
		if (sendmsg(s->fd, &msg, MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EINTR)
			break;
	}
	return -errno;
}
