/* SPDX-License-Identifier: Apache-2.0
 *
 * user_drop_privileges on Linux (capabilities(7)). What a restricted container refuses along the
 * way (the bounding set) is left; what counts is the check at the end, which asks the kernel.
 */
#include "platform/user.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAST_CAP = 63 };

/* EPERM: no CAP_SETPCAP. Without capabilities and with no_new_privs the bounding set is only the
 * second fence. */
static int drop_bounding_set(void)
{
	for (unsigned long cap = 0; cap <= LAST_CAP; cap++) {
		int set = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (set < 0 && errno == EINVAL)
			break; /* behind the last one this kernel knows */
		if (set == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return -errno;
	}
	return 0;
}

static int change_ids(uid_t uid, gid_t gid)
{
	uid_t r, e, s;

	/* Already that user: there is nothing to give up, and setgroups would be refused. */
	if (getresuid(&r, &e, &s) == 0 && r == uid && e == uid && s == uid) {
		gid_t rg, eg, sg;

		return getresgid(&rg, &eg, &sg) == 0 && rg == gid && eg == gid && sg == gid
			       ? 0
			       : -EPERM;
	}
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return getgroups(0, NULL) == 0 ? 0 : -EPERM;
}

static int clear_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int verify(uid_t uid, gid_t gid)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) < 0 || r != uid || e != uid || s != uid)
		return -EPERM;
	if (getresgid(&rg, &eg, &sg) < 0 || rg != gid || eg != gid || sg != gid)
		return -EPERM;
	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (data[i].effective || data[i].permitted || data[i].inheritable)
			return -EPERM;
	if (setuid(0) == 0 || setgid(0) == 0)
		return -EPERM;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -EPERM;
}

int user_drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	int rc = drop_bounding_set();

	if (rc == 0)
		rc = clear_capabilities();
	if (rc == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			syscall(SYS_capget, &header, data) < 0))
		rc = -errno;
	for (int i = 0; rc == 0 && i < _LINUX_CAPABILITY_U32S_3; i++)
		if (data[i].effective || data[i].permitted || data[i].inheritable)
			rc = -EPERM;
	return rc;
}

int user_drop_privileges(uid_t uid, gid_t gid)
{
	int rc;

	if (uid == 0 || gid == 0 || uid == (uid_t)-1 || gid == (gid_t)-1)
		return -EINVAL;
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return -errno;
	rc = drop_bounding_set(); /* first: it needs CAP_SETPCAP */
	if (rc == 0)
		rc = change_ids(uid, gid);
	if (rc == 0)
		rc = clear_capabilities();
	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = -errno;
	return rc == 0 ? verify(uid, gid) : rc;
}
