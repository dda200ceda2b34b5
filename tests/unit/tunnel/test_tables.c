/* SPDX-License-Identifier: Apache-2.0
 *
 * Replay window (boundary table and oracle), allowed-IPs trie (linear oracle), receiver indices,
 * heap, rate limiter and staging queue.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/allowedips.h"
#include "tunnel/heap.h"
#include "tunnel/index.h"
#include "tunnel/ratelimiter.h"
#include "tunnel/replay.h"
#include "tunnel/staging.h"

static uint64_t rng = 0x1234567;

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* ---- replay ---- */

static void test_replay_table(void **state)
{
	enum { W = REPLAY_WINDOW };
	static const struct {
		uint64_t counter;
		bool fresh;
	} table[] = {
		{0, true},
		{1, true},
		{1, false},
		{9, true},
		{8, true},
		{7, true},
		{7, false},
		{W, true},
		{W - 1, true},
		{W - 1, false},
		{W - 2, true},
		{2, true},
		{2, false},
		{W + 16, true},
		{3, false},
		{W + 16, false},
		{W * 4, true},
		{W * 4 - (W - 1), true},
		{10, false},
		{W * 4 - W, false},
		{W * 4 - (W + 1), false},
		{W * 4 - (W - 2), true},
		{W * 4 + 1 - W, false},
		{0, false},
		{W * 20, true},
		{W * 20 - 1, true},
		{W * 20 - W + 1, true},
		{W * 20 - W, false},
		{UINT64_MAX - 1, true},
		{UINT64_MAX - W, true},
		{UINT64_MAX - W - 1, false},
	};
	struct replay r;

	(void)state;
	replay_reset(&r);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (replay_accept(&r, table[i].counter) != table[i].fresh)
			fail_msg("row %zu: counter %llu", i, (unsigned long long)table[i].counter);
}

static void test_replay_first_is_large(void **state)
{
	struct replay r;

	(void)state;
	replay_reset(&r);
	assert_true(replay_accept(&r, 100000));
	assert_true(replay_accept(&r, 100000 - REPLAY_WINDOW + 1));
	assert_false(replay_accept(&r, 100000 - REPLAY_WINDOW));
	assert_false(replay_accept(&r, 100000));
}

static void test_replay_oracle(void **state)
{
	enum { SPAN = 60000 };
	static bool seen[SPAN];

	(void)state;
	for (int round = 0; round < 30; round++) {
		struct replay r;
		uint64_t newest = 0;
		uint64_t at = 0;

		memset(seen, 0, sizeof(seen));
		replay_reset(&r);
		for (int i = 0; i < 20000; i++) {
			uint64_t kind = rnd() % 10;
			uint64_t back = rnd() % (REPLAY_WINDOW + 300);
			uint64_t c = kind < 6 ? at : at > back ? at - back : 0;
			bool fresh;

			if (kind < 6)
				at += kind == 0 ? rnd() % 300 : 1;
			if (kind == 1 && rnd() % 50 == 0)
				at += rnd() % 9000;
			if (c >= SPAN)
				break;
			fresh = !seen[c] && (c > newest || newest - c < REPLAY_WINDOW);
			if (fresh) {
				seen[c] = true;
				if (c > newest)
					newest = c;
			}
			if (replay_accept(&r, c) != fresh)
				fail_msg("round %d counter %llu newest %llu", round,
					 (unsigned long long)c, (unsigned long long)newest);
		}
	}
}

/* ---- allowed IPs ---- */

struct peer { /* the trie only keeps pointers */
	struct allowedips_list list;
};

#define PEERS	20
#define ENTRIES 3000

struct oracle_entry {
	struct ip_prefix prefix;
	struct peer *peer; /* NULL: gone */
};

static struct oracle_entry oracle[ENTRIES];
static size_t oracle_count;

static bool prefix_covers(const struct ip_prefix *p, const uint8_t *addr)
{
	for (unsigned i = 0; i < p->bits; i++)
		if (((p->addr.bytes[i / 8] ^ addr[i / 8]) >> (7 - i % 8)) & 1)
			return false;
	return true;
}

static struct peer *oracle_find(uint8_t family, const uint8_t *addr)
{
	struct peer *best = NULL;
	int bits = -1;

	for (size_t i = 0; i < oracle_count; i++)
		if (oracle[i].peer && oracle[i].prefix.addr.family == family &&
		    oracle[i].prefix.bits > bits && prefix_covers(&oracle[i].prefix, addr)) {
			bits = oracle[i].prefix.bits;
			best = oracle[i].peer;
		}
	return best;
}

static void oracle_set(const struct ip_prefix *p, struct peer *peer)
{
	for (size_t i = 0; i < oracle_count; i++)
		if (ip_prefix_equal(&oracle[i].prefix, p)) {
			oracle[i].peer = peer;
			return;
		}
	assert_true(oracle_count < ENTRIES);
	oracle[oracle_count++] = (struct oracle_entry){*p, peer};
}

/* Few distinct bytes, so that prefixes nest. */
static void random_addr(uint8_t family, uint8_t *out)
{
	memset(out, 0, 16);
	for (int i = 0; i < (family == 4 ? 4 : 16); i++)
		out[i] = (uint8_t)(rnd() % 3 == 0 ? rnd() % 256 : rnd() % 2 * 128);
}

static void random_prefix(struct ip_prefix *p)
{
	memset(p, 0, sizeof(*p));
	p->addr.family = rnd() % 2 ? 4 : 6;
	random_addr(p->addr.family, p->addr.bytes);
	p->bits = (uint8_t)(rnd() % (p->addr.family == 4 ? 33 : 129));
	for (unsigned i = p->bits; i < 128; i++)
		p->addr.bytes[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
}

static void compare(const struct allowedips *a)
{
	uint8_t addr[16];

	for (int i = 0; i < 300; i++) {
		random_addr(4, addr);
		assert_ptr_equal(allowedips_find4(a, addr), oracle_find(4, addr));
		random_addr(6, addr);
		assert_ptr_equal(allowedips_find6(a, addr), oracle_find(6, addr));
	}
}

static void test_allowedips_oracle(void **state)
{
	struct allowedips a = {0};
	struct peer peers[PEERS] = {0};
	size_t total = 0, counted = 0;

	(void)state;
	oracle_count = 0;
	for (int i = 0; i < 2500; i++) {
		struct peer *peer = &peers[rnd() % PEERS];
		struct ip_prefix p;

		random_prefix(&p);
		if (rnd() % 4 == 0 && oracle_count) {
			/* Removal, sometimes by one who does not own it. */
			p = oracle[rnd() % oracle_count].prefix;
			allowedips_remove(&a, &p, &peer->list);
			for (size_t k = 0; k < oracle_count; k++)
				if (ip_prefix_equal(&oracle[k].prefix, &p) &&
				    oracle[k].peer == peer)
					oracle[k].peer = NULL;
		} else {
			assert_int_equal(allowedips_insert(&a, &p, peer, &peer->list), 0);
			oracle_set(&p, peer);
		}
		if (i % 250 == 0)
			compare(&a);
	}
	compare(&a);
	for (size_t i = 0; i < PEERS; i++) {
		const struct allowedips_node *at = NULL;
		struct ip_prefix p;

		total += peers[i].list.count;
		while (allowedips_next(&peers[i].list, &at, &p)) {
			uint8_t addr[16];

			counted++;
			memcpy(addr, p.addr.bytes, 16);
			assert_non_null(oracle_find(p.addr.family, addr));
		}
	}
	assert_int_equal(total, counted);
	for (size_t i = 0; i < PEERS; i++) {
		allowedips_remove_all(&a, &peers[i].list);
		for (size_t k = 0; k < oracle_count; k++)
			if (oracle[k].peer == &peers[i])
				oracle[k].peer = NULL;
		compare(&a);
	}
	assert_null(a.root4);
	assert_null(a.root6);
}

static void test_allowedips_default_and_done(void **state)
{
	struct allowedips a = {0};
	struct peer one = {0}, two = {0};
	struct ip_prefix p;
	static const uint8_t ten[4] = {10, 1, 2, 3}, other[4] = {11, 1, 2, 3};

	(void)state;
	assert_int_equal(ip_prefix_parse("0.0.0.0/0", &p), 0);
	assert_int_equal(allowedips_insert(&a, &p, &one, &one.list), 0);
	assert_int_equal(ip_prefix_parse("10.1.2.3/32", &p), 0);
	assert_int_equal(allowedips_insert(&a, &p, &two, &two.list), 0);
	assert_ptr_equal(allowedips_find4(&a, ten), &two);
	assert_ptr_equal(allowedips_find4(&a, other), &one);
	p.bits = 33;
	assert_int_equal(allowedips_insert(&a, &p, &one, &one.list), -22);
	allowedips_done(&a);
}

/* ---- indices ---- */

static void small_bytes(void *ctx, void *out, size_t len)
{
	uint32_t v = (uint32_t)(rnd() % *(uint32_t *)ctx);

	assert_int_equal(len, 4);
	memcpy(out, &v, 4);
}

static void test_index(void **state)
{
	/* Few values, so that collisions, long chains and wrap-around happen. */
	uint32_t range = 4000;
	struct random_source source = {small_bytes, &range};
	struct index_table t = {0};
	struct peer peers[2];
	uint32_t live[2000];
	size_t count = 0;

	(void)state;
	assert_int_equal(index_init(&t), 0);
	for (int i = 0; i < 40000; i++) {
		if (count < 1500 && rnd() % 5 < 3) {
			do {
				live[count] = index_make(&source, 0, 1);
			} while (index_find(&t, live[count]));
			assert_int_equal(index_add(&t, live[count], &peers[count % 2], NULL), 0);
			assert_int_equal(index_add(&t, live[count], &peers[0], NULL), -17);
			assert_int_not_equal(live[count], 0);
			count++;
		} else if (count) {
			size_t k = rnd() % count;

			assert_non_null(index_find(&t, live[k]));
			index_remove(&t, live[k]);
			assert_null(index_find(&t, live[k]));
			live[k] = live[--count];
		}
		assert_int_equal(t.used, count);
		if (i % 2000 == 0)
			for (size_t k = 0; k < count; k++)
				assert_int_equal(index_find(&t, live[k])->index, live[k]);
	}
	assert_null(index_find(&t, 0));
	index_remove(&t, 0);
	index_done(&t);
}

/* ---- heap ---- */

static void test_heap(void **state)
{
	struct heap h = {0};
	struct heap_node nodes[500] = {0};

	(void)state;
	assert_int_equal(heap_reserve(&h, 500), 0);
	for (int i = 0; i < 20000; i++) {
		struct heap_node *n = &nodes[rnd() % 500];

		if (rnd() % 3)
			heap_set(&h, n, rnd() % 1000);
		else
			heap_remove(&h, n);
		if (i % 100 == 0) {
			uint64_t least = UINT64_MAX;

			for (int k = 0; k < 500; k++)
				if (nodes[k].position && nodes[k].deadline_ns < least)
					least = nodes[k].deadline_ns;
			if (heap_first(&h))
				assert_int_equal(heap_first(&h)->deadline_ns, least);
			else
				assert_true(least == UINT64_MAX);
		}
	}
	for (uint64_t last = 0; heap_first(&h);) {
		assert_true(heap_first(&h)->deadline_ns >= last);
		last = heap_first(&h)->deadline_ns;
		heap_remove(&h, heap_first(&h));
	}
	heap_done(&h);
}

/* ---- rate limiter ---- */

static struct ip_addr addr_of(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_addr_parse(text, &a), 0);
	return a;
}

static void test_ratelimiter(void **state)
{
	struct ratelimiter r;
	struct ip_addr one = addr_of("192.0.2.1"), two = addr_of("192.0.2.2");
	struct ip_addr net_a = addr_of("2001:db8:1:2::1"), net_b = addr_of("2001:db8:1:2:ffff::9");
	struct ip_addr net_c = addr_of("2001:db8:1:3::1");
	uint64_t now = 77 * NSEC_PER_SEC;

	(void)state;
	ratelimiter_init(&r, &random_system);
	for (int i = 0; i < 5; i++)
		assert_true(ratelimiter_allow(&r, &one, now));
	assert_false(ratelimiter_allow(&r, &one, now));
	assert_true(ratelimiter_allow(&r, &two, now));
	/* One each 50 ms after the burst. */
	assert_false(ratelimiter_allow(&r, &one, now + 49 * NSEC_PER_MSEC));
	assert_true(ratelimiter_allow(&r, &one, now + 50 * NSEC_PER_MSEC));
	assert_false(ratelimiter_allow(&r, &one, now + 51 * NSEC_PER_MSEC));
	/* A /64 is one source. */
	for (int i = 0; i < 5; i++)
		assert_true(ratelimiter_allow(&r, i % 2 ? &net_a : &net_b, now));
	assert_false(ratelimiter_allow(&r, &net_a, now));
	assert_true(ratelimiter_allow(&r, &net_c, now));
	/* Time that goes back gives nothing and breaks nothing. */
	assert_false(ratelimiter_allow(&r, &net_a, now - NSEC_PER_SEC));
	ratelimiter_idle(&r, now + 61 * NSEC_PER_SEC);
	assert_null(r.slots);
	ratelimiter_done(&r);
}

static void test_ratelimiter_flood(void **state)
{
	struct ratelimiter r;
	struct ip_addr a = {.family = 4};
	size_t allowed = 0;

	(void)state;
	ratelimiter_init(&r, &random_system);
	for (uint32_t i = 0; i < 200000; i++) {
		memcpy(a.bytes, &i, 4);
		allowed += ratelimiter_allow(&r, &a, NSEC_PER_SEC);
	}
	/* Bounded by the table, and the table is mostly usable. */
	assert_in_range(allowed, RATELIMITER_SLOTS / 2, RATELIMITER_SLOTS);
	/* A second later there is room again. */
	assert_true(ratelimiter_allow(&r, &a, 2 * NSEC_PER_SEC));
	ratelimiter_done(&r);
}

/* ---- staging ---- */

static void test_staging(void **state)
{
	struct staging_pool pool;
	struct staging_queue q = {0}, other = {0};
	static uint8_t data[70000], out[70000];
	struct superpacket p = {.data = data, .count = 3, .seg_size = 1000, .gso_type = 1}, got;
	size_t dropped;

	(void)state;
	assert_int_equal(staging_init(&pool), 0);
	randombytes_buf(data, sizeof(data));
	for (uint32_t len = 1; len < 65536; len = len * 3 + 1) {
		p.len = len;
		assert_true(staging_push(&pool, &q, &p, &dropped));
		assert_int_equal(dropped, 0);
	}
	for (uint32_t len = 1; len < 65536; len = len * 3 + 1) {
		memset(out, 0, sizeof(out));
		assert_true(staging_pop(&pool, &q, out, &got));
		assert_int_equal(got.len, len);
		assert_int_equal(got.count, 3);
		assert_int_equal(got.seg_size, 1000);
		assert_ptr_equal(got.data, out);
		assert_memory_equal(out, data, len);
	}
	assert_false(staging_pop(&pool, &q, out, &got));
	/* The oldest gives way, and one queue cannot take what another holds. */
	p.len = 100;
	assert_true(staging_push(&pool, &other, &p, &dropped));
	for (uint32_t i = 0; i < 1000; i++) {
		memcpy(data, &i, 4);
		assert_true(staging_push(&pool, &q, &p, &dropped));
	}
	assert_true(staging_pop(&pool, &q, out, &got));
	assert_int_equal(out[0] | out[1] << 8, 1000 - STAGING_PEER_CHUNKS);
	assert_int_equal(staging_clear(&pool, &q), STAGING_PEER_CHUNKS - 1);
	assert_int_equal(q.chunks, 0);
	assert_int_equal(staging_clear(&pool, &other), 1);
	p.len = 0;
	assert_false(staging_push(&pool, &q, &p, &dropped));
	staging_done(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay_table),
		cmocka_unit_test(test_replay_first_is_large),
		cmocka_unit_test(test_replay_oracle),
		cmocka_unit_test(test_allowedips_oracle),
		cmocka_unit_test(test_allowedips_default_and_done),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_heap),
		cmocka_unit_test(test_ratelimiter),
		cmocka_unit_test(test_ratelimiter_flood),
		cmocka_unit_test(test_staging),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
