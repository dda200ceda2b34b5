/* SPDX-License-Identifier: Apache-2.0
 *
 * Longest prefix match over an array of nodes in preorder: the first child of a node is the next
 * one.
 */
#include "tunnel/routes.h"

#include <errno.h>
#include <stdlib.h>

#include "tunnel/bytes.h"

#define NONE UINT32_MAX

struct node4 {
	uint32_t bits; /* host order; zero behind the prefix */
	uint8_t cidr;
	uint32_t child[2];
	struct peer *peer; /* NULL: fork */
};

struct node6 {
	uint64_t high, low;
	uint8_t cidr;
	uint32_t child[2];
	struct peer *peer;
};

struct routes {
	struct node4 *nodes4;
	struct node6 *nodes6;
	size_t count4, count6;
};

struct filling {
	struct routes *routes;
	bool counting;
};

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t)bytes_get_be32(p) << 32 | bytes_get_be32(p + 4);
}

/* allowedips_walk: nodes come in preorder and say where their parent is. */
static void add4(void *ctx, const struct allowedips_step *step)
{
	struct filling *f = ctx;
	struct routes *r = f->routes;
	size_t at = r->count4++;

	if (f->counting)
		return;
	r->nodes4[at] = (struct node4){.bits = bytes_get_be32(step->bits),
				       .cidr = step->cidr,
				       .child = {NONE, NONE},
				       .peer = step->peer};
	if (at)
		r->nodes4[step->parent].child[step->side] = (uint32_t)at;
}

static void add6(void *ctx, const struct allowedips_step *step)
{
	struct filling *f = ctx;
	struct routes *r = f->routes;
	size_t at = r->count6++;

	if (f->counting)
		return;
	r->nodes6[at] = (struct node6){.high = get64(step->bits),
				       .low = get64(step->bits + 8),
				       .cidr = step->cidr,
				       .child = {NONE, NONE},
				       .peer = step->peer};
	if (at)
		r->nodes6[step->parent].child[step->side] = (uint32_t)at;
}

int routes_new(const struct allowedips *a, struct routes **ret_routes)
{
	struct routes *r = calloc(1, sizeof(*r));
	struct filling f = {.routes = r, .counting = true};

	if (!r)
		return -ENOMEM;
	allowedips_walk(a, 4, add4, &f);
	allowedips_walk(a, 6, add6, &f);
	r->nodes4 = calloc(r->count4 ? r->count4 : 1, sizeof(*r->nodes4));
	r->nodes6 = calloc(r->count6 ? r->count6 : 1, sizeof(*r->nodes6));
	if (!r->nodes4 || !r->nodes6 || r->count4 >= NONE || r->count6 >= NONE) {
		routes_free(r);
		return -ENOMEM;
	}
	r->count4 = r->count6 = 0;
	f.counting = false;
	allowedips_walk(a, 4, add4, &f);
	allowedips_walk(a, 6, add6, &f);
	*ret_routes = r;
	return 0;
}

void routes_free(struct routes *r)
{
	if (!r)
		return;
	free(r->nodes4);
	free(r->nodes6);
	free(r);
}

struct peer *routes_find4(const struct routes *r, const uint8_t addr[static 4])
{
	uint32_t a = bytes_get_be32(addr);
	uint32_t at = r && r->count4 ? 0 : NONE;
	struct peer *best = NULL;

	while (at != NONE) {
		const struct node4 *n = &r->nodes4[at];

		if (n->cidr && (a ^ n->bits) >> (32 - n->cidr))
			break;
		if (n->peer)
			best = n->peer;
		if (n->cidr == 32)
			break;
		at = n->child[a >> (31 - n->cidr) & 1];
	}
	return best;
}

static bool matches6(const struct node6 *n, uint64_t high, uint64_t low)
{
	if (n->cidr == 0)
		return true;
	if (n->cidr <= 64)
		return !((high ^ n->high) >> (64 - n->cidr));
	return high == n->high && !((low ^ n->low) >> (128 - n->cidr));
}

struct peer *routes_find6(const struct routes *r, const uint8_t addr[static 16])
{
	uint64_t high = get64(addr), low = get64(addr + 8);
	uint32_t at = r && r->count6 ? 0 : NONE;
	struct peer *best = NULL;

	while (at != NONE) {
		const struct node6 *n = &r->nodes6[at];

		if (!matches6(n, high, low))
			break;
		if (n->peer)
			best = n->peer;
		if (n->cidr == 128)
			break;
		at = n->child[(n->cidr < 64 ? high >> (63 - n->cidr) : low >> (127 - n->cidr)) & 1];
	}
	return best;
}
