/* SPDX-License-Identifier: Apache-2.0
 *
 * A person's tokens per local uid, in locked memory, for at most ttl seconds and never past the
 * token's own exp. Never written to disk.
 */
#ifndef WARREN_IDENTITY_TOKEN_CACHE_H
#define WARREN_IDENTITY_TOKEN_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/clock.h"
#include "platform/error.h"

struct token_cache;
int token_cache_new(const struct clock *clock, struct token_cache **ret_cache) WARREN_MUST_USE;
void token_cache_free(struct token_cache *c); /* wipes */
/* Seconds an entry lives at most; 0: nothing is cached (and what is there goes). */
void token_cache_set_ttl(struct token_cache *c, uint32_t ttl_s);
/* Replaces an older login of that uid; a token that expires earlier than the cached one but was
 * issued later still replaces it (the newest login is used). */
int token_cache_put(struct token_cache *c, uid_t uid, const char *identity, const char *token,
		    int64_t issued_s, int64_t expires_s) WARREN_MUST_USE;
/* Borrowed until the next call on the cache; NULL: no live login. */
const char *token_cache_get(struct token_cache *c, uid_t uid, const char **ret_identity,
			    int64_t *ret_expires_s);
void token_cache_forget(struct token_cache *c, uid_t uid);
void token_cache_clear(struct token_cache *c);

#endif
