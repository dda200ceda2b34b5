/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of warren-control share: the process's context, the signer child, the network's
 * state in memory. The core owns enrolment, maps and the admin API; issuer_* is the embedded OIDC
 * provider and knows nothing of the rest but users; login_* makes certificates and grants.
 */
#ifndef WARREN_CONTROL_CONTROL_H
#define WARREN_CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "control/server.h"
#include "identity/http.h"
#include "identity/oidc.h"
#include "identity/sshcert.h"
#include "platform/addr.h"
#include "platform/clock.h"
#include "platform/error.h"
#include "policy/policy.h"

struct signer;
struct store;
struct state;
struct issuer;
struct login_service;
struct issuers;

enum { CONTROL_MAX_ISSUERS = 16, CONTROL_MAX_AUDIENCES = 4, CONTROL_AUDIENCE_SIZE = 300 };

/* One entry of "issuers"; issuers.h. */
#define CONTROL_SSH_AUDIENCE "warren-ssh"

struct control_issuer {
	char issuer[256], client_id[128], client_secret_file[256], ca_file[256];
	char user_claim[64], groups_claim[64], resource[256];
	/* people: what a bearer may be made for (none: the client id); workloads: for certificates */
	char audiences[CONTROL_MAX_AUDIENCES][CONTROL_AUDIENCE_SIZE];
	char enroll_audiences[CONTROL_MAX_AUDIENCES][CONTROL_AUDIENCE_SIZE];
	size_t audience_count, enroll_audience_count;
	bool workload, access_tokens;
	int64_t skew_s, max_age_s; /* 0: the default, any */
	uint16_t redirect_ports[8]; /* of loopback redirects; count 0: any */
	size_t redirect_port_count;
};

struct control_config {
	char state_dir[256];    /* /var/lib/warren-control */
	char listen[128];       /* 0.0.0.0:8443 */
	char stun_listen[128];  /* 0.0.0.0:3478; "" off */
	char public_url[256];   /* https://host:8443, no final slash */
	char admin_socket[108]; /* /run/warren/control.sock */
	char tls_cert[256], tls_key[256]; /* "": self-made at first start under state_dir */
	char domain[128];       /* warren.internal */
	bool demo;              /* embedded issuer takes passwords on a self-made certificate */
	bool tls_self_made;
	/* Foreign provider; issuer "" means the embedded one at public_url. */
	char issuer[256], client_id[128], client_secret_file[256], issuer_ca_file[256];
	struct control_issuer issuers[CONTROL_MAX_ISSUERS]; /* people's first */
	size_t issuer_count;
	char user_claim[64], groups_claim[64];
	uint32_t map_ttl_s;     /* valid_until of maps: 86,400 */
	uint32_t login_ttl_s;   /* how long a person counts as logged in on a peer: 86,400 */
	char prefix4[64];       /* overlay IPv4 range of a new network: 100.64.0.0/10 */
	bool ssh_default;       /* control's SSH switch of a new peer; the machine's own is the ceiling */
	bool login_enrolls;     /* a person's login may enrol a machine without a setup key */
};

struct control {
	const struct control_config *config;
	uv_loop_t *loop;
	const struct clock *clock;
	const struct random_source *random;
	struct http *http;
	struct server *server;
	struct signer *signer;
	struct store *store;
	struct state *state;
	struct oidc *oidc;      /* the provider people log in at, embedded or not */
	struct issuers *issuers; /* all whose tokens are taken */
	struct issuer *issuer;  /* NULL with a foreign provider */
	struct login_service *login;
};

/* ---- signer.c: a child process that alone holds the signing key, the CA seed, the enrolment key and the
 * issuer's key. Synchronous over a socket pair (tens of microseconds; 2 s limit, then -ETIMEDOUT). */
int signer_public(struct signer *s, uint8_t ret_signing[32], uint8_t ret_issuer[32],
		  uint8_t ret_enroll[32]) WARREN_MUST_USE;
/* Makes "wso1.TYPE…"; adds v and network to the payload. The child knows the table of types. */
int signer_object(struct signer *s, const char *type, const json_t *payload, char **ret_text)
	WARREN_MUST_USE;
/* Signs a JWT of the embedded issuer (typ "JWT" or "at+jwt"); the child checks that iss is its own. */
int signer_jwt(struct signer *s, const json_t *claims, const char *type, char **ret_token)
	WARREN_MUST_USE;
/* Certificate signed by the CA key of target (generation 0 until rotated); cert->ca is filled in. */
int signer_cert(struct signer *s, const char *target_peer, uint32_t generation, struct sshcert *cert,
		struct buffer *ret_blob) WARREN_MUST_USE;
int signer_ca_public(struct signer *s, const char *target_peer, uint32_t generation,
		     uint8_t ret_ca[32]) WARREN_MUST_USE;
/* Proof of an X25519 private key at enrolment (PROTOCOL.md section 4): 0 or -EBADMSG. */
int signer_check_proof(struct signer *s, const uint8_t public_key[32], const uint8_t identity_key[32],
		       const uint8_t proof[32]) WARREN_MUST_USE;

/* ---- state.c: the network in memory, loaded from the store and kept equal to it. */
struct state_peer {
	char id[24], name[64], fqdn[256], setup_key[64];
	struct ip_addr v4, v6;
	uint8_t node_key[32], path_key[32], identity_key[32];
	bool ssh_enabled, ssh_advertised;
	uint16_t ssh_port;
	bool removed;
};
const struct state_peer *state_peer(const struct state *s, const char *id);
const struct state_peer *state_peer_by_addr(const struct state *s, const struct ip_addr *overlay);
/* The policy in force (never NULL: an empty one denies all) and the world it is judged in. */
const struct policy *state_policy(const struct state *s);
const struct policy_world *state_world(const struct state *s);
const char *state_network(const struct state *s);
uint32_t state_ca_generation(const struct state *s, const char *peer);
/* Records a login of identity (with its provider groups) on peer until expires_s: persisted, and maps
 * of those concerned change. done(ctx, 0 or -errno) on the loop. */
void state_login(struct state *s, const char *peer, const char *identity,
		 const char *const *groups, size_t group_count, int64_t expires_s,
		 void (*done)(void *ctx, int result), void *ctx);
/* When the newest token was issued that this identity logged in with, on any machine; 0: none. */
int64_t state_login_issued(const struct state *s, const char *identity);
void state_logout(struct state *s, const char *peer, const char *identity,
		  void (*done)(void *ctx, int result), void *ctx);
/* ---- state_cutoff.c: what is void before its time (store_cutoff). */
struct store_cert;
struct store_cutoff_change;
/* NULL: identity may be given something on peer for a token of that moment; else why not. */
const char *state_refused(const struct state *s, const char *identity, const char *peer,
			  int64_t token_issued_s);
/* now_s, or the first moment that no cutoff of the identity on that peer covers. */
int64_t state_issue_s(const struct state *s, const char *identity, const char *peer,
		      int64_t now_s);
/* The same for the "iat" of a token that the embedded issuer makes: whoever logs in again in the second of a
 * logout gets a token that counts. At most some seconds ahead. */
int64_t state_token_s(const struct state *s, int64_t now_s);
/* Fills a change that the caller stores itself (store_cutoff_within); state_cut_stored takes it
 * over when it is there. logins: tokens issued so far are void too. */
void state_cut_prepare(const struct state *s, const char *identity, bool block, bool logins,
		       const char *reason, struct store_cutoff_change *ret_change);
void state_cut_stored(struct state *s, const struct store_cutoff_change *change);
/* Remembers a certificate that was given out, so that it can be listed and revoked. */
void state_cert_made(struct state *s, const struct store_cert *cert);
/* Ends all logins of a person who is no longer to be known (a user removed or disabled). */
void state_forget(struct state *s, const char *identity);
/* Appends to the audit events (kept in the store). detail: borrowed object or NULL. */
void state_event(struct state *s, const char *kind, const char *actor, const char *subject,
		 const json_t *detail);
/* Pushes a line to a peer's open stream (e.g. {"type":"ssh_login","id":…}); false: no stream. */
bool state_push(struct state *s, const char *peer, const json_t *line);

/* ---- api.c: authenticates a signed request of a peer. On success the peer; otherwise NULL and the
 * error has been answered (the request is gone). */
const struct state_peer *api_authenticate(struct control *c, struct server_request *r);

/* ---- store.h: jobs on the store's thread. fn runs there with the database handle of the backend's
 * own type and may only use the handle and arg; done runs on the loop. Used by store_*.c only. */
int store_job(struct store *s, int (*fn)(void *db, void *arg), void *arg,
	      void (*done)(void *arg, int result)) WARREN_MUST_USE;

/* ---- issuer.c (embedded OIDC provider) */
int issuer_new(struct control *c, struct issuer **ret_issuer, struct error *err) WARREN_MUST_USE;
void issuer_free(struct issuer *i);
/* Its key set; borrowed. */
const json_t *issuer_keys(const struct issuer *i);
/* Admin API and CLI: users of the embedded issuer. password is wiped by the callee; Argon2id. */
int issuer_routes(struct issuer *i) WARREN_MUST_USE;

/* ---- login.c: POST /v1/self/login, /v1/ssh/cert, /v1/ssh/login, the page /ssh/ID and its callback. */
int login_service_new(struct control *c, struct login_service **ret_login, struct error *err)
	WARREN_MUST_USE;
void login_service_free(struct login_service *l);

#endif
