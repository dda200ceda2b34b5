/* SPDX-License-Identifier: Apache-2.0
 *
 * Request heads: what is taken, byte for byte, and what is refused with which status; forms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/server.h"
#include "control/server_http.h"

static void test_good(void **state)
{
	const char text[] = "POST /v1/%2Fx//y/../z?a=%26b&c HTTP/1.1\r\nHost: Control:8443\r\n"
			    "Signature-Input:  w=1 \r\nContent-Length: 3\r\n\r\nabcGET";
	struct server_http_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 7; i++) /* every prefix wants more */
		assert_int_equal(0, server_http_parse(text, i, &head));
	int n = server_http_parse(text, sizeof(text) - 1, &head);
	assert_int_equal(sizeof(text) - 7, n);
	assert_string_equal(head.method, "POST");
	assert_string_equal(head.path, "/v1/%2Fx//y/../z"); /* never decoded */
	assert_string_equal(head.query, "a=%26b&c");
	assert_string_equal(head.host, "control:8443");
	assert_int_equal(3, head.content_length);
	assert_string_equal(server_http_header(&head, "signature-input"), "w=1");
	assert_null(server_http_header(&head, "cookie"));
	assert_true(head.keep_alive);
	server_http_head_done(&head);
}

static void test_bad(void **state)
{
	static const struct {
		int status;
		const char *text;
	} bad[] = {
		{400, "GET / HTTP/1.1\r\n\r\n"},
		{505, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"},
		{505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
		{400, "GET /\r\nHost: a\r\n\r\n"},
		{400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "GET /#f HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"},
		{400,
		 "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n"},
		{501, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\nSignature: a\r\nsignature: b\r\n\r\n"},
		{400, "\r\n\r\n"},
	};
	struct server_http_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(-bad[i].status,
				 server_http_parse(bad[i].text, strlen(bad[i].text), &head));
	static const char nul[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
	assert_int_equal(-400, server_http_parse(nul, sizeof(nul) - 1, &head));
	char *endless = malloc(SERVER_HTTP_MAX_HEAD);
	memset(endless, 'a', SERVER_HTTP_MAX_HEAD);
	assert_int_equal(0, server_http_parse(endless, SERVER_HTTP_MAX_HEAD - 1, &head));
	assert_int_equal(-431, server_http_parse(endless, SERVER_HTTP_MAX_HEAD, &head));
	free(endless);
}

static void test_forms(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(0, server_form_value("a=1&b=x%20y+z&c", "b", out, sizeof(out)));
	assert_string_equal(out, "x y z");
	assert_int_equal(0, server_form_value("a=1&b=x%20y+z&c", "c", out, sizeof(out)));
	assert_string_equal(out, "");
	assert_int_equal(0, server_form_value("a=%26%3D", "a", out, sizeof(out)));
	assert_string_equal(out, "&=");
	assert_int_equal(-ENOENT, server_form_value("a=1", "b", out, sizeof(out)));
	assert_int_equal(-ENOENT, server_form_value("", "b", out, sizeof(out)));
	assert_int_equal(-EINVAL, server_form_value("a=1&a=2", "a", out, sizeof(out)));
	assert_int_equal(-EINVAL, server_form_value("a=%0", "a", out, sizeof(out)));
	assert_int_equal(-EINVAL, server_form_value("a=%zz", "a", out, sizeof(out)));
	assert_int_equal(-EINVAL, server_form_value("a=%00", "a", out, sizeof(out)));
	assert_int_equal(-EMSGSIZE, server_form_value("a=0123456789012345", "a", out, sizeof(out)));
	assert_int_equal(0, server_form_value("a=012345678901234", "a", out, sizeof(out)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_forms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
