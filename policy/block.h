/* SPDX-License-Identifier: Apache-2.0
 *
 * The compiled policy of one peer: what policy_compile writes and filter_set_rules reads. One block
 * of 32-bit words and bytes in host order (it never leaves the machine), no pointers, offsets from
 * the beginning, each a multiple of 4. Internal to policy/.
 *
 *   header    BLOCK_* words below
 *   table v4  slots of { addr[4], class }      open addressing, linear, BLOCK_NONE: empty
 *   table v6  slots of { addr[16], class }
 *   classes   { in, out } of { tcp first, tcp count, udp first, udp count, flags }
 *   intervals { u16 first, u16 last }           sorted and disjoint within one list; the lists of
 * the classes follow one another and share nothing
 *
 * Peers for which the same rules hold share a class. A lookup probes at most BLOCK_MAX_PROBE slots
 * and then bisects at most 32,768 intervals: its cost does not grow with the number of rules.
 */
#ifndef WARREN_POLICY_BLOCK_H
#define WARREN_POLICY_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BLOCK_MAGIC	0x57504c31u /* "WPL1" */
#define BLOCK_VERSION	1u
#define BLOCK_NONE	0xffffffffu
#define BLOCK_MAX_PROBE 32u
#define BLOCK_MAX_BYTES (1u << 30)

/* Words of the header. */
enum {
	BLOCK_W_MAGIC,
	BLOCK_W_VERSION,
	BLOCK_W_LENGTH,
	BLOCK_W_SELF_FLAGS, /* 1: self v4 is set, 2: self v6 is set */
	BLOCK_W_SELF4,	    /* 4 bytes */
	BLOCK_W_SELF6,	    /* 16 bytes */
	BLOCK_W_HASH_SEED = BLOCK_W_SELF6 + 4,
	BLOCK_W_TABLE4, /* offset */
	BLOCK_W_SLOTS4, /* power of two */
	BLOCK_W_TABLE6,
	BLOCK_W_SLOTS6,
	BLOCK_W_CLASSES, /* offset */
	BLOCK_W_CLASS_COUNT,
	BLOCK_W_INTERVALS, /* offset */
	BLOCK_W_INTERVAL_COUNT,
	BLOCK_HEADER_WORDS,
};

#define BLOCK_SELF_V4 1u
#define BLOCK_SELF_V6 2u

#define BLOCK_SLOT4_WORDS 2u
#define BLOCK_SLOT6_WORDS 5u

/* Words of one direction of a class. */
enum {
	BLOCK_D_TCP_FIRST,
	BLOCK_D_TCP_COUNT,
	BLOCK_D_UDP_FIRST,
	BLOCK_D_UDP_COUNT,
	BLOCK_D_FLAGS,
	BLOCK_D_WORDS,
};
#define BLOCK_CLASS_WORDS (2u * BLOCK_D_WORDS)
#define BLOCK_ALLOW_ICMP  1u
#define BLOCK_ALLOW_OTHER 2u /* every other protocol */

static inline uint32_t block_word(const void *block, size_t offset, size_t index)
{
	uint32_t v;

	memcpy(&v, (const uint8_t *)block + offset + index * 4, sizeof(v));
	return v;
}

static inline uint32_t block_mix(uint32_t h)
{
	h ^= h >> 16;
	h *= 0x7feb352du;
	h ^= h >> 15;
	h *= 0x846ca68bu;
	return h ^ h >> 16;
}

/* words: 1 for IPv4, 4 for IPv6. */
static inline uint32_t block_hash(const uint8_t *addr, size_t words, uint32_t seed)
{
	uint32_t h = seed;

	for (size_t i = 0; i < words; i++) {
		uint32_t v;

		memcpy(&v, addr + i * 4, sizeof(v));
		h = block_mix(h ^ v);
	}
	return h;
}

/* A validated view. */
struct block {
	const uint8_t *data;
	bool has4, has6;
	uint8_t self4[4], self6[16];
	uint32_t seed, table4, slots4, table6, slots6, classes, class_count, intervals;
};

/* Checks every offset, count, class number and interval; -EINVAL. */
int block_open(const void *data, size_t len, struct block *ret_block)
	__attribute__((warn_unused_result));
/* The class of a remote address (family 4 or 6, bytes in network order); BLOCK_NONE: unknown. */
uint32_t block_class(const struct block *b, uint8_t family, const uint8_t *addr);
/* May a flow of this class be opened? out: by us. proto as in IP, icmp for both families. */
bool block_allows(const struct block *b, uint32_t class, bool out, uint8_t proto, uint16_t port);

#endif
