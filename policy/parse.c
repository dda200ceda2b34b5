/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy file of design section 7 (POLICY.md): top level, groups, hosts and rules. Names are
 * collected before anything refers to them, so the order of keys does not matter. Refuses what it
 * does not know, and what this version does not enforce.
 */
#include "policy/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- groups and hosts ---- */

static bool name_valid(const char *name)
{
	size_t len = strlen(name);
	struct ip_prefix prefix;

	if (len == 0 || len > MODEL_NAME_MAX || ip_prefix_parse(name, &prefix) == 0)
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
	       len;
}

struct named {
	const struct jsonc_node *node;
	bool host;
};

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->node->key, y->node->key);

	return order ? order : (int)x->host - (int)y->host;
}

static size_t collect_names(const struct jsonc_node *object, bool host, struct named *out)
{
	size_t n = 0;

	for (const struct jsonc_node *m = object ? object->first : NULL; m; m = m->next)
		out[n++] = (struct named){.node = m, .host = host};
	return n;
}

static int fill_sets(struct parse *ps, const struct named *names, size_t count)
{
	struct policy *p = ps->policy;
	char shown[72];

	p->sets = policy_arena_alloc(&p->arena, count, sizeof(*p->sets));
	if (!p->sets)
		return parse_nomem(ps);
	for (size_t i = 0; i < count; i++) {
		const struct jsonc_node *node = names[i].node;

		if (!name_valid(node->key))
			return parse_fail(
				ps, node->key_pos,
				"\"%s\" cannot be a name; use up to %d letters, digits, dots, "
				"dashes and underscores",
				jsonc_show(node->key, shown), MODEL_NAME_MAX);
		if (i && strcmp(names[i - 1].node->key, node->key) == 0)
			return parse_fail(
				ps, node->key_pos,
				"\"%s\" is a group (at %u:%u) and a host; rename one of them",
				jsonc_show(node->key, shown), names[i - 1].node->key_pos.line,
				names[i - 1].node->key_pos.col);
		p->sets[i] = (struct model_set){
			.name = node->key, .host = names[i].host, .index = i, .pos = node->key_pos};
	}
	p->set_count = count;
	for (size_t i = 0; i < count; i++) {
		struct model_place place = {.member = true, .host = names[i].host};
		int rc = parse_list(ps, names[i].node, place, &p->sets[i].members);

		if (rc)
			return rc;
	}
	return 0;
}

static int parse_sets(struct parse *ps, const struct jsonc_node *groups,
		      const struct jsonc_node *hosts)
{
	int rc = groups ? parse_expect(ps, groups, JSONC_OBJECT, "\"groups\"") : 0;

	if (!rc && hosts)
		rc = parse_expect(ps, hosts, JSONC_OBJECT, "\"hosts\"");
	if (rc)
		return rc;
	size_t count = (groups ? groups->count : 0) + (hosts ? hosts->count : 0);
	struct named *names = calloc(count + 1, sizeof(*names));
	if (!names)
		return parse_nomem(ps);
	size_t n = collect_names(groups, false, names);
	(void)collect_names(hosts, true, names + n);
	qsort(names, count, sizeof(*names), compare_named);
	rc = fill_sets(ps, names, count);
	free(names);
	return rc;
}

/* ---- rules ---- */

static int read_action(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_rule *rule = out;
	char shown[72];
	int rc = parse_expect(ps, node, JSONC_STRING, "\"action\"");

	if (rc)
		return rc;
	rule->deny = strcmp(node->text, "deny") == 0;
	if (!rule->deny && strcmp(node->text, "accept") != 0)
		return parse_fail(ps, node->pos, "\"%s\" is no action; write accept or deny",
				  jsonc_show(node->text, shown));
	return 0;
}

static int read_from(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_list(ps, node, (struct model_place){0}, &((struct model_rule *)out)->from);
}

static int read_to(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_list(ps, node, (struct model_place){0}, &((struct model_rule *)out)->to);
}

static int read_proto(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_proto(ps, node, &((struct model_rule *)out)->proto);
}

static int read_ports(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_ports(ps, node, &((struct model_rule *)out)->ports);
}

static int read_when(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_rule *rule = out;

	return parse_when(ps, node, &rule->when, &rule->networks);
}

static int parse_rule(struct parse *ps, const struct jsonc_node *node, struct model_rule *rule)
{
	static const struct parse_key keys[] = {
		{.name = "action", .read = read_action},
		{.name = "from", .read = read_from},
		{.name = "to", .read = read_to},
		{.name = "proto", .read = read_proto},
		{.name = "ports", .read = read_ports},
		{.name = "when", .read = read_when},
		{.name = NULL},
	};
	int rc = parse_object(ps, node, keys, "a rule", rule);

	rule->pos = node->pos;
	if (!rc)
		rc = parse_missing(ps, node, "from", "rule");
	if (!rc)
		rc = parse_missing(ps, node, "to", "rule");
	if (!rc && rule->proto == POLICY_PROTO_ICMP && rule->ports.count)
		return parse_fail(ps, node->pos,
				  "icmp has no ports; remove \"ports\" or change \"proto\"");
	return rc;
}

static int parse_rules(struct parse *ps, const struct jsonc_node *array)
{
	struct policy *p = ps->policy;
	int rc = parse_expect(ps, array, JSONC_ARRAY, "\"rules\"");

	if (rc)
		return rc;
	p->rules = policy_arena_alloc(&p->arena, array->count, sizeof(*p->rules));
	if (!p->rules)
		return parse_nomem(ps);
	for (const struct jsonc_node *node = array->first; node && !rc; node = node->next)
		rc = parse_rule(ps, node, &p->rules[p->rule_count++]);
	return rc;
}

/* ---- top level ---- */

struct sections {
	const struct jsonc_node *groups, *hosts, *workloads, *rules, *ssh, *tests, *ssh_tests;
};

#define SECTION(field)                                                                             \
	static int section_##field(struct parse *ps, const struct jsonc_node *node, void *out)     \
	{                                                                                          \
		(void)ps;                                                                          \
		((struct sections *)out)->field = node;                                            \
		return 0;                                                                          \
	}

SECTION(groups)
SECTION(hosts)
SECTION(workloads)
SECTION(rules)
SECTION(ssh)
SECTION(tests)
SECTION(ssh_tests)

static int parse_top(struct parse *ps, const struct jsonc_node *root)
{
	static const struct parse_key keys[] = {
		{.name = "groups", .read = section_groups},
		{.name = "hosts", .read = section_hosts},
		{.name = "workloads", .read = section_workloads},
		{.name = "rules", .read = section_rules},
		{.name = "ssh", .read = section_ssh},
		{.name = "tests", .read = section_tests},
		{.name = "sshTests", .read = section_ssh_tests},
		{.name = NULL},
	};
	struct sections s = {0};
	int rc = parse_object(ps, root, keys, "the policy", &s);

	if (!rc && s.workloads)
		rc = parse_workloads(ps, s.workloads);
	if (!rc)
		rc = parse_sets(ps, s.groups, s.hosts);
	if (!rc && s.rules)
		rc = parse_rules(ps, s.rules);
	if (!rc && s.ssh)
		rc = parse_ssh_rules(ps, s.ssh);
	if (!rc && s.tests)
		rc = parse_tests(ps, s.tests);
	if (!rc && s.ssh_tests)
		rc = parse_ssh_tests(ps, s.ssh_tests);
	return rc;
}

int policy_parse(const char *file, const char *text, size_t len, struct policy **ret_policy,
		 struct error *err)
{
	struct policy *p;
	struct jsonc_node *root;
	int rc;

	if (len > POLICY_MAX_TEXT)
		return error_set(err, -EMSGSIZE, "%s:1:1: the policy is longer than %u bytes", file,
				 POLICY_MAX_TEXT);
	p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(err, -ENOMEM, "%s: not enough memory to read the policy", file);
	p->file = policy_arena_strndup(&p->arena, file, strnlen(file, 200));
	if (!p->file)
		rc = error_set(err, -ENOMEM, "%s: not enough memory to read the policy", file);
	else
		rc = jsonc_parse(&p->arena, p->file, text, len, &root, err);
	if (!rc) {
		struct parse ps = {.policy = p, .err = err};

		rc = parse_top(&ps, root);
	}
	if (rc) {
		policy_free(p);
		return rc;
	}
	*ret_policy = p;
	return 0;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	policy_arena_done(&p->arena);
	free(p);
}
