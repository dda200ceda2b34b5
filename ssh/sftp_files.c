/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of the SFTP server about open files.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ssh/sftp_log.h"
#include "ssh/sftp_server.h"

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
int sftp_server_open(const struct sftp_server *s, const char *path, int flags, mode_t mode)
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
	char text[SFTP_LOG_ESCAPED_MAX];

	sftp_log_write(s->log, "open \"%s\" flags %s%s%s%s%s%s mode 0%o",
		       sftp_log_path(path, text, sizeof(text)),
		       pflags & SFTP_OPEN_READ ? "READ," : "",
		       pflags & SFTP_OPEN_WRITE ? "WRITE," : "",
		       pflags & SFTP_OPEN_APPEND ? "APPEND," : "",
		       pflags & SFTP_OPEN_CREAT ? "CREATE," : "",
		       pflags & SFTP_OPEN_TRUNC ? "TRUNCATE," : "",
		       pflags & SFTP_OPEN_EXCL ? "EXCL," : "", (unsigned)mode);
}

int sftp_on_open(struct sftp_server *s, uint32_t id, struct reader *r)
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
	fd = s->root->read_only && writes(pflags)
		     ? -EPERM
		     : sftp_server_open(s, path, open_flags(pflags), mode);
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

int sftp_on_close(struct sftp_server *s, uint32_t id, struct reader *r)
{
	struct sftp_handle *h = sftp_handle_get(s, r);

	if (!reader_done(r))
		return -EBADMSG;
	sftp_server_result(s, id, h != NULL ? sftp_handle_close(s, h, false) : -EBADF);
	return 0;
}

int sftp_on_read(struct sftp_server *s, uint32_t id, struct reader *r)
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

int sftp_on_write(struct sftp_server *s, uint32_t id, struct reader *r)
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
