/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader under arbitrary programs: the first half of the input says what to read, the second is
 * read. After a failure everything is zero and nothing moves.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void step(struct reader *r, uint8_t op)
{
	const size_t at = r->at;
	const bool failed = r->failed;
	const uint8_t *p;
	uint64_t v = 0;
	uint8_t bytes[64];
	char text[32];
	size_t len = 0;

	switch (op % 8) {
	case 0:
		v = reader_u8(r);
		break;
	case 1:
		v = reader_u16(r);
		break;
	case 2:
		v = reader_u32(r);
		break;
	case 3:
		v = reader_u64_le(r);
		break;
	case 4:
		reader_bytes(r, bytes, op / 8);
		for (size_t i = 0; r->failed && i < op / 8; i++)
			REQUIRE(bytes[i] == 0);
		break;
	case 5:
		p = reader_take(r, op);
		REQUIRE((p == NULL) == r->failed);
		break;
	case 6:
		p = reader_string(r, op, &len);
		REQUIRE(len <= op);
		REQUIRE((p == NULL) == r->failed);
		break;
	default:
		reader_cstring(r, text, sizeof(text));
		REQUIRE(strlen(text) < sizeof(text));
		break;
	}
	REQUIRE(r->at <= r->len);
	REQUIRE(r->at >= at);
	if (failed)
		REQUIRE(r->failed && r->at == at && v == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t half = size / 2;
	struct reader r = reader_init(data + half, size - half);
	struct buffer b;

	for (size_t i = 0; i < half; i++)
		step(&r, data[i]);
	buffer_init(&b, 1000);
	for (size_t i = 0; i < half; i++) {
		size_t len = b.len;

		if (buffer_append(&b, data + i, data[i] < half - i ? data[i] : half - i) < 0)
			REQUIRE(b.len == len);
		REQUIRE(b.len <= b.max);
		if (data[i] % 3 == 0)
			buffer_consume(&b, b.len / 2);
	}
	buffer_done(&b);
	return 0;
}
