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

struct asked {
	const char *groups[JWT_MAX_GROUPS];
	struct policy_ssh_query query;
};

static void ask(const struct login_question *question, struct asked *a)
{
	const struct jwt_identity *id = question->identity;
	size_t count = id->group_count < JWT_MAX_GROUPS ? id->group_count : JWT_MAX_GROUPS;

	for (size_t i = 0; i < count; i++)
		a->groups[i] = id->groups[i];
	a->query = (struct policy_ssh_query){.identity = id->user,
					     .groups = a->groups,
					     .group_count = count,
					     .caller_peer = question->caller,
					     .target_peer = question->target,
					     .login = question->login,
					     .auth_time_s = id->auth_time_s,
					     .now_s = question->now_s};
}

void login_judge(const struct state *state, const struct login_question *question,
		 struct policy_ssh_decision *ret_decision)
{
	struct asked a;

	ask(question, &a);
	policy_ssh_check(state_policy(state), state_world(state), &a.query, ret_decision);
}

size_t login_via(const struct state *state, const struct login_question *question,
		 const struct state_peer **ret_peers, size_t max)
{
	const char *ids[SSHCERT_MAX_SOURCES];
	struct asked a;
	size_t count, n = 0;

	ask(question, &a);
	count = policy_ssh_via(state_policy(state), state_world(state), &a.query, ids,
			       max < SSHCERT_MAX_SOURCES ? max : SSHCERT_MAX_SOURCES);
	for (size_t i = 0; i < count; i++) {
		const struct state_peer *peer = state_peer(state, ids[i]);

		if (peer && !peer->removed)
			ret_peers[n++] = peer;
	}
	return n;
}
