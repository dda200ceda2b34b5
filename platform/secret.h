/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets: constant-time compare, wiping, locked memory, and the process-wide hardening that every
 * program calls first (no core dumps, not dumpable).
 */
#ifndef WARREN_PLATFORM_SECRET_H
#define WARREN_PLATFORM_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/error.h"

/* sodium_init, RLIMIT_CORE 0 (the soft one), PR_SET_DUMPABLE 0. */
int secret_process_init(void) WARREN_MUST_USE;
void secret_wipe(void *data, size_t len);
bool secret_equal(const void *a, const void *b, size_t len);
/* Zeroed, locked where the limit allows, MADV_DONTDUMP. NULL without memory. */
void *secret_alloc(size_t len);
void secret_free(void *data); /* wipes; NULL is fine */
/* How many bytes this process may lock; raises RLIMIT_MEMLOCK to `want` where it is lower and we may. */
size_t secret_lock_limit(size_t want);
/* free and realloc that wipe what is given back, for libraries that secrets pass through. */
void secret_heap_free(void *data);
void *secret_heap_realloc(void *data, size_t len);
/* strdup into secret memory. */
char *secret_strdup(const char *text);

#endif
