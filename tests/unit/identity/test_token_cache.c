/* SPDX-License-Identifier: Apache-2.0
 *
 * The token cache on a fake clock: time to live, exp, newest login, uids apart.
 */
#include "identity/token_cache.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct clock_fake fake;
static struct clock test_clock;
static struct token_cache *cache;

static int set_up(void **state)
{
	(void)state;
	fake = (struct clock_fake){.monotonic_ns = 50 * NSEC_PER_SEC,
				   .realtime_ns = 1000 * NSEC_PER_SEC};
	test_clock = clock_fake_clock(&fake);
	assert_int_equal(token_cache_new(&test_clock, &cache), 0);
	token_cache_set_ttl(cache, 300);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	token_cache_free(cache);
	return 0;
}

static void pass(uint64_t s)
{
	fake.monotonic_ns += s * NSEC_PER_SEC;
	fake.realtime_ns += s * NSEC_PER_SEC;
}

static const char *get(uid_t uid)
{
	return token_cache_get(cache, uid, NULL, NULL);
}

static void test_get(void **state)
{
	const char *identity = NULL;
	int64_t expires = 0;

	(void)state;
	assert_null(get(1));
	assert_int_equal(token_cache_put(cache, 1, "alice", "token-a", 1000, 2000), 0);
	assert_int_equal(token_cache_put(cache, 2, "bob", "token-b", 1000, 2000), 0);
	assert_string_equal(token_cache_get(cache, 1, &identity, &expires), "token-a");
	assert_string_equal(identity, "alice");
	assert_int_equal(expires, 2000);
	assert_string_equal(get(2), "token-b");
	assert_null(get(3));
	token_cache_forget(cache, 1);
	assert_null(get(1));
	assert_string_equal(get(2), "token-b");
	token_cache_forget(cache, 1);
	token_cache_clear(cache);
	assert_null(get(2));
}

static void test_ttl(void **state)
{
	(void)state;
	assert_int_equal(token_cache_put(cache, 1, "alice", "t", 1000, 9000), 0);
	pass(299);
	assert_non_null(get(1));
	pass(1);
	assert_null(get(1));
}

static void test_exp(void **state)
{
	(void)state;
	assert_int_equal(token_cache_put(cache, 1, "alice", "t", 900, 1100), 0);
	pass(99);
	assert_non_null(get(1));
	pass(1);
	assert_null(get(1));
	assert_int_equal(token_cache_put(cache, 1, "alice", "dead", 900, 1100), 0);
	assert_null(get(1));
}

/* A wall clock that is set back does not lengthen a life. */
static void test_clock_set_back(void **state)
{
	(void)state;
	assert_int_equal(token_cache_put(cache, 1, "alice", "t", 900, 2000), 0);
	pass(200);
	fake.realtime_ns = 1000 * NSEC_PER_SEC;
	assert_non_null(get(1));
	fake.monotonic_ns += 100 * NSEC_PER_SEC;
	assert_null(get(1));
}

static void test_newest_wins(void **state)
{
	(void)state;
	assert_int_equal(token_cache_put(cache, 1, "alice", "first", 1000, 5000), 0);
	assert_int_equal(token_cache_put(cache, 1, "alice", "second", 1010, 1200), 0);
	assert_string_equal(get(1), "second");
	assert_int_equal(token_cache_put(cache, 1, "alice", "late answer", 1000, 5000), 0);
	assert_string_equal(get(1), "second");
	pass(200); /* the second is gone: the older one is welcome again */
	assert_int_equal(token_cache_put(cache, 1, "alice", "late answer", 1000, 5000), 0);
	assert_string_equal(get(1), "late answer");
}

static void test_ttl_zero(void **state)
{
	(void)state;
	assert_int_equal(token_cache_put(cache, 1, "alice", "t", 1000, 5000), 0);
	token_cache_set_ttl(cache, 0);
	assert_null(get(1));
	assert_int_equal(token_cache_put(cache, 1, "alice", "t", 1000, 5000), 0);
	assert_null(get(1));
	token_cache_set_ttl(cache, 300);
	assert_null(get(1));
}

static void test_shorter_ttl_applies_at_once(void **state)
{
	(void)state;
	assert_int_equal(token_cache_put(cache, 1, "alice", "t", 1000, 5000), 0);
	pass(60);
	token_cache_set_ttl(cache, 60);
	assert_null(get(1));
}

static void test_full(void **state)
{
	(void)state;
	for (uid_t uid = 0; uid < 1024; uid++)
		assert_int_equal(token_cache_put(cache, uid, "x", "t", 1000, 5000), 0);
	assert_int_equal(token_cache_put(cache, 5000, "x", "t", 1000, 5000), -ENOSPC);
	assert_int_equal(token_cache_put(cache, 7, "x", "newer", 1001, 5000), 0);
	assert_string_equal(get(7), "newer");
	pass(300);
	assert_int_equal(token_cache_put(cache, 5000, "x", "t", 1000, 5000), 0);
	assert_non_null(get(5000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ttl, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exp, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_clock_set_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_newest_wins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ttl_zero, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shorter_ttl_applies_at_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
