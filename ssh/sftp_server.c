/* SPDX-License-Identifier: Apache-2.0
 *
 * The SFTP server (draft-ietf-secsh-filexfer-02): reads packets, acts, answers. Requests that came
 * together are answered together; data moves between the file and the packet buffers without a copy
 * in between. What is no packet ends the transfer.
 */
#include "ssh/sftp_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "platform/file.h"
#include "ssh/sftp_log.h"

#define INPUT_BYTES   (1u << 20)
#define OUTPUT_BYTES  (1u << 20)
#define FLUSH_BYTES   (OUTPUT_BYTES - SFTP_PACKET_MAX - 1024)
#define FILES_RESERVE 16 /* descriptors that are not handles */

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
		[SFTP_OPEN] = sftp_on_open,	    [SFTP_CLOSE] = sftp_on_close,
		[SFTP_READ] = sftp_on_read,	    [SFTP_WRITE] = sftp_on_write,
		[SFTP_LSTAT] = sftp_on_lstat,	    [SFTP_FSTAT] = sftp_on_fstat,
		[SFTP_SETSTAT] = sftp_on_setstat,   [SFTP_FSETSTAT] = sftp_on_fsetstat,
		[SFTP_OPENDIR] = sftp_on_opendir,   [SFTP_READDIR] = sftp_on_readdir,
		[SFTP_REMOVE] = sftp_on_remove,	    [SFTP_MKDIR] = sftp_on_mkdir,
		[SFTP_RMDIR] = sftp_on_rmdir,	    [SFTP_REALPATH] = sftp_on_realpath,
		[SFTP_STAT] = sftp_on_stat,	    [SFTP_RENAME] = sftp_on_rename,
		[SFTP_READLINK] = sftp_on_readlink, [SFTP_SYMLINK] = sftp_on_symlink,
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
