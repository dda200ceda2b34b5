/* SPDX-License-Identifier: Apache-2.0
 *
 * udp.c over a kernel that is played: capabilities that are missing from the start or get lost, a
 * source address that vanishes with datagrams in hand, a full socket, partial sends; and a random
 * schedule of all of them. Every datagram leaves once, in order, or is counted as lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/bytes.h"
#include "tunnel/device.h"

#define SENT_MAX 4096

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* ---- the kernel that is played: in the place of libc's functions ---- */

static struct {
	bool no_gso, no_gro;
	/* Returns an errno for this datagram or train, 0: goes out. */
	int (*judge)(const struct msghdr *msg, bool gso, bool source);
	uint32_t sent[SENT_MAX]; /* first four bytes of each datagram */
	size_t sent_count;
	unsigned calls, messages;
	bool source_seen;
	int tos_seen;
	unsigned incoming_count; /* what recvmmsg gives */
	uint8_t incoming_data[70000];
	size_t incoming_len;
	int incoming_seg;
} kernel;

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	(void)fd;
	if (level == SOL_UDP && name == UDP_SEGMENT && kernel.no_gso) {
		errno = ENOPROTOOPT;
		return -1;
	}
	memset(value, 0, *len);
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	(void)fd;
	(void)value;
	(void)len;
	if (level == SOL_UDP && name == UDP_GRO && kernel.no_gro) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return 0;
}

static void read_control(struct msghdr *msg, uint16_t *ret_seg, bool *ret_source)
{
	*ret_seg = 0;
	*ret_source = false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT)
			memcpy(ret_seg, CMSG_DATA(c), sizeof(*ret_seg));
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO))
			*ret_source = true;
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
			memcpy(&kernel.tos_seen, CMSG_DATA(c), sizeof(int));
	}
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	(void)fd;
	assert_true(flags & MSG_DONTWAIT);
	kernel.calls++;
	for (unsigned i = 0; i < n; i++) {
		struct msghdr *msg = &msgs[i].msg_hdr;
		const uint8_t *data = msg->msg_iov[0].iov_base;
		size_t len = msg->msg_iov[0].iov_len;
		uint16_t seg;
		bool source;
		int error;

		assert_int_equal(msg->msg_iovlen, 1);
		assert_true(len > 0 && len <= 65507);
		read_control(msg, &seg, &source);
		assert_false(seg && kernel.no_gso);
		error = kernel.judge ? kernel.judge(msg, seg != 0, source) : 0;
		if (error) {
			errno = error;
			return i ? (int)i : -1;
		}
		kernel.messages++;
		kernel.source_seen = source;
		for (size_t at = 0; at < len; at += seg ? seg : len) {
			assert_true(kernel.sent_count < SENT_MAX);
			kernel.sent[kernel.sent_count++] = bytes_get_le32(data + at);
		}
	}
	return (int)n;
}

int recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
	unsigned count = kernel.incoming_count < n ? kernel.incoming_count : n;

	(void)fd;
	(void)flags;
	(void)timeout;
	if (!count) {
		errno = EAGAIN;
		return -1;
	}
	for (unsigned i = 0; i < count; i++) {
		struct msghdr *msg = &msgs[i].msg_hdr;
		struct sockaddr_in from = {.sin_family = AF_INET,
					   .sin_port = htons(77),
					   .sin_addr.s_addr = htonl(0xc0000209)};

		assert_true(kernel.incoming_len <= msg->msg_iov[0].iov_len);
		memcpy(msg->msg_iov[0].iov_base, kernel.incoming_data, kernel.incoming_len);
		msgs[i].msg_len = (unsigned)kernel.incoming_len;
		memcpy(msg->msg_name, &from, sizeof(from));
		msg->msg_namelen = sizeof(from);
		msg->msg_flags = 0;
		if (kernel.incoming_seg) {
			struct cmsghdr *c = CMSG_FIRSTHDR(msg);

			if (!c)
				abort();
			c->cmsg_level = SOL_UDP;
			c->cmsg_type = UDP_GRO;
			c->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(c), &kernel.incoming_seg, sizeof(int));
			msg->msg_controllen = CMSG_SPACE(sizeof(int));
		} else {
			msg->msg_controllen = 0;
		}
	}
	kernel.incoming_count -= count;
	return (int)count;
}

/* ---- a device on it ---- */

struct fixture {
	struct tunnel *t;
	struct clock_fake time;
	struct clock clock;
	int wake; /* written to: the "socket" is readable */
	uint32_t foreign[SENT_MAX];
	size_t foreign_count;
	uint8_t *data;
};

static void foreign(void *ctx, const struct endpoint *from, const uint8_t *data, size_t len)
{
	struct fixture *f = ctx;

	assert_int_equal(endpoint_port(from), 77);
	assert_true(len >= 4 && f->foreign_count < SENT_MAX);
	f->foreign[f->foreign_count++] = bytes_get_le32(data);
}

static struct fixture *setup(bool gso, bool gro)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct tunnel_config config = {.aead = "evp", .hooks = {.ctx = f, .foreign = foreign}};
	int fd6 = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_non_null(f);
	memset(&kernel, 0, sizeof(kernel));
	kernel.no_gso = !gso;
	kernel.no_gro = !gro;
	f->time = (struct clock_fake){1000 * NSEC_PER_SEC, 1700000000 * NSEC_PER_SEC};
	f->clock = clock_fake_clock(&f->time);
	config.clock = &f->clock;
	f->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	f->data = malloc(1 << 20);
	assert_true(f->wake >= 0 && fd6 >= 0 && f->data);
	assert_int_equal(tunnel_new(&config, &f->t), 0);
	assert_int_equal(tunnel_attach_udp(f->t, f->wake, fd6), 0);
	return f;
}

static void teardown(struct fixture *f)
{
	tunnel_free(f->t);
	free(f->data);
	free(f);
}

static struct train make_train(struct fixture *f, size_t at, uint32_t first, unsigned count,
			       uint32_t seg, uint32_t last)
{
	struct train train = {
		.data = f->data + at, .seg_size = seg, .len = seg * (count - 1) + last};

	for (uint32_t i = 0; i < count; i++)
		bytes_put_le32(f->data + at + (size_t)i * seg, first + i);
	assert_int_equal(endpoint_parse("192.0.2.1:5", &train.to), 0);
	return train;
}

static void expect_sent(uint32_t first, size_t count)
{
	assert_int_equal(kernel.sent_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(kernel.sent[i], first + i);
}

static size_t send_all(struct fixture *f, struct train *trains, size_t count)
{
	return f->t->io.send(f->t->io.send_ctx, trains, count);
}

static void test_gso(void **state)
{
	struct fixture *f = setup(true, true);
	struct train trains[2] = {make_train(f, 0, 0, 40, 1452, 700),
				  make_train(f, 100000, 40, 1, 132, 132)};

	(void)state;
	assert_in_range(DEVICE_TRAIN_BYTES, 65000, 65507); /* what one sendmsg takes */
	trains[0].tos = 0x88;
	assert_int_equal(send_all(f, trains, 2), 2);
	expect_sent(0, 41);
	assert_int_equal(kernel.calls, 1);
	assert_int_equal(kernel.messages, 2);
	assert_int_equal(kernel.tos_seen, 0x88);
	teardown(f);
}

static int no_checksum_offload(const struct msghdr *msg, bool gso, bool source)
{
	(void)msg;
	(void)source;
	return gso ? EIO : 0;
}

static void test_eio_is_survived(void **state)
{
	struct fixture *f = setup(true, true);
	struct train trains[3] = {make_train(f, 0, 0, 1, 1452, 1452),
				  make_train(f, 2000, 1, 40, 1452, 700),
				  make_train(f, 100000, 41, 30, 1452, 1452)};

	(void)state;
	kernel.judge = no_checksum_offload;
	assert_int_equal(send_all(f, trains, 3), 3);
	expect_sent(0, 71);
	assert_int_equal(f->t->stats[STAT_GSO_LOST], 1);
	assert_int_equal(f->t->drops[DROP_TX_SOCKET], 0);
	/* It is not tried again, and one call still takes many. */
	kernel.sent_count = kernel.calls = 0;
	trains[0] = make_train(f, 0, 0, 40, 1452, 1452);
	assert_int_equal(send_all(f, trains, 1), 1);
	expect_sent(0, 40);
	assert_int_equal(kernel.calls, 1);
	assert_int_equal(f->t->stats[STAT_GSO_LOST], 1);
	/* New sockets, new hope. */
	{
		int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

		assert_int_equal(tunnel_attach_udp(f->t, fd, -1), 0);
		kernel.judge = NULL;
		kernel.sent_count = kernel.messages = 0;
		trains[0] = make_train(f, 0, 0, 40, 1452, 1452);
		assert_int_equal(send_all(f, trains, 1), 1);
		expect_sent(0, 40);
		assert_int_equal(kernel.messages, 1);
	}
	teardown(f);
}

static void test_without_gso_and_gro(void **state)
{
	struct fixture *f = setup(false, false);
	struct train train = make_train(f, 0, 0, 100, 148, 20);
	uint64_t one = 1;

	(void)state;
	assert_int_equal(send_all(f, &train, 1), 1);
	expect_sent(0, 100);
	assert_int_equal(kernel.calls, 2); /* of 64 messages at most */
	kernel.incoming_count = 20;
	kernel.incoming_len = 30;
	kernel.incoming_data[3] = 9; /* not WireGuard's */
	assert_int_equal(write(f->wake, &one, sizeof(one)), sizeof(one));
	assert_int_equal(device_turn(f->t, 0), 0);
	assert_int_equal(f->foreign_count, 20);
	teardown(f);
}

static void test_gro(void **state)
{
	struct fixture *f = setup(true, true);
	uint64_t one = 1;

	(void)state;
	kernel.incoming_count = 3;
	kernel.incoming_len = 10 * 30 + 7;
	kernel.incoming_seg = 30;
	for (size_t i = 0; i <= 10; i++) {
		kernel.incoming_data[i * 30] = (uint8_t)i;
		kernel.incoming_data[i * 30 + 3] = 9;
	}
	assert_int_equal(write(f->wake, &one, sizeof(one)), sizeof(one));
	assert_int_equal(device_turn(f->t, 0), 0);
	assert_int_equal(f->foreign_count, 33);
	for (size_t i = 0; i < 33; i++)
		assert_int_equal(f->foreign[i] & 255, i % 11);
	teardown(f);
}

static int source_error;

static int source_is_gone(const struct msghdr *msg, bool gso, bool source)
{
	(void)msg;
	(void)gso;
	return source ? source_error : 0;
}

/* EINVAL: the address is not ours any more; the others: nothing leads there from it. */
static void test_source_vanishes(void **state)
{
	static const int errors[] = {EINVAL, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH, ENODEV};

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct fixture *f = setup(true, true);
		struct peer peer = {.source = {.addr = {4, {192, 0, 2, 9}}}};
		struct train trains[2] = {make_train(f, 0, 0, 20, 1452, 700),
					  make_train(f, 50000, 20, 20, 1452, 700)};

		source_error = errors[i];
		kernel.judge = source_is_gone;
		for (size_t k = 0; k < 2; k++) {
			trains[k].peer = &peer;
			trains[k].source = peer.source;
		}
		assert_int_equal(send_all(f, trains, 2), 2);
		expect_sent(0, 40);
		assert_false(kernel.source_seen);
		assert_int_equal(peer.source.addr.family, 0);
		assert_true(f->t->stats[STAT_SOURCE_LOST] >= 1);
		assert_int_equal(f->t->drops[DROP_TX_SOCKET], 0);
		/* GSO was not to blame. */
		kernel.sent_count = kernel.messages = 0;
		trains[0] = make_train(f, 0, 0, 20, 1452, 1452);
		assert_int_equal(send_all(f, trains, 1), 1);
		assert_int_equal(kernel.messages, 1);
		teardown(f);
	}
}

static int unreachable(const struct msghdr *msg, bool gso, bool source)
{
	(void)msg;
	(void)gso;
	(void)source;
	return ENETUNREACH;
}

static void test_unreachable_is_lost_and_counted(void **state)
{
	struct fixture *f = setup(true, true);
	struct train trains[2] = {make_train(f, 0, 0, 20, 1452, 700),
				  make_train(f, 50000, 20, 1, 100, 100)};

	(void)state;
	kernel.judge = unreachable;
	assert_int_equal(send_all(f, trains, 2), 2);
	assert_int_equal(kernel.sent_count, 0);
	assert_int_equal(f->t->drops[DROP_TX_SOCKET], 21);
	teardown(f);
}

static int small_path(const struct msghdr *msg, bool gso, bool source)
{
	uint16_t seg;
	bool any;

	(void)source;
	read_control((struct msghdr *)(uintptr_t)msg, &seg, &any);
	return gso && seg > 1472 ? EMSGSIZE : 0;
}

static void test_segments_above_the_path(void **state)
{
	struct fixture *f = setup(true, true);
	struct train train = make_train(f, 0, 0, 7, 9000, 500);

	(void)state;
	kernel.judge = small_path;
	assert_int_equal(send_all(f, &train, 1), 1);
	expect_sent(0, 7);
	/* Smaller ones go on together, large ones not for a while. */
	kernel.sent_count = kernel.messages = 0;
	train = make_train(f, 0, 0, 30, 1400, 500);
	assert_int_equal(send_all(f, &train, 1), 1);
	assert_int_equal(kernel.messages, 1);
	kernel.judge = NULL;
	kernel.messages = 0;
	train = make_train(f, 0, 0, 7, 9000, 500);
	assert_int_equal(send_all(f, &train, 1), 1);
	assert_int_equal(kernel.messages, 7);
	f->time.monotonic_ns += 11 * NSEC_PER_SEC;
	kernel.messages = 0;
	train = make_train(f, 0, 0, 7, 9000, 500);
	assert_int_equal(send_all(f, &train, 1), 1);
	assert_int_equal(kernel.messages, 1);
	teardown(f);
}

static unsigned room;

static int full_after(const struct msghdr *msg, bool gso, bool source)
{
	(void)msg;
	(void)gso;
	(void)source;
	return room ? (room--, 0) : EAGAIN;
}

static void test_full_socket(void **state)
{
	struct fixture *f = setup(false, true);
	struct train trains[2] = {make_train(f, 0, 0, 40, 1452, 700),
				  make_train(f, 100000, 40, 10, 1452, 700)};
	size_t done = 0;

	(void)state;
	kernel.judge = full_after;
	for (unsigned tries = 0; done < 2 && tries < 100; tries++) {
		room = 7;
		done += send_all(f, trains + done, 2 - done);
	}
	assert_int_equal(done, 2);
	expect_sent(0, 50);
	teardown(f);
}

static void test_no_such_family(void **state)
{
	struct fixture *f = setup(true, true);
	struct train train = make_train(f, 0, 0, 3, 100, 100);

	(void)state;
	assert_int_equal(endpoint_parse("[2001:db8::1]:5", &train.to), 0);
	assert_int_equal(tunnel_attach_udp(f->t, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), -1), 0);
	assert_int_equal(send_all(f, &train, 1), 1);
	assert_int_equal(kernel.calls, 0);
	assert_int_equal(f->t->drops[DROP_TX_SOCKET], 3);
	teardown(f);
}

static uint64_t rng = 88172645463325252u;

static uint64_t rand64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* Only faults after which everything can still be sent. */
static int random_fault(const struct msghdr *msg, bool gso, bool source)
{
	(void)msg;
	switch (rand64() % 12) {
	case 0:
		return EAGAIN;
	case 1:
		return EINTR;
	case 2:
		return gso ? EIO : 0;
	case 3:
		return source ? EADDRNOTAVAIL : 0;
	case 4:
		return gso ? EMSGSIZE : 0;
	default:
		return 0;
	}
}

static void test_random_faults(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct fixture *f = setup(rand64() % 4 != 0, true);
		struct peer peer = {.source = {.addr = {4, {192, 0, 2, 9}}}};
		struct train trains[12];
		uint32_t first = 0;
		size_t done = 0;

		kernel.judge = random_fault;
		for (size_t i = 0; i < 12; i++) {
			unsigned count = 1 + (unsigned)(rand64() % 40);
			uint32_t seg = 40 + (uint32_t)(rand64() % 1400);

			trains[i] = make_train(f, i * 64000, first, count, seg,
					       4 + (uint32_t)(rand64() % (seg - 4)));
			if (rand64() % 2) {
				trains[i].peer = &peer;
				trains[i].source = peer.source;
			}
			first += count;
		}
		for (unsigned tries = 0; done < 12 && tries < 10000; tries++)
			done += send_all(f, trains + done, 12 - done);
		assert_int_equal(done, 12);
		expect_sent(0, first);
		assert_int_equal(f->t->drops[DROP_TX_SOCKET], 0);
		teardown(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gso),
		cmocka_unit_test(test_eio_is_survived),
		cmocka_unit_test(test_without_gso_and_gro),
		cmocka_unit_test(test_gro),
		cmocka_unit_test(test_source_vanishes),
		cmocka_unit_test(test_unreachable_is_lost_and_counted),
		cmocka_unit_test(test_segments_above_the_path),
		cmocka_unit_test(test_full_socket),
		cmocka_unit_test(test_no_such_family),
		cmocka_unit_test(test_random_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
