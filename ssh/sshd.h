/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-sshd: the SSH server alone, without a mesh (packaging/man/warren-sshd.8). Private to its
 * program.
 */
#ifndef WARREN_SSH_SSHD_H
#define WARREN_SSH_SSHD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"
#include "ssh/config/sshd_config.h"

#define SSHD_GROUPS_MAX 64

/* The command line. */
struct sshd_arguments {
	const char *path; /* of the configuration */
	bool inetd, foreground, test, show;
	size_t option_count, host_key_count, port_count, connection_count;
	const char *options[64]; /* -o KEYWORD=VALUE */
	const char *host_keys[16];
	uint16_t ports[SSHD_PORTS_MAX];
	const char *connections[16]; /* -C */
};

/* The files and -o, which comes first. */
int sshd_arguments_load(const struct sshd_arguments *a, struct sshd_config **ret_config,
			struct error *err) WARREN_MUST_USE;
/* What -p and -h say goes before the files. */
void sshd_arguments_override(const struct sshd_arguments *a, struct sshd_options *o);

/* ---- sshd_query.c */
/* Names of the account's groups; the strings live in out. Returns how many. */
struct sshd_groups {
	const char *names[SSHD_GROUPS_MAX];
	char text[SSHD_GROUPS_MAX][33];
	size_t count;
};
void sshd_groups_of(const char *user, struct sshd_groups *ret_groups);
/* "user=alice,addr=10.0.0.1": adds to q; text is taken apart. */
int sshd_query_parse(char *text, struct sshd_query *q, struct error *err) WARREN_MUST_USE;

/* ---- sshd.c: listens until SIGTERM, or serves the connection on standard input. Exit status. */
int sshd_run(const struct sshd_arguments *a);

#endif
