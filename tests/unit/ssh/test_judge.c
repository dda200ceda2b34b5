/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier's judgement: every refusal of a certificate and a grant has its case, and each differs
 * from a login that is allowed by one property only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/signed.h"
#include "identity/sshcert.h"
#include "platform/buffer.h"
#include "platform/encode.h"
#include "ssh/judge.h"

#define NOW  INT64_C(1790000000)
#define SELF "p_second"

struct keys {
	uint8_t signing_public[32], signing[64];
	uint8_t ca_public[32], ca[64];
	uint8_t other_public[32], other[64]; /* nobody trusts it */
	uint8_t subject_public[32], subject[64];
};

static struct keys keys;

static int setup(void **state)
{
	uint8_t seed[32] = {1};

	(void)state;
	if (sodium_init() < 0)
		return -1;
	crypto_sign_seed_keypair(keys.signing_public, keys.signing, seed);
	seed[0] = 2;
	crypto_sign_seed_keypair(keys.ca_public, keys.ca, seed);
	seed[0] = 3;
	crypto_sign_seed_keypair(keys.other_public, keys.other, seed);
	seed[0] = 4;
	crypto_sign_seed_keypair(keys.subject_public, keys.subject, seed);
	return 0;
}

static int sign_with(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx);
}

static const char POLICY[] =
	"{ \"groups\": {\"ops\": [\"alice@example.com\"]},"
	"  \"ssh\": [ {\"from\": [\"ops\"], \"to\": [\"peer:second\"], \"logins\": [\"deploy\"],"
	"              \"allow\": [\"shell\", \"exec\", \"forward\"]} ] }";

struct object {
	const char *network, *peer, *policy;
	int64_t seq, valid_until;
	bool enabled;
	int64_t revoked;
	const char *blocked, *blocked_caller; /* identity ("" everybody) */
	int64_t blocked_before;
	uint8_t *key;
};

static const struct object good_object = {
	.network = "n_one", .peer = SELF, .policy = POLICY, .seq = 7, .valid_until = NOW + 3600,
	.enabled = true,
};

static char *object_text(const struct object *o)
{
	char ca[ENCODE_BASE64URL_SIZE(32)];
	json_t *payload;
	char *text = NULL;

	encode_base64url(ca, keys.ca_public, 32);
	payload = json_pack(
		"{s:i,s:s,s:s,s:I,s:I,s:b,s:[s],s:s,s:[{s:s,s:s,s:s,s:s,s:[],s:n},"
		"{s:s,s:s,s:s,s:s,s:[],s:n}],s:{},s:[],s:I}",
		"v", 1, "network", o->network, "peer", o->peer, "seq", (json_int_t)o->seq,
		"valid_until", (json_int_t)o->valid_until, "enabled", (int)o->enabled, "ca", ca,
		"policy", o->policy, "peers", "id", "p_first", "name", "first", "overlay4",
		"100.64.0.1", "overlay6", "fd00::1", "identities", "setup_key", "id", SELF, "name",
		"second", "overlay4", "100.64.0.2", "overlay6", "fd00::2", "identities", "setup_key",
		"identities", "revoked", "now", (json_int_t)NOW);
	assert_non_null(payload);
	if (o->revoked != 0)
		json_array_append_new(json_object_get(payload, "revoked"), json_integer(o->revoked));
	if (o->blocked != NULL)
		json_object_set_new(payload, "blocked",
				    json_pack("[{s:s,s:s,s:I}]", "identity", o->blocked, "caller",
					      o->blocked_caller, "before",
					      (json_int_t)o->blocked_before));
	assert_int_equal(signed_make("ssh", payload, sign_with,
				     o->key != NULL ? o->key : keys.signing, &text), 0);
	json_decref(payload);
	return text;
}

static struct judge *new_judge(const struct object *o)
{
	struct judge_trust trust = {.network = "n_one", .peer_id = SELF, .min_seq = 5};
	struct judge *j = NULL;
	struct error err = {0};
	char *text = object_text(o);
	uint64_t seq;
	bool enabled;

	memcpy(trust.signing_key, keys.signing_public, 32);
	assert_int_equal(judge_new(&trust, &j), 0);
	assert_int_equal(judge_object(j, text, strlen(text), NOW, &seq, &enabled, &err), 0);
	assert_int_equal(seq, o->seq);
	free(text);
	return j;
}

static void refuse_object(const struct object *o)
{
	struct judge *j = new_judge(&good_object);
	struct error err = {0};
	char *text = object_text(o);
	uint64_t seq;
	bool enabled;

	assert_true(judge_object(j, text, strlen(text), NOW, &seq, &enabled, &err) < 0);
	assert_true(err.text[0] != '\0');
	free(text);
	judge_free(j);
}

static void objects(void **state)
{
	struct object o = good_object;

	(void)state;
	judge_free(new_judge(&o));
	o.seq = 6; /* older than what was in force */
	refuse_object(&o);
	o = good_object;
	o.network = "n_two";
	refuse_object(&o);
	o = good_object;
	o.peer = "p_third";
	refuse_object(&o);
	o = good_object;
	o.valid_until = NOW - 3600;
	refuse_object(&o);
	o = good_object;
	o.key = keys.other;
	refuse_object(&o);
	o = good_object;
	o.policy = "{ \"ssh\": 1 }";
	refuse_object(&o);
}

struct cert_case {
	const char *principal, *source, *key_id;
	int64_t valid_after, valid_before;
	uint8_t *ca, *ca_public;
	uint32_t type;
	bool no_source, no_user_rc;
	const char *client, *login, *force;
	const char *says; /* in the refusal; NULL: allowed */
};

static const struct cert_case good_cert = {
	.principal = "deploy", .source = "100.64.0.1/32",
	.key_id = "alice@example.com caller=p_first target=" SELF " request=r1 auth=1789996400",
	.valid_after = NOW - 60, .valid_before = NOW + 300, .type = 1, .client = "100.64.0.1",
	.login = "deploy",
};

static void build(const struct cert_case *c, struct buffer *blob)
{
	struct sshcert *cert = calloc(1, sizeof(*cert));
	struct writer w;
	uint8_t nonce[32] = {9};

	assert_non_null(cert);
	snprintf(cert->key_type, sizeof(cert->key_type), "ssh-ed25519");
	w = writer_init(cert->subject, sizeof(cert->subject));
	writer_cstring(&w, "ssh-ed25519");
	writer_string(&w, keys.subject_public, 32);
	cert->subject_len = w.len;
	cert->serial = 42;
	cert->type = c->type;
	snprintf(cert->key_id, sizeof(cert->key_id), "%s", c->key_id);
	snprintf(cert->principals[0], sizeof(cert->principals[0]), "%s", c->principal);
	cert->principal_count = 1;
	cert->valid_after_s = c->valid_after;
	cert->valid_before_s = c->valid_before;
	if (!c->no_source) {
		assert_int_equal(ip_prefix_parse(c->source, &cert->sources[0]), 0);
		cert->source_count = 1;
		cert->has_source_address = true;
	}
	cert->extensions = SSHCERT_PERMIT_PTY | SSHCERT_PERMIT_PORT_FORWARDING;
	if (!c->no_user_rc)
		cert->extensions |= SSHCERT_PERMIT_USER_RC;
	if (c->force != NULL)
		snprintf(cert->force_command, sizeof(cert->force_command), "%s", c->force);
	memcpy(cert->ca, c->ca_public != NULL ? c->ca_public : keys.ca_public, 32);
	buffer_init(blob, SSHCERT_MAX_BLOB);
	assert_int_equal(sshcert_make(cert, nonce, sign_with, c->ca != NULL ? c->ca : keys.ca, blob),
			 0);
	free(cert);
}

static void judge_one(const struct object *o, const struct cert_case *c, struct verifier_decision *d)
{
	struct judge *j = new_judge(o);
	struct ip_addr client;
	struct buffer blob;

	build(c, &blob);
	assert_int_equal(ip_addr_parse(c->client, &client), 0);
	judge_cert(j, blob.data, blob.len, c->login, &client, NOW, true, d);
	if (c->says != NULL) {
		struct verifier_decision again;

		judge_again(j, NOW, &again);
		assert_false(again.allowed); /* nothing refused is remembered */
	}
	buffer_done(&blob);
	judge_free(j);
}

static void expect_case(const struct cert_case *c)
{
	struct verifier_decision d;

	judge_one(&good_object, c, &d);
	if (c->says == NULL) {
		assert_true(d.allowed);
		return;
	}
	assert_false(d.allowed);
	if (strcasestr(d.message, c->says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", d.message, c->says);
}

static void certificates(void **state)
{
	struct verifier_decision d;
	struct cert_case c = good_cert;

	(void)state;
	judge_one(&good_object, &c, &d);
	assert_true(d.allowed);
	assert_string_equal(d.identity, "alice@example.com");
	assert_string_equal(d.caller_name, "first");
	assert_int_equal(d.subject_len, 4 + 11 + 4 + 32);
	assert_memory_equal(d.subject + 19, keys.subject_public, 32);
	/* Policy says forward and the certificate permits it; neither says agent. */
	assert_int_equal(d.caps, POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_FORWARD);
	assert_true(d.pty && d.user_rc);
	c.no_user_rc = true;
	judge_one(&good_object, &c, &d);
	assert_true(d.allowed && d.pty && !d.user_rc);
	c.no_user_rc = false;

	c.ca = keys.other, c.ca_public = keys.other_public, c.says = "CA";
	expect_case(&c);
	c = good_cert, c.key_id = "alice@example.com caller=p_first target=p_third request=r1";
	c.says = "another machine";
	expect_case(&c);
	c = good_cert, c.valid_after = NOW - 900, c.valid_before = NOW - 600, c.says = "expired";
	expect_case(&c);
	c = good_cert, c.valid_after = NOW + 600, c.valid_before = NOW + 900, c.says = "valid";
	expect_case(&c);
	c = good_cert, c.client = "fd00::1", c.says = "address";
	expect_case(&c);
	c = good_cert, c.no_source = true, c.says = "address";
	expect_case(&c);
	c = good_cert, c.login = "root", c.says = "root";
	expect_case(&c);
	c = good_cert, c.key_id = "mallory@example.com caller=p_first target=" SELF " request=r1 auth=1789996400";
	c.says = "mallory";
	expect_case(&c);
	c = good_cert, c.source = "100.64.0.9/32", c.client = "100.64.0.9", c.says = "machine";
	expect_case(&c);
}

/* ssh -J: the certificate names its caller and the jump's address, the target sees the latter. */
static void through_another(void **state)
{
	static const char via[] =
		"{ \"ssh\": [ {\"from\": [\"alice@example.com\"], \"to\": [\"peer:second\"],"
		" \"logins\": [\"deploy\"], \"via\": [\"peer:first\"]} ] }";
	static const char machine[] =
		"{ \"ssh\": [ {\"from\": [\"peer:first\"], \"to\": [\"peer:second\"],"
		" \"logins\": [\"deploy\"], \"via\": [\"peer:first\"]} ] }";
	struct object o = good_object;
	struct verifier_decision d;
	struct cert_case c = good_cert;

	(void)state;
	c.key_id = "alice@example.com caller=p_laptop target=" SELF " request=r1 auth=1789996400";
	c.says = "not through first";
	expect_case(&c);
	o.policy = via;
	c.says = NULL;
	judge_one(&o, &c, &d);
	assert_true(d.allowed);
	assert_string_equal(d.caller_name, "first");
	/* The certificate names the laptop alone: policy says where it may come through. */
	c.source = "100.64.0.77/32";
	judge_one(&o, &c, &d);
	assert_true(d.allowed);
	c.says = "not through first";
	expect_case(&c);
	c.client = "100.64.0.78"; /* nobody's */
	c.says = "address";
	expect_case(&c);
	c.client = "100.64.0.1";
	c.key_id = good_cert.key_id; /* first's own, and not for its address */
	expect_case(&c);
	c = good_cert, c.says = "";
	c.key_id = "alice@example.com caller=p_laptop target=" SELF " request=r1 auth=1789996400";
	/* first is where it comes from, not who asks. */
	o.policy = machine;
	c.says = "";
	judge_one(&o, &c, &d);
	assert_false(d.allowed);
	c = good_cert, c.key_id = "alice@example.com target=" SELF " request=r1 auth=1789996400";
	c.says = "does not say";
	expect_case(&c);
	c.key_id = "alice@example.com caller= target=" SELF " request=r1 auth=1789996400";
	expect_case(&c);
}

static void machine_states(void **state)
{
	struct object o = good_object;
	struct verifier_decision d;

	(void)state;
	o.enabled = false;
	judge_one(&o, &(struct cert_case){.principal = "deploy", .source = "100.64.0.1/32",
					  .key_id = good_cert.key_id, .valid_after = NOW - 60,
					  .valid_before = NOW + 300, .type = 1,
					  .client = "100.64.0.1", .login = "deploy", .says = "off"},
		  &d);
	assert_false(d.allowed);
	o = good_object;
	o.revoked = 42;
	judge_one(&o, &(struct cert_case){.principal = "deploy", .source = "100.64.0.1/32",
					  .key_id = good_cert.key_id, .valid_after = NOW - 60,
					  .valid_before = NOW + 300, .type = 1,
					  .client = "100.64.0.1", .login = "deploy",
					  .says = "revoked"},
		  &d);
	assert_false(d.allowed);
	assert_non_null(strstr(d.message, "revoked"));
}

static void tampered(void **state)
{
	struct judge *j = new_judge(&good_object);
	struct verifier_decision d;
	struct ip_addr client;
	struct buffer blob;

	(void)state;
	assert_int_equal(ip_addr_parse("100.64.0.1", &client), 0);
	build(&good_cert, &blob);
	for (size_t i = 0; i < blob.len; i++) {
		blob.data[i] ^= 1;
		judge_cert(j, blob.data, blob.len, "deploy", &client, NOW, true, &d);
		assert_false(d.allowed);
		blob.data[i] ^= 1;
		judge_cert(j, blob.data, i, "deploy", &client, NOW, true, &d);
		assert_false(d.allowed);
	}
	judge_cert(j, blob.data, blob.len, "deploy", &client, NOW, true, &d);
	assert_true(d.allowed);
	buffer_done(&blob);
	judge_free(j);
}

static void withdrawn(void **state)
{
	struct judge *j = new_judge(&good_object);
	struct object o = good_object;
	struct verifier_decision d;
	struct error err = {0};
	struct ip_addr client;
	struct buffer blob;
	uint64_t seq;
	bool enabled;
	char *text;

	(void)state;
	assert_int_equal(ip_addr_parse("100.64.0.1", &client), 0);
	build(&good_cert, &blob);
	judge_cert(j, blob.data, blob.len, "deploy", &client, NOW, true, &d);
	assert_true(d.allowed);
	judge_again(j, NOW + 1, &d);
	assert_true(d.allowed);
	/* The rule goes. */
	o.policy = "{ \"ssh\": [] }";
	o.seq = 8;
	text = object_text(&o);
	assert_int_equal(judge_object(j, text, strlen(text), NOW, &seq, &enabled, &err), 0);
	free(text);
	judge_again(j, NOW + 2, &d);
	assert_false(d.allowed);
	assert_true(d.message[0] != '\0');
	/* It comes back, but the machine hears nothing more: the object runs out. */
	o = good_object;
	o.seq = 9;
	text = object_text(&o);
	assert_int_equal(judge_object(j, text, strlen(text), NOW, &seq, &enabled, &err), 0);
	free(text);
	judge_again(j, NOW + 3, &d);
	assert_true(d.allowed);
	assert_true(d.again_at_s > NOW && d.again_at_s <= NOW + 3600 + 120);
	judge_again(j, NOW + 7200, &d);
	assert_false(d.allowed);
	buffer_done(&blob);
	judge_free(j);
}

/* A cutoff ends what was issued up to its moment, for its identity and its caller, and no more. */
static void ended(void **state)
{
	static const struct {
		const char *identity, *caller;
		int64_t before;
		bool ends;
	} cases[] = {
		{"alice@example.com", "", NOW, true},
		{"alice@example.com", "p_first", NOW, true},
		{"", "", NOW, true}, /* everybody */
		{"alice@example.com", "", NOW - 1, false},
		{"alice@example.com", "p_third", NOW, false},
		{"bob@example.com", "", NOW, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct judge *j = new_judge(&good_object);
		struct object o = good_object;
		struct verifier_decision d;
		struct error err = {0};
		struct ip_addr client;
		struct buffer blob;
		uint64_t seq;
		bool enabled;
		char *text;

		assert_int_equal(ip_addr_parse("100.64.0.1", &client), 0);
		build(&good_cert, &blob); /* valid_after is a minute before it was issued: NOW */
		judge_cert(j, blob.data, blob.len, "deploy", &client, NOW, true, &d);
		assert_true(d.allowed);
		o.seq = 8;
		o.blocked = cases[i].identity;
		o.blocked_caller = cases[i].caller;
		o.blocked_before = cases[i].before;
		text = object_text(&o);
		assert_int_equal(judge_object(j, text, strlen(text), NOW, &seq, &enabled, &err), 0);
		free(text);
		judge_again(j, NOW + 1, &d);
		assert_int_equal(d.allowed, !cases[i].ends);
		assert_true(!cases[i].ends || strstr(d.message, "ended") != NULL);
		judge_cert(j, blob.data, blob.len, "deploy", &client, NOW + 1, true, &d);
		assert_int_equal(d.allowed, !cases[i].ends);
		buffer_done(&blob);
		judge_free(j);
	}
	/* A list that cannot be read is no object. */
	struct object o = good_object;
	o.blocked = "alice@example.com";
	o.blocked_caller = "p_1234567890123456789012345678901234567890";
	refuse_object(&o);
}

struct grant_case {
	const char *target, *login, *session, *address, *identity;
	int64_t valid_until;
	const char *type;
	uint8_t *key;
	bool allowed;
};

static void grants(void **state)
{
	static const struct grant_case base = {SELF, "deploy", "aa", "100.64.0.1",
					       "alice@example.com", NOW + 60, "grant", NULL, true};
	struct grant_case cases[9];
	size_t count = sizeof(cases) / sizeof(cases[0]);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		cases[i] = base;
		cases[i].allowed = i == 0;
	}
	cases[1].target = "p_third";
	cases[2].login = "root";
	cases[3].session = "ab";
	cases[4].address = "100.64.0.9";
	cases[5].identity = "mallory@example.com";
	cases[6].valid_until = NOW - 1;
	cases[7].key = keys.other;
	cases[8].type = "ssh";
	for (size_t i = 0; i < count; i++) {
		const struct grant_case *g = &cases[i];
		struct judge *j = new_judge(&good_object);
		struct verifier_decision d;
		struct ip_addr client;
		char *text = NULL;
		json_t *payload = json_pack(
			"{s:i,s:s,s:s,s:s,s:s,s:s,s:[],s:s,s:s,s:I,s:I,s:I}", "v", 1, "network",
			"n_one", "target", g->target, "caller", "p_first", "caller_address",
			g->address, "identity", g->identity, "groups", "login", g->login, "session",
			g->session, "auth_time", (json_int_t)(NOW - 5), "issued", (json_int_t)NOW,
			"valid_until", (json_int_t)g->valid_until);

		assert_non_null(payload);
		assert_int_equal(ip_addr_parse("100.64.0.1", &client), 0);
		assert_int_equal(signed_make(g->type, payload, sign_with,
					     g->key != NULL ? g->key : keys.signing, &text), 0);
		judge_grant(j, text, strlen(text), "deploy", "aa", &client, NOW, &d);
		if (d.allowed != g->allowed)
			fail_msg("grant case %zu: %s", i, d.message);
		free(text);
		json_decref(payload);
		judge_free(j);
	}
}

static void machine_login(void **state)
{
	struct object o = good_object;
	struct verifier_decision d;
	struct ip_addr client;
	struct judge *j;

	(void)state;
	assert_int_equal(ip_addr_parse("100.64.0.1", &client), 0);
	j = new_judge(&o);
	judge_machine(j, "deploy", &client, NOW, &d);
	assert_false(d.allowed); /* the rule is for people */
	judge_free(j);
	o.policy = "{ \"ssh\": [ {\"from\": [\"peer:first\"], \"to\": [\"peer:second\"],"
		   "\"logins\": [\"deploy\"], \"auth\": \"machine\", \"allow\": [\"exec\"]} ] }";
	j = new_judge(&o);
	judge_machine(j, "deploy", &client, NOW, &d);
	assert_true(d.allowed);
	assert_string_equal(d.identity, "");
	assert_string_equal(d.caller_name, "first");
	judge_machine(j, "root", &client, NOW, &d);
	assert_false(d.allowed);
	judge_free(j);
}

/* By a CA that root pinned: with an object that ran out, and with none, and never by another. */
static void break_glass(void **state)
{
	struct judge_trust trust = {.network = "n_one", .peer_id = SELF, .min_seq = 5,
				    .break_glass_count = 1, .revoked_count = 2,
				    .revoked = {77, 41}};
	struct cert_case c = good_cert;
	struct verifier_decision d;
	struct ip_addr client;
	struct judge *j;
	struct buffer blob;

	(void)state;
	memcpy(trust.signing_key, keys.signing_public, 32);
	memcpy(trust.break_glass[0], keys.other_public, 32);
	c.key_id = "night shift";
	c.ca = keys.other, c.ca_public = keys.other_public;
	c.no_source = true;
	assert_int_equal(ip_addr_parse(c.client, &client), 0);
	for (int round = 0; round < 5; round++) {
		assert_int_equal(judge_new(&trust, &j), 0);
		buffer_init(&blob, 65536);
		build(&c, &blob);
		judge_cert(j, blob.data, blob.len, "deploy", &client, NOW, true, &d);
		assert_int_equal(d.allowed, round == 0);
		if (round == 0) {
			assert_true(d.break_glass);
			assert_string_equal(d.identity, "break-glass:night_shift");
			judge_again(j, NOW + 7 * 86400, &d); /* nothing that control says ends it */
			assert_true(d.allowed && d.break_glass);
			trust.revoked[1] = 42;
		} else if (round == 1) {
			assert_non_null(strstr(d.message, "revoked"));
			trust.revoked_count = 0;
			c.valid_before = NOW + 2 * 86400;
		} else if (round == 2) {
			assert_non_null(strstr(d.message, "a day at most"));
			c.valid_before = NOW + 300;
			c.principal = "root";
		} else if (round == 3) {
			assert_non_null(strstr(d.message, "deploy"));
			c.principal = "deploy";
			trust.break_glass_count = 0;
		} else {
			assert_non_null(strstr(d.message, "no policy from its control server"));
		}
		buffer_done(&blob);
		judge_free(j);
	}
}

/* A rule for keys lets nothing else in without a person, and a rule for machines no key. */
static void key_login(void **state)
{
	struct object o = good_object;
	struct verifier_decision d;
	struct ip_addr client;
	struct judge *j;

	(void)state;
	assert_int_equal(ip_addr_parse("100.64.0.1", &client), 0);
	o.policy = "{ \"ssh\": [ {\"from\": [\"peer:first\"], \"to\": [\"peer:second\"],"
		   "\"logins\": [\"deploy\"], \"auth\": [\"identity\", \"key\"]},"
		   "{\"from\": [\"peer:first\"], \"to\": [\"peer:second\"],"
		   "\"logins\": [\"build\"], \"auth\": \"machine\"} ] }";
	j = new_judge(&o);
	judge_machine(j, "deploy", &client, NOW, &d);
	assert_false(d.allowed);
	judge_key(j, "build", &client, NOW, true, &d);
	assert_false(d.allowed);
	judge_key(j, "deploy", &client, NOW, false, &d);
	assert_true(d.allowed);
	assert_string_equal(d.identity, "");
	judge_again(j, NOW, &d); /* nobody proved the key yet */
	assert_false(d.allowed);
	judge_key(j, "deploy", &client, NOW, true, &d);
	judge_again(j, NOW, &d);
	assert_true(d.allowed);
	judge_again(j, NOW + 90000, &d); /* the object ran out */
	assert_false(d.allowed);
	judge_free(j);
}

#define RULE "{\"from\": [\"alice@example.com\"], \"to\": [\"*\"], \"logins\": [\"deploy\"], "

/* Certificate and policy, as sshd has it with certificate and key. */
static void commands(void **state)
{
	static const char forced[] = "{\"ssh\": [" RULE "\"force_command\": \"id -un\"}]}";
	static const char sftp[] = "{\"ssh\": [" RULE "\"allow\": [\"sftp\"]}]}";
	static const struct {
		const char *policy, *cert;
		bool allowed;
		const char *command;
		uint32_t caps;
	} table[] = {
		{POLICY, NULL, true, "", POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_FORWARD},
		{POLICY, "id", true, "id",
		 POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_FORWARD},
		{forced, NULL, true, "id -un", POLICY_SSH_SESSIONS},
		{forced, "id -un", true, "id -un", POLICY_SSH_SESSIONS},
		{forced, "id", false, "", 0},
		{forced, "id -un ", false, "", 0},
		{forced, "internal-sftp", false, "", 0},
		{sftp, "internal-sftp", true, "", POLICY_SSH_SFTP},
		{POLICY, "internal-sftp", true, "", POLICY_SSH_FORWARD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct object o = good_object;
		struct cert_case c = good_cert;
		struct verifier_decision d;

		o.policy = table[i].policy;
		c.force = table[i].cert;
		c.says = table[i].allowed ? NULL : "command";
		judge_one(&o, &c, &d);
		if (d.allowed != table[i].allowed || d.caps != table[i].caps ||
		    strcmp(d.force_command, table[i].command) != 0)
			fail_msg("row %zu: %d %x \"%s\" %s", i, d.allowed, d.caps, d.force_command,
				 d.message);
		if (!d.allowed)
			assert_non_null(strstr(d.message, "another command"));
		/* What policy forces is what runs; before a certificate's command it may. */
		else
			assert_int_equal(d.user_rc, table[i].policy != forced);
	}
}

/* A rule for fresh logins does not look at the certificate's age, which always is. */
static void old_login(void **state)
{
	static const char ages[] =
		"{\"ssh\": [" RULE "\"allow\": [\"sftp\", \"forward\"], "
		"\"destinations\": [\"db:5432\"]},"
		RULE "\"allow\": [\"shell\", \"sftp\", \"forward\"], \"max_login_age\": \"1h\"}]}";
	static const char fresh_only[] = "{\"ssh\": [" RULE "\"max_login_age\": \"1h\"}]}";
	static const char *const old[] = {
		"alice@example.com caller=p_first target=" SELF " request=r1 auth=1789989200",
		"alice@example.com caller=p_first target=" SELF " request=r1",
		"alice@example.com caller=p_first target=" SELF " request=r1 auth=",
		"alice@example.com caller=p_first target=" SELF " request=r1 auth=1789999999x",
		"alice@example.com caller=p_first target=" SELF " request=r1 auth=-1",
	};
	struct object o = good_object;
	struct cert_case c = good_cert;
	struct verifier_decision d;

	(void)state;
	o.policy = ages;
	c.key_id = "alice@example.com caller=p_first target=" SELF " request=r1 auth=1789999000";
	judge_one(&o, &c, &d);
	assert_true(d.allowed);
	assert_int_equal(d.destination_count, 0);
	assert_int_equal(d.again_at_s, NOW - 1000 + 3600); /* the login's hour, not a new one */
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		o.policy = ages;
		c.key_id = old[i];
		c.says = NULL;
		judge_one(&o, &c, &d);
		assert_true(d.allowed);
		assert_int_equal(d.caps, POLICY_SSH_SFTP | POLICY_SSH_FORWARD);
		assert_int_equal(d.destination_count, 1);
		o.policy = fresh_only;
		c.says = "more recent";
		judge_one(&o, &c, &d);
		assert_false(d.allowed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects),	 cmocka_unit_test(certificates),
		cmocka_unit_test(through_another),
		cmocka_unit_test(machine_states), cmocka_unit_test(tampered), cmocka_unit_test(key_login),
		cmocka_unit_test(break_glass),
		cmocka_unit_test(withdrawn),	 cmocka_unit_test(grants), cmocka_unit_test(ended),
		cmocka_unit_test(machine_login), cmocka_unit_test(commands),
		cmocka_unit_test(old_login),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
