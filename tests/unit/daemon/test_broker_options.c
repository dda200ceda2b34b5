/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/options.c: defaults, file, command line, and the place of every mistake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "daemon/options.h"

static int config(const char *text, struct daemon_options *o, struct error *err)
{
	return options_config("w.json", text, strlen(text), o, err);
}

static void file_sets(void **state)
{
	struct daemon_options o;
	struct error err = {0};

	(void)state;
	options_defaults(&o);
	assert_int_equal(
		config("{\"socket\":\"/s\",\"state_dir\":\"/d\",\"interface\":\"mesh0\","
		       "\"wireguard_port\":5000,\"overlay_prefix4\":\"10.77.0.0/16\","
		       "\"overlay_prefix6\":\"fd12::/16\",\"mtu\":1300,\"shards\":4,\"log_level\":\"debug\","
		       "\"issuer_ca_file\":\"/etc/ssl/ca.pem\"}",
		       &o, &err),
		0);
	assert_string_equal(o.socket, "/s");
	assert_string_equal(o.state_dir, "/d");
	assert_string_equal(o.interface, "mesh0");
	assert_int_equal(o.wireguard_port, 5000);
	assert_int_equal(o.prefix4.bits, 16);
	assert_int_equal(o.prefix4.addr.bytes[1], 77);
	assert_int_equal(o.prefix6.addr.bytes[1], 0x12);
	assert_int_equal(o.mtu, 1300);
	assert_int_equal(o.shards, 4);
	assert_int_equal(o.log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(o.issuer_ca_file, "/etc/ssl/ca.pem");
}

static void mistakes_have_a_place(void **state)
{
	static const struct {
		const char *text, *expected;
	} bad[] = {
		{"{\n  \"socket\": \"/s\",\n  \"sockets\": 1\n}",
		 "w.json:3:3: unknown key \"sockets\""},
		{"{\"mtu\": \"1300\"}", "w.json:1:2: the value of \"mtu\""},
		{"{\"x\": {\"mtu\": 1}, \"mtu\": 1}", "w.json:1:2: unknown key \"x\""},
		{"{\n\n \"mtu\": 1}", "w.json:3:2: "},
		{"{\"wireguard_port\": 0}", "w.json:1:2: "},
		{"{\"wireguard_port\": 65536}", "w.json:1:2: "},
		{"{\"shards\": 0}", "w.json:1:2: "},
		{"{\"shards\": 65}", "w.json:1:2: "},
		{"{\"issuer_ca_file\": \"ca.pem\"}", "w.json:1:2: the file of the provider's CA"},
		{"{\"log_level\": \"loud\"}", "w.json:1:2: the log level \"loud\""},
		{"{\"overlay_prefix4\": \"fd00::/8\"}", "w.json:1:2: "},
		{"{\"overlay_prefix6\": \"::/0\"}", "w.json:1:2: "},
		{"{\"socket\": \"relative\"}", "absolute path"},
		{"{\"interface\": \"a/b\"}", "no name for an interface"},
		{"{\"interface\": \"sixteen-letters-\"}", "the name of the interface"},
		{"{\"socket\": \"/s\"", "w.json:1:"},
		{"{\"socket\": \"/s\", \"socket\": \"/t\"}", "w.json:1:"},
		{"[]", "expected an object"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct daemon_options o, before;
		struct error err = {0};

		options_defaults(&o);
		before = o;
		assert_true(config(bad[i].text, &o, &err) < 0);
		if (!strstr(err.text, bad[i].expected))
			fail_msg("%s: %s", bad[i].text, err.text);
		assert_memory_equal(&o, &before, sizeof(o));
	}
}

/* argv of string literals; --role keeps /etc/warren/warren.json out of the test. */
static int parse(struct daemon_options *o, struct error *err, int argc, const char *const *words)
{
	char text[16][64];
	char *argv[17] = {0};

	for (int i = 0; i < argc; i++) {
		strncpy(text[i], words[i], sizeof(text[i]) - 1);
		text[i][sizeof(text[i]) - 1] = '\0';
		argv[i] = text[i];
	}
	return options_parse(argc, argv, o, err);
}

static void command_line(void **state)
{
	static const char *const good[] = {"warrend",
					   "--role",
					   "main",
					   "--state-dir=/d",
					   "--socket",
					   "/s",
					   "--interface-name",
					   "x0",
					   "--wireguard-port",
					   "1",
					   "--log-level",
					   "warn",
					   "--log-json",
					   "--foreground"};
	struct daemon_options o;
	struct error err = {0};

	(void)state;
	assert_int_equal(parse(&o, &err, 14, good), 0);
	assert_string_equal(o.role, "main");
	assert_string_equal(o.state_dir, "/d");
	assert_string_equal(o.socket, "/s");
	assert_string_equal(o.interface, "x0");
	assert_int_equal(o.wireguard_port, 1);
	assert_int_equal(o.log_level, LOG_LEVEL_WARN);
	assert_true(o.log_json);
}

static void wrong_command_line(void **state)
{
	static const struct {
		const char *words[3], *expected;
		int count;
	} bad[] = {
		{{"warrend", "--role", "main"}, NULL, 3},
		{{"warrend", "--nonsense", ""}, "there is no option --nonsense", 2},
		{{"warrend", "--socket", ""}, "needs a value", 2},
		{{"warrend", "word", ""}, "unexpected argument", 2},
		{{"warrend", "--wireguard-port", "65536"}, "1 to 65535", 3},
		{{"warrend", "--wireguard-port", "1x"}, "1 to 65535", 3},
		{{"warrend", "--state-dir", "d"}, "absolute", 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct daemon_options o;
		struct error err = {0};
		int rc = parse(&o, &err, bad[i].count, bad[i].words);

		assert_int_equal(rc, bad[i].expected ? -EINVAL : 0);
		if (bad[i].expected && !strstr(err.text, bad[i].expected))
			fail_msg("%s: %s", bad[i].words[1], err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_sets),
		cmocka_unit_test(mistakes_have_a_place),
		cmocka_unit_test(command_line),
		cmocka_unit_test(wrong_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
