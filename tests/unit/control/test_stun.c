/* SPDX-License-Identifier: Apache-2.0
 *
 * STUN against the sample exchanges of RFC 5769, and everything that must be dropped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/stun.h"

static const uint8_t request[20] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7,
				    0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};

/* RFC 5769 section 2.2: 192.0.2.1 port 32853 */
static void test_rfc5769_v4(void **state)
{
	static const uint8_t attribute[12] = {0x00, 0x20, 0x00, 0x08, 0x00, 0x01,
					      0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43};
	uint8_t out[STUN_MAX_ANSWER];
	struct endpoint source;

	(void)state;
	assert_int_equal(0, endpoint_parse("192.0.2.1:32853", &source));
	assert_int_equal(32, stun_answer(request, sizeof(request), &source, out));
	assert_memory_equal(out, "\x01\x01\x00\x0c", 4);
	assert_memory_equal(out + 4, request + 4, 16);
	assert_memory_equal(out + 20, attribute, sizeof(attribute));
}

/* RFC 5769 section 2.3: 2001:db8:1234:5678:11:2233:4455:6677 port 32853 */
static void test_rfc5769_v6(void **state)
{
	static const uint8_t attribute[24] = {0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47,
					      0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79,
					      0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9};
	uint8_t out[STUN_MAX_ANSWER];
	struct endpoint source;

	(void)state;
	assert_int_equal(0,
			 endpoint_parse("[2001:db8:1234:5678:11:2233:4455:6677]:32853", &source));
	assert_int_equal(44, stun_answer(request, sizeof(request), &source, out));
	assert_memory_equal(out + 20, attribute, sizeof(attribute));
}

/* The request of section 2.1 without PRIORITY: optional attributes are skipped. */
static void test_optional_attributes(void **state)
{
	uint8_t with[20 + 8] = {0};
	uint8_t out[STUN_MAX_ANSWER];
	struct endpoint source;

	(void)state;
	assert_int_equal(0, endpoint_parse("192.0.2.1:32853", &source));
	memcpy(with, request, 20);
	with[3] = 8;
	memcpy(with + 20,
	       "\x80\x22\x00\x03"
	       "abc",
	       7); /* SOFTWARE, padded */
	assert_int_equal(32, stun_answer(with, sizeof(with), &source, out));
	memcpy(with + 20, "\x00\x24\x00\x04", 4); /* PRIORITY must be understood */
	assert_int_equal(0, stun_answer(with, sizeof(with), &source, out));
	memcpy(with + 20, "\x80\x22\x00\x05", 4); /* longer than what is there */
	assert_int_equal(0, stun_answer(with, sizeof(with), &source, out));
}

static void test_dropped(void **state)
{
	uint8_t bad[20], out[STUN_MAX_ANSWER];
	struct endpoint source, none = {0};

	(void)state;
	assert_int_equal(0, endpoint_parse("192.0.2.1:32853", &source));
	for (size_t len = 0; len < 20; len++)
		assert_int_equal(0, stun_answer(request, len, &source, out));
	for (size_t i = 0; i < 8; i++) { /* type, length, cookie */
		memcpy(bad, request, 20);
		bad[i] ^= 1;
		assert_int_equal(0, stun_answer(bad, 20, &source, out));
	}
	memcpy(bad, request, 20);
	bad[0] = 0x01; /* a response must not be answered: two servers would never end */
	bad[1] = 0x01;
	assert_int_equal(0, stun_answer(bad, 20, &source, out));
	assert_int_equal(0, stun_answer(request, 20, &none, out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc5769_v4),
		cmocka_unit_test(test_rfc5769_v6),
		cmocka_unit_test(test_optional_attributes),
		cmocka_unit_test(test_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
