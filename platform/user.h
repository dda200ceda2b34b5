/* SPDX-License-Identifier: Apache-2.0
 *
 * Local accounts and giving up privileges.
 */
#ifndef WARREN_PLATFORM_USER_H
#define WARREN_PLATFORM_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "platform/error.h"

#define USER_NAME_MAX 64

struct user_account {
	char name[USER_NAME_MAX];
	uid_t uid;
	gid_t gid;
	char home[256];
	char shell[256];
};

/* -ENOENT when there is no such account, -EINVAL for what can be no account's name (checked first,
 * user_name_valid). */
int user_lookup(const char *name, struct user_account *ret_account) WARREN_MUST_USE;
int user_lookup_uid(uid_t uid, struct user_account *ret_account) WARREN_MUST_USE;
/* POSIX-portable login name: [a-z_A-Z][a-zA-Z0-9._-]{0,31}, optional final $. */
bool user_name_valid(const char *name);
/* Permanently: clears supplementary groups, sets gid and uid (real, effective, saved), drops all
 * capabilities and the bounding set where allowed, sets no_new_privs, then verifies that none can be
 * regained. Fails closed: on error the caller must exit. uid and gid must not be 0. Single-threaded
 * callers only (capabilities are per thread). */
int user_drop_privileges(uid_t uid, gid_t gid) WARREN_MUST_USE;
/* The same for a process that keeps its uid: all capabilities, in whichever user namespace, and
 * no_new_privs. */
int user_drop_capabilities(void) WARREN_MUST_USE;
/* The uid/gid of a service account, or (uid,gid) 65534 "nobody" when it does not exist; *ret_found
 * tells which. */
void user_service_account(const char *name, uid_t *ret_uid, gid_t *ret_gid, bool *ret_found);

#endif
