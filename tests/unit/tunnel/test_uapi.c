/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration protocol: every key, what is refused and with which errno, answers, and the
 * hooks of the packet path (filter, redirect, super-packets end to end).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair.h"

#define KEY_A "0101010101010101010101010101010101010101010101010101010101010101"
#define KEY_B "0202020202020202020202020202020202020202020202020202020202020202"

static struct tunnel *device(void)
{
	struct tunnel_config config = {.max_peers = 3};
	struct tunnel *t;

	assert_int_equal(device_new(&config, &t), 0);
	return t;
}

static char *get(struct tunnel *t)
{
	struct buffer reply;
	char *text;

	buffer_init(&reply, 1 << 20);
	assert_int_equal(tunnel_uapi(t, "get=1\n", 6, &reply), 0);
	text = strdup(buffer_cstring(&reply));
	buffer_done(&reply);
	assert_non_null(text);
	return text;
}

static void test_set_and_get(void **state)
{
	struct tunnel *t = device();
	char *text;

	(void)state;
	assert_int_equal(
		pair_uapi(t, "set=1\nprivate_key=" KEY_A "\nreplace_peers=true\npublic_key=" KEY_B
			     "\npreshared_key=" KEY_A "\nendpoint=[fe80::1%1]:77\n"
			     "persistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
			     "allowed_ip=10.1.2.3/16\nallowed_ip=fd00::/8\nprotocol_version=1\n"),
		0);
	text = get(t);
	assert_non_null(strstr(text, "public_key=" KEY_B "\n"));
	assert_non_null(strstr(text, "preshared_key=" KEY_A "\n"));
	assert_non_null(strstr(text, "allowed_ip=10.1.0.0/16\n"));
	assert_non_null(strstr(text, "allowed_ip=fd00::/8\n"));
	assert_non_null(strstr(text, "persistent_keepalive_interval=25\n"));
	assert_non_null(strstr(text, "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\n"));
	assert_non_null(strstr(text, "tx_bytes=0\nrx_bytes=0\n"));
	assert_non_null(strstr(text, "protocol_version=1\n"));
	assert_non_null(strstr(text, "\nendpoint=[fe80::1%"));
	/* Clamped, as every implementation shows it. */
	assert_non_null(strstr(text, "private_key=00010101"));
	assert_non_null(strstr(text, "errno=0\n\n"));
	free(text);
	tunnel_free(t);
}

static void test_peer_lines(void **state)
{
	struct tunnel *t = device();
	char *text;

	(void)state;
	/* update_only makes nothing, and its lines go nowhere. */
	assert_int_equal(pair_uapi(t, "set=1\npublic_key=" KEY_B
				      "\nupdate_only=true\nallowed_ip=10.0.0.0/8\n"),
			 0);
	assert_int_equal(t->peers.count, 0);
	assert_null(t->allowed.root4);
	assert_int_equal(pair_uapi(t, "set=1\npublic_key=" KEY_B "\nallowed_ip=10.0.0.0/8\n"), 0);
	assert_int_equal(pair_uapi(t, "set=1\npublic_key=" KEY_B
				      "\nupdate_only=true\nallowed_ip=10.9.0.0/16\n"),
			 0);
	assert_int_equal(t->peers.first->allowed.count, 2);
	/* A prefix moves to the one who names it last. */
	assert_int_equal(pair_uapi(t, "set=1\npublic_key=" KEY_A "\nallowed_ip=10.9.0.0/16\n"), 0);
	assert_int_equal(t->peers.first->allowed.count, 1);
	assert_int_equal(pair_uapi(t, "set=1\npublic_key=" KEY_A "\nallowed_ip=-10.9.0.0/16\n"), 0);
	assert_int_equal(t->peers.last->allowed.count, 0);
	assert_int_equal(pair_uapi(t, "set=1\npublic_key=" KEY_B "\nremove=true\n"), 0);
	assert_int_equal(t->peers.count, 1);
	assert_null(t->allowed.root4);
	/* Removing who is not there is no error, and leaves nobody. */
	assert_int_equal(pair_uapi(t, "set=1\npublic_key=" KEY_B "\nremove=true\n"), 0);
	assert_int_equal(t->peers.count, 1);
	/* Made and removed in one section: found by fuzz_tunnel_uapi. */
	assert_int_equal(pair_uapi(t, "set=1\npublic_key=" KEY_B "\nremove=true\nupdate_only=true\n"
				      "remove=true\nallowed_ip=10.0.0.0/8\n"),
			 0);
	assert_int_equal(t->peers.count, 1);
	/* Ourselves are ignored. */
	assert_int_equal(pair_uapi(t, "set=1\nreplace_peers=true\nprivate_key=" KEY_A "\n"), 0);
	{
		char hex[65], request[128];

		encode_hex(hex, t->identity.public_key, 32);
		snprintf(request, sizeof(request), "set=1\npublic_key=%s\nallowed_ip=10.0.0.0/8\n",
			 hex);
		assert_int_equal(pair_uapi(t, request), 0);
	}
	assert_int_equal(t->peers.count, 0);
	/* An all-zero key clears it. */
	assert_int_equal(pair_uapi(t, "set=1\nprivate_key=00000000000000000000000000000000"
				      "00000000000000000000000000000000\n"),
			 0);
	text = get(t);
	assert_null(strstr(text, "private_key"));
	free(text);
	tunnel_free(t);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"put=1\n",
		"get=1\nfoo=1\n",
		"set=1\nfoo=1\n",
		"set=1\nfoo\n",
		"set=1\nlisten_port",
		"set=1\nlisten_port=65536\n",
		"set=1\nlisten_port=\n",
		"set=1\nlisten_port=-1\n",
		"set=1\nlisten_port=1x\n",
		"set=1\nfwmark=4294967296\n",
		"set=1\nprivate_key=01\n",
		"set=1\nprivate_key=" KEY_A "00\n",
		"set=1\nreplace_peers=1\n",
		"set=1\npublic_key=xx\n",
		"set=1\npublic_key=" KEY_B "\nprotocol_version=2\n",
		"set=1\npublic_key=" KEY_B "\nallowed_ip=10.0.0.0/33\n",
		"set=1\npublic_key=" KEY_B "\nallowed_ip=host\n",
		"set=1\npublic_key=" KEY_B "\nendpoint=example.com:1\n",
		"set=1\npublic_key=" KEY_B "\nendpoint=1.2.3.4\n",
		"set=1\npublic_key=" KEY_B "\npersistent_keepalive_interval=65536\n",
		"set=1\npublic_key=" KEY_B "\nupdate_only=false\n",
		"set=1\npublic_key=" KEY_B "\nlisten_port=1\n",
		"set=1\npublic_key=" KEY_B "\npreshared_key=00\n",
	};
	struct tunnel *t = device();
	char request[512];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (pair_uapi(t, bad[i]) != -22)
			fail_msg("not refused: %s", bad[i]);
	memset(request, 'a', sizeof(request));
	memcpy(request, "set=1\nfoo=", 10);
	request[400] = '\n';
	request[401] = 0;
	assert_int_equal(pair_uapi(t, request), -22);
	/* Too many peers is said, not forgotten. */
	assert_int_equal(pair_uapi(t, "set=1\nreplace_peers=true\n"), 0);
	for (int i = 0; i < 4; i++) {
		snprintf(request, sizeof(request), "set=1\npublic_key=%064d\n", i + 1);
		assert_int_equal(pair_uapi(t, request), i < 3 ? 0 : -28);
	}
	/* Without a hook nobody can open ports. */
	assert_int_equal(pair_uapi(t, "set=1\nlisten_port=7\n"), -95);
	tunnel_free(t);
}

static struct {
	unsigned calls;
	uint16_t port;
	uint32_t mark;
	int answer;
} asked;

static int bind_hook(void *ctx, uint16_t port, uint32_t mark)
{
	(void)ctx;
	asked.calls++;
	asked.port = port;
	asked.mark = mark;
	return asked.answer;
}

static void test_bind_hook(void **state)
{
	struct tunnel *t = device();
	char *text;

	(void)state;
	tunnel_set_bind_hook(t, bind_hook, NULL);
	assert_int_equal(pair_uapi(t, "set=1\nlisten_port=7\nfwmark=9\n"), 0);
	assert_int_equal(asked.calls, 2);
	assert_int_equal(asked.port, 7);
	assert_int_equal(asked.mark, 9);
	assert_int_equal(pair_uapi(t, "set=1\nlisten_port=7\nfwmark=9\n"), 0);
	assert_int_equal(asked.calls, 2);
	text = get(t);
	assert_non_null(strstr(text, "listen_port=7\nfwmark=9\n"));
	free(text);
	asked.answer = -98;
	assert_int_equal(pair_uapi(t, "set=1\nlisten_port=8\n"), -98);
	text = get(t);
	assert_non_null(strstr(text, "listen_port=7\n"));
	free(text);
	tunnel_free(t);
}

/* ---- hooks ---- */

static struct {
	unsigned calls[2], packets[2];
	bool pass;
	uint16_t rewrite[2];
	enum tunnel_port port;
	uint8_t key[32];
} seen;

static void filter(void *ctx, enum tunnel_direction dir, const uint8_t key[32],
		   struct superpacket *packets, size_t count, uint64_t now_ns)
{
	(void)ctx;
	(void)now_ns;
	seen.calls[dir]++;
	seen.packets[dir] += (unsigned)count;
	memcpy(seen.key, key, 32);
	for (size_t i = 0; i < count; i++) {
		assert_true(packets[i].drop);
		packets[i].drop = !seen.pass;
		packets[i].rewrite_port = seen.rewrite[dir];
		if (dir == TUNNEL_RX)
			packets[i].port = seen.port;
	}
}

/* A TCP super-packet 10.0.0.1:1000 -> 10.0.0.2:22, as a TUN with TSO gives it. */
static uint32_t make_tcp(uint8_t *data, uint32_t payload)
{
	struct ip_view ip;
	uint16_t sum;
	uint32_t len = 40 + payload;

	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7);
	memset(data, 0, 40);
	data[0] = 0x45;
	bytes_put_be16(data + 2, (uint16_t)len);
	data[6] = 0x40;
	data[8] = 64;
	data[9] = 6;
	data[12] = data[16] = 10;
	data[15] = 1;
	data[19] = 2;
	checksum_set_ipv4(data, 20);
	bytes_put_be16(data + 20, 1000);
	bytes_put_be16(data + 22, 22);
	data[32] = 0x50;
	data[33] = 0x10;
	assert_true(ip_parse(data, len, &ip));
	sum = checksum_fold(checksum_pseudo(data, &ip, 6, len - 20));
	memcpy(data + 36, &sum, 2);
	return len;
}

static struct pair *filtered_pair(void)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	memset(&seen, 0, sizeof(seen));
	p->roaming = true;
	p->hooks.filter = filter;
	pair_init(p, 77);
	pair_join(p, 0, true, "");
	pair_join(p, 1, true, "");
	return p;
}

static void test_filter_fails_closed(void **state)
{
	struct pair *p = filtered_pair();
	uint8_t packet[64];

	(void)state;
	pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
	pair_pump(p);
	assert_int_equal(p->side[0].sent, 0);
	assert_int_equal(p->side[0].t->drops[DROP_TX_FILTER], 1);
	assert_memory_equal(seen.key, p->side[1].public_key, 32);
	p->side[0].t->hooks.filter = NULL;
	pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
	pair_pump(p);
	assert_int_equal(p->side[1].inbox_count, 0);
	assert_int_equal(p->side[1].t->drops[DROP_RX_FILTER], 1);
	assert_memory_equal(seen.key, p->side[0].public_key, 32);
	pair_done(p);
	free(p);
}

static void test_superpacket_end_to_end(void **state)
{
	static uint8_t data[65536], copy[65536];
	struct pair *p = filtered_pair();
	struct tunnel *a = p->side[0].t, *b = p->side[1].t;
	uint32_t len = make_tcp(data, 40000);
	struct superpacket sp = {.data = copy,
				 .len = len,
				 .seg_size = 1380,
				 .count = 29,
				 .csum_start = 20,
				 .csum_offset = 16,
				 .needs_csum = true,
				 .gso_type = 1};
	size_t at = 0;

	(void)state;
	seen.pass = true;
	rx_set_offloads(b, true, false);
	/* The first ones wait for the session as super-packets. */
	memcpy(copy, data, len);
	tx_packets(a, &sp, 1, p->side[0].time.monotonic_ns);
	assert_int_equal(seen.calls[TUNNEL_TX], 1);
	assert_int_equal(seen.packets[TUNNEL_TX], 1);
	while (p->flying_count && p->flying[0].data[0] != WIRE_DATA)
		pair_receive(p, &p->flying[0]), free(p->flying[0].data),
			memmove(p->flying, p->flying + 1, --p->flying_count * sizeof(p->flying[0]));
	/* All 29 segments of one message, as GRO would give them. */
	assert_int_equal(p->flying_count, 29);
	{
		static uint8_t train[65536];
		struct udp_source source = {0};

		for (size_t i = 0; i < p->flying_count; i++) {
			memcpy(train + at, p->flying[i].data, p->flying[i].len);
			at += p->flying[i].len;
		}
		rx_train(b, train, at, p->flying[0].len, &p->side[0].endpoint, &source,
			 p->side[1].time.monotonic_ns);
		rx_flush(b, p->side[1].time.monotonic_ns);
	}
	assert_int_equal(p->side[1].inbox_count, 1);
	assert_int_equal(p->side[1].inbox[0].count, 29);
	assert_int_equal(p->side[1].inbox[0].len, len);
	assert_memory_equal(p->side[1].inbox[0].data, data, len);
	assert_int_equal(seen.calls[TUNNEL_RX], 1);
	assert_int_equal(seen.packets[TUNNEL_RX], 1);
	pair_done(p);
	free(p);
}

static void test_redirect_end_to_end(void **state)
{
	static uint8_t data[4096];
	struct pair *p = filtered_pair();
	struct superpacket sp = {
		.data = data, .count = 1, .csum_start = 20, .csum_offset = 16, .needs_csum = true};
	const struct pair_packet *got;
	struct ip_view ip;

	(void)state;
	seen.pass = true;
	seen.rewrite[TUNNEL_RX] = 22022;
	seen.port = TUNNEL_PORT_SSH;
	sp.len = make_tcp(data, 100);
	tx_packets(p->side[0].t, &sp, 1, p->side[0].time.monotonic_ns);
	pair_pump(p);
	assert_int_equal(p->side[1].inbox_count, 1);
	got = &p->side[1].inbox[0];
	assert_int_equal(got->port, TUNNEL_PORT_SSH);
	assert_int_equal(bytes_get_be16(got->data + 22), 22022);
	assert_true(ip_parse(got->data, got->len, &ip));
	assert_int_equal(checksum_l4_valid(got->data, &ip), 1);
	/* And back: the source port of the answer. */
	seen.rewrite[TUNNEL_RX] = 0;
	seen.port = TUNNEL_PORT_MAIN;
	seen.rewrite[TUNNEL_TX] = 22;
	sp.len = make_tcp(data, 100);
	data[15] = 2;
	data[19] = 1;
	checksum_set_ipv4(data, 20);
	sp.port = TUNNEL_PORT_SSH;
	tx_packets(p->side[1].t, &sp, 1, p->side[1].time.monotonic_ns);
	pair_pump(p);
	got = &p->side[0].inbox[0];
	assert_int_equal(bytes_get_be16(got->data + 20), 22);
	assert_true(ip_parse(got->data, got->len, &ip));
	assert_int_equal(checksum_l4_valid(got->data, &ip), 1);
	/* What cannot be redirected is dropped, not let through. */
	seen.rewrite[TUNNEL_RX] = 22022;
	seen.rewrite[TUNNEL_TX] = 0;
	{
		uint8_t packet[64];
		size_t before = p->side[1].inbox_count;

		pair_tx(p, 0, packet, pair_udp4(packet, 0, "x", 1));
		pair_pump(p);
		assert_int_equal(p->side[1].inbox_count, before);
		assert_int_equal(p->side[1].t->drops[DROP_RX_REDIRECT], 1);
	}
	pair_done(p);
	free(p);
}

static void test_counters_have_names(void **state)
{
	struct tunnel *t = device();
	const char *name;
	uint64_t value;
	size_t n = 0;

	(void)state;
	while (tunnel_counter(t, n, &name, &value)) {
		assert_non_null(name);
		n++;
	}
	assert_int_equal(n, DEVICE_STATS + DROP_REASONS);
	tunnel_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_and_get),
		cmocka_unit_test(test_peer_lines),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bind_hook),
		cmocka_unit_test(test_filter_fails_closed),
		cmocka_unit_test(test_superpacket_end_to_end),
		cmocka_unit_test(test_redirect_end_to_end),
		cmocka_unit_test(test_counters_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
