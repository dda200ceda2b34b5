/* SPDX-License-Identifier: Apache-2.0
 *
 * Reader of the compiled policy: everything is checked once in block_open, so that the lookups of
 * the packet path cannot leave the block whatever its bytes were.
 */
#include "policy/block.h"

#include <errno.h>

#include "policy/policy.h"

#define PROTO_ICMPV6 58

/* Is [offset, offset + count * words * 4) inside the block, behind the header? */
static bool inside(size_t len, uint32_t offset, uint32_t count, uint32_t words)
{
	return offset % 4 == 0 && offset >= BLOCK_HEADER_WORDS * 4 &&
	       (uint64_t)offset + (uint64_t)count * words * 4 <= len;
}

static bool power_of_two(uint32_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

static bool table_valid(const uint8_t *data, uint32_t table, uint32_t slots, uint32_t slot_words,
			uint32_t class_count)
{
	for (size_t i = 0; i < slots; i++) {
		uint32_t class = block_word(data, table, i * slot_words + slot_words - 1);

		if (class != BLOCK_NONE && class >= class_count)
			return false;
	}
	return true;
}

/* Lists may not overlap, so that checking all of them is linear in the length of the block. */
static bool intervals_valid(const uint8_t *data, uint32_t intervals, uint32_t total, uint32_t first,
			    uint32_t count, uint32_t *used)
{
	uint32_t previous = 0;

	if (first != *used || count > total - first)
		return false;
	*used += count;
	for (uint32_t i = 0; i < count; i++) {
		uint16_t ends[2];

		memcpy(ends, data + intervals + ((size_t)first + i) * 4, sizeof(ends));
		if (ends[0] > ends[1] || (i && ends[0] <= previous))
			return false;
		previous = ends[1];
	}
	return true;
}

static bool classes_valid(const struct block *b, uint32_t interval_count)
{
	uint32_t used = 0;

	for (size_t i = 0; i < (size_t)b->class_count * 2; i++) {
		size_t at = b->classes + i * BLOCK_D_WORDS * 4;

		if (!intervals_valid(b->data, b->intervals, interval_count,
				     block_word(b->data, at, BLOCK_D_TCP_FIRST),
				     block_word(b->data, at, BLOCK_D_TCP_COUNT), &used) ||
		    !intervals_valid(b->data, b->intervals, interval_count,
				     block_word(b->data, at, BLOCK_D_UDP_FIRST),
				     block_word(b->data, at, BLOCK_D_UDP_COUNT), &used) ||
		    block_word(b->data, at, BLOCK_D_FLAGS) > (BLOCK_ALLOW_ICMP | BLOCK_ALLOW_OTHER))
			return false;
	}
	return true;
}

int block_open(const void *data, size_t len, struct block *ret_block)
{
	struct block b = {.data = data};
	uint32_t flags, interval_count;

	if (!data || len < BLOCK_HEADER_WORDS * 4 || len > BLOCK_MAX_BYTES ||
	    block_word(data, 0, BLOCK_W_MAGIC) != BLOCK_MAGIC ||
	    block_word(data, 0, BLOCK_W_VERSION) != BLOCK_VERSION ||
	    block_word(data, 0, BLOCK_W_LENGTH) != len)
		return -EINVAL;
	flags = block_word(data, 0, BLOCK_W_SELF_FLAGS);
	if (flags > (BLOCK_SELF_V4 | BLOCK_SELF_V6))
		return -EINVAL;
	b.has4 = flags & BLOCK_SELF_V4;
	b.has6 = flags & BLOCK_SELF_V6;
	memcpy(b.self4, b.data + BLOCK_W_SELF4 * 4, sizeof(b.self4));
	memcpy(b.self6, b.data + BLOCK_W_SELF6 * 4, sizeof(b.self6));
	b.seed = block_word(data, 0, BLOCK_W_HASH_SEED);
	b.table4 = block_word(data, 0, BLOCK_W_TABLE4);
	b.slots4 = block_word(data, 0, BLOCK_W_SLOTS4);
	b.table6 = block_word(data, 0, BLOCK_W_TABLE6);
	b.slots6 = block_word(data, 0, BLOCK_W_SLOTS6);
	b.classes = block_word(data, 0, BLOCK_W_CLASSES);
	b.class_count = block_word(data, 0, BLOCK_W_CLASS_COUNT);
	b.intervals = block_word(data, 0, BLOCK_W_INTERVALS);
	interval_count = block_word(data, 0, BLOCK_W_INTERVAL_COUNT);
	if (!power_of_two(b.slots4) || !power_of_two(b.slots6) ||
	    !inside(len, b.table4, b.slots4, BLOCK_SLOT4_WORDS) ||
	    !inside(len, b.table6, b.slots6, BLOCK_SLOT6_WORDS) ||
	    !inside(len, b.classes, b.class_count, BLOCK_CLASS_WORDS) ||
	    !inside(len, b.intervals, interval_count, 1) ||
	    !table_valid(b.data, b.table4, b.slots4, BLOCK_SLOT4_WORDS, b.class_count) ||
	    !table_valid(b.data, b.table6, b.slots6, BLOCK_SLOT6_WORDS, b.class_count) ||
	    !classes_valid(&b, interval_count))
		return -EINVAL;
	*ret_block = b;
	return 0;
}

uint32_t block_class(const struct block *b, uint8_t family, const uint8_t *addr)
{
	uint32_t words = family == 4 ? 1 : 4;
	uint32_t table = family == 4 ? b->table4 : b->table6;
	uint32_t mask = (family == 4 ? b->slots4 : b->slots6) - 1;
	uint32_t at = block_hash(addr, words, b->seed);

	for (uint32_t i = 0; i < BLOCK_MAX_PROBE; i++, at++) {
		const uint8_t *slot = b->data + table + (size_t)(at & mask) * (words + 1) * 4;
		uint32_t class = block_word(slot, 0, words);

		if (class == BLOCK_NONE)
			return BLOCK_NONE;
		if (memcmp(slot, addr, words * 4) == 0)
			return class;
	}
	return BLOCK_NONE;
}

bool block_allows(const struct block *b, uint32_t class, bool out, uint8_t proto, uint16_t port)
{
	size_t at = b->classes + ((size_t) class * 2 + out) * BLOCK_D_WORDS * 4;
	uint32_t low, high;

	switch (proto) {
	case POLICY_PROTO_TCP:
		low = block_word(b->data, at, BLOCK_D_TCP_FIRST);
		high = low + block_word(b->data, at, BLOCK_D_TCP_COUNT);
		break;
	case POLICY_PROTO_UDP:
		low = block_word(b->data, at, BLOCK_D_UDP_FIRST);
		high = low + block_word(b->data, at, BLOCK_D_UDP_COUNT);
		break;
	case POLICY_PROTO_ICMP:
	case PROTO_ICMPV6:
		return block_word(b->data, at, BLOCK_D_FLAGS) & BLOCK_ALLOW_ICMP;
	default:
		return block_word(b->data, at, BLOCK_D_FLAGS) & BLOCK_ALLOW_OTHER;
	}
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		uint16_t ends[2];

		memcpy(ends, b->data + b->intervals + (size_t)mid * 4, sizeof(ends));
		if (port < ends[0])
			high = mid;
		else if (port > ends[1])
			low = mid + 1;
		else
			return true;
	}
	return false;
}
