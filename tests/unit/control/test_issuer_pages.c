/* SPDX-License-Identifier: Apache-2.0
 *
 * What foreign text becomes in a page, and the cookies' form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "control/pages.h"

static void test_escape(void **state)
{
	static const struct {
		const char *text, *want;
	} table[] = {
		{"", ""},
		{"plain", "plain"},
		{"<script>alert(\"1\")</script>&'",
		 "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;"},
		{"J\xc3\xb6rg \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\x87",
		 "J\xc3\xb6rg \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\x87"},
		{"a\r\n\tb\x7f", "a   b "},
		/* Not UTF-8: stray, cut, overlong, surrogate, too big. */
		{"\x80z", "?z"},
		{"a\xc3", "a?"},
		{"\xc0\xbc", "??"},
		{"\xe0\x80\xbc", "???"},
		{"\xed\xa0\x80", "???"},
		{"\xf4\x90\x80\x80", "????"},
		{"\xff\xfe", "??"},
		/* Right-to-left override, zero width space, isolate, C1 control. */
		{"a\xe2\x80\xae"
		 "b\xe2\x80\x8b"
		 "c\xe2\x81\xa6"
		 "d\xc2\x85",
		 "a b c d "},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct pages p = {0};
		buffer_init(&p.html, 1024);
		pages_text(&p, table[i].text);
		assert_false(p.failed);
		const char *got = buffer_cstring(&p.html);
		assert_string_equal(got, table[i].want);
		pages_done(&p);
	}
}

static void test_too_long(void **state)
{
	struct pages p;
	char text[1025];
	(void)state;
	memset(text, 'x', 1024);
	text[1024] = 0;
	pages_begin(&p, "t");
	for (int i = 0; i < 64; i++)
		pages_text(&p, text);
	assert_true(p.failed);
	pages_done(&p);
}

static void test_cookies(void **state)
{
	char line[192];
	(void)state;
	pages_cookie(line, sizeof(line), true, "warren-sso", "abc", 900);
	assert_string_equal(line,
			    "Set-Cookie: __Host-warren-sso=abc; Path=/; Max-Age=900; HttpOnly; "
			    "SameSite=Lax; Secure");
	pages_cookie(line, sizeof(line), false, "warren-sso", "", 0);
	assert_string_equal(line, "Set-Cookie: warren-sso=; Path=/; Max-Age=0; HttpOnly; "
				  "SameSite=Lax");
}

static void test_csrf(void **state)
{
	const uint8_t key[32] = {1}, other_key[32] = {2};
	struct pages_browser mine = {.hash = {1}}, other = {.hash = {2}};
	char token[PAGES_CSRF_SIZE], form[128];
	(void)state;
	pages_csrf(key, &mine, "login:1", token);
	assert_int_equal(strlen(token), PAGES_CSRF_SIZE - 1);
	snprintf(form, sizeof(form), "a=b&csrf=%s", token);
	assert_true(pages_csrf_ok(key, &mine, "login:1", form));
	assert_false(pages_csrf_ok(key, &mine, "login:2", form));
	assert_false(pages_csrf_ok(key, &other, "login:1", form));
	assert_false(pages_csrf_ok(other_key, &mine, "login:1", form));
	assert_false(pages_csrf_ok(key, &mine, "login:1", "a=b"));
	assert_false(pages_csrf_ok(key, &mine, "login:1", "csrf="));
	/* A browser that sent no cookie cannot have had a form from us. */
	snprintf(mine.set_cookie, sizeof(mine.set_cookie), "Set-Cookie: x");
	assert_false(pages_csrf_ok(key, &mine, "login:1", form));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_cookies),
		cmocka_unit_test(test_csrf),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
