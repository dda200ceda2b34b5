/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of the SFTP server about attributes: asked for by path or handle, and set.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/file.h"
#include "ssh/sftp_log.h"
#include "ssh/sftp_server.h"

static void reply_attr(struct sftp_server *s, uint32_t id, int result, const struct stat *st)
{
	size_t start;

	if (result < 0) {
		sftp_server_result(s, id, result);
		return;
	}
	start = sftp_server_begin(s, SFTP_ATTRS, id);
	sftp_attr_put(&s->w, st);
	sftp_server_end(s, start);
}

static int stat_path(struct sftp_server *s, uint32_t id, struct reader *r, bool follow)
{
	char path[SFTP_PATH_MAX];
	struct stat st;

	sftp_server_path(r, path);
	if (!reader_done(r))
		return -EBADMSG;
	reply_attr(s, id, sftp_root_stat(s->root, path, follow, &st), &st);
	return 0;
}

int sftp_on_stat(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return stat_path(s, id, r, true);
}

int sftp_on_lstat(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return stat_path(s, id, r, false);
}

int sftp_on_fstat(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *h = sftp_handle_get(s, r);
	struct stat st;
	int result = -EBADF;

	if (!reader_done(r))
		return -EBADMSG;
	if (h != NULL)
		result = fstat(h->dir != NULL ? dirfd(h->dir) : h->fd, &st) < 0 ? -errno : 0;
	reply_attr(s, id, result, &st);
	return 0;
}

static int set_size(const struct sftp_server *s, int fd, bool opened, const struct sftp_attr *a,
		    const char *path)
{
	int r, own = -1;

	if (a->size > INT64_MAX)
		return -EINVAL;
	if (!opened) {
		own = sftp_server_open(s, path, O_WRONLY, 0);
		if (own < 0)
			return own;
		fd = own;
	}
	r = ftruncate(fd, (off_t)a->size) < 0 ? -errno : 0;
	file_close(&own);
	return r;
}

static void log_set(const struct sftp_server *s, const struct sftp_attr *a, const char *path)
{
	char text[SFTP_LOG_ESCAPED_MAX];

	sftp_log_path(path, text, sizeof(text));
	if (a->flags & SFTP_ATTR_SIZE)
		sftp_log_write(s->log, "set \"%s\" size %llu", text, (unsigned long long)a->size);
	if (a->flags & SFTP_ATTR_MODE)
		sftp_log_write(s->log, "set \"%s\" mode %04o", text, a->mode);
	if (a->flags & SFTP_ATTR_TIMES)
		sftp_log_write(s->log, "set \"%s\" modtime %u", text, a->mtime_s);
	if (a->flags & SFTP_ATTR_OWNER)
		sftp_log_write(s->log, "set \"%s\" owner %u group %u", text, a->uid, a->gid);
}

int sftp_server_apply(struct sftp_server *s, int fd, bool opened, const struct sftp_attr *a,
		      const char *path)
{
	const struct timespec times[2] = {{.tv_sec = a->atime_s}, {.tv_sec = a->mtime_s}};
	int r = 0;

	if (s->root->read_only)
		return -EPERM;
	if (a->flags & SFTP_ATTR_SIZE)
		r = set_size(s, fd, opened, a, path);
	if (r == 0 && (a->flags & SFTP_ATTR_MODE))
		r = sftp_root_chmod(fd, sftp_root_mode(s->root, a->mode & 07777));
	if (r == 0 && (a->flags & SFTP_ATTR_TIMES) && utimensat(fd, "", times, AT_EMPTY_PATH) < 0)
		r = -errno;
	if (r == 0 && (a->flags & SFTP_ATTR_OWNER) &&
	    fchownat(fd, "", a->uid, a->gid, AT_EMPTY_PATH) < 0)
		r = -errno;
	if (r == 0)
		log_set(s, a, path);
	return r;
}

int sftp_on_setstat(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX];
	struct sftp_attr a;
	int fd;

	sftp_server_path(r, path);
	sftp_attr_get(r, &a);
	if (!reader_done(r))
		return -EBADMSG;
	fd = sftp_root_file(s->root, path, O_PATH, 0);
	sftp_server_result(s, id, fd < 0 ? fd : sftp_server_apply(s, fd, false, &a, path));
	if (fd >= 0)
		close(fd);
	return 0;
}

int sftp_on_fsetstat(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *h = sftp_handle_get(s, r);
	struct sftp_attr a;
	int result = -EBADF;

	sftp_attr_get(r, &a);
	if (!reader_done(r))
		return -EBADMSG;
	if (h != NULL)
		result = sftp_server_apply(s, h->dir != NULL ? dirfd(h->dir) : h->fd, true, &a,
					   h->path);
	sftp_server_result(s, id, result);
	return 0;
}
