/* SPDX-License-Identifier: Apache-2.0
 *
 * RLIMIT_NOFILE (getrlimit(2)).
 */
#include "ssh/config/file_limit.h"

#include <stdbool.h>
#include <sys/resource.h>

/* What was there before the listener raised it; written once. */
static struct rlimit limit_before;
static bool raised;

void file_limit_raise(void)
{
	struct rlimit limit;

	if (raised || getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max)
		return;
	limit_before = limit;
	limit.rlim_cur = limit.rlim_max;
	raised = setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

void file_limit_restore(void)
{
	if (raised && setrlimit(RLIMIT_NOFILE, &limit_before) == 0)
		raised = false;
}
