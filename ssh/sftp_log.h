/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines about what a file transfer did, for the audit log: written by warren-sftp-server, in the words of
 * OpenSSH's sftp-server (`-e -l INFO`), and read by the monitor from either.
 */
#ifndef WARREN_SSH_SFTP_LOG_H
#define WARREN_SSH_SFTP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define SFTP_LOG_LINE_MAX 12288 /* two paths, each byte escaped at worst: longer ones are cut */
#define SFTP_LOG_PATH_MAX    1024
#define SFTP_LOG_ESCAPED_MAX (SFTP_LOG_PATH_MAX * 4) /* of sftp_log_path */

/* One operation. path2 and the numbers are empty where the operation has none. */
struct sftp_log_event {
	char op[16]; /* "open", "close", "list", "remove", "mkdir", "rmdir", "rename", "link", "symlink",
		      * "set", "refused" */
	char path[SFTP_LOG_PATH_MAX], path2[SFTP_LOG_PATH_MAX];
	char detail[128]; /* "flags READ mode 0666", "size 5", status text */
	uint64_t read, written;
};

/* Writes `FORMAT` and a newline to fd (-1: nowhere); paths go through sftp_log_path first. */
void sftp_log_write(int fd, const char *fmt, ...) WARREN_PRINTF(2, 3);
/* As vis(3) with VIS_OCTAL: printable ASCII but backslash and quotes as it is. Returns out. */
const char *sftp_log_path(const char *path, char *out, size_t cap);
/* One line without its end. false: it says nothing that the log wants. */
bool sftp_log_parse(const char *line, size_t len, struct sftp_log_event *ret_event);

#endif
