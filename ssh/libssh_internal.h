/* SPDX-License-Identifier: Apache-2.0
 *
 * What libssh_server.c, libssh_log.c, libssh_auth.c and libssh_channel.c share: the only files that include
 * libssh.
 */
#ifndef WARREN_SSH_LIBSSH_INTERNAL_H
#define WARREN_SSH_LIBSSH_INTERNAL_H

/* The message interface is marked as old, but the callbacks cannot defer an answer. */
#define SSH_SUPPRESS_DEPRECATED 1
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ssh/libssh_server.h"

struct libssh_channel {
	struct libssh_server *server;
	struct libssh_channel *next;
	ssh_channel ssh;
	void *user;
	size_t backlog;
	bool agent; /* which open to call again */
	char address[256], originator[256];
	uint32_t port, originator_port;
	struct ssh_channel_callbacks_struct callbacks;
};

struct libssh_server {
	ssh_session session;
	ssh_event event;
	struct ssh_counter_struct counter, said; /* of the socket; of packets */
	uint64_t heard; /* of what was said: the client's side has taken it */
	ssh_message message;  /* the newest authentication request */
	uint64_t seen, taken; /* authentication requests that libssh read, and that reached us */
	bool dead;
	/* Of the packet at hand, by libssh's log: */
	bool no_more;		/* it is eow@openssh.com */
	bool channel, global;	/* a request that has not been read yet */
	bool unreadable;	/* one never was */
	const struct libssh_server_ops *ops;
	void *ctx;
	struct libssh_channel *channels;
	uint8_t signature[LIBSSH_HOOKS_SIGNATURE_MAX]; /* of the newest KEY, as SSH writes it */
};

/* Copies text; what does not fit becomes empty: no account and no address is that long. */
void libssh_take_text(char *out, size_t cap, const char *text);
/* ---- libssh_log.c */
void libssh_log_start(struct libssh_server *s);
void libssh_log_stop(void);
/* The login stands: from here each packet that comes in a small piece has its lines. */
void libssh_log_listen(void);
/* A message of a channel has come out of libssh. */
void libssh_log_message(struct libssh_server *s);
/* Did libssh drop a request of the client because it could not read it? */
bool libssh_log_unreadable(const struct libssh_server *s);

/* libssh's message callback after the login: 0 answered, 1 refuse it. */
int libssh_channel_message(ssh_session session, ssh_message m, void *userdata);

#endif
