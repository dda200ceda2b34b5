/* SPDX-License-Identifier: Apache-2.0
 *
 * Landlock (landlock(7)) and seccomp of a confined file transfer.
 */
#include "ssh/sftp_confine.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/sandbox.h"

/* Newer than Debian's headers. */
#define FS_REFER     (1ULL << 13) /* ABI 2: links and renames between folders */
#define FS_TRUNCATE  (1ULL << 14) /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */

static const char *const allowed_calls[] = {
	"read",	     "write",	   "readv",	  "writev",    "pread64",    "pwrite64",
	"openat2",   "close",	   "fstat",	  "newfstatat", "statx",     "lseek",
	"getdents64", "fcntl",	   "unlinkat",	  "mkdirat",   "renameat",   "renameat2",
	"linkat",    "symlinkat",  "readlinkat",  "ftruncate", "fsync",	     "fchmod",
	"fchmodat",  "utimensat",  "fchownat",	  "fstatfs",   "fstat64",    "fstatat64",
	"fstatfs64", "ftruncate64", "_llseek",	  "getdents",  "prlimit64",  NULL,
};
/* Asked for by the C library now and then; a refusal is an answer. */
static const char *const refused_calls[] = {
	"open", "openat", "stat", "lstat", "access", "faccessat", "readlink", "socket", "connect",
	"ioctl", "execve", NULL,
};

static uint64_t handled(long abi)
{
	uint64_t all = (FS_REFER << 1) - 1; /* ABI 2 */

	if (abi >= 3)
		all |= FS_TRUNCATE;
	if (abi >= 5)
		all |= FS_IOCTL_DEV;
	return all;
}

static int landlock(const struct sftp_root *root)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr;
	struct landlock_path_beneath_attr rule;
	int fd, r = 0;

	if (abi < 2) /* 1 refuses every rename between folders */
		return -ENOSYS;
	memset(&attr, 0, sizeof(attr));
	attr.handled_access_fs = handled(abi);
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return -errno;
	memset(&rule, 0, sizeof(rule));
	rule.parent_fd = root->fd;
	rule.allowed_access = attr.handled_access_fs &
			      ~(uint64_t)(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
					  LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SOCK |
					  LANDLOCK_ACCESS_FS_MAKE_FIFO | FS_IOCTL_DEV);
	if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		r = -errno;
	close(fd);
	return r;
}

int sftp_confine(const struct sftp_root *root, bool *ret_landlock, struct error *err)
{
	const struct sandbox_profile profile = {
		.name = "sftp",
		.allow = allowed_calls,
		.eacces = refused_calls,
	};

	*ret_landlock = landlock(root) == 0;
	return sandbox_apply(&profile, err);
}
