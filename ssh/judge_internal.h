/* SPDX-License-Identifier: Apache-2.0
 *
 * What judge.c, judge_object.c and judge_cert.c share. Private to the verifier.
 */
#ifndef WARREN_SSH_JUDGE_INTERNAL_H
#define WARREN_SSH_JUDGE_INTERNAL_H

#include <jansson.h>

#include "identity/sshcert.h"
#include "ssh/judge.h"

#define MAX_CAS		  4
#define MAX_PEERS	  20000
#define MAX_GROUPS	  256
#define MAX_REVOKED	  100000
#define MAX_BLOCKED	  10000
#define MAX_ISSUERS	  16
#define MAX_ISSUERS_TEXT  40000
#define SKEW_S		  60
#define BREAK_GLASS_MAX_S 86700 /* a day, and what ssh-keygen backdates */

struct known_peer {
	char id[32], name[64];
	struct ip_addr v4, v6;
};

/* One object, whole; replaced as one. */
struct known {
	uint64_t seq;
	int64_t valid_until_s;
	bool enabled;
	char domain[128]; /* of the mesh's names; "": an older server's object */
	size_t ca_count, peer_count, revoked_count;
	uint8_t ca[MAX_CAS][32];
	struct known_peer *peers;
	uint64_t *revoked;
	json_t *identities;
	json_t *blocked;   /* array of {identity, caller, before}; NULL: none */
	json_t *peer_list; /* as the object has it */
	char *issuers;	   /* JSON text of "tokens" */
	struct policy *policy;
	struct policy_world *world;
};

enum proof {
	PROOF_NONE,
	PROOF_CERT,
	PROOF_GRANT,
	PROOF_MACHINE,
	PROOF_KEY,
	PROOF_BREAK_GLASS,
	PROOF_TOKEN
};

/* The login that was accepted, for judge_again. */
struct accepted {
	enum proof proof;
	char identity[256], login[64];
	char caller[32]; /* peer that the certificate was made for; "": whoever has the address */
	struct ip_addr client;
	int64_t auth_time_s;
	int64_t issued_s; /* of the proof, by control's clock */
	uint64_t serial;
	uint8_t ca[32];
	uint32_t cap_mask;
	bool pty, user_rc;
	bool files; /* the certificate is for sftp: cap_mask says it */
	char force_command[1024];
	size_t group_count;
	char groups[MAX_GROUPS][128];
};

struct judge {
	struct judge_trust trust;
	struct known *known;
	struct accepted accepted, candidate;
};

/* ---- judge.c */
void judge_refuse(struct verifier_decision *d, const char *sentence);
/* The machine with that overlay address; NULL: none that policy knows. */
const struct known_peer *judge_peer_by_addr(const struct known *k, const struct ip_addr *addr);
/* Is there an object that still counts? Refuses when not. */
bool judge_in_force(const struct judge *j, int64_t now_s, struct verifier_decision *d);
/* A name that does not fit is left out: cut off it would be another's. NULL: nothing. */
void judge_add_group(struct accepted *a, const char *name);
/* Groups that control vouches for: of the identity in the object. */
void judge_add_groups(const struct known *k, struct accepted *a);
/* A login whose proof held: cutoffs and policy. */
void judge_login(struct judge *j, const struct accepted *a, int64_t now_s,
		 struct verifier_decision *d);
/* The login that is being judged, empty but for these. */
struct accepted *judge_candidate(struct judge *j, enum proof proof, const char *login,
				 const struct ip_addr *client);
void judge_accept_if(struct judge *j, bool remember, const struct verifier_decision *d);

/* ---- judge_cert.c */
/* What such a login may do is in the certificate, and no object of the control server is asked. */
void judge_allow_break_glass(const struct judge *j, const struct accepted *a,
			     struct verifier_decision *d);

#endif
