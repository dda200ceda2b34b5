/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of the SFTP server that change or resolve names.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ssh/sftp_log.h"
#include "ssh/sftp_server.h"


int sftp_server_two_paths(struct sftp_server *s, uint32_t id, struct reader *r, const char *verb,
			  int (*change)(const struct sftp_root *root, const char *from,
					const char *to))
{
	char from[SFTP_PATH_MAX], to[SFTP_PATH_MAX];
	char a[SFTP_LOG_ESCAPED_MAX], b[SFTP_LOG_ESCAPED_MAX];
	int result;

	sftp_server_path(r, from);
	sftp_server_path(r, to);
	if (!reader_done(r))
		return -EBADMSG;
	result = s->root->read_only ? -EPERM : change(s->root, from, to);
	if (result == 0)
		sftp_log_write(s->log, "%s old \"%s\" new \"%s\"", verb,
			       sftp_log_path(from, a, sizeof(a)), sftp_log_path(to, b, sizeof(b)));
	sftp_server_result(s, id, result);
	return 0;
}

static int remove_path(struct sftp_server *s, uint32_t id, struct reader *r, int flags)
{
	char path[SFTP_PATH_MAX], text[SFTP_LOG_ESCAPED_MAX];
	int result;

	sftp_server_path(r, path);
	if (!reader_done(r))
		return -EBADMSG;
	result = s->root->read_only ? -EPERM : sftp_root_remove(s->root, path, flags);
	if (result == 0)
		sftp_log_write(s->log, "%s name \"%s\"", flags != 0 ? "rmdir" : "remove",
			       sftp_log_path(path, text, sizeof(text)));
	sftp_server_result(s, id, result);
	return 0;
}

int sftp_on_remove(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return remove_path(s, id, r, 0);
}

int sftp_on_rmdir(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return remove_path(s, id, r, AT_REMOVEDIR);
}

int sftp_on_mkdir(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX], text[SFTP_LOG_ESCAPED_MAX];
	struct sftp_attr a;
	mode_t mode;
	int result;

	sftp_server_path(r, path);
	sftp_attr_get(r, &a);
	if (!reader_done(r))
		return -EBADMSG;
	mode = a.flags & SFTP_ATTR_MODE ? a.mode & 07777 : 0777;
	result = s->root->read_only ? -EPERM : sftp_root_mkdir(s->root, path, mode);
	if (result == 0)
		sftp_log_write(s->log, "mkdir name \"%s\" mode 0%o",
			       sftp_log_path(path, text, sizeof(text)), (unsigned)mode);
	sftp_server_result(s, id, result);
	return 0;
}

int sftp_on_realpath(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX], plain[SFTP_PATH_MAX];
	int result;

	sftp_server_path(r, path);
	if (!reader_done(r))
		return -EBADMSG;
	result = sftp_root_realpath(s->root, path, plain);
	if (result < 0)
		sftp_server_result(s, id, result);
	else
		sftp_server_name(s, id, plain);
	return 0;
}

static int rename_away(const struct sftp_root *root, const char *from, const char *to)
{
	return sftp_root_rename(root, from, to, false);
}

int sftp_on_rename(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return sftp_server_two_paths(s, id, r, "rename", rename_away);
}

int sftp_on_readlink(struct sftp_server *s, uint32_t id, struct reader *r)
{
	char path[SFTP_PATH_MAX], target[SFTP_PATH_MAX];
	int result;

	sftp_server_path(r, path);
	if (!reader_done(r))
		return -EBADMSG;
	result = sftp_root_readlink(s->root, path, target);
	if (result < 0)
		sftp_server_result(s, id, result);
	else
		sftp_server_name(s, id, target);
	return 0;
}

/* Target first, as OpenSSH has it and every client therefore too; the draft says otherwise. */
int sftp_on_symlink(struct sftp_server *s, uint32_t id, struct reader *r)
{
	return sftp_server_two_paths(s, id, r, "symlink", sftp_root_symlink);
}
