/* SPDX-License-Identifier: Apache-2.0
 *
 * Binary min-heap, 1-based, with back pointers.
 */
#include "tunnel/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void heap_done(struct heap *h)
{
	free(h->nodes);
	memset(h, 0, sizeof(*h));
}

int heap_reserve(struct heap *h, size_t count)
{
	size_t cap = h->cap ? h->cap : 16;
	struct heap_node **nodes;

	while (cap < count + 1)
		cap *= 2;
	if (cap == h->cap)
		return 0;
	nodes = realloc(h->nodes, cap * sizeof(struct heap_node *));
	if (!nodes)
		return -ENOMEM;
	h->nodes = nodes;
	h->cap = cap;
	return 0;
}

static void put(struct heap *h, size_t position, struct heap_node *node)
{
	h->nodes[position] = node;
	node->position = position;
}

static void sift_up(struct heap *h, struct heap_node *node)
{
	size_t i = node->position;

	while (i > 1 && h->nodes[i / 2]->deadline_ns > node->deadline_ns) {
		put(h, i, h->nodes[i / 2]);
		i /= 2;
	}
	put(h, i, node);
}

static void sift_down(struct heap *h, struct heap_node *node)
{
	size_t i = node->position;

	for (;;) {
		size_t child = i * 2;

		if (child > h->count)
			break;
		if (child < h->count &&
		    h->nodes[child + 1]->deadline_ns < h->nodes[child]->deadline_ns)
			child++;
		if (h->nodes[child]->deadline_ns >= node->deadline_ns)
			break;
		put(h, i, h->nodes[child]);
		i = child;
	}
	put(h, i, node);
}

void heap_set(struct heap *h, struct heap_node *node, uint64_t deadline_ns)
{
	node->deadline_ns = deadline_ns;
	if (!node->position) {
		assert(h->count + 1 < h->cap);
		put(h, ++h->count, node);
	}
	sift_up(h, node);
	sift_down(h, node);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
	struct heap_node *last;

	if (!node->position)
		return;
	last = h->nodes[h->count--];
	if (last != node) {
		put(h, node->position, last);
		sift_up(h, last);
		sift_down(h, last);
	}
	node->position = 0;
}

struct heap_node *heap_first(const struct heap *h)
{
	return h->count ? h->nodes[1] : NULL;
}
