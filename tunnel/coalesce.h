/* SPDX-License-Identifier: Apache-2.0
 *
 * Puts received packets of one flow back together, so that filter and kernel see super-packets. The
 * payloads stay where they were decrypted; a super-packet is gathered from them when it is written.
 */
#ifndef WARREN_TUNNEL_COALESCE_H
#define WARREN_TUNNEL_COALESCE_H

#include <sys/uio.h>

#include "tunnel/tunnel.h"

#define COALESCE_MAX_PACKETS 512 /* segments of one batch */
#define COALESCE_MAX_GROUPS  COALESCE_MAX_PACKETS
#define COALESCE_MAX_COUNT   64 /* segments of one super-packet */

struct coalesce_packet {
	uint8_t *data;
	uint32_t len; /* without padding */
};

struct coalesce_group {
	uint16_t first; /* index of its first packet */
	uint16_t last;
	bool open;   /* may grow */
	bool summed; /* its first segment's transport checksum is right */
	uint16_t header, l4;
	uint32_t next_seq;
};

/* One batch from one peer. superpackets[i] and groups[i] belong together. */
struct coalesce {
	struct coalesce_packet packets[COALESCE_MAX_PACKETS];
	uint16_t next[COALESCE_MAX_PACKETS]; /* chain of a group; 0xffff ends it */
	struct coalesce_group groups[COALESCE_MAX_GROUPS];
	struct superpacket superpackets[COALESCE_MAX_GROUPS];
	size_t packet_count;
	size_t group_count;
	bool tcp, udp; /* what the TUN takes */
};

void coalesce_reset(struct coalesce *c, bool tcp, bool udp);
/* Adds a packet (whole, IP lengths checked, at most 65,535 bytes). False: full, flush first. */
bool coalesce_add(struct coalesce *c, uint8_t *data, uint32_t len);
/* After the last packet: writes lengths and checksums of the super-packets' headers. */
void coalesce_finish(struct coalesce *c);
/* The pieces of super-packet i: iov[COALESCE_MAX_COUNT]; returns their number. */
int coalesce_gather(const struct coalesce *c, size_t i, struct iovec *iov);

#endif
