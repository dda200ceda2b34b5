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

/* The newest proof says the groups: the token, or a login after it. A token without any says nothing of
 * them: some providers put them into one kind of token only. */
static void ask(const struct state *state, const struct login_question *question, struct asked *a)
{
	const struct jwt_identity *id = question->identity;
	bool newest = id->group_count > 0 &&
		      id->issued_s >= state_login_issued(state, id->user);
	size_t count = id->group_count < JWT_MAX_GROUPS ? id->group_count : JWT_MAX_GROUPS;

	for (size_t i = 0; i < count; i++)
		a->groups[i] = id->groups[i];
	a->query = (struct policy_ssh_query){.identity = id->user,
					     .groups = a->groups,
					     .group_count = newest ? count : 0,
					     .groups_exact = newest,
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

	ask(state, question, &a);
	policy_ssh_check(state_policy(state), state_world(state), &a.query, ret_decision);
}

/* A stock sshd cannot tell by which way somebody came: a machine through which less is allowed, or for
 * a shorter time, is no source of the certificate. Our own server asks the policy about the way. */
static bool as_much(const struct policy_ssh_decision *through,
		    const struct policy_ssh_decision *direct)
{
	return through->allowed && (direct->caps & ~through->caps) == 0 &&
	       through->files_only <= direct->files_only &&
	       strcmp(through->force_command, direct->force_command) == 0 &&
	       through->cert_ttl_s >= direct->cert_ttl_s &&
	       (through->not_after_s == 0 ||
		(direct->not_after_s != 0 && direct->not_after_s <= through->not_after_s));
}

size_t login_via(const struct state *state, const struct login_question *question,
		 const struct policy_ssh_decision *direct, const struct state_peer **ret_peers,
		 size_t max)
{
	const char *ids[SSHCERT_MAX_SOURCES];
	struct policy_ssh_decision through;
	struct asked a;
	size_t count, n = 0;

	ask(state, question, &a);
	count = policy_ssh_via(state_policy(state), state_world(state), &a.query, ids,
			       max < SSHCERT_MAX_SOURCES ? max : SSHCERT_MAX_SOURCES);
	for (size_t i = 0; i < count; i++) {
		const struct state_peer *peer = state_peer(state, ids[i]);

		a.query.via_peer = ids[i];
		policy_ssh_check(state_policy(state), state_world(state), &a.query, &through);
		if (peer && !peer->removed && as_much(&through, direct))
			ret_peers[n++] = peer;
	}
	return n;
}
