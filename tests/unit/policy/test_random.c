/* SPDX-License-Identifier: Apache-2.0
 *
 * Properties over random policies and worlds: a slice judges a peer as the whole does, in the whole
 * world and in the part of it that the peer is told of; the compiled filter opens exactly the flows
 * that the slow evaluator allows.
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

#define ROUNDS	  250
#define MAX_PEERS 7
#define NOW	  1700000000

static uint64_t rng = 0x9e3779b97f4a7c15;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % n;
}

static const char *const people[] = {"u1@e.org", "u2@e.org", "Root@e.org", "u3@f.org"};
static const char *const provider_groups[] = {"g1", "g2"};
static const char *const setup_keys[] = {"k1", "k2"};
static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
static const char *const ids[] = {"p_a", "p_b", "p_c", "p_d", "p_e", "p_f", "p_g"};
static const char *const logins[] = {"deploy", "root", "u1", "u2"};
static const uint16_t ports[] = {1, 21, 22, 23, 80, 443, 8000, 8050, 22021, 22022, 22023, 65535};
static const uint8_t protos[] = {1, 6, 17, 47};

struct peer_data {
	struct policy_peer peer;
	const char *identities[4];
};

struct world_data {
	struct peer_data peers[MAX_PEERS];
	size_t count;
	unsigned group_bits[4]; /* provider groups per person */
};

static void make_world(struct world_data *d)
{
	memset(d, 0, sizeof(*d));
	d->count = 2 + rnd(MAX_PEERS - 1);
	for (size_t i = 0; i < d->count; i++) {
		struct policy_peer *p = &d->peers[i].peer;

		p->id = ids[i];
		p->name = names[i];
		p->v4 = (struct ip_addr){4, {100, 64, (uint8_t)rnd(2), (uint8_t)(10 + i)}};
		p->v6 = (struct ip_addr){6, {0xfd, [15] = (uint8_t)(10 + i)}};
		if (rnd(6) == 0)
			p->v4 = (struct ip_addr){0};
		else if (rnd(6) == 0)
			p->v6 = (struct ip_addr){0};
		p->setup_key = rnd(2) ? setup_keys[rnd(2)] : NULL;
		for (size_t j = 0; j < 4; j++)
			if (rnd(4) == 0)
				d->peers[i].identities[p->identity_count++] = people[j];
		p->ssh_enabled = rnd(3) > 0;
		p->ssh_advertised = rnd(3) > 0;
	}
	for (size_t i = 0; i < 4; i++)
		d->group_bits[i] = rnd(4);
}

/* The world, or the part of it that `self` is told of. */
static struct policy_world *build_world(struct world_data *d, const struct policy *p,
					const struct policy_world *whole, const char *self)
{
	struct policy_world *w;

	assert_int_equal(policy_world_new(&w), 0);
	for (size_t i = 0; i < d->count; i++) {
		struct policy_peer *peer = &d->peers[i].peer;

		peer->identities = d->peers[i].identities;
		if (self && strcmp(self, peer->id) != 0 &&
		    !policy_concerns(p, whole, self, peer->id))
			continue;
		assert_int_equal(policy_world_add_peer(w, peer), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		const char *groups[2];
		size_t n = 0;

		for (size_t j = 0; j < 2; j++)
			if (d->group_bits[i] >> j & 1)
				groups[n++] = provider_groups[j];
		assert_int_equal(policy_world_add_identity(w, people[i], groups, n), 0);
	}
	return w;
}

struct text {
	char data[16384];
	size_t len;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	t->len += (size_t)vsnprintf(t->data + t->len, sizeof(t->data) - t->len, fmt, ap);
	va_end(ap);
	assert_true(t->len < sizeof(t->data));
}

static void put_selector(struct text *t, bool member, bool host)
{
	switch (rnd(member ? (host ? 6 : 4) : 10)) {
	case 0:
		put(t, "\"%s\"", people[rnd(4)]);
		break;
	case 1:
		put(t, "\"group:%s\"", provider_groups[rnd(2)]);
		break;
	case 2:
		put(t, "\"setup-key:%s\"", setup_keys[rnd(2)]);
		break;
	case 3:
		put(t, "\"peer:%s\"", names[rnd(MAX_PEERS)]);
		break;
	case 4:
		put(t, rnd(2) ? "\"100.64.0.%u\"" : "\"fd00::%x\"", 10 + rnd(MAX_PEERS));
		break;
	case 5:
		put(t, "\"100.64.%u.0/24\"", rnd(2));
		break;
	case 6:
		put(t, "\"*\"");
		break;
	default:
		put(t, "\"%s\"", ((const char *const[]){"ops", "dev", "web", "db"})[rnd(4)]);
		break;
	}
}

static void put_list(struct text *t, bool member, bool host)
{
	uint32_t n = (member ? 0 : 1) + rnd(3);

	put(t, "[");
	for (uint32_t i = 0; i < n; i++) {
		put_selector(t, member, host);
		put(t, ",");
	}
	put(t, "]");
}

static void put_when(struct text *t)
{
	bool ends = rnd(4) == 0, nets = rnd(6) == 0;

	if (ends || nets)
		put(t, ", \"when\": {");
	if (nets)
		put(t, "\"from_networks\": [\"100.64.%u.0/24\", \"fd00::%x\"],", rnd(2),
		    10 + rnd(MAX_PEERS));
	if (ends)
		put(t, "\"not_after\": \"%s\"",
		    rnd(2) ? "2023-11-14T22:13:20Z" : "2023-11-14T22:13:21Z"); /* NOW, NOW + 1 */
	if (ends || nets)
		put(t, "}");
}

static void make_policy(struct text *t)
{
	static const char *const port_texts[] = {"22",	  "80,443",	 "1-100",   "8000-8100",
						 "22022", "22000-23000", "1-65535", "21,23"};
	t->len = 0;
	put(t, "{\"groups\": {\"ops\": ");
	put_list(t, true, false);
	put(t, ", \"dev\": ");
	put_list(t, true, false);
	put(t, "}, \"hosts\": {\"web\": ");
	put_list(t, true, true);
	put(t, ", \"db\": ");
	put_list(t, true, true);
	put(t, "}, \"rules\": [");
	for (uint32_t i = rnd(8); i > 0; i--) {
		uint32_t proto = rnd(5);

		put(t, "{\"from\": ");
		put_list(t, false, false);
		put(t, ", \"to\": ");
		put_list(t, false, false);
		if (rnd(3) == 0)
			put(t, ", \"action\": \"deny\"");
		if (proto < 4)
			put(t, ", \"proto\": \"%s\"",
			    ((const char *const[]){"tcp", "udp", "icmp", "any"})[proto]);
		if (proto != 2 && rnd(4) > 0)
			put(t, ", \"ports\": \"%s\"", port_texts[rnd(8)]);
		put_when(t);
		put(t, "},");
	}
	put(t, "], \"ssh\": [");
	for (uint32_t i = rnd(5); i > 0; i--) {
		static const char *const auths[] = {"\"machine\"", "\"key\"",
						    "[\"identity\", \"key\"]",
						    "[\"banner\", \"token\"]"};
		bool forward = rnd(2);

		put(t, "{\"from\": ");
		put_list(t, false, false);
		put(t, ", \"to\": ");
		put_list(t, false, false);
		put(t, ", \"logins\": [\"%s\"%s]", rnd(3) ? logins[rnd(4)] : "=",
		    rnd(2) ? ", \"=\"" : "");
		if (!forward && rnd(3) == 0)
			put(t, ", \"force_command\": \"c%u\"", rnd(2));
		else if (!forward && rnd(3) == 0)
			put(t, ", \"files_only\": true");
		if (forward)
			put(t, ", \"allow\": [\"exec\", \"forward\"]");
		if (forward && rnd(2))
			put(t, ", \"destinations\": [\"db:5432\", \"*.example.com:%u\"]",
			    1 + rnd(9));
		if (rnd(2))
			put(t, ", \"auth\": %s", auths[rnd(4)]);
		if (rnd(3) == 0)
			put(t, ", \"cert_ttl\": \"%uh\"", 1 + rnd(8));
		if (rnd(3) == 0)
			put(t, ", \"max_login_age\": %u", 3600 * (1 + rnd(4)));
		put_when(t);
		put(t, "},");
	}
	put(t, "]}");
}

static struct policy *parse(const char *text, size_t len)
{
	struct policy *p;
	struct error err = {0};

	if (policy_parse("random", text, len, &p, &err))
		fail_msg("%s\n%.*s", err.text, (int)len, text);
	return p;
}

static void same_rules(const struct policy *p, const struct policy_world *pw,
		       const struct policy *q, const struct policy_world *qw, const char *src,
		       const char *dst)
{
	for (size_t i = 0; i < sizeof(protos); i++)
		for (size_t j = 0; j < sizeof(ports) / sizeof(ports[0]); j++)
			for (int64_t now = NOW - 1; now <= NOW + 1; now++)
				assert_int_equal(policy_allows(p, pw, src, dst, protos[i], ports[j],
							       now, NULL),
						 policy_allows(q, qw, src, dst, protos[i], ports[j],
							       now, NULL));
	assert_int_equal(policy_opens_ssh(p, pw, src, dst, NOW),
			 policy_opens_ssh(q, qw, src, dst, NOW));
}

static size_t ssh_yes, ssh_no;

static void same_ssh(const struct policy *p, const struct policy_world *pw, const struct policy *q,
		     const struct policy_world *qw, const char *caller, const char *target)
{
	static const char *const extra[] = {"g2"};

	for (size_t who = 0; who <= 5; who++) /* 4: a machine, 5: a key on one */
		for (size_t login = 0; login < 4; login++) {
			struct policy_ssh_query query = {
				.identity = who < 4 ? people[who] : NULL,
				.proof = who == 5 ? POLICY_SSH_PROOF_KEY : POLICY_SSH_PROOF_USUAL,
				.groups = extra,
				.group_count = who < 4 ? rnd(2) : 0,
				.caller_peer = caller,
				.target_peer = target,
				.login = logins[login],
				.auth_time_s = who < 4 ? NOW - 1800 - (int64_t)rnd(4) * 3600 : 0,
				.now_s = NOW,
			};
			struct policy_ssh_decision d1, d2;
			struct buffer l1, l2;

			policy_ssh_check(p, pw, &query, &d1);
			policy_ssh_check(q, qw, &query, &d2);
			assert_memory_equal(&d1, &d2, sizeof(d1));
			*(d1.allowed ? &ssh_yes : &ssh_no) += 1;
			if (d1.allowed && who < 4)
				assert_true(policy_ssh_anyone(p, pw, caller, target, logins[login],
							      NOW));
			buffer_init(&l1, 4096);
			buffer_init(&l2, 4096);
			assert_int_equal(policy_ssh_logins(p, pw, &query, &l1), 0);
			assert_int_equal(policy_ssh_logins(q, qw, &query, &l2), 0);
			assert_string_equal(buffer_cstring(&l1), buffer_cstring(&l2));
			/* The list and the check agree. */
			char line[32];
			(void)snprintf(line, sizeof(line), "%s\n", logins[login]);
			bool listed = false;
			for (const char *at = buffer_cstring(&l1); *at; at = strchr(at, '\n') + 1)
				listed = listed || strncmp(at, line, strlen(line)) == 0;
			assert_int_equal(listed, d1.allowed);
			buffer_done(&l1);
			buffer_done(&l2);
		}
}

static void test_slice(void **state)
{
	static struct text text;
	static struct world_data data;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		make_world(&data);
		make_policy(&text);
		struct policy *whole = parse(text.data, text.len);
		struct policy_world *w = build_world(&data, whole, NULL, NULL);

		for (size_t i = 0; i < data.count; i++) {
			struct buffer out, again;

			buffer_init(&out, POLICY_MAX_TEXT);
			buffer_init(&again, POLICY_MAX_TEXT);
			assert_int_equal(policy_slice(whole, w, ids[i], &out), 0);
			struct policy *part = parse((const char *)out.data, out.len);
			struct policy_world *pw = build_world(&data, whole, w, ids[i]);
			assert_int_equal(policy_slice(part, w, ids[i], &again), 0);
			assert_int_equal(out.len, again.len);
			assert_memory_equal(out.data, again.data, out.len);
			for (size_t j = 0; j < data.count; j++) {
				same_rules(whole, w, part, w, ids[i], ids[j]);
				same_rules(whole, w, part, w, ids[j], ids[i]);
				same_ssh(whole, w, part, w, ids[i], ids[j]);
				same_ssh(whole, w, part, w, ids[j], ids[i]);
				if (i == j || !policy_concerns(whole, w, ids[i], ids[j]))
					continue;
				same_rules(whole, w, part, pw, ids[i], ids[j]);
				same_rules(whole, w, part, pw, ids[j], ids[i]);
				same_ssh(whole, w, part, pw, ids[i], ids[j]);
				same_ssh(whole, w, part, pw, ids[j], ids[i]);
			}
			policy_free(part);
			policy_world_free(pw);
			buffer_done(&out);
			buffer_done(&again);
		}
		policy_free(whole);
		policy_world_free(w);
	}
	/* A property that is only ever tried on refusals proves little. */
	assert_true(ssh_yes > 5000 && ssh_no > 5000);
}

static void test_concerns(void **state)
{
	static struct text text;
	static struct world_data data;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		make_world(&data);
		make_policy(&text);
		struct policy *p = parse(text.data, text.len);
		struct policy_world *w = build_world(&data, p, NULL, NULL);

		for (size_t i = 0; i < data.count; i++) {
			bool all[MAX_PEERS];

			assert_int_equal(policy_concerned(p, w, ids[i], all), 0);
			for (size_t j = 0; j < data.count; j++)
				assert_int_equal(all[j], policy_concerns(p, w, ids[i], ids[j]));
		}
		for (size_t i = 0; i < data.count; i++)
			for (size_t j = 0; j < data.count; j++) {
				bool concerns = policy_concerns(p, w, ids[i], ids[j]);

				assert_int_equal(concerns, policy_concerns(p, w, ids[j], ids[i]));
				for (size_t k = 0; k < sizeof(protos) && !concerns; k++)
					for (size_t l = 0; l < sizeof(ports) / sizeof(ports[0]);
					     l++)
						assert_false(policy_allows(p, w, ids[i], ids[j],
									   protos[k], ports[l], 1,
									   NULL));
			}
		policy_free(p);
		policy_world_free(w);
	}
}

static size_t build_packet(uint8_t *out, const struct ip_addr *src, const struct ip_addr *dst,
			   uint8_t proto, uint16_t src_port, uint16_t dst_port)
{
	size_t header = src->family == 4 ? 20 : 40;
	uint8_t *t = out + header;

	memset(out, 0, header + 20);
	if (src->family == 4) {
		out[0] = 0x45;
		out[3] = 40;
		out[9] = proto;
		memcpy(out + 12, src->bytes, 4);
		memcpy(out + 16, dst->bytes, 4);
	} else {
		out[0] = 0x60;
		out[5] = 20;
		out[6] = proto == 1 ? 58 : proto;
		memcpy(out + 8, src->bytes, 16);
		memcpy(out + 24, dst->bytes, 16);
	}
	t[0] = (uint8_t)(src_port >> 8);
	t[1] = (uint8_t)src_port;
	t[2] = (uint8_t)(dst_port >> 8);
	t[3] = (uint8_t)dst_port;
	t[12] = 0x50;
	t[13] = 0x02;
	if (proto == 1) {
		t[0] = src->family == 4 ? 8 : 128;
		t[1] = 0;
		t[4] = (uint8_t)(src_port >> 8);
		t[5] = (uint8_t)src_port;
	}
	return header + 20;
}

/* All openings between self and other, both ways, against the evaluator. */
static void compare_pair(const struct policy *p, const struct policy_world *w, struct filter *f,
			 const struct policy_peer *self, const struct policy_peer *other,
			 size_t *yes)
{
	static uint16_t fresh = 1024;

	for (int out = 0; out < 2; out++)
		for (int six = 0; six < 2; six++)
			for (size_t i = 0; i < sizeof(protos); i++)
				for (size_t j = 0; j < sizeof(ports) / sizeof(ports[0]); j++) {
					const struct policy_peer *src = out ? self : other;
					const struct policy_peer *dst = out ? other : self;
					const struct ip_addr *s = six ? &src->v6 : &src->v4;
					const struct ip_addr *d = six ? &dst->v6 : &dst->v4;
					struct filter_result result;
					uint8_t packet[64];

					if (!s->family || !d->family)
						continue;
					fresh = fresh < 20000 ? (uint16_t)(fresh + 1) : 1024;
					size_t len = build_packet(packet, s, d, protos[i], fresh,
								  ports[j]);
					/* Far enough in time for every older flow to be over. */
					static uint64_t now_ns = 1;
					now_ns += UINT64_C(700) * 1000000000;
					filter_check(f, out ? FILTER_OUT : FILTER_IN, false, packet,
						     len, now_ns, &result);
					bool want = policy_allows(p, w, src->id, dst->id, protos[i],
								  ports[j], NOW, NULL);
					assert_int_equal(result.drop,
							 want ? FILTER_PASS : FILTER_DROP_DENIED);
					*yes += want;
				}
}

static void test_compile(void **state)
{
	static const uint8_t seed[16] = {1};
	static struct text text;
	static struct world_data data;
	size_t yes = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		make_world(&data);
		make_policy(&text);
		struct policy *p = parse(text.data, text.len);
		struct policy_world *w = build_world(&data, p, NULL, NULL);

		for (size_t i = 0; i < data.count; i++) {
			struct filter *f;
			struct error err = {0};
			void *blob;
			size_t len;

			assert_int_equal(policy_compile(p, w, ids[i], NOW, &blob, &len, &err), 0);
			assert_int_equal(filter_new(4096, seed, &f), 0);
			assert_int_equal(filter_set_rules(f, blob, len), 0);
			for (size_t j = 0; j < data.count; j++)
				if (i != j)
					compare_pair(p, w, f, &data.peers[i].peer,
						     &data.peers[j].peer, &yes);
			filter_free(f);
			free(blob);
		}
		policy_free(p);
		policy_world_free(w);
	}
	assert_true(yes > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slice),
		cmocka_unit_test(test_concerns),
		cmocka_unit_test(test_compile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
