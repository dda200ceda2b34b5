/* SPDX-License-Identifier: Apache-2.0
 *
 * Two devices against each other over a network in memory: the whole protocol with a fake clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair.h"

static struct pair *new_pair(uint64_t seed, bool endpoints)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->roaming = true;
	pair_init(p, seed);
	pair_join(p, 0, true, "");
	pair_join(p, 1, endpoints, "");
	return p;
}

static void free_pair(struct pair *p)
{
	pair_done(p);
	free(p);
}

static void send_text(struct pair *p, int from, const char *text)
{
	uint8_t packet[256];

	pair_tx(p, from, packet, pair_udp4(packet, from, text, strlen(text)));
}

static bool got_text(struct pair_side *s, const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < s->inbox_count; i++)
		if (s->inbox[i].len == 28 + len && memcmp(s->inbox[i].data + 28, text, len) == 0)
			return true;
	return false;
}

static struct peer *peer_of(struct pair *p, int i)
{
	return p->side[i].t->peers.first;
}

static void test_first_packet_makes_session(void **state)
{
	struct pair *p = new_pair(1, false);

	(void)state;
	send_text(p, 0, "hello");
	pair_pump(p);
	assert_true(got_text(&p->side[1], "hello"));
	/* The responder learned where we are. */
	assert_true(endpoint_equal(&peer_of(p, 1)->endpoint, &p->side[0].endpoint));
	send_text(p, 1, "back");
	pair_pump(p);
	assert_true(got_text(&p->side[0], "back"));
	assert_int_equal(p->side[0].t->stats[STAT_HANDSHAKES], 1);
	assert_int_equal(p->side[1].t->stats[STAT_HANDSHAKES], 1);
	assert_int_equal(peer_of(p, 0)->tx_bytes, 148 + 16 + 48 + 16);
	assert_int_equal(peer_of(p, 1)->rx_bytes, 148 + 16 + 48 + 16);
	free_pair(p);
}

static void test_preshared_key(void **state)
{
	struct pair *p = new_pair(2, true);
	char extra[128];

	(void)state;
	snprintf(extra, sizeof(extra), "preshared_key=%064d\n", 7);
	pair_join(p, 0, true, extra);
	send_text(p, 0, "no");
	pair_pump(p);
	assert_int_equal(p->side[1].inbox_count, 0);
	assert_true(p->side[0].t->drops[DROP_RX_BAD_HANDSHAKE] > 0);
	pair_join(p, 1, true, extra);
	pair_pass(p, 6 * NSEC_PER_SEC);
	assert_true(got_text(&p->side[1], "no"));
	free_pair(p);
}

static void test_rekey_after_time(void **state)
{
	struct pair *p = new_pair(3, true);
	char text[32];

	(void)state;
	for (int i = 0; i < 600; i++) {
		snprintf(text, sizeof(text), "n%d", i);
		send_text(p, i % 2, text);
		pair_pump(p);
		assert_true(got_text(&p->side[1 - i % 2], text));
		pair_clear_inbox(&p->side[0]);
		pair_clear_inbox(&p->side[1]);
		pair_pass(p, NSEC_PER_SEC);
	}
	/* One session each 120 s, by the initiator. */
	assert_in_range(p->side[0].t->stats[STAT_HANDSHAKES], 5, 6);
	free_pair(p);
}

static void test_passive_keepalive(void **state)
{
	struct pair *p = new_pair(4, true);
	size_t sent;

	(void)state;
	send_text(p, 0, "one");
	pair_pump(p);
	sent = p->side[1].sent;
	pair_pass(p, 9 * NSEC_PER_SEC);
	assert_int_equal(p->side[1].sent, sent);
	pair_pass(p, 2 * NSEC_PER_SEC);
	assert_int_equal(p->side[1].sent, sent + 1);
	/* And no answer to a keepalive. */
	sent = p->side[0].sent;
	pair_pass(p, 60 * NSEC_PER_SEC);
	assert_int_equal(p->side[0].sent, sent);
	free_pair(p);
}

static void test_persistent_keepalive(void **state)
{
	struct pair *p = new_pair(5, true);
	size_t sent;

	(void)state;
	pair_join(p, 0, true, "persistent_keepalive_interval=25\n");
	pair_pump(p);
	assert_int_equal(p->side[1].t->stats[STAT_HANDSHAKES], 1);
	sent = p->side[0].sent;
	pair_pass(p, 101 * NSEC_PER_SEC);
	assert_int_equal(p->side[0].sent, sent + 4);
	free_pair(p);
}

static void test_retries_and_gives_up(void **state)
{
	struct pair *p = new_pair(6, true);

	(void)state;
	p->loss_percent = 100;
	send_text(p, 0, "lost");
	pair_pass(p, 80 * NSEC_PER_SEC);
	assert_in_range(p->side[0].sent, 15, 17);
	assert_non_null(peer_of(p, 0)->staged.first);
	pair_pass(p, 40 * NSEC_PER_SEC);
	assert_in_range(p->side[0].sent, 19, 21);
	assert_null(peer_of(p, 0)->staged.first);
	assert_int_equal(p->side[0].t->drops[DROP_TX_GIVEN_UP], 1);
	assert_int_equal(p->side[0].events[p->side[0].event_count - 1].type,
			 TUNNEL_EVENT_HANDSHAKE_GIVEN_UP);
	p->loss_percent = 0;
	send_text(p, 0, "found");
	pair_pump(p);
	assert_true(got_text(&p->side[1], "found"));
	free_pair(p);
}

static void test_new_handshake_without_answers(void **state)
{
	struct pair *p = new_pair(7, true);

	(void)state;
	send_text(p, 0, "one");
	pair_pump(p);
	p->loss_percent = 100;
	send_text(p, 0, "two");
	pair_pass(p, 14 * NSEC_PER_SEC);
	assert_int_equal(p->side[0].last_type, WIRE_DATA);
	pair_pass(p, 2 * NSEC_PER_SEC);
	assert_int_equal(p->side[0].last_type, WIRE_INITIATION);
	free_pair(p);
}

static void test_events_of_a_silent_peer(void **state)
{
	struct pair *p = new_pair(8, true);
	struct pair_side *s = &p->side[0];

	(void)state;
	send_text(p, 0, "one");
	pair_pump(p);
	assert_int_equal(s->events[0].type, TUNNEL_EVENT_HANDSHAKE_DONE);
	s->event_count = 0;
	send_text(p, 1, "answer");
	pair_pass(p, 2 * NSEC_PER_SEC);
	assert_int_equal(s->event_count, 0);
	send_text(p, 0, "three");
	p->loss_percent = 100;
	pair_pass(p, 2 * NSEC_PER_SEC);
	assert_int_equal(s->event_count, 1);
	assert_int_equal(s->events[0].type, TUNNEL_EVENT_NO_REPLY);
	assert_memory_equal(s->events[0].peer_key, p->side[1].public_key, 32);
	free_pair(p);
}

static void test_no_endpoint(void **state)
{
	struct pair *p = new_pair(9, false);

	(void)state;
	send_text(p, 1, "wait");
	pair_pump(p);
	assert_int_equal(p->side[1].sent, 0);
	assert_int_equal(p->side[1].events[0].type, TUNNEL_EVENT_NEED_ENDPOINT);
	/* Starts the moment that there is one. */
	pair_join(p, 1, true, "");
	pair_pump(p);
	assert_true(got_text(&p->side[0], "wait"));
	free_pair(p);
}

static void test_replayed_datagrams(void **state)
{
	struct pair *p = new_pair(10, true);

	(void)state;
	p->dup_percent = 100;
	for (int i = 0; i < 50; i++)
		send_text(p, 0, "once");
	pair_pump(p);
	assert_int_equal(p->side[1].inbox_count, 50);
	assert_int_equal(p->side[1].t->drops[DROP_RX_REPLAYED_HANDSHAKE], 1);
	assert_in_range(p->side[1].t->drops[DROP_RX_REPLAY], 50, 51);
	free_pair(p);
}

static void test_roaming(void **state)
{
	struct pair *p = new_pair(11, true);
	struct endpoint home = p->side[0].endpoint;
	uint8_t junk[64] = {WIRE_DATA};

	(void)state;
	send_text(p, 0, "one");
	pair_pump(p);
	assert_int_equal(endpoint_parse("[2001:db8::7]:999", &p->side[0].endpoint), 0);
	/* Nothing unauthenticated moves an endpoint. */
	bytes_put_le32(junk + 4, peer_of(p, 1)->current->local_index);
	pair_fly(p, 0, junk, sizeof(junk), &p->side[1].endpoint);
	pair_pump(p);
	assert_int_equal(p->side[1].t->drops[DROP_RX_BAD_PACKET], 1);
	assert_true(endpoint_equal(&peer_of(p, 1)->endpoint, &home));
	send_text(p, 0, "two");
	pair_pump(p);
	assert_true(endpoint_equal(&peer_of(p, 1)->endpoint, &p->side[0].endpoint));
	/* Unless the caller owns them. */
	p->side[1].t->roaming = false;
	p->side[1].event_count = 0;
	pair_pass(p, NSEC_PER_SEC);
	p->side[0].endpoint = home;
	send_text(p, 0, "three");
	pair_pump(p);
	assert_false(endpoint_equal(&peer_of(p, 1)->endpoint, &home));
	assert_int_equal(p->side[1].events[0].type, TUNNEL_EVENT_ROAMED);
	assert_true(endpoint_equal(&p->side[1].events[0].endpoint, &home));
	assert_true(got_text(&p->side[1], "three"));
	free_pair(p);
}

static void test_cookies_under_load(void **state)
{
	struct pair *p = new_pair(12, true);

	(void)state;
	p->side[1].t->load_limit = 0;
	send_text(p, 0, "hello");
	pair_pump(p);
	/* The first is answered with a cookie, the retry carries mac2. */
	assert_int_equal(p->side[1].inbox_count, 0);
	assert_int_equal(p->side[1].t->drops[DROP_RX_COOKIE_SENT], 1);
	assert_int_equal(p->side[1].last_type, WIRE_COOKIE);
	pair_pass(p, 6 * NSEC_PER_SEC);
	assert_true(got_text(&p->side[1], "hello"));
	assert_int_equal(p->side[1].t->drops[DROP_RX_COOKIE_SENT], 1);
	free_pair(p);
}

static void test_allowed_source_only(void **state)
{
	struct pair *p = new_pair(13, true);
	uint8_t packet[64];
	size_t len = pair_udp4(packet, 0, "x", 1);

	(void)state;
	packet[15] = 9;
	checksum_set_ipv4(packet, 20);
	pair_tx(p, 0, packet, len);
	pair_pump(p);
	assert_int_equal(p->side[1].inbox_count, 0);
	assert_int_equal(p->side[1].t->drops[DROP_RX_NOT_ALLOWED], 1);
	packet[19] = 77;
	checksum_set_ipv4(packet, 20);
	pair_tx(p, 0, packet, len);
	assert_int_equal(p->side[0].t->drops[DROP_TX_NO_PEER], 1);
	free_pair(p);
}

static void test_counter_limits(void **state)
{
	struct pair *p = new_pair(14, true);

	(void)state;
	send_text(p, 0, "one");
	pair_pump(p);
	pair_pass(p, 6 * NSEC_PER_SEC);
	peer_of(p, 0)->current->send_counter = REKEY_AFTER_MESSAGES + 1;
	send_text(p, 0, "two");
	pair_pump(p);
	assert_true(got_text(&p->side[1], "two"));
	assert_int_equal(p->side[0].t->stats[STAT_HANDSHAKES], 2);
	pair_pass(p, 6 * NSEC_PER_SEC);
	/* Never sealed beyond the limit: it waits for the next session. */
	peer_of(p, 0)->current->send_counter = REJECT_AFTER_MESSAGES - 1;
	send_text(p, 0, "last");
	send_text(p, 0, "next");
	pair_pump(p);
	assert_true(got_text(&p->side[1], "last"));
	assert_true(got_text(&p->side[1], "next"));
	assert_int_equal(p->side[0].t->stats[STAT_HANDSHAKES], 3);
	free_pair(p);
}

static void test_keys_are_zeroed(void **state)
{
	struct pair *p = new_pair(15, true);

	(void)state;
	send_text(p, 0, "one");
	pair_pump(p);
	pair_pass(p, 539 * NSEC_PER_SEC);
	assert_non_null(peer_of(p, 0)->current);
	pair_pass(p, 2 * NSEC_PER_SEC);
	assert_null(peer_of(p, 0)->current);
	assert_null(peer_of(p, 1)->current);
	assert_int_equal(p->side[0].t->index.used, 0);
	assert_int_equal(p->side[1].t->index.used, 0);
	free_pair(p);
}

static void test_both_initiate_at_once(void **state)
{
	struct pair *p = new_pair(16, true);

	(void)state;
	send_text(p, 0, "a");
	send_text(p, 1, "b");
	pair_pump(p);
	pair_pass(p, 7 * NSEC_PER_SEC);
	assert_true(got_text(&p->side[1], "a"));
	assert_true(got_text(&p->side[0], "b"));
	free_pair(p);
}

static void test_full_socket_keeps_order(void **state)
{
	struct pair *p = new_pair(17, true);
	char text[32];

	(void)state;
	send_text(p, 0, "start");
	pair_pump(p);
	pair_clear_inbox(&p->side[1]);
	p->socket_full = true;
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "%d", i);
		send_text(p, 0, text);
	}
	assert_true(p->side[0].t->tx.blocked);
	p->socket_full = false;
	tx_flush(p->side[0].t);
	pair_pump(p);
	assert_int_equal(p->side[1].inbox_count, 20);
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "%d", i);
		assert_memory_equal(p->side[1].inbox[i].data + 28, text, strlen(text));
	}
	free_pair(p);
}

static void test_removal_while_waiting(void **state)
{
	struct pair *p = new_pair(18, true);
	char hex[65], request[256];

	(void)state;
	p->socket_full = true;
	send_text(p, 0, "x");
	p->socket_full = false;
	send_text(p, 0, "x");
	pair_pump(p);
	p->socket_full = true;
	send_text(p, 0, "y");
	encode_hex(hex, p->side[1].public_key, 32);
	snprintf(request, sizeof(request), "set=1\npublic_key=%s\nremove=true\n", hex);
	assert_int_equal(pair_uapi(p->side[0].t, request), 0);
	assert_int_equal(p->side[0].t->peers.count, 0);
	assert_int_equal(p->side[0].t->index.used, 0);
	assert_int_equal(p->side[0].t->timers.count, 0);
	p->socket_full = false;
	tx_flush(p->side[0].t);
	pair_pump(p);
	free_pair(p);
}

static void test_down_and_up(void **state)
{
	struct pair *p = new_pair(19, true);

	(void)state;
	send_text(p, 0, "one");
	pair_pump(p);
	tunnel_set_up(p->side[1].t, false);
	send_text(p, 0, "two");
	pair_pump(p);
	assert_false(got_text(&p->side[1], "two"));
	assert_null(peer_of(p, 1)->current);
	tunnel_set_up(p->side[1].t, true);
	send_text(p, 1, "three");
	pair_pump(p);
	assert_true(got_text(&p->side[0], "three"));
	free_pair(p);
}

static void test_changed_private_key(void **state)
{
	struct pair *p = new_pair(20, true);
	char hex[65], request[256];

	(void)state;
	send_text(p, 0, "one");
	pair_pump(p);
	random_bytes(&p->side[0].random, p->side[0].private_key, 32);
	encode_hex(hex, p->side[0].private_key, 32);
	snprintf(request, sizeof(request), "set=1\nprivate_key=%s\n", hex);
	assert_int_equal(pair_uapi(p->side[0].t, request), 0);
	send_text(p, 0, "two");
	pair_pump(p);
	assert_false(got_text(&p->side[1], "two"));
	assert_int_equal(p->side[1].t->drops[DROP_RX_UNKNOWN_PEER], 1);
	memcpy(p->side[0].public_key, p->side[0].t->identity.public_key, 32);
	pair_join(p, 1, true, "");
	/* The address is its now, not the old key's. */
	pair_pass(p, 6 * NSEC_PER_SEC);
	assert_true(got_text(&p->side[1], "two"));
	free_pair(p);
}

static struct {
	unsigned asked, leaves_by;
} route;

static bool source_hook(void *ctx, const struct endpoint *to, const struct ip_addr *source,
			unsigned ifindex)
{
	(void)ctx;
	assert_true(endpoint_is_set(to));
	assert_int_equal(source->family, 4);
	route.asked++;
	return ifindex == route.leaves_by;
}

static uint8_t source_of(struct pair *p)
{
	send_text(p, 1, "x");
	pair_pump(p);
	return p->side[1].source.addr.family ? p->side[1].source.addr.bytes[3] : 0;
}

/* As in the kernel: the source is where their packets come to, while its route leads out there. */
static void test_sticky_source(void **state)
{
	struct pair *p = new_pair(22, true);
	struct pair_side *s = &p->side[1];

	(void)state;
	memset(&route, 0, sizeof(route));
	s->t->hooks.source = source_hook;
	route.leaves_by = 2;
	s->arrives = (struct udp_source){.addr = {4, {192, 0, 2, 7}}, .ifindex = 2};
	send_text(p, 0, "one");
	pair_pump(p);
	assert_int_equal(source_of(p), 7);
	assert_int_equal(route.asked, 1);
	/* Another change of the network asks again, and leaves it alone. */
	tunnel_forget_sources(s->t);
	assert_int_equal(source_of(p), 7);
	assert_int_equal(route.asked, 2);
	/* The route moves: no source, although packets still come to it. */
	route.leaves_by = 3;
	tunnel_forget_sources(s->t);
	for (int i = 0; i < 5; i++) {
		pair_pass(p, NSEC_PER_SEC);
		send_text(p, 0, "two");
		pair_pump(p);
		assert_int_equal(source_of(p), 0);
	}
	assert_int_equal(route.asked, 3);
	/* They follow to where we send from now. */
	s->arrives = (struct udp_source){.addr = {4, {198, 51, 100, 9}}, .ifindex = 3};
	send_text(p, 0, "three");
	pair_pump(p);
	assert_int_equal(source_of(p), 9);
	/* One who changes with each packet does not make us ask each time. */
	route.asked = 0;
	for (uint8_t i = 0; i < 100; i++) {
		s->arrives.addr.bytes[3] = i;
		send_text(p, 0, "flood");
		pair_pump(p);
	}
	assert_in_range(route.asked, 0, 1);
	/* Without anybody to ask: forgotten, and learned from the next packet. */
	s->t->hooks.source = NULL;
	tunnel_forget_sources(s->t);
	assert_int_equal(source_of(p), 0);
	send_text(p, 0, "four");
	pair_pump(p);
	assert_int_equal(source_of(p), 99);
	free_pair(p);
}

static void test_foreign_and_short(void **state)
{
	struct pair *p = new_pair(21, true);
	static const uint8_t stun[20] = {0, 1};
	static const uint8_t almost[4] = {4, 0, 1, 0};
	static const uint8_t lengths[] = {4, 8, 15, 31, 63, 91, 93, 147, 149};

	(void)state;
	pair_fly(p, 0, stun, sizeof(stun), &p->side[1].endpoint);
	pair_fly(p, 0, almost, sizeof(almost), &p->side[1].endpoint);
	pair_pump(p);
	assert_int_equal(p->side[1].foreign, 2);
	for (uint8_t type = 1; type <= 4; type++) {
		for (size_t i = 0; i < sizeof(lengths); i++) {
			uint8_t data[256] = {type};

			pair_fly(p, 0, data, lengths[i], &p->side[1].endpoint);
		}
	}
	pair_pump(p);
	assert_int_equal(p->side[1].foreign, 2);
	/* 9 lengths fit none of types 1 to 3; as data 4 are short and 5 of no session. */
	assert_int_equal(p->side[1].t->drops[DROP_RX_SHORT], 31);
	assert_int_equal(p->side[1].t->drops[DROP_RX_UNKNOWN_INDEX], 5);
	free_pair(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_packet_makes_session),
		cmocka_unit_test(test_preshared_key),
		cmocka_unit_test(test_rekey_after_time),
		cmocka_unit_test(test_passive_keepalive),
		cmocka_unit_test(test_persistent_keepalive),
		cmocka_unit_test(test_retries_and_gives_up),
		cmocka_unit_test(test_new_handshake_without_answers),
		cmocka_unit_test(test_events_of_a_silent_peer),
		cmocka_unit_test(test_no_endpoint),
		cmocka_unit_test(test_replayed_datagrams),
		cmocka_unit_test(test_roaming),
		cmocka_unit_test(test_cookies_under_load),
		cmocka_unit_test(test_allowed_source_only),
		cmocka_unit_test(test_counter_limits),
		cmocka_unit_test(test_keys_are_zeroed),
		cmocka_unit_test(test_both_initiate_at_once),
		cmocka_unit_test(test_full_socket_keeps_order),
		cmocka_unit_test(test_removal_while_waiting),
		cmocka_unit_test(test_down_and_up),
		cmocka_unit_test(test_changed_private_key),
		cmocka_unit_test(test_sticky_source),
		cmocka_unit_test(test_foreign_and_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
