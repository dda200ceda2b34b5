/* SPDX-License-Identifier: Apache-2.0
 *
 * Longest prefix match over a path-compressed trie that is changed by copying. A node without a
 * peer is a fork with two children.
 */
#include "tunnel/routes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "tunnel/bytes.h"

/* Bits from the highest of `high` on; an IPv4 address is the upper half of it. */
struct key {
	uint64_t high, low;
};

/* A cache line: a lookup misses once for each. */
struct route_node {
	struct key key; /* zero behind the prefix */
	struct route_node *child[2];
	struct peer *peer; /* NULL: fork */
	uint8_t cidr;
	/* Control's */
	struct route_node *next; /* retired, or free */
	uint64_t generation;
};

static_assert(sizeof(struct route_node) == 64, "a route_node is a cache line");

/* Nodes lie together, so that lookups among many find them in few pages. */
#define CHUNK_NODES 255

struct route_chunk {
	_Alignas(64) struct route_chunk *next;
	_Alignas(64) struct route_node nodes[CHUNK_NODES];
};

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t)bytes_get_be32(p) << 32 | bytes_get_be32(p + 4);
}

static struct key key4(const uint8_t addr[static 4])
{
	return (struct key){.high = (uint64_t)bytes_get_be32(addr) << 32};
}

static struct key key6(const uint8_t addr[static 16])
{
	return (struct key){.high = get64(addr), .low = get64(addr + 8)};
}

static unsigned bit_at(const struct key *k, unsigned i)
{
	return (unsigned)(i < 64 ? k->high >> (63 - i) : k->low >> (127 - i)) & 1u;
}

static unsigned common_bits(const struct key *a, const struct key *b)
{
	if (a->high != b->high)
		return (unsigned)__builtin_clzll(a->high ^ b->high);
	return a->low != b->low ? 64 + (unsigned)__builtin_clzll(a->low ^ b->low) : 128;
}

static struct key cut(struct key k, unsigned cidr)
{
	if (cidr < 64)
		k.high &= cidr ? ~UINT64_C(0) << (64 - cidr) : 0;
	if (cidr < 128)
		k.low &= cidr > 64 ? ~UINT64_C(0) << (128 - cidr) : 0;
	return k;
}

/* ---- shards ---- */

static struct peer *find(const struct route_node *at, const struct key *k, unsigned max_bits)
{
	struct peer *best = NULL;

	while (at && common_bits(&at->key, k) >= at->cidr) {
		if (at->peer)
			best = at->peer;
		if (at->cidr == max_bits)
			break;
		at = at->child[bit_at(k, at->cidr)];
	}
	return best;
}

struct peer *routes_find4(const struct routes *r, const uint8_t addr[static 4])
{
	struct key k = key4(addr);

	return find(r->root4, &k, 32);
}

struct peer *routes_find6(const struct routes *r, const uint8_t addr[static 16])
{
	struct key k = key6(addr);

	return find(r->root6, &k, 128);
}

/* ---- control ---- */

static struct route_node **start(struct routes_edit *e, const struct ip_prefix *prefix,
				 struct key *ret_key)
{
	bool v4 = prefix->addr.family == 4;

	if ((!v4 && prefix->addr.family != 6) || prefix->bits > (v4 ? 32 : 128))
		return NULL;
	*ret_key = cut(v4 ? key4(prefix->addr.bytes) : key6(prefix->addr.bytes), prefix->bits);
	return v4 ? &e->routes.root4 : &e->routes.root6;
}

static struct route_node *get_node(struct routes_edit *e)
{
	struct route_node *node;

	if (!e->free) {
		struct route_chunk *chunk = aligned_alloc(64, sizeof(*chunk));

		if (!chunk)
			return NULL;
		chunk->next = e->chunks;
		e->chunks = chunk;
		for (size_t i = CHUNK_NODES; i-- > 0;) {
			chunk->nodes[i].next = e->free;
			e->free = &chunk->nodes[i];
		}
	}
	node = e->free;
	e->free = node->next;
	return node;
}

static void put_node(struct routes_edit *e, struct route_node *node)
{
	node->next = e->free;
	e->free = node;
}

static struct route_node *make_node(struct routes_edit *e, const struct key *k, unsigned cidr,
				    struct peer *peer)
{
	struct route_node *node = get_node(e);

	if (node)
		*node = (struct route_node){.key = cut(*k, cidr),
					    .peer = peer,
					    .generation = e->generation,
					    .cidr = (uint8_t)cidr};
	return node;
}

static void retire(struct routes_edit *e, struct route_node *node)
{
	node->next = e->retired;
	e->retired = node;
}

/* *slot, which shards may be reading, as a node that they don't. NULL without memory. */
static struct route_node *own(struct routes_edit *e, struct route_node **slot)
{
	struct route_node *old = *slot;
	struct route_node *copy;

	if (old->generation == e->generation)
		return old;
	copy = get_node(e);
	if (!copy)
		return NULL;
	*copy = *old;
	copy->generation = e->generation;
	*slot = copy;
	retire(e, old);
	return copy;
}

int routes_set(struct routes_edit *e, const struct ip_prefix *prefix, struct peer *peer)
{
	struct route_node **slot, *at, *node, *fork;
	unsigned common = 0;
	struct key k;

	slot = start(e, prefix, &k);
	if (!slot)
		return -EINVAL;
	while ((at = *slot)) {
		common = common_bits(&at->key, &k);
		if (common > prefix->bits)
			common = prefix->bits;
		if (common < at->cidr)
			break;
		at = own(e, slot);
		if (!at)
			return -ENOMEM;
		if (at->cidr == prefix->bits) { /* the very prefix */
			at->peer = peer;
			return 0;
		}
		slot = &at->child[bit_at(&k, at->cidr)];
	}
	node = make_node(e, &k, prefix->bits, peer);
	if (!node)
		return -ENOMEM;
	if (at && common == prefix->bits) { /* above at */
		node->child[bit_at(&at->key, common)] = at;
	} else if (at) { /* they part at bit `common` */
		fork = make_node(e, &k, common, NULL);
		if (!fork) {
			put_node(e, node);
			return -ENOMEM;
		}
		fork->child[bit_at(&at->key, common)] = at;
		fork->child[bit_at(&k, common)] = node;
		node = fork;
	}
	*slot = node;
	return 0;
}

/* The node of *slot goes if it is neither a peer's nor a fork. */
static void prune(struct routes_edit *e, struct route_node **slot)
{
	struct route_node *node = *slot;

	if (!node || node->peer || (node->child[0] && node->child[1]))
		return;
	*slot = node->child[0] ? node->child[0] : node->child[1];
	retire(e, node);
}

int routes_clear(struct routes_edit *e, const struct ip_prefix *prefix)
{
	struct route_node **slot, **above = NULL, *at;
	struct key k;

	slot = start(e, prefix, &k);
	if (!slot)
		return 0;
	for (;;) {
		at = *slot;
		if (!at || at->cidr > prefix->bits || common_bits(&at->key, &k) < at->cidr)
			return 0;
		at = own(e, slot);
		if (!at)
			return -ENOMEM;
		if (at->cidr == prefix->bits)
			break;
		above = slot;
		slot = &at->child[bit_at(&k, at->cidr)];
	}
	at->peer = NULL;
	prune(e, slot);
	if (above)
		prune(e, above);
	return 0;
}

/* Nodes that wait to be looked at are linked as if they were retired, and then they are. */
static void retire_trie(struct routes_edit *e, struct route_node **root)
{
	struct route_node *waiting = *root;

	*root = NULL;
	while (waiting) {
		struct route_node *node = waiting;

		waiting = node->next;
		for (unsigned i = 0; i < 2; i++) {
			if (!node->child[i])
				continue;
			node->child[i]->next = waiting;
			waiting = node->child[i];
		}
		retire(e, node);
	}
}

void routes_clear_all(struct routes_edit *e)
{
	retire_trie(e, &e->routes.root4);
	retire_trie(e, &e->routes.root6);
}

void routes_published(struct routes_edit *e)
{
	while (e->retired) {
		struct route_node *node = e->retired;

		e->retired = node->next;
		put_node(e, node);
	}
	e->generation++;
}

void routes_done(struct routes_edit *e)
{
	while (e->chunks) {
		struct route_chunk *chunk = e->chunks;

		e->chunks = chunk->next;
		free(chunk);
	}
	*e = (struct routes_edit){0};
}
