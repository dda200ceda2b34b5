/* SPDX-License-Identifier: Apache-2.0
 *
 * One producer, one consumer: head and tail only grow, and each is written by one side. A record
 * that does not fit before the end of the memory starts at its beginning, behind a filler.
 */
#include "tunnel/ring.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define FILLER UINT64_MAX

/* In front of each record. */
struct ring_header {
	uint64_t len; /* FILLER: go on at the beginning */
};

static size_t room_of(size_t len)
{
	return sizeof(struct ring_header) + ((len + 7) & ~(size_t)7);
}

int ring_init(struct ring *r, size_t size_bytes)
{
	void *data =
		mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert(size_bytes >= 4096 && (size_bytes & (size_bytes - 1)) == 0);
	if (data == MAP_FAILED)
		return -ENOMEM;
	r->data = data;
	r->size = size_bytes;
	atomic_init(&r->head, 0);
	atomic_init(&r->tail, 0);
	return 0;
}

void ring_done(struct ring *r)
{
	if (r->data)
		munmap(r->data, r->size);
	r->data = NULL;
}

static void put_header(struct ring *r, size_t at, uint64_t len)
{
	struct ring_header header = {.len = len};

	memcpy(r->data + (at & (r->size - 1)), &header, sizeof(header));
}

bool ring_push(struct ring *r, const void *a, size_t a_len, const void *b, size_t b_len)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	size_t used = head - atomic_load_explicit(&r->tail, memory_order_acquire);
	size_t room = room_of(a_len + b_len);
	size_t end = r->size - (head & (r->size - 1)); /* bytes before the wrap */
	size_t skip = room > end ? end : 0;
	uint8_t *to;

	if (a_len > r->size || b_len > r->size || used + skip + room > r->size)
		return false;
	if (skip) {
		put_header(r, head, FILLER);
		head += skip;
	}
	put_header(r, head, a_len + b_len);
	to = r->data + (head & (r->size - 1)) + sizeof(struct ring_header);
	memcpy(to, a, a_len);
	if (b_len)
		memcpy(to + a_len, b, b_len);
	atomic_store_explicit(&r->head, head + room, memory_order_release);
	return true;
}

size_t ring_used(const struct ring *r)
{
	return atomic_load_explicit(&r->head, memory_order_relaxed) -
	       atomic_load_explicit(&r->tail, memory_order_acquire);
}

void *ring_peek(struct ring *r, size_t *ret_len)
{
	size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	struct ring_header header;

	if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
		return NULL;
	memcpy(&header, r->data + (tail & (r->size - 1)), sizeof(header));
	if (header.len == FILLER) { /* a record always follows */
		tail += r->size - (tail & (r->size - 1));
		atomic_store_explicit(&r->tail, tail, memory_order_release);
		memcpy(&header, r->data, sizeof(header));
	}
	*ret_len = (size_t)header.len;
	return r->data + (tail & (r->size - 1)) + sizeof(header);
}

void ring_pop(struct ring *r)
{
	size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	struct ring_header header;

	memcpy(&header, r->data + (tail & (r->size - 1)), sizeof(header));
	atomic_store_explicit(&r->tail, tail + room_of((size_t)header.len), memory_order_release);
}
