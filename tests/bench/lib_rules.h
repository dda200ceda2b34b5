/* SPDX-License-Identifier: Apache-2.0
 *
 * A filter with as many rules as wanted, of which the last lets 10.9.0.0/24 and fd09::/64 talk.
 */
#ifndef WARREN_TESTS_BENCH_RULES_H
#define WARREN_TESTS_BENCH_RULES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/filter.h"
#include "policy/policy.h"

/* host: 1 or 2, ours. The block stays for the life of the program. */
static inline struct filter *rules_filter(unsigned rules, uint8_t host)
{
	static const uint8_t seed[16] = {1};
	char id[2][8] = {"p_1", "p_2"};
	struct policy_world *world = NULL;
	struct policy *policy = NULL;
	struct filter *filter = NULL;
	struct error err = {0};
	size_t room = 512 + (size_t)rules * 128, len, used;
	char *text = malloc(room);
	void *blob;

	if (!text || policy_world_new(&world) < 0)
		abort();
	for (uint8_t i = 1; i <= 2; i++) {
		struct policy_peer peer = {.id = id[i - 1],
					   .name = i == 1 ? "one" : "two",
					   .v4 = {4, {10, 9, 0, i}},
					   .v6 = {6, {0xfd, 0x09, [15] = i}}};

		if (policy_world_add_peer(world, &peer) < 0)
			abort();
	}
	used = (size_t)snprintf(text, room, "{\"rules\": [");
	for (unsigned i = 0; i < rules; i++)
		used += (size_t)snprintf(
			text + used, room - used,
			"{\"from\": [\"172.16.%u.%u\"], \"to\": [\"*\"], \"proto\": \"tcp\","
			" \"ports\": \"%u\"},",
			i >> 8 & 255, i & 255, 1 + i % 60000);
	snprintf(text + used, room - used, "{\"from\": [\"*\"], \"to\": [\"*\"]}]}");
	if (policy_parse("bench", text, strlen(text), &policy, &err) < 0 ||
	    policy_compile(policy, world, id[host - 1], 0, &blob, &len, &err) < 0 ||
	    filter_new(0, seed, &filter) < 0 || filter_set_rules(filter, blob, len) < 0) {
		fprintf(stderr, "rules: %s\n", err.text);
		abort();
	}
	policy_free(policy);
	policy_world_free(world);
	free(text);
	return filter;
}

#endif
