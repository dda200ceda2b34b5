/* SPDX-License-Identifier: Apache-2.0
 *
 * Extensions of OpenSSH's server (its file PROTOCOL, section 4), as far as clients use them.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ssh/sftp_log.h"
#include "ssh/sftp_server.h"

#define COPY_BYTES   (1u << 20)
#define IDS_MAX	     2048 /* names of 32 bytes and their lengths fit into the output's reserve */
#define FS_READ_ONLY 1u
#define FS_NO_SETUID 2u

static int rename_over(const struct sftp_root *root, const char *from, const char *to)
{
	return sftp_root_rename(root, from, to, true);
}

static int posix_rename(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return sftp_server_two_paths(s, id, r, "posix-rename", rename_over);
}

static int hardlink(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return sftp_server_two_paths(s, id, r, "hardlink", sftp_root_link);
}

static void reply_statvfs(struct sftp_server *s, uint32_t id, int fd)
{
	struct statvfs st;
	size_t start;

	if (fstatvfs(fd, &st) < 0) {
		sftp_server_result(s, id, -errno);
		return;
	}
	start = sftp_server_begin(s, SFTP_EXTENDED_REPLY, id);
	writer_u64(&s->w, st.f_bsize);
	writer_u64(&s->w, st.f_frsize);
	writer_u64(&s->w, st.f_blocks);
	writer_u64(&s->w, st.f_bfree);
	writer_u64(&s->w, st.f_bavail);
	writer_u64(&s->w, st.f_files);
	writer_u64(&s->w, st.f_ffree);
	writer_u64(&s->w, st.f_favail);
	writer_u64(&s->w, st.f_fsid);
	writer_u64(&s->w, (st.f_flag & ST_RDONLY ? FS_READ_ONLY : 0u) |
				  (st.f_flag & ST_NOSUID ? FS_NO_SETUID : 0u));
	writer_u64(&s->w, st.f_namemax);
	sftp_server_end(s, start);
}

static int statvfs_path(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX];
	int fd;

	sftp_server_path(r, path);
	if (!reader_done(r))
		return -EBADMSG;
	fd = sftp_root_file(s->root, path, O_PATH, 0);
	if (fd < 0) {
		sftp_server_result(s, id, fd);
		return 0;
	}
	reply_statvfs(s, id, fd);
	close(fd);
	return 0;
}

static int statvfs_handle(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *h = sftp_handle_get(s, r);

	if (!reader_done(r))
		return -EBADMSG;
	if (h == NULL)
		sftp_server_result(s, id, -EBADF);
	else
		reply_statvfs(s, id, h->dir != NULL ? dirfd(h->dir) : h->fd);
	return 0;
}

static int sync_handle(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *h = sftp_handle_get(s, r);
	int result = -EBADF;

	if (!reader_done(r))
		return -EBADMSG;
	if (h != NULL && h->dir == NULL)
		result = fsync(h->fd) < 0 ? -errno : 0;
	sftp_server_result(s, id, result);
	return 0;
}

/* Of a symbolic link itself: its times and owner. */
static int set_link(struct sftp_server *s, const struct sftp_place *place,
		    const struct sftp_attr *a)
{
	const struct timespec times[2] = {{.tv_sec = a->atime_s}, {.tv_sec = a->mtime_s}};
	int r = 0;

	if (s->root->read_only)
		return -EPERM;
	if (a->flags & SFTP_ATTR_SIZE)
		return -EINVAL;
	if (a->flags & SFTP_ATTR_MODE)
		r = fchmodat(place->fd, place->name, sftp_root_mode(s->root, a->mode & 07777),
			     AT_SYMLINK_NOFOLLOW) < 0
			    ? -errno
			    : 0;
	if (r == 0 && (a->flags & SFTP_ATTR_TIMES) &&
	    utimensat(place->fd, place->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0 && (a->flags & SFTP_ATTR_OWNER) &&
	    fchownat(place->fd, place->name, a->uid, a->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}

static int lsetstat(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX], text[SFTP_LOG_ESCAPED_MAX];
	struct sftp_place place;
	struct sftp_attr a;
	int result;

	sftp_server_path(r, path);
	sftp_attr_get(r, &a);
	if (!reader_done(r))
		return -EBADMSG;
	result = sftp_root_place(s->root, path, &place);
	if (result == 0) {
		result = set_link(s, &place, &a);
		sftp_place_done(&place);
	}
	if (result == 0)
		sftp_log_write(s->log, "lsetstat \"%s\"", sftp_log_path(path, text, sizeof(text)));
	sftp_server_result(s, id, result);
	return 0;
}

static int limits(struct sftp_server *s, uint32_t id, struct reader *r)
{
	size_t start;

	if (!reader_done(r))
		return -EBADMSG;
	start = sftp_server_begin(s, SFTP_EXTENDED_REPLY, id);
	writer_u64(&s->w, SFTP_PACKET_MAX);
	writer_u64(&s->w, SFTP_DATA_MAX);
	writer_u64(&s->w, SFTP_DATA_MAX);
	writer_u64(&s->w, s->handle_limit);
	sftp_server_end(s, start);
	return 0;
}

static int home_of(const struct sftp_server *s, const char *user, char *out, size_t cap)
{
	const struct passwd *pw;

	if (s->root->confined) {
		/* There is nothing but the folder. */
		snprintf(out, cap, "/");
		return 0;
	}
	pw = user[0] != '\0' ? getpwnam(user) : NULL;
	if (user[0] != '\0' && pw == NULL)
		return -ENOENT;
	return snprintf(out, cap, "%s", pw != NULL ? pw->pw_dir : s->root->home) < (int)cap
		       ? 0
		       : -ENAMETOOLONG;
}

/* "~", "~/x", "~user/x", or relative to the home folder; then made plain. */
static int expand(struct sftp_server *s, const char *path, char out[static SFTP_PATH_MAX])
{
	char user[64] = "", home[SFTP_PATH_MAX], joined[SFTP_PATH_MAX];
	size_t len;
	int r, n;

	if (path[0] != '~')
		return sftp_root_realpath(s->root, path, out);
	len = strcspn(path + 1, "/");
	if (len >= sizeof(user) || (s->root->confined && len > 0))
		return -ENOENT;
	memcpy(user, path + 1, len);
	r = home_of(s, user, home, sizeof(home));
	if (r < 0)
		return r;
	n = snprintf(joined, sizeof(joined), "%s%s", home, path + 1 + len);
	if (n < 0 || (size_t)n >= sizeof(joined))
		return -ENAMETOOLONG;
	return sftp_root_realpath(s->root, joined, out);
}

static int expand_path(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX], plain[SFTP_PATH_MAX];
	int result;

	sftp_server_path(r, path);
	if (!reader_done(r))
		return -EBADMSG;
	result = expand(s, path, plain);
	if (result < 0)
		sftp_server_result(s, id, result);
	else
		sftp_server_name(s, id, plain);
	return 0;
}

static int home_directory(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char user[256], home[SFTP_PATH_MAX];
	int result;

	reader_cstring(r, user, sizeof(user));
	if (!reader_done(r))
		return -EBADMSG;
	result = home_of(s, user, home, sizeof(home));
	if (result < 0)
		sftp_server_result(s, id, result);
	else
		sftp_server_name(s, id, home);
	return 0;
}

/* What is left of length, or everything up to the end (0). */
static int copy(struct sftp_handle *from, uint64_t from_at, uint64_t length, struct sftp_handle *to,
		uint64_t to_at)
{
	bool whole = length == 0;
	uint8_t *block = malloc(COPY_BYTES);
	int r = block != NULL ? 0 : -ENOMEM;

	while (r == 0 && (whole || length > 0)) {
		size_t want = whole || length > COPY_BYTES ? COPY_BYTES : (size_t)length;
		ssize_t n = pread(from->fd, block, want, (off_t)from_at), done = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : whole ? 0 : -ENODATA;
			break;
		}
		while (r == 0 && done < n) {
			ssize_t m = to->append ? write(to->fd, block + done, (size_t)(n - done))
					       : pwrite(to->fd, block + done, (size_t)(n - done),
							(off_t)to_at + done);

			if (m > 0)
				done += m;
			else if (m == 0 || errno != EINTR)
				r = m < 0 ? -errno : -EIO;
		}
		from_at += (uint64_t)n;
		to_at += (uint64_t)n;
		from->read += (uint64_t)n;
		to->written += (uint64_t)done;
		length -= whole ? 0 : (uint64_t)n;
	}
	free(block);
	return r;
}

static int copy_data(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *from = sftp_handle_get(s, r), *to;
	uint64_t from_at = reader_u64(r), length = reader_u64(r), to_at;
	int result;

	to = sftp_handle_get(s, r);
	to_at = reader_u64(r);
	if (!reader_done(r))
		return -EBADMSG;
	if (from == NULL || to == NULL || from->dir != NULL || to->dir != NULL)
		result = -EBADF;
	else if (from == to || from_at > INT64_MAX / 2 || length > INT64_MAX / 2 ||
		 to_at > INT64_MAX / 2)
		result = -EINVAL;
	else
		result = copy(from, from_at, length, to, to_at);
	sftp_server_result(s, id, result);
	return 0;
}

/* A string of strings; empty for who is unknown. Confined, the system is not asked. */
static void put_names(struct sftp_server *s, struct reader *ids, bool groups)
{
	size_t start = s->w.len;
	struct writer length;

	writer_u32(&s->w, 0);
	while (reader_left(ids) > 0) {
		uint32_t n = reader_u32(ids);
		const struct passwd *pw = s->names && !groups ? getpwuid(n) : NULL;
		const struct group *gr = s->names && groups ? getgrgid(n) : NULL;

		writer_cstring(&s->w, pw != NULL ? pw->pw_name : gr != NULL ? gr->gr_name : "");
	}
	length = writer_init(s->output + start, 4);
	writer_u32(&length, (uint32_t)(s->w.len - start - 4));
}

static int users_groups(struct sftp_server *s, uint32_t id, struct reader *r)
{
	size_t user_len, group_len, start;
	const uint8_t *users = reader_string(r, SFTP_PACKET_MAX, &user_len);
	const uint8_t *groups = reader_string(r, SFTP_PACKET_MAX, &group_len);
	struct reader uids, gids;

	if (!reader_done(r) || users == NULL || groups == NULL || user_len % 4 != 0 ||
	    group_len % 4 != 0)
		return -EBADMSG;
	if (user_len + group_len > IDS_MAX * 4) {
		sftp_server_status(s, id, SFTP_FAILURE);
		return 0;
	}
	uids = reader_init(users, user_len);
	gids = reader_init(groups, group_len);
	start = sftp_server_begin(s, SFTP_EXTENDED_REPLY, id);
	put_names(s, &uids, false);
	put_names(s, &gids, true);
	sftp_server_end(s, start);
	return 0;
}

static const struct {
	const char *name, *version;
	int (*handle)(struct sftp_server *s, uint32_t id, struct reader *r);
} extensions[] = {
	{"posix-rename@openssh.com", "1", posix_rename},
	{"statvfs@openssh.com", "2", statvfs_path},
	{"fstatvfs@openssh.com", "2", statvfs_handle},
	{"hardlink@openssh.com", "1", hardlink},
	{"fsync@openssh.com", "1", sync_handle},
	{"lsetstat@openssh.com", "1", lsetstat},
	{"limits@openssh.com", "1", limits},
	{"expand-path@openssh.com", "1", expand_path},
	{"copy-data", "1", copy_data},
	{"home-directory", "1", home_directory},
	{"users-groups-by-id@openssh.com", "1", users_groups},
};

void sftp_extended_offer(struct writer *w)
{
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
		writer_cstring(w, extensions[i].name);
		writer_cstring(w, extensions[i].version);
	}
}

int sftp_extended(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char name[64];
	size_t len;
	const uint8_t *text = reader_string(r, SFTP_PACKET_MAX, &len);

	if (text == NULL)
		return -EBADMSG;
	memset(name, 0, sizeof(name));
	if (len < sizeof(name))
		memcpy(name, text, len);
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
		if (strcmp(extensions[i].name, name) == 0)
			return extensions[i].handle(s, id, r);
	sftp_server_status(s, id, SFTP_UNSUPPORTED);
	return 0;
}
