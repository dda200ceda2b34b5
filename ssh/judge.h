/* SPDX-License-Identifier: Apache-2.0
 *
 * What the verifier knows and decides, without processes: the signed "ssh" object as policy and
 * world, and the judgement of certificates, grants and machine logins. Runs unprivileged; no I/O.
 */
#ifndef WARREN_SSH_JUDGE_H
#define WARREN_SSH_JUDGE_H

#include "ssh/verifier.h"

struct judge;

struct judge_trust {
	uint8_t signing_key[32];
	char network[32], peer_id[32];
	uint64_t min_seq;
	bool standalone; /* no mesh: those CAs are TrustedUserCAKeys */
	/* CAs that root pinned on this machine, and revoked serials of theirs */
	size_t break_glass_count, revoked_count;
	uint8_t break_glass[SSH_WIRE_BREAK_GLASS_MAX][32];
	uint64_t revoked[SSH_WIRE_REVOKED_MAX];
};

int judge_new(const struct judge_trust *trust, struct judge **ret_judge) WARREN_MUST_USE;
void judge_free(struct judge *j);
/* Opens the text, checks network, peer and sequence, and replaces what was known; nothing changes
 * on failure. */
int judge_object(struct judge *j, const char *text, size_t len, int64_t now_s, uint64_t *ret_seq,
		 bool *ret_enabled, struct error *err) WARREN_MUST_USE;
/* This machine's name in the mesh by the newest object; empty before there is one. */
const char *judge_host_name(const struct judge *j);
/* As verifier_resolve. */
int judge_resolve(const struct judge *j, const char *host,
		  struct ip_addr *ret_addr) WARREN_MUST_USE;
/* Always fill ret_decision. remember: AGAIN judges this login from now on. */
void judge_cert(struct judge *j, const uint8_t *blob, size_t len, const char *login,
		const struct ip_addr *client, int64_t now_s, bool remember,
		struct verifier_decision *ret_decision);
void judge_grant(struct judge *j, const char *text, size_t len, const char *login,
		 const char *session_hash, const struct ip_addr *client, int64_t now_s,
		 struct verifier_decision *ret_decision);
void judge_machine(struct judge *j, const char *login, const struct ip_addr *client, int64_t now_s,
		   struct verifier_decision *ret_decision);
/* A key of authorized_keys: who holds it is the monitor's to find out. */
void judge_key(struct judge *j, const char *login, const struct ip_addr *client, int64_t now_s,
	       bool remember, struct verifier_decision *ret_decision);
/* A person's token as password, already verified against judge_issuers: it does only from a machine
 * that this person is logged in on. */
void judge_token(struct judge *j, const struct verifier_token *token, const char *login,
		 const struct ip_addr *client, int64_t now_s,
		 struct verifier_decision *ret_decision);
/* JSON array of the object's "tokens"; "[]" without. Valid until the next object. */
const char *judge_issuers(const struct judge *j);
/* allowed: a person's login may be waited for although the client can show nothing but a banner. */
void judge_banner(const struct judge *j, const char *login, const struct ip_addr *client,
		  int64_t now_s, struct verifier_decision *ret_decision);
void judge_again(struct judge *j, int64_t now_s, struct verifier_decision *ret_decision);

#endif
