/* SPDX-License-Identifier: Apache-2.0
 *
 * The session of warren-ssh: terminal, environment, command, and what its escape character does.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ssh/client_internal.h"
#include "ssh/client_terminal.h"

extern char **environ;

/* Calls a step until the server has answered. 1, or negative. */
#define UNTIL_ANSWERED(c, r, call)                                                                 \
	do                                                                                         \
		(r) = (call);                                                                      \
	while ((r) == 0 && ((r) = client_wait((c), 0)) == 0)

static bool wants_terminal(struct client *c)
{
	const struct client_options *o = &c->options;
	bool here = isatty(STDIN_FILENO) != 0;

	switch (o->tty) {
	case CLIENT_TTY_NO:
		return false;
	case CLIENT_TTY_FORCE:
		return true;
	case CLIENT_TTY_YES:
		if (!here || o->null_input)
			client_say(c, CLIENT_LOG_INFO,
				   "Pseudo-terminal will not be allocated because stdin is not a "
				   "terminal.");
		return here && !o->null_input;
	case CLIENT_TTY_AUTO:
		return here && !o->command && !o->subsystem && !o->null_input;
	}
	return false;
}

static int request_terminal(struct client *c, struct client_channel *ch)
{
	const char *term = getenv("TERM");
	int cols, rows, r;

	client_terminal_size(STDIN_FILENO, &cols, &rows);
	UNTIL_ANSWERED(c, r, libssh_client_request_pty(ch->ssh, term ? term : "dumb", cols, rows));
	if (r == -ECONNREFUSED && libssh_client_alive(c->ssh)) {
		client_say(c, CLIENT_LOG_ERROR, "PTY allocation request failed");
		return 0;
	}
	ch->terminal = r > 0;
	return r;
}

/* A server may refuse a variable (AcceptEnv): that is no failure. */
static int send_variable(struct client *c, struct client_channel *ch, const char *assignment)
{
	const char *equals = strchr(assignment, '=');
	char name[256];
	size_t len = equals ? (size_t)(equals - assignment) : 0;
	int r;

	if (len == 0 || len >= sizeof(name))
		return 0;
	memcpy(name, assignment, len);
	name[len] = '\0';
	UNTIL_ANSWERED(c, r, libssh_client_request_env(ch->ssh, name, equals + 1));
	return r == -ECANCELED || !libssh_client_alive(c->ssh) ? -ECANCELED : 0;
}

static int send_environment(struct client *c, struct client_channel *ch)
{
	const struct client_options *o = &c->options;
	char name[256];
	int r = 0;

	for (char **e = environ; r == 0 && *e && o->send_env_count > 0; e++) {
		size_t len = strcspn(*e, "=");
		bool wanted = false;

		if (len >= sizeof(name))
			continue;
		memcpy(name, *e, len);
		name[len] = '\0';
		for (size_t i = 0; i < o->send_env_count; i++)
			wanted = wanted || client_env_match(o->send_env[i], name);
		if (wanted)
			r = send_variable(c, ch, *e);
	}
	for (size_t i = 0; r == 0 && i < o->set_env_count; i++)
		r = send_variable(c, ch, o->set_env[i]);
	return r;
}

static int request_command(struct client *c, struct client_channel *ch)
{
	const struct client_options *o = &c->options;
	int r;

	if (o->subsystem)
		UNTIL_ANSWERED(c, r, libssh_client_request_subsystem(ch->ssh, o->command));
	else if (o->command)
		UNTIL_ANSWERED(c, r, libssh_client_request_exec(ch->ssh, o->command));
	else
		UNTIL_ANSWERED(c, r, libssh_client_request_shell(ch->ssh));
	if (r < 0 && r != -ECANCELED && libssh_client_alive(c->ssh))
		client_say(c, CLIENT_LOG_ERROR, "%s does not start %s", c->name,
			   o->subsystem ? o->command
			   : o->command ? "the command"
					: "a shell");
	return r;
}

static void take_standard_fds(struct client *c, struct client_channel *ch)
{
	ch->in_fd = c->options.null_input ? open("/dev/null", O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	for (int i = 0; i < 2; i++) {
		ch->sinks[i].given = STDOUT_FILENO + i;
		client_fd_open(&ch->sinks[i].out, STDOUT_FILENO + i);
		ch->sinks[i].broken = false;
	}
}

int client_session_raw(struct client_channel *ch)
{
	int r;

	if (ch->raw || !ch->terminal || !isatty(STDIN_FILENO))
		return 0;
	r = client_terminal_raw(STDIN_FILENO);
	if (r == 0) {
		ch->raw = true;
		ch->escape.character = ch->client->options.escape;
	}
	return r;
}

static int start_session(struct client *c)
{
	struct client_channel *ch = client_channel_new(c, CLIENT_SESSION);
	int r;

	if (!ch)
		return -ENOMEM;
	ch->ssh = libssh_client_channel_new(c->ssh, ch);
	if (!ch->ssh)
		return -ENOMEM;
	UNTIL_ANSWERED(c, r, libssh_client_open_session(ch->ssh));
	if (r < 0) {
		if (r != -ECANCELED)
			client_say_over(c, "opens no session");
		return r;
	}
	if (c->options.agent && getenv("SSH_AUTH_SOCK"))
		UNTIL_ANSWERED(c, r, libssh_client_request_agent(ch->ssh));
	if (r == -ECANCELED)
		return r;
	r = wants_terminal(c) ? request_terminal(c, ch) : 0;
	if (r >= 0)
		r = send_environment(c, ch);
	/* The first bytes may come with the answer. */
	take_standard_fds(c, ch);
	ch->state = CLIENT_RUNNING;
	c->session = ch;
	if (r == 0)
		r = request_command(c, ch);
	return r < 0 ? r : client_session_raw(ch);
}

static int start_stdio(struct client *c)
{
	struct client_channel *ch = client_channel_new(c, CLIENT_STDIO);

	if (!ch)
		return -ENOMEM;
	ch->ssh = libssh_client_channel_new(c->ssh, ch);
	if (!ch->ssh)
		return -ENOMEM;
	take_standard_fds(c, ch);
	memcpy(ch->host, c->options.stdio_host, sizeof(ch->host));
	ch->port = c->options.stdio_port;
	(void)stpcpy(ch->originator, "127.0.0.1");
	ch->originator_port = 65535; /* as OpenSSH: it stands for standard input and output */
	c->stdio = ch;
	return 0;
}

int client_session_start(struct client *c)
{
	if (c->options.stdio)
		return start_stdio(c);
	return c->options.no_session ? 0 : start_session(c);
}

void client_session_resize(struct client *c)
{
	int cols, rows;

	if (!c->session || !c->session->terminal)
		return;
	client_terminal_size(STDIN_FILENO, &cols, &rows);
	libssh_client_resize(c->session->ssh, cols, rows);
}

/* Not SIGSTOP: where no shell could have us go on (an orphaned process group) the kernel drops this one. */
static void stop_here(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	raise(SIGTSTP); /* blocked, so it waits for the next line */
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

void client_session_suspend(struct client *c)
{
	bool raw = client_terminal_is_raw();

	client_terminal_restore();
	stop_here();
	/* In the background this stops us again, until the terminal is ours. */
	if (raw && client_terminal_raw(STDIN_FILENO) < 0)
		client_say(c, CLIENT_LOG_ERROR, "the terminal is gone");
	client_session_resize(c);
}

static void list(struct client *c)
{
	client_say(c, CLIENT_LOG_QUIET, "connections through %s:", c->name);
	for (size_t i = 0; i < c->channel_count; i++) {
		const struct client_channel *ch = c->channels[i];

		client_say(c, CLIENT_LOG_QUIET, "  %zu %s %s", i,
			   ch->kind == CLIENT_SESSION	 ? "session"
			   : ch->kind == CLIENT_INCOMING ? "-R or agent, to"
							 : "-L or -D, to",
			   ch->host);
	}
}

void client_session_escape(struct client *c, enum client_escape_event event)
{
	int character = c->options.escape;

	switch (event) {
	case CLIENT_ESCAPE_DISCONNECT:
		c->quit = true;
		break;
	case CLIENT_ESCAPE_SUSPEND:
		client_say(c, CLIENT_LOG_QUIET, "suspended; fg goes on");
		client_session_suspend(c);
		break;
	case CLIENT_ESCAPE_LIST:
		list(c);
		break;
	case CLIENT_ESCAPE_HELP:
		client_say(
			c, CLIENT_LOG_QUIET,
			"%c.  end the connection\r\n%c^Z suspend\r\n%c#  list connections\r\n%c?  "
			"this text\r\n%c%c  the character itself",
			character, character, character, character, character, character);
		break;
	case CLIENT_ESCAPE_NONE:
		break;
	}
}
