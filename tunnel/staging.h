/* SPDX-License-Identifier: Apache-2.0
 *
 * Packets that wait for a session, in a pool of chunks that all peers share and that is allocated
 * once. Each peer is bounded; its oldest packet goes first.
 */
#ifndef WARREN_TUNNEL_STAGING_H
#define WARREN_TUNNEL_STAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"
#include "tunnel/tunnel.h"

#define STAGING_CHUNK_BYTES 2048
#define STAGING_CHUNKS	    2048 /* 4 MiB; pages are touched only when used */
#define STAGING_PEER_CHUNKS 192
#define STAGING_MAX_BYTES   (STAGING_PEER_CHUNKS * STAGING_CHUNK_BYTES)

struct staging_packet; /* first chunk of a packet */

struct staging_pool {
	uint8_t *memory;
	struct staging_packet *free;
	size_t fresh; /* chunks never used */
};

struct staging_queue {
	struct staging_packet *first, *last;
	size_t chunks;
};

int staging_init(struct staging_pool *pool) WARREN_MUST_USE;
void staging_done(struct staging_pool *pool);
/* Copies p. *ret_dropped: older packets of this queue that made room. False: no room at all. */
bool staging_push(struct staging_pool *pool, struct staging_queue *q, const struct superpacket *p,
		  size_t *ret_dropped);
/* Copies the oldest into data[65,536 + 40] and *ret; false when empty. */
bool staging_pop(struct staging_pool *pool, struct staging_queue *q, uint8_t *data,
		 struct superpacket *ret);
/* Forgets all; returns how many. */
size_t staging_clear(struct staging_pool *pool, struct staging_queue *q);

#endif
