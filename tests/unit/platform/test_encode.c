/* SPDX-License-Identifier: Apache-2.0
 *
 * RFC 4648 section 10 vectors, every byte against libsodium, and the texts that a strict decoder
 * refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/encode.h"

static const struct {
	const char *plain, *base64, *hex;
} vectors[] = {
	{"", "", ""},
	{"f", "Zg==", "66"},
	{"fo", "Zm8=", "666F"},
	{"foo", "Zm9v", "666F6F"},
	{"foob", "Zm9vYg==", "666F6F62"},
	{"fooba", "Zm9vYmE=", "666F6F6261"},
	{"foobar", "Zm9vYmFy", "666F6F626172"},
};

static void rfc4648_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const char *plain = vectors[i].plain, *text = vectors[i].base64;
		size_t len = strlen(plain), got = 99;
		char out[32], url[32];
		uint8_t bytes[32];

		assert_int_equal(encode_base64(out, plain, len), strlen(text));
		assert_string_equal(out, text);
		assert_int_equal(encode_base64_decode(bytes, len, text, strlen(text), &got), 0);
		assert_int_equal(got, len);
		assert_memory_equal(bytes, plain, len);

		/* base64url: the same without padding. */
		memcpy(url, text, strlen(text) + 1);
		url[strcspn(url, "=")] = '\0';
		assert_int_equal(encode_base64url(out, plain, len), strlen(url));
		assert_string_equal(out, url);
		assert_int_equal(encode_base64url_exact(bytes, len, url), 0);
		assert_memory_equal(bytes, plain, len);

		assert_int_equal(
			encode_hex_decode(bytes, len, vectors[i].hex, strlen(vectors[i].hex), &got),
			0);
		assert_int_equal(got, len);
		assert_memory_equal(bytes, plain, len);
	}
}

static void agrees_with_libsodium(void **state)
{
	struct random_fake fake = {42};
	struct random_source random = random_fake_source(&fake);

	(void)state;
	for (size_t len = 0; len <= 200; len++) {
		char ours[512], theirs[512];
		uint8_t data[200], back[200];
		size_t got;

		random_bytes(&random, data, len);
		encode_base64(ours, data, len);
		sodium_bin2base64(theirs, sizeof(theirs), data, len,
				  sodium_base64_VARIANT_ORIGINAL);
		assert_string_equal(ours, theirs);
		assert_int_equal(strlen(ours) + 1, ENCODE_BASE64_SIZE(len));
		assert_int_equal(encode_base64_exact(back, len, ours), 0);
		assert_memory_equal(back, data, len);
		encode_base64url(ours, data, len);
		sodium_bin2base64(theirs, sizeof(theirs), data, len,
				  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		assert_string_equal(ours, theirs);
		assert_int_equal(strlen(ours) + 1, ENCODE_BASE64URL_SIZE(len));
		assert_int_equal(
			encode_base64url_decode(back, sizeof(back), ours, strlen(ours), &got), 0);
		assert_int_equal(got, len);
		assert_memory_equal(back, data, len);
		encode_hex(ours, data, len);
		sodium_bin2hex(theirs, sizeof(theirs), data, len);
		assert_string_equal(ours, theirs);
		assert_int_equal(strlen(ours) + 1, ENCODE_HEX_SIZE(len));
		assert_int_equal(encode_hex_exact(back, len, ours), 0);
		assert_memory_equal(back, data, len);
	}
}

/* Each of the 256 characters in place of one of a good text. */
static void alphabets_are_exact(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char text[4] = {'A', (char)c, 'A', 'A'};
		bool letter =
			(c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		bool hex =
			(c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9');
		uint8_t out[4];
		size_t got;

		assert_int_equal(encode_base64_decode(out, 4, text, 4, &got) == 0,
				 letter || c == '+' || c == '/');
		assert_int_equal(encode_base64url_decode(out, 4, text, 4, &got) == 0,
				 letter || c == '-' || c == '_');
		assert_int_equal(encode_hex_decode(out, 4, text, 4, &got) == 0, hex);
	}
}

static void refuses_other_spellings(void **state)
{
	static const char *const base64[] = {
		"Zg",	  "Zg=",   "Zg===", "=",     "====",	   "Zg==Zg==",
		"Zm9v=",  "Z===",  "Zm9=", /* trailing bits */
		"Zh==",			   /* trailing bits */
		"Zm9v\n", " Zm9v", "Zm 9",  "Zm9v ", "Zm9vYg==\n", "-_-_",
	};
	static const char *const base64url[] = {"Zg==",	 "Z",	 "Zh",	  "Zm9",
						"Zm9vY", "+/+/", "Zm9v\n"};
	static const char *const hex[] = {"6", "666", "6g", "0x", " 6", "66 ", "66\n"};
	uint8_t out[16];
	size_t got = 55;

	(void)state;
	for (size_t i = 0; i < sizeof(base64) / sizeof(base64[0]); i++)
		assert_int_equal(
			encode_base64_decode(out, sizeof(out), base64[i], strlen(base64[i]), &got),
			-EINVAL);
	for (size_t i = 0; i < sizeof(base64url) / sizeof(base64url[0]); i++)
		assert_int_equal(encode_base64url_decode(out, sizeof(out), base64url[i],
							 strlen(base64url[i]), &got),
				 -EINVAL);
	for (size_t i = 0; i < sizeof(hex) / sizeof(hex[0]); i++)
		assert_int_equal(encode_hex_decode(out, sizeof(out), hex[i], strlen(hex[i]), &got),
				 -EINVAL);
	assert_int_equal(got, 55);
}

static void refuses_what_does_not_fit(void **state)
{
	uint8_t out[4] = {7, 7, 7, 7};
	size_t got;

	(void)state;
	assert_int_equal(encode_base64_decode(out, 2, "Zm9v", 4, &got), -EMSGSIZE);
	assert_int_equal(encode_base64url_decode(out, 2, "Zm9v", 4, &got), -EMSGSIZE);
	assert_int_equal(encode_hex_decode(out, 2, "666f6f", 6, &got), -EMSGSIZE);
	assert_memory_equal(out, "\7\7\7\7", 4);
	assert_int_equal(encode_base64_exact(out, 2, "Zm9v"), -EINVAL);
	assert_int_equal(encode_base64_exact(out, 4, "Zm9v"), -EINVAL);
	assert_int_equal(encode_hex_exact(out, 4, "666f6f"), -EINVAL);
	assert_int_equal(encode_base64url_exact(out, 1, ""), -EINVAL);
}

static void failed_decoding_leaves_nothing(void **state)
{
	uint8_t out[4] = {7, 7, 7, 7};
	size_t got;

	(void)state;
	assert_int_equal(encode_hex_decode(out, 4, "6666666g", 8, &got), -EINVAL);
	assert_memory_equal(out, "\0\0\0\0", 4);
	assert_int_equal(encode_base64_decode(out, 4, "Zm9*", 4, &got), -EINVAL);
	assert_memory_equal(out, "\0\0\0\0", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc4648_vectors),
		cmocka_unit_test(agrees_with_libsodium),
		cmocka_unit_test(alphabets_are_exact),
		cmocka_unit_test(refuses_other_spellings),
		cmocka_unit_test(refuses_what_does_not_fit),
		cmocka_unit_test(failed_decoding_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
