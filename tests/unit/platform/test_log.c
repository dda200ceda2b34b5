/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines as read back from a pipe, what hostile values do to them, the rate limit, and error
 * sentences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "platform/log.h"

static int pipe_fds[2];
static char line[8192];

/* What was written since the last call, without the time. */
static const char *written(void)
{
	ssize_t n = read(pipe_fds[0], line, sizeof(line) - 1);
	char *space;

	line[n > 0 ? n : 0] = '\0';
	if (line[0] == '{' || !(space = strchr(line, ' ')))
		return line;
	return space + 1;
}

static int open_pipe(void **state)
{
	(void)state;
	return pipe2(pipe_fds, O_NONBLOCK);
}

static void text_lines(void **state)
{
	(void)state;
	log_init("warrend", pipe_fds[1], LOG_LEVEL_DEBUG, false);
	log_info("peer connected", "peer=%s port=%u", "db-1", 5U);
	assert_string_equal(written(), "info warrend: peer connected peer=db-1 port=5\n");
	log_warn("plain", NULL);
	assert_string_equal(written(), "warn warrend: plain\n");
	log_error("sizes", "a=%zu b=%" PRIu64 " c=%ld d=%.*s e=%d%%", (size_t)1, UINT64_MAX, -5L, 2,
		  "abc", 7);
	assert_string_equal(written(),
			    "error warrend: sizes a=1 b=18446744073709551615 c=-5 d=ab e=7%\n");
	log_debug("quoted", "q=\"%s and %s\" n=%d", "a", "b", 1);
	assert_string_equal(written(), "debug warrend: quoted q=\"a and b\" n=1\n");
	log_debug("words", "%s", "no key here");
	assert_string_equal(written(), "debug warrend: words no key here\n");
}

static void levels(void **state)
{
	enum log_level level = LOG_LEVEL_INFO;

	(void)state;
	log_init("warrend", pipe_fds[1], LOG_LEVEL_WARN, false);
	log_info("quiet", NULL);
	assert_string_equal(written(), "");
	assert_false(log_enabled(LOG_LEVEL_INFO));
	log_set_level(LOG_LEVEL_INFO);
	assert_true(log_enabled(LOG_LEVEL_INFO));
	assert_int_equal(log_level_parse("verbose", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("silent", &level), 0);
	assert_int_equal(level, LOG_LEVEL_ERROR);
	assert_int_equal(log_level_parse("Info", &level), -EINVAL);
	assert_int_equal(log_level_parse("", &level), -EINVAL);
}

static void values_cannot_forge(void **state)
{
	(void)state;
	log_init("warrend", pipe_fds[1], LOG_LEVEL_DEBUG, false);
	log_info("login", "user=%s ok=%d", "eve\n2026 error admin=1 \"x\" \\", 0);
	assert_string_equal(written(), "info warrend: login user=\"eve\\x0a2026 error admin=1 "
				       "\\\"x\\\" \\\\\" ok=0\n");
	log_info("login", "%s ok=%d", "eve admin=1", 0);
	assert_string_equal(written(), "info warrend: login \"eve admin=1\" ok=0\n");
	log_info("empty", "user=%s", "");
	assert_string_equal(written(), "info warrend: empty user=\"\"\n");
	log_info("bytes", "user=%s", "\xc3\xa4\xff\x1b[0m\xc2\x9b\xed\xa0\x80\x7f");
	assert_string_equal(written(),
			    "info warrend: bytes "
			    "user=\"\xc3\xa4\\xff\\x1b[0m\\xc2\\x9b\\xed\\xa0\\x80\\x7f\"\n");
}

static void json_lines(void **state)
{
	json_t *value;

	(void)state;
	log_init("warrend", pipe_fds[1], LOG_LEVEL_DEBUG, true);
	log_info("peer \"x\" connected", "peer=%s port=%u text=%s level=%d%%", "a\nb\"\\\xff", 5U,
		 "1", 7);
	value = json_loads(written(), 0, NULL);
	assert_non_null(value);
	assert_string_equal(json_string_value(json_object_get(value, "message")),
			    "peer \"x\" connected");
	assert_string_equal(json_string_value(json_object_get(value, "peer")), "a\nb\"\\\xc3\xbf");
	assert_int_equal(json_integer_value(json_object_get(value, "port")), 5);
	assert_string_equal(json_string_value(json_object_get(value, "text")), "1");
	json_decref(value);
}

/* A value of any length gives one line of at most 2048 bytes that is still JSON. */
static void lines_are_bounded(void **state)
{
	static char big[4000];

	(void)state;
	for (int json = 0; json < 2; json++)
		for (size_t len = 0; len < 1500; len += 7) {
			const char *got;

			memset(big, '\n', len);
			big[len] = '\0';
			log_init("warrend", pipe_fds[1], LOG_LEVEL_DEBUG, json);
			log_info("big", "first=%d value=%s last=%d", 1, big, 2);
			got = written();
			assert_true(strlen(line) <= 2048);
			assert_true(strchr(got, '\n') == got + strlen(got) - 1);
			if (json) {
				json_t *value = json_loads(got, JSON_REJECT_DUPLICATES, NULL);

				assert_non_null(value);
				json_decref(value);
			}
		}
	memset(big, '\n', sizeof(big) - 1);
	log_init("warrend", pipe_fds[1], LOG_LEVEL_DEBUG, false);
	log_info(big, "a=%d", 1);
	assert_true(strlen(written()) <= 2048);
}

static void rate_limit(void **state)
{
	struct log_limit limit = {.interval_ns = 10, .burst = 3};
	unsigned allowed = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		allowed += log_limit_allow(&limit, 100);
	assert_int_equal(allowed, 3);
	assert_int_equal(limit.suppressed, 2);
	assert_false(log_limit_allow(&limit, 101 + 8));
	assert_true(log_limit_allow(&limit, 110));
	assert_false(log_limit_allow(&limit, 111));
	assert_false(log_limit_allow(&limit, 50)); /* time went back */
	for (int i = 0; i < 3; i++)
		assert_true(log_limit_allow(&limit, 1000));
	assert_false(log_limit_allow(&limit, 1000));
}

static void errors(void **state)
{
	struct error err = {0};
	char big[1000];

	(void)state;
	assert_string_equal(error_text(NULL), "an unknown error occurred");
	assert_string_equal(error_text(&err), "an unknown error occurred");
	assert_int_equal(error_set(NULL, -EPERM, "x %d", 1), -EPERM);
	assert_int_equal(error_set(&err, -EPERM, "no %s", "way"), -EPERM);
	assert_int_equal(error_prefix(&err, "file %d", 7), -EPERM);
	assert_string_equal(error_text(&err), "file 7: no way");
	assert_int_equal(error_prefix(NULL, "x"), -EIO);

	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	error_prefix(&err, "%s", big);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	error_set(&err, -EIO, "%s", big);
	error_prefix(&err, "a");
	assert_memory_equal(err.text, "a: yyy", 6);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	err = (struct error){0};
	assert_int_equal(error_prefix(&err, "a"), -EIO);
	assert_string_equal(err.text, "a: an unknown error occurred");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_lines),
		cmocka_unit_test(levels),
		cmocka_unit_test(values_cannot_forge),
		cmocka_unit_test(json_lines),
		cmocka_unit_test(lines_are_bounded),
		cmocka_unit_test(rate_limit),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, open_pipe, NULL);
}
