/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's side of SOCKS 4, 4a and 5 (RFC 1928, without authentication), CONNECT only, for
 * `warren-ssh -D`. Takes one byte at a time, so that what follows the request is never taken. Pure.
 */
#ifndef WARREN_SSH_CLIENT_SOCKS_H
#define WARREN_SSH_CLIENT_SOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum client_socks_result {
	CLIENT_SOCKS_MORE,
	CLIENT_SOCKS_REPLY,   /* send reply[reply_len], then go on */
	CLIENT_SOCKS_CONNECT, /* host and port are known */
	CLIENT_SOCKS_BAD,     /* send reply[reply_len] (may be empty) and close */
};

struct client_socks {
	uint8_t in[600];
	size_t len;
	bool greeted; /* SOCKS 5: the methods are agreed on */
	uint8_t reply[10];
	size_t reply_len;
	char host[256];
	uint16_t port;
};

/* A zeroed struct begins. */
enum client_socks_result client_socks_byte(struct client_socks *s, uint8_t byte);
/* The answer to CONNECT, into reply[reply_len]. */
void client_socks_answer(struct client_socks *s, bool connected);

#endif
