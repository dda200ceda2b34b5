/* SPDX-License-Identifier: Apache-2.0
 *
 * TUN devices, netlink and namespaces against the running kernel, in a network namespace of the
 * test's own. Skipped with a message without root or without /dev/net/tun.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/netlink.h"
#include "platform/netns.h"
#include "platform/tun.h"

static bool have_namespace, have_tun;

static int enter_namespace(void **state)
{
	(void)state;
	have_namespace = unshare(CLONE_NEWNET) == 0;
	have_tun = access("/dev/net/tun", R_OK | W_OK) == 0;
	return 0;
}

#define NEED_NAMESPACE()                                                                           \
	do {                                                                                       \
		if (!have_namespace) {                                                             \
			print_message("skipped: no right to make namespaces\n");                   \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

#define NEED_TUN()                                                                                 \
	do {                                                                                       \
		NEED_NAMESPACE();                                                                  \
		if (!have_tun) {                                                                   \
			print_message("skipped: /dev/net/tun is missing\n");                       \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_int_equal(ip_prefix_parse(text, &p), 0);
	return p;
}

/* An address with the prefix of its network, which ip_prefix_parse would clear. */
static struct ip_prefix host_in(const char *address, uint8_t bits)
{
	struct ip_prefix p = prefix(address);

	p.bits = bits;
	return p;
}

static void tun_opens_and_reports(void **state)
{
	char name[IFNAMSIZ], again[IFNAMSIZ];
	struct tun_caps caps, adopted;
	struct error err = {0};
	int fd = -1, second = -1;

	(void)state;
	NEED_TUN();
	assert_int_equal(tun_open("wtest0", false, name, &fd, &caps, &err), 0);
	assert_string_equal(name, "wtest0");
	assert_true(caps.vnet_hdr);
	assert_true(caps.tso);
	print_message("this kernel: uso=%d\n", caps.uso);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(netlink_link_index("wtest0") > 0);

	assert_int_equal(tun_open("wtest0", false, again, &second, &caps, &err), -EBUSY);
	assert_non_null(strstr(err.text, "wtest0 is taken"));
	assert_int_equal(tun_open("lo", false, again, &second, &caps, &err), -EBUSY);
	assert_int_equal(tun_open("a name", false, again, &second, &caps, &err), -EINVAL);
	assert_int_equal(tun_open("sixteencharslong", false, again, &second, &caps, &err), -EINVAL);
	assert_int_equal(second, -1);

	assert_int_equal(tun_adopt(fd, again, &adopted), 0);
	assert_string_equal(again, "wtest0");
	assert_memory_equal(&adopted, &caps, sizeof(caps));
	assert_true(tun_adopt(STDIN_FILENO, again, &adopted) < 0);
	file_close(&fd);
	assert_int_equal(netlink_link_index("wtest0"), -ENODEV);
}

static void tun_names_and_queues(void **state)
{
	char name[IFNAMSIZ], again[IFNAMSIZ];
	struct tun_caps caps;
	int fd, second, queues[3];

	(void)state;
	NEED_TUN();
	assert_int_equal(tun_open("wt%d", true, name, &fd, &caps, NULL), 0);
	assert_string_equal(name, "wt0");
	assert_true(tun_is("wt0"));
	assert_false(tun_is("lo"));
	assert_false(tun_is("wt1"));
	assert_false(tun_is("sixteencharslong"));
	/* The kernel would let anybody have more queues of it. */
	assert_int_equal(tun_open("wt0", true, again, &second, &caps, NULL), -EBUSY);
	queues[0] = fd;
	assert_int_equal(tun_open_queues("wt0", 3, queues, NULL), 0);
	file_close(&queues[1]);
	file_close(&queues[2]);
	file_close(&fd);
	assert_false(tun_is("wt0"));
	assert_int_equal(tun_open("", false, name, &fd, &caps, NULL), 0);
	assert_memory_equal(name, "tun", 3);
	file_close(&fd);
}

static void links(void **state)
{
	struct error err = {0};
	char name[IFNAMSIZ];
	struct tun_caps caps;
	unsigned mtu = 0;
	bool up = true;
	int fd;

	(void)state;
	NEED_TUN();
	assert_int_equal(netlink_link_get("wtest1", &up, &mtu), -ENODEV);
	assert_int_equal(netlink_link_set("wtest1", true, 0, &err), -ENODEV);
	assert_non_null(strstr(err.text, "no network interface wtest1"));
	assert_int_equal(netlink_link_delete("wtest1"), -ENODEV);

	assert_int_equal(tun_open("wtest1", false, name, &fd, &caps, NULL), 0);
	assert_int_equal(netlink_link_get("wtest1", &up, &mtu), 0);
	assert_false(up);
	assert_int_equal(mtu, 1500);
	assert_int_equal(netlink_link_set("wtest1", true, 1420, &err), 0);
	assert_int_equal(netlink_link_get("wtest1", &up, &mtu), 0);
	assert_true(up);
	assert_int_equal(mtu, 1420);
	assert_int_equal(netlink_link_set("wtest1", false, 0, &err), 0);
	assert_int_equal(netlink_link_get("wtest1", &up, &mtu), 0);
	assert_false(up);
	assert_int_equal(mtu, 1420);
	assert_int_equal(netlink_link_set("wtest1", true, 1, &err), -EINVAL);
	assert_int_equal(netlink_link_delete("wtest1"), 0);
	assert_int_equal(netlink_link_index("wtest1"), -ENODEV);
	file_close(&fd);
}

/* Copies the entry for that address. */
static bool find(const struct netlink_local_addr *list, size_t count, const struct ip_addr *addr,
		 struct netlink_local_addr *ret)
{
	for (size_t i = 0; i < count; i++)
		if (ip_addr_equal(&list[i].addr, addr)) {
			*ret = list[i];
			return true;
		}
	return false;
}

static void addresses_and_routes(void **state)
{
	struct ip_prefix v4 = host_in("100.64.0.9", 10), v6 = host_in("fd00:1::9", 48);
	struct ip_prefix out4 = prefix("192.0.2.0/24"), out6 = prefix("2001:db8::/32");
	struct ip_prefix none = {0};
	struct netlink_local_addr list[8], entry = {0};
	struct error err = {0};
	char name[IFNAMSIZ];
	struct tun_caps caps;
	size_t count;
	int fd;

	(void)state;
	NEED_TUN();
	assert_int_equal(tun_open("wtest2", false, name, &fd, &caps, NULL), 0);
	assert_int_equal(netlink_route_add("wtest2", &out4, &err), -ENETDOWN);
	assert_non_null(strstr(err.text, "wtest2 is down"));
	assert_int_equal(netlink_link_set("wtest2", true, 0, NULL), 0);
	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(netlink_addr_add("wtest2", &v4, &err), 0);
		assert_int_equal(netlink_addr_add("wtest2", &v6, &err), 0);
		assert_int_equal(netlink_route_add("wtest2", &out4, &err), 0);
		assert_int_equal(netlink_route_add("wtest2", &out6, &err), 0);
		assert_int_equal(netlink_route_default("wtest2", 4), 0);
		assert_int_equal(netlink_route_default("wtest2", 6), 0);
	}
	assert_int_equal(netlink_route_default("wtest2", 5), -EINVAL);
	assert_int_equal(netlink_addr_add("wtest2", &none, &err), -EINVAL);
	assert_int_equal(netlink_addr_add("nosuch", &v4, &err), -ENODEV);

	assert_int_equal(netlink_list_addrs(list, 8, &count), 0);
	assert_true(find(list, count, &v4.addr, &entry));
	assert_int_equal(entry.prefix_bits, 10);
	assert_string_equal(entry.ifname, "wtest2");
	assert_true(entry.up);
	assert_false(entry.link_local);
	/* At once: no duplicate address detection. */
	assert_true(find(list, count, &v6.addr, &entry));
	assert_int_equal(entry.prefix_bits, 48);
	assert_int_equal(netlink_list_addrs(list, 1, &count), 0);
	assert_int_equal(count, 1);

	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(netlink_route_del("wtest2", &out4), 0);
		assert_int_equal(netlink_route_del("wtest2", &out6), 0);
		assert_int_equal(netlink_addr_del("wtest2", &v4), 0);
		assert_int_equal(netlink_addr_del("wtest2", &v6), 0);
	}
	assert_int_equal(netlink_list_addrs(list, 8, &count), 0);
	assert_false(find(list, count, &v4.addr, &entry));
	assert_false(find(list, count, &v6.addr, &entry));
	file_close(&fd);
}

static void monitor(void **state)
{
	struct ip_prefix v4 = host_in("10.9.8.7", 24);
	char name[IFNAMSIZ];
	struct tun_caps caps;
	bool changed = true;
	int fd, events;

	(void)state;
	NEED_TUN();
	assert_int_equal(netlink_monitor_open(&events), 0);
	assert_int_equal(netlink_monitor_drain(events, &changed), 0);
	assert_false(changed);
	assert_int_equal(tun_open("wtest3", false, name, &fd, &caps, NULL), 0);
	assert_int_equal(netlink_monitor_drain(events, &changed), 0);
	assert_true(changed);
	assert_int_equal(netlink_monitor_drain(events, &changed), 0);
	assert_false(changed);
	assert_int_equal(netlink_link_set("wtest3", true, 0, NULL), 0);
	assert_int_equal(netlink_monitor_drain(events, &changed), 0);
	assert_true(changed);
	assert_int_equal(netlink_addr_add("wtest3", &v4, NULL), 0);
	assert_int_equal(netlink_monitor_drain(events, &changed), 0);
	assert_true(changed);
	/* More events than the socket holds are one change, not an error. */
	for (int i = 0; i < 1500; i++)
		assert_int_equal(i % 2 ? netlink_addr_add("wtest3", &v4, NULL)
				       : netlink_addr_del("wtest3", &v4),
				 0);
	assert_int_equal(netlink_monitor_drain(events, &changed), 0);
	assert_true(changed);
	file_close(&fd);
	file_close(&events);
	assert_int_equal(netlink_monitor_drain(-1, &changed), -EBADF);
}

static ino_t namespace_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static int look_inside(void *ctx)
{
	unsigned mtu;
	bool up = false;
	int fd;

	if (netlink_link_get("lo", &up, &mtu) < 0 || !up)
		return -1;
	if (netns_current(&fd) < 0)
		return -2;
	*(ino_t *)ctx = namespace_of(fd);
	file_close(&fd);
	return 42;
}

static void namespaces(void **state)
{
	int here, after, fd = -1;
	struct error err = {0};
	ino_t inside = 0;

	(void)state;
	NEED_NAMESPACE();
	assert_int_equal(netns_current(&here), 0);
	assert_int_equal(netns_create(&fd, &err), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_not_equal(namespace_of(fd), namespace_of(here));
	assert_int_equal(netns_run(fd, look_inside, &inside), 42);
	assert_int_equal(inside, namespace_of(fd));
	assert_int_equal(netns_current(&after), 0);
	assert_int_equal(namespace_of(after), namespace_of(here));
	assert_int_equal(netns_run(STDIN_FILENO, look_inside, &inside) < 0, 1);
	file_close(&fd);
	file_close(&here);
	file_close(&after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tun_opens_and_reports),
		cmocka_unit_test(tun_names_and_queues),
		cmocka_unit_test(links),
		cmocka_unit_test(addresses_and_routes),
		cmocka_unit_test(monitor),
		cmocka_unit_test(namespaces),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
