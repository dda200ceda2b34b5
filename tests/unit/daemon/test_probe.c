/* SPDX-License-Identifier: Apache-2.0
 *
 * Codecs of the path machine: RFC 5769's STUN responses, probes and signals, and what they refuse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "daemon/probe.h"
#include "daemon/stun.h"

/* RFC 5769 section 2.2: IPv4 response, 192.0.2.1:32853 (with SOFTWARE, MESSAGE-INTEGRITY,
 * FINGERPRINT). */
static const uint8_t rfc5769_v4[] = {
	0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
	0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74,
	0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01,
	0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, 0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99,
	0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, 0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b,
	0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
};

/* Section 2.3: IPv6 response, [2001:db8:1234:5678:11:2233:4455:6677]:32853. Only the attribute. */
static const uint8_t rfc5769_v6[] = {
	0x01, 0x01, 0x00, 0x18, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6,
	0x86, 0xfa, 0x87, 0xdf, 0xae, 0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13,
	0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
};

static void stun_reads_the_rfcs_responses(void **state)
{
	/* MESSAGE-INTEGRITY must be understood: not ours. Cut it and FINGERPRINT off. */
	uint8_t v4[48], txid[STUN_TXID_BYTES];
	char text[ENDPOINT_STRLEN];
	struct endpoint ep;

	(void)state;
	assert_int_equal(stun_response(rfc5769_v4, sizeof(rfc5769_v4), txid, &ep), -EBADMSG);
	memcpy(v4, rfc5769_v4, sizeof(v4));
	v4[3] = sizeof(v4) - 20;
	assert_true(stun_looks_like(v4, sizeof(v4)));
	assert_int_equal(stun_response(v4, sizeof(v4), txid, &ep), 0);
	assert_string_equal(endpoint_format(&ep, text), "192.0.2.1:32853");
	assert_memory_equal(txid, rfc5769_v4 + 8, sizeof(txid));
	assert_int_equal(stun_response(rfc5769_v6, sizeof(rfc5769_v6), txid, &ep), 0);
	assert_string_equal(endpoint_format(&ep, text),
			    "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
}

static void stun_refuses_every_cut(void **state)
{
	uint8_t txid[STUN_TXID_BYTES], longer[sizeof(rfc5769_v6) + 4] = {0};
	struct endpoint ep;

	(void)state;
	for (size_t len = 0; len < sizeof(rfc5769_v6); len++)
		assert_int_equal(stun_response(rfc5769_v6, len, txid, &ep), -EBADMSG);
	memcpy(longer, rfc5769_v6, sizeof(rfc5769_v6));
	assert_int_equal(stun_response(longer, sizeof(longer), txid, &ep), -EBADMSG);
	longer[0] = 0; /* a request */
	assert_int_equal(stun_response(longer, sizeof(rfc5769_v6), txid, &ep), -EBADMSG);
}

static void stun_request_is_as_long_as_answers(void **state)
{
	uint8_t txid[STUN_TXID_BYTES] = {1, 2, 3}, out[STUN_REQUEST_BYTES];

	(void)state;
	stun_request(txid, out);
	assert_true(stun_looks_like(out, sizeof(out)));
	assert_int_equal(out[3], STUN_REQUEST_BYTES - 20);
	assert_true(STUN_REQUEST_BYTES >= sizeof(rfc5769_v6));
	assert_false(probe_looks_like(out, sizeof(out)));
}

struct keys {
	uint8_t secret[32], public_key[32];
};

static struct keys make_keys(uint8_t seed)
{
	struct keys k;

	memset(k.secret, seed, sizeof(k.secret));
	crypto_scalarmult_base(k.public_key, k.secret);
	return k;
}

static void probes_go_round(void **state)
{
	struct keys a = make_keys(1), b = make_keys(2);
	uint8_t ab[32], ba[32], nonce[PROBE_NONCE_BYTES] = {7}, out[PROBE_BYTES];
	struct probe pong = {.type = PROBE_PONG, .txid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		     got;

	(void)state;
	assert_int_equal(probe_shared(b.public_key, a.secret, ab), 0);
	assert_int_equal(probe_shared(a.public_key, b.secret, ba), 0);
	assert_memory_equal(ab, ba, 32);
	assert_int_equal(endpoint_parse("[2001:db8::7]:51820", &pong.seen), 0);
	probe_seal(&pong, probe_key_id(a.public_key), ab, nonce, out);
	assert_true(probe_looks_like(out, sizeof(out)));
	assert_false(stun_looks_like(out, sizeof(out)));
	assert_true(out[0] > 4);
	assert_true(probe_sender(out) == probe_key_id(a.public_key));
	assert_int_equal(probe_open(out, sizeof(out), ba, &got), 0);
	assert_int_equal(got.type, PROBE_PONG);
	assert_memory_equal(got.txid, pong.txid, sizeof(got.txid));
	assert_true(endpoint_equal(&got.seen, &pong.seen));
}

static void probes_refuse(void **state)
{
	struct keys a = make_keys(1), b = make_keys(2), c = make_keys(3);
	uint8_t ab[32], cb[32], none[32] = {0}, nonce[PROBE_NONCE_BYTES] = {7},
				out[PROBE_BYTES + 1] = {0};
	struct probe ping = {.type = PROBE_PING}, pong = {.type = PROBE_PONG}, got;

	(void)state;
	assert_int_equal(probe_shared(none, a.secret, ab), -EINVAL); /* small order */
	assert_int_equal(probe_shared(b.public_key, a.secret, ab), 0);
	assert_int_equal(probe_shared(b.public_key, c.secret, cb), 0);
	probe_seal(&ping, probe_key_id(a.public_key), ab, nonce, out);
	assert_int_equal(probe_open(out, PROBE_BYTES, cb, &got), -EBADMSG);
	for (size_t len = 0; len < PROBE_BYTES; len++)
		assert_int_equal(probe_open(out, len, ab, &got), -EBADMSG);
	assert_int_equal(probe_open(out, PROBE_BYTES + 1, ab, &got), -EBADMSG);
	for (size_t i = PROBE_HEADER_BYTES; i < PROBE_BYTES; i++) {
		out[i] ^= 1;
		assert_int_equal(probe_open(out, PROBE_BYTES, ab, &got), -EBADMSG);
		out[i] ^= 1;
	}
	probe_seal(&pong, probe_key_id(a.public_key), ab, nonce, out); /* saw no address */
	assert_int_equal(probe_open(out, PROBE_BYTES, ab, &got), -EBADMSG);
	ping.type = 3;
	probe_seal(&ping, probe_key_id(a.public_key), ab, nonce, out);
	assert_int_equal(probe_open(out, PROBE_BYTES, ab, &got), -EBADMSG);
}

static void signals_go_round_and_refuse(void **state)
{
	struct keys a = make_keys(1), b = make_keys(2);
	uint8_t ab[32], nonce[PROBE_NONCE_BYTES] = {9}, box[PROBE_SIGNAL_MAX_BYTES];
	struct probe_signal s = {.sequence = 77, .count = 2}, got;
	size_t len;

	(void)state;
	assert_int_equal(probe_shared(b.public_key, a.secret, ab), 0);
	s.candidates[0].type = PROBE_CANDIDATE_INTERFACE;
	assert_int_equal(endpoint_parse("192.0.2.7:51820", &s.candidates[0].endpoint), 0);
	s.candidates[1].type = PROBE_CANDIDATE_REFLEXIVE;
	assert_int_equal(endpoint_parse("[2001:db8::7]:4242", &s.candidates[1].endpoint), 0);
	len = probe_signal_seal(&s, ab, nonce, box);
	assert_int_equal(len, 24 + 16 + 11 + 8 + 20);
	assert_int_equal(probe_signal_open(box, len, ab, &got), 0);
	assert_int_equal(got.sequence, 77);
	assert_int_equal(got.count, 2);
	assert_true(endpoint_equal(&got.candidates[1].endpoint, &s.candidates[1].endpoint));
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(probe_signal_open(box, cut, ab, &got), -EBADMSG);
	s.candidates[0].type = PROBE_CANDIDATE_SEEN; /* never on the wire */
	len = probe_signal_seal(&s, ab, nonce, box);
	assert_int_equal(probe_signal_open(box, len, ab, &got), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stun_reads_the_rfcs_responses),
		cmocka_unit_test(stun_refuses_every_cut),
		cmocka_unit_test(stun_request_is_as_long_as_answers),
		cmocka_unit_test(probes_go_round),
		cmocka_unit_test(probes_refuse),
		cmocka_unit_test(signals_go_round_and_refuse),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
