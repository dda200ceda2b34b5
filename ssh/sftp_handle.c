/* SPDX-License-Identifier: Apache-2.0
 *
 * Open files and folders of a file transfer: a bounded table, numbers that are never used twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"
#include "ssh/sftp_log.h"
#include "ssh/sftp_server.h"

#define HANDLE_BYTES 8

int sftp_handle_new(struct sftp_server *s, int fd, DIR *dir, const char *path)
{
	for (uint32_t i = 0; i < s->handle_limit; i++) {
		struct sftp_handle *h = &s->handles[i];

		if (h->used)
			continue;
		h->path = strdup(path);
		if (h->path == NULL)
			return -ENOMEM;
		h->used = true;
		h->generation++;
		h->fd = fd;
		h->dir = dir;
		h->append = false;
		h->read = h->written = 0;
		return (int)i;
	}
	return -EMFILE;
}

void sftp_handle_put(const struct sftp_server *s, struct writer *w, int number)
{
	writer_u32(w, HANDLE_BYTES);
	writer_u32(w, (uint32_t)number);
	writer_u32(w, s->handles[number].generation);
}

struct sftp_handle *sftp_handle_get(struct sftp_server *s, struct reader *r)
{
	size_t len;
	const uint8_t *data = reader_string(r, 256, &len);
	struct reader inner = reader_init(data, data != NULL ? len : 0);
	uint32_t number = reader_u32(&inner), generation = reader_u32(&inner);

	if (!reader_done(&inner) || number >= SFTP_HANDLES_MAX || !s->handles[number].used ||
	    s->handles[number].generation != generation)
		return NULL;
	return &s->handles[number];
}

int sftp_handle_close(struct sftp_server *s, struct sftp_handle *h, bool forced)
{
	char path[SFTP_LOG_ESCAPED_MAX];
	int r = 0;

	if (h->dir != NULL) {
		closedir(h->dir);
	} else {
		r = close(h->fd) < 0 ? -errno : 0;
		sftp_log_write(s->log, "%sclose \"%s\" bytes read %llu written %llu",
			       forced ? "forced " : "", sftp_log_path(h->path, path, sizeof(path)),
			       (unsigned long long)h->read, (unsigned long long)h->written);
	}
	free(h->path);
	h->path = NULL;
	h->dir = NULL;
	h->fd = -1;
	h->used = false;
	return r;
}
