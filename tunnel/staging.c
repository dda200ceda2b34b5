/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue of packets that wait for a handshake: chains of 2 KiB chunks from one fixed pool.
 */
#include "tunnel/staging.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct chunk_head {
	struct staging_packet *next_packet;
	struct staging_packet *next_chunk;
	struct superpacket head; /* of the packet, in its first chunk; data is not used */
};

#define CHUNK_DATA (STAGING_CHUNK_BYTES - sizeof(struct chunk_head))

struct staging_packet {
	struct chunk_head h;
	uint8_t data[CHUNK_DATA];
};
static_assert(sizeof(struct staging_packet) == STAGING_CHUNK_BYTES, "chunk layout");

int staging_init(struct staging_pool *pool)
{
	/* Untouched pages cost nothing; inner plaintext stays out of core dumps. */
	void *memory = mmap(NULL, (size_t)STAGING_CHUNKS * STAGING_CHUNK_BYTES,
			    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	*pool = (struct staging_pool){.memory = memory};
	return 0;
}

void staging_done(struct staging_pool *pool)
{
	if (pool->memory)
		munmap(pool->memory, (size_t)STAGING_CHUNKS * STAGING_CHUNK_BYTES);
	memset(pool, 0, sizeof(*pool));
}

static struct staging_packet *take_chunk(struct staging_pool *pool)
{
	struct staging_packet *chunk = pool->free;

	if (chunk) {
		pool->free = chunk->h.next_chunk;
	} else if (pool->fresh < STAGING_CHUNKS) {
		chunk = (struct staging_packet *)(void *)(pool->memory +
							  pool->fresh++ * STAGING_CHUNK_BYTES);
	} else {
		return NULL;
	}
	chunk->h.next_chunk = NULL;
	chunk->h.next_packet = NULL;
	return chunk;
}

static void give_back(struct staging_pool *pool, struct staging_packet *packet)
{
	while (packet) {
		struct staging_packet *next = packet->h.next_chunk;

		packet->h.next_chunk = pool->free;
		pool->free = packet;
		packet = next;
	}
}

static size_t chunks_of(uint32_t len)
{
	return (len + CHUNK_DATA - 1) / CHUNK_DATA;
}

static void drop_first(struct staging_pool *pool, struct staging_queue *q)
{
	struct staging_packet *packet = q->first;

	q->first = packet->h.next_packet;
	if (!q->first)
		q->last = NULL;
	q->chunks -= chunks_of(packet->h.head.len);
	give_back(pool, packet);
}

static struct staging_packet *copy_in(struct staging_pool *pool, const struct superpacket *p)
{
	struct staging_packet *first = NULL;
	struct staging_packet **end = &first;

	for (uint32_t at = 0; at < p->len; at += (uint32_t)CHUNK_DATA) {
		struct staging_packet *chunk = take_chunk(pool);
		size_t n = p->len - at < CHUNK_DATA ? p->len - at : CHUNK_DATA;

		if (!chunk) {
			give_back(pool, first);
			return NULL;
		}
		memcpy(chunk->data, p->data + at, n);
		*end = chunk;
		end = &chunk->h.next_chunk;
	}
	if (first) {
		first->h.head = *p;
		first->h.head.data = NULL;
	}
	return first;
}

bool staging_push(struct staging_pool *pool, struct staging_queue *q, const struct superpacket *p,
		  size_t *ret_dropped)
{
	size_t need = chunks_of(p->len);
	struct staging_packet *packet;

	*ret_dropped = 0;
	if (!need || need > STAGING_PEER_CHUNKS)
		return false;
	while (q->chunks + need > STAGING_PEER_CHUNKS) {
		drop_first(pool, q);
		++*ret_dropped;
	}
	packet = copy_in(pool, p);
	if (!packet)
		return false;
	if (q->last)
		q->last->h.next_packet = packet;
	else
		q->first = packet;
	q->last = packet;
	q->chunks += need;
	return true;
}

bool staging_pop(struct staging_pool *pool, struct staging_queue *q, uint8_t *data,
		 struct superpacket *ret)
{
	uint32_t at = 0;

	if (!q->first)
		return false;
	*ret = q->first->h.head;
	ret->data = data;
	for (const struct staging_packet *chunk = q->first; chunk; chunk = chunk->h.next_chunk) {
		size_t n = ret->len - at < CHUNK_DATA ? ret->len - at : CHUNK_DATA;

		memcpy(data + at, chunk->data, n);
		at += (uint32_t)n;
	}
	drop_first(pool, q);
	return true;
}

size_t staging_clear(struct staging_pool *pool, struct staging_queue *q)
{
	size_t count = 0;

	while (q->first) {
		drop_first(pool, q);
		count++;
	}
	return count;
}
