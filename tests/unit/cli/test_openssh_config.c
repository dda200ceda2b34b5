/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of the drop-in: which names cost a program, in a mesh and without one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/openssh.h"

static char *text_of(const char *fqdn, const char *address)
{
	struct buffer out;
	char *text;

	buffer_init(&out, 65536);
	assert_int_equal(openssh_config_text(&out, "/usr/bin/warren", "/run/warren/warrend.sock",
					     fqdn, address),
			 0);
	text = strdup(buffer_cstring(&out));
	assert_non_null(text);
	buffer_done(&out);
	return text;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

static void in_a_mesh(void **state)
{
	char *text = text_of("first.warren.internal", "100.64.0.1");

	(void)state;
	assert_int_equal(count(text, "exec"), 1);
	assert_non_null(
		strstr(text, "Match host *.warren.internal,*.,100.*,*:*,p_* exec \"/usr/bin/warren "
			     "openssh detect %h %p %r %C\"\n"));
	assert_non_null(
		strstr(text, "Match host !*.*,!*:*,*\n  Include /run/warren/ssh_names.conf\n"));
	assert_non_null(strstr(text, "openssh plain %h %p\n"));
	assert_string_equal(text + strlen(text) - 10, "Match all\n");
	free(text);
	text = text_of("first.example.net", "100.64.0.1");
	assert_non_null(strstr(text, "Match host *.example.net,"));
	assert_null(strstr(text, "openssh plain"));
	free(text);
}

/* Then ssh has to ask about everything. What is not a name or an address gets into no line. */
static void without_one(void **state)
{
	static const char *const odd[][2] = {{"", ""},
					     {"first", "100.64.0.1"},
					     {"first.a b", "100.64.0.1"},
					     {"first.a\nHost *", "100.64.0.1"},
					     {"first.example.net", "fd00::1"},
					     {"first.example.net", ""}};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		char *text = text_of(odd[i][0], odd[i][1]);

		assert_non_null(strstr(text, "\nMatch exec \"/usr/bin/warren openssh detect"));
		assert_null(strstr(text, "Include"));
		assert_null(strstr(text, "Host *"));
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(in_a_mesh),
					   cmocka_unit_test(without_one)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
