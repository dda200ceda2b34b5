/* SPDX-License-Identifier: Apache-2.0
 *
 * Part of the libraries that move the clocks of programs under test (clock_jump.c, clock_shim.c): the other
 * ways to ask for the time give what their clock_gettime says.
 */
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

time_t time(time_t *ret_time)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ret_time != NULL)
		*ret_time = ts.tv_sec;
	return ts.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;

	(void)tz;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
