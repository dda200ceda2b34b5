/* SPDX-License-Identifier: Apache-2.0
 *
 * Access rules against a model that shares nothing with them: rules are plain tables, the policy's
 * answers come from their text. Default deny, deny wins, one-way, ports, hours, from_networks, and the
 * door of the embedded SSH server (features.md N4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SEEDS	 1500
#define RULES	 6
#define MACHINES 4
#define NOW	 1700000000 /* 22:13:20 UTC */

static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % n;
}

static const uint16_t ports[] = {21, 22, 23, 80, 8000, 8050, 22021, 22022};
static const uint8_t protos[] = {POLICY_PROTO_TCP, POLICY_PROTO_UDP, POLICY_PROTO_ICMP, 47};
static const struct {
	const char *text;
	uint16_t first, last;
} ranges[] = {{"22", 22, 22}, {"1-79", 1, 79}, {"8000-8100", 8000, 8100}, {"22022", 22022, 22022},
	      {"22000-23000", 22000, 23000}};

/* Machine i: name m<i>, 100.64.<i / 2>.<10 + i>, of u<i % 2>@e.org, SSH on for the even ones. */
enum kind { ANY, PERSON, MACHINE, NET, ADDRESS };

struct side {
	enum kind kind[2];
	unsigned n[2];
	size_t count;
};

struct rule {
	struct side from, to;
	bool deny, ended;
	unsigned proto; /* of protos; 3: any */
	unsigned ranges; /* mask; 0: all */
	unsigned nets; /* mask of 100.64.<n>.0/24; 0: everywhere */
};

static bool is_in(const struct side *s, unsigned m)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->kind[i] == ANY || (s->kind[i] == PERSON && m % 2 == s->n[i] % 2) ||
		    (s->kind[i] == MACHINE && m == s->n[i]) ||
		    (s->kind[i] == NET && m / 2 == s->n[i] % 2) ||
		    (s->kind[i] == ADDRESS && m == s->n[i]))
			return true;
	return false;
}

static bool speaks(const struct rule *r, unsigned src, unsigned dst, uint8_t proto, uint16_t port)
{
	bool has_port = proto == POLICY_PROTO_TCP || proto == POLICY_PROTO_UDP, fits = !r->ranges;

	if (r->ended || (r->nets && !(r->nets >> (src / 2) & 1)) || !is_in(&r->from, src) ||
	    !is_in(&r->to, dst) || (r->proto < 3 && protos[r->proto] != proto))
		return false;
	for (size_t i = 0; i < COUNT(ranges) && has_port; i++)
		fits = fits || ((r->ranges >> i & 1) && port >= ranges[i].first &&
				port <= ranges[i].last);
	return fits;
}

static bool any_rule(const struct rule *rules, size_t count, bool deny, unsigned src, unsigned dst,
		     uint8_t proto, uint16_t port)
{
	for (size_t i = 0; i < count; i++)
		if (rules[i].deny == deny && speaks(&rules[i], src, dst, proto, port))
			return true;
	return false;
}

static bool model(const struct rule *rules, size_t count, unsigned src, unsigned dst, uint8_t proto,
		  uint16_t port)
{
	if (src == dst || any_rule(rules, count, true, src, dst, proto, port))
		return false;
	if (proto == POLICY_PROTO_TCP && port == 22022 && dst % 2 == 0)
		return model(rules, count, src, dst, proto, 22);
	return any_rule(rules, count, false, src, dst, proto, port);
}

static char text[16384];
static size_t len;

static void put(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void put(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	len += (size_t)vsnprintf(text + len, sizeof(text) - len, fmt, ap);
	va_end(ap);
	assert_true(len < sizeof(text));
}

static struct side random_side(const char *key)
{
	struct side s = {.count = 1 + rnd(2)};

	put("\"%s\":[", key);
	for (size_t i = 0; i < s.count; i++) {
		s.kind[i] = (enum kind)rnd(5);
		s.n[i] = rnd(MACHINES);
		switch (s.kind[i]) {
		case ANY:
			put("\"*\",");
			break;
		case PERSON:
			put("\"U%u@e.org\",", s.n[i] % 2);
			break;
		case MACHINE:
			put("\"peer:m%u\",", s.n[i]);
			break;
		case NET:
			put("\"100.64.%u.0/24\",", s.n[i] % 2);
			break;
		case ADDRESS:
			put("\"100.64.%u.%u\",", s.n[i] / 2, 10 + s.n[i]);
			break;
		}
	}
	put("]");
	return s;
}

static void random_rule(struct rule *r)
{
	static const char *const names[] = {"tcp", "udp", "icmp", "any"};

	memset(r, 0, sizeof(*r));
	put("{");
	r->from = random_side("from");
	put(",");
	r->to = random_side("to");
	r->deny = rnd(3) == 0;
	r->proto = rnd(4);
	put(",\"action\":\"%s\",\"proto\":\"%s\"", r->deny ? "deny" : "accept", names[r->proto]);
	if (r->proto != 2 && rnd(3)) {
		r->ranges = 1 + rnd(31);
		put(",\"ports\":\"");
		for (size_t i = 0, n = 0; i < COUNT(ranges); i++)
			if (r->ranges >> i & 1)
				put("%s%s", n++ ? "," : "", ranges[i].text);
		put("\"");
	}
	r->ended = rnd(5) == 0;
	r->nets = rnd(3) == 0 ? 1 + rnd(3) : 0;
	put(",\"when\":{\"hours\":\"%s\",\"tz\":\"UTC\"", r->ended ? "01:00-02:00" : "22:00-23:00");
	if (r->nets)
		put(",\"from_networks\":[%s%s]", r->nets & 1 ? "\"100.64.0.0/24\"," : "",
		    r->nets & 2 ? "\"100.64.1.0/24\"" : "");
	put("}},\n");
}

static struct policy_world *make_world(void)
{
	struct policy_world *w;

	assert_int_equal(policy_world_new(&w), 0);
	for (unsigned i = 0; i < MACHINES; i++) {
		char id[8], name[8], person[16];
		const char *who[] = {person};
		struct policy_peer peer = {.id = id,
					   .name = name,
					   .v4 = {4, {100, 64, (uint8_t)(i / 2), (uint8_t)(10 + i)}},
					   .identities = who,
					   .identity_count = 1,
					   .ssh_enabled = i % 2 == 0,
					   .ssh_advertised = true};

		(void)snprintf(id, sizeof(id), "p_%u", i);
		(void)snprintf(name, sizeof(name), "m%u", i);
		(void)snprintf(person, sizeof(person), "u%u@e.org", i % 2);
		assert_int_equal(policy_world_add_peer(w, &peer), 0);
	}
	return w;
}

static void test_model(void **state)
{
	static const char *const ids[] = {"p_0", "p_1", "p_2", "p_3"};
	struct policy_world *w = make_world();
	size_t yes = 0, no = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct rule rules[RULES];
		struct error err = {0};
		struct policy *p;
		size_t count;

		rng = seed * UINT64_C(0x9e3779b97f4a7c15);
		count = 1 + rnd(RULES);
		len = 0;
		put("{\"rules\":[");
		for (size_t i = 0; i < count; i++)
			random_rule(&rules[i]);
		put("]}");
		if (policy_parse("p", text, len, &p, &err))
			fail_msg("%s\n%s", err.text, text);
		for (unsigned ask = 0; ask < MACHINES * MACHINES * 4 * COUNT(ports); ask++) {
			unsigned src = ask % 4, dst = ask / 4 % 4;
			uint8_t proto = protos[ask / 16 % 4];
			uint16_t port = ports[ask / 64];
			bool want = model(rules, count, src, dst, proto, port);

			if (policy_allows(p, w, ids[src], ids[dst], proto, port, NOW, NULL) != want)
				fail_msg("%u to %u, protocol %u port %u: not %d\n%s", src, dst, proto,
					 port, want, text);
			*(want ? &yes : &no) += 1;
		}
		policy_free(p);
	}
	policy_world_free(w);
	print_message("%zu allowed, %zu denied\n", yes, no);
	assert_true(yes > 50000 && no > 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
