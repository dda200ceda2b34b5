/* SPDX-License-Identifier: Apache-2.0
 *
 * Main's state files: they come back as they were written; cut at any byte, foreign or with another
 * version they are named in a sentence and stay as they are.
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
#include <unistd.h>

#include "daemon/state_file.h"
#include "platform/file.h"
#include "platform/secret.h"

struct folder {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->path, "/tmp/warren-state-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->fd >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct folder *f = *state;

	assert_int_equal(state_file_forget(f->fd, NULL), 0);
	close(f->fd);
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

static void keys_are_made_once(void **state)
{
	struct folder *f = *state;
	struct state_keys *a = NULL, *b = NULL;
	struct stat st;

	assert_int_equal(state_file_keys(f->fd, &random_system, &a, NULL), 0);
	assert_int_equal(state_file_keys(f->fd, &random_system, &b, NULL), 0);
	assert_memory_equal(a, b, sizeof(*a));
	assert_int_equal(fstatat(f->fd, "keys.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_memory_not_equal(a->node_secret, a->path_secret, 32);
	secret_free(a);
	secret_free(b);
}

static struct state_network network(void)
{
	struct state_network n = {.enrolled = true, .epoch = 3, .wanted_up = true, .mtu = 1380};

	strcpy(n.control_url, "https://c.example:8443");
	strcpy(n.network, "n_1");
	strcpy(n.peer, "p_1");
	strcpy(n.name, "first");
	strcpy(n.fqdn, "first.warren.internal");
	strcpy(n.hostname, "first");
	memset(n.signing_key, 5, 32);
	assert_int_equal(ip_addr_parse("100.64.0.1", &n.overlay4), 0);
	assert_int_equal(ip_addr_parse("fd00::1", &n.overlay6), 0);
	return n;
}

static void network_goes_round(void **state)
{
	struct folder *f = *state;
	struct state_network n = network(), got;

	assert_int_equal(state_file_network(f->fd, &got, NULL), 0);
	assert_false(got.enrolled);
	assert_int_equal(state_file_save_network(f->fd, &n, NULL), 0);
	assert_int_equal(state_file_network(f->fd, &got, NULL), 0);
	assert_memory_equal(&n, &got, sizeof(n));
}

static void map_goes_round(void **state)
{
	struct folder *f = *state;
	json_t *v = json_pack("{s:i}", "x", 1);
	struct map *m, *got = NULL;
	uint8_t a[32], b[32];
	char *text = NULL;

	assert_int_equal(state_file_map(f->fd, &got, &text, NULL), 0);
	assert_null(got);
	assert_int_equal(map_new(&m), 0);
	assert_int_equal(map_set(m, "self", v), 0);
	json_decref(v);
	assert_int_equal(state_file_save_map(f->fd, m, "wso1.map.x.y", NULL), 0);
	assert_int_equal(state_file_map(f->fd, &got, &text, NULL), 0);
	assert_string_equal(text, "wso1.map.x.y");
	map_digest(m, a);
	map_digest(got, b);
	assert_memory_equal(a, b, 32);
	map_free(m);
	map_free(got);
	free(text);
}

static void cut_files_are_named_and_kept(void **state)
{
	struct folder *f = *state;
	struct state_network n = network(), got;
	struct error err;
	struct buffer whole, after;
	struct state_keys *keys = NULL;

	assert_int_equal(state_file_keys(f->fd, &random_system, &keys, NULL), 0);
	secret_free(keys);
	assert_int_equal(state_file_save_network(f->fd, &n, NULL), 0);
	buffer_init(&whole, 65536);
	buffer_init(&after, 65536);
	assert_int_equal(file_read_at(f->fd, "network.json", &whole), 0);
	for (size_t len = 0; len + 1 < whole.len; len += 7) {
		memset(&err, 0, sizeof(err));
		assert_int_equal(file_write_atomic_at(f->fd, "network.json", whole.data, len, 0600),
				 0);
		assert_int_equal(state_file_network(f->fd, &got, &err), -EBADMSG);
		assert_non_null(strstr(err.text, "network.json is damaged"));
		assert_non_null(strstr(err.text, "move it away"));
	}
	buffer_reset(&whole);
	assert_int_equal(file_read_at(f->fd, "keys.json", &whole), 0);
	whole.len /= 2;
	assert_int_equal(file_write_atomic_at(f->fd, "keys.json", whole.data, whole.len, 0600), 0);
	assert_int_equal(state_file_keys(f->fd, &random_system, &keys, &err), -EBADMSG);
	assert_int_equal(file_read_at(f->fd, "keys.json", &after), 0);
	assert_int_equal(after.len, whole.len); /* nothing was written over it */
	buffer_done(&whole);
	buffer_done(&after);
}

static void foreign_files_are_refused(void **state)
{
	static const char *const foreign[] = {
		"[]",
		"{}",
		"{\"format\":\"warren-keys\",\"version\":1}",
		"{\"format\":\"warren-network\",\"version\":2,\"enrolled\":false}",
		"{\"format\":\"warren-network\",\"version\":1,\"enrolled\":true,\"up\":true,"
		"\"hostname\":\"\","
		"\"mtu\":0}",
	};
	struct folder *f = *state;
	struct state_network got;
	struct error err;

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		memset(&err, 0, sizeof(err));
		assert_int_equal(file_write_atomic_at(f->fd, "network.json", foreign[i],
						      strlen(foreign[i]), 0600),
				 0);
		assert_int_equal(state_file_network(f->fd, &got, &err), -EBADMSG);
		assert_true(err.text[0] != '\0');
	}
	/* Saved paths are only hints. */
	assert_int_equal(file_write_atomic_at(f->fd, "paths.json", "{", 1, 0600), 0);
	assert_null(state_file_paths(f->fd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys_are_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(network_goes_round, setup, teardown),
		cmocka_unit_test_setup_teardown(map_goes_round, setup, teardown),
		cmocka_unit_test_setup_teardown(cut_files_are_named_and_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(foreign_files_are_refused, setup, teardown),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
