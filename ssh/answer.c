/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for one of the monitor's own processes: see the header.
 */
#include "ssh/answer.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <time.h>

#include "platform/clock.h"

static int real_poll(void *ctx, struct pollfd *p, nfds_t count, int timeout_ms)
{
	(void)ctx;
	return poll(p, count, timeout_ms);
}

static uint64_t real_cpu_ns(void *ctx, pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	(void)ctx;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
		return 0; /* it is gone, and poll says so */
	return (uint64_t)used.tv_sec * NSEC_PER_SEC + (uint64_t)used.tv_nsec;
}

static const struct answer_system real = {real_poll, real_cpu_ns, NULL};

/* 1: answered; 0: a slice passed; 2: and somebody else waits. */
static int slice(int fd, const struct answer_limits *l, const struct answer_system *s, bool hurry)
{
	struct pollfd p[3] = {
		{.fd = fd, .events = l->events != 0 ? l->events : POLLIN},
		{.fd = hurry || l->message_fd <= 0 ? -1 : l->message_fd, .events = POLLIN},
		{.fd = hurry || l->gone_fd <= 0 ? -1 : l->gone_fd},
	};
	int ready = s->poll(s->ctx, p, 3, ANSWER_SLICE_MS);

	if (ready < 0)
		return errno == EINTR || errno == ENOMEM ? 0 : -errno;
	if (p[0].revents != 0)
		return 1;
	return p[1].revents != 0 || p[2].revents != 0 ? 2 : 0;
}

int answer_wait(int fd, const struct answer_limits *l, const struct answer_system *s)
{
	const int hurry_ms = l->hurry_ms > 0 ? l->hurry_ms : ANSWER_HURRY_MS;
	int left = l->wall_ms > 0 ? l->wall_ms : ANSWER_DEFAULT_MS;
	uint64_t before;
	bool hurry = false;
	int r;

	s = s != NULL ? s : &real;
	before = l->pid > 0 ? s->cpu_ns(s->ctx, l->pid) : 0;
	for (; left > 0; left -= ANSWER_SLICE_MS) {
		r = slice(fd, l, s, hurry);
		if (r < 0 || r == 1)
			return r < 0 ? r : 0;
		if (r == 2) {
			hurry = true;
			left = left < hurry_ms ? left : hurry_ms;
		}
		if (l->pid > 0 && s->cpu_ns(s->ctx, l->pid) > before + ANSWER_CPU_S * NSEC_PER_SEC)
			break;
	}
	return -ETIMEDOUT;
}

void answer_limit_cpu(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CPU, &limit) < 0)
		return;
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > ANSWER_CPU_S)
		limit.rlim_max = ANSWER_CPU_S;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_CPU, &limit);
}
