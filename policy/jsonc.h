/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON with comments and trailing commas, as a tree whose nodes know their line and column (both
 * from 1, columns in characters). Internal to policy/.
 */
#ifndef WARREN_POLICY_JSONC_H
#define WARREN_POLICY_JSONC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"
#include "policy/arena.h"

#define JSONC_MAX_DEPTH 16

enum jsonc_type {
	JSONC_NULL,
	JSONC_BOOL,
	JSONC_INTEGER, /* fits int64_t, written without fraction and exponent */
	JSONC_REAL,    /* any other number; no key of the policy takes one */
	JSONC_STRING,
	JSONC_ARRAY,
	JSONC_OBJECT,
};

struct jsonc_pos {
	uint32_t line, col;
};

struct jsonc_node {
	enum jsonc_type type;
	struct jsonc_pos pos;
	/* Member of an object: its key. */
	const char *key;
	struct jsonc_pos key_pos;
	int64_t integer;  /* JSONC_INTEGER; JSONC_BOOL: 0 or 1 */
	const char *text; /* JSONC_STRING: NUL-terminated UTF-8 without embedded NUL */
	struct jsonc_node *first, *last, *next;
	size_t count;
};

/* On failure err holds "FILE:LINE:COL: sentence". The tree lives in the arena. */
int jsonc_parse(struct policy_arena *arena, const char *file, const char *text, size_t len,
		struct jsonc_node **ret_root, struct error *err) WARREN_MUST_USE;
/* "FILE:LINE:COL: …" into err; returns code. */
int jsonc_error(struct error *err, int code, const char *file, struct jsonc_pos pos,
		const char *fmt, ...) WARREN_PRINTF(5, 6);
/* text for a message: cut to fit and without control characters. */
const char *jsonc_show(const char *text, char out[static 72]);
/* "an array", "a string", … */
const char *jsonc_type_name(enum jsonc_type type);

#endif
