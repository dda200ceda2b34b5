/* SPDX-License-Identifier: Apache-2.0
 *
 * What the client asks for once the login stands (libssh_server_ops): it goes to the monitor, and the
 * descriptors that the monitor sends go behind the channels.
 */
#include "ssh/worker_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "platform/clock.h"

/* Nothing else of the connection moves meanwhile. */
#define CONNECT_SOON_MS 50
#define CONNECT_HURRIED_NS NSEC_PER_SEC /* after one that was slow nobody waits */

/* A failure inside libssh's callbacks: the loop ends the connection. */
static void broken(struct worker *w)
{
	worker_end(w, "internal error");
}

/* Sends the request that was begun: its result, and the answer when ret_answer wants it (free it).
 */
static bool ask(struct worker *w, uint8_t *ret_result, struct worker_packet **ret_answer)
{
	struct worker_packet *answer;
	int rc = worker_monitor_call(&w->monitor, &answer);

	if (rc < 0) {
		if (rc != -EMSGSIZE) /* the kernel has less room for packets than we: said no */
			broken(w);
		return false;
	}
	*ret_result = reader_u8(&answer->fields);
	if (ret_answer)
		*ret_answer = answer;
	else
		worker_packet_free(answer);
	return true;
}

static void *open_session(void *ctx, struct libssh_channel *channel)
{
	struct worker *w = ctx;
	struct channel *c;

	if (w->no_more_sessions) /* as sshd: whoever asks now is not who said so */
		worker_end(w, "a session was asked for after no-more-sessions@openssh.com");
	if (w->ending || w->session_count >= w->max_sessions)
		return NULL;
	c = worker_channels_add(w, CHANNEL_SESSION);
	if (c)
		c->ssh = channel;
	return c;
}

/* OpenSSH's PROTOCOL, section 2.2. Channels that wait for their program may still have it. */
static void no_more_sessions(void *ctx)
{
	struct worker *w = ctx;
	struct writer *out;
	uint32_t waiting = 0;

	if (w->no_more_sessions || w->ending)
		return;
	w->no_more_sessions = true;
	for (size_t i = 0; i < w->channel_count; i++)
		waiting += w->channels[i]->kind == CHANNEL_SESSION &&
			   w->channels[i]->state == CHANNEL_WAITING;
	out = worker_monitor_begin(&w->monitor, MONITOR_NO_MORE_SESSIONS);
	writer_u32(out, waiting);
	if (worker_monitor_post(&w->monitor, NULL) < 0)
		broken(w);
}

/* Would the monitor do it? Its no is told to the client; asking for it all the same would end the
 * connection. */
static bool forward_allowed(struct worker *w, enum monitor_wire_forward kind, const char *host,
			    uint32_t port)
{
	struct writer *out;
	uint8_t result;

	if (strlen(host) >= MONITOR_WIRE_HOST) /* no name is that long */
		return false;
	out = worker_monitor_begin(&w->monitor, MONITOR_FORWARD);
	writer_u8(out, (uint8_t)kind);
	writer_cstring(out, host);
	writer_u32(out, port);
	return ask(w, &result, NULL) && result == MONITOR_YES;
}

/* The outcome of a connect that is quick: false when it failed. */
static bool connect_soon(struct worker *w, struct channel *c)
{
	bool hurried = worker_now_ns() < w->connect_hurried_ns;
	struct worker_packet *p;
	int fd = -1, rc = worker_monitor_wait(&w->monitor, MONITOR_CONNECTED, c->id,
					      hurried ? 0 : CONNECT_SOON_MS, &p);

	if (rc < 0) {
		broken(w);
		return false;
	}
	if (!p) { /* a hundred slow ones must not hold up the rest of the connection */
		if (!hurried)
			w->connect_hurried_ns = worker_now_ns() + CONNECT_HURRIED_NS;
		return true;
	}
	reader_u32(&p->fields);
	if (reader_u8(&p->fields) == MONITOR_YES)
		fd = worker_packet_take_fd(p, 0);
	worker_packet_free(p);
	return fd >= 0 && channel_connect_take(c, fd) == 0;
}

static void *open_direct(void *ctx, struct libssh_channel *channel, const char *host, uint32_t port,
			 const char *originator, uint32_t originator_port)
{
	struct worker *w = ctx;
	struct channel *c;
	struct writer *out;
	uint8_t result;

	if (w->ending || !forward_allowed(w, MONITOR_FORWARD_CONNECT, host, port))
		return NULL;
	c = worker_channels_add(w, CHANNEL_DIRECT);
	if (!c)
		return NULL;
	out = worker_monitor_begin(&w->monitor, MONITOR_CONNECT);
	writer_u32(out, c->id);
	writer_cstring(out, host);
	writer_u32(out, port);
	writer_cstring(out, strlen(originator) < MONITOR_WIRE_HOST ? originator : "");
	writer_u32(out, originator_port);
	/* libssh wants its answer now. What fails at once is refused, so that `ssh -W` sees it;
	 * what takes longer is accepted, and closed when it fails. */
	if (!ask(w, &result, NULL) || result != MONITOR_PENDING || !connect_soon(w, c)) {
		worker_channels_drop(w, w->channel_count - 1);
		return NULL;
	}
	c->ssh = channel;
	c->stdio = originator_port == CHANNEL_STDIO_PORT;
	return c;
}

static bool on_listen(void *ctx, const char *address, uint32_t port, uint32_t *ret_port)
{
	struct worker *w = ctx;
	struct worker_packet *answer;
	struct writer *out;
	uint8_t result;

	if (w->ending || !forward_allowed(w, MONITOR_FORWARD_LISTEN, address, port))
		return false;
	out = worker_monitor_begin(&w->monitor, MONITOR_LISTEN);
	writer_cstring(out, address);
	writer_u32(out, port);
	if (!ask(w, &result, &answer))
		return false;
	*ret_port = reader_u32(&answer->fields);
	if (answer->fields.failed)
		broken(w);
	worker_packet_free(answer);
	return result == MONITOR_YES && !w->ending;
}

static bool on_unlisten(void *ctx, const char *address, uint32_t port)
{
	struct worker *w = ctx;
	struct writer *out;
	uint8_t result;

	if (strlen(address) >= MONITOR_WIRE_HOST)
		return false;
	out = worker_monitor_begin(&w->monitor, MONITOR_UNLISTEN);
	writer_cstring(out, address);
	writer_u32(out, port);
	return ask(w, &result, NULL) && result == MONITOR_YES;
}

static bool on_pty(void *user, const char *term, const struct libssh_window *window)
{
	struct channel *c = user;

	if (c->kind != CHANNEL_SESSION || c->state != CHANNEL_WAITING || c->want_pty ||
	    strlen(term) >= sizeof(c->term))
		return false;
	memcpy(c->term, term, strlen(term) + 1);
	c->window = *window;
	c->want_pty = true;
	return true;
}

static void on_window(void *user, const struct libssh_window *window)
{
	channel_resize(user, window);
}

/* The monitor decides which of them the session gets (AcceptEnv); here only their amount is
 * bounded. */
static bool on_env(void *user, const char *name, const char *value)
{
	struct channel *c = user;
	uint8_t both[8192];
	struct writer w = writer_init(both, sizeof(both));

	if (c->kind != CHANNEL_SESSION || c->state != CHANNEL_WAITING ||
	    c->env_count >= MONITOR_WIRE_ENV_MAX || !*name || strchr(name, '=') ||
	    strlen(name) >= MONITOR_WIRE_ENV_NAME || strlen(value) >= MONITOR_WIRE_ENV_TEXT)
		return false;
	writer_cstring(&w, name);
	writer_cstring(&w, value);
	if (w.failed || buffer_append(&c->env, w.data, w.len) < 0)
		return false;
	c->env_count++;
	return true;
}

static void on_agent(void *user)
{
	struct channel *c = user;

	if (c->state == CHANNEL_WAITING && !c->agent)
		c->agent = forward_allowed(c->owner, MONITOR_FORWARD_AGENT, "", 0);
}

static void write_session(struct writer *out, const struct channel *c, enum libssh_start kind,
			  const char *command)
{
	static const uint8_t kinds[] = {
		[LIBSSH_SHELL] = MONITOR_SHELL,
		[LIBSSH_EXEC] = MONITOR_EXEC,
		[LIBSSH_SUBSYSTEM] = MONITOR_SUBSYSTEM,
	};

	writer_u32(out, c->id);
	writer_u8(out, kinds[kind]);
	writer_cstring(out, command);
	writer_u8(out, c->want_pty);
	writer_cstring(out, c->term);
	writer_u32(out, c->window.cols);
	writer_u32(out, c->window.rows);
	writer_u32(out, c->window.xpixel);
	writer_u32(out, c->window.ypixel);
	writer_cstring(out, ""); /* libssh hides the terminal modes */
	writer_u32(out, c->env_count);
	writer_bytes(out, c->env.data, c->env.len);
	writer_u8(out, c->agent);
}

static bool take_descriptors(struct worker *w, struct channel *c, struct worker_packet *answer)
{
	int in, out, err;

	if (answer->nfds != (c->want_pty ? 1u : 3u)) {
		broken(w);
		return false;
	}
	in = worker_packet_take_fd(answer, 0);
	out = worker_packet_take_fd(answer, 1);
	err = worker_packet_take_fd(answer, 2);
	if (channel_start_take(c, in, out, err) < 0) {
		broken(w);
		return false;
	}
	return true;
}

static bool on_start(void *user, enum libssh_start kind, const char *command)
{
	struct channel *c = user;
	struct worker *w = c->owner;
	struct writer *out;
	struct worker_packet *answer;
	char message[WORKER_TEXT_MAX];
	uint8_t result;
	bool ok;

	if (c->kind != CHANNEL_SESSION || c->state != CHANNEL_WAITING || w->ending)
		return false;
	snprintf(c->type, sizeof(c->type), "session:%s%.40s",
		 kind == LIBSSH_SHELL  ? "shell"
		 : kind == LIBSSH_EXEC ? "command"
				       : "subsystem:",
		 kind == LIBSSH_SUBSYSTEM ? command : "");
	out = worker_monitor_begin(&w->monitor, MONITOR_SESSION);
	write_session(out, c, kind, command);
	if (out->failed) { /* only this session is over */
		channel_refuse(c, "the command and its environment are too long");
		buffer_done(&c->env);
		return true;
	}
	if (!ask(w, &result, &answer))
		return false;
	reader_cstring(&answer->fields, message, sizeof(message));
	if (!reader_done(&answer->fields)) {
		broken(w);
		ok = false;
	} else if (result == MONITOR_YES) {
		ok = take_descriptors(w, c, answer);
		c->active_ns = worker_now_ns();
	} else if (*message) {
		/* A failure reply would hide the reason: ssh shows none. */
		channel_refuse(c, message);
		ok = true;
	} else {
		ok = false;
	}
	worker_packet_free(answer);
	buffer_done(&c->env);
	return ok;
}

static void on_signal(void *user, const char *name)
{
	struct channel *c = user;
	struct worker *w = c->owner;
	struct writer *out;
	uint8_t result;

	if (c->kind != CHANNEL_SESSION || c->state != CHANNEL_RUNNING || c->exited ||
	    strlen(name) > 16)
		return;
	out = worker_monitor_begin(&w->monitor, MONITOR_SIGNAL);
	writer_u32(out, c->id);
	writer_cstring(out, name);
	(void)ask(w, &result, NULL);
}

static size_t on_data(void *user, const uint8_t *data, size_t len)
{
	return channel_take(user, data, len);
}

static void on_eof(void *user)
{
	struct channel *c = user;

	c->client_eof = true;
}

static void on_no_more(void *user)
{
	channel_no_more(user);
}

static void on_closed(void *user)
{
	struct channel *c = user;

	c->client_eof = c->client_closed = true;
}

const struct libssh_server_ops worker_requests_ops = {
	.open_session = open_session,
	.no_more_sessions = no_more_sessions,
	.open_direct = open_direct,
	.listen = on_listen,
	.unlisten = on_unlisten,
	.pty = on_pty,
	.window = on_window,
	.env = on_env,
	.agent = on_agent,
	.start = on_start,
	.signal = on_signal,
	.data = on_data,
	.eof = on_eof,
	.no_more = on_no_more,
	.closed = on_closed,
};
