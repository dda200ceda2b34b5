/* SPDX-License-Identifier: Apache-2.0
 *
 * Words of a command line (POSIX shell, section 2.2 and 2.3), as far as file transfers need them.
 * Whatever a shell would act on is refused, not left out.
 */
#include "ssh/sftp_command.h"

#include <errno.h>
#include <string.h>

#define REFUSAL "this login may only transfer files (sftp, scp)"

struct scan {
	const char *at;
	char *out; /* end of what is written */
	bool failed;
};

static void put(struct scan *s, char c, bool literal)
{
	if (literal && strchr("\\*?[]", c) != NULL)
		*s->out++ = '\\';
	*s->out++ = c;
}

static void single_quoted(struct scan *s)
{
	for (s->at++; *s->at != '\0' && *s->at != '\''; s->at++)
		put(s, *s->at, true);
	s->failed = s->failed || *s->at == '\0';
	s->at += *s->at != '\0';
}

static void double_quoted(struct scan *s)
{
	for (s->at++; *s->at != '\0' && *s->at != '"'; s->at++) {
		if (*s->at == '$' || *s->at == '`') {
			s->failed = true;
			return;
		}
		if (*s->at == '\\' && s->at[1] != '\0' && strchr("$`\"\\", s->at[1]) != NULL)
			s->at++;
		put(s, *s->at, true);
	}
	s->failed = s->failed || *s->at == '\0';
	s->at += *s->at != '\0';
}

/* One word; false at the end of the line. */
static bool next_word(struct scan *s, char **ret_word)
{
	s->at += strspn(s->at, " \t");
	if (*s->at == '\0' || s->failed)
		return false;
	*ret_word = s->out;
	s->failed = *s->at == '#';
	while (!s->failed && *s->at != '\0' && *s->at != ' ' && *s->at != '\t') {
		if (*s->at == '\'') {
			single_quoted(s);
		} else if (*s->at == '"') {
			double_quoted(s);
		} else if (strchr(";&|<>()$`\n\r", *s->at) != NULL) {
			s->failed = true;
		} else if (*s->at == '\\') {
			s->failed = s->at[1] == '\0' || s->at[1] == '\n';
			if (!s->failed)
				put(s, s->at[1], true);
			s->at += 2;
		} else {
			put(s, *s->at++, false);
		}
	}
	*s->out++ = '\0';
	return !s->failed;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static bool take_options(struct sftp_command *c, const char *word, int *to, int *from)
{
	for (const char *p = word + 1; *p != '\0'; p++) {
		switch (*p) {
		case 't':
			++*to;
			break;
		case 'f':
			++*from;
			break;
		case 'r':
			c->recursive = true;
			break;
		case 'p':
			c->preserve = true;
			break;
		case 'd':
			c->want_folder = true;
			break;
		case 'v':
		case 'q':
			break;
		default:
			return false;
		}
	}
	return true;
}

static bool parse_scp(struct scan *s, struct sftp_command *c)
{
	int to = 0, from = 0;
	bool options = true;
	char *word;

	while (next_word(s, &word)) {
		if (options && strcmp(word, "--") == 0) {
			options = false;
		} else if (options && word[0] == '-' && word[1] != '\0') {
			if (!take_options(c, word, &to, &from))
				return false;
		} else {
			options = false;
			if (c->count == SFTP_COMMAND_PATHS_MAX)
				return false;
			c->paths[c->count++] = word;
		}
	}
	c->kind = to > 0 ? SFTP_COMMAND_SINK : SFTP_COMMAND_SOURCE;
	return !s->failed && to + from == 1 && c->count > 0 && (from == 1 || c->count == 1);
}

static bool parse(struct scan *s, struct sftp_command *c)
{
	const char *name;
	char *word;

	if (!next_word(s, &word))
		return false;
	name = base_name(word);
	if (strcmp(name, "scp") == 0)
		return parse_scp(s, c);
	c->kind = SFTP_COMMAND_SFTP;
	if (strcmp(name, "sftp-server") == 0 || strcmp(word, "internal-sftp") == 0 ||
	    strcmp(name, "warren-sftp-server") == 0)
		return !next_word(s, &word) && !s->failed; /* without options of its own */
	return false;
}

int sftp_command_parse(const char *line, struct sftp_command *ret_command, struct error *err)
{
	struct scan s = {.at = line};

	memset(ret_command, 0, offsetof(struct sftp_command, text));
	s.out = ret_command->text;
	if (strlen(line) >= SFTP_COMMAND_MAX || !parse(&s, ret_command))
		return error_set(err, -EACCES, REFUSAL);
	return 0;
}

bool sftp_command_globs(const char *pattern)
{
	for (; *pattern != '\0'; pattern++) {
		if (*pattern == '\\' && pattern[1] != '\0')
			pattern++;
		else if (strchr("*?[", *pattern) != NULL)
			return true;
	}
	return false;
}

void sftp_command_plain(char *pattern)
{
	char *out = pattern;

	for (; *pattern != '\0'; pattern++) {
		if (*pattern == '\\' && pattern[1] != '\0')
			pattern++;
		*out++ = *pattern;
	}
	*out = '\0';
}
