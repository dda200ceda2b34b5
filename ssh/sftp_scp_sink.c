/* SPDX-License-Identifier: Apache-2.0
 *
 * `scp -t`: files come in. Names from the other side are single components and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ssh/sftp_log.h"
#include "ssh/sftp_scp.h"

/* A C or D line. */
struct incoming {
	mode_t mode;
	uint64_t size;
	const char *name;
};

struct times {
	bool given;
	struct timespec at[2]; /* access, modification */
};

static int receive(struct scp *s, const char *target, int depth);

static int ack(struct scp *s)
{
	return scp_send(s, "", 1);
}

static bool digits(const char **at, uint64_t *ret_value)
{
	const char *start = *at;

	for (*ret_value = 0; **at >= '0' && **at <= '9' && *at - start < 18; ++*at)
		*ret_value = *ret_value * 10 + (uint64_t)(**at - '0');
	return *at > start;
}

/* "T<mtime> 0 <atime> 0" behind the T */
static bool parse_times(const char *line, struct times *ret_times)
{
	uint64_t mtime, atime, zero;

	if (!digits(&line, &mtime) || *line++ != ' ' || !digits(&line, &zero) || *line++ != ' ' ||
	    !digits(&line, &atime) || *line++ != ' ' || !digits(&line, &zero) || *line != '\0')
		return false;
	ret_times->given = true;
	ret_times->at[0] = (struct timespec){.tv_sec = (time_t)atime};
	ret_times->at[1] = (struct timespec){.tv_sec = (time_t)mtime};
	return true;
}

/* "0644 12 name" */
static bool parse_incoming(const char *line, struct incoming *in)
{
	in->mode = 0;
	for (int i = 0; i < 4; i++, line++) {
		if (*line < '0' || *line > '7')
			return false;
		in->mode = (in->mode << 3) | (mode_t)(*line - '0');
	}
	if (*line++ != ' ' || !digits(&line, &in->size) || *line++ != ' ')
		return false;
	in->name = line;
	return *line != '\0' && strchr(line, '/') == NULL && strcmp(line, ".") != 0 &&
	       strcmp(line, "..") != 0;
}

static int take_bytes(struct scp *s, int fd, uint64_t size, uint64_t *ret_written, int *ret_error)
{
	*ret_written = 0;
	while (size > 0) {
		size_t have;
		int r = scp_fill(s);

		if (r < 0)
			return r;
		have = s->len - s->at;
		if (have > size)
			have = (size_t)size;
		for (size_t done = 0; *ret_error == 0 && done < have;) {
			ssize_t n = write(fd, s->input + s->at + done, have - done);

			if (n > 0)
				done += (size_t)n;
			else if (n == 0 || errno != EINTR)
				*ret_error = n < 0 ? errno : EIO;
			if (n > 0)
				*ret_written += (uint64_t)n;
		}
		s->at += have;
		size -= have;
	}
	return 0;
}

static int regular(const struct sftp_root *root, const char *path, mode_t mode)
{
	struct stat st;
	int fd = sftp_root_file(root, path, O_WRONLY | O_CREAT | O_NONBLOCK, mode);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EACCES;
}

static int finish_file(const struct scp *s, int fd, const struct incoming *in,
		       const struct times *times)
{
	int error = 0;

	if (ftruncate(fd, (off_t)in->size) < 0)
		error = errno;
	if (s->preserve && sftp_root_chmod(fd, sftp_root_mode(s->root, in->mode)) < 0)
		error = error != 0 ? error : errno;
	if (times->given && futimens(fd, times->at) < 0)
		error = error != 0 ? error : errno;
	return error;
}

static int take_file(struct scp *s, const struct incoming *in, const struct times *times,
		     const char *path)
{
	char text[SFTP_LOG_ESCAPED_MAX];
	uint64_t written = 0;
	int fd = regular(s->root, path, in->mode), error = 0, r;

	if (fd < 0)
		return scp_warn(s, path, strerror(-fd));
	r = ack(s);
	if (r == 0)
		r = take_bytes(s, fd, in->size, &written, &error);
	if (error == 0 && r == 0)
		error = finish_file(s, fd, in, times);
	if (close(fd) < 0 && error == 0)
		error = errno;
	sftp_log_write(s->log, "close \"%s\" bytes read 0 written %llu",
		       sftp_log_path(path, text, sizeof(text)), (unsigned long long)written);
	if (r == 0)
		r = scp_answer(s);
	if (r < 0)
		return r;
	return error != 0 ? scp_warn(s, path, strerror(error)) : ack(s);
}

static int make_folder(struct scp *s, const struct incoming *in, const char *path, bool *ret_made)
{
	char text[SFTP_LOG_ESCAPED_MAX];
	struct stat st;
	int r;

	*ret_made = false;
	if (sftp_root_stat(s->root, path, true, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	/* We have to be able to write into it; its own mode comes at the end. */
	r = sftp_root_mkdir(s->root, path, in->mode | S_IRWXU);
	if (r < 0)
		return r;
	*ret_made = true;
	sftp_log_write(s->log, "mkdir name \"%s\" mode 0%o",
		       sftp_log_path(path, text, sizeof(text)), (unsigned)in->mode);
	return 0;
}

static int take_folder(struct scp *s, const struct incoming *in, const struct times *times,
		       const char *path, int depth)
{
	bool made;
	int r, fd;

	if (!s->recursive || depth >= SCP_DEPTH_MAX)
		return scp_warn(s, path, s->recursive ? "folders are too deep"
						      : "a folder came without -r");
	r = make_folder(s, in, path, &made);
	if (r < 0)
		return scp_warn(s, path, strerror(-r));
	r = receive(s, path, depth + 1);
	if (r < 0 || (!made && !s->preserve && !times->given))
		return r;
	fd = sftp_root_file(s->root, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return 0;
	if (s->preserve && fchmod(fd, sftp_root_mode(s->root, in->mode)) < 0)
		r = scp_warn(s, path, strerror(errno));
	if (r == 0 && times->given && futimens(fd, times->at) < 0)
		r = scp_warn(s, path, strerror(errno));
	close(fd);
	return r;
}

/* The C or D line behind its letter. target: a folder, or the new name. */
static int take(struct scp *s, char kind, const char *line, const struct times *times,
		const char *target, int depth)
{
	char path[SFTP_PATH_MAX];
	struct incoming in;
	struct stat st;
	int len;

	if (!parse_incoming(line, &in) || in.size > INT64_MAX)
		return scp_warn(s, "", "the protocol is violated: bad name or size") < 0 ? -EPIPE
										    : -EBADMSG;
	if (sftp_root_stat(s->root, target, true, &st) == 0 && S_ISDIR(st.st_mode))
		len = snprintf(path, sizeof(path), "%s%s%s", target,
			       target[0] != '\0' ? "/" : "", in.name);
	else
		len = snprintf(path, sizeof(path), "%s", target);
	if (len < 0 || (size_t)len >= sizeof(path))
		return scp_warn(s, in.name, strerror(ENAMETOOLONG));
	if (s->root->read_only)
		return scp_warn(s, path, strerror(EROFS));
	return kind == 'C' ? take_file(s, &in, times, path)
			   : take_folder(s, &in, times, path, depth);
}

/* Up to E, or at the top to the end. */
static int receive(struct scp *s, const char *target, int depth)
{
	struct times times = {0};
	char line[SCP_LINE_MAX];
	int r = ack(s);

	while (r == 0) {
		r = scp_line(s, line);
		if (r == -EPIPE && depth == 0)
			return 0;
		if (r < 0)
			return r;
		switch (line[0]) {
		case '\1':
			s->errors++; /* the other side could not read something */
			break;
		case '\2':
			return -ECANCELED;
		case 'E':
			return depth > 0 ? ack(s) : -EBADMSG;
		case 'T':
			r = parse_times(line + 1, &times) ? ack(s) : -EBADMSG;
			break;
		case 'C':
		case 'D':
			r = take(s, line[0], line + 1, &times, target, depth);
			times = (struct times){0};
			break;
		default:
			r = scp_warn(s, "", "the protocol is violated") < 0 ? -EPIPE : -EBADMSG;
		}
	}
	return r;
}

int scp_sink(struct scp *s, const char *target)
{
	struct stat st;

	if (s->want_folder &&
	    (sftp_root_stat(s->root, target, true, &st) < 0 || !S_ISDIR(st.st_mode))) {
		if (scp_warn(s, target, strerror(ENOTDIR)) < 0)
			return -EPIPE;
		return -ENOTDIR;
	}
	return receive(s, target, 0);
}
