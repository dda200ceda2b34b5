/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of ssh_config(5) and what sshd_config(5) does with them. A list that cannot be read
 * matches nothing where it would allow; sshd_config.c refuses it at the line it stands in.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "ssh/config/sshd_config.h"

bool sshd_pattern(const char *text, size_t len, const char *pattern, size_t pattern_len)
{
	size_t t = 0, p = 0, star = SIZE_MAX, mark = 0;

	while (t < len) {
		if (p < pattern_len && pattern[p] == '*') {
			star = p++;
			mark = t;
		} else if (p < pattern_len && (pattern[p] == '?' || pattern[p] == text[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern_len && pattern[p] == '*')
		p++;
	return p == pattern_len;
}

/* The next part of a comma-separated list; *ret_negated when it began with '!'. */
static bool next_part(const char **at, const char **ret_part, size_t *ret_len, bool *ret_negated)
{
	const char *part = *at;
	size_t len;

	if (part == NULL)
		return false;
	len = strcspn(part, ",");
	*at = part[len] == ',' ? part + len + 1 : NULL;
	*ret_negated = len > 0 && part[0] == '!';
	*ret_part = part + *ret_negated;
	*ret_len = len - *ret_negated;
	return true;
}

int sshd_pattern_list(const char *text, const char *list, bool ignore_case)
{
	char lowered[1024], one[1024];
	size_t text_len = strlen(text), len;
	const char *part;
	bool negated;
	int result = 0;

	if (text_len >= sizeof(lowered))
		return -1;
	for (size_t i = 0; i <= text_len; i++)
		lowered[i] = ignore_case ? (char)tolower((unsigned char)text[i]) : text[i];
	while (next_part(&list, &part, &len, &negated)) {
		if (len >= sizeof(one)) {
			if (negated)
				return -1; /* what cannot be judged might be meant */
			continue;
		}
		for (size_t i = 0; i < len; i++)
			one[i] = ignore_case ? (char)tolower((unsigned char)part[i]) : part[i];
		if (!sshd_pattern(lowered, text_len, one, len))
			continue;
		if (negated)
			return -1;
		result = 1;
	}
	return result;
}

/* 1, 0, or -2: as sshd, bits behind the prefix must be zero. */
static int in_prefix(const struct ip_addr *address, const char *text)
{
	struct ip_prefix prefix;
	struct ip_addr exact;
	char bare[IP_ADDR_STRLEN];
	const char *slash = strchr(text, '/');

	if (ip_prefix_parse(text, &prefix) < 0)
		return -2;
	if (slash != NULL) {
		snprintf(bare, sizeof(bare), "%.*s", (int)(slash - text), text);
		if (ip_addr_parse(bare, &exact) < 0 || !ip_addr_equal(&exact, &prefix.addr))
			return -2;
	}
	return address->family == prefix.addr.family && ip_prefix_contains(&prefix, address);
}

int sshd_address_list(const struct ip_addr *address, const char *list)
{
	char text[IP_ADDR_STRLEN] = "", one[256];
	const char *part;
	size_t len;
	bool negated;
	int result = 0;

	if (address->family != 0)
		ip_addr_format(address, text);
	while (next_part(&list, &part, &len, &negated)) {
		struct ip_prefix prefix;
		bool match;

		if (len == 0 || len >= sizeof(one))
			return -2;
		memcpy(one, part, len);
		one[len] = '\0';
		if (strchr(one, '/') != NULL || ip_prefix_parse(one, &prefix) == 0) {
			int in = in_prefix(address, one);

			if (in == -2)
				return -2;
			match = in == 1;
		} else {
			match = address->family != 0 &&
				sshd_pattern(text, strlen(text), one, len);
		}
		if (match && negated)
			return -1;
		if (match)
			result = 1;
	}
	return result;
}

/* The address or the name; what is negated for either matches neither (match_host_and_ip of sshd). */
static bool host_matches(const struct sshd_query *q, const char *list)
{
	int by_address = sshd_address_list(&q->address, list);
	int by_name = q->host != NULL ? sshd_pattern_list(q->host, list, true) : 0;

	return by_address >= 0 && by_name >= 0 && (by_address == 1 || by_name == 1);
}

int sshd_user_pattern(const char *user, const struct sshd_query *q, const char *pattern)
{
	const struct ip_addr nobody = {0};
	const char *at = strrchr(pattern, '@');
	size_t len = at != NULL ? (size_t)(at - pattern) : strlen(pattern);
	const char *host = at != NULL ? at + 1 : NULL;
	bool cidr = host != NULL && strchr(host, '/') != NULL;

	if (pattern[0] == '\0' || (host != NULL && (host[0] == '\0' || len == 0)))
		return -1;
	if (cidr && sshd_address_list(&nobody, host) == -2)
		return -1;
	if (user == NULL || !sshd_pattern(user, strlen(user), pattern, len))
		return 0;
	return host == NULL || host_matches(q, host) ? 1 : 0;
}

static bool user_listed(const struct sshd_words *w, const struct sshd_query *q)
{
	for (size_t i = 0; i < w->count; i++)
		if (sshd_user_pattern(q->user, q, w->word[i]) == 1)
			return true;
	return false;
}

static bool group_listed(const struct sshd_words *w, const struct sshd_query *q)
{
	for (size_t g = 0; g < q->group_count; g++)
		for (size_t i = 0; i < w->count; i++)
			if (sshd_pattern(q->groups[g], strlen(q->groups[g]), w->word[i],
					 strlen(w->word[i])))
				return true;
	return false;
}

const char *sshd_user_refused(const struct sshd_options *o, const struct sshd_query *q)
{
	if (user_listed(&o->deny_users, q))
		return "DenyUsers";
	if (o->allow_users.count > 0 && !user_listed(&o->allow_users, q))
		return "AllowUsers";
	if (group_listed(&o->deny_groups, q))
		return "DenyGroups";
	if (o->allow_groups.count > 0 && !group_listed(&o->allow_groups, q))
		return "AllowGroups";
	return NULL;
}

bool sshd_listed(const char *list, const char *name)
{
	size_t want = strlen(name), len;
	const char *part;
	bool negated;

	while (next_part(&list, &part, &len, &negated))
		if (!negated && len == want && memcmp(part, name, len) == 0)
			return true;
	return false;
}

bool sshd_env_accepted(const struct sshd_options *o, const char *name)
{
	if (name[0] == '\0' || strchr(name, '=') != NULL)
		return false;
	for (size_t i = 0; i < o->accept_env.count; i++)
		if (sshd_pattern(name, strlen(name), o->accept_env.word[i],
				 strlen(o->accept_env.word[i])))
			return true;
	return false;
}

bool sshd_user_env_permitted(const struct sshd_options *o, const char *name)
{
	return o->user_environment != NULL &&
	       sshd_pattern_list(name, o->user_environment, false) == 1;
}

uint32_t sshd_timeout_of(const struct sshd_options *o, const char *type)
{
	for (size_t i = 0; i < o->timeout_count; i++)
		if (sshd_pattern(type, strlen(type), o->timeouts[i].type, o->timeouts[i].type_len))
			return o->timeouts[i].seconds;
	return 0;
}

const char *sshd_subsystem_command(const struct sshd_options *o, const char *name)
{
	for (size_t i = 0; i < o->subsystem_count; i++)
		if (strcmp(o->subsystems[i].name, name) == 0)
			return o->subsystems[i].command;
	return NULL;
}
