/* SPDX-License-Identifier: Apache-2.0
 *
 * How long the monitor waits for its own processes: slow and stopped machines are borne, what
 * computes for ever or never answers is not, and who wants the monitor meanwhile does not wait
 * long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "ssh/monitor.h"

#define ANSWERS 20
#define BROKER	30
#define WORKER	31
#define PID	4711

/* A machine, and what happens at which slice. */
struct machine {
	int slices, cpu_ms_per_slice;
	int answer_at, message_at, gone_at, interrupts;
	short wanted; /* of the answer; 0: POLLIN */
	uint64_t cpu_ns;
	bool asked_cpu;
};

static int fake_poll(void *ctx, struct pollfd *p, nfds_t count, int timeout_ms)
{
	struct machine *m = ctx;
	int ready = 0;

	assert_int_equal(timeout_ms, ANSWER_SLICE_MS);
	m->slices++;
	m->cpu_ns += (uint64_t)m->cpu_ms_per_slice * NSEC_PER_MSEC;
	if (m->interrupts > 0) {
		m->interrupts--;
		errno = EINTR;
		return -1;
	}
	for (nfds_t i = 0; i < count; i++) {
		if (p[i].fd == ANSWERS)
			assert_int_equal(p[i].events, m->wanted != 0 ? m->wanted : POLLIN);
		if (p[i].fd == ANSWERS && m->slices >= m->answer_at)
			p[i].revents = p[i].events;
		if (p[i].fd == BROKER && m->slices >= m->message_at)
			p[i].revents = p[i].events & POLLIN;
		if (p[i].fd == WORKER && m->slices >= m->gone_at)
			p[i].revents = POLLHUP;
		ready += p[i].revents != 0;
	}
	return ready;
}

static uint64_t fake_cpu(void *ctx, pid_t pid)
{
	struct machine *m = ctx;

	assert_int_equal(pid, PID);
	m->asked_cpu = true;
	return 77 * NSEC_PER_SEC + m->cpu_ns; /* of earlier answers */
}

static struct machine quiet(void)
{
	return (struct machine){.answer_at = INT_MAX, .message_at = INT_MAX, .gone_at = INT_MAX};
}

static int waits(struct machine *m, const struct answer_limits *l)
{
	struct answer_system s = {fake_poll, fake_cpu, m};

	return answer_wait(ANSWERS, l, &s);
}

static void slow_machines(void **state)
{
	struct answer_limits l = {.wall_ms = 60000, .pid = PID, .message_fd = -1, .gone_fd = -1};
	struct machine m = quiet();

	(void)state;
	m.answer_at =
		599; /* a minute of waiting, nearly no computing: the machine does others' work */
	m.cpu_ms_per_slice = 1;
	assert_int_equal(waits(&m, &l), 0);
	assert_true(m.asked_cpu);
	m = quiet();
	m.answer_at = 20;
	m.interrupts = 5;
	assert_int_equal(waits(&m, &l), 0);
	l = (struct answer_limits){0};
	m = quiet();
	m.answer_at = ANSWER_DEFAULT_MS / ANSWER_SLICE_MS;
	assert_int_equal(waits(&m, &l), 0);
}

static void no_answer(void **state)
{
	struct answer_limits l = {.wall_ms = 60000, .pid = PID};
	struct machine m = quiet();

	(void)state;
	assert_int_equal(waits(&m, &l), -ETIMEDOUT);
	assert_int_equal(m.slices, 600);
	m = quiet();
	m.interrupts = INT_MAX; /* a storm of signals is no way to wait for ever */
	assert_int_equal(waits(&m, &l), -ETIMEDOUT);
	assert_int_equal(m.slices, 600);
}

static void endless_computing(void **state)
{
	struct answer_limits l = {.wall_ms = 60000, .pid = PID};
	struct machine m = quiet();

	(void)state;
	m.cpu_ms_per_slice = 100;
	assert_int_equal(waits(&m, &l), -ETIMEDOUT);
	assert_in_range(m.slices, ANSWER_CPU_S * 10, ANSWER_CPU_S * 10 + 1);
	m = quiet();
	m.cpu_ms_per_slice = 100;
	m.answer_at = ANSWER_CPU_S * 10 - 1;
	assert_int_equal(waits(&m, &l), 0);
}

/* The broker's word to end a login must not wait for a process that the user has stopped. */
static void somebody_else(void **state)
{
	struct answer_limits l = {.wall_ms = 60000, .message_fd = BROKER, .gone_fd = WORKER};
	const int hurry = ANSWER_HURRY_MS / ANSWER_SLICE_MS;
	struct machine m = quiet();

	(void)state;
	m.message_at = 10;
	assert_int_equal(waits(&m, &l), -ETIMEDOUT);
	assert_in_range(m.slices, 10 + hurry - 1, 10 + hurry);
	m = quiet();
	m.gone_at = 10;
	assert_int_equal(waits(&m, &l), -ETIMEDOUT);
	assert_in_range(m.slices, 10 + hurry - 1, 10 + hurry);
	m = quiet();
	m.message_at = 10;
	m.answer_at = 15;
	assert_int_equal(waits(&m, &l), 0);
	m = quiet();
	m.message_at = 599; /* the time is not made longer by it */
	assert_int_equal(waits(&m, &l), -ETIMEDOUT);
	assert_int_equal(m.slices, 600);
}

/* A worker that does not read: room is waited for, the broker's word has a time of its own. */
static void room(void **state)
{
	struct answer_limits l = {.wall_ms = MONITOR_REPLY_MS,
				  .hurry_ms = MONITOR_SEND_MS,
				  .events = POLLOUT,
				  .message_fd = BROKER};
	const int all = MONITOR_REPLY_MS / ANSWER_SLICE_MS,
		  hurry = MONITOR_SEND_MS / ANSWER_SLICE_MS;
	struct machine m = quiet();

	(void)state;
	m.wanted = POLLOUT;
	m.answer_at = all;
	assert_int_equal(waits(&m, &l), 0);
	m = quiet();
	m.wanted = POLLOUT;
	assert_int_equal(waits(&m, &l), -ETIMEDOUT);
	assert_int_equal(m.slices, all);
	m = quiet();
	m.wanted = POLLOUT;
	m.message_at = 5;
	assert_int_equal(waits(&m, &l), -ETIMEDOUT);
	assert_in_range(m.slices, 5 + hurry - 1, 5 + hurry);
}

/* Before the login what LoginGraceTime leaves; then a while, in which the broker is heard. */
static void follows_the_grace_time(void **state)
{
	struct monitor *m = monitor_new();
	struct answer_limits l;

	(void)state;
	assert_non_null(m);
	m->broker_fd = BROKER;
	m->worker_fd = WORKER;
	m->state = MONITOR_AUTH;
	m->grace_deadline_ns = monitor_now_ns() + 50 * NSEC_PER_SEC;
	l = monitor_patience(m, PID);
	assert_in_range(l.wall_ms, 20000, 50000);
	assert_int_equal(l.pid, PID);
	assert_int_equal(l.message_fd, -1);
	m->grace_deadline_ns = UINT64_MAX; /* LoginGraceTime 0 */
	assert_int_equal(monitor_patience(m, 0).wall_ms, ANSWER_LONGEST_MS);
	m->grace_deadline_ns = 1;
	assert_int_equal(monitor_patience(m, 0).wall_ms, ANSWER_SHORTEST_MS);
	m->state = MONITOR_OPEN;
	l = monitor_patience(m, 0);
	assert_int_equal(l.wall_ms, ANSWER_DEFAULT_MS);
	assert_int_equal(l.message_fd, BROKER);
	assert_int_equal(l.gone_fd, WORKER);
	m->state = MONITOR_ENDING;
	assert_int_equal(monitor_patience(m, 0).wall_ms, ANSWER_HURRY_MS);
	m->broker_fd = m->worker_fd = -1;
	monitor_free(m);
}

/* The real ones: an end is an answer, computing is counted, and the kernel ends what goes on. */
static void really(void **state)
{
	struct answer_limits l = {.wall_ms = 60000, .pid = getpid()};
	int fds[2], status;
	struct rlimit limit;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		answer_limit_cpu();
		_exit(getrlimit(RLIMIT_CPU, &limit) < 0 || limit.rlim_max != ANSWER_CPU_S ||
		      limit.rlim_cur != ANSWER_CPU_S);
	}
	close(fds[1]);
	assert_int_equal(answer_wait(fds[0], &l, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_machines),
		cmocka_unit_test(no_answer),
		cmocka_unit_test(endless_computing),
		cmocka_unit_test(somebody_else),
		cmocka_unit_test(follows_the_grace_time),
		cmocka_unit_test(really),
		cmocka_unit_test(room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
