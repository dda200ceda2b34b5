/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict hex, base64 (RFC 4648 section 4, padded) and base64url (section 5, unpadded). Decoders
 * refuse white space, wrong padding, non-zero trailing bits and anything that does not fit.
 */
#ifndef WARREN_PLATFORM_ENCODE_H
#define WARREN_PLATFORM_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define ENCODE_HEX_SIZE(n)       ((n) * 2 + 1)
#define ENCODE_BASE64_SIZE(n)    (((n) + 2) / 3 * 4 + 1)
#define ENCODE_BASE64URL_SIZE(n) (((n) * 4 + 2) / 3 + 1)

/* out[ENCODE_*_SIZE(len)], NUL-terminated; returns the length without the NUL. */
size_t encode_hex(char *out, const void *data, size_t len);
size_t encode_base64(char *out, const void *data, size_t len);
size_t encode_base64url(char *out, const void *data, size_t len);
/* Decodes text[len] into out[cap]; 0 and *ret_len, or -EINVAL / -EMSGSIZE. */
int encode_hex_decode(void *out, size_t cap, const char *text, size_t len, size_t *ret_len)
	WARREN_MUST_USE;
int encode_base64_decode(void *out, size_t cap, const char *text, size_t len, size_t *ret_len)
	WARREN_MUST_USE;
int encode_base64url_decode(void *out, size_t cap, const char *text, size_t len, size_t *ret_len)
	WARREN_MUST_USE;
/* The same for exactly len_out bytes: anything else is -EINVAL. text is NUL-terminated. */
int encode_hex_exact(void *out, size_t len_out, const char *text) WARREN_MUST_USE;
int encode_base64_exact(void *out, size_t len_out, const char *text) WARREN_MUST_USE;
int encode_base64url_exact(void *out, size_t len_out, const char *text) WARREN_MUST_USE;

#endif
