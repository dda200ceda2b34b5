/* SPDX-License-Identifier: Apache-2.0
 *
 * Command lines that a login for files only may send: `scp -t …` and `scp -f …` of the old copy
 * protocol, and the ways to ask for sftp by name. Read as a shell would read the words, by no shell.
 */
#ifndef WARREN_SSH_SFTP_COMMAND_H
#define WARREN_SSH_SFTP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/error.h"

#define SFTP_COMMAND_MAX       32768
#define SFTP_COMMAND_PATHS_MAX 256

enum sftp_command_kind { SFTP_COMMAND_SFTP, SFTP_COMMAND_SINK, SFTP_COMMAND_SOURCE };

struct sftp_command {
	enum sftp_command_kind kind;
	bool recursive, preserve, want_folder;
	size_t count;
	/* Patterns of fnmatch(3): what was quoted has backslashes. Into text. */
	char *paths[SFTP_COMMAND_PATHS_MAX];
	char text[2 * SFTP_COMMAND_MAX + 2];
};

/* -EACCES with a sentence for the person for anything else. */
int sftp_command_parse(const char *line, struct sftp_command *ret_command,
		       struct error *err) WARREN_MUST_USE;
/* Does the pattern stand for names, or (false) for itself? */
bool sftp_command_globs(const char *pattern);
/* Takes the backslashes out, in place. */
void sftp_command_plain(char *pattern);

#endif
