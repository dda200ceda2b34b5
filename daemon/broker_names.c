/* SPDX-License-Identifier: Apache-2.0
 *
 * The file of names that ssh reads through the drop-in (DECISIONS 67). Root's ssh runs what is in
 * there, so it is in a folder that root alone writes, and all of it but the names is fixed.
 */
#include "daemon/broker_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/ipc/drop_in.h"
#include "daemon/ssh_names.h"
#include "platform/file.h"
#include "platform/log.h"

#define MAX_TEXT   (512u << 10)
#define PATH_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-"

/* The command line beside this program, else Debian's. What ssh or its shell would read otherwise
 * than as a path is none. */
static void find_cli(char *out, size_t cap)
{
	char self[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		if (strspn(self, PATH_BYTES) == strlen(self) &&
		    snprintf(out, cap, "%s/warren", self) < (int)cap && access(out, X_OK) == 0)
			return;
	}
	snprintf(out, cap, "/usr/bin/warren");
}

/* Nobody but root may replace what is in the folder. */
static int own_folder(void)
{
	struct stat st;
	int rc = file_make_dirs(BROKER_RUN_DIR, 0755);

	if (rc < 0)
		return rc;
	if (lstat(BROKER_RUN_DIR, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == 0 && (st.st_mode & 022) == 0 ? 0 : -EPERM;
}

int broker_names_set(struct broker *b, struct reader *r)
{
	char path[DROP_IN_NAMES_CAP], cli[300];
	struct buffer text;
	int rc;

	find_cli(cli, sizeof(cli));
	buffer_init(&text, MAX_TEXT);
	rc = ssh_names_text(r, cli, &text);
	if (rc < 0) {
		buffer_done(&text);
		return rc;
	}
	drop_in_names_path(b->options->socket, path);
	if (text.len == 0) {
		broker_names_remove(b);
	} else {
		rc = own_folder();
		if (rc == 0)
			rc = file_write_atomic(path, text.data, text.len, 0644);
		if (rc < 0)
			log_warn("ssh knows the mesh's machines by their whole names only: the "
				 "file of their names cannot be written",
				 "file=%s error=%s", path, strerror(-rc));
	}
	buffer_done(&text);
	return 0;
}

void broker_names_remove(const struct broker *b)
{
	char path[DROP_IN_NAMES_CAP];

	if (!b->privileged)
		return;
	drop_in_names_path(b->options->socket, path);
	if (unlink(path) < 0 && errno != ENOENT)
		log_warn("the file of names for ssh cannot be removed", "file=%s error=%s", path,
			 strerror(errno));
}
