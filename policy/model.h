/* SPDX-License-Identifier: Apache-2.0
 *
 * The parsed policy and the world it is judged in, as the files of policy/ see them. Internal.
 */
#ifndef WARREN_POLICY_MODEL_H
#define WARREN_POLICY_MODEL_H

#include "policy/arena.h"
#include "policy/jsonc.h"
#include "policy/policy.h"
#include "policy/when.h"

#define MODEL_NAME_MAX	     64
#define MODEL_SSH_PORT	     22
#define MODEL_SSH_INNER_PORT 22022 /* features.md N4 */
#define MODEL_CERT_TTL_S     300
#define MODEL_PROTO_ICMPV6   58

enum model_kind {
	MODEL_ANY,	      /* "*" */
	MODEL_IDENTITY,	      /* an e-mail address, or user:NAME */
	MODEL_PROVIDER_GROUP, /* group:NAME */
	MODEL_SETUP_KEY,      /* setup-key:NAME */
	MODEL_PEER,	      /* peer:NAME */
	MODEL_PREFIX,	      /* address or CIDR */
	MODEL_SET,	      /* a key of "groups" or "hosts" */
};

struct model_set;

/* One element of a selector list or of a set. */
struct model_atom {
	enum model_kind kind;
	uint64_t hash;	  /* model_hash(text) */
	const char *text; /* without the "kind:"; identities and peer names in lower case */
	const struct model_set *set;
	struct ip_prefix prefix;
	struct jsonc_pos pos;
};

struct model_list {
	struct model_atom *atoms;
	size_t count;
};

struct model_set {
	const char *name;
	bool host; /* a key of "hosts": machines everywhere, also in ssh.from */
	size_t index;
	struct model_list members; /* flat: no MODEL_SET, no MODEL_ANY */
	struct jsonc_pos pos;
};

struct model_interval {
	uint16_t first, last;
};

/* Sorted, disjoint and not adjacent; count 0: no port was given, all of them. */
struct model_ports {
	struct model_interval *intervals;
	size_t count;
};

struct model_rule {
	struct jsonc_pos pos;
	bool deny;
	struct model_list from, to;
	uint8_t proto; /* enum policy_proto */
	struct model_ports ports;
	struct when when;
	struct model_list networks; /* "from_networks" of when; count 0: from everywhere */
};

struct model_ssh_rule {
	struct jsonc_pos pos;
	struct model_list from, to;
	const char **logins;
	size_t login_count;
	bool same_name; /* "=" */
	uint32_t caps;
	uint32_t auth; /* POLICY_SSH_AUTH_* */
	bool files_only; /* caps is POLICY_SSH_SFTP then */
	const char *force_command; /* NULL: none, the session is the person's */
	struct when when;
	struct model_list networks; /* as of a rule */
	uint32_t cert_ttl_s;	  /* 0: not given */
	uint32_t max_login_age_s; /* 0: not given */
	struct model_list via;	  /* machines through which the login may come; count 0: none */
	const char **destinations;
	size_t destination_count;
};

/* An expectation of "tests" ("web:22") or "sshTests" (a login). */
struct model_expect {
	struct jsonc_pos pos;
	const char *text; /* as written */
	bool accept;
	struct model_atom to; /* tests only */
	uint16_t port;
};

struct model_test {
	struct jsonc_pos pos;
	const char *from_text, *to_text;
	struct model_atom from, to; /* to: sshTests only */
	uint8_t proto;
	int64_t at_s; /* 0: now */
	const char *force_command; /* sshTests: NULL: any; "": none */
	struct model_expect *expects;
	size_t expect_count;
};

struct model_claim {
	const char *name;
	const char **patterns; /* any of */
	size_t pattern_count;
};

/* An identity's text is POLICY_WORKLOAD_PREFIX and the name. */
struct model_workload {
	const char *name, *issuer; /* issuer NULL: no token is it */
	struct model_claim *claims;
	size_t claim_count;
	bool enroll;
};

struct policy {
	struct policy_arena arena;
	const char *file;
	struct model_set *sets; /* sorted by name: groups and hosts together */
	size_t set_count;
	struct model_rule *rules;
	size_t rule_count;
	struct model_ssh_rule *ssh;
	size_t ssh_count;
	struct model_test *tests, *ssh_tests;
	size_t test_count, ssh_test_count;
	struct model_workload *workloads;
	size_t workload_count;
};

struct world_name {
	uint64_t hash;
	char *text;
};

struct world_peer {
	struct world_name id, name, setup_key; /* setup_key.text NULL: none */
	struct ip_addr v4, v6;
	struct world_name *identities;
	size_t identity_count;
	bool ssh_enabled, ssh_advertised;
};

struct world_identity {
	struct world_name name;
	struct world_name *groups;
	size_t group_count;
};

/* Hash table of indices into an array: open addressing, 0 is empty, else index + 1. */
struct world_index {
	uint32_t *slots;
	size_t mask; /* slots - 1; 0: nothing allocated */
};

struct policy_world {
	struct world_peer *peers;
	size_t peer_count, peer_cap;
	struct world_identity *identities;
	size_t identity_count, identity_cap;
	struct world_index by_id, by_name, by_identity;
};

/* FNV-1a; only to skip comparisons, never as an answer. */
uint64_t model_hash(const char *text);
const struct model_workload *model_find_workload(const struct policy *p, const char *name);
const struct model_set *model_find_set(const struct policy *p, const char *name);
bool model_is_workload(const char *identity);
/* Writes the selector as the file would: "peer:NAME". */
void model_atom_text(const struct model_atom *atom, char *out, size_t cap);
int model_list_text(const struct model_list *list, struct buffer *out) WARREN_MUST_USE;
bool model_in_ports(const struct model_ports *ports, uint16_t port);
/* One selector as written ("*", "ops", "peer:x", "alice@example.com", "10.0.0.0/8"), into atom;
 * text is copied into the arena. On failure err has the sentence without a position. member: inside
 * a set, where names of sets and "*" are not allowed; host: the set is a key of "hosts". */
struct model_place {
	bool member, host;
};
int model_parse_atom(struct policy *p, const char *text, struct model_place place,
		     struct model_atom *ret_atom, struct error *err) WARREN_MUST_USE;
/* RFC 3339 with an offset; -EINVAL. */
int model_parse_time(const char *text, int64_t *ret_s) WARREN_MUST_USE;
/* Text that is close to `text` among the candidates, or NULL. */
const char *model_near(const char *text, const char *const *candidates, size_t count);

const struct world_peer *world_find_peer(const struct policy_world *w, const char *id);
const struct world_peer *world_find_peer_name(const struct policy_world *w, const char *name);
const struct world_identity *world_find_identity(const struct policy_world *w, const char *name);
int world_copy(const struct policy_world *w, struct policy_world **ret_world) WARREN_MUST_USE;
/* The world plus one symbolic machine for each selector of the policy that stands for none. */
int world_symbolic(const struct policy *p, const struct policy_world *w,
		   struct policy_world **ret_world) WARREN_MUST_USE;

/* The same for one selector; the first `real` machines of w are real. */
int world_add_symbolic(struct policy_world *w, size_t real,
		       const struct model_atom *atom) WARREN_MUST_USE;

/* Does the selector (list) stand for this machine? */
bool match_atom_peer(const struct model_atom *atom, const struct policy_world *w,
		     const struct world_peer *peer);
bool match_list_peer(const struct model_list *list, const struct policy_world *w,
		     const struct world_peer *peer);
/* Is the machine, which may be NULL, in one of "from_networks"? Yes where there are none. */
bool match_networks(const struct model_list *networks, const struct policy_world *w,
		    const struct world_peer *peer);
/* match_list_peer with a memory for sets: memo[set_count], -1: not asked yet. For one peer. */
bool match_list_memo(const struct model_list *list, const struct policy_world *w,
		     const struct world_peer *peer, signed char *memo);

#endif
