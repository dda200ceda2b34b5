/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-ssh-worker: what of an SSH connection needs libssh and OpenSSL (ssh/PROTOCOL.md). A
 * program of its own, so that neither is mapped into the monitor. Not for use by hand.
 */
#include <limits.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/log.h"
#include "ssh/monitor_wire.h"
#include "ssh/place.h"
#include "ssh/worker.h"

static bool number(const char *text, unsigned *ret_number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*ret_number = (unsigned)value;
	return *text >= '0' && *text <= '9' && *end == '\0' && value <= UINT_MAX;
}

/* "--worker UID GID": with a root on WORKER_FD_ROOT. */
static bool read_place(char **argv, struct place *ret_place)
{
	unsigned uid, gid;

	if (!number(argv[2], &uid) || !number(argv[3], &gid))
		return false;
	*ret_place = (struct place){.root = WORKER_FD_ROOT, .uid = uid, .gid = gid};
	return true;
}

int main(int argc, char **argv)
{
	struct place place;

	log_init("warren-ssh-session", 2, LOG_LEVEL_INFO, getenv("WARREN_LOG_JSON") != NULL);
	if ((argc == 2 || (argc == 4 && read_place(argv, &place))) &&
	    strcmp(argv[1], "--worker") == 0) {
		int status;

		/* Names of algorithms are looked up by nobody here, and nothing is left to tidy. */
		if (OPENSSL_init_crypto(OPENSSL_INIT_NO_ADD_ALL_CIPHERS |
						OPENSSL_INIT_NO_ADD_ALL_DIGESTS |
						OPENSSL_INIT_NO_ATEXIT,
					NULL) != 1)
			return 1;
		status = worker_run(argc == 4 ? &place : NULL);
		fflush(NULL);
		_exit(status);
	}
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
