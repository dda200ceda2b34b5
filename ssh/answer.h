/* SPDX-License-Identifier: Apache-2.0
 *
 * How long the monitor waits for a process that works for it, and that may be stuck, busy for ever
 * or somebody else's by now: a bounded time of computing, and a generous one of waiting, in which a
 * machine that stands still or is crowded does not fail logins. Private to ssh/.
 */
#ifndef WARREN_SSH_ANSWER_H
#define WARREN_SSH_ANSWER_H

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/error.h"

#define ANSWER_SLICE_MS	   100
#define ANSWER_DEFAULT_MS  30000
#define ANSWER_LONGEST_MS  120000
#define ANSWER_SHORTEST_MS 1000
#define ANSWER_HURRY_MS	   2000 /* somebody else wants the monitor, maybe to end the login */
#define ANSWER_CPU_S	   5

struct answer_limits {
	int wall_ms;  /* 0: ANSWER_DEFAULT_MS */
	int hurry_ms; /* 0: ANSWER_HURRY_MS */
	short events; /* what poll(2) is asked for; 0: POLLIN */
	pid_t pid;    /* computes for ANSWER_CPU_S at most; 0: its own limit sees to that */
	/* -1, or who cuts the time to hurry_ms: by a message; by hanging up. 0 is no
	 * descriptor. */
	int message_fd, gone_fd;
};

/* For tests. */
struct answer_system {
	int (*poll)(void *ctx, struct pollfd *p, nfds_t count, int timeout_ms);
	uint64_t (*cpu_ns)(void *ctx, pid_t pid);
	void *ctx;
};

/* 0 when fd has something, or room for it (an end is something, too), or -ETIMEDOUT. Time is
 * counted in slices that this process saw pass: one in which the whole machine stood still is one
 * slice. system NULL: the real one. */
int answer_wait(int fd, const struct answer_limits *limits,
		const struct answer_system *system) WARREN_MUST_USE;
/* In a forked child: the kernel ends it when it computed for ANSWER_CPU_S. */
void answer_limit_cpu(void);

#endif
