/* SPDX-License-Identifier: Apache-2.0
 *
 * "workloads": which tokens of machines without people are whom (POLICY.md). A workload is an
 * issuer and claims that must all fit; a token that fits none, or several, is nobody.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/parse.h"

#define MAX_CLAIMS   16
#define MAX_PATTERNS 64
#define MAX_VALUES   64

/* ---- reading ---- */

static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= MODEL_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static int read_issuer(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_workload *w = out;
	char shown[72];
	int rc = parse_expect(ps, node, JSONC_STRING, "\"issuer\"");

	if (rc)
		return rc;
	if (strncmp(node->text, "https://", 8) != 0 || !node->text[8])
		return parse_fail(ps, node->pos,
				  "\"%s\" is no issuer; write its https:// address exactly as its "
				  "tokens do",
				  jsonc_show(node->text, shown));
	w->issuer = node->text;
	return 0;
}

static int read_pattern(struct parse *ps, const struct jsonc_node *node, const char **out)
{
	int rc = parse_expect(ps, node, JSONC_STRING, "what a claim must be");

	if (rc)
		return rc;
	if (node->text[strspn(node->text, "*")] == '\0')
		return parse_fail(ps, node->pos,
				  "this fits everybody; write what the claim must be, with * for "
				  "parts of it");
	*out = node->text;
	return 0;
}

static int read_claim(struct parse *ps, const struct jsonc_node *node, struct model_claim *claim)
{
	bool list = node->type == JSONC_ARRAY;
	size_t count = list ? node->count : 1;
	int rc = 0;

	if (!node->key[0] || count == 0 || count > MAX_PATTERNS)
		return parse_fail(ps, node->pos, "write one value, or a list of at most %d",
				  MAX_PATTERNS);
	claim->name = node->key;
	claim->patterns = policy_arena_alloc(&ps->policy->arena, count, sizeof(*claim->patterns));
	if (!claim->patterns)
		return parse_nomem(ps);
	if (!list)
		rc = read_pattern(ps, node, &claim->patterns[claim->pattern_count++]);
	for (const struct jsonc_node *n = list ? node->first : NULL; n && !rc; n = n->next)
		rc = read_pattern(ps, n, &claim->patterns[claim->pattern_count++]);
	return rc;
}

static int read_claims(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_workload *w = out;
	int rc = parse_expect(ps, node, JSONC_OBJECT, "\"claims\"");

	if (rc)
		return rc;
	if (node->count == 0 || node->count > MAX_CLAIMS)
		return parse_fail(ps, node->pos,
				  "\"claims\" is empty or has more than %d; name at least one, or "
				  "every token of the issuer would do",
				  MAX_CLAIMS);
	w->claims = policy_arena_alloc(&ps->policy->arena, node->count, sizeof(*w->claims));
	if (!w->claims)
		return parse_nomem(ps);
	for (const struct jsonc_node *n = node->first; n && !rc; n = n->next)
		rc = read_claim(ps, n, &w->claims[w->claim_count++]);
	return rc;
}

static int read_enroll(struct parse *ps, const struct jsonc_node *node, void *out)
{
	int rc = parse_expect(ps, node, JSONC_BOOL, "\"enroll\"");

	if (!rc)
		((struct model_workload *)out)->enroll = node->integer != 0;
	return rc;
}

static int parse_workload(struct parse *ps, const struct jsonc_node *node, struct model_workload *w)
{
	static const struct parse_key keys[] = {
		{.name = "issuer", .read = read_issuer},
		{.name = "claims", .read = read_claims},
		{.name = "enroll", .read = read_enroll},
		{.name = NULL},
	};
	char shown[72];
	int rc;

	if (!name_valid(node->key))
		return parse_fail(ps, node->key_pos,
				  "\"%s\" cannot be a workload's name; use up to %d lower-case "
				  "letters, digits, dots, dashes and underscores",
				  jsonc_show(node->key, shown), MODEL_NAME_MAX);
	w->name = node->key;
	rc = parse_object(ps, node, keys, "a workload", w);
	/* Nothing at all: a name that no token has, as machines get it in their part. */
	if (!rc && node->count && !w->issuer)
		rc = parse_missing(ps, node, "issuer", "workload");
	if (!rc && node->count && !w->claim_count)
		rc = parse_missing(ps, node, "claims", "workload");
	return rc;
}

int parse_workloads(struct parse *ps, const struct jsonc_node *object)
{
	struct policy *p = ps->policy;
	int rc = parse_expect(ps, object, JSONC_OBJECT, "\"workloads\"");

	if (rc)
		return rc;
	p->workloads = policy_arena_alloc(&p->arena, object->count, sizeof(*p->workloads));
	if (!p->workloads)
		return parse_nomem(ps);
	for (const struct jsonc_node *node = object->first; node && !rc; node = node->next)
		rc = parse_workload(ps, node, &p->workloads[p->workload_count++]);
	return rc;
}

const struct model_workload *model_find_workload(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->workload_count; i++)
		if (strcmp(p->workloads[i].name, name) == 0)
			return &p->workloads[i];
	return NULL;
}

/* ---- judging ---- */

/* "*" is any run without a slash, "**" any run. Backtracks to the last of each only, so that time
 * is bounded by the product of the lengths. */
bool policy_workload_glob(const char *pattern, const char *text)
{
	const char *star = NULL, *star_text = NULL, *stars = NULL, *stars_text = NULL;

	for (;;) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			while (*pattern == '*')
				pattern++;
			stars = pattern;
			stars_text = text;
			star = NULL;
			continue;
		}
		if (*pattern == '*') {
			star = ++pattern;
			star_text = text;
			continue;
		}
		if (*text && *pattern == *text) {
			pattern++;
			text++;
			continue;
		}
		if (!*text && !*pattern)
			return true;
		if (star && *star_text && *star_text != '/') {
			pattern = star;
			text = ++star_text;
		} else if (stars && *stars_text) {
			pattern = stars;
			text = ++stars_text;
			star = NULL;
		} else {
			return false;
		}
	}
}

static bool claim_fits(const struct model_claim *claim, const struct policy_claims *claims)
{
	for (size_t v = 0; v < MAX_VALUES; v++) {
		const char *value = claims->value(claims->ctx, claim->name, v);

		if (!value)
			return false;
		for (size_t i = 0; i < claim->pattern_count; i++)
			if (policy_workload_glob(claim->patterns[i], value))
				return true;
	}
	return false;
}

static bool fits(const struct model_workload *w, const char *issuer,
		 const struct policy_claims *claims)
{
	if (!w->issuer || w->claim_count == 0 || strcmp(w->issuer, issuer) != 0)
		return false;
	for (size_t i = 0; i < w->claim_count; i++)
		if (!claim_fits(&w->claims[i], claims))
			return false;
	return true;
}

int policy_workload(const struct policy *p, const char *issuer, const struct policy_claims *claims,
		    const char **ret_name, bool *ret_enroll, struct error *err)
{
	const struct model_workload *found = NULL;

	for (size_t i = 0; i < p->workload_count; i++) {
		if (!fits(&p->workloads[i], issuer, claims))
			continue;
		if (found)
			return error_set(err, -ENOTUNIQ,
					 "the token fits the workloads \"%s\" and \"%s\" of the "
					 "policy: their claims must not overlap",
					 found->name, p->workloads[i].name);
		found = &p->workloads[i];
	}
	if (!found)
		return error_set(err, -ENOENT, "no workload of the policy fits the token");
	*ret_name = found->name;
	*ret_enroll = found->enroll;
	return 0;
}
