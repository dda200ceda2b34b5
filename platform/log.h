/* SPDX-License-Identifier: Apache-2.0
 *
 * One event per line on stderr: a short sentence followed by key=value pairs; JSON when asked for.
 * Only programs call it (libraries return errors). Nothing secret is ever passed in.
 * Thread-safe (one write(2) per line).
 */
#ifndef WARREN_PLATFORM_LOG_H
#define WARREN_PLATFORM_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* program: prefix of each line, kept by reference. fd: where lines go (usually 2). */
void log_init(const char *program, int fd, enum log_level level, bool json);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/* "error", "warn", "info", "debug" (and wireguard-go's "verbose" = debug, "silent" = error).
 * Returns -EINVAL for another word. */
int log_level_parse(const char *word, enum log_level *ret_level) WARREN_MUST_USE;

/* log_write(LOG_LEVEL_INFO, "peer connected", "peer=%s endpoint=%s", …): `pairs` may be NULL.
 * Control characters are escaped; a line is at most 2048 bytes. */
void log_write(enum log_level level, const char *sentence, const char *pairs, ...)
	WARREN_PRINTF(3, 4);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Token bucket for what a peer can trigger: allows `burst` at once and one per interval. */
struct log_limit {
	uint64_t interval_ns;
	unsigned burst;
	unsigned used;
	uint64_t last_ns;
	uint64_t suppressed; /* since the last allowed line */
};
bool log_limit_allow(struct log_limit *limit, uint64_t now_ns);

#endif
