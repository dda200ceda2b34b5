/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ssh/client_socks.h"

/* Feeds until a result other than MORE; *ret_used bytes. */
static enum client_socks_result feed(struct client_socks *s, const char *in, size_t len,
				     size_t *ret_used)
{
	for (size_t i = 0; i < len; i++) {
		enum client_socks_result r = client_socks_byte(s, (uint8_t)in[i]);

		if (r != CLIENT_SOCKS_MORE) {
			*ret_used = i + 1;
			return r;
		}
	}
	*ret_used = len;
	return CLIENT_SOCKS_MORE;
}
#define FEED(s, text, used) feed(s, text, sizeof(text) - 1, used)

static void test_socks4(void **state)
{
	struct client_socks s = {0};
	size_t used;

	(void)state;
	assert_int_equal(FEED(&s, "\4\1\0\x50\x7f\0\0\1me\0early", &used), CLIENT_SOCKS_CONNECT);
	assert_int_equal(used, 11); /* what follows is not taken */
	assert_string_equal(s.host, "127.0.0.1");
	assert_int_equal(s.port, 80);
	client_socks_answer(&s, true);
	assert_int_equal(s.reply_len, 8);
	assert_int_equal(s.reply[1], 90);
	client_socks_answer(&s, false);
	assert_int_equal(s.reply[1], 91);
	s = (struct client_socks){0};
	assert_int_equal(FEED(&s, "\4\1\0\x50\0\0\0\1me\0web.example\0", &used),
			 CLIENT_SOCKS_CONNECT);
	assert_string_equal(s.host, "web.example");
	s = (struct client_socks){0};
	assert_int_equal(FEED(&s, "\4\1\0\x50\0\0\0\1\0\0", &used), CLIENT_SOCKS_BAD); /* no name */
	s = (struct client_socks){0};
	assert_int_equal(FEED(&s, "\4\2\0\x50\x7f\0\0\1\0", &used), CLIENT_SOCKS_BAD); /* BIND */
	s = (struct client_socks){0};
	assert_int_equal(FEED(&s, "\4\1\0\0\x7f\0\0\1\0", &used), CLIENT_SOCKS_BAD); /* port 0 */
}

static void test_socks5(void **state)
{
	struct client_socks s = {0};
	size_t used;

	(void)state;
	assert_int_equal(FEED(&s, "\5\2\2\0", &used), CLIENT_SOCKS_REPLY);
	assert_memory_equal(s.reply, "\5\0", 2);
	assert_int_equal(FEED(&s, "\5\1\0\3\3web\1\xbb", &used), CLIENT_SOCKS_CONNECT);
	assert_string_equal(s.host, "web");
	assert_int_equal(s.port, 443);
	client_socks_answer(&s, true);
	assert_int_equal(s.reply_len, 10);
	s = (struct client_socks){.greeted = true};
	assert_int_equal(FEED(&s, "\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\x16", &used),
			 CLIENT_SOCKS_CONNECT);
	assert_string_equal(s.host, "::1");
	s = (struct client_socks){.greeted = true};
	assert_int_equal(FEED(&s, "\5\1\0\3\3w\nb\1\xbb", &used), CLIENT_SOCKS_BAD);
	s = (struct client_socks){.greeted = true};
	assert_int_equal(FEED(&s, "\5\1\0\3\0\1\xbb", &used), CLIENT_SOCKS_BAD);
	s = (struct client_socks){.greeted = true};
	assert_int_equal(FEED(&s, "\5\1\0\7", &used), CLIENT_SOCKS_MORE);
	assert_int_equal(FEED(&s, "\0", &used), CLIENT_SOCKS_BAD); /* address type */
	s = (struct client_socks){0};
	assert_int_equal(FEED(&s, "\5\1\2", &used), CLIENT_SOCKS_BAD); /* password only */
	assert_memory_equal(s.reply, "\5\xff", 2);
	s = (struct client_socks){0};
	assert_int_equal(FEED(&s, "GET / HTTP/1.0", &used), CLIENT_SOCKS_BAD);
}

static void test_endless(void **state)
{
	struct client_socks s = {0};
	size_t used;

	(void)state;
	assert_int_equal(FEED(&s, "\4\1\0\x50\x7f\0\0\1", &used), CLIENT_SOCKS_MORE);
	for (int i = 0; i < 592; i++)
		assert_int_equal(client_socks_byte(&s, 'x'), CLIENT_SOCKS_MORE);
	assert_int_equal(client_socks_byte(&s, 'x'), CLIENT_SOCKS_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socks4),
		cmocka_unit_test(test_socks5),
		cmocka_unit_test(test_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
