/* SPDX-License-Identifier: Apache-2.0
 *
 * TUN devices with IFF_VNET_HDR, and what their kernel can do.
 */
#ifndef WARREN_PLATFORM_TUN_H
#define WARREN_PLATFORM_TUN_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

struct tun_caps {
	bool vnet_hdr; /* 10-byte virtio_net_hdr in front of each packet */
	bool tso;      /* TSO4/6 on */
	bool uso;      /* USO4/6 on (Linux 6.2) */
};

/* Creates TUN `name` ("" or "%d" patterns allowed), or attaches to one that nobody uses, in the
 * calling thread's network namespace; non-blocking, close-on-exec. Offloads are probed and set.
 * multi_queue: with IFF_MULTI_QUEUE, and only a new one. Errors carry the sentence for no
 * /dev/net/tun, no CAP_NET_ADMIN, and a name that is taken. */
int tun_open(const char *name, bool multi_queue, char ret_name[static IFNAMSIZ], int *ret_fd,
	     struct tun_caps *ret_caps, struct error *err) WARREN_MUST_USE;
/* More queues of a TUN that was opened with multi_queue as fds[0]: fills fds[1..count-1], all or
 * none
 * (-1). */
int tun_open_queues(const char *name, size_t count, int *fds, struct error *err) WARREN_MUST_USE;
/* There is such an interface, and it is a TUN (or TAP). */
bool tun_is(const char *name) WARREN_MUST_USE;
/* The interface name behind an inherited descriptor, and its caps after probing. */
int tun_adopt(int fd, char ret_name[static IFNAMSIZ], struct tun_caps *ret_caps) WARREN_MUST_USE;

#endif
