/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of the file system that a file transfer sees. Confined: a folder is "/" and nothing that
 * a path, a symbolic link or a racing rename does leads out of it (design below). Not confined: the
 * whole, as the user sees it.
 *
 * A confined path is first made plain: symbolic links are read one by one and put into the text,
 * ".." takes away the component before it and stops at "/". The plain text is then opened by a single
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS). A race can make the text
 * stale; the open then fails, or opens what has that name now: both below the folder.
 */
#ifndef WARREN_SSH_SFTP_ROOT_H
#define WARREN_SSH_SFTP_ROOT_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "platform/error.h"

#define SFTP_PATH_MAX PATH_MAX

struct sftp_root {
	bool confined;
	bool hide_dots; /* names at the top that begin with a dot are not there: ~/.ssh, ~/.bashrc */
	bool read_only;
	int fd;		     /* of the folder; AT_FDCWD when not confined */
	char home[SFTP_PATH_MAX]; /* not confined: what "~" is */
};

/* A folder, held open, and a name in it that has no "/". */
struct sftp_place {
	int fd; /* AT_FDCWD or the caller's to close by sftp_place_done */
	char name[SFTP_PATH_MAX];
};

/* Confines to folder (as the caller may open it). -errno. */
int sftp_root_open(struct sftp_root *root, const char *folder) WARREN_MUST_USE;
/* The whole file system, relative paths from the working directory. */
void sftp_root_whole(struct sftp_root *root, const char *home);
void sftp_root_done(struct sftp_root *root);

/* All of these: 0 or a descriptor, or -errno. Paths are as the client wrote them. */
/* open(2), symbolic links followed; mode without set-id bits when confined. */
int sftp_root_file(const struct sftp_root *root, const char *path, int flags,
		   mode_t mode) WARREN_MUST_USE;
/* The folder of the last component, which itself is not followed. -EINVAL: there is none. */
int sftp_root_place(const struct sftp_root *root, const char *path,
		    struct sftp_place *ret_place) WARREN_MUST_USE;
void sftp_place_done(struct sftp_place *place);
int sftp_root_stat(const struct sftp_root *root, const char *path, bool follow,
		   struct stat *ret_stat) WARREN_MUST_USE;
/* The plain absolute path as the client sees it; the last component may be missing. */
int sftp_root_realpath(const struct sftp_root *root, const char *path,
		       char ret_path[static SFTP_PATH_MAX]) WARREN_MUST_USE;
int sftp_root_mkdir(const struct sftp_root *root, const char *path, mode_t mode) WARREN_MUST_USE;
/* unlinkat(2) with its flags. */
int sftp_root_remove(const struct sftp_root *root, const char *path, int flags) WARREN_MUST_USE;
int sftp_root_rename(const struct sftp_root *root, const char *from, const char *to,
		     bool replace) WARREN_MUST_USE;
int sftp_root_link(const struct sftp_root *root, const char *from, const char *to) WARREN_MUST_USE;
/* Confined: -EPERM for a target that begins with "/" or has "..", because somebody who is not
 * confined may follow the link. */
int sftp_root_symlink(const struct sftp_root *root, const char *target,
		      const char *path) WARREN_MUST_USE;
int sftp_root_readlink(const struct sftp_root *root, const char *path,
		       char ret_target[static SFTP_PATH_MAX]) WARREN_MUST_USE;
/* An open file, or an O_PATH descriptor of anything but a symbolic link. */
int sftp_root_chmod(int fd, mode_t mode) WARREN_MUST_USE;
mode_t sftp_root_mode(const struct sftp_root *root, mode_t mode);
/* Is name (an entry of the folder that st describes) left out of listings? */
bool sftp_root_hidden(const struct sftp_root *root, const struct stat *folder, const char *name);

#endif
