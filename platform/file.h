/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that hold state: read whole with a limit, replaced atomically (temporary name, fsync,
 * rename, fsync of the folder), never followed through a final symlink.
 */
#ifndef WARREN_PLATFORM_FILE_H
#define WARREN_PLATFORM_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "platform/buffer.h"
#include "platform/error.h"

/* Appends the file's bytes to out (out->max is the limit). -ENOENT, -EMSGSIZE, other -errno. */
int file_read(const char *path, struct buffer *out) WARREN_MUST_USE;
int file_read_at(int dirfd, const char *name, struct buffer *out) WARREN_MUST_USE;
/* Reads everything from an open descriptor until EOF. */
int file_read_fd(int fd, struct buffer *out) WARREN_MUST_USE;
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode) WARREN_MUST_USE;
int file_write_atomic_at(int dirfd, const char *name, const void *data, size_t len, mode_t mode)
	WARREN_MUST_USE;
/* Creates path (one level) with this mode and owner when it is missing; refuses a non-folder, and
 * narrows the mode of an existing one. uid/gid -1: leave. */
int file_ensure_dir(const char *path, mode_t mode, uid_t uid, gid_t gid) WARREN_MUST_USE;
/* mkdir -p with mode for the missing ones. */
int file_make_dirs(const char *path, mode_t mode) WARREN_MUST_USE;
/* write(2) until all is written; EINTR-safe; -errno. */
int file_write_all(int fd, const void *data, size_t len) WARREN_MUST_USE;
/* Closes when >= 0 and sets to -1. */
void file_close(int *fd);
int file_set_nonblock(int fd, bool on) WARREN_MUST_USE;

#endif
