/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/self/oom_score_adj (proc(5)).
 */
#include "ssh/config/oom.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"

#define OOM_FILE  "/proc/self/oom_score_adj"
#define OOM_NEVER "-1000"

/* What was there before the listener protected itself; written once. */
static char oom_before[16];

static bool write_oom(const char *value)
{
	int fd = open(OOM_FILE, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

	file_close(&fd);
	return done;
}

void oom_protect(void)
{
	int fd = open(OOM_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, oom_before, sizeof(oom_before) - 1) : -1;

	file_close(&fd);
	if (n <= 0 || !write_oom(OOM_NEVER))
		oom_before[0] = '\0';
}

void oom_restore(void)
{
	if (oom_before[0] != '\0' && !write_oom(oom_before))
		oom_before[0] = '\0';
}
