/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs "tests" and "sshTests". A test speaks of every machine its selectors stand for: "accept"
 * means from each to each, "deny" means from none to any. A test that speaks of no pair fails.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/model.h"

struct run {
	const struct policy *policy;
	const struct policy_world *world; /* with symbolic machines */
	int64_t now_s;
	struct error *err;
};

static int run_expect(struct run *run, const struct model_test *test,
		      const struct model_expect *expect)
{
	static const char *const proto_names[] = {[POLICY_PROTO_ICMP] = "icmp",
						  [POLICY_PROTO_TCP] = "tcp",
						  [POLICY_PROTO_UDP] = "udp"};
	const struct policy_world *w = run->world;
	char from[72], to[72], src_name[72], dst_name[72];
	bool any = false;

	jsonc_show(test->from_text, from);
	jsonc_show(expect->text, to);
	for (size_t i = 0; i < w->peer_count; i++) {
		const struct world_peer *src = &w->peers[i];

		if (!match_atom_peer(&test->from, w, src))
			continue;
		for (size_t j = 0; j < w->peer_count; j++) {
			const struct world_peer *dst = &w->peers[j];
			struct error why = {0};

			if (i == j || !match_atom_peer(&expect->to, w, dst))
				continue;
			any = true;
			if (policy_allows(run->policy, w, src->id.text, dst->id.text, test->proto,
					  expect->port, run->now_s, &why) == expect->accept)
				continue;
			return jsonc_error(
				run->err, -EPERM, run->policy->file, expect->pos,
				"test failed: %s %s reach %s by %s (\"%s\" to \"%s\"): %s", from,
				expect->accept ? "may not" : "may", to, proto_names[test->proto],
				jsonc_show(src->name.text, src_name),
				jsonc_show(dst->name.text, dst_name), why.text);
		}
	}
	if (!any)
		return jsonc_error(run->err, -EPERM, run->policy->file, expect->pos,
				   "test failed: there are no two machines for %s and %s", from,
				   to);
	return 0;
}

/* One caller of an ssh test against every target. identity NULL: a machine login. */
static int run_ssh_caller(struct run *run, const struct model_test *test,
			  const struct model_expect *expect, const struct world_peer *caller,
			  const char *identity, bool *any)
{
	const struct policy_world *w = run->world;
	char from[72], host[72], is[72], wanted[72];

	for (size_t i = 0; i < w->peer_count; i++) {
		const struct world_peer *target = &w->peers[i];
		struct policy_ssh_query query = {
			.identity = identity,
			.caller_peer = caller->id.text,
			.target_peer = target->id.text,
			.login = expect->text,
			.auth_time_s = run->now_s,
			.now_s = run->now_s,
		};
		struct policy_ssh_decision decision;

		if (target == caller || !match_atom_peer(&test->to, w, target))
			continue;
		*any = true;
		policy_ssh_check(run->policy, w, &query, &decision);
		if (!identity && !decision.allowed) {
			query.proof = POLICY_SSH_PROOF_KEY; /* the other way without a person */
			policy_ssh_check(run->policy, w, &query, &decision);
		}
		if (decision.allowed == expect->accept &&
		    (!expect->accept || !test->force_command ||
		     strcmp(decision.force_command, test->force_command) == 0))
			continue;
		jsonc_show(test->from_text, from);
		jsonc_show(target->name.text, host);
		if (expect->accept && decision.allowed)
			return jsonc_error(run->err, -EPERM, run->policy->file, expect->pos,
					   "test failed: %s as %s on \"%s\" runs %s%s, not %s", from,
					   expect->text, host,
					   decision.force_command[0] ? "only " : "what they like",
					   jsonc_show(decision.force_command, is),
					   test->force_command[0]
						   ? jsonc_show(test->force_command, wanted)
						   : "what they like");
		if (expect->accept)
			return jsonc_error(run->err, -EPERM, run->policy->file, expect->pos,
					   "test failed: %s may not log in on \"%s\" as %s: %s",
					   from, host, expect->text, decision.reason);
		return jsonc_error(run->err, -EPERM, run->policy->file, expect->pos,
				   "test failed: an ssh rule lets %s log in on \"%s\" as %s", from,
				   host, expect->text);
	}
	return 0;
}

/* People where the selector names people, machines where it names machines. */
static int run_ssh_atom(struct run *run, const struct model_test *test,
			const struct model_expect *expect, const struct model_atom *atom, bool *any)
{
	const struct policy_world *w = run->world;
	bool people = atom->kind == MODEL_IDENTITY || atom->kind == MODEL_PROVIDER_GROUP;
	int rc = 0;

	for (size_t i = 0; i < w->peer_count && !rc; i++) {
		const struct world_peer *caller = &w->peers[i];

		if (!match_atom_peer(atom, w, caller))
			continue;
		for (size_t j = 0; j < caller->identity_count && !rc; j++) {
			/* A machine of this one person only: is it them that the atom means? */
			const char *identity = caller->identities[j].text;
			struct world_peer alone = *caller;

			alone.identities = &caller->identities[j];
			alone.identity_count = 1;
			if (atom->kind == MODEL_ANY || (people && match_atom_peer(atom, w, &alone)))
				rc = run_ssh_caller(run, test, expect, caller, identity, any);
		}
		if (!rc && !people && (atom->kind != MODEL_ANY || caller->identity_count == 0))
			rc = run_ssh_caller(run, test, expect, caller, NULL, any);
	}
	return rc;
}

static int run_ssh_expect(struct run *run, const struct model_test *test,
			  const struct model_expect *expect)
{
	char from[72], to[72];
	bool any = false;
	int rc = 0;

	if (test->from.kind != MODEL_SET || test->from.set->host) {
		rc = run_ssh_atom(run, test, expect, &test->from, &any);
	} else {
		const struct model_list *members = &test->from.set->members;

		for (size_t i = 0; i < members->count && !rc; i++)
			rc = run_ssh_atom(run, test, expect, &members->atoms[i], &any);
	}
	if (!rc && !any)
		return jsonc_error(run->err, -EPERM, run->policy->file, expect->pos,
				   "test failed: there are no two machines for %s and %s",
				   jsonc_show(test->from_text, from),
				   jsonc_show(test->to_text, to));
	return rc;
}

int policy_run_tests(const struct policy *p, const struct policy_world *w, int64_t now_s,
		     struct error *err)
{
	struct run run = {.policy = p, .now_s = now_s, .err = err};
	struct policy_world *world;
	int rc = world_symbolic(p, w, &world);

	if (rc)
		return error_set(err, rc, "%s: not enough memory to run the tests", p->file);
	run.world = world;
	for (size_t i = 0; i < p->test_count && !rc; i++)
		for (size_t j = 0; j < p->tests[i].expect_count && !rc; j++) {
			run.now_s = p->tests[i].at_s ? p->tests[i].at_s : now_s;
			rc = run_expect(&run, &p->tests[i], &p->tests[i].expects[j]);
		}
	for (size_t i = 0; i < p->ssh_test_count && !rc; i++)
		for (size_t j = 0; j < p->ssh_tests[i].expect_count && !rc; j++) {
			run.now_s = p->ssh_tests[i].at_s ? p->ssh_tests[i].at_s : now_s;
			rc = run_ssh_expect(&run, &p->ssh_tests[i], &p->ssh_tests[i].expects[j]);
		}
	policy_world_free(world);
	return rc;
}
