/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of machines without people (PROTOCOL.md section 10): verified by their issuer, for one
 * purpose, bound to the machine that showed it first, and named by the policy.
 */
#ifndef WARREN_CONTROL_WORKLOAD_H
#define WARREN_CONTROL_WORKLOAD_H

#include "control/issuers.h"

/* use: ISSUERS_WORKLOAD_CERT or ISSUERS_WORKLOAD_ENROLL; identity_key signed the request. on_done as
 * of oidc_verify, exactly once unless the result is negative; the identity is then
 * "workload:NAME", without groups. JWT_CLAIM: the policy knows no such workload, or does not let it
 * do this; or another machine has shown the token. */
int workload_verify(struct control *c, enum issuers_use use, const char *token,
		    const uint8_t identity_key[32], oidc_verify_cb *on_done,
		    void *ctx) WARREN_MUST_USE;

#endif
