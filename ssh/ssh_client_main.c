/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-ssh: the SSH client for machines without OpenSSH's. `warren ssh` starts it; started by
 * somebody else (scp -S, GIT_SSH, rsync -e), it has `warren ssh` prepare the login first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ssh/client.h"

static int start_warren(int argc, char **argv)
{
	static char ssh[] = "ssh", client[] = "--client=own", name[] = "warren";
	char path[512] = "/usr/bin/warren";
	char **args = calloc((size_t)argc + 3, sizeof(*args));
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("/warren"));
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (!args || !slash)
		return 255;
	(void)stpcpy(slash, "/warren");
	args[0] = name;
	args[1] = ssh;
	args[2] = client;
	for (int i = 1; i < argc; i++)
		args[2 + i] = argv[i];
	execv(path, args);
	if (errno == ENOENT)
		execvp(name, args);
	fprintf(stderr, "warren-ssh: cannot start %s: %s\n", path, strerror(errno));
	free(args);
	return 255;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("warren-ssh " WARREN_VERSION);
		return 0;
	}
	if (argc < 2 || strncmp(argv[1], "--connection=", strlen("--connection=")) != 0)
		return start_warren(argc, argv);
	return client_main(argc, argv);
}
