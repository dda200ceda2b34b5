/* SPDX-License-Identifier: Apache-2.0
 *
 * The claims of a token whose signature has held. Only identity/ includes this.
 */
#ifndef WARREN_IDENTITY_JWT_CLAIMS_H
#define WARREN_IDENTITY_JWT_CLAIMS_H

#include "identity/jwt.h"

/* Takes over claims (into ret_identity->claims) when the result is JWT_OK, and only then. */
enum jwt_fault jwt_claims_check(json_t *claims, const struct jwt_expect *expect,
				struct jwt_identity *ret_identity, struct error *err);

#endif
