/* SPDX-License-Identifier: Apache-2.0
 *
 * Findings about what a configuration names: which lines count, and what is kept of many. With real
 * programs: tests/interop/test_sshd_files.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "ssh/config/sshd_check.h"

static struct sshd_config *parse(const char *text)
{
	const struct sshd_source source = {"a.conf", text, strlen(text)};
	struct sshd_config *c = NULL;
	struct error err = {0};

	assert_int_equal(sshd_config_new(&c), 0);
	if (sshd_config_parse(c, &source, NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return c;
}

static void collect(void *ctx, const struct sshd_place *p)
{
	char *out = ctx;
	size_t len = strlen(out);

	snprintf(out + len, 256 - len, "%s%u%s ", p->in_block ? "+" : "", p->line,
		 p->count > 0 ? p->words[0] : "-");
}

static void lines_that_count(void **state)
{
	static const struct {
		const char *text, *lines;
	} table[] = {
		{"Banner /a\nBanner /b\n", "1/a "},
		{"Banner /a\nMatch User x\nBanner /b\nBanner /c\n", "1/a +3/b +4/c "},
		{"HostKey /a\nHostKey /b\n", "1/a 2/b "},
		{"HostKey /a\nHostKey\nHostKey /b\n", "2- 3/b "},
		{"HostKey /a\nHostKey\n", "2- "},
		{"Port 1\nBanner /a\nPort 2\n", "11 2/a 32 "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sshd_config *c = parse(table[i].text);
		char got[256] = "";

		sshd_config_each(c, collect, got);
		assert_string_equal(got, table[i].lines);
		sshd_config_free(c);
	}
}

static void in_a_mesh(void **state)
{
	struct sshd_config *c = parse("Port 22\nHostKey /nothing/at/all\nRevokedKeys /nothing/at/all\n"
				      "Banner /nothing/at/all\n");
	struct sshd_findings f = {0}, alone = {0};
	struct error err = {0};

	(void)state;
	sshd_check(c, true, &f);
	assert_int_equal(f.count, 4);
	assert_int_equal(f.errors, 1);
	assert_non_null(strstr(f.list[0].text, "a.conf line 1: Port has no effect in a mesh: "));
	assert_non_null(strstr(f.list[1].text, "a.conf line 2: HostKey has no effect in a mesh: "));
	assert_int_equal(sshd_findings_error(&f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "a.conf line 3: RevokedKeys /nothing/at/all cannot be read"));
	sshd_check(c, false, &alone); /* who starts it looks at host keys and the like */
	assert_int_equal(alone.count, 1);
	assert_int_equal(alone.errors, 0);
	assert_int_equal(sshd_findings_error(&alone, &err), 0);
	sshd_config_free(c);
}

static void more_than_fit(void **state)
{
	struct sshd_findings f = {0};
	struct error err = {0};
	char text[512];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 3 * SSHD_FINDINGS_MAX; i++)
		sshd_finding(&f, false, NULL, "%s", text);
	assert_int_equal(f.count, SSHD_FINDINGS_MAX);
	assert_int_equal(sshd_findings_error(&f, &err), 0);
	sshd_finding(&f, true, NULL, "first");
	sshd_finding(&f, true, NULL, "second");
	assert_int_equal(f.count, SSHD_FINDINGS_MAX);
	assert_int_equal(f.errors, 2);
	assert_int_equal(sshd_findings_error(&f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "and 1 more"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_count),
		cmocka_unit_test(in_a_mesh),
		cmocka_unit_test(more_than_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
