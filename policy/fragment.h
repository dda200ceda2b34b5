/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts of first fragments, for those that follow. Internal to policy/.
 */
#ifndef WARREN_POLICY_FRAGMENT_H
#define WARREN_POLICY_FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>

#define FRAGMENT_SETS 128
#define FRAGMENT_WAYS 8

struct fragment_key {
	uint8_t remote[16];
	uint32_t id;
	uint8_t family, proto; /* proto: IPv4 only (RFC 791: part of the datagram's identity) */
	bool out, ssh;
};

struct fragment_entry {
	struct fragment_key key;
	uint64_t expires_ns; /* 0: free */
	uint32_t generation;
	bool to_ssh;
};

/* A set belongs to a hash of the remote, so that a flood of fragments pushes out its own. */
struct fragment_table {
	struct fragment_entry sets[FRAGMENT_SETS][FRAGMENT_WAYS];
};

/* The entry of an allowed first fragment under the current rules; NULL: drop. */
const struct fragment_entry *fragment_find(const struct fragment_table *t,
					   const struct fragment_key *key, uint32_t generation,
					   uint64_t now_ns);
/* Notes the verdict on a first fragment; a refused one makes the table forget an older namesake. */
void fragment_note(struct fragment_table *t, const struct fragment_key *key, uint32_t generation,
		   bool allowed, bool to_ssh, uint64_t now_ns);
void fragment_clear(struct fragment_table *t);

#endif
