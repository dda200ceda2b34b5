/* SPDX-License-Identifier: Apache-2.0
 *
 * Receiver indices: random 32-bit numbers that name a handshake or a session in messages to us.
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
	const struct random_source *random;
	struct index_entry *slots;
	size_t mask; /* slots - 1 */
	size_t used;
};

int index_init(struct index_table *t, const struct random_source *random) WARREN_MUST_USE;
void index_done(struct index_table *t);
/* A fresh number, never 0, for a handshake of peer. -ENOMEM. */
int index_add(struct index_table *t, struct peer *peer, uint32_t *ret_index) WARREN_MUST_USE;
/* NULL when there is none; valid until the next index_add or index_remove. */
struct index_entry *index_find(const struct index_table *t, uint32_t index);
void index_remove(struct index_table *t, uint32_t index); /* 0 and unknown: nothing */

#endif
