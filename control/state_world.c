/* SPDX-License-Identifier: Apache-2.0
 *
 * The network as policy sees it: peers, who is logged in on them, and their groups. Made anew when any
 * of that changed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/state_impl.h"
#include "identity/jwt.h"
#include "policy/policy.h"

static int add_peer(const struct state *s, struct policy_world *w, const struct entry *e)
{
	const char *identities[STATE_MAX_IDENTITIES];
	struct policy_peer p = {
		.id = e->row.id,
		.name = e->row.name,
		.v4 = e->row.v4,
		.v6 = e->row.v6,
		.setup_key = e->row.setup_key[0] ? e->row.setup_key : NULL,
		.identities = identities,
		.ssh_enabled = e->row.ssh_enabled,
		.ssh_advertised = e->row.ssh_advertised,
	};

	if (e->row.enrolled_by[0] && !state_is_blocked(s, e->row.enrolled_by))
		identities[p.identity_count++] = e->row.enrolled_by;
	for (const struct login *l = e->logins; l && p.identity_count < STATE_MAX_IDENTITIES;
	     l = l->next)
		if (strcmp(l->identity, e->row.enrolled_by) != 0)
			identities[p.identity_count++] = l->identity;
	return policy_world_add_peer(w, &p);
}

/* The newest login of an identity anywhere says its groups. */
static int add_identities(struct policy_world *w, const struct state *s)
{
	json_t *all = json_object();
	const char *identity;
	json_t *login;
	int r = all ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < s->peer_count; i++) {
		for (const struct login *l = s->peers[i]->logins; l; l = l->next) {
			json_t *known = json_object_get(all, l->identity);

			if (!known || json_integer_value(json_array_get(known, 0)) < l->expires_s)
				json_object_set_new(
					all, l->identity,
					json_pack("[I,O]", (json_int_t)l->expires_s, l->groups));
		}
	}
	json_object_foreach(all, identity, login)
	{
		const json_t *list = json_array_get(login, 1);
		const char *groups[JWT_MAX_GROUPS];
		size_t n = json_array_size(list);

		if (n > JWT_MAX_GROUPS)
			n = JWT_MAX_GROUPS;
		for (size_t i = 0; i < n; i++)
			groups[i] = json_string_value(json_array_get(list, i));
		if (r == 0)
			r = policy_world_add_identity(w, identity, groups, n);
		if (r == -EEXIST) /* a row of before names had one case */
			r = 0;
	}
	json_decref(all);
	return r;
}

int state_make_world(struct state *s)
{
	struct policy_world *w;
	int r = policy_world_new(&w);

	s->world_stale = true;
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < s->peer_count; i++)
		r = add_peer(s, w, s->peers[i]);
	if (r == 0)
		r = add_identities(w, s);
	if (r < 0) {
		policy_world_free(w);
		return r;
	}
	policy_world_free(s->world);
	s->world = w;
	s->world_stale = false;
	return 0;
}

bool *state_concerned(struct state *s, const struct entry *e)
{
	bool *concerned = calloc(s->peer_count + 1, sizeof(bool));

	if (!concerned)
		return NULL;
	/* One pass over the rules; the world holds the peers in the order of the array. */
	if (!s->world_stale && policy_concerned(s->policy, s->world, e->row.id, concerned) == 0)
		return concerned;
	for (size_t i = 0; i < s->peer_count; i++)
		concerned[i] = policy_concerns(s->policy, s->world, e->row.id, s->peers[i]->row.id);
	return concerned;
}
