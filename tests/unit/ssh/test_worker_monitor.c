/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker's end of the monitor's socket: answers in order, events between them, descriptors, and
 * every way in which the other end can be wrong. Answers are written before they are asked for: no
 * threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ssh/worker_monitor.h"

struct fixture {
	struct worker_monitor m;
	int other;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int pair[2];

	if (!f || unixsock_pair(pair) < 0)
		return -1;
	worker_monitor_init(&f->m, pair[0]);
	f->other = pair[1];
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	worker_monitor_done(&f->m);
	if (f->other >= 0)
		close(f->other);
	free(f);
	return 0;
}

static void put(struct fixture *f, uint8_t type, uint32_t id, uint32_t value, const int *fds,
		size_t n)
{
	uint8_t data[16];
	struct writer w = writer_init(data, sizeof(data));

	writer_u8(&w, type);
	writer_u32(&w, id);
	writer_u32(&w, value);
	assert_int_equal(unixsock_send(f->other, w.data, w.len, fds, n), 0);
}

static void test_answer_with_events_before_it(void **state)
{
	struct fixture *f = *state;
	struct worker_packet *p;
	uint8_t request[64];
	struct reader r;
	ssize_t n;

	put(f, MONITOR_EXIT, 0, 1, NULL, 0);
	put(f, MONITOR_END, 0, 2, NULL, 0);
	put(f, MONITOR_SIGNAL, 1, 3, NULL, 0);
	put(f, MONITOR_AGENT, 0, 4, NULL, 0);
	writer_u32(worker_monitor_begin(&f->m, MONITOR_SIGNAL), 77);
	assert_int_equal(worker_monitor_call(&f->m, &p), 0);
	assert_int_equal(p->type, MONITOR_SIGNAL);
	assert_int_equal(reader_u32(&p->fields), 3);
	assert_true(reader_done(&p->fields));
	worker_packet_free(p);

	for (uint32_t value = 1; value <= 4; value += value == 2 ? 2 : 1) {
		assert_int_equal(worker_monitor_next(&f->m, &p), 0);
		assert_non_null(p);
		assert_int_equal(reader_u32(&p->fields), value);
		worker_packet_free(p);
	}
	assert_int_equal(worker_monitor_next(&f->m, &p), 0);
	assert_null(p);

	n = unixsock_recv(f->other, request, sizeof(request), NULL, NULL, 0);
	assert_int_equal(n, 9);
	r = reader_init(request, (size_t)n);
	assert_int_equal(reader_u8(&r), MONITOR_SIGNAL);
	assert_int_equal(reader_u32(&r), 1);
	assert_int_equal(reader_u32(&r), 77);
}

static void test_answer_must_match(void **state)
{
	struct fixture *f = *state;
	struct worker_packet *p;

	put(f, MONITOR_SIGN, 1, 1, NULL, 0);   /* right id, wrong type */
	put(f, MONITOR_SIGNAL, 9, 2, NULL, 0); /* wrong id */
	put(f, MONITOR_SIGNAL, 1, 3, NULL, 0);
	worker_monitor_begin(&f->m, MONITOR_SIGNAL);
	assert_int_equal(worker_monitor_call(&f->m, &p), 0);
	assert_int_equal(reader_u32(&p->fields), 3);
	worker_packet_free(p);
}

static void test_post_does_not_wait(void **state)
{
	struct fixture *f = *state;
	struct worker_packet *p;
	uint32_t id = 0;

	worker_monitor_begin(&f->m, MONITOR_AUTH_INTERACTIVE);
	assert_int_equal(worker_monitor_post(&f->m, &id), 0);
	assert_int_equal(id, 1);
	assert_int_equal(worker_monitor_next(&f->m, &p), 0);
	assert_null(p);
	put(f, MONITOR_AUTH_INTERACTIVE, id, 5, NULL, 0);
	assert_int_equal(worker_monitor_next(&f->m, &p), 0);
	assert_non_null(p);
	assert_int_equal(p->id, id);
	worker_packet_free(p);
}

static void test_descriptors(void **state)
{
	struct fixture *f = *state;
	struct worker_packet *p;
	int pipes[2], taken, left;

	assert_int_equal(pipe(pipes), 0);
	put(f, MONITOR_SESSION, 1, 0, pipes, 2);
	worker_monitor_begin(&f->m, MONITOR_SESSION);
	assert_int_equal(worker_monitor_call(&f->m, &p), 0);
	assert_int_equal(p->nfds, 2);
	taken = worker_packet_take_fd(p, 0);
	left = p->fds[1];
	assert_true(taken >= 0);
	assert_int_equal(worker_packet_take_fd(p, 0), -1);
	assert_int_equal(worker_packet_take_fd(p, 2), -1);
	worker_packet_free(p);
	assert_true(fcntl(taken, F_GETFD) >= 0);
	assert_int_equal(fcntl(left, F_GETFD), -1);
	close(taken);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_monitor_gone(void **state)
{
	struct fixture *f = *state;
	struct worker_packet *p;

	close(f->other);
	f->other = -1;
	worker_monitor_begin(&f->m, MONITOR_HELLO);
	assert_int_equal(worker_monitor_call(&f->m, &p), -EPIPE);
	assert_int_equal(worker_monitor_next(&f->m, &p), -EPIPE);
}

static void test_short_packet(void **state)
{
	struct fixture *f = *state;
	struct worker_packet *p;

	assert_int_equal(unixsock_send(f->other, "\x01\x00\x00", 3, NULL, 0), 0);
	worker_monitor_begin(&f->m, MONITOR_HELLO);
	assert_int_equal(worker_monitor_call(&f->m, &p), -EBADMSG);
}

static void test_request_too_long(void **state)
{
	static const uint8_t big[MONITOR_WIRE_MAX];
	struct fixture *f = *state;
	struct worker_packet *p;

	writer_string(worker_monitor_begin(&f->m, MONITOR_SIGN), big, sizeof(big));
	assert_int_equal(worker_monitor_call(&f->m, &p), -EMSGSIZE);
	/* The next one is not harmed. */
	put(f, MONITOR_HELLO, 2, 0, NULL, 0);
	worker_monitor_begin(&f->m, MONITOR_HELLO);
	assert_int_equal(worker_monitor_call(&f->m, &p), 0);
	worker_packet_free(p);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_answer_with_events_before_it),
		TEST(test_answer_must_match),
		TEST(test_post_does_not_wait),
		TEST(test_descriptors),
		TEST(test_monitor_gone),
		TEST(test_short_packet),
		TEST(test_request_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
