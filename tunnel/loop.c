/* SPDX-License-Identifier: Apache-2.0
 *
 * epoll with callbacks. A watch that ends while events are handed out is only marked, and freed
 * after the turn, so that callbacks may end their own or each other's.
 */
#include "tunnel/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "platform/clock.h"

#define EVENTS 32

struct watch {
	struct watch *next;
	int fd; /* -1: ended */
	loop_ready ready;
	void (*input)(void *ctx, int fd); /* instead of ready */
	void *ctx;
};

struct loop {
	int epoll;
	struct watch *watches;
	bool ended; /* some watch has fd -1 */
};

int loop_new(struct loop **ret_loop)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0) {
		int r = -errno;

		free(l);
		return r;
	}
	*ret_loop = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->watches) {
		struct watch *w = l->watches;

		l->watches = w->next;
		free(w);
	}
	close(l->epoll);
	free(l);
}

static struct watch *find(const struct loop *l, int fd)
{
	for (struct watch *w = l->watches; w; w = w->next)
		if (w->fd == fd)
			return w;
	return NULL;
}

static int add(struct loop *l, int fd, uint32_t events, const struct watch *callback)
{
	struct epoll_event event = {.events = events};
	struct watch *w;

	if (fd < 0)
		return -EBADF;
	loop_unwatch(l, fd);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	event.data.ptr = w;
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		int r = -errno;

		free(w);
		return r;
	}
	*w = *callback;
	w->fd = fd;
	w->next = l->watches;
	l->watches = w;
	return 0;
}

int loop_watch(struct loop *l, int fd, uint32_t events, loop_ready ready, void *ctx)
{
	struct watch w = {.ready = ready, .ctx = ctx};

	return add(l, fd, events, &w);
}

int loop_watch_input(struct loop *l, int fd, void (*ready)(void *ctx, int fd), void *ctx)
{
	struct watch w = {.input = ready, .ctx = ctx};

	return add(l, fd, EPOLLIN, &w);
}

int loop_change(struct loop *l, int fd, uint32_t events)
{
	struct watch *w = find(l, fd);
	struct epoll_event event = {.events = events, .data.ptr = w};

	if (!w)
		return -ENOENT;
	return epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

void loop_unwatch(struct loop *l, int fd)
{
	struct watch *w = fd < 0 ? NULL : find(l, fd);

	if (!w)
		return;
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
	w->fd = -1;
	l->ended = true;
}

static void sweep(struct loop *l)
{
	struct watch **at = &l->watches;

	while (*at) {
		struct watch *w = *at;

		if (w->fd < 0) {
			*at = w->next;
			free(w);
		} else {
			at = &w->next;
		}
	}
	l->ended = false;
}

int loop_turn(struct loop *l, uint64_t now_ns, uint64_t deadline_ns)
{
	struct epoll_event events[EVENTS];
	int timeout_ms = -1;
	int count;

	if (deadline_ns <= now_ns) {
		timeout_ms = 0;
	} else if (deadline_ns != UINT64_MAX) {
		uint64_t ms = (deadline_ns - now_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;

		timeout_ms = ms > 3600000 ? 3600000 : (int)ms;
	}
	count = epoll_wait(l->epoll, events, EVENTS, timeout_ms);
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		struct watch *w = events[i].data.ptr;

		if (w->fd >= 0 && w->input)
			w->input(w->ctx, w->fd);
		else if (w->fd >= 0)
			w->ready(w->ctx, w->fd, events[i].events);
	}
	if (l->ended)
		sweep(l);
	return 0;
}
