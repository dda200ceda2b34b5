/* SPDX-License-Identifier: Apache-2.0
 *
 * Open addressing with linear probing and backward-shift deletion. Indices are uniformly random and
 * chosen by us, so they are their own hash.
 */
#include "tunnel/index.h"

#include <errno.h>
#include <stdlib.h>

#define INITIAL_SLOTS 64
#define SHARD_SHIFT   24 /* the table's hash is the other end of the number */

int index_init(struct index_table *t)
{
	t->slots = calloc(INITIAL_SLOTS, sizeof(*t->slots));
	if (!t->slots)
		return -ENOMEM;
	t->mask = INITIAL_SLOTS - 1;
	t->used = 0;
	return 0;
}

void index_done(struct index_table *t)
{
	free(t->slots);
	t->slots = NULL;
	t->used = 0;
}

static void insert(struct index_entry *slots, size_t mask, const struct index_entry *entry)
{
	size_t i = entry->index & mask;

	while (slots[i].index)
		i = (i + 1) & mask;
	slots[i] = *entry;
}

static int grow(struct index_table *t)
{
	size_t slots = (t->mask + 1) * 2;
	struct index_entry *bigger = calloc(slots, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	for (size_t i = 0; i <= t->mask; i++)
		if (t->slots[i].index)
			insert(bigger, slots - 1, &t->slots[i]);
	free(t->slots);
	t->slots = bigger;
	t->mask = slots - 1;
	return 0;
}

struct index_entry *index_find(const struct index_table *t, uint32_t index)
{
	size_t i = index & t->mask;

	if (!index)
		return NULL;
	while (t->slots[i].index) {
		if (t->slots[i].index == index)
			return &t->slots[i];
		i = (i + 1) & t->mask;
	}
	return NULL;
}

unsigned index_shard(uint32_t index, unsigned shards)
{
	return (index >> SHARD_SHIFT) % shards;
}

uint32_t index_make(const struct random_source *random, unsigned shard, unsigned shards)
{
	uint32_t index;

	do {
		random_bytes(random, &index, sizeof(index));
	} while (!index || index_shard(index, shards) != shard);
	return index;
}

int index_add(struct index_table *t, uint32_t index, struct peer *peer, struct keypair *keypair)
{
	struct index_entry entry = {.index = index, .peer = peer, .keypair = keypair};

	if (t->used * 2 > t->mask) {
		int r = grow(t);

		if (r < 0)
			return r;
	}
	if (index_find(t, index))
		return -EEXIST;
	insert(t->slots, t->mask, &entry);
	t->used++;
	return 0;
}

void index_remove(struct index_table *t, uint32_t index)
{
	struct index_entry *entry = index_find(t, index);
	size_t hole;
	size_t i;

	if (!entry)
		return;
	hole = (size_t)(entry - t->slots);
	for (i = (hole + 1) & t->mask; t->slots[i].index; i = (i + 1) & t->mask) {
		size_t home = t->slots[i].index & t->mask;

		/* May the entry at i move back to the hole without passing its home? */
		if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole] = (struct index_entry){0};
	t->used--;
}
