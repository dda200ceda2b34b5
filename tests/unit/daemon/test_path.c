/* SPDX-License-Identifier: Apache-2.0
 *
 * Two path machines in a simulated network: hosts on one LAN, behind NATs of each kind, with loss,
 * delay and changes of address. Time, randomness and the wire are the test's.
 *
 *      A (10.0.0.2) --[NAT a 198.51.100.1]--+-- STUN 203.0.113.1:3478
 *                                           |
 *      B (10.1.0.2) --[NAT b 198.51.100.2]--+
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/path.h"
#include "daemon/stun.h"
#include "platform/buffer.h"

#define MS	    NSEC_PER_MSEC
#define MAX_FLYING  4096
#define MAX_MAPPING 64

enum nat { NAT_NONE, NAT_FULL_CONE, NAT_PORT_RESTRICTED, NAT_SYMMETRIC };

struct mapping {
	struct endpoint remote; /* symmetric: part of the key */
	uint16_t port;
	struct endpoint allowed[MAX_MAPPING];
	size_t allowed_count;
};

struct host {
	struct sim *sim;
	const char *id;
	struct path *path;
	struct endpoint inside; /* own address and port */
	struct ip_addr outside; /* of the NAT */
	enum nat nat;
	struct mapping mappings[MAX_MAPPING];
	size_t mapping_count;
	uint8_t secret[32], node_key[32], path_key[32];
	struct endpoint chosen;
	unsigned changes;
	unsigned sent, signals;
	bool unplugged;
	uint64_t pong_token;
	bool offline; /* no stream to control */
};

struct packet {
	uint64_t at_ns;
	struct endpoint from, to;
	uint8_t data[1500];
	size_t len;
	bool used;
	struct host *signal_to;
	const char *signal_from;
};

struct sim {
	uint64_t now_ns;
	uint64_t delay_ns;
	unsigned loss_percent;
	struct random_fake seed;
	struct random_source random;
	struct host a, b;
	struct endpoint stun;
	struct packet *flying;
	bool stun_down;
};

static struct endpoint ep(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, &e), 0);
	return e;
}

static struct packet *fly(struct sim *s)
{
	for (size_t i = 0; i < MAX_FLYING; i++)
		if (!s->flying[i].used) {
			memset(&s->flying[i], 0, sizeof(s->flying[i]));
			s->flying[i].used = true;
			s->flying[i].at_ns = s->now_ns + s->delay_ns;
			return &s->flying[i];
		}
	fail_msg("too many datagrams in flight");
	return NULL;
}

static bool lost(struct sim *s)
{
	uint8_t dice;

	random_bytes(&s->random, &dice, 1);
	return dice % 100u < s->loss_percent;
}

static bool same_lan(const struct host *h, const struct endpoint *to)
{
	struct ip_addr mine, theirs;

	endpoint_ip(&h->inside, &mine);
	endpoint_ip(to, &theirs);
	return mine.family == theirs.family && memcmp(mine.bytes, theirs.bytes, 2) == 0;
}

/* The address the NAT gives to a datagram of h, or none. */
static struct endpoint translate_out(struct host *h, const struct endpoint *to)
{
	struct mapping *m = NULL;
	struct endpoint out;

	if (h->nat == NAT_NONE || same_lan(h, to))
		return h->inside;
	for (size_t i = 0; i < h->mapping_count && m == NULL; i++)
		if (h->nat != NAT_SYMMETRIC || endpoint_equal(&h->mappings[i].remote, to))
			m = &h->mappings[i];
	if (m == NULL) {
		assert_true(h->mapping_count < MAX_MAPPING);
		m = &h->mappings[h->mapping_count++];
		m->remote = *to;
		m->port = (uint16_t)(40000 + 7 * h->mapping_count);
	}
	for (size_t i = 0; i <= m->allowed_count; i++) {
		if (i == m->allowed_count) {
			assert_true(m->allowed_count < MAX_MAPPING);
			m->allowed[m->allowed_count++] = *to;
			break;
		}
		if (endpoint_equal(&m->allowed[i], to))
			break;
	}
	endpoint_from_ip(&h->outside, m->port, &out);
	return out;
}

/* Does a datagram to `to` from `from` reach h? */
static bool reaches(const struct host *h, const struct endpoint *from, const struct endpoint *to,
		    bool lan)
{
	struct ip_addr addr;

	if (h->unplugged)
		return false;
	if (endpoint_equal(to, &h->inside))
		return h->nat == NAT_NONE || lan;
	endpoint_ip(to, &addr);
	if (h->nat == NAT_NONE || !ip_addr_equal(&addr, &h->outside))
		return false;
	for (size_t i = 0; i < h->mapping_count; i++) {
		const struct mapping *m = &h->mappings[i];

		if (m->port != endpoint_port(to))
			continue;
		if (h->nat == NAT_FULL_CONE)
			return true;
		for (size_t j = 0; j < m->allowed_count; j++)
			if (endpoint_equal(&m->allowed[j], from))
				return true;
	}
	return false;
}

static void on_send(void *ctx, const struct endpoint *to, const void *data, size_t len)
{
	struct host *h = ctx;
	struct packet *p;

	h->sent++;
	assert_true(len <= sizeof(p->data));
	if (h->unplugged || lost(h->sim))
		return;
	p = fly(h->sim);
	p->from = translate_out(h, to);
	p->to = *to;
	memcpy(p->data, data, len);
	p->len = len;
}

static void on_signal(void *ctx, const char *peer_id, const uint8_t *box, size_t len)
{
	struct host *h = ctx;
	struct host *other = h == &h->sim->a ? &h->sim->b : &h->sim->a;
	struct packet *p;

	assert_string_equal(peer_id, other->id);
	h->signals++;
	if (h->offline || other->offline)
		return;
	p = fly(h->sim);
	p->signal_to = other;
	p->signal_from = h->id;
	memcpy(p->data, box, len);
	p->len = len;
}

static void on_endpoint(void *ctx, const uint8_t node_key[32], const struct endpoint *to)
{
	struct host *h = ctx;

	(void)node_key;
	h->chosen = *to;
	h->changes++;
}

static void on_pong(void *ctx, uint64_t token, uint64_t rtt_ns, const struct endpoint *from)
{
	struct host *h = ctx;

	(void)from;
	assert_true(rtt_ns >= 2 * h->sim->delay_ns);
	h->pong_token = token;
}

static void answer_stun(struct sim *s, const struct packet *in)
{
	uint8_t out[32] = {1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42};
	struct packet *p;

	if (s->stun_down || in->len < 20)
		return;
	memcpy(out + 8, in->data + 8, 12);
	out[21] = 0x20;
	out[23] = 8;
	out[25] = 1;
	out[26] = (uint8_t)(endpoint_port(&in->from) >> 8) ^ 0x21;
	out[27] = (uint8_t)endpoint_port(&in->from) ^ 0x12;
	memcpy(out + 28, &in->from.in.sin_addr, 4);
	for (size_t i = 0; i < 4; i++)
		out[28 + i] ^= out[4 + i];
	p = fly(s);
	p->from = s->stun;
	p->to = in->from;
	memcpy(p->data, out, sizeof(out));
	p->len = sizeof(out);
}

static void deliver(struct sim *s, struct packet *p)
{
	struct host *hosts[] = {&s->a, &s->b};

	if (p->signal_to != NULL) {
		path_signal(p->signal_to->path, p->signal_from, p->data, p->len, s->now_ns);
		return;
	}
	if (endpoint_equal(&p->to, &s->stun)) {
		answer_stun(s, p);
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		bool lan = same_lan(hosts[i], &p->from);

		if (reaches(hosts[i], &p->from, &p->to, lan)) {
			path_datagram(hosts[i]->path, &p->from, p->data, p->len, s->now_ns);
			return;
		}
	}
}

/* Runs the network for a while in steps of at most one event. */
static void run(struct sim *s, uint64_t for_ns)
{
	uint64_t end_ns = s->now_ns + for_ns;

	for (;;) {
		uint64_t next = end_ns, due;
		struct packet *first = NULL;

		due = path_tick(s->a.path, s->now_ns);
		next = due < next ? due : next;
		due = path_tick(s->b.path, s->now_ns);
		next = due < next ? due : next;
		for (size_t i = 0; i < MAX_FLYING; i++)
			if (s->flying[i].used && s->flying[i].at_ns <= next &&
			    (first == NULL || s->flying[i].at_ns < first->at_ns))
				first = &s->flying[i];
		if (first != NULL) {
			struct packet copy = *first;

			first->used = false;
			s->now_ns = copy.at_ns > s->now_ns ? copy.at_ns : s->now_ns;
			deliver(s, &copy);
			continue;
		}
		s->now_ns = next;
		if (next >= end_ns)
			return;
	}
}

static void host_init(struct sim *s, struct host *h, const char *id, const char *inside,
		      const char *outside, enum nat nat)
{
	struct path_ops ops = {h, on_send, on_signal, on_endpoint, on_pong};

	h->sim = s;
	h->id = id;
	h->nat = nat;
	h->inside = ep(inside);
	assert_int_equal(ip_addr_parse(outside, &h->outside), 0);
	random_bytes(&s->random, h->secret, 32);
	random_bytes(&s->random, h->node_key, 32);
	crypto_scalarmult_base(h->path_key, h->secret);
	assert_int_equal(path_new(h->secret, &s->random, &ops, 1, &h->path), 0);
}

static void know(struct host *h, const struct host *other)
{
	struct path_peer_config config = {.id = other->id, .name = other->id};

	memcpy(config.node_key, other->node_key, 32);
	memcpy(config.path_key, other->path_key, 32);
	assert_int_equal(path_set_peers(h->path, &config, 1, h->sim->now_ns), 0);
	path_set_local(h->path, &h->inside, 1);
	path_set_active(h->path, true, h->sim->now_ns);
	path_set_stun(h->path, &h->sim->stun, 1, h->sim->now_ns);
}

static struct sim *sim_new(const char *inside_b, enum nat a, enum nat b)
{
	struct sim *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->flying = calloc(MAX_FLYING, sizeof(*s->flying));
	assert_non_null(s->flying);
	s->now_ns = 1000 * MS;
	s->delay_ns = 5 * MS;
	s->seed.state = 42;
	s->random = random_fake_source(&s->seed);
	s->stun = ep("203.0.113.1:3478");
	host_init(s, &s->a, "p_a", "10.0.0.2:51820", "198.51.100.1", a);
	host_init(s, &s->b, "p_b", inside_b, "198.51.100.2", b);
	know(&s->a, &s->b);
	know(&s->b, &s->a);
	return s;
}

static void sim_free(struct sim *s)
{
	path_free(s->a.path);
	path_free(s->b.path);
	free(s->flying);
	free(s);
}

static enum path_state state_of(struct host *h)
{
	struct host *other = h == &h->sim->a ? &h->sim->b : &h->sim->a;
	struct path_info info;

	assert_int_equal(path_get(h->path, other->id, &info), 0);
	return info.state;
}

static void lan_is_direct_at_once(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);
	struct path_info info;

	(void)state;
	run(s, 1000 * MS);
	assert_int_equal(state_of(&s->a), PATH_IDLE);
	assert_int_equal(s->a.signals, 0); /* nobody asked */
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 100 * MS);
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	assert_int_equal(state_of(&s->b), PATH_DIRECT);
	assert_true(endpoint_equal(&s->a.chosen, &s->b.inside));
	assert_true(endpoint_equal(&s->b.chosen, &s->a.inside));
	assert_int_equal(path_get(s->a.path, "p_b", &info), 0);
	assert_int_equal(info.rtt_ns, 10 * MS);
	assert_int_equal(path_get(s->a.path, "p_c", &info), -ENOENT);
	/* A quiet path is kept open with few packets, and stays the same. */
	s->a.sent = s->b.sent = 0;
	run(s, 600000 * MS);
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	assert_in_range(s->a.sent, 25, 90);
	assert_int_equal(s->a.changes, 1);
	sim_free(s);
}

struct nat_case {
	enum nat a, b;
	bool direct;
};

static void nat_kinds(void **state)
{
	static const struct nat_case cases[] = {
		{NAT_FULL_CONE, NAT_FULL_CONE, true},
		{NAT_FULL_CONE, NAT_PORT_RESTRICTED, true},
		{NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED, true},
		{NAT_SYMMETRIC, NAT_FULL_CONE, true},
		{NAT_FULL_CONE, NAT_SYMMETRIC, true},
		{NAT_NONE, NAT_SYMMETRIC, true},
		{NAT_NONE, NAT_PORT_RESTRICTED, true},
		{NAT_PORT_RESTRICTED, NAT_SYMMETRIC, false},
		{NAT_SYMMETRIC, NAT_SYMMETRIC, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sim *s = sim_new("10.1.0.2:51820", cases[i].a, cases[i].b);

		path_want(s->a.path, s->b.node_key, s->now_ns);
		run(s, 2000 * MS);
		assert_int_equal(state_of(&s->a), cases[i].direct ? PATH_DIRECT : PATH_CONNECTING);
		assert_int_equal(state_of(&s->b) == PATH_DIRECT, cases[i].direct);
		if (cases[i].direct) {
			/* It holds when traffic flows for a minute. */
			for (int second = 0; second < 60; second++) {
				path_activity(s->a.path, s->b.node_key, s->now_ns);
				run(s, 1000 * MS);
				assert_int_equal(state_of(&s->a), PATH_DIRECT);
			}
		}
		sim_free(s);
	}
}

static void same_nat_uses_the_lan(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);

	(void)state;
	s->b.outside = s->a.outside;
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 1000 * MS);
	assert_true(endpoint_equal(&s->a.chosen, &s->b.inside));
	sim_free(s);
}

static void loss_does_not_flap(void **state)
{
	struct sim *s = sim_new("10.1.0.2:51820", NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);

	(void)state;
	s->loss_percent = 20;
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 5000 * MS);
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	for (int second = 0; second < 300; second++) {
		path_activity(s->a.path, s->b.node_key, s->now_ns);
		path_activity(s->b.path, s->a.node_key, s->now_ns);
		run(s, 1000 * MS);
	}
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	assert_true(s->a.changes <= 3);
	sim_free(s);
}

static void cut_is_noticed_and_healed(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);
	uint64_t start;

	(void)state;
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 1000 * MS);
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	s->b.unplugged = s->b.offline = true;
	run(s, 1500 * MS);
	path_no_reply(s->a.path, s->b.node_key, s->now_ns);
	run(s, 1010 * MS);
	assert_int_equal(state_of(&s->a), PATH_CONNECTING);
	/* Back-off grows: no more than a round per five minutes in the end. */
	run(s, 500000 * MS);
	s->a.sent = 0;
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 60000 * MS);
	assert_true(s->a.sent < 20);
	/* The other side comes back and says so. */
	s->b.unplugged = s->b.offline = false;
	start = s->now_ns;
	path_network_changed(s->b.path, s->now_ns);
	path_want(s->b.path, s->a.node_key, s->now_ns);
	while (state_of(&s->a) != PATH_DIRECT && s->now_ns < start + 5000 * MS)
		run(s, 50 * MS);
	assert_true(s->now_ns - start <= 500 * MS);
	sim_free(s);
}

static void silent_loss_is_noticed_within_trust(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);

	(void)state;
	path_want(s->a.path, s->b.node_key, s->now_ns);
	for (int second = 0; second < 20; second++) {
		path_activity(s->a.path, s->b.node_key, s->now_ns);
		run(s, 1000 * MS);
	}
	s->b.unplugged = true;
	for (int second = 0; second < 7; second++) {
		path_activity(s->a.path, s->b.node_key, s->now_ns);
		run(s, 1000 * MS);
	}
	assert_int_equal(state_of(&s->a), PATH_CONNECTING);
	sim_free(s);
}

static void change_of_address_heals(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);

	(void)state;
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 10000 * MS);
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	s->b.inside = ep("10.0.0.77:51820");
	path_set_local(s->b.path, &s->b.inside, 1);
	path_network_changed(s->b.path, s->now_ns);
	run(s, 1200 * MS);
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	assert_true(endpoint_equal(&s->a.chosen, &s->b.inside));
	assert_int_equal(state_of(&s->b), PATH_DIRECT);
	sim_free(s);
}

static void roaming_is_proven_first(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);
	struct endpoint elsewhere = ep("10.0.0.99:51820");
	struct endpoint before;

	(void)state;
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 5000 * MS);
	before = s->a.chosen;
	path_roamed(s->a.path, s->b.node_key, &elsewhere, s->now_ns);
	run(s, 3000 * MS);
	assert_true(endpoint_equal(&s->a.chosen, &before));
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	sim_free(s);
}

static void hint_needs_no_signal(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);

	(void)state;
	s->a.offline = s->b.offline = true; /* control is down */
	path_hint(s->a.path, s->b.node_key, &s->b.inside);
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 500 * MS);
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	assert_int_equal(state_of(&s->b), PATH_DIRECT);
	sim_free(s);
}

static void overlay_addresses_are_no_candidates(void **state)
{
	struct sim *s = sim_new("100.64.0.3:51820", NAT_NONE, NAT_NONE);
	struct ip_prefix p4, p6;

	(void)state;
	assert_int_equal(ip_prefix_parse("100.64.0.0/10", &p4), 0);
	assert_int_equal(ip_prefix_parse("fd00:1::/48", &p6), 0);
	path_set_overlay(s->a.path, &p4, &p6);
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 3000 * MS);
	assert_int_equal(state_of(&s->a), PATH_CONNECTING);
	sim_free(s);
}

static void endpoints_are_said_again(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);

	(void)state;
	path_announce(s->a.path);
	assert_int_equal(s->a.changes, 0);
	path_need_endpoint(s->a.path, s->b.node_key, s->now_ns);
	run(s, 200 * MS);
	assert_int_equal(s->a.changes, 1);
	/* The engine was configured after the path was proven, or forgot it. */
	path_announce(s->a.path);
	assert_int_equal(s->a.changes, 2);
	path_need_endpoint(s->a.path, s->b.node_key, s->now_ns);
	assert_int_equal(s->a.changes, 3);
	assert_true(endpoint_equal(&s->a.chosen, &s->b.inside));
	sim_free(s);
}

static void ping_answers_a_person(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);

	(void)state;
	assert_false(path_ping(s->a.path, "p_b", 7, s->now_ns));
	run(s, 200 * MS);
	assert_true(path_ping(s->a.path, "p_b", 8, s->now_ns));
	run(s, 11 * MS);
	assert_int_equal(s->a.pong_token, 8);
	assert_false(path_ping(s->a.path, "p_unknown", 9, s->now_ns));
	sim_free(s);
}

static void why_says_what_was_tried(void **state)
{
	struct sim *s = sim_new("10.1.0.2:51820", NAT_SYMMETRIC, NAT_SYMMETRIC);
	json_t *candidates = NULL;
	struct buffer out;

	(void)state;
	buffer_init(&out, 65536);
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 4500 * MS);
	path_signal_outcome(s->a.path, "p_b", -ENOENT);
	assert_int_equal(path_why(s->a.path, "p_b", s->now_ns, &out, &candidates), 0);
	assert_non_null(strstr(buffer_cstring(&out), "p_b: connecting"));
	assert_non_null(
		strstr(buffer_cstring(&out), "10.1.0.2:51820 (interface): no answer to 5 probes"));
	assert_non_null(strstr(buffer_cstring(&out), "(reflexive): no answer"));
	assert_non_null(strstr(buffer_cstring(&out), "no connection to the control server"));
	assert_int_equal(json_array_size(candidates), 2);
	json_decref(candidates);
	buffer_done(&out);
	sim_free(s);
}

static void strangers_and_replays_get_nothing(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);
	struct endpoint from = ep("10.0.0.50:1234");
	struct probe ping = {.type = PROBE_PING};
	uint8_t shared[32], nonce[24] = {1}, datagram[PROBE_BYTES], secret[32] = {9},
			    public_key[32];
	unsigned before;

	(void)state;
	crypto_scalarmult_base(public_key, secret);
	assert_int_equal(probe_shared(s->a.path_key, secret, shared), 0);
	before = s->a.sent;
	probe_seal(&ping, probe_key_id(public_key), shared, nonce, datagram);
	path_datagram(s->a.path, &from, datagram, sizeof(datagram), s->now_ns); /* unknown sender */
	probe_seal(&ping, probe_key_id(s->b.path_key), shared, nonce, datagram);
	path_datagram(s->a.path, &from, datagram, sizeof(datagram), s->now_ns); /* wrong key */
	assert_int_equal(s->a.sent, before);
	/* A true ping may be repeated: it is answered, but not without limit. */
	assert_int_equal(probe_shared(s->a.path_key, s->b.secret, shared), 0);
	probe_seal(&ping, probe_key_id(s->b.path_key), shared, nonce, datagram);
	for (int i = 0; i < 1000; i++)
		path_datagram(s->a.path, &from, datagram, sizeof(datagram), s->now_ns);
	assert_in_range(s->a.sent - before, 1, 40);
	/* A pong that nobody asked for proves nothing. */
	ping.type = PROBE_PONG;
	ping.seen = s->a.inside;
	probe_seal(&ping, probe_key_id(s->b.path_key), shared, nonce, datagram);
	path_datagram(s->a.path, &from, datagram, sizeof(datagram), s->now_ns);
	assert_int_equal(s->a.changes, 0);
	sim_free(s);
}

static void removed_peers_are_forgotten(void **state)
{
	struct sim *s = sim_new("10.0.0.3:51820", NAT_NONE, NAT_NONE);
	struct path_info info;

	(void)state;
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 500 * MS);
	know(&s->a, &s->b); /* the same again keeps the path */
	assert_int_equal(state_of(&s->a), PATH_DIRECT);
	assert_int_equal(path_set_peers(s->a.path, NULL, 0, s->now_ns), 0);
	assert_int_equal(path_get(s->a.path, "p_b", &info), -ENOENT);
	run(s, 60000 * MS);
	know(&s->a, &s->b);
	path_set_active(s->a.path, false, s->now_ns);
	path_want(s->a.path, s->b.node_key, s->now_ns);
	run(s, 2000 * MS);
	assert_int_equal(state_of(&s->a), PATH_IDLE);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lan_is_direct_at_once),
		cmocka_unit_test(nat_kinds),
		cmocka_unit_test(same_nat_uses_the_lan),
		cmocka_unit_test(loss_does_not_flap),
		cmocka_unit_test(cut_is_noticed_and_healed),
		cmocka_unit_test(silent_loss_is_noticed_within_trust),
		cmocka_unit_test(change_of_address_heals),
		cmocka_unit_test(roaming_is_proven_first),
		cmocka_unit_test(hint_needs_no_signal),
		cmocka_unit_test(overlay_addresses_are_no_candidates),
		cmocka_unit_test(endpoints_are_said_again),
		cmocka_unit_test(ping_answers_a_person),
		cmocka_unit_test(why_says_what_was_tried),
		cmocka_unit_test(strangers_and_replays_get_nothing),
		cmocka_unit_test(removed_peers_are_forgotten),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
