/* SPDX-License-Identifier: Apache-2.0
 *
 * Parser for the policy file's syntax: RFC 8259 plus // and block comments and trailing commas. It
 * walks with an explicit stack (no recursion), refuses duplicate keys, NUL, invalid UTF-8 and depth
 * beyond JSONC_MAX_DEPTH, and says where.
 */
#include "policy/jsonc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lexer {
	struct policy_arena *arena;
	const char *file;
	const uint8_t *at, *end;
	struct jsonc_pos pos;
	struct error *err;
};

static int nomem(struct lexer *lx)
{
	return error_set(lx->err, -ENOMEM, "%s: not enough memory to read the policy", lx->file);
}

int jsonc_error(struct error *err, int code, const char *file, struct jsonc_pos pos,
		const char *fmt, ...)
{
	char sentence[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	return error_set(err, code, "%s:%u:%u: %s", file, pos.line, pos.col, sentence);
}

const char *jsonc_show(const char *text, char out[static 72])
{
	size_t n = 0;

	for (; *text && n < 64; text++) {
		uint8_t c = (uint8_t)*text;

		/* C1 controls (U+0080 to U+009F) are C2 80 … C2 9F: terminals obey them too. */
		if (c < 0x20 || c == 0x7f || (c == 0xc2 && (uint8_t)text[1] < 0xa0))
			out[n++] = '?';
		else
			out[n++] = (char)c;
	}
	/* Do not cut a character in two. */
	if (*text)
		while (n > 0 && ((uint8_t)*text & 0xc0) == 0x80) {
			text--;
			n--;
		}
	memcpy(out + n, *text ? "..." : "", *text ? 4 : 1);
	return out;
}

const char *jsonc_type_name(enum jsonc_type type)
{
	static const char *const names[] = {
		[JSONC_NULL] = "null",	      [JSONC_BOOL] = "true or false",
		[JSONC_INTEGER] = "a number", [JSONC_REAL] = "a fractional or very large number",
		[JSONC_STRING] = "a string",  [JSONC_ARRAY] = "an array",
		[JSONC_OBJECT] = "an object",
	};

	return names[type];
}

/* Steps over one byte; continuation bytes of UTF-8 do not move the column. */
static void step(struct lexer *lx)
{
	if (*lx->at == '\n') {
		lx->pos.line++;
		lx->pos.col = 1;
	} else if ((*lx->at & 0xc0) != 0x80) {
		lx->pos.col++;
	}
	lx->at++;
}

static int skip_space(struct lexer *lx)
{
	while (lx->at < lx->end) {
		uint8_t c = *lx->at;
		struct jsonc_pos start = lx->pos;

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			step(lx);
		} else if (c == '/' && lx->end - lx->at > 1 && lx->at[1] == '/') {
			while (lx->at < lx->end && *lx->at != '\n')
				step(lx);
		} else if (c == '/' && lx->end - lx->at > 1 && lx->at[1] == '*') {
			step(lx);
			step(lx);
			while (lx->end - lx->at > 1 && !(lx->at[0] == '*' && lx->at[1] == '/'))
				step(lx);
			if (lx->end - lx->at < 2)
				return jsonc_error(lx->err, -EINVAL, lx->file, start,
						   "this comment never ends; add \"*/\"");
			step(lx);
			step(lx);
		} else {
			break;
		}
	}
	return 0;
}

/* "expected WHAT but found …" at the current position. */
static int unexpected(struct lexer *lx, const char *what)
{
	char found[8] = {0};
	size_t n = 0;

	if (lx->at == lx->end)
		return jsonc_error(lx->err, -EINVAL, lx->file, lx->pos,
				   "expected %s but the file ends here", what);
	if (*lx->at < 0x20 || *lx->at == 0x7f)
		return jsonc_error(lx->err, -EINVAL, lx->file, lx->pos,
				   "expected %s but found control character 0x%02x", what, *lx->at);
	if (*lx->at == '\'')
		return jsonc_error(
			lx->err, -EINVAL, lx->file, lx->pos,
			"expected %s but found '; strings are written in \"double quotes\"", what);
	do {
		found[n] = (char)lx->at[n];
		n++;
	} while (n < 4 && lx->at + n < lx->end && (lx->at[n] & 0xc0) == 0x80);
	return jsonc_error(lx->err, -EINVAL, lx->file, lx->pos, "expected %s but found %s%s%s",
			   what, *found == '"' ? "a " : "\"", *found == '"' ? "string" : found,
			   *found == '"' ? "" : "\"");
}

/* Length of the valid UTF-8 sequence at p, 0 when there is none (RFC 3629). */
static size_t utf8_sequence(const uint8_t *p, const uint8_t *end)
{
	size_t need;
	uint32_t cp, least;

	if (*p < 0x80)
		return 1;
	if ((*p & 0xe0) == 0xc0)
		need = 2, cp = *p & 0x1fu, least = 0x80;
	else if ((*p & 0xf0) == 0xe0)
		need = 3, cp = *p & 0x0fu, least = 0x800;
	else if ((*p & 0xf8) == 0xf0)
		need = 4, cp = *p & 0x07u, least = 0x10000;
	else
		return 0;
	if ((size_t)(end - p) < need)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3fu);
	}
	if (cp < least || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	return need;
}

static size_t utf8_encode(uint32_t cp, char *out)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

/* Four hex digits after "\u"; false leaves the position at the digit that is none. */
static bool hex4(struct lexer *lx, uint32_t *ret_unit)
{
	uint32_t unit = 0;

	for (int i = 0; i < 4; i++) {
		uint8_t c = lx->at < lx->end ? *lx->at : 0;

		if (c >= '0' && c <= '9')
			unit = unit << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			unit = unit << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return false;
		step(lx);
	}
	*ret_unit = unit;
	return true;
}

/* After the backslash. Writes at most 4 bytes. */
static int escape(struct lexer *lx, struct jsonc_pos start, char *out, size_t *ret_n)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	uint8_t c = lx->at < lx->end ? *lx->at : 0;
	const char *simple = c ? strchr(from, c) : NULL;
	uint32_t unit, low;

	if (simple) {
		step(lx);
		out[0] = to[simple - from];
		*ret_n = 1;
		return 0;
	}
	if (c != 'u')
		return jsonc_error(lx->err, -EINVAL, lx->file, start,
				   "unknown escape in a string; write \\\\ for a backslash");
	step(lx);
	if (!hex4(lx, &unit))
		return jsonc_error(lx->err, -EINVAL, lx->file, start,
				   "\\u needs four hexadecimal digits");
	if (unit >= 0xd800 && unit <= 0xdbff) {
		if (lx->end - lx->at < 2 || lx->at[0] != '\\' || lx->at[1] != 'u')
			return jsonc_error(lx->err, -EINVAL, lx->file, start,
					   "half of a surrogate pair in a string");
		step(lx);
		step(lx);
		if (!hex4(lx, &low) || low < 0xdc00 || low > 0xdfff)
			return jsonc_error(lx->err, -EINVAL, lx->file, start,
					   "half of a surrogate pair in a string");
		unit = 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
	} else if (unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
		return jsonc_error(lx->err, -EINVAL, lx->file, start,
				   "this character is not allowed in a string");
	}
	*ret_n = utf8_encode(unit, out);
	return 0;
}

/* At the opening quote. */
static int parse_string(struct lexer *lx, const char **ret_text)
{
	struct jsonc_pos open = lx->pos;
	const uint8_t *scan = lx->at + 1;
	size_t n = 0;

	while (scan < lx->end && *scan != '"' && *scan != '\n')
		scan += *scan == '\\' && scan + 1 < lx->end ? 2 : 1;
	if (scan >= lx->end || *scan != '"')
		return jsonc_error(lx->err, -EINVAL, lx->file, open,
				   "this string has no closing quote on its line");
	/* Decoding never makes a string longer. */
	char *out = policy_arena_alloc(lx->arena, (size_t)(scan - lx->at) + 1, 1);
	if (!out)
		return nomem(lx);
	step(lx);
	while (lx->at < lx->end && *lx->at != '"') {
		struct jsonc_pos start = lx->pos;
		size_t len;

		if (*lx->at == '\\') {
			char bytes[4];

			step(lx);
			int rc = escape(lx, start, bytes, &len);
			if (rc)
				return rc;
			memcpy(out + n, bytes, len);
			n += len;
			continue;
		}
		if (*lx->at < 0x20)
			return jsonc_error(lx->err, -EINVAL, lx->file, start,
					   "control character 0x%02x in a string", *lx->at);
		len = utf8_sequence(lx->at, lx->end);
		if (len == 0)
			return jsonc_error(lx->err, -EINVAL, lx->file, start,
					   "this is not UTF-8; save the file as UTF-8");
		for (; len; len--) {
			out[n++] = (char)*lx->at;
			step(lx);
		}
	}
	step(lx);
	*ret_text = out;
	return 0;
}

static bool digit(const struct lexer *lx)
{
	return lx->at < lx->end && *lx->at >= '0' && *lx->at <= '9';
}

static int parse_number(struct lexer *lx, struct jsonc_node *node)
{
	struct jsonc_pos start = lx->pos;
	bool negative = *lx->at == '-', overflow = false;
	int64_t value = 0;

	node->type = JSONC_INTEGER;
	if (negative)
		step(lx);
	if (!digit(lx))
		return unexpected(lx, "a digit");
	if (*lx->at == '0' && lx->end - lx->at > 1 && lx->at[1] >= '0' && lx->at[1] <= '9')
		return jsonc_error(lx->err, -EINVAL, lx->file, start,
				   "a number does not begin with 0");
	for (; digit(lx); step(lx))
		overflow = overflow || __builtin_mul_overflow(value, 10, &value) ||
			   __builtin_sub_overflow(value, *lx->at - '0', &value);
	if (lx->at < lx->end && *lx->at == '.') {
		node->type = JSONC_REAL;
		step(lx);
		if (!digit(lx))
			return unexpected(lx, "a digit");
		while (digit(lx))
			step(lx);
	}
	if (lx->at < lx->end && (*lx->at | 0x20) == 'e') {
		node->type = JSONC_REAL;
		step(lx);
		if (lx->at < lx->end && (*lx->at == '+' || *lx->at == '-'))
			step(lx);
		if (!digit(lx))
			return unexpected(lx, "a digit");
		while (digit(lx))
			step(lx);
	}
	/* Collected as a negative number: INT64_MIN has no positive twin. */
	if (!negative && __builtin_sub_overflow(0, value, &value))
		overflow = true;
	if (overflow)
		node->type = JSONC_REAL;
	node->integer = node->type == JSONC_INTEGER ? value : 0;
	return 0;
}

static bool word(struct lexer *lx, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(lx->end - lx->at) < len || memcmp(lx->at, text, len) != 0)
		return false;
	while (len--)
		step(lx);
	return true;
}

/* A scalar whole, or the opening bracket of a container. */
static int parse_value(struct lexer *lx, struct jsonc_node *node, const char *what)
{
	node->pos = lx->pos;
	if (lx->at == lx->end)
		return unexpected(lx, what);
	switch (*lx->at) {
	case '{':
	case '[':
		node->type = *lx->at == '{' ? JSONC_OBJECT : JSONC_ARRAY;
		step(lx);
		return 0;
	case '"':
		node->type = JSONC_STRING;
		return parse_string(lx, &node->text);
	default:
		break;
	}
	if (*lx->at == '-' || digit(lx))
		return parse_number(lx, node);
	node->type = JSONC_BOOL;
	if (word(lx, "true")) {
		node->integer = 1;
		return 0;
	}
	if (word(lx, "false"))
		return 0;
	node->type = JSONC_NULL;
	if (word(lx, "null"))
		return 0;
	return unexpected(lx, what);
}

static int compare_keys(const void *a, const void *b)
{
	const struct jsonc_node *const *x = a, *const *y = b;
	int order = strcmp((*x)->key, (*y)->key);

	if (order)
		return order;
	if ((*x)->key_pos.line != (*y)->key_pos.line)
		return (*x)->key_pos.line < (*y)->key_pos.line ? -1 : 1;
	return (*x)->key_pos.col < (*y)->key_pos.col ? -1 : (*x)->key_pos.col > (*y)->key_pos.col;
}

static int refuse_duplicates(struct lexer *lx, const struct jsonc_node *object)
{
	char shown[72];
	size_t n = 0;
	int rc = 0;

	if (object->count < 2)
		return 0;
	const struct jsonc_node **members = calloc(object->count, sizeof(struct jsonc_node *));
	if (!members)
		return nomem(lx);
	for (const struct jsonc_node *m = object->first; m; m = m->next)
		members[n++] = m;
	qsort(members, n, sizeof(struct jsonc_node *), compare_keys);
	for (size_t i = 1; i < n && !rc; i++)
		if (strcmp(members[i - 1]->key, members[i]->key) == 0)
			rc = jsonc_error(lx->err, -EINVAL, lx->file, members[i]->key_pos,
					 "\"%s\" is here twice; the first is at %u:%u",
					 jsonc_show(members[i]->key, shown),
					 members[i - 1]->key_pos.line, members[i - 1]->key_pos.col);
	free(members);
	return rc;
}

static void attach(struct jsonc_node *parent, struct jsonc_node *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->count++;
}

/* One child of `parent`: `key :` for objects, then the value. */
static int parse_child(struct lexer *lx, struct jsonc_node *parent, struct jsonc_node **ret_child)
{
	struct jsonc_node *child = policy_arena_alloc(lx->arena, 1, sizeof(*child));
	int rc;

	if (!child)
		return nomem(lx);
	if (parent->type == JSONC_OBJECT) {
		child->key_pos = lx->pos;
		if (lx->at == lx->end || *lx->at != '"')
			return unexpected(lx, "a \"key\" or \"}\"");
		rc = parse_string(lx, &child->key);
		if (!rc)
			rc = skip_space(lx);
		if (rc)
			return rc;
		if (lx->at == lx->end || *lx->at != ':')
			return unexpected(lx, "\":\" after the key");
		step(lx);
		rc = skip_space(lx);
		if (rc)
			return rc;
	}
	rc = parse_value(lx, child, "a value");
	if (rc)
		return rc;
	attach(parent, child);
	*ret_child = child;
	return 0;
}

static int parse_containers(struct lexer *lx, struct jsonc_node *root)
{
	struct jsonc_node *stack[JSONC_MAX_DEPTH] = {root};
	size_t depth = 1;
	bool after_value = false;

	while (depth > 0) {
		struct jsonc_node *parent = stack[depth - 1], *child;
		bool object = parent->type == JSONC_OBJECT;
		int rc = skip_space(lx);

		if (rc)
			return rc;
		if (lx->at == lx->end)
			return jsonc_error(
				lx->err, -EINVAL, lx->file, lx->pos,
				"the file ends inside the %s that begins at %u:%u; add \"%s\"",
				object ? "object" : "array", parent->pos.line, parent->pos.col,
				object ? "}" : "]");
		if (*lx->at == (object ? '}' : ']')) {
			rc = object ? refuse_duplicates(lx, parent) : 0;
			if (rc)
				return rc;
			step(lx);
			depth--;
			after_value = true;
			continue;
		}
		if (after_value) {
			if (*lx->at != ',')
				return unexpected(lx, object ? "\",\" or \"}\"" : "\",\" or \"]\"");
			step(lx);
			after_value = false;
			continue;
		}
		rc = parse_child(lx, parent, &child);
		if (rc)
			return rc;
		after_value = true;
		if (child->type != JSONC_ARRAY && child->type != JSONC_OBJECT)
			continue;
		if (depth == JSONC_MAX_DEPTH)
			return jsonc_error(lx->err, -EINVAL, lx->file, child->pos,
					   "nested more than %d deep", JSONC_MAX_DEPTH);
		stack[depth++] = child;
		after_value = false;
	}
	return 0;
}

int jsonc_parse(struct policy_arena *arena, const char *file, const char *text, size_t len,
		struct jsonc_node **ret_root, struct error *err)
{
	struct lexer lx = {.arena = arena, .file = file, .pos = {1, 1}, .err = err};
	struct jsonc_node *root = policy_arena_alloc(arena, 1, sizeof(*root));
	int rc;

	lx.at = (const uint8_t *)text;
	lx.end = lx.at + len;
	if (!root)
		return nomem(&lx);
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		lx.at += 3; /* byte order mark of some editors */
	rc = skip_space(&lx);
	if (rc)
		return rc;
	if (lx.at == lx.end || *lx.at != '{')
		return unexpected(&lx, "the policy, an object in { }");
	rc = parse_value(&lx, root, "a value");
	if (!rc)
		rc = parse_containers(&lx, root);
	if (!rc)
		rc = skip_space(&lx);
	if (rc)
		return rc;
	if (lx.at != lx.end)
		return jsonc_error(err, -EINVAL, file, lx.pos,
				   "nothing but comments may follow the closing \"}\"");
	*ret_root = root;
	return 0;
}
