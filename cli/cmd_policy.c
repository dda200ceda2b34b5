/* SPDX-License-Identifier: Apache-2.0
 *
 * warren policy test FILE (without daemon or network) and explain FROM TO[:PORT] (by the daemon, on
 * the policy in force).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "platform/file.h"
#include "policy/policy.h"

#define POLICY_USAGE \
	"policy test [--at TIME] FILE | policy explain [--at TIME] [--proto tcp|udp|icmp] FROM "   \
	"TO[:PORT]"

/* "2027-01-04T08:00:00+01:00" for rules with hours or an end; NULL is now. */
static int moment(const struct cli *c, const char *text, int64_t *ret_s)
{
	if (text == NULL)
		*ret_s = (int64_t)time(NULL);
	else if (policy_parse_time(text, ret_s) < 0)
		return cli_fail(c, WARREN_EXIT_USAGE,
				"\"%s\" is no time: write one like 2027-01-04T08:00:00+01:00", text);
	return 0;
}

static int policy_test_file(const struct cli *c, int argc, char **argv)
{
	const char *path = NULL, *at = NULL;
	int64_t now_s;
	struct policy *policy = NULL;
	struct error err = {0};
	struct buffer text;
	int code = WARREN_EXIT_OK;
	int r;

	for (int i = 2; i < argc; i++) {
		if (cli_option(argv, &i, "--at", &at) && at != NULL)
			continue;
		if (path != NULL || argv[i][0] == '-')
			return cli_usage(POLICY_USAGE);
		path = argv[i];
	}
	if (path == NULL)
		return cli_usage(POLICY_USAGE);
	code = moment(c, at, &now_s);
	if (code != 0)
		return code;
	buffer_init(&text, POLICY_MAX_TEXT);
	r = file_read(path, &text);
	if (r == -EMSGSIZE)
		code = cli_fail(c, WARREN_EXIT_FAILED, "%s is larger than 4 MiB", path);
	else if (r < 0)
		code = cli_fail(c, WARREN_EXIT_FAILED, "cannot read %s: %s", path, strerror(-r));
	if (code == 0 && policy_parse(path, (const char *)text.data, text.len, &policy, &err) < 0)
		code = WARREN_EXIT_FAILED;
	if (code == 0 && policy_run_tests(policy, NULL, now_s, &err) < 0)
		code = WARREN_EXIT_FAILED;
	if (code != 0 && err.text[0] != '\0' && c->json)
		cli_fail(c, code, "%s", error_text(&err));
	else if (code != 0 && err.text[0] != '\0')
		fprintf(stderr, "%s\n",
			error_text(&err)); /* FILE:LINE:COL: for editors, no prefix */
	if (code == 0)
		printf("%s: good, all tests passed\n", path);
	policy_free(policy);
	buffer_done(&text);
	return code;
}

/* "host", "host:22", "[v6]:22" */
static int split_port(char *to, long *ret_port)
{
	char *colon = strrchr(to, ':');
	char *end = NULL;

	*ret_port = 0;
	if (to[0] == '[') {
		char *close = strchr(to, ']');

		if (close == NULL)
			return -EINVAL;
		colon = close[1] == ':' ? close + 1 : NULL;
		*close = '\0';
		memmove(to, to + 1, strlen(to + 1) + 1);
		if (colon == NULL)
			return 0;
	} else if (colon != NULL && strchr(to, ':') != colon) {
		return 0; /* a bare IPv6 address */
	}
	if (colon == NULL)
		return 0;
	*ret_port = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end != '\0' || *ret_port < 1 || *ret_port > 65535)
		return -EINVAL;
	*colon = '\0';
	return 0;
}

static int policy_explain_command(const struct cli *c, int argc, char **argv)
{
	const char *proto = "tcp", *at = NULL, *from = NULL, *text;
	json_t *result = NULL;
	json_t *args;
	char *to = NULL;
	int64_t at_s;
	long port;
	int code;

	for (int i = 2; i < argc; i++) {
		if (cli_option(argv, &i, "--proto", &proto) && proto != NULL)
			continue;
		if (cli_option(argv, &i, "--at", &at) && at != NULL)
			continue;
		if (from == NULL)
			from = argv[i];
		else if (to == NULL)
			to = argv[i];
		else
			return cli_usage(POLICY_USAGE);
	}
	if (to == NULL || split_port(to, &port) < 0)
		return cli_usage(POLICY_USAGE);
	code = moment(c, at, &at_s);
	if (code != 0)
		return code;
	args = json_pack("{s:s,s:s,s:s,s:s,s:i}", "cmd", "policy_explain", "from", from, "to", to,
			 "proto", proto, "port", (int)port);
	if (at != NULL && args != NULL)
		json_object_set_new(args, "at", json_integer(at_s));
	code = cli_request(c, args, NULL, NULL, &result);
	text = json_string_value(json_object_get(result, "text"));
	if (code == 0 && c->json)
		cli_print_json(result);
	else if (code == 0 && text != NULL)
		fputs(text, stdout);
	json_decref(result);
	return code;
}

int cli_policy(const struct cli *c, int argc, char **argv)
{
	if (argc >= 3 && strcmp(argv[1], "test") == 0)
		return policy_test_file(c, argc, argv);
	if (argc >= 4 && strcmp(argv[1], "explain") == 0)
		return policy_explain_command(c, argc, argv);
	return cli_usage(POLICY_USAGE);
}
