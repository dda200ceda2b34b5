/* SPDX-License-Identifier: Apache-2.0
 *
 * The broker's loop. The table grows with the connections, which have limits of their own.
 */
#include "daemon/broker_loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct watch {
	broker_loop_fn ready; /* NULL: removed in this turn */
	void *ctx;
};

struct broker_loop {
	struct pollfd *polls; /* beside watches; fd -1: removed */
	struct watch *watches;
	size_t count, cap;
};

int broker_loop_new(struct broker_loop **ret_loop)
{
	struct broker_loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	*ret_loop = l;
	return 0;
}

void broker_loop_free(struct broker_loop *l)
{
	if (!l)
		return;
	free(l->polls);
	free(l->watches);
	free(l);
}

static int grow(struct broker_loop *l)
{
	size_t cap = l->cap ? l->cap * 2 : 32;
	struct pollfd *polls = reallocarray(l->polls, cap, sizeof(*polls));
	struct watch *watches;

	if (!polls)
		return -ENOMEM;
	l->polls = polls;
	watches = reallocarray(l->watches, cap, sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	l->watches = watches;
	l->cap = cap;
	return 0;
}

int broker_loop_add(struct broker_loop *l, int fd, broker_loop_fn ready, void *ctx)
{
	int rc = l->count == l->cap ? grow(l) : 0;

	if (rc < 0)
		return rc;
	l->polls[l->count] = (struct pollfd){.fd = fd, .events = POLLIN};
	l->watches[l->count] = (struct watch){ready, ctx};
	l->count++;
	return 0;
}

void broker_loop_del(struct broker_loop *l, int fd)
{
	for (size_t i = 0; fd >= 0 && i < l->count; i++) {
		if (l->polls[i].fd != fd)
			continue;
		l->polls[i].fd = -1;
		l->watches[i] = (struct watch){0};
	}
}

static void compact(struct broker_loop *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++) {
		if (l->polls[i].fd < 0)
			continue;
		l->polls[kept] = l->polls[i];
		l->watches[kept] = l->watches[i];
		kept++;
	}
	l->count = kept;
}

int broker_loop_turn(struct broker_loop *l, struct broker *b, int timeout_ms)
{
	size_t count;
	int n;

	compact(l);
	count = l->count; /* what is added meanwhile waits for the next turn */
	n = poll(l->polls, count, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (size_t i = 0; n > 0 && i < count; i++) {
		if (l->polls[i].fd < 0 || l->polls[i].revents == 0)
			continue;
		l->polls[i].revents = 0;
		l->watches[i].ready(b, l->polls[i].fd, l->watches[i].ctx);
	}
	return 0;
}
