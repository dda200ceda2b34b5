/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of a map from a control server, and STUN from anywhere.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/proto/map.h"
#include "control/stun.h"
#include "platform/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(const uint8_t *data, size_t size)
{
	json_t *ops = json_load_strict((const char *)data, size, 1u << 20, NULL);
	struct map *m, *before;
	uint8_t x[32], y[32];

	if (!ops)
		return;
	json_t *one = json_integer(1);
	if (map_new(&m) < 0 || map_set(m, "a", one) < 0 || map_copy(m, &before) < 0)
		abort();
	json_decref(one);
	int r = map_apply(m, ops, NULL);
	json_t *back = map_diff(m, before);
	if (!back || (r < 0 && json_array_size(back)) || map_apply(m, back, NULL) < 0)
		abort();
	map_digest(m, x);
	map_digest(before, y);
	if (memcmp(x, y, sizeof(x)) != 0)
		abort();
	json_decref(back);
	json_decref(ops);
	map_free(m);
	map_free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[STUN_MAX_ANSWER];
	struct endpoint source = {.in = {.sin_family = AF_INET, .sin_port = 0x1234}};

	apply(data, size);
	if (stun_answer(data, size, &source, out) > STUN_MAX_ANSWER)
		abort();
	return 0;
}
