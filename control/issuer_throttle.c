/* SPDX-License-Identifier: Apache-2.0
 *
 * GCRA per key in a 4-way associative table: each key keeps the time at which its bucket is full
 * again. A set that is full gives up the entry that is nearest to full, so that flooding the table
 * with fresh keys never frees one that is exhausted.
 */
#include "control/issuer_throttle.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETS 1024
#define WAYS 4

struct bucket {
	uint8_t key[16];
	uint64_t full_ns; /* GCRA's theoretical arrival time; 0: entry is free */
};

struct issuer_throttle {
	uint8_t hash_key[crypto_generichash_KEYBYTES];
	struct bucket buckets[SETS][WAYS];
};

int issuer_throttle_new(const struct random_source *random, struct issuer_throttle **ret_throttle)
{
	struct issuer_throttle *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	random_bytes(random, t->hash_key, sizeof(t->hash_key));
	*ret_throttle = t;
	return 0;
}

void issuer_throttle_free(struct issuer_throttle *t)
{
	free(t);
}

static struct bucket *bucket_of(struct issuer_throttle *t, const char *key, bool make)
{
	uint8_t hash[18];
	struct bucket *set, *spare;
	crypto_generichash(hash, sizeof(hash), (const uint8_t *)key, strlen(key), t->hash_key,
			   sizeof(t->hash_key));
	set = t->buckets[((unsigned)hash[16] << 8 | hash[17]) % SETS];
	spare = &set[0];
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].full_ns != 0 && memcmp(set[i].key, hash, sizeof(set[i].key)) == 0)
			return &set[i];
		if (set[i].full_ns < spare->full_ns)
			spare = &set[i];
	}
	if (!make)
		return NULL;
	memcpy(spare->key, hash, sizeof(spare->key));
	spare->full_ns = 0;
	return spare;
}

bool issuer_throttle_take(struct issuer_throttle *t, const char *key,
			  const struct issuer_rate *rate, uint64_t now_ns, unsigned *ret_wait_s)
{
	struct bucket *b = bucket_of(t, key, false);
	uint64_t full = b == NULL || b->full_ns < now_ns ? now_ns : b->full_ns;
	uint64_t room = (rate->burst - 1) * rate->interval_ns;
	if (full - now_ns > room) {
		*ret_wait_s = (unsigned)((full - now_ns - room + NSEC_PER_SEC - 1) / NSEC_PER_SEC);
		return false;
	}
	if (b == NULL)
		b = bucket_of(t, key, true);
	b->full_ns = full + rate->interval_ns;
	return true;
}

void issuer_throttle_give(struct issuer_throttle *t, const char *key,
			  const struct issuer_rate *rate)
{
	struct bucket *b = bucket_of(t, key, false);
	if (b != NULL)
		b->full_ns = b->full_ns > rate->interval_ns ? b->full_ns - rate->interval_ns : 0;
}

void issuer_throttle_source(const char *kind, const struct endpoint *source, char *out, size_t cap)
{
	char text[IP_ADDR_STRLEN];
	struct ip_addr addr;
	endpoint_ip(source, &addr);
	if (addr.family == 6)
		memset(addr.bytes + 8, 0, 8);
	if (addr.family == 0)
		snprintf(text, sizeof(text), "-");
	else
		ip_addr_format(&addr, text);
	snprintf(out, cap, "%s|%s", kind, text);
}
