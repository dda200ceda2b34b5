/* SPDX-License-Identifier: Apache-2.0
 *
 * See secret_pool.h. Chunks are mapped one by one and stay until the end: the kernel joins neighbours, so
 * that few mappings are made. The address sanitizer gets each object from malloc instead.
 */
#include "platform/secret_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "platform/secret.h"

#define LINE	    64
#define CHUNK_BYTES (32u << 10)

struct chunk {
	struct chunk *next;
	size_t bytes;
};

struct secret_pool {
	pthread_mutex_t lock;
	size_t size, lock_bytes, locked;
	struct chunk *chunks;
	void *free; /* linked by their first word */
};

int secret_pool_new(size_t object_bytes, size_t lock_bytes, struct secret_pool **ret_pool)
{
	struct secret_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	if (object_bytes > SIZE_MAX / 4 || pthread_mutex_init(&p->lock, NULL) != 0) {
		free(p);
		return -ENOMEM;
	}
	p->size = (object_bytes + LINE - 1) & ~(size_t)(LINE - 1);
	p->lock_bytes = lock_bytes;
	*ret_pool = p;
	return 0;
}

void secret_pool_free(struct secret_pool *p)
{
	if (!p)
		return;
	while (p->chunks) {
		struct chunk *c = p->chunks;
		size_t bytes = c->bytes;

		p->chunks = c->next;
		secret_wipe(c, bytes);
		munmap(c, bytes);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

#ifndef WARREN_SANITIZE
static void grow(struct secret_pool *p)
{
	size_t bytes = LINE + p->size > CHUNK_BYTES ? LINE + p->size : CHUNK_BYTES;
	struct chunk *c;
	void *data;

	bytes = (bytes + 4095) & ~(size_t)4095;
	data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		return;
	(void)madvise(data, bytes, MADV_DONTDUMP);
	if (p->locked + bytes <= p->lock_bytes && mlock(data, bytes) == 0)
		p->locked += bytes;
	c = data;
	c->next = p->chunks;
	c->bytes = bytes;
	p->chunks = c;
	/* The first one is handed out first. */
	for (size_t n = (bytes - LINE) / p->size; n > 0; n--) {
		void **object = (void **)((uintptr_t)data + LINE + (n - 1) * p->size);

		*object = p->free;
		p->free = (void *)object;
	}
}

void *secret_pool_get(struct secret_pool *p)
{
	void **object;

	pthread_mutex_lock(&p->lock);
	if (!p->free)
		grow(p);
	object = p->free;
	if (object) {
		p->free = *object;
		*object = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	return (void *)object;
}

void secret_pool_put(struct secret_pool *p, void *object)
{
	if (!object)
		return;
	secret_wipe(object, p->size);
	pthread_mutex_lock(&p->lock);
	*(void **)object = p->free;
	p->free = object;
	pthread_mutex_unlock(&p->lock);
}
#else
void *secret_pool_get(struct secret_pool *p)
{
	void *object = aligned_alloc(LINE, p->size);

	if (object)
		memset(object, 0, p->size);
	return object;
}

void secret_pool_put(struct secret_pool *p, void *object)
{
	if (object)
		secret_wipe(object, p->size);
	free(object);
}
#endif

size_t secret_pool_locked(struct secret_pool *p)
{
	size_t locked;

	pthread_mutex_lock(&p->lock);
	locked = p->locked;
	pthread_mutex_unlock(&p->lock);
	return locked;
}
