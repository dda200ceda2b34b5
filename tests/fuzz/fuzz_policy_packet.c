/* SPDX-License-Identifier: Apache-2.0
 *
 * Inner packets through the filter, both ways and from the second TUN, in sequences, so that flows
 * and fragments exist when odd packets come. Nothing may be let through for somebody else's
 * address.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/filter.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *all_allowed(size_t *ret_len)
{
	static const char text[] = "{\"rules\": [{\"from\": \"*\", \"to\": \"*\"}]}";
	const struct policy_peer peers[] = {
		{.id = "p_1",
		 .name = "a",
		 .v4 = {4, {100, 64, 0, 1}},
		 .v6 = {6, {0xfd, [15] = 1}},
		 .ssh_enabled = true,
		 .ssh_advertised = true},
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

/* Input: { flags, length, packet }…; flag 1: out, 2: from the SSH TUN, 4: fix the addresses so that
 * the packet gets further, 8: a second passes, 16 (of the first packet): connections are picked up. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[16] = {0};
	uint64_t now = 1;
	struct filter *f;
	size_t len;
	void *blob = all_allowed(&len);

	if (filter_new(16, seed, &f) || filter_set_rules(f, blob, len))
		abort();
	filter_set_ssh(f, true);
	if (size && (data[0] & 16))
		filter_resume(f, UINT64_C(20000000000));
	while (size >= 2) {
		uint8_t flags = data[0];
		size_t n = data[1] < size - 2 ? data[1] : size - 2;
		bool out = flags & 1;
		struct filter_result r;
		uint8_t *packet = malloc(n ? n : 1);

		if (!packet)
			abort();
		memcpy(packet, data + 2, n);
		if ((flags & 4) && n >= 20 && packet[0] >> 4 == 4) {
			memcpy(packet + 12,
			       (uint8_t[]){100, 64, 0, out ? 1 : 2, 100, 64, 0, out ? 2 : 1}, 8);
		} else if ((flags & 4) && n >= 40 && packet[0] >> 4 == 6) {
			memset(packet + 8, 0, 32);
			packet[8] = packet[24] = 0xfd;
			packet[23] = out ? 1 : 2;
			packet[39] = out ? 2 : 1;
		}
		now += flags & 8 ? UINT64_C(1000000000) : 1;
		filter_check(f, out ? FILTER_OUT : FILTER_IN, flags & 2, packet, n, now, &r);
		if (r.drop == FILTER_PASS) {
			size_t at = packet[0] >> 4 == 4 ? (out ? 15 : 19) : (out ? 23 : 39);

			if (n <= at || packet[at] != 1)
				abort();
		} else if (r.to_ssh || r.rewrite_port) {
			abort();
		}
		free(packet);
		data += 2 + n;
		size -= 2 + n;
	}
	filter_free(f);
	free(blob);
	return 0;
}
