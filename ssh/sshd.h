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
#include <sys/resource.h>

#include "platform/error.h"
#include "ssh/config/sshd_config.h"
#include "ssh/sshd_query.h"

/* The command line. */
struct sshd_arguments {
	const char *path; /* of the configuration */
	bool inetd, foreground, test, show;
	size_t option_count, host_key_count, port_count, connection_count;
	const char *options[64]; /* -o KEYWORD=VALUE */
	const char *host_keys[16];
	uint16_t ports[SSHD_PORTS_MAX];
	const char *connections[16]; /* -C */
	struct rlimit core;	     /* as inherited, for sessions */
};

/* The files and -o, which comes first. */
int sshd_arguments_load(const struct sshd_arguments *a, struct sshd_config **ret_config,
			struct error *err) WARREN_MUST_USE;
/* What -p and -h say goes before the files. */
void sshd_arguments_override(const struct sshd_arguments *a, struct sshd_options *o);

/* ---- sshd_force.c: `-t`: everything that is wrong to standard error. Exit status. */
int sshd_test(const struct sshd_arguments *a);
/* ---- sshd.c: listens until SIGTERM, or serves the connection on standard input. Exit status. */
int sshd_run(const struct sshd_arguments *a);

#endif
