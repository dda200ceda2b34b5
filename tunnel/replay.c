/* SPDX-License-Identifier: Apache-2.0
 *
 * A ring of 64-bit words, one more than the window needs, so that whole words are cleared when the
 * window moves (RFC 6479 section 4).
 */
#include "tunnel/replay.h"

#include <string.h>

void replay_reset(struct replay *r)
{
	memset(r, 0, sizeof(*r));
}

bool replay_accept(struct replay *r, uint64_t counter)
{
	uint64_t word = counter / 64;
	uint64_t bit = UINT64_C(1) << (counter % 64);
	uint64_t *slot;

	if (!r->any || counter > r->last) {
		uint64_t from = r->any ? r->last / 64 : word;
		uint64_t steps = word - from;

		if (steps > REPLAY_WORDS)
			steps = REPLAY_WORDS;
		for (uint64_t i = 1; i <= steps; i++)
			r->bits[(from + i) % REPLAY_WORDS] = 0;
		if (!r->any)
			memset(r->bits, 0, sizeof(r->bits));
		r->last = counter;
		r->any = true;
	} else if (r->last - counter >= REPLAY_WINDOW) {
		return false;
	}
	slot = &r->bits[word % REPLAY_WORDS];
	if (*slot & bit)
		return false;
	*slot |= bit;
	return true;
}
