/* SPDX-License-Identifier: Apache-2.0
 *
 * What is run before a session's program (sshd(8), "SSHRC"): ~/.ssh/rc, or where there is none
 * /etc/ssh/sshrc. By the user's process, so with the user's rights, environment, folder and
 * outputs; its input is empty, its status counts for nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ssh/monitor.h"

#define SH	  "/bin/sh"
#define USER_RC	  ".ssh/rc"
#define SYSTEM_RC "/etc/ssh/sshrc"

static void run(const char *program, char *const argv[], char **env)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		if (null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO)
			execve(program, argv, env);
		_exit(127);
	}
	if (pid < 0)
		dprintf(STDERR_FILENO, "Could not run %s\n", argv[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

void session_rc_run(const struct monitor *m, const struct session_wish *wish, const char *shell,
		    char **env)
{
	char path[sizeof(m->account.home) + sizeof(USER_RC) + 1], command[sizeof(path) + sizeof(SH)];
	struct stat st;

	snprintf(path, sizeof(path), "%s/" USER_RC, m->account.home);
	snprintf(command, sizeof(command), SH " %s", path);
	if (m->decision.user_rc && wish->kind != MONITOR_SUBSYSTEM && stat(path, &st) == 0)
		run(shell,
		    (char *const[]){(char *)(uintptr_t)shell, (char[]){"-c"}, command, NULL}, env);
	else if (stat(SYSTEM_RC, &st) == 0)
		run(SH, (char *const[]){(char[]){SH}, (char[]){SYSTEM_RC}, NULL}, env);
}
