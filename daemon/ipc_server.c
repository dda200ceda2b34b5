/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients of the command socket. Bounds: clients in all and per uid, requests under way per client,
 * bytes that a client leaves unread. Who exceeds them or does not speak the protocol is
 * disconnected.
 */
#include "daemon/ipc_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/ipc/ipc.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/log.h"

#define MAX_CLIENTS	    256
#define MAX_CLIENTS_PER_UID 128 /* root: all */
#define MAX_REQUESTS	    32
#define MAX_OUT		    (16u << 20)
#define ACCEPTS_PER_TURN    16

struct client;

struct request {
	struct ipc_request public; /* first: cast back */
	struct request *next, **link;
	struct client *client;
	json_t *object;
	json_int_t id;
};

struct client {
	struct client *next, **link;
	struct ipc_server *server;
	uv_poll_t poll;
	int fd;
	struct unixsock_cred cred;
	struct buffer in, out;
	struct request *requests;
	unsigned request_count;
	unsigned busy; /* inside our own callbacks */
	bool closing, dead;
};

struct ipc_server {
	uv_poll_t poll;
	int fd;
	void (*dispatch)(void *ctx, struct ipc_request *r);
	void *ctx;
	struct client *clients;
	unsigned count;
	uv_loop_t *loop;
};

static void on_client(uv_poll_t *handle, int status, int events);

static void request_free(struct request *r)
{
	*r->link = r->next;
	if (r->next != NULL)
		r->next->link = r->link;
	r->client->request_count--;
	json_decref(r->object);
	free(r);
}

static void on_client_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;

	buffer_done(&c->in);
	buffer_done(&c->out);
	free(c);
}

static void client_close(struct client *c)
{
	c->dead = true;
	if (c->closing || c->busy > 0)
		return;
	c->closing = true;
	while (c->requests != NULL) {
		struct request *r = c->requests;

		if (r->public.on_gone != NULL)
			r->public.on_gone(&r->public);
		request_free(r);
	}
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
	c->server->count--;
	uv_close((uv_handle_t *)&c->poll, on_client_closed);
	file_close(&c->fd);
}

static void client_watch(struct client *c)
{
	int events = UV_READABLE | UV_DISCONNECT;

	if (c->out.len > 0)
		events |= UV_WRITABLE;
	if (!c->closing && uv_poll_start(&c->poll, events, on_client) < 0)
		c->dead = true;
}

static void client_flush(struct client *c)
{
	while (c->out.len > 0 && !c->dead) {
		ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				c->dead = true;
			break;
		}
		buffer_consume(&c->out, (size_t)n);
	}
	if (!c->dead)
		client_watch(c);
}

static void client_send(struct client *c, const json_t *object)
{
	if (c->closing || c->dead)
		return;
	if (ipc_append(&c->out, object) < 0)
		c->dead = true; /* it does not read, or the answer is too long */
	c->busy++;
	client_flush(c);
	c->busy--;
}

/* ---- answers */

bool ipc_request_may_change(const struct ipc_request *r)
{
	return r->cred.uid == 0 || unixsock_cred_in_group(&r->cred, IPC_GROUP) == 1;
}

static void answer(struct ipc_request *public, const char *key, json_t *value, bool last)
{
	struct request *r = (struct request *)public;
	json_t *object = json_pack("{s:I}", "id", r->id);
	struct client *c = r->client;

	if (object != NULL && json_object_set_new(object, key, value) == 0)
		client_send(c, object);
	else
		c->dead = true;
	json_decref(object);
	if (last)
		request_free(r);
	if (c->dead)
		client_close(c);
}

void ipc_request_event(struct ipc_request *public, const char *name, json_t *fields)
{
	struct request *r = (struct request *)public;
	json_t *object = json_pack("{s:I,s:s}", "id", r->id, "event", name);

	if (object != NULL && (fields == NULL || json_object_update(object, fields) == 0))
		client_send(r->client, object);
	json_decref(object);
	json_decref(fields);
	/* A broken client is noticed by its poll handle: the request must stay alive here. */
}

void ipc_request_result(struct ipc_request *r, json_t *result)
{
	answer(r, "result", result == NULL ? json_object() : result, true);
}

void ipc_request_error(struct ipc_request *r, int exit_code, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	answer(r, "error", json_pack("{s:s,s:i}", "message", text, "exit", exit_code), true);
}

/* ---- requests */

static void take_request(struct client *c, json_t *object)
{
	struct request *r;
	int64_t id;

	if (json_get_int(object, "id", 0, INT64_MAX, &id, NULL) < 0 ||
	    c->request_count >= MAX_REQUESTS) {
		json_decref(object);
		c->dead = true;
		return;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		json_decref(object);
		c->dead = true;
		return;
	}
	r->object = object;
	r->client = c;
	r->id = id;
	r->public.args = object;
	r->public.cred = c->cred;
	r->next = c->requests;
	r->link = &c->requests;
	if (c->requests != NULL)
		c->requests->link = &r->next;
	c->requests = r;
	c->request_count++;
	if (json_get_string(object, "cmd", r->public.cmd, sizeof(r->public.cmd), NULL) < 0)
		r->public.cmd[0] = '\0';
	c->server->dispatch(c->server->ctx, &r->public);
}

static void client_read(struct client *c)
{
	uint8_t piece[16384];

	while (!c->dead) {
		ssize_t n = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT);
		json_t *object = NULL;
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			/* Gone: what it started is cancelled. */
			c->dead = true;
			return;
		}
		if (buffer_append(&c->in, piece, (size_t)n) < 0)
			c->dead = true;
		while (!c->dead && (r = ipc_next(&c->in, &object, NULL)) != -EAGAIN) {
			if (r < 0)
				c->dead = true;
			else
				take_request(c, object);
		}
	}
}

static void on_client(uv_poll_t *handle, int status, int events)
{
	struct client *c = handle->data;

	c->busy++;
	if (status < 0)
		c->dead = true;
	if ((events & UV_READABLE) != 0)
		client_read(c);
	if ((events & UV_DISCONNECT) != 0)
		c->dead = true;
	if (!c->dead && (events & UV_WRITABLE) != 0)
		client_flush(c);
	c->busy--;
	if (c->dead)
		client_close(c);
}

/* ---- accepting */

static unsigned clients_of(const struct ipc_server *s, uid_t uid)
{
	unsigned count = 0;

	for (const struct client *c = s->clients; c != NULL; c = c->next)
		count += c->cred.uid == uid;
	return count;
}

static void accept_one(struct ipc_server *s, int fd)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL || unixsock_peer_cred(fd, &c->cred) < 0 || s->count >= MAX_CLIENTS ||
	    (c->cred.uid != 0 && clients_of(s, c->cred.uid) >= MAX_CLIENTS_PER_UID) ||
	    uv_poll_init(s->loop, &c->poll, fd) < 0) {
		free(c);
		close(fd);
		return;
	}
	c->server = s;
	c->fd = fd;
	c->poll.data = c;
	buffer_init(&c->in, 2 * (size_t)IPC_MAX_LINE);
	buffer_init(&c->out, MAX_OUT);
	c->next = s->clients;
	c->link = &s->clients;
	if (s->clients != NULL)
		s->clients->link = &c->next;
	s->clients = c;
	s->count++;
	client_watch(c);
	if (c->dead)
		client_close(c);
}

static void on_listener(uv_poll_t *handle, int status, int events)
{
	struct ipc_server *s = handle->data;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
				log_warn("a client could not be accepted", "error=%s",
					 strerror(errno));
			return;
		}
		accept_one(s, fd);
	}
}

int ipc_server_new(uv_loop_t *loop, int listen_fd,
		   void (*dispatch)(void *ctx, struct ipc_request *r), void *ctx,
		   struct ipc_server **ret_server)
{
	struct ipc_server *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return -ENOMEM;
	s->fd = listen_fd;
	s->dispatch = dispatch;
	s->ctx = ctx;
	s->loop = loop;
	r = file_set_nonblock(listen_fd, true);
	if (r == 0)
		r = uv_poll_init(loop, &s->poll, listen_fd);
	if (r == 0) {
		s->poll.data = s;
		r = uv_poll_start(&s->poll, UV_READABLE, on_listener);
	}
	if (r < 0) {
		free(s);
		return r;
	}
	*ret_server = s;
	return 0;
}

static void on_server_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void ipc_server_free(struct ipc_server *s)
{
	if (s == NULL)
		return;
	while (s->clients != NULL)
		client_close(s->clients);
	uv_close((uv_handle_t *)&s->poll, on_server_closed);
	file_close(&s->fd);
}
