/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client of a file transfer may send: SFTP packets against a confined folder (first byte 0), a
 * command line (1), lines of a transfer's log (2), an event of the audit log (3). The folder is the
 * fuzzer's own, and nothing beside it may appear.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/json.h"
#include "ssh/sftp_command.h"
#include "ssh/sftp_log.h"
#include "ssh/sftp_server.h"
#include "ssh/wire/ssh_wire_audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static char around[] = "/tmp/fuzz_sftp.XXXXXX";

static void remove_folder(void)
{
	nftw(around, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* "/tmp/fuzz_sftp.…/in", with a file; what leaves it would be in the folder around it. */
static struct sftp_root *folder(void)
{
	static struct sftp_root root;
	const struct rlimit small = {1 << 20, 1 << 20};
	char path[64];
	int fd;

	if (root.confined)
		return &root;
	signal(SIGXFSZ, SIG_IGN);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
	atexit(remove_folder);
	REQUIRE(mkdtemp(around) != NULL);
	snprintf(path, sizeof(path), "%s/in", around);
	REQUIRE(mkdir(path, 0700) == 0 && sftp_root_open(&root, path) == 0);
	root.hide_dots = true;
	fd = openat(root.fd, "f", O_RDWR | O_CREAT, 0600);
	REQUIRE(fd >= 0 && ftruncate(fd, 100) == 0);
	close(fd);
	return &root;
}

/* u16 length and packet, and so on. */
static void packets(const uint8_t *data, size_t size)
{
	static const uint8_t init[] = {SFTP_INIT, 0, 0, 0, 3};
	struct sftp_server *s = sftp_server_new(folder(), -1, -1, -1);
	struct reader r = reader_init(data, size);
	int rc;

	REQUIRE(s != NULL);
	s->out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	rc = sftp_server_packet(s, init, sizeof(init));
	while (rc == 0 && reader_left(&r) > 2) {
		size_t len = reader_u16(&r) % 2048, left = reader_left(&r);

		len = len < left ? len : left;
		rc = sftp_server_packet(s, reader_take(&r, len), len);
		REQUIRE(!s->w.failed);
		if (sftp_server_flush(s) < 0)
			break;
	}
	close(s->out);
	sftp_server_free(s);
}

static void command(const char *text)
{
	static struct sftp_command c;

	if (sftp_command_parse(text, &c, NULL) < 0)
		return;
	REQUIRE(strpbrk(text, "\n\r") == NULL || strpbrk(text, "'\"") != NULL);
	REQUIRE(c.kind == SFTP_COMMAND_SFTP || c.count > 0);
	for (size_t i = 0; i < c.count; i++)
		sftp_command_plain(c.paths[i]);
}

static void log_line(const char *text, size_t size)
{
	char escaped[SFTP_LOG_PATH_MAX * 4], line[sizeof(escaped) + 32];
	struct sftp_log_event e;

	(void)sftp_log_parse(text, size, &e);
	if (size == 0 || size >= SFTP_LOG_PATH_MAX || strlen(text) != size)
		return;
	snprintf(line, sizeof(line), "remove name \"%s\"",
		 sftp_log_path(text, escaped, sizeof(escaped)));
	REQUIRE(sftp_log_parse(line, strlen(line), &e));
	REQUIRE(strcmp(e.path, text) == 0);
}

static void audit(const uint8_t *data, size_t size)
{
	struct reader r = reader_init(data, size);
	struct endpoint client = {0};
	struct buffer out;

	buffer_init(&out, 1 << 20);
	REQUIRE(buffer_append(&out, "{", 1) == 0);
	if (ssh_wire_audit_json(&r, 7, &client, &out, NULL) == 0) {
		json_t *value;

		REQUIRE(buffer_append(&out, "}", 1) == 0);
		value = json_load_strict((const char *)out.data, out.len, 1 << 20, NULL);
		REQUIRE(value != NULL);
		REQUIRE(json_integer_value(json_object_get(value, "connection")) == 7);
		json_decref(value);
		for (size_t i = 0; i < out.len; i++)
			REQUIRE(out.data[i] >= 0x20 && out.data[i] != 0x7f);
	}
	buffer_done(&out);
}

static void nothing_beside(void)
{
	struct stat st;

	REQUIRE(folder()->fd >= 0 && stat(around, &st) == 0 && st.st_nlink == 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[4097];
	uint8_t kind = size > 0 ? data[0] % 4 : 0;

	if (size == 0 || size > sizeof(text) - 1)
		return 0;
	data++;
	size--;
	memcpy(text, data, size);
	text[size] = '\0';
	if (kind == 0) {
		packets(data, size);
		nothing_beside();
		return 0;
	}
	if (kind == 1)
		command(text);
	else if (kind == 2)
		log_line(text, size);
	else
		audit(data, size);
	return 0;
}
