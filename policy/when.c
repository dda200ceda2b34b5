/* SPDX-License-Identifier: Apache-2.0
 *
 * Hours in zones (POSIX.1-2017 section 8.3, "TZ"), with rules of the form Mm.w.d only: the ones
 * that today's zones have.
 */
#include "policy/when.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define DAY_S	  86400
#define LOOK_DAYS 9

/* ---- the calendar (proleptic Gregorian; days since 1970-01-01) ---- */

static int64_t days_of(int64_t year, int month, int day)
{
	int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400, doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t year_of(int64_t local_s)
{
	int64_t year = 1970 + floor_div(local_s, 31556952);

	while (days_of(year, 1, 1) * DAY_S > local_s)
		year--;
	while (days_of(year + 1, 1, 1) * DAY_S <= local_s)
		year++;
	return year;
}

static int weekday(int64_t days)
{
	return (int)(days + 4 - floor_div(days + 4, 7) * 7);
}

/* Local seconds since 1970 at which a rule takes effect. */
static int64_t rule_time(const struct when_rule *r, int64_t year)
{
	int64_t first = days_of(year, r->month, 1);
	int64_t next = r->month == 12 ? days_of(year + 1, 1, 1) : days_of(year, r->month + 1, 1);
	int64_t day = first + (r->day - weekday(first) + 7) % 7 + (r->week - 1) * 7;

	while (day >= next)
		day -= 7;
	return day * DAY_S + r->time_s;
}

static int64_t offset(const struct when_zone *z, int64_t now_s)
{
	int64_t year, start, end;
	bool dst;

	if (!z->has_dst)
		return z->std_s;
	year = year_of(now_s + z->std_s);
	start = rule_time(&z->start, year) - z->std_s;
	end = rule_time(&z->end, year) - z->dst_s;
	dst = start < end ? now_s >= start && now_s < end : now_s >= start || now_s < end;
	return dst ? z->dst_s : z->std_s;
}

/* ---- hours ---- */

static bool in_range(const struct when_hours *h, int day, int minute)
{
	int before = (day + 6) % 7;

	if (h->last > h->first)
		return h->days >> day & 1 && minute >= h->first && minute < h->last;
	return (h->days >> day & 1 && minute >= h->first) ||
	       (h->days >> before & 1 && minute < h->last);
}

static bool in_hours(const struct when *w, int64_t now_s)
{
	int64_t local = now_s + offset(&w->zone, now_s), days = floor_div(local, DAY_S);
	int minute = (int)((local - days * DAY_S) / 60);

	for (size_t i = 0; i < w->hour_count; i++)
		if (in_range(&w->hours[i], weekday(days), minute))
			return true;
	return w->hour_count == 0;
}

bool when_in_force(const struct when *w, int64_t now_s)
{
	return (w->not_after_s == 0 || now_s < w->not_after_s) && in_hours(w, now_s);
}

static void sooner(int64_t *best, int64_t at, int64_t after)
{
	if (at > after && (*best == 0 || at < *best))
		*best = at;
}

/* The first moment after `after` at which hours or the zone may change; 0: none soon. */
static int64_t next_edge(const struct when *w, int64_t after)
{
	const struct when_zone *z = &w->zone;
	int64_t today = floor_div(after + z->std_s, DAY_S), year = year_of(after + z->std_s),
		best = 0;

	for (int64_t day = today - 1; day <= today + 2; day++)
		for (size_t i = 0; i < w->hour_count; i++) {
			int64_t first = day * DAY_S + w->hours[i].first * 60;
			int64_t last = day * DAY_S + w->hours[i].last * 60;

			sooner(&best, first - z->std_s, after);
			sooner(&best, last - z->std_s, after);
			if (z->has_dst) {
				sooner(&best, first - z->dst_s, after);
				sooner(&best, last - z->dst_s, after);
			}
		}
	for (int64_t y = year; z->has_dst && y <= year + 1; y++) {
		sooner(&best, rule_time(&z->start, y) - z->std_s, after);
		sooner(&best, rule_time(&z->end, y) - z->dst_s, after);
	}
	/* Midnight: another day of the week. */
	sooner(&best, (today + 1) * DAY_S - z->std_s, after);
	if (z->has_dst)
		sooner(&best, (today + 1) * DAY_S - z->dst_s, after);
	return best;
}

int64_t when_next_change(const struct when *w, int64_t now_s)
{
	bool open = in_hours(w, now_s);
	int64_t change = 0;

	if (w->not_after_s != 0 && now_s >= w->not_after_s)
		return 0;
	if (w->hour_count)
		for (int64_t at = next_edge(w, now_s);
		     at && at <= now_s + LOOK_DAYS * (int64_t)DAY_S && !change;
		     at = next_edge(w, at))
			if (in_hours(w, at) != open)
				change = at;
	if (w->not_after_s != 0 && (change == 0 || w->not_after_s < change))
		change = w->not_after_s;
	return change;
}

/* ---- reading ---- */

static bool number(const char **at, int max, int *ret)
{
	int value = 0, digits = 0;

	for (; **at >= '0' && **at <= '9' && digits < 3; (*at)++, digits++)
		value = value * 10 + (**at - '0');
	*ret = value;
	return digits > 0 && value <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool clock_offset(const char **at, int max_hours, int32_t *ret_s)
{
	int sign = **at == '-' ? -1 : 1, h, m = 0, s = 0;

	if (**at == '-' || **at == '+')
		(*at)++;
	if (!number(at, max_hours, &h))
		return false;
	if (**at == ':') {
		(*at)++;
		if (!number(at, 59, &m))
			return false;
		if (**at == ':') {
			(*at)++;
			if (!number(at, 59, &s))
				return false;
		}
	}
	*ret_s = sign * (h * 3600 + m * 60 + s);
	return true;
}

static bool zone_name(const char **at)
{
	const char *start = *at;

	if (**at == '<') {
		*at += strcspn(*at, ">");
		return *(*at)++ == '>' && *at - start > 3;
	}
	while ((**at >= 'A' && **at <= 'Z') || (**at >= 'a' && **at <= 'z'))
		(*at)++;
	return *at - start >= 3;
}

static bool zone_rule(const char **at, struct when_rule *r)
{
	int month, week, day;

	r->time_s = 7200;
	if ((*at)[0] != ',' || (*at)[1] != 'M')
		return false;
	*at += 2;
	if (!number(at, 12, &month) || *(*at)++ != '.' || !number(at, 5, &week) ||
	    *(*at)++ != '.' || !number(at, 6, &day) || month == 0 || week == 0)
		return false;
	r->month = (uint8_t)month;
	r->week = (uint8_t)week;
	r->day = (uint8_t)day;
	if (**at != '/')
		return true;
	(*at)++;
	return clock_offset(at, 167, &r->time_s);
}

static int parse_posix(const char *at, struct when_zone *z)
{
	if (!zone_name(&at) || !clock_offset(&at, 24, &z->std_s))
		return -EINVAL;
	z->std_s = -z->std_s; /* POSIX counts west of Greenwich */
	z->dst_s = z->std_s + 3600;
	if (*at == '\0')
		return 0;
	z->has_dst = true;
	if (!zone_name(&at))
		return -EINVAL;
	if (*at != ',') {
		if (!clock_offset(&at, 24, &z->dst_s))
			return -EINVAL;
		z->dst_s = -z->dst_s;
	}
	return zone_rule(&at, &z->start) && zone_rule(&at, &z->end) && *at == '\0' ? 0 : -EINVAL;
}

int when_parse_zone(const char *text, struct when_zone *ret_zone)
{
	struct when_zone z = {0};
	int r = 0;

	if (*text == '+' || *text == '-') {
		/* As in RFC 3339: east of Greenwich. */
		const char *at = text;

		if (!clock_offset(&at, 14, &z.std_s) || *at)
			return -EINVAL;
	} else if (strcmp(text, "UTC") != 0) {
		r = parse_posix(text, &z);
	}
	if (r == 0)
		*ret_zone = z;
	return r;
}

static int day_of(const char **at)
{
	static const char names[] = "sunmontuewedthufrisat";

	for (int i = 0; i < 7; i++)
		if (strncasecmp(*at, names + i * 3, 3) == 0) {
			*at += 3;
			return i;
		}
	return -1;
}

static bool parse_days(const char **at, uint8_t *ret_days)
{
	do {
		int first, last;

		if (**at == ',')
			(*at)++;
		first = last = day_of(at);
		if (first >= 0 && **at == '-') {
			(*at)++;
			last = day_of(at);
		}
		if (first < 0 || last < 0)
			return false;
		for (int day = first;; day = (day + 1) % 7) {
			*ret_days |= (uint8_t)(1 << day);
			if (day == last)
				break;
		}
	} while (**at == ',');
	return *(*at)++ == ' ';
}

static bool parse_minute(const char **at, uint16_t *ret_minute)
{
	int h, m;

	if (!number(at, 24, &h) || *(*at)++ != ':' || !number(at, 59, &m) || h * 60 + m > 1440)
		return false;
	*ret_minute = (uint16_t)(h * 60 + m);
	return true;
}

int when_parse_hours(const char *text, struct when_hours *ret_hours)
{
	struct when_hours h = {0};

	if (*text < '0' || *text > '9') {
		if (!parse_days(&text, &h.days))
			return -EINVAL;
	} else {
		h.days = 0x7f;
	}
	if (!parse_minute(&text, &h.first) || *text++ != '-' || !parse_minute(&text, &h.last) ||
	    *text || h.first == h.last || h.first == 1440 || h.last == 0)
		return -EINVAL;
	*ret_hours = h;
	return 0;
}
