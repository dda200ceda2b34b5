/* SPDX-License-Identifier: Apache-2.0
 *
 * Unaligned integers in packets: little-endian for WireGuard messages, big-endian for IP headers.
 */
#ifndef WARREN_TUNNEL_BYTES_H
#define WARREN_TUNNEL_BYTES_H

#include <stdint.h>

uint32_t bytes_get_le32(const uint8_t p[static 4]);
uint64_t bytes_get_le64(const uint8_t p[static 8]);
void bytes_put_le32(uint8_t p[static 4], uint32_t v);
void bytes_put_le64(uint8_t p[static 8], uint64_t v);
uint16_t bytes_get_be16(const uint8_t p[static 2]);
uint32_t bytes_get_be32(const uint8_t p[static 4]);
void bytes_put_be16(uint8_t p[static 2], uint16_t v);
void bytes_put_be32(uint8_t p[static 4], uint32_t v);
void bytes_put_be64(uint8_t p[static 8], uint64_t v);

#endif
