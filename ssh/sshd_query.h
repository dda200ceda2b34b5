/* SPDX-License-Identifier: Apache-2.0
 *
 * What sshd_config's Match blocks ask about an account, and the words of -C.
 */
#ifndef WARREN_SSH_SSHD_QUERY_H
#define WARREN_SSH_SSHD_QUERY_H

#include "ssh/config/sshd_config.h"

#define SSHD_GROUPS_MAX 64

/* Names of the account's groups. */
struct sshd_groups {
	const char *names[SSHD_GROUPS_MAX];
	char text[SSHD_GROUPS_MAX][33];
	size_t count;
};
/* None when there is no such account. */
void sshd_groups_of(const char *user, struct sshd_groups *ret_groups);
/* "user=alice,addr=10.0.0.1": adds to q; text is taken apart and stays in use. */
int sshd_query_parse(char *text, struct sshd_query *q, struct error *err) WARREN_MUST_USE;

#endif
