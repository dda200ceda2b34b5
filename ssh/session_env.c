/* SPDX-License-Identifier: Apache-2.0
 *
 * ~/.ssh/environment (sshd(8), "FILES"; PermitUserEnvironment of sshd_config(5)): lines NAME=VALUE, as
 * they stand. Read by the user's process, with the user's rights; its names are held to the list.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/file.h"
#include "ssh/monitor.h"

#define FILE_MAX  (64 * 1024)
#define LINES_MAX 1000 /* as sshd */
#define NAME_MAX_BYTES 256

bool session_env_line(const char *line, const struct sshd_options *o, session_env_fn set, void *ctx)
{
	const char *equal = strchr(line, '=');
	char name[NAME_MAX_BYTES];

	if (equal == NULL || equal == line || (size_t)(equal - line) >= sizeof(name))
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)(equal - line), line);
	if (sshd_user_env_permitted(o, name))
		set(ctx, name, equal + 1);
	return true;
}

/* A pipe or a device would keep the session waiting. */
static int read_file(const char *path, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r = fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ? -1 : file_read_fd(fd, out);

	file_close(&fd);
	return r;
}

void session_env_file(const char *home, const struct sshd_options *o, session_env_fn set, void *ctx)
{
	struct buffer text;
	char path[512], *at, *end;

	snprintf(path, sizeof(path), "%s/.ssh/environment", home);
	buffer_init(&text, FILE_MAX);
	at = read_file(path, &text) == 0 ? (char *)(uintptr_t)buffer_cstring(&text) : NULL;
	for (unsigned n = 1; at != NULL && *at != '\0' && n <= LINES_MAX; n++, at = end) {
		size_t len = strcspn(at, "\n");

		end = at + len + (at[len] == '\n');
		at[len] = '\0';
		at += strspn(at, " \t");
		if (*at != '\0' && *at != '#' && !session_env_line(at, o, set, ctx))
			dprintf(STDERR_FILENO, "Bad line %u in %.100s\n", n, path);
	}
	buffer_done(&text);
}
