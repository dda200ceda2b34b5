/* SPDX-License-Identifier: Apache-2.0
 *
 * The Internet checksum (RFC 1071), its pseudo-headers, and its incremental change (RFC 1624).
 */
#ifndef WARREN_TUNNEL_CHECKSUM_H
#define WARREN_TUNNEL_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#include "tunnel/ip.h"

/* Adds data to a running sum (any value that checksum_add returned, or 0). Only the last piece of a
 * sum may have an odd length. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);
/* Folds to 16 bits, in the byte order of the packet: to be stored with memcpy. Not complemented. */
uint16_t checksum_fold(uint64_t sum);
/* The pseudo-header's sum for l4_len bytes of proto between the addresses of the packet. */
uint64_t checksum_pseudo(const uint8_t *data, const struct ip_view *ip, uint8_t proto,
			 uint32_t l4_len);
/* Writes the IPv4 header checksum. */
void checksum_set_ipv4(uint8_t *header, uint16_t header_len);
/* True when the TCP or UDP checksum of the whole packet (data[ip->total]) is right. A UDP checksum
 * of zero is not (it says nothing). */
int checksum_l4_valid(const uint8_t *data, const struct ip_view *ip);
/* RFC 1624 equation 3: field[2] holds a checksum over something whose 16 bits changed. */
void checksum_update16(uint8_t field[static 2], const uint8_t before[static 2],
		       const uint8_t after[static 2]);

#endif
