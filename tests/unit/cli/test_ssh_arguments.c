/* SPDX-License-Identifier: Apache-2.0
 *
 * Where ssh's arguments lead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ssh_arguments.h"

#define MAX_ARGUMENTS 16

/* execvp's kind of list from one of literals. */
struct list {
	char *argv[MAX_ARGUMENTS];
	int argc;
};

static struct list list_of(const char *const *texts)
{
	struct list l = {0};

	for (; texts[l.argc] != NULL; l.argc++) {
		assert_true(l.argc < MAX_ARGUMENTS - 1);
		memcpy(&l.argv[l.argc], &texts[l.argc], sizeof(char *));
	}
	return l;
}

#define LIST(...)     list_of((const char *const[]){"ssh", __VA_ARGS__, NULL})
#define PARSE(a, ...) parse((a), LIST(__VA_ARGS__))

static int parse(struct ssh_arguments *a, struct list l)
{
	return ssh_arguments_parse(l.argc, l.argv, a);
}

static void test_destination(void **state)
{
	struct ssh_arguments a;

	(void)state;
	assert_int_equal(PARSE(&a, "deploy@web"), 0);
	assert_string_equal(a.user, "deploy");
	assert_string_equal(a.host, "web");
	assert_int_equal(a.host_index, 1);
	assert_int_equal(PARSE(&a, "-l", "x", "deploy@web", "-l", "y"), 0);
	assert_string_equal(a.user, "x");
	assert_int_equal(a.host_index, 3);
	assert_int_equal(PARSE(&a, "-vlx", "-p22022", "a@b@web"), 0);
	assert_string_equal(a.user, "x");
	assert_string_equal(a.port, "22022");
	assert_string_equal(a.host, "web");
	assert_int_equal(PARSE(&a, "--", "-web"), 0);
	assert_string_equal(a.host, "-web");
	assert_true(a.terminated);
	assert_int_equal(PARSE(&a, "web", "--", "x"), 0);
	assert_false(a.terminated);
	assert_int_equal(PARSE(&a, "ssh://u@web:2222/"), 0);
	assert_string_equal(a.user, "u");
	assert_string_equal(a.host, "web");
	assert_string_equal(a.port, "2222");
	assert_int_equal(PARSE(&a, "ssh://u@[fd00::1]:2222"), 0);
	assert_string_equal(a.host, "fd00::1");
	assert_string_equal(a.port, "2222");
	assert_int_equal(PARSE(&a, "u@fd00::1"), 0);
	assert_string_equal(a.host, "fd00::1");
	assert_string_equal(a.port, "");
	assert_int_equal(PARSE(&a, "-p"), -EINVAL);
	assert_int_equal(PARSE(&a, "-v"), -EINVAL);
	assert_int_equal(PARSE(&a, "-l", "x"), -EINVAL);
}

static void test_options(void **state)
{
	struct ssh_arguments a;

	(void)state;
	assert_int_equal(
		PARSE(&a, "-o", "user = ann", "-oPORT 22022", "-o", "batchmode=True", "web"), 0);
	assert_string_equal(a.user, "ann");
	assert_string_equal(a.port, "22022");
	assert_true(a.batch);
	assert_int_equal(PARSE(&a, "-o", "UserKnownHostsFile=x", "-o", "BatchMode no", "web"), 0);
	assert_string_equal(a.user, "");
	assert_false(a.batch);
	assert_int_equal(PARSE(&a, "-o", "User=ann", "-o", "User=ben", "cyd@web"), 0);
	assert_string_equal(a.user, "ann");
	assert_int_equal(PARSE(&a, "-F", "none", "web"), 0);
	assert_true(a.no_config);
	assert_int_equal(PARSE(&a, "-Fmine", "web"), 0);
	assert_true(a.config);
	assert_int_equal(PARSE(&a, "-V"), 0);
	assert_true(a.only_ssh);
	assert_int_equal(PARSE(&a, "-O", "exit", "web"), 0);
	assert_true(a.only_ssh);
	assert_int_equal(PARSE(&a, "-vG", "web"), 0);
	assert_true(a.only_ssh);
}

static void test_answer(void **state)
{
	struct ssh_arguments a;

	(void)state;
	assert_int_equal(PARSE(&a, "alias"), 0);
	ssh_arguments_take_line(&a, "user deploy");
	ssh_arguments_take_line(&a, "hostname web.warren.internal");
	ssh_arguments_take_line(&a, "port 22");
	ssh_arguments_take_line(&a, "batchmode no");
	ssh_arguments_take_line(&a, "userknownhostsfile x");
	ssh_arguments_take_line(&a, "proxyjump");
	ssh_arguments_take_line(&a, "");
	assert_string_equal(a.user, "deploy");
	assert_string_equal(a.host, "web.warren.internal");
	assert_string_equal(a.jump, "");
	ssh_arguments_take_line(&a, "proxyjump one,two");
	assert_string_equal(a.jump, "one,two");
	assert_true(a.jump_option);
}

static void same(char **got, int count, const char *want)
{
	char text[256] = "";

	for (int i = 1; i < count; i++) {
		(void)strncat(text, got[i], sizeof(text) - strlen(text) - 1);
		(void)strncat(text, i + 1 < count ? " " : "", 2);
	}
	assert_null(got[count]);
	assert_string_equal(text, want);
}

static void test_jump(void **state)
{
	struct ssh_arguments a;
	char rest[512], hop[256], host[256], **out;
	struct list l;
	int n;

	(void)state;
	assert_int_equal(PARSE(&a, "-J", "one,u@two:22", "web"), 0);
	assert_string_equal(a.jump, "one,u@two:22");
	assert_false(a.jump_option);
	assert_int_equal(PARSE(&a, "-o", "ProxyJump one", "web"), 0);
	assert_true(a.jump_option);
	assert_int_equal(PARSE(&a, "-J", "none", "web"), 0);
	assert_string_equal(a.jump, "");
	assert_true(ssh_arguments_last_hop("one,u@two:22", rest, hop));
	assert_string_equal(rest, "one");
	assert_string_equal(hop, "u@two:22");
	ssh_arguments_hop_host(hop, host);
	assert_string_equal(host, "two");
	ssh_arguments_hop_host("ssh://u@[fd00::2]:22", host);
	assert_string_equal(host, "fd00::2");
	assert_true(ssh_arguments_last_hop("one", rest, hop));
	assert_string_equal(rest, "");
	for (const char *const *bad = (const char *const[]){"", "-x", "a,-x", "a;b", "a b", "$(a)",
							    "a%h", "a,", NULL};
	     *bad != NULL; bad++)
		assert_false(ssh_arguments_last_hop(*bad, rest, hop));

	l = LIST("-vJ", "one", "-l", "J", "web", "-J");
	assert_int_equal(ssh_arguments_without_jump(l.argc, l.argv, &n, &out), 0);
	same(out, n, "-v -l J web -J");
	free(out[1]);
	free(out);
	l = LIST("-Jone", "-J", "two", "--", "-Jx");
	assert_int_equal(ssh_arguments_without_jump(l.argc, l.argv, &n, &out), 0);
	same(out, n, "-- -Jx");
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destination),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_jump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
