/* SPDX-License-Identifier: Apache-2.0
 *
 * Small set-associative cache: later fragments carry no ports, so they go where their first went.
 */
#include "policy/fragment.h"

#include <string.h>

/* As long as Linux waits for the rest of a datagram. */
#define LIFETIME_NS (30 * UINT64_C(1000000000))

static uint32_t set_of(const struct fragment_key *key)
{
	uint32_t h = key->family;

	for (size_t i = 0; i < sizeof(key->remote); i++)
		h = (h ^ key->remote[i]) * 0x01000193u;
	return (h ^ h >> 15) % FRAGMENT_SETS;
}

static bool same(const struct fragment_key *a, const struct fragment_key *b)
{
	return a->id == b->id && a->family == b->family && a->proto == b->proto &&
	       a->out == b->out && a->ssh == b->ssh &&
	       memcmp(a->remote, b->remote, sizeof(a->remote)) == 0;
}

const struct fragment_entry *fragment_find(const struct fragment_table *t,
					   const struct fragment_key *key, uint32_t generation,
					   uint64_t now_ns)
{
	const struct fragment_entry *set = t->sets[set_of(key)];

	for (size_t i = 0; i < FRAGMENT_WAYS; i++)
		if (set[i].expires_ns > now_ns && set[i].generation == generation &&
		    same(&set[i].key, key))
			return &set[i];
	return NULL;
}

void fragment_note(struct fragment_table *t, const struct fragment_key *key, uint32_t generation,
		   bool allowed, bool to_ssh, uint64_t now_ns)
{
	struct fragment_entry *set = t->sets[set_of(key)], *oldest = &set[0];

	for (size_t i = 0; i < FRAGMENT_WAYS; i++) {
		if (set[i].expires_ns && same(&set[i].key, key)) {
			oldest = &set[i];
			break;
		}
		if (set[i].expires_ns < oldest->expires_ns)
			oldest = &set[i];
	}
	if (allowed)
		*oldest = (struct fragment_entry){.key = *key,
						  .expires_ns = now_ns + LIFETIME_NS,
						  .generation = generation,
						  .to_ssh = to_ssh};
	else if (same(&oldest->key, key))
		oldest->expires_ns = 0;
}

void fragment_clear(struct fragment_table *t)
{
	memset(t, 0, sizeof(*t));
}
