/* SPDX-License-Identifier: Apache-2.0
 *
 * A map: components sorted by key, each with its canonical text, which is shared between copies
 * (control/PROTOCOL.md section 5). Owns order, digest, difference and application; refuses keys and
 * counts out of bounds. Values are never changed once they are in a map.
 */
#include "control/proto/map.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "platform/json.h"

struct component {
	unsigned refs;
	char key[MAP_MAX_KEY + 1];
	json_t *value;
	char *text; /* canonical */
	size_t text_len;
};

struct map {
	struct component **items; /* sorted by key */
	size_t count, cap;
};

static void component_unref(struct component *c)
{
	if (!c || --c->refs)
		return;
	json_decref(c->value);
	free(c->text);
	free(c);
}

int map_new(struct map **ret_map)
{
	struct map *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	*ret_map = m;
	return 0;
}

void map_free(struct map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->count; i++)
		component_unref(m->items[i]);
	free(m->items);
	free(m);
}

int map_copy(const struct map *m, struct map **ret_map)
{
	struct map *copy;
	int r = map_new(&copy);

	if (r < 0)
		return r;
	if (m->count) {
		copy->items = malloc(m->count * sizeof(struct component *));
		if (!copy->items) {
			map_free(copy);
			return -ENOMEM;
		}
		memcpy(copy->items, m->items, m->count * sizeof(struct component *));
		copy->count = copy->cap = m->count;
		for (size_t i = 0; i < m->count; i++)
			m->items[i]->refs++;
	}
	*ret_map = copy;
	return 0;
}

/* Position of key, or where it would go. */
static size_t find(const struct map *m, const char *key, bool *ret_found)
{
	size_t low = 0, high = m->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(m->items[mid]->key, key);

		if (order == 0) {
			*ret_found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = false;
	return low;
}

static bool key_valid(const char *key)
{
	size_t n = 0;

	for (; key[n]; n++)
		if (n == MAP_MAX_KEY || key[n] <= ' ' || key[n] > '~')
			return false;
	return n > 0;
}

static struct component *component_new(const char *key, json_t *value)
{
	struct component *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->refs = 1;
	memcpy(c->key, key, strlen(key) + 1);
	c->value = json_incref(value);
	c->text = json_canonical(value, &c->text_len);
	if (!c->text) {
		component_unref(c);
		return NULL;
	}
	return c;
}

static int grow(struct map *m)
{
	if (m->count < m->cap)
		return 0;
	size_t cap = m->cap ? m->cap * 2 : 16;
	struct component **items = realloc(m->items, cap * sizeof(struct component *));

	if (!items)
		return -ENOMEM;
	m->items = items;
	m->cap = cap;
	return 0;
}

/* Puts c under its key; takes it, also on failure. */
static int insert_take(struct map *m, struct component *c)
{
	bool found;
	size_t at = find(m, c->key, &found);
	int r = found ? 0 : m->count == MAP_MAX_COMPONENTS ? -ENOSPC : grow(m);

	if (r < 0) {
		component_unref(c);
		return r;
	}
	if (found) {
		component_unref(m->items[at]);
	} else {
		memmove(&m->items[at + 1], &m->items[at],
			(m->count - at) * sizeof(struct component *));
		m->count++;
	}
	m->items[at] = c;
	return 0;
}

int map_set(struct map *m, const char *key, json_t *value)
{
	if (!key_valid(key) || !value)
		return -EINVAL;
	struct component *c = component_new(key, value);
	return c ? insert_take(m, c) : -ENOMEM;
}

int map_share(struct map *m, const struct map *from, const char *key)
{
	bool found;
	size_t at = find(from, key, &found);

	if (!found)
		return -ENOENT;
	from->items[at]->refs++;
	return insert_take(m, from->items[at]);
}

void map_del(struct map *m, const char *key)
{
	bool found;
	size_t at = find(m, key, &found);

	if (!found)
		return;
	component_unref(m->items[at]);
	m->count--;
	memmove(&m->items[at], &m->items[at + 1], (m->count - at) * sizeof(struct component *));
}

json_t *map_get(const struct map *m, const char *key)
{
	bool found;
	size_t at = find(m, key, &found);

	return found ? m->items[at]->value : NULL;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

int map_each(const struct map *m, int (*fn)(void *ctx, const char *key, json_t *value), void *ctx)
{
	for (size_t i = 0; i < m->count; i++) {
		int r = fn(ctx, m->items[i]->key, m->items[i]->value);
		if (r != 0)
			return r;
	}
	return 0;
}

void map_digest(const struct map *m, uint8_t ret_digest[32])
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	for (size_t i = 0; i < m->count; i++) {
		const struct component *c = m->items[i];

		crypto_hash_sha256_update(&state, (const uint8_t *)c->key, strlen(c->key) + 1);
		crypto_hash_sha256_update(&state, (const uint8_t *)c->text, c->text_len);
		crypto_hash_sha256_update(&state, (const uint8_t *)"\n", 1);
	}
	crypto_hash_sha256_final(&state, ret_digest);
}

static bool same(const struct component *a, const struct component *b)
{
	return a == b || (a->text_len == b->text_len && memcmp(a->text, b->text, a->text_len) == 0);
}

static int add_op(json_t *ops, const struct component *del, const struct component *set)
{
	json_t *op = set ? json_pack("{s:s,s:O}", "set", set->key, "value", set->value)
			 : json_pack("{s:s}", "del", del->key);

	return json_array_append_new(ops, op);
}

json_t *map_diff(const struct map *from, const struct map *to)
{
	json_t *ops = json_array();
	size_t i = 0, k = 0;

	while (ops && (i < from->count || k < to->count)) {
		const struct component *a = i < from->count ? from->items[i] : NULL;
		const struct component *b = k < to->count ? to->items[k] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->key, b->key);
		int r = 0;

		if (order < 0)
			r = add_op(ops, a, NULL);
		else if (order > 0 || !same(a, b))
			r = add_op(ops, NULL, b);
		if (r < 0) {
			json_decref(ops);
			return NULL;
		}
		i += order <= 0;
		k += order >= 0;
	}
	return ops;
}

static int apply_one(struct map *m, const json_t *op, struct error *err)
{
	const json_t *set = json_object_get(op, "set"), *del = json_object_get(op, "del");
	json_t *value = json_object_get(op, "value");
	int r;

	if (set && !del && value && json_is_string(set)) {
		r = map_set(m, json_string_value(set), value);
		return r < 0 ? error_set(err, r,
					 "the map's change cannot be taken: bad key or too many "
					 "components")
			     : 0;
	}
	if (del && !set && !value && json_is_string(del)) {
		if (!map_get(m, json_string_value(del)))
			return error_set(err, -EINVAL,
					 "the map's change removes a component that is not there");
		map_del(m, json_string_value(del));
		return 0;
	}
	return error_set(err, -EINVAL, "the map's change is neither a set nor a del");
}

int map_apply(struct map *m, const json_t *ops, struct error *err)
{
	struct map *work;
	int r;

	if (!json_is_array(ops))
		return error_set(err, -EINVAL, "the map's changes are not an array");
	r = map_copy(m, &work);
	if (r < 0)
		return error_set(err, r, "out of memory while a map was changed");
	for (size_t i = 0; r == 0 && i < json_array_size(ops); i++)
		r = apply_one(work, json_array_get(ops, i), err);
	if (r == 0) {
		struct map old = *m;

		*m = *work;
		*work = old;
	}
	map_free(work);
	return r;
}
