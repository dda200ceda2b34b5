/* SPDX-License-Identifier: Apache-2.0
 *
 * Destinations of forwards: "HOST:PORT" patterns, compared without resolving anything.
 */
#include <string.h>

#include "policy/model.h"

#define PATTERN_MAX 71

struct pattern {
	char host[PATTERN_MAX + 1]; /* without brackets */
	uint16_t first, last;
};

static bool number(const char **text, uint16_t *ret_port)
{
	uint32_t value = 0;
	const char *c = *text;

	for (; *c >= '0' && *c <= '9' && value <= UINT16_MAX; c++)
		value = value * 10 + (uint32_t)(*c - '0');
	if (c == *text || value == 0 || value > UINT16_MAX)
		return false;
	*text = c;
	*ret_port = (uint16_t)value;
	return true;
}

static bool parse_port(const char *text, struct pattern *out)
{
	if (strcmp(text, "*") == 0) {
		out->first = 1;
		out->last = UINT16_MAX;
		return true;
	}
	if (!number(&text, &out->first))
		return false;
	out->last = out->first;
	if (*text == '-') {
		text++;
		if (!number(&text, &out->last))
			return false;
	}
	return !*text && out->last >= out->first;
}

static bool host_valid(const char *host, bool bracketed)
{
	struct ip_addr addr;

	if (ip_addr_parse(host, &addr) == 0)
		return (addr.family == 6) == bracketed;
	if (bracketed)
		return false;
	if (strcmp(host, "*") == 0)
		return true;
	if (strncmp(host, "*.", 2) == 0)
		host += 2;
	return *host && *host != '.' &&
	       host[strspn(host,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ==
		       '\0';
}

static bool parse_pattern(const char *text, struct pattern *out)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool bracketed;

	if (strnlen(text, PATTERN_MAX + 1) > PATTERN_MAX || len == 0 || !parse_port(colon + 1, out))
		return false;
	bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';
	if (bracketed) {
		text++;
		len -= 2;
	}
	memcpy(out->host, text, len);
	out->host[len] = '\0';
	return host_valid(out->host, bracketed);
}

bool policy_destination_valid(const char *pattern)
{
	struct pattern parsed;

	return parse_pattern(pattern, &parsed);
}

bool policy_destination_matches(const char *pattern, const char *host, uint16_t port)
{
	struct pattern parsed;
	struct ip_addr wanted, asked;
	char name[256];
	size_t len = strnlen(host, sizeof(name));

	if (!parse_pattern(pattern, &parsed) || port < parsed.first || port > parsed.last ||
	    len == 0 || len >= sizeof(name))
		return false;
	if (strcmp(parsed.host, "*") == 0)
		return true;
	if (ip_addr_parse(parsed.host, &wanted) == 0)
		return ip_addr_parse(host, &asked) == 0 && ip_addr_equal(&wanted, &asked);
	memcpy(name, host, len + 1);
	if (name[len - 1] == '.')
		name[--len] = '\0'; /* the root label: the same name */
	if (strncmp(parsed.host, "*.", 2) == 0) {
		size_t suffix = strlen(parsed.host + 1);

		return len > suffix && strcasecmp(name + len - suffix, parsed.host + 1) == 0;
	}
	return strcasecmp(name, parsed.host) == 0;
}
