/* SPDX-License-Identifier: Apache-2.0
 *
 * Opens authorized_keys as sshd does with StrictModes: a regular file and every folder up to the
 * home belong to the account or root and nobody else can write there. At most
 * AUTHORIZED_KEYS_MAX_BYTES: a longer file is not read at all, since what is missing might restrict.
 */
#include "ssh/authorized_keys_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/file.h"

static bool put(char *out, size_t cap, size_t *at, const char *text)
{
	size_t len = strlen(text);

	if (len >= cap - *at)
		return false;
	memcpy(out + *at, text, len + 1);
	*at += len;
	return true;
}

int authorized_keys_file_name(const char *pattern, size_t len, const struct user_account *account,
			      char *out, size_t cap)
{
	char uid[16], one[2] = "";
	size_t at = 0;

	snprintf(uid, sizeof(uid), "%u", account->uid);
	out[0] = '\0';
	for (size_t i = 0; i < len; i++) {
		const char *text = one;

		one[0] = pattern[i];
		if (pattern[i] == '%') {
			char letter = i + 1 < len ? pattern[++i] : '\0';

			text = letter == 'h'   ? account->home
			       : letter == 'u' ? account->name
			       : letter == 'U' ? uid
			       : letter == '%' ? "%"
					       : NULL;
			if (text == NULL)
				return -EINVAL;
		}
		if (!put(out, cap, &at, text))
			return -ENAMETOOLONG;
	}
	if (out[0] != '/') {
		size_t home = strlen(account->home);

		if (home + 1 + at >= cap)
			return -ENAMETOOLONG;
		memmove(out + home + 1, out, at + 1);
		memcpy(out, account->home, home);
		out[home] = '/';
	}
	return 0;
}

static bool safe(const struct stat *st, uid_t uid)
{
	return (st->st_uid == 0 || st->st_uid == uid) && (st->st_mode & 022) == 0;
}

/* Every folder above path (which is resolved), up to the home or the root. */
static int check_folders(char *path, const struct user_account *account, struct error *err)
{
	char home[PATH_MAX];
	bool has_home = realpath(account->home, home) != NULL;
	struct stat st;

	for (;;) {
		char *slash = strrchr(path, '/');

		if (slash == NULL)
			return error_set(err, -EACCES, "its path is not absolute");
		slash[slash == path ? 1 : 0] = '\0';
		if (stat(path, &st) < 0 || !safe(&st, account->uid))
			return error_set(err, -EACCES,
					 "bad owner or modes of %.200s: others can write there",
					 path);
		if ((has_home && strcmp(path, home) == 0) || strcmp(path, "/") == 0)
			return 0;
	}
}

/* -ENOENT: there is no such file. */
static int read_checked(const char *name, bool strict, const struct user_account *account,
			struct buffer *out, struct error *err)
{
	int fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char path[PATH_MAX];
	struct stat st;
	int r = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? -ENOENT
			       : error_set(err, -EACCES, "%.200s: %s", name, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		r = error_set(err, -EACCES, "%.200s is not a regular file", name);
	else if (strict && !safe(&st, account->uid))
		r = error_set(err, -EACCES, "bad owner or modes of %.200s: others can write to it",
			      name);
	else if (strict && realpath(name, path) == NULL)
		r = error_set(err, -EACCES, "%.200s: %s", name, strerror(errno));
	else if (strict)
		r = check_folders(path, account, err);
	if (r == 0 && file_read_fd(fd, out) < 0)
		r = error_set(err, -EACCES, "%.200s cannot be read, or is longer than 1 MiB", name);
	close(fd);
	return r;
}

static int match_file(const char *name, bool strict, const struct user_account *account,
		      const struct authorized_keys_query *q,
		      struct authorized_keys_grant *ret_grant, struct error *err)
{
	struct buffer text;
	int r;

	buffer_init(&text, AUTHORIZED_KEYS_MAX_BYTES);
	r = read_checked(name, strict, account, &text, err);
	if (r == 0) {
		r = authorized_keys_match((const char *)text.data, text.len, q, ret_grant, err);
		if (r == -EACCES)
			error_prefix(err, "%.200s", name);
	}
	buffer_done(&text);
	return r;
}

int authorized_keys_file_match(const struct authorized_keys_files *files,
			       const struct user_account *account,
			       const struct authorized_keys_query *q,
			       struct authorized_keys_grant *ret_grant, struct error *err)
{
	const char *at = files->patterns;
	int result = -ENOENT;

	for (;;) {
		char name[PATH_MAX];
		size_t len;
		int r;

		at += strspn(at, " \t");
		len = strcspn(at, " \t");
		if (len == 0)
			return result;
		if (len == 4 && strncmp(at, "none", 4) == 0)
			r = -ENOENT;
		else if (authorized_keys_file_name(at, len, account, name, sizeof(name)) < 0)
			r = error_set(err, -EACCES, "AuthorizedKeysFile has no usable name");
		else
			r = match_file(name, files->strict_modes, account, q, ret_grant, err);
		if (r == 0)
			return 0;
		if (r != -ENOENT)
			result = r;
		at += len;
	}
}
