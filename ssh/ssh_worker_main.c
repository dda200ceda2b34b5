/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-ssh-worker: what of an SSH connection needs libssh and OpenSSL (ssh/PROTOCOL.md). A
 * program of its own, so that neither is mapped into the monitor. Not for use by hand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/log.h"
#include "ssh/worker.h"

int main(int argc, char **argv)
{
	log_init("warren-ssh-session", 2, LOG_LEVEL_INFO, getenv("WARREN_LOG_JSON") != NULL);
	if (argc == 2 && strcmp(argv[1], "--worker") == 0)
		return worker_run();
	if (argc == 2 && strcmp(argv[1], "--verify") == 0)
		return worker_verify();
	if (argc == 2 && strcmp(argv[1], "--token") == 0)
		return worker_token();
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("warren-ssh-worker " WARREN_VERSION);
		return 0;
	}
	fputs("usage: warren-ssh-worker is started by warren-ssh-session for each SSH connection\n",
	      stderr);
	return 2;
}
