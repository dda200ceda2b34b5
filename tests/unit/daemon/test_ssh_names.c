/* SPDX-License-Identifier: Apache-2.0
 *
 * Names for ssh: what main writes is read back, nothing else is, and the text has nothing of main's
 * but names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "daemon/ipc/drop_in.h"
#include "daemon/ssh_names.h"
#include "daemon/wire.h"

#define CLI	 "/usr/bin/warren"
#define OLD_LINE 1023
#define COUNT(x) (sizeof(x) / sizeof((x)[0]))
#define ANY_NAME "host !*.*,!*:*,* exec "
#define EXEC	 " exec \"" CLI " openssh detect %h %p %r %C\"\n"

static uint8_t message[DAEMON_MAX_MESSAGE];

static void names_of_a_peer(void **state)
{
	static const char *const good[] = {"a", "7", "web-1", "xn--bcher-kva", "a--b"};
	static const char *const bad[] = {
		"",    "-a",  "a-",  "A",   "a.b",	"a b", "a,b", "*",   "a*",  "?",    "!a",
		"a\n", "a\"", "a%h", "a_b", "\xc3\xa4", "a$",  "a/b", "a:b", "a#b", "a\tb", "a\\"};
	char longest[64];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(ssh_names_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(ssh_names_valid(bad[i], strlen(bad[i])));
	assert_true(ssh_names_valid(longest, 63));
	assert_false(ssh_names_valid(longest, 64));
	assert_false(ssh_names_valid("a\0b", 3));
}

static struct reader put(const char **names, size_t count)
{
	struct writer w = writer_init(message, sizeof(message));

	ssh_names_put(&w, names, count);
	assert_false(w.failed);
	return reader_init(message, w.len);
}

static char *text_of(struct reader r)
{
	struct buffer out;
	char *text;

	buffer_init(&out, 1u << 20);
	assert_int_equal(ssh_names_text(&r, CLI, &out), 0);
	text = strdup(buffer_cstring(&out));
	assert_non_null(text);
	buffer_done(&out);
	return text;
}

static void sorted_once_and_only_names(void **state)
{
	const char *names[] = {"web", "bad name", "db", "web", "*", "Alpha", "a", ""};
	char *text = text_of(put(names, COUNT(names)));

	(void)state;
	assert_int_equal(
		strncmp(text, "Match host a,db,web" EXEC, strlen("Match host a,db,web" EXEC)), 0);
	assert_null(strstr(text + 1, "Match"));
	assert_null(strchr(text, '*'));
	free(text);
	text = text_of(put(names, 0));
	assert_string_equal(text, "");
	free(text);
}

/* Lines are short enough for an old OpenSSH, and every name is there once. */
static void many_names(void **state)
{
	static char storage[SSH_NAMES_MAX + 1][64];
	const char *names[SSH_NAMES_MAX + 1];
	size_t found = 0;
	char *text;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(storage[i], sizeof(storage[i]), "machine-%zu", i);
		names[i] = storage[i];
	}
	text = text_of(put(names, SSH_NAMES_MAX));
	for (char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
		assert_true(strcspn(line, "\n") < OLD_LINE);
		if (strncmp(line, "Match host ", 11) != 0)
			continue;
		for (char *at = line + 10; *at != ' ' || at == line + 10;
		     at += strcspn(at + 1, ", ") + 1)
			found++;
	}
	assert_int_equal(found, SSH_NAMES_MAX);
	free(text);
	/* One more: any name may be one. The pattern is there again: ssh runs a Match of an
	 * included file also where the file is included by a Match that does not hold. */
	text = text_of(put(names, SSH_NAMES_MAX + 1));
	assert_non_null(strstr(text, "Match " ANY_NAME));
	assert_null(strstr(text, "machine"));
	free(text);
	for (size_t i = 0; i < 1000; i++) {
		snprintf(storage[i], sizeof(storage[i]), "%060zu", i);
		names[i] = storage[i];
	}
	text = text_of(put(names, 1000));
	assert_non_null(strstr(text, "Match " ANY_NAME));
	free(text);
}

static void refuse(const void *data, size_t len)
{
	struct reader r = reader_init(data, len);
	struct buffer out;

	buffer_init(&out, 1u << 20);
	assert_int_equal(ssh_names_text(&r, CLI, &out), -EBADMSG);
	buffer_done(&out);
}
#define REFUSE(bytes) refuse(bytes, sizeof(bytes) - 1)

static void one_spelling(void **state)
{
	const char *names[] = {"a", "bc"};
	struct reader r = put(names, 2);

	(void)state;
	for (size_t cut = 0; cut < r.len; cut++)
		refuse(message, cut);
	refuse(message, r.len + 1);
	REFUSE("\x02\0\0"); /* neither every name nor some */
	REFUSE("\x01\0\x01\x01"
	       "a"); /* both */
	REFUSE("\0\0\x02\x01"
	       "b\x01"
	       "a"); /* not sorted */
	REFUSE("\0\0\x02\x01"
	       "a\x01"
	       "a"); /* twice */
	REFUSE("\0\0\x01\0");
	REFUSE("\0\0\x01\x01*");
	REFUSE("\0\0\x01\x01\n");
	REFUSE("\0\0\x01\x03"
	       "a b");
	REFUSE("\0\0\x01\x03"
	       "a\0b");
	REFUSE("\0\0\x01\x02-o");
	REFUSE("\0\0\x01\x01"
	       "A");
	REFUSE("\0\xff\xff\x01"
	       "a");
}

/* More than there may be, well spelled. */
static void bounded(void **state)
{
	struct writer w = writer_init(message, sizeof(message));
	char name[64];

	(void)state;
	writer_u8(&w, 0);
	writer_u16(&w, SSH_NAMES_MAX + 1);
	for (unsigned i = 0; i <= SSH_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "%05u", i);
		writer_u8(&w, 5);
		writer_bytes(&w, name, 5);
	}
	assert_false(w.failed);
	refuse(message, w.len);
	w = writer_init(message, sizeof(message));
	writer_u8(&w, 0);
	writer_u16(&w, 900);
	for (unsigned i = 0; i < 900; i++) {
		snprintf(name, sizeof(name), "%060u", i);
		writer_u8(&w, 60);
		writer_bytes(&w, name, 60);
	}
	assert_false(w.failed);
	refuse(message, w.len);
}

static void where_the_file_is(void **state)
{
	char one[DROP_IN_NAMES_CAP], other[DROP_IN_NAMES_CAP];

	(void)state;
	drop_in_names_path("/run/warren/warrend.sock", one);
	assert_string_equal(one, "/run/warren/ssh_names.conf");
	drop_in_names_path("/tmp/a.sock", one);
	drop_in_names_path("/tmp/b.sock", other);
	assert_string_not_equal(one, other);
	assert_int_equal(strncmp(one, "/run/warren/ssh_names-", 22), 0);
	assert_int_equal(strlen(one), strlen("/run/warren/ssh_names-0123456789abcdef.conf"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_a_peer), cmocka_unit_test(sorted_once_and_only_names),
		cmocka_unit_test(many_names),	   cmocka_unit_test(one_spelling),
		cmocka_unit_test(bounded),	   cmocka_unit_test(where_the_file_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
