/* SPDX-License-Identifier: Apache-2.0
 *
 * The stateful filter: addresses, TCP states, timeouts, re-judgement, interception, fragments, ICMP
 * errors, fairness of eviction, and random UDP traffic against a simple oracle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/filter.h"
#include "policy/policy.h"

#define S UINT64_C(1000000000)

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { SELF, A, B, STRANGER, PEERS };

static const uint8_t last_byte[PEERS] = {1, 2, 3, 99};

struct box {
	struct policy_world *world;
	struct filter *f;
	void *blob, *old_blob;
	uint64_t now;
};

static void load(struct box *box, const char *text)
{
	struct policy *p;
	struct error err = {0};
	size_t len;

	if (policy_parse("t", text, strlen(text), &p, &err))
		fail_msg("%s", err.text);
	free(box->old_blob);
	box->old_blob = box->blob;
	assert_int_equal(policy_compile(p, box->world, "p_self", 0, &box->blob, &len, &err), 0);
	assert_int_equal(filter_set_rules(box->f, box->blob, len), 0);
	policy_free(p);
}

static void add_peer(struct box *box, const char *id, const char *name, uint8_t last, bool ssh)
{
	struct policy_peer peer = {
		.id = id,
		.name = name,
		.v4 = {4, {100, 64, 0, last}},
		.v6 = {6, {0xfd, [15] = last}},
		.ssh_enabled = ssh,
		.ssh_advertised = ssh,
	};

	assert_int_equal(policy_world_add_peer(box->world, &peer), 0);
}

static struct box open_box(const char *policy, size_t max_flows, bool ssh)
{
	static const uint8_t seed[16] = {7};
	struct box box = {.now = 1000 * S};

	assert_int_equal(policy_world_new(&box.world), 0);
	add_peer(&box, "p_self", "self", 1, ssh);
	add_peer(&box, "p_a", "a", 2, false);
	add_peer(&box, "p_b", "b", 3, false);
	assert_int_equal(filter_new(max_flows, seed, &box.f), 0);
	if (policy)
		load(&box, policy);
	return box;
}

static void close_box(struct box *box)
{
	filter_free(box->f);
	policy_world_free(box->world);
	free(box->blob);
	free(box->old_blob);
}

/* ---- packets ---- */

struct wire {
	uint8_t data[256];
	size_t len;
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_addr(uint8_t *p, int family, int peer)
{
	if (family == 4) {
		memcpy(p, (uint8_t[]){100, 64, 0, last_byte[peer]}, 4);
	} else {
		memset(p, 0, 16);
		p[0] = 0xfd;
		p[15] = last_byte[peer];
	}
}

static struct wire ip(int family, int src, int dst, uint8_t proto, const uint8_t *body, size_t len)
{
	struct wire w = {{0}, 0};

	if (family == 4) {
		w.data[0] = 0x45;
		put16(w.data + 2, (unsigned)(20 + len));
		w.data[8] = 64;
		w.data[9] = proto;
		put_addr(w.data + 12, 4, src);
		put_addr(w.data + 16, 4, dst);
		w.len = 20;
	} else {
		w.data[0] = 0x60;
		put16(w.data + 4, (unsigned)len);
		w.data[6] = proto;
		w.data[7] = 64;
		put_addr(w.data + 8, 6, src);
		put_addr(w.data + 24, 6, dst);
		w.len = 40;
	}
	memcpy(w.data + w.len, body, len);
	w.len += len;
	return w;
}

static struct wire tcp(int family, int src, unsigned sport, int dst, unsigned dport, uint8_t flags)
{
	uint8_t body[20] = {0};

	put16(body, sport);
	put16(body + 2, dport);
	body[12] = 0x50;
	body[13] = flags;
	return ip(family, src, dst, 6, body, sizeof(body));
}

static struct wire udp(int family, int src, unsigned sport, int dst, unsigned dport)
{
	uint8_t body[12] = {0};

	put16(body, sport);
	put16(body + 2, dport);
	put16(body + 4, 12);
	return ip(family, src, dst, 17, body, sizeof(body));
}

static struct wire echo(int family, int src, int dst, bool request, unsigned id)
{
	uint8_t body[16] = {0};

	body[0] = family == 4 ? (request ? 8 : 0) : (request ? 128 : 129);
	put16(body + 4, id);
	return ip(family, src, dst, family == 4 ? 1 : 58, body, sizeof(body));
}

/* An unreachable error from src to dst that quotes the first bytes of a packet. */
static struct wire icmp_error(int family, int src, int dst, const struct wire *quoted)
{
	uint8_t body[8 + 48] = {0};
	size_t n = quoted->len < 48 ? quoted->len : 48;

	body[0] = family == 4 ? 3 : 1;
	memcpy(body + 8, quoted->data, n);
	return ip(family, src, dst, family == 4 ? 1 : 58, body, 8 + n);
}

static struct filter_result pass_full(struct box *box, struct wire w, bool from_ssh)
{
	struct filter_result r;
	/* An exact heap copy, so that the sanitizer sees a read too far. */
	uint8_t *copy = malloc(w.len ? w.len : 1);
	bool out = w.len > 16 && ((w.data[0] >> 4 == 4 && w.data[15] == 1) ||
				  (w.data[0] >> 4 == 6 && w.data[23] == 1));

	assert_non_null(copy);
	memcpy(copy, w.data, w.len);
	filter_check(box->f, out || from_ssh ? FILTER_OUT : FILTER_IN, from_ssh, copy, w.len,
		     box->now, &r);
	free(copy);
	return r;
}

/* Direction from the source: SELF is out. */
static enum filter_drop pass(struct box *box, struct wire w)
{
	return pass_full(box, w, false).drop;
}

static const char all[] = "{\"rules\": [{\"from\": \"*\", \"to\": \"*\"}]}";
static const char none[] = "{}";
static const char out_only[] = "{\"rules\": [{\"from\": \"peer:self\", \"to\": \"*\"}]}";
static const char in_22[] = "{\"rules\": [{\"from\": \"peer:a\", \"to\": \"peer:self\", \"proto\": "
			    "\"tcp\", \"ports\": 22}]}";

/* ---- addresses and headers ---- */

static void test_fails_closed(void **state)
{
	struct box box = open_box(NULL, 0, false);
	uint64_t drops[FILTER_DROP_REASONS];
	uint8_t junk[64] = {0};
	size_t flows;

	(void)state;
	assert_int_equal(pass(&box, udp(4, SELF, 1, A, 2)), FILTER_DROP_NO_POLICY);
	assert_true(filter_set_rules(box.f, junk, sizeof(junk)) < 0);
	assert_true(filter_set_rules(box.f, NULL, 0) < 0);
	assert_int_equal(pass(&box, udp(4, SELF, 1, A, 2)), FILTER_DROP_NO_POLICY);
	load(&box, all);
	assert_int_equal(pass(&box, udp(4, SELF, 1, A, 2)), FILTER_PASS);
	/* A block that does not validate leaves the old one. */
	assert_true(filter_set_rules(box.f, junk, sizeof(junk)) < 0);
	assert_int_equal(pass(&box, udp(4, SELF, 1, A, 2)), FILTER_PASS);
	filter_stats(box.f, &flows, drops);
	assert_int_equal(flows, 1);
	assert_int_equal(drops[FILTER_DROP_NO_POLICY], 2);
	for (int i = 0; i < FILTER_DROP_REASONS; i++)
		assert_non_null(filter_drop_name((enum filter_drop)i));
	close_box(&box);
}

static void test_addresses(void **state)
{
	struct box box = open_box(all, 0, false);
	struct filter_result r;
	struct wire w;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		assert_int_equal(pass(&box, udp(family, A, 1, SELF, 2)), FILTER_PASS);
		/* not to us, not from us, unknown */
		assert_int_equal(pass(&box, udp(family, A, 1, B, 2)), FILTER_DROP_SPOOFED);
		assert_int_equal(pass(&box, udp(family, STRANGER, 1, SELF, 2)), FILTER_DROP_DENIED);
		assert_int_equal(pass(&box, udp(family, SELF, 1, STRANGER, 2)), FILTER_DROP_DENIED);
		w = udp(family, A, 1, B, 2);
		filter_check(box.f, FILTER_OUT, false, w.data, w.len, box.now, &r);
		assert_int_equal(r.drop, FILTER_DROP_SPOOFED);
		/* from the mesh with our own address as source */
		w = udp(family, SELF, 1, A, 2);
		filter_check(box.f, FILTER_IN, false, w.data, w.len, box.now, &r);
		assert_int_equal(r.drop, FILTER_DROP_SPOOFED);
		w = udp(family, SELF, 1, SELF, 2);
		filter_check(box.f, FILTER_IN, false, w.data, w.len, box.now, &r);
		assert_int_equal(r.drop, FILTER_DROP_SPOOFED);
	}
	close_box(&box);
}

static void test_malformed(void **state)
{
	struct box box = open_box(all, 0, false);
	struct wire w;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct wire good[] = {tcp(family, A, 1, SELF, 2, SYN), udp(family, A, 1, SELF, 2),
				      echo(family, A, SELF, true, 1)};
		size_t header = family == 4 ? 20 : 40;

		for (size_t i = 0; i < 3; i++)
			for (size_t len = 0; len < good[i].len; len++) {
				w = good[i];
				w.len = len;
				assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
			}
		w = tcp(family, A, 1, SELF, 2, SYN | FIN);
		assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
		w = tcp(family, A, 1, SELF, 2, SYN | RST);
		assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
		w = tcp(family, A, 1, SELF, 2, 0);
		assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
		w = tcp(family, A, 1, SELF, 2, SYN);
		w.data[header + 12] = 0x40; /* header of 16 bytes */
		assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
		w.data[header + 12] = 0x60; /* longer than the packet */
		assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
	}
	w = udp(4, A, 1, SELF, 2);
	w.data[0] = 0x44;
	assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
	w.data[0] = 0x55;
	assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
	/* ICMPv6 in IPv4, and the other way round */
	w = udp(4, A, 1, SELF, 2);
	w.data[9] = 58;
	assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
	w = udp(6, A, 1, SELF, 2);
	w.data[6] = 1;
	assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
	/* source routes: 131 as an option, 7 bytes, and one byte of padding */
	w = udp(4, A, 1, SELF, 2);
	memmove(w.data + 28, w.data + 20, 12);
	memcpy(w.data + 20, (uint8_t[]){131, 7, 4, 1, 2, 3, 4, 0}, 8);
	w.data[0] = 0x47;
	w.data[3] = 40;
	w.len = 40;
	assert_int_equal(pass(&box, w), FILTER_DROP_MALFORMED);
	memcpy(w.data + 20, (uint8_t[]){7, 7, 4, 1, 2, 3, 4, 0}, 8); /* record route is harmless */
	assert_int_equal(pass(&box, w), FILTER_PASS);
	/* trailing bytes behind the total length do not matter */
	w = udp(4, A, 1, SELF, 2);
	w.len += 10;
	assert_int_equal(pass(&box, w), FILTER_PASS);
	close_box(&box);
}

static void test_extension_headers(void **state)
{
	struct box box = open_box(in_22, 0, false);
	uint8_t body[128] = {0};
	struct wire t = tcp(6, A, 1000, SELF, 22, SYN);

	(void)state;
	/* hop-by-hop, destination options, TCP */
	body[0] = 60;
	body[8] = 6;
	memcpy(body + 16, t.data + 40, 20);
	assert_int_equal(pass(&box, ip(6, A, SELF, 0, body, 36)), FILTER_PASS);
	/* The port that counts is the one behind them. */
	put16(body + 18, 23);
	put16(body + 16, 1001);
	assert_int_equal(pass(&box, ip(6, A, SELF, 0, body, 36)), FILTER_DROP_DENIED);
	/* hop-by-hop that is not first; routing header 0; too many; too long */
	body[0] = 0;
	assert_int_equal(pass(&box, ip(6, A, SELF, 60, body, 36)), FILTER_DROP_MALFORMED);
	body[0] = 6;
	assert_int_equal(pass(&box, ip(6, A, SELF, 43, body, 28)), FILTER_DROP_MALFORMED);
	for (int i = 0; i < 9; i++)
		body[i * 8] = 60;
	body[9 * 8] = 6;
	assert_int_equal(pass(&box, ip(6, A, SELF, 60, body, 100)), FILTER_DROP_MALFORMED);
	body[1] = 200;
	assert_int_equal(pass(&box, ip(6, A, SELF, 60, body, 100)), FILTER_DROP_MALFORMED);
	close_box(&box);
}

/* ---- TCP ---- */

/* One segment: 'o' from the opener (who is outside), 'r' from us; the flags; what must happen. */
struct segment {
	char side;
	uint8_t flags;
	enum filter_drop want;
};

#define P FILTER_PASS
#define X FILTER_DROP_STATE

static const struct {
	const char *what;
	struct segment segments[12];
} conversations[] = {
	{"handshake, data, both finish",
	 {{'o', SYN, P},
	  {'r', SYN | ACK, P},
	  {'o', ACK, P},
	  {'o', ACK | PSH, P},
	  {'r', ACK, P},
	  {'o', FIN | ACK, P},
	  {'r', ACK, P},
	  {'r', FIN | ACK, P},
	  {'o', ACK, P}}},
	{"data keeps flowing to a half-closed side",
	 {{'o', SYN, P},
	  {'r', SYN | ACK, P},
	  {'o', ACK, P},
	  {'o', FIN | ACK, P},
	  {'r', ACK | PSH, P},
	  {'o', ACK, P},
	  {'r', ACK | PSH, P},
	  {'o', ACK, P}}},
	{"no pick-up in the middle",
	 {{'o', ACK, X},
	  {'o', FIN | ACK, X},
	  {'o', RST, X},
	  {'o', SYN | ACK, X},
	  {'r', ACK, X},
	  {'r', SYN | ACK, X}}},
	{"retransmissions of the opening",
	 {{'o', SYN, P},
	  {'o', SYN, P},
	  {'r', SYN | ACK, P},
	  {'r', SYN | ACK, P},
	  {'o', SYN, P},
	  {'o', ACK, P}}},
	{"refused",
	 {{'o', SYN, P}, {'r', RST | ACK, P}, {'o', SYN, P}, {'r', SYN | ACK, P}, {'o', ACK, P}}},
	{"the opener goes on without an answer",
	 {{'o', SYN, P}, {'o', ACK, X}, {'o', ACK | PSH, X}}},
	{"challenge before the answer",
	 {{'o', SYN, P}, {'r', ACK, P}, {'o', RST, P}, {'o', SYN, P}}},
	{"the other side opens nothing of its own through it",
	 {{'o', SYN, P}, {'r', SYN | ACK, P}, {'o', ACK, P}, {'r', SYN, X}, {'o', ACK, P}}},
	{"SYN+ACK from the opener", {{'o', SYN, P}, {'o', SYN | ACK, X}}},
	{"restarted opener",
	 {{'o', SYN, P},
	  {'r', SYN | ACK, P},
	  {'o', ACK, P},
	  {'o', SYN, P},
	  {'r', ACK, P},
	  {'o', RST, P},
	  {'o', SYN, P},
	  {'r', SYN | ACK, P}}},
	{"ports used again after both finished",
	 {{'o', SYN, P},
	  {'r', SYN | ACK, P},
	  {'o', ACK, P},
	  {'o', FIN | ACK, P},
	  {'r', FIN | ACK, P},
	  {'o', ACK, P},
	  {'o', SYN, P},
	  {'r', SYN | ACK, P},
	  {'o', ACK, P}}},
	{"flags without ACK", {{'o', SYN, P}, {'r', SYN | ACK, P}, {'o', ACK, P}, {'o', FIN, X}}},
};

static void test_tcp(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++)
		for (int family = 4; family <= 6; family += 2) {
			struct box box = open_box(in_22, 0, false);

			for (const struct segment *s = conversations[i].segments; s->side; s++) {
				struct wire w = s->side == 'o'
							? tcp(family, A, 5000, SELF, 22, s->flags)
							: tcp(family, SELF, 22, A, 5000, s->flags);
				enum filter_drop drop = pass(&box, w);

				if (drop != s->want)
					fail_msg("%s: segment %td: %s", conversations[i].what,
						 s - conversations[i].segments,
						 filter_drop_name(drop));
			}
			close_box(&box);
		}
}

static void handshake(struct box *box, int from, unsigned sport, int to, unsigned dport)
{
	assert_int_equal(pass(box, tcp(4, from, sport, to, dport, SYN)), FILTER_PASS);
	assert_int_equal(pass(box, tcp(4, to, dport, from, sport, SYN | ACK)), FILTER_PASS);
	assert_int_equal(pass(box, tcp(4, from, sport, to, dport, ACK)), FILTER_PASS);
}

static void test_ports_of_closed_flow_are_judged(void **state)
{
	/* We may connect to a; a may not connect to us, also not on the ports of an old flow of
	 * ours. */
	struct box box = open_box(out_only, 0, false);

	(void)state;
	handshake(&box, SELF, 5000, A, 80);
	assert_int_equal(pass(&box, tcp(4, A, 80, SELF, 5000, SYN)), FILTER_DROP_STATE);
	assert_int_equal(pass(&box, tcp(4, SELF, 5000, A, 80, RST)), FILTER_PASS);
	assert_int_equal(pass(&box, tcp(4, A, 80, SELF, 5000, SYN)), FILTER_DROP_DENIED);
	close_box(&box);
}

static void test_timeouts(void **state)
{
	struct box box = open_box(out_only, 0, false);

	(void)state;
	/* UDP: 30 s for an answer, 180 s after one */
	assert_int_equal(pass(&box, udp(4, SELF, 1, A, 53)), FILTER_PASS);
	box.now += 31 * S;
	assert_int_equal(pass(&box, udp(4, A, 53, SELF, 1)), FILTER_DROP_DENIED);
	assert_int_equal(pass(&box, udp(4, SELF, 1, A, 53)), FILTER_PASS);
	assert_int_equal(pass(&box, udp(4, A, 53, SELF, 1)), FILTER_PASS);
	box.now += 179 * S;
	assert_int_equal(pass(&box, udp(4, A, 53, SELF, 1)), FILTER_PASS);
	box.now += 181 * S;
	assert_int_equal(pass(&box, udp(4, A, 53, SELF, 1)), FILTER_DROP_DENIED);
	/* TCP: an idle session lives for days, a half-open one for a minute */
	handshake(&box, SELF, 5000, A, 22);
	box.now += 4 * 86400 * S;
	assert_int_equal(pass(&box, tcp(4, A, 22, SELF, 5000, ACK)), FILTER_PASS);
	box.now += 6 * 86400 * S;
	assert_int_equal(pass(&box, tcp(4, A, 22, SELF, 5000, ACK)), FILTER_DROP_STATE);
	assert_int_equal(pass(&box, tcp(4, SELF, 5001, A, 22, SYN)), FILTER_PASS);
	box.now += 61 * S;
	assert_int_equal(pass(&box, tcp(4, A, 22, SELF, 5001, SYN | ACK)), FILTER_DROP_STATE);
	close_box(&box);
}

/* ---- ICMP ---- */

static void test_echo(void **state)
{
	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct box box =
			open_box("{\"rules\": [{\"from\": \"peer:self\", \"to\": \"peer:a\", "
				 "\"proto\": \"icmp\"}]}",
				 0, false);

		assert_int_equal(pass(&box, echo(family, A, SELF, false, 9)), FILTER_DROP_STATE);
		assert_int_equal(pass(&box, echo(family, SELF, A, true, 9)), FILTER_PASS);
		assert_int_equal(pass(&box, echo(family, A, SELF, false, 9)), FILTER_PASS);
		assert_int_equal(pass(&box, echo(family, A, SELF, false, 8)), FILTER_DROP_STATE);
		assert_int_equal(pass(&box, echo(family, B, SELF, false, 9)), FILTER_DROP_STATE);
		/* A request with the identifier of ours is a flow of its own. */
		assert_int_equal(pass(&box, echo(family, A, SELF, true, 9)), FILTER_DROP_DENIED);
		assert_int_equal(pass(&box, udp(family, SELF, 9, A, 9)), FILTER_DROP_DENIED);
		load(&box, all);
		assert_int_equal(pass(&box, echo(family, A, SELF, true, 9)), FILTER_PASS);
		assert_int_equal(pass(&box, echo(family, SELF, A, false, 9)), FILTER_PASS);
		assert_int_equal(pass(&box, echo(family, A, SELF, false, 9)), FILTER_PASS);
		/* redirects never */
		struct wire w = echo(family, A, SELF, true, 9);
		w.data[family == 4 ? 20 : 40] = family == 4 ? 5 : 137;
		assert_int_equal(pass(&box, w), FILTER_DROP_DENIED);
		close_box(&box);
	}
}

static void test_icmp_errors(void **state)
{
	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct box box = open_box(out_only, 0, false);
		struct wire sent = udp(family, SELF, 1000, A, 53),
			    other = udp(family, SELF, 1001, A, 53);
		struct wire seg = tcp(family, SELF, 1000, A, 80, SYN),
			    ping = echo(family, SELF, A, true, 3);
		struct wire in = udp(family, A, 53, SELF, 1000);

		/* no flow yet */
		assert_int_equal(pass(&box, icmp_error(family, A, SELF, &sent)), FILTER_DROP_STATE);
		assert_int_equal(pass(&box, sent), FILTER_PASS);
		assert_int_equal(pass(&box, seg), FILTER_PASS);
		assert_int_equal(pass(&box, ping), FILTER_PASS);
		assert_int_equal(pass(&box, icmp_error(family, A, SELF, &sent)), FILTER_PASS);
		assert_int_equal(pass(&box, icmp_error(family, A, SELF, &seg)), FILTER_PASS);
		assert_int_equal(pass(&box, icmp_error(family, A, SELF, &ping)), FILTER_PASS);
		assert_int_equal(pass(&box, icmp_error(family, A, SELF, &other)),
				 FILTER_DROP_STATE);
		/* from somebody else, or about what somebody else sent */
		assert_int_equal(pass(&box, icmp_error(family, B, SELF, &sent)), FILTER_DROP_STATE);
		assert_int_equal(pass(&box, icmp_error(family, A, SELF, &in)), FILTER_DROP_STATE);
		/* also when that somebody has a flow on the same ports */
		assert_int_equal(pass(&box, udp(family, SELF, 1000, B, 53)), FILTER_PASS);
		assert_int_equal(pass(&box, icmp_error(family, B, SELF, &sent)), FILTER_DROP_STATE);
		/* ours about theirs */
		assert_int_equal(pass(&box, icmp_error(family, SELF, A, &in)), FILTER_PASS);
		assert_int_equal(pass(&box, icmp_error(family, SELF, B, &in)), FILTER_DROP_STATE);
		/* the SSH server's stack about a flow of the host */
		assert_int_equal(pass_full(&box, icmp_error(family, SELF, A, &in), true).drop,
				 FILTER_DROP_STATE);
		/* cut off inside the quoted ports; an error about an error */
		struct wire cut = icmp_error(family, A, SELF, &sent);
		size_t keep = family == 4 ? 20 + 8 + 24 : 40 + 8 + 44;
		cut.len = keep;
		put16(cut.data + (family == 4 ? 2 : 4), (unsigned)(family == 4 ? keep : keep - 40));
		assert_int_equal(pass(&box, cut), FILTER_DROP_MALFORMED);
		struct wire first = icmp_error(family, SELF, A, &in);
		assert_int_equal(pass(&box, icmp_error(family, A, SELF, &first)),
				 FILTER_DROP_STATE);
		close_box(&box);
	}
}

/* ---- fragments ---- */

static struct wire fragment(int family, struct wire w, unsigned offset, bool more, uint16_t id)
{
	if (family == 4) {
		put16(w.data + 4, id);
		put16(w.data + 6, offset / 8 | (more ? 0x2000u : 0));
		return w;
	}
	memmove(w.data + 48, w.data + 40, w.len - 40);
	w.data[40] = w.data[6];
	w.data[6] = 44;
	w.data[41] = 0;
	put16(w.data + 42, offset | more);
	put16(w.data + 44, 0);
	put16(w.data + 46, id);
	w.len += 8;
	put16(w.data + 4, (unsigned)w.len - 40);
	return w;
}

static void test_fragments(void **state)
{
	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct box box =
			open_box("{\"rules\": [{\"from\": \"*\", \"to\": \"*\", \"ports\": 53, "
				 "\"proto\": \"udp\"}]}",
				 0, false);
		struct wire good = udp(family, A, 9, SELF, 53), bad = udp(family, A, 9, SELF, 54);

		/* a later one of nothing; then after its first */
		assert_int_equal(pass(&box, fragment(family, good, 8, false, 1)),
				 FILTER_DROP_FRAGMENT);
		assert_int_equal(pass(&box, fragment(family, good, 0, true, 1)), FILTER_PASS);
		assert_int_equal(pass(&box, fragment(family, good, 8, true, 1)), FILTER_PASS);
		assert_int_equal(pass(&box, fragment(family, good, 16, false, 1)), FILTER_PASS);
		assert_int_equal(pass(&box, fragment(family, good, 16, false, 2)),
				 FILTER_DROP_FRAGMENT);
		assert_int_equal(
			pass(&box, fragment(family, udp(family, B, 9, SELF, 53), 16, false, 1)),
			FILTER_DROP_FRAGMENT);
		/* a refused first takes the place of an older namesake */
		assert_int_equal(pass(&box, fragment(family, bad, 0, true, 1)), FILTER_DROP_DENIED);
		assert_int_equal(pass(&box, fragment(family, bad, 16, false, 1)),
				 FILTER_DROP_FRAGMENT);
		/* 30 s */
		assert_int_equal(pass(&box, fragment(family, good, 0, true, 3)), FILTER_PASS);
		box.now += 31 * S;
		assert_int_equal(pass(&box, fragment(family, good, 8, false, 3)),
				 FILTER_DROP_FRAGMENT);
		/* other rules */
		assert_int_equal(pass(&box, fragment(family, good, 0, true, 4)), FILTER_PASS);
		load(&box, none);
		assert_int_equal(pass(&box, fragment(family, good, 8, false, 4)),
				 FILTER_DROP_FRAGMENT);
		/* overwriting the TCP header */
		load(&box, all);
		struct wire t = tcp(family, A, 9, SELF, 80, SYN);
		assert_int_equal(pass(&box, fragment(family, t, 0, true, 5)), FILTER_PASS);
		assert_int_equal(pass(&box, fragment(family, t, 8, false, 5)),
				 FILTER_DROP_MALFORMED);
		assert_int_equal(pass(&box, fragment(family, t, 16, false, 5)),
				 FILTER_DROP_MALFORMED);
		assert_int_equal(pass(&box, fragment(family, t, 24, false, 5)), FILTER_PASS);
		close_box(&box);
	}
}

static void test_fragment_flood(void **state)
{
	struct box box = open_box(all, 0, false);
	struct wire w = udp(4, A, 9, SELF, 53);

	(void)state;
	assert_int_equal(pass(&box, fragment(4, udp(4, B, 9, SELF, 53), 0, true, 1)), FILTER_PASS);
	for (uint16_t id = 0; id < 5000; id++)
		assert_int_equal(pass(&box, fragment(4, w, 0, true, id)), FILTER_PASS);
	assert_int_equal(pass(&box, fragment(4, udp(4, B, 9, SELF, 53), 8, false, 1)), FILTER_PASS);
	close_box(&box);
}

/* ---- changed rules ---- */

static void test_rejudge(void **state)
{
	struct box box = open_box(in_22, 0, false);
	size_t flows;
	uint64_t drops[FILTER_DROP_REASONS];

	(void)state;
	handshake(&box, A, 5000, SELF, 22);
	load(&box, in_22); /* the same again: goes on in the middle */
	assert_int_equal(pass(&box, tcp(4, SELF, 22, A, 5000, ACK)), FILTER_PASS);
	assert_int_equal(pass(&box, tcp(4, A, 5000, SELF, 22, ACK | PSH)), FILTER_PASS);
	/* Another rule for the same flow does as well; the direction is the flow's, not the
	 * packet's. */
	load(&box, "{\"rules\": [{\"from\": \"peer:a\", \"to\": \"*\"}]}");
	assert_int_equal(pass(&box, tcp(4, SELF, 22, A, 5000, ACK)), FILTER_PASS);
	load(&box, out_only);
	assert_int_equal(pass(&box, tcp(4, SELF, 22, A, 5000, ACK)), FILTER_DROP_DENIED);
	filter_stats(box.f, &flows, drops);
	assert_int_equal(flows, 0);
	/* Gone is gone: no pick-up when the rule comes back. */
	load(&box, in_22);
	assert_int_equal(pass(&box, tcp(4, A, 5000, SELF, 22, ACK)), FILTER_DROP_STATE);
	assert_int_equal(pass(&box, tcp(4, A, 5000, SELF, 22, SYN)), FILTER_PASS);
	/* UDP and echo */
	load(&box, all);
	assert_int_equal(pass(&box, udp(4, A, 7, SELF, 8)), FILTER_PASS);
	assert_int_equal(pass(&box, echo(4, A, SELF, true, 8)), FILTER_PASS);
	load(&box, in_22);
	assert_int_equal(pass(&box, udp(4, SELF, 8, A, 7)), FILTER_DROP_DENIED);
	assert_int_equal(pass(&box, echo(4, SELF, A, false, 8)), FILTER_DROP_DENIED);
	close_box(&box);
}

static void test_new_address(void **state)
{
	struct box box = open_box(all, 0, false);
	struct policy_world *w2;
	struct box moved = {0};

	(void)state;
	handshake(&box, A, 5000, SELF, 80);
	assert_int_equal(policy_world_new(&w2), 0);
	moved.world = w2;
	struct policy_peer self = {.id = "p_self", .name = "self", .v4 = {4, {100, 64, 0, 50}}};
	assert_int_equal(policy_world_add_peer(w2, &self), 0);
	add_peer(&moved, "p_a", "a", 2, false);
	policy_world_free(box.world);
	box.world = w2;
	load(&box, all);
	size_t flows;
	uint64_t drops[FILTER_DROP_REASONS];
	filter_stats(box.f, &flows, drops);
	assert_int_equal(flows, 0);
	assert_int_equal(pass(&box, tcp(4, A, 5000, SELF, 80, ACK)), FILTER_DROP_SPOOFED);
	close_box(&box);
}

/* ---- interception ---- */

static void check_ssh(struct filter_result r, bool to_ssh, uint16_t rewrite)
{
	assert_int_equal(r.drop, FILTER_PASS);
	assert_int_equal(r.to_ssh, to_ssh);
	assert_int_equal(r.rewrite_port, rewrite);
}

static void test_interception(void **state)
{
	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct box box = open_box(in_22, 0, true);

		filter_set_ssh(box.f, true);
		/* 22: there as 22022, back as 22 */
		check_ssh(pass_full(&box, tcp(family, A, 5000, SELF, 22, SYN), false), true, 22022);
		check_ssh(pass_full(&box, tcp(family, SELF, 22022, A, 5000, SYN | ACK), true),
			  false, 22);
		check_ssh(pass_full(&box, tcp(family, A, 5000, SELF, 22, ACK), false), true, 22022);
		/* 22022 as it is */
		check_ssh(pass_full(&box, tcp(family, A, 5001, SELF, 22022, SYN), false), true, 0);
		check_ssh(pass_full(&box, tcp(family, SELF, 22022, A, 5001, SYN | ACK), true),
			  false, 0);
		/* the same client port to the other of the two: not while the first lives */
		assert_int_equal(pass(&box, tcp(family, A, 5000, SELF, 22022, SYN)),
				 FILTER_DROP_STATE);
		assert_int_equal(pass(&box, tcp(family, A, 5001, SELF, 22, SYN)),
				 FILTER_DROP_STATE);
		check_ssh(pass_full(&box, tcp(family, A, 5000, SELF, 22, RST), false), true, 22022);
		check_ssh(pass_full(&box, tcp(family, A, 5000, SELF, 22022, SYN), false), true, 0);
		/* the server opens nothing, speaks from no other port and no other protocol */
		assert_int_equal(pass_full(&box, tcp(family, SELF, 22022, A, 6000, SYN), true).drop,
				 FILTER_DROP_STATE);
		assert_int_equal(pass_full(&box, tcp(family, SELF, 22, A, 5001, ACK), true).drop,
				 FILTER_DROP_STATE);
		assert_int_equal(pass_full(&box, udp(family, SELF, 22022, A, 5001), true).drop,
				 FILTER_DROP_STATE);
		assert_int_equal(pass_full(&box, echo(family, SELF, A, true, 1), true).drop,
				 FILTER_DROP_STATE);
		/* the host cannot speak into its connection */
		assert_int_equal(pass(&box, tcp(family, SELF, 22022, A, 5001, ACK)),
				 FILTER_DROP_STATE);
		assert_int_equal(pass(&box, tcp(family, SELF, 22022, A, 5001, SYN)),
				 FILTER_DROP_STATE);
		/* the policy still decides */
		assert_int_equal(pass(&box, tcp(family, B, 5000, SELF, 22, SYN)),
				 FILTER_DROP_DENIED);
		assert_int_equal(pass(&box, tcp(family, B, 5000, SELF, 22022, SYN)),
				 FILTER_DROP_DENIED);
		load(&box, none);
		assert_int_equal(pass(&box, tcp(family, A, 5001, SELF, 22022, ACK)),
				 FILTER_DROP_DENIED);
		assert_int_equal(pass_full(&box, tcp(family, SELF, 22022, A, 5000, ACK), true).drop,
				 FILTER_DROP_DENIED);
		close_box(&box);
	}
}

static void test_interception_off(void **state)
{
	struct box box = open_box(in_22, 0, true);

	(void)state;
	/* To the host's sshd, and it stays there when interception begins. */
	check_ssh(pass_full(&box, tcp(4, A, 5000, SELF, 22, SYN), false), false, 0);
	check_ssh(pass_full(&box, tcp(4, SELF, 22, A, 5000, SYN | ACK), false), false, 0);
	check_ssh(pass_full(&box, tcp(4, A, 5000, SELF, 22, ACK), false), false, 0);
	filter_set_ssh(box.f, true);
	check_ssh(pass_full(&box, tcp(4, A, 5000, SELF, 22, ACK), false), false, 0);
	check_ssh(pass_full(&box, tcp(4, SELF, 22, A, 5000, FIN | ACK), false), false, 0);
	check_ssh(pass_full(&box, tcp(4, A, 5000, SELF, 22, FIN | ACK), false), false, 0);
	/* The next connection from there goes to the embedded server, and stays with it. */
	check_ssh(pass_full(&box, tcp(4, A, 5000, SELF, 22, SYN), false), true, 22022);
	check_ssh(pass_full(&box, tcp(4, SELF, 22022, A, 5000, SYN | ACK), true), false, 22);
	check_ssh(pass_full(&box, tcp(4, A, 5000, SELF, 22, ACK), false), true, 22022);
	/* Off again: its flows are over, and 22 is the host's. */
	filter_set_ssh(box.f, false);
	assert_int_equal(pass_full(&box, tcp(4, SELF, 22022, A, 5000, ACK), true).drop,
			 FILTER_DROP_STATE);
	check_ssh(pass_full(&box, tcp(4, A, 5002, SELF, 22, SYN), false), false, 0);
	close_box(&box);
}

static void test_interception_errors(void **state)
{
	struct box box = open_box(in_22, 0, true);
	struct filter_result r;

	(void)state;
	filter_set_ssh(box.f, true);
	(void)pass_full(&box, tcp(4, A, 5000, SELF, 22, SYN), false);
	struct wire answer = tcp(4, SELF, 22, A, 5000, SYN | ACK);
	struct wire wrong = tcp(4, SELF, 22022, A, 5000, SYN | ACK);
	check_ssh(pass_full(&box, icmp_error(4, A, SELF, &answer), false), true, 22022);
	assert_int_equal(pass(&box, icmp_error(4, A, SELF, &wrong)), FILTER_DROP_STATE);
	/* what the server's stack says about the (rewritten) request */
	struct wire request = tcp(4, A, 5000, SELF, 22022, SYN);
	check_ssh(pass_full(&box, icmp_error(4, SELF, A, &request), true), false, 22);
	r = pass_full(&box, icmp_error(4, SELF, A, &request), false);
	assert_int_equal(r.drop, FILTER_DROP_STATE);
	close_box(&box);
}

/* ---- connections of before ---- */

static void test_resume(void **state)
{
	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct box box = open_box(out_only, 0, true);

		/* Ours to a, from either side; what nobody of us may have opened stays out. */
		filter_resume(box.f, box.now + 300 * S);
		assert_int_equal(pass(&box, tcp(family, A, 80, SELF, 5000, ACK)), FILTER_PASS);
		assert_int_equal(pass(&box, tcp(family, SELF, 5000, A, 80, ACK | PSH)),
				 FILTER_PASS);
		assert_int_equal(pass(&box, tcp(family, SELF, 5001, A, 80, FIN | ACK)),
				 FILTER_PASS);
		assert_int_equal(pass(&box, tcp(family, STRANGER, 80, SELF, 5000, ACK)),
				 FILTER_DROP_STATE);
		/* It opens nothing: a SYN is judged as one. */
		assert_int_equal(pass(&box, tcp(family, A, 80, SELF, 5000, SYN)),
				 FILTER_DROP_DENIED);
		assert_int_equal(pass(&box, tcp(family, A, 81, SELF, 5000, SYN)),
				 FILTER_DROP_DENIED);
		assert_int_equal(pass(&box, tcp(family, A, 82, SELF, 5000, SYN | ACK)),
				 FILTER_DROP_STATE);
		assert_int_equal(pass(&box, udp(family, A, 80, SELF, 5000)), FILTER_DROP_DENIED);
		/* Who opened it was a guess, which other rules may correct; then they are final. */
		load(&box, all);
		assert_int_equal(pass(&box, tcp(family, A, 6000, SELF, 22, ACK)), FILTER_PASS);
		assert_int_equal(pass(&box, tcp(family, SELF, 23, A, 6001, ACK)), FILTER_PASS);
		load(&box, "{\"rules\": [{\"from\": \"peer:a\", \"to\": \"peer:self\", "
			   "\"ports\": \"22,23\", \"proto\": \"tcp\"}]}");
		assert_int_equal(pass(&box, tcp(family, SELF, 22, A, 6000, ACK)), FILTER_PASS);
		assert_int_equal(pass(&box, tcp(family, SELF, 23, A, 6001, ACK)), FILTER_PASS);
		assert_int_equal(pass(&box, tcp(family, SELF, 5001, A, 80, ACK)),
				 FILTER_DROP_DENIED);
		/* Not after the time. */
		box.now += 301 * S;
		assert_int_equal(pass(&box, tcp(family, SELF, 23, A, 6002, ACK)),
				 FILTER_DROP_STATE);
		assert_int_equal(pass(&box, tcp(family, SELF, 23, A, 6001, ACK)), FILTER_PASS);
		close_box(&box);

		/* The embedded server's connections, from either side, and nobody else's. */
		box = open_box(in_22, 0, true);
		filter_resume(box.f, box.now + 300 * S);
		filter_set_ssh(box.f, true);
		check_ssh(pass_full(&box, tcp(family, A, 5000, SELF, 22, ACK), false), true, 22022);
		check_ssh(pass_full(&box, tcp(family, SELF, 22022, A, 5000, ACK), true), false, 22);
		check_ssh(pass_full(&box, tcp(family, SELF, 22022, A, 5001, ACK), true), false, 22);
		check_ssh(pass_full(&box, tcp(family, A, 5001, SELF, 22, ACK), false), true, 22022);
		check_ssh(pass_full(&box, tcp(family, A, 5002, SELF, 22022, ACK), false), true, 0);
		check_ssh(pass_full(&box, tcp(family, SELF, 22022, A, 5002, ACK), true), false, 0);
		assert_int_equal(pass_full(&box, tcp(family, SELF, 22022, B, 5000, ACK), true).drop,
				 FILTER_DROP_STATE);
		assert_int_equal(pass_full(&box, tcp(family, SELF, 80, A, 5003, ACK), true).drop,
				 FILTER_DROP_STATE);
		assert_int_equal(pass(&box, tcp(family, B, 5000, SELF, 22, ACK)),
				 FILTER_DROP_STATE);
		load(&box, none);
		assert_int_equal(pass_full(&box, tcp(family, SELF, 22022, A, 5001, ACK), true).drop,
				 FILTER_DROP_DENIED);
		close_box(&box);
	}
}

/* ---- fairness ---- */

static void test_flood_pushes_out_its_own(void **state)
{
	struct box box = open_box(all, 64, false);
	uint64_t drops[FILTER_DROP_REASONS];
	size_t flows;

	(void)state;
	handshake(&box, A, 100, SELF, 22);
	for (unsigned i = 0; i < 5; i++)
		handshake(&box, B, 100 + i, SELF, 22);
	box.now += 2 * S;
	for (unsigned i = 0; i < 20000; i++) {
		box.now += 1000;
		assert_int_equal(pass(&box, tcp(4, A, 1000 + i, SELF, 22, SYN)), FILTER_PASS);
	}
	filter_stats(box.f, &flows, drops);
	assert_int_equal(flows, 64);
	/* Neither the other's nor its own established one went. */
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(pass(&box, tcp(4, B, 100 + i, SELF, 22, ACK)), FILTER_PASS);
	assert_int_equal(pass(&box, tcp(4, A, 100, SELF, 22, ACK)), FILTER_PASS);
	/* A newcomer finds room, at the flooder's expense. */
	for (unsigned i = 5; i < 25; i++)
		handshake(&box, B, 100 + i, SELF, 22);
	for (unsigned i = 0; i < 25; i++)
		assert_int_equal(pass(&box, tcp(4, B, 100 + i, SELF, 22, ACK)), FILTER_PASS);
	filter_stats(box.f, &flows, drops);
	assert_int_equal(flows, 64);
	assert_int_equal(drops[FILTER_DROP_TABLE_FULL], 0);
	close_box(&box);
}

static void test_full_of_single_flows(void **state)
{
	struct box box = open_box(NULL, 16, false);

	(void)state;
	for (uint8_t i = 0; i < 17; i++) {
		char id[16], name[16];

		(void)snprintf(id, sizeof(id), "p_x%u", i);
		(void)snprintf(name, sizeof(name), "x%u", i);
		add_peer(&box, id, name, (uint8_t)(100 + i), false);
	}
	load(&box, all);
	for (uint8_t i = 0; i < 17; i++) {
		struct wire w = udp(4, A, 1, SELF, 2);

		w.data[15] = (uint8_t)(100 + i);
		assert_int_equal(pass(&box, w), i < 16 ? FILTER_PASS : FILTER_DROP_TABLE_FULL);
	}
	box.now += 31 * S; /* the sweep makes room */
	for (uint8_t i = 0; i < 8; i++) {
		struct wire w = udp(4, A, 1, SELF, 2);

		w.data[15] = 116;
		put16(w.data + 20, i + 1u);
		assert_int_equal(pass(&box, w), FILTER_PASS);
	}
	close_box(&box);
}

/* ---- oracle ---- */

struct model_flow {
	int remote;
	unsigned local_port, remote_port;
	bool out, replied;
	int rules;
	uint64_t expires;
};

static uint64_t rng = 88172645463325252u;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % n;
}

static void test_udp_oracle(void **state)
{
	/* Rules by number: may a flow be opened (out, port)? */
	static const char *const texts[] = {
		"{}",
		"{\"rules\": [{\"from\": \"*\", \"to\": \"*\", \"proto\": \"udp\", \"ports\": "
		"\"1-2\"}]}",
		"{\"rules\": [{\"from\": \"peer:self\", \"to\": \"*\"}]}",
		"{\"rules\": [{\"from\": \"*\", \"to\": \"*\"}, {\"action\": \"deny\", \"from\": "
		"\"*\", "
		"\"to\": \"*\", \"ports\": 3}]}",
	};
	static struct model_flow model[4096];
	size_t count = 0, passed = 0;
	struct box box = open_box(texts[1], 65536, false);
	int rules = 1;

	(void)state;
	for (int step = 0; step < 60000; step++) {
		int remote = rnd(2) ? A : B;
		unsigned local_port = 1 + rnd(4), remote_port = 1 + rnd(4);
		bool out = rnd(2), want;
		struct model_flow *flow = NULL;

		box.now += rnd(4) == 0 ? rnd(20) * S : rnd(1000);
		if (rnd(50) == 0) {
			rules = (int)rnd(4);
			load(&box, texts[rules]);
		}
		for (size_t i = 0; i < count; i++)
			if (model[i].remote == remote && model[i].local_port == local_port &&
			    model[i].remote_port == remote_port)
				flow = &model[i];
		if (flow && box.now >= flow->expires) {
			*flow = model[--count];
			flow = NULL;
		}
		bool opener_out = flow ? flow->out : out;
		unsigned port = opener_out ? remote_port : local_port;
		bool allowed = rules == 1   ? port <= 2
			       : rules == 2 ? opener_out
					    : rules == 3 && port != 3;
		if (flow && flow->rules != rules && !allowed) {
			*flow = model[--count];
			flow = NULL;
			want = false;
		} else if (flow) {
			want = true;
		} else {
			want = allowed;
			if (want) {
				assert_true(count < 4096);
				flow = &model[count++];
				*flow = (struct model_flow){
					remote, local_port, remote_port, out, false, rules, 0};
			}
		}
		if (want) {
			flow->rules = rules;
			flow->replied = flow->replied || flow->out != out;
			flow->expires = box.now + (flow->replied ? 180 : 30) * S;
		}
		enum filter_drop drop =
			pass(&box, out ? udp(4, SELF, local_port, remote, remote_port)
				       : udp(4, remote, remote_port, SELF, local_port));
		assert_int_equal(drop, want ? FILTER_PASS : FILTER_DROP_DENIED);
		passed += want;
	}
	assert_true(passed > 10000 && passed < 50000);
	close_box(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fails_closed),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_extension_headers),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_ports_of_closed_flow_are_judged),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_icmp_errors),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_fragment_flood),
		cmocka_unit_test(test_rejudge),
		cmocka_unit_test(test_new_address),
		cmocka_unit_test(test_interception),
		cmocka_unit_test(test_interception_off),
		cmocka_unit_test(test_interception_errors),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_flood_pushes_out_its_own),
		cmocka_unit_test(test_full_of_single_flows),
		cmocka_unit_test(test_udp_oracle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
