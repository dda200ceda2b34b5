/* SPDX-License-Identifier: Apache-2.0
 *
 * /run/warren/u/UID: where the command line puts keys and certificates of a person for the moment
 * (design section 8). The folder belongs to that person, who may put anything there: nothing in
 * here follows a link or trusts a name.
 */
#include "daemon/broker_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"

#define WRITING_S 5
#define USERS_DIR BROKER_RUN_DIR "/u"

enum { MAX_REMOVED = 10000 };

int broker_userdir_make(uid_t uid, struct error *err)
{
	char path[64];
	int rc;

	if (uid == (uid_t)-1)
		return error_set(err, -EINVAL, "there is no such user");
	snprintf(path, sizeof(path), "%s/%u", USERS_DIR, (unsigned)uid);
	rc = file_make_dirs(BROKER_RUN_DIR, 0755);
	if (rc == 0)
		rc = file_ensure_dir(USERS_DIR, 0711, 0, 0);
	if (rc == 0)
		rc = file_ensure_dir(path, 0700, uid, (gid_t)-1);
	return rc < 0 ? error_set(err, rc, "cannot make %s: %s", path, strerror(-rc)) : 0;
}

static DIR *open_folder(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir)
		file_close(&fd);
	return dir;
}

static bool dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* A file's time is the end of what is in it, but the writer sets it last, and a temporary file has
 * none: what was touched a moment ago stays. */
static bool is_over(const struct stat *st, int64_t now_s)
{
	int64_t age_s = now_s - st->st_ctim.tv_sec;

	return st->st_mtim.tv_sec <= now_s && (age_s < 0 || age_s >= WRITING_S);
}

static void sweep_user(DIR *dir, int64_t now_s)
{
	const struct dirent *entry;
	struct stat st;

	for (int i = 0; i < MAX_REMOVED && (entry = readdir(dir));) {
		if (dots(entry->d_name) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode) || !is_over(&st, now_s))
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			i++;
	}
}

void broker_userdir_sweep(int users_fd, int64_t now_s)
{
	DIR *users = open_folder(users_fd, "."), *dir;
	const struct dirent *entry;

	while (users && (entry = readdir(users))) {
		if (dots(entry->d_name) || !(dir = open_folder(users_fd, entry->d_name)))
			continue;
		sweep_user(dir, now_s);
		closedir(dir);
	}
	if (users)
		closedir(users);
}

void broker_userdir_sweep_default(int64_t now_s)
{
	int fd = open(USERS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		broker_userdir_sweep(fd, now_s);
	file_close(&fd);
}
