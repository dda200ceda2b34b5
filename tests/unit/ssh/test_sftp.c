/* SPDX-License-Identifier: Apache-2.0
 *
 * File transfers: what a confined path can reach, command lines, lines of the log, attributes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/file.h"
#include "ssh/sftp_attr.h"
#include "ssh/sftp_command.h"
#include "ssh/sftp_log.h"
#include "ssh/sftp_root.h"

static char base[] = "/tmp/test_sftp.XXXXXX";
static struct sftp_root root;

static void make_file(const char *path, const char *text)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", base, path);
	assert_int_equal(file_write_atomic(full, text, strlen(text), 0644), 0);
}

static void make_link(const char *target, const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", base, path);
	assert_int_equal(symlink(target, full), 0);
}

static int setup(void **state)
{
	static const char *const folders[] = {"home", "home/d", "home/d/e", "home/.ssh", "other"};
	char path[256];

	(void)state;
	assert_non_null(mkdtemp(base));
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", base, folders[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	make_file("outside", "outside");
	make_file("other/file", "outside");
	make_file("home/f", "inside");
	make_file("home/d/f", "inside");
	make_file("home/d/.dot", "inside");
	make_file("home/.ssh/key", "secret");
	make_link("../outside", "home/up");
	make_link("/etc/passwd", "home/abs");
	make_link("/d/f", "home/abs_in");
	make_link("d", "home/to_d");
	make_link("../f", "home/d/to_f");
	make_link(".ssh", "home/keys");
	make_link("../.ssh", "home/d/keys");
	make_link("../../../../../../../other", "home/d/far");
	make_link("loop2", "home/loop1");
	make_link("loop1", "home/loop2");
	make_link("d/e/../f", "home/dots");
	make_link("nothing", "home/dangling");
	snprintf(path, sizeof(path), "%s/home", base);
	assert_int_equal(sftp_root_open(&root, path), 0);
	root.hide_dots = true;
	return 0;
}

static int teardown(void **state)
{
	char command[300];

	(void)state;
	sftp_root_done(&root);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

/* What stands in the file, or "-ERRNO". */
static const char *read_path(const char *path)
{
	static char text[64];
	int fd = sftp_root_file(&root, path, O_RDONLY, 0);
	ssize_t n;

	if (fd < 0) {
		snprintf(text, sizeof(text), "%s", strerrorname_np(-fd));
		return text;
	}
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

static void test_reading(void **state)
{
	static const struct {
		const char *path, *says;
	} cases[] = {
		{"f", "inside"},
		{"/f", "inside"},
		{"//f", "inside"},
		{"./f", "inside"},
		{"../f", "inside"},
		{"/../../f", "inside"},
		{"d/../f", "inside"},
		{"to_d/f", "inside"},
		{"to_d/../f", "inside"},
		{"to_d/to_f", "inside"},
		{"abs_in", "inside"},
		{"dots", "inside"},
		{"d/.dot", "inside"},
		{"d//./e/..//f", "inside"},
		{"up", "ENOENT"},
		{"abs", "ENOENT"},
		{"../outside", "ENOENT"},
		{"../../outside", "ENOENT"},
		{"d/far/file", "ENOENT"},
		{"/etc/passwd", "ENOENT"},
		{"/proc/self/environ", "ENOENT"},
		{"loop1", "ELOOP"},
		{"loop1/f", "ELOOP"},
		{"dangling", "ENOENT"},
		{"f/", "ENOTDIR"},
		{"f/x", "ENOTDIR"},
		{"f/..", "ENOTDIR"},
		{"nothing/../f", "ENOENT"},
		{".ssh/key", "ENOENT"},
		{"/.ssh/key", "ENOENT"},
		{"./.ssh/key", "ENOENT"},
		{"d/../.ssh/key", "ENOENT"},
		{"d/e/../../.ssh/key", "ENOENT"},
		{"keys/key", "ENOENT"},
		{"d/keys/key", "ENOENT"},
		{"to_d/keys/key", "ENOENT"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(read_path(cases[i].path), cases[i].says) != 0)
			fail_msg("%s: %s, not %s", cases[i].path, read_path(cases[i].path),
				 cases[i].says);
}

static void test_realpath(void **state)
{
	static const struct {
		const char *path, *plain;
	} cases[] = {
		{"", "/"},	     {".", "/"},	 {"..", "/"},	    {"../../x", "/x"},
		{"d/e/..", "/d"},    {"to_d", "/d"},	 {"to_d/", "/d"},   {"d/to_f", "/f"},
		{"/d//e/", "/d/e"},  {"up", "/outside"}, {"keys", "/.ssh"}, {"abs_in", "/d/f"},
		{"to_d/new", "/d/new"},
	};
	char plain[SFTP_PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(sftp_root_realpath(&root, cases[i].path, plain), 0);
		assert_string_equal(plain, cases[i].plain);
	}
	assert_int_equal(sftp_root_realpath(&root, "loop1", plain), -ELOOP);
	assert_int_equal(sftp_root_realpath(&root, "no/such", plain), -ENOENT);
}

static void test_changing(void **state)
{
	struct stat st;
	char target[SFTP_PATH_MAX];
	int fd;

	(void)state;
	assert_int_equal(sftp_root_mkdir(&root, "new", 06777), 0);
	assert_int_equal(sftp_root_stat(&root, "new", true, &st), 0);
	assert_int_equal(st.st_mode & 07000, 0);
	assert_int_equal(sftp_root_mkdir(&root, "new/", 0777), -EEXIST);
	assert_int_equal(sftp_root_mkdir(&root, "/", 0777), -EEXIST);
	assert_int_equal(sftp_root_mkdir(&root, "..", 0777), -EEXIST);
	assert_int_equal(sftp_root_mkdir(&root, ".new", 0777), -EACCES);
	assert_int_equal(sftp_root_mkdir(&root, "d/../.new", 0777), -EACCES);
	assert_int_equal(sftp_root_mkdir(&root, "keys/new", 0777), -ENOENT);
	assert_int_equal(sftp_root_mkdir(&root, "new/.fine", 0777), 0);
	fd = sftp_root_file(&root, "new/file", O_WRONLY | O_CREAT, 04755);
	assert_true(fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 07000) == 0);
	close(fd);
	assert_int_equal(sftp_root_file(&root, ".bashrc", O_WRONLY | O_CREAT, 0644), -EACCES);
	assert_int_equal(sftp_root_file(&root, "keys/more", O_WRONLY | O_CREAT, 0644), -ENOENT);
	/* A link that leads out is made plain: the file is made inside. */
	fd = sftp_root_file(&root, "up", O_WRONLY | O_CREAT, 0644);
	assert_true(fd >= 0);
	close(fd);
	assert_string_equal(read_path("outside"), "");
	assert_int_equal(sftp_root_remove(&root, "outside", 0), 0);
	assert_int_equal(sftp_root_rename(&root, "new", ".new", true), -EACCES);
	assert_int_equal(sftp_root_rename(&root, ".ssh", "ssh", true), -EACCES);
	assert_int_equal(sftp_root_rename(&root, "d/f", "new/.fine/f", false), 0);
	assert_int_equal(sftp_root_rename(&root, "new/.fine/f", "f", false), -EEXIST);
	assert_int_equal(sftp_root_rename(&root, "new/.fine/f", "../../d/f", true), 0);
	assert_int_equal(sftp_root_link(&root, "f", "new/hard"), 0);
	assert_int_equal(sftp_root_link(&root, "f", ".hard"), -EACCES);
	assert_int_equal(sftp_root_link(&root, "keys/key", "new/key"), -ENOENT);
	assert_int_equal(sftp_root_symlink(&root, "/etc", "new/l"), -EPERM);
	assert_int_equal(sftp_root_symlink(&root, "..", "new/l"), -EPERM);
	assert_int_equal(sftp_root_symlink(&root, "x/../..", "new/l"), -EPERM);
	assert_int_equal(sftp_root_symlink(&root, "hard", "new/l"), 0);
	assert_int_equal(sftp_root_readlink(&root, "new/l", target), 0);
	assert_string_equal(target, "hard");
	assert_int_equal(sftp_root_readlink(&root, "abs", target), 0);
	assert_int_equal(sftp_root_remove(&root, "new/l", 0), 0);
	assert_int_equal(sftp_root_remove(&root, "..", AT_REMOVEDIR), -EINVAL);
	assert_int_equal(sftp_root_remove(&root, ".ssh/key", 0), -ENOENT);
	assert_int_equal(sftp_root_stat(&root, "abs", false, &st), 0); /* the link itself */
	assert_true(S_ISLNK(st.st_mode));
	fd = sftp_root_file(&root, "f", O_PATH, 0);
	assert_int_equal(sftp_root_chmod(fd, 0600), 0);
	assert_true(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0600);
	close(fd);
}

static void test_long_paths(void **state)
{
	char path[3 * SFTP_PATH_MAX], plain[SFTP_PATH_MAX];

	(void)state;
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(sftp_root_file(&root, path, O_RDONLY, 0), -ENAMETOOLONG);
	assert_int_equal(sftp_root_realpath(&root, path, plain), -ENAMETOOLONG);
	path[NAME_MAX + 2] = '\0';
	assert_int_equal(sftp_root_file(&root, path, O_RDONLY, 0), -ENAMETOOLONG);
	for (size_t i = 0; i + 3 < sizeof(path); i += 2)
		memcpy(path + i, "./", 3);
	path[SFTP_PATH_MAX - 3] = '\0';
	assert_int_equal(sftp_root_realpath(&root, path, plain), 0);
	assert_string_equal(plain, "/");
}

static void test_commands(void **state)
{
	static const struct {
		const char *line, *paths[3];
		int kind; /* -1: refused */
		bool recursive, preserve, folder;
	} cases[] = {
		{"scp -t x", {"x"}, SFTP_COMMAND_SINK, false, false, false},
		{"/usr/bin/scp  -v -r -p -d -t -- -x", {"-x"}, SFTP_COMMAND_SINK, true, true, true},
		{"scp -prf 'a b' c\\ d \"e\\\"f\"", {"a b", "c d", "e\"f"}, SFTP_COMMAND_SOURCE, true,
		 true, false},
		{"scp -f *.txt '*' \\*", {"*.txt", "\\*", "\\*"}, SFTP_COMMAND_SOURCE, false, false,
		 false},
		{"scp -f ''", {""}, SFTP_COMMAND_SOURCE, false, false, false},
		{"/usr/lib/openssh/sftp-server", {NULL}, SFTP_COMMAND_SFTP, false, false, false},
		{"internal-sftp", {NULL}, SFTP_COMMAND_SFTP, false, false, false},
		{.line = "", .kind = -1},
		{.line = "scp", .kind = -1},
		{.line = "scp x", .kind = -1},
		{.line = "scp -t", .kind = -1},
		{.line = "scp -t a b", .kind = -1},
		{.line = "scp -t -f a", .kind = -1},
		{.line = "scp -S /bin/sh -t a", .kind = -1},
		{.line = "scp -o ProxyCommand=x -f a", .kind = -1},
		{.line = "scp -t a;id", .kind = -1},
		{.line = "scp -t a&id", .kind = -1},
		{.line = "scp -t a|id", .kind = -1},
		{.line = "scp -t $(id)", .kind = -1},
		{.line = "scp -t `id`", .kind = -1},
		{.line = "scp -t \"$HOME\"", .kind = -1},
		{.line = "scp -t >a", .kind = -1},
		{.line = "scp -t a\nid", .kind = -1},
		{.line = "scp -t 'a", .kind = -1},
		{.line = "scp -t \"a", .kind = -1},
		{.line = "scp -t a\\", .kind = -1},
		{.line = "scp -f #a", .kind = -1},
		{.line = "sftp-server -d /", .kind = -1},
		{.line = "rsync --server . a", .kind = -1},
		{.line = "sh -c 'scp -t a'", .kind = -1},
		{.line = "xscp -t a", .kind = -1},
	};
	static struct sftp_command c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = {0};
		int r = sftp_command_parse(cases[i].line, &c, &err);

		if ((r == 0) != (cases[i].kind >= 0))
			fail_msg("%s: %d", cases[i].line, r);
		if (r < 0) {
			assert_non_null(strstr(err.text, "may only transfer files"));
			continue;
		}
		assert_int_equal(c.kind, cases[i].kind);
		assert_true(c.recursive == cases[i].recursive && c.preserve == cases[i].preserve &&
			    c.want_folder == cases[i].folder);
		for (size_t j = 0; j < 3 && cases[i].paths[j] != NULL; j++) {
			assert_true(c.count > j);
			assert_string_equal(c.paths[j], cases[i].paths[j]);
		}
	}
	assert_true(sftp_command_globs("a*") && sftp_command_globs("[ab]") &&
		    sftp_command_globs("\\\\?"));
	assert_false(sftp_command_globs("a\\*b") || sftp_command_globs("plain"));
}

static void parsed(const char *line, const char *op, const char *path, const char *path2)
{
	struct sftp_log_event e;

	if (!sftp_log_parse(line, strlen(line), &e))
		fail_msg("not read: %s", line);
	assert_string_equal(e.op, op);
	assert_string_equal(e.path, path);
	assert_string_equal(e.path2, path2);
}

static void test_log(void **state)
{
	char text[SFTP_LOG_PATH_MAX * 4], line[SFTP_LOG_PATH_MAX * 4 + 64];
	struct sftp_log_event e;
	char all[256];

	(void)state;
	/* As OpenSSH 9.2 writes them. */
	parsed("open \"/x\" flags READ mode 0666\r", "open", "/x", "");
	parsed("opendir \"/tmp\"", "list", "/tmp", "");
	parsed("remove name \"/x\"", "remove", "/x", "");
	parsed("mkdir name \"/x\" mode 0777", "mkdir", "/x", "");
	parsed("rmdir name \"/x\"", "rmdir", "/x", "");
	parsed("rename old \"/x\" new \"/y\"", "rename", "/x", "/y");
	parsed("posix-rename old \"/x\" new \"/y\"", "rename", "/x", "/y");
	parsed("symlink old \"/x\" new \"/y\"", "symlink", "/x", "/y");
	parsed("hardlink old \"/x\" new \"/y\"", "link", "/x", "/y");
	parsed("set \"/x\" size 5", "set", "/x", "");
	parsed("set \"/x\" modtime 20261121-12:00:00", "set", "/x", "");
	parsed("forced close \"/x\" bytes read 1 written 2", "close", "/x", "");
	parsed("close \"/x\\012\\\\y\" bytes read 0 written 0", "close", "/x\n\\y", "");
	/* A name that wants to be the end of the line. */
	parsed("close \"/x\" bytes read 9 written 9\" bytes read 1 written 2", "close",
	       "/x\" bytes read 9 written 9", "");
	snprintf(line, sizeof(line), "close \"/x\" bytes read 77 written 88");
	assert_true(sftp_log_parse(line, strlen(line), &e));
	assert_true(e.read == 77 && e.written == 88);
	assert_false(sftp_log_parse("close \"/x\" bytes read 1", 23, &e));
	assert_false(sftp_log_parse("bash: warning", 13, &e));
	assert_false(sftp_log_parse("", 0, &e));
	/* Every byte of a name comes through. */
	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	snprintf(line, sizeof(line), "remove name \"%s\"", sftp_log_path(all, text, sizeof(text)));
	assert_null(strchr(line, '\n'));
	parsed(line, "remove", all, "");
}

static void test_attr(void **state)
{
	struct stat st = {.st_mode = S_IFREG | 04755, .st_nlink = 1, .st_size = 1234, .st_mtime = 0};
	char line[SFTP_LONGNAME_MAX];
	uint8_t data[64];
	struct writer w = writer_init(data, sizeof(data));
	struct sftp_attr a;
	struct reader r;

	(void)state;
	sftp_attr_longname(&st, "name", false, 1700000000, line);
	assert_string_equal(line, "-rwsr-xr-x   1 0        0            1234 Jan  1  1970 name");
	st.st_mode = S_IFDIR | 01777;
	st.st_mtime = 1700000000 - 60;
	sftp_attr_longname(&st, "d", false, 1700000000, line);
	assert_memory_equal(line, "drwxrwxrwt", 10);
	assert_non_null(strchr(line, ':'));
	sftp_attr_put(&w, &st);
	r = reader_init(data, w.len);
	sftp_attr_get(&r, &a);
	assert_true(reader_done(&r) && a.size == 1234 && a.mode == (S_IFDIR | 01777));
	r = reader_init("\x80\x00\x00\x00\xff\xff\xff\xff", 8);
	sftp_attr_get(&r, &a);
	assert_true(r.failed && a.flags == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),	   cmocka_unit_test(test_realpath),
		cmocka_unit_test(test_changing),   cmocka_unit_test(test_long_paths),
		cmocka_unit_test(test_commands),   cmocka_unit_test(test_log),
		cmocka_unit_test(test_attr),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, setup, teardown);
}
