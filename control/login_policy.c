/* SPDX-License-Identifier: Apache-2.0
 *
 * What the login service asks the policy. Identity and groups are those of the verified token.
 */
#include <string.h>

#include "control/login_internal.h"
#include "platform/user.h"

bool login_name_ok(const char *login)
{
	return strlen(login) < LOGIN_NAME_SIZE && user_name_valid(login);
}

void login_judge(const struct state *state, const struct login_question *question,
		 struct policy_ssh_decision *ret_decision)
{
	const char *groups[JWT_MAX_GROUPS];
	const struct jwt_identity *id = question->identity;
	size_t count = id->group_count < JWT_MAX_GROUPS ? id->group_count : JWT_MAX_GROUPS;
	struct policy_ssh_query query = {.identity = id->user,
					 .groups = groups,
					 .group_count = count,
					 .caller_peer = question->caller,
					 .target_peer = question->target,
					 .login = question->login,
					 .auth_time_s = id->auth_time_s,
					 .now_s = question->now_s};
	for (size_t i = 0; i < count; i++)
		groups[i] = id->groups[i];
	policy_ssh_check(state_policy(state), state_world(state), &query, ret_decision);
}
