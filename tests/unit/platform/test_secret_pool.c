/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools of secrets: zeroed and aligned objects that do not overlap, wiped when they are given back and
 * used again, locked up to the bound and no further, from several threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"
#include "platform/secret_pool.h"

static bool all(const uint8_t *data, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != value)
			return false;
	return true;
}

static void objects_are_apart(void **state)
{
	static const size_t sizes[] = {1, 64, 65, 1152, 40000};

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct secret_pool *p;
		uint8_t *objects[300];

		assert_int_equal(secret_pool_new(sizes[k], 1u << 20, &p), 0);
		for (size_t i = 0; i < 300; i++) {
			objects[i] = secret_pool_get(p);
			assert_non_null(objects[i]);
			assert_int_equal((uintptr_t)objects[i] % 64, 0);
			assert_true(all(objects[i], sizes[k], 0));
			memset(objects[i], (int)(i % 251 + 1), sizes[k]);
		}
		for (size_t i = 0; i < 300; i++)
			assert_true(all(objects[i], sizes[k], (uint8_t)(i % 251 + 1)));
		/* Given back and taken again: nothing of before is left. */
		for (size_t i = 0; i < 300; i++)
			secret_pool_put(p, objects[i]);
		for (size_t i = 0; i < 300; i++) {
			objects[i] = secret_pool_get(p);
			assert_true(all(objects[i], sizes[k], 0));
		}
		for (size_t i = 0; i < 300; i++)
			secret_pool_put(p, objects[i]);
		secret_pool_put(p, NULL);
		secret_pool_free(p);
	}
	secret_pool_free(NULL);
}

static void locks_up_to_its_bound(void **state)
{
	struct secret_pool *p;
	void *objects[300];

	(void)state;
	if (secret_lock_limit(1u << 20) < 1u << 20)
		skip();
	assert_int_equal(secret_pool_new(1024, 100u << 10, &p), 0);
	assert_int_equal(secret_pool_locked(p), 0);
	for (size_t i = 0; i < 300; i++)
		assert_non_null(objects[i] = secret_pool_get(p));
#ifndef WARREN_SANITIZE
	assert_in_range(secret_pool_locked(p), 64u << 10, 100u << 10);
#endif
	for (size_t i = 0; i < 300; i++)
		secret_pool_put(p, objects[i]);
	secret_pool_free(p);
}

static void *play(void *arg)
{
	struct secret_pool *p = arg;
	uint8_t *mine[16] = {NULL};

	for (unsigned round = 0; round < 20000; round++) {
		unsigned i = round * 7 % 16;

		if (mine[i] != NULL && !all(mine[i], 100, (uint8_t)i))
			return arg;
		secret_pool_put(p, mine[i]);
		mine[i] = secret_pool_get(p);
		if (mine[i] == NULL || !all(mine[i], 100, 0))
			return arg;
		memset(mine[i], (int)i, 100);
	}
	for (unsigned i = 0; i < 16; i++)
		secret_pool_put(p, mine[i]);
	return NULL;
}

static void threads_share_it(void **state)
{
	pthread_t threads[3];
	struct secret_pool *p;

	(void)state;
	assert_int_equal(secret_pool_new(100, 0, &p), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, play, p), 0);
	for (size_t i = 0; i < 3; i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	secret_pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_apart),
		cmocka_unit_test(locks_up_to_its_bound),
		cmocka_unit_test(threads_share_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
