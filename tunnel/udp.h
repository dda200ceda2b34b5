/* SPDX-License-Identifier: Apache-2.0
 *
 * The UDP sockets of a device: GSO and GRO where the kernel has them, many messages per call
 * elsewhere, and the local address that packets of a peer came to (sticky source).
 */
#ifndef WARREN_TUNNEL_UDP_H
#define WARREN_TUNNEL_UDP_H

#include "tunnel/device.h"

int udp_new(struct tunnel *t, struct udp **ret_udp) WARREN_MUST_USE;
void udp_free(struct udp *u);
/* Takes both on success (-1: none) and closes the former ones; -errno changes nothing. */
int udp_attach(struct udp *u, int fd4, int fd6) WARREN_MUST_USE;
/* Lets go of both without closing them. */
void udp_release(struct udp *u);
/* device_io.send */
size_t udp_send(void *udp, struct train *trains, size_t count);
/* From the control thread. */
int udp_send_foreign(struct udp *u, const struct endpoint *to, const void *data,
		     size_t len) WARREN_MUST_USE;
/* The socket is full: watch for room instead of input from TUNs. */
int udp_watch_room(struct udp *u, bool on) WARREN_MUST_USE;

#endif
