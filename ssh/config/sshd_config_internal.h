/* SPDX-License-Identifier: Apache-2.0
 *
 * What sshd_config*.c share: lines as they were parsed, and the table of keywords.
 */
#ifndef WARREN_SSH_CONFIG_SSHD_CONFIG_INTERNAL_H
#define WARREN_SSH_CONFIG_SSHD_CONFIG_INTERNAL_H

#include "ssh/config/sshd_config.h"

enum sshd_kind {
	KIND_BOOL,
	KIND_NUMBER, /* uint32_t */
	KIND_TIME,   /* uint32_t seconds; "none" is 0 where NONE is set */
	KIND_CHOICE, /* int */
	KIND_WORD,   /* const char *; "none" is NULL */
	KIND_REST,   /* the rest of the line; "none" is NULL */
	KIND_WORDS,  /* the first line wins */
	KIND_ADD,    /* lines add up */
	KIND_ALGORITHMS,
	KIND_FIXED,   /* one value, `fixed`, is all that this server can do */
	KIND_SPECIAL, /* apply and show by themselves */
	KIND_NOTHING, /* has no effect, and a warning says why (`more`) */
};

enum sshd_flag {
	FLAG_MATCH = 1 << 0, /* may stand in a Match block */
	FLAG_ADD = 1 << 1,   /* lines add up */
	FLAG_CLEAR = 1 << 2, /* a line without a value forgets those before */
	FLAG_NONE = 1 << 3,  /* "none" is a value */
	FLAG_SPLIT = 1 << 4, /* shown as one line for each word */
	FLAG_USERS = 1 << 5, /* words are USER@HOST patterns */
	FLAG_RAW = 1 << 6,   /* the text behind the keyword is the value */
};

struct sshd_choice {
	const char *word;
	int value; /* the first word of a value is what is shown */
};

struct sshd_line {
	const struct sshd_keyword *keyword;
	const char *file; /* owned by the configuration */
	unsigned number;
	int block;  /* -1: outside of any */
	char *rest; /* what stands behind the keyword */
	size_t count;
	char **words; /* words[count]; one allocation */
};

struct sshd_keyword {
	const char *name; /* as the manual writes it */
	enum sshd_kind kind;
	unsigned flags;
	size_t offset; /* in struct sshd_options */
	const char *fixed; /* KIND_FIXED: the value. Else the default, one word, or NULL */
	const void *more;  /* choices, algorithms; KIND_FIXED, KIND_NOTHING: why */
	uint32_t low, high;
	int (*apply)(const struct sshd_line *l, struct sshd_options *o, struct error *err);
	int (*show)(const struct sshd_options *o, struct buffer *out);
};

extern const struct sshd_keyword sshd_keywords[];
extern const size_t sshd_keyword_count;

const struct sshd_keyword *sshd_keyword_find(const char *name);
/* Sets what the line says, or -EINVAL and what is wrong (without file and line). */
int sshd_keyword_apply(const struct sshd_line *l, struct sshd_options *o, struct error *err);
void sshd_keyword_defaults(struct sshd_options *o);

struct config_block {
	int outer; /* the block of the Include that this one stands in; -1: none */
	size_t count;
	char **words; /* criterion, list, criterion, list … */
};

/* ---- sshd_config_block.c */
/* -EINVAL and the sentence for a line that asks for something else. */
int sshd_block_check(struct config_block *b, struct error *err) WARREN_MUST_USE;
/* Does it ask for groups? */
bool sshd_block_asks_groups(const struct config_block *b);
/* Without the blocks around it. */
bool sshd_block_holds(const struct config_block *b, const struct sshd_query *q);

/* ---- sshd_config_value.c */
int sshd_value_number(const char *text, uint32_t low, uint32_t high, uint32_t *ret) WARREN_MUST_USE;
/* 90, 1m30s, 2h… */
int sshd_value_time(const char *text, uint32_t *ret_s) WARREN_MUST_USE;
int sshd_value_algorithms(const struct sshd_keyword *k, const char *text, char *out,
			  struct error *err) WARREN_MUST_USE;
int sshd_value_add(struct sshd_words *w, const struct sshd_line *l,
		   struct error *err) WARREN_MUST_USE;
/* Two colons without a bracket: an IPv6 address without a port, maybe with a zone (as sshd). */
bool sshd_value_bare_v6(const char *word);
/* HOST:PORT, [ADDRESS]:PORT, *:*; PermitListen's bare PORT has host "*". */
int sshd_value_permit(const char *word, bool bare, char host[static 256], size_t *ret_host_len,
		      uint32_t *ret_port) WARREN_MUST_USE;

/* ---- sshd_config_special.c: keywords of a form of their own */
typedef int sshd_apply_fn(const struct sshd_line *l, struct sshd_options *o, struct error *err);
typedef int sshd_show_fn(const struct sshd_options *o, struct buffer *out);
sshd_apply_fn sshd_apply_port, sshd_apply_listen, sshd_apply_max_startups, sshd_apply_per_source,
	sshd_apply_net_block, sshd_apply_rekey, sshd_apply_timeout, sshd_apply_permit_open,
	sshd_apply_permit_listen, sshd_apply_subsystem, sshd_apply_set_env, sshd_apply_user_env;
sshd_show_fn sshd_show_port, sshd_show_listen, sshd_show_max_startups, sshd_show_per_source,
	sshd_show_net_block, sshd_show_rekey, sshd_show_timeout, sshd_show_permit_open,
	sshd_show_permit_listen, sshd_show_subsystem, sshd_show_user_env;

#endif
