/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of authorized_keys: names, StrictModes, bounded reading. For a process that has become
 * the account: what the account cannot read nobody reads for it.
 */
#ifndef WARREN_SSH_AUTHORIZED_KEYS_FILE_H
#define WARREN_SSH_AUTHORIZED_KEYS_FILE_H

#include "platform/user.h"
#include "ssh/authorized_keys.h"

/* sshd_config(5) AuthorizedKeysFile's default */
#define AUTHORIZED_KEYS_FILES ".ssh/authorized_keys .ssh/authorized_keys2"

struct authorized_keys_files {
	const char *patterns; /* separated by blanks; %h %u %U %%; relative to the home; "none" */
	bool strict_modes;
};

/* Every file in turn until one lets the key in. -ENOENT: none has the key. -EACCES and a sentence
 * for the log: the key is there, or a file is, but may not be used. */
int authorized_keys_file_match(const struct authorized_keys_files *files,
			       const struct user_account *account,
			       const struct authorized_keys_query *q,
			       struct authorized_keys_grant *ret_grant,
			       struct error *err) WARREN_MUST_USE;
/* "%h/x" and the like; -EINVAL for an unknown letter, -ENAMETOOLONG. */
int authorized_keys_file_name(const char *pattern, size_t len, const struct user_account *account,
			      char *out, size_t cap) WARREN_MUST_USE;

#endif
