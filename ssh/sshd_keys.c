/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of public keys: see the header. They are root's.
 */
#include "ssh/sshd_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "identity/sshcert.h"
#include "platform/file.h"
#include "ssh/verifier.h"

#define FILE_MAX  (1u << 20)
#define BLOB_MAX  8192
#define ED25519	  51 /* bytes of such a blob */

static int read_text(const char *path, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? -errno : file_read_fd(fd, out);

	file_close(&fd);
	if (r == 0 && buffer_cstring(out) == NULL)
		r = -ENOMEM;
	return r;
}

/* The next line that is no comment, in place; NULL at the end. */
static char *next_line(char **at)
{
	while (*at != NULL && **at != '\0') {
		char *line = *at + strspn(*at, " \t\r");
		char *end = strchr(*at, '\n');

		if (end != NULL)
			*end = '\0';
		*at = end != NULL ? end + 1 : NULL;
		if (*line != '\0' && *line != '#' && *line != '\r')
			return line;
	}
	return NULL;
}

int sshd_keys_read(const char *path, uint8_t (*out)[32], size_t max, size_t *ret_count,
		   struct error *err)
{
	struct buffer text;
	char type[64], *at, *line;
	size_t count = 0, len;
	uint8_t blob[BLOB_MAX];
	int r;

	buffer_init(&text, FILE_MAX);
	r = read_text(path, &text);
	if (r < 0)
		error_set(err, r, "%s cannot be read: %s", path, strerror(-r));
	at = r == 0 && text.len > 0 ? (char *)text.data : NULL;
	while (r == 0 && (line = next_line(&at)) != NULL) {
		if (sshcert_text_decode(line, blob, sizeof(blob), &len, type) < 0 ||
		    strcmp(type, "ssh-ed25519") != 0 || len != ED25519)
			r = error_set(err, -EINVAL,
				      "%s: only ssh-ed25519 keys can be authorities here: %.60s",
				      path, line);
		else if (count == max)
			r = error_set(err, -E2BIG, "%s has more than %zu keys", path, max);
		else
			memcpy(out[count++], blob + len - 32, 32);
	}
	buffer_done(&text);
	if (r == 0)
		*ret_count = count;
	return r;
}

int sshd_keys_open_revoked(const char *path, int *ret_fd)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;

	if (r < 0)
		file_close(&fd);
	else
		*ret_fd = fd;
	return r;
}

int sshd_keys_check(const char *path, struct error *err)
{
	struct verifier *v = NULL;
	struct error why = {0};
	int fd = -1, r = sshd_keys_open_revoked(path, &fd);

	if (r < 0)
		return error_set(err, r, "RevokedKeys %s cannot be read: %s", path, strerror(-r));
	r = verifier_start(NULL, &v);
	if (r < 0)
		error_set(&why, r, "%s", strerror(-r));
	else
		r = verifier_revoked(v, fd, (const uint8_t *)"", 0, &why);
	verifier_stop(v);
	file_close(&fd);
	return r < 0 ? error_set(err, -EINVAL, "RevokedKeys %s: %s", path, error_text(&why)) : 0;
}
