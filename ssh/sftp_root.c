/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths of a file transfer, confined by openat2(2) and by never asking the kernel for "..".
 */
#include "ssh/sftp_root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/file.h"

#define MAX_LINKS   40 /* as the kernel */
#define MAX_RETRIES 8  /* a path that changes under our hands */

int sftp_root_open(struct sftp_root *root, const char *folder)
{
	memset(root, 0, sizeof(*root));
	root->confined = true;
	root->fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root->fd < 0 ? -errno : 0;
}

void sftp_root_whole(struct sftp_root *root, const char *home)
{
	memset(root, 0, sizeof(*root));
	root->fd = AT_FDCWD;
	snprintf(root->home, sizeof(root->home), "%s", home);
}

void sftp_root_done(struct sftp_root *root)
{
	if (root->confined)
		file_close(&root->fd);
}

mode_t sftp_root_mode(const struct sftp_root *root, mode_t mode)
{
	return mode & (root->confined ? 01777 : 07777);
}

/* ------------------------------------------------------------------ plain text */

/* Path under way: done is plain ("" or "a/b"), rest is still to be looked at. */
struct walk {
	char done[SFTP_PATH_MAX], rest[SFTP_PATH_MAX];
	int links;
};

static void parent_of(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash != NULL)
		*slash = '\0';
	else
		path[0] = '\0';
}

static int append(char *path, const char *name, size_t len)
{
	size_t have = strlen(path);

	if (len > NAME_MAX || have + 1 + len >= SFTP_PATH_MAX)
		return -ENAMETOOLONG;
	if (have > 0)
		path[have++] = '/';
	memcpy(path + have, name, len);
	path[have + len] = '\0';
	return 0;
}

static bool hidden(const struct sftp_root *root, const char *plain)
{
	return root->hide_dots && plain[0] == '.';
}

/* plain has no link and no ".." any more. "" is the folder itself. */
static int open_plain(const struct sftp_root *root, const char *plain, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY)),
		.mode = (flags & O_CREAT) != 0 ? sftp_root_mode(root, mode) : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (hidden(root, plain))
		return (flags & O_CREAT) != 0 ? -EACCES : -ENOENT;
	for (int i = 0; i < MAX_RETRIES; i++) {
		fd = syscall(SYS_openat2, root->fd, plain[0] != '\0' ? plain : ".", &how,
			     sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

/* The link's text goes in front of what is left. */
static int splice_link(struct walk *w, int fd)
{
	char target[SFTP_PATH_MAX], joined[SFTP_PATH_MAX];
	ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);
	int len;

	if (n <= 0)
		return n < 0 ? -errno : -ENOENT;
	if (++w->links > MAX_LINKS)
		return -ELOOP;
	target[n] = '\0';
	len = snprintf(joined, sizeof(joined), "%s/%s", target, w->rest);
	if (len < 0 || (size_t)len >= sizeof(joined))
		return -ENAMETOOLONG;
	if (target[0] == '/')
		w->done[0] = '\0';
	memcpy(w->rest, joined, (size_t)len + 1);
	return 0;
}

/* One ordinary component. follow: a link is put into the text, else it stays as it is. */
static int step(const struct sftp_root *root, struct walk *w, const char *name, size_t len,
		bool last, bool follow)
{
	char before[SFTP_PATH_MAX];
	struct stat st;
	int fd, r;

	memcpy(before, w->done, strlen(w->done) + 1);
	r = append(w->done, name, len);
	if (r < 0 || (last && !follow))
		return r;
	fd = open_plain(root, w->done, O_PATH | O_NOFOLLOW, 0);
	if (fd == -ENOENT && last)
		return 0; /* whoever opens it says so, or makes it */
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		r = -errno;
	} else if (S_ISLNK(st.st_mode)) {
		memcpy(w->done, before, strlen(before) + 1);
		r = splice_link(w, fd);
	} else if (!last && !S_ISDIR(st.st_mode)) {
		r = -ENOTDIR;
	}
	close(fd);
	return r;
}

static bool only_slashes(const char *text)
{
	return text[strspn(text, "/")] == '\0';
}

/* follow: also a link at the end. */
static int make_plain(const struct sftp_root *root, const char *path, bool follow, struct walk *w)
{
	int r = 0;

	if (strlen(path) >= sizeof(w->rest))
		return -ENAMETOOLONG;
	w->done[0] = '\0';
	w->links = 0;
	memcpy(w->rest, path, strlen(path) + 1);
	while (r == 0) {
		char name[SFTP_PATH_MAX];
		const char *at = w->rest + strspn(w->rest, "/");
		size_t len = strcspn(at, "/");
		bool last;

		if (len == 0)
			return 0;
		memcpy(name, at, len);
		name[len] = '\0';
		/* A slash behind a link asks for what it leads to. */
		last = only_slashes(at + len);
		memmove(w->rest, at + len, strlen(at + len) + 1);
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0)
			parent_of(w->done);
		else
			r = step(root, w, name, len, last, follow || (last && w->rest[0] == '/'));
	}
	return r;
}

/* Without ".." and hidden names the text is as plain as it is, unless the kernel meets a link. */
static bool looks_plain(const char *path)
{
	for (const char *at = path; *at != '\0';) {
		size_t len;

		at += strspn(at, "/");
		len = strcspn(at, "/");
		if ((len == 2 && memcmp(at, "..", 2) == 0) || (len == 1 && *at == '.'))
			return false;
		at += len;
	}
	return true;
}

/* ------------------------------------------------------------------ opening */

static int open_walked(const struct sftp_root *root, const char *path, int flags, mode_t mode)
{
	struct walk w;
	int r;

	for (int i = 0; i < MAX_RETRIES; i++) {
		r = make_plain(root, path, (flags & O_NOFOLLOW) == 0, &w);
		if (r == 0)
			r = open_plain(root, w.done, flags, mode);
		if (r != -ELOOP || w.links > MAX_LINKS || (flags & O_NOFOLLOW) != 0)
			return r; /* else a link has come where none was */
	}
	return -ELOOP;
}

int sftp_root_file(const struct sftp_root *root, const char *path, int flags, mode_t mode)
{
	int fd;

	if (!root->confined) {
		fd = open(path[0] != '\0' ? path : ".", flags | O_CLOEXEC | O_NOCTTY, mode);
		return fd < 0 ? -errno : fd;
	}
	if (looks_plain(path)) {
		fd = open_plain(root, path + strspn(path, "/"), flags, mode);
		if (fd != -ELOOP)
			return fd;
	}
	return open_walked(root, path, flags, mode);
}

void sftp_place_done(struct sftp_place *place)
{
	if (place->fd != AT_FDCWD)
		file_close(&place->fd);
}

/* Splits off the last component, without slashes behind it; parent is "" for none. */
static int split(const char *path, char parent[static SFTP_PATH_MAX],
		 char name[static SFTP_PATH_MAX])
{
	size_t len = strlen(path), start;

	while (len > 0 && path[len - 1] == '/')
		len--;
	for (start = len; start > 0 && path[start - 1] != '/';)
		start--;
	if (len == start)
		return -EINVAL;
	if (len - start > NAME_MAX || start >= SFTP_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(name, path + start, len - start);
	name[len - start] = '\0';
	memcpy(parent, path, start);
	parent[start] = '\0';
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EINVAL : 0;
}

/* Is it the folder itself? */
static bool is_top(const struct sftp_root *root, const struct stat *st)
{
	struct stat top;

	return fstat(root->fd, &top) == 0 && top.st_dev == st->st_dev && top.st_ino == st->st_ino;
}

int sftp_root_place(const struct sftp_root *root, const char *path, struct sftp_place *ret_place)
{
	char parent[SFTP_PATH_MAX];
	struct stat st;
	int r;

	ret_place->fd = AT_FDCWD;
	if (!root->confined) {
		if (strlen(path) >= sizeof(ret_place->name))
			return -ENAMETOOLONG;
		memcpy(ret_place->name, path, strlen(path) + 1);
		return 0;
	}
	r = split(path, parent, ret_place->name);
	if (r < 0)
		return r;
	r = sftp_root_file(root, parent, O_PATH | O_DIRECTORY, 0);
	if (r < 0)
		return r;
	ret_place->fd = r;
	if (root->hide_dots && ret_place->name[0] == '.' &&
	    (fstat(r, &st) < 0 || is_top(root, &st))) {
		sftp_place_done(ret_place);
		return -EACCES;
	}
	return 0;
}

bool sftp_root_hidden(const struct sftp_root *root, const struct stat *folder, const char *name)
{
	return root->confined && root->hide_dots && name[0] == '.' && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0 && is_top(root, folder);
}

/* ------------------------------------------------------------------ what is done with names */

int sftp_root_stat(const struct sftp_root *root, const char *path, bool follow,
		   struct stat *ret_stat)
{
	int fd, r;

	if (!root->confined) {
		r = follow ? stat(path, ret_stat) : lstat(path, ret_stat);
		return r < 0 ? -errno : 0;
	}
	fd = sftp_root_file(root, path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
	if (fd < 0)
		return fd;
	r = fstat(fd, ret_stat) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* realpath(3), but the last component may be missing. */
static int whole_realpath(const char *path, char ret_path[static SFTP_PATH_MAX])
{
	char parent[SFTP_PATH_MAX], name[SFTP_PATH_MAX];
	int r;

	if (realpath(path[0] != '\0' ? path : ".", ret_path) != NULL)
		return 0;
	if (errno != ENOENT)
		return -errno;
	r = split(path, parent, name);
	if (r < 0)
		return r == -EINVAL ? -ENOENT : r;
	if (realpath(parent[0] != '\0' ? parent : ".", ret_path) == NULL)
		return -errno;
	return append(strcmp(ret_path, "/") == 0 ? ret_path + 1 : ret_path, name, strlen(name)) < 0
		       ? -ENAMETOOLONG
		       : 0;
}

int sftp_root_realpath(const struct sftp_root *root, const char *path,
		       char ret_path[static SFTP_PATH_MAX])
{
	struct walk w;
	int r;

	if (!root->confined)
		return whole_realpath(path, ret_path);
	r = make_plain(root, path, true, &w);
	if (r < 0)
		return r;
	if (strlen(w.done) + 1 >= SFTP_PATH_MAX)
		return -ENAMETOOLONG;
	ret_path[0] = '/';
	memcpy(ret_path + 1, w.done, strlen(w.done) + 1);
	return 0;
}

int sftp_root_mkdir(const struct sftp_root *root, const char *path, mode_t mode)
{
	struct sftp_place place;
	int r = sftp_root_place(root, path, &place);

	if (r == -EINVAL)
		return -EEXIST;
	if (r < 0)
		return r;
	r = mkdirat(place.fd, place.name, sftp_root_mode(root, mode)) < 0 ? -errno : 0;
	sftp_place_done(&place);
	return r;
}

int sftp_root_remove(const struct sftp_root *root, const char *path, int flags)
{
	struct sftp_place place;
	int r = sftp_root_place(root, path, &place);

	if (r < 0)
		return r;
	r = unlinkat(place.fd, place.name, flags) < 0 ? -errno : 0;
	sftp_place_done(&place);
	return r;
}

static int rename_places(const struct sftp_place *from, const struct sftp_place *to, bool replace)
{
	if (replace)
		return renameat(from->fd, from->name, to->fd, to->name) < 0 ? -errno : 0;
	if (renameat2(from->fd, from->name, to->fd, to->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system that knows no RENAME_NOREPLACE. */
	if (linkat(from->fd, from->name, to->fd, to->name, 0) < 0)
		return -errno;
	return unlinkat(from->fd, from->name, 0) < 0 ? -errno : 0;
}

int sftp_root_rename(const struct sftp_root *root, const char *from, const char *to, bool replace)
{
	struct sftp_place a, b;
	int r = sftp_root_place(root, from, &a);

	if (r < 0)
		return r;
	r = sftp_root_place(root, to, &b);
	if (r == 0) {
		r = rename_places(&a, &b, replace);
		sftp_place_done(&b);
	}
	sftp_place_done(&a);
	return r;
}

int sftp_root_link(const struct sftp_root *root, const char *from, const char *to)
{
	struct sftp_place a, b;
	int r = sftp_root_place(root, from, &a);

	if (r < 0)
		return r;
	r = sftp_root_place(root, to, &b);
	if (r == 0) {
		r = linkat(a.fd, a.name, b.fd, b.name, 0) < 0 ? -errno : 0;
		sftp_place_done(&b);
	}
	sftp_place_done(&a);
	return r;
}

static bool leads_up(const char *target)
{
	for (const char *at = target; *at != '\0';) {
		size_t len = strcspn(at, "/");

		if (len == 2 && memcmp(at, "..", 2) == 0)
			return true;
		at += len;
		at += strspn(at, "/");
	}
	return target[0] == '/';
}

int sftp_root_symlink(const struct sftp_root *root, const char *target, const char *path)
{
	struct sftp_place place;
	int r;

	if (root->confined && leads_up(target))
		return -EPERM;
	r = sftp_root_place(root, path, &place);
	if (r < 0)
		return r;
	r = symlinkat(target, place.fd, place.name) < 0 ? -errno : 0;
	sftp_place_done(&place);
	return r;
}

int sftp_root_readlink(const struct sftp_root *root, const char *path,
		       char ret_target[static SFTP_PATH_MAX])
{
	struct sftp_place place;
	ssize_t n;
	int r = sftp_root_place(root, path, &place);

	if (r < 0)
		return r;
	n = readlinkat(place.fd, place.name, ret_target, SFTP_PATH_MAX - 1);
	r = n < 0 ? -errno : 0;
	ret_target[n > 0 ? n : 0] = '\0';
	sftp_place_done(&place);
	return r;
}

/* fchmod(2) refuses O_PATH; the way through /proc names the descriptor and nothing else. */
int sftp_root_chmod(int fd, mode_t mode)
{
	char path[40];

	if (fchmod(fd, mode) == 0)
		return 0;
	if (errno != EBADF)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fchmodat(AT_FDCWD, path, mode, 0) < 0 ? -errno : 0;
}
