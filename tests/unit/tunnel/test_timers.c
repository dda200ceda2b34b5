/* SPDX-License-Identifier: Apache-2.0
 *
 * The spread of handshake retries (WireGuard paper section 6.1, 6.4): every initiation that nobody
 * answers is repeated after REKEY_TIMEOUT and 0 to 333 ms more, which no two machines share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair.h"

#define SEEDS	 200
#define SENT_MAX 64

static uint64_t sent_ns[SENT_MAX]; /* when device 0 sent initiations */
static size_t sent_count;

static void record(struct pair *p, int from, const uint8_t *data, size_t len)
{
	if (from != 0 || data[0] != WIRE_INITIATION)
		return;
	assert_int_equal(len, sizeof(struct wire_initiation));
	assert_true(sent_count < SENT_MAX);
	sent_ns[sent_count++] = p->side[0].time.monotonic_ns;
}

/* Two devices that know each other. */
static struct pair *setup(uint64_t seed, unsigned loss_percent)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->roaming = true;
	p->on_send = record;
	p->loss_percent = loss_percent;
	sent_count = 0;
	pair_init(p, seed);
	for (int i = 0; i < 2; i++)
		pair_join(p, i, true, "");
	return p;
}

static void teardown(struct pair *p)
{
	pair_done(p);
	free(p);
}

static void send_one(struct pair *p)
{
	uint8_t packet[64];

	pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
	pair_pump(p);
}

/* Of one machine that starts with this seed: the pauses between its initiations. */
static size_t pauses(uint64_t seed, uint64_t out[static SENT_MAX])
{
	struct pair *p = setup(seed, 100);
	size_t count;

	send_one(p);
	pair_pass(p, 120 * NSEC_PER_SEC);
	count = sent_count;
	for (size_t i = 1; i < count; i++)
		out[i - 1] = sent_ns[i] - sent_ns[i - 1];
	teardown(p);
	return count ? count - 1 : 0;
}

static void test_each_retry_has_its_own_pause(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t pause[SENT_MAX];
		size_t count = pauses(seed, pause);

		/* 90 seconds' worth, then no more. */
		assert_int_equal(count, MAX_HANDSHAKES + 1);
		for (size_t i = 0; i < count; i++) {
			assert_true(pause[i] >= REKEY_TIMEOUT);
			assert_true(pause[i] < REKEY_TIMEOUT + REKEY_JITTER);
			for (size_t k = 0; k < i; k++)
				assert_true(pause[i] != pause[k]);
		}
	}
}

static void test_machines_differ_over_the_whole_range(void **state)
{
	uint64_t pause[SENT_MAX], first[SEEDS];
	unsigned third[3] = {0};

	(void)state;
	assert_int_equal(REKEY_TIMEOUT, 5000 * NSEC_PER_MSEC);
	assert_int_equal(REKEY_JITTER, 333 * NSEC_PER_MSEC);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		assert_true(pauses(seed, pause) > 0);
		first[seed - 1] = pause[0];
		for (size_t k = 0; k + 1 < seed; k++)
			assert_true(first[k] != pause[0]);
		third[(pause[0] - REKEY_TIMEOUT) * 3 / REKEY_JITTER]++;
	}
	/* 67 of each; the seeds are fixed, so this holds always or never. */
	for (size_t i = 0; i < 3; i++)
		assert_in_range(third[i], SEEDS / 5, SEEDS / 2);
	/* The same randomness, the same pauses: nothing else decides them. */
	assert_true(pauses(SEEDS, pause) > 0);
	assert_int_equal(pause[0], first[SEEDS - 1]);
}

/* A session whose peer fell silent: the new handshake after 15 s is spread as well. */
static void test_silence_is_spread_too(void **state)
{
	uint64_t first[SEEDS / 10];

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS / 10; seed++) {
		struct pair *p = setup(seed, 0);
		uint64_t lost_ns, pause;

		send_one(p);
		assert_int_equal(p->side[1].inbox_count, 1);
		pair_pass(p, 11 * NSEC_PER_SEC); /* keepalives are through */
		p->loss_percent = 100;
		sent_count = 0;
		lost_ns = p->side[0].time.monotonic_ns;
		send_one(p);
		pair_pass(p, 20 * NSEC_PER_SEC);
		assert_true(sent_count >= 1);
		pause = sent_ns[0] - lost_ns;
		assert_true(pause >= KEEPALIVE_TIMEOUT + REKEY_TIMEOUT);
		assert_true(pause < KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + REKEY_JITTER);
		for (size_t k = 0; k + 1 < seed; k++)
			assert_true(first[k] != pause);
		first[seed - 1] = pause;
		teardown(p);
	}
}

/* Sections 6.1, 6.2 and 5.4.6 of the paper, and our issue's window: the other tests speak of them
 * by name. */
static void test_numbers_of_the_paper(void **state)
{
	(void)state;
	assert_true(REKEY_AFTER_MESSAGES == UINT64_C(1152921504606846976));
	assert_true(REJECT_AFTER_MESSAGES == UINT64_C(18446744073709543423));
	assert_true(REKEY_AFTER_TIME == UINT64_C(120000000000));
	assert_true(REJECT_AFTER_TIME == UINT64_C(180000000000));
	assert_true(REKEY_ATTEMPT_TIME == UINT64_C(90000000000));
	assert_true(KEEPALIVE_TIMEOUT == UINT64_C(10000000000));
	assert_int_equal(REPLAY_WINDOW, 8192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_retry_has_its_own_pause),
		cmocka_unit_test(test_machines_differ_over_the_whole_range),
		cmocka_unit_test(test_silence_is_spread_too),
		cmocka_unit_test(test_numbers_of_the_paper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
