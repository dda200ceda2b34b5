/* SPDX-License-Identifier: Apache-2.0
 *
 * Passwords of the embedded provider's users: Argon2id (RFC 9106) by libsodium, away from the
 * loop's thread, with a limit on how many are computed at once (64 MiB each).
 */
#ifndef WARREN_CONTROL_ISSUER_PASSWORD_H
#define WARREN_CONTROL_ISSUER_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "platform/error.h"

#define ISSUER_PASSWORD_MIN  8
#define ISSUER_PASSWORD_MAX  512 /* bytes */
#define ISSUER_PASSWORD_HASH 128 /* size of a stored hash, libsodium's string form */

/* Blocking: any thread. -ENOMEM. */
int issuer_password_hash(const char *password,
			 char ret_hash[static ISSUER_PASSWORD_HASH]) WARREN_MUST_USE;
/* Blocking. hash NULL or "": computes as long as for a real one and is false, so that an unknown
 * account takes the time of a known one. */
bool issuer_password_verify(const char *hash, const char *password);

struct issuer_password_pool {
	uv_loop_t *loop;
	unsigned running;
};
/* The same on the loop's thread pool; password is copied, wiped after use. done on the loop's
 * thread. -EBUSY: too many are running. */
int issuer_password_hash_start(struct issuer_password_pool *pool, const char *password,
			       void (*done)(void *ctx, int result, const char *hash),
			       void *ctx) WARREN_MUST_USE;
int issuer_password_verify_start(struct issuer_password_pool *pool, const char *hash,
				 const char *password, void (*done)(void *ctx, bool right),
				 void *ctx) WARREN_MUST_USE;

#endif
