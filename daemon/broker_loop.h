/* SPDX-License-Identifier: Apache-2.0
 *
 * A small poll(2) loop: descriptors that are watched for input.
 */
#ifndef WARREN_DAEMON_BROKER_LOOP_H
#define WARREN_DAEMON_BROKER_LOOP_H

#include <stddef.h>

#include "platform/error.h"

struct broker;
struct broker_loop;

typedef void (*broker_loop_fn)(struct broker *b, int fd, void *ctx);

int broker_loop_new(struct broker_loop **ret_loop) WARREN_MUST_USE;
void broker_loop_free(struct broker_loop *l);
/* Calls ready(b, fd, ctx) when fd is readable or at its end. */
int broker_loop_add(struct broker_loop *l, int fd, broker_loop_fn ready, void *ctx) WARREN_MUST_USE;
/* Before closing fd; no callback comes any more, also from the turn that runs. -1 is fine. */
void broker_loop_del(struct broker_loop *l, int fd);
/* Waits at most timeout_ms (-1: for ever) and calls what is ready. */
int broker_loop_turn(struct broker_loop *l, struct broker *b, int timeout_ms) WARREN_MUST_USE;

#endif
