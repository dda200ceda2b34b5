/* SPDX-License-Identifier: Apache-2.0
 *
 * Client and framing of the daemon's socket (daemon/PROTOCOL.md sections 4 and 5): one JSON object a
 * line, at most 1 MiB. The client side is blocking, for the command line and the tray; the framing is
 * shared with main. No big library in here: jansson only.
 */
#ifndef WARREN_DAEMON_IPC_IPC_H
#define WARREN_DAEMON_IPC_IPC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "platform/buffer.h"
#include "platform/error.h"

#define IPC_MAX_LINE       (1u << 20)
#define IPC_DEFAULT_SOCKET "/run/warren/warrend.sock"
#define IPC_ROOT_SUFFIX    ".root"

/* The socket to use: explicit path, else WARREN_SOCKET, else "socket" in /etc/warren/warren.json, else
 * the default. out[cap]. */
int ipc_socket_path(const char *explicit_path, char *out, size_t cap) WARREN_MUST_USE;

struct ipc_client;
/* -ECONNREFUSED / -ENOENT with the sentence for exit code 3. */
int ipc_connect(const char *socket_path, struct ipc_client **ret_client, struct error *err)
	WARREN_MUST_USE;
void ipc_close(struct ipc_client *c);
int ipc_fd(const struct ipc_client *c);
/* Whoever started us holds the other end of fd (a pipe or socket): when it hangs up, a call that waits ends
 * with -ECANCELED. -1: nobody. */
void ipc_watch(struct ipc_client *c, int fd);
/* Sends request (borrowed; "id" is added) and waits for its result: 0 and *ret_result (new reference),
 * or a negative code with the daemon's sentence; *ret_exit gets the documented exit code. on_event
 * (may be NULL) sees each event object. timeout_ms -1: none. */
int ipc_call(struct ipc_client *c, json_t *request, void (*on_event)(void *ctx, const json_t *event),
	     void *ctx, int timeout_ms, json_t **ret_result, int *ret_exit, struct error *err)
	WARREN_MUST_USE;

/* Framing for both sides: takes the next whole line out of in; 0 and *ret_object, -EAGAIN when there
 * is none yet, -EBADMSG / -EMSGSIZE otherwise. */
int ipc_next(struct buffer *in, json_t **ret_object, struct error *err) WARREN_MUST_USE;
/* Appends object and newline. */
int ipc_append(struct buffer *out, const json_t *object) WARREN_MUST_USE;

#endif
