/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled block: any bytes are refused or lead to lookups that stay inside them. The input is laid
 * over a valid block, so that the fuzzer gets past the header.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/filter.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *valid_block(size_t *ret_len)
{
	static const char text[] =
		"{\"rules\": [{\"from\": \"*\", \"to\": \"*\", \"ports\": \"22,80-90\"}]}";
	const struct policy_peer peers[] = {
		{.id = "p_1", .name = "a", .v4 = {4, {100, 64, 0, 1}}, .v6 = {6, {0xfd, [15] = 1}}},
		{.id = "p_2", .name = "b", .v4 = {4, {100, 64, 0, 2}}, .v6 = {6, {0xfd, [15] = 2}}},
	};
	struct policy_world *w;
	struct policy *p;
	void *blob;

	if (policy_world_new(&w) || policy_world_add_peer(w, &peers[0]) ||
	    policy_world_add_peer(w, &peers[1]) ||
	    policy_parse("p", text, strlen(text), &p, NULL) ||
	    policy_compile(p, w, "p_1", 0, &blob, ret_len, NULL))
		abort();
	policy_free(p);
	policy_world_free(w);
	return blob;
}

/* Input: triples of (word index, two bytes) that are added to the block's 32-bit words, and how
 * much of the block to cut off in the first byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[16] = {0};
	static const uint8_t ports[][2] = {{0, 22}, {0, 85}, {0xff, 0xff}};
	struct filter_result r;
	struct filter *f;
	size_t len;
	uint8_t *blob;

	if (size < 1)
		return 0;
	blob = valid_block(&len);
	for (size_t i = 1; i + 4 <= size; i += 4) {
		size_t word = ((size_t)data[i] << 8 | data[i + 1]) % (len / 4);
		uint32_t v;

		memcpy(&v, blob + word * 4, 4);
		/* The step goes both ways. */
		uint32_t step = (uint32_t)data[i + 2] << 8 | data[i + 3];
		v = step & 0x8000 ? v - (step & 0x7fff) : v + step;
		memcpy(blob + word * 4, &v, 4);
	}
	if (data[0] < len && data[0] > 0) {
		/* An exact copy, so that the sanitizer sees a read behind the end. */
		uint8_t *cut = malloc(len - data[0]);

		if (!cut)
			abort();
		memcpy(cut, blob, len - data[0]);
		free(blob);
		blob = cut;
		len -= data[0];
	}
	if (filter_new(16, seed, &f))
		abort();
	if (filter_set_rules(f, blob, len) == 0) {
		for (unsigned i = 0; i < 3 * 256; i++) {
			uint8_t syn[40] = {0x45, [3] = 40, [9] = 6, [12] = 100,	 64,	  0, 0, 100,
					   64,	 0,	   1,	    [32] = 0x50, [33] = 2};

			syn[15] = (uint8_t)(i / 3);
			memcpy(syn + 22, ports[i % 3], 2);
			filter_check(f, FILTER_IN, false, syn, sizeof(syn), 1, &r);
		}
	}
	filter_free(f);
	free(blob);
	return 0;
}
