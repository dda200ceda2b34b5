/* SPDX-License-Identifier: Apache-2.0
 *
 * The SFTP server (draft-ietf-secsh-filexfer-02): reads packets, acts, answers. Requests that came
 * together are answered together; data moves between the file and the packet buffers without a copy
 * in between. What is no packet ends the transfer.
 */
#include "ssh/sftp_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "platform/file.h"
#include "ssh/sftp_log.h"

#define INPUT_BYTES   (1u << 20)
#define OUTPUT_BYTES  (1u << 20)
#define FLUSH_BYTES   (OUTPUT_BYTES - SFTP_PACKET_MAX - 1024)
#define FILES_RESERVE 16  /* descriptors that are not handles */
#define NAMES_AT_ONCE 128 /* of one READDIR */
#define NAMES_BYTES   (SFTP_PACKET_MAX - 4096)
#define ESCAPED_MAX   (SFTP_LOG_PATH_MAX * 4)

struct sftp_server *sftp_server_new(struct sftp_root *root, int in, int out, int log)
{
	struct sftp_server *s = calloc(1, sizeof(*s));
	struct rlimit limit;

	if (s == NULL)
		return NULL;
	s->input = malloc(INPUT_BYTES);
	s->output = malloc(OUTPUT_BYTES);
	if (s->input == NULL || s->output == NULL) {
		sftp_server_free(s);
		return NULL;
	}
	s->root = root;
	s->in = in;
	s->out = out;
	s->log = log;
	s->names = !root->confined;
	s->w = writer_init(s->output, OUTPUT_BYTES);
	s->handle_limit = SFTP_HANDLES_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur < SFTP_HANDLES_MAX + FILES_RESERVE)
		s->handle_limit = limit.rlim_cur > FILES_RESERVE + 1
					  ? (uint32_t)limit.rlim_cur - FILES_RESERVE
					  : 1;
	return s;
}

void sftp_server_free(struct sftp_server *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < SFTP_HANDLES_MAX; i++)
		if (s->handles[i].used && sftp_handle_close(s, &s->handles[i], true) < 0)
			continue; /* nobody is left to tell */
	free(s->input);
	free(s->output);
	free(s);
}

/* ------------------------------------------------------------------ replies */

size_t sftp_server_begin(struct sftp_server *s, uint8_t type, uint32_t id)
{
	size_t start = s->w.len;

	writer_u32(&s->w, 0);
	writer_u8(&s->w, type);
	writer_u32(&s->w, id);
	return start;
}

void sftp_server_end(struct sftp_server *s, size_t start)
{
	struct writer length = writer_init(s->output + start, 4);

	if (!s->w.failed)
		writer_u32(&length, (uint32_t)(s->w.len - start - 4));
}

void sftp_server_status(struct sftp_server *s, uint32_t id, enum sftp_status status)
{
	size_t start = sftp_server_begin(s, SFTP_STATUS, id);

	writer_u32(&s->w, status);
	writer_cstring(&s->w, sftp_attr_status_text(status));
	writer_cstring(&s->w, "");
	sftp_server_end(s, start);
}

void sftp_server_result(struct sftp_server *s, uint32_t id, int result)
{
	enum sftp_status status = sftp_attr_status(result < 0 ? -result : 0);
	size_t start;

	if (status != SFTP_FAILURE) {
		sftp_server_status(s, id, status);
		return;
	}
	start = sftp_server_begin(s, SFTP_STATUS, id);
	writer_u32(&s->w, status);
	writer_cstring(&s->w, strerror(-result)); /* "No space left on device" */
	writer_cstring(&s->w, "");
	sftp_server_end(s, start);
}

void sftp_server_path(struct reader *r, char path[static SFTP_PATH_MAX])
{
	reader_cstring(r, path, SFTP_PATH_MAX);
}

void sftp_server_name(struct sftp_server *s, uint32_t id, const char *name)
{
	size_t start = sftp_server_begin(s, SFTP_NAME, id);

	writer_u32(&s->w, 1);
	writer_cstring(&s->w, name);
	writer_cstring(&s->w, name);
	writer_u32(&s->w, 0); /* no attributes */
	sftp_server_end(s, start);
}

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

/* ------------------------------------------------------------------ files */

static bool writes(uint32_t pflags)
{
	return (pflags &
		(SFTP_OPEN_WRITE | SFTP_OPEN_APPEND | SFTP_OPEN_CREAT | SFTP_OPEN_TRUNC)) != 0;
}

static int open_flags(uint32_t pflags)
{
	int flags = (pflags & SFTP_OPEN_READ) && (pflags & SFTP_OPEN_WRITE) ? O_RDWR
		    : (pflags & SFTP_OPEN_WRITE)			    ? O_WRONLY
									    : O_RDONLY;

	if (pflags & SFTP_OPEN_APPEND)
		flags |= O_APPEND;
	if (pflags & SFTP_OPEN_CREAT)
		flags |= O_CREAT;
	if (pflags & SFTP_OPEN_TRUNC)
		flags |= O_TRUNC;
	if (pflags & SFTP_OPEN_EXCL)
		flags |= O_EXCL;
	return flags;
}

/* Confined, a transfer is about files: no pipe blocks it and no device is touched. */
static int open_file(const struct sftp_server *s, const char *path, int flags, mode_t mode)
{
	struct stat st;
	int fd = sftp_root_file(s->root, path, flags | (s->root->confined ? O_NONBLOCK : 0), mode);

	if (fd < 0 || !s->root->confined)
		return fd;
	if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return fd;
	close(fd);
	return -EACCES;
}

static void log_open(const struct sftp_server *s, const char *path, uint32_t pflags, mode_t mode)
{
	char text[ESCAPED_MAX];

	sftp_log_write(s->log, "open \"%s\" flags %s%s%s%s%s%s mode 0%o",
		       sftp_log_path(path, text, sizeof(text)),
		       pflags & SFTP_OPEN_READ ? "READ," : "",
		       pflags & SFTP_OPEN_WRITE ? "WRITE," : "",
		       pflags & SFTP_OPEN_APPEND ? "APPEND," : "",
		       pflags & SFTP_OPEN_CREAT ? "CREATE," : "",
		       pflags & SFTP_OPEN_TRUNC ? "TRUNCATE," : "",
		       pflags & SFTP_OPEN_EXCL ? "EXCL," : "", (unsigned)mode);
}

static int on_open(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX];
	struct sftp_attr a;
	uint32_t pflags;
	mode_t mode;
	size_t start;
	int fd, number;

	sftp_server_path(r, path);
	pflags = reader_u32(r);
	sftp_attr_get(r, &a);
	if (!reader_done(r))
		return -EBADMSG;
	mode = a.flags & SFTP_ATTR_MODE ? a.mode & 07777 : 0666;
	fd = s->root->read_only && writes(pflags) ? -EPERM
						  : open_file(s, path, open_flags(pflags), mode);
	number = fd < 0 ? fd : sftp_handle_new(s, fd, NULL, path);
	if (number < 0) {
		if (fd >= 0)
			close(fd);
		sftp_server_result(s, id, number);
		return 0;
	}
	log_open(s, path, pflags, mode);
	s->handles[number].append = (pflags & SFTP_OPEN_APPEND) != 0;
	start = sftp_server_begin(s, SFTP_HANDLE, id);
	sftp_handle_put(s, &s->w, number);
	sftp_server_end(s, start);
	return 0;
}

static int on_close(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *h = sftp_handle_get(s, r);

	if (!reader_done(r))
		return -EBADMSG;
	sftp_server_result(s, id, h != NULL ? sftp_handle_close(s, h, false) : -EBADF);
	return 0;
}

static int on_read(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *h = sftp_handle_get(s, r);
	uint64_t offset = reader_u64(r);
	uint32_t len = reader_u32(r);
	size_t start;
	ssize_t n;

	if (!reader_done(r))
		return -EBADMSG;
	if (h == NULL || h->dir != NULL || offset > INT64_MAX) {
		sftp_server_result(s, id, h == NULL || h->dir != NULL ? -EBADF : -EINVAL);
		return 0;
	}
	if (len > SFTP_DATA_MAX)
		len = SFTP_DATA_MAX;
	start = sftp_server_begin(s, SFTP_DATA, id);
	writer_u32(&s->w, 0);
	do
		n = pread(h->fd, s->output + s->w.len, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		int error = errno;

		s->w.len = start;
		if (n == 0 && len > 0)
			sftp_server_status(s, id, SFTP_EOF);
		else
			sftp_server_result(s, id, n < 0 ? -error : 0);
		return 0;
	}
	s->w.len -= 4;
	writer_u32(&s->w, (uint32_t)n);
	s->w.len += (size_t)n;
	h->read += (uint64_t)n;
	sftp_server_end(s, start);
	return 0;
}

static int write_all(const struct sftp_handle *h, const uint8_t *data, size_t len, uint64_t offset)
{
	while (len > 0) {
		ssize_t n = h->append ? write(h->fd, data, len)
				      : pwrite(h->fd, data, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int on_write(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *h = sftp_handle_get(s, r);
	uint64_t offset = reader_u64(r);
	size_t len;
	const uint8_t *data = reader_string(r, SFTP_PACKET_MAX, &len);
	int result;

	if (!reader_done(r) || data == NULL)
		return -EBADMSG;
	if (h == NULL || h->dir != NULL)
		result = -EBADF;
	else if (offset > INT64_MAX - SFTP_PACKET_MAX)
		result = -EINVAL;
	else
		result = write_all(h, data, len, offset);
	if (result == 0)
		h->written += len;
	sftp_server_result(s, id, result);
	return 0;
}

/* ------------------------------------------------------------------ attributes */

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

static int on_stat(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return stat_path(s, id, r, true);
}

static int on_lstat(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return stat_path(s, id, r, false);
}

static int on_fstat(struct sftp_server *s, uint32_t id, struct reader *r)
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
		own = open_file(s, path, O_WRONLY, 0);
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
	char text[ESCAPED_MAX];

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

/* fd: an open file, or with opened false an O_PATH descriptor of what path leads to. */
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

static int on_setstat(struct sftp_server *s, uint32_t id, struct reader *r)
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

static int on_fsetstat(struct sftp_server *s, uint32_t id, struct reader *r)
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

/* ------------------------------------------------------------------ folders */

static int on_opendir(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX], text[ESCAPED_MAX];
	DIR *dir = NULL;
	size_t start;
	int fd, number;

	sftp_server_path(r, path);
	if (!reader_done(r))
		return -EBADMSG;
	fd = sftp_root_file(s->root, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0)
		dir = fdopendir(fd);
	if (fd >= 0 && dir == NULL) {
		close(fd);
		fd = -ENOMEM;
	}
	number = fd < 0 ? fd : sftp_handle_new(s, fd, dir, path);
	if (number < 0) {
		if (dir != NULL)
			closedir(dir);
		sftp_server_result(s, id, number);
		return 0;
	}
	if (fstat(fd, &s->handles[number].folder) < 0)
		memset(&s->handles[number].folder, 0, sizeof(s->handles[number].folder));
	sftp_log_write(s->log, "opendir \"%s\"", sftp_log_path(path, text, sizeof(text)));
	start = sftp_server_begin(s, SFTP_HANDLE, id);
	sftp_handle_put(s, &s->w, number);
	sftp_server_end(s, start);
	return 0;
}

static uint32_t put_entries(struct sftp_server *s, struct sftp_handle *h, size_t start)
{
	int64_t now = time(NULL);
	uint32_t count = 0;

	while (count < NAMES_AT_ONCE && s->w.len - start < NAMES_BYTES) {
		const struct dirent *entry = readdir(h->dir);
		char line[SFTP_LONGNAME_MAX];
		struct stat st;

		if (entry == NULL)
			break;
		if (sftp_root_hidden(s->root, &h->folder, entry->d_name) ||
		    fstatat(dirfd(h->dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sftp_attr_longname(&st, entry->d_name, s->names, now, line);
		writer_cstring(&s->w, entry->d_name);
		writer_cstring(&s->w, line);
		sftp_attr_put(&s->w, &st);
		count++;
	}
	return count;
}

static int on_readdir(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *h = sftp_handle_get(s, r);
	struct writer count;
	size_t start;
	uint32_t n;

	if (!reader_done(r))
		return -EBADMSG;
	if (h == NULL || h->dir == NULL) {
		sftp_server_result(s, id, -EBADF);
		return 0;
	}
	start = sftp_server_begin(s, SFTP_NAME, id);
	writer_u32(&s->w, 0);
	n = put_entries(s, h, start);
	if (n == 0) {
		s->w.len = start;
		sftp_server_status(s, id, SFTP_EOF);
		return 0;
	}
	count = writer_init(s->output + start + 9, 4);
	writer_u32(&count, n);
	sftp_server_end(s, start);
	return 0;
}

/* ------------------------------------------------------------------ names */

/* ------------------------------------------------------------------ packets */

static int on_init(struct sftp_server *s, struct reader *r)
{
	size_t start = s->w.len;
	uint32_t version = reader_u32(r);

	if (r->failed || version < SFTP_VERSION || s->started)
		return -EBADMSG; /* extensions of a client that follow are none of ours */
	s->started = true;
	writer_u32(&s->w, 0);
	writer_u8(&s->w, SFTP_VERSION_REPLY);
	writer_u32(&s->w, SFTP_VERSION);
	sftp_extended_offer(&s->w);
	sftp_server_end(s, start);
	return 0;
}

int sftp_server_packet(struct sftp_server *s, const uint8_t *data, size_t len)
{
	static int (*const handlers[])(struct sftp_server *, uint32_t, struct reader *) = {
		[SFTP_OPEN] = on_open,
		[SFTP_CLOSE] = on_close,
		[SFTP_READ] = on_read,
		[SFTP_WRITE] = on_write,
		[SFTP_LSTAT] = on_lstat,
		[SFTP_FSTAT] = on_fstat,
		[SFTP_SETSTAT] = on_setstat,
		[SFTP_FSETSTAT] = on_fsetstat,
		[SFTP_OPENDIR] = on_opendir,
		[SFTP_READDIR] = on_readdir,
		[SFTP_REMOVE] = sftp_on_remove,
		[SFTP_MKDIR] = sftp_on_mkdir,
		[SFTP_RMDIR] = sftp_on_rmdir,
		[SFTP_REALPATH] = sftp_on_realpath,
		[SFTP_STAT] = on_stat,
		[SFTP_RENAME] = sftp_on_rename,
		[SFTP_READLINK] = sftp_on_readlink,
		[SFTP_SYMLINK] = sftp_on_symlink,
	};
	struct reader r = reader_init(data, len);
	uint8_t type = reader_u8(&r);
	uint32_t id;

	if (type == SFTP_INIT)
		return on_init(s, &r);
	id = reader_u32(&r);
	if (r.failed || !s->started)
		return -EBADMSG;
	if (type == SFTP_EXTENDED)
		return sftp_extended(s, id, &r);
	if (type < sizeof(handlers) / sizeof(handlers[0]) && handlers[type] != NULL)
		return handlers[type](s, id, &r);
	sftp_server_status(s, id, SFTP_UNSUPPORTED);
	return 0;
}

int sftp_server_flush(struct sftp_server *s)
{
	int r = s->w.failed ? -EMSGSIZE : file_write_all(s->out, s->output, s->w.len);

	s->w.len = 0;
	return r;
}

/* All packets that are there whole. */
static int serve_input(struct sftp_server *s)
{
	size_t at = 0;
	int r = 0;

	while (r == 0 && s->input_len - at >= 4) {
		struct reader length = reader_init(s->input + at, 4);
		uint32_t len = reader_u32(&length);

		if (len == 0 || len > SFTP_PACKET_MAX)
			return -EBADMSG;
		if (s->input_len - at - 4 < len)
			break;
		r = sftp_server_packet(s, s->input + at + 4, len);
		if (r == 0 && s->w.len > FLUSH_BYTES)
			r = sftp_server_flush(s);
		at += 4 + len;
	}
	if (at > 0) /* else a packet grows piece by piece where it is */
		memmove(s->input, s->input + at, s->input_len - at);
	s->input_len -= at;
	return r == 0 ? sftp_server_flush(s) : r;
}

int sftp_server_run(struct sftp_server *s)
{
	for (;;) {
		ssize_t n = read(s->in, s->input + s->input_len, INPUT_BYTES - s->input_len);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		s->input_len += (size_t)n;
		r = serve_input(s);
		if (r < 0)
			return r;
	}
}
