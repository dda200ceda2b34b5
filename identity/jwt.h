/* SPDX-License-Identifier: Apache-2.0
 *
 * JWT verification (RFC 7515, 7517, 7518, 7519, 8037) on OpenSSL EVP: RS256, PS256, ES256, ES384,
 * EdDSA. The algorithm is the key's, never the token header's. Key sets are given in: fetching is
 * the caller's (oidc.h).
 */
#ifndef WARREN_IDENTITY_JWT_H
#define WARREN_IDENTITY_JWT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define JWT_MAX_BYTES 65536

struct jwks;

/* Parses a JWK set; keys of kinds or uses we do not take are skipped. -EINVAL for a non-set. */
int jwks_parse(const char *text, size_t len, struct jwks **ret_jwks,
	       struct error *err) WARREN_MUST_USE;
void jwks_free(struct jwks *jwks);
size_t jwks_count(const struct jwks *jwks);
bool jwks_has_kid(const struct jwks *jwks, const char *kid);

enum jwt_fault {
	JWT_OK = 0,
	JWT_MALFORMED,
	JWT_ALGORITHM,	 /* none, HS*, not the key's, unknown */
	JWT_CRITICAL,	 /* "crit" header */
	JWT_TYPE,	 /* "typ" not accepted */
	JWT_UNKNOWN_KEY, /* no key with that kid: refetch once */
	JWT_SIGNATURE,
	JWT_ISSUER,
	JWT_AUDIENCE,
	JWT_EXPIRED,
	JWT_NOT_YET, /* nbf or iat in the future */
	JWT_TOO_OLD, /* auth_time / iat older than max_age_s */
	JWT_CLAIM,   /* user claim missing, azp mismatch, nonce */
};

struct jwt_expect {
	const char *issuer;	      /* exact */
	const char *const *audiences; /* any of; NULL-terminated */
	const char *const *types;     /* accepted "typ" values, NULL: "JWT" or absent; "at+jwt" */
	const char *user_claim;	      /* NULL: "email" */
	const char *groups_claim;     /* NULL: "groups"; absent claim is no groups */
	const char *nonce;	      /* NULL: not checked */
	int64_t now_s, skew_s, max_age_s; /* max_age_s 0: not checked */
	/* "azp" may be this too (NULL: only an audience). any_party: whatever it is, or missing. */
	const char *party;
	bool any_party;
	bool require_email_verified; /* refuse email_verified: false always; true: must be present
				      */
};

#define JWT_MAX_GROUPS 256
struct jwt_identity {
	char user[256]; /* the user claim; lower-cased when it is an e-mail address */
	char subject[256];
	int64_t issued_s, expires_s, auth_time_s; /* auth_time falls back to iat */
	size_t group_count;
	char (*groups)[128]; /* allocated */
	json_t *claims;	     /* owned */
};
void jwt_identity_done(struct jwt_identity *id);

/* Verifies and checks; the sentence in err names claim, expected and found value (never the token).
 */
enum jwt_fault jwt_verify(const char *token, size_t len, const struct jwks *jwks,
			  const struct jwt_expect *expect, struct jwt_identity *ret_identity,
			  struct error *err);
/* iss and kid of an unverified token, to choose keys by. */
int jwt_peek(const char *token, size_t len, char *ret_issuer, size_t issuer_cap, char *ret_kid,
	     size_t kid_cap) WARREN_MUST_USE;
/* Signs claims for the embedded issuer: EdDSA; header {alg, kid, typ}. sign as in signed.h. */
int jwt_make(const json_t *claims, const char *type, const char *kid,
	     int (*sign)(void *ctx, const void *data, size_t len, uint8_t ret_sig[64]), void *ctx,
	     char **ret_token) WARREN_MUST_USE;
const char *jwt_fault_name(enum jwt_fault fault);
/* text with everything but printable ASCII as '?', cut to fit; for sentences. Returns out. */
const char *jwt_printable(const char *text, char *out, size_t cap);

#endif
