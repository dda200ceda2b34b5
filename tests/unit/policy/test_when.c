/* SPDX-License-Identifier: Apache-2.0
 *
 * Hours in zones, against the C library's own zones, and the moments at which they change against a
 * walk over the minutes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "platform/clock.h"
#include "policy/policy.h"
#include "policy/when.h"

static const char *const zones[] = {
	"CET-1CEST,M3.5.0,M10.5.0/3",		"EST5EDT,M3.2.0,M11.1.0",
	"AEST-10AEDT,M10.1.0,M4.1.0/3",		"<+0545>-5:45",
	"<-02>2<-01>,M3.5.0/-1,M10.5.0/0",	"EET-2EEST,M3.4.4/50,M10.4.4/50",
	"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
};
static const char *const hours[] = {"08:00-18:00",	   "mon-fri 08:30-17:45",
				    "22:00-06:00",	   "fri 22:00-06:00",
				    "sat,sun 00:00-24:00", "fri-mon 02:10-02:50"};

static struct when make(const char *zone, const char *text)
{
	struct when w = {.hour_count = 1};

	assert_int_equal(when_parse_zone(zone, &w.zone), 0);
	assert_int_equal(when_parse_hours(text, &w.hours[0]), 0);
	return w;
}

static bool by_libc(const struct when *w, int64_t now_s)
{
	const struct when_hours *h = &w->hours[0];
	time_t t = (time_t)now_s;
	struct tm tm;
	int minute, day;

	assert_non_null(localtime_r(&t, &tm));
	minute = tm.tm_hour * 60 + tm.tm_min;
	day = tm.tm_wday;
	if (h->last > h->first)
		return (h->days >> day & 1) && minute >= h->first && minute < h->last;
	return ((h->days >> day & 1) && minute >= h->first) ||
	       ((h->days >> (day + 6) % 7 & 1) && minute < h->last);
}

static void test_zones(void **state)
{
	struct random_fake fake = {.state = 3};
	struct random_source source = random_fake_source(&fake);

	(void)state;
	for (size_t z = 0; z < sizeof(zones) / sizeof(zones[0]); z++)
		for (size_t h = 0; h < sizeof(hours) / sizeof(hours[0]); h++) {
			struct when w = make(zones[z], hours[h]);

			setenv("TZ", zones[z], 1);
			tzset();
			for (int i = 0; i < 3000; i++) {
				uint32_t raw;
				int64_t now_s;

				random_bytes(&source, &raw, sizeof(raw));
				now_s = 1700000000 + (int64_t)(raw % 1000000000);
				if (when_in_force(&w, now_s) != by_libc(&w, now_s))
					fail_msg("%s, %s at %lld", zones[z], hours[h],
						 (long long)now_s);
			}
		}
}

static void test_changes(void **state)
{
	(void)state;
	for (size_t z = 0; z < sizeof(zones) / sizeof(zones[0]); z++)
		for (size_t h = 0; h < sizeof(hours) / sizeof(hours[0]); h++) {
			struct when w = make(zones[z], hours[h]);
			/* Around the changes of 2027 in spring and autumn, and in between. */
			const int64_t starts[] = {1804982400, 1806192000, 1807400000, 1814400000,
						  1822600000, 1824900000, 1825700000};

			for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
				int64_t at = starts[s], next = when_next_change(&w, at);
				bool open = when_in_force(&w, at);
				int64_t walk = at - at % 60 + 60;

				while (when_in_force(&w, walk) == open && walk < at + 9 * 86400)
					walk += 60;
				if (next != walk)
					fail_msg("%s, %s after %lld: %lld, not %lld", zones[z],
						 hours[h], (long long)at, (long long)next,
						 (long long)walk);
			}
		}
}

static void test_reading(void **state)
{
	static const char *const bad_zones[] = {"",
						"CE-1",
						"CET",
						"CET-1CEST",
						"CET-1CEST,M3.5.0",
						"+15:00x",
						"CET-1CEST,M13.5.0,M10.5.0",
						"CET-1CEST,M3.6.0,M10.5.0",
						"Europe/Nowhere",
						"CET-1CEST,M3.5.0,M10.5.0/3x",
						"<>1",
						"+99:00"};
	static const char *const bad_hours[] = {"",
						"8-18",
						"08:00-25:00",
						"08:00-08:00",
						"mo 08:00-09:00",
						"mon08:00-09:00",
						"24:00-25:00",
						"08:60-09:00",
						"mon- 08:00-09:00",
						"08:00-18:00 "};
	struct when_zone zone;
	struct when_hours range;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_zones) / sizeof(bad_zones[0]); i++)
		if (when_parse_zone(bad_zones[i], &zone) != -EINVAL)
			fail_msg("zone %s", bad_zones[i]);
	for (size_t i = 0; i < sizeof(bad_hours) / sizeof(bad_hours[0]); i++)
		if (when_parse_hours(bad_hours[i], &range) != -EINVAL)
			fail_msg("hours %s", bad_hours[i]);
	assert_int_equal(when_parse_zone("-03:30", &zone), 0);
	assert_int_equal(zone.std_s, -12600);
	assert_string_equal(when_zone_of_name("Europe/Berlin"), "CET-1CEST,M3.5.0,M10.5.0/3");
	assert_string_equal(when_zone_of_name("America/New_York"), "EST5EDT,M3.2.0,M11.1.0");
	assert_null(when_zone_of_name("Berlin"));
	assert_null(when_zone_of_name("Europe/Ber"));
	assert_null(when_zone_of_name(""));
	assert_int_equal(when_parse_hours("fri-mon 10:00-11:00", &range), 0);
	assert_int_equal(range.days, 1 << 5 | 1 << 6 | 1 << 0 | 1 << 1);
}

static void test_policy(void **state)
{
	static const char text[] =
		"{\"rules\":[{\"from\":\"peer:a\",\"to\":\"peer:b\",\"ports\":22,\"when\":{"
		"\"hours\":"
		"[\"mon-fri "
		"08:00-18:00\"],\"tz\":\"Europe/Berlin\",\"not_after\":\"2027-12-31T00:00:00Z\"}}],"
		"\"ssh\":[{\"from\":\"x@y.z\",\"to\":\"peer:b\",\"logins\":[\"deploy\"],\"when\":{"
		"\"hours\":"
		"\"08:00-18:00\",\"tz\":\"Europe/Berlin\"}}],"
		"\"tests\":[{\"from\":\"peer:a\",\"at\":\"2027-07-05T06:00:00Z\",\"accept\":["
		"\"peer:b:22\"]},"
		"{\"from\":\"peer:a\",\"at\":\"2027-07-05T05:59:59Z\",\"deny\":[\"peer:b:22\"]},"
		"{\"from\":\"peer:a\",\"at\":\"2027-01-04T06:30:00Z\",\"deny\":[\"peer:b:22\"]},"
		"{\"from\":\"peer:a\",\"at\":\"2027-07-04T10:00:00Z\",\"deny\":[\"peer:b:22\"]}],"
		"\"sshTests\":[{\"from\":\"x@y.z\",\"to\":\"peer:b\",\"at\":\"2027-07-05T15:59:"
		"00Z\",\"accept\":[\"deploy\"]},"
		"{\"from\":\"x@y.z\",\"to\":\"peer:b\",\"at\":\"2027-07-05T16:00:00Z\",\"deny\":["
		"\"deploy\"]}]}";
	const struct policy_peer peers[] = {{.id = "p_a", .name = "a"}, {.id = "p_b", .name = "b"}};
	const int64_t eight = 1814767200; /* Monday 2027-07-05 08:00 in Berlin */
	struct policy_ssh_query query = {.identity = "x@y.z",
					 .caller_peer = "p_a",
					 .target_peer = "p_b",
					 .login = "deploy",
					 .auth_time_s = 1,
					 .now_s = eight + 60};
	struct policy_ssh_decision d;
	struct policy *p = NULL, *slice = NULL;
	struct policy_world *w;
	struct error err = {0};
	struct buffer out;

	(void)state;
	if (policy_parse("p", text, strlen(text), &p, &err) < 0 ||
	    policy_run_tests(p, NULL, 1, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(policy_world_new(&w), 0);
	assert_int_equal(policy_world_add_peer(w, &peers[0]), 0);
	assert_int_equal(policy_world_add_peer(w, &peers[1]), 0);
	buffer_init(&out, POLICY_MAX_TEXT);
	assert_int_equal(policy_slice(p, w, "p_b", &out), 0);
	assert_non_null(strstr(buffer_cstring(&out), "CET-1CEST,M3.5.0,M10.5.0/3"));
	if (policy_parse("slice", buffer_cstring(&out), out.len, &slice, &err) < 0)
		fail_msg("%s", err.text);
	for (int part = 0; part < 2; part++) {
		const struct policy *judge = part ? slice : p;

		assert_false(policy_allows(judge, w, "p_a", "p_b", POLICY_PROTO_TCP, 22, eight - 1,
					   NULL));
		assert_true(
			policy_allows(judge, w, "p_a", "p_b", POLICY_PROTO_TCP, 22, eight, NULL));
		/* The data path wakes up when the hours begin and when they end. */
		assert_int_equal(policy_next_change(judge, eight - 1), eight);
		assert_int_equal(policy_next_change(judge, eight), eight + 36000);
		policy_ssh_check(judge, w, &query, &d);
		assert_true(d.allowed);
		assert_int_equal(d.not_after_s, eight + 36000);
	}
	buffer_done(&out);
	policy_free(slice);
	policy_free(p);
	policy_world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_policy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
