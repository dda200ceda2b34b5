/* SPDX-License-Identifier: Apache-2.0
 *
 * State files. A reader sees the old content or the new, never a part: the new one is written under
 * a temporary name in the same folder, synced, renamed over the old name, and the folder is synced.
 */
#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/encode.h"
#include "platform/secret.h"

enum { READ_CHUNK_BYTES = 16384 };

void file_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int file_read_fd(int fd, struct buffer *out)
{
	uint8_t chunk[READ_CHUNK_BYTES];
	const size_t old_len = out->len;
	int rc;

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 ? -errno : 0;
		if (n <= 0)
			break;
		rc = buffer_append(out, chunk, (size_t)n);
		if (rc < 0)
			break;
	}
	secret_wipe(chunk, sizeof(chunk));
	if (rc < 0 && out->len > old_len) {
		secret_wipe(out->data + old_len, out->len - old_len);
		out->len = old_len;
	}
	return rc;
}

int file_read_at(int dirfd, const char *name, struct buffer *out)
{
	struct stat st;
	int fd, rc;

	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (S_ISDIR(st.st_mode))
		rc = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		rc = -EINVAL;
	else
		rc = file_read_fd(fd, out);
	file_close(&fd);
	return rc;
}

int file_read(const char *path, struct buffer *out)
{
	return file_read_at(AT_FDCWD, path, out);
}

int file_write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Everything up to the rename; on failure nothing is left under the temporary name. */
static int write_temporary(int dirfd, const char *name, const void *data, size_t len, mode_t mode)
{
	int fd, rc;

	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	rc = file_write_all(fd, data, len);
	if (rc == 0 && fchmod(fd, mode) < 0)
		rc = -errno;
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0 && errno != EINTR)
		rc = -errno;
	if (rc < 0)
		unlinkat(dirfd, name, 0);
	return rc;
}

int file_write_atomic_at(int dirfd, const char *name, const void *data, size_t len, mode_t mode)
{
	char temporary[NAME_MAX + 1], suffix[ENCODE_HEX_SIZE(8)];
	uint8_t unique[8];
	int folder, rc;

	if (name[0] == '\0' || strchr(name, '/') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return -EINVAL;
	randombytes_buf(unique, sizeof(unique));
	encode_hex(suffix, unique, sizeof(unique));
	rc = snprintf(temporary, sizeof(temporary), ".%s.%s", name, suffix);
	if (rc < 0 || (size_t)rc >= sizeof(temporary))
		return -ENAMETOOLONG;

	/* Opened again, because dirfd may be AT_FDCWD or O_PATH, which can't be synced. */
	folder = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	rc = write_temporary(folder, temporary, data, len, mode);
	if (rc == 0 && renameat(folder, temporary, folder, name) < 0) {
		rc = -errno;
		unlinkat(folder, temporary, 0);
	}
	if (rc == 0 && fsync(folder) < 0)
		rc = -errno;
	file_close(&folder);
	return rc;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
	char folder_path[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t folder_len;
	int folder, rc;

	if (!slash)
		return file_write_atomic_at(AT_FDCWD, path, data, len, mode);
	folder_len = slash == path ? 1 : (size_t)(slash - path);
	if (folder_len >= sizeof(folder_path))
		return -ENAMETOOLONG;
	memcpy(folder_path, path, folder_len);
	folder_path[folder_len] = '\0';
	folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	rc = file_write_atomic_at(folder, slash + 1, data, len, mode);
	file_close(&folder);
	return rc;
}

int file_ensure_dir(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	bool created;
	struct stat st;
	mode_t want;
	int fd, rc = 0;

	created = mkdir(path, mode & 0700) == 0; /* widened below, once it has its owner */
	if (!created && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	if (fstat(fd, &st) < 0) {
		rc = -errno;
		goto out;
	}
	if (((uid != (uid_t)-1 && uid != st.st_uid) || (gid != (gid_t)-1 && gid != st.st_gid)) &&
	    fchown(fd, uid, gid) < 0) {
		rc = -errno;
		goto out;
	}
	want = created ? mode : (st.st_mode & 07777 & mode);
	if (want != (st.st_mode & 07777) && fchmod(fd, want) < 0)
		rc = -errno;
out:
	file_close(&fd);
	return rc;
}

int file_make_dirs(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	struct stat st;
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return len == 0 ? -ENOENT : -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (i < len && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, mode) < 0) {
			if (errno != EEXIST && errno != EROFS)
				return -errno;
			if (stat(part, &st) < 0)
				return -errno;
			if (!S_ISDIR(st.st_mode))
				return -ENOTDIR;
		}
	}
	return 0;
}

int file_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}
