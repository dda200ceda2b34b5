/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers and attributes of SFTP version 3 (draft-ietf-secsh-filexfer-02), and the lines that `ls -l`
 * of clients shows.
 */
#ifndef WARREN_SSH_SFTP_ATTR_H
#define WARREN_SSH_SFTP_ATTR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "platform/buffer.h"

#define SFTP_VERSION	  3
#define SFTP_PACKET_MAX	  262144 /* as OpenSSH's server: a longer one ends the transfer */
#define SFTP_DATA_MAX	  261120 /* of one READ or WRITE */
#define SFTP_HANDLES_MAX  1000
#define SFTP_LONGNAME_MAX 600

enum sftp_type {
	SFTP_INIT = 1,
	SFTP_VERSION_REPLY = 2,
	SFTP_OPEN = 3,
	SFTP_CLOSE = 4,
	SFTP_READ = 5,
	SFTP_WRITE = 6,
	SFTP_LSTAT = 7,
	SFTP_FSTAT = 8,
	SFTP_SETSTAT = 9,
	SFTP_FSETSTAT = 10,
	SFTP_OPENDIR = 11,
	SFTP_READDIR = 12,
	SFTP_REMOVE = 13,
	SFTP_MKDIR = 14,
	SFTP_RMDIR = 15,
	SFTP_REALPATH = 16,
	SFTP_STAT = 17,
	SFTP_RENAME = 18,
	SFTP_READLINK = 19,
	SFTP_SYMLINK = 20,
	SFTP_STATUS = 101,
	SFTP_HANDLE = 102,
	SFTP_DATA = 103,
	SFTP_NAME = 104,
	SFTP_ATTRS = 105,
	SFTP_EXTENDED = 200,
	SFTP_EXTENDED_REPLY = 201,
};

enum sftp_status {
	SFTP_OK = 0,
	SFTP_EOF = 1,
	SFTP_NO_SUCH_FILE = 2,
	SFTP_PERMISSION_DENIED = 3,
	SFTP_FAILURE = 4,
	SFTP_BAD_MESSAGE = 5,
	SFTP_UNSUPPORTED = 8,
};

enum sftp_open_flag {
	SFTP_OPEN_READ = 1,
	SFTP_OPEN_WRITE = 2,
	SFTP_OPEN_APPEND = 4,
	SFTP_OPEN_CREAT = 8,
	SFTP_OPEN_TRUNC = 16,
	SFTP_OPEN_EXCL = 32,
};

enum sftp_attr_flag {
	SFTP_ATTR_SIZE = 1,
	SFTP_ATTR_OWNER = 2,
	SFTP_ATTR_MODE = 4,
	SFTP_ATTR_TIMES = 8,
};

struct sftp_attr {
	uint32_t flags; /* enum sftp_attr_flag */
	uint64_t size;
	uint32_t uid, gid, mode, atime_s, mtime_s;
};

/* Fails the reader for what is not in the draft. */
void sftp_attr_get(struct reader *r, struct sftp_attr *ret_attr);
void sftp_attr_put(struct writer *w, const struct stat *st);
/* One line as `ls -l`. names: users and groups by name (asks the system), else by number. */
void sftp_attr_longname(const struct stat *st, const char *name, bool names, int64_t now_s,
			char ret_line[static SFTP_LONGNAME_MAX]);
/* Positive errno to a status of the protocol. */
enum sftp_status sftp_attr_status(int error);
/* Pairs of a name and what it says: in the order of enum sftp_status up to 8. */
const char *sftp_attr_status_text(enum sftp_status status);

#endif
