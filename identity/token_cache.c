/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of people by local uid, in locked memory. An entry ends at the first of: its time to live
 * (monotonic clock), the token's own exp (wall clock). Whatever has ended is wiped at the next call
 * that meets it, and never handed out.
 */
#include "identity/token_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"

/* A daemon's callers are the accounts of one machine; more than this is no machine but an attack.
 */
enum { ENTRIES_MAX = 1024 };

struct entry {
	struct entry *next;
	uid_t uid;
	char *token; /* secret memory */
	char *identity;
	int64_t issued_s, expires_s;
	uint64_t put_ns; /* monotonic */
};

struct token_cache {
	const struct clock *clock;
	struct entry *entries;
	size_t count;
	uint32_t ttl_s;
};

static void entry_free(struct entry *e)
{
	if (!e)
		return;
	secret_free(e->token);
	free(e->identity);
	free(e);
}

int token_cache_new(const struct clock *clock, struct token_cache **ret_cache)
{
	struct token_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->clock = clock;
	*ret_cache = c;
	return 0;
}

void token_cache_clear(struct token_cache *c)
{
	while (c->entries) {
		struct entry *e = c->entries;

		c->entries = e->next;
		entry_free(e);
	}
	c->count = 0;
}

void token_cache_free(struct token_cache *c)
{
	if (!c)
		return;
	token_cache_clear(c);
	free(c);
}

static bool live(const struct token_cache *c, const struct entry *e)
{
	uint64_t age_ns = clock_monotonic_ns(c->clock) - e->put_ns;

	return age_ns < (uint64_t)c->ttl_s * NSEC_PER_SEC &&
	       clock_realtime_s(c->clock) < e->expires_s;
}

static void remove_at(struct token_cache *c, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	c->count--;
	entry_free(e);
}

static void purge(struct token_cache *c)
{
	for (struct entry **at = &c->entries; *at;) {
		if (live(c, *at))
			at = &(*at)->next;
		else
			remove_at(c, at);
	}
}

static struct entry **find(struct token_cache *c, uid_t uid)
{
	struct entry **at = &c->entries;

	while (*at && (*at)->uid != uid)
		at = &(*at)->next;
	return at;
}

void token_cache_set_ttl(struct token_cache *c, uint32_t ttl_s)
{
	c->ttl_s = ttl_s;
	purge(c);
}

int token_cache_put(struct token_cache *c, uid_t uid, const char *identity, const char *token,
		    int64_t issued_s, int64_t expires_s)
{
	struct entry **at, *e;

	purge(c);
	if (c->ttl_s == 0 || expires_s <= clock_realtime_s(c->clock))
		return 0;
	at = find(c, uid);
	if (*at && (*at)->issued_s > issued_s)
		return 0; /* a slower answer to an earlier login: the newest login is used */
	if (!*at && c->count >= ENTRIES_MAX)
		return -ENOSPC;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct entry){
		.uid = uid,
		.token = secret_strdup(token),
		.identity = strdup(identity),
		.issued_s = issued_s,
		.expires_s = expires_s,
		.put_ns = clock_monotonic_ns(c->clock),
	};
	if (!e->token || !e->identity) {
		entry_free(e);
		return -ENOMEM;
	}
	if (*at)
		remove_at(c, at);
	e->next = c->entries;
	c->entries = e;
	c->count++;
	return 0;
}

const char *token_cache_get(struct token_cache *c, uid_t uid, const char **ret_identity,
			    int64_t *ret_expires_s)
{
	struct entry *e;

	purge(c);
	e = *find(c, uid);
	if (!e)
		return NULL;
	if (ret_identity)
		*ret_identity = e->identity;
	if (ret_expires_s)
		*ret_expires_s = e->expires_s;
	return e->token;
}

void token_cache_forget(struct token_cache *c, uid_t uid)
{
	struct entry **at = find(c, uid);

	if (*at)
		remove_at(c, at);
}
