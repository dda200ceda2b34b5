/* SPDX-License-Identifier: Apache-2.0
 *
 * `scp -f`: files go out. C and D lines, bytes, E; each is answered by the client.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ssh/sftp_log.h"
#include "ssh/sftp_scp.h"

#define BLOCK_BYTES (256u << 10)

static int send_path(struct scp *s, const char *path, int depth);

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static int announce(struct scp *s, char kind, const struct stat *st, const char *name)
{
	char line[SCP_LINE_MAX];
	int len, r;

	if (s->preserve) {
		len = snprintf(line, sizeof(line), "T%lld 0 %lld 0\n", (long long)st->st_mtime,
			       (long long)st->st_atime);
		r = scp_send(s, line, (size_t)len);
		if (r == 0)
			r = scp_answer(s);
		if (r != 0)
			return r;
	}
	len = snprintf(line, sizeof(line), "%c%04o %lld %s\n", kind,
		       (unsigned)(st->st_mode & 07777),
		       kind == 'C' ? (long long)st->st_size : 0LL, name);
	if (len < 0 || (size_t)len >= sizeof(line))
		return scp_warn(s, name, strerror(ENAMETOOLONG)) < 0 ? -EPIPE : 1;
	r = scp_send(s, line, (size_t)len);
	return r == 0 ? scp_answer(s) : r;
}

/* Exactly size bytes: what cannot be read is zeros, and said afterwards. */
static int send_bytes(struct scp *s, int fd, uint64_t size, uint64_t *ret_read, int *ret_error)
{
	uint8_t *block = malloc(BLOCK_BYTES);
	int r = block != NULL ? 0 : -ENOMEM;

	*ret_error = 0;
	*ret_read = 0;
	while (r == 0 && size > 0) {
		size_t want = size < BLOCK_BYTES ? (size_t)size : BLOCK_BYTES;
		ssize_t n = *ret_error == 0 ? read(fd, block, want) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (*ret_error == 0)
				*ret_error = n < 0 ? errno : EIO;
			memset(block, 0, want);
			n = (ssize_t)want;
		} else {
			*ret_read += (uint64_t)n;
		}
		r = scp_send(s, block, (size_t)n);
		size -= (uint64_t)n;
	}
	free(block);
	return r;
}

static int send_file(struct scp *s, int fd, const struct stat *st, const char *path)
{
	char text[SFTP_LOG_ESCAPED_MAX];
	uint64_t sent = 0;
	int error = 0, r;

	r = announce(s, 'C', st, base_name(path));
	if (r != 0)
		return r < 0 ? r : 0;
	r = send_bytes(s, fd, (uint64_t)st->st_size, &sent, &error);
	sftp_log_write(s->log, "close \"%s\" bytes read %llu written 0",
		       sftp_log_path(path, text, sizeof(text)), (unsigned long long)sent);
	if (r == 0)
		r = error == 0 ? scp_send(s, "", 1) : scp_warn(s, path, strerror(error));
	if (r == 0)
		r = scp_answer(s);
	return r < 0 ? r : 0;
}

static int send_entries(struct scp *s, DIR *dir, const struct stat *folder, const char *path,
			int depth)
{
	struct dirent *entry;
	int r = 0;

	while (r == 0 && (entry = readdir(dir)) != NULL) {
		char child[SFTP_PATH_MAX];
		int len;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    sftp_root_hidden(s->root, folder, entry->d_name))
			continue;
		len = snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		if (len < 0 || (size_t)len >= sizeof(child))
			r = scp_warn(s, entry->d_name, strerror(ENAMETOOLONG));
		else
			r = send_path(s, child, depth + 1);
	}
	return r;
}

static int send_folder(struct scp *s, int fd, const struct stat *st, const char *path, int depth)
{
	DIR *dir;
	int r;

	if (!s->recursive || depth >= SCP_DEPTH_MAX)
		return scp_warn(s, path,
				s->recursive ? "folders are too deep" : "not a regular file");
	dir = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	if (dir == NULL)
		return scp_warn(s, path, strerror(errno));
	r = announce(s, 'D', st, base_name(path));
	if (r == 0) {
		r = send_entries(s, dir, st, path, depth);
		if (r == 0)
			r = scp_send(s, "E\n", 2);
		if (r == 0)
			r = scp_answer(s);
	}
	closedir(dir);
	return r < 0 ? r : 0;
}

static int send_path(struct scp *s, const char *path, int depth)
{
	struct stat st;
	int fd, r;

	if (strchr(path, '\n') != NULL)
		return scp_warn(s, path, "a name with a line's end cannot be sent: use sftp");
	fd = sftp_root_file(s->root, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return scp_warn(s, path, strerror(-fd));
	if (fstat(fd, &st) < 0)
		r = scp_warn(s, path, strerror(errno));
	else if (S_ISREG(st.st_mode))
		r = send_file(s, fd, &st, path);
	else if (S_ISDIR(st.st_mode))
		r = send_folder(s, fd, &st, path, depth);
	else
		r = scp_warn(s, path, "not a regular file");
	close(fd);
	return r;
}

/* ------------------------------------------------------------------ patterns */

static int send_matches(struct scp *s, const char *before, const char *pattern, int depth,
			unsigned *found);

static int in_folder(struct scp *s, const char *before, const char *part, const char *rest,
		     int depth, unsigned *found)
{
	int fd = sftp_root_file(s->root, before[0] != '\0' ? before : ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	struct stat folder;
	int r = 0;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return 0; /* matches nothing */
	}
	if (fstat(fd, &folder) < 0)
		memset(&folder, 0, sizeof(folder));
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		char path[SFTP_PATH_MAX];
		int len;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fnmatch(part, entry->d_name, FNM_PERIOD) != 0 ||
		    sftp_root_hidden(s->root, &folder, entry->d_name))
			continue;
		len = snprintf(path, sizeof(path), "%s%s%s", before,
			       before[0] != '\0' && before[strlen(before) - 1] != '/' ? "/" : "",
			       entry->d_name);
		if (len > 0 && (size_t)len < sizeof(path))
			r = send_matches(s, path, rest, depth + 1, found);
	}
	closedir(dir);
	return r;
}

/* before: a path that is there; pattern: what is left. */
static int send_matches(struct scp *s, const char *before, const char *pattern, int depth,
			unsigned *found)
{
	char part[SFTP_PATH_MAX], path[SFTP_PATH_MAX];
	const char *rest = pattern + strspn(pattern, "/");
	size_t slashes = (size_t)(rest - pattern), len = strcspn(rest, "/");
	struct stat st;
	int n;

	if (len == 0) {
		if (sftp_root_stat(s->root, before, false, &st) < 0)
			return 0;
		++*found;
		return send_path(s, before, 0);
	}
	if (depth > SCP_DEPTH_MAX || len >= sizeof(part))
		return 0;
	memcpy(part, rest, len);
	part[len] = '\0';
	rest += len;
	n = snprintf(path, sizeof(path), "%s%s", before, slashes > 0 ? "/" : "");
	if (n < 0 || (size_t)n >= sizeof(path))
		return 0;
	if (sftp_command_globs(part))
		return in_folder(s, path, part, rest, depth, found);
	sftp_command_plain(part);
	n = snprintf(path, sizeof(path), "%s%s%s", before, slashes > 0 ? "/" : "", part);
	if (n < 0 || (size_t)n >= sizeof(path))
		return 0;
	return send_matches(s, path, rest, depth + 1, found);
}

int scp_source(struct scp *s, struct sftp_command *command)
{
	int r = scp_answer(s);

	for (size_t i = 0; r == 0 && i < command->count; i++) {
		unsigned found = 0;

		if (!sftp_command_globs(command->paths[i])) {
			sftp_command_plain(command->paths[i]);
			r = send_path(s, command->paths[i], 0);
			continue;
		}
		r = send_matches(s, "", command->paths[i], 0, &found);
		if (r == 0 && found == 0) /* as a shell, which leaves the pattern as it is */
			r = scp_warn(s, command->paths[i], strerror(ENOENT));
	}
	return r < 0 ? r : 0;
}
