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

/* A libssh of the test's own: what each call is to bring. */
static struct {
	struct channel *channel; /* of grow */
	const uint8_t *data; /* that grow finds: packets that it hands over, then what it returns */
	size_t packet, packets, rest;
} fake;

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
	return 0;
}
ssize_t libssh_channel_read(struct libssh_channel *c, void *out, size_t cap)
{
	(void)c;
	(void)out;
	(void)cap;
	return 0;
}
ssize_t libssh_channel_grow(struct libssh_channel *c, void *out, size_t window)
{
	(void)c;
	assert_true(window >= fake.rest);
	for (size_t i = 0; i < fake.packets; i++)
		assert_int_equal(
			channel_take(fake.channel, fake.data + i * fake.packet, fake.packet),
			fake.packet);
	memcpy(out, fake.data + fake.packets * fake.packet, fake.rest);
	return (ssize_t)fake.rest;
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

static void test_large_pieces_gather_in_order(void **state)
{
	enum { PIECE = 32768, PIECES = 5 };
	uint8_t *data = malloc(PIECES * PIECE), *got = malloc(PIECES * PIECE);
	struct channel *c;
	int in[2];

	(void)state;
	start(&c, in);
	assert_true(fcntl(in[0], F_SETPIPE_SZ, 1 << 20) > 0);
	for (size_t i = 0; i < PIECES * PIECE; i++)
		data[i] = (uint8_t)(i * 7 + i / PIECE);
	for (size_t i = 0; i < PIECES; i++)
		assert_int_equal(channel_take(c, data + i * PIECE, PIECE), PIECE);
	assert_int_equal(c->taken, PIECES * PIECE);
	/* The first four went in one batch, the fifth waits for the end of the turn. */
	assert_int_equal(read(in[0], got, PIECES * PIECE), (PIECES - 1) * PIECE);
	assert_memory_equal(got, data, (PIECES - 1) * PIECE);
	assert_int_equal(c->in_carry.len, PIECE);
	/* What is small goes behind it, not past it. */
	assert_int_equal(channel_take(c, data, 3), 0);
	close(in[0]);
	channel_free(c);
	free(data);
	free(got);
}

/* The window is opened by a call of libssh that also takes packets in: those are older than what it
 * returns. */
static void test_what_comes_while_the_window_grows_keeps_its_order(void **state)
{
	enum { PIECE = 32768, REST = 100 };
	uint8_t data[2 * PIECE + REST], got[2 * PIECE + REST], scratch[REST];
	struct channel *c;
	int in[2];

	(void)state;
	start(&c, in);
	assert_true(fcntl(in[0], F_SETPIPE_SZ, 1 << 20) > 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13 + i / 777);
	fake.channel = c;
	fake.data = data;
	fake.packet = PIECE;
	fake.packets = 2;
	fake.rest = REST;
	c->scratch = scratch;
	c->may_grow = true;
	c->taken = 1 << 20;
	assert_int_equal(channel_run(c, NULL, false), 0);
	assert_int_equal(read(in[0], got, sizeof(got)), sizeof(got));
	assert_memory_equal(got, data, sizeof(data));
	assert_int_equal(c->taken, (1 << 20) + sizeof(data));
	close(in[0]);
	channel_free(c);
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
		cmocka_unit_test(test_large_pieces_gather_in_order),
		cmocka_unit_test(test_what_comes_while_the_window_grows_keeps_its_order),
		cmocka_unit_test(test_nobody_reads),
		cmocka_unit_test(test_exit_ends_input),
		cmocka_unit_test(test_exit_by_nameless_signal_is_no_success),
		cmocka_unit_test(test_refused_is_no_success),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
