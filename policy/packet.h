/* SPDX-License-Identifier: Apache-2.0
 *
 * Headers of one inner packet, as far as the filter needs them. Internal to policy/.
 */
#ifndef WARREN_POLICY_PACKET_H
#define WARREN_POLICY_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILTER_PROTO_ICMP   1
#define FILTER_PROTO_TCP    6
#define FILTER_PROTO_UDP    17
#define FILTER_PROTO_ICMPV6 58

#define FILTER_TCP_FIN 0x01
#define FILTER_TCP_SYN 0x02
#define FILTER_TCP_RST 0x04
#define FILTER_TCP_ACK 0x10

struct filter_packet {
	uint8_t family; /* 4 or 6 */
	uint8_t proto;	/* behind the extension headers */
	const uint8_t *src, *dst;
	bool fragment; /* more fragments follow, or it is not the first */
	uint32_t frag_id;
	uint32_t frag_offset;	     /* bytes; > 0: nothing below is filled */
	uint16_t src_port, dst_port; /* TCP, UDP */
	uint8_t tcp_flags;
	uint8_t icmp_type;
	uint16_t icmp_id;     /* echo */
	const uint8_t *quote; /* behind the 8 bytes of an ICMP header: what an error quotes */
	size_t quote_len;
};

/* Reads IPv4 or IPv6 with at most 8 extension headers. quoted: a packet inside an ICMP error, which
 * is cut off and need only have the first 8 bytes of its transport header. False: malformed, or
 * with source routing. */
bool filter_packet_parse(const uint8_t *data, size_t len, bool quoted, struct filter_packet *ret);
static inline size_t filter_addr_len(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

#endif
