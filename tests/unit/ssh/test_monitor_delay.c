/* SPDX-License-Identifier: Apache-2.0
 *
 * The minimum delay after a failed authentication: every refusal takes at least 5 ms, and how long a
 * check took cannot be read from the answer. Against a real client: tests/interop/test_sshd_delay.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "platform/clock.h"
#include "ssh/monitor_options.h"

#define BEGAN (UINT64_C(7) * 86400 * NSEC_PER_SEC) /* a machine that is up for a week */

static const uint8_t secret[64] = {1, 2, 3}, other_secret[64] = {4};

/* From the attempt to the answer. */
static uint64_t takes(const uint8_t key[static 64], const char *login, uint64_t check_ns)
{
	return check_ns + monitor_options_delay_ns(key, login, BEGAN, BEGAN + check_ns);
}

static void at_least(void **state)
{
	(void)state;
	for (uint64_t check = 0; check < 40 * NSEC_PER_MSEC; check += 37 * NSEC_PER_MSEC / 100)
		for (char name = 'a'; name <= 'z'; name++)
			assert_true(takes(secret, (char[]){name, '\0'}, check) >=
				    MONITOR_FAIL_MIN_NS);
}

/* Whatever a check took, the answer comes at one of few moments. */
static void tells_nothing_of_the_check(void **state)
{
	uint64_t base = takes(secret, "root", 0);

	(void)state;
	assert_in_range(base, MONITOR_FAIL_MIN_NS, 9 * NSEC_PER_MSEC);
	for (uint64_t check = 0; check <= base; check += base / 64)
		assert_int_equal(takes(secret, "root", check), base);
	assert_int_equal(takes(secret, "root", base + 1), 2 * base);
	assert_int_equal(takes(secret, "root", 2 * base + 1), 4 * base);
	assert_int_equal(takes(secret, "root", 20 * base), 32 * base);
}

/* Names differ by up to 4 ms, and that can't be worked out without the host key. */
static void differs_by_name(void **state)
{
	unsigned same = 0, by_key = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "user%d", i);
		same += takes(secret, name, 0) == takes(secret, "root", 0);
		by_key += takes(secret, name, 0) == takes(other_secret, name, 0);
	}
	assert_true(same < 10);
	assert_true(by_key < 10);
}

/* A check that took longer than a second is not made longer without end. */
static void ends(void **state)
{
	(void)state;
	assert_true(takes(secret, "root", 3 * NSEC_PER_SEC) == 3 * NSEC_PER_SEC);
	for (uint64_t check = 0; check < 3 * NSEC_PER_SEC; check += 7 * NSEC_PER_MSEC)
		assert_true(monitor_options_delay_ns(secret, "root", BEGAN, BEGAN + check) <
			    2 * NSEC_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_least),
		cmocka_unit_test(tells_nothing_of_the_check),
		cmocka_unit_test(differs_by_name),
		cmocka_unit_test(ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
