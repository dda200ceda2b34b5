/* SPDX-License-Identifier: Apache-2.0
 *
 * ListenAddress, Port and AddressFamily as addresses to listen on. As sshd: without ListenAddress
 * every address, and an address without a port has each Port.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "ssh/config/sshd_config_internal.h"

#define DEFAULT_PORT 22

struct listen_list {
	struct endpoint *out;
	size_t count;
	int family; /* AF_UNSPEC… */
};

static int add(struct listen_list *l, const char *host, uint16_t port, struct error *err)
{
	struct addrinfo hints = {.ai_family = l->family,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = (host == NULL ? AI_PASSIVE : 0) |
					     AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char text[8];
	int r, result = 0;

	snprintf(text, sizeof(text), "%u", port);
	r = getaddrinfo(host, text, &hints, &list);
	if (r != 0)
		return error_set(err, -EADDRNOTAVAIL, "ListenAddress: %s is not known: %s",
				 host != NULL ? host : "*", gai_strerror(r));
	for (const struct addrinfo *ai = list; ai != NULL && result == 0; ai = ai->ai_next) {
		struct endpoint ep;
		bool known = false;

		endpoint_from_sockaddr(ai->ai_addr, ai->ai_addrlen, &ep);
		for (size_t i = 0; i < l->count; i++)
			known = known || endpoint_equal(&l->out[i], &ep);
		if (known)
			continue;
		if (l->count == SSHD_LISTEN_MAX)
			result = error_set(err, -E2BIG, "ListenAddress: more than %d",
					   SSHD_LISTEN_MAX);
		else
			l->out[l->count++] = ep;
	}
	freeaddrinfo(list);
	return result;
}

/* ret_port 0: none is written. */
static int take_apart(const char *word, char host[static 256], uint16_t *ret_port)
{
	const char *colon = strrchr(word, ':'), *end = word + strlen(word);
	uint32_t port = 0;

	if (sshd_value_bare_v6(word))
		colon = NULL;
	if (word[0] == '[') {
		const char *close = strchr(word, ']');

		if (close == NULL || (close[1] != '\0' && close[1] != ':'))
			return -EINVAL;
		colon = close[1] == ':' ? close + 1 : NULL;
		end = close;
		word++;
	} else if (colon != NULL) {
		end = colon;
	}
	if (colon != NULL && sshd_value_number(colon + 1, 1, 65535, &port) < 0)
		return -EINVAL;
	if (end == word || end - word > 255)
		return -EINVAL;
	snprintf(host, 256, "%.*s", (int)(end - word), word);
	*ret_port = (uint16_t)port;
	return 0;
}

int sshd_config_listen(const struct sshd_options *o, struct endpoint out[static SSHD_LISTEN_MAX],
		       size_t *ret_count, struct error *err)
{
	static const int families[] = {[SSHD_FAMILY_ANY] = AF_UNSPEC,
				       [SSHD_FAMILY_INET] = AF_INET,
				       [SSHD_FAMILY_INET6] = AF_INET6};
	const uint16_t standard[] = {DEFAULT_PORT};
	const uint16_t *ports = o->port_count > 0 ? o->ports : standard;
	size_t port_count = o->port_count > 0 ? o->port_count : 1;
	struct listen_list l = {.out = out, .family = families[o->address_family]};
	size_t hosts = o->listen.count > 0 ? o->listen.count : 1;
	int r = 0;

	for (size_t i = 0; r == 0 && i < hosts; i++) {
		char host[256];
		uint16_t port = 0;

		if (o->listen.count > 0 && take_apart(o->listen.word[i], host, &port) < 0)
			return error_set(err, -EINVAL, "ListenAddress: \"%s\" is no address",
					 o->listen.word[i]);
		for (size_t n = 0; r == 0 && n < (port != 0 ? 1 : port_count); n++)
			r = add(&l, o->listen.count > 0 ? host : NULL, port != 0 ? port : ports[n],
				err);
	}
	*ret_count = l.count;
	return r;
}
