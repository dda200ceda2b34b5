/* SPDX-License-Identifier: Apache-2.0
 *
 * Whom a peer has to know of: policy_concerns for one peer against all of them at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/model.h"

/* The two lists of an accept rule or an ssh rule that has self on one side or both. */
struct link {
	const struct model_list *from, *to;
	bool self_from, self_to;
};

static size_t collect(const struct policy *p, const struct policy_world *w,
		      const struct world_peer *self, signed char *memo, struct link *links)
{
	size_t n = 0;

	for (size_t i = 0; i < p->rule_count + p->ssh_count * 2; i++) {
		bool ssh = i >= p->rule_count, via = i >= p->rule_count + p->ssh_count;
		struct link l = {0};

		if (!ssh && p->rules[i].deny)
			continue;
		if (via) {
			const struct model_ssh_rule *rule =
				&p->ssh[i - p->rule_count - p->ssh_count];

			l.from = &rule->via;
			l.to = &rule->to;
		} else {
			l.from = ssh ? &p->ssh[i - p->rule_count].from : &p->rules[i].from;
			l.to = ssh ? &p->ssh[i - p->rule_count].to : &p->rules[i].to;
		}
		l.self_from = match_list_memo(l.from, w, self, memo);
		l.self_to = match_list_memo(l.to, w, self, memo);
		if (l.self_from || l.self_to)
			links[n++] = l;
	}
	return n;
}

int policy_concerned(const struct policy *p, const struct policy_world *w, const char *peer_id,
		     bool *ret_concerned)
{
	const struct world_peer *self = world_find_peer(w, peer_id);
	size_t most = p->rule_count + p->ssh_count * 2; /* "via" towards "to", too */
	struct link *links = calloc(most + 1, sizeof(*links));
	signed char *memo = malloc(p->set_count + 1);
	int rc = self ? 0 : -ENOENT;

	if (!links || !memo)
		rc = -ENOMEM;
	if (rc)
		goto out;
	memset(memo, -1, p->set_count + 1);
	size_t count = collect(p, w, self, memo, links);
	for (size_t i = 0; i < w->peer_count; i++) {
		const struct world_peer *peer = &w->peers[i];
		bool yes = false;

		memset(memo, -1, p->set_count + 1);
		for (size_t j = 0; j < count && !yes && peer != self; j++)
			yes = (links[j].self_from && match_list_memo(links[j].to, w, peer, memo)) ||
			      (links[j].self_to && match_list_memo(links[j].from, w, peer, memo));
		ret_concerned[i] = yes;
	}
out:
	free(links);
	free(memo);
	return rc;
}
