/* SPDX-License-Identifier: Apache-2.0
 *
 * Seccomp filters (seccomp(2)), the empty root and resource limits. A call that is not listed ends
 * the process; memory that is writable never becomes executable.
 */
#include "platform/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/user.h"

const char *const sandbox_calls_base[] = {
	/* memory (mmap and mprotect never with PROT_EXEC) */
	"brk",
	"mmap",
	"mprotect",
	"munmap",
	"mremap",
	"madvise",
	"mlock",
	"munlock",
	/* time, waiting, random bytes */
	"clock_gettime",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"time",
	"getrandom",
	"futex",
	"sched_yield",
	"restart_syscall",
	/* signals; tgkill to ourselves only, for abort */
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigaltstack",
	"tgkill",
	/* who we are */
	"getpid",
	"gettid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getrusage",
	/* start and end of threads, and the end */
	"set_robust_list",
	"rseq",
	"exit",
	"exit_group",
	NULL,
};

#ifdef WARREN_SANITIZE

int sandbox_apply(const struct sandbox_profile *profile, struct error *err)
{
	(void)profile;
	(void)err;
	return 0;
}

#else

#ifndef NDEBUG
static bool debug_wanted(void)
{
	const char *value = getenv("WARREN_SANDBOX_DEBUG");

	return value && strcmp(value, "1") == 0;
}

/* Only for people who write profiles: resolving the name is not async-signal-safe. */
static void name_refused_call(int signal_number, siginfo_t *info, void *context)
{
	char *name = seccomp_syscall_resolve_num_arch(info->si_arch, info->si_syscall);
	char line[128];
	int len;

	(void)signal_number;
	(void)context;
	len = snprintf(line, sizeof(line), "sandbox: refused system call %s (%d)\n",
		       name ? name : "?", info->si_syscall);
	if (len > 0 && write(STDERR_FILENO, line, (size_t)len) < 0)
		_exit(128 + SIGSYS);
	_exit(128 + SIGSYS);
}
#else
static bool debug_wanted(void)
{
	return false;
}
#endif

static int add_rule(scmp_filter_ctx filter, uint32_t action, const char *name)
{
	int call = seccomp_syscall_resolve_name(name);
	int rc;

	if (call == __NR_SCMP_ERROR)
		return 0;
	if (action != SCMP_ACT_ALLOW && strcmp(name, "clone3") == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 0);
	else if (action != SCMP_ACT_ALLOW)
		rc = seccomp_rule_add(filter, action, call, 0);
	else if (strcmp(name, "mmap") == 0 || strcmp(name, "mprotect") == 0)
		rc = seccomp_rule_add(filter, action, call, 1,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	else if (strcmp(name, "bpf") == 0) /* elements of maps that one was given, nothing else */
		rc = seccomp_rule_add(filter, action, call, 1,
				      SCMP_A0(SCMP_CMP_EQ, BPF_MAP_UPDATE_ELEM));
	else if (strcmp(name, "tgkill") == 0)
		rc = seccomp_rule_add(filter, action, call, 1,
				      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	else
		rc = seccomp_rule_add(filter, action, call, 0);
	if (rc == 0 && strcmp(name, "bpf") == 0)
		rc = seccomp_rule_add(filter, action, call, 1,
				      SCMP_A0(SCMP_CMP_EQ, BPF_MAP_DELETE_ELEM));
	/* EEXIST: listed twice, the first one stands. EDOM: no such call on this architecture. */
	return rc == -EEXIST || rc == -EDOM ? 0 : rc;
}

static int add_rules(scmp_filter_ctx filter, uint32_t action, const char *const *names)
{
	int rc = 0;

	for (; rc == 0 && names && *names; names++)
		rc = add_rule(filter, action, *names);
	return rc;
}

static int add_argument_rules(scmp_filter_ctx filter, const struct sandbox_rule *rule)
{
	int rc = 0;

	for (; rc == 0 && rule && rule->call; rule++) {
		struct scmp_arg_cmp fits =
			rule->mask ? SCMP_CMP64(rule->arg, SCMP_CMP_MASKED_EQ, rule->mask,
						rule->value)
				   : SCMP_CMP64(rule->arg, SCMP_CMP_EQ, rule->value);
		int call = seccomp_syscall_resolve_name(rule->call);

		if (call == __NR_SCMP_ERROR)
			continue;
		rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &fits);
		if (rc == -EEXIST || rc == -EDOM)
			rc = 0;
	}
	return rc;
}

static int add_lists(scmp_filter_ctx filter, const struct sandbox_profile *profile)
{
	int rc = add_rules(filter, SCMP_ACT_ALLOW, profile->allow);

	if (rc == 0)
		rc = add_argument_rules(filter, profile->rules);
	if (rc == 0)
		rc = add_rules(filter, SCMP_ACT_ERRNO(EACCES), profile->eacces);
	return rc;
}

static int fill_filter(scmp_filter_ctx filter, const struct sandbox_profile *profile)
{
	static const char *const debug_calls[] = {"write", NULL};
	int rc;

	rc = add_rules(filter, SCMP_ACT_ALLOW, sandbox_calls_base);
	if (rc == 0 && profile->base)
		rc = add_lists(filter, profile->base);
	if (rc == 0)
		rc = add_lists(filter, profile);
	if (rc == 0 && debug_wanted())
		rc = add_rules(filter, SCMP_ACT_ALLOW, debug_calls);
	/* All threads, or the load fails. */
	if (rc == 0)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	return rc;
}

int sandbox_apply(const struct sandbox_profile *profile, struct error *err)
{
	scmp_filter_ctx filter;
	int rc;

#ifndef NDEBUG
	if (debug_wanted()) {
		struct sigaction action = {.sa_sigaction = name_refused_call,
					   .sa_flags = SA_SIGINFO};

		if (sigaction(SIGSYS, &action, NULL) < 0)
			return error_set(err, -errno, "cannot catch SIGSYS: %s", strerror(errno));
	}
#endif
	filter = seccomp_init(debug_wanted()	 ? SCMP_ACT_TRAP
			      : profile->lenient ? SCMP_ACT_ERRNO(EPERM)
						 : SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return error_set(err, -ENOMEM, "no memory for the sandbox \"%s\"", profile->name);
	rc = fill_filter(filter, profile);
	if (rc == 0)
		rc = seccomp_load(filter); /* sets no_new_privs */
	seccomp_release(filter);
	if (rc < 0)
		return error_set(err, rc,
				 "cannot enter the sandbox \"%s\": %s (the kernel needs "
				 "CONFIG_SECCOMP_FILTER)",
				 profile->name, strerror(-rc));
	return 0;
}

#endif

/* A folder that was removed while open: nothing can be created in it and no path leads there. */
static int open_removed_folder(const char *parent, int *ret_fd)
{
	char path[64];
	int fd, len, rc = 0;

	len = snprintf(path, sizeof(path), "%s/warren-empty-XXXXXX", parent);
	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	if (!mkdtemp(path))
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		rc = -errno;
	if (rmdir(path) < 0 && rc == 0)
		rc = -errno;
	if (rc < 0) {
		file_close(&fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int sandbox_open_empty_root(int *ret_fd)
{
	static const char *const parents[] = {"/run", "/tmp", "/var/tmp"};
	int fd = -1, rc = -ENOENT;

	for (size_t i = 0; rc < 0 && i < sizeof(parents) / sizeof(parents[0]); i++)
		rc = open_removed_folder(parents[i], &fd);
	/* Its owner goes in by this one bit, also where no capability does instead. */
	if (rc == 0 && fchmod(fd, S_IXUSR) < 0)
		rc = -errno;
	if (rc < 0)
		file_close(&fd);
	else
		*ret_fd = fd;
	return rc;
}

bool sandbox_is_empty_root(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_nlink == 0 &&
	       (st.st_mode & 07677) == 0 && st.st_uid == geteuid();
}

int sandbox_enter_empty_root(int fd)
{
	if (!sandbox_is_empty_root(fd))
		return -EINVAL;
	return fchdir(fd) < 0 || chroot(".") < 0 || chdir("/") < 0 ? -errno : 0;
}

int sandbox_empty_root(void)
{
	int fd = -1, rc = sandbox_open_empty_root(&fd);

	if (rc == 0)
		rc = sandbox_enter_empty_root(fd);
	if (rc == 0 && fchmod(fd, 0) < 0)
		rc = -errno;
	file_close(&fd);
	return rc;
}

/* No file can be opened, read or executed any more (landlock(7)); ABI 1 knows thirteen rights. */
static int landlock_no_files(void)
{
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
	int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0), rc = 0;

	if (fd < 0)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		rc = -errno;
	file_close(&fd);
	return rc;
}

int sandbox_without_root(const char **ret_how)
{
	*ret_how = "neither";
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) == 0 && sandbox_empty_root() == 0)
		*ret_how = "namespaces";
	else if (landlock_no_files() == 0)
		*ret_how = "landlock";
	return user_drop_capabilities();
}

static int lower_limit(int which, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)which, &limit) < 0)
		return -errno;
	if (value > limit.rlim_max)
		value = limit.rlim_max;
	limit.rlim_cur = limit.rlim_max = value;
	return setrlimit((__rlimit_resource_t)which, &limit) < 0 ? -errno : 0;
}

int sandbox_limits(unsigned max_files, int no_fork, int no_write)
{
	int rc = 0;

	if (max_files > 0)
		rc = lower_limit(RLIMIT_NOFILE, max_files);
	if (rc == 0 && no_fork)
		rc = lower_limit(RLIMIT_NPROC, 0);
	if (rc == 0 && no_write)
		rc = lower_limit(RLIMIT_FSIZE, 0);
	return rc;
}
