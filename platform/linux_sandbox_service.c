/* SPDX-License-Identifier: Apache-2.0
 *
 * What a process of ours that serves others may ask the kernel for: see sandbox_service in
 * sandbox.h. What such a process needs beyond it is listed beside the process.
 */
#include "platform/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static const char *const calls[] = {
	/* descriptors */
	"read",
	"write",
	"readv",
	"writev",
	"pread64",
	"pwrite64",
	"lseek",
	"close",
	"dup",
	"dup2",
	"dup3",
	"pipe",
	"pipe2",
	"eventfd2",
	"fstat",
	"flock",
	"close_range",
	/* waiting */
	"poll",
	"ppoll",
	"select",
	"pselect6",
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"timerfd_create",
	"timerfd_settime",
	/* files */
	"open",
	"openat",
	"openat2",
	"stat",
	"lstat",
	"newfstatat",
	"statx",
	"statfs",
	"fstatfs",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"getdents64",
	"getcwd",
	"fsync",
	"fdatasync",
	"ftruncate",
	"fchmod",
	"fallocate",
	"rename",
	"renameat",
	"renameat2",
	"unlink",
	"unlinkat",
	"umask",
	/* the network */
	"bind",
	"connect",
	"listen",
	"accept",
	"accept4",
	"socketpair",
	"shutdown",
	"getsockname",
	"getpeername",
	"getsockopt",
	"setsockopt",
	"sendto",
	"sendmsg",
	"sendmmsg",
	"recvfrom",
	"recvmsg",
	"recvmmsg",
	/* threads, and what libraries ask about the machine */
	"set_tid_address",
	"sched_getaffinity",
	"sched_getparam",
	"sched_getscheduler",
	"getcpu",
	"uname",
	"sysinfo",
	"getppid",
	"getresuid",
	"getresgid",
	"getgroups",
	"capget",
	"getrlimit",
	"times",
	"membarrier",
	"tkill",
	"rt_sigtimedwait",
	"rt_sigpending",
	"rt_sigsuspend",
	NULL,
};

static const struct sandbox_rule rules[] = {
	{"socket", 0, AF_UNIX, 0},
	{"socket", 0, AF_INET, 0},
	{"socket", 0, AF_INET6, 0},
	{"socket", 0, AF_NETLINK, 0}, /* getaddrinfo asks for the machine's addresses */
	{"clone", 0, CLONE_THREAD, CLONE_THREAD | CLONE_NEWUSER | CLONE_NEWNS},
	{"mmap", 2, PROT_READ | PROT_EXEC, 0}, /* libraries; never writable as well */
	{"ioctl", 1, FIONBIO, 0},
	{"ioctl", 1, FIONREAD, 0},
	{"ioctl", 1, FIOCLEX, 0},
	{"prlimit64", 2, 0, 0}, /* asking, not setting */
	{"prctl", 0, PR_SET_NAME, 0},
	{"prctl", 0, PR_GET_NAME, 0},
	{"prctl", 0, PR_SET_NO_NEW_PRIVS, 0}, /* more of it does no harm */
	{"prctl", 0, PR_GET_NO_NEW_PRIVS, 0},
	{"prctl", 0, PR_GET_DUMPABLE, 0},
	{"fcntl", 1, F_GETFD, 0},
	{"fcntl", 1, F_SETFD, 0},
	{"fcntl", 1, F_GETFL, 0},
	{"fcntl", 1, F_SETFL, 0},
	{"fcntl", 1, F_DUPFD, 0},
	{"fcntl", 1, F_DUPFD_CLOEXEC, 0},
	{"fcntl", 1, F_SETLK, 0},
	{"fcntl", 1, F_SETLKW, 0},
	{NULL, 0, 0, 0},
};

static const char *const refused[] = {"clone3", NULL};

const struct sandbox_profile sandbox_service = {
	.name = "service",
	.allow = calls,
	.eacces = refused,
	.rules = rules,
	.lenient = 1,
};
