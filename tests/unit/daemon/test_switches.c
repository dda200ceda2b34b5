/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/switches.c: what is saved is loaded; a file that was cut anywhere, or that somebody else
 * wrote, stops the load with a sentence that names it, and stays as it is.
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
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/switches.h"
#include "platform/buffer.h"
#include "platform/file.h"
#include "platform/json.h"

struct folder {
	char path[64];
	int fd;
};

static const char *const names[] = {"switches.json", "pin.json", "sequences.json"};

static int make_folder(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	memcpy(f->path, "/tmp/warren-switches-XXXXXX", 28);
	if (!mkdtemp(f->path))
		return -1;
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return f->fd < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
	struct folder *f = *state;

	for (size_t i = 0; i < 3; i++)
		unlinkat(f->fd, names[i], 0);
	close(f->fd);
	rmdir(f->path);
	free(f);
	return 0;
}

static struct switches_state sample(void)
{
	struct switches_state s = {
		.switches = {.allow_server_ssh = true,
			     .enable_ssh_sftp = true,
			     .ssh_jwt_cache_ttl_s = 3600},
		.control = {.url = "https://c.example:8443", .has_fingerprint = true},
		.pin = {.set = true, .network = "n_a", .peer_id = "p_b"},
	};

	memset(s.control.fingerprint, 0xab, sizeof(s.control.fingerprint));
	memset(s.pin.signing_key, 0xcd, sizeof(s.pin.signing_key));
	assert_int_equal(switches_set_seq(&s.sequences, "n_a", 41), 0);
	assert_int_equal(switches_set_seq(&s.sequences, "n_c", INT64_MAX), 0);
	return s;
}

static void save_all(int fd, const struct switches_state *s)
{
	assert_int_equal(switches_save(fd, &s->switches, &s->control), 0);
	assert_int_equal(switches_save_pin(fd, &s->pin), 0);
	assert_int_equal(switches_save_sequences(fd, &s->sequences), 0);
}

static void nothing_yet(void **state)
{
	struct folder *f = *state;
	struct switches_state s;
	struct error err = {0};

	assert_int_equal(switches_load(f->fd, f->path, &s, &err), 0);
	assert_false(s.switches.allow_server_ssh);
	assert_false(s.pin.set);
	assert_string_equal(s.control.url, "");
	assert_int_equal(switches_seq(&s.sequences, "n_a"), 0);
}

static void returns(void **state)
{
	struct folder *f = *state;
	struct switches_state s = sample(), back;
	struct error err = {0};
	struct stat st;

	save_all(f->fd, &s);
	assert_int_equal(switches_load(f->fd, f->path, &back, &err), 0);
	assert_memory_equal(&back.switches, &s.switches, sizeof(s.switches));
	assert_string_equal(back.control.url, s.control.url);
	assert_true(back.control.has_fingerprint);
	assert_memory_equal(back.control.fingerprint, s.control.fingerprint, 16);
	assert_true(back.pin.set);
	assert_memory_equal(back.pin.signing_key, s.pin.signing_key, 32);
	assert_string_equal(back.pin.network, "n_a");
	assert_string_equal(back.pin.peer_id, "p_b");
	assert_int_equal(switches_seq(&back.sequences, "n_a"), 41);
	assert_true(switches_seq(&back.sequences, "n_c") == INT64_MAX);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(fstatat(f->fd, names[i], &st, 0), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	s.pin.set = false;
	assert_int_equal(switches_save_pin(f->fd, &s.pin), 0);
	assert_int_equal(switches_load(f->fd, f->path, &back, &err), 0);
	assert_false(back.pin.set);
}

static void write_file(int fd, const char *name, const void *data, size_t len)
{
	assert_int_equal(file_write_atomic_at(fd, name, data, len, 0600), 0);
}

static void refused(struct folder *f, const char *name, const void *data, size_t len)
{
	struct switches_state s;
	struct error err = {0};
	struct buffer after;
	char path[128];

	write_file(f->fd, name, data, len);
	if (switches_load(f->fd, f->path, &s, &err) == 0)
		fail_msg("%s was read: %.*s", name, (int)len, (const char *)data);
	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	assert_non_null(strstr(err.text, path));
	assert_non_null(strstr(err.text, "left as it is"));
	buffer_init(&after, 1 << 20);
	assert_int_equal(file_read_at(f->fd, name, &after), 0);
	assert_int_equal(after.len, len);
	if (len)
		assert_memory_equal(after.data, data, len);
	buffer_done(&after);
}

static void truncated_anywhere(void **state)
{
	struct folder *f = *state;
	struct switches_state s = sample();

	save_all(f->fd, &s);
	for (size_t i = 0; i < 3; i++) {
		struct buffer whole;

		buffer_init(&whole, 1 << 20);
		assert_int_equal(file_read_at(f->fd, names[i], &whole), 0);
		for (size_t cut = 0; cut < whole.len; cut++)
			refused(f, names[i], whole.data, cut);
		write_file(f->fd, names[i], whole.data, whole.len);
		buffer_done(&whole);
	}
}

static void foreign(void **state)
{
	static const struct {
		const char *name, *text;
	} bad[] = {
		{"switches.json", "[]"},
		{"switches.json", "hello"},
		{"switches.json", "{\"v\":2,\"switches\":{}}"},
		{"switches.json", "{\"v\":1}"},
		{"switches.json", "{\"v\":1,\"switches\":{\"x\":true}}"},
		{"switches.json", "{\"v\":1,\"switches\":{\"allow_server_ssh\":1}}"},
		{"switches.json", "{\"v\":1,\"switches\":{},\"more\":1}"},
		{"switches.json", "{\"v\":1,\"switches\":{},\"switches\":{}}"},
		{"switches.json", "{\"v\":1,\"switches\":{},\"control\":{\"url\":\"ftp://x\"}}"},
		{"switches.json", "{\"v\":1,\"switches\":{\"ssh_jwt_cache_ttl\":86401}}"},
		{"switches.json", "{\"v\":1,\"switches\":{\"ssh_jwt_cache_ttl\":-1}}"},
		{"pin.json", "{\"v\":1,\"signing_key\":\"AAAA\",\"network\":\"n\",\"peer\":\"p\"}"},
		{"sequences.json", "{\"v\":1,\"ssh\":{\"n_a\":-1}}"},
		{"sequences.json", "{\"v\":1,\"ssh\":{\"\":1}}"},
	};
	struct folder *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refused(f, bad[i].name, bad[i].text, strlen(bad[i].text));
		assert_int_equal(unlinkat(f->fd, bad[i].name, 0), 0);
	}
}

static void update(void **state)
{
	struct switches s = {.enable_ssh_sftp = true}, before;
	struct error err = {0};
	json_t *object;

	(void)state;
	object = json_pack("{s:b, s:i}", "allow_server_ssh", 1, "ssh_jwt_cache_ttl", 60);
	assert_int_equal(switches_update(&s, object, &err), 0);
	json_decref(object);
	assert_true(s.allow_server_ssh);
	assert_true(s.enable_ssh_sftp); /* what is not named stays */
	assert_int_equal(s.ssh_jwt_cache_ttl_s, 60);
	before = s;
	object = json_pack("{s:b, s:b}", "enable_ssh_root", 1, "enable_everything", 1);
	assert_true(switches_update(&s, object, &err) < 0);
	json_decref(object);
	object = json_pack("{s:b, s:s}", "enable_ssh_root", 1, "disable_ssh_auth", "yes");
	assert_true(switches_update(&s, object, &err) < 0);
	json_decref(object);
	assert_memory_equal(&s, &before, sizeof(s));
}

static void control_urls(void **state)
{
	static const struct {
		const char *url;
		bool good;
	} urls[] = {
		{"https://control.example", true},
		{"https://control.example:8443/warren", true},
		{"https://[2001:db8::1]:8443", true},
		{"http://localhost:8080", true},
		{"http://127.0.0.1:8080", true},
		{"http://[::1]:8080", true},
		{"http://control.example", false},
		{"http://localhost.example", false},
		{"http://127.0.0.1.example", false},
		{"http://localhost@example", false},
		{"https://", false},
		{"https:///x", false},
		{"https://:443", false},
		{"https://a b", false},
		{"https://a\"b", false},
		{"https://a\nb", false},
		{"https://user@host", false},
		{"ftp://host", false},
		{"control.example", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		json_t *object = json_pack("{s:s, s:n}", "url", urls[i].url, "fingerprint");
		struct switches_control c;
		struct error err = {0};

		if ((switches_control_parse(object, &c, &err) == 0) != urls[i].good)
			fail_msg("%s", urls[i].url);
		json_decref(object);
	}
}

static void sequences_only_grow(void **state)
{
	struct switches_sequences s = {0};
	char name[16];

	(void)state;
	assert_int_equal(switches_set_seq(&s, "n_a", 5), 0);
	assert_int_equal(switches_set_seq(&s, "n_a", 5), 0);
	assert_true(switches_set_seq(&s, "n_a", 4) < 0);
	assert_int_equal(switches_seq(&s, "n_a"), 5);
	for (unsigned i = 1; i < SWITCHES_MAX_NETWORKS; i++) {
		snprintf(name, sizeof(name), "n_%u", i);
		assert_int_equal(switches_set_seq(&s, name, i), 0);
	}
	assert_int_equal(switches_set_seq(&s, "n_more", 1), -ENOSPC);
	assert_int_equal(switches_set_seq(&s, "n_a", 6), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_yet, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(returns, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(truncated_anywhere, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(foreign, make_folder, remove_folder),
		cmocka_unit_test(update),
		cmocka_unit_test(control_urls),
		cmocka_unit_test(sequences_only_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
