/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags of warren-ssh and the specifications of forwards. See client_options.h; -o options are in
 * client_options_set.c.
 */
#include "ssh/client_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS_WITH_VALUE "BbcDEeFIiJLlmOopQRSWw"

/* ---- Forwards. */

static bool parse_port(const char *text, bool zero, uint16_t *ret_port)
{
	char *end = NULL;
	unsigned long port;

	if (text[0] < '0' || text[0] > '9')
		return false;
	port = strtoul(text, &end, 10);
	if (*end != '\0' || port > 65535 || (port == 0 && !zero))
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

/* Cuts text at colons outside of brackets; brackets are removed. How many fields, or 0. */
static size_t cut(char *text, char *fields[4])
{
	size_t n = 0;
	char *at = text;

	while (n < 4) {
		char *end;

		if (*at == '[') {
			fields[n++] = at + 1;
			end = strchr(at, ']');
			if (!end || (end[1] != ':' && end[1] != '\0'))
				return 0;
			*end++ = '\0';
		} else {
			fields[n++] = at;
			end = at + strcspn(at, ":");
		}
		if (*end == '\0')
			return n;
		*end = '\0';
		at = end + 1;
	}
	return 0;
}

static bool take_name(char out[static 256], const char *text)
{
	size_t len = strlen(text);

	if (len >= 256)
		return false;
	memcpy(out, text, len + 1);
	return true;
}

static const char *kind_flag(enum client_forward_kind kind)
{
	return kind == CLIENT_FORWARD_LOCAL ? "-L" : kind == CLIENT_FORWARD_REMOTE ? "-R" : "-D";
}

int client_forward_parse(struct client_forward *f, enum client_forward_kind kind, const char *text,
			 struct error *err)
{
	size_t words = kind == CLIENT_FORWARD_DYNAMIC ? 1 : 3, n;
	struct client_forward made = {.kind = kind, .bind = "localhost"};
	char copy[768], *fields[4], **at = fields;
	bool good = false;

	if (strchr(text, '/'))
		return error_set(err, -EINVAL,
				 "%s %s: warren-ssh forwards TCP only, no unix sockets",
				 kind_flag(kind), text);
	n = strlen(text);
	if (n < sizeof(copy)) {
		memcpy(copy, text, n + 1);
		n = cut(copy, fields);
		made.bind_given = n == words + 1;
		good = n == words || made.bind_given;
	}
	if (good && made.bind_given) {
		good = take_name(made.bind, strcmp(fields[0], "*") == 0 ? "" : fields[0]);
		at++;
	}
	good = good && parse_port(at[0], kind == CLIENT_FORWARD_REMOTE, &made.port);
	if (good && words == 3)
		good = at[1][0] != '\0' && take_name(made.host, at[1]) &&
		       parse_port(at[2], false, &made.host_port);
	if (!good)
		return error_set(err, -EINVAL, "bad forward %s %s: write [bind:]port%s",
				 kind_flag(kind), text, words == 3 ? ":host:hostport" : "");
	*f = made;
	return 0;
}

int client_host_port_parse(const char *text, char host[static 256], uint16_t *ret_port,
			   struct error *err)
{
	char copy[512], *fields[4];
	size_t len = strlen(text);

	if (len < sizeof(copy)) {
		memcpy(copy, text, len + 1);
		if (cut(copy, fields) == 2 && fields[0][0] != '\0' &&
		    parse_port(fields[1], false, ret_port) && take_name(host, fields[0]))
			return 0;
	}
	return error_set(err, -EINVAL, "bad destination %s: write host:port", text);
}

static int add_forward(struct client_options *o, enum client_forward_kind kind, const char *text,
		       struct error *err)
{
	if (o->forward_count == CLIENT_FORWARDS)
		return error_set(err, -EINVAL, "more than %d forwards", CLIENT_FORWARDS);
	return client_forward_parse(&o->forwards[o->forward_count++], kind, text, err);
}

/* ---- Flags. */

static int take_text(char *out, size_t cap, const char *text, const char *what, struct error *err)
{
	size_t len = strlen(text);

	if (len == 0 || len >= cap || strpbrk(text, "\r\n"))
		return error_set(err, -EINVAL, "bad %s: %s", what, text);
	memcpy(out, text, len + 1);
	return 0;
}

static int set_escape(struct client_options *o, uint64_t *seen, const char *text, struct error *err)
{
	char option[32];

	if (snprintf(option, sizeof(option), "EscapeChar=%s", text) >= (int)sizeof(option))
		return error_set(err, -EINVAL, "bad escape character: %s", text);
	return client_option_set(o, seen, option, err);
}

static int flag_with_value(struct client_options *o, uint64_t *seen, char flag, const char *value,
			   struct error *err)
{
	switch (flag) {
	case 'l':
		return o->user[0] ? 0 : take_text(o->user, sizeof(o->user), value, "user", err);
	case 'p':
		return parse_port(value, false, &o->port)
			       ? 0
			       : error_set(err, -EINVAL, "bad port: %s", value);
	case 'L':
		return add_forward(o, CLIENT_FORWARD_LOCAL, value, err);
	case 'R':
		return add_forward(o, CLIENT_FORWARD_REMOTE, value, err);
	case 'D':
		return add_forward(o, CLIENT_FORWARD_DYNAMIC, value, err);
	case 'W':
		o->stdio = o->no_session = true;
		if (o->tty == CLIENT_TTY_AUTO)
			o->tty = CLIENT_TTY_NO;
		return client_host_port_parse(value, o->stdio_host, &o->stdio_port, err);
	case 'i':
		if (o->identity_count == CLIENT_IDENTITIES)
			return error_set(err, -EINVAL, "more than %d keys", CLIENT_IDENTITIES);
		o->identities[o->identity_count++] = value;
		return 0;
	case 'e':
		return set_escape(o, seen, value, err);
	case 'o':
		return client_option_set(o, seen, value, err);
	default:
		return error_set(
			err, -EINVAL,
			"warren-ssh has no -%c; OpenSSH's own ssh has it, and `warren ssh` "
			"uses that where it is installed",
			flag);
	}
}

static int flag_alone(struct client_options *o, char flag, struct error *err)
{
	switch (flag) {
	case 't':
		o->tty = o->tty == CLIENT_TTY_YES ? CLIENT_TTY_FORCE : CLIENT_TTY_YES;
		return 0;
	case 'T':
		o->tty = CLIENT_TTY_NO;
		return 0;
	case 'N':
		o->no_session = true;
		if (o->tty == CLIENT_TTY_AUTO)
			o->tty = CLIENT_TTY_NO;
		return 0;
	case 'n':
		o->null_input = true;
		return 0;
	case 'f':
		o->null_input = o->background = true;
		return 0;
	case 's':
		o->subsystem = true;
		return 0;
	case 'A':
		o->agent = true;
		return 0;
	case 'a':
		o->agent = false;
		return 0;
	case 'g':
		o->gateway_ports = true;
		return 0;
	case 'q':
		o->log = CLIENT_LOG_QUIET;
		return 0;
	case 'v':
		if (o->log < CLIENT_LOG_DEBUG1)
			o->log = CLIENT_LOG_DEBUG1;
		else if (o->log < CLIENT_LOG_DEBUG3)
			o->log++;
		return 0;
	case 'x': /* no X11: there is none */
	case 'k': /* no GSSAPI credentials: there are none */
		return 0;
	default:
		return error_set(
			err, -EINVAL,
			"warren-ssh has no -%c; it knows -AaDefgiLlNnopqRsTtvW (and -x -k)", flag);
	}
}

/* Flags of one argument; *i moves on when a value is the next one. */
static int parse_flags(struct client_options *o, uint64_t *seen, int argc, char **argv, int *i,
		       struct error *err)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		int r;

		if (!strchr(FLAGS_WITH_VALUE, *p)) {
			r = flag_alone(o, *p, err);
			if (r < 0)
				return r;
			continue;
		}
		if (p[1] == '\0' && *i + 1 >= argc)
			return error_set(err, -EINVAL, "-%c wants a value", *p);
		return flag_with_value(o, seen, *p, p[1] != '\0' ? p + 1 : argv[++*i], err);
	}
	return 0;
}

static int take_destination(struct client_options *o, const char *text, struct error *err)
{
	bool uri = strncmp(text, "ssh://", 6) == 0;
	char copy[512], *host = copy, *at, *colon;
	int r;

	r = take_text(copy, sizeof(copy), uri ? text + 6 : text, "host", err);
	if (r < 0)
		return r;
	if (uri)
		copy[strcspn(copy, "/")] = '\0';
	at = strrchr(copy, '@');
	if (at) {
		*at = '\0';
		host = at + 1;
		if (!o->user[0])
			r = take_text(o->user, sizeof(o->user), copy, "user", err);
	}
	colon = uri ? strchr(host, ':') : NULL;
	if (r == 0 && colon && !strchr(colon + 1, ':')) {
		*colon = '\0';
		if (!parse_port(colon + 1, false, &o->port))
			return error_set(err, -EINVAL, "bad port: %s", colon + 1);
	}
	return r < 0 ? r : take_text(o->host, sizeof(o->host), host, "host", err);
}

static int join_command(struct client_options *o, int argc, char **argv)
{
	size_t len = 0;
	char *at;

	if (argc == 0)
		return 0;
	for (int i = 0; i < argc; i++)
		len += strlen(argv[i]) + 1;
	free(o->command);
	at = o->command = malloc(len);
	if (!at)
		return -ENOMEM;
	for (int i = 0; i < argc; i++) {
		at = stpcpy(at, argv[i]);
		*at++ = i + 1 < argc ? ' ' : '\0';
	}
	return 0;
}

static int check(const struct client_options *o, struct error *err)
{
	if (o->subsystem && !o->command)
		return error_set(err, -EINVAL, "-s wants the name of a subsystem behind the host");
	if (o->background && !o->command && !o->no_session)
		return error_set(err, -EINVAL, "-f wants a command or -N");
	return 0;
}

int client_options_parse(struct client_options *o, int argc, char **argv, struct error *err)
{
	bool terminated = false;
	uint64_t seen = 0;
	int i = 1, r;

	*o = (struct client_options){
		.port = 22, .log = CLIENT_LOG_INFO, .escape = '~', .alive_count = 3};
	for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		if (strcmp(argv[i], "--") == 0) {
			terminated = true;
			i++;
			break;
		}
		r = parse_flags(o, &seen, argc, argv, &i, err);
		if (r < 0)
			return r;
	}
	if (i >= argc)
		return error_set(err, -EINVAL,
				 "which host? warren ssh [flags] [user@]host [command]");
	r = take_destination(o, argv[i++], err);
	/* As ssh: the command begins behind it, when there was none before. */
	if (!terminated && i < argc && strcmp(argv[i], "--") == 0)
		i++;
	if (r == 0 && o->command && i < argc)
		r = error_set(err, -EINVAL, "a command and RemoteCommand: which of them?");
	if (r == 0 && join_command(o, argc - i, argv + i) < 0)
		r = error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = check(o, err);
	if (o->clear_forwards)
		o->forward_count = 0;
	return r;
}

void client_options_done(struct client_options *o)
{
	free(o->command);
	o->command = NULL;
}
