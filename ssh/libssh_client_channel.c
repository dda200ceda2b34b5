/* SPDX-License-Identifier: Apache-2.0
 *
 * Channels through libssh, seen from the client (RFC 4254).
 */
#include "ssh/libssh_client_internal.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_BACKLOG (8u << 20) /* more than any window we grant: the server ignores the window */

static int on_data(ssh_session session, ssh_channel ssh, void *data, uint32_t len, int is_stderr,
		   void *userdata)
{
	struct libssh_client_channel *ch = userdata;
	size_t taken = ch->client->ops->data(ch->user, data, len, is_stderr != 0);

	(void)session;
	(void)ssh;
	ch->backlog[is_stderr != 0] = len - taken;
	if (len - taken > MAX_BACKLOG)
		ch->client->dead = true;
	return (int)taken;
}

static void on_eof(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct libssh_client_channel *ch = userdata;

	(void)session;
	(void)ssh;
	ch->client->ops->eof(ch->user);
}

static void on_close(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct libssh_client_channel *ch = userdata;

	(void)session;
	(void)ssh;
	ch->client->ops->closed(ch->user);
}

static void on_exit_status(ssh_session session, ssh_channel ssh, int status, void *userdata)
{
	struct libssh_client_channel *ch = userdata;

	(void)session;
	(void)ssh;
	ch->client->ops->exit_status(ch->user, (uint32_t)status);
}

static void on_exit_signal(ssh_session session, ssh_channel ssh, const char *name, int core,
			   const char *message, const char *language, void *userdata)
{
	struct libssh_client_channel *ch = userdata;

	(void)session;
	(void)ssh;
	(void)message;
	(void)language;
	ch->client->ops->exit_signal(ch->user, name ? name : "", core != 0);
}

static int attach(struct libssh_client_channel *ch)
{
	ch->callbacks.userdata = ch;
	ch->callbacks.channel_data_function = on_data;
	ch->callbacks.channel_eof_function = on_eof;
	ch->callbacks.channel_close_function = on_close;
	ch->callbacks.channel_exit_status_function = on_exit_status;
	ch->callbacks.channel_exit_signal_function = on_exit_signal;
	ssh_callbacks_init(&ch->callbacks);
	return ssh_set_channel_callbacks(ch->ssh, &ch->callbacks) == SSH_OK ? 0 : -EIO;
}

static struct libssh_client_channel *add(struct libssh_client *c, void *user)
{
	struct libssh_client_channel *ch = calloc(1, sizeof(*ch));

	if (!ch)
		return NULL;
	ch->client = c;
	ch->user = user;
	ch->next = c->channels;
	c->channels = ch;
	return ch;
}

struct libssh_client_channel *libssh_client_channel_new(struct libssh_client *c, void *user)
{
	struct libssh_client_channel *ch = add(c, user);

	if (!ch)
		return NULL;
	ch->ssh = ssh_channel_new(c->session);
	if (!ch->ssh || attach(ch) < 0) {
		libssh_client_channel_free(ch);
		return NULL;
	}
	return ch;
}

void libssh_client_channel_free(struct libssh_client_channel *ch)
{
	struct libssh_client_channel **at;

	if (!ch)
		return;
	for (at = &ch->client->channels; *at; at = &(*at)->next) {
		if (*at == ch) {
			*at = ch->next;
			break;
		}
	}
	if (ch->ssh) {
		ssh_remove_channel_callbacks(ch->ssh, &ch->callbacks);
		ssh_channel_free(ch->ssh);
	}
	free(ch);
}

static bool on_channel_open(struct libssh_client *c, ssh_message m)
{
	int kind = ssh_message_subtype(m);
	struct libssh_client_channel *ch;

	if (kind != SSH_CHANNEL_FORWARDED_TCPIP && kind != SSH_CHANNEL_AUTH_AGENT)
		return false;
	ch = add(c, NULL);
	if (!ch)
		return false;
	if (kind == SSH_CHANNEL_AUTH_AGENT) {
		ch->user = c->ops->agent(c->ctx, ch);
	} else {
		const char *address = ssh_message_channel_request_open_destination(m);

		ch->user = c->ops->forwarded(
			c->ctx, ch, address ? address : "",
			(uint16_t)ssh_message_channel_request_open_destination_port(m));
	}
	if (!ch->user) {
		libssh_client_channel_free(ch);
		return false;
	}
	ch->ssh = ssh_message_channel_request_open_reply_accept(m);
	if (!ch->ssh || attach(ch) < 0)
		c->dead = true;
	return true;
}

int libssh_client_message(ssh_session session, ssh_message m, void *userdata)
{
	struct libssh_client *c = userdata;

	(void)session;
	if (c->dead || ssh_message_type(m) != SSH_REQUEST_CHANNEL_OPEN)
		return 1;
	return on_channel_open(c, m) ? 0 : 1;
}

static int translate(const struct libssh_client_channel *ch, int rc)
{
	if (rc == SSH_OK)
		return 1;
	return rc == SSH_AGAIN && libssh_client_alive(ch->client) ? 0 : -ECONNREFUSED;
}

int libssh_client_open_session(struct libssh_client_channel *ch)
{
	return translate(ch, ssh_channel_open_session(ch->ssh));
}

int libssh_client_open_direct(struct libssh_client_channel *ch, const char *host, uint16_t port,
			      const char *originator, uint16_t originator_port)
{
	return translate(
		ch, ssh_channel_open_forward(ch->ssh, host, port, originator, originator_port));
}

int libssh_client_request_agent(struct libssh_client_channel *ch)
{
	return translate(ch, ssh_channel_request_auth_agent(ch->ssh));
}

int libssh_client_request_pty(struct libssh_client_channel *ch, const char *term, int cols,
			      int rows)
{
	return translate(ch, ssh_channel_request_pty_size(ch->ssh, term, cols, rows));
}

int libssh_client_request_env(struct libssh_client_channel *ch, const char *name, const char *value)
{
	return translate(ch, ssh_channel_request_env(ch->ssh, name, value));
}

int libssh_client_request_shell(struct libssh_client_channel *ch)
{
	return translate(ch, ssh_channel_request_shell(ch->ssh));
}

int libssh_client_request_exec(struct libssh_client_channel *ch, const char *command)
{
	return translate(ch, ssh_channel_request_exec(ch->ssh, command));
}

int libssh_client_request_subsystem(struct libssh_client_channel *ch, const char *name)
{
	return translate(ch, ssh_channel_request_subsystem(ch->ssh, name));
}

void libssh_client_resize(struct libssh_client_channel *ch, int cols, int rows)
{
	(void)ssh_channel_change_pty_size(ch->ssh, cols, rows);
}

uint32_t libssh_client_window(struct libssh_client_channel *ch)
{
	return ssh_channel_is_open(ch->ssh) ? ssh_channel_window_size(ch->ssh) : 0;
}

ssize_t libssh_client_write(struct libssh_client_channel *ch, const void *data, size_t len)
{
	uint32_t window;
	int n;

	if (!ssh_channel_is_open(ch->ssh))
		return -EPIPE;
	window = ssh_channel_window_size(ch->ssh);
	if (len > window)
		len = window;
	if (len == 0)
		return 0;
	n = ssh_channel_write(ch->ssh, data, (uint32_t)len);
	return n < 0 ? -EPIPE : n;
}

size_t libssh_client_backlog(const struct libssh_client_channel *ch, bool is_stderr)
{
	return ch->backlog[is_stderr];
}

static void took(struct libssh_client_channel *ch, bool is_stderr, int n)
{
	size_t *backlog = &ch->backlog[is_stderr];

	*backlog -= (size_t)n < *backlog ? (size_t)n : *backlog;
}

ssize_t libssh_client_read(struct libssh_client_channel *ch, void *out, size_t cap, bool is_stderr)
{
	int n;

	if (ch->backlog[is_stderr] == 0)
		return 0;
	if (cap > ch->backlog[is_stderr])
		cap = ch->backlog[is_stderr];
	n = ssh_channel_read_nonblocking(ch->ssh, out, (uint32_t)cap, is_stderr);
	if (n <= 0) {
		ch->backlog[is_stderr] = 0;
		return n == 0 || n == SSH_EOF ? 0 : -EPIPE;
	}
	took(ch, is_stderr, n);
	return n;
}

ssize_t libssh_client_grow(struct libssh_client_channel *ch, void *out, size_t window)
{
	int n = ssh_channel_read_timeout(ch->ssh, out, (uint32_t)window, 0, 0);

	if (n <= 0)
		return n == SSH_ERROR ? -EPIPE : 0;
	took(ch, false, n);
	return n;
}

int libssh_client_eof(struct libssh_client_channel *ch)
{
	int rc = ssh_channel_send_eof(ch->ssh);

	if (rc == SSH_ERROR)
		return -EPIPE;
	return rc == SSH_OK;
}

int libssh_client_close(struct libssh_client_channel *ch)
{
	/* SSH_AGAIN may mean that only the end of file went out. */
	int rc = ssh_channel_close(ch->ssh);

	if (rc == SSH_ERROR)
		return -EPIPE;
	return rc == SSH_OK;
}
