/* SPDX-License-Identifier: Apache-2.0
 *
 * warren sshd: the SSH server alone and its configuration. A program of its own does it, because
 * the command line knows nothing of SSH.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

int cli_sshd(const struct cli *c, int argc, char **argv)
{
	static char name[] = "warren-sshd";
	static const char *const elsewhere[] = {"/usr/sbin/warren-sshd", "/usr/bin/warren-sshd"};
	const char *slash = strrchr(c->self, '/');
	char path[600];

	(void)argc;
	argv[0] = name;
	if (setrlimit(RLIMIT_CORE, &c->core) < 0) /* its sessions inherit it */
		errno = 0;
	if (slash != NULL) {
		snprintf(path, sizeof(path), "%.*s/warren-sshd", (int)(slash - c->self), c->self);
		execv(path, argv);
	}
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
		execv(elsewhere[i], argv);
	return cli_fail(c, WARREN_EXIT_FAILED, "warren-sshd cannot be started: %s",
			strerror(errno));
}
