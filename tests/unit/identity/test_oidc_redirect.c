/* SPDX-License-Identifier: Apache-2.0
 *
 * The request parser of the loopback redirect.
 */
#include "identity/oidc_redirect.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PORT 40001
#define HEAD "\r\nHost: 127.0.0.1:40001\r\nAccept: */*\r\n\r\n"

static struct oidc_redirect r;

static int parse(const char *text)
{
	memset(&r, 0, sizeof(r));
	return oidc_redirect_parse(text, strlen(text), PORT, &r);
}

static void test_good(void **state)
{
	(void)state;
	assert_int_equal(parse("GET /callback?code=a%2Fb+c&state=S_1-&iss=http%3A%2F%2Fx&other=1 "
			       "HTTP/1.1" HEAD),
			 0);
	assert_true(r.for_us);
	assert_string_equal(r.code, "a/b c");
	assert_string_equal(r.state, "S_1-");
	assert_string_equal(r.issuer, "http://x");
	assert_string_equal(r.error, "");
	assert_int_equal(parse("GET /callback?error=access_denied&error_description=No.&state=x "
			       "HTTP/1.0" HEAD),
			 0);
	assert_true(r.for_us);
	assert_string_equal(r.error, "access_denied");
	assert_string_equal(r.description, "No.");
	assert_int_equal(parse("GET /callback HTTP/1.1" HEAD), 0);
	assert_true(r.for_us);
	assert_int_equal(parse("GET /callback?&& HTTP/1.1" HEAD), 0);
	assert_true(r.for_us);
	assert_int_equal(parse("GET /callback?code=x HTTP/1.1\r\nhost:127.0.0.1:40001\r\n\r\nbody"),
			 0);
	assert_true(r.for_us);
}

static void test_not_for_us(void **state)
{
	static const char *const texts[] = {
		"GET / HTTP/1.1" HEAD,
		"GET /favicon.ico HTTP/1.1" HEAD,
		"GET /callback/ HTTP/1.1" HEAD,
		"GET /callbac HTTP/1.1" HEAD,
		"GET /callback2?code=x HTTP/1.1" HEAD,
		"GET http://127.0.0.1:40001/callback HTTP/1.1" HEAD,
		"POST /callback?code=x HTTP/1.1" HEAD,
		"HEAD /callback?code=x HTTP/1.1" HEAD,
		"get /callback?code=x HTTP/1.1" HEAD,
		"GET /callback?code=x HTTP/1.1\r\n\r\n",
		"GET /callback?code=x HTTP/1.1\r\nHost: 127.0.0.1:40002\r\n\r\n",
		"GET /callback?code=x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"GET /callback?code=x HTTP/1.1\r\nHost: localhost:40001\r\n\r\n",
		"GET /callback?code=x HTTP/1.1\r\nHost: evil.example.com\r\n\r\n",
		"GET /callback?code=x HTTP/1.1\r\nHost: 127.0.0.1:40001\r\nHost: "
		"127.0.0.1:40001\r\n\r\n",
		"GET /callback?code=x HTTP/1.1\r\nHost: 127.0.0.1:40001\r\nHost: evil\r\n\r\n",
		"GET /callback?code=x HTTP/1.1\r\nX-Host: 127.0.0.1:40001\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(parse(texts[i]), 0);
		assert_false(r.for_us);
	}
}

static void test_bad(void **state)
{
	static const char *const texts[] = {
		"GET\r\n\r\n",
		" /callback HTTP/1.1" HEAD,
		"GET /callback" HEAD,
		"GET /callback HTTP/2" HEAD,
		"GET /callback HTTP/1.1 x" HEAD,
		"GET  /callback HTTP/1.1" HEAD,
		"GET /callback?code=%" HEAD,
		"GET /callback?code=% HTTP/1.1" HEAD,
		"GET /callback?code=%4 HTTP/1.1" HEAD,
		"GET /callback?code=%zz HTTP/1.1" HEAD,
		"GET /callback?code=%00 HTTP/1.1" HEAD,
		"GET /callback?code=%0a HTTP/1.1" HEAD,
		"GET /callback?code=a&code=b HTTP/1.1" HEAD,
		"GET /callback?code=a&state=&state= HTTP/1.1" HEAD,
		"GET /callback?code HTTP/1.1" HEAD,
		"\r\n\r\n",
		"\x16\x03\x01\x02\r\n\r\n",
	};
	char text[600];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (parse(texts[i]) != -EBADMSG)
			fail_msg("%s", texts[i]);
	/* state has 256 bytes with its end */
	for (int len = 255; len <= 256; len++) {
		memset(text, 'x', sizeof(text));
		memcpy(text, "GET /callback?state=", 20);
		snprintf(text + 20 + len, sizeof(text) - 20 - (size_t)len, " HTTP/1.1" HEAD);
		assert_int_equal(parse(text), len == 255 ? 0 : -EBADMSG);
	}
	assert_int_equal(oidc_redirect_parse("GET /callback\0 HTTP/1.1\r\n\r\n", 27, PORT, &r),
			 -EBADMSG);
}

static void test_pieces(void **state)
{
	const char text[] = "GET /callback?code=x HTTP/1.1" HEAD;

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++)
		assert_int_equal(oidc_redirect_parse(text, len, PORT, &r), -EAGAIN);
	assert_int_equal(oidc_redirect_parse(text, sizeof(text) - 1, PORT, &r), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_not_for_us),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
