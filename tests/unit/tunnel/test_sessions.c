/* SPDX-License-Identifier: Apache-2.0
 *
 * What sessions outlive and what they don't (WireGuard paper sections 5.4.6, 6.1 to 6.5): packets
 * under way over a change of session, an initiator who only listens, keepalives, retries, ends,
 * padding.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair.h"

static struct pair *setup(void)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->roaming = true;
	pair_init(p, 5);
	pair_join(p, 0, true, "");
	pair_join(p, 1, true, "");
	return p;
}

static void teardown(struct pair *p)
{
	pair_done(p);
	free(p);
}

static void send_text(struct pair *p, int from, const char *text)
{
	uint8_t packet[256];

	pair_tx(p, from, packet, pair_udp4(packet, from, text, strlen(text)));
}

static bool got_text(const struct pair_side *s, const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < s->inbox_count; i++)
		if (s->inbox[i].len == 28 + len && memcmp(s->inbox[i].data + 28, text, len) == 0)
			return true;
	return false;
}

static void start_session(struct pair *p)
{
	send_text(p, 0, "first");
	pair_pump(p);
	assert_true(got_text(&p->side[1], "first"));
}

/* Sends a packet that stays under way: the caller delivers and frees it. */
static struct pair_datagram hold(struct pair *p, int from, const char *text)
{
	assert_int_equal(p->flying_count, 0);
	send_text(p, from, text);
	assert_int_equal(p->flying_count, 1);
	return p->flying[--p->flying_count];
}

static void deliver(struct pair *p, struct pair_datagram *d)
{
	pair_receive(p, d);
	free(d->data);
}

static void test_under_way_over_a_new_session(void **state)
{
	struct pair *p = setup();
	struct pair_datagram up, down;

	(void)state;
	start_session(p);
	pair_pass(p, 119 * NSEC_PER_SEC);
	up = hold(p, 0, "up");
	down = hold(p, 1, "down");
	pair_pass(p, 2 * NSEC_PER_SEC);
	send_text(p, 0, "renew");
	pair_pump(p);
	assert_int_equal(p->side[0].t->stats[STAT_HANDSHAKES], 2);
	assert_int_equal(p->side[1].t->stats[STAT_HANDSHAKES], 2);
	deliver(p, &up);
	deliver(p, &down);
	assert_true(got_text(&p->side[1], "up"));
	assert_true(got_text(&p->side[0], "down"));
	teardown(p);
}

static void test_nothing_is_opened_after_its_time(void **state)
{
	struct pair *p = setup();
	struct pair_datagram late, too_late;

	(void)state;
	start_session(p);
	late = hold(p, 0, "late");
	too_late = hold(p, 0, "too late");
	pair_pass(p, 179 * NSEC_PER_SEC);
	deliver(p, &late);
	assert_true(got_text(&p->side[1], "late"));
	pair_pass(p, 2 * NSEC_PER_SEC);
	/* Whatever has happened meanwhile, that session is 181 s old. */
	deliver(p, &too_late);
	assert_false(got_text(&p->side[1], "too late"));
	teardown(p);
}

/* Section 6.2: 165 s, so that who only listens does not lose the session at 180. */
static void test_a_listening_initiator_renews(void **state)
{
	struct pair *p = setup();

	(void)state;
	start_session(p);
	pair_pass(p, 164 * NSEC_PER_SEC);
	send_text(p, 1, "early");
	pair_pump(p);
	assert_int_equal(p->side[0].t->stats[STAT_HANDSHAKES], 1);
	pair_pass(p, 2 * NSEC_PER_SEC);
	send_text(p, 1, "now");
	pair_pump(p);
	assert_true(got_text(&p->side[0], "now"));
	assert_int_equal(p->side[0].t->stats[STAT_HANDSHAKES], 2);
	teardown(p);
}

static size_t nowhere(void *ctx, struct train *trains, size_t count)
{
	(void)ctx;
	(void)trains;
	return count;
}

/* Each packet that comes would otherwise begin the 90 seconds of tries anew. */
static void test_it_does_so_once(void **state)
{
	struct pair *p = setup();
	struct pair_side *a = &p->side[0];

	(void)state;
	start_session(p);
	pair_pass(p, 166 * NSEC_PER_SEC);
	a->t->io.send = nowhere;
	for (int i = 0; i < 13; i++) {
		send_text(p, 1, "x");
		pair_pass(p, NSEC_PER_SEC);
	}
	assert_in_range(a->t->peers.first->handshake_attempts, 2, 3);
	teardown(p);
}

/* Section 6.5; data that comes while a keepalive is due is answered by another one. */
static void test_keepalives_for_data_that_went_on(void **state)
{
	struct pair *p = setup();
	size_t sent;

	(void)state;
	start_session(p);
	pair_pass(p, 30 * NSEC_PER_SEC);
	sent = p->side[1].sent;
	send_text(p, 0, "a");
	pair_pump(p);
	pair_pass(p, 5 * NSEC_PER_SEC);
	send_text(p, 0, "b");
	pair_pump(p);
	pair_pass(p, 6 * NSEC_PER_SEC);
	assert_int_equal(p->side[1].sent, sent + 1);
	pair_pass(p, 10 * NSEC_PER_SEC);
	assert_int_equal(p->side[1].sent, sent + 2);
	pair_pass(p, 40 * NSEC_PER_SEC);
	assert_int_equal(p->side[1].sent, sent + 2);
	teardown(p);
}

/* The address that we sent from may be what is broken. */
static void test_retries_choose_their_source_anew(void **state)
{
	struct pair *p = setup();
	struct pair_side *a = &p->side[0];
	const struct udp_source source = {.addr = {4, {192, 0, 2, 7}}};

	(void)state;
	a->arrives = source;
	start_session(p);
	send_text(p, 1, "y");
	pair_pump(p);
	p->loss_percent = 100;
	send_text(p, 0, "x");
	assert_int_equal(a->source.addr.bytes[3], 7);
	pair_pass(p, 16 * NSEC_PER_SEC);
	assert_int_equal(a->last_type, WIRE_INITIATION);
	assert_int_equal(a->source.addr.family, 0);
	a->t->peers.first->source = source;
	pair_pass(p, 6 * NSEC_PER_SEC);
	assert_int_equal(a->last_type, WIRE_INITIATION);
	assert_int_equal(a->source.addr.family, 0);
	teardown(p);
}

/* Section 6.3: what was begun and never answered goes, too. */
static void test_an_unanswered_handshake_is_forgotten(void **state)
{
	static const uint8_t zero[NOISE_KEY_BYTES];
	struct pair *p = setup();
	const struct noise_handshake *hs = &p->side[0].t->peers.first->handshake;

	(void)state;
	p->loss_percent = 100;
	send_text(p, 0, "x");
	pair_pass(p, 120 * NSEC_PER_SEC); /* given up */
	assert_int_equal(hs->state, NOISE_INITIATION_CREATED);
	pair_pass(p, 540 * NSEC_PER_SEC);
	assert_int_equal(hs->state, NOISE_ZEROED);
	assert_memory_equal(hs->ephemeral_private, zero, sizeof(zero));
	teardown(p);
}

static size_t last_len;

static void record(struct pair *p, int from, const uint8_t *data, size_t len)
{
	(void)p;
	if (from == 0 && data[0] == WIRE_DATA)
		last_len = len;
}

static void test_padding_ends_at_the_mtu(void **state)
{
	/* Inner packet, datagram. */
	static const size_t sizes[][2] = {
		{29, 32 + 32},	  {32, 32 + 32},     {33, 48 + 32},	{992, 992 + 32},
		{993, 1001 + 32}, {1001, 1001 + 32}, {1002, 1002 + 32},
	};
	struct pair *p = setup();
	uint8_t packet[1100], payload[1100] = {0};

	(void)state;
	p->on_send = record;
	start_session(p);
	tunnel_set_mtu(p->side[0].t, TUNNEL_PORT_MAIN, 1001);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		pair_tx(p, 0, packet, pair_udp4(packet, 0, payload, sizes[i][0] - 28));
		assert_int_equal(last_len, sizes[i][1]);
		pair_pump(p);
	}
	teardown(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_under_way_over_a_new_session),
		cmocka_unit_test(test_nothing_is_opened_after_its_time),
		cmocka_unit_test(test_a_listening_initiator_renews),
		cmocka_unit_test(test_it_does_so_once),
		cmocka_unit_test(test_keepalives_for_data_that_went_on),
		cmocka_unit_test(test_retries_choose_their_source_anew),
		cmocka_unit_test(test_an_unanswered_handshake_is_forgotten),
		cmocka_unit_test(test_padding_ends_at_the_mtu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
