/* SPDX-License-Identifier: Apache-2.0
 *
 * Forwards of warren-ssh: listeners for -L and -D, the server's listeners for -R, and the
 * connections that both bring. The server may only reach what a -R or -A on the command line names.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ssh/client_internal.h"

#define BACKLOG 128

/* ---- Listeners. */

static int resolve(const char *host, uint16_t port, int flags, struct addrinfo **ret_list,
		   const char **ret_why)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	char service[8];
	int rc;

	hints.ai_flags = flags | AI_NUMERICSERV;
	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(host, service, &hints, ret_list);
	*ret_why = rc != 0 ? gai_strerror(rc) : "";
	return rc != 0 ? -EHOSTUNREACH : 0;
}

static int listen_on(const struct addrinfo *a)
{
	int on = 1, r;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* On all addresses of the name; one of them is enough. */
static int listen_local(struct client *c, const struct client_forward *f)
{
	const char *name = f->bind_given ? f->bind : c->options.gateway_ports ? "" : "localhost";
	bool loopback = strcmp(name, "localhost") == 0;
	struct addrinfo *list = NULL;
	const char *why = "";
	int made = 0, r;

	/* Without a name: every address when AI_PASSIVE is given, else both loopbacks, which a
	 * machine's "localhost" need not have. */
	r = resolve(*name && !loopback ? name : NULL, f->port, loopback ? 0 : AI_PASSIVE, &list,
		    &why);
	if (r < 0) {
		client_say(c, CLIENT_LOG_ERROR, "cannot listen on %s: %s", name, why);
		return r;
	}
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		int fd = c->listener_count < CLIENT_LISTENERS ? listen_on(a) : -EMFILE;

		if (fd < 0) {
			r = fd;
			continue;
		}
		c->listeners[c->listener_count++] = (struct client_listener){fd, f};
		made++;
	}
	freeaddrinfo(list);
	if (made > 0)
		return 0;
	client_say(c, CLIENT_LOG_ERROR, "cannot listen on %s port %u: %s", *name ? name : "*",
		   f->port, strerror(-r));
	return r;
}

static int listen_remote(struct client *c, const struct client_forward *f, size_t number)
{
	const char *address = f->bind_given ? f->bind : "localhost";
	uint16_t port = 0;
	int r;

	do
		r = libssh_client_listen(c->ssh, address, f->port, &port);
	while (r == 0 && (r = client_wait(c, 0)) == 0);
	if (r == -ECANCELED || !libssh_client_alive(c->ssh))
		return -ECANCELED;
	if (r < 0) {
		client_say(c, CLIENT_LOG_ERROR,
			   "%s does not listen on port %u for -R: policy or the machine forbids "
			   "it, or "
			   "the port is taken",
			   c->name, f->port);
		return r;
	}
	c->remote_ports[number] = port;
	if (f->port == 0)
		client_say(c, CLIENT_LOG_INFO, "Allocated port %u for remote forward to %s:%u",
			   port, f->host, f->host_port);
	return 0;
}

int client_forward_start(struct client *c)
{
	for (size_t i = 0; i < c->options.forward_count; i++) {
		const struct client_forward *f = &c->options.forwards[i];
		int r;

		r = f->kind == CLIENT_FORWARD_REMOTE ? listen_remote(c, f, i) : listen_local(c, f);
		if (r == -ECANCELED || (r < 0 && c->options.exit_on_forward_failure))
			return r;
	}
	return 0;
}

/* ---- Local programs connect to us. */

static void name_peer(struct client_channel *ch, const struct sockaddr_storage *from)
{
	socklen_t len = from->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						    : sizeof(struct sockaddr_in);
	char port[8] = "0";

	if (getnameinfo((const struct sockaddr *)from, len, ch->originator, sizeof(ch->originator),
			port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		(void)stpcpy(ch->originator, "127.0.0.1");
	ch->originator_port = (uint16_t)strtoul(port, NULL, 10);
}

static int begin_open(struct client_channel *ch)
{
	ch->ssh = libssh_client_channel_new(ch->client->ssh, ch);
	ch->state = CLIENT_OPENING;
	return ch->ssh ? 0 : -ENOMEM;
}

void client_forward_accept(struct client *c, const struct client_listener *listener)
{
	const struct client_forward *f = listener->forward;
	struct sockaddr_storage from = {0};
	socklen_t len = sizeof(from);
	struct client_channel *ch;
	int on = 1;
	int fd = accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	ch = client_channel_new(c, CLIENT_OUTGOING);
	if (!ch) {
		close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	client_channel_socket_take(ch, fd);
	name_peer(ch, &from);
	if (f->kind == CLIENT_FORWARD_DYNAMIC) {
		ch->state = CLIENT_SOCKS;
		return;
	}
	memcpy(ch->host, f->host, sizeof(ch->host));
	ch->port = f->host_port;
	if (begin_open(ch) < 0)
		client_channel_free(ch);
}

static void socks_send(struct client_channel *ch)
{
	const struct client_fd *out = &ch->sinks[0].out;

	/* Ten bytes on a connection where nothing else was sent: they fit. */
	if (ch->socks.reply_len > 0 &&
	    client_fd_write(out, ch->socks.reply, ch->socks.reply_len) < 0)
		ch->sinks[0].broken = true;
}

int client_forward_socks(struct client_channel *ch, const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len) {
		switch (client_socks_byte(&ch->socks, data[at++])) {
		case CLIENT_SOCKS_MORE:
			break;
		case CLIENT_SOCKS_REPLY:
			socks_send(ch);
			break;
		case CLIENT_SOCKS_CONNECT:
			memcpy(ch->host, ch->socks.host, sizeof(ch->host));
			ch->port = ch->socks.port;
			/* What the program sent without waiting for the answer. */
			if (at < len && buffer_append(&ch->out_carry, data + at, len - at) < 0)
				return -ENOMEM;
			return begin_open(ch);
		case CLIENT_SOCKS_BAD:
			socks_send(ch);
			ch->state = CLIENT_CLOSING;
			return 0;
		}
	}
	return 0;
}

void client_forward_opened(struct client_channel *ch, bool good)
{
	if (ch->socks.len == 0)
		return;
	client_socks_answer(&ch->socks, good);
	socks_send(ch);
}

/* ---- The server connects to us. */

int client_forward_connect(struct client_channel *ch)
{
	int r = -EHOSTUNREACH;

	if (ch->in_fd >= 0) {
		close(ch->in_fd);
		ch->in_fd = ch->sinks[0].out.fd = ch->sinks[0].given = -1;
	}
	for (; ch->next_address; ch->next_address = ch->next_address->ai_next) {
		const struct addrinfo *a = ch->next_address;
		int on = 1;
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0) {
			r = -errno;
			continue;
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (connect(fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS) {
			client_channel_socket_take(ch, fd);
			ch->state = CLIENT_CONNECTING;
			ch->next_address = a->ai_next;
			return 0;
		}
		r = -errno;
		close(fd);
	}
	client_say(ch->client, CLIENT_LOG_ERROR, "cannot connect to %s port %u for -R: %s",
		   ch->host, ch->port, strerror(-r));
	return r;
}

static const struct client_forward *find_remote(const struct client *c, uint32_t port)
{
	for (size_t i = 0; i < c->options.forward_count; i++) {
		if (c->options.forwards[i].kind == CLIENT_FORWARD_REMOTE && port != 0 &&
		    c->remote_ports[i] == port)
			return &c->options.forwards[i];
	}
	return NULL;
}

void *client_forward_incoming(void *ctx, struct libssh_client_channel *ssh, const char *address,
			      uint32_t port)
{
	struct client *c = ctx;
	const struct client_forward *f = find_remote(c, port);
	struct client_channel *ch;
	const char *why = "";

	(void)address; /* of the server's side: which of its own it used */
	if (!f)
		return NULL;
	ch = client_channel_new(c, CLIENT_INCOMING);
	if (!ch)
		return NULL;
	memcpy(ch->host, f->host, sizeof(ch->host));
	ch->port = f->host_port;
	if (resolve(ch->host, ch->port, 0, &ch->addresses, &why) < 0) {
		client_say(c, CLIENT_LOG_ERROR, "cannot connect to %s for -R: %s", ch->host, why);
		client_channel_free(ch);
		return NULL;
	}
	ch->next_address = ch->addresses;
	if (client_forward_connect(ch) < 0) {
		client_channel_free(ch);
		return NULL;
	}
	ch->ssh = ssh;
	return ch;
}

void *client_forward_agent(void *ctx, struct libssh_client_channel *ssh)
{
	struct client *c = ctx;
	const char *path = getenv("SSH_AUTH_SOCK");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct client_channel *ch;
	int fd;

	if (!c->options.agent || !path || strlen(path) >= sizeof(address.sun_path))
		return NULL;
	(void)stpcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	ch = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0
		     ? client_channel_new(c, CLIENT_INCOMING)
		     : NULL;
	if (!ch) {
		close(fd);
		return NULL;
	}
	client_channel_socket_take(ch, fd);
	ch->state = CLIENT_RUNNING;
	ch->ssh = ssh;
	return ch;
}
