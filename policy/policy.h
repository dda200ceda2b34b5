/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy file of design section 7: parse, test, explain, slice, compile, evaluate. Pure: no I/O,
 * no clock, no globals. The same functions run in the control server (validate, slice, principals),
 * in the CLI (`policy test`), in main (compile, explain) and in the verifier of an SSH connection.
 */
#ifndef WARREN_POLICY_POLICY_H
#define WARREN_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/buffer.h"
#include "platform/error.h"

#define POLICY_MAX_TEXT (4u << 20)

struct policy;
struct policy_world;

/* One machine of the mesh. Strings are copied. */
struct policy_peer {
	const char *id;           /* "p_…" */
	const char *name;         /* host label, unique in the network: "second" */
	struct ip_addr v4, v6;    /* overlay addresses; family 0: none */
	const char *setup_key;    /* NAME of the setup key it enrolled with, or NULL */
	const char *const *identities; /* people who enrolled it or are logged in on it (lower-case) */
	size_t identity_count;
	bool ssh_enabled;         /* control has SSH enabled for it */
	bool ssh_advertised;      /* the peer says its server is on */
};

int policy_world_new(struct policy_world **ret_world) WARREN_MUST_USE;
void policy_world_free(struct policy_world *w);
int policy_world_add_peer(struct policy_world *w, const struct policy_peer *peer) WARREN_MUST_USE;
/* A person's groups at the provider ("group:NAME" members match these). */
int policy_world_add_identity(struct policy_world *w, const char *identity,
			      const char *const *groups, size_t group_count) WARREN_MUST_USE;

/* The index-th of these groups; NULL: no more, or nobody of that name. The world's. */
const char *policy_world_group(const struct policy_world *w, const char *identity, size_t index);

/* Parses the file: comments, trailing commas; unknown keys, unknown groups, bad values and what is
 * not enforced yet are errors "FILE:LINE:COL: sentence". file is for messages only. */
int policy_parse(const char *file, const char *text, size_t len, struct policy **ret_policy,
		 struct error *err) WARREN_MUST_USE;
void policy_free(struct policy *p);
/* A moment as the file writes it: RFC 3339 with an offset, years 1970 to 9999. -EINVAL. */
int policy_parse_time(const char *text, int64_t *ret_s) WARREN_MUST_USE;
/* Runs "tests" and "sshTests". world NULL: unknown `peer:` names and identities are symbolic (each
 * stands for one machine of its own). -EPERM with "FILE:LINE:COL: sentence" of the first failure. */
int policy_run_tests(const struct policy *p, const struct policy_world *w, int64_t now_s,
		     struct error *err) WARREN_MUST_USE;

/* Can any rule or ssh rule connect the two peers, in either direction, at any time? */
bool policy_concerns(const struct policy *p, const struct policy_world *w, const char *peer_a,
		     const char *peer_b);
/* The same for one peer against all: ret_concerned[i] is the answer for the i-th peer added to w (the
 * array has as many elements as peers were added). Much faster than asking pair by pair. -ENOENT:
 * there is no such peer. */
int policy_concerned(const struct policy *p, const struct policy_world *w, const char *peer_id,
		     bool *ret_concerned) WARREN_MUST_USE;
/* The part of the policy that concerns one peer, as policy text (no tests) that policy_parse takes
 * and that judges this peer's flows and logins exactly as the whole does. Appends to out. */
int policy_slice(const struct policy *p, const struct policy_world *w, const char *peer_id,
		 struct buffer *out) WARREN_MUST_USE;

enum policy_proto { POLICY_PROTO_ANY = 0, POLICY_PROTO_ICMP = 1, POLICY_PROTO_TCP = 6, POLICY_PROTO_UDP = 17 };

/* The slow, obvious evaluator (also the oracle of the compiled filter): may src open a flow to dst?
 * why (may be NULL) gets the rule's position or "no rule allows it". */
bool policy_allows(const struct policy *p, const struct policy_world *w, const char *src_peer,
		   const char *dst_peer, uint8_t proto, uint16_t port, int64_t now_s,
		   struct error *why);
/* `policy explain FROM TO[:PORT]`: several lines for a person. from: identity, peer name or id. */
int policy_explain(const struct policy *p, const struct policy_world *w, const char *from,
		   const char *to, uint8_t proto, uint16_t port, int64_t now_s, struct buffer *out,
		   struct error *err) WARREN_MUST_USE;

/* ---- workloads: tokens of machines without people */
struct policy_claims {
	void *ctx;
	/* The index-th value of a claim as text; NULL: no more. Valid until the next call. */
	const char *(*value)(void *ctx, const char *claim, size_t index);
};
/* Whom the policy's "workloads" see in a verified token: their identity is "workload:NAME". -ENOENT:
 * nobody; -ENOTUNIQ: several, so nobody. ret_enroll: may it bring its machine into the network?
 * *ret_name is the policy's. */
int policy_workload(const struct policy *p, const char *issuer, const struct policy_claims *claims,
		    const char **ret_name, bool *ret_enroll, struct error *err) WARREN_MUST_USE;
/* "*" is any run without a slash, "**" any run; all else is itself. */
bool policy_workload_glob(const char *pattern, const char *text);
#define POLICY_WORKLOAD_PREFIX "workload:"

/* What an SSH login may do. */
enum policy_ssh_cap {
	POLICY_SSH_SHELL = 1 << 0,
	POLICY_SSH_EXEC = 1 << 1,
	POLICY_SSH_SFTP = 1 << 2,
	POLICY_SSH_FORWARD = 1 << 3,        /* direct-tcpip */
	POLICY_SSH_REMOTE_FORWARD = 1 << 4, /* tcpip-forward */
	POLICY_SSH_AGENT = 1 << 5,
};
/* Kinds of sessions; the others are forwards. */
#define POLICY_SSH_SESSIONS ((uint32_t)(POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_SFTP))
/* What a rule takes beside a person's login, which always does. */
enum policy_ssh_auth {
	POLICY_SSH_AUTH_IDENTITY = 1 << 0, /* nothing else (default) */
	POLICY_SSH_AUTH_MACHINE = 1 << 1,  /* "none" authentication by overlay address may do */
	POLICY_SSH_AUTH_KEY = 1 << 2,	   /* a key of the account's authorized_keys may do */
	POLICY_SSH_AUTH_TOKEN = 1 << 4,	   /* a person's token given as password may do */
	POLICY_SSH_AUTH_BANNER = 1 << 3,   /* who can't be asked sees the login's URL in the banner */
};
/* How the caller was proven. */
enum policy_ssh_proof {
	POLICY_SSH_PROOF_USUAL = 0, /* identity: a person's login; none: the overlay address */
	POLICY_SSH_PROOF_KEY = 1,   /* a key of authorized_keys; no identity */
	POLICY_SSH_PROOF_TOKEN = 2, /* a person's token as password */
};
struct policy_ssh_query {
	const char *identity;     /* NULL with machine login */
	const char *const *groups; /* provider's groups of the identity, as proven by login */
	size_t group_count;
	bool groups_exact;	  /* these are all: the world's of that identity do not count */
	const char *caller_peer;  /* peer id the connection comes from */
	const char *via_peer;     /* the machine whose address the target sees, when that is not
				   * the caller (ssh -J); NULL: directly */
	const char *target_peer;
	const char *login;        /* local account asked for */
	enum policy_ssh_proof proof;
	int64_t auth_time_s;      /* when the person logged in; 0: unknown */
	int64_t now_s;
};
#define POLICY_SSH_MAX_DESTINATIONS 32
#define POLICY_SSH_COMMAND_SIZE	    1024 /* of a forced command, with its end */
struct policy_ssh_decision {
	bool allowed;
	uint32_t caps;        /* POLICY_SSH_*; union over the matching rules that allow */
	/* POLICY_SSH_SFTP comes from rules with "files_only" alone: sftp and scp, confined to the
	 * account's home folder. */
	bool files_only;
	/* Instead of whatever a session asks for; "": none. Of one rule, and caps, destinations and
	 * all else are that rule's alone (and those of rules that give no session). */
	char force_command[POLICY_SSH_COMMAND_SIZE];
	bool machine_auth;    /* some matching rule has "auth": "machine" */
	uint32_t cert_ttl_s;  /* 300 unless a rule says otherwise */
	int64_t not_after_s;  /* earliest moment the answer may change; 0: none */
	char reason[256];     /* when denied: for the person, no secrets */
	/* Bounded "host:port" patterns for direct-tcpip; count 0: any destination. */
	size_t destination_count;
	char destinations[POLICY_SSH_MAX_DESTINATIONS][72];
};
/* Always fills ret_decision; false answers carry a reason. */
void policy_ssh_check(const struct policy *p, const struct policy_world *w,
		      const struct policy_ssh_query *query, struct policy_ssh_decision *ret_decision);
/* Machines through which this login may come too ("via" of the rules that allow it; query->via_peer
 * is ignored): their ids, w's, at most max. */
size_t policy_ssh_via(const struct policy *p, const struct policy_world *w,
		      const struct policy_ssh_query *query, const char **ret_ids, size_t max);
/* Could anybody use this login there, coming from that machine, with the right login of their own? For
 * refusing before a person is asked to log in. Ages of logins are not looked at. */
bool policy_ssh_anyone(const struct policy *p, const struct policy_world *w, const char *caller_peer,
		       const char *target_peer, const char *login, int64_t now_s);
/* The same by the rules with "auth": "banner". */
bool policy_ssh_banner(const struct policy *p, const struct policy_world *w, const char *caller_peer,
		       const char *target_peer, const char *login, int64_t now_s);
/* Logins a person may use on target (certificate principals): fixed names of matching rules, and the
 * local part for "=". Appends "name\n" lines; `query->login` is ignored. */
int policy_ssh_logins(const struct policy *p, const struct policy_world *w,
		      const struct policy_ssh_query *query, struct buffer *out) WARREN_MUST_USE;
/* Row N4: does policy together with the peer's SSH state open 22022 (src to dst)? */
bool policy_opens_ssh(const struct policy *p, const struct policy_world *w, const char *src_peer,
		      const char *dst_peer, int64_t now_s);

/* "HOST:PORT" of an ssh rule's destinations. HOST: a name, "*.SUFFIX", an address (IPv6 in brackets)
 * or "*"; PORT: a number, a range or "*". At most 71 bytes. */
bool policy_destination_valid(const char *pattern);
/* Does a direct-tcpip request for host (a name or an address, as the client wrote it) and port fit?
 * Names are compared as text without case; addresses as addresses. Nothing is resolved. */
bool policy_destination_matches(const char *pattern, const char *host, uint16_t port);
/* The next moment after now_s at which a "when" ends, so that compiled rules must be made again; 0:
 * never. */
int64_t policy_next_change(const struct policy *p, int64_t now_s);

/* Compiles what concerns `self` into one position-independent, pointer-free, read-only block for
 * filter.h. The caller frees *ret_blob with free(). */
int policy_compile(const struct policy *p, const struct policy_world *w, const char *self_peer,
		   int64_t now_s, void **ret_blob, size_t *ret_len, struct error *err)
	WARREN_MUST_USE;

#endif
