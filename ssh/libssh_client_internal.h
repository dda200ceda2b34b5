/* SPDX-License-Identifier: Apache-2.0
 *
 * What libssh_client.c and libssh_client_channel.c share.
 */
#ifndef WARREN_SSH_LIBSSH_CLIENT_INTERNAL_H
#define WARREN_SSH_LIBSSH_CLIENT_INTERNAL_H

/* The message interface is marked as old; for a channel that the server opens there is no other. */
#define SSH_SUPPRESS_DEPRECATED 1
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include "ssh/libssh_client.h"

struct libssh_client_channel {
	struct libssh_client *client;
	struct libssh_client_channel *next;
	ssh_channel ssh;
	void *user;
	size_t backlog[2]; /* stdout, stderr */
	struct ssh_channel_callbacks_struct callbacks;
};

struct libssh_client {
	ssh_session session;
	ssh_event event;
	ssh_key key;
	struct ssh_counter_struct counter;
	bool dead;
	int log; /* libssh's level that a person wants to see; 0: nothing */
	/* What the server said when it ended the connection. */
	bool has_farewell;
	uint32_t farewell_code;
	char farewell[1024];
	const struct libssh_client_ops *ops;
	void *ctx;
	struct libssh_client_channel *channels;
};

/* libssh's message callback: 0 answered, 1 refuse it. */
int libssh_client_message(ssh_session session, ssh_message m, void *userdata);

#endif
