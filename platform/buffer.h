/* SPDX-License-Identifier: Apache-2.0
 *
 * Bounded reader and writer with sticky failure: every wire format and message of Warren goes
 * through these. After the first short read or full write everything returns zero / writes nothing,
 * and the caller checks once at the end. Integers are big-endian unless the name says _le.
 */
#ifndef WARREN_PLATFORM_BUFFER_H
#define WARREN_PLATFORM_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

struct reader {
	const uint8_t *data;
	size_t len;
	size_t at;
	bool failed;
};

struct reader reader_init(const void *data, size_t len);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint32_t reader_u32_le(struct reader *r);
uint64_t reader_u64_le(struct reader *r);
/* Copies exactly len bytes; on failure out is zeroed. */
void reader_bytes(struct reader *r, void *out, size_t len);
/* Borrows len bytes from the input; NULL on failure. */
const uint8_t *reader_take(struct reader *r, size_t len);
/* A u32 length and that many bytes, borrowed (SSH "string", RFC 4251 section 5). NULL on failure or
 * when longer than max. */
const uint8_t *reader_string(struct reader *r, size_t max, size_t *ret_len);
/* The same copied into a NUL-terminated char[cap]; fails on embedded NUL or len >= cap. */
void reader_cstring(struct reader *r, char *out, size_t cap);
size_t reader_left(const struct reader *r);
/* True when nothing failed and nothing is left over. */
bool reader_done(const struct reader *r);

struct writer {
	uint8_t *data;
	size_t cap;
	size_t len;
	bool failed;
};

struct writer writer_init(void *data, size_t cap);
void writer_u8(struct writer *w, uint8_t v);
void writer_u16(struct writer *w, uint16_t v);
void writer_u32(struct writer *w, uint32_t v);
void writer_u64(struct writer *w, uint64_t v);
void writer_u32_le(struct writer *w, uint32_t v);
void writer_u64_le(struct writer *w, uint64_t v);
void writer_bytes(struct writer *w, const void *data, size_t len);
void writer_string(struct writer *w, const void *data, size_t len);
void writer_cstring(struct writer *w, const char *s);

/* Growing byte buffer with a limit; wiped on free. Zero-initialise with buffer_init. */
struct buffer {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max; /* append beyond it fails with -EMSGSIZE */
};

void buffer_init(struct buffer *b, size_t max);
void buffer_done(struct buffer *b); /* wipes and frees */
void buffer_reset(struct buffer *b);
int buffer_append(struct buffer *b, const void *data, size_t len) WARREN_MUST_USE;
int buffer_printf(struct buffer *b, const char *fmt, ...) WARREN_PRINTF(2, 3) WARREN_MUST_USE;
/* Drops the first len bytes. */
void buffer_consume(struct buffer *b, size_t len);
/* Ensures a NUL after the last byte (not counted in len); returns the text, NULL without memory. */
const char *buffer_cstring(struct buffer *b);

#endif
