/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of a JWK set as jwt.c needs them. Only identity/ includes this; others use jwt.h.
 */
#ifndef WARREN_IDENTITY_JWKS_H
#define WARREN_IDENTITY_JWKS_H

#include <stddef.h>

#include "identity/jwt.h"

#define JWKS_MAX_BYTES (256u << 10)

enum jws_alg { JWS_RS256, JWS_PS256, JWS_ES256, JWS_ES384, JWS_EDDSA, JWS_ALG_COUNT };

/* -1 for an algorithm that is not taken ("none", HS*, anything unknown). "Ed25519" (RFC 9864) is
 * EdDSA. */
int jwks_alg(const char *name);

/* Checks sig over data with the keys that have this kid (NULL: any kid) and allow alg.
 * JWT_OK, JWT_UNKNOWN_KEY (no key of that kid; without a kid: none fits), JWT_ALGORITHM (the key is
 * for another algorithm), JWT_SIGNATURE. */
enum jwt_fault jwks_verify(const struct jwks *jwks, const char *kid, enum jws_alg alg,
			   const void *data, size_t len, const uint8_t *sig, size_t sig_len);

#endif
