/* SPDX-License-Identifier: Apache-2.0
 *
 * A min-heap of deadlines whose nodes live inside their owners.
 */
#ifndef WARREN_TUNNEL_HEAP_H
#define WARREN_TUNNEL_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

struct heap_node {
	uint64_t deadline_ns;
	size_t position; /* 1-based; 0: not in the heap */
};

struct heap {
	struct heap_node **nodes; /* [1..count] */
	size_t count;
	size_t cap;
};

void heap_done(struct heap *h);
/* Room for count nodes, so that heap_set never allocates. -ENOMEM. */
int heap_reserve(struct heap *h, size_t count) WARREN_MUST_USE;
/* Inserts or moves. */
void heap_set(struct heap *h, struct heap_node *node, uint64_t deadline_ns);
void heap_remove(struct heap *h, struct heap_node *node);
struct heap_node *heap_first(const struct heap *h); /* NULL when empty */

#endif
