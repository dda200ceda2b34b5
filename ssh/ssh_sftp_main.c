/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-sftp-server: file transfers of one SSH session, as the logged-in user. The monitor of the
 * connection starts it; by hand it serves as any sftp-server does (`sftp -D`).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/error.h"
#include "ssh/sftp_command.h"
#include "ssh/sftp_confine.h"
#include "ssh/sftp_log.h"
#include "ssh/sftp_scp.h"
#include "ssh/sftp_server.h"

#define REFUSED 1

static const char usage[] =
	"usage: warren-sftp-server [--root FOLDER [--hide-dots]] [--read-only] [--umask MASK]\n"
	"                          [--log FD] [--command LINE]\n";

struct options {
	const char *folder, *command;
	bool hide_dots, read_only;
	int log;
};

static bool parse_number(const char *text, int base, long max, long *ret_value)
{
	char *end;

	errno = 0;
	*ret_value = strtol(text, &end, base);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *ret_value <= max;
}

static bool parse(int argc, char **argv, struct options *o)
{
	*o = (struct options){.log = -1};
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		long number;

		if (strcmp(argv[i], "--hide-dots") == 0) {
			o->hide_dots = true;
			continue;
		}
		if (strcmp(argv[i], "--read-only") == 0) {
			o->read_only = true;
			continue;
		}
		if (value == NULL)
			return false;
		i++;
		if (strcmp(argv[i - 1], "--root") == 0)
			o->folder = value;
		else if (strcmp(argv[i - 1], "--command") == 0)
			o->command = value;
		else if (strcmp(argv[i - 1], "--log") == 0 && parse_number(value, 10, 1023, &number))
			o->log = (int)number;
		else if (strcmp(argv[i - 1], "--umask") == 0 && parse_number(value, 8, 0777, &number))
			umask((mode_t)number);
		else
			return false;
	}
	return !o->hide_dots || o->folder != NULL;
}

/* The folder is all that is left of the file system. */
static int confine(const struct options *o, struct sftp_root *root)
{
	struct error err = {0};
	bool landlock;
	int r = sftp_root_open(root, o->folder);

	if (r < 0) {
		fprintf(stderr, "warren: cannot open %s: %s\n", o->folder, strerror(-r));
		return r;
	}
	root->hide_dots = o->hide_dots;
	tzset(); /* the file with the time zone is outside */
	localtime(&(time_t){0});
	r = sftp_confine(root, &landlock, &err);
	if (r < 0)
		fprintf(stderr, "warren: %s\n", error_text(&err));
	return r;
}

static int serve_sftp(const struct options *o, struct sftp_root *root)
{
	struct sftp_server *s = sftp_server_new(root, STDIN_FILENO, STDOUT_FILENO, o->log);
	int r;

	if (s == NULL)
		return 1;
	r = sftp_server_run(s);
	if (r == -EBADMSG)
		fputs("warren: the client does not speak SFTP\n", stderr);
	sftp_server_free(s);
	return r < 0 && r != -EPIPE ? 1 : 0;
}

static int serve(const struct options *o, struct sftp_root *root)
{
	struct sftp_command *command;
	struct error err = {0};
	char text[SFTP_LOG_ESCAPED_MAX];
	int status = REFUSED;

	if (o->command == NULL)
		return serve_sftp(o, root);
	command = malloc(sizeof(*command));
	if (command == NULL)
		return 1;
	if (sftp_command_parse(o->command, command, &err) < 0) {
		fprintf(stderr, "warren: %s\n", error_text(&err));
		sftp_log_write(o->log, "refused \"%s\"",
			       sftp_log_path(o->command, text, sizeof(text)));
	} else if (command->kind == SFTP_COMMAND_SFTP) {
		status = serve_sftp(o, root);
	} else {
		status = scp_serve(root, command, STDIN_FILENO, STDOUT_FILENO, o->log);
	}
	free(command);
	return status;
}

int main(int argc, char **argv)
{
	static struct sftp_root root;
	const char *home = getenv("HOME");
	struct options o;
	int status;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("warren-sftp-server " WARREN_VERSION);
		return 0;
	}
	if (!parse(argc, argv, &o)) {
		fputs(usage, stderr);
		return 2;
	}
	/* Another process of the same user has no business in here (ptrace, /proc/PID/mem). */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	if (o.folder == NULL)
		sftp_root_whole(&root, home != NULL ? home : "/");
	else if (confine(&o, &root) < 0)
		return 1;
	root.read_only = o.read_only;
	status = serve(&o, &root);
	sftp_root_done(&root);
	return status;
}
