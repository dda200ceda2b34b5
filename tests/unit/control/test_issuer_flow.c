/* SPDX-License-Identifier: Apache-2.0
 *
 * What the provider remembers for minutes, with a clock that the test owns: sessions, interactions,
 * authorization codes, and the device code's states of RFC 8628 section 3.5.
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

#include "control/issuer_flow.h"

#define VERIFIER  "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
#define URI	  "http://127.0.0.1:5000/callback"

struct fixture {
	struct clock_fake time;
	struct clock clock;
	struct random_fake fake;
	struct random_source random;
	struct issuer_flow *flow;
	struct issuer_person alice;
	struct pages_browser browser, other;
	struct endpoint source;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->time.monotonic_ns = 5000 * NSEC_PER_SEC;
	f->time.realtime_ns = 1790000000 * NSEC_PER_SEC;
	f->clock = clock_fake_clock(&f->time);
	f->fake.state = 42;
	f->random = random_fake_source(&f->fake);
	assert_int_equal(issuer_flow_new(&f->clock, &f->random, &f->flow), 0);
	snprintf(f->alice.email, sizeof(f->alice.email), "alice@example.com");
	f->alice.auth_time_s = 1790000000;
	memset(f->browser.hash, 1, 32);
	memset(f->other.hash, 2, 32);
	assert_int_equal(endpoint_parse("192.0.2.1:999", &f->source), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	issuer_flow_free(f->flow);
	free(f);
	return 0;
}

static void pass(struct fixture *f, double seconds)
{
	uint64_t ns = (uint64_t)(seconds * 1000) * NSEC_PER_MSEC;
	f->time.monotonic_ns += ns;
	f->time.realtime_ns += ns;
}

static void test_sessions(void **state)
{
	struct fixture *f = *state;
	struct issuer_person who;
	char cookie[PAGES_TOKEN_SIZE], second[PAGES_TOKEN_SIZE];
	issuer_flow_session_open(f->flow, &f->alice, cookie);
	issuer_flow_session_open(f->flow, &f->alice, second);
	assert_string_not_equal(cookie, second);
	assert_true(issuer_flow_session(f->flow, cookie, &who));
	assert_string_equal(who.email, "alice@example.com");
	assert_false(issuer_flow_session(f->flow, "", &who));
	cookie[3] ^= 1;
	assert_false(issuer_flow_session(f->flow, cookie, &who));
	cookie[3] ^= 1;
	issuer_flow_session_close(f->flow, cookie);
	assert_false(issuer_flow_session(f->flow, cookie, &who));
	pass(f, ISSUER_SESSION_S - 1);
	assert_true(issuer_flow_session(f->flow, second, &who));
	pass(f, 1);
	assert_false(issuer_flow_session(f->flow, second, &who));
}

static void test_forget(void **state)
{
	struct fixture *f = *state;
	struct issuer_person who, bob = {.email = "bob@example.com"};
	char cookie[PAGES_TOKEN_SIZE], theirs[PAGES_TOKEN_SIZE];
	issuer_flow_session_open(f->flow, &f->alice, cookie);
	issuer_flow_session_open(f->flow, &bob, theirs);
	issuer_flow_forget(f->flow, "alice@example.com");
	assert_false(issuer_flow_session(f->flow, cookie, &who));
	assert_true(issuer_flow_session(f->flow, theirs, &who));
}

static void test_interactions(void **state)
{
	struct fixture *f = *state;
	struct issuer_interaction what = {.user_code = "BCDF-GHJK"};
	char first[ISSUER_INTERACTION_ID_SIZE], id[ISSUER_INTERACTION_ID_SIZE];
	issuer_flow_interaction_open(f->flow, &what, &f->browser, &f->source, first);
	assert_string_equal(issuer_flow_interaction(f->flow, first, &f->browser)->user_code,
			    "BCDF-GHJK");
	assert_null(issuer_flow_interaction(f->flow, first, &f->other));
	assert_null(issuer_flow_interaction(f->flow, "", &f->browser));
	/* One source's flood takes its own places only. */
	char mine[ISSUER_INTERACTION_ID_SIZE];
	struct endpoint elsewhere;
	assert_int_equal(endpoint_parse("198.51.100.1:1", &elsewhere), 0);
	issuer_flow_interaction_open(f->flow, &what, &f->browser, &elsewhere, mine);
	pass(f, 1);
	for (int i = 0; i < 5000; i++)
		issuer_flow_interaction_open(f->flow, &what, &f->other, &f->source, id);
	assert_null(issuer_flow_interaction(f->flow, first, &f->browser));
	assert_non_null(issuer_flow_interaction(f->flow, id, &f->other));
	assert_non_null(issuer_flow_interaction(f->flow, mine, &f->browser));
	issuer_flow_interaction_close(f->flow, mine);
	assert_null(issuer_flow_interaction(f->flow, mine, &f->browser));
	pass(f, ISSUER_INTERACTION_S);
	assert_null(issuer_flow_interaction(f->flow, id, &f->other));
}

static void open_code(struct fixture *f, char code[static PAGES_TOKEN_SIZE])
{
	struct issuer_request request = {.client = issuer_oauth_client("warren"),
					 .redirect = ISSUER_REDIRECT_LOOPBACK,
					 .redirect_uri = URI,
					 .nonce = "n",
					 .challenge = CHALLENGE};
	issuer_flow_code_open(f->flow, &request, &f->alice, code);
}

static enum issuer_code take(struct fixture *f, const char *code, const char *client,
			     const char *uri, const char *verifier, char *family)
{
	struct issuer_request request;
	struct issuer_person person;
	return issuer_flow_code_take(f->flow, code, client, uri, verifier, &request, &person,
				     family);
}

static void test_codes(void **state)
{
	struct fixture *f = *state;
	char code[PAGES_TOKEN_SIZE], family[ISSUER_FAMILY_SIZE] = "11",
				     again[ISSUER_FAMILY_SIZE] = "22";

	open_code(f, code);
	assert_int_equal(take(f, code, "warren", URI, VERIFIER, family), ISSUER_CODE_OK);
	/* A second use says which family has to go. */
	assert_int_equal(take(f, code, "warren", URI, VERIFIER, again), ISSUER_CODE_REUSED);
	assert_string_equal(again, "11");

	open_code(f, code);
	assert_int_equal(take(f, code, "warren", URI, "x" VERIFIER, family), ISSUER_CODE_BAD);
	/* One try only, also for whoever guesses verifiers. */
	assert_int_equal(take(f, code, "warren", URI, VERIFIER, family), ISSUER_CODE_REUSED);

	open_code(f, code);
	assert_int_equal(take(f, code, "warren-control", URI, VERIFIER, family), ISSUER_CODE_BAD);
	open_code(f, code);
	assert_int_equal(take(f, code, "warren", URI "x", VERIFIER, family), ISSUER_CODE_BAD);
	open_code(f, code);
	pass(f, ISSUER_CODE_S);
	assert_int_equal(take(f, code, "warren", URI, VERIFIER, family), ISSUER_CODE_BAD);
	assert_int_equal(take(f, "unknown", "warren", URI, VERIFIER, family), ISSUER_CODE_BAD);
}

static void open_device(struct fixture *f, char device[static PAGES_TOKEN_SIZE],
			char user[static ISSUER_USER_CODE_SIZE])
{
	struct issuer_device_request request = {.client = issuer_oauth_client("warren"),
						.scopes = ISSUER_SCOPE_OPENID,
						.source = f->source};
	assert_int_equal(issuer_flow_device_open(f->flow, &request, device, user), 0);
}

static enum issuer_poll poll(struct fixture *f, const char *device)
{
	struct issuer_device_request request;
	struct issuer_person person;
	enum issuer_poll got =
		issuer_flow_device_poll(f->flow, device, "warren", &request, &person);
	if (got == ISSUER_POLL_OK)
		assert_string_equal(person.email, "alice@example.com");
	return got;
}

static void test_device_allow(void **state)
{
	struct fixture *f = *state;
	char device[PAGES_TOKEN_SIZE], user[ISSUER_USER_CODE_SIZE];
	open_device(f, device, user);
	assert_int_equal(issuer_flow_device(f->flow, user)->created_s, 1790000000);
	assert_int_equal(poll(f, device), ISSUER_POLL_PENDING);
	pass(f, 2);
	assert_int_equal(poll(f, device), ISSUER_POLL_PENDING);
	assert_int_equal(issuer_flow_device_allow(f->flow, user, &f->alice), 0);
	/* Decided is decided. */
	assert_int_equal(issuer_flow_device_refuse(f->flow, user), -ENOENT);
	assert_null(issuer_flow_device(f->flow, user));
	pass(f, 2);
	assert_int_equal(poll(f, device), ISSUER_POLL_OK);
	pass(f, 2);
	assert_int_equal(poll(f, device), ISSUER_POLL_UNKNOWN);
}

static void test_device_slow_down(void **state)
{
	struct fixture *f = *state;
	char device[PAGES_TOKEN_SIZE], user[ISSUER_USER_CODE_SIZE];
	open_device(f, device, user);
	assert_int_equal(poll(f, device), ISSUER_POLL_PENDING);
	pass(f, 1);
	assert_int_equal(poll(f, device), ISSUER_POLL_SLOW_DOWN);
	/* From 2 to 7 seconds now: RFC 8628 section 3.5, and it lasts. */
	pass(f, 6);
	assert_int_equal(poll(f, device), ISSUER_POLL_SLOW_DOWN);
	pass(f, 12);
	assert_int_equal(poll(f, device), ISSUER_POLL_PENDING);
	/* A timer that is a bit early is no offence. */
	pass(f, 11.6);
	assert_int_equal(poll(f, device), ISSUER_POLL_PENDING);
	/* Being allowed does not help who polls too fast. */
	assert_int_equal(issuer_flow_device_allow(f->flow, user, &f->alice), 0);
	pass(f, 1);
	assert_int_equal(poll(f, device), ISSUER_POLL_SLOW_DOWN);
	pass(f, 17);
	assert_int_equal(poll(f, device), ISSUER_POLL_OK);
}

static void test_device_ends(void **state)
{
	struct fixture *f = *state;
	char device[PAGES_TOKEN_SIZE], user[ISSUER_USER_CODE_SIZE];
	struct issuer_device_request request;
	struct issuer_person person;

	open_device(f, device, user);
	assert_int_equal(issuer_flow_device_refuse(f->flow, user), 0);
	assert_int_equal(poll(f, device), ISSUER_POLL_DENIED);

	open_device(f, device, user);
	assert_int_equal(
		issuer_flow_device_poll(f->flow, device, "warren-control", &request, &person),
		ISSUER_POLL_UNKNOWN);
	pass(f, ISSUER_DEVICE_S);
	assert_null(issuer_flow_device(f->flow, user));
	assert_int_equal(issuer_flow_device_allow(f->flow, user, &f->alice), -ENOENT);
	assert_int_equal(poll(f, device), ISSUER_POLL_EXPIRED);
	pass(f, 300);
	assert_int_equal(poll(f, device), ISSUER_POLL_UNKNOWN);
}

/* A login may take ten minutes: asked for all the time, answered in the last second. */
static void test_device_ten_minutes(void **state)
{
	struct fixture *f = *state;
	char device[PAGES_TOKEN_SIZE], user[ISSUER_USER_CODE_SIZE];

	assert_int_equal(ISSUER_DEVICE_S, 600);
	open_device(f, device, user);
	for (unsigned s = 0; s + 10 < ISSUER_DEVICE_S; s += 10) {
		assert_int_equal(poll(f, device), ISSUER_POLL_PENDING);
		pass(f, 10);
	}
	pass(f, 9);
	assert_int_equal(issuer_flow_device_allow(f->flow, user, &f->alice), 0);
	assert_int_equal(poll(f, device), ISSUER_POLL_OK);
}

static void test_device_limits(void **state)
{
	struct fixture *f = *state;
	char device[PAGES_TOKEN_SIZE], user[ISSUER_USER_CODE_SIZE];
	struct issuer_device_request request = {.client = issuer_oauth_client("warren"),
						.scopes = ISSUER_SCOPE_OPENID,
						.source = f->source};
	size_t opened = 0;
	for (int i = 0; i < 100; i++)
		opened += issuer_flow_device_open(f->flow, &request, device, user) == 0;
	assert_int_equal(opened, 32);
	/* 1024 in all, whoever asks. */
	for (int i = 0; i < 2000; i++) {
		char text[32];
		snprintf(text, sizeof(text), "10.0.%d.%d:1", i / 250, i % 250 + 1);
		assert_int_equal(endpoint_parse(text, &request.source), 0);
		opened += issuer_flow_device_open(f->flow, &request, device, user) == 0;
	}
	assert_int_equal(opened, 1024);
	/* What is over makes room. */
	pass(f, ISSUER_DEVICE_S);
	assert_int_equal(issuer_flow_device_open(f->flow, &request, device, user), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sessions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interactions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_codes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_allow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_slow_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_ten_minutes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_limits, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
