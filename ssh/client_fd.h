/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors that warren-ssh writes to without ever waiting in write(2), and without making them
 * non-blocking for the programs that share them (the shell's terminal, a pipeline's pipe).
 */
#ifndef WARREN_SSH_CLIENT_FD_H
#define WARREN_SSH_CLIENT_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "platform/error.h"

enum client_fd_kind {
	CLIENT_FD_FILE,	  /* never blocks for long */
	CLIENT_FD_SOCKET, /* MSG_DONTWAIT */
	CLIENT_FD_STREAM, /* pipe or terminal, opened once more for ourselves, non-blocking */
	CLIENT_FD_SHARED, /* the same where that is not allowed: little at a time */
};

struct client_fd {
	int fd; /* -1: none */
	enum client_fd_kind kind;
};

/* For writing to fd, which stays the caller's; a copy may be opened. */
void client_fd_open(struct client_fd *f, int fd);
/* Closes the copy (not a fd that was given), or, for a socket, nothing. */
void client_fd_close(struct client_fd *f, int given);
/* Bytes written, or -errno (-EAGAIN: poll for POLLOUT). */
ssize_t client_fd_write(const struct client_fd *f, const void *data, size_t len);

#endif
