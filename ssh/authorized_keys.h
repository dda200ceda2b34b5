/* SPDX-License-Identifier: Apache-2.0
 *
 * authorized_keys (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"): does a file's text let this key in, and
 * under which restrictions? Pure: no files, no clock, no lookups. Whoever calls it has the rights of
 * the account and nothing more (authorized_keys_file.h).
 */
#ifndef WARREN_SSH_AUTHORIZED_KEYS_H
#define WARREN_SSH_AUTHORIZED_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity/sshcert.h"
#include "platform/addr.h"
#include "platform/error.h"

#define AUTHORIZED_KEYS_MAX_BYTES   (1u << 20)
#define AUTHORIZED_KEYS_LINE_MAX    16384
#define AUTHORIZED_KEYS_COMMAND_MAX 4096
#define AUTHORIZED_KEYS_PERMITS_MAX 32
#define AUTHORIZED_KEYS_ENV_MAX	    32

struct authorized_keys_query {
	const uint8_t *blob; /* plain public key (RFC 4253 section 6.6), or a certificate */
	size_t blob_len;
	/* sshcert_parse of blob, which verified the CA's signature; NULL: a plain key */
	const struct sshcert *cert;
	const char *login;
	struct ip_addr client;
	const char *client_name; /* that from= may name beside the address; NULL: none */
	int64_t now_s;
};

struct authorized_keys_permit {
	char host[256];
	uint16_t port; /* 0: any */
};

/* What the line of the key allows; by default everything. */
struct authorized_keys_grant {
	uint32_t line; /* from 1 */
	bool authority; /* the certificate's CA has the line, not the key itself */
	bool port_forwarding, agent_forwarding, x11_forwarding, pty, user_rc;
	bool has_command; /* an empty one counts */
	char command[AUTHORIZED_KEYS_COMMAND_MAX];
	bool limits_open, limits_listen; /* permitopen, permitlisten are there */
	size_t open_count, listen_count, env_count;
	struct authorized_keys_permit open[AUTHORIZED_KEYS_PERMITS_MAX];
	struct authorized_keys_permit listen[AUTHORIZED_KEYS_PERMITS_MAX];
	char env[AUTHORIZED_KEYS_ENV_MAX][512]; /* "NAME=value", for who permits them */
};

/* 0: the first line that lets the key in. -ENOENT: no line has the key. -EACCES and a sentence for
 * the log: lines have it, and their options or the certificate refuse. As sshd, lines that cannot be
 * read are passed over, and so is a line with an option that this version does not know. */
int authorized_keys_match(const char *text, size_t len, const struct authorized_keys_query *q,
			  struct authorized_keys_grant *ret_grant,
			  struct error *err) WARREN_MUST_USE;

/* May the login connect to, or listen on? */
bool authorized_keys_may_open(const struct authorized_keys_grant *g, const char *host,
			      uint16_t port);
bool authorized_keys_may_listen(const struct authorized_keys_grant *g, const char *address,
				uint16_t port);

/* ---- authorized_keys_options.c, for authorized_keys.c and tests */
struct authorized_keys_options {
	struct authorized_keys_grant grant;
	bool cert_authority, has_from, has_principals;
	char from[4096], principals[4096];
	int64_t expires_s; /* 0: never */
};
/* text: the options, up to the first blank outside of quotes. -EINVAL with what is wrong. */
int authorized_keys_options_parse(const char *text, struct authorized_keys_options *ret_options,
				  struct error *err) WARREN_MUST_USE;
/* ---- authorized_keys_pattern.c: ssh_config(5), "PATTERNS" */
/* '*' and '?'. */
bool authorized_keys_pattern(const char *text, const char *pattern);
/* from=: 1 allowed, 0 not, -1 the list is not valid. */
int authorized_keys_from(const char *list, const struct ip_addr *client, const char *name);
/* YYYYMMDD[HHMM[SS]][Z]; without Z in the machine's own time zone. -EINVAL. */
int authorized_keys_time(const char *text, int64_t *ret_s) WARREN_MUST_USE;

#endif
