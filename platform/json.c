/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict reading of JSON that others wrote. Refuses duplicate keys, trailing text, NUL in strings,
 * deep nesting (RFC 8259 section 9 allows limits) and, where the caller says so, unknown keys.
 */
#include "platform/json.h"

#include <errno.h>
#include <string.h>

enum { JSON_MAX_DEPTH = 64 };

/* jansson recurses per level and allows 2048; counting brackets outside strings comes first. */
static bool too_deep(const char *text, size_t len)
{
	bool in_string = false;
	unsigned depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > JSON_MAX_DEPTH)
				return true;
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return false;
}

json_t *json_load_strict(const char *text, size_t len, size_t max, struct error *err)
{
	json_error_t where;
	json_t *value;

	if (len > max) {
		error_set(err, -EMSGSIZE, "the JSON text is longer than the %zu bytes allowed",
			  max);
		return NULL;
	}
	if (too_deep(text, len)) {
		error_set(err, -EMSGSIZE, "the JSON text is nested deeper than %d levels",
			  JSON_MAX_DEPTH);
		return NULL;
	}
	value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!value)
		error_set(err, -EINVAL, "line %d column %d: %s", where.line, where.column,
			  where.text);
	return value;
}

/* The member, or NULL with *ret_rc and a sentence. what: "a string", … */
static json_t *member(const json_t *obj, const char *key, const char *what, int *ret_rc,
		      struct error *err)
{
	json_t *value;

	if (!json_is_object(obj)) {
		*ret_rc =
			error_set(err, -EINVAL, "expected a JSON object with the key \"%s\"", key);
		return NULL;
	}
	value = json_object_get(obj, key);
	if (!value)
		*ret_rc = error_set(err, -ENOENT, "the key \"%s\" (%s) is missing", key, what);
	return value;
}

static int wrong_type(const char *key, const char *what, struct error *err)
{
	return error_set(err, -EINVAL, "the value of \"%s\" must be %s", key, what);
}

int json_get_text(const json_t *obj, const char *key, size_t max, const char **ret_text,
		  struct error *err)
{
	json_t *value;
	size_t len;
	int rc = 0;

	value = member(obj, key, "a string", &rc, err);
	if (!value)
		return rc;
	if (!json_is_string(value))
		return wrong_type(key, "a string", err);
	len = json_string_length(value);
	if (memchr(json_string_value(value), 0, len))
		return wrong_type(key, "a string without NUL", err);
	if (len > max)
		return error_set(err, -EMSGSIZE, "the value of \"%s\" is longer than %zu bytes",
				 key, max);
	*ret_text = json_string_value(value);
	return 0;
}

int json_get_string(const json_t *obj, const char *key, char *out, size_t cap, struct error *err)
{
	const char *text;
	int rc;

	if (cap == 0)
		return -EMSGSIZE;
	rc = json_get_text(obj, key, cap - 1, &text, err);
	if (rc < 0)
		return rc;
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

int json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret_value,
		 struct error *err)
{
	json_t *value;
	json_int_t v;
	int rc = 0;

	value = member(obj, key, "a whole number", &rc, err);
	if (!value)
		return rc;
	if (!json_is_integer(value))
		return wrong_type(key, "a whole number", err);
	v = json_integer_value(value);
	if (v < min || v > max)
		return error_set(err, -EMSGSIZE,
				 "the value of \"%s\" must be between %lld and %lld", key,
				 (long long)min, (long long)max);
	*ret_value = v;
	return 0;
}

int json_get_bool(const json_t *obj, const char *key, bool *ret_value, struct error *err)
{
	json_t *value;
	int rc = 0;

	value = member(obj, key, "true or false", &rc, err);
	if (!value)
		return rc;
	if (!json_is_boolean(value))
		return wrong_type(key, "true or false", err);
	*ret_value = json_is_true(value);
	return 0;
}

int json_get_array(const json_t *obj, const char *key, size_t max, json_t **ret_array,
		   struct error *err)
{
	json_t *value;
	int rc = 0;

	value = member(obj, key, "a list", &rc, err);
	if (!value)
		return rc;
	if (!json_is_array(value))
		return wrong_type(key, "a list", err);
	if (json_array_size(value) > max)
		return error_set(err, -EMSGSIZE, "the list \"%s\" has more than %zu entries", key,
				 max);
	*ret_array = value;
	return 0;
}

int json_get_object(const json_t *obj, const char *key, json_t **ret_obj, struct error *err)
{
	json_t *value;
	int rc = 0;

	value = member(obj, key, "an object", &rc, err);
	if (!value)
		return rc;
	if (!json_is_object(value))
		return wrong_type(key, "an object", err);
	*ret_obj = value;
	return 0;
}

static bool listed(const char *key, const char *const *keys)
{
	for (; *keys; keys++)
		if (strcmp(key, *keys) == 0)
			return true;
	return false;
}

int json_only_keys(const json_t *obj, const char *const *keys, struct error *err)
{
	/* jansson's iterators take a non-const object although they only read it. */
	union {
		const json_t *in;
		json_t *out;
	} unconst = {.in = obj};

	if (!json_is_object(obj))
		return error_set(err, -EINVAL, "expected a JSON object");
	for (void *it = json_object_iter(unconst.out); it;
	     it = json_object_iter_next(unconst.out, it)) {
		const char *key = json_object_iter_key(it);

		if (!listed(key, keys))
			return error_set(err, -EINVAL, "the key \"%.64s\" is not known here", key);
	}
	return 0;
}

char *json_canonical(const json_t *value, size_t *ret_len)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

	if (text && ret_len)
		*ret_len = strlen(text);
	return text;
}
