/* SPDX-License-Identifier: Apache-2.0
 *
 * "when" of a rule: an end, and hours of the day in a time zone. Internal to policy/; time is
 * passed in, zones are POSIX rules, so nothing is looked up.
 */
#ifndef WARREN_POLICY_WHEN_H
#define WARREN_POLICY_WHEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define WHEN_MAX_HOURS 16

/* Month 1 to 12, week 1 to 5 (5: the last), weekday 0 (Sunday) to 6, seconds after midnight. */
struct when_rule {
	uint8_t month, week, day;
	int32_t time_s;
};

struct when_zone {
	int32_t std_s, dst_s; /* east of UTC */
	bool has_dst;
	struct when_rule start, end; /* of daylight saving time */
};

/* From minute first to last (not included) of the days in the mask (bit 0: Sunday); last <= first:
 * into the next day. */
struct when_hours {
	uint8_t days;
	uint16_t first, last;
};

struct when {
	int64_t not_after_s; /* 0: no end */
	struct when_hours hours[WHEN_MAX_HOURS];
	size_t hour_count; /* 0: always */
	const char *hour_texts[WHEN_MAX_HOURS];
	const char *tz; /* POSIX; NULL: UTC */
	struct when_zone zone;
};

bool when_in_force(const struct when *w, int64_t now_s);
/* The next moment after now_s at which when_in_force answers otherwise; 0: none. */
int64_t when_next_change(const struct when *w, int64_t now_s);

/* "UTC", "+02:00", a POSIX zone with rules of the form Mm.w.d ("CET-1CEST,M3.5.0,M10.5.0/3").
 * -EINVAL. */
int when_parse_zone(const char *text, struct when_zone *ret_zone) WARREN_MUST_USE;
/* "08:00-18:00", "mon-fri 08:00-18:00", "sat,sun 10:00-24:00", "22:00-06:00". -EINVAL. */
int when_parse_hours(const char *text, struct when_hours *ret_hours) WARREN_MUST_USE;
/* The POSIX zone of an IANA name (zones.c); NULL: not known. */
const char *when_zone_of_name(const char *name);

#endif
