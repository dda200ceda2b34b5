/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP for destinations without a peer, and ECN through a pair of devices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair.h"
#include "tunnel/answer.h"
#include "tunnel/ip.h"

static size_t udp6(uint8_t *out, uint8_t last)
{
	memset(out, 0, 60);
	out[0] = 0x60;
	bytes_put_be16(out + 4, 20);
	out[6] = 17;
	out[7] = 64;
	out[8] = out[24] = 0xfd;
	out[23] = 1;
	out[39] = last;
	return 60;
}

static void test_v4(void **state)
{
	uint8_t packet[700], out[ANSWER_MAX];
	uint8_t payload[600] = {1};
	size_t len = pair_udp4(packet, 0, "hello", 5);

	(void)state;
	assert_int_equal(answer_unreachable(packet, (uint32_t)len, out), 28 + len);
	assert_int_equal(out[9], 1);
	assert_int_equal(out[20], 3);
	assert_int_equal(out[21], 1);
	assert_memory_equal(out + 12, packet + 16, 4);
	assert_memory_equal(out + 16, packet + 12, 4);
	assert_memory_equal(out + 28, packet, len);
	assert_int_equal(checksum_fold(checksum_add(0, out, 20)), 0xffff);
	assert_int_equal(checksum_fold(checksum_add(0, out + 20, 8 + len)), 0xffff);
	len = pair_udp4(packet, 0, payload, sizeof(payload));
	assert_int_equal(answer_unreachable(packet, (uint32_t)len, out), 576);
	/* Never to errors, later fragments, groups, or from nobody. */
	len = pair_udp4(packet, 0, "hello", 5);
	packet[7] = 1;
	assert_int_equal(answer_unreachable(packet, (uint32_t)len, out), 0);
	packet[7] = 0;
	packet[9] = 1;
	packet[20] = 3;
	assert_int_equal(answer_unreachable(packet, (uint32_t)len, out), 0);
	packet[20] = 8;
	assert_true(answer_unreachable(packet, (uint32_t)len, out) > 0);
	packet[16] = 239;
	assert_int_equal(answer_unreachable(packet, (uint32_t)len, out), 0);
	packet[16] = 10;
	packet[12] = 0;
	assert_int_equal(answer_unreachable(packet, (uint32_t)len, out), 0);
	assert_int_equal(answer_unreachable(packet, 19, out), 0);
}

static void test_v6(void **state)
{
	uint8_t packet[2000] = {0}, out[ANSWER_MAX];
	struct ip_view ip;

	(void)state;
	assert_int_equal(answer_unreachable(packet, (uint32_t)udp6(packet, 9), out), 108);
	assert_true(ip_parse(out, 108, &ip));
	assert_int_equal(ip.proto, 58);
	assert_int_equal(out[40], 1);
	assert_int_equal(out[41], 3);
	assert_memory_equal(out + 8, packet + 24, 16);
	assert_memory_equal(out + 48, packet, 60);
	assert_int_equal(
		checksum_fold(checksum_add(checksum_pseudo(out, &ip, 58, 68), out + 40, 68)),
		0xffff);
	assert_int_equal(answer_unreachable(packet, sizeof(packet), out), ANSWER_MAX);
	packet[24] = 0xff;
	assert_int_equal(answer_unreachable(packet, 60, out), 0);
	packet[24] = 0xfe;
	packet[25] = 0x80;
	assert_int_equal(answer_unreachable(packet, 60, out), 0);
	udp6(packet, 9);
	packet[6] = 58;
	packet[40] = 1;
	assert_int_equal(answer_unreachable(packet, 60, out), 0);
}

/* One answer for a burst, none for what has a peer. */
static void test_device(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	uint8_t packet[64];
	size_t len = pair_udp4(packet, 0, "x", 1);

	(void)state;
	pair_init(p, 1);
	pair_join(p, 0, true, "");
	pair_join(p, 1, true, "");
	pair_tx(p, 0, packet, len);
	pair_pump(p);
	assert_int_equal(p->side[0].inbox_count, 0);
	packet[19] = 77;
	checksum_set_ipv4(packet, 20);
	for (int i = 0; i < 10; i++)
		pair_tx(p, 0, packet, len);
	assert_int_equal(p->side[0].inbox_count, 1);
	assert_int_equal(p->side[0].inbox[0].data[9], 1);
	pair_pass(p, 20 * NSEC_PER_MSEC);
	pair_tx(p, 0, packet, len);
	assert_int_equal(p->side[0].inbox_count, 2);
	pair_done(p);
	free(p);
}

static void test_outer_ecn(void **state)
{
	/* inner ECN, outer ECN: CE is never copied outwards (it would count twice) */
	static const uint8_t table[4][2] = {{0, 0}, {1, 1}, {2, 2}, {3, 2}};
	uint8_t v4[20] = {0x45}, v6[40] = {0x60};

	(void)state;
	for (int i = 0; i < 4; i++) {
		v4[1] = (uint8_t)(0xb8 | table[i][0]); /* DSCP stays inside */
		v6[0] = 0x6b;
		v6[1] = (uint8_t)(0x80 | table[i][0] << 4);
		assert_int_equal(answer_outer_ecn(v4), table[i][1]);
		assert_int_equal(answer_outer_ecn(v6), table[i][1]);
	}
}

/* ECN arrives: (inner sent, outer mark) -> inner received. */
static void test_inner_ecn(void **state)
{
	static const uint8_t table[][3] = {{0, 0, 0}, {0, 3, 0}, {1, 0, 1}, {1, 3, 3},
					   {2, 3, 3}, {2, 1, 2}, {3, 0, 3}, {3, 3, 3}};
	uint8_t packet[64];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct pair *p = calloc(1, sizeof(*p));
		struct udp_source source = {.ecn = table[i][1]};
		struct pair_side *b = &p->side[1];
		struct pair_datagram *d;
		size_t len = pair_udp4(packet, 0, "x", 1);

		pair_init(p, 1);
		pair_join(p, 0, true, "");
		pair_join(p, 1, true, "");
		pair_tx(p, 0, packet, len);
		pair_pump(p);
		pair_clear_inbox(b);
		packet[1] = table[i][0];
		checksum_set_ipv4(packet, 20);
		pair_tx(p, 0, packet, len);
		assert_int_equal(p->flying_count, 1);
		d = &p->flying[0];
		rx_train(b->t, d->data, d->len, 0, &d->source, &source, b->time.monotonic_ns);
		rx_flush(b->t, b->time.monotonic_ns);
		assert_int_equal(b->inbox_count, 1);
		assert_int_equal(b->inbox[0].data[1], table[i][2]);
		assert_int_equal(checksum_fold(checksum_add(0, b->inbox[0].data, 20)), 0xffff);
		pair_done(p);
		free(p);
	}
	udp6(packet, 9);
	packet[1] = 0x20;
	answer_mark_ce(packet);
	assert_int_equal(packet[1], 0x30);
	packet[1] = 0;
	answer_mark_ce(packet);
	assert_int_equal(packet[1], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),	  cmocka_unit_test(test_v6),
		cmocka_unit_test(test_device),	  cmocka_unit_test(test_outer_ecn),
		cmocka_unit_test(test_inner_ecn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
