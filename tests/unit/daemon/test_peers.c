/* SPDX-License-Identifier: Apache-2.0
 *
 * The map as main uses it: reading it strictly, finding peers by what people write, and the request
 * that turns what the engine has into what it should have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/peers.h"
#include "platform/encode.h"

static json_t *key_text(uint8_t fill)
{
	char text[ENCODE_BASE64URL_SIZE(32)];
	uint8_t key[32];

	memset(key, fill, sizeof(key));
	encode_base64url(text, key, sizeof(key));
	return json_string(text);
}

static void put(struct map *m, const char *key, json_t *value)
{
	assert_non_null(value);
	assert_int_equal(map_set(m, key, value), 0);
	json_decref(value);
}

static json_t *peer(const char *id, const char *name, const char *v4, const char *v6, uint8_t fill)
{
	return json_pack("{s:s,s:s,s:o,s:s,s:s,s:o,s:o,s:[s],s:n,s:{s:b,s:b,s:i,s:[s]}}", "id", id,
			 "name", name, "fqdn", json_sprintf("%s.warren.internal", name), "overlay4",
			 v4, "overlay6", v6, "node_key", key_text(fill), "path_key",
			 key_text((uint8_t)(fill + 100)), "identities", "alice@example.com",
			 "setup_key", "ssh", "enabled", 1, "advertised", 1, "port", 22022,
			 "host_keys", "ssh-ed25519 AAAA");
}

static struct map *make_map(void)
{
	struct map *m;

	assert_int_equal(map_new(&m), 0);
	put(m, "self",
	    json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "id", "p_me", "name", "first",
		      "fqdn", "first.warren.internal", "domain", "warren.internal", "overlay4",
		      "100.64.0.1", "overlay6", "fd00:1::1", "prefix4", "100.64.0.0/10", "prefix6",
		      "fd00:1::/48", "ssh_enabled", 1));
	put(m, "peer:p_b", peer("p_b", "second", "100.64.0.2", "fd00:1::2", 2));
	put(m, "peer:p_c", peer("p_c", "third", "100.64.0.3", "fd00:1::3", 3));
	put(m, "policy",
	    json_pack("{s:s}", "text",
		      "{\"rules\":[{\"from\":[\"peer:first\"],\"to\":[\"peer:second\"],"
		      "\"proto\":\"tcp\",\"ports\":\"22\"}]}"));
	return m;
}

static void finds_what_people_write(void **state)
{
	static const char *const names[] = {"second",
					    "SECOND.warren.internal",
					    "second.warren.internal.",
					    "p_b",
					    "100.64.0.2",
					    "fd00:1::2"};
	struct map *m = make_map();
	struct peers *p = NULL;
	bool self;

	(void)state;
	assert_int_equal(peers_read(m, &p, NULL), 0);
	map_free(m); /* what was read holds its own references */
	assert_int_equal(p->count, 2);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct peer *found = peers_by_host(p, names[i], &self);

		assert_non_null(found);
		assert_string_equal(found->id, "p_b");
		assert_false(self);
	}
	assert_non_null(peers_by_host(p, "first", &self));
	assert_true(self);
	assert_null(peers_by_host(p, "", &self));
	assert_null(peers_by_host(p, "second.example.com", &self));
	assert_null(peers_by_host(p, "100.64.0.9", &self));
	peers_free(p);
}

static void refuses_maps_that_do_not_fit(void **state)
{
	struct error err = {0};
	struct peers *p = NULL;
	struct map *m;
	json_t *v;

	(void)state;
	m = make_map();
	map_del(m, "self");
	assert_int_equal(peers_read(m, &p, &err), -EBADMSG);
	map_free(m);
	for (int i = 0; i < 5; i++) {
		m = make_map();
		v = peer("p_d", "fourth",
			 i == 0	  ? "100.64.0.2"
			 : i == 1 ? "10.0.0.1"
				  : "100.64.0.4",
			 i == 2 ? "fd00:1::1" : "fd00:1::4", i == 3 ? 3 : 4);
		if (i == 4)
			json_object_del(v, "path_key");
		put(m, "peer:p_d", v);
		memset(&err, 0, sizeof(err));
		assert_int_equal(peers_read(m, &p, &err), -EBADMSG);
		assert_non_null(strstr(err.text, "map"));
		map_free(m);
	}
	m = make_map();
	put(m, "peer:p_x", peer("p_d", "fourth", "100.64.0.4", "fd00:1::4", 4)); /* another's key */
	assert_int_equal(peers_read(m, &p, &err), -EBADMSG);
	map_free(m);
}

static void world_judges_the_slice(void **state)
{
	struct policy_world *world = NULL;
	struct policy *policy = NULL;
	struct map *m = make_map();
	struct peers *p = NULL;

	(void)state;
	assert_int_equal(peers_read(m, &p, NULL), 0);
	assert_int_equal(peers_world(p, m, false, &world, &policy, NULL), 0);
	assert_true(policy_allows(policy, world, "p_me", "p_b", POLICY_PROTO_TCP, 22, 1, NULL));
	assert_false(policy_allows(policy, world, "p_me", "p_c", POLICY_PROTO_TCP, 22, 1, NULL));
	policy_free(policy);
	policy_world_free(world);
	assert_int_equal(peers_world(p, m, true, &world, &policy, NULL), 0);
	assert_false(policy_allows(policy, world, "p_me", "p_b", POLICY_PROTO_TCP, 22, 1, NULL));
	policy_free(policy);
	policy_world_free(world);
	put(m, "policy", json_pack("{s:s}", "text", "{\"rules\":["));
	assert_true(peers_world(p, m, false, &world, &policy, NULL) < 0);
	peers_free(p);
	map_free(m);
}

#define HEX2 "0202020202020202020202020202020202020202020202020202020202020202"
#define HEX3 "0303030303030303030303030303030303030303030303030303030303030303"
#define HEX7 "0707070707070707070707070707070707070707070707070707070707070707"
#define HEX9 "0909090909090909090909090909090909090909090909090909090909090909"

static void diff_touches_only_what_differs(void **state)
{
	static const char reply[] =
		"private_key=" HEX9 "\nlisten_port=51820\n"
		"public_key=" HEX2 "\nendpoint=192.0.2.1:51820\nallowed_ip=fd00:1::2/128\n"
		"allowed_ip=100.64.0.2/32\nrx_bytes=7\ntx_bytes=8\n"
		"last_handshake_time_sec=1790000000\nlast_handshake_time_nsec=0\n"
		"public_key=" HEX7 "\nallowed_ip=100.64.0.3/32\nerrno=0\n\n";
	static const char expected[] = "set=1\npublic_key=" HEX7 "\nremove=true\n"
				       "public_key=" HEX3 "\nreplace_allowed_ips=true\n"
				       "allowed_ip=100.64.0.3/32\nallowed_ip=fd00:1::3/128\n";
	struct map *m = make_map();
	struct peers *p = NULL;
	struct peers_engine e;
	struct buffer out;
	uint8_t key[32];
	size_t changes;

	(void)state;
	memset(key, 9, sizeof(key));
	assert_int_equal(peers_read(m, &p, NULL), 0);
	assert_int_equal(peers_engine_parse(reply, strlen(reply), &e), 0);
	assert_int_equal(e.count, 2);
	assert_int_equal(e.list[0].rx_bytes, 7);
	assert_int_equal(e.list[0].handshake_s, 1790000000);
	assert_true(endpoint_is_set(&e.list[0].endpoint));
	buffer_init(&out, 65536);
	assert_int_equal(peers_engine_diff(p, &e, key, &out, &changes), 0);
	assert_int_equal(changes, 2);
	assert_string_equal(buffer_cstring(&out), expected);
	/* Another private key is set. */
	key[0] = 8;
	buffer_reset(&out);
	assert_int_equal(peers_engine_diff(p, &e, key, &out, &changes), 0);
	assert_int_equal(changes, 3);
	assert_non_null(strstr(buffer_cstring(&out), "set=1\nprivate_key=0809"));
	buffer_done(&out);
	peers_engine_done(&e);
	peers_free(p);
	map_free(m);
}

static void engine_replies_that_do_not_fit(void **state)
{
	static const char *const bad[] = {"",
					  "errno=1\n\n",
					  "private_key=xx\nerrno=0\n\n",
					  "public_key=" HEX2 "\nendpoint=nowhere\nerrno=0\n\n",
					  "public_key=" HEX2 "\nrx_bytes=-1\nerrno=0\n\n",
					  "nonsense\n",
					  "public_key=" HEX2 "\n"};
	struct peers_engine e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(peers_engine_parse(bad[i], strlen(bad[i]), &e) < 0);
	assert_int_equal(peers_engine_parse("errno=0\n\n", 9, &e), 0);
	assert_int_equal(e.count, 0);
	peers_engine_done(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_people_write),
		cmocka_unit_test(refuses_maps_that_do_not_fit),
		cmocka_unit_test(world_judges_the_slice),
		cmocka_unit_test(diff_touches_only_what_differs),
		cmocka_unit_test(engine_replies_that_do_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
