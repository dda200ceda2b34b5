/* SPDX-License-Identifier: Apache-2.0
 *
 * The peer's copy of its map: snapshots, deltas, renewals, and every way in which a stream may not
 * fit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/control_client_map.h"
#include "identity/signed.h"
#include "platform/encode.h"

struct fixture {
	uint8_t secret[64];
	struct control_pin pin;
	struct control_map map;
	struct map *truth; /* what the server has */
};

static int sign(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	const struct fixture *f = ctx;

	return crypto_sign_detached(ret_sig, NULL, data, len, f->secret);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint8_t seed[32] = {1};

	assert_non_null(f);
	crypto_sign_seed_keypair(f->pin.signing_key, f->secret, seed);
	strcpy(f->pin.network, "n_1");
	strcpy(f->pin.peer, "p_1");
	assert_int_equal(map_new(&f->truth), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	control_map_done(&f->map);
	map_free(f->truth);
	free(f);
	return 0;
}

static char *head(struct fixture *f, const char *peer, int64_t epoch, int64_t revision)
{
	char hex[ENCODE_HEX_SIZE(32)], *text = NULL;
	uint8_t digest[32];
	json_t *payload;

	map_digest(f->truth, digest);
	encode_hex(hex, digest, sizeof(digest));
	payload = json_pack("{s:i,s:s,s:s,s:I,s:I,s:i,s:s}", "v", 1, "network", "n_1", "peer", peer,
			    "epoch", (json_int_t)epoch, "revision", (json_int_t)revision,
			    "valid_until", 1000, "digest", hex);
	assert_int_equal(signed_make("map", payload, sign, f, &text), 0);
	json_decref(payload);
	return text;
}

static int feed(struct fixture *f, json_t *line, enum control_map_result *ret_result)
{
	struct error err = {0};
	int r = control_map_line(&f->map, &f->pin, line, ret_result, &err);

	json_decref(line);
	if (r < 0)
		assert_true(err.text[0] != '\0');
	return r;
}

static void put(struct fixture *f, const char *key, int value)
{
	json_t *v = json_pack("{s:i}", "x", value);

	assert_int_equal(map_set(f->truth, key, v), 0);
	json_decref(v);
}

static int snapshot(struct fixture *f, const char *peer, int64_t epoch, int64_t revision,
		    enum control_map_result *ret_result)
{
	char *text = head(f, peer, epoch, revision);
	const char *keys[] = {"peer:a", "self"};
	int r;

	assert_int_equal(
		feed(f,
		     json_pack("{s:s,s:I}", "type", "snapshot", "revision", (json_int_t)revision),
		     ret_result),
		0);
	for (size_t i = 0; i < 2; i++)
		if (map_get(f->truth, keys[i]) != NULL)
			assert_int_equal(
				feed(f,
				     json_pack("{s:s,s:s,s:O}", "type", "set", "key", keys[i],
					       "value", map_get(f->truth, keys[i])),
				     ret_result),
				0);
	r = feed(f, json_pack("{s:s,s:s}", "type", "end", "signed", text), ret_result);
	free(text);
	return r;
}

static int delta(struct fixture *f, int64_t from, int64_t to, const char *key, int value,
		 enum control_map_result *ret_result)
{
	char *text;
	int r;

	put(f, key, value);
	text = head(f, "p_1", 1, to);
	r = feed(f,
		 json_pack("{s:s,s:I,s:I,s:[{s:s,s:{s:i}}],s:s}", "type", "delta", "from",
			   (json_int_t)from, "to", (json_int_t)to, "ops", "set", key, "value", "x",
			   value, "signed", text),
		 ret_result);
	free(text);
	return r;
}

static void snapshot_then_deltas(void **state)
{
	struct fixture *f = *state;
	enum control_map_result result;
	char *text;

	put(f, "self", 1);
	put(f, "peer:a", 2);
	assert_false(control_map_valid(&f->map, 1));
	assert_int_equal(snapshot(f, "p_1", 1, 5, &result), 0);
	assert_int_equal(result, CONTROL_MAP_CHANGED);
	assert_int_equal(f->map.revision, 5);
	assert_true(control_map_valid(&f->map, 999));
	assert_false(control_map_valid(&f->map, 1000));
	assert_int_equal(delta(f, 5, 7, "peer:b", 3, &result), 0);
	assert_int_equal(result, CONTROL_MAP_CHANGED);
	assert_int_equal(map_count(f->map.map), 3);
	text = head(f, "p_1", 1, 7);
	assert_int_equal(feed(f, json_pack("{s:s,s:s}", "type", "ping", "signed", text), &result),
			 0);
	assert_int_equal(result, CONTROL_MAP_RENEWED);
	free(text);
	assert_int_equal(feed(f, json_pack("{s:s}", "type", "ping"), &result), 0);
	assert_int_equal(result, CONTROL_MAP_NOTHING);
}

static void gaps_and_digests_ask_for_all(void **state)
{
	struct fixture *f = *state;
	enum control_map_result result;
	char *text;

	put(f, "self", 1);
	assert_int_equal(snapshot(f, "p_1", 1, 5, &result), 0);
	assert_int_equal(delta(f, 6, 7, "peer:b", 3, &result), 0);
	assert_int_equal(result, CONTROL_MAP_RESYNC);
	assert_int_equal(map_count(f->map.map), 1);
	/* The right revision, but the digest is of something else. */
	put(f, "peer:c", 9);
	assert_int_equal(delta(f, 5, 7, "peer:b", 3, &result), 0);
	assert_int_equal(result, CONTROL_MAP_RESYNC);
	assert_int_equal(f->map.revision, 5);
	text = head(f, "p_1", 1, 5);
	assert_int_equal(feed(f, json_pack("{s:s,s:s}", "type", "ping", "signed", text), &result),
			 0);
	assert_int_equal(result, CONTROL_MAP_RESYNC);
	free(text);
}

static void roll_back_is_refused(void **state)
{
	struct fixture *f = *state;
	enum control_map_result result;

	put(f, "self", 1);
	assert_int_equal(snapshot(f, "p_1", 2, 5, &result), 0);
	assert_int_equal(snapshot(f, "p_1", 2, 4, &result), -ESTALE);
	assert_int_equal(snapshot(f, "p_1", 1, 9, &result), -ESTALE);
	assert_int_equal(f->map.revision, 5);
	assert_int_equal(snapshot(f, "p_1", 3, 1, &result), 0); /* a new epoch counts anew */
	assert_int_equal(f->map.revision, 1);
}

static void foreign_heads_are_refused(void **state)
{
	struct fixture *f = *state;
	enum control_map_result result;

	put(f, "self", 1);
	assert_int_equal(snapshot(f, "p_2", 1, 5, &result), -EBADMSG);
	f->pin.signing_key[0] ^= 1;
	assert_int_equal(snapshot(f, "p_1", 1, 5, &result), -EBADMSG);
	assert_null(f->map.map);
	f->pin.signing_key[0] ^= 1;
	strcpy(f->pin.network, "n_2");
	assert_int_equal(snapshot(f, "p_1", 1, 5, &result), -EBADMSG);
	assert_null(f->map.map);
}

static void odd_lines_are_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"type\":1}",
		"{\"type\":\"set\",\"key\":\"a\",\"value\":1}",
		"{\"type\":\"end\",\"signed\":\"wso1.map.e30.e30\"}",
		"{\"type\":\"snapshot\"}",
		"{\"type\":\"snapshot\",\"revision\":-1}",
		"{\"type\":\"delta\",\"from\":1,\"to\":2,\"ops\":{},\"signed\":\"x\"}",
		"{\"type\":\"ping\",\"signed\":\"x\"}",
	};
	struct fixture *f = *state;
	enum control_map_result result;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(feed(f, json_loads(bad[i], 0, NULL), &result) < 0);
	assert_int_equal(feed(f, json_pack("{s:s}", "type", "tomorrow"), &result), 0);
	assert_int_equal(result, CONTROL_MAP_NOTHING);
}

static void a_saved_map_is_verified_again(void **state)
{
	struct fixture *f = *state;
	struct map *copy = NULL;
	char *text;

	put(f, "self", 1);
	text = head(f, "p_1", 1, 5);
	assert_int_equal(map_copy(f->truth, &copy), 0);
	assert_int_equal(control_map_restore(&f->map, &f->pin, copy, text, NULL), 0);
	assert_int_equal(f->map.revision, 5);
	assert_int_equal(map_copy(f->truth, &copy), 0);
	map_del(copy, "self");
	assert_int_equal(control_map_restore(&f->map, &f->pin, copy, text, NULL), -EBADMSG);
	assert_int_equal(map_count(f->map.map), 1);
	map_free(copy);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(snapshot_then_deltas, setup, teardown),
		cmocka_unit_test_setup_teardown(gaps_and_digests_ask_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(roll_back_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(foreign_heads_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(odd_lines_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_saved_map_is_verified_again, setup, teardown),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
