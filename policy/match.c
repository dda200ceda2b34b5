/* SPDX-License-Identifier: Apache-2.0
 *
 * The slow, obvious evaluator of rules: default deny, deny wins, N4. policy_compile must agree with
 * it on everything (tests/unit/policy/test_compile.c).
 */
#include <errno.h>
#include <string.h>

#include "policy/model.h"

static bool name_is(const struct world_name *name, const struct model_atom *atom)
{
	return name->text && name->hash == atom->hash && strcmp(name->text, atom->text) == 0;
}

static bool identity_in_group(const struct policy_world *w, const char *identity,
			      const struct model_atom *group)
{
	const struct world_identity *person = world_find_identity(w, identity);

	for (size_t i = 0; person && i < person->group_count; i++)
		if (name_is(&person->groups[i], group))
			return true;
	return false;
}

bool match_atom_peer(const struct model_atom *atom, const struct policy_world *w,
		     const struct world_peer *peer)
{
	switch (atom->kind) {
	case MODEL_ANY:
		return true;
	case MODEL_IDENTITY:
		for (size_t i = 0; i < peer->identity_count; i++)
			if (name_is(&peer->identities[i], atom))
				return true;
		return false;
	case MODEL_PROVIDER_GROUP:
		for (size_t i = 0; i < peer->identity_count; i++)
			if (identity_in_group(w, peer->identities[i].text, atom))
				return true;
		return false;
	case MODEL_SETUP_KEY:
		return name_is(&peer->setup_key, atom);
	case MODEL_PEER:
		return name_is(&peer->name, atom);
	case MODEL_PREFIX:
		return (peer->v4.family && ip_prefix_contains(&atom->prefix, &peer->v4)) ||
		       (peer->v6.family && ip_prefix_contains(&atom->prefix, &peer->v6));
	case MODEL_SET:
		for (size_t i = 0; i < atom->set->members.count; i++)
			if (match_atom_peer(&atom->set->members.atoms[i], w, peer))
				return true; /* one level: members are never sets */
		return false;
	}
	return false;
}

bool match_list_peer(const struct model_list *list, const struct policy_world *w,
		     const struct world_peer *peer)
{
	for (size_t i = 0; i < list->count; i++)
		if (match_atom_peer(&list->atoms[i], w, peer))
			return true;
	return false;
}

bool match_networks(const struct model_list *networks, const struct policy_world *w,
		    const struct world_peer *peer)
{
	return networks->count == 0 || (peer && match_list_peer(networks, w, peer));
}

bool match_list_memo(const struct model_list *list, const struct policy_world *w,
		     const struct world_peer *peer, signed char *memo)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct model_atom *atom = &list->atoms[i];
		signed char *known = atom->kind == MODEL_SET ? &memo[atom->set->index] : NULL;

		if (known && *known < 0)
			*known = (signed char)match_atom_peer(atom, w, peer);
		if (known ? *known > 0 : match_atom_peer(atom, w, peer))
			return true;
	}
	return false;
}

/* Does the rule speak of this protocol and port? */
static bool covers(const struct model_rule *rule, uint8_t proto, uint16_t port)
{
	bool has_ports = proto == POLICY_PROTO_TCP || proto == POLICY_PROTO_UDP;

	if (proto == MODEL_PROTO_ICMPV6)
		proto = POLICY_PROTO_ICMP;
	if (rule->proto != POLICY_PROTO_ANY && rule->proto != proto)
		return false;
	return has_ports ? model_in_ports(&rule->ports, port) : rule->ports.count == 0;
}

static const struct model_rule *find_rule(const struct policy *p, const struct policy_world *w,
					  const struct world_peer *src,
					  const struct world_peer *dst, uint8_t proto,
					  uint16_t port, int64_t now_s, bool deny)
{
	for (size_t i = 0; i < p->rule_count; i++) {
		const struct model_rule *rule = &p->rules[i];

		if (rule->deny == deny && when_in_force(&rule->when, now_s) &&
		    covers(rule, proto, port) && match_list_peer(&rule->from, w, src) &&
		    match_networks(&rule->networks, w, src) &&
		    match_list_peer(&rule->to, w, dst))
			return rule;
	}
	return NULL;
}

static void because(const struct policy *p, const struct model_rule *rule, const char *verb,
		    struct error *why)
{
	if (!why)
		return;
	*why = (struct error){0};
	if (rule)
		(void)error_set(why, 0, "%s by the rule at %s:%u:%u", verb, p->file, rule->pos.line,
				rule->pos.col);
	else
		(void)error_set(why, 0, "no rule allows it");
}

static bool judge(const struct policy *p, const struct policy_world *w,
		  const struct world_peer *src, const struct world_peer *dst, uint8_t proto,
		  uint16_t port, int64_t now_s, struct error *why)
{
	const struct model_rule *rule = find_rule(p, w, src, dst, proto, port, now_s, true);

	if (rule) {
		because(p, rule, "denied", why);
		return false;
	}
	rule = find_rule(p, w, src, dst, proto, port, now_s, false);
	because(p, rule, "allowed", why);
	return rule != NULL;
}

bool policy_allows(const struct policy *p, const struct policy_world *w, const char *src_peer,
		   const char *dst_peer, uint8_t proto, uint16_t port, int64_t now_s,
		   struct error *why)
{
	const struct world_peer *src = world_find_peer(w, src_peer);
	const struct world_peer *dst = world_find_peer(w, dst_peer);

	if (!src || !dst || src == dst) {
		if (why) {
			*why = (struct error){0};
			(void)error_set(why, 0,
					src && dst ? "a machine is no peer of itself"
						   : "there is no such peer");
		}
		return false;
	}
	if (proto == POLICY_PROTO_TCP && port == MODEL_SSH_INNER_PORT && dst->ssh_enabled &&
	    dst->ssh_advertised) {
		/* N4: 22022 is the same door as 22, whatever other rules say of it; deny still
		 * wins. */
		const struct model_rule *deny = find_rule(p, w, src, dst, proto, port, now_s, true);

		if (deny) {
			because(p, deny, "denied", why);
			return false;
		}
		port = MODEL_SSH_PORT;
	}
	return judge(p, w, src, dst, proto, port, now_s, why);
}

bool policy_opens_ssh(const struct policy *p, const struct policy_world *w, const char *src_peer,
		      const char *dst_peer, int64_t now_s)
{
	const struct world_peer *dst = world_find_peer(w, dst_peer);

	return dst && dst->ssh_enabled && dst->ssh_advertised &&
	       policy_allows(p, w, src_peer, dst_peer, POLICY_PROTO_TCP, MODEL_SSH_INNER_PORT,
			     now_s, NULL);
}

bool policy_concerns(const struct policy *p, const struct policy_world *w, const char *peer_a,
		     const char *peer_b)
{
	const struct world_peer *a = world_find_peer(w, peer_a);
	const struct world_peer *b = world_find_peer(w, peer_b);

	if (!a || !b || a == b)
		return false;
	for (size_t i = 0; i < p->rule_count; i++) {
		const struct model_rule *rule = &p->rules[i];

		if (!rule->deny &&
		    ((match_list_peer(&rule->from, w, a) && match_list_peer(&rule->to, w, b)) ||
		     (match_list_peer(&rule->from, w, b) && match_list_peer(&rule->to, w, a))))
			return true;
	}
	for (size_t i = 0; i < p->ssh_count; i++) {
		const struct model_ssh_rule *rule = &p->ssh[i];

		if ((match_list_peer(&rule->from, w, a) && match_list_peer(&rule->to, w, b)) ||
		    (match_list_peer(&rule->from, w, b) && match_list_peer(&rule->to, w, a)) ||
		    (match_list_peer(&rule->via, w, a) && match_list_peer(&rule->to, w, b)) ||
		    (match_list_peer(&rule->via, w, b) && match_list_peer(&rule->to, w, a)))
			return true;
	}
	return false;
}

int64_t policy_next_change(const struct policy *p, int64_t now_s)
{
	int64_t next = 0;

	for (size_t i = 0; i < p->rule_count; i++) {
		int64_t end = when_next_change(&p->rules[i].when, now_s);

		if (end > now_s && (next == 0 || end < next))
			next = end;
	}
	for (size_t i = 0; i < p->ssh_count; i++) {
		int64_t end = when_next_change(&p->ssh[i].when, now_s);

		if (end > now_s && (next == 0 || end < next))
			next = end;
	}
	return next;
}
