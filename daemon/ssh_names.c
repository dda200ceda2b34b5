/* SPDX-License-Identifier: Apache-2.0
 *
 * SSH_NAMES (daemon/PROTOCOL.md section 1). The one spelling of a list is sorted and without
 * duplicates; what is spelled otherwise is refused.
 */
#include "daemon/ssh_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ipc/drop_in.h"

#define LABEL_MAX 63
#define HOSTS_MAX 600 /* bytes of names in a line: OpenSSH of old reads 1023, with all of it */
/* Without the criterion of the line that includes the file: ssh runs a Match of an included file
 * even where it can match nothing. */
#define EVERY_NAME "!*.*,!*:*,*"

bool ssh_names_valid(const char *name, size_t len)
{
	if (len == 0 || len > LABEL_MAX || name[0] == '-' || name[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') &&
		    name[i] != '-')
			return false;
	return true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void ssh_names_put(struct writer *w, const char **names, size_t count)
{
	size_t kept = 0, bytes = 0;

	if (count > 0)
		qsort(names, count, sizeof(*names), compare);
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(names[i]);

		if (!ssh_names_valid(names[i], len) ||
		    (kept > 0 && strcmp(names[kept - 1], names[i]) == 0))
			continue;
		names[kept++] = names[i];
		bytes += len;
	}
	if (kept > SSH_NAMES_MAX || bytes > SSH_NAMES_BYTES) {
		writer_u8(w, 1);
		writer_u16(w, 0);
		return;
	}
	writer_u8(w, 0);
	writer_u16(w, (uint16_t)kept);
	for (size_t i = 0; i < kept; i++) {
		size_t len = strlen(names[i]);

		writer_u8(w, (uint8_t)len);
		writer_bytes(w, names[i], len);
	}
}

/* The next name; it must come after the one before. */
static int next_name(struct reader *r, char name[static LABEL_MAX + 1])
{
	size_t len = reader_u8(r);
	const uint8_t *bytes = reader_take(r, len);
	char before[LABEL_MAX + 1];

	if (bytes == NULL || !ssh_names_valid((const char *)bytes, len))
		return -EBADMSG;
	memcpy(before, name, sizeof(before));
	memcpy(name, bytes, len);
	name[len] = '\0';
	return strcmp(before, name) < 0 ? 0 : -EBADMSG;
}

static int blocks(struct reader *r, uint16_t count, const char *cli, struct buffer *out)
{
	char hosts[HOSTS_MAX], name[LABEL_MAX + 1] = "";
	size_t at = 0, bytes = 0;
	int rc = 0;

	for (uint16_t i = 0; i < count; i++) {
		size_t len;

		rc = next_name(r, name);
		if (rc < 0)
			return rc;
		len = strlen(name);
		bytes += len;
		if (at + len + 2 > sizeof(hosts)) {
			rc = drop_in_block(out, cli, hosts);
			if (rc < 0)
				return rc;
			at = 0;
		}
		if (at > 0)
			hosts[at++] = ',';
		memcpy(hosts + at, name, len + 1);
		at += len;
	}
	if (bytes > SSH_NAMES_BYTES)
		return -EBADMSG;
	return at > 0 ? drop_in_block(out, cli, hosts) : 0;
}

int ssh_names_text(struct reader *r, const char *cli, struct buffer *out)
{
	uint8_t every = reader_u8(r);
	uint16_t count = reader_u16(r);
	int rc;

	if (r->failed || every > 1 || count > (every ? 0 : SSH_NAMES_MAX))
		return -EBADMSG;
	rc = every ? drop_in_block(out, cli, EVERY_NAME) : blocks(r, count, cli, out);
	if (rc < 0)
		return rc;
	return reader_done(r) ? 0 : -EBADMSG;
}
