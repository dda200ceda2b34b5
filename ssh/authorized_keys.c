/* SPDX-License-Identifier: Apache-2.0
 *
 * The lines of authorized_keys: finds the key, or the CA of the certificate, and judges the line's
 * options and the certificate as OpenSSH's sshd does (auth2-pubkeyfile.c of 9.2). A line that
 * refuses does not hide a later one that allows.
 */
#include "ssh/authorized_keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "platform/encode.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Behind the options of a line: the first blank outside of quotes. NULL: a quote is left open. */
static const char *behind_options(const char *at)
{
	bool quoted = false;

	for (; *at != '\0' && (quoted || !blank(*at)); at++) {
		if (at[0] == '\\' && at[1] == '"')
			at++;
		else if (*at == '"')
			quoted = !quoted;
	}
	return quoted ? NULL : at;
}

/* "TYPE BASE64" at text, TYPE as the blob itself says: true when it is the wanted one. */
static bool is_key(const char *text, const uint8_t *wanted, size_t wanted_len)
{
	struct reader r = reader_init(wanted, wanted_len);
	uint8_t blob[SSHCERT_MAX_BLOB];
	char type[64];
	size_t len, type_len;

	reader_cstring(&r, type, sizeof(type));
	type_len = strlen(type);
	if (r.failed || strncmp(text, type, type_len) != 0 || !blank(text[type_len]))
		return false;
	text += type_len;
	text += strspn(text, " \t");
	return encode_base64_decode(blob, sizeof(blob), text, strcspn(text, " \t\r\n"), &len) == 0 &&
	       len == wanted_len && memcmp(blob, wanted, len) == 0;
}

static bool has_principal(const struct sshcert *cert, const char *list)
{
	while (*list != '\0') {
		size_t len = strcspn(list, ",");

		for (size_t i = 0; i < cert->principal_count && len > 0; i++)
			if (strlen(cert->principals[i]) == len &&
			    strncmp(cert->principals[i], list, len) == 0)
				return true;
		list += len + (list[len] == ',');
	}
	return false;
}

/* The certificate itself, and what line and certificate allow together. */
static int judge_certificate(const struct authorized_keys_query *q,
			     struct authorized_keys_options *o, struct error *err)
{
	const struct sshcert *cert = q->cert;
	struct authorized_keys_grant *g = &o->grant;
	/* principals= takes the place of the login. */
	const struct sshcert_expect expect = {
		.cas = &cert->ca,
		.ca_count = 1,
		.login = o->has_principals && cert->principal_count > 0 ? cert->principals[0]
									: q->login,
		.source = q->client,
		.now_s = q->now_s,
	};

	if (o->has_principals && !has_principal(cert, o->principals))
		return error_set(err, -EACCES, "the certificate has no principal of the line");
	if (sshcert_check(cert, &expect, err) < 0)
		return -EACCES;
	if (cert->force_command[0] != '\0') {
		if (g->has_command && strcmp(g->command, cert->force_command) != 0)
			return error_set(err, -EACCES,
					 "line and certificate force different commands");
		g->has_command = true;
		snprintf(g->command, sizeof(g->command), "%s", cert->force_command);
	}
	g->port_forwarding &= (cert->extensions & SSHCERT_PERMIT_PORT_FORWARDING) != 0;
	g->agent_forwarding &= (cert->extensions & SSHCERT_PERMIT_AGENT_FORWARDING) != 0;
	g->x11_forwarding &= (cert->extensions & SSHCERT_PERMIT_X11_FORWARDING) != 0;
	g->user_rc &= (cert->extensions & SSHCERT_PERMIT_USER_RC) != 0;
	g->pty &= (cert->extensions & SSHCERT_PERMIT_PTY) != 0;
	g->authority = true;
	return 0;
}

static int judge_options(const struct authorized_keys_query *q,
			 const struct authorized_keys_options *o, struct error *err)
{
	int from;

	if (o->expires_s != 0 && o->expires_s < q->now_s)
		return error_set(err, -EACCES, "the line has expired");
	if (o->has_principals && !o->cert_authority)
		return error_set(err, -EACCES, "the line has principals= without cert-authority");
	from = o->has_from ? authorized_keys_from(o->from, &q->client, q->client_name) : 1;
	if (from < 0)
		return error_set(err, -EACCES, "from= of the line is not valid");
	if (from == 0)
		return error_set(err, -EACCES, "from= of the line does not name the client");
	return 0;
}

/* -ENOENT: the line is about another key. */
static int judge_line(const char *line, const struct authorized_keys_query *q,
		      const uint8_t *wanted, size_t wanted_len, struct authorized_keys_options *o,
		      struct error *err)
{
	const char *options = "", *key = line;
	int r;

	if (!is_key(key, wanted, wanted_len)) {
		options = line;
		key = behind_options(line);
		if (key == NULL)
			return -ENOENT;
		key += strspn(key, " \t");
		if (!is_key(key, wanted, wanted_len))
			return -ENOENT;
	}
	r = authorized_keys_options_parse(options, o, err);
	if (r < 0)
		return -EACCES;
	/* A key that is a CA logs nobody in, and one that is not signs nothing. */
	if (o->cert_authority != (q->cert != NULL))
		return -ENOENT;
	r = judge_options(q, o, err);
	if (r == 0 && q->cert != NULL)
		r = judge_certificate(q, o, err);
	return r;
}

/* Copies the next line; false at the end. Too long, or with a byte 0: empty. */
static bool next_line(const char **at, const char *end, char line[static AUTHORIZED_KEYS_LINE_MAX])
{
	const char *newline;
	size_t len;

	if (*at >= end)
		return false;
	newline = memchr(*at, '\n', (size_t)(end - *at));
	len = (size_t)((newline != NULL ? newline : end) - *at);
	line[0] = '\0';
	if (len < AUTHORIZED_KEYS_LINE_MAX && memchr(*at, '\0', len) == NULL) {
		memcpy(line, *at, len);
		line[len] = '\0';
	}
	*at += len + 1;
	return true;
}

static void plain_ca(const struct sshcert *cert, struct writer *w)
{
	writer_cstring(w, "ssh-ed25519");
	writer_string(w, cert->ca, sizeof(cert->ca));
}

int authorized_keys_match(const char *text, size_t len, const struct authorized_keys_query *q,
			  struct authorized_keys_grant *ret_grant, struct error *err)
{
	struct authorized_keys_options *o = malloc(sizeof(*o));
	char *line = malloc(AUTHORIZED_KEYS_LINE_MAX);
	const char *at = text, *end = text + len;
	const uint8_t *wanted = q->blob;
	size_t wanted_len = q->blob_len;
	uint8_t ca[64];
	struct writer w = writer_init(ca, sizeof(ca));
	int result = o != NULL && line != NULL ? -ENOENT : -ENOMEM;

	if (q->cert != NULL) {
		plain_ca(q->cert, &w);
		wanted = ca;
		wanted_len = w.len;
	}
	for (uint32_t n = 1; result != -ENOMEM && next_line(&at, end, line); n++) {
		struct error why = {0};
		const char *start = line + strspn(line, " \t");
		int r;

		if (*start == '\0' || *start == '#')
			continue;
		r = judge_line(start, q, wanted, wanted_len, o, &why);
		if (r == -ENOENT)
			continue;
		if (r == 0) {
			result = 0;
			o->grant.line = n;
			*ret_grant = o->grant;
			break;
		}
		result = error_set(err, -EACCES, "line %u: %s", n, error_text(&why));
	}
	free(line);
	free(o);
	return result;
}

bool authorized_keys_may_open(const struct authorized_keys_grant *g, const char *host,
			      uint16_t port)
{
	if (!g->port_forwarding)
		return false;
	for (size_t i = 0; i < g->open_count; i++)
		if ((g->open[i].port == 0 || g->open[i].port == port) &&
		    (strcmp(g->open[i].host, "*") == 0 || strcmp(g->open[i].host, host) == 0))
			return true;
	return !g->limits_open;
}

bool authorized_keys_may_listen(const struct authorized_keys_grant *g, const char *address,
				uint16_t port)
{
	char lower[256];
	size_t i = 0;

	if (!g->port_forwarding)
		return false;
	for (; address[i] != '\0' && i + 1 < sizeof(lower); i++)
		lower[i] = address[i] >= 'A' && address[i] <= 'Z' ? (char)(address[i] + 32)
								  : address[i];
	lower[i] = '\0';
	for (i = 0; i < g->listen_count; i++)
		if ((g->listen[i].port == 0 || g->listen[i].port == port) &&
		    authorized_keys_pattern(lower, g->listen[i].host))
			return true;
	return !g->limits_listen;
}
