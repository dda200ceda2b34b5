/* SPDX-License-Identifier: Apache-2.0
 *
 * Local accounts through NSS. Names are checked before they reach it, and an entry that does not
 * fit is refused, never cut.
 */
#include "platform/user.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_BYTES = 65536, NAME_BYTES = 32, NOBODY = 65534 };

bool user_name_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	static const char inner[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
				    "0123456789.-";
	size_t len;

	if (name[0] == '\0' || !strchr(letters, name[0]))
		return false;
	len = strspn(name, inner);
	if (len > NAME_BYTES)
		return false;
	return name[len] == '\0' || (name[len] == '$' && name[len + 1] == '\0');
}

static int copy_text(char *out, size_t cap, const char *text)
{
	size_t len = strlen(text);

	if (len >= cap)
		return -ENAMETOOLONG;
	memcpy(out, text, len + 1);
	return 0;
}

static int fill(const struct passwd *pw, struct user_account *ret_account)
{
	struct user_account account = {.uid = pw->pw_uid, .gid = pw->pw_gid};
	const char *shell = pw->pw_shell && *pw->pw_shell ? pw->pw_shell : "/bin/sh";
	int rc;

	rc = copy_text(account.name, sizeof(account.name), pw->pw_name);
	if (rc == 0)
		rc = copy_text(account.home, sizeof(account.home), pw->pw_dir ? pw->pw_dir : "/");
	if (rc == 0)
		rc = copy_text(account.shell, sizeof(account.shell), shell);
	if (rc == 0)
		*ret_account = account;
	return rc;
}

/* By name, or by uid when name is NULL. */
static int look_up(const char *name, uid_t uid, struct user_account *ret_account)
{
	struct passwd pw, *found = NULL;
	char *scratch = malloc(ENTRY_BYTES);
	int rc;

	if (!scratch)
		return -ENOMEM;
	do
		rc = name ? getpwnam_r(name, &pw, scratch, ENTRY_BYTES, &found)
			  : getpwuid_r(uid, &pw, scratch, ENTRY_BYTES, &found);
	while (rc == EINTR);
	if (found)
		rc = fill(found, ret_account);
	else if (rc == 0 || rc == ESRCH)
		rc = -ENOENT;
	else
		rc = -rc;
	free(scratch);
	return rc;
}

int user_lookup(const char *name, struct user_account *ret_account)
{
	if (!user_name_valid(name))
		return -EINVAL;
	return look_up(name, 0, ret_account);
}

int user_lookup_uid(uid_t uid, struct user_account *ret_account)
{
	return look_up(NULL, uid, ret_account);
}

void user_service_account(const char *name, uid_t *ret_uid, gid_t *ret_gid, bool *ret_found)
{
	struct user_account account;
	/* An account that is root under another name would give nothing up. */
	bool found = user_lookup(name, &account) == 0 && account.uid != 0 && account.gid != 0;

	*ret_uid = found ? account.uid : NOBODY;
	*ret_gid = found ? account.gid : NOBODY;
	*ret_found = found;
}
