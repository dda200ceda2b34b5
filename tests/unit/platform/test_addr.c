/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of what is an address, a prefix and an endpoint, and of what is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "platform/addr.h"

static void addresses(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} table[] = {
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"100.64.0.9", "100.64.0.9"},
		{"::", "::"},
		{"fd00:0:0::1", "fd00::1"},
		{"FE80::ABCD", "fe80::abcd"},
		{"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"", NULL},
		{"1.2.3", NULL},
		{"1.2.3.256", NULL},
		{"01.2.3.4", NULL},
		{"1.2.3.4 ", NULL},
		{" 1.2.3.4", NULL},
		{"1.2.3.4/32", NULL},
		{"0x1.2.3.4", NULL},
		{"fe80::1%lo", NULL},
		{":::", NULL},
		{"1:2:3:4:5:6:7:8:9", NULL},
		{"12345::", NULL},
		{"localhost", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ip_addr addr, again;
		char text[IP_ADDR_STRLEN];

		if (!table[i].out) {
			assert_int_equal(ip_addr_parse(table[i].in, &addr), -EINVAL);
			continue;
		}
		assert_int_equal(ip_addr_parse(table[i].in, &addr), 0);
		assert_string_equal(ip_addr_format(&addr, text), table[i].out);
		assert_int_equal(ip_addr_parse(text, &again), 0);
		assert_true(ip_addr_equal(&addr, &again));
	}
}

static void order_is_family_then_bytes(void **state)
{
	static const char *const sorted[] = {"0.0.0.1", "1.0.0.0", "255.0.0.0",
					     "::",	"::1",	   "ff00::"};
	const size_t count = sizeof(sorted) / sizeof(sorted[0]);
	struct ip_addr none = {0}, a, b;

	(void)state;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++) {
			assert_int_equal(ip_addr_parse(sorted[i], &a), 0);
			assert_int_equal(ip_addr_parse(sorted[j], &b), 0);
			assert_int_equal(ip_addr_compare(&a, &b) < 0, i < j);
			assert_int_equal(ip_addr_equal(&a, &b), i == j);
			assert_false(ip_addr_equal(&a, &none));
		}
	assert_true(ip_addr_equal(&none, &none));
}

static void prefixes(void **state)
{
	static const struct {
		const char *in, *out;
	} table[] = {
		{"10.1.2.3/8", "10.0.0.0/8"},
		{"10.1.2.3", "10.1.2.3/32"},
		{"10.1.2.3/32", "10.1.2.3/32"},
		{"10.1.2.3/31", "10.1.2.2/31"},
		{"255.255.255.255/0", "0.0.0.0/0"},
		{"100.127.255.255/10", "100.64.0.0/10"},
		{"fd00::1", "fd00::1/128"},
		{"fdff:ffff:ffff:ffff::1/48", "fdff:ffff:ffff::/48"},
		{"ffff::/1", "8000::/1"},
		{"::1/0", "::/0"},
		{"::1/127", "::/127"},
		{"10.0.0.0/33", NULL},
		{"::/129", NULL},
		{"10.0.0.0/", NULL},
		{"10.0.0.0/08", NULL},
		{"10.0.0.0/+8", NULL},
		{"10.0.0.0/-1", NULL},
		{"10.0.0.0/8 ", NULL},
		{"10.0.0.0/8/8", NULL},
		{"10.0.0.0/4294967304", NULL},
		{"10.0.0.0/18446744073709551624", NULL},
		{"/8", NULL},
		{"", NULL},
		{"10.0.0/8", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[IP_PREFIX_STRLEN];
		struct ip_prefix p;

		if (!table[i].out) {
			assert_int_equal(ip_prefix_parse(table[i].in, &p), -EINVAL);
			continue;
		}
		assert_int_equal(ip_prefix_parse(table[i].in, &p), 0);
		assert_string_equal(ip_prefix_format(&p, text), table[i].out);
	}
}

/* Against the definition: the first `bits` bits are the same. */
static bool same_bits(const struct ip_addr *a, const struct ip_addr *b, unsigned bits)
{
	for (unsigned i = 0; i < bits; i++)
		if ((a->bytes[i / 8] >> (7 - i % 8) & 1) != (b->bytes[i / 8] >> (7 - i % 8) & 1))
			return false;
	return true;
}

static void contains_agrees_with_its_definition(void **state)
{
	static const char *const families[][2] = {{"10.11.12.13", "4"}, {"fd01:2345::6789", "6"}};

	(void)state;
	for (size_t f = 0; f < 2; f++) {
		struct ip_addr base;
		unsigned width = f == 0 ? 32 : 128;

		assert_int_equal(ip_addr_parse(families[f][0], &base), 0);
		for (unsigned bits = 0; bits <= width; bits++)
			for (unsigned flip = 0; flip <= width; flip++) {
				char text[IP_PREFIX_STRLEN];
				struct ip_prefix p;
				struct ip_addr other = base;

				snprintf(text, sizeof(text), "%s/%u", families[f][0], bits);
				assert_int_equal(ip_prefix_parse(text, &p), 0);
				if (flip < width)
					other.bytes[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
				assert_int_equal(ip_prefix_contains(&p, &other),
						 same_bits(&base, &other, bits));
			}
	}
}

static void families_never_mix(void **state)
{
	struct ip_prefix v4, v6;
	struct ip_addr a4, a6, none = {0};

	(void)state;
	assert_int_equal(ip_prefix_parse("0.0.0.0/0", &v4), 0);
	assert_int_equal(ip_prefix_parse("::/0", &v6), 0);
	assert_int_equal(ip_addr_parse("1.2.3.4", &a4), 0);
	assert_int_equal(ip_addr_parse("::1", &a6), 0);
	assert_true(ip_prefix_contains(&v4, &a4));
	assert_true(ip_prefix_contains(&v6, &a6));
	assert_false(ip_prefix_contains(&v4, &a6));
	assert_false(ip_prefix_contains(&v6, &a4));
	assert_false(ip_prefix_contains(&v4, &none));
	assert_false(ip_prefix_equal(&v4, &v6));
}

static void endpoints(void **state)
{
	static const struct {
		const char *in, *out;
	} table[] = {
		{"1.2.3.4:51820", "1.2.3.4:51820"},
		{"1.2.3.4:0", "1.2.3.4:0"},
		{"1.2.3.4:65535", "1.2.3.4:65535"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"[fe80::1%3]:51820", "[fe80::1%3]:51820"},
		{"[::ffff:1.2.3.4]:5", "1.2.3.4:5"},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535",
		 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535"},
		{"1.2.3.4", NULL},
		{"1.2.3.4:", NULL},
		{"1.2.3.4:65536", NULL},
		{"1.2.3.4:080", NULL},
		{"1.2.3.4:+80", NULL},
		{"1.2.3.4:80 ", NULL},
		{"1.2.3.4%3:80", NULL},
		{"[1.2.3.4]:80", NULL},
		{"::1:80", NULL},
		{"[::1]", NULL},
		{"[::1]80", NULL},
		{"[::1:80", NULL},
		{"[fe80::1%]:80", NULL},
		{"[fe80::1%0]:80", NULL},
		{"[fe80::1%averyveryverylongname]:80", NULL},
		{"example.com:80", NULL},
		{":80", NULL},
		{"", NULL},
		{"[", NULL},
		{"[]", NULL},
		{"[]:1", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct endpoint ep, again;
		char text[ENDPOINT_STRLEN];

		if (!table[i].out) {
			assert_int_equal(endpoint_parse(table[i].in, &ep), -EINVAL);
			continue;
		}
		assert_int_equal(endpoint_parse(table[i].in, &ep), 0);
		assert_string_equal(endpoint_format(&ep, text), table[i].out);
		assert_int_equal(endpoint_parse(text, &again), 0);
		assert_true(endpoint_equal(&ep, &again));
		assert_true(endpoint_is_set(&ep));
	}
}

static void scope_by_interface_name(void **state)
{
	char text[ENDPOINT_STRLEN], want[ENDPOINT_STRLEN];
	struct endpoint ep;

	(void)state;
	assert_int_equal(endpoint_parse("[fe80::1%nosuchif]:1", &ep), -ENODEV);
	if (if_nametoindex("lo") == 0)
		skip();
	assert_int_equal(endpoint_parse("[fe80::1%lo]:1", &ep), 0);
	snprintf(want, sizeof(want), "[fe80::1%%%u]:1", if_nametoindex("lo"));
	assert_string_equal(endpoint_format(&ep, text), want);
}

static void endpoints_differ_in_every_part(void **state)
{
	static const char *const table[] = {"1.2.3.4:5",   "1.2.3.4:6",	    "1.2.3.5:5",
					    "[fe80::1]:5", "[fe80::1%3]:5", "[fe80::1%4]:5",
					    "[fe80::2]:5", "[fe80::1]:6"};
	const size_t count = sizeof(table) / sizeof(table[0]);
	struct endpoint a, b;

	(void)state;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++) {
			assert_int_equal(endpoint_parse(table[i], &a), 0);
			assert_int_equal(endpoint_parse(table[j], &b), 0);
			assert_int_equal(endpoint_equal(&a, &b), i == j);
		}
}

static void none_is_none(void **state)
{
	struct endpoint none, some;
	char text[ENDPOINT_STRLEN];
	struct ip_addr addr;

	(void)state;
	endpoint_from_sockaddr(NULL, 0, &none);
	assert_false(endpoint_is_set(&none));
	assert_int_equal(endpoint_len(&none), 0);
	assert_int_equal(endpoint_port(&none), 0);
	assert_string_equal(endpoint_format(&none, text), "");
	endpoint_ip(&none, &addr);
	assert_int_equal(addr.family, 0);
	assert_int_equal(endpoint_parse("1.2.3.4:5", &some), 0);
	assert_false(endpoint_equal(&none, &some));
	assert_true(endpoint_equal(&none, &none));
}

static void sockaddrs_are_checked_and_folded(void **state)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(9)};
	char text[ENDPOINT_STRLEN];
	struct endpoint ep;

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "::ffff:9.8.7.6", &mapped.sin6_addr), 1);
	mapped.sin6_scope_id = 5;
	endpoint_from_sockaddr((struct sockaddr *)&mapped, sizeof(mapped), &ep);
	assert_string_equal(endpoint_format(&ep, text), "9.8.7.6:7");
	assert_int_equal(endpoint_len(&ep), sizeof(struct sockaddr_in));

	endpoint_from_sockaddr((struct sockaddr *)&mapped, sizeof(mapped) - 1, &ep);
	assert_false(endpoint_is_set(&ep));
	endpoint_from_sockaddr((struct sockaddr *)&in, sizeof(in), &ep);
	assert_int_equal(endpoint_port(&ep), 9);
	endpoint_from_sockaddr((struct sockaddr *)&in, 3, &ep);
	assert_false(endpoint_is_set(&ep));
	in.sin_family = AF_UNIX;
	endpoint_from_sockaddr((struct sockaddr *)&in, sizeof(in), &ep);
	assert_false(endpoint_is_set(&ep));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(order_is_family_then_bytes),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(contains_agrees_with_its_definition),
		cmocka_unit_test(families_never_mix),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(scope_by_interface_name),
		cmocka_unit_test(endpoints_differ_in_every_part),
		cmocka_unit_test(none_is_none),
		cmocka_unit_test(sockaddrs_are_checked_and_folded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
