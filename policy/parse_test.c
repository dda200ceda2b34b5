/* SPDX-License-Identifier: Apache-2.0
 *
 * "tests" and "sshTests" of the policy file.
 */
#include <string.h>

#include "platform/user.h"
#include "policy/parse.h"

/* What both kinds have in common while the object is read. */
struct reading {
	struct model_test *test;
	const struct jsonc_node *accept, *deny;
};

static int read_atom(struct parse *ps, const struct jsonc_node *node, const char **ret_text,
		     struct model_atom *ret_atom)
{
	int rc = parse_expect(ps, node, JSONC_STRING, "a selector");

	if (rc)
		return rc;
	*ret_text = node->text;
	return parse_atom(ps, node, node->text, (struct model_place){0}, ret_atom);
}

static int read_from(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_test *test = ((struct reading *)out)->test;

	return read_atom(ps, node, &test->from_text, &test->from);
}

static int read_to(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_test *test = ((struct reading *)out)->test;

	return read_atom(ps, node, &test->to_text, &test->to);
}

static int read_at(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_time(ps, node, "at", &((struct reading *)out)->test->at_s);
}

static int read_force_command(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_force_command(ps, node, &((struct reading *)out)->test->force_command);
}

static int read_proto(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_test *test = ((struct reading *)out)->test;
	int rc = parse_proto(ps, node, &test->proto);

	if (!rc && test->proto == POLICY_PROTO_ANY)
		return parse_fail(ps, node->pos, "a test is of one protocol: tcp, udp or icmp");
	return rc;
}

static int read_accept(struct parse *ps, const struct jsonc_node *node, void *out)
{
	((struct reading *)out)->accept = node;
	return parse_expect(ps, node, JSONC_ARRAY, "\"accept\"");
}

static int read_deny(struct parse *ps, const struct jsonc_node *node, void *out)
{
	((struct reading *)out)->deny = node;
	return parse_expect(ps, node, JSONC_ARRAY, "\"deny\"");
}

/* "HOST:PORT"; for icmp the selector alone. */
static int read_target(struct parse *ps, const struct jsonc_node *node, uint8_t proto,
		       struct model_expect *expect)
{
	char host[256];
	size_t len = strlen(node->text);
	const char *colon = strrchr(node->text, ':');
	uint32_t port = 0;

	if (proto == POLICY_PROTO_ICMP)
		return parse_atom(ps, node, node->text, (struct model_place){0}, &expect->to);
	for (const char *c = colon ? colon + 1 : ""; *c; c++) {
		if (*c < '0' || *c > '9' || port > UINT16_MAX) {
			port = 0;
			break;
		}
		port = port * 10 + (uint32_t)(*c - '0');
	}
	if (!colon || port == 0 || port > UINT16_MAX || len >= sizeof(host))
		return parse_fail(ps, node->pos,
				  "a test names a host and one port, like \"web:22\"");
	len = (size_t)(colon - node->text);
	memcpy(host, node->text, len);
	host[len] = '\0';
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		memmove(host, host + 1, len - 2);
		host[len - 2] = '\0';
	}
	expect->port = (uint16_t)port;
	return parse_atom(ps, node, host, (struct model_place){0}, &expect->to);
}

static int read_expects(struct parse *ps, const struct jsonc_node *array, bool accept, bool ssh,
			struct model_test *test)
{
	for (const struct jsonc_node *node = array ? array->first : NULL; node; node = node->next) {
		struct model_expect *expect = &test->expects[test->expect_count];
		int rc = parse_expect(ps, node, JSONC_STRING, ssh ? "a login" : "a target");

		if (rc)
			return rc;
		expect->pos = node->pos;
		expect->text = node->text;
		expect->accept = accept;
		if (ssh && !user_name_valid(node->text))
			rc = parse_fail(ps, node->pos,
					"a login in sshTests is a local user's name");
		else if (!ssh)
			rc = read_target(ps, node, test->proto, expect);
		if (rc)
			return rc;
		test->expect_count++;
	}
	return 0;
}

static int read_test(struct parse *ps, const struct jsonc_node *node, bool ssh,
		     struct model_test *test)
{
	static const struct parse_key test_keys[] = {
		{.name = "from", .read = read_from},
		{.name = "at", .read = read_at},
		{.name = "proto", .read = read_proto},
		{.name = "accept", .read = read_accept},
		{.name = "deny", .read = read_deny},
		{.name = NULL},
	};
	static const struct parse_key ssh_keys[] = {
		{.name = "from", .read = read_from},
		{.name = "at", .read = read_at},
		{.name = "to", .read = read_to},
		{.name = "force_command", .read = read_force_command},
		{.name = "accept", .read = read_accept},
		{.name = "deny", .read = read_deny},
		{.name = NULL},
	};
	struct reading reading = {.test = test};
	int rc;

	test->pos = node->pos;
	test->proto = POLICY_PROTO_TCP;
	rc = parse_object(ps, node, ssh ? ssh_keys : test_keys, ssh ? "an ssh test" : "a test",
			  &reading);
	if (!rc)
		rc = parse_missing(ps, node, "from", "test");
	if (!rc && ssh)
		rc = parse_missing(ps, node, "to", "test");
	if (rc)
		return rc;
	if (test->force_command && !reading.accept)
		return parse_fail(ps, node->pos,
				  "\"force_command\" is what the logins of \"accept\" run; add them");
	size_t count = (reading.accept ? reading.accept->count : 0) +
		       (reading.deny ? reading.deny->count : 0);
	if (!count)
		return parse_fail(ps, node->pos,
				  "this test expects nothing; add \"accept\" or \"deny\"");
	test->expects = policy_arena_alloc(&ps->policy->arena, count, sizeof(*test->expects));
	if (!test->expects)
		return parse_nomem(ps);
	rc = read_expects(ps, reading.accept, true, ssh, test);
	if (!rc)
		rc = read_expects(ps, reading.deny, false, ssh, test);
	return rc;
}

static int read_tests(struct parse *ps, const struct jsonc_node *array, bool ssh,
		      struct model_test **ret_tests, size_t *ret_count)
{
	int rc = parse_expect(ps, array, JSONC_ARRAY, ssh ? "\"sshTests\"" : "\"tests\"");

	if (rc)
		return rc;
	*ret_tests = policy_arena_alloc(&ps->policy->arena, array->count, sizeof(**ret_tests));
	if (!*ret_tests)
		return parse_nomem(ps);
	for (const struct jsonc_node *node = array->first; node && !rc; node = node->next)
		rc = read_test(ps, node, ssh, &(*ret_tests)[(*ret_count)++]);
	return rc;
}

int parse_tests(struct parse *ps, const struct jsonc_node *array)
{
	return read_tests(ps, array, false, &ps->policy->tests, &ps->policy->test_count);
}

int parse_ssh_tests(struct parse *ps, const struct jsonc_node *array)
{
	return read_tests(ps, array, true, &ps->policy->ssh_tests, &ps->policy->ssh_test_count);
}
