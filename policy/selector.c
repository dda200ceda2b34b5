/* SPDX-License-Identifier: Apache-2.0
 *
 * Selectors: the words that stand for people and machines (POLICY.md, "Selectors"). Turns text into
 * atoms and back, and suggests what a misspelt name may have meant.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/model.h"

static const struct {
	const char *prefix;
	enum model_kind kind;
	bool lower;
} kinds[] = {
	{"peer:", MODEL_PEER, true},
	{"setup-key:", MODEL_SETUP_KEY, false},
	{"group:", MODEL_PROVIDER_GROUP, false},
	{"user:", MODEL_IDENTITY, true},
};

#define NEAR_MAX 40

/* Edits (insert, delete, replace, swap neighbours) between short words, without regard to case; a
 * big number for long ones. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][NEAR_MAX + 1];
	size_t len_a = strlen(a), len_b = strlen(b);

	if (len_a > NEAR_MAX || len_b > NEAR_MAX)
		return 1000;
	for (unsigned j = 0; j <= len_b; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= len_a; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= len_b; j++) {
			int x = a[i - 1] | 0x20, y = b[j - 1] | 0x20;
			unsigned best = above[j - 1] + (x != y);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && x == (b[j - 2] | 0x20) && (a[i - 2] | 0x20) == y &&
			    above2[j - 2] + 1 < best)
				best = above2[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[len_a % 3][len_b];
}

const char *model_near(const char *text, const char *const *candidates, size_t count)
{
	/* A word of three letters may be off by one, longer ones by two. */
	unsigned best = strlen(text) <= 3 ? 2 : 3;
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		unsigned d = distance(text, candidates[i]);

		if (d < best && d < strlen(candidates[i])) {
			best = d;
			found = candidates[i];
		}
	}
	return found;
}

const struct model_set *model_find_set(const struct policy *p, const char *name)
{
	size_t low = 0, high = p->set_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(name, p->sets[mid].name);

		if (order == 0)
			return &p->sets[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

static int keep(struct policy *p, const char *text, bool lower, struct model_atom *atom)
{
	char *copy = policy_arena_strndup(&p->arena, text, strlen(text));

	if (!copy)
		return -ENOMEM;
	if (lower)
		for (char *c = copy; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c + ('a' - 'A'));
	atom->text = copy;
	atom->hash = model_hash(copy);
	return 0;
}

/* An e-mail address as far as we care: one @ with something on both sides, no blanks. */
static bool is_email(const char *text)
{
	const char *at = strchr(text, '@');

	return at && at != text && at[1] && !strchr(at + 1, '@') && !strpbrk(text, " \t,;<>\"");
}

static int unknown_name(const struct policy *p, const char *text, struct model_place place,
			struct error *err)
{
	char shown[72], near_shown[72];
	const char *near_name = NULL;
	unsigned best = strlen(text) <= 3 ? 2 : 3;

	jsonc_show(text, shown);
	if (strchr(text, ':'))
		return error_set(
			err, -EINVAL,
			"\"%s\" is not a selector; write peer:NAME, setup-key:NAME, "
			"group:NAME, user:NAME, workload:NAME, an address or an e-mail address",
			shown);
	if (place.member && model_find_set(p, text))
		return error_set(
			err, -EINVAL,
			"\"%s\" is a group or host itself, and these do not nest; list its "
			"members here",
			shown);
	if (place.member)
		return error_set(err, -EINVAL,
				 "\"%s\" is not a member; write an e-mail address, user:NAME, "
				 "group:NAME, setup-key:NAME%s peer:NAME%s",
				 shown, place.host ? "," : " or",
				 place.host ? ", an address or a CIDR" : "");
	for (size_t i = 0; i < p->set_count; i++) {
		unsigned d = distance(text, p->sets[i].name);

		if (d < best && d < strlen(p->sets[i].name)) {
			best = d;
			near_name = p->sets[i].name;
		}
	}
	if (near_name)
		return error_set(
			err, -EINVAL,
			"\"%s\" is neither a group nor a host of this policy; did you mean "
			"\"%s\"?",
			shown, jsonc_show(near_name, near_shown));
	return error_set(err, -EINVAL,
			 "\"%s\" is neither a group nor a host of this policy; define it, or write "
			 "peer:%s for one machine",
			 shown, shown);
}

int model_parse_atom(struct policy *p, const char *text, struct model_place place,
		     struct model_atom *ret_atom, struct error *err)
{
	struct model_atom atom = {.pos = ret_atom->pos};
	char shown[72];
	int rc;

	if (strlen(text) > 255)
		return error_set(err, -EINVAL, "this selector is longer than 255 bytes");
	if (strcmp(text, "*") == 0) {
		if (place.member)
			return error_set(
				err, -EINVAL,
				"\"*\" is no member; write it in \"from\" or \"to\" instead");
		atom.kind = MODEL_ANY;
		rc = keep(p, text, false, &atom);
		goto done;
	}
	if (ip_prefix_parse(text, &atom.prefix) == 0) {
		if (place.member && !place.host)
			return error_set(
				err, -EINVAL,
				"\"%s\" is an address, and groups hold people and machines by "
				"name; put it into a host",
				jsonc_show(text, shown));
		atom.kind = MODEL_PREFIX;
		rc = keep(p, text, true, &atom);
		goto done;
	}
	if (strncmp(text, POLICY_WORKLOAD_PREFIX, strlen(POLICY_WORKLOAD_PREFIX)) == 0) {
		const char *name = text + strlen(POLICY_WORKLOAD_PREFIX);

		if (!model_find_workload(p, name))
			return error_set(err, -EINVAL,
					 "\"%s\" is no workload of this policy; define it in "
					 "\"workloads\"",
					 jsonc_show(name, shown));
		atom.kind = MODEL_IDENTITY;
		rc = keep(p, text, false, &atom);
		goto done;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(text, kinds[i].prefix, len) != 0)
			continue;
		if (!text[len])
			return error_set(err, -EINVAL, "a name is missing after \"%s\"",
					 kinds[i].prefix);
		atom.kind = kinds[i].kind;
		if (atom.kind == MODEL_IDENTITY && strncasecmp(text + len, POLICY_WORKLOAD_PREFIX,
							       strlen(POLICY_WORKLOAD_PREFIX)) == 0)
			return error_set(
				err, -EINVAL,
				"\"%s\" is no person; write workload:NAME without \"user:\"",
				jsonc_show(text, shown));
		rc = keep(p, text + len, kinds[i].lower, &atom);
		goto done;
	}
	if (is_email(text)) {
		atom.kind = MODEL_IDENTITY;
		rc = keep(p, text, true, &atom);
		goto done;
	}
	if (strchr(text, '@'))
		return error_set(err, -EINVAL, "\"%s\" is not an e-mail address",
				 jsonc_show(text, shown));
	atom.kind = MODEL_SET;
	atom.set = place.member ? NULL : model_find_set(p, text);
	if (!atom.set)
		return unknown_name(p, text, place, err);
	rc = keep(p, text, false, &atom);
done:
	if (rc)
		return error_set(err, rc, "not enough memory to read the policy");
	*ret_atom = atom;
	return 0;
}

bool model_is_workload(const char *identity)
{
	return strncmp(identity, POLICY_WORKLOAD_PREFIX, strlen(POLICY_WORKLOAD_PREFIX)) == 0;
}

void model_atom_text(const struct model_atom *atom, char *out, size_t cap)
{
	const char *prefix = "";

	if (atom->kind == MODEL_IDENTITY) {
		prefix = is_email(atom->text) || model_is_workload(atom->text) ? "" : "user:";
	} else {
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (atom->kind == kinds[i].kind)
				prefix = kinds[i].prefix;
	}
	(void)snprintf(out, cap, "%s%s", prefix, atom->text);
}

int model_list_text(const struct model_list *list, struct buffer *out)
{
	char text[300], shown[72];
	int rc = 0;

	for (size_t i = 0; i < list->count && !rc; i++) {
		model_atom_text(&list->atoms[i], text, sizeof(text));
		rc = buffer_printf(out, "%s%s", i ? ", " : "", jsonc_show(text, shown));
	}
	return rc;
}

bool model_in_ports(const struct model_ports *ports, uint16_t port)
{
	for (size_t i = 0; i < ports->count; i++)
		if (port >= ports->intervals[i].first && port <= ports->intervals[i].last)
			return true;
	return ports->count == 0;
}
