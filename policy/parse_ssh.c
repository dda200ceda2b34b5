/* SPDX-License-Identifier: Apache-2.0
 *
 * The "ssh" rules of the policy file, and both kinds of tests.
 */
#include <string.h>

#include "platform/user.h"
#include "policy/parse.h"

/* Shell, commands and files are one power; forwards reach further, so they are asked for. */
#define DEFAULT_CAPS (POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_SFTP)

#define INTERNAL_SFTP "internal-sftp"

#define CERT_TTL_MIN_S	60u
#define CERT_TTL_MAX_S	86400u /* cutoffs are forgotten after that time */
#define LOGIN_AGE_MIN_S 60u
#define LOGIN_AGE_MAX_S (366u * 86400)

static int read_from(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_list(ps, node, (struct model_place){0}, &((struct model_ssh_rule *)out)->from);
}

static int read_to(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_list(ps, node, (struct model_place){0}, &((struct model_ssh_rule *)out)->to);
}

static int read_via(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_list(ps, node, (struct model_place){0}, &((struct model_ssh_rule *)out)->via);
}

static int strings(struct parse *ps, const struct jsonc_node *node, const char *what)
{
	char quoted[48] = "\"";
	int rc;

	(void)strncat(quoted, node->key, 40);
	(void)strncat(quoted, "\"", 2);
	rc = parse_expect(ps, node, JSONC_ARRAY, quoted);
	if (!rc && !node->count)
		rc = parse_fail(ps, node->pos, "%s is empty; name at least one", quoted);
	for (const struct jsonc_node *item = node->first; item && !rc; item = item->next)
		rc = parse_expect(ps, item, JSONC_STRING, what);
	return rc;
}

static int read_logins(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_ssh_rule *rule = out;
	char shown[72];
	int rc = strings(ps, node, "a login");

	if (rc)
		return rc;
	rule->logins = policy_arena_alloc(&ps->policy->arena, node->count, sizeof(*rule->logins));
	if (!rule->logins)
		return parse_nomem(ps);
	for (const struct jsonc_node *item = node->first; item; item = item->next) {
		if (strcmp(item->text, "=") == 0) {
			rule->same_name = true;
			continue;
		}
		if (strcmp(item->text, "*") == 0)
			return parse_fail(
				ps, item->pos,
				"\"*\" is no login; name the local users, or \"=\" for the "
				"one of the person's own name");
		if (!user_name_valid(item->text))
			return parse_fail(ps, item->pos, "\"%s\" cannot be a local user's name",
					  jsonc_show(item->text, shown));
		rule->logins[rule->login_count++] = item->text;
	}
	return 0;
}

static int read_allow(struct parse *ps, const struct jsonc_node *node, void *out)
{
	static const struct {
		const char *name;
		uint32_t cap;
	} caps[] = {
		{"shell", POLICY_SSH_SHELL},
		{"exec", POLICY_SSH_EXEC},
		{"sftp", POLICY_SSH_SFTP},
		{"forward", POLICY_SSH_FORWARD},
		{"remote-forward", POLICY_SSH_REMOTE_FORWARD},
		{"agent", POLICY_SSH_AGENT},
	};
	struct model_ssh_rule *rule = out;
	char shown[72];
	int rc = strings(ps, node, "a permission");

	rule->caps = 0;
	for (const struct jsonc_node *item = node->first; item && !rc; item = item->next) {
		uint32_t cap = 0;

		for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
			if (strcmp(caps[i].name, item->text) == 0)
				cap = caps[i].cap;
		if (!cap)
			rc = parse_fail(
				ps, item->pos,
				"\"%s\" is nothing to allow; write shell, exec, sftp, forward, "
				"remote-forward or agent",
				jsonc_show(item->text, shown));
		rule->caps |= cap;
	}
	return rc;
}

static int read_auth(struct parse *ps, const struct jsonc_node *node, void *out)
{
	static const struct {
		const char *name;
		uint32_t auth;
	} auths[] = {
		{"identity", POLICY_SSH_AUTH_IDENTITY},
		{"machine", POLICY_SSH_AUTH_MACHINE},
		{"key", POLICY_SSH_AUTH_KEY},
		{"banner", POLICY_SSH_AUTH_BANNER},
		{"token", POLICY_SSH_AUTH_TOKEN},
	};
	struct model_ssh_rule *rule = out;
	const struct jsonc_node *item = node->type == JSONC_STRING ? node : node->first;
	char shown[72];
	int rc = node->type == JSONC_STRING ? 0 : strings(ps, node, "a kind of login");

	rule->auth = 0;
	for (; item && !rc; item = node->type == JSONC_STRING ? NULL : item->next) {
		uint32_t auth = 0;

		for (size_t i = 0; i < sizeof(auths) / sizeof(auths[0]); i++)
			if (strcmp(auths[i].name, item->text) == 0)
				auth = auths[i].auth;
		if (!auth)
			rc = parse_fail(ps, item->pos,
					"\"%s\" is no \"auth\"; write identity, machine, key, "
					"banner or token",
					jsonc_show(item->text, shown));
		rule->auth |= auth;
	}
	return rc;
}

static int read_when(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_ssh_rule *rule = out;

	return parse_when(ps, node, &rule->when, &rule->networks);
}

static int read_cert_ttl(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_duration(ps, node, CERT_TTL_MIN_S, CERT_TTL_MAX_S,
			      &((struct model_ssh_rule *)out)->cert_ttl_s);
}

static int read_max_login_age(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_duration(ps, node, LOGIN_AGE_MIN_S, LOGIN_AGE_MAX_S,
			      &((struct model_ssh_rule *)out)->max_login_age_s);
}

static int read_destinations(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_ssh_rule *rule = out;
	char shown[72];
	int rc = strings(ps, node, "a destination");

	if (rc)
		return rc;
	if (node->count > POLICY_SSH_MAX_DESTINATIONS)
		return parse_fail(ps, node->pos, "at most %d destinations in one rule",
				  POLICY_SSH_MAX_DESTINATIONS);
	rule->destinations =
		policy_arena_alloc(&ps->policy->arena, node->count, sizeof(*rule->destinations));
	if (!rule->destinations)
		return parse_nomem(ps);
	for (const struct jsonc_node *item = node->first; item; item = item->next) {
		if (!policy_destination_valid(item->text))
			return parse_fail(
				ps, item->pos,
				"\"%s\" is no destination; write \"db:5432\", "
				"\"*.example.com:443\", \"10.0.0.9:8000-8100\" or \"*:22\"",
				jsonc_show(item->text, shown));
		rule->destinations[rule->destination_count++] = item->text;
	}
	return 0;
}

static int read_files_only(struct parse *ps, const struct jsonc_node *node, void *out)
{
	int rc = parse_expect(ps, node, JSONC_BOOL, "\"files_only\"");

	if (!rc)
		((struct model_ssh_rule *)out)->files_only = node->integer != 0;
	return rc;
}

/* One line for the login's shell. sshd's word for its own SFTP server is said otherwise here. */
static int read_force_command(struct parse *ps, const struct jsonc_node *node, void *out)
{
	size_t len = strlen(INTERNAL_SFTP);
	int rc = parse_force_command(ps, node, &((struct model_ssh_rule *)out)->force_command);

	if (!rc && node->text[0] == '\0')
		rc = parse_fail(ps, node->pos,
				"\"force_command\" is empty; name the command, or leave it out");
	if (!rc && strncmp(node->text, INTERNAL_SFTP, len) == 0 &&
	    (node->text[len] == '\0' || node->text[len] == ' '))
		rc = parse_fail(ps, node->pos,
				"\"internal-sftp\" is no command here; write \"allow\": [\"sftp\"] "
				"or \"files_only\": true");
	return rc;
}

/* Without "allow": the usual; with "files_only" there is nothing to choose. */
static int settle_caps(struct parse *ps, const struct jsonc_node *node, struct model_ssh_rule *rule)
{
	if (rule->files_only && (rule->caps & ~(uint32_t)POLICY_SSH_SFTP))
		return parse_fail(ps, node->pos,
				  "\"files_only\" allows sftp and scp and nothing else; leave "
				  "\"allow\" out, or write another ssh rule");
	if (rule->force_command && rule->files_only)
		return parse_fail(ps, node->pos,
				  "\"files_only\" and \"force_command\" exclude one another; write "
				  "two ssh rules with logins of their own");
	if (rule->force_command && rule->caps && !(rule->caps & POLICY_SSH_SESSIONS))
		return parse_fail(ps, node->pos,
				  "\"force_command\" needs a session to run in: add shell, exec or "
				  "sftp to \"allow\", or leave \"allow\" out");
	if (!rule->caps)
		rule->caps = rule->files_only ? (uint32_t)POLICY_SSH_SFTP : DEFAULT_CAPS;
	return 0;
}

static int parse_ssh_rule(struct parse *ps, const struct jsonc_node *node,
			  struct model_ssh_rule *rule)
{
	static const struct parse_key keys[] = {
		{.name = "from", .read = read_from},
		{.name = "to", .read = read_to},
		{.name = "logins", .read = read_logins},
		{.name = "allow", .read = read_allow},
		{.name = "auth", .read = read_auth},
		{.name = "when", .read = read_when},
		{.name = "cert_ttl", .read = read_cert_ttl},
		{.name = "destinations", .read = read_destinations},
		{.name = "max_login_age", .read = read_max_login_age},
		{.name = "via", .read = read_via},
		{.name = "files_only", .read = read_files_only},
		{.name = "force_command", .read = read_force_command},
		{.name = "record", .unenforced = true},
		{.name = NULL},
	};
	int rc;

	rule->pos = node->pos;
	rule->auth = POLICY_SSH_AUTH_IDENTITY;
	rc = parse_object(ps, node, keys, "an ssh rule", rule);
	if (!rc)
		rc = settle_caps(ps, node, rule);
	if (!rc)
		rc = parse_missing(ps, node, "from", "ssh rule");
	if (!rc)
		rc = parse_missing(ps, node, "to", "ssh rule");
	if (!rc)
		rc = parse_missing(ps, node, "logins", "ssh rule");
	if (!rc && rule->destination_count && !(rule->caps & POLICY_SSH_FORWARD))
		return parse_fail(
			ps, node->pos,
			"\"destinations\" needs \"forward\" in \"allow\" of this ssh rule");
	return rc;
}

int parse_ssh_rules(struct parse *ps, const struct jsonc_node *array)
{
	struct policy *p = ps->policy;
	int rc = parse_expect(ps, array, JSONC_ARRAY, "\"ssh\"");

	if (rc)
		return rc;
	p->ssh = policy_arena_alloc(&p->arena, array->count, sizeof(*p->ssh));
	if (!p->ssh)
		return parse_nomem(ps);
	for (const struct jsonc_node *node = array->first; node && !rc; node = node->next)
		rc = parse_ssh_rule(ps, node, &p->ssh[p->ssh_count++]);
	return rc;
}
