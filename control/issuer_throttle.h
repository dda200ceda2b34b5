/* SPDX-License-Identifier: Apache-2.0
 *
 * How often something may be tried, by key (an account, a source address): a fixed table of token
 * buckets (GCRA), so that guessing cannot grow memory. Loop thread only; time is passed in.
 */
#ifndef WARREN_CONTROL_ISSUER_THROTTLE_H
#define WARREN_CONTROL_ISSUER_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/clock.h"
#include "platform/error.h"

struct issuer_throttle;
int issuer_throttle_new(const struct random_source *random,
			struct issuer_throttle **ret_throttle) WARREN_MUST_USE;
void issuer_throttle_free(struct issuer_throttle *t);

struct issuer_rate {
	unsigned burst;	      /* so many at once */
	uint64_t interval_ns; /* and one more per interval */
};
/* Takes one try; false: none is left, and *ret_wait_s (rounded up) says when one will be. */
bool issuer_throttle_take(struct issuer_throttle *t, const char *key,
			  const struct issuer_rate *rate, uint64_t now_ns, unsigned *ret_wait_s);
/* Gives a try back (it was a success). */
void issuer_throttle_give(struct issuer_throttle *t, const char *key,
			  const struct issuer_rate *rate);
/* "kind|ADDRESS" of a source: an IPv4 address, or the /64 of an IPv6 one. */
void issuer_throttle_source(const char *kind, const struct endpoint *source, char *out, size_t cap);

#endif
