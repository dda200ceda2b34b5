/* SPDX-License-Identifier: Apache-2.0
 *
 * "ssh" rules: may this person (or machine) log in there as that local user, and what may they do?
 * Rules add up; there is no deny. Root and "machine" logins only where a rule says so in words.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "platform/user.h"
#include "policy/model.h"

#define ASKING_SETS 256

/* Who asks, as names in the policy and the world are written. */
struct asking {
	const struct policy_ssh_query *query;
	const struct policy_world *w;
	const struct world_peer *caller;
	char name[256]; /* empty: a machine */
	uint64_t hash;
	bool nobody; /* a name that cannot be */
	/* Of the first sets: is the caller in it? 0: not asked yet, 1: no, 2: yes. Many rules name few
	 * groups. */
	uint8_t memo[ASKING_SETS];
};

/* "alice@example.com" against an atom, with the groups that the login proved and those we know. */
static bool person_is(const struct model_atom *atom, const struct asking *who)
{
	const struct policy_ssh_query *query = who->query;
	const struct world_identity *known;

	if (!who->name[0])
		return false;
	if (atom->kind == MODEL_IDENTITY)
		return atom->hash == who->hash && strcmp(atom->text, who->name) == 0;
	for (size_t i = 0; i < query->group_count; i++)
		if (strcmp(query->groups[i], atom->text) == 0)
			return true;
	known = query->groups_exact ? NULL : world_find_identity(who->w, who->name);
	for (size_t i = 0; known && i < known->group_count; i++)
		if (strcmp(known->groups[i].text, atom->text) == 0)
			return true;
	return false;
}

static bool set_caller(const struct model_set *set, struct asking *who);

static bool atom_caller(const struct model_atom *atom, struct asking *who)
{
	const struct policy_ssh_query *query = who->query;

	switch (atom->kind) {
	case MODEL_ANY:
		/* Workloads are nobody until a rule names them. */
		return query->identity ? !model_is_workload(who->name) : who->caller != NULL;
	case MODEL_IDENTITY:
	case MODEL_PROVIDER_GROUP:
		return person_is(atom, who);
	case MODEL_SETUP_KEY:
	case MODEL_PEER:
	case MODEL_PREFIX:
		return who->caller && match_atom_peer(atom, who->w, who->caller);
	case MODEL_SET:
		return set_caller(atom->set, who);
	}
	return false;
}

/* Hosts are machines, also those of a person; groups are people first. */
static bool set_caller(const struct model_set *set, struct asking *who)
{
	uint8_t *memo = set->index < ASKING_SETS ? &who->memo[set->index] : NULL;
	bool in = false;

	if (memo && *memo)
		return *memo == 2;
	/* One level: members are never sets. */
	for (size_t i = 0; i < set->members.count && !in; i++)
		in = set->host ? who->caller && match_atom_peer(&set->members.atoms[i], who->w,
								who->caller)
			       : atom_caller(&set->members.atoms[i], who);
	if (memo)
		*memo = in ? 2 : 1;
	return in;
}

static bool list_caller(const struct model_list *list, struct asking *who)
{
	for (size_t i = 0; i < list->count && !who->nobody; i++)
		if (atom_caller(&list->atoms[i], who))
			return true;
	return false;
}

static void asking_init(struct asking *who, const struct policy_world *w,
			const struct policy_ssh_query *query)
{
	const char *name = query->identity ? query->identity : "";
	size_t len = strlen(name);

	*who = (struct asking){.query = query, .w = w};
	who->nobody = len >= sizeof(who->name) || (query->identity && len == 0);
	for (size_t i = 0; i < len && !who->nobody; i++)
		who->name[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + ('a' - 'A'))
								: name[i];
	who->hash = model_hash(who->name);
	who->caller = world_find_peer(w, query->caller_peer);
}

/* The login that "=" stands for: the local part of an e-mail address when a local user may have
 * that name. Never root. */
static bool same_name(const char *identity, char out[static USER_NAME_MAX])
{
	const char *at = identity ? strchr(identity, '@') : NULL;
	size_t len = at ? (size_t)(at - identity) : 0;

	if (len == 0 || len >= USER_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = identity[i];

		out[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	out[len] = '\0';
	return user_name_valid(out) && strcmp(out, "root") != 0;
}

static bool has_login(const struct model_ssh_rule *rule, const struct policy_ssh_query *query)
{
	char own[USER_NAME_MAX];

	if (!query->login)
		return false;
	for (size_t i = 0; i < rule->login_count; i++)
		if (strcmp(rule->logins[i], query->login) == 0)
			return true;
	return rule->same_name && same_name(query->identity, own) && strcmp(own, query->login) == 0;
}

/* How far a rule goes along with a query; a bigger one makes the better reason for a refusal. */
enum fit {
	FIT_NONE,
	FIT_TARGET,
	FIT_NETWORK,
	FIT_VIA,
	FIT_EXPIRED,
	FIT_NEEDS_LOGIN,
	FIT_TOO_OLD,
	FIT_YES
};

static bool proof_enough(const struct model_ssh_rule *rule, const struct policy_ssh_query *query)
{
	if (query->proof == POLICY_SSH_PROOF_KEY)
		return (rule->auth & POLICY_SSH_AUTH_KEY) != 0;
	if (query->proof == POLICY_SSH_PROOF_TOKEN)
		return query->identity && (rule->auth & POLICY_SSH_AUTH_TOKEN) != 0;
	return query->identity || (rule->auth & POLICY_SSH_AUTH_MACHINE) != 0;
}

/* Everything but the login's name. */
static enum fit fit(const struct model_ssh_rule *rule, const struct world_peer *target,
		    struct asking *who)
{
	const struct policy_ssh_query *query = who->query;
	const struct policy_world *w = who->w;

	if (!match_list_peer(&rule->to, w, target))
		return FIT_NONE;
	if (!list_caller(&rule->from, who))
		return FIT_TARGET;
	if (!match_networks(&rule->networks, w, who->caller))
		return FIT_NETWORK;
	if (query->via_peer) {
		const struct world_peer *via = world_find_peer(w, query->via_peer);

		if (!via || !match_list_peer(&rule->via, w, via))
			return FIT_VIA;
	}
	if (!when_in_force(&rule->when, query->now_s))
		return FIT_EXPIRED;
	if (!proof_enough(rule, query))
		return FIT_NEEDS_LOGIN;
	if (rule->max_login_age_s) {
		if (!query->identity)
			return FIT_NEEDS_LOGIN;
		if (query->auth_time_s <= 0 ||
		    query->now_s - query->auth_time_s >= (int64_t)rule->max_login_age_s)
			return FIT_TOO_OLD;
	}
	return FIT_YES;
}

static void earliest(int64_t *when, int64_t other)
{
	if (other && (*when == 0 || other < *when))
		*when = other;
}

static void merge_destinations(const struct model_ssh_rule *rule,
			       struct policy_ssh_decision *decision, bool *unlimited)
{
	if (!(rule->caps & POLICY_SSH_FORWARD))
		return;
	if (rule->destination_count == 0)
		*unlimited = true;
	for (size_t i = 0; i < rule->destination_count; i++) {
		bool known = false;

		for (size_t j = 0; j < decision->destination_count && !known; j++)
			known = strcmp(decision->destinations[j], rule->destinations[i]) == 0;
		/* What does not fit is left out: less is allowed, never more. */
		if (known || decision->destination_count == POLICY_SSH_MAX_DESTINATIONS)
			continue;
		(void)snprintf(decision->destinations[decision->destination_count++],
			       sizeof(decision->destinations[0]), "%s", rule->destinations[i]);
	}
}

static void grant(const struct model_ssh_rule *rule, const struct policy_ssh_query *query,
		  struct policy_ssh_decision *decision, bool *unlimited)
{
	decision->allowed = true;
	/* Confined is what nobody allows without confinement. */
	if (!(decision->caps & POLICY_SSH_SFTP))
		decision->files_only = rule->files_only;
	else if (rule->caps & POLICY_SSH_SFTP)
		decision->files_only &= rule->files_only;
	decision->caps |= rule->caps;
	decision->machine_auth |= (rule->auth & POLICY_SSH_AUTH_MACHINE) != 0;
	earliest(&decision->not_after_s, when_next_change(&rule->when, query->now_s));
	if (rule->max_login_age_s)
		earliest(&decision->not_after_s,
			 query->auth_time_s + (int64_t)rule->max_login_age_s);
	merge_destinations(rule, decision, unlimited);
}

/* A certificate says all that is allowed at once. It lives as long as the longest of the rules that
 * allow all of it say, and when it takes several for that, as the shortest. */
static uint32_t cert_ttl(const struct policy *p, const struct world_peer *target,
			 struct asking *who, const struct policy_ssh_decision *decision)
{
	uint32_t longest = 0, shortest = UINT32_MAX;

	for (size_t i = 0; i < p->ssh_count; i++) {
		const struct model_ssh_rule *rule = &p->ssh[i];
		uint32_t ttl = rule->cert_ttl_s ? rule->cert_ttl_s : MODEL_CERT_TTL_S;

		if (!has_login(rule, who->query) || fit(rule, target, who) != FIT_YES ||
		    strcmp(rule->force_command ? rule->force_command : "",
			   rule->caps & POLICY_SSH_SESSIONS ? decision->force_command : "") != 0)
			continue;
		if (ttl < shortest)
			shortest = ttl;
		if ((decision->caps & ~rule->caps) == 0 &&
		    rule->files_only <= decision->files_only && ttl > longest)
			longest = ttl;
	}
	return longest ? longest : shortest;
}

static void refuse(enum fit best, bool other_login, const struct policy_world *w,
		   const struct policy_ssh_query *query, struct policy_ssh_decision *decision)
{
	const struct world_peer *via = query->via_peer ? world_find_peer(w, query->via_peer) : NULL;
	char login[72], who[72], host[72], through[72];

	const struct world_peer *target = world_find_peer(w, query->target_peer);

	jsonc_show(query->login ? query->login : "", login);
	jsonc_show(query->identity ? query->identity : "this machine", who);
	jsonc_show(target ? target->name.text : "", host);
	if (!target)
		(void)snprintf(decision->reason, sizeof(decision->reason),
			       "the target is not a peer of this network");
	else if (other_login)
		(void)snprintf(decision->reason, sizeof(decision->reason),
			       "policy lets %s log in on %s, but not as %s", who, host, login);
	else if (best == FIT_VIA)
		(void)snprintf(decision->reason, sizeof(decision->reason),
			       "policy lets %s log in on %s, but not through %s (no \"via\")", who,
			       host, jsonc_show(via ? via->name.text : "another machine", through));
	else if (best == FIT_NETWORK)
		(void)snprintf(decision->reason, sizeof(decision->reason),
			       "policy lets %s log in on %s, but not from this machine's address "
			       "(\"from_networks\")", who, host);
	else if (best == FIT_TOO_OLD)
		(void)snprintf(decision->reason, sizeof(decision->reason),
			       "policy asks for a more recent login; log in again (warren login)");
	else if (best == FIT_NEEDS_LOGIN)
		(void)snprintf(decision->reason, sizeof(decision->reason),
			       "policy asks for a person's login on %s", host);
	else if (best == FIT_EXPIRED)
		(void)snprintf(decision->reason, sizeof(decision->reason),
			       "the rule that let %s log in on %s has expired or is not in force at this hour", who, host);
	else
		(void)snprintf(decision->reason, sizeof(decision->reason),
			       "no ssh rule lets %s log in on %s%s%s", who, host,
			       *login ? " as " : "", login);
}

void policy_ssh_check(const struct policy *p, const struct policy_world *w,
		      const struct policy_ssh_query *query,
		      struct policy_ssh_decision *ret_decision)
{
	const struct world_peer *target = world_find_peer(w, query->target_peer);
	const struct model_ssh_rule *command = NULL;
	bool unlimited = false, other_login = false;
	enum fit best = FIT_NONE;
	struct asking who;

	asking_init(&who, w, query);
	*ret_decision = (struct policy_ssh_decision){0};
	for (size_t i = 0; target && i < p->ssh_count; i++) {
		const struct model_ssh_rule *rule = &p->ssh[i];
		enum fit how = fit(rule, target, &who);

		if (how == FIT_YES && has_login(rule, query)) {
			if (!rule->force_command)
				grant(rule, query, ret_decision, &unlimited);
			else if (!command)
				command = rule; /* the first; the others say nothing */
		} else if (how == FIT_YES)
			other_login = true;
		else if (how > best && has_login(rule, query))
			best = how;
	}
	/* Who may have a session of their own has no use for a forced one, and nothing of what its
	 * rule gives: that is given to the command. */
	if (command && !(ret_decision->caps & POLICY_SSH_SESSIONS)) {
		(void)snprintf(ret_decision->force_command, sizeof(ret_decision->force_command),
			       "%s", command->force_command);
		grant(command, query, ret_decision, &unlimited);
	}
	if (!ret_decision->allowed) {
		refuse(best, other_login && best < FIT_NETWORK, w, query, ret_decision);
		return;
	}
	ret_decision->cert_ttl_s = cert_ttl(p, target, &who, ret_decision);
	if (unlimited)
		ret_decision->destination_count = 0;
}

size_t policy_ssh_via(const struct policy *p, const struct policy_world *w,
		      const struct policy_ssh_query *query, const char **ret_ids, size_t max)
{
	const struct world_peer *target = world_find_peer(w, query->target_peer);
	struct policy_ssh_query direct = *query;
	struct asking who;
	size_t count = 0;

	direct.via_peer = NULL;
	asking_init(&who, w, &direct);
	for (size_t i = 0; target && i < p->ssh_count; i++) {
		const struct model_ssh_rule *rule = &p->ssh[i];

		if (!rule->via.count || fit(rule, target, &who) != FIT_YES ||
		    !has_login(rule, &direct))
			continue;
		for (size_t j = 0; j < w->peer_count && count < max; j++) {
			const struct world_peer *peer = &w->peers[j];
			bool known =
				peer == target || strcmp(peer->id.text, query->caller_peer) == 0;

			for (size_t k = 0; k < count && !known; k++)
				known = strcmp(ret_ids[k], peer->id.text) == 0;
			if (!known && match_list_peer(&rule->via, w, peer))
				ret_ids[count++] = peer->id.text;
		}
	}
	return count;
}

static int add_login(struct buffer *out, size_t start, const char *login)
{
	size_t len = strlen(login);

	for (size_t at = start; at < out->len;) {
		const uint8_t *end = memchr(out->data + at, '\n', out->len - at);
		size_t have = end ? (size_t)(end - (out->data + at)) : out->len - at;

		if (have == len && memcmp(out->data + at, login, len) == 0)
			return 0;
		at += have + 1;
	}
	return buffer_printf(out, "%s\n", login);
}

int policy_ssh_logins(const struct policy *p, const struct policy_world *w,
		      const struct policy_ssh_query *query, struct buffer *out)
{
	const struct world_peer *target = world_find_peer(w, query->target_peer);
	char own[USER_NAME_MAX];
	size_t start = out->len;
	struct asking who;
	int rc = 0;

	asking_init(&who, w, query);
	for (size_t i = 0; target && i < p->ssh_count && !rc; i++) {
		const struct model_ssh_rule *rule = &p->ssh[i];

		if (fit(rule, target, &who) != FIT_YES)
			continue;
		for (size_t j = 0; j < rule->login_count && !rc; j++)
			rc = add_login(out, start, rule->logins[j]);
		if (!rc && rule->same_name && same_name(query->identity, own))
			rc = add_login(out, start, own);
	}
	return rc;
}

/* Could somebody of this selector, in front of the caller, be given the login? */
static bool somebody(const struct model_atom *atom, const struct model_ssh_rule *rule,
		     const struct policy_world *w, const struct policy_ssh_query *query,
		     const struct world_peer *caller)
{
	struct policy_ssh_query as = *query;

	switch (atom->kind) {
	case MODEL_IDENTITY:
		as.identity = atom->text;
		/* No workload sits in front of a browser. */
		return !model_is_workload(atom->text) && has_login(rule, &as);
	case MODEL_ANY:
	case MODEL_PROVIDER_GROUP:
		break;
	case MODEL_SETUP_KEY:
	case MODEL_PEER:
	case MODEL_PREFIX:
	case MODEL_SET:
		if (!caller || !match_atom_peer(atom, w, caller))
			return false;
		break;
	}
	/* Anybody: "=" gives every valid login but root to the person of that name. */
	return has_login(rule, &as) || (rule->same_name && user_name_valid(query->login) &&
					strcmp(query->login, "root") != 0);
}

/* auth: by rules with one of these; 0: by any. */
static bool anyone(const struct policy *p, const struct policy_world *w, const char *caller_peer,
		   const char *target_peer, const char *login, int64_t now_s, uint32_t auth)
{
	const struct world_peer *target = world_find_peer(w, target_peer);
	const struct world_peer *caller = world_find_peer(w, caller_peer);
	const struct policy_ssh_query query = {.login = login};

	for (size_t i = 0; target && login && i < p->ssh_count; i++) {
		const struct model_ssh_rule *rule = &p->ssh[i];

		if (!when_in_force(&rule->when, now_s) || (auth && !(rule->auth & auth)) ||
		    !match_list_peer(&rule->to, w, target) ||
		    !match_networks(&rule->networks, w, caller))
			continue;
		for (size_t j = 0; j < rule->from.count; j++) {
			const struct model_atom *atom = &rule->from.atoms[j];
			const struct model_list one = {.atoms = &rule->from.atoms[j], .count = 1};
			const struct model_list *list = atom->kind == MODEL_SET && !atom->set->host
								? &atom->set->members
								: &one;

			for (size_t k = 0; k < list->count; k++)
				if (somebody(&list->atoms[k], rule, w, &query, caller))
					return true;
		}
	}
	return false;
}

bool policy_ssh_anyone(const struct policy *p, const struct policy_world *w,
		       const char *caller_peer, const char *target_peer, const char *login,
		       int64_t now_s)
{
	return anyone(p, w, caller_peer, target_peer, login, now_s, 0);
}

bool policy_ssh_banner(const struct policy *p, const struct policy_world *w,
		       const char *caller_peer, const char *target_peer, const char *login,
		       int64_t now_s)
{
	return anyone(p, w, caller_peer, target_peer, login, now_s, POLICY_SSH_AUTH_BANNER);
}
