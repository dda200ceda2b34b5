/* SPDX-License-Identifier: Apache-2.0
 *
 * The TUN descriptors of a device: super-packets in and out, with software segmentation towards a
 * TUN that cannot take them.
 */
#ifndef WARREN_TUNNEL_TUNIO_H
#define WARREN_TUNNEL_TUNIO_H

#include "tunnel/device.h"

int tunio_new(struct tunnel *t, struct tunio **ret_tunio) WARREN_MUST_USE;
void tunio_free(struct tunio *io);
/* Takes fd on success (-1 detaches) and closes the former one. */
int tunio_attach(struct tunio *io, enum tunnel_port port, int fd,
		 const struct tun_caps *caps) WARREN_MUST_USE;
/* Lets go of it without closing it. */
void tunio_release(struct tunio *io, enum tunnel_port port);
/* device_io.deliver */
bool tunio_deliver(void *tunio, enum tunnel_port port, const struct superpacket *p,
		   const struct iovec *iov, int count);
/* Input on or off (while the socket is full). */
int tunio_watch_input(struct tunio *io, bool on) WARREN_MUST_USE;

#endif
