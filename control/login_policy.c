/* SPDX-License-Identifier: Apache-2.0
 *
 * What the login service asks the policy. Identity and groups are those of the verified token.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/login_internal.h"
#include "platform/buffer.h"
#include "platform/user.h"

#define MAX_TRIES 2000

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

struct anyone {
	const struct policy *policy;
	const struct policy_world *world;
	struct policy_ssh_query query;
	struct policy_ssh_decision *decision;
	char same_name[LOGIN_NAME_SIZE + 16]; /* somebody whose local part is the login */
	size_t tries;
};

static bool try_one(struct anyone *a, const char *identity, const char *group)
{
	if (++a->tries > MAX_TRIES)
		return true;
	a->query.identity = identity;
	a->query.groups = &group;
	a->query.group_count = group != NULL;
	policy_ssh_check(a->policy, a->world, &a->query, a->decision);
	return a->decision->allowed;
}

/* Members of a group and of "from" are people, or "group:NAME" of the provider, for which anybody
 * may stand, also somebody named like the login. */
static bool try_list(struct anyone *a, const json_t *list)
{
	size_t i;
	json_t *member;
	json_array_foreach(list, i, member)
	{
		const char *text = json_string_value(member);
		if (text == NULL)
			continue;
		if (strncmp(text, "group:", 6) == 0) {
			if (try_one(a, a->same_name, text + 6))
				return true;
		} else if (strchr(text, '@') != NULL || strchr(text, ':') == NULL) {
			if (try_one(a, text, NULL))
				return true;
		}
	}
	return false;
}

bool login_anyone(const struct policy *policy, const struct policy_world *world,
		  const struct login_question *question, struct policy_ssh_decision *ret_decision)
{
	struct anyone a = {.policy = policy, .world = world, .decision = ret_decision};
	struct buffer slice;
	json_t *root = NULL, *rule, *list;
	const char *name;
	size_t i;
	bool found = true; /* when in doubt: the login itself is judged later */

	a.query.caller_peer = question->caller;
	a.query.target_peer = question->target;
	a.query.login = question->login;
	a.query.auth_time_s = a.query.now_s = question->now_s;
	snprintf(a.same_name, sizeof(a.same_name), "%s@nobody.invalid", question->login);
	buffer_init(&slice, POLICY_MAX_TEXT);
	if (policy_slice(policy, world, question->target, &slice) == 0)
		root = json_loadb((const char *)slice.data, slice.len, 0, NULL);
	if (root != NULL) {
		found = try_one(&a, a.same_name, NULL);
		json_array_foreach(json_object_get(root, "ssh"), i, rule) found =
			found || try_list(&a, json_object_get(rule, "from"));
		json_object_foreach(json_object_get(root, "groups"), name, list) found =
			found || try_list(&a, list);
	}
	json_decref(root);
	buffer_done(&slice);
	return found;
}
