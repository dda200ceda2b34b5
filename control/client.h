/* SPDX-License-Identifier: Apache-2.0
 *
 * One request to the admin socket, blocking: what the command line needs.
 */
#ifndef WARREN_CONTROL_CLIENT_H
#define WARREN_CONTROL_CLIENT_H

#include <stddef.h>

#include "platform/buffer.h"
#include "platform/error.h"

/* Sends and waits for the whole answer; ret_body gets its body. -ECONNREFUSED, -ENOENT, -EACCES
 * when nobody answers, with a sentence. */
int client_call(const char *socket_path, const char *method, const char *path, const void *body,
		size_t len, int *ret_status, struct buffer *ret_body,
		struct error *err) WARREN_MUST_USE;

#endif
