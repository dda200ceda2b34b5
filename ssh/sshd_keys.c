/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of public keys: see the header. They are root's, and read anew for each connection.
 */
#include "ssh/sshd_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "identity/sshcert.h"
#include "platform/file.h"

#define FILE_MAX  (1u << 20)
#define BLOB_MAX  8192
#define ED25519	  51 /* bytes of such a blob */
#define KRL_MAGIC "SSHKRL\n"

static int read_text(const char *path, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? -errno : file_read_fd(fd, out);

	file_close(&fd);
	if (r == 0 && buffer_cstring(out) == NULL)
		r = -ENOMEM;
	if (r == 0 && out->len >= strlen(KRL_MAGIC) &&
	    memcmp(out->data, KRL_MAGIC, strlen(KRL_MAGIC)) == 0)
		r = -ENOTSUP;
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

int sshd_keys_has(const char *path, const uint8_t *blob, size_t len)
{
	struct buffer text;
	char type[64], *at, *line;
	uint8_t one[BLOB_MAX];
	size_t one_len;
	int r;

	buffer_init(&text, FILE_MAX);
	r = read_text(path, &text);
	at = r == 0 && text.len > 0 ? (char *)text.data : NULL;
	while (r == 0 && (line = next_line(&at)) != NULL) {
		if (sshcert_text_decode(line, one, sizeof(one), &one_len, type) < 0)
			r = -EBADMSG; /* whom did it mean? */
		else if (one_len == len && memcmp(one, blob, len) == 0)
			r = 1;
	}
	buffer_done(&text);
	return r;
}

int sshd_keys_check(const char *path, struct error *err)
{
	int r = sshd_keys_has(path, (const uint8_t *)"", 0);

	if (r == -ENOTSUP)
		return error_set(err, -EINVAL,
				 "RevokedKeys %s: a KRL cannot be read here; list the public keys, "
				 "one a line",
				 path);
	return r < 0 ? error_set(err, r, "RevokedKeys %s cannot be read: %s", path, strerror(-r))
		     : 0;
}
