/* SPDX-License-Identifier: Apache-2.0
 *
 * The UAPI socket: connections, requests that end with an empty line, answers.
 */
#ifndef WARREN_TUNNEL_UAPI_SERVER_H
#define WARREN_TUNNEL_UAPI_SERVER_H

#include "tunnel/tunnel.h"

struct uapi_server;

/* Serves a listening stream socket (taken on success) in the loop of t. */
int uapi_server_new(struct tunnel *t, int listen_fd,
		    struct uapi_server **ret_server) WARREN_MUST_USE;
void uapi_server_free(struct uapi_server *s); /* before tunnel_free */

#endif
