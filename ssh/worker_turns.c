/* SPDX-License-Identifier: Apache-2.0
 *
 * Which channel goes first: a keystroke's echo waits for no download, and downloads take turns.
 */
#include <string.h>

#include "ssh/worker_internal.h"

#define MUCH_BYTES 4096 /* in one turn */

void worker_turns_order(struct channel **channels, size_t count)
{
	struct channel *later[WORKER_CHANNELS_MAX];
	size_t first = 0, last = 0;

	for (size_t i = 0; i < count && count <= WORKER_CHANNELS_MAX; i++) {
		struct channel *c = channels[i];

		if (c->given - c->turn_given >= MUCH_BYTES)
			later[last++] = c;
		else
			channels[first++] = c;
		c->turn_given = c->given;
	}
	memcpy(channels + first, later, last * sizeof(later[0]));
}
