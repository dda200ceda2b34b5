/* SPDX-License-Identifier: Apache-2.0
 *
 * ssh/config/hostkey.c against keys that ssh-keygen of OpenSSH 9.2 wrote.
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
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ssh/config/hostkey.h"
#include "platform/buffer.h"
#include "platform/file.h"

static void read_data(const char *name, struct buffer *out)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", TEST_DATA_DIR, name);
	buffer_init(out, 8192);
	assert_int_equal(file_read(path, out), 0);
}

static void openssh_key(void **state)
{
	struct hostkey key;
	struct buffer text, public;

	(void)state;
	read_data("hostkey_plain", &text);
	read_data("hostkey_plain.pub", &public);
	assert_int_equal(hostkey_parse((const char *)text.data, text.len, &key), 0);
	/* "ssh-ed25519 AAAA… comment" */
	assert_true(public.len > strlen(key.line));
	assert_memory_equal(public.data, key.line, strlen(key.line));
	assert_int_equal(public.data[strlen(key.line)], ' ');
	buffer_done(&text);
	buffer_done(&public);
}

static void other_keys(void **state)
{
	static const char *const names[] = {"hostkey_encrypted", "hostkey_ecdsa"};
	struct hostkey key;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct buffer text;

		read_data(names[i], &text);
		assert_int_equal(hostkey_parse((const char *)text.data, text.len, &key),
				 i == 0 ? -ENOKEY : -EKEYREJECTED);
		buffer_done(&text);
	}
}

static void damaged(void **state)
{
	struct hostkey key, good;
	struct buffer text;
	unsigned survived = 0;

	(void)state;
	read_data("hostkey_plain", &text);
	assert_int_equal(hostkey_parse((const char *)text.data, text.len, &good), 0);
	for (size_t cut = 0; cut < text.len; cut++)
		assert_true(hostkey_parse((const char *)text.data, cut, &key) < 0);
	for (size_t i = 0; i < text.len; i++) {
		uint8_t was = text.data[i];

		text.data[i] = was == 'A' ? 'B' : 'A';
		/* Only the comment may differ, and the two unread copies of the public key's frame.
		 */
		if (hostkey_parse((const char *)text.data, text.len, &key) == 0) {
			assert_memory_equal(key.seed, good.seed, sizeof(key.seed));
			survived++;
		}
		text.data[i] = was;
	}
	assert_true(survived < 120);
	buffer_done(&text);
}

static void own_key(void **state)
{
	char folder[] = "/tmp/warren-hostkey-XXXXXX";
	struct hostkey first, second;
	struct error err = {0};
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(hostkey_load("/nonexistent", fd, folder, &first, &err), 0);
	assert_false(first.of_machine);
	assert_int_equal(fstatat(fd, "ssh_host_key_seed", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(hostkey_load("/nonexistent", fd, folder, &second, &err), 0);
	assert_string_equal(first.line, second.line);
	/* A file that was cut is not replaced by a new key. */
	assert_int_equal(file_write_atomic_at(fd, "ssh_host_key_seed", "abc\n", 4, 0600), 0);
	assert_int_equal(hostkey_load("/nonexistent", fd, folder, &second, &err), -EBADMSG);
	assert_non_null(strstr(err.text, folder));
	assert_int_equal(unlinkat(fd, "ssh_host_key_seed", 0), 0);
	close(fd);
	assert_int_equal(rmdir(folder), 0);
}

/* Like sshd, which refuses a key that others can read. */
static void readable_by_others(void **state)
{
	char folder[] = "/tmp/warren-hostkey-XXXXXX", path[128];
	struct hostkey key;
	struct buffer text;
	struct error err = {0};
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(folder));
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	read_data("hostkey_plain", &text);
	assert_int_equal(file_write_atomic_at(fd, "key", text.data, text.len, 0600), 0);
	snprintf(path, sizeof(path), "%s/key", folder);
	assert_int_equal(hostkey_load(path, fd, folder, &key, &err), 0);
	assert_true(key.of_machine);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(hostkey_load(path, fd, folder, &key, &err), 0);
	assert_false(key.of_machine);
	unlinkat(fd, "key", 0);
	unlinkat(fd, "ssh_host_key_seed", 0);
	close(fd);
	rmdir(folder);
	buffer_done(&text);
}

static int start(void **state)
{
	(void)state;
	return sodium_init() < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openssh_key),
		cmocka_unit_test(other_keys),
		cmocka_unit_test(damaged),
		cmocka_unit_test(own_key),
		cmocka_unit_test(readable_by_others),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
