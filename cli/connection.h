/* SPDX-License-Identifier: Apache-2.0
 *
 * The TCP connection that ssh's ProxyCommand makes: begun, finished, and handed to ssh as a
 * descriptor or byte by byte.
 */
#ifndef WARREN_CLI_CONNECTION_H
#define WARREN_CLI_CONNECTION_H

#include <stdbool.h>

/* Begins to connect; a descriptor or -errno. certificate: the server is told that one comes, and
 * does not offer a login before it has seen it. */
int connection_begin(const char *address, int port, bool certificate);
/* Waits until it is connected; then it blocks. On failure fd is closed. */
int connection_finish(int fd) __attribute__((warn_unused_result));
/* stdout is a socket (ProxyUseFdpass): ssh gets the connection itself and no byte is copied. */
int connection_pass(int fd) __attribute__((warn_unused_result));
/* Else: copies both ways until both have ended. */
int connection_copy(int fd) __attribute__((warn_unused_result));

#endif
