/* SPDX-License-Identifier: Apache-2.0
 *
 * Flows by key, flows by remote, and remotes by how many flows they have: three sets of linked
 * lists over fixed arrays, so that finding, adding, removing and choosing a victim are all O(1).
 */
#include "policy/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE	   UINT32_MAX
#define SWEEP	   4 /* slots looked at for expired flows per insertion */
#define TOUCH_NS   UINT64_C(1000000000)
#define LIST_NEW   0
#define LIST_KNOWN 1

struct flow_list {
	uint32_t oldest, youngest;
};

struct remote {
	uint8_t addr[16];
	uint8_t family;
	uint32_t count;
	uint32_t hash_next;
	uint32_t size_prev, size_next; /* remotes with as many flows */
	struct flow_list lists[2];
};

struct flow_table {
	uint64_t key[2];
	size_t cap;
	size_t count;
	size_t hand; /* of the sweep */
	struct flow *flows;
	uint32_t *buckets;
	uint32_t free_flow;
	struct remote *remotes;
	uint32_t *remote_buckets;
	uint32_t free_remote;
	uint32_t *by_count; /* [cap + 1]: first remote with that many flows */
	uint32_t max_count;
};

static uint64_t rotl(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-1-3 of a key of 24 bytes: peers choose ports, so the hash must not be theirs to predict.
 */
static uint32_t hash(const struct flow_table *t, const void *data)
{
	uint64_t v[4] = {
		t->key[0] ^ UINT64_C(0x736f6d6570736575), t->key[1] ^ UINT64_C(0x646f72616e646f6d),
		t->key[0] ^ UINT64_C(0x6c7967656e657261), t->key[1] ^ UINT64_C(0x7465646279746573)};
	uint64_t m;

	for (size_t i = 0; i < 4; i++) {
		if (i < 3)
			memcpy(&m, (const uint8_t *)data + i * 8, sizeof(m));
		else
			m = (uint64_t)24 << 56;
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

static uint32_t *flow_bucket(struct flow_table *t, const struct flow_key *key)
{
	return &t->buckets[hash(t, key) & (t->cap - 1)];
}

static uint32_t *remote_bucket(struct flow_table *t, const struct flow_key *key)
{
	struct flow_key only = {.family = key->family};

	memcpy(only.remote, key->remote, sizeof(only.remote));
	return &t->remote_buckets[hash(t, &only) & (t->cap - 1)];
}

int flow_table_new(size_t max_flows, const uint8_t seed[16], struct flow_table **ret_table)
{
	struct flow_table *t = calloc(1, sizeof(*t));
	size_t cap = 16;

	if (!t)
		return -ENOMEM;
	while (cap < max_flows && cap < (size_t)1 << 24)
		cap *= 2;
	memcpy(t->key, seed, sizeof(t->key));
	t->cap = cap;
	t->flows = calloc(cap, sizeof(*t->flows));
	t->buckets = malloc(cap * sizeof(*t->buckets));
	t->remotes = calloc(cap, sizeof(*t->remotes));
	t->remote_buckets = malloc(cap * sizeof(*t->remote_buckets));
	t->by_count = malloc((cap + 1) * sizeof(*t->by_count));
	if (!t->flows || !t->buckets || !t->remotes || !t->remote_buckets || !t->by_count) {
		flow_table_free(t);
		return -ENOMEM;
	}
	memset(t->buckets, 0xff, cap * sizeof(*t->buckets));
	memset(t->remote_buckets, 0xff, cap * sizeof(*t->remote_buckets));
	memset(t->by_count, 0xff, (cap + 1) * sizeof(*t->by_count));
	for (uint32_t i = 0; i < cap; i++) {
		t->flows[i].next = i + 1 < cap ? i + 1 : NONE;
		t->remotes[i].hash_next = i + 1 < cap ? i + 1 : NONE;
	}
	*ret_table = t;
	return 0;
}

void flow_table_free(struct flow_table *t)
{
	if (!t)
		return;
	free(t->flows);
	free(t->buckets);
	free(t->remotes);
	free(t->remote_buckets);
	free(t->by_count);
	free(t);
}

/* ---- remotes by number of flows ---- */

static void size_unlink(struct flow_table *t, uint32_t at)
{
	struct remote *r = &t->remotes[at];

	if (r->size_prev != NONE)
		t->remotes[r->size_prev].size_next = r->size_next;
	else
		t->by_count[r->count] = r->size_next;
	if (r->size_next != NONE)
		t->remotes[r->size_next].size_prev = r->size_prev;
}

static void size_link(struct flow_table *t, uint32_t at)
{
	struct remote *r = &t->remotes[at];

	r->size_prev = NONE;
	r->size_next = t->by_count[r->count];
	if (r->size_next != NONE)
		t->remotes[r->size_next].size_prev = at;
	t->by_count[r->count] = at;
}

static uint32_t remote_find(struct flow_table *t, const struct flow_key *key)
{
	uint32_t at = *remote_bucket(t, key);

	while (at != NONE && (t->remotes[at].family != key->family ||
			      memcmp(t->remotes[at].addr, key->remote, sizeof(key->remote)) != 0))
		at = t->remotes[at].hash_next;
	return at;
}

/* One flow more. There are as many remotes as flows, so a free one is always there. */
static uint32_t remote_take(struct flow_table *t, const struct flow_key *key)
{
	uint32_t at = remote_find(t, key);

	if (at == NONE) {
		uint32_t *bucket = remote_bucket(t, key);
		struct remote *r = &t->remotes[t->free_remote];

		at = t->free_remote;
		t->free_remote = r->hash_next;
		*r = (struct remote){.family = key->family,
				     .hash_next = *bucket,
				     .lists = {{NONE, NONE}, {NONE, NONE}}};
		memcpy(r->addr, key->remote, sizeof(r->addr));
		*bucket = at;
	} else {
		size_unlink(t, at);
	}
	t->remotes[at].count++;
	size_link(t, at);
	if (t->remotes[at].count > t->max_count)
		t->max_count = t->remotes[at].count;
	return at;
}

/* One flow less; a remote without flows is forgotten. */
static void remote_give(struct flow_table *t, uint32_t at, const struct flow_key *key)
{
	struct remote *r = &t->remotes[at];

	size_unlink(t, at);
	r->count--;
	if (r->count > 0) {
		size_link(t, at);
	} else {
		uint32_t *link = remote_bucket(t, key);

		while (*link != at)
			link = &t->remotes[*link].hash_next;
		*link = r->hash_next;
		r->hash_next = t->free_remote;
		t->free_remote = at;
	}
	while (t->max_count > 0 && t->by_count[t->max_count] == NONE)
		t->max_count--;
}

/* ---- flows of a remote, oldest first ---- */

static void list_unlink(struct flow_table *t, struct flow *flow)
{
	struct flow_list *list = &t->remotes[flow->remote].lists[flow->list];

	if (flow->prev != NONE)
		t->flows[flow->prev].next = flow->next;
	else
		list->oldest = flow->next;
	if (flow->next != NONE)
		t->flows[flow->next].prev = flow->prev;
	else
		list->youngest = flow->prev;
}

static void list_append(struct flow_table *t, struct flow *flow, uint8_t which)
{
	struct flow_list *list = &t->remotes[flow->remote].lists[which];
	uint32_t at = (uint32_t)(flow - t->flows);

	flow->list = which;
	flow->prev = list->youngest;
	flow->next = NONE;
	if (flow->prev != NONE)
		t->flows[flow->prev].next = at;
	else
		list->oldest = at;
	list->youngest = at;
}

/* Other threads may ask for it (flow_count). */
static void set_count(struct flow_table *t, size_t count)
{
	__atomic_store_n(&t->count, count, __ATOMIC_RELAXED);
}

void flow_remove(struct flow_table *t, struct flow *flow)
{
	uint32_t at = (uint32_t)(flow - t->flows);
	uint32_t *link = flow_bucket(t, &flow->key);

	while (*link != at)
		link = &t->flows[*link].hash_next;
	*link = flow->hash_next;
	list_unlink(t, flow);
	remote_give(t, flow->remote, &flow->key);
	flow->used = false;
	flow->next = t->free_flow;
	t->free_flow = at;
	set_count(t, t->count - 1);
}

struct flow *flow_find(struct flow_table *t, const struct flow_key *key, uint64_t now_ns)
{
	uint32_t at = *flow_bucket(t, key);

	while (at != NONE && memcmp(&t->flows[at].key, key, sizeof(*key)) != 0)
		at = t->flows[at].hash_next;
	if (at == NONE)
		return NULL;
	if (now_ns >= t->flows[at].expires_ns) {
		flow_remove(t, &t->flows[at]);
		return NULL;
	}
	return &t->flows[at];
}

static void sweep(struct flow_table *t, uint64_t now_ns)
{
	for (int i = 0; i < SWEEP; i++) {
		struct flow *flow = &t->flows[t->hand];

		t->hand = (t->hand + 1) & (t->cap - 1);
		if (flow->used && now_ns >= flow->expires_ns)
			flow_remove(t, flow);
	}
}

/* Frees one flow for `key`; false when that would be unfair to whoever loses it. */
static bool make_room(struct flow_table *t, const struct flow_key *key)
{
	uint32_t own = remote_find(t, key), victim = t->by_count[t->max_count];
	const struct remote *r;

	if (own != NONE && t->remotes[own].count == t->max_count)
		victim = own; /* as big as the biggest: at its own expense */
	else if (t->max_count < 2)
		return false;
	r = &t->remotes[victim];
	flow_remove(t, &t->flows[r->lists[LIST_NEW].oldest != NONE ? r->lists[LIST_NEW].oldest
								   : r->lists[LIST_KNOWN].oldest]);
	return true;
}

struct flow *flow_insert(struct flow_table *t, const struct flow_key *key, uint64_t now_ns)
{
	uint32_t *bucket;
	uint32_t at;

	sweep(t, now_ns);
	if (t->count == t->cap && !make_room(t, key))
		return NULL;
	bucket = flow_bucket(t, key);
	at = t->free_flow;
	struct flow *flow = &t->flows[at];
	t->free_flow = flow->next;
	*flow = (struct flow){
		.key = *key, .used = true, .hash_next = *bucket, .touched_ns = now_ns};
	*bucket = at;
	flow->remote = remote_take(t, key);
	list_append(t, flow, LIST_NEW);
	set_count(t, t->count + 1);
	return flow;
}

void flow_refresh(struct flow_table *t, struct flow *flow, bool answered, uint64_t timeout_ns,
		  uint64_t now_ns)
{
	uint8_t list = answered ? LIST_KNOWN : LIST_NEW;

	flow->expires_ns = now_ns + timeout_ns;
	/* Moving costs cache misses; the order need not be finer than this. */
	if (list == flow->list && now_ns - flow->touched_ns < TOUCH_NS)
		return;
	flow->touched_ns = now_ns;
	list_unlink(t, flow);
	list_append(t, flow, list);
}

size_t flow_count(const struct flow_table *t)
{
	return __atomic_load_n(&t->count, __ATOMIC_RELAXED);
}

void flow_remove_flagged(struct flow_table *t, uint8_t flags)
{
	for (size_t i = 0; i < t->cap; i++)
		if (t->flows[i].used && (flags == 0 || (t->flows[i].key.flags & flags)))
			flow_remove(t, &t->flows[i]);
}
