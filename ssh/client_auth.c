/* SPDX-License-Identifier: Apache-2.0
 *
 * Host key and login of warren-ssh. The host's key has to be one of those that the control server's
 * map names; there is no other way, and nothing is asked. Then the certificate that `warren ssh`
 * fetched, keys of -i, `none`, and keyboard-interactive, which shows where to log in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/secret.h"
#include "ssh/client_internal.h"
#include "ssh/client_terminal.h"

#define MAX_HOST_KEYS 16384
#define MAX_ROUNDS    64 /* of keyboard-interactive */
#define MAX_ANSWER    1024

/* "name type base64" per line: is one of them "type base64"? */
static bool is_listed(const char *lines, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = lines; *line;) {
		size_t line_len = strcspn(line, "\n");
		size_t name_len = strcspn(line, " ");

		if (name_len < line_len && line_len - name_len - 1 >= len &&
		    memcmp(line + name_len + 1, key, len) == 0 &&
		    (line[name_len + 1 + len] == '\n' || line[name_len + 1 + len] == ' ' ||
		     line[name_len + 1 + len] == '\0'))
			return true;
		line += line_len;
		line += *line == '\n';
	}
	return false;
}

int client_check_host_key(struct client *c)
{
	struct buffer lines;
	char *key = NULL;
	const char *text;
	int r;

	buffer_init(&lines, MAX_HOST_KEYS);
	r = file_read(c->host_keys, &lines);
	text = r == 0 ? buffer_cstring(&lines) : NULL;
	if (!text) {
		client_say(c, CLIENT_LOG_ERROR, "cannot read the host keys of %s in %s: %s",
			   c->name, c->host_keys, strerror(-r));
		r = -EACCES;
	} else if (libssh_client_host_key(c->ssh, &key) < 0) {
		client_say(c, CLIENT_LOG_ERROR, "%s shows no host key", c->name);
		r = -EACCES;
	} else if (!is_listed(text, key)) {
		client_say(
			c, CLIENT_LOG_ERROR,
			"%s answers with another host key than the network knows of it: somebody "
			"else is listening there, or it has just been installed anew",
			c->name);
		r = -EACCES;
	} else {
		client_say(c, CLIENT_LOG_DEBUG1, "host key is the network's: %s", key);
	}
	free(key);
	buffer_done(&lines);
	return r;
}

/* Text of the server to the terminal where there is one, else to stderr; -q does not hide it: the
 * login waits for what it says. */
static void show(const char *text)
{
	size_t cap = strlen(text) + 8;
	char *clean = malloc(cap);
	FILE *tty;

	if (!clean)
		return;
	client_terminal_clean(clean, cap, text);
	if (*clean) {
		tty = fopen("/dev/tty", "we");
		fprintf(tty ? tty : stderr, "%s%s", clean,
			clean[strlen(clean) - 1] == '\n' ? "" : "\n");
		if (tty)
			fclose(tty);
	}
	free(clean);
}

static void show_banner(struct client *c)
{
	char *banner = libssh_client_banner(c->ssh);
	size_t cap = banner ? strlen(banner) + 8 : 0;
	char *clean = banner ? malloc(cap) : NULL;

	if (clean && c->options.log >= CLIENT_LOG_INFO) {
		client_terminal_clean(clean, cap, banner);
		fputs(clean, stderr);
	}
	free(clean);
	free(banner);
}

static int finish(struct client *c, enum libssh_client_auth result)
{
	if (result == LIBSSH_CLIENT_ACCEPTED) {
		show_banner(c);
		return 1;
	}
	if (result == LIBSSH_CLIENT_DENIED)
		return 0;
	client_say_over(c, "ended the connection during the login");
	return -EPIPE;
}

/* Calls a method until it has an answer: 1 logged in, 0 not, negative: over. */
static int try(struct client *c, enum libssh_client_auth (*method)(struct libssh_client *))
{
	enum libssh_client_auth result;

	while ((result = method(c->ssh)) == LIBSSH_CLIENT_AGAIN) {
		if (client_wait(c, 0) < 0)
			return -ECANCELED;
	}
	return finish(c, result);
}

struct question {
	struct client *c;
	const char *path;
};

static bool ask_passphrase(void *ctx, char *out, size_t cap)
{
	const struct question *q = ctx;
	const struct client_terminal_events events = {q->c->signal_fd, client_took_signal, q->c};
	char prompt[600];

	if (q->c->options.batch)
		return false;
	snprintf(prompt, sizeof(prompt), "Enter passphrase for key '%s': ", q->path);
	return client_terminal_ask(prompt, false, &events, out, cap) == 0;
}

static int try_key(struct client *c, const char *path)
{
	struct question question = {c, path};
	struct error err = {0};
	int r;

	if (libssh_client_load_key(c->ssh, path, ask_passphrase, &question, &err) < 0) {
		if (c->quit)
			return -ECANCELED;
		client_say(c, CLIENT_LOG_ERROR, "%s", error_text(&err));
		return 0;
	}
	r = try(c, libssh_client_auth_key);
	client_say(c, CLIENT_LOG_DEBUG1, "key %s: %s", path, r > 0 ? "accepted" : "not accepted");
	return r;
}

static int answer(struct client *c)
{
	const struct client_terminal_events events = {c->signal_fd, client_took_signal, c};
	unsigned count = libssh_client_prompts(c->ssh);

	show(libssh_client_name(c->ssh));
	show(libssh_client_instruction(c->ssh));
	for (unsigned i = 0; i < count; i++) {
		char text[MAX_ANSWER], prompt[1024];
		bool echo = false;
		int r;

		client_terminal_clean(prompt, sizeof(prompt),
				      libssh_client_prompt(c->ssh, i, &echo));
		r = client_terminal_ask(prompt, echo, &events, text, sizeof(text));
		if (r == 0)
			r = libssh_client_answer(c->ssh, i, text);
		secret_wipe(text, sizeof(text));
		if (r < 0)
			return r;
	}
	return 0;
}

static int try_interactive(struct client *c)
{
	for (int round = 0; round < MAX_ROUNDS;) {
		enum libssh_client_auth result = libssh_client_auth_interactive(c->ssh);

		if (result == LIBSSH_CLIENT_AGAIN) {
			if (client_wait(c, 0) < 0)
				return -ECANCELED;
			continue;
		}
		if (result != LIBSSH_CLIENT_QUESTIONS)
			return finish(c, result);
		round++;
		if (answer(c) < 0)
			return -ECANCELED;
	}
	return 0;
}

int client_login(struct client *c)
{
	const struct client_options *o = &c->options;
	int r = 0;

	if (c->key)
		r = try_key(c, c->key);
	for (size_t i = 0; r == 0 && i < o->identity_count; i++)
		r = try_key(c, o->identities[i]);
	if (r == 0)
		r = try(c, libssh_client_auth_none);
	if (r == 0 && !o->batch && !o->no_interactive &&
	    (libssh_client_methods(c->ssh) & LIBSSH_CLIENT_INTERACTIVE))
		r = try_interactive(c);
	if (r > 0)
		return 0;
	if (r == 0) {
		show_banner(c);
		client_say(c, CLIENT_LOG_ERROR, "%s@%s: Permission denied%s%s%s.", o->user, c->name,
			   " (",
			   libssh_client_methods(c->ssh) & LIBSSH_CLIENT_INTERACTIVE
				   ? "publickey,keyboard-interactive"
				   : "publickey",
			   ")");
	}
	return r < 0 ? r : -EACCES;
}
