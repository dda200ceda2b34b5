/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiles what concerns one peer into the block of block.h. Peers under the same rules become one
 * class; a class is four port sets and two flags. Must agree with policy_allows on everything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/block.h"
#include "policy/model.h"

#define PORTS	   65536u
#define PORT_WORDS (PORTS / 64)

struct port_set {
	uint64_t words[PORT_WORDS];
};

/* A rule in force that has self on one side or both. */
struct near_rule {
	const struct model_rule *rule;
	bool self_from, self_to;
};

struct compile {
	const struct policy *policy;
	const struct policy_world *world;
	const struct world_peer *self;
	struct near_rule *rules;
	size_t rule_count;
	size_t sig_words; /* of a signature: 2 bits per rule (in, out), 1 for the peer's SSH */
	uint32_t *sigs;	  /* per class */
	size_t class_count;
	uint32_t *sig_table; /* class + 1 by hash of the signature */
	size_t sig_mask;
	uint32_t *class_of; /* per peer, BLOCK_NONE: nothing is allowed */
	signed char *memo;  /* per set, of the peer at hand: -1 not asked yet */
	struct port_set *accept, *deny;
	struct model_interval *intervals;
	size_t interval_count, interval_cap;
	uint32_t *class_words;
};

static bool in_list(struct compile *c, const struct model_list *list, const struct world_peer *peer)
{
	return match_list_memo(list, c->world, peer, c->memo);
}

static bool may_open(struct compile *c, const struct model_rule *rule, const struct world_peer *peer)
{
	return in_list(c, &rule->from, peer) && match_networks(&rule->networks, c->world, peer);
}

static void forget_sets(struct compile *c)
{
	memset(c->memo, -1, c->policy->set_count + 1);
}

static int pick_rules(struct compile *c, int64_t now_s)
{
	c->rules = calloc(c->policy->rule_count + 1, sizeof(*c->rules));
	c->memo = malloc(c->policy->set_count + 1);
	if (!c->rules || !c->memo)
		return -ENOMEM;
	forget_sets(c);
	for (size_t i = 0; i < c->policy->rule_count; i++) {
		const struct model_rule *rule = &c->policy->rules[i];
		struct near_rule nr = {.rule = rule};

		if (!when_in_force(&rule->when, now_s))
			continue;
		nr.self_from = may_open(c, rule, c->self);
		nr.self_to = in_list(c, &rule->to, c->self);
		if (nr.self_from || nr.self_to)
			c->rules[c->rule_count++] = nr;
	}
	c->sig_words = (c->rule_count * 2 + 1 + 31) / 32;
	return 0;
}

static void sig_set(uint32_t *sig, size_t bit)
{
	sig[bit / 32] |= 1u << bit % 32;
}

static bool sig_get(const uint32_t *sig, size_t bit)
{
	return sig[bit / 32] >> bit % 32 & 1;
}

/* Fills the signature; false when no rule accepts anything between the two. */
static bool sign(struct compile *c, const struct world_peer *peer, uint32_t *sig)
{
	bool any = false;

	memset(sig, 0, c->sig_words * sizeof(*sig));
	forget_sets(c);
	for (size_t i = 0; i < c->rule_count; i++) {
		const struct near_rule *nr = &c->rules[i];

		if (nr->self_to && may_open(c, nr->rule, peer)) {
			sig_set(sig, i * 2);
			any = any || !nr->rule->deny;
		}
		if (nr->self_from && in_list(c, &nr->rule->to, peer)) {
			sig_set(sig, i * 2 + 1);
			any = any || !nr->rule->deny;
		}
	}
	if (peer->ssh_enabled && peer->ssh_advertised)
		sig_set(sig, c->rule_count * 2);
	return any;
}

/* The class of the signature that lies behind the last class; makes it the last when it is new. */
static uint32_t class_for(struct compile *c)
{
	const uint32_t *sig = c->sigs + c->class_count * c->sig_words;
	uint32_t h = 0;

	for (size_t i = 0; i < c->sig_words; i++)
		h = block_mix(h ^ sig[i]) + (uint32_t)i;
	for (size_t at = h & c->sig_mask;; at = (at + 1) & c->sig_mask) {
		uint32_t class = c->sig_table[at];

		if (class == 0) {
			c->sig_table[at] = (uint32_t)++c->class_count;
			return (uint32_t)c->class_count - 1;
		}
		if (memcmp(c->sigs + (class - 1) * c->sig_words, sig,
			   c->sig_words * sizeof(*sig)) == 0)
			return class - 1;
	}
}

static int classify(struct compile *c)
{
	size_t peers = c->world->peer_count, cap = 16;

	while (cap < peers * 2 + 2)
		cap *= 2;
	c->sig_mask = cap - 1;
	c->sig_table = calloc(cap, sizeof(*c->sig_table));
	c->class_of = calloc(peers + 1, sizeof(*c->class_of));
	c->sigs = NULL;
	if (!c->sig_table || !c->class_of)
		return -ENOMEM;
	size_t room = 0;
	for (size_t i = 0; i < peers; i++) {
		const struct world_peer *peer = &c->world->peers[i];

		if (c->class_count == room) {
			room = room ? room * 2 : 16;
			uint32_t *bigger =
				reallocarray(c->sigs, room * c->sig_words, sizeof(*c->sigs));
			if (!bigger)
				return -ENOMEM;
			c->sigs = bigger;
		}
		c->class_of[i] = BLOCK_NONE;
		if (peer != c->self && sign(c, peer, c->sigs + c->class_count * c->sig_words))
			c->class_of[i] = class_for(c);
	}
	return 0;
}

static void set_ports(struct port_set *set, const struct model_ports *ports)
{
	if (ports->count == 0)
		memset(set, 0xff, sizeof(*set));
	for (size_t i = 0; i < ports->count; i++) {
		uint32_t first = ports->intervals[i].first, last = ports->intervals[i].last;

		for (uint32_t word = first / 64; word <= last / 64; word++) {
			uint64_t bits = ~UINT64_C(0);

			if (word == first / 64)
				bits &= ~UINT64_C(0) << first % 64;
			if (word == last / 64)
				bits &= ~UINT64_C(0) >> (63 - last % 64);
			set->words[word] |= bits;
		}
	}
}

/* The first port >= from that is in the set (in: true) or not in it; PORTS: none. */
static uint32_t next_port(const struct port_set *set, uint32_t from, bool in)
{
	for (uint32_t word = from / 64; word < PORT_WORDS; word++) {
		uint64_t bits = in ? set->words[word] : ~set->words[word];

		if (word == from / 64)
			bits &= ~UINT64_C(0) << from % 64;
		if (bits)
			return word * 64 + (uint32_t)__builtin_ctzll(bits);
	}
	return PORTS;
}

static bool has_port(const struct port_set *set, uint32_t port)
{
	return set->words[port / 64] >> port % 64 & 1;
}

static int add_interval(struct compile *c, uint32_t first, uint32_t last)
{
	if (c->interval_count == c->interval_cap) {
		size_t cap = c->interval_cap ? c->interval_cap * 2 : 256;
		struct model_interval *bigger =
			reallocarray(c->intervals, cap, sizeof(*c->intervals));

		if (!bigger)
			return -ENOMEM;
		c->intervals = bigger;
		c->interval_cap = cap;
	}
	c->intervals[c->interval_count++] =
		(struct model_interval){(uint16_t)first, (uint16_t)last};
	return 0;
}

/* Ports of one class, direction and protocol: accepted, not denied, and N4. */
static int compile_ports(struct compile *c, const uint32_t *sig, bool out, uint8_t proto,
			 bool ssh_on, uint32_t *ret_words)
{
	size_t before = c->interval_count;
	int rc = 0;

	memset(c->accept, 0, sizeof(*c->accept));
	memset(c->deny, 0, sizeof(*c->deny));
	for (size_t i = 0; i < c->rule_count; i++) {
		const struct model_rule *rule = c->rules[i].rule;

		if (sig_get(sig, i * 2 + out) &&
		    (rule->proto == POLICY_PROTO_ANY || rule->proto == proto))
			set_ports(rule->deny ? c->deny : c->accept, &rule->ports);
	}
	for (size_t i = 0; i < PORT_WORDS; i++)
		c->accept->words[i] &= ~c->deny->words[i];
	if (proto == POLICY_PROTO_TCP && ssh_on) {
		uint64_t bit = UINT64_C(1) << MODEL_SSH_INNER_PORT % 64;
		bool open = has_port(c->accept, MODEL_SSH_PORT) &&
			    !has_port(c->deny, MODEL_SSH_INNER_PORT);

		c->accept->words[MODEL_SSH_INNER_PORT / 64] &= ~bit;
		c->accept->words[MODEL_SSH_INNER_PORT / 64] |= open ? bit : 0;
	}
	for (uint32_t first = next_port(c->accept, 0, true); first < PORTS && !rc;) {
		uint32_t end = next_port(c->accept, first, false);

		rc = add_interval(c, first, end - 1);
		first = next_port(c->accept, end, true);
	}
	ret_words[0] = (uint32_t)before;
	ret_words[1] = (uint32_t)(c->interval_count - before);
	return rc;
}

static uint32_t compile_flags(const struct compile *c, const uint32_t *sig, bool out)
{
	uint32_t accept = 0, deny = 0;

	for (size_t i = 0; i < c->rule_count; i++) {
		const struct model_rule *rule = c->rules[i].rule;
		uint32_t flags = 0;

		if (!sig_get(sig, i * 2 + out) || rule->ports.count)
			continue;
		if (rule->proto == POLICY_PROTO_ANY)
			flags = BLOCK_ALLOW_ICMP | BLOCK_ALLOW_OTHER;
		else if (rule->proto == POLICY_PROTO_ICMP)
			flags = BLOCK_ALLOW_ICMP;
		*(rule->deny ? &deny : &accept) |= flags;
	}
	return accept & ~deny;
}

static int compile_classes(struct compile *c)
{
	bool self_ssh = c->self->ssh_enabled && c->self->ssh_advertised;
	int rc = 0;

	c->class_words = calloc(c->class_count * BLOCK_CLASS_WORDS + 1, sizeof(*c->class_words));
	c->accept = malloc(sizeof(*c->accept));
	c->deny = malloc(sizeof(*c->deny));
	if (!c->class_words || !c->accept || !c->deny)
		return -ENOMEM;
	for (size_t i = 0; i < c->class_count && !rc; i++) {
		const uint32_t *sig = c->sigs + i * c->sig_words;

		for (int out = 0; out < 2 && !rc; out++) {
			uint32_t *d = c->class_words + i * BLOCK_CLASS_WORDS +
				      (size_t)out * BLOCK_D_WORDS;
			bool ssh_on = out ? sig_get(sig, c->rule_count * 2) : self_ssh;

			rc = compile_ports(c, sig, out, POLICY_PROTO_TCP, ssh_on,
					   &d[BLOCK_D_TCP_FIRST]);
			if (!rc)
				rc = compile_ports(c, sig, out, POLICY_PROTO_UDP, false,
						   &d[BLOCK_D_UDP_FIRST]);
			d[BLOCK_D_FLAGS] = compile_flags(c, sig, out);
		}
	}
	return rc;
}

/* Puts an address into a table; -ENOSPC when its probe would be too long, -EEXIST when it is in. */
static int table_put(uint32_t *table, uint32_t slots, uint32_t words, const uint8_t *addr,
		     uint32_t seed, uint32_t class)
{
	uint32_t at = block_hash(addr, words, seed);

	for (uint32_t i = 0; i < BLOCK_MAX_PROBE; i++, at++) {
		uint32_t *slot = table + (size_t)(at & (slots - 1)) * (words + 1);

		if (slot[words] == BLOCK_NONE) {
			memcpy(slot, addr, words * 4);
			slot[words] = class;
			return 0;
		}
		if (memcmp(slot, addr, words * 4) == 0)
			return -EEXIST;
	}
	return -ENOSPC;
}

static int fill_tables(const struct compile *c, uint32_t *table4, uint32_t *table6, uint32_t slots,
		       uint32_t seed)
{
	int rc = 0;

	memset(table4, 0, (size_t)slots * BLOCK_SLOT4_WORDS * 4);
	memset(table6, 0, (size_t)slots * BLOCK_SLOT6_WORDS * 4);
	for (size_t i = 0; i < slots; i++) {
		table4[i * BLOCK_SLOT4_WORDS + 1] = BLOCK_NONE;
		table6[i * BLOCK_SLOT6_WORDS + 4] = BLOCK_NONE;
	}
	for (size_t i = 0; i < c->world->peer_count && !rc; i++) {
		const struct world_peer *peer = &c->world->peers[i];

		if (c->class_of[i] == BLOCK_NONE)
			continue;
		if ((peer->v4.family && ip_addr_equal(&peer->v4, &c->self->v4)) ||
		    (peer->v6.family && ip_addr_equal(&peer->v6, &c->self->v6)))
			return -EEXIST;
		if (peer->v4.family)
			rc = table_put(table4, slots, 1, peer->v4.bytes, seed, c->class_of[i]);
		if (!rc && peer->v6.family)
			rc = table_put(table6, slots, 4, peer->v6.bytes, seed, c->class_of[i]);
	}
	return rc;
}

static void write_header(const struct compile *c, uint32_t *words, uint32_t total, uint32_t slots)
{
	uint32_t at = BLOCK_HEADER_WORDS * 4;

	words[BLOCK_W_MAGIC] = BLOCK_MAGIC;
	words[BLOCK_W_VERSION] = BLOCK_VERSION;
	words[BLOCK_W_LENGTH] = total;
	words[BLOCK_W_SELF_FLAGS] =
		(c->self->v4.family ? BLOCK_SELF_V4 : 0) | (c->self->v6.family ? BLOCK_SELF_V6 : 0);
	memcpy(&words[BLOCK_W_SELF4], c->self->v4.bytes, 4);
	memcpy(&words[BLOCK_W_SELF6], c->self->v6.bytes, 16);
	words[BLOCK_W_TABLE4] = at;
	words[BLOCK_W_SLOTS4] = slots;
	at += slots * BLOCK_SLOT4_WORDS * 4;
	words[BLOCK_W_TABLE6] = at;
	words[BLOCK_W_SLOTS6] = slots;
	at += slots * BLOCK_SLOT6_WORDS * 4;
	words[BLOCK_W_CLASSES] = at;
	words[BLOCK_W_CLASS_COUNT] = (uint32_t)c->class_count;
	memcpy(words + at / 4, c->class_words, c->class_count * BLOCK_CLASS_WORDS * 4);
	at += (uint32_t)(c->class_count * BLOCK_CLASS_WORDS * 4);
	words[BLOCK_W_INTERVALS] = at;
	words[BLOCK_W_INTERVAL_COUNT] = (uint32_t)c->interval_count;
	if (c->interval_count)
		memcpy(words + at / 4, c->intervals, c->interval_count * 4);
}

static int build(const struct compile *c, void **ret_blob, size_t *ret_len)
{
	uint32_t slots = 4;

	while (slots < c->world->peer_count * 2)
		slots *= 2;
	for (; slots <= 1u << 24; slots *= 2) {
		uint64_t total = BLOCK_HEADER_WORDS + (uint64_t)slots * BLOCK_SLOT4_WORDS +
				 (uint64_t)slots * BLOCK_SLOT6_WORDS +
				 (uint64_t)c->class_count * BLOCK_CLASS_WORDS + c->interval_count;

		if (total * 4 > BLOCK_MAX_BYTES)
			return -EMSGSIZE;
		uint32_t *words = calloc(total, 4);
		if (!words)
			return -ENOMEM;
		write_header(c, words, (uint32_t)total * 4, slots);
		int rc = -ENOSPC;
		for (uint32_t seed = 1; seed <= 8 && rc == -ENOSPC; seed++) {
			words[BLOCK_W_HASH_SEED] = seed;
			rc = fill_tables(c, words + words[BLOCK_W_TABLE4] / 4,
					 words + words[BLOCK_W_TABLE6] / 4, slots, seed);
		}
		if (rc == 0) {
			*ret_blob = words;
			*ret_len = (size_t)total * 4;
			return 0;
		}
		free(words);
		if (rc != -ENOSPC)
			return rc;
	}
	return -EMSGSIZE;
}

int policy_compile(const struct policy *p, const struct policy_world *w, const char *self_peer,
		   int64_t now_s, void **ret_blob, size_t *ret_len, struct error *err)
{
	struct compile c = {.policy = p, .world = w, .self = world_find_peer(w, self_peer)};
	int rc;

	_Static_assert(sizeof(struct model_interval) == 4, "written as it is");
	if (!c.self)
		return error_set(err, -ENOENT, "%s is not a peer of this network", self_peer);
	rc = pick_rules(&c, now_s);
	if (!rc)
		rc = classify(&c);
	if (!rc)
		rc = compile_classes(&c);
	if (!rc)
		rc = build(&c, ret_blob, ret_len);
	free(c.rules);
	free(c.sigs);
	free(c.sig_table);
	free(c.class_of);
	free(c.memo);
	free(c.accept);
	free(c.deny);
	free(c.intervals);
	free(c.class_words);
	if (rc == -EEXIST)
		return error_set(err, rc,
				 "two peers of this network have the same overlay address");
	if (rc)
		return error_set(err, rc, "the policy of %s cannot be compiled: %s", self_peer,
				 rc == -ENOMEM ? "not enough memory" : "it is too large");
	return 0;
}
