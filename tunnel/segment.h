/* SPDX-License-Identifier: Apache-2.0
 *
 * From what a TUN with IFF_VNET_HDR hands out to packets as they travel: a GSO packet is cut, an
 * offloaded checksum is computed. Also the redirect of ports in all checksum forms.
 */
#ifndef WARREN_TUNNEL_SEGMENT_H
#define WARREN_TUNNEL_SEGMENT_H

#include <stdint.h>

#include "tunnel/ip.h"
#include "tunnel/tunnel.h"

#define SEGMENT_VNET_BYTES 10 /* struct virtio_net_hdr */

/* linux/virtio_net.h; USO is missing from Debian 12's headers. */
enum segment_gso {
	SEGMENT_GSO_NONE = 0,
	SEGMENT_GSO_TCPV4 = 1,
	SEGMENT_GSO_TCPV6 = 4,
	SEGMENT_GSO_UDP_L4 = 5,
	SEGMENT_GSO_ECN = 0x80,
};

struct segment_plan {
	struct ip_view ip;
	uint8_t proto;
	uint16_t header;      /* IP and transport header, bytes */
	uint16_t csum_offset; /* of the transport checksum, from the packet's start */
	uint32_t payload;     /* transport payload of the whole super-packet */
};

/* Reads vnet[10] and data[len] (the packet behind it) into *ret. False: the two do not fit. */
bool segment_from_vnet(const uint8_t vnet[static SEGMENT_VNET_BYTES], uint8_t *data, uint32_t len,
		       struct superpacket *ret);
/* Writes the header that tells the kernel about p. */
void segment_to_vnet(const struct superpacket *p, uint8_t vnet[static SEGMENT_VNET_BYTES]);
/* Prepares cutting; false when the packet is not what its header says. */
bool segment_plan(const struct superpacket *p, struct segment_plan *ret);
/* Length of segment i. */
uint32_t segment_len(const struct superpacket *p, const struct segment_plan *plan, uint16_t i);
/* Writes segment i, complete with lengths and checksums, to out[segment_len]. */
void segment_write(const struct superpacket *p, const struct segment_plan *plan, uint16_t i,
		   uint8_t *out);
/* Applies p->rewrite_port: TX source port, RX destination port of a TCP packet; of an ICMP error the
 * same port as the packet that it quotes has it (TX destination, RX source). False when the packet
 * is neither TCP with a whole header nor about TCP. */
bool segment_rewrite_port(struct superpacket *p, enum tunnel_direction dir);

#endif
