/* SPDX-License-Identifier: Apache-2.0
 *
 * The Nth allocation fails, for every N: nothing crashes, nothing is lost, nothing half-built is
 * handed out. Allocation is interposed through glibc's own names; under a sanitizer this program
 * has nothing to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/filter.h"
#include "policy/policy.h"

#if defined(__GLIBC__) && !defined(WARREN_SANITIZE)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *p);

static long fail_at = -1; /* counts down; -1: never */
static bool watching, hit;
static long alive;

static bool refuse(void)
{
	if (!watching || fail_at < 0)
		return false;
	if (fail_at-- > 0)
		return false;
	hit = true;
	return true;
}

void *malloc(size_t size)
{
	void *p = refuse() ? NULL : __libc_malloc(size);

	alive += watching && p;
	return p;
}

void *calloc(size_t count, size_t size)
{
	void *p = refuse() ? NULL : __libc_calloc(count, size);

	alive += watching && p;
	return p;
}

void *realloc(void *old, size_t size)
{
	void *p = refuse() ? NULL : __libc_realloc(old, size);

	alive += watching && p && !old;
	return p;
}

void free(void *p)
{
	alive -= watching && p;
	__libc_free(p);
}

static const char text[] =
	"{\"groups\": {\"ops\": [\"alice@example.com\"]}, \"hosts\": {\"web\": [\"peer:second\", "
	"\"10.0.0.0/8\"]},"
	" \"rules\": [{\"from\": \"ops\", \"to\": \"web\", \"ports\": "
	"\"1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33\"}],"
	" \"ssh\": [{\"from\": \"group:g\", \"to\": \"web\", \"logins\": [\"=\"], \"allow\": "
	"[\"forward\"],"
	" \"destinations\": [\"db:1\"]}],"
	" \"tests\": [{\"from\": \"ops\", \"accept\": [\"web:21\"], \"deny\": [\"web:22\"]}],"
	" \"sshTests\": [{\"from\": \"ops\", \"to\": \"web\", \"deny\": [\"root\"]}]}";

static int work(void)
{
	static const uint8_t seed[16] = {0};
	static const char *const people[] = {"alice@example.com"}, *const groups[] = {"g"};
	const struct policy_peer peers[] = {
		{.id = "p_1",
		 .name = "first",
		 .v4 = {4, {100, 64, 0, 1}},
		 .setup_key = "k",
		 .identities = people,
		 .identity_count = 1},
		{.id = "p_2", .name = "second", .v4 = {4, {100, 64, 0, 2}}},
	};
	struct policy *p = NULL;
	struct policy_world *w = NULL;
	struct filter *f = NULL;
	struct error err;
	struct buffer out;
	bool concerned[2];
	void *blob = NULL;
	size_t len;
	int rc = policy_parse("p", text, strlen(text), &p, &err);

	buffer_init(&out, 1 << 20);
	if (!rc)
		rc = policy_world_new(&w);
	for (size_t i = 0; i < 2 && !rc; i++)
		rc = policy_world_add_peer(w, &peers[i]);
	if (!rc)
		rc = policy_world_add_identity(w, "alice@example.com", groups, 1);
	if (!rc)
		rc = policy_run_tests(p, w, 0, &err);
	if (!rc)
		rc = policy_run_tests(p, NULL, 0, &err);
	if (!rc)
		rc = policy_slice(p, w, "p_1", &out);
	if (!rc)
		rc = policy_explain(p, w, "first", "second", 6, 21, 0, &out, &err);
	if (!rc)
		rc = policy_explain(p, NULL, "ops", "web", 6, 21, 0, &out, &err);
	if (!rc)
		rc = policy_concerned(p, w, "p_1", concerned);
	if (!rc)
		rc = policy_compile(p, w, "p_1", 0, &blob, &len, &err);
	if (!rc)
		rc = filter_new(64, seed, &f);
	if (!rc)
		rc = filter_set_rules(f, blob, len);
	filter_free(f);
	free(blob);
	buffer_done(&out);
	policy_world_free(w);
	policy_free(p);
	return rc;
}

static void test_every_allocation_fails_once(void **state)
{
	long n = 0;

	(void)state;
	for (;; n++) {
		int rc;

		fail_at = n;
		hit = false;
		alive = 0;
		watching = true;
		rc = work();
		watching = false;
		assert_int_equal(alive, 0);
		assert_int_equal(rc != 0, hit);
		if (!hit)
			break;
	}
	assert_true(n > 100);
}

#else

static void test_every_allocation_fails_once(void **state)
{
	(void)state;
	skip();
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_fails_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
