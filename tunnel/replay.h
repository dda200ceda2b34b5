/* SPDX-License-Identifier: Apache-2.0
 *
 * The sliding window of received counters (RFC 6479's ring, WireGuard paper section 5.4.6).
 */
#ifndef WARREN_TUNNEL_REPLAY_H
#define WARREN_TUNNEL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_WINDOW 8192 /* counters behind the newest that are still accepted once */
#define REPLAY_WORDS  (REPLAY_WINDOW / 64 + 1)

struct replay {
	uint64_t last; /* newest counter accepted */
	bool any;
	uint64_t bits[REPLAY_WORDS];
};

void replay_reset(struct replay *r);
/* True, and the counter is marked, when it is new. Call after authentication only. */
bool replay_accept(struct replay *r, uint64_t counter);

#endif
