/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop of a device: epoll over its TUNs, its sockets and the caller's descriptors, and its
 * timers.
 */
#ifndef WARREN_TUNNEL_LOOP_H
#define WARREN_TUNNEL_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/error.h"
#include "tunnel/tunnel.h"

struct loop;

typedef void (*loop_ready)(void *ctx, int fd, uint32_t epoll_events);

int loop_new(struct loop **ret_loop) WARREN_MUST_USE;
void loop_free(struct loop *l);
/* events: EPOLLIN, EPOLLOUT. Replaces the former watch of fd. */
int loop_watch(struct loop *l, int fd, uint32_t events, loop_ready ready,
	       void *ctx) WARREN_MUST_USE;
/* Input only, for callers that need no event mask. */
int loop_watch_input(struct loop *l, int fd, void (*ready)(void *ctx, int fd),
		     void *ctx) WARREN_MUST_USE;
int loop_change(struct loop *l, int fd, uint32_t events) WARREN_MUST_USE;
/* Before the descriptor is closed. Fine from inside a callback. */
void loop_unwatch(struct loop *l, int fd);
/* Waits until something is ready or deadline_ns (monotonic; UINT64_MAX: no deadline), now_ns being
 * the time, and calls what is ready. 0 or -errno. */
int loop_turn(struct loop *l, uint64_t now_ns, uint64_t deadline_ns) WARREN_MUST_USE;

#endif
