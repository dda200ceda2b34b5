/* SPDX-License-Identifier: Apache-2.0
 *
 * The flow table against an array that is searched from end to end: what is found, who is evicted,
 * and what expires.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/flow.h"

#define CAP	64
#define REMOTES 9
#define S	UINT64_C(1000000000)
#define FOREVER (UINT64_C(1) << 60)

struct entry {
	struct flow_key key;
	unsigned remote;
	bool answered, used;
	uint64_t order, expires;
};

static const uint8_t seed[16] = {3, 1, 4};
static uint64_t rng = 0xdeadbeefcafef00d;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % n;
}

static struct flow_key key_of(unsigned remote, unsigned port)
{
	struct flow_key key = {
		.family = remote % 2 ? 4 : 6, .proto = 17, .local_port = (uint16_t)port};

	key.remote[0] = (uint8_t)remote;
	return key;
}

static struct entry *lookup(struct entry *model, const struct flow_key *key)
{
	for (size_t i = 0; i < CAP; i++)
		if (model[i].used && memcmp(&model[i].key, key, sizeof(*key)) == 0)
			return &model[i];
	return NULL;
}

/* After an insertion into a full table: one is gone, and it was the right one. */
static void check_eviction(struct flow_table *t, struct entry *model, unsigned own, uint64_t now)
{
	unsigned counts[REMOTES] = {0}, max = 0;
	struct entry *gone = NULL;

	for (size_t i = 0; i < CAP; i++)
		counts[model[i].remote]++;
	for (size_t i = 0; i < REMOTES; i++)
		max = counts[i] > max ? counts[i] : max;
	for (size_t i = 0; i < CAP; i++)
		if (!flow_find(t, &model[i].key, now)) {
			assert_null(gone);
			gone = &model[i];
		}
	assert_non_null(gone);
	assert_int_equal(counts[gone->remote], max);
	if (counts[own] == max)
		assert_int_equal(gone->remote, own);
	for (size_t i = 0; i < CAP; i++) {
		if (model[i].remote != gone->remote || &model[i] == gone)
			continue;
		/* Never answered goes first, then by age. */
		assert_true(model[i].answered || !gone->answered);
		if (model[i].answered == gone->answered)
			assert_true(model[i].order > gone->order);
	}
	gone->used = false;
}

static void test_oracle(void **state)
{
	static struct entry model[CAP];
	struct flow_table *t;
	uint64_t now = 1;
	size_t evictions = 0;

	(void)state;
	assert_int_equal(flow_table_new(CAP, seed, &t), 0);
	for (int step = 0; step < 30000; step++) {
		/* Some remotes are busier than others. */
		unsigned remote = rnd(2) ? rnd(2) : rnd(REMOTES);
		struct flow_key key = key_of(remote, rnd(40));
		struct entry *entry = lookup(model, &key);
		struct flow *flow = flow_find(t, &key, now);

		now += 2 * S;
		assert_int_equal(flow != NULL, entry != NULL);
		if (flow && rnd(4) == 0) {
			flow_remove(t, flow);
			entry->used = false;
		} else if (flow) {
			entry->answered = entry->answered || rnd(2);
			entry->order = now;
			flow_refresh(t, flow, entry->answered, FOREVER, now);
		} else {
			bool full = flow_count(t) == CAP;

			flow = flow_insert(t, &key, now);
			assert_non_null(flow);
			flow_refresh(t, flow, false, FOREVER, now);
			if (full) {
				check_eviction(t, model, remote, now);
				evictions++;
			}
			for (entry = model; entry->used; entry++)
				;
			*entry = (struct entry){key, remote, false, true, now, 0};
		}
		size_t used = 0;
		for (size_t i = 0; i < CAP; i++)
			used += model[i].used;
		assert_int_equal(used, flow_count(t));
	}
	assert_true(evictions > 1000);
	flow_remove_flagged(t, 0);
	assert_int_equal(flow_count(t), 0);
	flow_table_free(t);
}

static void test_expiry(void **state)
{
	static struct entry model[CAP];
	struct flow_table *t;
	uint64_t now = 1;
	size_t n = 0;

	(void)state;
	assert_int_equal(flow_table_new(CAP, seed, &t), 0);
	for (int step = 0; step < 20000; step++) {
		struct flow_key key = key_of(rnd(REMOTES), rnd(4));
		struct entry *entry = lookup(model, &key);
		uint64_t timeout = (1 + rnd(100)) * S;

		now += rnd(5) * S;
		if (entry && now >= entry->expires) {
			entry->used = false;
			entry = NULL;
		}
		struct flow *flow = flow_find(t, &key, now);
		assert_int_equal(flow != NULL, entry != NULL);
		if (!flow) {
			flow = flow_insert(t, &key, now);
			assert_non_null(flow);
			for (entry = model; entry->used; entry++)
				;
			*entry = (struct entry){.key = key, .used = true};
		}
		entry->expires = now + timeout;
		flow_refresh(t, flow, rnd(2), timeout, now);
		n = flow_count(t);
		assert_true(n <= REMOTES * 4);
	}
	flow_table_free(t);
	flow_table_free(NULL);
}

static void test_flags(void **state)
{
	struct flow_table *t;
	struct flow_key plain = key_of(1, 22022), ssh = plain;

	(void)state;
	ssh.flags = FLOW_KEY_SSH;
	assert_int_equal(flow_table_new(16, seed, &t), 0);
	flow_refresh(t, flow_insert(t, &plain, 1), true, FOREVER, 1);
	flow_refresh(t, flow_insert(t, &ssh, 1), true, FOREVER, 1);
	assert_ptr_not_equal(flow_find(t, &plain, 1), flow_find(t, &ssh, 1));
	flow_remove_flagged(t, FLOW_KEY_SSH);
	assert_null(flow_find(t, &ssh, 1));
	assert_non_null(flow_find(t, &plain, 1));
	flow_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
