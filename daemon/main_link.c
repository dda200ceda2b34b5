/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversations of main with broker, engine and monitors on the event loop. Owns request ids, the
 * table of open requests and the queue of what could not be sent yet; refuses packets that do not
 * parse by ending the conversation.
 */
#include "daemon/main_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/unixsock.h"

#define MAX_REQUESTS	 1024
#define MAX_QUEUED_BYTES (32u << 20)
#define PACKETS_PER_TURN 64

struct link_request {
	uint32_t id; /* 0: free */
	main_link_reply *reply;
	void *ctx;
};

struct link_packet {
	struct link_packet *next;
	int fd;
	size_t len;
	uint8_t data[];
};

struct main_link {
	uv_poll_t poll;
	int fd;
	const char *name;
	struct main_link_ops ops;
	bool ended, closing;
	int busy; /* callbacks running: freed when they are back */
	uint32_t next_id;
	struct link_request requests[MAX_REQUESTS];
	uint32_t begun_id; /* of the message being written, when it has a reply */
	struct link_packet *queue, **queue_tail;
	size_t queued_bytes;
	uint8_t out[DAEMON_MAX_MESSAGE];
	uint8_t in[DAEMON_MAX_MESSAGE];
};

static void on_poll(uv_poll_t *handle, int status, int events);

static void on_closed(uv_handle_t *handle)
{
	struct main_link *l = handle->data;

	secret_wipe(l->in, sizeof(l->in));
	secret_wipe(l->out, sizeof(l->out));
	free(l);
}

int main_link_new(uv_loop_t *loop, int fd, const char *name, const struct main_link_ops *ops,
		  struct main_link **ret_link)
{
	struct main_link *l = calloc(1, sizeof(*l));
	int r;

	if (l == NULL)
		return -ENOMEM;
	l->fd = fd;
	l->name = name;
	l->ops = *ops;
	l->queue_tail = &l->queue;
	r = file_set_nonblock(fd, true);
	if (r == 0)
		r = uv_poll_init(loop, &l->poll, fd);
	if (r < 0) {
		free(l);
		return r;
	}
	l->poll.data = l;
	r = uv_poll_start(&l->poll, UV_READABLE, on_poll);
	if (r < 0) {
		uv_close((uv_handle_t *)&l->poll, on_closed);
		return r;
	}
	*ret_link = l;
	return 0;
}

static void forget_queue(struct main_link *l)
{
	while (l->queue != NULL) {
		struct link_packet *next = l->queue->next;

		file_close(&l->queue->fd);
		secret_wipe(l->queue->data, l->queue->len);
		free(l->queue);
		l->queue = next;
	}
	l->queue_tail = &l->queue;
	l->queued_bytes = 0;
}

static void fail_requests(struct main_link *l)
{
	for (size_t i = 0; i < MAX_REQUESTS; i++) {
		struct link_request request = l->requests[i];

		if (request.id == 0)
			continue;
		l->requests[i].id = 0;
		(void)request.reply(request.ctx, 0, NULL);
	}
}

static void end(struct main_link *l)
{
	if (l->ended)
		return;
	l->ended = true;
	uv_poll_stop(&l->poll);
	forget_queue(l);
	fail_requests(l);
	if (l->ops.ended != NULL && !l->closing)
		l->ops.ended(l->ops.ctx);
}

void main_link_free(struct main_link *l)
{
	if (l == NULL || l->closing)
		return;
	l->closing = true;
	end(l);
	if (l->busy == 0) {
		uv_close((uv_handle_t *)&l->poll, on_closed);
		file_close(&l->fd);
	}
}

struct writer main_link_begin(struct main_link *l, uint8_t type, main_link_reply *reply, void *ctx)
{
	struct writer w = writer_init(l->out, sizeof(l->out));

	l->begun_id = 0;
	if (reply != NULL) {
		struct link_request *slot;

		do {
			l->next_id++;
		} while (l->next_id == 0);
		slot = &l->requests[l->next_id % MAX_REQUESTS];
		if (slot->id != 0) { /* the oldest of a thousand was never answered */
			struct link_request old = *slot;

			slot->id = 0;
			(void)old.reply(old.ctx, 0, NULL);
		}
		*slot = (struct link_request){l->next_id, reply, ctx};
		l->begun_id = l->next_id;
	}
	wire_begin(&w, type, l->begun_id);
	return w;
}

struct writer main_link_answer(struct main_link *l, uint8_t type, uint32_t id)
{
	struct writer w = writer_init(l->out, sizeof(l->out));

	l->begun_id = 0;
	wire_begin(&w, type, id);
	return w;
}

static void fail_begun(struct main_link *l, uint32_t id)
{
	struct link_request *slot = &l->requests[id % MAX_REQUESTS];
	struct link_request request = *slot;

	if (id == 0 || slot->id != id)
		return;
	slot->id = 0;
	(void)request.reply(request.ctx, 0, NULL);
}

static bool enqueue(struct main_link *l, const struct writer *w, int fd)
{
	struct link_packet *p;

	if (l->queued_bytes + w->len > MAX_QUEUED_BYTES)
		return false;
	p = malloc(sizeof(*p) + w->len);
	if (p == NULL)
		return false;
	p->next = NULL;
	p->len = w->len;
	p->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	memcpy(p->data, w->data, w->len);
	*l->queue_tail = p;
	l->queue_tail = &p->next;
	l->queued_bytes += w->len;
	uv_poll_start(&l->poll, UV_READABLE | UV_WRITABLE, on_poll);
	return true;
}

void main_link_end(struct main_link *l, const struct writer *w, int fd)
{
	uint32_t id = l->begun_id;
	int r = -EPIPE;

	l->begun_id = 0;
	if (!l->ended && !w->failed) {
		r = l->queue != NULL ? -EAGAIN
				     : unixsock_send(l->fd, w->data, w->len, &fd, fd < 0 ? 0 : 1);
		if ((r == -EAGAIN || r == -ENOBUFS) && enqueue(l, w, fd))
			r = 0;
	}
	if (r < 0) {
		log_error("a message could not be sent", "to=%s error=%s", l->name, strerror(-r));
		fail_begun(l, id);
	}
}

void main_link_end_droppable(struct main_link *l, const struct writer *w)
{
	l->begun_id = 0;
	if (l->ended || w->failed || l->queue != NULL)
		return;
	/* Datagrams may be lost on any way. */
	if (unixsock_send(l->fd, w->data, w->len, NULL, 0) < 0)
		log_debug("a datagram was dropped", "to=%s", l->name);
}

static void flush(struct main_link *l)
{
	while (l->queue != NULL) {
		struct link_packet *p = l->queue;
		int r = unixsock_send(l->fd, p->data, p->len, &p->fd, p->fd < 0 ? 0 : 1);

		if (r == -EAGAIN || r == -ENOBUFS)
			return;
		if (r < 0) {
			end(l);
			return;
		}
		l->queue = p->next;
		if (l->queue == NULL)
			l->queue_tail = &l->queue;
		l->queued_bytes -= p->len;
		file_close(&p->fd);
		secret_wipe(p->data, p->len);
		free(p);
	}
	uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

static int take_packet(struct main_link *l, size_t len, int *fds, size_t nfds)
{
	struct reader r = reader_init(l->in, len);
	uint8_t type = reader_u8(&r);
	uint32_t id = reader_u32(&r);
	struct link_request *slot = &l->requests[id % MAX_REQUESTS];

	if (r.failed)
		return -EBADMSG;
	if (id != 0 && slot->id == id) {
		struct link_request request = *slot;

		slot->id = 0;
		if (request.reply(request.ctx, type, &r) && slot->id == 0)
			*slot = request;
		return r.failed ? -EBADMSG : 0;
	}
	return l->ops.message(l->ops.ctx, type, id, &r, fds, nfds);
}

static void receive(struct main_link *l)
{
	for (int i = 0; i < PACKETS_PER_TURN && !l->ended; i++) {
		int fds[UNIXSOCK_MAX_FDS];
		size_t nfds = 0;
		ssize_t n = unixsock_recv(l->fd, l->in, sizeof(l->in), fds, &nfds, MSG_DONTWAIT);
		int r;

		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n <= 0) {
			end(l);
			return;
		}
		r = take_packet(l, (size_t)n, fds, nfds);
		for (size_t j = 0; j < nfds; j++)
			file_close(&fds[j]);
		if (r != 0) {
			log_error("a message does not parse: closing the socket", "from=%s type=%u",
				  l->name, l->in[0]);
			end(l);
		}
	}
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct main_link *l = handle->data;

	l->busy++;
	if (status < 0 || (events & UV_READABLE) != 0)
		receive(l);
	if (!l->ended && (events & UV_WRITABLE) != 0)
		flush(l);
	l->busy--;
	if (l->closing && l->busy == 0 && !uv_is_closing((uv_handle_t *)&l->poll)) {
		uv_close((uv_handle_t *)&l->poll, on_closed);
		file_close(&l->fd);
	}
}
