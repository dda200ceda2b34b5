/* SPDX-License-Identifier: Apache-2.0
 *
 * Channels of an authenticated connection: their table, what the monitor says of them, and their part of the
 * worker's loop.
 */
#include "ssh/worker_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "platform/file.h"

#define TURN_BYTES    (96u << 10) /* of all channels, a read of one; then the client is heard */
#define GROW_CHANNELS 16 /* more of them with large windows would not fit into the memory limit */

struct channel *worker_channels_add(struct worker *w, enum channel_kind kind)
{
	struct channel *c;

	if (w->channel_count == WORKER_CHANNELS_MAX)
		return NULL;
	c = channel_new(kind, ++w->last_channel, w->scratch);
	if (!c)
		return NULL;
	c->owner = w;
	w->channels[w->channel_count++] = c;
	c->active_ns = worker_now_ns();
	if (kind == CHANNEL_SESSION)
		w->session_count++;
	if (kind == CHANNEL_DIRECT)
		memcpy(c->type, "direct-tcpip", sizeof("direct-tcpip"));
	return c;
}

static struct channel *find(struct worker *w, uint32_t id)
{
	for (size_t i = 0; i < w->channel_count; i++) {
		if (w->channels[i]->id == id)
			return w->channels[i];
	}
	return NULL;
}

void worker_channels_drop(struct worker *w, size_t i)
{
	struct channel *c = w->channels[i];

	if (c->kind == CHANNEL_SESSION)
		w->session_count--;
	channel_free(c);
	/* Order is kept: the descriptors that were polled are matched by it. */
	memmove(&w->channels[i], &w->channels[i + 1],
		(w->channel_count - i - 1) * sizeof(w->channels[0]));
	w->channel_count--;
}

/* ---- Events. */

static int on_exit_event(struct worker *w, struct worker_packet *p)
{
	struct channel *c = find(w, reader_u32(&p->fields));
	bool by_signal = reader_u8(&p->fields);
	uint32_t status = reader_u32(&p->fields);
	char name[16];
	bool core;

	reader_cstring(&p->fields, name, sizeof(name));
	core = reader_u8(&p->fields);
	if (!reader_done(&p->fields))
		return -EBADMSG;
	if (c && c->kind == CHANNEL_SESSION && !c->exited)
		channel_exit(c, by_signal, status, name, core);
	return 0;
}

/* A -W that was accepted too early, alone on its connection: only the end of that makes the
 * client's status another than 0. */
static void end_of_stdio(struct worker *w, struct worker_packet *p)
{
	char text[WORKER_TEXT_MAX], line[WORKER_TEXT_MAX + 40];

	reader_cstring(&p->fields, text, sizeof(text));
	snprintf(line, sizeof(line), "no connection to the destination: %s",
		 p->fields.failed || text[0] == '\0' ? "it cannot be reached" : text);
	worker_end(w, line);
}

static int on_connected(struct worker *w, struct worker_packet *p)
{
	struct channel *c = find(w, reader_u32(&p->fields));
	uint8_t result = reader_u8(&p->fields);
	int fd;

	if (p->fields.failed)
		return -EBADMSG;
	if (!c || c->kind != CHANNEL_DIRECT || c->state != CHANNEL_WAITING)
		return 0; /* the client closed it meanwhile */
	fd = result == MONITOR_YES ? worker_packet_take_fd(p, 0) : -1;
	if (fd < 0 && c->stdio && w->channel_count == 1)
		end_of_stdio(w, p);
	else if (fd < 0)
		channel_abort(c);
	if (fd < 0)
		return 0;
	return channel_connect_take(c, fd);
}

static int say_closed(struct worker *w, uint32_t id, uint64_t received, uint64_t sent)
{
	struct writer *request = worker_monitor_begin(&w->monitor, MONITOR_CLOSE);
	struct worker_packet *answer;
	int rc;

	writer_u32(request, id);
	writer_u64(request, received);
	writer_u64(request, sent);
	rc = worker_monitor_call(&w->monitor, &answer);
	if (rc == 0)
		worker_packet_free(answer);
	return rc;
}

/* A connection to a listener or to an agent's socket: the client is asked for a channel. */
static int on_accepted(struct worker *w, struct worker_packet *p)
{
	char address[256] = "", originator[256] = "";
	uint32_t number, port = 0, originator_port = 0;
	struct channel *c;
	int fd, rc;

	number = reader_u32(&p->fields);
	if (p->type == MONITOR_ACCEPTED) {
		reader_cstring(&p->fields, address, sizeof(address));
		port = reader_u32(&p->fields);
		reader_cstring(&p->fields, originator, sizeof(originator));
		originator_port = reader_u32(&p->fields);
	}
	fd = worker_packet_take_fd(p, 0);
	if (!reader_done(&p->fields) || fd < 0) {
		file_close(&fd);
		return -EBADMSG;
	}
	c = worker_channels_add(w, CHANNEL_OUTGOING);
	if (!c) {
		file_close(&fd);
		return say_closed(w, number, 0, 0);
	}
	c->id = number;
	snprintf(c->type, sizeof(c->type), "%s",
		 p->type == MONITOR_ACCEPTED ? "forwarded-tcpip" : "agent-connection");
	rc = channel_connect_take(c, fd);
	if (rc == 0 && p->type == MONITOR_ACCEPTED)
		rc = libssh_channel_open_forwarded(w->server, c, address, port, originator,
						   originator_port, &c->ssh);
	else if (rc == 0)
		rc = libssh_channel_open_agent(w->server, c, &c->ssh);
	if (rc == 0)
		return 0;
	worker_channels_drop(w, w->channel_count - 1);
	return say_closed(w, number, 0, 0);
}

int worker_channels_event(struct worker *w, struct worker_packet *p)
{
	switch (p->type) {
	case MONITOR_EXIT:
		return on_exit_event(w, p);
	case MONITOR_CONNECTED:
		return on_connected(w, p);
	case MONITOR_ACCEPTED:
	case MONITOR_AGENT:
		return on_accepted(w, p);
	default:
		return -EBADMSG;
	}
}

/* ---- The loop's part. */

/* The client is gone from a terminal while something runs on it, or a forward is over. */
static int tell_close(struct worker *w, struct channel *c)
{
	if (c->told_close || (c->kind == CHANNEL_SESSION && (!c->pty || c->exited)))
		return 0;
	c->told_close = true;
	return say_closed(w, c->id, c->taken, c->given);
}

void worker_channels_poll(struct worker *w, struct pollfd *polls)
{
	bool congested = libssh_server_congested(w->server);

	worker_turns_order(w->channels, w->channel_count);
	for (size_t i = 0; i < w->channel_count; i++)
		channel_poll(w->channels[i], congested, polls + i * CHANNEL_POLLS);
}

int worker_channels_run(struct worker *w, const struct pollfd *polls, size_t count)
{
	uint64_t given = 0;
	size_t at = 0;

	/* Channels only come at the end while this runs. */
	for (size_t i = 0; i < w->channel_count; at++) {
		struct channel *c = w->channels[i];
		uint64_t before = c->given;
		int rc;

		c->may_grow = w->channel_count <= GROW_CHANNELS;
		rc = channel_run(c, polls && at < count ? polls + at * CHANNEL_POLLS : NULL,
				 given >= TURN_BYTES || libssh_server_congested(w->server));
		given += c->given - before;

		if (rc < 0)
			return rc;
		if (rc == 1) {
			rc = tell_close(w, c);
			worker_channels_drop(w, i);
			if (rc < 0)
				return rc;
			continue;
		}
		i++;
	}
	return 0;
}

bool worker_channels_hurry(const struct worker *w)
{
	for (size_t i = 0; i < w->channel_count; i++) {
		if (channel_hurries(w->channels[i]))
			return true;
	}
	return false;
}

bool worker_channels_tick(const struct worker *w)
{
	for (size_t i = 0; i < w->channel_count; i++) {
		if (channel_ticks(w->channels[i]))
			return true;
	}
	return false;
}

void worker_channels_end(struct worker *w, const char *text)
{
	char line[WORKER_TEXT_MAX + 16];
	struct writer out = writer_init(line, sizeof(line) - 1);

	writer_bytes(&out, "\r\nwarren: ", 10);
	writer_bytes(&out, text, strlen(text));
	writer_bytes(&out, "\r\n", 2);
	line[out.len] = '\0';
	for (size_t i = 0; i < w->channel_count; i++) {
		if (w->channels[i]->started)
			w->ending_sessions = true;
		if (*text && !out.failed)
			channel_say(w->channels[i], line);
		if (!w->channels[i]->stdio)
			channel_abort(w->channels[i]);
	}
}

bool worker_channels_left(const struct worker *w)
{
	for (size_t i = 0; i < w->channel_count; i++)
		if (!w->channels[i]->stdio)
			return true;
	return false;
}

int worker_channels_over(struct worker *w)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < w->channel_count; i++)
		if (w->channels[i]->kind != CHANNEL_SESSION)
			rc = tell_close(w, w->channels[i]);
	return rc;
}

void worker_channels_free(struct worker *w)
{
	while (w->channel_count > 0)
		worker_channels_drop(w, w->channel_count - 1);
}
