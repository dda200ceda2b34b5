/* SPDX-License-Identifier: Apache-2.0
 *
 * warren ssh harden: a drop-in for the SSH server of this machine that allows less than the
 * defaults, checked before it is in force.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "platform/buffer.h"
#include "platform/file.h"

#define FOLDER	     "/etc/warren/sshd_config.d"
#define NAME	     "10-hardened.conf"
#define HARDEN_USAGE "ssh harden [--user LOGIN]... [--group GROUP]... [--print | --undo]"

static const char profile[] =
	"# Written by `warren ssh harden`; `warren ssh harden --undo` removes it.\n"
	"PermitRootLogin no\n"
	"PasswordAuthentication no\n"
	"MaxAuthTries 3\n"
	"LoginGraceTime 30\n"
	"ClientAliveInterval 30\n"
	"ClientAliveCountMax 3\n"
	"UnusedConnectionTimeout 10m\n"
	"RekeyLimit 1G 1h\n"
	"AllowAgentForwarding no\n"
	"GatewayPorts no\n"
	"Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com\n"
	"KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org\n";

struct wanted {
	bool print, undo;
	struct buffer text;
};

static int parse(int argc, char **argv, struct wanted *w)
{
	int r = buffer_printf(&w->text, "%s", profile);

	for (int i = 1; r == 0 && i < argc; i++) {
		const char *value = "";
		bool user = cli_option(argv, &i, "--user", &value);

		if (user || cli_option(argv, &i, "--group", &value)) {
			if (value == NULL || *value == '\0' || strpbrk(value, " \t\n\"'\\#") != NULL)
				return -EINVAL;
			r = buffer_printf(&w->text, "%s %s\n", user ? "AllowUsers" : "AllowGroups",
					  value);
		} else if (!cli_switch(argv[i], "--print", &w->print) &&
			   !cli_switch(argv[i], "--undo", &w->undo)) {
			return -EINVAL;
		}
	}
	return w->print && w->undo ? -EINVAL : r;
}

/* The whole folder with the new file, by the server's own parser. */
static bool folder_is_good(const struct cli *c)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		char *argv[] = {(char[]){"sshd"}, (char[]){"-t"}, NULL};

		_exit(cli_sshd(c, 2, argv));
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

static int write_file(const struct cli *c, const struct wanted *w)
{
	int r;

	if (!folder_is_good(c))
		return cli_fail(c, WARREN_EXIT_FAILED,
				"nothing was changed: put the configuration right first");
	r = file_make_dirs(FOLDER, 0755);
	if (r == 0)
		r = file_write_atomic(FOLDER "/" NAME, w->text.data, w->text.len, 0644);
	if (r < 0)
		return cli_fail(c, WARREN_EXIT_FAILED, "%s cannot be written: %s%s", FOLDER "/" NAME,
				strerror(-r), r == -EACCES ? " (root can)" : "");
	if (!folder_is_good(c)) {
		unlink(FOLDER "/" NAME);
		return cli_fail(c, WARREN_EXIT_FAILED,
				"these accounts cannot be written so: the drop-in was removed");
	}
	puts("The SSH server of this machine is hardened (" FOLDER "/" NAME
	     "): with its next connection.");
	return WARREN_EXIT_OK;
}

int cli_ssh_harden(const struct cli *c, int argc, char **argv)
{
	struct wanted w = {0};
	int status = WARREN_EXIT_OK;

	buffer_init(&w.text, 16384);
	if (parse(argc, argv, &w) < 0) {
		buffer_done(&w.text);
		return cli_usage(HARDEN_USAGE);
	}
	if (w.print)
		fwrite(w.text.data, 1, w.text.len, stdout);
	else if (w.undo && unlink(FOLDER "/" NAME) < 0 && errno != ENOENT)
		status = cli_fail(c, WARREN_EXIT_FAILED, "%s cannot be removed: %s",
				  FOLDER "/" NAME, strerror(errno));
	else if (w.undo)
		puts("The SSH server of this machine is as before.");
	else
		status = write_file(c, &w);
	buffer_done(&w.text);
	return status;
}
