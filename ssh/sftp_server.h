/* SPDX-License-Identifier: Apache-2.0
 *
 * SFTP version 3 with OpenSSH's extensions (its file PROTOCOL, section 4) over two descriptors, as
 * the logged-in user. Shared by sftp_*.c.
 */
#ifndef WARREN_SSH_SFTP_SERVER_H
#define WARREN_SSH_SFTP_SERVER_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ssh/sftp_attr.h"
#include "ssh/sftp_root.h"

struct sftp_handle {
	bool used;
	uint32_t generation; /* a closed handle's number is not the next one's */
	int fd;
	DIR *dir; /* NULL: a file */
	bool append;
	struct stat folder; /* of dir */
	char *path;	    /* as the client wrote it, for the log */
	uint64_t read, written;
};

struct sftp_server {
	struct sftp_root *root;
	int in, out, log; /* log -1: none */
	bool names;	  /* may ask the system for names of users and groups */
	bool started;	  /* INIT came */
	uint8_t *input, *output;
	size_t input_len;
	struct writer w; /* over output */
	struct sftp_handle handles[SFTP_HANDLES_MAX];
	uint32_t handle_limit;
};

/* Borrows root. NULL without memory. */
struct sftp_server *sftp_server_new(struct sftp_root *root, int in, int out, int log);
void sftp_server_free(struct sftp_server *s);
/* Serves until the client is done: 0, or -errno (-EBADMSG: what it sent is no SFTP). */
int sftp_server_run(struct sftp_server *s) WARREN_MUST_USE;
/* One packet without its length; replies are appended to s->w. Exposed for the fuzzer. */
int sftp_server_packet(struct sftp_server *s, const uint8_t *data, size_t len) WARREN_MUST_USE;
/* Writes out what is in s->w. */
int sftp_server_flush(struct sftp_server *s) WARREN_MUST_USE;

/* Replies. result: 0 or -errno. */
size_t sftp_server_begin(struct sftp_server *s, uint8_t type, uint32_t id);
void sftp_server_end(struct sftp_server *s, size_t start);
void sftp_server_status(struct sftp_server *s, uint32_t id, enum sftp_status status);
void sftp_server_result(struct sftp_server *s, uint32_t id, int result);
/* A path of at most SFTP_PATH_MAX - 1 bytes without NUL: fails the reader otherwise. */
void sftp_server_path(struct reader *r, char path[static SFTP_PATH_MAX]);
void sftp_server_name(struct sftp_server *s, uint32_t id, const char *name);
/* Confined, a transfer is about files: pipes and devices are refused. The descriptor, or -errno. */
int sftp_server_open(const struct sftp_server *s, const char *path, int flags,
		     mode_t mode) WARREN_MUST_USE;
/* fd: an open file, or with opened false an O_PATH descriptor of what path leads to. */
int sftp_server_apply(struct sftp_server *s, int fd, bool opened, const struct sftp_attr *a,
		      const char *path) WARREN_MUST_USE;

/* ---- sftp_handle.c */
/* The new handle's number; -EMFILE. Takes fd (and dir); copies path. */
int sftp_handle_new(struct sftp_server *s, int fd, DIR *dir, const char *path) WARREN_MUST_USE;
void sftp_handle_put(const struct sftp_server *s, struct writer *w, int number);
/* NULL: there is no such handle. */
struct sftp_handle *sftp_handle_get(struct sftp_server *s, struct reader *r);
int sftp_handle_close(struct sftp_server *s, struct sftp_handle *h, bool forced) WARREN_MUST_USE;

/* ---- sftp_files.c, sftp_stat.c, sftp_folders.c, sftp_names.c. The fields behind id: 0, or -EBADMSG. */
int sftp_on_open(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_close(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_read(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_write(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_stat(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_lstat(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_fstat(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_setstat(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_fsetstat(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_opendir(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_readdir(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_remove(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_rmdir(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_mkdir(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_realpath(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_rename(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_readlink(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
int sftp_on_symlink(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;
/* A change that takes two paths, and its line in the log, which begins with verb. */
int sftp_server_two_paths(struct sftp_server *s, uint32_t id, struct reader *r, const char *verb,
			  int (*change)(const struct sftp_root *root, const char *from,
					const char *to)) WARREN_MUST_USE;

/* ---- sftp_extended.c */
void sftp_extended_offer(struct writer *w);
/* The fields behind id. 0, or -EBADMSG. */
int sftp_extended(struct sftp_server *s, uint32_t id, struct reader *r) WARREN_MUST_USE;

#endif
