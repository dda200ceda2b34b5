/* SPDX-License-Identifier: Apache-2.0
 *
 * A path-compressed binary trie per family. A node without a peer is only a fork (two children);
 * removal merges forks away, so that n prefixes never need more than 2n - 1 nodes.
 */
#include "tunnel/allowedips.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct allowedips_node {
	uint8_t bits[16];
	uint8_t cidr;
	uint8_t family;
	struct peer *peer; /* NULL: fork */
	struct allowedips_list *list;
	struct allowedips_node *parent;
	struct allowedips_node *child[2];
	struct allowedips_node *next, *prev; /* in list */
};

static size_t addr_bytes(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

static unsigned bit_at(const uint8_t *bits, unsigned i)
{
	return ((unsigned)bits[i / 8] >> (7 - i % 8)) & 1u;
}

/* Length of the common prefix of a and b, at most limit bits. */
static uint8_t common_bits(const uint8_t *a, const uint8_t *b, uint8_t limit)
{
	unsigned n = 0;

	while (n < limit) {
		uint8_t diff = a[n / 8] ^ b[n / 8];

		if (diff) {
			n += (unsigned)__builtin_clz(diff) - 24;
			break;
		}
		n += 8;
	}
	return n < limit ? (uint8_t)n : limit;
}

static struct allowedips_node **root_of(struct allowedips *a, uint8_t family)
{
	return family == 4 ? &a->root4 : &a->root6;
}

static void unlink_list(struct allowedips_node *node)
{
	if (!node->list)
		return;
	if (node->prev)
		node->prev->next = node->next;
	else
		node->list->first = node->next;
	if (node->next)
		node->next->prev = node->prev;
	node->list->count--;
	node->list = NULL;
	node->next = node->prev = NULL;
}

static void link_list(struct allowedips_node *node, struct peer *peer, struct allowedips_list *list)
{
	unlink_list(node);
	node->peer = peer;
	node->list = list;
	node->next = list->first;
	if (list->first)
		list->first->prev = node;
	list->first = node;
	list->count++;
}

static struct allowedips_node *make_node(const struct ip_prefix *prefix, uint8_t cidr)
{
	struct allowedips_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->family = prefix->addr.family;
	node->cidr = cidr;
	memcpy(node->bits, prefix->addr.bytes, addr_bytes(node->family));
	for (unsigned i = cidr; i < addr_bytes(node->family) * 8; i++)
		node->bits[i / 8] &= (uint8_t) ~(1u << (7 - i % 8));
	return node;
}

static void set_child(struct allowedips_node *parent, struct allowedips_node *child)
{
	parent->child[bit_at(child->bits, parent->cidr)] = child;
	child->parent = parent;
}

static void replace_in_parent(struct allowedips *a, struct allowedips_node *old,
			      struct allowedips_node *with)
{
	if (with)
		with->parent = old->parent;
	if (!old->parent)
		*root_of(a, old->family) = with;
	else
		old->parent->child[old->parent->child[1] == old] = with;
}

int allowedips_insert(struct allowedips *a, const struct ip_prefix *prefix, struct peer *peer,
		      struct allowedips_list *list)
{
	uint8_t family = prefix->addr.family;
	struct allowedips_node *at, *parent = NULL, *node, *fork;
	uint8_t common = 0;

	if ((family != 4 && family != 6) || prefix->bits > addr_bytes(family) * 8)
		return -EINVAL;
	for (at = *root_of(a, family); at; at = at->child[bit_at(prefix->addr.bytes, at->cidr)]) {
		uint8_t limit = at->cidr < prefix->bits ? at->cidr : prefix->bits;

		common = common_bits(at->bits, prefix->addr.bytes, limit);
		if (common < at->cidr)
			break;
		if (at->cidr == prefix->bits) { /* the very prefix */
			link_list(at, peer, list);
			return 0;
		}
		parent = at;
	}
	node = make_node(prefix, prefix->bits);
	if (!node)
		return -ENOMEM;
	if (!at) { /* below parent, or the first */
		if (parent)
			set_child(parent, node);
		else
			*root_of(a, family) = node;
	} else if (common == prefix->bits) { /* between parent and at */
		replace_in_parent(a, at, node);
		set_child(node, at);
	} else { /* they part at bit `common` */
		fork = make_node(prefix, common);
		if (!fork) {
			free(node);
			return -ENOMEM;
		}
		replace_in_parent(a, at, fork);
		set_child(fork, at);
		set_child(fork, node);
	}
	link_list(node, peer, list);
	return 0;
}

/* Removes forks that no longer fork, from node upwards. */
static void prune(struct allowedips *a, struct allowedips_node *node)
{
	while (node && !node->peer && !(node->child[0] && node->child[1])) {
		struct allowedips_node *parent = node->parent;
		struct allowedips_node *only = node->child[0] ? node->child[0] : node->child[1];

		replace_in_parent(a, node, only);
		free(node);
		node = parent;
	}
}

static void remove_node(struct allowedips *a, struct allowedips_node *node)
{
	unlink_list(node);
	node->peer = NULL;
	prune(a, node);
}

bool allowedips_remove(struct allowedips *a, const struct ip_prefix *prefix,
		       struct allowedips_list *list)
{
	struct allowedips_node *at = *root_of(a, prefix->addr.family);

	while (at && at->cidr <= prefix->bits &&
	       common_bits(at->bits, prefix->addr.bytes, at->cidr) == at->cidr) {
		if (at->cidr == prefix->bits) {
			if (at->list != list)
				return false;
			remove_node(a, at);
			return true;
		}
		at = at->child[bit_at(prefix->addr.bytes, at->cidr)];
	}
	return false;
}

void allowedips_remove_all(struct allowedips *a, struct allowedips_list *list)
{
	while (list->first)
		remove_node(a, list->first);
}

static struct peer *find(const struct allowedips_node *at, const uint8_t *addr, uint8_t max_bits)
{
	struct peer *best = NULL;

	while (at && common_bits(at->bits, addr, at->cidr) == at->cidr) {
		if (at->peer)
			best = at->peer;
		if (at->cidr == max_bits)
			break;
		at = at->child[bit_at(addr, at->cidr)];
	}
	return best;
}

struct peer *allowedips_find4(const struct allowedips *a, const uint8_t addr[static 4])
{
	return find(a->root4, addr, 32);
}

struct peer *allowedips_find6(const struct allowedips *a, const uint8_t addr[static 16])
{
	return find(a->root6, addr, 128);
}

/* Depth is bounded by 128 but the walk needs no stack: children first, then the parent. */
static void free_trie(struct allowedips_node *at)
{
	while (at) {
		struct allowedips_node *parent;
		unsigned side = at->child[0] ? 0 : 1;

		if (at->child[side]) {
			struct allowedips_node *child = at->child[side];

			at->child[side] = NULL;
			at = child;
			continue;
		}
		parent = at->parent;
		free(at);
		at = parent;
	}
}

void allowedips_done(struct allowedips *a)
{
	free_trie(a->root4);
	free_trie(a->root6);
	a->root4 = a->root6 = NULL;
}

bool allowedips_next(const struct allowedips_list *list, const struct allowedips_node **at,
		     struct ip_prefix *ret_prefix)
{
	*at = *at ? (*at)->next : list->first;
	if (!*at)
		return false;
	memset(ret_prefix, 0, sizeof(*ret_prefix));
	ret_prefix->addr.family = (*at)->family;
	memcpy(ret_prefix->addr.bytes, (*at)->bits, addr_bytes((*at)->family));
	ret_prefix->bits = (*at)->cidr;
	return true;
}
