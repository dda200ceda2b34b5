/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of ssh's arguments say that it jumps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/openssh_jump.h"

static void test_arguments(void **state)
{
#define OF(text) openssh_jump_of_arguments(text, sizeof(text))
	(void)state;
	assert_int_equal(OF("ssh\0-J\0jump\0host"), JUMP_YES);
	assert_int_equal(OF("/usr/bin/ssh\0-vJjump\0host"), JUMP_YES);
	assert_int_equal(OF("ssh\0-o\0ProxyJump jump\0host"), JUMP_YES);
	assert_int_equal(OF("ssh\0-oproxyjump=jump\0host"), JUMP_YES);
	assert_int_equal(OF("ssh\0host\0true"), JUMP_NO);
	assert_int_equal(OF("ssh\0-p22\0host"), JUMP_NO);
	assert_int_equal(OF("ssh"), JUMP_NO);
	assert_int_equal(OF("sh\0-c\0warren openssh detect"), JUMP_UNKNOWN);
	assert_int_equal(OF("/opt/notssh\0-J"), JUMP_UNKNOWN);
	assert_int_equal(OF(""), JUMP_UNKNOWN);
	/* The kernel's text was longer than our room: what is cut off says nothing. */
	assert_int_equal(openssh_jump_of_arguments("ssh\0-J", 6), JUMP_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_arguments)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
