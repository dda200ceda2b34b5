/* SPDX-License-Identifier: Apache-2.0
 *
 * What a person reads when the policy file is wrong: file, line, column and sentence, exactly. And
 * that the good file of design section 7 is taken whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/model.h"
#include "policy/policy.h"

static const char design[] =
	"// the example of design section 7\n"
	"{\n"
	"  \"groups\": { \"ops\": [\"alice@example.com\", \"bob@example.com\"], \"ci\": "
	"[\"setup-key:ci\"] },\n"
	"  \"hosts\":  { \"web\": [\"group:web\"], \"db\": [\"peer:db-1\", \"100.64.0.9\"] },\n"
	"  \"rules\": [\n"
	"    { \"from\": [\"ops\"], \"to\": [\"web\"], \"proto\": \"tcp\", \"ports\": "
	"\"22,80,8000-8100\" },\n"
	"    { \"action\": \"deny\", \"from\": [\"ci\"], \"to\": [\"db\"] },\n"
	"  ],\n"
	"  \"ssh\": [\n"
	"    { \"from\": [\"ops\"], \"to\": [\"web\"], \"logins\": [\"deploy\", \"=\"],\n"
	"      \"allow\": [\"shell\", \"exec\", \"sftp\", \"forward\"],\n"
	"      \"auth\": \"identity\", \"when\": { \"not_after\": \"2027-01-01T00:00:00Z\" } }\n"
	"  ],\n"
	"  /* both kinds\n     of tests */\n"
	"  \"tests\":    [ { \"from\": \"alice@example.com\", \"accept\": [\"web:22\"], \"deny\": "
	"[\"db:5432\"] } ],\n"
	"  \"sshTests\": [ { \"from\": \"bob@example.com\", \"to\": \"web\", \"accept\": "
	"[\"deploy\"], \"deny\": [\"root\"] } ],\n"
	"}\n";

static void test_design_example(void **state)
{
	struct policy *p = NULL;
	struct error err = {0};

	(void)state;
	assert_int_equal(policy_parse("policy.json", design, strlen(design), &p, &err), 0);
	assert_int_equal(p->set_count, 4);
	assert_int_equal(p->rule_count, 2);
	assert_int_equal(p->rules[0].ports.count, 3);
	assert_int_equal(p->rules[0].ports.intervals[2].last, 8100);
	assert_int_equal(p->rules[0].pos.line, 6);
	assert_int_equal(p->rules[0].pos.col, 5);
	assert_true(p->rules[1].deny);
	assert_int_equal(p->ssh[0].when.not_after_s, 1798761600);
	assert_true(p->ssh[0].same_name);
	assert_int_equal(policy_run_tests(p, NULL, 1700000000, &err), 0);
	/* After not_after the same sshTests fail, and say where. */
	assert_int_equal(policy_run_tests(p, NULL, 1798761600, &err), -1);
	assert_string_equal(
		err.text,
		"policy.json:17:70: test failed: bob@example.com may not log in on \"a "
		"machine of group:web\" as deploy: the rule that let bob@example.com log in "
		"on a machine of group:web has expired or is not in force at this hour");
	assert_int_equal(policy_next_change(p, 1700000000), 1798761600);
	assert_int_equal(policy_next_change(p, 1798761600), 0);
	policy_free(p);
}

static const struct {
	const char *text, *message;
} bad[] = {
	/* syntax */
	{"", "p:1:1: expected the policy, an object in { } but the file ends here"},
	{"[]", "p:1:1: expected the policy, an object in { } but found \"[\""},
	{"{\n  \"rules\": [\n",
	 "p:3:1: the file ends inside the array that begins at 2:12; add \"]\""},
	{"{ \"rules\": [] ] }", "p:1:15: expected \",\" or \"}\" but found \"]\""},
	{"{ \"rules\": [,] }", "p:1:13: expected a value but found \",\""},
	{"{ \"rules\" [] }", "p:1:11: expected \":\" after the key but found \"[\""},
	{"{ rules: [] }", "p:1:3: expected a \"key\" or \"}\" but found \"r\""},
	{"{ 'rules': [] }", "p:1:3: expected a \"key\" or \"}\" but found '; strings are written "
			    "in \"double quotes\""},
	{"{} {}", "p:1:4: nothing but comments may follow the closing \"}\""},
	{"{ /* never\n", "p:1:3: this comment never ends; add \"*/\""},
	{"{ \"rules: [] }\n", "p:1:3: this string has no closing quote on its line"},
	{"{ \"r\\q\": [] }", "p:1:5: unknown escape in a string; write \\\\ for a backslash"},
	{"{ \"r\\ud800\": [] }", "p:1:5: half of a surrogate pair in a string"},
	{"{ \"r\\u0000\": [] }", "p:1:5: this character is not allowed in a string"},
	{"{ \"r\xff\": [] }", "p:1:5: this is not UTF-8; save the file as UTF-8"},
	{"{ \"r\x01\": [] }", "p:1:5: control character 0x01 in a string"},
	{"{ \"rules\": 01 }", "p:1:12: a number does not begin with 0"},
	{"{ \"rules\": - }", "p:1:13: expected a digit but found \" \""},
	{"{ \"rules\": yes }", "p:1:12: expected a value but found \"y\""},
	{"{ \"rules\": [], \"rules\": [] }",
	 "p:1:16: \"rules\" is here twice; the first is at 1:3"},
	{"{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", "p:1:21: nested more than 16 deep"},
	/* columns are characters, not bytes */
	{"{ /* \xc3\xa4\xc3\xb6\xe2\x82\xac\xf0\x9f\x98\x80 */ x }",
	 "p:1:14: expected a \"key\" or \"}\" but found \"x\""},
	/* top level */
	{"{ \"rule\": [] }", "p:1:3: the policy has no key \"rule\"; did you mean \"rules\"?"},
	{"{ \"zebra\": [] }", "p:1:3: the policy has no key \"zebra\"; remove it"},
	{"{ \"rules\": {} }", "p:1:12: \"rules\" is an array, not an object"},
	{"{ \"groups\": [] }", "p:1:13: \"groups\" is an object, not an array"},
	/* groups and hosts */
	{"{ \"groups\": { \"a b\": [] } }", "p:1:15: \"a b\" cannot be a name; use up to 64 "
					    "letters, digits, dots, dashes and underscores"},
	{"{ \"groups\": { \"10.0.0.1\": [] } }",
	 "p:1:15: \"10.0.0.1\" cannot be a name; use up to 64 letters, digits, dots, dashes and "
	 "underscores"},
	{"{ \"groups\": { \"x\": [] },\n \"hosts\": { \"x\": [] } }",
	 "p:2:13: \"x\" is a group (at 1:15) and a host; rename one of them"},
	{"{ \"groups\": { \"x\": [\"alice\"] } }",
	 "p:1:21: \"alice\" is not a member; write an e-mail address, user:NAME, group:NAME, "
	 "setup-key:NAME or peer:NAME"},
	{"{ \"hosts\": { \"x\": [\"alice\"] } }",
	 "p:1:20: \"alice\" is not a member; write an e-mail address, user:NAME, group:NAME, "
	 "setup-key:NAME, peer:NAME, an address or a CIDR"},
	{"{ \"groups\": { \"x\": [\"y\"], \"y\": [] } }",
	 "p:1:21: \"y\" is a group or host itself, and these do not nest; list its members here"},
	{"{ \"groups\": { \"x\": [\"10.0.0.0/8\"] } }",
	 "p:1:21: \"10.0.0.0/8\" is an address, and groups hold people and machines by name; put "
	 "it "
	 "into a host"},
	{"{ \"groups\": { \"x\": [\"*\"] } }",
	 "p:1:21: \"*\" is no member; write it in \"from\" or \"to\" instead"},
	{"{ \"groups\": { \"x\": [\"peer:\"] } }", "p:1:21: a name is missing after \"peer:\""},
	{"{ \"groups\": { \"x\": [7] } }", "p:1:21: a selector is a string, not a number"},
	{"{ \"groups\": { \"x\": 7 } }", "p:1:20: \"x\" is an array of strings, not a number"},
	/* rules */
	{"{ \"rules\": [ 3 ] }", "p:1:14: a rule is an object in { }, not a number"},
	{"{ \"rules\": [ {\"to\": [\"*\"]} ] }", "p:1:14: this rule has no \"from\""},
	{"{ \"rules\": [ {\"from\": [\"*\"]} ] }", "p:1:14: this rule has no \"to\""},
	{"{ \"rules\": [ {\"from\": [], \"to\": [\"*\"]} ] }",
	 "p:1:23: \"from\" is empty; write \"*\" for everyone"},
	{"{ \"groups\": {\"ops\": []}, \"rules\": [\n {\"from\": [\"opps\"], \"to\": [\"*\"]} ] }",
	 "p:2:12: \"opps\" is neither a group nor a host of this policy; did you mean \"ops\"?"},
	{"{ \"rules\": [ {\"from\": [\"servers\"], \"to\": [\"*\"]} ] }",
	 "p:1:24: \"servers\" is neither a group nor a host of this policy; define it, or write "
	 "peer:servers for one machine"},
	{"{ \"rules\": [ {\"from\": [\"grp:x\"], \"to\": [\"*\"]} ] }",
	 "p:1:24: \"grp:x\" is not a selector; write peer:NAME, setup-key:NAME, group:NAME, "
	 "user:NAME, workload:NAME, an address or an e-mail address"},
	{"{ \"rules\": [ {\"from\": [\"a@b@c\"], \"to\": [\"*\"]} ] }",
	 "p:1:24: \"a@b@c\" is not an e-mail address"},
	{"{ \"rules\": [ {\"action\": \"allow\", \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:25: \"allow\" is no action; write accept or deny"},
	{"{ \"rules\": [ {\"proto\": \"sctp\", \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:24: \"sctp\" is no protocol; write tcp, udp, icmp or any"},
	{"{ \"rules\": [ {\"ports\": \"22,x\", \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:28: a port is a number from 1 to 65535; write \"22\", \"22,80\" or \"8000-8100\""},
	{"{ \"rules\": [ {\"ports\": \"22;80\", \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:27: ports are separated by commas"},
	{"{ \"rules\": [ {\"ports\": \"0\", \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:25: a port is a number from 1 to 65535; write \"22\", \"22,80\" or \"8000-8100\""},
	{"{ \"rules\": [ {\"ports\": \"90-80\", \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:25: this range of ports runs backwards; write \"80-90\""},
	{"{ \"rules\": [ {\"ports\": \"1-65536\", \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:25: a range of ports is written \"8000-8100\""},
	{"{ \"rules\": [ {\"ports\": [22, 65536], \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:29: a port is a number from 1 to 65535"},
	{"{ \"rules\": [ {\"ports\": [2.5], \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:25: a port is a number or a string, not a fractional or very large number"},
	{"{ \"rules\": [ {\"ports\": [], \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:24: \"ports\" is empty; remove it for all ports"},
	{"{ \"rules\": [ {\"proto\": \"icmp\", \"ports\": 1, \"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:14: icmp has no ports; remove \"ports\" or change \"proto\""},
	{"{ \"rules\": [ {\"form\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:15: a rule has no key \"form\"; did you mean \"from\"?"},
	{"{ \"rules\": [ {\"from\": \"*\", \"to\": \"*\", \"when\": {\"hours\": \"9-17\"}} ] }",
	 "p:1:57: \"9-17\" are no hours; write \"08:00-18:00\" or \"mon-fri 08:00-18:00\""},
	{"{ \"rules\": [ {\"from\": \"*\", \"to\": \"*\", \"when\": {\"tz\": \"UTC\"}} ] }",
	 "p:1:47: \"tz\" needs \"hours\""},
	{"{ \"rules\": [ {\"from\": \"*\", \"to\": \"*\", \"when\": {\"from_networks\": [\"peer:a\"]}} ] }",
	 "p:1:66: \"from_networks\" are overlay addresses such as \"100.64.8.0/24\"; who is meant by "
	 "name goes into \"from\""},
	{"{ \"sshTests\": [ {\"from\": \"*\", \"to\": \"*\", \"deny\": [\"a\"], \"force_command\": \"id\"} ] }",
	 "p:1:17: \"force_command\" is what the logins of \"accept\" run; add them"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"a\"], \"force_command\": \"\"} ] }",
	 "p:1:71: \"force_command\" is empty; name the command, or leave it out"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"a\"], \"force_command\": \"a\\nb\"} ] }",
	 "p:1:71: \"force_command\" is one line without control characters; put more into a script"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"a\"], \"force_command\": "
	 "\"internal-sftp -R\"} ] }",
	 "p:1:71: \"internal-sftp\" is no command here; write \"allow\": [\"sftp\"] or "
	 "\"files_only\": true"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"a\"], \"force_command\": \"id\", "
	 "\"files_only\": true} ] }",
	 "p:1:12: \"files_only\" and \"force_command\" exclude one another; write two ssh rules with "
	 "logins of their own"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"a\"], \"force_command\": \"id\", "
	 "\"allow\": [\"forward\"]} ] }",
	 "p:1:12: \"force_command\" needs a session to run in: add shell, exec or sftp to \"allow\", "
	 "or leave \"allow\" out"},
	{"{ \"rules\": [ {\"from\": \"*\", \"to\": \"*\", \"when\": {\"not_after\": "
	 "\"2027-02-29T00:00:00Z\"}} ] }",
	 "p:1:61: \"not_after\" is a time like \"2027-01-01T00:00:00Z\""},
	/* ssh */
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\"} ] }",
	 "p:1:12: this ssh rule has no \"logins\""},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"*\"]} ] }",
	 "p:1:48: \"*\" is no login; name the local users, or \"=\" for the one of the person's "
	 "own "
	 "name"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": []} ] }",
	 "p:1:47: \"logins\" is empty; name at least one"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"a b\"]} ] }",
	 "p:1:48: \"a b\" cannot be a local user's name"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"x\"], \"allow\": [\"scp\"]} "
	 "] }",
	 "p:1:64: \"scp\" is nothing to allow; write shell, exec, sftp, forward, remote-forward or "
	 "agent"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"x\"], \"auth\": \"none\"} ] "
	 "}",
	 "p:1:62: \"none\" is no \"auth\"; write identity, machine, key, banner or token"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"x\"], \"record\": true} ] }",
	 "p:1:54: \"record\" is not enforced by this version yet; remove it"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"x\"], \"files_only\": 1} ] }",
	 "p:1:68: \"files_only\" is true or false, not a number"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"x\"], \"files_only\": true, "
	 "\"allow\": [\"sftp\", \"exec\"]} ] }",
	 "p:1:12: \"files_only\" allows sftp and scp and nothing else; leave \"allow\" out, or write "
	 "another ssh rule"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"x\"], \"cert_ttl\": \"1w\"} "
	 "] }",
	 "p:1:66: \"cert_ttl\" is a time in seconds, or \"90s\", \"30m\", \"8h\", \"7d\""},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"x\"], \"cert_ttl\": 5} ] }",
	 "p:1:66: \"cert_ttl\" is 60 to 86400 seconds"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"x\"], \"destinations\": "
	 "[\"db:5432\"]} ] }",
	 "p:1:12: \"destinations\" needs \"forward\" in \"allow\" of this ssh rule"},
	{"{ \"ssh\": [ {\"from\": \"*\", \"to\": \"*\", \"logins\": [\"x\"], \"destinations\": "
	 "[\"db\"]} ] }",
	 "p:1:71: \"db\" is no destination; write \"db:5432\", \"*.example.com:443\", "
	 "\"10.0.0.9:8000-8100\" or \"*:22\""},
	/* tests */
	{"{ \"tests\": [ {\"from\": \"*\"} ] }",
	 "p:1:14: this test expects nothing; add \"accept\" or \"deny\""},
	{"{ \"tests\": [ {\"from\": \"*\", \"accept\": [\"peer:a\"]} ] }",
	 "p:1:39: a test names a host and one port, like \"web:22\""},
	{"{ \"tests\": [ {\"from\": \"*\", \"accept\": [\"peer:a:0\"]} ] }",
	 "p:1:39: a test names a host and one port, like \"web:22\""},
	{"{ \"tests\": [ {\"from\": \"*\", \"accept\": [\"wbe:22\"]} ], \"hosts\": {\"web\": []} }",
	 "p:1:39: \"wbe\" is neither a group nor a host of this policy; did you mean \"web\"?"},
	{"{ \"sshTests\": [ {\"from\": \"*\", \"accept\": [\"x\"]} ] }",
	 "p:1:17: this test has no \"to\""},
};

static void test_bad_input(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct policy *p = NULL;
		struct error err = {0};
		int rc = policy_parse("p", bad[i].text, strlen(bad[i].text), &p, &err);

		if (rc == 0 || strcmp(err.text, bad[i].message) != 0)
			print_message("input: %s\n", bad[i].text);
		assert_true(rc < 0);
		assert_null(p);
		assert_string_equal(err.text, bad[i].message);
	}
}

static const char *const good[] = {
	"{}",
	" // nothing\n{ /* , */ } // end",
	"\xef\xbb\xbf{}",
	"{ \"groups\": {}, \"hosts\": {}, \"rules\": [], \"ssh\": [], \"tests\": [], \"sshTests\": "
	"[], }",
	"{ \"rules\": [ {\"from\": \"*\", \"to\": \"*\", \"ports\": [22, \"80 , 443\", \"1-5\"]}, "
	"] }",
	"{ \"rules\": [ {\"from\": [\"user:carol\", \"FD00::/8\"], \"to\": \"group:x\", \"ports\": "
	"22} ] }",
	"{ \"hosts\": { \"h\": [\"fd00::1\", \"10.0.0.0/8\", \"A@B.example\"] } }",
	"{ \"rules\": [ {\"from\": \"*\", \"to\": \"*\", \"when\": {\"not_after\": "
	"\"2028-02-29T23:59:59.5+02:00\"}} ] }",
};

static void test_good_input(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct policy *p = NULL;
		struct error err = {0};

		if (policy_parse("p", good[i], strlen(good[i]), &p, &err))
			fail_msg("%s: %s", good[i], err.text);
		assert_int_equal(policy_run_tests(p, NULL, 0, &err), 0);
		policy_free(p);
	}
}

static void test_no_prefix_crashes(void **state)
{
	(void)state;
	for (size_t len = 0; len < strlen(design); len++) {
		struct policy *p = NULL;
		struct error err = {0};
		int rc = policy_parse("p", design, len, &p, &err);

		if (rc == 0) /* only the final newline may be missing */
			assert_true(len >= strlen(design) - 1);
		policy_free(rc ? NULL : p);
	}
}

static void test_too_long(void **state)
{
	char *text = malloc(POLICY_MAX_TEXT + 1);
	struct policy *p = NULL;
	struct error err = {0};

	(void)state;
	assert_non_null(text);
	memset(text, ' ', POLICY_MAX_TEXT + 1);
	assert_true(policy_parse("p", text, POLICY_MAX_TEXT + 1, &p, &err) < 0);
	assert_non_null(strstr(err.text, "longer than 4194304 bytes"));
	free(text);
}

/* The example of the reference is a policy whose tests pass. */
static void test_reference(void **state)
{
	static char text[65536];
	struct policy *p;
	struct error err = {0};
	FILE *file = fopen(TEST_DATA_DIR "/reference.md", "re");

	(void)state;
	assert_non_null(file);
	size_t len = fread(text, 1, sizeof(text) - 1, file);
	assert_true(len > 0 && len < sizeof(text) - 1);
	(void)fclose(file);
	const char *begin = strstr(text, "```jsonc\n");
	assert_non_null(begin);
	begin += strlen("```jsonc\n");
	const char *end = strstr(begin, "```");
	assert_non_null(end);
	if (policy_parse("POLICY.md", begin, (size_t)(end - begin), &p, &err))
		fail_msg("%s", err.text);
	if (policy_run_tests(p, NULL, 1700000000, &err))
		fail_msg("%s", err.text);
	policy_free(p);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t s;
	} times[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2000-02-29T12:00:00Z", 951825600},
		{"2027-01-01T00:00:00Z", 1798761600},
		{"2027-01-01T02:00:00+02:00", 1798761600},
		{"2026-12-31T19:30:00-04:30", 1798761600},
		{"9999-12-31T23:59:59Z", 253402300799},
	};
	static const char *const wrong[] = {
		"",
		"2027-01-01",
		"2027-01-01T00:00:00",
		"2027-13-01T00:00:00Z",
		"2027-00-01T00:00:00Z",
		"2027-04-31T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2027-01-01T24:00:00Z",
		"2027-01-01T00:60:00Z",
		"2027-01-01T00:00:60Z",
		"2027-01-01T00:00:00.Z",
		"2027-01-01T00:00:00Zx",
		"2027-01-01T00:00:00+2:00",
		"2027-01-01 00:00:00Z",
		"2027-01-01T00:00:00+24:00",
		"+027-01-01T00:00:00Z",
		"9999-12-31T23:59:59-00:01",
		"1970-01-01T00:00:00+00:01",
	};
	int64_t s;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		assert_int_equal(model_parse_time(times[i].text, &s), 0);
		assert_true(s == times[i].s);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_true(model_parse_time(wrong[i], &s) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_design_example), cmocka_unit_test(test_bad_input),
		cmocka_unit_test(test_good_input),     cmocka_unit_test(test_no_prefix_crashes),
		cmocka_unit_test(test_too_long),       cmocka_unit_test(test_reference),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
