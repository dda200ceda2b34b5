/* SPDX-License-Identifier: Apache-2.0
 *
 * Default-deny seccomp filters (libseccomp). In builds with NDEBUG off and WARREN_SANDBOX_DEBUG=1 in
 * the environment a refused call is named on stderr before the process ends. Under sanitizers
 * sandbox_apply is a no-op that returns 0 (the runtimes need calls of their own).
 */
#ifndef WARREN_PLATFORM_SANDBOX_H
#define WARREN_PLATFORM_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

/* An allowed call whose argument `arg` (from 0) must be `value` under `mask` (0: all bits). A call
 * with rules is allowed where one of them fits, and is in no list. */
struct sandbox_rule {
	const char *call;
	unsigned arg;
	uint64_t value, mask;
};

struct sandbox_profile {
	const char *name;
	/* Whose lists count as well (not its `lenient`, and not its own base); may be NULL. */
	const struct sandbox_profile *base;
	/* System call names, NULL-terminated; unknown names are skipped. "bpf" is allowed for setting
	 * and deleting elements of maps alone. */
	const char *const *allow;
	const char *const *eacces; /* refused with EACCES instead of ending the process (clone3 with
				    * ENOSYS, so that clone is tried); may be NULL */
	const struct sandbox_rule *rules; /* up to one without a call; may be NULL */
	/* For a process that runs other people's plug-ins (name services): what is not listed fails
	 * with EPERM instead of ending it. */
	int lenient;
};

/* Sets no_new_privs and loads the filter for the calling process (all threads). The calls of
 * sandbox_calls_base are always allowed; mmap and mprotect without PROT_EXEC only. */
int sandbox_apply(const struct sandbox_profile *profile, struct error *err) WARREN_MUST_USE;
/* chroot into an empty, unwritable folder that no name reaches (needs CAP_SYS_CHROOT). */
int sandbox_empty_root(void) WARREN_MUST_USE;
/* The same in two steps: one folder may be the root of many processes, since nothing can be made or
 * found in it. Who starts them opens it; entering refuses what is no such folder. */
int sandbox_open_empty_root(int *ret_fd) WARREN_MUST_USE;
bool sandbox_is_empty_root(int fd);
int sandbox_enter_empty_root(int fd) WARREN_MUST_USE;
/* What a process without root can give up: namespaces of its own (user, network, IPC) with the empty
 * root; where the machine allows none, every file by Landlock. All capabilities go in either case.
 * 0, or -errno when a capability stays: the caller must exit. *ret_how for a log line: "namespaces",
 * "landlock" or "neither". Single-threaded callers only. */
int sandbox_without_root(const char **ret_how) WARREN_MUST_USE;
/* RLIMIT_NOFILE (0: leave), RLIMIT_NPROC 0 when no_fork, RLIMIT_FSIZE 0 when no_write. */
int sandbox_limits(unsigned max_files, int no_fork, int no_write) WARREN_MUST_USE;
/* What every profile allows: memory, time, signals, exit. NULL-terminated. */
extern const char *const sandbox_calls_base[];
/* The base of our two processes that serve others with libcurl and the system's name services inside:
 * files and their locks, sockets of IP, unix and netlink, an event loop, threads. No program, no process
 * of its own, no other user, no mount, no namespace, no device, no memory that is both written and
 * executed. */
extern const struct sandbox_profile sandbox_service;

#endif
