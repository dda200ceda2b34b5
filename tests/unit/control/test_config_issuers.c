/* SPDX-License-Identifier: Apache-2.0
 *
 * "issuers" of control.json: what is taken, what is refused and why; which issuer judges a token.
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
#include <unistd.h>

#include "control/config.h"
#include "control/issuers_internal.h"
#include "platform/encode.h"

static struct control_config config;
static struct config_more more;

static int load(const char *text, struct error *err)
{
	char path[] = "/tmp/warren-config-XXXXXX";
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	config_defaults(&config, &more);
	snprintf(config.public_url, sizeof(config.public_url), "https://c.example:8443");
	r = config_load(path, false, &config, &more, err);
	unlink(path);
	return r < 0 ? r : config_finish(&config, &more, err);
}

static void refused(const char *text, const char *words)
{
	struct error err = {0};

	assert_true(load(text, &err) < 0);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void test_single_keys(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(load("{\"issuer\":\"https://"
			      "id.example\",\"client_id\":\"w\",\"user_claim\":\"upn\"}",
			      &err),
			 0);
	assert_int_equal(config.issuer_count, 1);
	assert_string_equal(config.issuers[0].issuer, "https://id.example");
	assert_string_equal(config.issuers[0].user_claim, "upn");
	assert_string_equal(config.issuers[0].groups_claim, "groups");
	assert_false(config.login_enrolls);
	assert_int_equal(load("{}", &err), 0);
	assert_int_equal(config.issuer_count, 0);
	assert_string_equal(config.client_id, "warren");
	assert_true(config.login_enrolls);
}

#define CI "{\"issuer\":\"https://ci.example\",\"purpose\":\"workload\"}"

static void test_several(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(load("{\"issuers\":[" CI
			      ",{\"issuer\":\"https://a.example\",\"client_id\":\"a\","
			      "\"audiences\":[\"api\",\"b\"],\"token\":\"access\",\"skew_s\":5,"
			      "\"max_age_s\":3600,"
			      "\"groups_claim\":\"roles\",\"resource\":\"urn:x\","
			      "\"redirect_ports\":[8250,65535]}]}",
			      &err),
			 0);
	/* People first, whatever the order. */
	assert_int_equal(config.issuer_count, 2);
	assert_string_equal(config.issuer, "https://a.example");
	assert_string_equal(config.client_id, "a");
	assert_true(config.issuers[0].access_tokens);
	assert_int_equal(config.issuers[0].audience_count, 2);
	assert_int_equal(config.issuers[0].skew_s, 5);
	assert_int_equal(config.issuers[0].max_age_s, 3600);
	assert_string_equal(config.issuers[0].groups_claim, "roles");
	assert_string_equal(config.issuers[1].audiences[0], "https://c.example:8443/v1/ssh/cert");
	assert_string_equal(config.issuers[1].enroll_audiences[0],
			    "https://c.example:8443/v1/enroll");
	assert_int_equal(config.issuers[1].max_age_s, 3600);

	json_t *o = config_issuer_object(&config);
	assert_string_equal(json_string_value(json_object_get(o, "access_audience")), "api");
	assert_string_equal(json_string_value(json_object_get(o, "resource")), "urn:x");
	assert_int_equal(json_integer_value(json_array_get(
				 json_object_get(o, "redirect_ports"), 1)),
			 65535);
	assert_true(json_is_false(json_object_get(o, "embedded")));
	json_decref(o);

	/* Workloads beside the embedded provider. */
	assert_int_equal(load("{\"issuers\":[" CI "]}", &err), 0);
	assert_string_equal(config.issuer, "");
	assert_string_equal(config.client_id, "warren");
}

static void test_refused(void **state)
{
	static const char *const ports[] = {"8250", "[]", "[80]", "[65536]", "[\"8250\"]",
					    "[1024,1024,1024,1024,1024,1024,1024,1024,1024]"};

	(void)state;
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text),
			 "{\"issuers\":[{\"issuer\":\"https://a\",\"client_id\":\"a\","
			 "\"redirect_ports\":%s}]}",
			 ports[i]);
		refused(text, "redirect_ports");
	}
	refused("{\"issuers\":{}}", "list");
	refused("{\"issuers\":[{\"issuer\":\"http://a\",\"client_id\":\"a\"}]}", "https://");
	refused("{\"issuers\":[{\"client_id\":\"a\"}]}", "https://");
	refused("{\"issuers\":[{\"issuer\":\"https://a\"}]}", "client_id");
	refused("{\"issuers\":[{\"issuer\":\"https://a\",\"client_id\":\"a\",\"clientid\":1}]}",
		"\"issuers\" entry 1");
	refused("{\"issuers\":[" CI "," CI "]}", "twice");
	refused("{\"issuer\":\"https://ci.example\",\"client_id\":\"a\",\"issuers\":[" CI "]}",
		"twice");
	refused("{\"issuers\":[{\"issuer\":\"https://c.example:8443\",\"client_id\":\"a\"}]}",
		"itself");
	refused("{\"issuers\":[{\"issuer\":\"https://"
		"a\",\"client_id\":\"a\",\"purpose\":\"both\"}]}",
		"purpose");
	refused("{\"issuers\":[{\"issuer\":\"https://"
		"a\",\"client_id\":\"a\",\"token\":\"refresh\"}]}",
		"token");
	refused("{\"issuers\":[{\"issuer\":\"https://"
		"a\",\"client_id\":\"a\",\"token\":\"access\"}]}",
		"audiences");
	refused("{\"issuers\":[{\"issuer\":\"https://a\",\"client_id\":\"a\",\"skew_s\":100000}]}",
		"skew_s");
	refused("{\"issuers\":[{\"issuer\":\"https://a\",\"client_id\":\"a\",\"audiences\":[]}]}",
		"audiences");
	refused("{\"issuers\":[{\"issuer\":\"https://"
		"a\",\"client_id\":\"a\",\"audiences\":\"warren-ssh\"}]}",
		"targets");
	refused("{\"issuers\":[{\"issuer\":\"https://"
		"a\",\"purpose\":\"workload\",\"user_claim\":\"x\"}]}",
		"workloads");
	refused("{\"issuers\":[{\"issuer\":\"https://"
		"a\",\"purpose\":\"workload\",\"audiences\":\"x\","
		"\"enroll_audiences\":[\"y\",\"x\"]}]}",
		"both");
	refused("{\"issuers\":[{\"issuer\":\"https://a\",\"client_id\":\"a\",\"token\":\"access\","
		"\"audiences\":\"x\"}],\"login_enrolls\":true}",
		"login_enrolls");
}

/* ---- the choice; oidc_verify is never reached here */

static char said[512];
static enum jwt_fault fault_said;

static void on_done(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
		    const struct error *err)
{
	(void)ctx, (void)identity;
	fault_said = fault;
	snprintf(said, sizeof(said), "%s", error_text(err));
}

static const char *verify(struct control *c, enum issuers_use use, const char *issuer)
{
	char claims[300], part[ENCODE_BASE64URL_SIZE(300)], token[600];

	snprintf(claims, sizeof(claims), "{\"iss\":\"%s\"}", issuer);
	encode_base64url(part, claims, strlen(claims));
	snprintf(token, sizeof(token), "e30.%s.AA", part);
	said[0] = '\0';
	assert_int_equal(issuers_verify(c, use, token, on_done, NULL), 0);
	return said;
}

static void test_choice(void **state)
{
	struct issuers is = {.count = 2};
	struct control c = {.config = &config, .issuers = &is};
	struct error err = {0};

	(void)state;
	assert_int_equal(
		load("{\"issuer\":\"https://id.example\",\"client_id\":\"w\",\"issuers\":[" CI "]}",
		     &err),
		0);
	is.c = &c;
	is.clients[0].config = &config.issuers[0];
	is.clients[1].config = &config.issuers[1];
	assert_non_null(strstr(verify(&c, ISSUERS_PERSON, "https://id.example/"),
			       "\"https://id.example/\", expected exactly \"https://id.example\""));
	assert_int_equal(fault_said, JWT_ISSUER);
	assert_non_null(
		strstr(verify(&c, ISSUERS_PERSON, "https://ci.example"), "for workloads only"));
	assert_int_equal(fault_said, JWT_ISSUER);
	assert_non_null(
		strstr(verify(&c, ISSUERS_WORKLOAD_CERT, "https://id.example"), "for people only"));
	assert_non_null(strstr(verify(&c, ISSUERS_WORKLOAD_ENROLL, "https://id.example"),
			       "for people only"));
	assert_non_null(strstr(verify(&c, ISSUERS_WORKLOAD_CERT, "https://evil.example"),
			       "expected exactly \"https://ci.example\""));
	is.count = 1;
	assert_non_null(strstr(verify(&c, ISSUERS_WORKLOAD_CERT, "https://ci.example"),
			       "takes no tokens of workloads"));
	assert_int_equal(issuers_verify(&c, ISSUERS_WORKLOAD_CERT, "no token", on_done, NULL), 0);
	assert_int_equal(fault_said, JWT_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_keys),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_choice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
