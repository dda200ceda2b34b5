/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into a program under test: moves its wall clock by CLOCK_SHIM_OFFSET seconds. The monotonic
 * clocks stay. With clock_wall.c.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	const char *offset = getenv("CLOCK_SHIM_OFFSET");
	int r;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	r = real(id, ts);
	if (r == 0 && offset != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += strtol(offset, NULL, 10);
	return r;
}
