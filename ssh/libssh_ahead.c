/* SPDX-License-Identifier: Apache-2.0
 *
 * recv and poll of the worker: see the header. The state is global because the interposed functions
 * get no context of ours.
 */
/* Or the C library's headers bring inline functions of these names. */
#undef _FORTIFY_SOURCE
#include "ssh/libssh_ahead.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static struct {
	int fd;
	uint8_t *data; /* [LIBSSH_AHEAD_BYTES]; NULL: not started */
	size_t at, len;
	bool paused;
	void (*taken)(size_t came);
} ahead;

int libssh_ahead_start(int fd)
{
	if (!ahead.data)
		ahead.data = malloc(LIBSSH_AHEAD_BYTES);
	ahead.fd = fd;
	ahead.at = ahead.len = 0;
	ahead.paused = false;
	return ahead.data ? 0 : -ENOMEM;
}

void libssh_ahead_stop(void)
{
	free(ahead.data);
	ahead.data = NULL;
	ahead.at = ahead.len = 0;
	ahead.taken = NULL;
}

bool libssh_ahead_waiting(void)
{
	return ahead.at < ahead.len && !ahead.paused;
}

void libssh_ahead_tell(void (*taken)(size_t came))
{
	ahead.taken = taken;
}

void libssh_ahead_pause(bool on)
{
	ahead.paused = on;
}

__attribute__((visibility("default"))) ssize_t recv(int fd, void *out, size_t cap, int flags)
{
	if (!ahead.data || fd != ahead.fd || flags)
		return recvfrom(fd, out, cap, flags, NULL, NULL);
	if (ahead.at == ahead.len) {
		ssize_t n;

		/* What would fill the caller's buffer anyway needs no second copy. */
		if (cap >= LIBSSH_AHEAD_BYTES)
			return recvfrom(fd, out, cap, 0, NULL, NULL);
		n = recvfrom(fd, ahead.data, LIBSSH_AHEAD_BYTES, 0, NULL, NULL);
		if (n <= 0)
			return n;
		ahead.at = 0;
		ahead.len = (size_t)n;
	}
	if (cap > ahead.len - ahead.at)
		cap = ahead.len - ahead.at;
	memcpy(out, ahead.data + ahead.at, cap);
	ahead.at += cap;
	if (ahead.taken)
		ahead.taken(ahead.len);
	return (ssize_t)cap;
}

/* The entry of the connection that must not be read now. */
static struct pollfd *paused_entry(struct pollfd *fds, nfds_t count)
{
	for (nfds_t i = 0; ahead.data && ahead.paused && i < count; i++) {
		if (fds[i].fd == ahead.fd && (fds[i].events & POLLIN))
			return &fds[i];
	}
	return NULL;
}

static struct pollfd *readable_ahead(struct pollfd *fds, nfds_t count)
{
	for (nfds_t i = 0; libssh_ahead_waiting() && i < count; i++) {
		if (fds[i].fd == ahead.fd && (fds[i].events & POLLIN))
			return &fds[i];
	}
	return NULL;
}

__attribute__((visibility("default"))) int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	struct pollfd *mine = readable_ahead(fds, count), *paused = paused_entry(fds, count);
	struct timespec wait = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	int ready;

	/* libssh asks for POLLOUT each time; it hears of that when this much is taken. */
	if (mine && count == 1) {
		mine->revents = POLLIN;
		return 1;
	}
	if (mine)
		wait = (struct timespec){0};
	if (paused)
		paused->events &= (short)~POLLIN;
	ready = ppoll(fds, count, mine || timeout_ms >= 0 ? &wait : NULL, NULL);
	if (paused) /* libssh keeps what it asked for */
		paused->events |= POLLIN;
	if (ready >= 0 && mine && !(mine->revents & POLLIN)) {
		ready += mine->revents == 0;
		mine->revents |= POLLIN;
	}
	return ready;
}
