/* SPDX-License-Identifier: Apache-2.0
 *
 * A bounded queue of records of any size from one thread to another, without locks: how a shard and
 * the control thread tell each other what happened. A full ring refuses; it never grows.
 */
#ifndef WARREN_TUNNEL_RING_H
#define WARREN_TUNNEL_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define RING_LINE 64

struct ring {
	uint8_t *data;
	size_t size;				 /* a power of two */
	_Alignas(RING_LINE) _Atomic size_t head; /* written by who pushes */
	_Alignas(RING_LINE) _Atomic size_t tail; /* written by who pops */
};

/* size_bytes: a power of two, at least 4096. -ENOMEM. */
int ring_init(struct ring *r, size_t size_bytes) WARREN_MUST_USE;
void ring_done(struct ring *r);
/* Appends the record a[a_len] || b[b_len]; false when there is no room. */
bool ring_push(struct ring *r, const void *a, size_t a_len, const void *b, size_t b_len);
/* Bytes in use, for who pushes. */
size_t ring_used(const struct ring *r);
/* The oldest record, aligned to 8 bytes, until ring_pop; NULL: empty. */
void *ring_peek(struct ring *r, size_t *ret_len);
void ring_pop(struct ring *r);

#endif
