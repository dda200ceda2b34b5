/* SPDX-License-Identifier: Apache-2.0
 *
 * -o options of warren-ssh (ssh_config(5)): those that mean something here, those whose only
 * possible value is what happens anyway, and nothing else.
 */
#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ssh/client_options.h"

static bool is_off(const char *value)
{
	return strcasecmp(value, "no") == 0 || strcasecmp(value, "none") == 0 ||
	       strcasecmp(value, "false") == 0;
}

static int bad(const char *name, const char *value, const char *write, struct error *err)
{
	return error_set(err, -EINVAL, "option %s: \"%s\" is not known here: write %s", name, value,
			 write);
}

static int set_bool(bool *out, bool when, const char *name, const char *value, struct error *err)
{
	if (strcasecmp(value, "yes") == 0 || strcasecmp(value, "true") == 0)
		*out = when;
	else if (strcasecmp(value, "no") == 0 || strcasecmp(value, "false") == 0)
		*out = !when;
	else
		return bad(name, value, "yes or no", err);
	return 0;
}

/* Seconds, or with a unit: s m h. */
static int set_number(uint32_t *out, const char *name, const char *value, struct error *err)
{
	char *end = NULL;
	unsigned long n = strtoul(value, &end, 10);
	unsigned long unit = 1;

	if (*end == 'm' || *end == 'M')
		unit = 60;
	else if (*end == 'h' || *end == 'H')
		unit = 3600;
	if (*end != '\0' && strchr("sSmMhH", *end))
		end++;
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || n > 100000000)
		return bad(name, value, "a number", err);
	*out = (uint32_t)(n * unit);
	return 0;
}

static int set_log(struct client_options *o, const char *name, const char *value, struct error *err)
{
	static const struct {
		const char *text;
		enum client_log log;
	} levels[] = {
		{"QUIET", CLIENT_LOG_QUIET},	 {"FATAL", CLIENT_LOG_ERROR},
		{"ERROR", CLIENT_LOG_ERROR},	 {"INFO", CLIENT_LOG_INFO},
		{"VERBOSE", CLIENT_LOG_VERBOSE}, {"DEBUG", CLIENT_LOG_DEBUG1},
		{"DEBUG1", CLIENT_LOG_DEBUG1},	 {"DEBUG2", CLIENT_LOG_DEBUG2},
		{"DEBUG3", CLIENT_LOG_DEBUG3},
	};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcasecmp(value, levels[i].text) == 0) {
			o->log = levels[i].log;
			return 0;
		}
	}
	return bad(name, value, "QUIET, ERROR, INFO, VERBOSE or DEBUG1 to 3", err);
}

static int set_tty(struct client_options *o, const char *name, const char *value, struct error *err)
{
	if (strcasecmp(value, "no") == 0)
		o->tty = CLIENT_TTY_NO;
	else if (strcasecmp(value, "yes") == 0)
		o->tty = CLIENT_TTY_YES;
	else if (strcasecmp(value, "force") == 0)
		o->tty = CLIENT_TTY_FORCE;
	else if (strcasecmp(value, "auto") == 0)
		o->tty = CLIENT_TTY_AUTO;
	else
		return bad(name, value, "yes, no, force or auto", err);
	return 0;
}

static int set_escape(struct client_options *o, const char *name, const char *value,
		      struct error *err)
{
	if (strcasecmp(value, "none") == 0)
		o->escape = -1;
	else if (value[0] == '^' && value[1] >= '@' && value[1] <= '~' && value[2] == '\0')
		o->escape = value[1] & 31;
	else if (value[0] != '\0' && value[1] == '\0')
		o->escape = (unsigned char)value[0];
	else
		return bad(name, value, "one character, ^ and a letter, or none", err);
	return 0;
}

static int set_session(struct client_options *o, const char *name, const char *value,
		       struct error *err)
{
	if (strcasecmp(value, "none") == 0)
		o->no_session = true;
	else if (strcasecmp(value, "subsystem") == 0)
		o->subsystem = true;
	else if (strcasecmp(value, "default") != 0)
		return bad(name, value, "none, subsystem or default", err);
	return 0;
}

/* "port host:hostport" as ssh_config writes it, or the flag's own way. */
static int set_forward(struct client_options *o, enum client_forward_kind kind, const char *value,
		       struct error *err)
{
	char text[768];
	char *blank;

	if (o->forward_count == CLIENT_FORWARDS)
		return error_set(err, -EINVAL, "more than %d forwards", CLIENT_FORWARDS);
	if (snprintf(text, sizeof(text), "%s", value) >= (int)sizeof(text))
		return error_set(err, -EINVAL, "a forward longer than 767 bytes");
	blank = strpbrk(text, " \t");
	if (blank) {
		size_t skip = strspn(blank, " \t");

		*blank = ':';
		memmove(blank + 1, blank + skip, strlen(blank + skip) + 1);
	}
	return client_forward_parse(&o->forwards[o->forward_count++], kind, text, err);
}

static int add_text(const char **list, size_t *count, size_t max, const char *name,
		    const char *value, struct error *err)
{
	if (*count == max)
		return error_set(err, -EINVAL, "more than %zu options %s", max, name);
	list[(*count)++] = value;
	return 0;
}

static int set_command(struct client_options *o, const char *name, const char *value,
		       struct error *err)
{
	(void)name;
	if (strcasecmp(value, "none") == 0)
		return 0;
	free(o->command);
	o->command = strdup(value);
	return o->command ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int set_port(struct client_options *o, const char *name, const char *value,
		    struct error *err)
{
	uint32_t port = 0;
	int r = set_number(&port, name, value, err);

	if (r == 0 && (port == 0 || port > 65535))
		return bad(name, value, "a number from 1 to 65535", err);
	if (r == 0)
		o->port = (uint16_t)port;
	return r;
}

static int set_user(struct client_options *o, const char *name, const char *value,
		    struct error *err)
{
	(void)name;
	if (o->user[0])
		return 0;
	if (snprintf(o->user, sizeof(o->user), "%s", value) >= (int)sizeof(o->user))
		return error_set(err, -EINVAL, "a user name longer than 127 bytes");
	return 0;
}

#define SET_BOOL(function, member, when)                                                           \
	static int function(struct client_options *o, const char *name, const char *value,         \
			    struct error *err)                                                     \
	{                                                                                          \
		return set_bool(&o->member, when, name, value, err);                               \
	}
SET_BOOL(set_batch, batch, true)
SET_BOOL(set_clear, clear_forwards, true)
SET_BOOL(set_exit_on_failure, exit_on_forward_failure, true)
SET_BOOL(set_fork, background, true)
SET_BOOL(set_agent, agent, true)
SET_BOOL(set_gateway, gateway_ports, true)
SET_BOOL(set_interactive, no_interactive, false)
SET_BOOL(set_stdin_null, null_input, true)
SET_BOOL(set_keep_alive, no_tcp_keepalive, false)

static int set_timeout(struct client_options *o, const char *name, const char *value,
		       struct error *err)
{
	return is_off(value) ? 0 : set_number(&o->connect_timeout_s, name, value, err);
}

static int set_interval(struct client_options *o, const char *name, const char *value,
			struct error *err)
{
	return is_off(value) ? 0 : set_number(&o->alive_interval_s, name, value, err);
}

static int set_count(struct client_options *o, const char *name, const char *value,
		     struct error *err)
{
	return set_number(&o->alive_count, name, value, err);
}

static int set_local(struct client_options *o, const char *name, const char *value,
		     struct error *err)
{
	(void)name;
	return set_forward(o, CLIENT_FORWARD_LOCAL, value, err);
}

static int set_remote(struct client_options *o, const char *name, const char *value,
		      struct error *err)
{
	(void)name;
	return set_forward(o, CLIENT_FORWARD_REMOTE, value, err);
}

static int set_dynamic(struct client_options *o, const char *name, const char *value,
		       struct error *err)
{
	(void)name;
	return set_forward(o, CLIENT_FORWARD_DYNAMIC, value, err);
}

static int set_identity(struct client_options *o, const char *name, const char *value,
			struct error *err)
{
	return is_off(value) ? 0
			     : add_text(o->identities, &o->identity_count, CLIENT_IDENTITIES, name,
					value, err);
}

static int set_send_env(struct client_options *o, const char *name, const char *value,
			struct error *err)
{
	return add_text(o->send_env, &o->send_env_count, CLIENT_ENV, name, value, err);
}

static int set_env(struct client_options *o, const char *name, const char *value, struct error *err)
{
	return strchr(value, '=')
		       ? add_text(o->set_env, &o->set_env_count, CLIENT_ENV, name, value, err)
		       : bad(name, value, "NAME=VALUE", err);
}

/* The host's key comes from the network's map, whatever is asked for. */
static int pinned(struct client_options *o, const char *name, const char *value, struct error *err)
{
	(void)o;
	(void)name;
	(void)value;
	(void)err;
	return 0;
}

/* What it would turn on is not there. */
static int only_no(struct client_options *o, const char *name, const char *value, struct error *err)
{
	(void)o;
	return is_off(value) ? 0
			     : error_set(err, -EINVAL,
					 "warren-ssh has no %s; OpenSSH's own ssh has it, and "
					 "`warren ssh` uses that where it is installed",
					 name);
}

/* It is always so. */
static int only_yes(struct client_options *o, const char *name, const char *value,
		    struct error *err)
{
	(void)o;
	return strcasecmp(value, "yes") == 0 ? 0 : bad(name, value, "yes", err);
}

enum { ONCE, REPEATED, BORROWED }; /* BORROWED: repeated, and the value stays in argv */

static const struct {
	const char *name;
	int (*set)(struct client_options *o, const char *name, const char *value,
		   struct error *err);
	int repeated;
} keys[] = {
	{"BatchMode", set_batch, ONCE},
	{"ChallengeResponseAuthentication", set_interactive, ONCE},
	{"CheckHostIP", pinned, REPEATED},
	{"ClearAllForwardings", set_clear, ONCE},
	{"Compression", only_no, REPEATED},
	{"ConnectTimeout", set_timeout, ONCE},
	{"ControlMaster", only_no, REPEATED},
	{"ControlPath", only_no, REPEATED},
	{"ControlPersist", only_no, REPEATED},
	{"DynamicForward", set_dynamic, REPEATED},
	{"EscapeChar", set_escape, ONCE},
	{"ExitOnForwardFailure", set_exit_on_failure, ONCE},
	{"ForkAfterAuthentication", set_fork, ONCE},
	{"ForwardAgent", set_agent, ONCE},
	{"ForwardX11", only_no, REPEATED},
	{"ForwardX11Trusted", only_no, REPEATED},
	{"GSSAPIAuthentication", only_no, REPEATED},
	{"GatewayPorts", set_gateway, ONCE},
	{"GlobalKnownHostsFile", pinned, REPEATED},
	{"HashKnownHosts", pinned, REPEATED},
	{"HostbasedAuthentication", only_no, REPEATED},
	{"IdentitiesOnly", only_yes, REPEATED},
	{"IdentityFile", set_identity, BORROWED},
	{"KbdInteractiveAuthentication", set_interactive, ONCE},
	{"LocalForward", set_local, REPEATED},
	{"LogLevel", set_log, ONCE},
	{"PasswordAuthentication", only_no, REPEATED},
	{"PermitLocalCommand", only_no, REPEATED},
	{"Port", set_port, ONCE},
	{"ProxyCommand", only_no, REPEATED},
	{"ProxyJump", only_no, REPEATED},
	{"PubkeyAuthentication", only_yes, REPEATED},
	{"RemoteCommand", set_command, ONCE},
	{"RemoteForward", set_remote, REPEATED},
	{"RequestTTY", set_tty, ONCE},
	{"SendEnv", set_send_env, BORROWED},
	{"ServerAliveCountMax", set_count, ONCE},
	{"ServerAliveInterval", set_interval, ONCE},
	{"SessionType", set_session, ONCE},
	{"SetEnv", set_env, BORROWED},
	{"StdinNull", set_stdin_null, ONCE},
	{"StrictHostKeyChecking", pinned, REPEATED},
	{"TCPKeepAlive", set_keep_alive, ONCE},
	{"Tunnel", only_no, REPEATED},
	{"UpdateHostKeys", pinned, REPEATED},
	{"User", set_user, ONCE},
	{"UserKnownHostsFile", pinned, REPEATED},
	{"VisualHostKey", only_no, REPEATED},
};
static_assert(sizeof(keys) / sizeof(keys[0]) <= 64, "a bit each in seen");

/* The value, without the quotes around all of it. */
static const char *unquote(const char *value, char *out, size_t cap)
{
	size_t len = strlen(value);

	if (len < 2 || len - 2 >= cap || value[0] != '"' || value[len - 1] != '"' ||
	    memchr(value + 1, '"', len - 2))
		return value;
	memcpy(out, value + 1, len - 2);
	out[len - 2] = '\0';
	return out;
}

int client_option_set(struct client_options *o, uint64_t *seen, const char *text, struct error *err)
{
	const char *name = text + strspn(text, " \t");
	size_t len = strcspn(name, " \t=");
	const char *value = name + len, *plain;
	char quoted[512];

	value += strspn(value, " \t");
	if (*value == '=')
		value += 1 + strspn(value + 1, " \t");
	plain = unquote(value, quoted, sizeof(quoted));
	if (len == 0 || *plain == '\0')
		return error_set(err, -EINVAL, "bad option -o \"%s\": write Key=Value", text);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strlen(keys[i].name) != len || strncasecmp(keys[i].name, name, len) != 0)
			continue;
		if (keys[i].repeated == ONCE && (*seen & UINT64_C(1) << i))
			return 0;
		*seen |= UINT64_C(1) << i;
		if (keys[i].repeated == BORROWED && plain == quoted)
			return bad(keys[i].name, value, "it without quotes", err);
		return keys[i].set(o, keys[i].name, plain, err);
	}
	return error_set(
		err, -EINVAL,
		"warren-ssh has no option %.*s; OpenSSH's own ssh may have it, and `warren "
		"ssh` uses that where it is installed",
		(int)(len < 64 ? len : 64), name);
}

bool client_env_match(const char *patterns, const char *name)
{
	char pattern[256];

	while (*patterns) {
		size_t len;

		patterns += strspn(patterns, " \t");
		len = strcspn(patterns, " \t");
		if (len > 0 && len < sizeof(pattern)) {
			memcpy(pattern, patterns, len);
			pattern[len] = '\0';
			if (fnmatch(pattern, name, 0) == 0)
				return true;
		}
		patterns += len;
	}
	return false;
}
