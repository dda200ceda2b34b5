/* SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets per source network (IPv4 /32, IPv6 /64) for handshakes under load: 20 a second,
 * bursts of 5 (WireGuard paper section 5.3). Bounded; the table exists only while it is needed.
 */
#ifndef WARREN_TUNNEL_RATELIMITER_H
#define WARREN_TUNNEL_RATELIMITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/clock.h"

#define RATELIMITER_SLOTS 8192
#define RATELIMITER_WAYS  8 /* a source may live in 8 consecutive slots */

struct ratelimiter_slot {
	uint64_t net; /* hash of family and prefix; 0: free */
	uint64_t last_ns;
	uint64_t tokens_ns; /* credit in nanoseconds */
};

struct ratelimiter {
	uint8_t hash_key[16];
	struct ratelimiter_slot *slots; /* NULL until the first call */
	uint64_t used_ns;
};

void ratelimiter_init(struct ratelimiter *r, const struct random_source *random);
void ratelimiter_done(struct ratelimiter *r);
/* True when this source may have one more handshake now. False also when its slots are all taken by
 * sources that are still paying (a flood from many networks), or without memory. */
bool ratelimiter_allow(struct ratelimiter *r, const struct ip_addr *addr, uint64_t now_ns);
/* Gives the table back after a minute without use. */
void ratelimiter_idle(struct ratelimiter *r, uint64_t now_ns);

#endif
