/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of sshd_config(5): a folder of drop-ins or one file, Include lines, who may have written
 * them. A symbolic link to /dev/null masks a drop-in, as with systemd.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/file.h"
#include "ssh/config/sshd_config.h"

#define NAMES_MAX 256

static int trusted(const char *path, const struct stat *st, struct error *err)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return error_set(err, -EPERM, "%s belongs to somebody else than root: chown root",
				 path);
	if ((st->st_mode & 022) != 0)
		return error_set(err, -EPERM, "%s can be written by others: chmod go-w", path);
	return 0;
}

/* /dev/null is empty, as it should be. */
static int read_file(const char *path, struct buffer *out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		r = error_set(err, -errno, "%s cannot be read: %s", path, strerror(errno));
	} else if (S_ISCHR(st.st_mode)) {
		r = 0;
	} else if (!S_ISREG(st.st_mode)) {
		r = error_set(err, -EINVAL, "%s is no file", path);
	} else {
		r = trusted(path, &st, err);
		if (r == 0 && (r = file_read_fd(fd, out)) < 0)
			error_set(err, r, "%s cannot be read: %s", path,
				  r == -EMSGSIZE ? "it is too large" : strerror(-r));
	}
	file_close(&fd);
	return r;
}

static int include(void *ctx, struct sshd_config *c, const char *pattern, struct error *err);

static int parse_file(struct sshd_config *c, const char *path, bool included, const char *folder,
		      struct error *err)
{
	struct sshd_source source = {.name = path};
	struct buffer text;
	int r;

	buffer_init(&text, SSHD_CONFIG_MAX);
	r = read_file(path, &text, err);
	source.text = (const char *)text.data;
	source.len = text.len;
	if (r == 0 && text.len > 0)
		r = included ? sshd_config_parse_more(c, &source, err)
			     : sshd_config_parse(c, &source, include,
						 (void *)(uintptr_t)folder, err);
	buffer_done(&text);
	return r;
}

static void folder_of(const char *path, char out[static 512])
{
	const char *slash = strrchr(path, '/');

	snprintf(out, 512, "%.*s", slash != NULL ? (int)(slash - path) : 1,
		 slash != NULL ? path : ".");
}

/* Names are relative to the folder of the configuration. */
static int include(void *ctx, struct sshd_config *c, const char *pattern, struct error *err)
{
	const char *folder = ctx;
	char full[512], where[512];
	glob_t found = {0};
	int len, r;

	len = pattern[0] == '/' ? snprintf(full, sizeof(full), "%s", pattern)
				: snprintf(full, sizeof(full), "%s/%s", folder, pattern);
	if (len < 0 || (size_t)len >= sizeof(full))
		return error_set(err, -ENAMETOOLONG, "Include: the name is too long");
	folder_of(full, where);
	r = sshd_config_watch(c, where);
	if (r < 0)
		return error_set(err, r, "Include: too many files");
	r = glob(full, 0, NULL, &found);
	if (r == GLOB_NOMATCH)
		return 0; /* as sshd */
	if (r != 0)
		return error_set(err, -EIO, "Include: %s cannot be looked up", full);
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++) {
		r = sshd_config_watch(c, found.gl_pathv[i]);
		if (r == 0)
			r = parse_file(c, found.gl_pathv[i], true, folder, err);
	}
	globfree(&found);
	return r;
}

static int compare(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static bool is_dropin(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

/* Names of the drop-ins in order; -ENOENT when there is no folder. */
static int list_folder(const char *path, char *names[static NAMES_MAX], size_t *ret_count)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;
	int r = 0;

	if (dir == NULL)
		return -errno;
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		if (!is_dropin(entry->d_name))
			continue;
		names[count] = count < NAMES_MAX - 1 ? strdup(entry->d_name) : NULL;
		if (names[count] == NULL)
			r = -E2BIG;
		else
			count++;
	}
	closedir(dir);
	qsort(names, count, sizeof(names[0]), compare);
	*ret_count = count;
	return r;
}

static int parse_folder(struct sshd_config *c, const char *path, struct error *err)
{
	char *names[NAMES_MAX], full[768];
	size_t count = 0;
	int r = list_folder(path, names, &count);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		error_set(err, r, "%s cannot be read: %s", path,
			  r == -E2BIG ? "it has too many files" : strerror(-r));
	for (size_t i = 0; i < count; i++) {
		snprintf(full, sizeof(full), "%.500s/%s", path, names[i]);
		if (r == 0)
			r = parse_file(c, full, false, path, err);
		free(names[i]);
	}
	return r;
}

int sshd_config_read(struct sshd_config *c, const char *path, struct error *err)
{
	char folder[512];
	struct stat st;

	if (stat(path, &st) < 0 || S_ISDIR(st.st_mode))
		return parse_folder(c, path, err);
	folder_of(path, folder);
	return parse_file(c, path, false, folder, err);
}

int sshd_config_load(const char *path, struct sshd_config **ret_config, struct error *err)
{
	struct sshd_config *c;
	int r = sshd_config_new(&c);

	if (r < 0)
		return error_set(err, r, "no memory");
	r = sshd_config_read(c, path, err);
	if (r < 0) {
		sshd_config_free(c);
		return r;
	}
	*ret_config = c;
	return 0;
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * UINT64_C(1099511628211); /* FNV-1a */
}

static uint64_t mix_stat(uint64_t sum, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return mix(sum, 0);
	sum = mix(sum, (uint64_t)st.st_ino);
	sum = mix(sum, (uint64_t)st.st_size);
	sum = mix(sum, (uint64_t)st.st_mode ^ (uint64_t)st.st_uid << 32);
	sum = mix(sum, (uint64_t)st.st_mtim.tv_sec);
	return mix(sum, (uint64_t)st.st_mtim.tv_nsec);
}

static uint64_t mix_watched(uint64_t sum, const char *watched)
{
	char path[512];

	while (*watched != '\0') {
		size_t len = strcspn(watched, "\n");

		snprintf(path, sizeof(path), "%.*s", (int)len, watched);
		sum = mix_stat(sum, path);
		watched += len + (watched[len] == '\n');
	}
	return sum;
}

uint64_t sshd_config_stamp(const char *path, const char *watched)
{
	uint64_t sum = mix_stat(UINT64_C(14695981039346656037), path);
	char *names[NAMES_MAX], full[768];
	size_t count = 0;

	sum = mix_watched(sum, watched);
	if (list_folder(path, names, &count) == -ENOTDIR)
		return sum;
	for (size_t i = 0; i < count; i++) {
		snprintf(full, sizeof(full), "%.500s/%s", path, names[i]);
		sum = mix_stat(sum, full);
		free(names[i]);
	}
	return sum;
}
