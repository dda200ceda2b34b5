/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-ssh from its start to its end: see client.h. One loop over the connection, signals,
 * listeners and the descriptors behind the channels; nothing in it waits anywhere else.
 */
#include "ssh/client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/secret.h"
#include "ssh/client_internal.h"
#include "ssh/client_terminal.h"

#define HOST_KEY_TYPES "ssh-ed25519"
#define DRAIN_NS       (2 * NSEC_PER_SEC)

void client_say(const struct client *c, enum client_log level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (c->options.log < level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++) {
		if (((unsigned char)*p < 0x20 && *p != '\n' && *p != '\r') || *p == 0x7f)
			*p = '?';
	}
	fprintf(stderr, "%s%s%s", level >= CLIENT_LOG_DEBUG1 ? "debug1: " : "", text,
		client_terminal_is_raw() ? "\r\n" : "\n");
}

uint64_t client_now_ns(void)
{
	return clock_monotonic_ns(&clock_system);
}

/* ---- Signals. */

static void take_signal(struct client *c)
{
	struct signalfd_siginfo info;

	while (read(c->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch ((int)info.ssi_signo) {
		case SIGWINCH:
			client_session_resize(c);
			break;
		case SIGTSTP:
			client_session_suspend(c);
			break;
		default:
			client_say(c, CLIENT_LOG_VERBOSE, "Killed by signal %u.", info.ssi_signo);
			c->quit = true;
			if (!c->begun)
				c->quit_signal = (int)info.ssi_signo;
		}
	}
}

/* As if it had not been caught: whoever started us (a shell's script) wants to see that. */
static void end_by_signal(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	signal(sig, SIG_DFL);
	raise(sig); /* blocked, so it waits for the next line */
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int open_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction old;

		/* Whoever started us with a signal ignored (nohup) meant it. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue;
		sigaddset(&set, signals[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int client_wait(struct client *c, uint64_t deadline_ns)
{
	struct pollfd polls[2] = {{.fd = c->connection_fd, .events = POLLIN},
				  {.fd = c->signal_fd, .events = POLLIN}};
	uint64_t now = client_now_ns();
	int timeout = -1;

	if (deadline_ns != 0) {
		if (now >= deadline_ns)
			return -ETIMEDOUT;
		timeout = (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1;
	}
	if (libssh_client_congested(c->ssh))
		polls[0].events |= POLLOUT;
	if (poll(polls, 2, libssh_client_waiting(c->ssh) ? 0 : timeout) < 0 && errno != EINTR)
		return -errno;
	if (polls[1].revents)
		take_signal(c);
	return c->quit ? -ECANCELED : 0;
}

bool client_took_signal(void *client)
{
	struct client *c = client;

	take_signal(c);
	return !c->quit;
}

/* ---- The connection. */

void client_say_over(struct client *c, const char *what)
{
	char shown[512];
	uint32_t code;
	const char *text = libssh_client_farewell(c->ssh, &code);

	if (c->over_said)
		return;
	c->over_said = true;
	if (text) {
		client_terminal_clean_line(shown, sizeof(shown), text);
		client_say(c, CLIENT_LOG_ERROR, "Received disconnect from %s:%u: %s", c->name, code,
			   shown);
	} else if (what) {
		client_terminal_clean_line(shown, sizeof(shown), libssh_client_error(c->ssh));
		client_say(c, CLIENT_LOG_ERROR, "%s %s: %s", c->name, what, shown);
	} else {
		client_say(c, CLIENT_LOG_ERROR, "Connection to %s closed by remote host.", c->name);
	}
}

static int key_exchange(struct client *c)
{
	uint32_t limit_s = c->options.connect_timeout_s;
	uint64_t deadline_ns = limit_s ? client_now_ns() + limit_s * NSEC_PER_SEC : 0;
	int r;

	do
		r = libssh_client_connect(c->ssh);
	while (r == 0 && (r = client_wait(c, deadline_ns)) == 0);
	if (r == -ETIMEDOUT)
		client_say(c, CLIENT_LOG_ERROR, "%s did not answer within %u s", c->name, limit_s);
	else if (r < 0 && r != -ECANCELED)
		client_say_over(c, "ended the key exchange");
	return r < 0 ? r : 0;
}

static void set_tcp(struct client *c)
{
	int on = 1, off = 0;

	(void)setsockopt(c->connection_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (c->options.no_tcp_keepalive)
		(void)setsockopt(c->connection_fd, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof(off));
}

static int connect_and_log_in(struct client *c)
{
	int log = c->options.log >= CLIENT_LOG_DEBUG3	? 4
		  : c->options.log >= CLIENT_LOG_DEBUG2 ? 2
							: 0;
	struct error err = {0};
	int r;

	set_tcp(c);
	r = file_set_nonblock(c->connection_fd, true);
	if (r == 0)
		r = libssh_client_new(c->connection_fd, c->name, c->options.user, log,
				      HOST_KEY_TYPES, &client_channel_ops, c, &c->ssh, &err);
	if (r < 0) {
		client_say(c, CLIENT_LOG_ERROR, "%s", error_text(&err));
		return r;
	}
	r = key_exchange(c);
	if (r == 0)
		r = client_check_host_key(c);
	if (r == 0)
		r = client_login(c);
	if (r == 0)
		client_say(c, CLIENT_LOG_DEBUG1, "logged in on %s as %s", c->name, c->options.user);
	return r;
}

/* ---- The loop. */

static int loop_timeout_ms(const struct client *c)
{
	uint64_t now = client_now_ns(), next;

	if (libssh_client_waiting(c->ssh))
		return 0;
	if (c->options.alive_interval_s == 0)
		return -1;
	next = c->asked_ns + c->options.alive_interval_s * NSEC_PER_SEC;
	return next <= now ? 0 : (int)((next - now) / NSEC_PER_MSEC) + 1;
}

/* ServerAliveInterval: false when the server is gone. */
static bool keep_alive(struct client *c)
{
	uint64_t now = client_now_ns(), bytes = libssh_client_received(c->ssh);
	uint64_t interval_ns = c->options.alive_interval_s * NSEC_PER_SEC;

	if (interval_ns == 0)
		return true;
	if (bytes != c->heard_bytes) {
		c->heard_bytes = bytes;
		c->unanswered = 0;
		if (now - c->asked_ns < interval_ns)
			c->asked_ns = now;
	}
	if (now - c->asked_ns < interval_ns)
		return true;
	if (c->unanswered++ >= c->options.alive_count) {
		client_say(c, CLIENT_LOG_ERROR, "Timeout, server %s not responding.", c->name);
		return false;
	}
	c->asked_ns = now;
	libssh_client_keepalive(c->ssh);
	return true;
}

static size_t fill_polls(struct client *c, struct pollfd *polls)
{
	size_t n = 0;

	polls[n++] = (struct pollfd){
		.fd = c->connection_fd,
		.events = (short)(POLLIN | (libssh_client_congested(c->ssh) ? POLLOUT : 0))};
	polls[n++] = (struct pollfd){.fd = c->signal_fd, .events = POLLIN};
	for (size_t i = 0; i < c->listener_count; i++)
		polls[n++] = (struct pollfd){
			.fd = c->channel_count < CLIENT_CHANNELS ? c->listeners[i].fd : -1,
			.events = POLLIN};
	for (size_t i = 0; i < c->channel_count; i++, n += CLIENT_POLLS)
		client_channel_poll(c->channels[i], &polls[n]);
	return n;
}

/* What a session or -W that is over means for the whole. */
static void note_end(struct client *c, const struct client_channel *ch)
{
	if (ch == c->stdio) {
		c->exit_status = ch->state == CLIENT_OPENING ? CLIENT_FAILED : 0;
		c->session_over = true;
	}
	if (ch != c->session)
		return;
	c->session_over = true;
	c->exit_status = CLIENT_FAILED;
	if (ch->exited && !ch->by_signal)
		c->exit_status = (int)(ch->status & 0xff);
	if (ch->status > 255 && ch->exited && !ch->by_signal)
		c->exit_status = CLIENT_FAILED;
	if (ch->by_signal)
		client_say(c, CLIENT_LOG_INFO, "the command was killed by SIG%s", ch->signal);
	else if (!ch->exited)
		client_say(c, CLIENT_LOG_INFO, "%s ended the session without an exit status",
			   c->name);
}

static int run_channels(struct client *c, const struct pollfd *polls, size_t count)
{
	size_t at = 0;

	/* Channels only come at the end while this runs. */
	for (size_t i = 0; i < c->channel_count; at++) {
		struct client_channel *ch = c->channels[i];
		int rc = client_channel_run(ch, at < count ? polls + at * CLIENT_POLLS : NULL);

		if (rc < 0)
			return rc;
		if (rc == 1) {
			note_end(c, ch);
			client_channel_free(ch);
			continue;
		}
		i++;
	}
	return 0;
}

static bool is_over(const struct client *c)
{
	/* As OpenSSH: forwarded connections that are open keep it, listeners do not. */
	return c->quit || (c->session_over && c->channel_count == 0);
}

static int step(struct client *c, struct pollfd *polls)
{
	size_t channels = c->channel_count, n = fill_polls(c, polls);
	int rc = 0;

	if (poll(polls, n, loop_timeout_ms(c)) < 0 && errno != EINTR)
		return -errno;
	if (polls[1].revents)
		take_signal(c);
	if (polls[0].revents || libssh_client_waiting(c->ssh))
		rc = libssh_client_pump(c->ssh);
	for (size_t i = 0; rc == 0 && i < c->listener_count; i++) {
		if (polls[2 + i].revents)
			client_forward_accept(c, &c->listeners[i]);
	}
	if (rc == 0)
		rc = run_channels(c, polls + 2 + c->listener_count, channels);
	if (rc == 0 && !keep_alive(c)) {
		c->quit = true;
		return 0;
	}
	return rc;
}

/* The connection is gone: what came before is still written, for a while. */
static void drain(struct client *c)
{
	uint64_t until = client_now_ns() + DRAIN_NS;

	for (;;) {
		struct client_channel *ch = c->session ? c->session : c->stdio;
		struct pollfd polls[CLIENT_POLLS];

		if (!ch || client_now_ns() > until)
			return;
		ch->in_fd = ch->in_fd > STDERR_FILENO ? ch->in_fd : -1;
		ch->in_eof = true;
		client_channel_poll(ch, polls);
		if (polls[1].fd < 0 && polls[2].fd < 0) {
			if (client_channel_run(ch, NULL) != 0 ||
			    (!ch->sinks[0].blocked && !ch->sinks[1].blocked))
				return;
			continue;
		}
		if (poll(polls, CLIENT_POLLS, 100) < 0 && errno != EINTR)
			return;
		if (client_channel_run(ch, polls) != 0)
			return;
	}
}

static void loop(struct client *c)
{
	static const size_t most = 2 + CLIENT_LISTENERS + CLIENT_CHANNELS * CLIENT_POLLS;
	struct pollfd *polls = calloc(most, sizeof(*polls));
	int rc = polls ? 0 : -ENOMEM;

	c->asked_ns = client_now_ns();
	/* The first bytes may have come with the last answer. */
	if (rc == 0)
		rc = run_channels(c, NULL, 0);
	while (rc == 0 && !is_over(c))
		rc = step(c, polls);
	free(polls);
	if (rc == 0)
		return;
	if (c->session && c->session->exited && c->session->remote_closed) {
		drain(c);
		note_end(c, c->session);
	} else if (!c->session_over) {
		drain(c);
		client_terminal_restore();
		client_say_over(c, NULL);
	}
}

/* -f: the terminal is free again; what was forwarded and logged in stays ours. */
static int go_background(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid = null >= 0 ? fork() : -1;

	if (pid > 0)
		_exit(0);
	if (pid < 0 || setsid() < 0 || dup2(null, STDIN_FILENO) < 0)
		return -errno;
	close(null);
	return 0;
}

static int run(struct client *c)
{
	bool terminal;
	int r = connect_and_log_in(c);

	if (r == 0)
		r = client_forward_start(c);
	if (r == 0 && c->options.background)
		r = go_background();
	if (r == 0) {
		c->begun = true;
		r = client_session_start(c);
	}
	if (r < 0) {
		if (c->ssh && !c->quit && r != -EACCES && r != -ETIMEDOUT &&
		    !libssh_client_alive(c->ssh))
			client_say_over(c, NULL);
		return CLIENT_FAILED;
	}
	terminal = client_terminal_is_raw();
	loop(c);
	client_terminal_restore();
	if (terminal)
		client_say(c, CLIENT_LOG_INFO, "Connection to %s closed.", c->name);
	return c->exit_status;
}

/* ---- Arguments. */

static const char *value_of(const char *arg, const char *name)
{
	size_t len = strlen(name);

	return strncmp(arg, name, len) == 0 ? arg + len : NULL;
}

/* Our own arguments come first; how many, or negative. */
static int take_own(struct client *c, int argc, char **argv)
{
	int i = 1;

	c->connection_fd = -1;
	for (; i < argc && strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0'; i++) {
		const char *value;

		if ((value = value_of(argv[i], "--connection=")))
			c->connection_fd = (int)strtol(value, NULL, 10);
		else if ((value = value_of(argv[i], "--name=")))
			c->name = value;
		else if ((value = value_of(argv[i], "--host-keys=")))
			c->host_keys = value;
		else if ((value = value_of(argv[i], "--key=")))
			c->key = value;
		else
			return -EINVAL;
	}
	return c->connection_fd > STDERR_FILENO && c->name && c->host_keys ? i - 1 : -EINVAL;
}

static int prepare(struct client *c, int argc, char **argv)
{
	struct error err = {0};
	int own = take_own(c, argc, argv);

	c->options.log = CLIENT_LOG_INFO;
	if (own < 0) {
		fputs("warren-ssh: run it as `warren ssh`\n", stderr);
		return own;
	}
	if (client_options_parse(&c->options, argc - own, argv + own, &err) < 0) {
		fprintf(stderr, "warren-ssh: %s\n", error_text(&err));
		return -EINVAL;
	}
	if (c->options.user[0] == '\0') {
		const struct passwd *pw = getpwuid(getuid());

		snprintf(c->options.user, sizeof(c->options.user), "%s", pw ? pw->pw_name : "root");
	}
	if (fcntl(c->connection_fd, F_SETFD, FD_CLOEXEC) < 0) {
		fputs("warren-ssh: there is no connection\n", stderr);
		return -EBADF;
	}
	c->signal_fd = open_signals();
	c->scratch = malloc(CLIENT_WINDOW);
	return c->signal_fd >= 0 && c->scratch ? 0 : -ENOMEM;
}

int client_main(int argc, char **argv)
{
	struct client *c = calloc(1, sizeof(*c));
	int status = CLIENT_FAILED, sig;

	if (!c || secret_process_init() < 0)
		return CLIENT_FAILED;
	c->signal_fd = -1;
	c->exit_status = CLIENT_FAILED;
	if (prepare(c, argc, argv) == 0)
		status = run(c);
	client_terminal_restore();
	while (c->channel_count > 0)
		client_channel_free(c->channels[c->channel_count - 1]);
	for (size_t i = 0; i < c->listener_count; i++)
		close(c->listeners[i].fd);
	if (c->ssh)
		libssh_client_disconnect(c->ssh);
	libssh_client_free(c->ssh);
	client_options_done(&c->options);
	file_close(&c->signal_fd);
	free(c->scratch);
	sig = c->quit_signal;
	free(c);
	if (sig != 0)
		end_by_signal(sig);
	return status;
}
