/* SPDX-License-Identifier: Apache-2.0
 *
 * Symbolic machines: tests of a policy must run before anybody enrolled, so each selector that
 * stands for no machine of the world gets one of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/model.h"

/* An address inside the prefix: the last but one of a network, so that narrower prefixes at its
 * beginning do not share it. */
static struct ip_addr address_in(const struct ip_prefix *prefix)
{
	struct ip_addr addr = prefix->addr;
	unsigned total = addr.family == 4 ? 32 : 128;

	if (prefix->bits >= total)
		return addr;
	for (unsigned bit = prefix->bits; bit < total; bit++)
		addr.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	if (total - prefix->bits > 1)
		addr.bytes[total / 8 - 1] &= 0xfe;
	return addr;
}

static bool has_address(const struct policy_world *w, const struct ip_addr *addr)
{
	for (size_t i = 0; i < w->peer_count; i++)
		if (ip_addr_equal(&w->peers[i].v4, addr) || ip_addr_equal(&w->peers[i].v6, addr))
			return true;
	return false;
}

static bool stands_for_one(const struct policy_world *w, size_t real, const struct model_atom *atom)
{
	/* Symbolic machines of wider or narrower networks do not count for a prefix. */
	size_t count = atom->kind == MODEL_PREFIX ? real : w->peer_count;

	for (size_t i = 0; i < count; i++)
		if (match_atom_peer(atom, w, &w->peers[i]))
			return true;
	return false;
}

static int add_machine(struct policy_world *w, size_t real, const struct model_atom *atom)
{
	char text[300], name[340], person[340];
	const char *identities[1] = {person}, *groups[1] = {atom->text};
	struct policy_peer peer = {
		.id = name, .name = name, .ssh_enabled = true, .ssh_advertised = true};
	int rc;

	if (stands_for_one(w, real, atom))
		return 0;
	model_atom_text(atom, text, sizeof(text));
	(void)snprintf(name, sizeof(name), "a machine of %s", text);
	switch (atom->kind) {
	case MODEL_PEER:
		peer.name = atom->text;
		break;
	case MODEL_SETUP_KEY:
		peer.setup_key = atom->text;
		break;
	case MODEL_IDENTITY:
		(void)snprintf(person, sizeof(person), "%s", atom->text);
		peer.identities = identities;
		peer.identity_count = 1;
		break;
	case MODEL_PROVIDER_GROUP:
		(void)snprintf(person, sizeof(person), "somebody of %s", text);
		peer.identities = identities;
		peer.identity_count = 1;
		rc = policy_world_add_identity(w, person, groups, 1);
		if (rc && rc != -EEXIST)
			return rc;
		break;
	case MODEL_PREFIX: {
		struct ip_addr addr = address_in(&atom->prefix);

		if (has_address(w, &addr))
			return 0;
		*(addr.family == 4 ? &peer.v4 : &peer.v6) = addr;
		break;
	}
	case MODEL_ANY:
	case MODEL_SET:
		return 0;
	}
	rc = policy_world_add_peer(w, &peer);
	return rc == -EEXIST ? 0 : rc;
}

int world_add_symbolic(struct policy_world *w, size_t real, const struct model_atom *atom)
{
	int rc = 0;

	if (atom->kind != MODEL_SET)
		return add_machine(w, real, atom);
	for (size_t i = 0; i < atom->set->members.count && !rc; i++)
		rc = add_machine(w, real, &atom->set->members.atoms[i]);
	return rc;
}

static int add_list(struct policy_world *w, size_t real, const struct model_list *list)
{
	int rc = 0;

	for (size_t i = 0; i < list->count && !rc; i++)
		rc = world_add_symbolic(w, real, &list->atoms[i]);
	return rc;
}

static int add_tests(struct policy_world *w, size_t real, const struct model_test *tests,
		     size_t count, bool ssh)
{
	int rc = 0;

	for (size_t i = 0; i < count && !rc; i++) {
		rc = world_add_symbolic(w, real, &tests[i].from);
		if (!rc && ssh)
			rc = world_add_symbolic(w, real, &tests[i].to);
		for (size_t j = 0; !ssh && j < tests[i].expect_count && !rc; j++)
			rc = world_add_symbolic(w, real, &tests[i].expects[j].to);
	}
	return rc;
}

int world_symbolic(const struct policy *p, const struct policy_world *w,
		   struct policy_world **ret_world)
{
	struct policy_world *out;
	size_t real = w ? w->peer_count : 0;
	int rc = world_copy(w, &out);

	if (rc)
		return rc;
	for (size_t i = 0; i < p->set_count && !rc; i++)
		rc = add_list(out, real, &p->sets[i].members);
	for (size_t i = 0; i < p->rule_count && !rc; i++) {
		rc = add_list(out, real, &p->rules[i].from);
		if (!rc)
			rc = add_list(out, real, &p->rules[i].to);
	}
	for (size_t i = 0; i < p->ssh_count && !rc; i++) {
		rc = add_list(out, real, &p->ssh[i].from);
		if (!rc)
			rc = add_list(out, real, &p->ssh[i].to);
	}
	if (!rc)
		rc = add_tests(out, real, p->tests, p->test_count, false);
	if (!rc)
		rc = add_tests(out, real, p->ssh_tests, p->ssh_test_count, true);
	if (!rc && !w) {
		struct policy_peer stranger = {.id = "any other machine",
					       .name = "any other machine",
					       .ssh_enabled = true,
					       .ssh_advertised = true};

		rc = policy_world_add_peer(out, &stranger);
	}
	if (rc) {
		policy_world_free(out);
		return rc;
	}
	*ret_world = out;
	return 0;
}
