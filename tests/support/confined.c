/* SPDX-License-Identifier: Apache-2.0
 *
 * See confined.h.
 */
#include "tests/support/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *thread(void *arg)
{
	struct addrinfo *list = NULL;

	*(int *)arg = getaddrinfo("localhost", "1", NULL, &list);
	freeaddrinfo(list);
	return NULL;
}

/* The number of the first that is not as it should be. */
static int may(void)
{
	pthread_t id;
	int result = -1, fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct rlimit limit;

	if (fd < 0 || close(fd) != 0)
		return 1;
	fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || close(fd) != 0)
		return 2;
	if (pthread_create(&id, NULL, thread, &result) != 0 || pthread_join(id, NULL) != 0)
		return 3;
	if (result != 0)
		return 4;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || sysconf(_SC_NPROCESSORS_ONLN) < 1)
		return 5;
	return 0;
}

#ifndef WARREN_SANITIZE /* no filter there */
static bool fails(long result)
{
	return result == -1 && errno == EPERM;
}

static int may_not(void)
{
	char *const argv[] = {(char[]){"true"}, NULL};
	const struct rlimit limit = {64, 64};
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!fails(execve("/bin/true", argv, argv + 1)))
		return 10;
	if (!fails(fork()))
		return 11;
	if (!fails(socket(AF_PACKET, SOCK_RAW, 0)) || !fails(socket(AF_ALG, SOCK_SEQPACKET, 0)))
		return 12;
	if (!fails(unshare(CLONE_NEWUSER)) || !fails(mount("none", "/mnt", "tmpfs", 0, NULL)))
		return 13;
	if (!fails(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)) || !fails(kill(getppid(), 0)))
		return 14;
	if (!fails(setrlimit(RLIMIT_NOFILE, &limit)) || !fails(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)))
		return 15;
	if (page == MAP_FAILED || !fails(mprotect(page, 4096, PROT_READ | PROT_EXEC)) ||
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0) != MAP_FAILED)
		return 16;
	if (!fails(syscall(SYS_bpf, 0, NULL, 0)) || !fails(syscall(SYS_setresuid, 0, 0, 0)) ||
	    !fails(chmod("/tmp", 01777)) || !fails(syscall(SYS_keyctl, 0, 0)) ||
	    !fails(syscall(SYS_io_uring_setup, 1, NULL)) ||
	    !fails(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0)))
		return 17;
	return 0;
}
#endif

static int child(int (*enter)(struct error *err), int (*own)(void))
{
	int r = enter(NULL) < 0 ? 30 : may();

#ifndef WARREN_SANITIZE
	if (r == 0)
		r = may_not();
	if (r == 0 && own)
		r = own();
#else
	(void)own;
#endif
	return r;
}

int confined(int (*enter)(struct error *err), int (*own)(void))
{
	int status;
	pid_t pid;

	unsetenv("WARREN_SANDBOX_DEBUG");
	pid = fork();
	if (pid == 0)
		_exit(child(enter, own));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 31;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
