/* SPDX-License-Identifier: Apache-2.0
 *
 * With ssh -J the final host's ProxyCommand does not run, so `detect` fetches the certificate where
 * ssh's arguments say that it jumps or a configuration file might: ssh reads the files as soon as
 * detect is done. Never asks a person, never says anything.
 */
#include "cli/openssh_jump.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/openssh.h"
#include "platform/buffer.h"
#include "platform/file.h"

#define LEFT_S 20 /* a certificate this long good is good enough */

enum jump openssh_jump_of_arguments(const char *args, size_t len)
{
	for (size_t at = 0; at < len; at += strnlen(args + at, len - at) + 1) {
		const char *arg = args + at;
		size_t n = strnlen(arg, len - at);

		if (at == 0) {
			const char *slash = memrchr(arg, '/', n);

			/* Not ssh, so the shell between it and us. */
			if (n - (slash ? (size_t)(slash + 1 - arg) : 0) != 3 ||
			    memcmp(arg + n - 3, "ssh", 3) != 0)
				return JUMP_UNKNOWN;
			continue;
		}
		if (n == len - at) /* cut off */
			break;
		if ((arg[0] == '-' && arg[1] != 'o' && strchr(arg, 'J')) ||
		    strcasestr(arg, "proxyjump"))
			return JUMP_YES;
	}
	return JUMP_NO;
}

/* The parent, or its parent when a shell stands between. */
static enum jump of_parents(void)
{
	pid_t pid = getppid();

	for (int i = 0; i < 2 && pid > 1; i++) {
		char path[64], text[8192];
		const char *end;
		enum jump jump;
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text));
		file_close(&fd);
		jump = n > 0 ? openssh_jump_of_arguments(text, (size_t)n) : JUMP_UNKNOWN;
		if (jump != JUMP_UNKNOWN)
			return jump;
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		file_close(&fd);
		text[n > 0 ? n : 0] = '\0';
		end = strrchr(text, ')'); /* "pid (name) state ppid" */
		pid = end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
	}
	return JUMP_NO;
}

/* Could a configuration file have the final host jump? */
static bool configured(void)
{
	const struct passwd *pw = getpwuid(getuid()); /* as ssh: HOME says nothing */
	char path[4096];
	struct buffer b;
	bool yes = false;

	if (!pw || snprintf(path, sizeof(path), "%s/.ssh/config", pw->pw_dir) >= (int)sizeof(path))
		return false;
	buffer_init(&b, 256u << 10);
	if (file_read(path, &b) == 0 && buffer_cstring(&b))
		yes = strcasestr(buffer_cstring(&b), "proxyjump") ||
		      strcasestr(buffer_cstring(&b), "include");
	buffer_done(&b);
	return yes;
}

static bool has_certificate(const char *hash)
{
	char dir[64], path[300];
	struct stat st;

	openssh_directory(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/%s-cert.pub", dir, hash);
	/* The time of the file is the end of the certificate. */
	return stat(path, &st) == 0 && st.st_mtime > time(NULL) + LEFT_S;
}

/* In a child: silent, and nobody waits for its descriptors. */
static void fetch(const struct cli *c, char **argv)
{
	struct prompt prompt = {.jump = true};
	struct openssh_login login = {0};
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3 && null >= 0; fd++)
		(void)dup2(null, fd);
	for (int fd = 3; fd < 64; fd++)
		(void)close(fd);
	(void)alarm(10);
	(void)openssh_prepare(c, argv[2], argv[3], argv[4], argv[5], false, &prompt, &login);
	_exit(0);
}

void openssh_jump(const struct cli *c, char **argv)
{
	pid_t pid;

	if (has_certificate(argv[5]) || (of_parents() != JUMP_YES && !configured()))
		return;
	pid = fork();
	if (pid == 0)
		fetch(c, argv);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
