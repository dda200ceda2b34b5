/* SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets in a fixed, set-associative table. The hash is keyed, so nobody can aim at the
 * slots of somebody else; a full bucket is the same as no bucket, so it may be reused.
 */
#include "tunnel/ratelimiter.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define COST_NS (NSEC_PER_SEC / 20)
#define MAX_NS	(COST_NS * 5)
#define IDLE_NS (60 * NSEC_PER_SEC)

static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_BYTES == 8, "SipHash sizes");

void ratelimiter_init(struct ratelimiter *r, const struct random_source *random)
{
	memset(r, 0, sizeof(*r));
	random_bytes(random, r->hash_key, sizeof(r->hash_key));
}

void ratelimiter_done(struct ratelimiter *r)
{
	free(r->slots);
	r->slots = NULL;
}

static uint64_t hash_net(const struct ratelimiter *r, const struct ip_addr *addr)
{
	uint8_t net[9] = {addr->family};
	uint64_t hash;
	uint8_t out[8];

	memcpy(net + 1, addr->bytes, addr->family == 4 ? 4 : 8);
	crypto_shorthash(out, net, sizeof(net), r->hash_key);
	memcpy(&hash, out, sizeof(hash));
	return hash ? hash : 1;
}

static void refill(struct ratelimiter_slot *slot, uint64_t now_ns)
{
	uint64_t passed = now_ns > slot->last_ns ? now_ns - slot->last_ns : 0;

	if (passed > MAX_NS)
		passed = MAX_NS;
	slot->tokens_ns += passed;
	if (slot->tokens_ns > MAX_NS)
		slot->tokens_ns = MAX_NS;
	slot->last_ns = now_ns;
}

bool ratelimiter_allow(struct ratelimiter *r, const struct ip_addr *addr, uint64_t now_ns)
{
	uint64_t net = hash_net(r, addr);
	struct ratelimiter_slot *reuse = NULL;
	struct ratelimiter_slot *slot = NULL;

	if (!r->slots)
		r->slots = calloc(RATELIMITER_SLOTS, sizeof(*r->slots));
	if (!r->slots)
		return false;
	r->used_ns = now_ns;
	for (size_t i = 0; i < RATELIMITER_WAYS; i++) {
		struct ratelimiter_slot *s = &r->slots[(net + i) % RATELIMITER_SLOTS];

		if (s->net == net) {
			slot = s;
			break;
		}
		if (s->net)
			refill(s, now_ns);
		if (!reuse && (!s->net || s->tokens_ns == MAX_NS))
			reuse = s;
	}
	if (!slot) {
		if (!reuse)
			return false;
		*reuse = (struct ratelimiter_slot){
			.net = net, .last_ns = now_ns, .tokens_ns = MAX_NS};
		slot = reuse;
	}
	refill(slot, now_ns);
	if (slot->tokens_ns < COST_NS)
		return false;
	slot->tokens_ns -= COST_NS;
	return true;
}

void ratelimiter_idle(struct ratelimiter *r, uint64_t now_ns)
{
	if (r->slots && now_ns - r->used_ns > IDLE_NS)
		ratelimiter_done(r);
}
