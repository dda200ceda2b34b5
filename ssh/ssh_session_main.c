/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-ssh-session: one SSH connection (ssh/PROTOCOL.md). The broker starts it as the monitor; the
 * monitor forks the verifier and starts warren-ssh-worker. Not for use by hand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/log.h"
#include "ssh/monitor.h"

int main(int argc, char **argv)
{
	const char *level = getenv("WARREN_LOG_LEVEL");
	enum log_level parsed = LOG_LEVEL_INFO;

	if (level != NULL && log_level_parse(level, &parsed) < 0)
		parsed = LOG_LEVEL_INFO;
	log_init("warren-ssh-session", 2, parsed, getenv("WARREN_LOG_JSON") != NULL);
	if (argc == 1)
		return monitor_run();
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("warren-ssh-session " WARREN_VERSION);
		return 0;
	}
	fputs("usage: warren-ssh-session is started by warrend for each SSH connection\n", stderr);
	return 2;
}
