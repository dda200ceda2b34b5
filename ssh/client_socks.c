/* SPDX-License-Identifier: Apache-2.0
 *
 * See client_socks.h. A host name may hold no byte that is not printable ASCII: it goes to the
 * server and into messages.
 */
#include "ssh/client_socks.h"

#include <arpa/inet.h>
#include <string.h>

#define SOCKS5_HEAD 4 /* version, command, 0, address type */

static enum client_socks_result bad(struct client_socks *s, bool answer)
{
	s->reply_len = 0;
	if (answer)
		client_socks_answer(s, false);
	return CLIENT_SOCKS_BAD;
}

static bool take_host(struct client_socks *s, const uint8_t *text, size_t len)
{
	if (len == 0 || len >= sizeof(s->host))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] >= 0x7f)
			return false;
	}
	memcpy(s->host, text, len);
	s->host[len] = '\0';
	return true;
}

static uint16_t port_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* 4, 1, port[2], address[4], user, 0; with address 0.0.0.x (x not 0) then host, 0 (4a). */
static enum client_socks_result socks4(struct client_socks *s)
{
	const uint8_t *user_end, *host;
	bool named;

	if (s->len >= 2 && s->in[1] != 1)
		return bad(s, true);
	if (s->len < 9 || s->in[s->len - 1] != 0)
		return CLIENT_SOCKS_MORE;
	named = s->in[4] == 0 && s->in[5] == 0 && s->in[6] == 0 && s->in[7] != 0;
	user_end = memchr(s->in + 8, 0, s->len - 8);
	s->port = port_at(s->in + 2);
	if (!named) {
		inet_ntop(AF_INET, s->in + 4, s->host, sizeof(s->host));
		return s->port != 0 ? CLIENT_SOCKS_CONNECT : bad(s, true);
	}
	host = user_end + 1;
	if (host == s->in + s->len)
		return CLIENT_SOCKS_MORE;
	if (s->port == 0 || !take_host(s, host, (size_t)(s->in + s->len - host) - 1))
		return bad(s, true);
	return CLIENT_SOCKS_CONNECT;
}

/* 5, n, method[n] */
static enum client_socks_result socks5_greeting(struct client_socks *s)
{
	bool good;

	if (s->len < 2 || s->len < 2u + s->in[1])
		return CLIENT_SOCKS_MORE;
	good = memchr(s->in + 2, 0, s->in[1]) != NULL;
	s->reply[0] = 5;
	s->reply[1] = good ? 0 : 0xff;
	s->reply_len = 2;
	s->greeted = true;
	s->len = 0;
	return good ? CLIENT_SOCKS_REPLY : CLIENT_SOCKS_BAD;
}

/* 5, 1, 0, type, address, port[2] */
static enum client_socks_result socks5_request(struct client_socks *s)
{
	const uint8_t *address = s->in + SOCKS5_HEAD;
	size_t len;

	if (s->in[0] != 5 || (s->len >= 2 && s->in[1] != 1))
		return bad(s, s->in[0] == 5);
	if (s->len < SOCKS5_HEAD + 1)
		return CLIENT_SOCKS_MORE;
	switch (s->in[3]) {
	case 1:
		len = 4;
		break;
	case 3:
		len = 1u + address[0];
		break;
	case 4:
		len = 16;
		break;
	default:
		return bad(s, true);
	}
	if (s->len < SOCKS5_HEAD + len + 2)
		return CLIENT_SOCKS_MORE;
	s->port = port_at(address + len);
	if (s->in[3] == 3 && !take_host(s, address + 1, address[0]))
		return bad(s, true);
	if (s->in[3] != 3)
		inet_ntop(s->in[3] == 1 ? AF_INET : AF_INET6, address, s->host, sizeof(s->host));
	return s->port != 0 ? CLIENT_SOCKS_CONNECT : bad(s, true);
}

enum client_socks_result client_socks_byte(struct client_socks *s, uint8_t byte)
{
	if (s->len == sizeof(s->in))
		return bad(s, false);
	s->in[s->len++] = byte;
	if (s->greeted)
		return socks5_request(s);
	if (s->in[0] == 4)
		return socks4(s);
	return s->in[0] == 5 ? socks5_greeting(s) : bad(s, false);
}

void client_socks_answer(struct client_socks *s, bool connected)
{
	memset(s->reply, 0, sizeof(s->reply));
	if (s->greeted) {
		s->reply[0] = 5;
		s->reply[1] = connected ? 0 : 5; /* connection refused */
		s->reply[3] = 1;
		s->reply_len = 10;
	} else {
		s->reply[1] = connected ? 90 : 91;
		s->reply_len = 8;
	}
}
