/* SPDX-License-Identifier: Apache-2.0
 *
 * Who connects, as Match blocks ask for it.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/sshd_query.h"

#define GROUPS_MAX 4096 /* that are looked at; names are kept of the first SSHD_GROUPS_MAX */

static void add_group(struct sshd_groups *g, gid_t gid)
{
	const struct group *group = getgrgid(gid);

	if (group == NULL || g->count == SSHD_GROUPS_MAX)
		return;
	snprintf(g->text[g->count], sizeof(g->text[0]), "%s", group->gr_name);
	g->names[g->count] = g->text[g->count];
	g->count++;
}

void sshd_groups_of(const char *user, struct sshd_groups *ret_groups)
{
	const struct passwd *pw = getpwnam(user);
	gid_t *gids = malloc(GROUPS_MAX * sizeof(*gids));
	int count = GROUPS_MAX;

	ret_groups->count = 0;
	if (pw != NULL && gids != NULL &&
	    getgrouplist(pw->pw_name, pw->pw_gid, gids, &count) >= 0)
		for (int i = 0; i < count; i++)
			add_group(ret_groups, gids[i]);
	free(gids);
}

int sshd_query_parse(char *text, struct sshd_query *q, struct error *err)
{
	char *save = NULL;

	for (char *part = strtok_r(text, ",", &save); part != NULL;
	     part = strtok_r(NULL, ",", &save)) {
		char *equal = strchr(part, '='), *end;
		const char *value = equal != NULL ? equal + 1 : "";
		int r = 0;

		if (equal != NULL)
			*equal = '\0';
		if (*value == '\0')
			return error_set(err, -EINVAL, "-C: %s is no NAME=VALUE", part);
		if (strcmp(part, "user") == 0) {
			q->user = value;
		} else if (strcmp(part, "host") == 0) {
			q->host = value;
		} else if (strcmp(part, "peer") == 0) {
			q->peer = value;
		} else if (strcmp(part, "identity") == 0) {
			q->identity = value;
		} else if (strcmp(part, "addr") == 0) {
			r = ip_addr_parse(value, &q->address);
		} else if (strcmp(part, "laddr") == 0) {
			r = ip_addr_parse(value, &q->local_address);
		} else if (strcmp(part, "lport") == 0) {
			unsigned long port = strtoul(value, &end, 10);

			r = *end != '\0' || port == 0 || port > 65535 ? -EINVAL : 0;
			q->local_port = (uint16_t)port;
		} else {
			return error_set(err, -EINVAL,
					 "-C: %s is none of user, host, addr, laddr, lport, peer, "
					 "identity",
					 part);
		}
		if (r < 0)
			return error_set(err, -EINVAL, "-C: %s: \"%s\" cannot be read", part, value);
	}
	return 0;
}
