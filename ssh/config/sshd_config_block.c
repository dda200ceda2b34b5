/* SPDX-License-Identifier: Apache-2.0
 *
 * The criteria of a Match line: read once, and asked for a connection.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "ssh/config/sshd_config_internal.h"

enum criterion {
	MATCH_ALL,
	MATCH_USER,
	MATCH_GROUP,
	MATCH_HOST,
	MATCH_ADDRESS,
	MATCH_LOCAL_ADDRESS,
	MATCH_LOCAL_PORT,
	MATCH_PEER,
	MATCH_IDENTITY,
	MATCH_UNKNOWN,
};
static const char *const criteria[] = {"all",	       "user",	    "group", "host",	"address",
				       "localaddress", "localport", "peer",  "identity"};

static enum criterion criterion_of(const char *word)
{
	for (int i = 0; i < MATCH_UNKNOWN; i++)
		if (strcasecmp(criteria[i], word) == 0)
			return (enum criterion)i;
	return MATCH_UNKNOWN;
}

static int check_criterion(const char *name, const char *list, struct error *err)
{
	const struct ip_addr nobody = {0};
	enum criterion c = criterion_of(name);
	uint32_t port;

	if (c == MATCH_UNKNOWN || c == MATCH_ALL)
		return error_set(err, -EINVAL,
				 "Match: \"%s\" is none of user, group, host, address, "
				 "localaddress, localport, peer, identity, all",
				 name);
	if (list == NULL || list[0] == '\0')
		return error_set(err, -EINVAL, "Match: %s of what?", name);
	if ((c == MATCH_ADDRESS || c == MATCH_LOCAL_ADDRESS) &&
	    sshd_address_list(&nobody, list) == -2)
		return error_set(err, -EINVAL, "Match: \"%s\" is no list of addresses", list);
	if (c == MATCH_LOCAL_PORT && sshd_value_number(list, 1, 65535, &port) < 0)
		return error_set(err, -EINVAL, "Match: \"%s\" is no port", list);
	return 0;
}

/* "User=alice" is "User alice". split left room for one word more of each. */
static void split_criteria(struct config_block *b)
{
	for (size_t i = 0; i < b->count; i += 2) {
		char *equal = strchr(b->words[i], '=');

		if (equal == NULL)
			continue;
		*equal = '\0';
		memmove(&b->words[i + 2], &b->words[i + 1],
			(b->count - i) * sizeof(*b->words)); /* with the NULL at the end */
		b->words[i + 1] = equal + 1;
		b->count++;
	}
}

int sshd_block_check(struct config_block *b, struct error *err)
{
	int r = 0;

	split_criteria(b);
	if (b->count == 0)
		return error_set(err, -EINVAL, "Match: whom? (Match User alice; Match all)");
	if (b->count == 1 && strcasecmp(b->words[0], "all") == 0)
		return 0;
	for (size_t i = 0; r == 0 && i < b->count; i += 2)
		r = check_criterion(b->words[i], i + 1 < b->count ? b->words[i + 1] : NULL, err);
	return r;
}

static bool group_matches(const struct sshd_query *q, const char *list)
{
	bool found = false;

	/* One group that is negated is enough to say no (sshd: match_list over all groups). */
	for (size_t i = 0; i < q->group_count; i++) {
		int m = sshd_pattern_list(q->groups[i], list, false);

		if (m < 0)
			return false;
		found = found || m == 1;
	}
	return found;
}

static bool text_matches(const char *text, const char *list, bool ignore_case)
{
	return text != NULL && sshd_pattern_list(text, list, ignore_case) == 1;
}

static bool criterion_holds(const struct sshd_query *q, enum criterion c, const char *list)
{
	uint32_t port;

	switch (c) {
	case MATCH_ALL:
		return true;
	case MATCH_USER:
		return text_matches(q->user, list, false);
	case MATCH_GROUP:
		return group_matches(q, list);
	case MATCH_HOST:
		return text_matches(q->host, list, true);
	case MATCH_ADDRESS:
		return q->address.family != 0 && sshd_address_list(&q->address, list) == 1;
	case MATCH_LOCAL_ADDRESS:
		return q->local_address.family != 0 &&
		       sshd_address_list(&q->local_address, list) == 1;
	case MATCH_LOCAL_PORT:
		return q->local_port != 0 && sshd_value_number(list, 1, 65535, &port) == 0 &&
		       port == q->local_port;
	case MATCH_PEER:
		return text_matches(q->peer, list, true);
	case MATCH_IDENTITY:
		return text_matches(q->identity, list, true);
	case MATCH_UNKNOWN:
	default:
		return false;
	}
}

bool sshd_block_asks_groups(const struct config_block *b)
{
	for (size_t i = 0; i < b->count; i += 2)
		if (criterion_of(b->words[i]) == MATCH_GROUP)
			return true;
	return false;
}

bool sshd_block_holds(const struct config_block *b, const struct sshd_query *q)
{
	for (size_t i = 0; i + 1 < b->count; i += 2)
		if (!criterion_holds(q, criterion_of(b->words[i]), b->words[i + 1]))
			return false;
	return true;
}
