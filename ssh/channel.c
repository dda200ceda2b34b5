/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of one channel (RFC 4254 sections 5 and 6.10). Towards the process: libssh's buffer is the
 * queue, bounded by the window that we grant; what was read from it and not written waits in
 * in_carry. Towards the client: nothing is read from a descriptor while the window is shut, the
 * socket is full or a remainder waits.
 */
#include "ssh/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"

#define READ_BYTES   (4 * (32768u - 10)) /* at once from a pipe or socket: whole packets of OpenSSH's */
#define KEEP_BYTES   (256u << 10) /* of an empty remainder; more goes back to the allocator */
#define GATHER_FROM  8192u
#define GATHER_BYTES (128u << 10)
#define CARRY_MAX    CHANNEL_SCRATCH
#define EOF_WAIT_NS  (NSEC_PER_SEC / 2)
#define GROW_EVERY   (512u << 10)
#define GROW_AFTER   (128u << 10) /* idle channels keep libssh's small window */

struct channel *channel_new(enum channel_kind kind, uint32_t id, uint8_t *scratch)
{
	struct channel *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->kind = kind;
	c->id = id;
	c->scratch = scratch;
	c->state = kind == CHANNEL_OUTGOING ? CHANNEL_OPENING : CHANNEL_WAITING;
	c->in_fd = c->out.fd = c->err.fd = -1;
	c->out.done = c->err.done = true;
	buffer_init(&c->env, CHANNEL_ENV_BYTES);
	buffer_init(&c->in_carry, CARRY_MAX);
	buffer_init(&c->out.carry, READ_BYTES);
	buffer_init(&c->err.carry, READ_BYTES);
	return c;
}

static void close_in(struct channel *c)
{
	if (c->in_fd >= 0 && c->in_fd != c->out.fd)
		close(c->in_fd);
	c->in_fd = -1;
	c->in_closed = true;
}

static void close_out(struct channel *c, struct channel_out *o)
{
	if (o->fd >= 0 && o->fd != c->in_fd)
		close(o->fd);
	o->fd = -1;
	o->at_eof = true;
}

void channel_free(struct channel *c)
{
	if (!c)
		return;
	close_in(c);
	close_out(c, &c->out);
	close_out(c, &c->err);
	buffer_done(&c->env);
	buffer_done(&c->in_carry);
	buffer_done(&c->out.carry);
	buffer_done(&c->err.carry);
	libssh_channel_free(c->ssh);
	free(c);
}

static int take_out(struct channel_out *o, int fd)
{
	o->fd = fd;
	o->done = fd < 0;
	return fd < 0 ? 0 : file_set_nonblock(fd, true);
}

int channel_start_take(struct channel *c, int in, int out, int err)
{
	int rc;

	c->state = CHANNEL_RUNNING;
	c->started = true;
	c->pty = c->want_pty;
	c->in_fd = in;
	rc = take_out(&c->out, c->pty ? in : out);
	if (rc == 0)
		rc = take_out(&c->err, err);
	if (rc == 0)
		rc = file_set_nonblock(in, true);
	return rc;
}

int channel_connect_take(struct channel *c, int fd)
{
	if (c->state == CHANNEL_WAITING)
		c->state = CHANNEL_RUNNING;
	c->socket = true;
	c->in_fd = fd;
	return take_out(&c->out, fd);
}

void channel_refuse(struct channel *c, const char *text)
{
	c->state = CHANNEL_RUNNING;
	c->in_closed = true;
	c->err.done = false;
	c->err.at_eof = true;
	if (buffer_printf(&c->err.carry, "warren: %s\r\n", text) < 0)
		buffer_reset(&c->err.carry);
	channel_exit(c, false, 255, NULL, false);
}

void channel_exit(struct channel *c, bool by_signal, uint32_t status, const char *signal, bool core)
{
	c->exited = true;
	c->by_signal = by_signal && signal && *signal;
	c->status = by_signal && !c->by_signal ? 255 : status;
	c->core = core;
	if (c->by_signal && strlen(signal) < sizeof(c->signal))
		memcpy(c->signal, signal, strlen(signal) + 1);
	/* Nobody reads what the client still sends. */
	if (!c->pty)
		close_in(c);
}

void channel_say(struct channel *c, const char *text)
{
	if (c->kind == CHANNEL_SESSION && c->state == CHANNEL_RUNNING && !c->client_closed &&
	    libssh_channel_write(c->ssh, text, strlen(text), !c->pty) < 0)
		c->client_closed = true;
}

void channel_no_more(struct channel *c)
{
	if (c->kind != CHANNEL_SESSION || c->state != CHANNEL_RUNNING || c->pty)
		return;
	close_out(c, &c->out);
	buffer_reset(&c->out.carry);
}

void channel_abort(struct channel *c)
{
	close_in(c);
	close_out(c, &c->out);
	close_out(c, &c->err);
	c->state = CHANNEL_CLOSING;
}

void channel_resize(struct channel *c, const struct libssh_window *window)
{
	struct winsize size = {
		.ws_col = (unsigned short)(window->cols > 0xffff ? 0xffff : window->cols),
		.ws_row = (unsigned short)(window->rows > 0xffff ? 0xffff : window->rows),
		.ws_xpixel = (unsigned short)(window->xpixel > 0xffff ? 0 : window->xpixel),
		.ws_ypixel = (unsigned short)(window->ypixel > 0xffff ? 0 : window->ypixel),
	};

	c->window = *window;
	/* A terminal that is gone has no size. */
	if (c->pty && c->in_fd >= 0 && ioctl(c->in_fd, TIOCSWINSZ, &size) < 0)
		return;
}

/* ---- Towards the process. */

/* How much of data the descriptor took; what it will never take counts as taken. */
static size_t write_in(struct channel *c, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len && c->in_fd >= 0 && !c->in_blocked) {
		ssize_t n = write(c->in_fd, data + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			c->in_blocked = true;
		else if (n < 0 && errno != EINTR)
			close_in(c);
	}
	return c->in_closed ? len : done;
}

static void write_carry(struct channel *c)
{
	if (c->in_carry.len == 0)
		return;
	c->in_at += write_in(c, c->in_carry.data + c->in_at, c->in_carry.len - c->in_at);
	if (c->in_at < c->in_carry.len)
		return;
	c->in_at = 0;
	buffer_reset(&c->in_carry);
	if (c->in_carry.cap > KEEP_BYTES) {
		buffer_done(&c->in_carry);
		buffer_init(&c->in_carry, CARRY_MAX);
	}
}

/* Large pieces wait for each other in libssh's buffer, until they are a batch or the turn is over
 * (run_in), so that the reader is woken once for all of them. */
static bool may_wait(const struct channel *c, size_t len)
{
	return len >= GATHER_FROM && len < GATHER_BYTES && c->in_fd >= 0 && !c->in_blocked;
}

size_t channel_take(struct channel *c, const uint8_t *data, size_t len)
{
	size_t n;

	if (c->in_carry.len > 0 || may_wait(c, len))
		return 0;
	if (c->in_closed || c->state == CHANNEL_CLOSING)
		return len;
	n = write_in(c, data, len);
	c->taken += n;
	return n;
}

static int feed(struct channel *c, ssize_t len)
{
	size_t n;

	if (len <= 0)
		return (int)len;
	c->taken += (uint64_t)len;
	n = write_in(c, c->scratch, (size_t)len);
	return n < (size_t)len ? buffer_append(&c->in_carry, c->scratch + n, (size_t)len - n) : 0;
}

static bool input_waits(const struct channel *c)
{
	return c->in_carry.len > 0 || libssh_channel_backlog(c->ssh) > 0;
}

static int run_in(struct channel *c)
{
	int rc = 0;

	if (c->in_fd < 0 && !c->in_closed)
		return 0;
	write_carry(c);
	/* All of it at once: libssh opens the window at each read, however much it still holds. So
	 * at most one window waits here and one there. */
	while (rc == 0 && c->in_carry.len == 0 && !c->in_blocked &&
	       libssh_channel_backlog(c->ssh) > 0)
		rc = feed(c, libssh_channel_read(c->ssh, c->scratch, CHANNEL_SCRATCH));
	/* libssh's own limit of 1.25 MiB is too little for long paths. */
	if (rc == 0 && c->may_grow && !c->client_eof && !input_waits(c) && c->in_fd >= 0 &&
	    c->taken > GROW_AFTER && c->taken - c->grown_at >= GROW_EVERY) {
		c->grown_at = c->taken;
		rc = feed(c, libssh_channel_grow(c->ssh, c->scratch, CHANNEL_WINDOW));
	}
	if (rc == 0 && c->client_eof && !input_waits(c) && c->in_fd >= 0) {
		if (c->socket && shutdown(c->in_fd, SHUT_WR) < 0)
			c->in_closed = true;
		/* A terminal has no end of file to pass on; sshd leaves it open as well. */
		if (!c->pty)
			close_in(c);
	}
	return rc;
}

bool channel_hurries(const struct channel *c)
{
	return c->state == CHANNEL_RUNNING && c->in_fd >= 0 && !c->in_blocked && input_waits(c);
}

/* ---- Towards the client. */

static bool may_read(const struct channel *c, const struct channel_out *o, bool congested)
{
	return o->fd >= 0 && !o->at_eof && o->carry.len == 0 && !congested &&
	       libssh_channel_window(c->ssh) > 0;
}

/* Reads what is there (a terminal gives 4 KiB at a time): bytes, and *ret_empty when there was no
 * more. */
static size_t read_some(struct channel *c, struct channel_out *o, size_t cap, bool *ret_empty)
{
	size_t len = 0;
	bool closed = false;

	*ret_empty = false;
	while (len < cap) {
		ssize_t n = read(o->fd, c->scratch + len, cap - len);

		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		/* EIO: the last process closed the terminal. What it wrote between the kernel's look at
		 * the buffer and its look at the other end is there still (n_tty_read of Linux). */
		if (n < 0 && errno == EIO && !closed) {
			closed = true;
			continue;
		}
		*ret_empty = true;
		if (n == 0 || errno != EAGAIN)
			o->at_eof = true;
		break;
	}
	return len;
}

static int run_out(struct channel *c, struct channel_out *o, bool ready, bool congested)
{
	bool is_stderr = o == &c->err, empty = false;
	ssize_t n;

	if (o->done)
		return 0;
	if (c->client_closed) {
		close_out(c, o);
		buffer_reset(&o->carry);
	}
	if (o->carry.len > 0) {
		n = libssh_channel_write(c->ssh, o->carry.data, o->carry.len, is_stderr);
		if (n < 0)
			return (int)n;
		buffer_consume(&o->carry, (size_t)n);
		c->given += (uint64_t)n;
	}
	/* After the exit a terminal is read until it is empty, whoever else still has it open. */
	if ((ready || (c->pty && c->exited)) && may_read(c, o, congested)) {
		size_t window = libssh_channel_window(c->ssh);
		size_t len = read_some(c, o, window < READ_BYTES ? window : READ_BYTES, &empty);

		n = len > 0 ? libssh_channel_write(c->ssh, c->scratch, len, is_stderr) : 0;
		if (n < 0)
			return (int)n;
		c->given += (uint64_t)n;
		if ((size_t)n < len &&
		    buffer_append(&o->carry, c->scratch + n, len - (size_t)n) < 0)
			return -ENOMEM;
		if (c->pty && c->exited && empty)
			o->at_eof = true;
	}
	if (o->at_eof && o->carry.len == 0) {
		/* A socket stays open for the other way. */
		if (c->in_fd < 0 || o->fd != c->in_fd)
			close_out(c, o);
		o->done = true;
		c->done_ns = clock_monotonic_ns(&clock_system);
	}
	return 0;
}

/* ---- The end. */

static void send_exit(struct channel *c)
{
	if (c->exit_sent)
		return;
	if (c->by_signal)
		libssh_channel_exit_signal(c->ssh, c->signal, c->core);
	else
		libssh_channel_exit_status(c->ssh, c->status);
	c->exit_sent = true;
}

static bool is_over(const struct channel *c)
{
	bool out_done = c->out.done && c->err.done;

	/* Without a terminal the process goes on, as under sshd, and its exit status still counts.
	 */
	if (c->client_closed && c->started && !c->pty)
		return c->exited;
	if (c->client_closed)
		return c->in_closed || c->in_fd < 0 || !input_waits(c);
	if (c->state == CHANNEL_WAITING)
		return false;
	if (c->kind == CHANNEL_SESSION)
		return c->exited && out_done;
	return out_done && (c->in_closed || (c->client_eof && !input_waits(c)));
}

/* Some clients close at our end of file and would miss the exit status, which is often just behind.
 */
bool channel_ticks(const struct channel *c)
{
	return c->started && c->out.done && c->err.done && !c->eof_sent && !c->exited &&
	       !c->client_closed && clock_monotonic_ns(&clock_system) < c->done_ns + EOF_WAIT_NS;
}

static int finish(struct channel *c)
{
	int rc = 0;

	if (!c->eof_sent && c->state == CHANNEL_RUNNING && c->out.done && c->err.done &&
	    !c->client_closed && !channel_ticks(c)) {
		if (c->exited)
			send_exit(c);
		rc = libssh_channel_eof(c->ssh);
		if (rc < 0)
			return rc;
		c->eof_sent = rc > 0;
	}
	if (is_over(c)) {
		if (c->exited)
			send_exit(c);
		close_in(c);
		c->state = CHANNEL_CLOSING;
	}
	return c->state == CHANNEL_CLOSING ? libssh_channel_close(c->ssh) : 0;
}

static bool is_ready(const struct pollfd *polls, int fd)
{
	for (size_t i = 0; polls && i < CHANNEL_POLLS; i++) {
		if (polls[i].fd >= 0 && polls[i].fd == fd &&
		    (polls[i].revents & (POLLIN | POLLHUP | POLLERR)))
			return true;
	}
	return false;
}

void channel_poll(const struct channel *c, bool congested,
		  struct pollfd polls[static CHANNEL_POLLS])
{
	for (size_t i = 0; i < CHANNEL_POLLS; i++)
		polls[i] = (struct pollfd){.fd = -1};
	if (c->state != CHANNEL_RUNNING)
		return;
	if (c->in_fd >= 0 && c->in_blocked && input_waits(c)) {
		polls[0].fd = c->in_fd;
		polls[0].events = POLLOUT;
	}
	if (may_read(c, &c->out, congested)) {
		polls[1].fd = c->out.fd;
		polls[1].events = POLLIN;
	}
	if (may_read(c, &c->err, congested)) {
		polls[2].fd = c->err.fd;
		polls[2].events = POLLIN;
	}
}

int channel_run(struct channel *c, const struct pollfd *polls, bool congested)
{
	bool out_ready = is_ready(polls, c->out.fd), err_ready = is_ready(polls, c->err.fd);
	int rc;

	if (c->state == CHANNEL_OPENING) {
		rc = libssh_channel_opened(c->ssh);
		if (rc <= 0)
			return rc < 0 ? 1 : 0; /* refused: only this channel is over */
		c->state = CHANNEL_RUNNING;
	}
	if (polls && polls[0].fd >= 0 && polls[0].revents) {
		c->in_blocked = false;
		/* A terminal without processes takes nothing and never will. */
		if ((polls[0].revents & (POLLHUP | POLLERR)) && !(polls[0].revents & POLLOUT))
			close_in(c);
	}
	rc = c->state == CHANNEL_CLOSING ? 0 : run_in(c);
	if (rc == 0 && c->state == CHANNEL_RUNNING)
		rc = run_out(c, &c->out, out_ready, congested);
	if (rc == 0 && c->state == CHANNEL_RUNNING)
		rc = run_out(c, &c->err, err_ready, congested);
	if (rc == -EPIPE) {
		/* The channel, not the connection: the client closed it under us. */
		c->client_closed = true;
		rc = 0;
	}
	return rc < 0 ? rc : finish(c);
}
