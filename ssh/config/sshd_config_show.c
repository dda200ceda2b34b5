/* SPDX-License-Identifier: Apache-2.0
 *
 * What is in force, as `sshd -T` prints it.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "ssh/config/sshd_config_internal.h"

static const void *field(const struct sshd_options *o, const struct sshd_keyword *k)
{
	return (const char *)o + k->offset;
}

static void lower(const char *name, char out[static 64])
{
	size_t i = 0;

	for (; name[i] != '\0' && i < 63; i++)
		out[i] = (char)tolower((unsigned char)name[i]);
	out[i] = '\0';
}

static const char *choice_word(const struct sshd_keyword *k, int value)
{
	for (const struct sshd_choice *c = k->more; c->word != NULL; c++)
		if (c->value == value)
			return c->word;
	return "?";
}

static int show_words(const char *name, const struct sshd_keyword *k, const struct sshd_words *w,
		      struct buffer *out)
{
	bool split = (k->flags & FLAG_SPLIT) != 0;
	int r = 0;

	if (w->count == 0)
		return 0;
	if (!split)
		r = buffer_printf(out, "%s", name);
	for (size_t i = 0; r == 0 && i < w->count; i++)
		r = split ? buffer_printf(out, "%s %s\n", name, w->word[i])
			  : buffer_printf(out, " %s", w->word[i]);
	return r == 0 && !split ? buffer_printf(out, "\n") : r;
}

static int show_text(const char *name, const char *text, struct buffer *out)
{
	return buffer_printf(out, "%s %s\n", name, text != NULL ? text : "none");
}

static int show(const struct sshd_keyword *k, const struct sshd_options *o, struct buffer *out)
{
	const void *at = field(o, k);
	char name[64];

	lower(k->name, name);
	if (k->show != NULL)
		return k->show(o, out);
	switch (k->kind) {
	case KIND_BOOL:
		return show_text(name, *(const bool *)at ? "yes" : "no", out);
	case KIND_TIME:
		if ((k->flags & FLAG_NONE) != 0 && k->fixed[0] == 'n' && *(const uint32_t *)at == 0)
			return show_text(name, NULL, out);
		return buffer_printf(out, "%s %u\n", name, *(const uint32_t *)at);
	case KIND_NUMBER:
		return buffer_printf(out, "%s %u\n", name, *(const uint32_t *)at);
	case KIND_CHOICE:
		return show_text(name, choice_word(k, *(const int *)at), out);
	case KIND_WORD:
	case KIND_REST:
		return show_text(name, *(const char *const *)at, out);
	case KIND_WORDS:
	case KIND_ADD:
		return show_words(name, k, at, out);
	case KIND_ALGORITHMS:
		return show_text(name, at, out);
	case KIND_FIXED:
		return show_text(name, k->fixed, out);
	case KIND_SPECIAL:
	case KIND_NOTHING:
	default:
		return 0;
	}
}

int sshd_config_show(const struct sshd_options *o, struct buffer *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sshd_keyword_count; i++)
		r = show(&sshd_keywords[i], o, out);
	return r;
}
