/* SPDX-License-Identifier: Apache-2.0
 *
 * What a channel takes from a client: as much as the process reads, and everything once nobody
 * reads. The rest of channel.c is tried with real clients (tests/interop/test_ssh_worker.sh).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ssh/channel.h"

#define BIG (4u << 20)

/* A libssh of the test's own: one channel's buffer, and the packets that it finds in its socket when
 * it is asked to read. */
static struct {
	struct channel *channel;
	uint8_t queue[1 << 20];
	size_t at, len;
	const uint8_t *data;
	size_t packet, packets;
} fake;

/* A packet: channel_take sees all that waits, and says how much of it it took. */
static void arrive(const uint8_t *data, size_t len)
{
	assert_true(len <= sizeof(fake.queue) - fake.len);
	memcpy(fake.queue + fake.len, data, len);
	fake.len += len;
	fake.at += channel_take(fake.channel, fake.queue + fake.at, fake.len - fake.at);
	assert_true(fake.at <= fake.len);
}

static void arrive_all(void)
{
	for (size_t i = 0; i < fake.packets; i++)
		arrive(fake.data + i * fake.packet, fake.packet);
	fake.packets = 0;
}

void libssh_channel_free(struct libssh_channel *c)
{
	(void)c;
}
uint32_t libssh_channel_window(struct libssh_channel *c)
{
	(void)c;
	return 0;
}
ssize_t libssh_channel_write(struct libssh_channel *c, const void *data, size_t len, bool is_stderr)
{
	(void)c;
	(void)data;
	(void)is_stderr;
	return (ssize_t)len;
}
size_t libssh_channel_backlog(struct libssh_channel *c)
{
	(void)c;
	return fake.len - fake.at;
}
ssize_t libssh_channel_read(struct libssh_channel *c, void *out, size_t cap)
{
	(void)c;
	arrive_all();
	if (cap > fake.len - fake.at)
		cap = fake.len - fake.at;
	memcpy(out, fake.queue + fake.at, cap);
	fake.at += cap;
	return (ssize_t)cap;
}
ssize_t libssh_channel_grow(struct libssh_channel *c, void *out, size_t window)
{
	return libssh_channel_read(c, out, window);
}
void libssh_channel_exit_status(struct libssh_channel *c, uint32_t status)
{
	(void)c;
	(void)status;
}
void libssh_channel_exit_signal(struct libssh_channel *c, const char *name, bool core)
{
	(void)c;
	(void)name;
	(void)core;
}
int libssh_channel_eof(struct libssh_channel *c)
{
	(void)c;
	return 1;
}
int libssh_channel_close(struct libssh_channel *c)
{
	(void)c;
	return 1;
}
int libssh_channel_opened(struct libssh_channel *c)
{
	(void)c;
	return 1;
}

static void start(struct channel **ret_channel, int in[2])
{
	int out[2], err[2];
	struct channel *c = channel_new(CHANNEL_SESSION, 1, NULL);

	assert_non_null(c);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(err), 0);
	assert_int_equal(channel_start_take(c, in[1], out[0], err[0]), 0);
	close(out[1]);
	close(err[1]);
	*ret_channel = c;
	memset(&fake, 0, sizeof(fake));
	fake.channel = c;
}

static void test_nothing_before_the_start(void **state)
{
	struct channel *c = channel_new(CHANNEL_SESSION, 1, NULL);

	(void)state;
	assert_int_equal(channel_take(c, (const uint8_t *)"abc", 3), 0);
	channel_free(c);
}

static void test_back_pressure(void **state)
{
	uint8_t *data = malloc(BIG), *got = malloc(BIG);
	struct channel *c;
	size_t first;
	int in[2];

	(void)state;
	for (size_t i = 0; i < BIG; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	start(&c, in);
	first = channel_take(c, data, BIG);
	assert_in_range(first, 1, BIG - 1);
	/* Blocked until poll says otherwise: no system call for each packet. */
	assert_int_equal(channel_take(c, data + first, BIG - first), 0);
	assert_int_equal(read(in[0], got, BIG), (ssize_t)first);
	assert_memory_equal(got, data, first);
	assert_int_equal(channel_take(c, data + first, 1), 0);
	c->in_blocked = false;
	assert_int_equal(channel_take(c, data + first, 10), 10);
	assert_int_equal(read(in[0], got, BIG), 10);
	assert_memory_equal(got, data + first, 10);
	close(in[0]);
	channel_free(c);
	free(data);
	free(got);
}

static void test_what_waits_goes_first(void **state)
{
	struct channel *c;
	int in[2];

	(void)state;
	start(&c, in);
	assert_int_equal(buffer_append(&c->in_carry, "first", 5), 0);
	assert_int_equal(channel_take(c, (const uint8_t *)"second", 6), 0);
	close(in[0]);
	channel_free(c);
}

enum { PIECE = 32768, PIECES = 12 };

/* A channel whose pipe has room for all of ret_data[PIECES * PIECE]. */
static void start_roomy(struct channel **ret_channel, int in[2], uint8_t **ret_data,
			uint8_t **ret_got)
{
	start(ret_channel, in);
	assert_true(fcntl(in[0], F_SETPIPE_SZ, 1 << 20) > 0);
	assert_int_equal(fcntl(in[0], F_SETFL, O_NONBLOCK), 0); /* what is missing fails */
	*ret_data = malloc(PIECES * PIECE);
	*ret_got = malloc(PIECES * PIECE);
	for (size_t i = 0; i < PIECES * PIECE; i++)
		(*ret_data)[i] = (uint8_t)(i * 7 + i / PIECE);
	(*ret_channel)->scratch = malloc(CHANNEL_SCRATCH);
}

static void end_roomy(struct channel *c, int fd, uint8_t *data, uint8_t *got)
{
	close(fd);
	free(c->scratch);
	channel_free(c);
	free(data);
	free(got);
}

static void test_large_pieces_wait_for_a_batch(void **state)
{
	uint8_t *data, *got;
	struct channel *c;
	int in[2];

	(void)state;
	start_roomy(&c, in, &data, &got);
	for (size_t i = 0; i < 5; i++)
		arrive(data + i * PIECE, PIECE);
	/* The first four went at once, the fifth waits for the end of the turn. */
	assert_int_equal(read(in[0], got, PIECES * PIECE), 4 * PIECE);
	assert_memory_equal(got, data, 4 * PIECE);
	assert_int_equal(c->taken, 4 * PIECE);
	assert_true(channel_hurries(c));
	/* What is small goes behind it, not past it. */
	arrive(data + 5 * PIECE, 3);
	assert_int_equal(fake.len - fake.at, PIECE + 3);
	assert_int_equal(channel_run(c, NULL, false), 0);
	assert_int_equal(read(in[0], got, PIECES * PIECE), PIECE + 3);
	assert_memory_equal(got, data + 4 * PIECE, PIECE + 3);
	assert_int_equal(c->taken, 5 * PIECE + 3);
	assert_false(channel_hurries(c));
	end_roomy(c, in[0], data, got);
}

static void test_small_pieces_do_not_wait(void **state)
{
	uint8_t *data, *got;
	struct channel *c;
	int in[2];

	(void)state;
	start_roomy(&c, in, &data, &got);
	arrive(data, 100);
	assert_int_equal(read(in[0], got, PIECE), 100);
	assert_false(channel_hurries(c));
	end_roomy(c, in[0], data, got);
}

/* Nobody reads: nothing is tried again before poll says so, and all comes in order once somebody does. */
static void test_what_waits_survives_a_full_pipe(void **state)
{
	struct pollfd polls[CHANNEL_POLLS];
	uint8_t *data, *got;
	struct channel *c;
	size_t len = 0;
	int in[2];

	(void)state;
	start_roomy(&c, in, &data, &got);
	assert_true(fcntl(in[0], F_SETPIPE_SZ, PIECE) > 0);
	for (size_t i = 0; i < PIECES; i++)
		arrive(data + i * PIECE, PIECE);
	assert_true(c->in_blocked);
	assert_int_equal(c->taken, PIECE);
	assert_false(channel_hurries(c));
	c->client_eof = true;
	while (c->in_fd >= 0) {
		ssize_t n = read(in[0], got + len, PIECES * PIECE - len);

		assert_true(n > 0);
		len += (size_t)n;
		channel_poll(c, false, polls);
		assert_int_equal(polls[0].fd, c->in_fd);
		polls[0].revents = POLLOUT;
		polls[1].revents = polls[2].revents = 0;
		assert_int_equal(channel_run(c, polls, false), 0);
	}
	while (len < PIECES * PIECE) {
		ssize_t n = read(in[0], got + len, PIECES * PIECE - len);

		assert_true(n > 0);
		len += (size_t)n;
	}
	assert_memory_equal(got, data, PIECES * PIECE);
	assert_int_equal(read(in[0], got, 1), 0);
	end_roomy(c, in[0], data, got);
}

/* The window is opened by a call of libssh that also takes packets in: those that went at once are
 * older than what it returns. */
static void test_what_comes_while_the_window_grows_keeps_its_order(void **state)
{
	uint8_t *data, *got;
	struct channel *c;
	int in[2];

	(void)state;
	start_roomy(&c, in, &data, &got);
	fake.data = data;
	fake.packet = PIECE;
	fake.packets = 6;
	c->may_grow = true;
	c->taken = 1 << 20;
	assert_int_equal(channel_run(c, NULL, false), 0);
	assert_int_equal(read(in[0], got, PIECES * PIECE), 6 * PIECE);
	assert_memory_equal(got, data, 6 * PIECE);
	assert_int_equal(c->taken, (1 << 20) + 6 * PIECE);
	end_roomy(c, in[0], data, got);
}

static void test_nobody_reads(void **state)
{
	struct channel *c;
	int in[2];

	(void)state;
	start(&c, in);
	close(in[0]);
	assert_int_equal(channel_take(c, (const uint8_t *)"abc", 3), 3);
	assert_true(c->in_closed);
	assert_int_equal(c->in_fd, -1);
	assert_int_equal(channel_take(c, (const uint8_t *)"abc", 3), 3);
	channel_free(c);
}

static void test_exit_ends_input(void **state)
{
	struct channel *c;
	uint8_t byte;
	int in[2];

	(void)state;
	start(&c, in);
	channel_exit(c, true, 0, "TERM", false);
	assert_int_equal(read(in[0], &byte, 1), 0);
	assert_int_equal(channel_take(c, (const uint8_t *)"abc", 3), 3);
	assert_true(c->by_signal);
	assert_string_equal(c->signal, "TERM");
	close(in[0]);
	channel_free(c);
}

static void test_exit_by_nameless_signal_is_no_success(void **state)
{
	struct channel *c = channel_new(CHANNEL_SESSION, 1, NULL);

	(void)state;
	channel_exit(c, true, 0, "", false);
	assert_false(c->by_signal);
	assert_int_equal(c->status, 255);
	channel_free(c);
}

static void test_refused_is_no_success(void **state)
{
	struct channel *c = channel_new(CHANNEL_SESSION, 1, NULL);

	(void)state;
	channel_refuse(c, "no");
	assert_true(c->exited);
	assert_int_equal(c->status, 255);
	assert_int_equal(c->err.carry.len, strlen("warren: no\r\n"));
	assert_int_equal(channel_take(c, (const uint8_t *)"abc", 3), 3);
	channel_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_before_the_start),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_what_waits_goes_first),
		cmocka_unit_test(test_large_pieces_wait_for_a_batch),
		cmocka_unit_test(test_small_pieces_do_not_wait),
		cmocka_unit_test(test_what_waits_survives_a_full_pipe),
		cmocka_unit_test(test_what_comes_while_the_window_grows_keeps_its_order),
		cmocka_unit_test(test_nobody_reads),
		cmocka_unit_test(test_exit_ends_input),
		cmocka_unit_test(test_exit_by_nameless_signal_is_no_success),
		cmocka_unit_test(test_refused_is_no_success),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
