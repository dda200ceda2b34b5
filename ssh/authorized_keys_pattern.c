/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns, address lists and times of authorized_keys options, as OpenSSH judges them
 * (ssh_config(5) "PATTERNS", sshd(8)). A list with an entry that cannot be right lets nobody in.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "ssh/authorized_keys.h"

#define ENTRY_MAX 256

bool authorized_keys_pattern(const char *text, const char *pattern)
{
	const char *star = NULL, *behind = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			behind = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star;
			text = ++behind;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* One entry of a comma-separated list, without its '!'; false at the end. Too long: *ret_ok false.
 */
static bool next_entry(const char **at, char entry[static ENTRY_MAX], bool *ret_negated,
		       bool *ret_ok)
{
	size_t len;

	if (*at == NULL)
		return false;
	*ret_negated = **at == '!';
	*at += *ret_negated;
	len = strcspn(*at, ",");
	*ret_ok = len < ENTRY_MAX;
	if (*ret_ok) {
		memcpy(entry, *at, len);
		entry[len] = '\0';
	}
	*at = (*at)[len] == ',' ? *at + len + 1 : NULL;
	return true;
}

/* 1 inside, 0 outside, -1 no network at all, -2 a network with bits behind its mask. */
static int in_network(const char *entry, const struct ip_addr *client)
{
	const char *slash = strchr(entry, '/');
	struct ip_prefix prefix;
	struct ip_addr addr;
	char host[ENTRY_MAX];

	snprintf(host, sizeof(host), "%.*s", (int)(slash ? slash - entry : (long)strlen(entry)),
		 entry);
	if (ip_addr_parse(host, &addr) < 0)
		return -1;
	if (ip_prefix_parse(entry, &prefix) < 0 || !ip_addr_equal(&prefix.addr, &addr))
		return -2;
	return ip_prefix_contains(&prefix, client);
}

/* -2 not valid, -1 excluded, 0 nothing said, 1 included. */
static int match_addresses(const char *list, const struct ip_addr *client)
{
	char entry[ENTRY_MAX], text[IP_ADDR_STRLEN];
	bool negated, ok;
	int result = 0;

	ip_addr_format(client, text);
	while (next_entry(&list, entry, &negated, &ok)) {
		int in;

		if (!ok || entry[0] == '\0')
			return -2;
		in = in_network(entry, client);
		if (in == -2)
			return -2;
		if (in == -1)
			in = authorized_keys_pattern(text, entry);
		if (in && negated)
			return -1;
		if (in)
			result = 1;
	}
	return result;
}

static int match_name(const char *list, const char *name)
{
	char entry[ENTRY_MAX], lower[ENTRY_MAX];
	bool negated, ok;
	int result = 0;

	snprintf(lower, sizeof(lower), "%s", name);
	for (char *c = lower; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	while (next_entry(&list, entry, &negated, &ok)) {
		if (!ok)
			return -1;
		for (char *c = entry; *c != '\0'; c++)
			*c = (char)tolower((unsigned char)*c);
		if (!authorized_keys_pattern(lower, entry))
			continue;
		if (negated)
			return -1;
		result = 1;
	}
	return result;
}

int authorized_keys_from(const char *list, const struct ip_addr *client, const char *name)
{
	char text[IP_ADDR_STRLEN];
	int by_address = match_addresses(list, client), by_name;

	ip_addr_format(client, text);
	if (by_address == -2)
		return -1;
	if (by_address == -1)
		return 0;
	by_name = match_name(list, name != NULL && name[0] != '\0' ? name : text);
	return by_name != -1 && (by_name == 1 || by_address == 1);
}

static int number(const char *digits, size_t len)
{
	int n = 0;

	for (size_t i = 0; i < len; i++)
		n = n * 10 + (digits[i] - '0');
	return n;
}

int authorized_keys_time(const char *text, int64_t *ret_s)
{
	size_t len = strlen(text), digits = strspn(text, "0123456789");
	bool utc = strcasecmp(text + digits, "Z") == 0 || strcasecmp(text + digits, "UTC") == 0;
	struct tm tm = {.tm_isdst = -1}, asked;
	time_t t;

	if ((digits != len && !utc) || (digits != 8 && digits != 12 && digits != 14))
		return -EINVAL;
	tm.tm_year = number(text, 4) - 1900;
	tm.tm_mon = number(text + 4, 2) - 1;
	tm.tm_mday = number(text + 6, 2);
	if (digits >= 12) {
		tm.tm_hour = number(text + 8, 2);
		tm.tm_min = number(text + 10, 2);
	}
	if (digits == 14)
		tm.tm_sec = number(text + 12, 2);
	asked = tm;
	if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return -EINVAL;
	t = utc ? timegm(&tm) : mktime(&tm);
	/* The 31st of June would be the 1st of July: nobody means that. */
	if (t <= 0 || tm.tm_mday != asked.tm_mday || tm.tm_mon != asked.tm_mon)
		return -EINVAL;
	*ret_s = (int64_t)t;
	return 0;
}
