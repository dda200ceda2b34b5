/* SPDX-License-Identifier: Apache-2.0
 *
 * The few fields of inner IP packets that the tunnel looks at, with all lengths checked.
 */
#ifndef WARREN_TUNNEL_IP_H
#define WARREN_TUNNEL_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IP_PROTO_TCP 6
#define IP_PROTO_UDP 17

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20
#define TCP_ECE 0x40
#define TCP_CWR 0x80

struct ip_view {
	uint8_t version;     /* 4 or 6 */
	uint8_t proto;	     /* of the header at l4 (extension headers are not walked) */
	bool fragment;	     /* IPv4 fragment of any kind (IPv6 fragments have proto 44) */
	uint16_t l4;	     /* offset of what follows the IP header */
	uint16_t addr_bytes; /* 4 or 16 */
	uint16_t src, dst;   /* offsets of the addresses */
	uint32_t total;	     /* length by the header, <= the given length */
};

/* False: not IPv4 or IPv6, or the lengths do not hold. len may be longer than the packet (padding).
 */
bool ip_parse(const uint8_t *data, size_t len, struct ip_view *ret);
/* The same when the header's length field does not count (GSO packets may have any). */
bool ip_parse_gso(const uint8_t *data, size_t len, struct ip_view *ret);
/* Length of the TCP or UDP header at ip->l4, 0 when it is not whole within len. */
uint16_t ip_l4_header(const uint8_t *data, size_t len, const struct ip_view *ip);

#endif
