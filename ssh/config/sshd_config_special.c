/* SPDX-License-Identifier: Apache-2.0
 *
 * Keywords whose values have a form of their own.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ssh/config/sshd_config_internal.h"

#define DEFAULT_PORT 22

int sshd_apply_port(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	uint32_t port;

	if (l->count == 0) {
		o->port_count = 0;
		return 0;
	}
	if (l->count > 1 || sshd_value_number(l->words[0], 1, 65535, &port) < 0)
		return error_set(err, -EINVAL, "Port: \"%s\" is no port from 1 to 65535",
				 l->words[l->count - 1]);
	if (o->port_count == SSHD_PORTS_MAX)
		return error_set(err, -E2BIG, "Port: more than %d", SSHD_PORTS_MAX);
	o->ports[o->port_count++] = (uint16_t)port;
	return 0;
}

int sshd_show_port(const struct sshd_options *o, struct buffer *out)
{
	int r = o->port_count == 0 ? buffer_printf(out, "port %d\n", DEFAULT_PORT) : 0;

	for (size_t i = 0; r == 0 && i < o->port_count; i++)
		r = buffer_printf(out, "port %u\n", o->ports[i]);
	return r;
}

/* ADDRESS, ADDRESS:PORT, [ADDRESS], [ADDRESS]:PORT, a name for any of them. */
int sshd_apply_listen(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	const char *colon;
	uint32_t port;

	if (l->count == 0) {
		o->listen.count = 0;
		return 0;
	}
	if (l->count > 1)
		return error_set(err, -EINVAL,
				 "ListenAddress takes one address: \"%s\" is too much",
				 l->words[1]);
	colon = strrchr(l->words[0], ':');
	if (l->words[0][0] == '\0' ||
	    (colon != NULL && !sshd_value_bare_v6(l->words[0]) && strchr(colon, ']') == NULL && sshd_value_number(colon + 1, 1, 65535, &port) < 0))
		return error_set(err, -EINVAL,
				 "ListenAddress: \"%s\" is no address; write ADDRESS, ADDRESS:PORT "
				 "or [IPV6]:PORT",
				 l->words[0]);
	return sshd_value_add(&o->listen, l, err);
}

int sshd_show_listen(const struct sshd_options *o, struct buffer *out)
{
	struct endpoint at[SSHD_LISTEN_MAX];
	char text[ENDPOINT_STRLEN];
	size_t count = 0;
	int r = 0;

	if (sshd_config_listen(o, at, &count, NULL) < 0) { /* a name that is not known now */
		for (size_t i = 0; r == 0 && i < o->listen.count; i++)
			r = buffer_printf(out, "listenaddress %s\n", o->listen.word[i]);
		return r;
	}
	for (size_t i = 0; r == 0 && i < count; i++) {
		char zone[IF_NAMESIZE];
		const char *percent;

		endpoint_format(&at[i], text);
		percent = strchr(text, '%');
		if (percent != NULL && if_indextoname(at[i].in6.sin6_scope_id, zone) != NULL)
			r = buffer_printf(out, "listenaddress %.*s%%%s%s\n",
					  (int)(percent - text), text, zone, strchr(text, ']'));
		else
			r = buffer_printf(out, "listenaddress %s\n", text);
	}
	return r;
}

/* FULL, or BEGIN:RATE:FULL. */
int sshd_apply_max_startups(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	uint32_t part[3];
	size_t count = 0;
	char text[64];
	char *at = text, *next;

	snprintf(text, sizeof(text), "%s", l->count == 1 ? l->words[0] : "");
	while (at != NULL && count < 3) {
		next = strchr(at, ':');
		if (next != NULL)
			*next++ = '\0';
		if (sshd_value_number(at, 1, INT32_MAX, &part[count++]) < 0)
			break;
		at = next;
		if (next == NULL && count == 1) {
			o->startups.begin = o->startups.full = part[0];
			o->startups.rate = 30; /* never counts: begin is full */
			return 0;
		}
		if (next == NULL && count == 3 && part[0] <= part[2] && part[1] <= 100) {
			o->startups.begin = part[0];
			o->startups.rate = part[1];
			o->startups.full = part[2];
			return 0;
		}
	}
	return error_set(err, -EINVAL,
			 "MaxStartups: \"%s\" is no NUMBER or BEGIN:PERCENT:FULL (10:30:100)",
			 l->words[0]);
}

int sshd_show_max_startups(const struct sshd_options *o, struct buffer *out)
{
	return buffer_printf(out, "maxstartups %u:%u:%u\n", o->startups.begin, o->startups.rate,
			     o->startups.full);
}

int sshd_apply_per_source(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	if (l->count == 1 && strcasecmp(l->words[0], "none") == 0) {
		o->startups.per_source = UINT32_MAX;
		return 0;
	}
	if (l->count != 1 ||
	    sshd_value_number(l->words[0], 1, INT32_MAX, &o->startups.per_source) < 0)
		return error_set(err, -EINVAL,
				 "PerSourceMaxStartups: \"%s\" is no number from 1 on, or none",
				 l->words[0]);
	return 0;
}

int sshd_show_per_source(const struct sshd_options *o, struct buffer *out)
{
	return o->startups.per_source == UINT32_MAX
		       ? buffer_printf(out, "persourcemaxstartups none\n")
		       : buffer_printf(out, "persourcemaxstartups %u\n", o->startups.per_source);
}

int sshd_apply_net_block(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	uint32_t bits4, bits6 = 128;
	char text[16];
	char *colon;

	snprintf(text, sizeof(text), "%s", l->count == 1 ? l->words[0] : "");
	colon = strchr(text, ':');
	if (colon != NULL)
		*colon++ = '\0';
	if (sshd_value_number(text, 0, 32, &bits4) < 0 ||
	    (colon != NULL && sshd_value_number(colon, 0, 128, &bits6) < 0))
		return error_set(err, -EINVAL,
				 "PerSourceNetBlockSize: \"%s\" is no IPV4BITS[:IPV6BITS]",
				 l->words[0]);
	o->startups.bits4 = (uint8_t)bits4;
	o->startups.bits6 = (uint8_t)bits6;
	return 0;
}

int sshd_show_net_block(const struct sshd_options *o, struct buffer *out)
{
	return buffer_printf(out, "persourcenetblocksize %u:%u\n", o->startups.bits4,
			     o->startups.bits6);
}

/* BYTES[K|M|G], or "default"; then a time, or "none". */
int sshd_apply_rekey(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	uint64_t bytes = 0;
	uint32_t n, seconds = 0, shift = 0;
	char text[16];
	size_t len;

	snprintf(text, sizeof(text), "%s", l->words[0]);
	len = strlen(text);
	if (strcasecmp(text, "default") != 0) {
		switch (len > 0 ? text[len - 1] : '\0') {
		case 'k':
		case 'K':
			shift = 10;
			break;
		case 'm':
		case 'M':
			shift = 20;
			break;
		case 'g':
		case 'G':
			shift = 30;
			break;
		case 't':
		case 'T':
			shift = 40;
			break;
		default:
			break;
		}
		if (shift > 0)
			text[len - 1] = '\0';
		if (sshd_value_number(text, 0, UINT32_MAX, &n) < 0)
			return error_set(err, -EINVAL,
					 "RekeyLimit: \"%s\" is no amount; write 500M, 1G or "
					 "default",
					 l->words[0]);
		bytes = (uint64_t)n << shift;
		if (bytes != 0 && bytes < 16)
			return error_set(err, -EINVAL, "RekeyLimit: \"%s\" is too small",
					 l->words[0]);
	}
	if (l->count > 2 || (l->count == 2 && strcasecmp(l->words[1], "none") != 0 &&
			     sshd_value_time(l->words[1], &seconds) < 0))
		return error_set(err, -EINVAL, "RekeyLimit: \"%s\" is no time; write 1h or none",
				 l->words[l->count - 1]);
	o->rekey_bytes = bytes;
	o->rekey_s = seconds;
	return 0;
}

int sshd_show_rekey(const struct sshd_options *o, struct buffer *out)
{
	return buffer_printf(out, "rekeylimit %llu %u\n", (unsigned long long)o->rekey_bytes,
			     o->rekey_s);
}

int sshd_apply_timeout(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	o->timeout_count = 0;
	if (l->count == 1 && strcasecmp(l->words[0], "none") == 0)
		return 0;
	for (size_t i = 0; i < l->count; i++) {
		const char *equal = strchr(l->words[i], '=');
		struct sshd_timeout t = {.type = l->words[i]};

		t.type_len = equal != NULL ? (size_t)(equal - t.type) : 0;
		if (t.type_len == 0 || (strcmp(equal, "=none") != 0 &&
					sshd_value_time(equal + 1, &t.seconds) < 0))
			return error_set(err, -EINVAL,
					 "ChannelTimeout: \"%s\" is no TYPE=TIME "
					 "(session:*=30m)",
					 l->words[i]);
		if (o->timeout_count == SSHD_TIMEOUTS_MAX)
			return error_set(err, -E2BIG, "ChannelTimeout: more than %d",
					 SSHD_TIMEOUTS_MAX);
		o->timeouts[o->timeout_count++] = t;
	}
	return 0;
}

int sshd_show_timeout(const struct sshd_options *o, struct buffer *out)
{
	int r = o->timeout_count > 0 ? buffer_printf(out, "channeltimeout") : 0;

	for (size_t i = 0; r == 0 && i < o->timeout_count; i++)
		r = buffer_printf(out, " %s", o->timeouts[i].type);
	return r == 0 && o->timeout_count > 0 ? buffer_printf(out, "\n") : r;
}

static int apply_permit(const struct sshd_line *l, struct sshd_words *w, bool bare,
			struct error *err)
{
	const char *first = l->words[0];
	char host[256];
	uint32_t port;
	size_t len;

	w->count = 0;
	if (l->count > 1 || (strcmp(first, "any") != 0 && strcmp(first, "none") != 0))
		for (size_t i = 0; i < l->count; i++)
			if (sshd_value_permit(l->words[i], bare, host, &len, &port) < 0)
				return error_set(err, -EINVAL,
						 "%s: \"%s\" is no HOST:PORT%s, any or none",
						 l->keyword->name, l->words[i],
						 bare ? ", PORT" : "");
	return sshd_value_add(w, l, err);
}

int sshd_apply_permit_open(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	return apply_permit(l, &o->permit_open, false, err);
}

int sshd_apply_permit_listen(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	return apply_permit(l, &o->permit_listen, true, err);
}

static int show_permit(const char *name, const struct sshd_words *w, struct buffer *out)
{
	int r = buffer_printf(out, "%s", name);

	if (r == 0 && w->count == 0)
		r = buffer_printf(out, " any");
	for (size_t i = 0; r == 0 && i < w->count; i++) {
		uint32_t port;
		bool bare = sshd_value_number(w->word[i], 1, 65535, &port) == 0;

		r = buffer_printf(out, " %s%s", bare ? "*:" : "", w->word[i]);
	}
	return r == 0 ? buffer_printf(out, "\n") : r;
}

int sshd_show_permit_open(const struct sshd_options *o, struct buffer *out)
{
	return show_permit("permitopen", &o->permit_open, out);
}

int sshd_show_permit_listen(const struct sshd_options *o, struct buffer *out)
{
	return show_permit("permitlisten", &o->permit_listen, out);
}

/* Subsystem NAME COMMAND…; the first of a name counts, also against the compiled-in sftp. */
int sshd_apply_subsystem(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	const char *command = l->rest;

	if (l->count < 2)
		return error_set(err, -EINVAL, "Subsystem: write a name and a command");
	if (strlen(l->words[0]) >= 64 || strpbrk(l->words[0], "\"' \t") != NULL ||
	    strcspn(command, " \t") != strlen(l->words[0]))
		return error_set(err, -EINVAL, "Subsystem: \"%s\" is no name", l->words[0]);
	command += strlen(l->words[0]);
	command += strspn(command, " \t");
	for (size_t i = 0; i < o->subsystem_count; i++)
		if (strcmp(o->subsystems[i].name, l->words[0]) == 0) {
			if (i != 0 || o->subsystems[0].command[0] != '/' ||
			    strcmp(o->subsystems[0].command, "/usr/lib/openssh/sftp-server") != 0)
				return 0;
			o->subsystems[0].command = command;
			return 0;
		}
	if (o->subsystem_count == SSHD_SUBSYSTEMS_MAX)
		return error_set(err, -E2BIG, "Subsystem: more than %d", SSHD_SUBSYSTEMS_MAX);
	o->subsystems[o->subsystem_count++] = (struct sshd_subsystem){l->words[0], command};
	return 0;
}

int sshd_show_subsystem(const struct sshd_options *o, struct buffer *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < o->subsystem_count; i++)
		r = buffer_printf(out, "subsystem %s %s\n", o->subsystems[i].name,
				  o->subsystems[i].command);
	return r;
}

/* The first value of a name wins. */
int sshd_apply_set_env(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	struct sshd_words *w = &o->set_env;

	w->count = 0;
	for (size_t i = 0; i < l->count; i++) {
		size_t len = strcspn(l->words[i], "=");
		bool known = false;

		if (len == 0 || l->words[i][len] == '\0')
			return error_set(err, -EINVAL, "SetEnv: \"%s\" is no NAME=VALUE",
					 l->words[i]);
		for (size_t n = 0; n < w->count; n++)
			known = known || strncmp(w->word[n], l->words[i], len + 1) == 0;
		if (!known && w->count == SSHD_WORDS_MAX)
			return error_set(err, -E2BIG, "SetEnv: more than %d values",
					 SSHD_WORDS_MAX);
		if (!known)
			w->word[w->count++] = l->words[i];
	}
	return 0;
}

/* yes, no, or names as patterns. */
int sshd_apply_user_env(const struct sshd_line *l, struct sshd_options *o, struct error *err)
{
	if (l->count > 1 || l->words[0][0] == '\0')
		return error_set(err, -EINVAL,
				 "PermitUserEnvironment: write yes, no, or names as patterns "
				 "(LANG,LC_*)");
	if (strcasecmp(l->words[0], "no") == 0)
		o->user_environment = NULL;
	else
		o->user_environment = strcasecmp(l->words[0], "yes") == 0 ? "*" : l->words[0];
	return 0;
}

int sshd_show_user_env(const struct sshd_options *o, struct buffer *out)
{
	const char *names = o->user_environment;

	return buffer_printf(out, "permituserenvironment %s\n",
			     names == NULL ? "no" : strcmp(names, "*") == 0 ? "yes" : names);
}
