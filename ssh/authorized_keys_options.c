/* SPDX-License-Identifier: Apache-2.0
 *
 * The options before a key in authorized_keys, read as OpenSSH's sshd reads them (auth-options.c of
 * 9.2): names without case, values in quotes, an unknown option refuses the line. What sshd takes
 * and this server has no use for (tunnel=, X11, the two of security keys) is read and
 * allows nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ssh/authorized_keys.h"

struct scan {
	const char *at;
	struct authorized_keys_options *o;
	struct error *err;
};

static int bad(struct scan *s, const char *what)
{
	return error_set(s->err, -EINVAL, "%s", what);
}

/* A flag, or "no-" before one: 1 and 0; -1: it is another option. */
static int flag(struct scan *s, const char *name, bool negatable)
{
	bool negated = negatable && strncasecmp(s->at, "no-", 3) == 0;
	const char *at = s->at + (negated ? 3 : 0);
	size_t len = strlen(name);

	if (strncasecmp(at, name, len) != 0)
		return -1;
	s->at = at + len;
	return !negated;
}

static bool takes(struct scan *s, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(s->at, name, len) != 0 || s->at[len] != '=')
		return false;
	s->at += len + 1;
	return true;
}

/* "…" with \" inside. */
static int quoted(struct scan *s, char *out, size_t cap)
{
	size_t len = 0;

	if (*s->at++ != '"')
		return bad(s, "a value does not begin with a quote");
	while (*s->at != '\0' && *s->at != '"') {
		if (s->at[0] == '\\' && s->at[1] == '"')
			s->at++;
		if (len + 1 >= cap)
			return bad(s, "a value is too long");
		out[len++] = *s->at++;
	}
	if (*s->at != '"')
		return bad(s, "a value has no closing quote");
	s->at++;
	out[len] = '\0';
	return 0;
}

static int once(struct scan *s, bool *have, char *out, size_t cap)
{
	if (*have)
		return bad(s, "an option is there twice");
	*have = true;
	return quoted(s, out, cap);
}

static int expiry(struct scan *s)
{
	char text[64];
	int64_t at;

	if (quoted(s, text, sizeof(text)) < 0)
		return -EINVAL;
	if (authorized_keys_time(text, &at) < 0)
		return bad(s, "expiry-time is no time");
	if (s->o->expires_s == 0 || at < s->o->expires_s)
		s->o->expires_s = at;
	return 0;
}

static int environment(struct scan *s)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	struct authorized_keys_grant *g = &s->o->grant;
	char text[sizeof(g->env[0])];
	size_t len;

	if (quoted(s, text, sizeof(text)) < 0)
		return -EINVAL;
	len = strspn(text, letters);
	if (len == 0 || text[len] != '=')
		return bad(s, "environment needs NAME=value");
	for (size_t i = 0; i < g->env_count; i++)
		if (strncmp(g->env[i], text, len + 1) == 0)
			return 0; /* the first one counts */
	if (g->env_count == AUTHORIZED_KEYS_ENV_MAX)
		return bad(s, "too many environment strings");
	memcpy(g->env[g->env_count++], text, sizeof(text));
	return 0;
}

/* 1 to 65535, or "*". */
static bool read_port(const char *text, uint16_t *ret_port)
{
	size_t len = strspn(text, "0123456789");
	unsigned long n;

	*ret_port = 0;
	if (strcmp(text, "*") == 0)
		return true;
	if (len == 0 || len > 5 || text[len] != '\0')
		return false;
	n = strtoul(text, NULL, 10);
	*ret_port = (uint16_t)n;
	return n >= 1 && n <= 65535;
}

/* "host:port", "[v6]:port", "*:port", "host:*"; bare: "port" alone too. */
static int permit(struct scan *s, bool bare, bool *have, struct authorized_keys_permit *list,
		  size_t *count)
{
	char text[sizeof(list->host) + 8], *host = text, *port;
	struct authorized_keys_permit *p;

	if (quoted(s, text, sizeof(text)) < 0)
		return -EINVAL;
	if (*count == AUTHORIZED_KEYS_PERMITS_MAX)
		return bad(s, "too many permitopen or permitlisten");
	p = &list[*count];
	if (text[0] == '[') {
		port = strchr(++host, ']');
		if (port != NULL)
			*port++ = '\0';
		if (port == NULL || *port != ':')
			return bad(s, "an address in brackets needs a port");
	} else {
		port = strchr(text, ':');
	}
	if (port != NULL)
		*port++ = '\0';
	else if (bare)
		port = text;
	if (port == NULL || strlen(host) >= sizeof(p->host) || !read_port(port, &p->port))
		return bad(s, "permitopen and permitlisten need host:port");
	host = port == text ? (char[]){"*"} : host;
	memcpy(p->host, host, strlen(host) + 1);
	if (p->host[0] == '\0')
		return bad(s, "permitopen and permitlisten need a host");
	*have = true;
	(*count)++;
	return 0;
}

static int tunnel(struct scan *s)
{
	char text[32];

	if (quoted(s, text, sizeof(text)) < 0)
		return -EINVAL;
	if (strcasecmp(text, "any") != 0 &&
	    (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0'))
		return bad(s, "tunnel needs a number or \"any\"");
	return 0;
}

static void set_all(struct authorized_keys_grant *g, bool on)
{
	g->port_forwarding = g->agent_forwarding = g->x11_forwarding = g->pty = g->user_rc = on;
}

/* 1: it was a flag. */
static int flags(struct scan *s)
{
	struct authorized_keys_grant *g = &s->o->grant;
	bool ignored;
	const struct {
		const char *name;
		bool *flag;
	} list[] = {
		{"port-forwarding", &g->port_forwarding},
		{"agent-forwarding", &g->agent_forwarding},
		{"x11-forwarding", &g->x11_forwarding},
		{"touch-required", &ignored},
		{"verify-required", &ignored},
		{"pty", &g->pty},
		{"user-rc", &g->user_rc},
	};

	if (flag(s, "restrict", false) != -1) {
		set_all(g, false);
		return 1;
	}
	if (flag(s, "cert-authority", false) != -1) {
		s->o->cert_authority = true;
		return 1;
	}
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		int on = flag(s, list[i].name, true);

		if (on != -1) {
			*list[i].flag = on == 1;
			return 1;
		}
	}
	return 0;
}

static int values(struct scan *s)
{
	struct authorized_keys_options *o = s->o;
	struct authorized_keys_grant *g = &o->grant;

	if (takes(s, "command"))
		return once(s, &g->has_command, g->command, sizeof(g->command));
	if (takes(s, "principals"))
		return once(s, &o->has_principals, o->principals, sizeof(o->principals));
	if (takes(s, "from"))
		return once(s, &o->has_from, o->from, sizeof(o->from));
	if (takes(s, "expiry-time"))
		return expiry(s);
	if (takes(s, "environment"))
		return environment(s);
	if (takes(s, "permitopen"))
		return permit(s, false, &g->limits_open, g->open, &g->open_count);
	if (takes(s, "permitlisten"))
		return permit(s, true, &g->limits_listen, g->listen, &g->listen_count);
	if (takes(s, "tunnel"))
		return tunnel(s);
	return 0; /* what comes next is no comma then */
}

static bool ends(char c)
{
	return c == '\0' || c == ' ' || c == '\t';
}

int authorized_keys_options_parse(const char *text, struct authorized_keys_options *ret_options,
				  struct error *err)
{
	struct scan s = {.at = text, .o = ret_options, .err = err};
	int r;

	memset(ret_options, 0, sizeof(*ret_options));
	set_all(&ret_options->grant, true);
	while (!ends(*s.at)) {
		r = flags(&s) ? 0 : values(&s);
		if (r < 0)
			return r;
		if (ends(*s.at))
			break;
		if (*s.at != ',')
			return bad(&s, "an option is not known");
		if (*++s.at == '\0')
			return bad(&s, "the options end in a comma");
	}
	return 0;
}
