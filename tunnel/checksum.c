/* SPDX-License-Identifier: Apache-2.0
 *
 * One's complement sums in the machine's byte order: the sum does not depend on it as long as it is
 * stored the way it was loaded (RFC 1071 section 2).
 */
#include "tunnel/checksum.h"

#include <string.h>

#include "tunnel/bytes.h"

/* The wide loop is compiled for AVX2 too and chosen when the program is loaded. */
#if defined(__x86_64__) && !defined(WARREN_SANITIZE)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

typedef uint64_t lanes __attribute__((vector_size(32)));

#define LANE_BYTES sizeof(lanes)

/* Halves of 64-bit words go to separate sums, so that no carry is lost: a packet of 64 KiB adds
 * 2^13 times less than 2^32 to each. blocks: of LANE_BYTES. */
WIDE static uint64_t add_blocks(const uint8_t *p, size_t blocks)
{
	lanes low = {0};
	lanes high = {0};
	uint64_t sum = 0;

	for (size_t i = 0; i < blocks; i++) {
		lanes v;

		memcpy(&v, p + i * LANE_BYTES, LANE_BYTES);
		low += v & 0xffffffff;
		high += v >> 32;
	}
	for (unsigned i = 0; i < 4; i++)
		sum += low[i] + high[i];
	return sum;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t tail = 0;

	if (len >= 4 * LANE_BYTES) {
		size_t blocks = len / LANE_BYTES;

		sum += add_blocks(p, blocks);
		p += blocks * LANE_BYTES;
		len -= blocks * LANE_BYTES;
	}
	while (len >= 8) {
		uint64_t v = load64(p);

		sum += (uint32_t)v;
		sum += v >> 32;
		p += 8;
		len -= 8;
	}
	memcpy(&tail, p, len);
	sum += (uint32_t)tail;
	sum += tail >> 32;
	return sum;
}

uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

uint64_t checksum_pseudo(const uint8_t *data, const struct ip_view *ip, uint8_t proto,
			 uint32_t l4_len)
{
	uint8_t tail[8] = {0};

	bytes_put_be32(tail, l4_len);
	tail[7] = proto;
	return checksum_add(checksum_add(0, data + ip->src, (size_t)ip->addr_bytes * 2), tail,
			    sizeof(tail));
}

void checksum_set_ipv4(uint8_t *header, uint16_t header_len)
{
	uint16_t sum;

	memset(header + 10, 0, 2);
	sum = (uint16_t)~checksum_fold(checksum_add(0, header, header_len));
	memcpy(header + 10, &sum, sizeof(sum));
}

int checksum_l4_valid(const uint8_t *data, const struct ip_view *ip)
{
	uint32_t len = ip->total - ip->l4;
	uint64_t sum;

	if (ip->proto == IP_PROTO_UDP && !data[ip->l4 + 6] && !data[ip->l4 + 7])
		return 0;
	sum = checksum_pseudo(data, ip, ip->proto, len);
	return checksum_fold(checksum_add(sum, data + ip->l4, len)) == 0xffff;
}

void checksum_update16(uint8_t field[static 2], const uint8_t before[static 2],
		       const uint8_t after[static 2])
{
	uint16_t sum, old, new;

	memcpy(&sum, field, 2);
	memcpy(&old, before, 2);
	memcpy(&new, after, 2);
	/* HC' = ~(~HC + ~m + m') */
	sum = (uint16_t)~checksum_fold((uint64_t)(uint16_t)~sum + (uint16_t)~old + new);
	memcpy(field, &sum, 2);
}
