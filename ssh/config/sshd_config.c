/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines and Match blocks of sshd_config(5), and their evaluation for one connection. Each line is
 * applied once to nothing when it is read, so that what is kept is known to be good.
 */
#include "ssh/config/sshd_config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ssh/config/sshd_config_internal.h"

#define LINE_MAX_BYTES 8192
#define LINES_MAX      4096
#define BLOCKS_MAX     512
#define FILES_MAX      256
#define DEPTH_MAX      16

struct sshd_config {
	struct sshd_line *lines;
	struct config_block *blocks;
	char **files;
	size_t line_count, block_count, file_count, bytes;
	int block; /* that lines go into now */
	unsigned depth;
	bool located; /* the error that comes back names its file and line */
	sshd_include_fn include;
	void *include_ctx;
	struct sshd_options scratch; /* lines are tried on it */
	char *watched;		     /* NULL: nothing */
	size_t watched_len;
};

int sshd_config_new(struct sshd_config **ret_config)
{
	struct sshd_config *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->block = -1;
	*ret_config = c;
	return 0;
}

void sshd_config_free(struct sshd_config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->line_count; i++) {
		free(c->lines[i].words);
		free(c->lines[i].rest);
	}
	for (size_t i = 0; i < c->block_count; i++)
		free(c->blocks[i].words);
	for (size_t i = 0; i < c->file_count; i++)
		free(c->files[i]);
	free(c->lines);
	free(c->blocks);
	free(c->files);
	free(c->watched);
	free(c);
}

const char *sshd_config_watched(const struct sshd_config *c)
{
	return c->watched != NULL ? c->watched : "";
}

int sshd_config_watch(struct sshd_config *c, const char *path)
{
	size_t len = strlen(path);
	char *grown;

	if (c->watched_len + len + 2 > SSHD_CONFIG_MAX)
		return -EMSGSIZE;
	grown = realloc(c->watched, c->watched_len + len + 2);
	if (grown == NULL)
		return -ENOMEM;
	c->watched = grown;
	memcpy(grown + c->watched_len, path, len);
	memcpy(grown + c->watched_len + len, "\n", 2);
	c->watched_len += len + 1;
	return 0;
}

/* ------------------------------------------------------------------ words */

#define BLANKS " \t\r\f"

/* One word of a line with its quotes taken off (argv_split of OpenSSH): into out, which has room
 * for the whole line. */
static int next_word(const char **at, char **out)
{
	const char *p = *at;
	char *to = *out;
	char quote = '\0';

	for (; *p != '\0'; p++) {
		if (*p == '\\' && (p[1] == '\'' || p[1] == '"' || p[1] == '\\' ||
				   (quote == '\0' && p[1] == ' '))) {
			*to++ = *++p;
		} else if (quote == '\0' && strchr(BLANKS, *p) != NULL) {
			break;
		} else if (quote == '\0' && (*p == '"' || *p == '\'')) {
			quote = *p;
		} else if (quote != '\0' && *p == quote) {
			quote = '\0';
		} else {
			*to++ = *p;
		}
	}
	if (quote != '\0')
		return -EINVAL;
	*to++ = '\0';
	*at = p;
	*out = to;
	return 0;
}

/* Words up to a comment. One allocation: the pointers, then the text. */
static int split(const char *text, char ***ret_words, size_t *ret_count)
{
	size_t len = strlen(text), slots = len + 2, count = 0;
	char **words = malloc(slots * sizeof(*words) + len + slots + 1);
	char *to;

	if (words == NULL)
		return -ENOMEM;
	to = (char *)(words + slots);
	for (;;) {
		text += strspn(text, BLANKS);
		if (*text == '\0' || *text == '#')
			break;
		words[count++] = to;
		if (next_word(&text, &to) < 0) {
			free(words);
			return -EINVAL;
		}
	}
	words[count] = NULL;
	*ret_words = words;
	*ret_count = count;
	return 0;
}

/* ------------------------------------------------------------------ Match */

static int begin_block(struct sshd_config *c, const char *text, struct error *err)
{
	struct config_block *grown, b = {.outer = -1};
	int r = split(text, &b.words, &b.count);

	if (r < 0)
		return error_set(err, r, "a quote is not closed");
	r = sshd_block_check(&b, err);
	if (r == 0 && c->block_count == BLOCKS_MAX)
		r = error_set(err, -E2BIG, "more than %d Match blocks", BLOCKS_MAX);
	grown = r == 0 ? realloc(c->blocks, (c->block_count + 1) * sizeof(*grown)) : NULL;
	if (r == 0 && grown == NULL)
		r = -ENOMEM;
	if (r < 0) {
		free(b.words);
		return r;
	}
	c->blocks = grown;
	c->blocks[c->block_count] = b;
	return (int)c->block_count++;
}

bool sshd_config_asks_groups(const struct sshd_config *c)
{
	const size_t allow = offsetof(struct sshd_options, allow_groups),
		     deny = offsetof(struct sshd_options, deny_groups);

	for (size_t i = 0; i < c->block_count; i++)
		if (sshd_block_asks_groups(&c->blocks[i]))
			return true;
	for (size_t i = 0; i < c->line_count; i++)
		if (c->lines[i].keyword->offset == allow || c->lines[i].keyword->offset == deny)
			return true;
	return false;
}

static bool block_holds(const struct sshd_config *c, int block, const struct sshd_query *q)
{
	for (; block >= 0; block = c->blocks[block].outer)
		if (!sshd_block_holds(&c->blocks[block], q))
			return false;
	return true;
}

/* ------------------------------------------------------------------ lines */

/* What lines add up to must fit, whichever of them apply. */
static bool too_many(const struct sshd_config *c, const struct sshd_line *l)
{
	bool words = l->keyword->kind == KIND_ADD;
	size_t sum = words ? l->count : 1;

	if ((l->keyword->flags & FLAG_ADD) == 0)
		return false;
	for (size_t i = 0; i < c->line_count; i++)
		if (c->lines[i].keyword == l->keyword)
			sum += words ? c->lines[i].count : 1;
	/* The defaults have their place too. */
	return sum > (words || l->keyword->apply == sshd_apply_listen ? SSHD_WORDS_MAX - 8
								      : SSHD_PORTS_MAX - 1);
}

static int check_line(struct sshd_config *c, const struct sshd_line *l, struct error *err)
{
	if (l->block >= 0 && (l->keyword->flags & FLAG_MATCH) == 0)
		return error_set(err, -EINVAL, "%s cannot stand in a Match block",
				 l->keyword->name);
	if (too_many(c, l))
		return error_set(err, -E2BIG, "%s: too many values", l->keyword->name);
	sshd_keyword_defaults(&c->scratch);
	return sshd_keyword_apply(l, &c->scratch, err);
}

static int keep_line(struct sshd_config *c, const struct sshd_line *l, struct error *err)
{
	struct sshd_line *grown;

	if (c->line_count == LINES_MAX)
		return error_set(err, -E2BIG, "more than %d lines", LINES_MAX);
	grown = realloc(c->lines, (c->line_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	c->lines = grown;
	c->lines[c->line_count++] = *l;
	return 0;
}

/* The keyword, and where its value begins: "Port 22", "Port=22", "Port = 22". */
static const char *take_keyword(const char *text, char name[static 64])
{
	size_t len = strcspn(text, BLANKS "=\"");

	snprintf(name, 64, "%.*s", (int)(len < 63 ? len : 63), text);
	text += len;
	text += strspn(text, BLANKS);
	if (*text == '=')
		text += 1 + strspn(text + 1, BLANKS);
	return text;
}

static int include(struct sshd_config *c, const char *text, struct error *err)
{
	int block = c->block, r;
	char **words;
	size_t count;

	r = split(text, &words, &count);
	if (r < 0)
		return error_set(err, r, "a quote is not closed");
	if (c->include == NULL || count == 0)
		r = error_set(err, -EINVAL, "Include: %s", count == 0 ? "of what?" : "not here");
	for (size_t i = 0; r == 0 && i < count; i++)
		r = c->include(c->include_ctx, c, words[i], err);
	c->block = block; /* a block of the included file ends with it */
	free(words);
	return r;
}

static int keyword_line(struct sshd_config *c, const char *file, unsigned number, const char *name,
			const char *text, struct error *err)
{
	struct sshd_line l = {.keyword = sshd_keyword_find(name),
			      .file = file,
			      .number = number,
			      .block = c->block};
	int r;

	if (l.keyword == NULL)
		return error_set(err, -EINVAL,
				 "there is no keyword %s here: see warren-sshd_config(5)", name);
	r = split(text, &l.words, &l.count);
	if (r < 0)
		return error_set(err, r, "%s: a quote is not closed", l.keyword->name);
	l.rest = strdup(text);
	r = l.rest == NULL ? -ENOMEM : check_line(c, &l, err);
	if (r == 0)
		r = keep_line(c, &l, err);
	if (r < 0) {
		free(l.words);
		free(l.rest);
	}
	return r;
}

static int parse_line(struct sshd_config *c, const char *file, unsigned number, const char *line,
		      int outer, struct error *err)
{
	const char *text = line + strspn(line, BLANKS);
	char name[64];
	int r;

	if (*text == '\0' || *text == '#')
		return 0;
	text = take_keyword(text, name);
	if (strcasecmp(name, "Match") == 0) {
		r = begin_block(c, text, err);
		if (r < 0)
			return r;
		c->blocks[r].outer = outer;
		c->block = r;
		return 0;
	}
	return strcasecmp(name, "Include") == 0 ? include(c, text, err)
						: keyword_line(c, file, number, name, text, err);
}

static int keep_file(struct sshd_config *c, const struct sshd_source *s, const char **ret_name,
		     struct error *err)
{
	char **grown;

	if (c->file_count == FILES_MAX)
		return error_set(err, -E2BIG, "%s: more than %d files", s->name, FILES_MAX);
	if (s->len > SSHD_CONFIG_MAX || c->bytes + s->len > SSHD_CONFIG_MAX)
		return error_set(err, -EMSGSIZE, "%s: more than %u KiB of configuration", s->name,
				 SSHD_CONFIG_MAX >> 10);
	grown = realloc(c->files, (c->file_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	c->files = grown;
	c->files[c->file_count] = strdup(s->name);
	if (c->files[c->file_count] == NULL)
		return -ENOMEM;
	c->bytes += s->len;
	*ret_name = c->files[c->file_count++];
	return 0;
}

int sshd_config_parse_more(struct sshd_config *c, const struct sshd_source *s, struct error *err)
{
	const char *at = s->len > 0 ? s->text : "", *end = at + s->len, *name = NULL;
	char line[LINE_MAX_BYTES];
	int outer = c->block, r;

	if (c->depth == DEPTH_MAX)
		return error_set(err, -ELOOP, "%s: files include one another too deep", s->name);
	r = keep_file(c, s, &name, err);
	if (r < 0)
		return r;
	c->depth++;
	for (unsigned number = 1; r == 0 && at < end; number++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline != NULL ? newline : end) - at);
		struct error inner = {0};

		if (len >= sizeof(line) || memchr(at, '\0', len) != NULL) {
			r = error_set(&inner, -EINVAL, "the line is too long or no text");
		} else {
			memcpy(line, at, len);
			while (len > 0 && strchr(BLANKS, line[len - 1]) != NULL)
				len--;
			line[len] = '\0';
			r = parse_line(c, name, number, line, outer, &inner);
		}
		/* The error of an included file names its own line. */
		if (r < 0 && c->located)
			error_set(err, r, "%s", inner.text);
		else if (r < 0)
			error_set(err, r, "%.200s line %u: %.280s", s->name, number,
				  inner.code != 0 ? inner.text : strerror(-r));
		c->located = r < 0;
		at = newline != NULL ? newline + 1 : end;
	}
	c->depth--;
	c->block = outer;
	return r;
}

int sshd_config_parse(struct sshd_config *c, const struct sshd_source *source, sshd_include_fn fn,
		      void *ctx, struct error *err)
{
	int r;

	c->include = fn;
	c->include_ctx = ctx;
	c->block = -1;
	r = sshd_config_parse_more(c, source, err);
	c->include = NULL;
	c->include_ctx = NULL;
	return r;
}

/* ------------------------------------------------------------------ evaluation */

static size_t index_of(const struct sshd_keyword *k)
{
	return (size_t)(k - sshd_keywords);
}

/* Lines of Match blocks first: what they set the others don't touch. */
void sshd_config_evaluate(const struct sshd_config *c, const struct sshd_query *q,
			  struct sshd_options *o)
{
	enum { UNSET, BY_BLOCK, BY_LINE };
	uint8_t set[256] = {0};

	sshd_keyword_defaults(o);
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < c->line_count; i++) {
			const struct sshd_line *l = &c->lines[i];
			size_t k = index_of(l->keyword);
			uint8_t mine = pass == 0 ? BY_BLOCK : BY_LINE;
			bool adds = (l->keyword->flags & FLAG_ADD) != 0;

			if ((l->block >= 0) != (pass == 0) || !block_holds(c, l->block, q) ||
			    k >= sizeof(set) || (set[k] != UNSET && (set[k] != mine || !adds)))
				continue;
			/* It was tried when it was read. */
			if (sshd_keyword_apply(l, o, NULL) == 0)
				set[k] = mine;
		}
}

/* Another line outside of blocks has this one's say: an earlier one, or a later one that forgets. */
static bool is_moot(const struct sshd_config *c, size_t at)
{
	const struct sshd_line *l = &c->lines[at];
	bool adds = (l->keyword->flags & FLAG_ADD) != 0;

	if (l->block >= 0)
		return false;
	for (size_t i = adds ? at + 1 : 0; i < (adds ? c->line_count : at); i++)
		if (c->lines[i].block < 0 && c->lines[i].keyword == l->keyword &&
		    (!adds || c->lines[i].count == 0))
			return true;
	return false;
}

void sshd_config_each(const struct sshd_config *c, sshd_place_fn fn, void *ctx)
{
	for (size_t i = 0; i < c->line_count; i++) {
		const struct sshd_line *l = &c->lines[i];
		const struct sshd_place place = {
			.keyword = l->keyword->name,
			.file = l->file,
			.line = l->number,
			.in_block = l->block >= 0,
			.count = l->count,
			.words = l->words,
			.rest = l->rest,
			.no_effect = l->keyword->kind == KIND_NOTHING ? l->keyword->more : NULL,
		};

		if (!is_moot(c, i))
			fn(ctx, &place);
	}
}

/* ------------------------------------------------------------------ text */

static int put_word(struct buffer *out, const char *word)
{
	int r = buffer_append(out, " \"", 2);

	for (; r == 0 && *word != '\0'; word++) {
		if (*word == '"' || *word == '\\')
			r = buffer_append(out, "\\", 1);
		if (r == 0)
			r = buffer_append(out, word, 1);
	}
	return r == 0 ? buffer_append(out, "\"", 1) : r;
}

static int put_block(const struct sshd_config *c, int block, struct buffer *out)
{
	int r = buffer_printf(out, "Match");
	bool any = false;

	for (; r == 0 && block >= 0; block = c->blocks[block].outer)
		for (size_t i = 0;
		     r == 0 && c->blocks[block].count > 1 && i < c->blocks[block].count; i++) {
			r = put_word(out, c->blocks[block].words[i]);
			any = true;
		}
	if (r == 0 && !any)
		r = buffer_printf(out, " all");
	return r == 0 ? buffer_append(out, "\n", 1) : r;
}

static int put_line(const struct sshd_line *l, struct buffer *out)
{
	bool raw = (l->keyword->flags & FLAG_RAW) != 0 || l->keyword->apply == sshd_apply_subsystem;
	int r;

	if (l->keyword->kind == KIND_NOTHING)
		return 0;
	r = buffer_printf(out, "%s", l->keyword->name);

	if (raw && r == 0)
		r = buffer_printf(out, " %s", l->rest);
	for (size_t i = 0; !raw && r == 0 && i < l->count; i++)
		r = put_word(out, l->words[i]);
	return r == 0 ? buffer_append(out, "\n", 1) : r;
}

int sshd_config_text(const struct sshd_config *c, struct buffer *out)
{
	int r = 0, block = -1;

	for (size_t i = 0; r == 0 && i < c->line_count; i++)
		if (c->lines[i].block < 0)
			r = put_line(&c->lines[i], out);
	for (size_t i = 0; r == 0 && i < c->line_count; i++) {
		if (c->lines[i].block < 0)
			continue;
		if (c->lines[i].block != block)
			r = put_block(c, c->lines[i].block, out);
		block = c->lines[i].block;
		if (r == 0)
			r = put_line(&c->lines[i], out);
	}
	return r;
}
