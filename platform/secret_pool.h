/* SPDX-License-Identifier: Apache-2.0
 *
 * Many small things of one size that hold keys: in pages of their own that are locked, as far as a bound
 * and RLIMIT_MEMLOCK allow, and in no core dump. Any thread may use a pool.
 */
#ifndef WARREN_PLATFORM_SECRET_POOL_H
#define WARREN_PLATFORM_SECRET_POOL_H

#include <stddef.h>

#include "platform/error.h"

struct secret_pool;

/* Locks at most lock_bytes; what is beyond is memory like any other. -ENOMEM. */
int secret_pool_new(size_t object_bytes, size_t lock_bytes,
		    struct secret_pool **ret_pool) WARREN_MUST_USE;
/* With all that is in it. NULL is fine. */
void secret_pool_free(struct secret_pool *p);
/* Zeroed, aligned to 64 bytes. NULL without memory. */
void *secret_pool_get(struct secret_pool *p);
/* Wiped at once, kept for the next secret_pool_get. NULL is fine. */
void secret_pool_put(struct secret_pool *p, void *object);
/* How many bytes are locked. */
size_t secret_pool_locked(struct secret_pool *p);

#endif
