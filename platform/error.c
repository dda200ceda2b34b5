/* SPDX-License-Identifier: Apache-2.0
 *
 * Sentences for people: formatted into a fixed buffer, cut at its end, never allocated.
 */
#include "platform/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	va_start(args, fmt);
	if (vsnprintf(err->text, sizeof(err->text), fmt, args) < 0)
		err->text[0] = '\0';
	va_end(args);
	return code;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	char before[sizeof(err->text)];
	char after[sizeof(err->text)];
	va_list args;
	size_t used, room;

	if (!err)
		return -EIO;
	if (err->code == 0)
		err->code = -EIO;
	va_start(args, fmt);
	if (vsnprintf(before, sizeof(before), fmt, args) < 0)
		before[0] = '\0';
	va_end(args);

	/* error_text never returns err->text when it is empty; copy before overwriting. */
	memccpy(after, error_text(err), '\0', sizeof(after));
	after[sizeof(after) - 1] = '\0';
	used = strnlen(before, sizeof(before) - 1);
	memcpy(err->text, before, used);
	if (used + 2 < sizeof(err->text)) {
		memcpy(err->text + used, ": ", 2);
		used += 2;
	}
	room = sizeof(err->text) - 1 - used;
	if (strlen(after) < room)
		room = strlen(after);
	memcpy(err->text + used, after, room);
	err->text[used + room] = '\0';
	return err->code;
}

const char *error_text(const struct error *err)
{
	if (!err || err->text[0] == '\0')
		return "an unknown error occurred";
	return err->text;
}
