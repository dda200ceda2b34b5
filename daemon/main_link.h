/* SPDX-License-Identifier: Apache-2.0
 *
 * A conversation over a SOCK_SEQPACKET socket on the loop (daemon/PROTOCOL.md sections 1 to 3):
 * requests with answers by id, events, descriptors. What the socket does not take at once waits in
 * a bounded queue; droppable messages are dropped instead.
 */
#ifndef WARREN_DAEMON_MAIN_LINK_H
#define WARREN_DAEMON_MAIN_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/wire.h"

struct main_link;

/* An answer: type and fields behind the id. Returns true when more packets with this id follow.
 * When the link ends or is freed, every open request gets r NULL. */
typedef bool main_link_reply(void *ctx, uint8_t type, struct reader *r);

struct main_link_ops {
	void *ctx;
	/* A message that answers no request. Descriptors are the link's: dup or set to -1 to keep.
	 * Non-zero: does not parse, the link ends. */
	int (*message)(void *ctx, uint8_t type, uint32_t id, struct reader *r, int *fds,
		       size_t nfds);
	/* Once, when the other side is gone or talks nonsense. */
	void (*ended)(void *ctx);
};

/* Takes fd. name is for the log (kept by reference). */
int main_link_new(uv_loop_t *loop, int fd, const char *name, const struct main_link_ops *ops,
		  struct main_link **ret_link) WARREN_MUST_USE;
void main_link_free(struct main_link *l);

/* Begins a message in the link's buffer: put the fields, then main_link_end. reply NULL: an event.
 * One at a time. */
struct writer main_link_begin(struct main_link *l, uint8_t type, main_link_reply *reply, void *ctx);
/* As an answer to a request of the other side. */
struct writer main_link_answer(struct main_link *l, uint8_t type, uint32_t id);
/* Sends; fd (borrowed) goes with it unless -1. On failure the reply is called with NULL. */
void main_link_end(struct main_link *l, const struct writer *w, int fd);
/* The same, dropped when the socket is full. */
void main_link_end_droppable(struct main_link *l, const struct writer *w);

#endif
