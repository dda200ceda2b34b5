/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of logins that wait: time, limits, which browser may finish.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/login_pending.h"

static struct clock_fake fake_time;
static struct clock fake_clock;
static struct random_fake fake_random;
static struct random_source fake_source;

static int setup(void **state)
{
	struct login_table *t;
	fake_time.realtime_ns = 1790000000 * NSEC_PER_SEC;
	fake_clock = clock_fake_clock(&fake_time);
	fake_random.state = 5;
	fake_source = random_fake_source(&fake_random);
	assert_int_equal(login_table_new(&fake_clock, &fake_source, &t), 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	login_table_free(*state);
	return 0;
}

static void pass(uint64_t seconds)
{
	fake_time.realtime_ns += seconds * NSEC_PER_SEC;
}

static struct login_pending *open_one(struct login_table *t, const char *target)
{
	struct login_want want = {
		.target = target, .caller = "p_c", .login = "deploy", .session = "00"};
	struct login_pending *e = NULL;
	int r = login_table_open(t, &want, &e);
	assert_true(r == 0 || r == -EBUSY);
	return e;
}

static void count(void *ctx, struct login_pending *entry)
{
	assert_int_equal(entry->state, LOGIN_EXPIRED);
	++*(int *)ctx;
}

static void test_expiry(void **state)
{
	struct login_table *t = *state;
	struct login_pending *e = open_one(t, "p_t");
	char id[LOGIN_ID_SIZE];
	int told = 0;
	memcpy(id, e->id, sizeof(id));
	pass(LOGIN_PENDING_S - 1);
	assert_int_equal(login_table_sweep(t, count, &told), 1);
	assert_int_equal(told, 0);
	pass(1);
	assert_int_equal(login_table_sweep(t, count, &told), 1);
	assert_int_equal(told, 1);
	assert_string_equal(login_state_name(login_table_find(t, id)->state), "expired");
	pass(LOGIN_ANSWER_S - 1);
	assert_int_equal(login_table_sweep(t, count, &told), 1);
	pass(1);
	assert_int_equal(login_table_sweep(t, count, &told), 0);
	assert_int_equal(told, 1);
	assert_null(login_table_find(t, id));
}

static void test_answers_are_kept(void **state)
{
	struct login_table *t = *state;
	struct login_pending *e = open_one(t, "p_t"), *d = open_one(t, "p_t");
	int told = 0;
	login_table_grant(t, e, strdup("wso1.grant.x"));
	login_table_deny(t, d, "because");
	assert_string_equal(e->grant, "wso1.grant.x");
	assert_string_equal(d->message, "because");
	pass(LOGIN_ANSWER_S - 1);
	assert_int_equal(login_table_sweep(t, count, &told), 2);
	pass(1);
	assert_int_equal(login_table_sweep(t, count, &told), 0);
	assert_int_equal(told, 0);
}

static void test_limits(void **state)
{
	struct login_table *t = *state;
	char target[24];
	struct login_pending *e = NULL;
	for (int i = 0; i < LOGIN_MAX_TARGET; i++)
		assert_non_null(e = open_one(t, "p_t"));
	assert_null(open_one(t, "p_t"));
	assert_non_null(open_one(t, "p_other"));
	/* One that is answered makes room for its target. */
	login_table_deny(t, e, "no");
	assert_non_null(open_one(t, "p_t"));
	for (int i = 0; i < 2 * LOGIN_MAX; i++) {
		snprintf(target, sizeof(target), "p_%d", i / 8);
		e = open_one(t, target);
	}
	assert_null(e);
}

static void test_browsers(void **state)
{
	struct login_table *t = *state;
	struct login_pending *e = open_one(t, "p_t");
	struct pages_browser mine = {.hash = {1}}, other = {.hash = {2}}, none = {.hash = {0}};
	char first[PAGES_TOKEN_SIZE], second[PAGES_TOKEN_SIZE];
	/* Before Continue nobody owns it, not even a hash of zeros. */
	assert_false(login_table_owner(e, &none));
	login_table_ask(t, e, &mine, first);
	assert_true(login_table_owner(e, &mine));
	assert_false(login_table_owner(e, &other));
	assert_null(login_table_answer(t, first, &other));
	assert_null(login_table_answer(t, "x", &mine));
	login_table_ask(t, e, &mine, second);
	assert_null(login_table_answer(t, first, &mine));
	assert_ptr_equal(login_table_answer(t, second, &mine), e);
	assert_null(login_table_answer(t, second, &mine));
	login_table_deny(t, e, "no");
	assert_false(login_table_owner(e, &mine));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_browsers, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
