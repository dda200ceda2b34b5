/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker's end of ssh/PROTOCOL.md section 4: requests with their answers, and the monitor's
 * events. One request at a time; events that come before its answer wait in a bounded queue.
 */
#ifndef WARREN_SSH_WORKER_MONITOR_H
#define WARREN_SSH_WORKER_MONITOR_H

#include <stddef.h>
#include <stdint.h>

#include "platform/buffer.h"
#include "platform/unixsock.h"
#include "ssh/monitor_wire.h"

#define WORKER_MONITOR_EVENTS 1024

/* A packet of the monitor. Descriptors belong to whoever holds it; taken ones are set to -1. */
struct worker_packet {
	struct worker_packet *next;
	uint8_t type;
	uint32_t id;
	struct reader fields; /* over data, behind type and id */
	size_t nfds;
	int fds[UNIXSOCK_MAX_FDS];
	size_t len;
	uint8_t data[];
};

struct worker_monitor {
	int fd;
	uint32_t last_id;
	struct worker_packet *first, *last; /* events that wait */
	size_t waiting;
	struct writer request;
	uint8_t out[MONITOR_WIRE_MAX];
	uint8_t in[MONITOR_WIRE_MAX];
};

void worker_monitor_init(struct worker_monitor *m, int fd);
void worker_monitor_done(struct worker_monitor *m);
/* Begins a request: fields are written to the writer that it returns. */
struct writer *worker_monitor_begin(struct worker_monitor *m, enum monitor_wire_request type);
/* Sends it and waits for the answer (worker_packet_free it). -EPIPE when the monitor is gone,
 * -EBADMSG for an answer out of order. */
int worker_monitor_call(struct worker_monitor *m,
			struct worker_packet **ret_answer) WARREN_MUST_USE;
/* Sends it without waiting; the answer comes as a packet with *ret_id. */
int worker_monitor_post(struct worker_monitor *m, uint32_t *ret_id) WARREN_MUST_USE;
/* An event of that type with that first field, when it comes within the time; else *ret_packet is
 * NULL. Others wait for worker_monitor_next in their order. */
int worker_monitor_wait(struct worker_monitor *m, enum monitor_wire_request type, uint32_t first,
			int timeout_ms, struct worker_packet **ret_packet) WARREN_MUST_USE;
/* The next packet that is not an answer to worker_monitor_call; *ret_packet is NULL when there is
 * none now. */
int worker_monitor_next(struct worker_monitor *m,
			struct worker_packet **ret_packet) WARREN_MUST_USE;
/* Takes descriptor number n out of the packet; -1 when there is none. */
int worker_packet_take_fd(struct worker_packet *p, size_t n);
/* Closes what was not taken. NULL is fine. */
void worker_packet_free(struct worker_packet *p);

#endif
