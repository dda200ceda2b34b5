/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/wire.c and ssh/wire/ssh_wire.c: what is written is read back, and nothing else is read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/wire.h"
#include "ssh/wire/ssh_wire.h"

static void head(void **state)
{
	uint8_t out[8];
	struct writer w = writer_init(out, sizeof(out));
	const uint8_t expected[] = {80, 0x01, 0x02, 0x03, 0x04};

	(void)state;
	wire_begin(&w, WIRE_DATAGRAM, 0x01020304);
	assert_int_equal(w.len, sizeof(expected));
	assert_memory_equal(out, expected, sizeof(expected));
}

static void endpoint_bytes(void **state)
{
	const uint8_t expected[] = {4, 192, 0, 2, 1, 0xca, 0x6c, 0, 0, 0, 0};
	struct endpoint ep;
	uint8_t out[64];
	struct writer w = writer_init(out, sizeof(out));

	(void)state;
	assert_int_equal(endpoint_parse("192.0.2.1:51820", &ep), 0);
	wire_put_endpoint(&w, &ep);
	assert_int_equal(w.len, sizeof(expected));
	assert_memory_equal(out, expected, sizeof(expected));
}

static void endpoints_return(void **state)
{
	static const char *const texts[] = {"192.0.2.1:51820", "[2001:db8::1]:1",
					    "[fe80::1%3]:65535"};

	(void)state;
	for (size_t i = 0; i <= sizeof(texts) / sizeof(texts[0]); i++) {
		struct endpoint ep = {0}, back;
		uint8_t out[64];
		struct writer w = writer_init(out, sizeof(out));
		struct reader r;

		if (i < sizeof(texts) / sizeof(texts[0]))
			assert_int_equal(endpoint_parse(texts[i], &ep), 0);
		wire_put_endpoint(&w, &ep);
		for (size_t cut = 0; cut < w.len; cut++) { /* none of its beginnings */
			r = reader_init(out, cut);
			wire_get_endpoint(&r, &back);
			assert_true(r.failed);
			assert_false(endpoint_is_set(&back));
		}
		r = reader_init(out, w.len);
		wire_get_endpoint(&r, &back);
		assert_true(reader_done(&r));
		assert_int_equal(endpoint_is_set(&ep), endpoint_is_set(&back));
		if (endpoint_is_set(&ep)) {
			assert_true(endpoint_equal(&ep, &back));
			if (ep.sa.sa_family == AF_INET6)
				assert_int_equal(ep.in6.sin6_scope_id, back.in6.sin6_scope_id);
		}
	}
}

static void bad_endpoints(void **state)
{
	static const struct {
		const char *what;
		uint8_t data[24];
		size_t len;
	} bad[] = {
		{"family 5", {5, 1, 2, 3, 4, 0, 1, 0, 0, 0, 0}, 11},
		{"none with a port", {0, 0, 1, 0, 0, 0, 0}, 7},
		{"none with a scope", {0, 0, 0, 0, 0, 0, 1}, 7},
		{"IPv4 with a scope", {4, 1, 2, 3, 4, 0, 1, 0, 0, 0, 1}, 11},
		{"IPv4-mapped",
		 {6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4, 0, 1, 0, 0, 0, 0},
		 23},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct reader r = reader_init(bad[i].data, bad[i].len);
		struct endpoint ep;

		wire_get_endpoint(&r, &ep);
		if (!r.failed)
			fail_msg("%s was read", bad[i].what);
		assert_false(endpoint_is_set(&ep));
	}
}

static struct ssh_wire_config sample(void)
{
	struct ssh_wire_config c = {
		.session_id = 7,
		.network = "n_abc",
		.peer_id = "p_def",
		.host_name = "second",
		.min_seq = UINT64_C(1) << 40,
		.allow_sftp = true,
		.no_auth = true,
		.through_mesh = true,
		.authorized_keys = true,
		.tokens = true,
		.break_glass_count = 1,
		.revoked_count = 2,
		.revoked = {7, UINT64_MAX},
		.sshd_config = (const uint8_t *)"MaxSessions 3\n",
		.sshd_config_len = 14,
	};

	memset(c.signing_key, 0x11, sizeof(c.signing_key));
	memset(c.break_glass[0], 0x33, sizeof(c.break_glass[0]));
	memset(c.host_key_seed, 0x22, sizeof(c.host_key_seed));
	assert_int_equal(endpoint_parse("100.64.0.1:40000", &c.client), 0);
	assert_int_equal(endpoint_parse("[fd77::2]:22022", &c.server), 0);
	return c;
}

static void config_returns(void **state)
{
	struct ssh_wire_config c = sample(), back;
	uint8_t out[1024];
	struct writer w = writer_init(out, sizeof(out));
	struct reader r;

	(void)state;
	ssh_wire_config_put(&w, &c);
	assert_false(w.failed);
	r = reader_init(out, w.len);
	assert_int_equal(ssh_wire_config_get(&r, &back), 0);
	assert_int_equal(back.session_id, 7);
	assert_memory_equal(back.signing_key, c.signing_key, 32);
	assert_memory_equal(back.host_key_seed, c.host_key_seed, 32);
	assert_string_equal(back.network, "n_abc");
	assert_string_equal(back.peer_id, "p_def");
	assert_string_equal(back.host_name, "second");
	assert_true(back.min_seq == c.min_seq);
	assert_true(endpoint_equal(&back.client, &c.client));
	assert_true(endpoint_equal(&back.server, &c.server));
	assert_false(back.allow_root);
	assert_true(back.allow_sftp);
	assert_false(back.allow_local_forward);
	assert_false(back.allow_remote_forward);
	assert_true(back.no_auth);
	assert_true(back.through_mesh);
	assert_true(back.authorized_keys && back.tokens);
	assert_int_equal(back.break_glass_count, 1);
	assert_memory_equal(back.break_glass, c.break_glass, sizeof(c.break_glass));
	assert_int_equal(back.revoked_count, 2);
	assert_true(back.revoked[0] == 7 && back.revoked[1] == UINT64_MAX);
	assert_int_equal(back.sshd_config_len, 14);
	assert_memory_equal(back.sshd_config, "MaxSessions 3\n", 14);
}

static void config_is_strict(void **state)
{
	struct ssh_wire_config c = sample(), back;
	uint8_t out[1024];
	struct writer w = writer_init(out, sizeof(out));
	struct reader r;

	(void)state;
	ssh_wire_config_put(&w, &c);
	/* behind the switches: one CA and two serials with their counts, the configuration */
	const size_t flags = w.len - 2 - (4 + 32) - (4 + 16) - (4 + 14);

	for (size_t cut = 0; cut < w.len; cut++) {
		r = reader_init(out, cut);
		assert_true(ssh_wire_config_get(&r, &back) < 0);
	}
	r = reader_init(out, w.len + 1); /* something behind it */
	assert_true(ssh_wire_config_get(&r, &back) < 0);
	out[flags] |= 0x80; /* a switch that this version does not know */
	r = reader_init(out, w.len);
	assert_true(ssh_wire_config_get(&r, &back) < 0);
	out[flags] &= 0x7f;
	out[0]++; /* another version */
	r = reader_init(out, w.len);
	assert_true(ssh_wire_config_get(&r, &back) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head),
		cmocka_unit_test(endpoint_bytes),
		cmocka_unit_test(endpoints_return),
		cmocka_unit_test(bad_endpoints),
		cmocka_unit_test(config_returns),
		cmocka_unit_test(config_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
