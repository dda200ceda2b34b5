/* SPDX-License-Identifier: Apache-2.0
 *
 * Bounds-checked reader, writer and growing buffer. Every length is compared with what is left
 * before a pointer moves; the arithmetic is written so that it cannot wrap.
 */
#include "platform/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"

enum { BUFFER_FIRST_CAP = 256 };

struct reader reader_init(const void *data, size_t len)
{
	return (struct reader){.data = data, .len = len, .failed = !data && len > 0};
}

const uint8_t *reader_take(struct reader *r, size_t len)
{
	static const uint8_t nothing[1];
	const uint8_t *p;

	if (r->failed || len > r->len - r->at) {
		r->failed = true;
		return NULL;
	}
	if (len == 0)
		return r->data ? r->data + r->at : nothing;
	p = r->data + r->at;
	r->at += len;
	return p;
}

static uint64_t read_be(struct reader *r, size_t len)
{
	const uint8_t *p = reader_take(r, len);
	uint64_t v = 0;

	for (size_t i = 0; p && i < len; i++)
		v = v << 8 | p[i];
	return v;
}

static uint64_t read_le(struct reader *r, size_t len)
{
	const uint8_t *p = reader_take(r, len);
	uint64_t v = 0;

	for (size_t i = len; p && i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

uint8_t reader_u8(struct reader *r)
{
	return (uint8_t)read_be(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
	return (uint16_t)read_be(r, 2);
}

uint32_t reader_u32(struct reader *r)
{
	return (uint32_t)read_be(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
	return read_be(r, 8);
}

uint32_t reader_u32_le(struct reader *r)
{
	return (uint32_t)read_le(r, 4);
}

uint64_t reader_u64_le(struct reader *r)
{
	return read_le(r, 8);
}

void reader_bytes(struct reader *r, void *out, size_t len)
{
	const uint8_t *p = reader_take(r, len);

	if (len == 0)
		return;
	if (p)
		memcpy(out, p, len);
	else
		memset(out, 0, len);
}

const uint8_t *reader_string(struct reader *r, size_t max, size_t *ret_len)
{
	size_t len = reader_u32(r);
	const uint8_t *p;

	if (len > max)
		r->failed = true;
	p = reader_take(r, len);
	if (p)
		*ret_len = len;
	return p;
}

void reader_cstring(struct reader *r, char *out, size_t cap)
{
	const uint8_t *p;
	size_t len = 0;

	assert(cap > 0);
	out[0] = '\0';
	p = reader_string(r, cap - 1, &len);
	if (!p)
		return;
	if (memchr(p, 0, len)) {
		r->failed = true;
		return;
	}
	memcpy(out, p, len);
	out[len] = '\0';
}

size_t reader_left(const struct reader *r)
{
	return r->failed ? 0 : r->len - r->at;
}

bool reader_done(const struct reader *r)
{
	return !r->failed && r->at == r->len;
}

struct writer writer_init(void *data, size_t cap)
{
	return (struct writer){.data = data, .cap = cap};
}

void writer_bytes(struct writer *w, const void *data, size_t len)
{
	if (w->failed || len > w->cap - w->len) {
		w->failed = true;
		return;
	}
	if (len == 0)
		return;
	memcpy(w->data + w->len, data, len);
	w->len += len;
}

static void write_be(struct writer *w, uint64_t v, size_t len)
{
	uint8_t bytes[8];

	for (size_t i = len; i-- > 0; v >>= 8)
		bytes[i] = (uint8_t)v;
	writer_bytes(w, bytes, len);
}

static void write_le(struct writer *w, uint64_t v, size_t len)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < len; i++, v >>= 8)
		bytes[i] = (uint8_t)v;
	writer_bytes(w, bytes, len);
}

void writer_u8(struct writer *w, uint8_t v)
{
	write_be(w, v, 1);
}

void writer_u16(struct writer *w, uint16_t v)
{
	write_be(w, v, 2);
}

void writer_u32(struct writer *w, uint32_t v)
{
	write_be(w, v, 4);
}

void writer_u64(struct writer *w, uint64_t v)
{
	write_be(w, v, 8);
}

void writer_u32_le(struct writer *w, uint32_t v)
{
	write_le(w, v, 4);
}

void writer_u64_le(struct writer *w, uint64_t v)
{
	write_le(w, v, 8);
}

void writer_string(struct writer *w, const void *data, size_t len)
{
	/* All or nothing: no length without its bytes. */
	if (w->failed || len > UINT32_MAX || w->cap - w->len < 4 || len > w->cap - w->len - 4) {
		w->failed = true;
		return;
	}
	write_be(w, len, 4);
	writer_bytes(w, data, len);
}

void writer_cstring(struct writer *w, const char *s)
{
	writer_string(w, s, strlen(s));
}

void buffer_init(struct buffer *b, size_t max)
{
	*b = (struct buffer){.max = max};
}

void buffer_done(struct buffer *b)
{
	if (!b)
		return;
	if (b->data)
		secret_wipe(b->data, b->cap);
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void buffer_reset(struct buffer *b)
{
	if (b->data)
		secret_wipe(b->data, b->len);
	b->len = 0;
}

/* Room for extra bytes and a NUL. Grows by copying, because realloc would leave an unwiped copy. */
static int reserve(struct buffer *b, size_t extra)
{
	size_t need, cap;
	uint8_t *data;

	if (b->len > b->max || extra > b->max - b->len)
		return -EMSGSIZE;
	need = b->len + extra;
	if (need >= SIZE_MAX / 2)
		return -ENOMEM;
	need++;
	if (need <= b->cap)
		return 0;
	cap = b->cap > 0 ? b->cap : BUFFER_FIRST_CAP;
	while (cap < need)
		cap *= 2;
	data = malloc(cap);
	if (!data)
		return -ENOMEM;
	if (b->len > 0)
		memcpy(data, b->data, b->len);
	if (b->data)
		secret_wipe(b->data, b->cap);
	free(b->data);
	b->data = data;
	b->cap = cap;
	return 0;
}

int buffer_append(struct buffer *b, const void *data, size_t len)
{
	int rc = reserve(b, len);

	if (rc < 0)
		return rc;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int buffer_printf(struct buffer *b, const char *fmt, ...)
{
	va_list args;
	int len, rc;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
		return -EINVAL;
	rc = reserve(b, (size_t)len);
	if (rc < 0)
		return rc;
	va_start(args, fmt);
	len = vsnprintf((char *)b->data + b->len, (size_t)len + 1, fmt, args);
	va_end(args);
	if (len < 0)
		return -EINVAL;
	b->len += (size_t)len;
	return 0;
}

void buffer_consume(struct buffer *b, size_t len)
{
	assert(len <= b->len);
	if (len == 0)
		return;
	memmove(b->data, b->data + len, b->len - len);
	secret_wipe(b->data + b->len - len, len);
	b->len -= len;
}

const char *buffer_cstring(struct buffer *b)
{
	if (reserve(b, 0) < 0)
		return NULL;
	b->data[b->len] = '\0';
	return (const char *)b->data;
}
