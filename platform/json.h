/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict access to jansson objects from outside: every getter checks type and bounds, and
 * json_only_keys refuses what nobody asked for. Duplicate keys are refused at load.
 */
#ifndef WARREN_PLATFORM_JSON_H
#define WARREN_PLATFORM_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

/* JSON_REJECT_DUPLICATES, depth and size bounded (len <= max). Error names line and column. */
json_t *json_load_strict(const char *text, size_t len, size_t max, struct error *err);
/* All of these: 0, -ENOENT when the key is missing, -EINVAL for a wrong type, -EMSGSIZE out of
 * bounds. err (may be NULL) gets a sentence that names the key. */
int json_get_string(const json_t *obj, const char *key, char *out, size_t cap, struct error *err)
	WARREN_MUST_USE;
/* Borrowed pointer, at most max bytes, no embedded NUL. */
int json_get_text(const json_t *obj, const char *key, size_t max, const char **ret_text,
		  struct error *err) WARREN_MUST_USE;
int json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret_value,
		 struct error *err) WARREN_MUST_USE;
int json_get_bool(const json_t *obj, const char *key, bool *ret_value, struct error *err)
	WARREN_MUST_USE;
int json_get_array(const json_t *obj, const char *key, size_t max, json_t **ret_array,
		   struct error *err) WARREN_MUST_USE;
int json_get_object(const json_t *obj, const char *key, json_t **ret_obj, struct error *err)
	WARREN_MUST_USE;
/* keys: NULL-terminated list. Names the first unknown key. */
int json_only_keys(const json_t *obj, const char *const *keys, struct error *err) WARREN_MUST_USE;
/* Sorted keys, no white space: the form that is hashed and signed. Caller frees. */
char *json_canonical(const json_t *value, size_t *ret_len);

#endif
