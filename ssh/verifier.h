/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier of an SSH connection (ssh/PROTOCOL.md section 5): an unprivileged child that alone
 * opens what the control server signed, and judges logins by it. This header is the monitor's side;
 * every call is one synchronous round trip with a limit of two seconds, after which the login
 * fails.
 */
#ifndef WARREN_SSH_VERIFIER_H
#define WARREN_SSH_VERIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/error.h"
#include "policy/policy.h"
#include "ssh/wire/ssh_wire.h"

#define VERIFIER_SUBJECT_MAX 1100 /* RSA of 8192 bits */

struct verifier;

struct verifier_decision {
	bool allowed;
	char message[256];  /* why not: for the person who has proven an identity */
	char identity[256]; /* empty: machine login */
	char caller_peer[32], caller_name[64];
	uint32_t caps; /* POLICY_SSH_*, narrowed by the certificate's extensions */
	bool files_only; /* what POLICY_SSH_SFTP allows is confined to the home folder */
	bool pty;
	bool user_rc; /* ~/.ssh/rc is run */
	bool break_glass; /* by a CA that root pinned here: identity is "break-glass:KEY-ID" */
	char force_command[4096]; /* empty: none */
	/* Plain public key blob (RFC 4253 section 6.6) of a user certificate that parses, also of
	 * one that is refused: the key that must have signed. Length 0: none. */
	size_t subject_len;
	uint8_t subject[VERIFIER_SUBJECT_MAX];
	int64_t again_at_s; /* ask again then at the latest; 0: no such moment */
	size_t destination_count;
	char destinations[POLICY_SSH_MAX_DESTINATIONS][72];
};

#define VERIFIER_GROUPS_MAX 256

/* Who a token speaks of, as a process without rights verified it. */
struct verifier_token {
	char identity[256];
	int64_t auth_time_s, issued_s;
	size_t group_count;
	char groups[VERIFIER_GROUPS_MAX][128];
};

struct verifier_object {
	uint64_t seq;
	bool enabled;
	char host_name[64]; /* this machine's name in the mesh */
};

struct place;
/* Forks the child; call it before anything secret is in memory. place: where it lives (borrowed;
 * NULL: it finds one; without root it is not looked at). */
int verifier_start(const struct place *place, struct verifier **ret_verifier) WARREN_MUST_USE;
/* Tells the child what to believe: pinned key, network, this peer, lowest sequence. */
int verifier_configure(struct verifier *v, const struct ssh_wire_config *config) WARREN_MUST_USE;
/* A signed object in a sealed memfd (borrowed). -EACCES with the sentence when it is refused; the
 * former one stays. */
int verifier_object(struct verifier *v, int fd, struct verifier_object *ret_object,
		    struct error *err) WARREN_MUST_USE;
/* 0 and the decision (which may be a refusal), or a negative code when the child does not answer:
 * refuse then. now_s: the monitor's clock. v may be NULL: nobody answers. */
int verifier_cert(struct verifier *v, const uint8_t *blob, size_t len, const char *login,
		  const struct ip_addr *client, int64_t now_s, bool remember,
		  struct verifier_decision *ret_decision) WARREN_MUST_USE;
int verifier_grant(struct verifier *v, const char *text, size_t len, const char *login,
		   const char *session_hash, const struct ip_addr *client, int64_t now_s,
		   struct verifier_decision *ret_decision) WARREN_MUST_USE;
int verifier_machine(struct verifier *v, const char *login, const struct ip_addr *client,
		     int64_t now_s, struct verifier_decision *ret_decision) WARREN_MUST_USE;
/* May a key of authorized_keys let this machine in at all? remember: it has; judge that login from
 * now on. */
int verifier_key(struct verifier *v, const char *login, const struct ip_addr *client, int64_t now_s,
		 bool remember, struct verifier_decision *ret_decision) WARREN_MUST_USE;
/* The issuers whose tokens do as passwords, as the object has them: a JSON array for the process
 * that verifies one; out[cap]. */
int verifier_issuers(struct verifier *v, uint8_t *out, size_t cap, size_t *ret_len) WARREN_MUST_USE;
int verifier_token(struct verifier *v, const struct verifier_token *token, const char *login,
		   const struct ip_addr *client, int64_t now_s,
		   struct verifier_decision *ret_decision) WARREN_MUST_USE;
/* Does policy want a client that cannot be asked to see the login's URL in the banner? allowed says
 * so; it lets nobody in. */
int verifier_banner(struct verifier *v, const char *login, const struct ip_addr *client,
		    int64_t now_s, struct verifier_decision *ret_decision) WARREN_MUST_USE;
/* Judges the remembered login again, by the newest object. */
int verifier_again(struct verifier *v, int64_t now_s,
		   struct verifier_decision *ret_decision) WARREN_MUST_USE;
/* Is the key or certificate in the file of revoked ones (fd, read from where it stands; revoked.h)?
 * 1, 0, or negative with a sentence: the file cannot be read. Needs no configuration. */
int verifier_revoked(struct verifier *v, int fd, const uint8_t *blob, size_t len,
		     struct error *err) WARREN_MUST_USE;
/* The overlay address of a machine of the mesh by its name, with or without the network's domain;
 * -ENOENT: none that this machine's policy knows. */
int verifier_resolve(struct verifier *v, const char *host,
		     struct ip_addr *ret_addr) WARREN_MUST_USE;
struct answer_limits;
/* How long the child may take for each answer from now on; its pid is filled in. */
void verifier_patience(struct verifier *v, const struct answer_limits *limits);
/* Was pid the child? It is gone then, and every question fails. */
bool verifier_reaped(struct verifier *v, pid_t pid);
/* Ends the child and reaps it. NULL is fine. */
void verifier_stop(struct verifier *v);

#endif
