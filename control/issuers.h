/* SPDX-License-Identifier: Apache-2.0
 *
 * The issuers whose tokens this server takes (control.json: issuer, issuers): people's, the first
 * of which is where peers send them to log in, and workloads' (PROTOCOL.md section 10). A token
 * goes to the issuer that it names, compared exactly, and only for what that issuer is configured
 * for.
 */
#ifndef WARREN_CONTROL_ISSUERS_H
#define WARREN_CONTROL_ISSUERS_H

#include "control/control.h"

struct issuers;

/* What a token is shown for; no token is good for two of these. */
enum issuers_use {
	ISSUERS_PERSON,		 /* a person's login */
	ISSUERS_WORKLOAD_CERT,	 /* a workload wants a certificate */
	ISSUERS_WORKLOAD_ENROLL, /* a workload wants its machine in the network */
};

/* Reads the client secrets: before privileges go. */
int issuers_new(struct control *c, struct issuers **ret_issuers, struct error *err) WARREN_MUST_USE;
/* Makes the clients; sets c->oidc. pin: of our own certificate, for the embedded provider. */
int issuers_start(struct issuers *is, const char *pin, struct error *err) WARREN_MUST_USE;
/* Stops the clients; the loop must run on before issuers_free. */
void issuers_stop(struct issuers *is);
void issuers_free(struct issuers *is);

/* The people's issuers whose tokens do as SSH passwords, with their keys as far as they are known:
 * the array "tokens" of an object of type "ssh". New reference, NULL without memory. */
json_t *issuers_tokens(struct control *c);

/* oidc_verify by the issuer that the token names. A workload's identity has no groups, its claim
 * "sub" as user, and was checked for this use's audience. -ENOMEM or -ECANCELED: on_done is not
 * called. */
int issuers_verify(struct control *c, enum issuers_use use, const char *token,
		   oidc_verify_cb *on_done, void *ctx) WARREN_MUST_USE;

#endif
