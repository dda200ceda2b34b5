/* SPDX-License-Identifier: Apache-2.0
 *
 * State files: what is read, what is refused, and that a failed write leaves the old content and
 * nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/file.h"

static char folder[] = "/tmp/warren-test-file-XXXXXX";
static int folder_fd = -1;

static int make_folder(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	umask(077); /* modes must come out as asked all the same */
	if (!mkdtemp(folder))
		return -1;
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder_fd < 0 ? -1 : chdir(folder);
}

static int remove_folder(void **state)
{
	pid_t pid;
	int status = -1;

	(void)state;
	file_close(&folder_fd);
	if (chdir("/") < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", folder, (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static size_t entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return count;
}

static void expect_content(const char *path, const char *want)
{
	struct buffer b;

	buffer_init(&b, 1 << 20);
	assert_int_equal(file_read(path, &b), 0);
	assert_string_equal(buffer_cstring(&b), want);
	buffer_done(&b);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void written_is_read(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/state", folder);
	assert_int_equal(file_write_atomic(path, "one", 3, 0600), 0);
	expect_content(path, "one");
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(file_write_atomic(path, "", 0, 0644), 0);
	expect_content(path, "");
	assert_int_equal(mode_of(path), 0644);
	assert_int_equal(file_write_atomic("state", "relative", 8, 0640), 0);
	expect_content("state", "relative");
	assert_int_equal(file_write_atomic_at(folder_fd, "state", "at", 2, 0600), 0);
	expect_content("state", "at");
	assert_int_equal(entries(folder), 1);
	assert_int_equal(unlink(path), 0);
}

static void reading_is_bounded(void **state)
{
	struct buffer b;

	(void)state;
	assert_int_equal(file_write_atomic("f", "12345", 5, 0600), 0);
	buffer_init(&b, 5);
	assert_int_equal(file_read("f", &b), 0);
	assert_int_equal(b.len, 5);
	buffer_done(&b);
	buffer_init(&b, 7);
	assert_int_equal(buffer_append(&b, "abc", 3), 0);
	assert_int_equal(file_read("f", &b), -EMSGSIZE);
	assert_string_equal(buffer_cstring(&b), "abc");
	buffer_done(&b);
	assert_int_equal(unlink("f"), 0);
}

static void reading_refuses_what_is_no_file(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 100);
	assert_int_equal(file_read("missing", &b), -ENOENT);
	assert_int_equal(file_read(folder, &b), -EISDIR);
	assert_int_equal(symlink("/etc/passwd", "link"), 0);
	assert_int_equal(file_read("link", &b), -ELOOP);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(file_read("fifo", &b), -EINVAL); /* and does not hang */
	assert_int_equal(b.len, 0);
	buffer_done(&b);
	assert_int_equal(unlink("link"), 0);
	assert_int_equal(unlink("fifo"), 0);
}

static void replaces_a_symlink_not_its_target(void **state)
{
	(void)state;
	assert_int_equal(file_write_atomic("target", "old", 3, 0600), 0);
	assert_int_equal(symlink("target", "link"), 0);
	assert_int_equal(file_write_atomic("link", "new", 3, 0600), 0);
	expect_content("target", "old");
	expect_content("link", "new");
	assert_int_equal(unlink("target"), 0);
	assert_int_equal(unlink("link"), 0);
}

static void failed_writes_leave_the_old(void **state)
{
	struct rlimit small = {10, RLIM_INFINITY}, all;
	char long_name[300];

	(void)state;
	assert_int_equal(file_write_atomic("f", "old", 3, 0600), 0);

	/* A full disk, as the kernel reports it for a file size limit. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
	small.rlim_max = all.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(file_write_atomic("f", "longer than ten bytes", 21, 0600), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	expect_content("f", "old");
	assert_int_equal(entries(folder), 1);

	assert_int_equal(mkdir("dir", 0700), 0);
	assert_int_equal(file_write_atomic("dir", "x", 1, 0600), -EISDIR);
	assert_int_equal(rmdir("dir"), 0);
	assert_int_equal(file_write_atomic("no/such/f", "x", 1, 0600), -ENOENT);
	assert_int_equal(file_write_atomic("f/g", "x", 1, 0600), -ENOTDIR);
	assert_int_equal(file_write_atomic("dir/", "x", 1, 0600), -ENOENT);
	assert_int_equal(file_write_atomic("", "x", 1, 0600), -EINVAL);
	assert_int_equal(file_write_atomic("..", "x", 1, 0600), -EINVAL);
	assert_int_equal(file_write_atomic_at(folder_fd, "a/b", "x", 1, 0600), -EINVAL);
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(file_write_atomic(long_name, "x", 1, 0600), -ENAMETOOLONG);
	assert_int_equal(entries(folder), 1);
	assert_int_equal(unlink("f"), 0);
}

static void folders(void **state)
{
	(void)state;
	assert_int_equal(file_ensure_dir("d", 0755, (uid_t)-1, (gid_t)-1), 0);
	assert_int_equal(mode_of("d"), 0755);
	assert_int_equal(file_ensure_dir("d", 0700, (uid_t)-1, (gid_t)-1), 0);
	assert_int_equal(mode_of("d"), 0700);
	assert_int_equal(file_ensure_dir("d", 0755, (uid_t)-1, (gid_t)-1), 0);
	assert_int_equal(mode_of("d"), 0700); /* never widened */
	assert_int_equal(symlink("d", "l"), 0);
	assert_int_equal(file_ensure_dir("l", 0700, (uid_t)-1, (gid_t)-1), -ENOTDIR);
	assert_int_equal(file_write_atomic("f", "", 0, 0600), 0);
	assert_int_equal(file_ensure_dir("f", 0700, (uid_t)-1, (gid_t)-1), -ENOTDIR);
	assert_int_equal(file_ensure_dir("x/y", 0700, (uid_t)-1, (gid_t)-1), -ENOENT);
	if (geteuid() == 0) {
		struct stat st;

		assert_int_equal(file_ensure_dir("d", 0700, 12345, 54321), 0);
		assert_int_equal(stat("d", &st), 0);
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(st.st_gid, 54321);
	}
	assert_int_equal(file_make_dirs("a/b//c/", 0700), 0);
	assert_int_equal(file_make_dirs("a/b/c", 0700), 0);
	assert_int_equal(rmdir("a/b/c"), 0);
	assert_int_equal(file_make_dirs("f/g", 0700), -ENOTDIR);
	assert_int_equal(file_make_dirs("", 0700), -ENOENT);
	assert_int_equal(unlink("l"), 0);
	assert_int_equal(unlink("f"), 0);
}

static void descriptors(void **state)
{
	struct buffer b;
	int fds[2], none = -1;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(file_set_nonblock(fds[0], true), 0);
	assert_int_equal(file_set_nonblock(99999, true), -EBADF);
	buffer_init(&b, 100);
	assert_int_equal(file_read_fd(fds[0], &b), -EAGAIN);
	assert_int_equal(file_write_all(fds[1], "abc", 3), 0);
	file_close(&fds[1]);
	assert_int_equal(fds[1], -1);
	assert_int_equal(file_read_fd(fds[0], &b), 0);
	assert_string_equal(buffer_cstring(&b), "abc");
	buffer_done(&b);
	assert_int_equal(file_write_all(fds[0], "abc", 3), -EBADF);
	file_close(&fds[0]);
	file_close(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_is_read),
		cmocka_unit_test(reading_is_bounded),
		cmocka_unit_test(reading_refuses_what_is_no_file),
		cmocka_unit_test(replaces_a_symlink_not_its_target),
		cmocka_unit_test(failed_writes_leave_the_old),
		cmocka_unit_test(folders),
		cmocka_unit_test(descriptors),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
