/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of one parsed policy: taken in chunks, given back all at once.
 */
#ifndef WARREN_POLICY_ARENA_H
#define WARREN_POLICY_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct policy_arena_chunk;

struct policy_arena {
	struct policy_arena_chunk *head;
	uint8_t *at;
	size_t left;
};

/* Zeroed memory, aligned for any type; NULL without memory. Lives until policy_arena_done. */
void *policy_arena_alloc(struct policy_arena *arena, size_t count, size_t size);
char *policy_arena_strndup(struct policy_arena *arena, const char *text, size_t len);
void policy_arena_done(struct policy_arena *arena);

#endif
