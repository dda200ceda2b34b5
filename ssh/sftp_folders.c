/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of the SFTP server about folders.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ssh/sftp_log.h"
#include "ssh/sftp_server.h"

#define NAMES_AT_ONCE 128 /* of one READDIR */
#define NAMES_BYTES   (SFTP_PACKET_MAX - 4096)

int sftp_on_opendir(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX], text[SFTP_LOG_ESCAPED_MAX];
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

int sftp_on_readdir(struct sftp_server *s, uint32_t id, struct reader *r)
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
