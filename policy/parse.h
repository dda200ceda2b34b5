/* SPDX-License-Identifier: Apache-2.0
 *
 * Typed access to the nodes of a policy file, with sentences that say what to write. Internal.
 */
#ifndef WARREN_POLICY_PARSE_H
#define WARREN_POLICY_PARSE_H

#include "policy/model.h"

struct parse {
	struct policy *policy;
	struct error *err;
};

/* A key of an object: what reads it. unenforced: known to the grammar, refused by this version. */
struct parse_key {
	const char *name;
	int (*read)(struct parse *ps, const struct jsonc_node *value, void *out);
	bool unenforced;
};

int parse_fail(struct parse *ps, struct jsonc_pos pos, const char *fmt, ...) WARREN_PRINTF(3, 4);
int parse_nomem(struct parse *ps);
/* Reads the members of `object` by the table (ends with a NULL name); an unknown key is an error
 * that names the nearest known one. what: "a rule". */
int parse_object(struct parse *ps, const struct jsonc_node *object, const struct parse_key *keys,
		 const char *what, void *out) WARREN_MUST_USE;
int parse_expect(struct parse *ps, const struct jsonc_node *node, enum jsonc_type type,
		 const char *what) WARREN_MUST_USE;
bool parse_has(const struct jsonc_node *object, const char *key);
int parse_missing(struct parse *ps, const struct jsonc_node *object, const char *key,
		  const char *what) WARREN_MUST_USE;
/* A selector, or an array of them (not empty unless a set's). */
int parse_list(struct parse *ps, const struct jsonc_node *node, struct model_place place,
	       struct model_list *ret_list) WARREN_MUST_USE;
int parse_atom(struct parse *ps, const struct jsonc_node *node, const char *text,
	       struct model_place place, struct model_atom *ret_atom) WARREN_MUST_USE;
/* "22,80,8000-8100", 22, or an array of both. */
int parse_ports(struct parse *ps, const struct jsonc_node *node,
		struct model_ports *ret_ports) WARREN_MUST_USE;
int parse_proto(struct parse *ps, const struct jsonc_node *node,
		uint8_t *ret_proto) WARREN_MUST_USE;
/* RFC 3339, after 1970. name: the key, for the sentence. */
int parse_time(struct parse *ps, const struct jsonc_node *node, const char *name,
	       int64_t *ret_s) WARREN_MUST_USE;
/* Whole seconds, or "90s", "30m", "8h", "7d". */
int parse_duration(struct parse *ps, const struct jsonc_node *node, uint32_t min_s, uint32_t max_s,
		   uint32_t *ret_s) WARREN_MUST_USE;
/* One line of printable text that fits POLICY_SSH_COMMAND_SIZE; may be empty. */
int parse_force_command(struct parse *ps, const struct jsonc_node *node,
			const char **ret_command) WARREN_MUST_USE;
/* {"not_after": …, "hours": …, "tz": …, "from_networks": […]} */
int parse_when(struct parse *ps, const struct jsonc_node *node, struct when *ret_when,
	       struct model_list *ret_networks) WARREN_MUST_USE;

/* The arrays of the top level, each in its file. */
int parse_workloads(struct parse *ps, const struct jsonc_node *object) WARREN_MUST_USE;
int parse_ssh_rules(struct parse *ps, const struct jsonc_node *array) WARREN_MUST_USE;
int parse_tests(struct parse *ps, const struct jsonc_node *array) WARREN_MUST_USE;
int parse_ssh_tests(struct parse *ps, const struct jsonc_node *array) WARREN_MUST_USE;

#endif
