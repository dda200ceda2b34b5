/* SPDX-License-Identifier: Apache-2.0
 *
 * What a tunnel says and does to inner packets as a router would: ICMP for destinations that no
 * peer has (as the kernel's WireGuard), and ECN across the tunnel (RFC 6040 as the kernel applies
 * it).
 */
#ifndef WARREN_TUNNEL_ANSWER_H
#define WARREN_TUNNEL_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#define ANSWER_MAX 1280

/* "Host unreachable" to the sender of data[len], as if its destination said it; returns the length
 * at out, 0 when this packet must not be answered (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
 */
uint32_t answer_unreachable(const uint8_t *data, uint32_t len, uint8_t out[static ANSWER_MAX]);

/* The traffic class of the datagram around an inner packet: its ECN without CE, no DSCP. */
uint8_t answer_outer_ecn(const uint8_t *data);
/* The outer header carried CE: marks the inner packet (a whole IP header), if it may be. */
void answer_mark_ce(uint8_t *data);

#endif
