/* SPDX-License-Identifier: Apache-2.0
 *
 * What warren-wg has before there is a tunnel to take it: the TUN's queues, what steers packets to
 * them, and the configuration socket; made here, or handed over in the environment.
 */
#ifndef WARREN_TUNNEL_WARREN_WG_PARTS_H
#define WARREN_TUNNEL_WARREN_WG_PARTS_H

#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "platform/error.h"
#include "platform/tun.h"

#define WARREN_WG_PARTS_SHARDS 64

struct warren_wg_parts {
	unsigned shards;       /* asked for, then: had */
	char ifname[IFNAMSIZ]; /* at the start; names may change */
	/* -1 when somebody has taken them over, or where there is none. */
	int tuns[WARREN_WG_PARTS_SHARDS];
	int map4, map6, program; /* of bpf.h; -1: one shard */
	int listener;
	struct tun_caps caps;
	char socket_path[PATH_MAX];
	struct stat socket_stat; /* st_ino 0: there is no socket */
};

void warren_wg_parts_init(struct warren_wg_parts *parts, unsigned shards);
/* The interface (down, of 1420 bytes) and its socket, or the descriptors of WG_TUN_FD and
 * WG_UAPI_FD. Waits up to five seconds for a name whose owner is going away. -errno with a sentence
 * in *err; warren_wg_parts_close in any case. */
int warren_wg_parts_open(struct warren_wg_parts *parts, const char *name,
			 struct error *err) WARREN_MUST_USE;
/* Closes the descriptors that nobody took. */
void warren_wg_parts_close(struct warren_wg_parts *parts);
/* Whether the socket that was made is still where it was. */
bool warren_wg_parts_socket_is_ours(const struct warren_wg_parts *parts);

#endif
