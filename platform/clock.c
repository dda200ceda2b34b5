/* SPDX-License-Identifier: Apache-2.0
 *
 * The system's clocks and random bytes, and the fakes that tests put in their place.
 */
#include "platform/clock.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

/* CLOCK_BOOTTIME goes on during suspend: a handshake that slept for an hour is an hour old. */
#ifdef CLOCK_BOOTTIME
#define MONOTONIC_CLOCK CLOCK_BOOTTIME
#else
#define MONOTONIC_CLOCK CLOCK_MONOTONIC
#endif

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;
	int rc = clock_gettime(id, &ts);

	assert(rc == 0);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t system_monotonic(void *ctx)
{
	(void)ctx;
	return read_clock(MONOTONIC_CLOCK);
}

static uint64_t system_realtime(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_REALTIME);
}

static void system_random(void *ctx, void *out, size_t len)
{
	(void)ctx;
	randombytes_buf(out, len);
}

const struct clock clock_system = {system_monotonic, system_realtime, NULL};
const struct random_source random_system = {system_random, NULL};

uint64_t clock_monotonic_ns(const struct clock *c)
{
	return c->monotonic_ns(c->ctx);
}

uint64_t clock_realtime_ns(const struct clock *c)
{
	return c->realtime_ns(c->ctx);
}

int64_t clock_realtime_s(const struct clock *c)
{
	return (int64_t)(c->realtime_ns(c->ctx) / NSEC_PER_SEC);
}

void random_bytes(const struct random_source *r, void *out, size_t len)
{
	if (len > 0)
		r->bytes(r->ctx, out, len);
}

static uint64_t fake_monotonic(void *ctx)
{
	return ((struct clock_fake *)ctx)->monotonic_ns;
}

static uint64_t fake_realtime(void *ctx)
{
	return ((struct clock_fake *)ctx)->realtime_ns;
}

struct clock clock_fake_clock(struct clock_fake *fake)
{
	return (struct clock){fake_monotonic, fake_realtime, fake};
}

/* splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators"). */
static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void fake_random(void *ctx, void *out, size_t len)
{
	struct random_fake *fake = ctx;
	uint8_t *p = out;

	while (len > 0) {
		uint64_t v = splitmix64(&fake->state);
		size_t n = len < sizeof(v) ? len : sizeof(v);

		memcpy(p, &v, n);
		p += n;
		len -= n;
	}
}

struct random_source random_fake_source(struct random_fake *fake)
{
	return (struct random_source){fake_random, fake};
}
