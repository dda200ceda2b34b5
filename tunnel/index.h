/* SPDX-License-Identifier: Apache-2.0
 *
 * Receiver indices: random 32-bit numbers that name a handshake or a session in messages to us. The
 * first byte says which shard has it (its remainder by the number of shards), so that the kernel
 * can choose the socket of that shard.
 */
#ifndef WARREN_TUNNEL_INDEX_H
#define WARREN_TUNNEL_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "platform/clock.h"
#include "platform/error.h"

struct peer;
struct keypair;

struct index_entry {
	uint32_t index; /* 0: free */
	struct peer *peer;
	struct keypair *keypair; /* NULL: a handshake that is not a session yet */
};

struct index_table {
	struct index_entry *slots;
	size_t mask; /* slots - 1 */
	size_t used;
};

int index_init(struct index_table *t) WARREN_MUST_USE;
void index_done(struct index_table *t);
/* A random number, never 0, that belongs to this shard of so many. */
uint32_t index_make(const struct random_source *random, unsigned shard, unsigned shards);
unsigned index_shard(uint32_t index, unsigned shards);
/* Notes a number for a handshake (keypair NULL) or session of peer. -ENOMEM; -EEXIST: taken. */
int index_add(struct index_table *t, uint32_t index, struct peer *peer,
	      struct keypair *keypair) WARREN_MUST_USE;
/* NULL when there is none; valid until the next index_add or index_remove. */
struct index_entry *index_find(const struct index_table *t, uint32_t index);
void index_remove(struct index_table *t, uint32_t index); /* 0 and unknown: nothing */

#endif
