/* SPDX-License-Identifier: Apache-2.0
 *
 * Channels through libssh (RFC 4254): requests arrive in one callback, data in another.
 */
#include "ssh/libssh_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BACKLOG                                                                                \
	(8u << 20) /* more unread than any window we grant: the client ignores the window */

static struct libssh_channel *find_channel(struct libssh_server *s, ssh_channel ssh)
{
	struct libssh_channel *c = s->channels;

	while (c && c->ssh != ssh)
		c = c->next;
	return c;
}

static int on_data(ssh_session session, ssh_channel ssh, void *data, uint32_t len, int is_stderr,
		   void *userdata)
{
	struct libssh_channel *c = userdata;
	size_t taken;

	(void)session;
	(void)ssh;
	/* Nobody sends extended data to a server: taken and dropped. */
	if (is_stderr)
		return (int)len;
	taken = c->server->ops->data(c->user, data, len);
	c->backlog = len - taken;
	if (c->backlog > MAX_BACKLOG)
		c->server->dead = true;
	return (int)taken;
}

static void on_eof(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct libssh_channel *c = userdata;

	(void)session;
	(void)ssh;
	c->server->ops->eof(c->user);
}

static void on_close(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct libssh_channel *c = userdata;

	(void)session;
	(void)ssh;
	c->server->ops->closed(c->user);
}

static void on_signal(ssh_session session, ssh_channel ssh, const char *name, void *userdata)
{
	struct libssh_channel *c = userdata;

	(void)session;
	(void)ssh;
	c->server->ops->signal(c->user, name);
}

static void on_agent(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct libssh_channel *c = userdata;

	(void)session;
	(void)ssh;
	c->server->ops->agent(c->user);
}

static struct libssh_channel *new_channel(struct libssh_server *s, void *user)
{
	struct libssh_channel *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->server = s;
	c->user = user;
	c->next = s->channels;
	s->channels = c;
	return c;
}

static int attach(struct libssh_channel *c, ssh_channel ssh, bool session)
{
	c->ssh = ssh;
	c->callbacks.userdata = c;
	c->callbacks.channel_data_function = on_data;
	c->callbacks.channel_eof_function = on_eof;
	c->callbacks.channel_close_function = on_close;
	if (session) {
		c->callbacks.channel_signal_function = on_signal;
		c->callbacks.channel_auth_agent_req_function = on_agent;
	}
	ssh_callbacks_init(&c->callbacks);
	return ssh_set_channel_callbacks(ssh, &c->callbacks) == SSH_OK ? 0 : -EIO;
}

static bool on_channel_open(struct libssh_server *s, ssh_message m)
{
	bool session = ssh_message_subtype(m) == SSH_CHANNEL_SESSION;
	struct libssh_channel *c;
	ssh_channel ssh;

	if (!session && ssh_message_subtype(m) != SSH_CHANNEL_DIRECT_TCPIP)
		return false;
	c = new_channel(s, NULL);
	if (!c)
		return false;
	if (session) {
		c->user = s->ops->open_session(s->ctx, c);
	} else {
		const char *host = ssh_message_channel_request_open_destination(m);
		const char *from = ssh_message_channel_request_open_originator(m);

		c->user = s->ops->open_direct(
			s->ctx, c, host ? host : "",
			(uint16_t)ssh_message_channel_request_open_destination_port(m),
			from ? from : "",
			(uint16_t)ssh_message_channel_request_open_originator_port(m));
	}
	if (!c->user) {
		libssh_channel_free(c);
		return false;
	}
	ssh = ssh_message_channel_request_open_reply_accept(m);
	if (!ssh || attach(c, ssh, session) < 0)
		s->dead = true;
	return true;
}

static bool on_channel_request(struct libssh_server *s, ssh_message m)
{
	struct libssh_channel *c = find_channel(s, ssh_message_channel_request_channel(m));
	const struct libssh_server_ops *ops = s->ops;
	struct libssh_window window = {0};
	const char *text;

	if (!c)
		return false;
	switch (ssh_message_subtype(m)) {
	case SSH_CHANNEL_REQUEST_PTY:
	case SSH_CHANNEL_REQUEST_WINDOW_CHANGE:
		window.cols = (uint32_t)ssh_message_channel_request_pty_width(m);
		window.rows = (uint32_t)ssh_message_channel_request_pty_height(m);
		window.xpixel = (uint32_t)ssh_message_channel_request_pty_pxwidth(m);
		window.ypixel = (uint32_t)ssh_message_channel_request_pty_pxheight(m);
		if (ssh_message_subtype(m) == SSH_CHANNEL_REQUEST_WINDOW_CHANGE) {
			ops->window(c->user, &window);
			return true;
		}
		text = ssh_message_channel_request_pty_term(m);
		return ops->pty(c->user, text ? text : "", &window);
	case SSH_CHANNEL_REQUEST_ENV: {
		const char *name = ssh_message_channel_request_env_name(m);

		text = ssh_message_channel_request_env_value(m);
		return name && text && ops->env(c->user, name, text);
	}
	case SSH_CHANNEL_REQUEST_SHELL:
		return ops->start(c->user, LIBSSH_SHELL, "");
	case SSH_CHANNEL_REQUEST_EXEC:
		text = ssh_message_channel_request_command(m);
		return ops->start(c->user, LIBSSH_EXEC, text ? text : "");
	case SSH_CHANNEL_REQUEST_SUBSYSTEM:
		text = ssh_message_channel_request_subsystem(m);
		return ops->start(c->user, LIBSSH_SUBSYSTEM, text ? text : "");
	default: /* X11, break and what is unknown */
		if (s->no_more)
			ops->no_more(c->user);
		return s->no_more;
	}
}

/* True when it has been answered. */
static bool on_global(struct libssh_server *s, ssh_message m)
{
	const char *address = ssh_message_global_request_address(m);
	uint32_t port = (uint32_t)ssh_message_global_request_port(m), bound = 0;
	bool ok;

	if (!address || port > UINT16_MAX)
		return false;
	switch (ssh_message_subtype(m)) {
	case SSH_GLOBAL_REQUEST_TCPIP_FORWARD:
		ok = s->ops->listen(s->ctx, address, port, &bound) && bound <= UINT16_MAX;
		break;
	case SSH_GLOBAL_REQUEST_CANCEL_TCPIP_FORWARD:
		ok = s->ops->unlisten(s->ctx, address, port);
		break;
	default:
		return false;
	}
	if (ok)
		ssh_message_global_request_reply_success(m, (uint16_t)bound);
	return ok;
}

/* 1: libssh refuses it for us; 0: answered. libssh frees the message. */
int libssh_channel_message(ssh_session session, ssh_message m, void *userdata)
{
	struct libssh_server *s = userdata;

	(void)session;
	libssh_log_message(s);
	if (s->dead)
		return 1;
	switch (ssh_message_type(m)) {
	case SSH_REQUEST_CHANNEL_OPEN:
		return on_channel_open(s, m) ? 0 : 1;
	case SSH_REQUEST_CHANNEL:
		if (!on_channel_request(s, m))
			return 1;
		ssh_message_channel_request_reply_success(m);
		return 0;
	case SSH_REQUEST_GLOBAL:
		return on_global(s, m) ? 0 : 1;
	default: /* authentication and services are over */
		s->dead = true;
		return 0;
	}
}

static int open_again(struct libssh_channel *c)
{
	int rc = c->agent
			 ? ssh_channel_open_auth_agent(c->ssh)
			 : ssh_channel_open_reverse_forward(c->ssh, c->address, (int)c->port,
							    c->originator, (int)c->originator_port);

	if (rc == SSH_OK)
		return 1;
	return rc == SSH_AGAIN ? 0 : -ECONNREFUSED;
}

static int open_channel(struct libssh_channel *c, struct libssh_channel **ret_channel)
{
	ssh_channel ssh = ssh_channel_new(c->server->session);
	int rc = -ENOMEM;

	if (ssh)
		rc = attach(c, ssh, false);
	if (rc == 0)
		rc = open_again(c);
	if (rc < 0) {
		libssh_channel_free(c);
		return rc;
	}
	*ret_channel = c;
	return 0;
}

int libssh_channel_open_forwarded(struct libssh_server *s, void *user, const char *address,
				  uint32_t port, const char *originator, uint32_t originator_port,
				  struct libssh_channel **ret_channel)
{
	struct libssh_channel *c = new_channel(s, user);

	if (!c)
		return -ENOMEM;
	libssh_take_text(c->address, sizeof(c->address), address);
	libssh_take_text(c->originator, sizeof(c->originator), originator);
	c->port = port;
	c->originator_port = originator_port;
	return open_channel(c, ret_channel);
}

int libssh_channel_open_agent(struct libssh_server *s, void *user,
			      struct libssh_channel **ret_channel)
{
	struct libssh_channel *c = new_channel(s, user);

	if (!c)
		return -ENOMEM;
	c->agent = true;
	return open_channel(c, ret_channel);
}

int libssh_channel_opened(struct libssh_channel *c)
{
	return open_again(c);
}

uint32_t libssh_channel_window(struct libssh_channel *c)
{
	return ssh_channel_is_open(c->ssh) ? ssh_channel_window_size(c->ssh) : 0;
}

ssize_t libssh_channel_write(struct libssh_channel *c, const void *data, size_t len, bool is_stderr)
{
	uint32_t window = libssh_channel_window(c);
	int n;

	if (len > window)
		len = window;
	if (len == 0)
		return 0;
	ssh_set_log_level(SSH_LOG_PROTOCOL);
	n = is_stderr ? ssh_channel_write_stderr(c->ssh, data, (uint32_t)len)
		      : ssh_channel_write(c->ssh, data, (uint32_t)len);
	return n < 0 ? -EPIPE : n;
}

size_t libssh_channel_backlog(struct libssh_channel *c)
{
	return c->backlog;
}

ssize_t libssh_channel_read(struct libssh_channel *c, void *out, size_t cap)
{
	int n;

	if (c->backlog == 0)
		return 0;
	if (cap > c->backlog)
		cap = c->backlog;
	n = ssh_channel_read_nonblocking(c->ssh, out, (uint32_t)cap, 0);
	if (n <= 0) {
		c->backlog = 0;
		return n == 0 || n == SSH_EOF ? 0 : -EPIPE;
	}
	c->backlog -= (size_t)n < c->backlog ? (size_t)n : c->backlog;
	return n;
}

ssize_t libssh_channel_grow(struct libssh_channel *c, void *out, size_t window)
{
	int n = ssh_channel_read_timeout(c->ssh, out, (uint32_t)window, 0, 0);

	if (n <= 0)
		return n == SSH_ERROR ? -EPIPE : 0;
	c->backlog -= (size_t)n < c->backlog ? (size_t)n : c->backlog;
	return n;
}

void libssh_channel_exit_status(struct libssh_channel *c, uint32_t status)
{
	ssh_channel_request_send_exit_status(c->ssh, (int)status);
}

void libssh_channel_exit_signal(struct libssh_channel *c, const char *name, bool core)
{
	ssh_channel_request_send_exit_signal(c->ssh, name, core, "", "");
}

int libssh_channel_eof(struct libssh_channel *c)
{
	int rc = ssh_channel_send_eof(c->ssh);

	if (rc == SSH_ERROR)
		return -EPIPE;
	return rc == SSH_OK;
}

int libssh_channel_close(struct libssh_channel *c)
{
	/* SSH_AGAIN may mean that only the end of file went out. */
	int rc = ssh_channel_close(c->ssh);

	if (rc == SSH_ERROR)
		return -EPIPE;
	return rc == SSH_OK;
}

void libssh_channel_free(struct libssh_channel *c)
{
	struct libssh_channel **at;

	if (!c)
		return;
	for (at = &c->server->channels; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	if (c->ssh) {
		ssh_remove_channel_callbacks(c->ssh, &c->callbacks);
		/* At the end libssh frees it with the session, and the client hears of the end
		 * alone: a close before it would be exit status 0 for its -W. */
		if (!c->server->dead)
			ssh_channel_free(c->ssh);
	}
	free(c);
}
