/* SPDX-License-Identifier: Apache-2.0
 *
 * `warren policy explain`: what the evaluator says about a pair, and which rules made it say so.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/model.h"

#define MAX_PAIRS 20

struct question {
	const struct policy *policy;
	const struct policy_world *world;
	const char *from, *to;
	struct model_atom from_atom, to_atom;
	const struct world_peer *from_peer, *to_peer; /* named outright; NULL: the atom decides */
	uint8_t proto;
	uint16_t port;
	int64_t now_s;
	struct buffer *out;
};

static int put_ports(struct buffer *out, const struct model_ports *ports)
{
	int rc = 0;

	for (size_t i = 0; i < ports->count && !rc; i++) {
		rc = buffer_printf(out, "%s%u", i ? "," : " ", ports->intervals[i].first);
		if (!rc && ports->intervals[i].last != ports->intervals[i].first)
			rc = buffer_printf(out, "-%u", ports->intervals[i].last);
	}
	return rc;
}

static const char *proto_name(uint8_t proto)
{
	switch (proto) {
	case POLICY_PROTO_TCP:
		return "tcp";
	case POLICY_PROTO_UDP:
		return "udp";
	case POLICY_PROTO_ICMP:
		return "icmp";
	default:
		return "any protocol";
	}
}

/* "    policy.json:5:5 accept from ops to web, tcp 22,80" for each rule about the pair. */
static int put_rules(const struct question *q, const struct world_peer *src,
		     const struct world_peer *dst)
{
	const struct policy *p = q->policy;
	int rc = 0;

	for (size_t i = 0; i < p->rule_count && !rc; i++) {
		const struct model_rule *rule = &p->rules[i];

		if (!match_list_peer(&rule->from, q->world, src) ||
		    !match_list_peer(&rule->to, q->world, dst))
			continue;
		rc = buffer_printf(q->out, "    %s:%u:%u %s from ", p->file, rule->pos.line,
				   rule->pos.col, rule->deny ? "deny" : "accept");
		if (!rc)
			rc = model_list_text(&rule->from, q->out);
		if (!rc)
			rc = buffer_printf(q->out, " to ");
		if (!rc)
			rc = model_list_text(&rule->to, q->out);
		if (!rc)
			rc = buffer_printf(q->out, ", %s", proto_name(rule->proto));
		if (!rc)
			rc = put_ports(q->out, &rule->ports);
		if (!rc)
			rc = buffer_printf(
				q->out, "%s\n",
				!match_networks(&rule->networks, q->world, src)
					? " (not from this address)"
				: when_in_force(&rule->when, q->now_s) ? ""
				: rule->when.not_after_s && q->now_s >= rule->when.not_after_s
					? " (expired)"
					: " (not at this hour)");
	}
	return rc;
}

/* " NAME" for each line of logins, with what confines it. */
static int put_logins(const struct question *q, struct policy_ssh_query *query, char *logins)
{
	struct policy_ssh_decision decision;
	char *rest = NULL;
	int rc = 0;

	for (char *login = strtok_r(logins, "\n", &rest); login && !rc;
	     login = strtok_r(NULL, "\n", &rest)) {
		query->login = login;
		policy_ssh_check(q->policy, q->world, query, &decision);
		rc = buffer_printf(q->out, " %s%s", login,
				   decision.files_only ? " (files only)" : "");
		if (!rc && decision.force_command[0])
			rc = buffer_printf(q->out, " (only the command: %s)",
					   decision.force_command);
	}
	return rc;
}

static int put_ssh(const struct question *q, const struct world_peer *src,
		   const struct world_peer *dst, const char *identity,
		   enum policy_ssh_proof proof)
{
	struct policy_ssh_query query = {
		.identity = identity,
		.proof = proof,
		.caller_peer = src->id.text,
		.target_peer = dst->id.text,
		.auth_time_s = q->now_s,
		.now_s = q->now_s,
	};
	struct buffer logins;
	char who[72];
	int rc;

	buffer_init(&logins, POLICY_MAX_TEXT);
	rc = policy_ssh_logins(q->policy, q->world, &query, &logins);
	if (!rc)
		rc = buffer_cstring(&logins) ? 0 : -ENOMEM;
	if (!rc && proof == POLICY_SSH_PROOF_KEY && logins.len == 0)
		goto out;
	if (!rc && proof == POLICY_SSH_PROOF_KEY)
		rc = buffer_printf(q->out, "    ssh logins by a key of authorized_keys:");
	else if (!rc)
		rc = buffer_printf(q->out, "    ssh logins of %s:%s",
				   identity ? jsonc_show(identity, who) : "the machine itself",
				   logins.len ? "" : " none");
	if (!rc)
		rc = put_logins(q, &query, (char *)logins.data);
	if (!rc)
		rc = buffer_append(q->out, "\n", 1);
out:
	buffer_done(&logins);
	return rc;
}

static int put_pair(const struct question *q, const struct world_peer *src,
		    const struct world_peer *dst)
{
	char src_name[72], dst_name[72];
	struct error why = {0};
	int rc;

	jsonc_show(src->name.text, src_name);
	jsonc_show(dst->name.text, dst_name);
	if (q->port || q->proto == POLICY_PROTO_ICMP) {
		bool yes = policy_allows(q->policy, q->world, src->id.text, dst->id.text, q->proto,
					 q->port, q->now_s, &why);

		/* "allowed by the rule at …", "denied by …", or only "no rule allows it". */
		rc = buffer_printf(q->out, "  %s -> %s: %s%s\n", src_name, dst_name,
				   !yes && strncmp(why.text, "no ", 3) == 0 ? "denied: " : "",
				   why.text);
	} else {
		rc = buffer_printf(q->out, "  %s -> %s: %s\n", src_name, dst_name,
				   policy_concerns(q->policy, q->world, src->id.text, dst->id.text)
					   ? "rules about them:"
					   : "denied: no rule speaks of them");
	}
	if (!rc)
		rc = put_rules(q, src, dst);
	if (!rc && dst->ssh_enabled && dst->ssh_advertised)
		rc = buffer_printf(
			q->out, "    embedded SSH server of %s: %s\n", dst_name,
			policy_opens_ssh(q->policy, q->world, src->id.text, dst->id.text, q->now_s)
				? "reachable (tcp 22 and 22022)"
				: "not reachable (needs tcp 22)");
	if (!rc && q->from_atom.kind == MODEL_IDENTITY && !q->from_peer)
		return put_ssh(q, src, dst, q->from_atom.text, POLICY_SSH_PROOF_USUAL);
	for (size_t i = 0; i < src->identity_count && !rc; i++)
		rc = put_ssh(q, src, dst, src->identities[i].text, POLICY_SSH_PROOF_USUAL);
	if (!rc)
		rc = put_ssh(q, src, dst, NULL, POLICY_SSH_PROOF_USUAL);
	if (!rc)
		rc = put_ssh(q, src, dst, NULL, POLICY_SSH_PROOF_KEY);
	return rc;
}

static bool is_side(const struct question *q, const struct world_peer *named,
		    const struct model_atom *atom, const struct world_peer *peer)
{
	return named ? named == peer : match_atom_peer(atom, q->world, peer);
}

static int put_pairs(const struct question *q, struct error *err)
{
	const struct policy_world *w = q->world;
	size_t pairs = 0;
	int rc = 0;

	for (size_t i = 0; i < w->peer_count && !rc; i++) {
		if (!is_side(q, q->from_peer, &q->from_atom, &w->peers[i]))
			continue;
		for (size_t j = 0; j < w->peer_count && !rc; j++) {
			if (i == j || !is_side(q, q->to_peer, &q->to_atom, &w->peers[j]))
				continue;
			if (++pairs <= MAX_PAIRS)
				rc = put_pair(q, &w->peers[i], &w->peers[j]);
		}
	}
	if (!rc && pairs > MAX_PAIRS)
		rc = buffer_printf(q->out, "  and %zu more pairs\n", pairs - MAX_PAIRS);
	if (rc)
		return error_set(err, rc, "the explanation does not fit into memory");
	if (!pairs)
		return error_set(err, -ENOENT, "there are no two machines for %s and %s", q->from,
				 q->to);
	return 0;
}

/* A machine's id or name, else a selector of the policy. */
static int resolve(struct policy *scratch, const struct policy_world *w, const char *text,
		   const struct world_peer **ret_peer, struct model_atom *ret_atom,
		   struct error *err)
{
	struct error local = {0};
	char lower[256];
	size_t n = 0;

	for (; text[n] && n < sizeof(lower) - 1; n++)
		lower[n] =
			text[n] >= 'A' && text[n] <= 'Z' ? (char)(text[n] + ('a' - 'A')) : text[n];
	lower[n] = '\0';
	*ret_peer = world_find_peer(w, text);
	if (!*ret_peer)
		*ret_peer = world_find_peer_name(w, lower);
	if (*ret_peer)
		return 0;
	if (model_parse_atom(scratch, text, (struct model_place){0}, ret_atom, &local))
		return error_set(err, -ENOENT, "%s (and there is no peer of that name)",
				 local.text);
	return 0;
}

int policy_explain(const struct policy *p, const struct policy_world *w, const char *from,
		   const char *to, uint8_t proto, uint16_t port, int64_t now_s, struct buffer *out,
		   struct error *err)
{
	/* Borrows the sets; what parsing a selector allocates goes with the scratch arena. */
	struct policy scratch = {.file = p->file, .sets = p->sets, .set_count = p->set_count};
	struct question q = {.policy = p,
			     .from = from,
			     .to = to,
			     .proto = proto,
			     .port = port,
			     .now_s = now_s,
			     .out = out};
	struct policy_world *made = NULL;
	int rc = 0;

	if (!w)
		rc = world_symbolic(p, NULL, &made);
	if (rc)
		return error_set(err, rc, "not enough memory to explain");
	q.world = w ? w : made;
	rc = resolve(&scratch, q.world, from, &q.from_peer, &q.from_atom, err);
	if (!rc)
		rc = resolve(&scratch, q.world, to, &q.to_peer, &q.to_atom, err);
	if (!rc && made) {
		/* Adding machines may move the array: names are looked up again. */
		const char *from_id = q.from_peer ? q.from_peer->id.text : NULL;
		const char *to_id = q.to_peer ? q.to_peer->id.text : NULL;

		if (!from_id)
			rc = world_add_symbolic(made, 0, &q.from_atom);
		if (!rc && !to_id)
			rc = world_add_symbolic(made, 0, &q.to_atom);
		q.from_peer = from_id ? world_find_peer(made, from_id) : NULL;
		q.to_peer = to_id ? world_find_peer(made, to_id) : NULL;
		if (rc)
			rc = error_set(err, rc, "not enough memory to explain");
	}
	if (!rc && port)
		rc = buffer_printf(out, "%s -> %s, %s %u:\n", from, to, proto_name(proto), port);
	else if (!rc)
		rc = buffer_printf(out, "%s -> %s, %s:\n", from, to, proto_name(proto));
	if (!rc)
		rc = put_pairs(&q, err);
	policy_arena_done(&scratch.arena);
	policy_world_free(made);
	return rc;
}
