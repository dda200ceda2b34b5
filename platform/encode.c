/* SPDX-License-Identifier: Apache-2.0
 *
 * Hex and base64 (RFC 4648 sections 4, 5 and 8). Keys pass through here, so that characters and
 * values are mapped by arithmetic, without tables or branches on the data. Accepts exactly one
 * spelling of each value (both cases of hex digits excepted).
 */
#include "platform/encode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "platform/secret.h"

/* All ones when lo <= c <= hi, for values below 2^15. */
static unsigned in_range(unsigned c, unsigned lo, unsigned hi)
{
	unsigned below = (c - lo) >> 31; /* 1 when c < lo */
	unsigned above = (hi - c) >> 31; /* 1 when c > hi */

	return (below | above) - 1;
}

/* 0..15, or with bit 8 set for what is no hex digit. */
static unsigned hex_value(unsigned char c)
{
	unsigned digit = in_range(c, '0', '9');
	unsigned upper = in_range(c, 'A', 'F');
	unsigned lower = in_range(c, 'a', 'f');

	return (digit & (c - '0')) | (upper & (c - 'A' + 10U)) | (lower & (c - 'a' + 10U)) |
	       (~(digit | upper | lower) & 0x100U);
}

static char hex_char(unsigned v)
{
	return (char)('0' + v + (in_range(v, 10, 15) & ('a' - '0' - 10U)));
}

/* 0..63, or with bit 8 set for what is not in the alphabet. */
static unsigned base64_value(unsigned char c, unsigned char c62, unsigned char c63)
{
	unsigned upper = in_range(c, 'A', 'Z');
	unsigned lower = in_range(c, 'a', 'z');
	unsigned digit = in_range(c, '0', '9');
	unsigned is62 = in_range(c, c62, c62);
	unsigned is63 = in_range(c, c63, c63);

	return (upper & (c - 'A' + 0U)) | (lower & (c - 'a' + 26U)) | (digit & (c - '0' + 52U)) |
	       (is62 & 62U) | (is63 & 63U) | (~(upper | lower | digit | is62 | is63) & 0x100U);
}

static char base64_char(unsigned v, unsigned char c62, unsigned char c63)
{
	return (char)((in_range(v, 0, 25) & ('A' + v)) | (in_range(v, 26, 51) & ('a' - 26U + v)) |
		      (in_range(v, 52, 61) & ('0' + v - 52U)) | (in_range(v, 62, 62) & c62) |
		      (in_range(v, 63, 63) & c63));
}

size_t encode_hex(char *out, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = hex_char(p[i] >> 4);
		out[2 * i + 1] = hex_char(p[i] & 15);
	}
	out[2 * len] = '\0';
	return 2 * len;
}

static size_t base64_encode(char *out, const void *data, size_t len, bool url)
{
	const unsigned char c62 = url ? '-' : '+', c63 = url ? '_' : '/';
	const uint8_t *p = data;
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		unsigned v = (unsigned)p[i] << 16;

		if (left > 1)
			v |= (unsigned)p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];
		out[n++] = base64_char(v >> 18, c62, c63);
		out[n++] = base64_char(v >> 12 & 63, c62, c63);
		if (left > 1)
			out[n++] = base64_char(v >> 6 & 63, c62, c63);
		else if (!url)
			out[n++] = '=';
		if (left > 2)
			out[n++] = base64_char(v & 63, c62, c63);
		else if (!url)
			out[n++] = '=';
	}
	out[n] = '\0';
	return n;
}

size_t encode_base64(char *out, const void *data, size_t len)
{
	return base64_encode(out, data, len, false);
}

size_t encode_base64url(char *out, const void *data, size_t len)
{
	return base64_encode(out, data, len, true);
}

int encode_hex_decode(void *out, size_t cap, const char *text, size_t len, size_t *ret_len)
{
	uint8_t *p = out;
	unsigned bad = 0;

	if (len % 2 != 0)
		return -EINVAL;
	if (len / 2 > cap)
		return -EMSGSIZE;
	for (size_t i = 0; i < len / 2; i++) {
		unsigned hi = hex_value((unsigned char)text[2 * i]);
		unsigned lo = hex_value((unsigned char)text[2 * i + 1]);

		bad |= hi | lo;
		p[i] = (uint8_t)(hi << 4 | lo);
	}
	if (bad & 0x100U) {
		secret_wipe(out, len / 2);
		return -EINVAL;
	}
	*ret_len = len / 2;
	return 0;
}

static int base64_decode(void *out, size_t cap, const char *text, size_t len, size_t *ret_len,
			 bool url)
{
	const unsigned char c62 = url ? '-' : '+', c63 = url ? '_' : '/';
	uint8_t *p = out;
	size_t tail, n, at = 0;
	unsigned bad = 0;

	if (!url) {
		if (len % 4 != 0)
			return -EINVAL;
		for (int i = 0; i < 2 && len > 0 && text[len - 1] == '='; i++)
			len--;
	}
	tail = len % 4;
	if (tail == 1)
		return -EINVAL;
	n = len / 4 * 3 + (tail > 0 ? tail - 1 : 0);
	if (n > cap)
		return -EMSGSIZE;
	for (size_t i = 0; i < len; i += 4) {
		size_t count = len - i < 4 ? len - i : 4;
		unsigned v = 0;

		for (size_t j = 0; j < 4; j++) {
			unsigned d =
				j < count ? base64_value((unsigned char)text[i + j], c62, c63) : 0;

			bad |= d & 0x100U;
			v = v << 6 | (d & 63);
		}
		p[at++] = (uint8_t)(v >> 16);
		if (count > 2)
			p[at++] = (uint8_t)(v >> 8);
		else
			bad |= v >> 8 & 0xff; /* bits that belong to no byte */
		if (count > 3)
			p[at++] = (uint8_t)v;
		else
			bad |= v & 0xff;
	}
	if (bad) {
		if (n > 0)
			secret_wipe(out, n);
		return -EINVAL;
	}
	*ret_len = n;
	return 0;
}

int encode_base64_decode(void *out, size_t cap, const char *text, size_t len, size_t *ret_len)
{
	return base64_decode(out, cap, text, len, ret_len, false);
}

int encode_base64url_decode(void *out, size_t cap, const char *text, size_t len, size_t *ret_len)
{
	return base64_decode(out, cap, text, len, ret_len, true);
}

/* rc and got are those of a decoder: a fit that is not exact is wiped. */
static int exact(void *out, size_t len_out, int rc, size_t got)
{
	if (rc < 0)
		return -EINVAL;
	if (got == len_out)
		return 0;
	if (got > 0)
		secret_wipe(out, got);
	return -EINVAL;
}

int encode_hex_exact(void *out, size_t len_out, const char *text)
{
	size_t got = 0;
	int rc = encode_hex_decode(out, len_out, text, strlen(text), &got);

	return exact(out, len_out, rc, got);
}

int encode_base64_exact(void *out, size_t len_out, const char *text)
{
	size_t got = 0;
	int rc = base64_decode(out, len_out, text, strlen(text), &got, false);

	return exact(out, len_out, rc, got);
}

int encode_base64url_exact(void *out, size_t len_out, const char *text)
{
	size_t got = 0;
	int rc = base64_decode(out, len_out, text, strlen(text), &got, true);

	return exact(out, len_out, rc, got);
}
