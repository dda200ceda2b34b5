/* SPDX-License-Identifier: Apache-2.0
 *
 * Wiping, comparing and holding secrets, on libsodium; and what each program does about its own
 * memory before anything else.
 */
#include "platform/secret.h"

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

void secret_heap_free(void *data)
{
	if (data)
		sodium_memzero(data, malloc_usable_size(data));
	free(data);
}

void *secret_heap_realloc(void *data, size_t len)
{
	size_t old_len = data ? malloc_usable_size(data) : 0;
	void *moved;

	if (data && len <= old_len)
		return data;
	moved = malloc(len);
	if (!moved)
		return NULL;
	if (data)
		memcpy(moved, data, old_len);
	secret_heap_free(data);
	return moved;
}

int secret_process_init(void)
{
	struct rlimit core;

	if (sodium_init() < 0)
		return -EIO;
	/* Tokens and keys come and go as JSON: none of it stays in memory that was given back. */
	json_set_alloc_funcs(malloc, secret_heap_free);
	/* jansson seeds its hash tables from /dev/urandom at the first object, which a sandboxed
	 * process can't open; without this it would fall back to time and pid. */
	json_object_seed(randombytes_random() | 1U);
	/* The hard limit stays, for what a server executes for its users. */
	if (getrlimit(RLIMIT_CORE, &core) < 0)
		return -errno;
	core.rlim_cur = 0;
	if (setrlimit(RLIMIT_CORE, &core) < 0)
		return -errno;
#if defined(__linux__) && !defined(WARREN_SANITIZE) /* the leak checker needs ptrace */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
#endif
	return 0;
}

void secret_wipe(void *data, size_t len)
{
	if (len > 0)
		sodium_memzero(data, len);
}

bool secret_equal(const void *a, const void *b, size_t len)
{
	return len == 0 || sodium_memcmp(a, b, len) == 0;
}

void *secret_alloc(size_t len)
{
	void *data;

	if (len > SIZE_MAX - 15)
		return NULL;
	/* sodium_malloc puts the end of the block before a guard page: round up to keep alignment.
	 * It needs sodium_init for its canary; calling it again is cheap. It ignores a failed
	 * mlock. */
	if (sodium_init() < 0)
		return NULL;
	len = len > 0 ? (len + 15) & ~(size_t)15 : 16;
	data = sodium_malloc(len);
	if (data)
		memset(data, 0, len);
	return data;
}

size_t secret_lock_limit(size_t want)
{
	struct rlimit limit, more;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return 0;
	more.rlim_cur = limit.rlim_cur > want ? limit.rlim_cur : want;
	more.rlim_max = limit.rlim_max > more.rlim_cur ? limit.rlim_max : more.rlim_cur;
	if (limit.rlim_cur < want && setrlimit(RLIMIT_MEMLOCK, &more) < 0) {
		more.rlim_cur = more.rlim_max = limit.rlim_max; /* without the right to more */
		(void)setrlimit(RLIMIT_MEMLOCK, &more);
	}
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return 0;
	return limit.rlim_cur < SIZE_MAX / 2 ? (size_t)limit.rlim_cur : SIZE_MAX / 2;
}

void secret_free(void *data)
{
	sodium_free(data); /* wipes; NULL is fine */
}

char *secret_strdup(const char *text)
{
	size_t len = strlen(text);
	char *copy = secret_alloc(len + 1);

	if (copy)
		memcpy(copy, text, len + 1);
	return copy;
}
