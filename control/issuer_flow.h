/* SPDX-License-Identifier: Apache-2.0
 *
 * What the embedded provider remembers for minutes, in memory and bounded: single sign-on sessions,
 * requests that wait for a person (interactions), authorization codes, device codes. Secrets are
 * kept as hashes. Clock and randomness are injected; no I/O. Loop thread only.
 */
#ifndef WARREN_CONTROL_ISSUER_FLOW_H
#define WARREN_CONTROL_ISSUER_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "control/issuer_oauth.h"
#include "control/pages.h"
#include "platform/addr.h"
#include "platform/clock.h"
#include "platform/error.h"

#define ISSUER_SESSION_S     900 /* single sign-on */
#define ISSUER_INTERACTION_S 600
#define ISSUER_CODE_S	     60
#define ISSUER_DEVICE_S	     600
#define ISSUER_DEVICE_POLL_S 2
#define ISSUER_SLOW_DOWN_S   5 /* RFC 8628 section 3.5 */
#define ISSUER_FAMILY_SIZE   33

struct issuer_flow;
int issuer_flow_new(const struct clock *clock, const struct random_source *random,
		    struct issuer_flow **ret_flow) WARREN_MUST_USE;
void issuer_flow_free(struct issuer_flow *f);

/* Somebody who gave the password, and when. */
struct issuer_person {
	char email[256];
	int64_t auth_time_s;
};

/* ---- single sign-on */
void issuer_flow_session_open(struct issuer_flow *f, const struct issuer_person *person,
			      char ret_cookie[static PAGES_TOKEN_SIZE]);
bool issuer_flow_session(struct issuer_flow *f, const char *cookie,
			 struct issuer_person *ret_person);
void issuer_flow_session_close(struct issuer_flow *f, const char *cookie);
/* Drops everything that stands for that person (deleted, disabled, new password). */
void issuer_flow_forget(struct issuer_flow *f, const char *email);

/* ---- what a client asked for */
struct issuer_request {
	const struct issuer_client *client;
	enum issuer_redirect redirect;
	char redirect_uri[256];
	char state[512];
	char nonce[256];
	char challenge[44];
	unsigned scopes;
	/* A login before this moment is not fresh enough (prompt=login, max_age). */
	int64_t min_auth_time_s;
};

/* ---- a request that waits for the person, bound to one browser */
struct issuer_interaction {
	struct issuer_request request;
	char user_code[ISSUER_USER_CODE_SIZE]; /* not "": a device waits, request is unused */
};
#define ISSUER_INTERACTION_ID_SIZE 23
/* Copies what; never fails: the oldest of the same source, or of all, makes room. */
void issuer_flow_interaction_open(struct issuer_flow *f, const struct issuer_interaction *what,
				  const struct pages_browser *browser,
				  const struct endpoint *source,
				  char ret_id[static ISSUER_INTERACTION_ID_SIZE]);
/* NULL: unknown, over, or another browser's. Borrowed until the next call. */
const struct issuer_interaction *issuer_flow_interaction(struct issuer_flow *f, const char *id,
							 const struct pages_browser *browser);
void issuer_flow_interaction_close(struct issuer_flow *f, const char *id);

/* ---- authorization codes */
void issuer_flow_code_open(struct issuer_flow *f, const struct issuer_request *request,
			   const struct issuer_person *person,
			   char ret_code[static PAGES_TOKEN_SIZE]);
enum issuer_code {
	ISSUER_CODE_OK,
	ISSUER_CODE_BAD,    /* unknown, over, another client's or redirect URI's, wrong verifier */
	ISSUER_CODE_REUSED, /* taken before: what it gave must be revoked (RFC 6749 section 4.1.2)
			     */
};
/* family: what a refresh token made from this code will belong to. On REUSED it is the earlier one.
 */
enum issuer_code issuer_flow_code_take(struct issuer_flow *f, const char *code,
				       const char *client_id, const char *redirect_uri,
				       const char *verifier, struct issuer_request *ret_request,
				       struct issuer_person *ret_person,
				       char family[static ISSUER_FAMILY_SIZE]);

/* ---- device codes (RFC 8628) */
struct issuer_device_request {
	const struct issuer_client *client;
	unsigned scopes;
	char nonce[256]; /* ours beyond the RFC: goes into the ID token */
	struct endpoint source;
	int64_t created_s; /* set by open */
};
/* -EBUSY: this source, or all, have too many waiting. */
int issuer_flow_device_open(struct issuer_flow *f, const struct issuer_device_request *request,
			    char ret_device_code[static PAGES_TOKEN_SIZE],
			    char ret_user_code[static ISSUER_USER_CODE_SIZE]) WARREN_MUST_USE;
/* What waits under a user code (in its printed form); NULL: nothing undecided. */
const struct issuer_device_request *issuer_flow_device(struct issuer_flow *f,
						       const char *user_code);
/* -ENOENT: nothing undecided under this code. */
int issuer_flow_device_allow(struct issuer_flow *f, const char *user_code,
			     const struct issuer_person *person) WARREN_MUST_USE;
int issuer_flow_device_refuse(struct issuer_flow *f, const char *user_code) WARREN_MUST_USE;
enum issuer_poll {
	ISSUER_POLL_OK, /* once: the code is gone after it */
	ISSUER_POLL_PENDING,
	ISSUER_POLL_SLOW_DOWN,
	ISSUER_POLL_EXPIRED,
	ISSUER_POLL_DENIED,
	ISSUER_POLL_UNKNOWN,
};
enum issuer_poll issuer_flow_device_poll(struct issuer_flow *f, const char *device_code,
					 const char *client_id,
					 struct issuer_device_request *ret_request,
					 struct issuer_person *ret_person);

#endif
