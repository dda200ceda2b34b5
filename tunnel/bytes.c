/* SPDX-License-Identifier: Apache-2.0
 *
 * Unaligned integers in packets, through memcpy so that no buffer is ever cast to a wider type.
 */
#include "tunnel/bytes.h"

#include <endian.h>
#include <string.h>

uint32_t bytes_get_le32(const uint8_t p[static 4])
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint64_t bytes_get_le64(const uint8_t p[static 8])
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

void bytes_put_le32(uint8_t p[static 4], uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

void bytes_put_le64(uint8_t p[static 8], uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

uint16_t bytes_get_be16(const uint8_t p[static 2])
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

uint32_t bytes_get_be32(const uint8_t p[static 4])
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

void bytes_put_be16(uint8_t p[static 2], uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

void bytes_put_be32(uint8_t p[static 4], uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

void bytes_put_be64(uint8_t p[static 8], uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}
