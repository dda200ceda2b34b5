/* SPDX-License-Identifier: Apache-2.0
 *
 * Key files of logins: written, read back, shared by parallel logins, refused when anything is off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/keyfile.h"

#define CERTIFICATE "ssh-ed25519-cert-v01@openssh.com AAAA"

static char dir[64];

static char *path(const char *name)
{
	static char out[128];

	snprintf(out, sizeof(out), "%s/%s", dir, name);
	return out;
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/warren-keyfile-XXXXXX");
	return sodium_init() < 0 || mkdtemp(dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	keyfile_forget(dir);
	return rmdir(dir);
}

static int64_t later(int seconds)
{
	return (int64_t)time(NULL) + seconds;
}

static void written_and_read(void **state)
{
	struct keyfile k, again;
	struct error err = {0};
	struct stat st;

	(void)state;
	keyfile_generate(&k);
	assert_int_equal(keyfile_load(&again, dir, "a"), -ENOENT);
	assert_int_equal(keyfile_write(&k, dir, "a", CERTIFICATE, later(300), &err), 0);
	assert_int_equal(keyfile_load(&again, dir, "a"), 0);
	assert_memory_equal(&again, &k, sizeof(k));
	assert_int_equal(stat(path("a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(path("a-cert.pub"), &st), 0);
}

static void second_login_takes_the_first_ones_key(void **state)
{
	struct keyfile first, second, now;
	struct error err = {0};
	struct stat before, after;

	(void)state;
	keyfile_generate(&first);
	keyfile_generate(&second);
	assert_int_equal(keyfile_write(&first, dir, "a", CERTIFICATE, later(100), &err), 0);
	assert_int_equal(stat(path("a"), &before), 0);
	assert_int_equal(keyfile_write(&second, dir, "a", CERTIFICATE, later(300), &err), -EEXIST);
	assert_memory_equal(&second, &first, sizeof(first));
	assert_int_equal(keyfile_write(&second, dir, "a", CERTIFICATE "BBBB", later(300), &err), 0);
	assert_int_equal(stat(path("a"), &after), 0);
	assert_true(before.st_ino == after.st_ino); /* never replaced */
	assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec);
	assert_int_equal(keyfile_load(&now, dir, "a"), 0);
}

static void old_keys_are_not_taken_up(void **state)
{
	struct keyfile first, second, now;
	struct error err = {0};

	(void)state;
	keyfile_generate(&first);
	keyfile_generate(&second);
	assert_int_equal(keyfile_write(&first, dir, "a", CERTIFICATE, later(30), &err), 0);
	assert_int_equal(keyfile_load(&now, dir, "a"), -ENOENT);
	assert_int_equal(keyfile_write(&second, dir, "a", CERTIFICATE, later(300), &err), 0);
	assert_int_equal(keyfile_load(&now, dir, "a"), 0);
	assert_memory_equal(now.public_key, second.public_key, 32);
}

static void whatever_is_off_is_refused(void **state)
{
	struct keyfile k, now;
	struct error err = {0};
	const struct timespec times[2] = {{.tv_sec = later(300)}, {.tv_sec = later(300)}};
	char text[1024], c;
	ssize_t len;
	int fd;

	(void)state;
	keyfile_generate(&k);
	assert_int_equal(keyfile_write(&k, dir, "../a", CERTIFICATE, later(300), &err), -EINVAL);
	assert_int_equal(keyfile_write(&k, dir, ".a", CERTIFICATE, later(300), &err), -EINVAL);
	assert_int_equal(keyfile_write(&k, dir, "a", CERTIFICATE, later(300), &err), 0);
	assert_int_equal(chmod(path("a"), 0640), 0);
	assert_int_equal(keyfile_load(&now, dir, "a"), -ENOENT);
	assert_int_equal(chmod(path("a"), 0600), 0);
	fd = open(path("a"), O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	len = read(fd, text, sizeof(text));
	assert_true(len > 0);
	/* Every byte matters but those of comment, padding and the copy of the public half. */
	for (off_t at = 0; at < len; at += 7) {
		c = text[at] == 'A' ? 'B' : 'A';
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
		assert_int_equal(futimens(fd, times), 0);
		if (keyfile_load(&now, dir, "a") == 0)
			assert_memory_equal(now.secret_key, k.secret_key, 64);
		assert_int_equal(pwrite(fd, &text[at], 1, at), 1);
	}
	assert_int_equal(ftruncate(fd, len - 1), 0);
	assert_int_equal(futimens(fd, times), 0);
	assert_int_equal(keyfile_load(&now, dir, "a"), -ENOENT);
	close(fd);
}

static void end_of_the_certificate(void **state)
{
	struct keyfile k;
	struct error err = {0};
	int64_t until_s = later(40); /* the key is not taken up again, the certificate still is */

	(void)state;
	assert_int_equal(keyfile_certificate_until(dir, "a"), 0);
	assert_int_equal(keyfile_certificate_until("/nonexistent/u", "a"), 0);
	assert_int_equal(keyfile_certificate_until(dir, "../a"), 0);
	assert_int_equal(keyfile_certificate_until(dir, ""), 0);
	keyfile_generate(&k);
	assert_int_equal(keyfile_write(&k, dir, "a", CERTIFICATE, until_s, &err), 0);
	assert_int_equal(keyfile_certificate_until(dir, "a"), until_s);
	assert_int_equal(unlink(path("a")), 0); /* no key for it */
	assert_int_equal(keyfile_certificate_until(dir, "a"), 0);
	assert_int_equal(keyfile_write(&k, dir, "b", CERTIFICATE, later(-1), &err), 0);
	assert_int_equal(keyfile_certificate_until(dir, "b"), 0);
	assert_int_equal(keyfile_write(&k, dir, "c", CERTIFICATE, until_s, &err), 0);
	assert_int_equal(chmod(path("c-cert.pub"), 0666), 0); /* anybody's */
	assert_int_equal(keyfile_certificate_until(dir, "c"), 0);
}

static void hosts(void **state)
{
	(void)state;
	assert_false(keyfile_has_hosts(dir, "a"));
	assert_int_equal(keyfile_write_hosts(dir, "a", "x ssh-ed25519 AAAA\n", later(300)), 0);
	assert_true(keyfile_has_hosts(dir, "a"));
	assert_int_equal(keyfile_write_hosts("/nonexistent/u", "a", "x\n", later(300)), -ENOENT);
	assert_int_equal(keyfile_write_hosts(dir, "a/b", "x\n", later(300)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(written_and_read, setup, teardown),
		cmocka_unit_test_setup_teardown(second_login_takes_the_first_ones_key, setup,
						teardown),
		cmocka_unit_test_setup_teardown(old_keys_are_not_taken_up, setup, teardown),
		cmocka_unit_test_setup_teardown(whatever_is_off_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(end_of_the_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
