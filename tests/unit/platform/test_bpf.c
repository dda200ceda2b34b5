/* SPDX-License-Identifier: Apache-2.0
 *
 * The steering program, loaded into this kernel and run on packets: longest prefix of the
 * destination, both families, changes of the map, and what is no packet. Skipped without the right
 * to load BPF.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/bpf.h"

struct steering {
	int map4, map6, program;
};

static void open_steering(struct steering *s)
{
	struct error err = {0};
	int r = bpf_steer_new(&s->map4, &s->map6, &s->program, &err);

	if (r == -EPERM || r == -ENOSYS)
		skip();
	assert_int_equal(r, 0);
}

static void close_steering(const struct steering *s)
{
	close(s->map4);
	close(s->map6);
	close(s->program);
}

static void set(const struct steering *s, const char *text, unsigned queue)
{
	struct ip_prefix prefix;

	assert_int_equal(ip_prefix_parse(text, &prefix), 0);
	assert_int_equal(bpf_steer_set(prefix.addr.family == 4 ? s->map4 : s->map6, &prefix, queue),
			 0);
}

static void remove_prefix(const struct steering *s, const char *text)
{
	struct ip_prefix prefix;

	assert_int_equal(ip_prefix_parse(text, &prefix), 0);
	bpf_steer_remove(prefix.addr.family == 4 ? s->map4 : s->map6, &prefix);
}

static int queue_of(const struct steering *s, const char *destination)
{
	uint8_t packet[60] = {0};
	struct ip_addr addr;

	assert_int_equal(ip_addr_parse(destination, &addr), 0);
	packet[0] = addr.family == 4 ? 0x45 : 0x60;
	memcpy(packet + (addr.family == 4 ? 16 : 24), addr.bytes, addr.family == 4 ? 4 : 16);
	return bpf_steer_test(s->program, packet, sizeof(packet));
}

static void test_longest_prefix(void **state)
{
	struct steering s;

	(void)state;
	open_steering(&s);
	assert_int_equal(queue_of(&s, "10.0.0.1"), 0);
	set(&s, "10.0.0.0/8", 1);
	set(&s, "10.0.0.0/24", 2);
	set(&s, "10.0.0.7/32", 3);
	assert_int_equal(queue_of(&s, "10.1.2.3"), 1);
	assert_int_equal(queue_of(&s, "10.0.0.1"), 2);
	assert_int_equal(queue_of(&s, "10.0.0.7"), 3);
	assert_int_equal(queue_of(&s, "11.0.0.7"), 0);
	set(&s, "10.0.0.7/32", 5);
	assert_int_equal(queue_of(&s, "10.0.0.7"), 5);
	remove_prefix(&s, "10.0.0.7/32");
	remove_prefix(&s, "10.0.0.7/32");
	assert_int_equal(queue_of(&s, "10.0.0.7"), 2);
	set(&s, "0.0.0.0/0", 4);
	assert_int_equal(queue_of(&s, "192.0.2.1"), 4);
	assert_int_equal(queue_of(&s, "fd00::1"), 0);
	set(&s, "fd00::/16", 6);
	set(&s, "fd00::1/128", 7);
	set(&s, "fd00:0:0:1::/64", 8);
	assert_int_equal(queue_of(&s, "fd00::1"), 7);
	assert_int_equal(queue_of(&s, "fd00::2"), 6);
	assert_int_equal(queue_of(&s, "fd00:0:0:1::9"), 8);
	assert_int_equal(queue_of(&s, "fe80::1"), 0);
	close_steering(&s);
}

static void test_no_packet(void **state)
{
	uint8_t packet[60] = {0};
	struct steering s;

	(void)state;
	open_steering(&s);
	set(&s, "0.0.0.0/0", 9);
	set(&s, "::/0", 9);
	for (unsigned version = 0; version < 16; version++) {
		packet[0] = (uint8_t)(version << 4 | 5);
		assert_int_equal(bpf_steer_test(s.program, packet, sizeof(packet)),
				 version == 4 || version == 6 ? 9 : 0);
	}
	/* Shorter than its header. */
	packet[0] = 0x45;
	assert_int_equal(bpf_steer_test(s.program, packet, 19), 0);
	assert_int_equal(bpf_steer_test(s.program, packet, 20), 9);
	packet[0] = 0x60;
	assert_int_equal(bpf_steer_test(s.program, packet, 39), 0);
	assert_int_equal(bpf_steer_test(s.program, packet, 40), 9);
	close_steering(&s);
}

static void test_reuseport_refuses(void **state)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(bpf_reuseport_attach(fd, 0), -EINVAL);
	assert_true(bpf_reuseport_attach(-1, 2) < 0);
	/* A socket that shares no port has no use for it. */
	assert_true(bpf_reuseport_attach(fd, 2) < 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_prefix),
		cmocka_unit_test(test_no_packet),
		cmocka_unit_test(test_reuseport_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
