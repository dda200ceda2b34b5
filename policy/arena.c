/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunked bump allocator. A policy is built once and freed whole, so nothing is freed alone.
 */
#include "policy/arena.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)64 * 1024)
#define ALIGNMENT   _Alignof(max_align_t)

struct policy_arena_chunk {
	struct policy_arena_chunk *next;
	_Alignas(max_align_t) uint8_t data[];
};

void *policy_arena_alloc(struct policy_arena *arena, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (bytes == 0)
		bytes = ALIGNMENT;
	if (bytes > arena->left) {
		size_t room = bytes > CHUNK_BYTES / 4 ? bytes : CHUNK_BYTES;
		struct policy_arena_chunk *chunk = calloc(1, sizeof(*chunk) + room);

		if (!chunk)
			return NULL;
		chunk->next = arena->head;
		arena->head = chunk;
		/* A big request gets a chunk of its own; what is left of the current one stays. */
		if (room == bytes)
			return chunk->data;
		arena->at = chunk->data;
		arena->left = room;
	}
	void *out = arena->at;
	arena->at += bytes;
	arena->left -= bytes;
	return out;
}

char *policy_arena_strndup(struct policy_arena *arena, const char *text, size_t len)
{
	char *out = policy_arena_alloc(arena, len + 1, 1);

	if (out)
		memcpy(out, text, len);
	return out;
}

void policy_arena_done(struct policy_arena *arena)
{
	while (arena->head) {
		struct policy_arena_chunk *next = arena->head->next;

		free(arena->head);
		arena->head = next;
	}
	*arena = (struct policy_arena){0};
}
