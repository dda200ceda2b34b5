/* SPDX-License-Identifier: Apache-2.0
 *
 * Both engines of aead.c against libsodium: random batches of random lengths, in place, with
 * tampering; nothing around a packet is touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "tunnel/aead.h"
#include "tunnel/aead_mb.h"
#include "tunnel/bytes.h"

#define BATCHES	  100000
#define MAX_LEN	  1500
#define MAX_COUNT 8 /* mostly; every 100th batch is full */
#define GUARD	  64
#define ROOM	  (MAX_LEN + AEAD_TAG_BYTES + 2 * GUARD)

static uint8_t plain[AEAD_BATCH][MAX_LEN];
static uint8_t work[AEAD_BATCH][ROOM];
static uint8_t sealed[AEAD_BATCH][MAX_LEN + AEAD_TAG_BYTES];
static uint8_t noise[1 << 20];
static uint64_t rng = 88172645463325252u;

static uint64_t rand64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static uint32_t random_len(void)
{
	switch (rand64() % 8) {
	case 0:
		return 0;
	case 1:
		return (uint32_t)(rand64() % 129);
	case 2:
		return 1420;
	default:
		return (uint32_t)(rand64() % (MAX_LEN + 1));
	}
}

static void guards_hold(size_t i, uint32_t len)
{
	for (size_t k = 0; k < GUARD; k++) {
		assert_int_equal(work[i][k], 0xa5);
		assert_int_equal(work[i][GUARD + len + AEAD_TAG_BYTES + k], 0xa5);
	}
}

/* Different bytes each time, at the speed of a copy. */
static void fill_random(uint8_t *out, uint32_t len)
{
	memcpy(out, noise + rand64() % (sizeof(noise) - MAX_LEN), len);
}

/* Expected bytes in sealed[], plaintext in plain[] and in work[] between guards. */
static void make_batch(const uint8_t key[32], struct aead_job *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t nonce[12] = {0};
		uint32_t len = random_len();

		jobs[i] = (struct aead_job){.data = work[i] + GUARD,
					    .len = len,
					    .counter = rand64() >> (rand64() % 64)};
		fill_random(plain[i], len);
		bytes_put_le64(nonce + 4, jobs[i].counter);
		crypto_aead_chacha20poly1305_ietf_encrypt(sealed[i], NULL, plain[i], len, NULL, 0,
							  NULL, nonce, key);
		memset(work[i], 0xa5, ROOM);
		memcpy(work[i] + GUARD, plain[i], len);
	}
}

/* Flips a bit of the packet, or changes its counter; true when it did. */
static bool tamper(struct aead_job *job)
{
	switch (rand64() % 4) {
	case 0:
		job->data[rand64() % job->len] ^= (uint8_t)(1u << (rand64() % 8));
		return true;
	case 1: /* the tag's last byte */
		job->data[job->len - 1] ^= 0x80;
		return true;
	case 2:
		job->counter ^= UINT64_C(1) << (rand64() % 64);
		return true;
	default:
		return false;
	}
}

/* e; or, without it, ipsec-mb itself at every length and count, also where e would not use it. */
static void run_jobs(struct aead_engine *e, struct aead_mb *mb, struct aead *a,
		     struct aead_job *jobs, size_t count, bool seal)
{
	if (!e)
		aead_mb_run(mb, a->key, jobs, count, seal);
	else if (seal)
		aead_seal_many(e, a, jobs, count);
	else
		aead_open_many(e, a, jobs, count);
}

static void one_batch(struct aead_engine *e, struct aead_mb *mb, size_t count, bool tampering)
{
	struct aead_job jobs[AEAD_BATCH];
	bool bad[AEAD_BATCH] = {false};
	struct aead seal, open;
	uint8_t key[32];

	for (size_t i = 0; i < 32; i++)
		key[i] = (uint8_t)rand64();
	assert_int_equal(aead_init(&seal, key), 0);
	assert_int_equal(aead_init(&open, key), 0);
	make_batch(key, jobs, count);
	run_jobs(e, mb, &seal, jobs, count, true);
	for (size_t i = 0; i < count; i++) {
		assert_memory_equal(work[i] + GUARD, sealed[i], jobs[i].len + AEAD_TAG_BYTES);
		guards_hold(i, jobs[i].len);
		jobs[i].len += AEAD_TAG_BYTES;
		bad[i] = tampering && tamper(&jobs[i]);
	}
	run_jobs(e, mb, &open, jobs, count, false);
	for (size_t i = 0; i < count; i++) {
		uint32_t len = jobs[i].len - AEAD_TAG_BYTES;

		assert_int_equal(jobs[i].ok, !bad[i]);
		guards_hold(i, len);
		if (!bad[i])
			assert_memory_equal(work[i] + GUARD, plain[i], len);
	}
	aead_done(&seal);
	aead_done(&open);
}

static void many_batches(struct aead_engine *e, struct aead_mb *mb)
{
	for (size_t i = 0; i + 8 <= sizeof(noise); i += 8) {
		uint64_t word = rand64();

		memcpy(noise + i, &word, 8);
	}
	for (size_t n = 0; n < BATCHES; n++)
		one_batch(e, mb, n % 100 ? 1 + rand64() % MAX_COUNT : AEAD_BATCH, n % 2);
}

static void against_libsodium(const char *name)
{
	struct aead_engine *e;

	if (aead_engine_new(name, &e) < 0) {
		print_message("%s: not here\n", name);
		skip();
	}
	assert_string_equal(aead_engine_name(e), name);
	many_batches(e, NULL);
	aead_engine_free(e);
}

static void test_evp(void **state)
{
	(void)state;
	against_libsodium("evp");
}

static void test_ipsec_mb(void **state)
{
	(void)state;
	against_libsodium("ipsec-mb");
}

static void test_ipsec_mb_alone(void **state)
{
	struct aead_mb *mb;

	(void)state;
	if (aead_mb_new(&mb) < 0)
		skip();
	many_batches(NULL, mb);
	aead_mb_free(mb);
}

static void test_choice(void **state)
{
	struct aead_engine *e;

	(void)state;
	assert_int_equal(aead_engine_new(NULL, &e), 0);
	print_message("best here: %s\n", aead_engine_name(e));
	aead_engine_free(e);
	assert_true(aead_engine_new("rot13", &e) < 0);
	aead_engine_free(NULL);
}

/* RFC 8439 section 2.8.2 has associated data, which packets have not; the handshake's form does. */
static void test_rfc8439_ad(void **state)
{
	static const uint8_t key[32] = {1};
	uint8_t out[3 + AEAD_TAG_BYTES], back[3];

	(void)state;
	aead_seal_once(out, key, "abc", 3, "ad", 2);
	assert_true(aead_open_once(back, key, out, sizeof(out), "ad", 2));
	assert_memory_equal(back, "abc", 3);
	assert_false(aead_open_once(back, key, out, sizeof(out), "aD", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),	   cmocka_unit_test(test_evp),
		cmocka_unit_test(test_ipsec_mb),   cmocka_unit_test(test_ipsec_mb_alone),
		cmocka_unit_test(test_rfc8439_ad),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
