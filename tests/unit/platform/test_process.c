/* SPDX-License-Identifier: Apache-2.0
 *
 * What a process does to itself: secrets, clocks, privileges given up, the sandbox. Whatever can't
 * be undone happens in a child, which reports by its exit status.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/sandbox.h"
#include "platform/secret.h"
#include "platform/user.h"

/* The wait status of fn in a child; its result is the exit status. */
static int in_child(int (*fn)(void))
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(fn());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_exits_zero(int status)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void secrets(void **state)
{
	uint8_t data[5] = "abcd", *key;
	char *copy;

	(void)state;
	assert_true(secret_equal("abc", "abc", 3));
	assert_false(secret_equal("abc", "abd", 3));
	assert_true(secret_equal("abc", "abd", 2));
	assert_true(secret_equal(NULL, NULL, 0));
	secret_wipe(data, 4);
	assert_memory_equal(data, "\0\0\0\0", 5);
	secret_wipe(NULL, 0);
	for (size_t len = 0; len < 70; len++) {
		key = secret_alloc(len);
		assert_non_null(key);
		assert_int_equal((uintptr_t)key % 16, 0);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(key[i], 0);
		memset(key, 1, len);
		secret_free(key);
	}
	secret_free(NULL);
	assert_null(secret_alloc(SIZE_MAX));
	copy = secret_strdup("password");
	assert_string_equal(copy, "password");
	secret_free(copy);
}

/* What libraries get instead of realloc: the content moves along. */
static void heap(void **state)
{
	char *data = secret_heap_realloc(NULL, 8), *grown;

	(void)state;
	assert_non_null(data);
	memcpy(data, "password", 8);
	grown = secret_heap_realloc(data, 100000);
	assert_non_null(grown);
	assert_memory_equal(grown, "password", 8);
	memset(grown + 8, 'x', 100000 - 8);
	assert_ptr_equal(secret_heap_realloc(grown, 8), grown); /* the length was enough */
#ifndef WARREN_SANITIZE /* it ends the process for asking */
	assert_null(secret_heap_realloc(grown, SIZE_MAX / 2));
#endif
	assert_memory_equal(grown, "password", 8); /* still there */
	secret_heap_free(grown);
	secret_heap_free(NULL);
}

static int process_init_child(void)
{
	struct rlimit core;

	if (secret_process_init() != 0 || getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0)
		return 1;
#ifndef WARREN_SANITIZE
	if (prctl(PR_GET_DUMPABLE) != 0)
		return 2;
#endif
	return 0;
}

static void process_init(void **state)
{
	(void)state;
	assert_exits_zero(in_child(process_init_child));
}

static void clocks(void **state)
{
	struct clock_fake fake = {5, 3 * NSEC_PER_SEC + 7};
	struct clock c = clock_fake_clock(&fake);
	uint64_t before = clock_monotonic_ns(&clock_system);

	(void)state;
	assert_int_equal(clock_monotonic_ns(&c), 5);
	assert_int_equal(clock_realtime_s(&c), 3);
	fake.monotonic_ns = 6;
	assert_int_equal(clock_monotonic_ns(&c), 6);
	assert_true(clock_monotonic_ns(&clock_system) >= before);
	assert_true(clock_realtime_s(&clock_system) > 1700000000);
}

static void randomness(void **state)
{
	struct random_fake a = {1}, b = {1}, c = {2};
	struct random_source ra = random_fake_source(&a), rb = random_fake_source(&b),
			     rc = random_fake_source(&c);
	uint8_t x[37], y[37], z[37];

	(void)state;
	random_bytes(&ra, x, sizeof(x));
	random_bytes(&rb, y, sizeof(y));
	random_bytes(&rc, z, sizeof(z));
	assert_memory_equal(x, y, sizeof(x));
	assert_memory_not_equal(x, z, sizeof(x));
	random_bytes(&ra, x, sizeof(x));
	assert_memory_not_equal(x, y, sizeof(x));
	/* splitmix64 of seed 0, first output (the reference implementation's) */
	a.state = 0;
	random_bytes(&ra, x, 8);
	assert_memory_equal(x, "\xaf\xcd\x1d\x7b\x39\xa8\x20\xe2", 8);
	random_bytes(&random_system, x, sizeof(x));
	random_bytes(&random_system, y, sizeof(y));
	assert_memory_not_equal(x, y, sizeof(x));
	random_bytes(&random_system, NULL, 0);
}

static void account_names(void **state)
{
	static const char *const good[] = {
		"root", "_apt", "a", "A.b-c_9", "machine$", "a2345678901234567890123456789012"};
	static const char *const bad[] = {
		"",  "9a",  "-a",  ".a",  "a b",      "a/b", "a$b",
		"$", "a$$", "a\n", "a:b", "\xc3\xa4", "..",  "a23456789012345678901234567890123"};
	struct user_account account;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(user_name_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(user_name_valid(bad[i]));
		assert_int_equal(user_lookup(bad[i], &account), -EINVAL);
	}
}

static void accounts(void **state)
{
	struct user_account account;
	bool found = true;
	uid_t uid;
	gid_t gid;

	(void)state;
	assert_int_equal(user_lookup("root", &account), 0);
	assert_string_equal(account.name, "root");
	assert_int_equal(account.uid, 0);
	assert_string_equal(account.home, "/root");
	assert_int_equal(user_lookup("no-such-user", &account), -ENOENT);
	assert_int_equal(user_lookup_uid(0, &account), 0);
	assert_string_equal(account.name, "root");
	assert_int_equal(user_lookup_uid(3999999999U, &account), -ENOENT);
	user_service_account("no-such-user", &uid, &gid, &found);
	assert_false(found);
	assert_int_equal(uid, 65534);
	assert_int_equal(gid, 65534);
	user_service_account("root", &uid, &gid, &found); /* root is no service account */
	assert_false(found);
	assert_int_equal(uid, 65534);
}

static int drop_child(void)
{
	const gid_t groups[] = {4, 24};

	if (setgroups(2, groups) != 0)
		return 9;
	if (user_drop_privileges(12345, 54321) != 0)
		return 1;
	if (getuid() != 12345 || geteuid() != 12345 || getgid() != 54321 || getegid() != 54321)
		return 2;
	if (getgroups(0, NULL) != 0 || setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
		return 3;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || chroot("/") == 0)
		return 4;
	/* Dropping once more to the same user is nothing; to another one impossible. */
	if (user_drop_privileges(12345, 54321) != 0 || user_drop_privileges(12346, 54321) == 0)
		return 5;
	return 0;
}

static void privileges(void **state)
{
	(void)state;
	assert_int_equal(user_drop_privileges(0, 1), -EINVAL);
	assert_int_equal(user_drop_privileges(1, 0), -EINVAL);
	assert_int_equal(user_drop_privileges((uid_t)-1, 1), -EINVAL);
	if (geteuid() != 0) {
		print_message("skipped: giving up root needs root\n");
		skip();
	}
	assert_exits_zero(in_child(drop_child));
}

static int empty_root_child(void)
{
	struct stat st;

	if (sandbox_empty_root() != 0)
		return 1;
	if (stat("/etc", &st) == 0 || stat("/../etc", &st) == 0)
		return 2;
	if (mkdir("/new", 0700) == 0 || open("/new", O_CREAT | O_WRONLY, 0600) >= 0)
		return 3;
	return 0;
}

/* One folder for several: each goes in, the second after the first. What is no such folder is refused. */
static int shared_root_child(void)
{
	struct stat st;
	int fd = -1, other = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), status;
	char folder[] = "/tmp/test-process-XXXXXX";
	pid_t pid;

	if (sandbox_open_empty_root(&fd) != 0 || !sandbox_is_empty_root(fd))
		return 1;
	if (sandbox_is_empty_root(other) || sandbox_is_empty_root(-1) ||
	    sandbox_enter_empty_root(other) != -EINVAL)
		return 2;
	close(other);
	other = mkdtemp(folder) != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (other < 0 || fchmod(other, 0) != 0 || sandbox_is_empty_root(other)) /* it has a name */
		return 3;
	if (rmdir(folder) != 0 || fchmod(other, 0755) != 0 || sandbox_is_empty_root(other))
		return 4;
	pid = fork();
	if (pid == 0)
		_exit(sandbox_enter_empty_root(fd) != 0 || mkdir("/new", 0700) == 0);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return 5;
	if (sandbox_enter_empty_root(fd) != 0)
		return 6;
	close(fd);
	if (stat("/etc", &st) == 0 || stat("/../etc", &st) == 0 || mkdir("/new", 0700) == 0)
		return 7;
	return open("/", O_RDONLY | O_CLOEXEC) >= 0 && user_drop_privileges(12345, 54321) == 0 &&
			       open("/", O_RDONLY | O_CLOEXEC) >= 0
		       ? 8
		       : 0;
}

static void empty_root(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: chroot needs root\n");
		skip();
	}
	assert_exits_zero(in_child(empty_root_child));
	assert_exits_zero(in_child(shared_root_child));
}

/* As an ordinary user: namespaces where the machine allows them, else Landlock; no file in either case. */
static int without_root_child(void)
{
	const char *how = NULL;

	if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(54321, 54321, 54321) != 0 ||
			       setresuid(12345, 12345, 12345) != 0))
		return 9;
	if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0)
		return 8;
	if (sandbox_without_root(&how) != 0)
		return 1;
	if (strcmp(how, "neither") == 0)
		return 0; /* an old kernel, or a container that allows nothing */
	if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || chroot("/") == 0 || setuid(0) == 0)
		return 3;
	if (strcmp(how, "namespaces") == 0 && unshare(CLONE_NEWNET) == 0)
		return 4; /* a capability stayed */
	return 0;
}

static void without_root(void **state)
{
	(void)state;
	assert_exits_zero(in_child(without_root_child));
}

/* Where the machine allows users no namespaces: unshare(2) fails, as a limit of 0 makes it. */
static int no_namespaces(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int rc = filter == NULL ? -ENOMEM
				: seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSPC), SCMP_SYS(unshare), 0);

	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	return rc;
}

/* Landlock alone, or, where the kernel has none, nothing but the capabilities, and it says so. */
static int without_namespaces_child(void)
{
	bool landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1; /* its version */
	char *const argv[] = {(char[]){"true"}, NULL};
	const char *how = NULL;

	if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(54321, 54321, 54321) != 0 ||
			       setresuid(12345, 12345, 12345) != 0))
		return 9;
	if (no_namespaces() != 0 || sandbox_without_root(&how) != 0)
		return 1;
	if (strcmp(how, landlock ? "landlock" : "neither") != 0)
		return 2;
	if (!landlock)
		return 0;
	if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 3;
	if (open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 ||
	    open("/tmp/warren-test-landlock", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0)
		return 4;
	if (execv("/bin/true", argv) == 0 || errno != EACCES)
		return 5;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 6;
	return 0;
}

static void without_namespaces(void **state)
{
	(void)state;
	assert_exits_zero(in_child(without_namespaces_child));
}

static int limits_child(void)
{
	struct rlimit files;
	char path[] = "/tmp/warren-test-limit-XXXXXX";
	int fd = mkstemp(path);

	signal(SIGXFSZ, SIG_IGN);
	if (fd < 0 || unlink(path) != 0)
		return 1;
	if (sandbox_limits(32, 1, 1) != 0)
		return 2;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max != 32)
		return 3;
	if (write(fd, "x", 1) != -1 || errno != EFBIG)
		return 4;
	return 0;
}

static void limits(void **state)
{
	(void)state;
	assert_exits_zero(in_child(limits_child));
}

#ifndef WARREN_SANITIZE /* the sandbox is a no-op there */

static const char *const test_allow[] = {"write", "no_such_call_anywhere", "write", NULL};
static const char *const test_eacces[] = {"openat", "open", "socket", NULL};
static const struct sandbox_rule test_rules[] = {
	{"fcntl", 1, F_GETFL, 0}, {"fcntl", 1, F_GETFD, 0}, {"umask", 0, 0, ~UINT64_C(077)},
	{NULL, 0, 0, 0},
};
static const struct sandbox_profile test_profile = {
	.name = "test", .allow = test_allow, .eacces = test_eacces, .rules = test_rules};
static const struct sandbox_profile lenient_profile = {.name = "lenient", .lenient = 1};

static int allowed_child(void)
{
	void *page, *key;

	if (sandbox_apply(&test_profile, NULL) != 0)
		return 1;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	key = secret_alloc(32);
	if (page == MAP_FAILED || munmap(page, 4096) != 0 || !key)
		return 2;
	secret_free(key);
	if (clock_realtime_s(&clock_system) < 1)
		return 3;
	if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
		return 4;
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EACCES)
		return 5;
	return 0;
}

/* Arguments that a rule names, and the process's end for any other. */
static int rules_child(void)
{
	if (sandbox_apply(&test_profile, NULL) != 0)
		return 1;
	if (fcntl(1, F_GETFL) < 0 || fcntl(1, F_GETFD) < 0)
		return 2;
	umask(022);
	return umask(077) == 022 ? 0 : 3;
}

static int refused_argument_child(void)
{
	if (sandbox_apply(&test_profile, NULL) != 0)
		return 1;
	return fcntl(1, F_SETFD, 0) == 0 ? 2 : 3;
}

static int refused_mask_child(void)
{
	if (sandbox_apply(&test_profile, NULL) != 0)
		return 1;
	return umask(0722) == 0 ? 2 : 3;
}

static int refused_call_child(void)
{
	if (sandbox_apply(&test_profile, NULL) != 0)
		return 1;
	return getppid() > 0 ? 2 : 3;
}

static int exec_memory_child(void)
{
	if (sandbox_apply(&test_profile, NULL) != 0)
		return 1;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? 2
		       : 3;
}

static int kill_other_child(void)
{
	if (sandbox_apply(&test_profile, NULL) != 0)
		return 1;
	return (int)syscall(SYS_tgkill, 1, 1, 0) == 0 ? 2 : 3;
}

static int abort_child(void)
{
	if (sandbox_apply(&test_profile, NULL) != 0)
		return 1;
	abort();
}

/* What is not listed fails, and the process goes on. */
static int lenient_child(void)
{
	if (sandbox_apply(&lenient_profile, NULL) != 0)
		return 1;
	if (syscall(SYS_getppid) != -1 || errno != EPERM)
		return 2;
	return clock_realtime_s(&clock_system) > 1 ? 0 : 3;
}

static int pipe_for_debug[2];

static int debug_child(void)
{
	if (dup2(pipe_for_debug[1], STDERR_FILENO) < 0 ||
	    setenv("WARREN_SANDBOX_DEBUG", "1", 1) != 0)
		return 1;
	return refused_call_child();
}

static void assert_killed_by(int status, int signal_number)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), signal_number);
}

static void sandbox(void **state)
{
	char text[256] = {0};
	int status;

	(void)state;
	unsetenv("WARREN_SANDBOX_DEBUG");
	assert_exits_zero(in_child(allowed_child));
	assert_exits_zero(in_child(rules_child));
	assert_exits_zero(in_child(lenient_child));
	assert_killed_by(in_child(refused_argument_child), SIGSYS);
	assert_killed_by(in_child(refused_mask_child), SIGSYS);
	assert_killed_by(in_child(refused_call_child), SIGSYS);
	assert_killed_by(in_child(exec_memory_child), SIGSYS);
	assert_killed_by(in_child(kill_other_child), SIGSYS);
	assert_killed_by(in_child(abort_child), SIGABRT);

	assert_int_equal(pipe(pipe_for_debug), 0);
	status = in_child(debug_child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 128 + SIGSYS);
	assert_true(read(pipe_for_debug[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "refused system call getppid"));
	close(pipe_for_debug[0]);
	close(pipe_for_debug[1]);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets),	 cmocka_unit_test(heap),
		cmocka_unit_test(process_init),
		cmocka_unit_test(clocks),	 cmocka_unit_test(randomness),
		cmocka_unit_test(account_names), cmocka_unit_test(accounts),
		cmocka_unit_test(privileges),	 cmocka_unit_test(empty_root), cmocka_unit_test(without_root),
		cmocka_unit_test(without_namespaces),
		cmocka_unit_test(limits),
#ifndef WARREN_SANITIZE
		cmocka_unit_test(sandbox),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
