/* SPDX-License-Identifier: Apache-2.0
 *
 * Boundaries of the reader, writer and growing buffer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "platform/buffer.h"

static void reads_integers_in_both_orders(void **state)
{
	static const uint8_t data[] = {1,    2,	   3,	 4,    5,    6,	   7,	 0xf1, 0xf2,
				       0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf1, 0xf2, 0xf3,
				       0xf4, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8};
	struct reader r = reader_init(data, sizeof(data));

	(void)state;
	assert_int_equal(reader_u8(&r), 1);
	assert_int_equal(reader_u16(&r), 0x0203);
	assert_int_equal(reader_u32(&r), 0x04050607);
	assert_true(reader_u64(&r) == UINT64_C(0xf1f2f3f4f5f6f7f8));
	assert_true(reader_u32_le(&r) == 0xf4f3f2f1U);
	assert_int_equal(reader_left(&r), 8);
	assert_false(reader_done(&r));
	assert_true(reader_u64_le(&r) == UINT64_C(0xf8f7f6f5f4f3f2f1));
	assert_true(reader_done(&r));
}

static void failure_is_sticky_and_reads_zero(void **state)
{
	static const uint8_t data[] = {1, 2, 3};
	struct reader r = reader_init(data, sizeof(data));
	uint8_t out[4] = {9, 9, 9, 9};
	size_t len = 77;

	(void)state;
	assert_int_equal(reader_u32(&r), 0);
	assert_true(r.failed);
	assert_int_equal(reader_u8(&r), 0);
	assert_null(reader_take(&r, 0));
	reader_bytes(&r, out, sizeof(out));
	assert_memory_equal(out, "\0\0\0\0", 4);
	assert_null(reader_string(&r, 10, &len));
	assert_int_equal(len, 77);
	assert_int_equal(reader_left(&r), 0);
	assert_false(reader_done(&r));
}

static void strings_are_bounded(void **state)
{
	static const struct {
		const char *data;
		size_t len, max;
		bool good;
	} table[] = {
		{"\0\0\0\0", 4, 0, true},
		{"\0\0\0\3abc", 7, 3, true},
		{"\0\0\0\3abc", 7, 2, false},	/* longer than allowed */
		{"\0\0\0\4abc", 7, 100, false}, /* longer than there is */
		{"\0\0\0", 3, 100, false},	/* half a length */
		{"\xff\xff\xff\xff"
		 "abc",
		 7, SIZE_MAX, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct reader r = reader_init(table[i].data, table[i].len);
		size_t len = 0;
		const uint8_t *p = reader_string(&r, table[i].max, &len);

		assert_int_equal(p != NULL, table[i].good);
		assert_int_equal(reader_done(&r), table[i].good);
	}
}

static void cstrings_refuse_nul_and_overflow(void **state)
{
	struct reader r = reader_init("\0\0\0\3abc", 7);
	char out[4];

	(void)state;
	reader_cstring(&r, out, sizeof(out));
	assert_true(reader_done(&r));
	assert_string_equal(out, "abc");

	r = reader_init("\0\0\0\4abcd", 8);
	reader_cstring(&r, out, sizeof(out));
	assert_true(r.failed);
	assert_string_equal(out, "");

	r = reader_init("\0\0\0\3a\0c", 7);
	reader_cstring(&r, out, sizeof(out));
	assert_true(r.failed);
	assert_string_equal(out, "");
}

static void empty_input_and_null(void **state)
{
	struct reader r = reader_init(NULL, 0);

	(void)state;
	assert_true(reader_done(&r));
	assert_non_null(reader_take(&r, 0));
	assert_int_equal(reader_u8(&r), 0);
	assert_true(r.failed);
	r = reader_init(NULL, 5);
	assert_true(r.failed);
}

static void writer_writes_what_reader_reads(void **state)
{
	uint8_t data[64];
	struct writer w = writer_init(data, sizeof(data));
	struct reader r;
	char text[8];

	(void)state;
	writer_u8(&w, 1);
	writer_u16(&w, 0x0203);
	writer_u32(&w, 0xdeadbeef);
	writer_u64(&w, UINT64_MAX - 1);
	writer_u32_le(&w, 0xdeadbeef);
	writer_u64_le(&w, 5);
	writer_cstring(&w, "hello");
	assert_false(w.failed);
	assert_int_equal(w.len, 1 + 2 + 4 + 8 + 4 + 8 + 9);
	assert_memory_equal(data + 3, "\xde\xad\xbe\xef", 4);
	assert_memory_equal(data + 15, "\xef\xbe\xad\xde", 4);
	r = reader_init(data, w.len);
	reader_u8(&r);
	reader_u16(&r);
	assert_true(reader_u32(&r) == 0xdeadbeefU);
	assert_true(reader_u64(&r) == UINT64_MAX - 1);
	assert_true(reader_u32_le(&r) == 0xdeadbeefU);
	assert_true(reader_u64_le(&r) == 5);
	reader_cstring(&r, text, sizeof(text));
	assert_string_equal(text, "hello");
	assert_true(reader_done(&r));
}

static void full_writer_stops(void **state)
{
	uint8_t data[8] = {0};
	struct writer w = writer_init(data, 6);

	(void)state;
	writer_string(&w, "abc", 3); /* needs 7: not even the length is written */
	assert_true(w.failed);
	assert_int_equal(w.len, 0);
	writer_u8(&w, 1);
	assert_int_equal(w.len, 0);

	w = writer_init(data, 6);
	writer_string(&w, "ab", 2);
	assert_false(w.failed);
	assert_int_equal(w.len, 6);
	writer_bytes(&w, "", 0);
	assert_false(w.failed);
	writer_u8(&w, 1);
	assert_true(w.failed);
	assert_int_equal(data[6], 0);
}

static void buffer_grows_to_its_limit(void **state)
{
	char chunk[1000];
	struct buffer b;

	(void)state;
	memset(chunk, 'x', sizeof(chunk));
	buffer_init(&b, 2500);
	assert_int_equal(buffer_append(&b, chunk, 1000), 0);
	assert_int_equal(buffer_append(&b, chunk, 1000), 0);
	assert_int_equal(buffer_append(&b, chunk, 501), -EMSGSIZE);
	assert_int_equal(b.len, 2000);
	assert_int_equal(buffer_append(&b, chunk, 500), 0);
	assert_int_equal(buffer_append(&b, chunk, 0), 0);
	assert_int_equal(buffer_append(&b, chunk, 1), -EMSGSIZE);
	assert_int_equal(buffer_append(&b, chunk, SIZE_MAX), -EMSGSIZE);
	assert_int_equal(strlen(buffer_cstring(&b)), 2500);
	buffer_consume(&b, 2499);
	assert_string_equal(buffer_cstring(&b), "x");
	buffer_reset(&b);
	assert_string_equal(buffer_cstring(&b), "");
	buffer_done(&b);
	assert_null(b.data);
	buffer_done(&b);
	buffer_done(NULL);
}

static void buffer_prints(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 20);
	assert_int_equal(buffer_printf(&b, "%s=%d ", "a", 1), 0);
	assert_int_equal(buffer_printf(&b, "%s", ""), 0);
	assert_int_equal(buffer_printf(&b, "%016d", 5), 0);
	assert_string_equal(buffer_cstring(&b), "a=1 0000000000000005");
	assert_int_equal(buffer_printf(&b, "x"), -EMSGSIZE);
	assert_int_equal(b.len, 20);
	buffer_done(&b);
}

static void consumed_and_reset_bytes_are_wiped(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 100);
	assert_int_equal(buffer_append(&b, "secret", 6), 0);
	buffer_consume(&b, 3);
	assert_memory_equal(b.data, "ret\0\0\0", 6);
	buffer_reset(&b);
	assert_memory_equal(b.data, "\0\0\0\0\0\0", 6);
	buffer_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_integers_in_both_orders),
		cmocka_unit_test(failure_is_sticky_and_reads_zero),
		cmocka_unit_test(strings_are_bounded),
		cmocka_unit_test(cstrings_refuse_nul_and_overflow),
		cmocka_unit_test(empty_input_and_null),
		cmocka_unit_test(writer_writes_what_reader_reads),
		cmocka_unit_test(full_writer_stops),
		cmocka_unit_test(buffer_grows_to_its_limit),
		cmocka_unit_test(buffer_prints),
		cmocka_unit_test(consumed_and_reset_bytes_are_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
