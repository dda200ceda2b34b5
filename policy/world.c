/* SPDX-License-Identifier: Apache-2.0
 *
 * The machines and people a policy is judged against. Owns copies of all strings. Refuses two
 * machines of one id or one name: a selector must never be ambiguous.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/model.h"

uint64_t model_hash(const char *text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

static int name_set(struct world_name *name, const char *text, bool lower)
{
	name->text = strdup(text);
	if (!name->text)
		return -ENOMEM;
	if (lower)
		for (char *c = name->text; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c + ('a' - 'A'));
	name->hash = model_hash(name->text);
	return 0;
}

static void peer_done(struct world_peer *peer)
{
	free(peer->id.text);
	free(peer->name.text);
	free(peer->setup_key.text);
	for (size_t i = 0; i < peer->identity_count; i++)
		free(peer->identities[i].text);
	free(peer->identities);
	*peer = (struct world_peer){0};
}

static void identity_done(struct world_identity *identity)
{
	free(identity->name.text);
	for (size_t i = 0; i < identity->group_count; i++)
		free(identity->groups[i].text);
	free(identity->groups);
	*identity = (struct world_identity){0};
}

typedef const struct world_name *name_of(const struct policy_world *w, size_t at);

static const struct world_name *peer_id(const struct policy_world *w, size_t at)
{
	return &w->peers[at].id;
}

static const struct world_name *peer_name(const struct policy_world *w, size_t at)
{
	return &w->peers[at].name;
}

static const struct world_name *identity_name(const struct policy_world *w, size_t at)
{
	return &w->identities[at].name;
}

static bool index_find(const struct world_index *index, const struct policy_world *w, name_of *get,
		       const char *text, size_t *ret_at)
{
	uint64_t hash = model_hash(text);

	if (!index->slots)
		return false;
	for (size_t i = hash & index->mask; index->slots[i]; i = (i + 1) & index->mask) {
		const struct world_name *name = get(w, index->slots[i] - 1);

		if (name->hash == hash && strcmp(name->text, text) == 0) {
			*ret_at = index->slots[i] - 1;
			return true;
		}
	}
	return false;
}

static void index_put(struct world_index *index, uint64_t hash, size_t at)
{
	size_t i = hash & index->mask;

	while (index->slots[i])
		i = (i + 1) & index->mask;
	index->slots[i] = (uint32_t)(at + 1);
}

/* Room for `count` entries at half load; keeps what is in. */
static int index_reserve(struct world_index *index, const struct policy_world *w, name_of *get,
			 size_t have, size_t count)
{
	struct world_index bigger = {.mask = 15};

	if (index->slots && count * 2 <= index->mask)
		return 0;
	while (count * 2 > bigger.mask)
		bigger.mask = bigger.mask * 2 + 1;
	bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < have; i++)
		index_put(&bigger, get(w, i)->hash, i);
	free(index->slots);
	*index = bigger;
	return 0;
}

int policy_world_new(struct policy_world **ret_world)
{
	struct policy_world *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*ret_world = w;
	return 0;
}

void policy_world_free(struct policy_world *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->peer_count; i++)
		peer_done(&w->peers[i]);
	for (size_t i = 0; i < w->identity_count; i++)
		identity_done(&w->identities[i]);
	free(w->peers);
	free(w->identities);
	free(w->by_id.slots);
	free(w->by_name.slots);
	free(w->by_identity.slots);
	free(w);
}

static int grow(void **array, size_t *cap, size_t count, size_t size)
{
	size_t want = *cap ? *cap * 2 : 16;

	if (count < *cap)
		return 0;
	if (want >= UINT32_MAX / 4)
		return -ENOMEM;
	void *bigger = reallocarray(*array, want, size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*cap = want;
	return 0;
}

static int peer_fill(struct world_peer *out, const struct policy_peer *peer)
{
	int rc = name_set(&out->id, peer->id, false);

	if (!rc)
		rc = name_set(&out->name, peer->name, true);
	if (!rc && peer->setup_key)
		rc = name_set(&out->setup_key, peer->setup_key, false);
	out->v4 = peer->v4;
	out->v6 = peer->v6;
	out->ssh_enabled = peer->ssh_enabled;
	out->ssh_advertised = peer->ssh_advertised;
	if (!rc && peer->identity_count) {
		out->identities = calloc(peer->identity_count, sizeof(*out->identities));
		if (!out->identities)
			return -ENOMEM;
	}
	for (size_t i = 0; !rc && i < peer->identity_count; i++) {
		rc = name_set(&out->identities[i], peer->identities[i], true);
		out->identity_count = i + 1;
	}
	return rc;
}

int policy_world_add_peer(struct policy_world *w, const struct policy_peer *peer)
{
	struct world_peer add = {0};
	size_t at;
	int rc;

	if (!peer->id || !peer->name || (peer->v4.family && peer->v4.family != 4) ||
	    (peer->v6.family && peer->v6.family != 6))
		return -EINVAL;
	rc = grow((void **)&w->peers, &w->peer_cap, w->peer_count, sizeof(*w->peers));
	if (!rc)
		rc = index_reserve(&w->by_id, w, peer_id, w->peer_count, w->peer_count + 1);
	if (!rc)
		rc = index_reserve(&w->by_name, w, peer_name, w->peer_count, w->peer_count + 1);
	if (!rc)
		rc = peer_fill(&add, peer);
	if (!rc && (index_find(&w->by_id, w, peer_id, add.id.text, &at) ||
		    index_find(&w->by_name, w, peer_name, add.name.text, &at)))
		rc = -EEXIST;
	if (rc) {
		peer_done(&add);
		return rc;
	}
	w->peers[w->peer_count] = add;
	index_put(&w->by_id, add.id.hash, w->peer_count);
	index_put(&w->by_name, add.name.hash, w->peer_count);
	w->peer_count++;
	return 0;
}

int policy_world_add_identity(struct policy_world *w, const char *identity,
			      const char *const *groups, size_t group_count)
{
	struct world_identity add = {0};
	size_t at;
	int rc;

	if (!identity || !*identity)
		return -EINVAL;
	rc = grow((void **)&w->identities, &w->identity_cap, w->identity_count,
		  sizeof(*w->identities));
	if (!rc)
		rc = index_reserve(&w->by_identity, w, identity_name, w->identity_count,
				   w->identity_count + 1);
	if (!rc)
		rc = name_set(&add.name, identity, true);
	if (!rc && group_count) {
		add.groups = calloc(group_count, sizeof(*add.groups));
		rc = add.groups ? 0 : -ENOMEM;
	}
	for (size_t i = 0; !rc && i < group_count; i++) {
		rc = name_set(&add.groups[i], groups[i], false);
		add.group_count = i + 1;
	}
	if (!rc && index_find(&w->by_identity, w, identity_name, add.name.text, &at))
		rc = -EEXIST;
	if (rc) {
		identity_done(&add);
		return rc;
	}
	w->identities[w->identity_count] = add;
	index_put(&w->by_identity, add.name.hash, w->identity_count);
	w->identity_count++;
	return 0;
}

const struct world_peer *world_find_peer(const struct policy_world *w, const char *id)
{
	size_t at;

	return w && id && index_find(&w->by_id, w, peer_id, id, &at) ? &w->peers[at] : NULL;
}

const struct world_peer *world_find_peer_name(const struct policy_world *w, const char *name)
{
	size_t at;

	return w && index_find(&w->by_name, w, peer_name, name, &at) ? &w->peers[at] : NULL;
}

const struct world_identity *world_find_identity(const struct policy_world *w, const char *name)
{
	size_t at;

	return w && index_find(&w->by_identity, w, identity_name, name, &at) ? &w->identities[at]
									     : NULL;
}

const char *policy_world_group(const struct policy_world *w, const char *identity, size_t index)
{
	const struct world_identity *person;
	struct world_name name = {0};

	if (name_set(&name, identity, true) < 0)
		return NULL;
	person = world_find_identity(w, name.text);
	free(name.text);
	return person && index < person->group_count ? person->groups[index].text : NULL;
}

/* Borrowed pointers to the texts of names, for the functions that copy; the caller frees the array.
 */
static int texts(const struct world_name *names, size_t count, const char ***ret_texts)
{
	const char **out = calloc(count ? count : 1, sizeof(*out));

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		out[i] = names[i].text;
	*ret_texts = out;
	return 0;
}

int world_copy(const struct policy_world *w, struct policy_world **ret_world)
{
	struct policy_world *copy;
	const char **list;
	int rc = policy_world_new(&copy);

	if (rc)
		return rc;
	for (size_t i = 0; w && !rc && i < w->peer_count; i++) {
		const struct world_peer *from = &w->peers[i];
		struct policy_peer peer = {
			.id = from->id.text,
			.name = from->name.text,
			.v4 = from->v4,
			.v6 = from->v6,
			.setup_key = from->setup_key.text,
			.identity_count = from->identity_count,
			.ssh_enabled = from->ssh_enabled,
			.ssh_advertised = from->ssh_advertised,
		};

		rc = texts(from->identities, from->identity_count, &list);
		if (rc)
			break;
		peer.identities = list;
		rc = policy_world_add_peer(copy, &peer);
		free(list);
	}
	for (size_t i = 0; w && !rc && i < w->identity_count; i++) {
		const struct world_identity *from = &w->identities[i];

		rc = texts(from->groups, from->group_count, &list);
		if (rc)
			break;
		rc = policy_world_add_identity(copy, from->name.text, list, from->group_count);
		free(list);
	}
	if (rc) {
		policy_world_free(copy);
		return rc;
	}
	*ret_world = copy;
	return 0;
}
