/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections of wg(8). Only root can open the socket, but a request is still bounded (32 MiB, over
 * a hundred thousand allowed IPs) and so is the number of connections; a slow reader blocks nobody.
 */
#include "tunnel/uapi_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/secret.h"
#include "tunnel/device.h"
#include "tunnel/loop.h"
#include "tunnel/shards.h"

#define REQUEST_MAX	(32u << 20)
#define REPLY_MAX	(256u << 20)
#define CONNECTIONS_MAX 16

struct connection {
	struct uapi_server *server;
	struct connection *next;
	int fd;
	struct buffer in, out;
	size_t scanned; /* of in: no empty line before */
	bool ended;	/* the other side has sent all */
};

struct uapi_server {
	struct tunnel *device;
	int listen_fd;
	struct connection *connections;
	size_t count;
};

static void connection_free(struct connection *c)
{
	struct connection **at = &c->server->connections;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->server->count--;
	loop_unwatch(c->server->device->shards->loop, c->fd);
	close(c->fd);
	buffer_done(&c->in);
	buffer_done(&c->out);
	free(c);
}

/* Offset behind the next empty line, 0: none yet. */
static size_t request_end(struct connection *c)
{
	for (size_t i = c->scanned; i + 1 < c->in.len; i++)
		if (c->in.data[i] == '\n' && c->in.data[i + 1] == '\n')
			return i + 2;
	c->scanned = c->in.len ? c->in.len - 1 : 0;
	return 0;
}

static int answer(struct connection *c)
{
	size_t end;

	while ((end = request_end(c)) > 0) {
		int r = tunnel_uapi(c->server->device, (const char *)c->in.data, end - 1, &c->out);

		if (r < 0)
			return r;
		buffer_consume(&c->in, end);
		c->scanned = 0;
	}
	return 0;
}

/* 0, or a reason to end the connection. */
static int receive(struct connection *c)
{
	uint8_t chunk[16384];
	int r = 0;

	while (r == 0) {
		ssize_t n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

		if (n == 0) {
			c->ended = true;
			break;
		}
		if (n < 0) {
			r = errno == EAGAIN || errno == EINTR ? 1 : -errno;
			break;
		}
		r = buffer_append(&c->in, chunk, (size_t)n);
		if (r == 0)
			r = answer(c);
	}
	secret_wipe(chunk, sizeof(chunk));
	return r == 1 ? 0 : r;
}

static int reply(struct connection *c)
{
	size_t sent = 0;
	int r = 0;

	while (sent < c->out.len && r == 0) {
		ssize_t n = send(c->fd, c->out.data + sent, c->out.len - sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			r = -errno;
	}
	buffer_consume(&c->out, sent);
	return r;
}

static void connection_ready(void *ctx, int fd, uint32_t events)
{
	struct connection *c = ctx;
	int r = 0;

	(void)fd;
	/* No new request while an answer waits, so that a reader that never reads cannot make it
	 * grow. */
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !c->out.len)
		r = receive(c);
	if (r == 0)
		r = reply(c);
	if (r == 0)
		r = loop_change(c->server->device->shards->loop, c->fd,
				c->out.len ? EPOLLOUT : EPOLLIN);
	if (r < 0 || (c->ended && !c->out.len) || (events & EPOLLERR))
		connection_free(c);
}

static void listener_ready(void *ctx, int listen_fd, uint32_t events)
{
	struct uapi_server *s = ctx;
	struct connection *c;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	c = s->count < CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c || loop_watch(s->device->shards->loop, fd, EPOLLIN, connection_ready, c) < 0) {
		free(c);
		close(fd);
		return;
	}
	c->server = s;
	c->fd = fd;
	buffer_init(&c->in, REQUEST_MAX);
	buffer_init(&c->out, REPLY_MAX);
	c->next = s->connections;
	s->connections = c;
	s->count++;
}

int uapi_server_new(struct tunnel *t, int listen_fd, struct uapi_server **ret_server)
{
	struct uapi_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->device = t;
	s->listen_fd = listen_fd;
	r = loop_watch(t->shards->loop, listen_fd, EPOLLIN, listener_ready, s);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret_server = s;
	return 0;
}

void uapi_server_free(struct uapi_server *s)
{
	if (!s)
		return;
	while (s->connections)
		connection_free(s->connections);
	loop_unwatch(s->device->shards->loop, s->listen_fd);
	close(s->listen_fd);
	free(s);
}
