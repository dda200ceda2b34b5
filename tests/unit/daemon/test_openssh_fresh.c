/* SPDX-License-Identifier: Apache-2.0
 *
 * Which logins share a certificate, and for how long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/openssh_fresh.h"
#include "platform/clock.h"

static void test_request(void **state)
{
	uint8_t one[32], other[32];

	(void)state;
	openssh_fresh_request(one, 1, "p", "deploy", "key", "token");
	openssh_fresh_request(other, 1, "p", "deploy", "key", "token");
	assert_memory_equal(one, other, 32);
	openssh_fresh_request(other, 2, "p", "deploy", "key", "token");
	assert_memory_not_equal(one, other, 32);
	openssh_fresh_request(other, 1, "q", "deploy", "key", "token");
	assert_memory_not_equal(one, other, 32);
	openssh_fresh_request(other, 1, "p", "root", "key", "token");
	assert_memory_not_equal(one, other, 32);
	openssh_fresh_request(other, 1, "p", "deploy", "key2", "token");
	assert_memory_not_equal(one, other, 32);
	openssh_fresh_request(other, 1, "p", "deploy", "key", "token2");
	assert_memory_not_equal(one, other, 32);
	openssh_fresh_request(other, 1, "pd", "eploy", "key", "token");
	assert_memory_not_equal(one, other, 32);
}

static void test_life(void **state)
{
	static struct openssh_fresh f;
	const uint64_t begin = 77 * NSEC_PER_SEC;
	uint8_t one[32] = {1}, other[32] = {2};
	int64_t until = 0;
	char text[16];

	(void)state;
	assert_null(openssh_fresh_find(&f, one, begin, &until));
	openssh_fresh_keep(&f, one, begin, "first", 1234);
	assert_null(openssh_fresh_find(&f, other, begin, &until));
	assert_string_equal(openssh_fresh_find(&f, one, begin + 2 * NSEC_PER_SEC, &until), "first");
	assert_int_equal(until, 1234);
	/* Found again and again does not make it younger. */
	assert_null(openssh_fresh_find(&f, one, begin + 3 * NSEC_PER_SEC, &until));
	assert_null(openssh_fresh_find(&f, one, begin, &until));
	for (int i = 0; i < OPENSSH_FRESH_MAX + 1; i++) {
		other[31] = (uint8_t)i;
		snprintf(text, sizeof(text), "%d", i);
		openssh_fresh_keep(&f, other, begin, text, i);
	}
	other[31] = 0;
	assert_null(openssh_fresh_find(&f, other, begin, &until));
	other[31] = OPENSSH_FRESH_MAX;
	assert_string_equal(openssh_fresh_find(&f, other, begin, &until), "16");
	openssh_fresh_done(&f);
	assert_null(openssh_fresh_find(&f, other, begin, &until));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_request),
					   cmocka_unit_test(test_life)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
