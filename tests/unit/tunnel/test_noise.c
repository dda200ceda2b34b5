/* SPDX-License-Identifier: Apache-2.0
 *
 * The handshake against vectors of an independent implementation (data/noise_vectors.py), BLAKE2s
 * against RFC 7693, the AEAD against RFC 8439 and libsodium, cookies, and what must be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "platform/encode.h"
#include "tunnel/aead.h"
#include "tunnel/bytes.h"
#include "tunnel/cookie.h"
#include "tunnel/noise.h"

struct vectors {
	uint8_t initiation[148], response[92], initiator_send[32], initiator_receive[32], data[64];
};

static void load(const char *name, uint8_t *out, size_t len)
{
	char line[512], word[64], hex[400];
	FILE *f = fopen(TEST_DATA_DIR "/noise_vectors.txt", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %399s", word, hex) == 2 && strcmp(word, name) == 0) {
			fclose(f);
			assert_int_equal(encode_hex_exact(out, len, hex), 0);
			return;
		}
	}
	fclose(f);
	fail_msg("no vector %s", name);
}

static void load_all(struct vectors *v)
{
	load("initiation", v->initiation, sizeof(v->initiation));
	load("response", v->response, sizeof(v->response));
	load("initiator_send", v->initiator_send, 32);
	load("initiator_receive", v->initiator_receive, 32);
	load("data", v->data, sizeof(v->data));
}

/* "Random" bytes that a test chooses. */
static void fixed_bytes(void *ctx, void *out, size_t len)
{
	memset(out, *(uint8_t *)ctx, len);
}

struct party {
	uint8_t fill;
	struct random_source random;
	struct noise noise;
	struct noise_identity id;
	struct noise_handshake hs;
};

static void party_init(struct party *p, uint8_t first_key_byte, uint8_t fill)
{
	uint8_t key[32];

	for (uint8_t i = 0; i < 32; i++)
		key[i] = (uint8_t)(first_key_byte + i);
	memset(p, 0, sizeof(*p));
	p->fill = fill;
	p->random = (struct random_source){fixed_bytes, &p->fill};
	noise_init(&p->noise, &p->random);
	noise_identity_set(&p->id, key);
}

static void meet(struct party *i, struct party *r)
{
	party_init(i, 1, 0x11);
	party_init(r, 101, 0x22);
	noise_handshake_init(&i->hs, &i->id, r->id.public_key);
	noise_handshake_init(&r->hs, &r->id, i->id.public_key);
	memset(i->hs.preshared, 0x33, 32);
	memset(r->hs.preshared, 0x33, 32);
}

static const uint8_t stamp[12] = {0x40, 0, 0, 0, 0x65, 0x53, 0xf1, 0x0a};

static void test_vectors(void **state)
{
	struct vectors v;
	struct party i, r;
	struct wire_initiation initiation;
	struct wire_response response;
	struct noise_initiation read;
	struct noise_keys keys_i, keys_r;
	struct cookie_maker maker;
	struct aead aead;
	struct aead_engine *engine;
	struct aead_job job;
	uint8_t packet[48];

	(void)state;
	load_all(&v);
	meet(&i, &r);
	assert_true(
		noise_create_initiation(&i.noise, &i.id, &i.hs, stamp, 0x01020304, &initiation));
	cookie_maker_set(&maker, r.id.public_key);
	cookie_add_macs(&maker, &initiation, sizeof(initiation), 1);
	assert_memory_equal(&initiation, v.initiation, sizeof(initiation));

	assert_int_equal(noise_read_initiation(&r.noise, &r.id, &initiation, &read), NOISE_OK);
	assert_memory_equal(read.remote_static, i.id.public_key, 32);
	assert_int_equal(noise_consume_initiation(&r.hs, &initiation, &read, 1),
			 NOISE_OK);
	assert_int_equal(r.hs.remote_index, 0x01020304);
	assert_true(noise_create_response(&r.noise, &r.hs, 0x0a0b0c0d, &response));
	cookie_maker_set(&maker, i.id.public_key);
	cookie_add_macs(&maker, &response, sizeof(response), 1);
	assert_memory_equal(&response, v.response, sizeof(response));

	assert_int_equal(noise_consume_response(&i.id, &i.hs, &response), NOISE_OK);
	assert_true(noise_begin_session(&i.hs, &keys_i));
	assert_true(noise_begin_session(&r.hs, &keys_r));
	assert_true(keys_i.initiator);
	assert_false(keys_r.initiator);
	assert_memory_equal(keys_i.send, v.initiator_send, 32);
	assert_memory_equal(keys_i.receive, v.initiator_receive, 32);
	assert_memory_equal(keys_r.receive, v.initiator_send, 32);
	assert_memory_equal(keys_r.send, v.initiator_receive, 32);
	assert_int_equal(i.hs.state, NOISE_ZEROED);

	assert_int_equal(aead_init(&aead, keys_r.receive), 0);
	memcpy(packet, v.data + 16, sizeof(packet));
	job = (struct aead_job){.data = packet, .len = sizeof(packet), .counter = 5};
	assert_int_equal(aead_engine_new(NULL, &engine), 0);
	aead_open_many(engine, &aead, &job, 1);
	aead_engine_free(engine);
	assert_true(job.ok);
	assert_int_equal(packet[0], 0x45);
	assert_int_equal(packet[3], 0x14);
	aead_done(&aead);
}

static void test_refusals(void **state)
{
	struct vectors v;
	struct party i, r;
	struct wire_initiation initiation, bad;
	struct wire_response response, bad_response;
	struct noise_initiation read;
	struct noise_handshake before;
	uint8_t newer[12];

	(void)state;
	load_all(&v);
	meet(&i, &r);
	memcpy(&initiation, v.initiation, sizeof(initiation));
	/* Any changed byte in front of the macs. */
	for (size_t at = 8; at < 116; at++) {
		bad = initiation;
		((uint8_t *)&bad)[at] ^= 1;
		before = r.hs;
		if (noise_read_initiation(&r.noise, &r.id, &bad, &read) == NOISE_OK)
			assert_int_equal(noise_consume_initiation(&r.hs, &bad, &read, 1),
					 NOISE_BAD);
		assert_memory_equal(&before, &r.hs, sizeof(before));
	}
	assert_int_equal(noise_read_initiation(&r.noise, &r.id, &initiation, &read), NOISE_OK);
	assert_int_equal(
		noise_consume_initiation(&r.hs, &initiation, &read, NSEC_PER_SEC),
		NOISE_OK);
	/* The same again, then a newer one too early, then in time. */
	assert_int_equal(
		noise_consume_initiation(&r.hs, &initiation, &read, 2 * NSEC_PER_SEC),
		NOISE_REPLAY);
	memcpy(newer, stamp, 12);
	newer[11] = 1;
	assert_true(noise_create_initiation(&i.noise, &i.id, &i.hs, newer, 7, &bad));
	assert_int_equal(noise_read_initiation(&r.noise, &r.id, &bad, &read), NOISE_OK);
	assert_int_equal(noise_consume_initiation(&r.hs, &bad, &read,
						  NSEC_PER_SEC + NSEC_PER_SEC / 50 - 1),
			 NOISE_FLOOD);
	assert_int_equal(noise_consume_initiation(&r.hs, &bad, &read,
						  NSEC_PER_SEC + NSEC_PER_SEC / 50),
			 NOISE_OK);
	assert_true(noise_create_response(&r.noise, &r.hs, 8, &response));
	for (size_t at = 12; at < 60; at++) {
		bad_response = response;
		((uint8_t *)&bad_response)[at] ^= 0x40;
		before = i.hs;
		assert_int_equal(noise_consume_response(&i.id, &i.hs, &bad_response),
				 NOISE_BAD);
		assert_memory_equal(&before, &i.hs, sizeof(before));
	}
	/* Another preshared key. */
	i.hs.preshared[0] ^= 1;
	assert_int_equal(noise_consume_response(&i.id, &i.hs, &response), NOISE_BAD);
	i.hs.preshared[0] ^= 1;
	assert_int_equal(noise_consume_response(&i.id, &i.hs, &response), NOISE_OK);
	assert_int_equal(noise_consume_response(&i.id, &i.hs, &response), NOISE_BAD);
}

static void test_impossible_keys(void **state)
{
	static const uint8_t zero[32];
	struct party p;
	struct wire_initiation msg = {.type = {1}};
	struct noise_initiation read;

	(void)state;
	party_init(&p, 1, 0x11);
	/* A point of low order as their static key, and as their ephemeral. */
	noise_handshake_init(&p.hs, &p.id, zero);
	assert_false(noise_create_initiation(&p.noise, &p.id, &p.hs, stamp, 1, &msg));
	assert_int_equal(noise_read_initiation(&p.noise, &p.id, &msg, &read), NOISE_BAD);
	noise_identity_set(&p.id, zero);
	assert_false(p.id.set);
}

static void test_cookies(void **state)
{
	struct party i, r;
	struct cookie_checker checker = {0};
	struct cookie_maker maker;
	struct wire_initiation msg = {.type = {1}, .sender = {9}};
	struct wire_cookie reply;
	struct endpoint from, other;
	uint64_t now = 50 * NSEC_PER_SEC;

	(void)state;
	meet(&i, &r);
	assert_int_equal(endpoint_parse("192.0.2.1:7", &from), 0);
	assert_int_equal(endpoint_parse("192.0.2.1:8", &other), 0);
	cookie_checker_set(&checker, r.id.public_key);
	cookie_maker_set(&maker, r.id.public_key);
	cookie_add_macs(&maker, &msg, sizeof(msg), now);
	assert_int_equal(cookie_check(&checker, &r.noise, &msg, sizeof(msg), &from, true, now),
			 COOKIE_MAC1_ONLY);
	msg.mac1[3] ^= 1;
	assert_int_equal(cookie_check(&checker, &r.noise, &msg, sizeof(msg), &from, true, now),
			 COOKIE_BAD_MAC);
	msg.mac1[3] ^= 1;

	cookie_reply(&checker, &r.noise, &msg, sizeof(msg), 9, &from, now, &reply);
	reply.nonce[0] ^= 1;
	assert_false(cookie_consume(&maker, &reply, now));
	reply.nonce[0] ^= 1;
	assert_true(cookie_consume(&maker, &reply, now));
	/* Only once for one mac1. */
	assert_false(cookie_consume(&maker, &reply, now));

	cookie_add_macs(&maker, &msg, sizeof(msg), now + NSEC_PER_SEC);
	assert_int_equal(cookie_check(&checker, &r.noise, &msg, sizeof(msg), &from, true, now),
			 COOKIE_MAC2);
	assert_int_equal(cookie_check(&checker, &r.noise, &msg, sizeof(msg), &other, true, now),
			 COOKIE_MAC1_ONLY);
	/* The secret changes after 120 s, and the maker stops in time. */
	r.fill++;
	assert_int_equal(cookie_check(&checker, &r.noise, &msg, sizeof(msg), &from, true,
				      now + 120 * NSEC_PER_SEC),
			 COOKIE_MAC1_ONLY);
	cookie_add_macs(&maker, &msg, sizeof(msg), now + 114 * NSEC_PER_SEC);
	assert_int_not_equal(msg.mac2[0] | msg.mac2[1] | msg.mac2[2], 0);
	cookie_add_macs(&maker, &msg, sizeof(msg), now + 115 * NSEC_PER_SEC);
	assert_int_equal(msg.mac2[0] | msg.mac2[1] | msg.mac2[2], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_impossible_keys),
		cmocka_unit_test(test_cookies),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
