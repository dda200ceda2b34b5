/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/verifier.c: which objects of type "ssh" are believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sodium.h>

#include "daemon/verifier.h"
#include "identity/signed.h"

enum { NOW = 1790000000 };

static uint8_t public[32], secret[64];

static int sign(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	(void)ctx;
	return crypto_sign_detached(ret_sig, NULL, data, len, secret);
}

static struct verifier_request request(void)
{
	struct verifier_request r = {.network = "n_a", .peer_id = "p_a", .min_seq = 10};

	memcpy(r.signing_key, public, sizeof(public));
	return r;
}

static struct verifier_answer judge(const char *type, json_t *payload_take)
{
	struct verifier_request r = request();
	struct verifier_answer answer;
	char *text = NULL;

	assert_int_equal(signed_make(type, payload_take, sign, NULL, &text), 0);
	verifier_judge(&r, text, strlen(text), NOW, &answer);
	assert_true(verifier_answer_valid(&answer));
	free(text);
	json_decref(payload_take);
	return answer;
}

static json_t *payload(const char *network, const char *peer, int seq, json_int_t until)
{
	return json_pack("{s:i, s:s, s:s, s:i, s:I, s:b, s:s}", "v", 1, "network", network, "peer",
			 peer, "seq", seq, "valid_until", until, "enabled", 1, "policy", "{}");
}

static void believed(void **state)
{
	struct verifier_answer a = judge("ssh", payload("n_a", "p_a", 10, NOW + 60));

	(void)state;
	assert_int_equal(a.ok, 1);
	assert_int_equal(a.enabled, 1);
	assert_int_equal(a.seq, 10);
	assert_int_equal(a.valid_until, NOW + 60);
}

static void not_believed(void **state)
{
	struct verifier_answer a;

	(void)state;
	a = judge("map", payload("n_a", "p_a", 10, NOW + 60));
	assert_int_equal(a.ok, 0);
	a = judge("ssh", payload("n_b", "p_a", 10, NOW + 60));
	assert_int_equal(a.ok, 0);
	assert_non_null(strstr(a.sentence, "another network"));
	a = judge("ssh", payload("n_a", "p_b", 10, NOW + 60));
	assert_int_equal(a.ok, 0);
	assert_non_null(strstr(a.sentence, "another machine"));
	a = judge("ssh", payload("n_a", "p_a", 9, NOW + 60));
	assert_int_equal(a.ok, 0);
	assert_non_null(strstr(a.sentence, "older"));
	a = judge("ssh", payload("n_a", "p_a", 10, NOW - 61));
	assert_int_equal(a.ok, 0);
	a = judge("ssh", json_pack("{s:i, s:s, s:s, s:i, s:b}", "v", 1, "network", "n_a", "peer",
				   "p_a", "seq", 10, "enabled", 1));
	assert_int_equal(a.ok, 0); /* no end */
	a = judge("ssh", json_pack("{s:s}", "network", "\x1b[2J"));
	assert_int_equal(a.ok, 0);
}

static void every_bit_counts(void **state)
{
	struct verifier_request r = request();
	struct verifier_answer answer;
	json_t *object = payload("n_a", "p_a", 10, NOW + 60);
	char *text;
	size_t len;

	(void)state;
	assert_int_equal(signed_make("ssh", object, sign, NULL, &text), 0);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		text[i] ^= 1;
		verifier_judge(&r, text, len, NOW, &answer);
		assert_int_equal(answer.ok, 0);
		text[i] ^= 1;
	}
	r.signing_key[0] ^= 1;
	verifier_judge(&r, text, len, NOW, &answer);
	assert_int_equal(answer.ok, 0);
	free(text);
	json_decref(object);
}

static void answers_are_checked(void **state)
{
	struct verifier_answer good = {.magic = VERIFIER_MAGIC, .ok = 1}, bad;

	(void)state;
	assert_true(verifier_answer_valid(&good));
	bad = good;
	bad.magic++;
	assert_false(verifier_answer_valid(&bad));
	bad = good;
	bad.ok = 2;
	assert_false(verifier_answer_valid(&bad));
	bad = good;
	memset(bad.sentence, 'x', sizeof(bad.sentence));
	assert_false(verifier_answer_valid(&bad));
	bad = good;
	bad.sentence[0] = '\x1b';
	assert_false(verifier_answer_valid(&bad));
}

static int start(void **state)
{
	const uint8_t seed[32] = {1};

	(void)state;
	if (sodium_init() < 0)
		return -1;
	return crypto_sign_seed_keypair(public, secret, seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(believed),
		cmocka_unit_test(not_believed),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(answers_are_checked),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
