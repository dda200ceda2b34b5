/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of break-glass CAs: what is taken, what is refused and changes nothing, and the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/break_glass.h"
#include "platform/file.h"

#define KEY(c) "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" c "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static int apply(struct break_glass *g, const char *key, const char *value, bool *ret_narrowed)
{
	json_t *request = json_pack("{s:s,s:s?}", "cmd", "break_glass", key, value);
	struct error err = {0};
	int r = break_glass_apply(g, request, ret_narrowed, &err);

	assert_true(r == 0 || err.text[0] != '\0');
	json_decref(request);
	return r;
}

static void list(void **state)
{
	static const char *const keys[] = {KEY("A"), KEY("B"), KEY("C"), KEY("D"), KEY("E")};
	char print[BREAK_GLASS_FINGERPRINT];
	struct break_glass g = {0};
	bool narrowed = true;

	(void)state;
	for (int i = 0; i < SSH_WIRE_BREAK_GLASS_MAX; i++)
		assert_int_equal(apply(&g, "pin", keys[i], &narrowed), 0);
	assert_false(narrowed);
	assert_int_equal(apply(&g, "pin", keys[0], &narrowed), 0); /* twice is once */
	assert_int_equal(g.count, SSH_WIRE_BREAK_GLASS_MAX);
	assert_int_equal(apply(&g, "pin", keys[4], &narrowed), -ENOSPC);
	break_glass_fingerprint(g.keys[1], print);
	assert_int_equal(apply(&g, "unpin", print, &narrowed), 0);
	assert_true(narrowed);
	assert_int_equal(g.count, 3);
	assert_int_equal(apply(&g, "unpin", print, &narrowed), -ENOENT);
	assert_int_equal(apply(&g, "revoke", "18446744073709551615", &narrowed), 0);
	assert_int_equal(apply(&g, "revoke", "18446744073709551615", &narrowed), 0);
	assert_int_equal(g.revoked_count, 1);
	assert_true(g.revoked[0] == UINT64_MAX);
	assert_int_equal(apply(&g, "unpin", "all", &narrowed), 0);
	assert_int_equal(g.count, 0);
}

static void refusals(void **state)
{
	static const char *const pins[] = {
		"", "x", "-----BEGIN OPENSSH PRIVATE KEY-----", "ssh-ed25519", "ssh-ed25519 AAAA",
		"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	};
	static const char *const serials[] = {"", "-1", "1x", "18446744073709551616", " 1"};
	struct break_glass g = {0}, before = g;
	bool narrowed;

	(void)state;
	for (size_t i = 0; i < sizeof(pins) / sizeof(pins[0]); i++)
		assert_int_equal(apply(&g, "pin", pins[i], &narrowed), -EINVAL);
	for (size_t i = 0; i < sizeof(serials) / sizeof(serials[0]); i++)
		assert_int_equal(apply(&g, "revoke", serials[i], &narrowed), -EINVAL);
	assert_int_equal(apply(&g, "frob", "x", &narrowed), -EINVAL);
	assert_memory_equal(&g, &before, sizeof(g));
}

static void file(void **state)
{
	char dir[] = "/tmp/warren-test-XXXXXX";
	struct break_glass g = {0}, read = {0};
	struct error err = {0};
	bool narrowed;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(break_glass_load(fd, dir, &read, &err), 0);
	assert_int_equal(read.count, 0);
	assert_int_equal(apply(&g, "pin", KEY("A"), &narrowed), 0);
	assert_int_equal(apply(&g, "revoke", "7", &narrowed), 0);
	assert_int_equal(break_glass_save(fd, &g), 0);
	assert_int_equal(break_glass_load(fd, dir, &read, &err), 0);
	assert_memory_equal(&g, &read, sizeof(g));
	assert_int_equal(file_write_atomic_at(fd, "break_glass.json", "{\"v\":1", 6, 0600), 0);
	assert_int_equal(break_glass_load(fd, dir, &read, &err), -EBADMSG);
	assert_memory_equal(&g, &read, sizeof(g));
	unlinkat(fd, "break_glass.json", 0);
	close(fd);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list),
		cmocka_unit_test(refusals),
		cmocka_unit_test(file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
