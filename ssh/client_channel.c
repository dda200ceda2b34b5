/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of one channel of warren-ssh, both ways with back-pressure. From the server: libssh's
 * buffer is the queue, bounded by the window that we grant; what was read from it and not written
 * waits in the sink's carry. To the server: nothing is read while the window is shut, the socket is
 * full or a remainder waits, except from a terminal, where an escape must always come through.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ssh/client_internal.h"

#define READ_BYTES  131072u /* at once from a descriptor */
#define TYPED_BYTES 65536u  /* of a terminal that wait for the server */
#define GROW_EVERY  (256u << 10)
#define GROW_AFTER  (128u << 10) /* idle channels keep libssh's small window */
#define GROW_COUNT  16		 /* with more channels large windows would be much memory */

struct client_channel *client_channel_new(struct client *c, enum client_channel_kind kind)
{
	struct client_channel *ch;

	if (c->channel_count == CLIENT_CHANNELS)
		return NULL;
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return NULL;
	ch->client = c;
	ch->kind = kind;
	ch->state = CLIENT_OPENING;
	ch->in_fd = -1;
	ch->escape.character = -1;
	buffer_init(&ch->out_carry, READ_BYTES + TYPED_BYTES);
	for (int i = 0; i < 2; i++) {
		ch->sinks[i].out.fd = ch->sinks[i].given = -1;
		ch->sinks[i].broken = true;
		buffer_init(&ch->sinks[i].carry, CLIENT_WINDOW);
	}
	c->channels[c->channel_count++] = ch;
	return ch;
}

void client_channel_free(struct client_channel *ch)
{
	struct client *c = ch->client;
	size_t i = 0;

	while (i < c->channel_count && c->channels[i] != ch)
		i++;
	if (i < c->channel_count) {
		/* Order is kept: the descriptors that were polled are matched by it. */
		memmove(&c->channels[i], &c->channels[i + 1],
			(c->channel_count - i - 1) * sizeof(ch));
		c->channel_count--;
	}
	if (c->session == ch)
		c->session = NULL;
	if (c->stdio == ch)
		c->stdio = NULL;
	for (i = 0; i < 2; i++) {
		client_fd_close(&ch->sinks[i].out, ch->sinks[i].given);
		buffer_done(&ch->sinks[i].carry);
	}
	if (ch->in_fd > STDERR_FILENO)
		close(ch->in_fd);
	buffer_done(&ch->out_carry);
	if (ch->addresses)
		freeaddrinfo(ch->addresses);
	libssh_client_channel_free(ch->ssh);
	free(ch);
}

void client_channel_socket_take(struct client_channel *ch, int fd)
{
	ch->in_fd = fd;
	client_fd_open(&ch->sinks[0].out, fd);
	ch->sinks[0].given = fd;
	ch->sinks[0].broken = false;
}

/* ---- From the server. */

/* How much the descriptor took; what it will never take counts as taken. */
static size_t sink_write(struct client_sink *s, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len && !s->blocked && !s->broken) {
		ssize_t n = client_fd_write(&s->out, data + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == -EAGAIN)
			s->blocked = true;
		else
			s->broken = true;
	}
	return s->broken ? len : done;
}

static size_t on_data(void *user, const uint8_t *data, size_t len, bool is_stderr)
{
	struct client_channel *ch = user;
	struct client_sink *s = &ch->sinks[is_stderr];
	size_t n;

	if (ch->state == CLIENT_CLOSING)
		return len;
	/* A server may send before a program's connection stands: it waits in libssh. */
	if (ch->state != CLIENT_RUNNING || s->carry.len > 0)
		return 0;
	/* Whoever sees the command's first words may type at it, and a Ctrl-C is the command's. */
	if (client_session_raw(ch) < 0)
		return 0;
	n = sink_write(s, data, len);
	ch->taken += n;
	return n;
}

static void on_eof(void *user)
{
	struct client_channel *ch = user;

	ch->remote_eof = true;
}

static void on_closed(void *user)
{
	struct client_channel *ch = user;

	ch->remote_eof = ch->remote_closed = true;
}

static void on_exit_status(void *user, uint32_t status)
{
	struct client_channel *ch = user;

	if (ch->kind != CLIENT_SESSION)
		return;
	ch->exited = true;
	ch->status = status;
}

static void on_exit_signal(void *user, const char *name, bool core)
{
	struct client_channel *ch = user;
	size_t n = 0;

	(void)core;
	if (ch->kind != CLIENT_SESSION)
		return;
	ch->exited = ch->by_signal = true;
	for (; *name && n + 1 < sizeof(ch->signal); name++)
		ch->signal[n++] = *name > ' ' && *name < 0x7f ? *name : '?';
	ch->signal[n] = '\0';
}

const struct libssh_client_ops client_channel_ops = {
	.forwarded = client_forward_incoming,
	.agent = client_forward_agent,
	.data = on_data,
	.eof = on_eof,
	.closed = on_closed,
	.exit_status = on_exit_status,
	.exit_signal = on_exit_signal,
};

static int sink_feed(struct client_channel *ch, struct client_sink *s, ssize_t len)
{
	const uint8_t *data = ch->client->scratch;
	size_t n;

	if (len <= 0)
		return (int)len;
	ch->taken += (uint64_t)len;
	n = sink_write(s, data, (size_t)len);
	return n < (size_t)len ? buffer_append(&s->carry, data + n, (size_t)len - n) : 0;
}

static int run_sink(struct client_channel *ch, bool is_stderr)
{
	struct client_sink *s = &ch->sinks[is_stderr];
	int rc = 0;

	if (s->carry.len > 0) {
		s->at += sink_write(s, s->carry.data + s->at, s->carry.len - s->at);
		if (s->at == s->carry.len) {
			s->at = 0;
			buffer_reset(&s->carry);
		}
	}
	/* All of it at once: libssh opens the window at each read, however much it still holds. */
	while (rc == 0 && s->carry.len == 0 && !s->blocked &&
	       libssh_client_backlog(ch->ssh, is_stderr) > 0)
		rc = sink_feed(
			ch, s,
			libssh_client_read(ch->ssh, ch->client->scratch, CLIENT_WINDOW, is_stderr));
	/* libssh's own limit of 1.25 MiB is too little for long paths. */
	if (rc == 0 && !is_stderr && !ch->remote_eof && s->carry.len == 0 && !s->blocked &&
	    ch->client->channel_count <= GROW_COUNT && ch->taken > GROW_AFTER &&
	    ch->taken - ch->grown_at >= GROW_EVERY) {
		ch->grown_at = ch->taken;
		rc = sink_feed(ch, s,
			       libssh_client_grow(ch->ssh, ch->client->scratch, CLIENT_WINDOW));
	}
	return rc;
}

static bool drained(const struct client_channel *ch)
{
	for (int i = 0; i < 2; i++) {
		if (ch->sinks[i].carry.len > 0 || libssh_client_backlog(ch->ssh, i) > 0)
			return false;
	}
	return true;
}

/* ---- To the server. */

static bool may_read(const struct client_channel *ch)
{
	if (ch->in_fd < 0 || ch->in_eof || ch->remote_closed || ch->state == CLIENT_CLOSING ||
	    ch->state == CLIENT_CONNECTING)
		return false;
	if (ch->state == CLIENT_SOCKS)
		return true;
	if (ch->terminal)
		return ch->out_carry.len < TYPED_BYTES;
	return ch->state == CLIENT_RUNNING && ch->out_carry.len == 0 &&
	       !libssh_client_congested(ch->client->ssh) && libssh_client_window(ch->ssh) > 0;
}

static int send_carry(struct client_channel *ch)
{
	ssize_t n;

	if (ch->out_carry.len == 0 || ch->state != CLIENT_RUNNING)
		return 0;
	n = libssh_client_write(ch->ssh, ch->out_carry.data, ch->out_carry.len);
	if (n < 0)
		return (int)n;
	buffer_consume(&ch->out_carry, (size_t)n);
	return 0;
}

static int typed(struct client_channel *ch, const uint8_t *data, size_t len)
{
	uint8_t out[4097];
	size_t at = 0;

	while (at < len && !ch->client->quit) {
		enum client_escape_event event;
		size_t part = len - at < 4096 ? len - at : 4096, used = 0, n;

		n = client_escape_filter(&ch->escape, data + at, part, out, &used, &event);
		at += used;
		if (n > 0 && buffer_append(&ch->out_carry, out, n) < 0)
			return -ENOMEM;
		if (event != CLIENT_ESCAPE_NONE)
			client_session_escape(ch->client, event);
	}
	return send_carry(ch);
}

static int sent(struct client_channel *ch, const uint8_t *data, size_t len)
{
	ssize_t n = libssh_client_write(ch->ssh, data, len);

	if (n < 0)
		return (int)n;
	return (size_t)n < len ? buffer_append(&ch->out_carry, data + n, len - (size_t)n) : 0;
}

static int run_in(struct client_channel *ch, bool ready)
{
	uint8_t *data = ch->client->scratch;
	int rc = send_carry(ch);

	if (rc == 0 && ready && may_read(ch)) {
		size_t cap = ch->state == CLIENT_SOCKS ? 512
			     : ch->terminal	       ? 4096
						       : libssh_client_window(ch->ssh);
		ssize_t n = read(ch->in_fd, data, cap < READ_BYTES ? cap : READ_BYTES);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			ch->in_eof = true;
		if (n > 0 && ch->state == CLIENT_SOCKS)
			rc = client_forward_socks(ch, data, (size_t)n);
		else if (n > 0)
			rc = ch->terminal ? typed(ch, data, (size_t)n) : sent(ch, data, (size_t)n);
	}
	if (rc == 0 && ch->in_eof && ch->state == CLIENT_SOCKS)
		ch->state = CLIENT_CLOSING;
	if (rc == 0 && ch->in_eof && ch->out_carry.len == 0 && !ch->eof_sent &&
	    ch->state == CLIENT_RUNNING && !ch->remote_closed) {
		rc = libssh_client_eof(ch->ssh);
		ch->eof_sent = rc > 0;
		rc = rc > 0 ? 0 : rc;
	}
	return rc;
}

/* ---- All of it. */

static bool is_over(struct client_channel *ch)
{
	bool all = drained(ch);

	if (ch->remote_closed)
		return all;
	/* Nobody reads our output any more: the server's side hears of it by the close. */
	if (ch->state == CLIENT_RUNNING && ch->sinks[0].broken)
		return true;
	return ch->kind != CLIENT_SESSION && ch->state == CLIENT_RUNNING && ch->eof_sent &&
	       ch->remote_eof && all;
}

static int step_opening(struct client_channel *ch)
{
	int rc = libssh_client_open_direct(ch->ssh, ch->host, ch->port, ch->originator,
					   ch->originator_port);

	if (rc == 0)
		return 0;
	if (rc > 0) {
		ch->state = CLIENT_RUNNING;
		client_forward_opened(ch, true);
		return 0;
	}
	if (!libssh_client_alive(ch->client->ssh))
		return -EPIPE;
	client_say(ch->client, CLIENT_LOG_ERROR, "%s refuses a forward to %s port %u: %s",
		   ch->client->name, ch->host, ch->port, libssh_client_error(ch->client->ssh));
	client_forward_opened(ch, false);
	return 1; /* it was never open: nothing to close */
}

static int step_connecting(struct client_channel *ch, const struct pollfd *polls)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (!polls || polls[1].fd < 0 || polls[1].revents == 0)
		return 0;
	if (getsockopt(ch->in_fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0)
		ch->state = CLIENT_RUNNING;
	else if (client_forward_connect(ch) < 0)
		ch->state = CLIENT_CLOSING;
	return 0;
}

void client_channel_poll(const struct client_channel *ch, struct pollfd polls[static CLIENT_POLLS])
{
	for (size_t i = 0; i < CLIENT_POLLS; i++)
		polls[i] = (struct pollfd){.fd = -1};
	if (may_read(ch)) {
		polls[0].fd = ch->in_fd;
		polls[0].events = POLLIN;
	}
	if (ch->state == CLIENT_CONNECTING) {
		polls[1].fd = ch->in_fd;
		polls[1].events = POLLOUT;
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		if (ch->sinks[i].blocked && !ch->sinks[i].broken) {
			polls[1 + i].fd = ch->sinks[i].out.fd;
			polls[1 + i].events = POLLOUT;
		}
	}
}

static int step_running(struct client_channel *ch, const struct pollfd *polls)
{
	bool ready = polls && polls[0].fd >= 0 && polls[0].revents != 0;
	int rc = 0;

	for (size_t i = 0; polls && i < 2; i++) {
		if (polls[1 + i].fd >= 0 && polls[1 + i].revents)
			ch->sinks[i].blocked = false;
	}
	if (ch->state == CLIENT_RUNNING)
		rc = run_sink(ch, false);
	if (rc == 0 && ch->state == CLIENT_RUNNING)
		rc = run_sink(ch, true);
	if (rc == 0)
		rc = run_in(ch, ready);
	if (rc == 0 && ch->remote_eof && drained(ch) && !ch->shut && ch->sinks[0].given >= 0 &&
	    ch->state == CLIENT_RUNNING) {
		ch->shut = true;
		if (ch->sinks[0].out.kind == CLIENT_FD_SOCKET && ch->kind != CLIENT_SESSION)
			(void)shutdown(ch->sinks[0].out.fd, SHUT_WR);
	}
	return rc;
}

int client_channel_run(struct client_channel *ch, const struct pollfd *polls)
{
	int rc = 0;

	if (ch->state == CLIENT_OPENING) {
		rc = step_opening(ch);
		if (rc != 0)
			return rc;
	}
	if (ch->state == CLIENT_CONNECTING)
		rc = step_connecting(ch, polls);
	if (rc == 0 && (ch->state == CLIENT_RUNNING || ch->state == CLIENT_SOCKS || ch->terminal))
		rc = step_running(ch, polls);
	/* The SOCKS request was complete: nothing else would wake us. */
	if (rc == 0 && ch->state == CLIENT_OPENING)
		return step_opening(ch);
	if (rc == -EPIPE && libssh_client_alive(ch->client->ssh)) {
		/* The channel, not the connection: the server closed it under us. */
		ch->in_eof = true;
		buffer_reset(&ch->out_carry);
		rc = 0;
	}
	if (rc < 0)
		return rc;
	if (ch->state == CLIENT_RUNNING && is_over(ch))
		ch->state = CLIENT_CLOSING;
	if (ch->state != CLIENT_CLOSING)
		return 0;
	if (!ch->ssh)
		return 1;
	rc = libssh_client_close(ch->ssh);
	return rc < 0 ? 1 : rc;
}
