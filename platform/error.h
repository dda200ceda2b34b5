/* SPDX-License-Identifier: Apache-2.0
 *
 * A sentence for a person beside the code for the program. Functions that can fail for reasons that
 * a person must act on take a `struct error *` last (may be NULL) and return 0 or a negative code.
 */
#ifndef WARREN_PLATFORM_ERROR_H
#define WARREN_PLATFORM_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#define WARREN_MUST_USE  __attribute__((warn_unused_result))
#define WARREN_PRINTF(f, a) __attribute__((format(printf, f, a)))

struct error {
	int code;       /* negative; 0: nothing was set */
	char text[512]; /* one sentence without a final newline: what failed, on what, what to do */
};

/* Documented exit codes of the programs (design section 9). */
enum warren_exit {
	WARREN_EXIT_OK = 0,
	WARREN_EXIT_FAILED = 1,
	WARREN_EXIT_USAGE = 2,
	WARREN_EXIT_NO_DAEMON = 3,
	WARREN_EXIT_LOGIN_NEEDED = 4,
	WARREN_EXIT_DENIED = 5,
};

/* Sets code and sentence (truncated at 511 bytes) and returns code, so that callers can write
 * `return error_set(err, -EINVAL, "…")`. err may be NULL. */
int error_set(struct error *err, int code, const char *fmt, ...) WARREN_PRINTF(3, 4);
/* Puts "context: " in front of what is there; returns err->code (or -EIO when nothing was set). */
int error_prefix(struct error *err, const char *fmt, ...) WARREN_PRINTF(2, 3);
/* The sentence, or a generic one for NULL or empty. */
const char *error_text(const struct error *err);

#endif
