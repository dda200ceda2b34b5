/* SPDX-License-Identifier: Apache-2.0
 *
 * Time and randomness behind an interface, so that tests own both.
 */
#ifndef WARREN_PLATFORM_CLOCK_H
#define WARREN_PLATFORM_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NSEC_PER_SEC  UINT64_C(1000000000)
#define NSEC_PER_MSEC UINT64_C(1000000)

struct clock {
	/* Monotonic (CLOCK_BOOTTIME) and wall clock (CLOCK_REALTIME) in nanoseconds. */
	uint64_t (*monotonic_ns)(void *ctx);
	uint64_t (*realtime_ns)(void *ctx);
	void *ctx;
};

struct random_source {
	void (*bytes)(void *ctx, void *out, size_t len);
	void *ctx;
};

extern const struct clock clock_system;
extern const struct random_source random_system; /* libsodium's randombytes_buf */

uint64_t clock_monotonic_ns(const struct clock *c);
uint64_t clock_realtime_ns(const struct clock *c);
int64_t clock_realtime_s(const struct clock *c);
void random_bytes(const struct random_source *r, void *out, size_t len);

/* For tests: both clocks read the values here. */
struct clock_fake {
	uint64_t monotonic_ns;
	uint64_t realtime_ns;
};
struct clock clock_fake_clock(struct clock_fake *fake);
/* For tests: a deterministic stream from a seed (not for keys outside tests). */
struct random_fake {
	uint64_t state;
};
struct random_source random_fake_source(struct random_fake *fake);

#endif
