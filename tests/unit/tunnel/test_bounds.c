/* SPDX-License-Identifier: Apache-2.0
 *
 * What a peer, or anybody, can make a device do: memory stays where it was whatever comes,
 * authenticated or not; packets cost no allocation; under load one address (IPv4 /32, IPv6 /64)
 * gets its share of curve operations and no more; 10,000 peers have what one has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <sodium.h>

#include "pair.h"

#define ROUNDS	    60000
#define PEERS	    10000
#define GROWTH	    (64 << 10) /* bytes: what a table or a library may still round up */
#define PEER_BYTES  4096
#define LIMIT_BURST 5 /* ratelimiter.c */
#define LIMIT_RATE  20

/* ---- the heap ---- */

static size_t allocations; /* stays 0 under a sanitizer, whose heap is its own */

#ifndef WARREN_SANITIZE
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

/* In the place of libc's, for everybody in this program. */
void *malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}
#endif

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2(); /* nothing under a sanitizer */

	return info.uordblks + info.hblkhd;
}

/* ---- datagrams that the harness does not keep ---- */

static struct pair *new_pair(uint64_t seed)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->roaming = true;
	pair_init(p, seed);
	pair_join(p, 0, true, "");
	pair_join(p, 1, true, "");
	return p;
}

static void free_pair(struct pair *p)
{
	pair_done(p);
	free(p);
}

static void receive(struct pair_side *s, uint8_t *data, size_t len, const struct endpoint *from)
{
	struct udp_source source = {.addr = {4, {192, 0, 2, 2}}};

	rx_train(s->t, data, len, 0, from, &source, s->time.monotonic_ns);
	rx_flush(s->t, s->time.monotonic_ns);
}

static void drop_flying(struct pair *p)
{
	while (p->flying_count)
		free(p->flying[--p->flying_count].data);
}

static void pass(struct pair *p, uint64_t ns)
{
	for (int i = 0; i < 2; i++) {
		p->side[i].time.monotonic_ns += ns;
		p->side[i].time.realtime_ns += ns;
		timers_run(p->side[i].t, p->side[i].time.monotonic_ns);
	}
}

static struct endpoint any_endpoint(struct pair *p)
{
	struct endpoint e;
	char text[64];
	uint64_t r = pair_rand(p);

	if (r % 2)
		snprintf(text, sizeof(text), "[2001:db8::%x]:%u", (unsigned)(r >> 8 & 0xffff),
			 1 + (unsigned)(r >> 32) % 60000);
	else
		snprintf(text, sizeof(text), "10.%u.%u.1:%u", (unsigned)(r >> 8 & 255),
			 (unsigned)(r >> 16 & 255), 1 + (unsigned)(r >> 32) % 60000);
	assert_int_equal(endpoint_parse(text, &e), 0);
	return e;
}

/* A handshake message with a good mac1, which whoever knows our key can make. */
static void junk_with_mac1(struct pair *p, uint8_t *msg, size_t len)
{
	struct cookie_maker maker;

	random_bytes(&p->side[0].random, msg, len);
	bytes_put_le32(msg,
		       len == sizeof(struct wire_initiation) ? WIRE_INITIATION : WIRE_RESPONSE);
	cookie_maker_set(&maker, p->side[1].public_key);
	cookie_add_macs(&maker, msg, len, p->side[1].time.monotonic_ns);
}

static void test_strangers(void **state)
{
	struct pair *p = new_pair(1);
	struct pair_side *s = &p->side[1];
	uint8_t data[256];
	size_t before = 0;

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct endpoint from = any_endpoint(p);
		uint64_t r = pair_rand(p);
		size_t len = r % 3 == 0	  ? sizeof(struct wire_initiation)
			     : r % 3 == 1 ? sizeof(struct wire_response)
					  : r % sizeof(data);

		if (r % 3 < 2 && r % 5) {
			junk_with_mac1(p, data, len);
		} else {
			random_bytes(&p->side[0].random, data, len);
			if (len >= 4)
				bytes_put_le32(data, (uint32_t)(r >> 16) % 6);
		}
		receive(s, data, len, &from);
		drop_flying(p);
		if (i % 16 == 0)
			pass(p, NSEC_PER_MSEC);
		if (i == ROUNDS / 4) /* the rate limiter has its table by now */
			before = heap_bytes();
	}
	assert_true(s->t->drops[DROP_RX_COOKIE_SENT] > 0);
	assert_in_range(heap_bytes(), 0, before + GROWTH);
	assert_int_equal(s->t->index.used, 0);
	assert_false(endpoint_equal(&s->t->peers.first->endpoint, &(struct endpoint){0}));
	free_pair(p);
}

/* A peer that begins sessions without end, moves with each packet and sends whatever it likes. */
static void test_a_mad_peer(void **state)
{
	struct pair *p = new_pair(2);
	struct pair_side *a = &p->side[0], *b = &p->side[1];
	uint8_t packet[256];
	size_t before = 0;

	(void)state;
	b->t->hooks.event = NULL;
	for (unsigned i = 0; i < 6000; i++) {
		a->endpoint = any_endpoint(p);
		for (unsigned k = 0; k < 5; k++) {
			size_t len = 1 + pair_rand(p) % 100;

			random_bytes(&a->random, packet + 28, len);
			len = pair_udp4(packet, 0, packet + 28, len);
			if (pair_rand(p) % 4 == 0)
				packet[pair_rand(p) % 28] ^= (uint8_t)(1 << pair_rand(p) % 8);
			pair_tx(p, 0, packet, len);
		}
		if (i % 3 == 0) { /* a new session, which it may never use */
			a->t->own->last_sent_handshake_ns = 0;
			handshake_initiate(a->t->own, false, a->time.monotonic_ns);
		}
		if (i % 7)
			pair_pump(p);
		else
			drop_flying(p);
		pair_clear_inbox(b);
		pair_clear_inbox(a);
		/* It may also never get an answer, while we want to tell it something. */
		if (i % 2)
			pair_tx(p, 1, packet, pair_udp4(packet, 1, "x", 1));
		pass(p, pair_rand(p) % (40 * NSEC_PER_MSEC));
		assert_true(b->t->index.used <= 4);
		if (i == 1500)
			before = heap_bytes();
	}
	drop_flying(p);
	assert_true(b->t->stats[STAT_HANDSHAKES] > 100);
	assert_in_range(heap_bytes(), 0, before + GROWTH);
	free_pair(p);
}

static size_t count_only(void *ctx, struct train *trains, size_t count)
{
	for (size_t i = 0; i < count; i++)
		((struct pair_side *)ctx)->sent += train_datagrams(&trains[i]);
	return count;
}

static bool swallow(void *ctx, enum tunnel_port port, const struct superpacket *sp,
		    const struct iovec *iov, int count)
{
	(void)port;
	(void)sp;
	(void)iov;
	(void)count;
	((struct pair_side *)ctx)->inbox_count++;
	return true;
}

static void test_packets_allocate_nothing(void **state)
{
	struct pair *p = new_pair(3);
	struct pair_side *a = &p->side[0], *b = &p->side[1];
	uint8_t packet[256], sealed[256];
	size_t len, before;

	(void)state;
	pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
	pair_pump(p);
	pair_clear_inbox(b);
	a->t->io = (struct device_io){a, a, count_only, swallow};
	b->t->io = (struct device_io){b, b, count_only, swallow};
	before = allocations;
	for (unsigned i = 0; i < 1000; i++) {
		struct keypair *kp = a->t->own->current;
		struct superpacket sp = {.data = packet, .count = 1};
		struct aead_job job;

		len = pair_udp4(packet, 0, "payload", 7);
		sp.len = (uint32_t)len;
		tx_packets(a->t, &sp, 1, a->time.monotonic_ns);
		/* The same by hand, for b to receive. */
		bytes_put_le32(sealed, WIRE_DATA);
		bytes_put_le32(sealed + 4, kp->remote_index);
		bytes_put_le64(sealed + 8, kp->send_counter);
		memcpy(sealed + 16, packet, len);
		job = (struct aead_job){
			.data = sealed + 16, .len = (uint32_t)len, .counter = kp->send_counter++};
		aead_seal_many(a->t->aead, &kp->seal, &job, 1);
		receive(b, sealed, len + 32, &a->endpoint);
	}
	assert_int_equal(b->inbox_count, 1000);
	assert_int_equal(allocations, before);
	b->inbox_count = 0;
	free_pair(p);
}

/* ---- load ---- */

/* An initiation of side 0 whose mac2 side 1 accepts from there. */
static void with_cookie(struct pair *p, struct wire_initiation *msg, const struct endpoint *from)
{
	struct pair_side *b = &p->side[1];
	struct cookie_maker maker;
	struct wire_initiation copy;
	struct wire_cookie reply;
	const struct pair_datagram *d;

	cookie_maker_set(&maker, b->public_key);
	cookie_add_macs(&maker, msg, sizeof(*msg), b->time.monotonic_ns);
	drop_flying(p);
	copy = *msg;
	receive(b, (uint8_t *)&copy, sizeof(copy), from);
	assert_int_equal(p->flying_count, 1);
	d = &p->flying[0];
	assert_int_equal(d->len, sizeof(reply));
	memcpy(&reply, d->data, sizeof(reply));
	assert_true(cookie_consume(&maker, &reply, b->time.monotonic_ns));
	cookie_add_macs(&maker, msg, sizeof(*msg), b->time.monotonic_ns);
	drop_flying(p);
}

/* How many of count copies got as far as the curve. */
static uint64_t admitted(struct pair *p, const struct wire_initiation *msg,
			 const struct endpoint *from, unsigned count)
{
	struct pair_side *b = &p->side[1];
	uint64_t before = b->t->drops[DROP_RX_RATE_LIMITED];

	for (unsigned i = 0; i < count; i++) {
		struct wire_initiation copy = *msg;

		receive(b, (uint8_t *)&copy, sizeof(copy), from);
		drop_flying(p);
	}
	return count - (b->t->drops[DROP_RX_RATE_LIMITED] - before);
}

static void test_one_address_gets_its_share(void **state)
{
	static const struct {
		const char *one, *same, *other;
	} nets[] = {
		{"192.0.2.1:51820", "192.0.2.1:51821", "192.0.2.9:51820"},
		{"[2001:db8:1:2::1]:5", "[2001:db8:1:2:ffff::9]:5", "[2001:db8:1:3::1]:5"},
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pair *p = new_pair(4 + i);
		struct wire_initiation msg;
		struct endpoint one, same, other;
		uint8_t packet[64];

		assert_int_equal(endpoint_parse(nets[i].one, &one), 0);
		assert_int_equal(endpoint_parse(nets[i].same, &same), 0);
		assert_int_equal(endpoint_parse(nets[i].other, &other), 0);
		pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
		assert_int_equal(p->flying[0].len, sizeof(msg));
		memcpy(&msg, p->flying[0].data, sizeof(msg));
		p->side[1].t->load_limit = 0;
		/* Each cookie was asked for; none of that was let through. */
		with_cookie(p, &msg, &one);
		assert_int_equal(admitted(p, &msg, &one, 1000), LIMIT_BURST);
		with_cookie(p, &msg, &same); /* another port, another address of the /64 */
		assert_int_equal(admitted(p, &msg, &same, 1000), 0);
		with_cookie(p, &msg, &other);
		assert_int_equal(admitted(p, &msg, &other, 1000), LIMIT_BURST);
		pass(p, NSEC_PER_SEC);
		with_cookie(p, &msg, &one);
		assert_int_equal(admitted(p, &msg, &one, 1000), LIMIT_BURST);
		/* Over ten seconds: the rate, whatever comes. */
		{
			uint64_t sum = 0;

			for (unsigned k = 0; k < 1000; k++) {
				pass(p, 10 * NSEC_PER_MSEC);
				if (k % 100 == 0)
					with_cookie(p, &msg, &one);
				sum += admitted(p, &msg, &one, 3);
			}
			assert_in_range(sum, 10 * LIMIT_RATE - 2, 10 * LIMIT_RATE + 2);
		}
		free_pair(p);
	}
}

static void test_mac1_first(void **state)
{
	struct pair *p = new_pair(7);
	struct pair_side *b = &p->side[1];
	uint8_t msg[sizeof(struct wire_initiation)];

	(void)state;
	/* Junk without mac1 is no load, makes nobody else prove anything, and reaches no curve. */
	for (unsigned i = 0; i < 5000; i++) {
		random_bytes(&p->side[0].random, msg, sizeof(msg));
		bytes_put_le32(msg, WIRE_INITIATION);
		receive(b, msg, sizeof(msg), &p->side[0].endpoint);
	}
	assert_int_equal(b->t->drops[DROP_RX_BAD_MAC], 5000);
	assert_int_equal(b->t->drops[DROP_RX_BAD_HANDSHAKE], 0);
	assert_int_equal(b->t->drops[DROP_RX_COOKIE_SENT], 0);
	assert_int_equal(p->flying_count, 0);
	{
		uint8_t packet[64];

		pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
		pair_pump(p);
	}
	assert_int_equal(b->inbox_count, 1);
	free_pair(p);
}

/* ---- many ---- */

static void test_ten_thousand_peers(void **state)
{
	struct pair *p = new_pair(8);
	struct pair_side *b = &p->side[1];
	size_t before = heap_bytes(), used, room = (size_t)PEERS * 160;
	char *all = malloc(room), request[128];
	uint8_t packet[64];
	struct peer *last;

	(void)state;
	assert_non_null(all);
	used = (size_t)snprintf(all, room, "set=1\n");
	for (unsigned i = 1; i < PEERS; i++)
		used += (size_t)snprintf(all + used, room - used,
					 "public_key=%064x\nallowed_ip=10.%u.%u.%u/32\n"
					 "endpoint=192.0.2.7:9\n",
					 i, 64 + (i >> 16), i >> 8 & 255, i & 255);
	assert_int_equal(pair_uapi(b->t, all), 0);
	free(all);
	assert_int_equal(b->t->peers.count, PEERS);
	snprintf(request, sizeof(request), "set=1\npublic_key=%064x\n", PEERS + 1);
	assert_int_equal(pair_uapi(b->t, request), -28);
	assert_in_range(heap_bytes(), 0, before + (size_t)PEERS * PEER_BYTES);
	/* Traffic for all of them, none of whom answers. */
	p->loss_percent = 100;
	for (unsigned i = 1; i < PEERS; i++) {
		size_t len = pair_udp4(packet, 1, "hello", 5);

		memcpy(packet + 16,
		       (uint8_t[]){10, (uint8_t)(64 + (i >> 16)), (uint8_t)(i >> 8), (uint8_t)i},
		       4);
		checksum_set_ipv4(packet, 20);
		pair_tx(p, 1, packet, len);
	}
	assert_true(b->t->index.used <= PEERS);
	assert_true(b->t->staging.fresh <= STAGING_CHUNKS);
	p->loss_percent = 0;
	/* The one that is there does. */
	pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
	pair_pump(p);
	assert_int_equal(b->inbox_count, 1);
	last = b->t->peers.last;
	assert_non_null(last);
	assert_int_equal(pair_uapi(b->t, "set=1\nreplace_peers=true\n"), 0);
	assert_int_equal(b->t->peers.count, 0);
	assert_int_equal(b->t->timers.count, 0);
	assert_int_equal(b->t->index.used, 0);
	free_pair(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_a_mad_peer),
		cmocka_unit_test(test_packets_allocate_nothing),
		cmocka_unit_test(test_one_address_gets_its_share),
		cmocka_unit_test(test_mac1_first),
		cmocka_unit_test(test_ten_thousand_peers),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
