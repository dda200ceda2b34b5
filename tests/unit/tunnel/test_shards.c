/* SPDX-License-Identifier: Apache-2.0
 *
 * What shards are made of: the ring against a list, also between two threads; the array of allowed
 * IPs against the trie it was made from; receiver indices and shards; and devices of several
 * shards, still without threads, whose peers and indices stay where they belong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "pair.h"
#include "tunnel/ring.h"
#include "tunnel/routes.h"
#include "tunnel/shards.h"

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* ---- ring ---- */

/* Record i: 4 + length bytes, all made of i. */
static size_t length_of(uint32_t i)
{
	return i * 2654435761u % 701;
}

static bool push_record(struct ring *r, uint32_t i)
{
	uint8_t fill[701];

	memset(fill, (int)(i & 255), sizeof(fill));
	return ring_push(r, &i, sizeof(i), fill, length_of(i));
}

static void check_record(const uint8_t *record, size_t len, uint32_t expected)
{
	uint32_t i;

	memcpy(&i, record, sizeof(i));
	assert_int_equal(i, expected);
	assert_int_equal(len, sizeof(i) + length_of(i));
	for (size_t k = sizeof(i); k < len; k++)
		assert_int_equal(record[k], i & 255);
}

static void test_ring_order(void **state)
{
	uint32_t pushed = 0, popped = 0;
	uint8_t big[5000] = {0};
	struct ring r = {0};
	size_t len;

	(void)state;
	assert_int_equal(ring_init(&r, 4096), 0);
	assert_null(ring_peek(&r, &len));
	assert_false(ring_push(&r, big, sizeof(big), NULL, 0));
	assert_false(ring_push(&r, big, 4096, NULL, 0));
	for (int step = 0; step < 100000; step++) {
		if (rnd() & 1) {
			if (push_record(&r, pushed))
				pushed++;
			else /* full is full: something is in it */
				assert_true(pushed > popped);
		} else {
			uint8_t *record = ring_peek(&r, &len);

			assert_int_equal(record != NULL, pushed > popped);
			if (!record)
				continue;
			check_record(record, len, popped++);
			ring_pop(&r);
		}
	}
	assert_true(popped > 10000);
	ring_done(&r);
}

enum { RECORDS = 50000 };

static void *producer(void *arg)
{
	for (uint32_t i = 0; i < RECORDS;)
		if (push_record(arg, i))
			i++;
		else
			sched_yield();
	return NULL;
}

static void test_ring_threads(void **state)
{
	struct ring r = {0};
	pthread_t thread;

	(void)state;
	assert_int_equal(ring_init(&r, 8192), 0);
	assert_int_equal(pthread_create(&thread, NULL, producer, &r), 0);
	for (uint32_t i = 0; i < RECORDS;) {
		size_t len;
		uint8_t *record = ring_peek(&r, &len);

		if (!record) {
			sched_yield();
			continue;
		}
		check_record(record, len, i++);
		ring_pop(&r);
	}
	pthread_join(thread, NULL);
	ring_done(&r);
}

/* ---- routes ---- */

static struct ip_prefix random_prefix(uint8_t family)
{
	struct ip_prefix p = {.addr = {.family = family}};
	unsigned bytes = family == 4 ? 4 : 16;

	/* Few values, so that prefixes nest and meet. */
	for (unsigned i = 0; i < bytes; i++)
		p.addr.bytes[i] = rnd() % 3 ? 0 : (uint8_t)(rnd() % 4 * 64 + rnd() % 2);
	p.bits = (uint8_t)(rnd() % (bytes * 8 + 1));
	return p;
}

static void test_routes_are_the_trie(void **state)
{
	struct allowedips a = {0};
	struct allowedips_list lists[8] = {0};
	struct peer *peers = calloc(8, sizeof(*peers));
	static const uint8_t zero[16];
	struct routes_edit e = {0};
	struct ip_prefix asked[200];

	(void)state;
	assert_non_null(peers);
	assert_null(routes_find4(&e.routes, zero));
	assert_null(routes_find6(&e.routes, zero));
	for (int round = 0; round < 60; round++) {
		/* What shards still have meanwhile. */
		const struct routes before = e.routes;
		struct peer *found[200];

		for (size_t i = 0; i < 200; i++) {
			asked[i] = random_prefix(i % 2 ? 4 : 6);
			found[i] = i % 2 ? routes_find4(&before, asked[i].addr.bytes)
					 : routes_find6(&before, asked[i].addr.bytes);
		}
		for (int i = 0; i < 30; i++) {
			struct ip_prefix p = random_prefix(rnd() % 2 ? 4 : 6);
			size_t k = rnd() % 8;

			if (rnd() % 4) {
				assert_int_equal(allowedips_insert(&a, &p, &peers[k], &lists[k]),
						 0);
				assert_int_equal(routes_set(&e, &p, &peers[k]), 0);
			} else if (allowedips_remove(&a, &p, &lists[k])) {
				assert_int_equal(routes_clear(&e, &p), 0);
			}
		}
		if (round % 9 == 8) {
			struct allowedips_list *list = &lists[rnd() % 8];
			const struct allowedips_node *at = NULL;
			struct ip_prefix p;

			while (allowedips_next(list, &at, &p))
				assert_int_equal(routes_clear(&e, &p), 0);
			allowedips_remove_all(&a, list);
		}
		for (size_t i = 0; i < 200; i++)
			assert_ptr_equal(i % 2 ? routes_find4(&before, asked[i].addr.bytes)
					       : routes_find6(&before, asked[i].addr.bytes),
					 found[i]);
		routes_published(&e);
		for (int i = 0; i < 2000; i++) {
			struct ip_prefix p = random_prefix(i % 2 ? 4 : 6);

			if (i % 2)
				assert_ptr_equal(routes_find4(&e.routes, p.addr.bytes),
						 allowedips_find4(&a, p.addr.bytes));
			else
				assert_ptr_equal(routes_find6(&e.routes, p.addr.bytes),
						 allowedips_find6(&a, p.addr.bytes));
		}
	}
	/* One by one, until not even a fork is left. */
	for (size_t k = 0; k < 8; k++) {
		const struct allowedips_node *at = NULL;
		struct ip_prefix p;

		while (allowedips_next(&lists[k], &at, &p))
			assert_int_equal(routes_clear(&e, &p), 0);
	}
	assert_null(e.routes.root4);
	assert_null(e.routes.root6);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(routes_set(&e, &asked[i], &peers[0]), 0);
	routes_clear_all(&e);
	assert_null(routes_find4(&e.routes, zero));
	assert_null(routes_find6(&e.routes, zero));
	routes_done(&e);
	allowedips_done(&a);
	free(peers);
}

/* ---- indices ---- */

static void test_index_names_its_shard(void **state)
{
	struct random_fake fake = {7};
	struct random_source source = random_fake_source(&fake);

	(void)state;
	for (unsigned shards = 1; shards <= SHARDS_MAX; shards++)
		for (unsigned shard = 0; shard < shards; shard++) {
			uint8_t wire[4];
			uint32_t index = index_make(&source, shard, shards);

			assert_int_not_equal(index, 0);
			assert_int_equal(index_shard(index, shards), shard);
			/* What the program of bpf_reuseport_attach looks at. */
			bytes_put_le32(wire, index);
			assert_int_equal(wire[3] % shards, shard);
		}
}

/* ---- several shards in one thread ---- */

static void test_peers_are_spread(void **state)
{
	struct tunnel_config config = {.shards = 4};
	unsigned counts[4] = {0};
	char request[256], hex[65];
	uint8_t key[32];
	struct tunnel *t;

	(void)state;
	assert_int_equal(tunnel_new(&config, &t), 0);
	assert_int_equal(tunnel_shards(t), 4);
	for (int i = 0; i < 40; i++) {
		for (size_t k = 0; k < 32; k++)
			key[k] = (uint8_t)rnd();
		encode_hex(hex, key, 32);
		snprintf(request, sizeof(request),
			 "set=1\npublic_key=%s\nallowed_ip=10.0.0.%d/32\n", hex, i);
		assert_int_equal(pair_uapi(t, request), 0);
	}
	for (const struct peer *p = t->peers.first; p; p = p->next) {
		assert_true(p->adopted);
		counts[p->device->number]++;
	}
	for (int i = 0; i < 4; i++) {
		const struct tunnel *shard = t->shards->all[i];

		assert_int_equal(counts[i], 10);
		assert_int_equal(shard->own_count, 10);
		/* All see the same routes. */
		assert_ptr_equal(shard->routes.root4, t->routes.root4);
	}
	/* Those who leave make room. */
	encode_hex(hex, t->peers.first->key, 32);
	snprintf(request, sizeof(request), "set=1\npublic_key=%s\nremove=true\n", hex);
	assert_int_equal(pair_uapi(t, request), 0);
	assert_int_equal(t->shards->all[0]->own_count, 9);
	snprintf(request, sizeof(request), "set=1\npublic_key=%s\n", hex);
	assert_int_equal(pair_uapi(t, request), 0);
	assert_int_equal(t->peers.last->device->number, 0);
	/* One descriptor is not enough for four. */
	assert_int_equal(tunnel_attach_tun(t, TUNNEL_PORT_MAIN, 0, NULL), -22);
	assert_int_equal(tunnel_attach_udp(t, 0, -1), -22);
	tunnel_free(t);
	config.shards = SHARDS_MAX + 1;
	assert_int_equal(tunnel_new(&config, &t), -22);
}

/* ---- threads ---- */

struct seen {
	_Atomic unsigned calls[3];
	pthread_t threads[3];
};

static void note_thread(void *ctx, unsigned shard)
{
	struct seen *s = ctx;

	s->calls[shard]++;
	s->threads[shard] = pthread_self();
}

static void test_snapshots_reach_threads(void **state)
{
	struct tunnel_config config = {.shards = 3};
	struct seen s = {0};
	struct tunnel *t;
	char request[256];

	(void)state;
	assert_int_equal(tunnel_new(&config, &t), 0);
	assert_int_equal(tunnel_on_shards(t, note_thread, &s), 0);
	assert_true(pthread_equal(s.threads[2], pthread_self()));
	assert_int_equal(tunnel_start(t), 0);
	assert_int_equal(tunnel_start(t), 0);
	for (int i = 0; i < 300; i++) {
		snprintf(request, sizeof(request),
			 "set=1\npublic_key=%064x\nreplace_allowed_ips=true\n"
			 "allowed_ip=10.0.%d.0/24\nendpoint=192.0.2.1:%d\n%s",
			 i % 7 + 1, i % 256, i + 1, i % 5 == 4 ? "remove=true\n" : "");
		assert_int_equal(pair_uapi(t, request), 0);
		tunnel_set_up(t, i % 3 != 0);
		if (i % 10 == 0)
			assert_int_equal(tunnel_on_shards(t, note_thread, &s), 0);
		assert_int_equal(pair_uapi(t, "get=1\n"), 0);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(s.calls[i], 31);
		assert_false(pthread_equal(s.threads[i], pthread_self()));
		assert_false(pthread_equal(s.threads[i], s.threads[(i + 1) % 3]));
	}
	tunnel_free(t);
}

static void test_flood_leaves_room(void **state)
{
	struct tunnel_config config = {.shards = 1};
	struct note foreign = {.type = NOTE_FOREIGN}, initiation = {.type = NOTE_INITIATION};
	uint8_t data[1400] = {0};
	struct tunnel *t;
	unsigned junk = 0, handshakes = 0;

	(void)state;
	assert_int_equal(tunnel_new(&config, &t), 0);
	assert_int_equal(tunnel_start(t), 0);
	/* The shard sleeps and control does not look: we are both. */
	while (junk < 10000 && shards_tell_control(t, &foreign, data, sizeof(data)))
		junk++;
	assert_in_range(junk, 50, 9999);
	while (handshakes < 100000 && shards_tell_control(t, &initiation, data, 148))
		handshakes++;
	assert_in_range(handshakes, 300, 99999);
	tunnel_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring_order),
		cmocka_unit_test(test_ring_threads),
		cmocka_unit_test(test_routes_are_the_trie),
		cmocka_unit_test(test_index_names_its_shard),
		cmocka_unit_test(test_peers_are_spread),
		cmocka_unit_test(test_snapshots_reach_threads),
		cmocka_unit_test(test_flood_leaves_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
