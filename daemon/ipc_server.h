/* SPDX-License-Identifier: Apache-2.0
 *
 * The command socket's server side (daemon/PROTOCOL.md section 4): accepts, frames, knows the
 * caller, hands requests to a dispatcher and carries answers back. A request lives until it is
 * answered or its client is gone.
 */
#ifndef WARREN_DAEMON_IPC_SERVER_H
#define WARREN_DAEMON_IPC_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "platform/error.h"
#include "platform/unixsock.h"

#define IPC_GROUP "warren"

struct ipc_server;

struct ipc_request {
	const json_t *args; /* the request object, borrowed */
	char cmd[32];
	struct unixsock_cred cred; /* of the caller */
	void *data;		   /* the command's own */
	/* Called once when the client goes away before an answer: the request is dead after it. May
	 * be NULL. */
	void (*on_gone)(struct ipc_request *r);
};

/* Takes the listening descriptor. dispatch answers at once or later, always. */
int ipc_server_new(uv_loop_t *loop, int listen_fd,
		   void (*dispatch)(void *ctx, struct ipc_request *r), void *ctx,
		   struct ipc_server **ret_server) WARREN_MUST_USE;
void ipc_server_free(struct ipc_server *s);

/* root or a member of group warren. */
bool ipc_request_may_change(const struct ipc_request *r);
/* {"event":name, …fields}: fields taken (may be NULL). */
void ipc_request_event(struct ipc_request *r, const char *name, json_t *fields);
/* Answers; the request is dead after it. result taken. */
void ipc_request_result(struct ipc_request *r, json_t *result);
void ipc_request_error(struct ipc_request *r, int exit_code, const char *fmt, ...)
	WARREN_PRINTF(3, 4);

#endif
