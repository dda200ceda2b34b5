/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the login service share: login.c (a person on a peer), login_cert.c
 * (certificates), login_connection.c (logins of connections), login_web.c (their pages),
 * login_policy.c (what all three ask the policy).
 */
#ifndef WARREN_CONTROL_LOGIN_INTERNAL_H
#define WARREN_CONTROL_LOGIN_INTERNAL_H

#include "control/control.h"
#include "control/login_pending.h"
#include "control/pages.h"

struct login_waiter;

struct login_service {
	struct control *c;
	bool secure;   /* public URL is https */
	unsigned refs; /* one per asynchronous job, one of the owner */
	bool closing;
	uint8_t csrf_key[32];
	struct login_table *table;
	struct login_waiter *waiters; /* long polls */
	size_t waiter_count;
	uv_timer_t *timer; /* runs while somebody waits; allocated, freed by its close callback */
};

struct login_service *login_ref(struct login_service *l);
void login_unref(struct login_service *l);
void login_hold(struct server_request *r, struct server_request **slot);
struct server_request *login_resume(struct server_request **slot);

/* 401 login_required with the fault's name, or 503 when the provider's keys cannot be had. */
void login_refuse_token(struct server_request *r, enum jwt_fault fault, const struct error *err);
/* 401 when the token's login was ended, 403 when the person is blocked: answered, r is gone. */
bool login_refuse_void(const struct control *c, struct server_request *r,
		       const struct jwt_identity *identity, const char *peer);
/* Reads a JSON body with these keys only; NULL: 400 has been answered. The caller decrefs. */
json_t *login_body(struct server_request *r, const char *const *keys);

/* ---- login_policy.c */
struct login_question {
	const char *caller, *target, *login; /* peer ids, local account */
	const struct jwt_identity *identity;
	int64_t now_s;
};
void login_judge(const struct state *state, const struct login_question *question,
		 struct policy_ssh_decision *ret_decision);
/* Peers through which the login may come ("via") with all of direct, at most max. */
size_t login_via(const struct state *state, const struct login_question *question,
		 const struct policy_ssh_decision *direct, const struct state_peer **ret_peers,
		 size_t max);
/* Local account names that may be asked for: user names, without "=" or anything a list could
 * split. */
bool login_name_ok(const char *login);

/* ---- login_cert.c, pure: fills everything but the subject key and ca. */
struct login_cert_want {
	const struct state_peer *caller;
	const char *target, *login, *identity, *request_id;
	const struct state_peer *const *via; /* through whom it may come, too */
	size_t via_count;
	uint64_t serial;
	int64_t now_s, auth_time_s;
};
int login_cert_fill(const struct login_cert_want *want, const struct policy_ssh_decision *decision,
		    struct sshcert *ret_cert) WARREN_MUST_USE;

/* ---- login_connection.c */
void login_changed(struct login_service *l, struct login_pending *entry);
/* Answers all that wait with 503 (closing). */
void login_waiters_end(struct login_service *l);
/* Payload of the grant (without v and network, which the signer adds). NULL without memory. */
json_t *login_grant_payload(const struct login_pending *entry, int64_t issued_s);

int login_cert_routes(struct login_service *l) WARREN_MUST_USE;
int login_connection_routes(struct login_service *l) WARREN_MUST_USE;
int login_web_routes(struct login_service *l) WARREN_MUST_USE;

#endif
