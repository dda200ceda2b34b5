/* SPDX-License-Identifier: Apache-2.0
 *
 * The pure rules of the embedded provider: its clients, redirect URIs, PKCE, scopes, user
 * codes.
 */
#ifndef WARREN_CONTROL_ISSUER_OAUTH_H
#define WARREN_CONTROL_ISSUER_OAUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/clock.h"
#include "platform/error.h"

struct issuer_client {
	const char *id;
	const char *name; /* for a person */
	bool native;	  /* loopback redirects, device code */
	bool web;	  /* public_url/ssh/callback */
};
/* NULL when nobody has that id. */
const struct issuer_client *issuer_oauth_client(const char *id);

enum issuer_redirect {
	ISSUER_REDIRECT_REFUSED,
	ISSUER_REDIRECT_LOOPBACK, /* RFC 8252 section 7.3: http, 127.0.0.1 or [::1], any port */
	ISSUER_REDIRECT_OURS,	  /* public_url/ssh/callback */
};
enum issuer_redirect issuer_oauth_redirect(const struct issuer_client *client,
					   const char *public_url, const char *uri);

/* RFC 7636: a challenge is 43 characters of base64url of 32 bytes, a verifier 43 to 128 unreserved
 * characters whose SHA-256 is the challenge. Only S256. */
bool issuer_oauth_challenge_ok(const char *challenge);
bool issuer_oauth_verifier_ok(const char *challenge, const char *verifier);

enum issuer_scope {
	ISSUER_SCOPE_OPENID = 1 << 0,
	ISSUER_SCOPE_EMAIL = 1 << 1,
	ISSUER_SCOPE_PROFILE = 1 << 2,
	ISSUER_SCOPE_GROUPS = 1 << 3,
	ISSUER_SCOPE_OFFLINE = 1 << 4,
};
/* Words that we do not know are ignored (OpenID Connect Core section 3.1.2.1). */
unsigned issuer_oauth_scopes(const char *text);
#define ISSUER_SCOPE_TEXT 64
void issuer_oauth_scope_text(unsigned scopes, char out[static ISSUER_SCOPE_TEXT]);

/* RFC 8628 section 6.1: eight of twenty consonants, shown as XXXX-XXXX. */
#define ISSUER_USER_CODE_SIZE 10
void issuer_oauth_user_code(const struct random_source *random,
			    char out[static ISSUER_USER_CODE_SIZE]);
/* What a person typed (any case, blanks, with or without the dash) in that form; -EINVAL. */
int issuer_oauth_user_code_read(const char *typed,
				char out[static ISSUER_USER_CODE_SIZE]) WARREN_MUST_USE;

/* Lower-case form of an e-mail address with one "@", no blanks or controls; -EINVAL. */
int issuer_oauth_email(const char *typed, char *out, size_t cap) WARREN_MUST_USE;
/* Percent-encodes for a query (unreserved characters stay); -EMSGSIZE. */
int issuer_oauth_percent(const char *text, char *out, size_t cap) WARREN_MUST_USE;

#endif
