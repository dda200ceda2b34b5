/* SPDX-License-Identifier: Apache-2.0
 *
 * Discovery documents. The flows themselves are in tests/interop/test_oidc_provider.sh.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "identity/oidc_internal.h"

#define ISSUER "https://id.example.com"

static json_t *good(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:[s,s], s:b}", "issuer", ISSUER,
			 "authorization_endpoint", ISSUER "/auth?x=1", "token_endpoint",
			 ISSUER "/token", "device_authorization_endpoint", ISSUER "/device",
			 "jwks_uri", ISSUER "/jwks", "code_challenge_methods_supported", "plain",
			 "S256", "other", 1);
}

/* Takes json. */
static int parse(json_t *json, struct oidc_metadata *m, struct error *err)
{
	char *text = json_dumps(json, 0);
	int rc = oidc_metadata_parse(text, strlen(text), ISSUER, m, err);

	free(text);
	json_decref(json);
	return rc;
}

static json_t *with(const char *name, json_t *value)
{
	json_t *json = good();

	if (value)
		json_object_set_new(json, name, value);
	else
		json_object_del(json, name);
	return json;
}

static void test_good(void **state)
{
	struct oidc_metadata m = {0};

	(void)state;
	assert_int_equal(parse(good(), &m, NULL), 0);
	assert_string_equal(m.authorization_endpoint, ISSUER "/auth?x=1");
	assert_string_equal(m.token_endpoint, ISSUER "/token");
	assert_string_equal(m.device_endpoint, ISSUER "/device");
	assert_string_equal(m.jwks_uri, ISSUER "/jwks");
	assert_null(m.revocation_endpoint);
	oidc_metadata_done(&m);
	assert_int_equal(
		parse(with("revocation_endpoint", json_string(ISSUER "/revoke")), &m, NULL), 0);
	assert_string_equal(m.revocation_endpoint, ISSUER "/revoke");
	assert_true(m.revokes_for_public); /* it does not say */
	oidc_metadata_done(&m);
	assert_int_equal(parse(with("revocation_endpoint_auth_methods_supported",
				    json_pack("[s]", "client_secret_basic")),
			       &m, NULL),
			 0);
	assert_false(m.revokes_for_public);
	oidc_metadata_done(&m);
	assert_int_equal(parse(with("revocation_endpoint", json_string("x y")), &m, NULL), -EPROTO);
	assert_int_equal(parse(with("device_authorization_endpoint", NULL), &m, NULL), 0);
	assert_null(m.device_endpoint);
	oidc_metadata_done(&m);
	assert_int_equal(parse(with("code_challenge_methods_supported", NULL), &m, NULL), 0);
	assert_non_null(m.authorization_endpoint);
	oidc_metadata_done(&m);
	/* Without S256 there is no login by browser. */
	assert_int_equal(parse(with("code_challenge_methods_supported", json_pack("[s]", "plain")),
			       &m, NULL),
			 0);
	assert_null(m.authorization_endpoint);
	oidc_metadata_done(&m);
}

static void test_issuer(void **state)
{
	struct oidc_metadata m = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(parse(with("issuer", json_string(ISSUER "/")), &m, &err), -EPROTO);
	assert_non_null(strstr(err.text, "\"" ISSUER "/\""));
	assert_non_null(strstr(err.text, "\"" ISSUER "\""));
	assert_int_equal(parse(with("issuer", NULL), &m, &err), -EPROTO);
	assert_int_equal(parse(with("issuer", json_integer(1)), &m, &err), -EPROTO);
	assert_null(m.token_endpoint);
}

static void test_refused(void **state)
{
	struct oidc_metadata m = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(parse(with("token_endpoint", NULL), &m, &err), -EPROTO);
	assert_non_null(strstr(err.text, "token_endpoint"));
	assert_int_equal(parse(with("jwks_uri", NULL), &m, &err), -EPROTO);
	assert_int_equal(parse(with("jwks_uri", json_array()), &m, &err), -EPROTO);
	assert_int_equal(parse(with("token_endpoint", json_string("https://x/\n")), &m, &err),
			 -EPROTO);
	assert_int_equal(parse(with("token_endpoint", json_string("https://x/ y")), &m, &err),
			 -EPROTO);
	assert_true(oidc_metadata_parse("{", 1, ISSUER, &m, &err) < 0);
	assert_true(oidc_metadata_parse("[]", 2, ISSUER, &m, &err) < 0);
	assert_true(oidc_metadata_parse("{\"a\":1,\"a\":1}", 13, ISSUER, &m, &err) < 0);
	assert_null(m.token_endpoint);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_issuer),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
