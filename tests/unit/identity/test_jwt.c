/* SPDX-License-Identifier: Apache-2.0
 *
 * JWT verification: the published vectors of RFC 7515 and RFC 8037, every algorithm against tokens
 * that OpenSSL signs here, and every bad token that a server may meet.
 */
#include "identity/jwt.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "identity/jwks.h"
#include "platform/encode.h"

#define NOW    INT64_C(1790000000)
#define ISSUER "https://id.example.com"

enum kind { RSA1, RSA2, P256, P384, ED, RSA_SMALL, KINDS };
static EVP_PKEY *keys[KINDS];
static struct jwks *set; /* RSA1 as "rs" and (PS256) "ps", P256 "es", P384 "es384", ED "ed" */

static const char *const audiences[] = {"warren", "warren-cli", NULL};

static struct jwt_expect good_expect(void)
{
	return (struct jwt_expect){
		.issuer = ISSUER, .audiences = audiences, .now_s = NOW, .skew_s = 60};
}

static json_t *good_claims(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:[s,s]}", "iss", ISSUER, "aud", "warren",
			 "sub", "user-1", "email", "Alice@Example.com", "iat", (json_int_t)NOW - 10,
			 "exp", (json_int_t)NOW + 300, "groups", "ops", "dev");
}

static void bn_member(json_t *jwk, const char *name, EVP_PKEY *key, const char *param, int size)
{
	uint8_t bytes[512];
	char text[ENCODE_BASE64URL_SIZE(512)];
	BIGNUM *bn = NULL;

	assert_true(EVP_PKEY_get_bn_param(key, param, &bn));
	if (size == 0)
		size = BN_num_bytes(bn);
	assert_int_equal(BN_bn2binpad(bn, bytes, size), size);
	encode_base64url(text, bytes, (size_t)size);
	json_object_set_new(jwk, name, json_string(text));
	BN_free(bn);
}

static json_t *jwk_of(enum kind kind, const char *kid, const char *alg)
{
	json_t *jwk = json_object();
	EVP_PKEY *key = keys[kind];
	char text[ENCODE_BASE64URL_SIZE(32)];
	uint8_t raw[32];
	size_t len = sizeof(raw);

	if (kid)
		json_object_set_new(jwk, "kid", json_string(kid));
	if (alg)
		json_object_set_new(jwk, "alg", json_string(alg));
	if (kind == ED) {
		assert_true(EVP_PKEY_get_raw_public_key(key, raw, &len));
		encode_base64url(text, raw, 32);
		json_object_set_new(jwk, "kty", json_string("OKP"));
		json_object_set_new(jwk, "crv", json_string("Ed25519"));
		json_object_set_new(jwk, "x", json_string(text));
	} else if (kind == P256 || kind == P384) {
		int size = kind == P256 ? 32 : 48;

		json_object_set_new(jwk, "kty", json_string("EC"));
		json_object_set_new(jwk, "crv", json_string(kind == P256 ? "P-256" : "P-384"));
		bn_member(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, size);
		bn_member(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, size);
	} else {
		json_object_set_new(jwk, "kty", json_string("RSA"));
		bn_member(jwk, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
		bn_member(jwk, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
	}
	return jwk;
}

/* Takes list. */
static struct jwks *load_set(json_t *list)
{
	json_t *json = json_pack("{s:o}", "keys", list);
	char *text = json_dumps(json, 0);
	struct jwks *jwks = NULL;

	assert_int_equal(jwks_parse(text, strlen(text), &jwks, NULL), 0);
	free(text);
	json_decref(json);
	return jwks;
}

static size_t loaded(json_t *jwk)
{
	struct jwks *one = load_set(json_pack("[o]", jwk));
	size_t count = jwks_count(one);

	jwks_free(one);
	return count;
}

/* Raw r || s out of DER. */
static size_t raw_ecdsa(uint8_t *sig, size_t len, int size)
{
	const unsigned char *p = sig;
	ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &p, (long)len);

	assert_non_null(pair);
	BN_bn2binpad(ECDSA_SIG_get0_r(pair), sig, size);
	BN_bn2binpad(ECDSA_SIG_get0_s(pair), sig + size, size);
	ECDSA_SIG_free(pair);
	return (size_t)size * 2;
}

static size_t sign_as(const char *alg, EVP_PKEY *key, const char *data, size_t len,
		      uint8_t sig[512])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	size_t sig_len = 512;
	const EVP_MD *md = strcmp(alg, "ES384") == 0	? EVP_sha384()
			   : strncmp(alg, "Ed", 2) == 0 ? NULL
							: EVP_sha256();

	assert_int_equal(EVP_DigestSignInit(ctx, &pctx, md, NULL, key), 1);
	if (strcmp(alg, "PS256") == 0) {
		EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST);
	}
	assert_int_equal(EVP_DigestSign(ctx, sig, &sig_len, (const uint8_t *)data, len), 1);
	EVP_MD_CTX_free(ctx);
	if (strncmp(alg, "ES", 2) == 0)
		sig_len = raw_ecdsa(sig, sig_len, strcmp(alg, "ES256") == 0 ? 32 : 48);
	return sig_len;
}

static char *part(const char *text)
{
	char *out = malloc(ENCODE_BASE64URL_SIZE(strlen(text)));

	encode_base64url(out, text, strlen(text));
	return out;
}

/* header and claims as text; alg and key decide how it is signed (key NULL: sig as given). */
static char *token_text(const char *header, const char *claims, const char *alg, EVP_PKEY *key)
{
	char *h = part(header), *c = part(claims), *token = NULL;
	uint8_t sig[512];
	char sig_text[ENCODE_BASE64URL_SIZE(512)] = "";
	int len = asprintf(&token, "%s.%s", h, c);

	assert_true(len > 0);
	if (key)
		encode_base64url(sig_text, sig, sign_as(alg, key, token, (size_t)len, sig));
	free(token);
	assert_true(asprintf(&token, "%s.%s.%s", h, c, sig_text) > 0);
	free(h);
	free(c);
	return token;
}

/* Takes claims. */
static char *token_of(const char *header, json_t *claims, const char *alg, enum kind kind)
{
	char *text = json_dumps(claims, 0), *token = token_text(header, text, alg, keys[kind]);

	free(text);
	json_decref(claims);
	return token;
}

/* Takes token. word must be in the sentence; the token's end must not. */
static enum jwt_fault verify_take(char *token, const struct jwt_expect *x, const char *word)
{
	struct jwt_identity id = {0};
	struct error err = {0};
	enum jwt_fault fault = jwt_verify(token, strlen(token), set, x, &id, &err);

	if (fault == JWT_OK) {
		jwt_identity_done(&id);
	} else {
		assert_null(id.claims);
		assert_null(id.groups);
		assert_true(err.code < 0 && err.text[0] != '\0');
		if (strlen(token) > 20)
			assert_null(strstr(err.text, token + strlen(token) - 10));
	}
	if (word && !strstr(err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", err.text, word);
	free(token);
	return fault;
}

static enum jwt_fault verify_claims(json_t *claims, const struct jwt_expect *x, const char *word)
{
	return verify_take(token_of("{\"alg\":\"ES256\",\"kid\":\"es\"}", claims, "ES256", P256), x,
			   word);
}

/* good_claims with one member changed; takes value (NULL: removed). */
static enum jwt_fault verify_with(const char *name, json_t *value, const char *word)
{
	struct jwt_expect x = good_expect();
	json_t *claims = good_claims();

	if (value)
		json_object_set_new(claims, name, value);
	else
		json_object_del(claims, name);
	return verify_claims(claims, &x, word);
}

/* RFC 7515 appendices A.1, A.2, A.3; RFC 8037 appendix A. */
#define RFC7515_PAYLOAD                                                                            \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0" \
	"cn"                                                                                       \
	"VlfQ"
static const char rfc_keys[] =
	"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a2\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
	"wWJcyQoTbji9k0l8W26mPddxHmf"
	"HQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9"
	"wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY"
	"4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDT"
	"W9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"},"
	"{\"kty\":\"EC\",\"kid\":\"a3\",\"crv\":\"P-256\",\"x\":"
	"\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
	"{\"kty\":\"OKP\",\"kid\":\"8037\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
	"7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static void test_rfc_vectors(void **state)
{
	static const struct {
		const char *kid, *input, *sig;
		enum jws_alg alg;
	} vectors[] = {
		{"a2", "eyJhbGciOiJSUzI1NiJ9." RFC7515_PAYLOAD,
		 "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_"
		 "lF5YKt"
		 "_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
		 "nZLgrnbyTyWzO75vRK5h6xBArL"
		 "IARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
		 "eOkHWEsqtFZESc6BfI7no"
		 "OPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_"
		 "IoypGlUPQ"
		 "Ge77Rw",
		 JWS_RS256},
		{"a3", "eyJhbGciOiJFUzI1NiJ9." RFC7515_PAYLOAD,
		 "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
		 "Kg6NU"
		 "1Q",
		 JWS_ES256},
		{"8037", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
		 "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_"
		 "MuM0K"
		 "Ag",
		 JWS_EDDSA},
	};
	struct jwks *rfc;

	(void)state;
	assert_int_equal(jwks_parse(rfc_keys, sizeof(rfc_keys) - 1, &rfc, NULL), 0);
	assert_int_equal(jwks_count(rfc), 3);
	for (size_t i = 0; i < 3; i++) {
		uint8_t sig[512];
		size_t len = 0, input_len = strlen(vectors[i].input);

		assert_int_equal(encode_base64url_decode(sig, sizeof(sig), vectors[i].sig,
							 strlen(vectors[i].sig), &len),
				 0);
		assert_int_equal(jwks_verify(rfc, vectors[i].kid, vectors[i].alg, vectors[i].input,
					     input_len, sig, len),
				 JWT_OK);
		assert_int_equal(jwks_verify(rfc, NULL, vectors[i].alg, vectors[i].input, input_len,
					     sig, len),
				 JWT_OK);
		assert_int_equal(jwks_verify(rfc, vectors[i].kid, vectors[i].alg, vectors[i].input,
					     input_len - 1, sig, len),
				 JWT_SIGNATURE);
		assert_int_equal(jwks_verify(rfc, vectors[i].kid, vectors[i].alg, vectors[i].input,
					     input_len, sig, len - 1),
				 JWT_SIGNATURE);
		for (size_t j = 0; j < len; j++) {
			sig[j] ^= 1;
			assert_int_equal(jwks_verify(rfc, vectors[i].kid, vectors[i].alg,
						     vectors[i].input, input_len, sig, len),
					 JWT_SIGNATURE);
			sig[j] ^= 1;
		}
	}
	jwks_free(rfc);
}

/* RFC 7515 A.1 as it is printed: a good HS256 token is still none of ours. */
static void test_rfc_hs256(void **state)
{
	struct jwt_expect x = good_expect();

	(void)state;
	assert_int_equal(
		verify_take(strdup("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC7515_PAYLOAD
				   ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
			    &x, "HS256"),
		JWT_ALGORITHM);
}

static void test_every_algorithm(void **state)
{
	static const struct {
		const char *alg, *kid;
		enum kind kind;
	} cases[] = {{"RS256", "rs", RSA1},    {"PS256", "ps", RSA1}, {"ES256", "es", P256},
		     {"ES384", "es384", P384}, {"EdDSA", "ed", ED},   {"Ed25519", "ed", ED}};
	struct jwt_expect x = good_expect();
	char header[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
			 cases[i].alg, cases[i].kid);
		assert_int_equal(
			verify_take(token_of(header, good_claims(), cases[i].alg, cases[i].kind),
				    &x, NULL),
			JWT_OK);
		/* The same algorithm under the kid of each other key. */
		for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
			if (strcmp(cases[j].kid, cases[i].kid) == 0)
				continue;
			snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}",
				 cases[i].alg, cases[j].kid);
			assert_int_equal(verify_take(token_of(header, good_claims(), cases[i].alg,
							      cases[i].kind),
						     &x, NULL),
					 JWT_ALGORITHM);
		}
	}
	/* No kid: the key that fits is found. */
	assert_int_equal(verify_take(token_of("{\"alg\":\"ES384\"}", good_claims(), "ES384", P384),
				     &x, NULL),
			 JWT_OK);
	assert_int_equal(verify_take(token_of("{\"alg\":\"RS256\"}", good_claims(), "RS256", RSA2),
				     &x, "none of the issuer's keys"),
			 JWT_UNKNOWN_KEY);
}

static void test_identity(void **state)
{
	struct jwt_expect x = good_expect();
	json_t *claims = good_claims();
	struct jwt_identity id;
	char *token;

	(void)state;
	json_object_set_new(claims, "auth_time", json_integer(NOW - 100));
	token = token_of("{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", claims, "EdDSA", ED);
	assert_int_equal(jwt_verify(token, strlen(token), set, &x, &id, NULL), JWT_OK);
	assert_string_equal(id.user, "alice@example.com");
	assert_string_equal(id.subject, "user-1");
	assert_int_equal(id.issued_s, NOW - 10);
	assert_int_equal(id.expires_s, NOW + 300);
	assert_int_equal(id.auth_time_s, NOW - 100);
	assert_int_equal(id.group_count, 2);
	assert_string_equal(id.groups[1], "dev");
	assert_string_equal(json_string_value(json_object_get(id.claims, "aud")), "warren");
	jwt_identity_done(&id);
	free(token);
}

static void test_unsigned(void **state)
{
	static const char *const algs[] = {"none",  "None",  "NONE",  "HS256", "HS384", "HS512",
					   "ES512", "RS512", "RS384", "es256", "",	"A"};
	struct jwt_expect x = good_expect();
	json_t *json = good_claims();
	char *claims = json_dumps(json, 0), header[128];

	(void)state;
	json_decref(json);
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
		snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", algs[i]);
		assert_int_equal(verify_take(token_text(header, claims, NULL, NULL), &x, algs[i]),
				 JWT_ALGORITHM);
	}
	/* A good header without a signature. */
	assert_int_equal(
		verify_take(token_text("{\"alg\":\"ES256\",\"kid\":\"es\"}", claims, NULL, NULL),
			    &x, NULL),
		JWT_SIGNATURE);
	free(claims);
}

/* The public key, as PEM, as the secret of an HMAC. */
static void test_hs256_with_public_key(void **state)
{
	struct jwt_expect x = good_expect();
	json_t *json = good_claims();
	char *claims = json_dumps(json, 0), *token, *both, *pem = NULL;
	char sig_text[ENCODE_BASE64URL_SIZE(32)];
	BIO *bio = BIO_new(BIO_s_mem());
	uint8_t mac[32];
	unsigned mac_len = 32;
	long pem_len;

	(void)state;
	json_decref(json);
	assert_true(PEM_write_bio_PUBKEY(bio, keys[RSA1]));
	pem_len = BIO_get_mem_data(bio, &pem);
	token = token_text("{\"alg\":\"HS256\",\"kid\":\"rs\",\"typ\":\"JWT\"}", claims, NULL,
			   NULL);
	HMAC(EVP_sha256(), pem, (int)pem_len, (uint8_t *)token, strlen(token) - 1, mac, &mac_len);
	encode_base64url(sig_text, mac, 32);
	assert_true(asprintf(&both, "%s%s", token, sig_text) > 0);
	assert_int_equal(verify_take(both, &x, "HS256"), JWT_ALGORITHM);
	BIO_free(bio);
	free(token);
	free(claims);
}

static void test_wrong_keys(void **state)
{
	struct jwt_expect x = good_expect();

	(void)state;
	assert_int_equal(verify_take(token_of("{\"alg\":\"RS256\",\"kid\":\"rs\"}", good_claims(),
					      "RS256", RSA2),
				     &x, "signature is wrong"),
			 JWT_SIGNATURE);
	assert_int_equal(verify_take(token_of("{\"alg\":\"RS256\",\"kid\":\"other\"}",
					      good_claims(), "RS256", RSA2),
				     &x, "no key \"other\""),
			 JWT_UNKNOWN_KEY);
	assert_int_equal(verify_take(token_of("{\"alg\":\"PS256\",\"kid\":\"rs\"}", good_claims(),
					      "PS256", RSA1),
				     &x, "not the one of the key"),
			 JWT_ALGORITHM);
	/* A key inside the token is not a key. */
	assert_int_equal(verify_take(token_of("{\"alg\":\"ES256\",\"kid\":\"x\",\"jwk\":{\"kty\":"
					      "\"EC\"},\"jku\":\"https://x\"}",
					      good_claims(), "ES256", P256),
				     &x, "no key"),
			 JWT_UNKNOWN_KEY);
}

static void test_header(void **state)
{
	static const struct {
		const char *header;
		enum jwt_fault fault;
	} cases[] = {
		{"{\"alg\":\"ES256\",\"kid\":\"es\",\"crit\":[\"b64\"],\"b64\":false}",
		 JWT_CRITICAL},
		{"{\"alg\":\"ES256\",\"kid\":\"es\",\"crit\":[]}", JWT_CRITICAL},
		{"{\"alg\":\"ES256\",\"kid\":\"es\",\"crit\":null}", JWT_CRITICAL},
		{"{\"alg\":\"ES256\",\"kid\":\"es\",\"typ\":\"at+jwt\"}", JWT_TYPE},
		{"{\"alg\":\"ES256\",\"kid\":\"es\",\"typ\":\"logout+jwt\"}", JWT_TYPE},
		{"{\"alg\":\"ES256\",\"kid\":\"es\",\"typ\":7}", JWT_TYPE},
		{"{\"alg\":\"ES256\",\"kid\":\"es\",\"typ\":\"jwt\"}", JWT_OK},
		{"{\"alg\":\"ES256\",\"kid\":\"es\",\"typ\":\"application/JWT\"}", JWT_OK},
		{"{\"alg\":\"ES256\",\"kid\":7}", JWT_MALFORMED},
		{"{\"alg\":7,\"kid\":\"es\"}", JWT_MALFORMED},
		{"{\"kid\":\"es\"}", JWT_MALFORMED},
		{"{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"es\"}", JWT_MALFORMED},
		{"[]", JWT_MALFORMED},
		{"{", JWT_MALFORMED},
	};
	static const char *const access[] = {"at+jwt", NULL};
	struct jwt_expect x = good_expect();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (verify_take(token_of(cases[i].header, good_claims(), "ES256", P256), &x,
				NULL) != cases[i].fault)
			fail_msg("case %zu", i);
	x.types = access;
	assert_int_equal(
		verify_take(token_of("{\"alg\":\"ES256\",\"kid\":\"es\",\"typ\":\"at+jwt\"}",
				     good_claims(), "ES256", P256),
			    &x, NULL),
		JWT_OK);
	assert_int_equal(verify_claims(good_claims(), &x, "expected \"at+jwt\""), JWT_TYPE);
}

static void test_times(void **state)
{
	struct jwt_expect x = good_expect();
	json_t *claims;

	(void)state;
	assert_int_equal(verify_with("exp", json_integer(NOW - 60), "expired 60 s ago"),
			 JWT_EXPIRED);
	assert_int_equal(verify_with("exp", json_integer(NOW - 59), NULL), JWT_OK);
	assert_int_equal(verify_with("exp", json_real((double)NOW + 0.5), NULL), JWT_OK);
	assert_int_equal(verify_with("exp", NULL, "\"exp\""), JWT_CLAIM);
	assert_int_equal(verify_with("exp", json_string("1790000300"), "\"exp\""), JWT_CLAIM);
	assert_int_equal(verify_with("exp", json_real(1e300), "\"exp\""), JWT_CLAIM);
	assert_int_equal(verify_with("exp", json_integer(-1), "\"exp\""), JWT_CLAIM);
	assert_int_equal(verify_with("nbf", json_integer(NOW + 60), NULL), JWT_OK);
	assert_int_equal(verify_with("nbf", json_integer(NOW + 61), "nbf"), JWT_NOT_YET);
	assert_int_equal(verify_with("nbf", json_true(), "nbf"), JWT_CLAIM);
	assert_int_equal(verify_with("iat", json_integer(NOW + 61), "clock"), JWT_NOT_YET);
	assert_int_equal(verify_with("iat", NULL, NULL), JWT_OK);
	assert_int_equal(verify_with("auth_time", json_integer(NOW + 61), "auth_time"), JWT_CLAIM);
	assert_int_equal(verify_with("auth_time", json_integer(0), NULL), JWT_OK);

	x.max_age_s = 600;
	assert_int_equal(verify_claims(good_claims(), &x, NULL), JWT_OK);
	claims = good_claims();
	json_object_set_new(claims, "auth_time", json_integer(0));
	assert_int_equal(verify_claims(claims, &x, "\"auth_time\" is 0"), JWT_CLAIM);
	x.now_s = NOW + 290; /* iat is 300 s old */
	x.max_age_s = 239;
	assert_int_equal(verify_claims(good_claims(), &x, "log in again"), JWT_TOO_OLD);
	x.max_age_s = 240;
	assert_int_equal(verify_claims(good_claims(), &x, NULL), JWT_OK);
}

static void test_issuer(void **state)
{
	(void)state;
	/* The trailing slash: both values are shown. */
	assert_int_equal(verify_with("iss", json_string(ISSUER "/"), "\"" ISSUER "/\""),
			 JWT_ISSUER);
	assert_int_equal(verify_with("iss", json_string(ISSUER "/"), "\"" ISSUER "\""), JWT_ISSUER);
	assert_int_equal(verify_with("iss", json_string("https://evil.example.com"), "evil"),
			 JWT_ISSUER);
	assert_int_equal(verify_with("iss", json_string("https://ID.example.com"), NULL),
			 JWT_ISSUER);
	assert_int_equal(verify_with("iss", NULL, "iss"), JWT_ISSUER);
	assert_int_equal(verify_with("iss", json_pack("[s]", ISSUER), "iss"), JWT_ISSUER);
}

static void test_audience(void **state)
{
	(void)state;
	assert_int_equal(verify_with("aud", json_string("other"), "\"other\""), JWT_AUDIENCE);
	assert_int_equal(verify_with("aud", json_string("warren-cli"), NULL), JWT_OK);
	assert_int_equal(verify_with("aud", json_pack("[s]", "warren"), NULL), JWT_OK);
	assert_int_equal(verify_with("aud", json_pack("[s,s]", "x", "y"), "\"x\""), JWT_AUDIENCE);
	assert_int_equal(verify_with("aud", json_pack("[s,i]", "warren", 1), NULL), JWT_AUDIENCE);
	assert_int_equal(verify_with("aud", json_array(), NULL), JWT_AUDIENCE);
	assert_int_equal(verify_with("aud", NULL, NULL), JWT_AUDIENCE);
	/* Several audiences need an authorized party that is us. */
	assert_int_equal(verify_with("aud", json_pack("[s,s]", "warren", "y"), "azp"), JWT_CLAIM);
	assert_int_equal(verify_with("azp", json_string("warren"), NULL), JWT_OK);
	assert_int_equal(verify_with("azp", json_string("evil-app"), "evil-app"), JWT_CLAIM);
	assert_int_equal(verify_with("azp", json_integer(1), "azp"), JWT_CLAIM);
}

static void test_no_audience_expected(void **state)
{
	static const char *const none[] = {NULL};
	struct jwt_expect x = good_expect();

	(void)state;
	x.audiences = none;
	assert_int_equal(verify_claims(good_claims(), &x, NULL), JWT_AUDIENCE);
	x.audiences = NULL;
	assert_int_equal(verify_claims(good_claims(), &x, NULL), JWT_AUDIENCE);
}

static void test_user(void **state)
{
	struct jwt_expect x = good_expect();

	(void)state;
	assert_int_equal(verify_with("email", NULL, "\"email\""), JWT_CLAIM);
	assert_int_equal(verify_with("email", json_string(""), "\"email\""), JWT_CLAIM);
	assert_int_equal(verify_with("email", json_string("a\nb"), "\"email\""), JWT_CLAIM);
	assert_int_equal(verify_with("email", json_string("setup-key:ci"), "\"email\""), JWT_CLAIM);
	assert_int_equal(verify_with("email", json_string("Workload:ci"), "\"email\""), JWT_CLAIM);
	assert_int_equal(verify_with("email", json_string("BREAK-glass:x"), "\"email\""), JWT_CLAIM);
	assert_int_equal(verify_with("email", json_string("group:ops"), "\"email\""), JWT_CLAIM);
	assert_int_equal(verify_with("email", json_integer(1), "\"email\""), JWT_CLAIM);
	assert_int_equal(verify_with("sub", NULL, "\"sub\""), JWT_CLAIM);
	assert_int_equal(verify_with("email_verified", json_true(), NULL), JWT_OK);
	assert_int_equal(verify_with("email_verified", json_string("true"), NULL), JWT_OK);
	assert_int_equal(verify_with("email_verified", json_false(), "not verified"), JWT_CLAIM);
	assert_int_equal(verify_with("email_verified", json_string("false"), "not verified"),
			 JWT_CLAIM);
	x.require_email_verified = true;
	assert_int_equal(verify_claims(good_claims(), &x, "email_verified"), JWT_CLAIM);
	x = good_expect();
	x.user_claim = "preferred_username";
	assert_int_equal(verify_claims(good_claims(), &x, "preferred_username"), JWT_CLAIM);
	x.user_claim = "sub";
	assert_int_equal(verify_claims(good_claims(), &x, NULL), JWT_OK);
}

static void test_groups(void **state)
{
	json_t *many = json_array();
	char long_name[200];

	(void)state;
	assert_int_equal(verify_with("groups", NULL, NULL), JWT_OK);
	assert_int_equal(verify_with("groups", json_null(), NULL), JWT_OK);
	assert_int_equal(verify_with("groups", json_array(), NULL), JWT_OK);
	assert_int_equal(verify_with("groups", json_string("ops"), NULL), JWT_OK);
	assert_int_equal(verify_with("groups", json_integer(1), "groups"), JWT_CLAIM);
	assert_int_equal(verify_with("groups", json_pack("[s,i]", "a", 1), "groups"), JWT_CLAIM);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(verify_with("groups", json_pack("[s]", long_name), "groups"), JWT_CLAIM);
	for (int i = 0; i <= JWT_MAX_GROUPS; i++)
		json_array_append_new(many, json_string("g"));
	assert_int_equal(verify_with("groups", many, "256"), JWT_CLAIM);
}

static void test_nonce(void **state)
{
	struct jwt_expect x = good_expect();
	json_t *claims = good_claims();

	(void)state;
	x.nonce = "n-1";
	assert_int_equal(verify_claims(good_claims(), &x, "nonce"), JWT_CLAIM);
	json_object_set_new(claims, "nonce", json_string("n-2"));
	assert_int_equal(verify_claims(json_deep_copy(claims), &x, "nonce"), JWT_CLAIM);
	x.nonce = "n-2";
	assert_int_equal(verify_claims(claims, &x, NULL), JWT_OK);
}

static void test_form(void **state)
{
	static const char *const texts[] = {
		"",	    ".",	"..",		"...",
		"a.b",	    "a.b.c",	"e30.e30",	"e30.e30.e30.e30",
		"e30..e30", ".e30.e30", "e30=.e30.e30", " e30.e30.e30"};
	struct jwt_expect x = good_expect();
	char *huge, *token, *claims;
	json_t *json;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(verify_take(strdup(texts[i]), &x, NULL), JWT_MALFORMED);
	huge = malloc(JWT_MAX_BYTES + 2);
	memset(huge, 'a', JWT_MAX_BYTES + 1);
	huge[JWT_MAX_BYTES + 1] = '\0';
	huge[10] = huge[20] = '.';
	assert_int_equal(verify_take(huge, &x, NULL), JWT_MALFORMED);
	/* Good signatures over claims that are no object, or have a member twice. */
	assert_int_equal(verify_take(token_text("{\"alg\":\"ES256\",\"kid\":\"es\"}", "[1]",
						"ES256", keys[P256]),
				     &x, NULL),
			 JWT_MALFORMED);
	json = good_claims();
	claims = json_dumps(json, 0);
	json_decref(json);
	assert_true(asprintf(&huge, "{\"sub\":\"root\",%s", claims + 1) > 0);
	assert_int_equal(verify_take(token_text("{\"alg\":\"ES256\",\"kid\":\"es\"}", huge, "ES256",
						keys[P256]),
				     &x, NULL),
			 JWT_MALFORMED);
	free(huge);
	free(claims);
	/* One more character behind a good one. */
	token = token_of("{\"alg\":\"ES256\",\"kid\":\"es\"}", good_claims(), "ES256", P256);
	assert_true(asprintf(&huge, "%s=", token) > 0);
	assert_int_equal(verify_take(huge, &x, NULL), JWT_MALFORMED);
	assert_true(asprintf(&huge, "%s\n", token) > 0);
	assert_int_equal(verify_take(huge, &x, NULL), JWT_MALFORMED);
	free(token);
}

static void test_ecdsa_form(void **state)
{
	const char data[] = "data";
	uint8_t sig[512] = {0}, longer[512];
	size_t len;

	(void)state;
	/* All zero, and DER instead of raw. */
	assert_int_equal(jwks_verify(set, "es", JWS_ES256, data, 4, sig, 64), JWT_SIGNATURE);
	len = sign_as("ES256", keys[P256], data, 4, sig);
	assert_int_equal(len, 64);
	assert_int_equal(jwks_verify(set, "es", JWS_ES256, data, 4, sig, 64), JWT_OK);
	memset(longer, 0, sizeof(longer));
	memcpy(longer + 1, sig, 32);
	memcpy(longer + 34, sig + 32, 32);
	assert_int_equal(jwks_verify(set, "es", JWS_ES256, data, 4, longer, 66), JWT_SIGNATURE);
}

static json_t *changed(json_t *jwk, const char *name, json_t *value)
{
	if (value)
		json_object_set_new(jwk, name, value);
	else
		json_object_del(jwk, name);
	return jwk;
}

static void test_keys_not_taken(void **state)
{
	struct jwks *jwks;
	json_t *jwk;
	char *x;

	(void)state;
	assert_int_equal(loaded(jwk_of(RSA1, "k", NULL)), 1);
	assert_int_equal(loaded(jwk_of(RSA_SMALL, "k", NULL)), 0);
	assert_int_equal(loaded(jwk_of(RSA1, "k", "RS512")), 0);
	assert_int_equal(loaded(jwk_of(RSA1, "k", "ES256")), 0);
	assert_int_equal(loaded(jwk_of(P256, "k", "ES384")), 0);
	assert_int_equal(loaded(jwk_of(ED, "k", "Ed25519")), 1);
	assert_int_equal(loaded(changed(jwk_of(RSA1, "k", NULL), "use", json_string("enc"))), 0);
	assert_int_equal(loaded(changed(jwk_of(RSA1, "k", NULL), "use", json_string("sig"))), 1);
	assert_int_equal(
		loaded(changed(jwk_of(RSA1, "k", NULL), "key_ops", json_pack("[s]", "verify"))), 1);
	assert_int_equal(
		loaded(changed(jwk_of(RSA1, "k", NULL), "key_ops", json_pack("[s]", "sign"))), 0);
	assert_int_equal(loaded(changed(jwk_of(RSA1, "k", NULL), "e", json_string("AQ"))),
			 0); /* 1 */
	assert_int_equal(loaded(changed(jwk_of(RSA1, "k", NULL), "e", json_string("Ag"))),
			 0); /* 2 */
	assert_int_equal(loaded(changed(jwk_of(RSA1, "k", NULL), "n", NULL)), 0);
	assert_int_equal(loaded(changed(jwk_of(RSA1, "k", NULL), "kid", json_integer(1))), 0);
	assert_int_equal(loaded(changed(jwk_of(P256, "k", NULL), "crv", json_string("P-521"))), 0);
	assert_int_equal(loaded(changed(jwk_of(P256, "k", NULL), "crv", json_string("P-384"))), 0);
	assert_int_equal(loaded(changed(jwk_of(ED, "k", NULL), "crv", json_string("X25519"))), 0);
	assert_int_equal(loaded(changed(jwk_of(ED, "k", NULL), "x", json_string("AAAA"))), 0);
	assert_int_equal(loaded(json_pack("{s:s, s:s}", "kty", "oct", "k", "c2VjcmV0")), 0);
	assert_int_equal(loaded(json_string("x")), 0);
	/* A point beside the curve: y of another key. */
	jwk = jwk_of(P256, "k", NULL);
	x = strdup(json_string_value(json_object_get(jwk, "x")));
	assert_int_equal(loaded(changed(jwk, "y", json_string(x))), 0);
	free(x);
	/* The bad ones do not take the good ones with them. */
	jwks = load_set(
		json_pack("[o,o]", jwk_of(RSA_SMALL, "small", NULL), jwk_of(ED, "good", NULL)));
	assert_int_equal(jwks_count(jwks), 1);
	assert_true(jwks_has_kid(jwks, "good"));
	assert_false(jwks_has_kid(jwks, "small"));
	jwks_free(jwks);
}

static void test_sets_refused(void **state)
{
	static const char *const texts[] = {
		"", "{}", "[]", "{\"keys\":1}", "{\"keys\":[]} x", "{\"keys\":[],\"keys\":[]}"};
	struct jwks *jwks = NULL;
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(jwks_parse(texts[i], strlen(texts[i]), &jwks, &err), -EINVAL);
	assert_null(jwks);
}

static int make_sign(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	uint8_t sig[512];

	assert_int_equal(sign_as("EdDSA", ctx, data, len, sig), 64);
	memcpy(ret_sig, sig, 64);
	return 0;
}

static void test_make_and_peek(void **state)
{
	struct jwt_expect x = good_expect();
	json_t *claims = good_claims();
	char *token = NULL, issuer[128], kid[16], small[8];

	(void)state;
	assert_int_equal(jwt_make(claims, "JWT", "ed", make_sign, keys[ED], &token), 0);
	json_decref(claims);
	assert_int_equal(jwt_peek(token, strlen(token), issuer, sizeof(issuer), kid, sizeof(kid)),
			 0);
	assert_string_equal(issuer, ISSUER);
	assert_string_equal(kid, "ed");
	assert_true(jwt_peek(token, strlen(token), small, sizeof(small), kid, sizeof(kid)) < 0);
	assert_int_equal(jwt_peek("x.y.z", 5, issuer, sizeof(issuer), kid, sizeof(kid)), -EINVAL);
	assert_int_equal(verify_take(token, &x, NULL), JWT_OK);
}

static int set_up(void **state)
{
	(void)state;
	keys[RSA1] = EVP_RSA_gen(2048);
	keys[RSA2] = EVP_RSA_gen(2048);
	keys[RSA_SMALL] = EVP_RSA_gen(1024);
	keys[P256] = EVP_EC_gen("P-256");
	keys[P384] = EVP_EC_gen("P-384");
	keys[ED] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	set = load_set(json_pack("[o,o,o,o,o]", jwk_of(RSA1, "rs", "RS256"),
				 jwk_of(RSA1, "ps", "PS256"), jwk_of(P256, "es", NULL),
				 jwk_of(P384, "es384", "ES384"), jwk_of(ED, "ed", "EdDSA")));
	return jwks_count(set) == 5 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	jwks_free(set);
	for (int i = 0; i < KINDS; i++)
		EVP_PKEY_free(keys[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_vectors),
		cmocka_unit_test(test_rfc_hs256),
		cmocka_unit_test(test_every_algorithm),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_hs256_with_public_key),
		cmocka_unit_test(test_wrong_keys),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_issuer),
		cmocka_unit_test(test_audience),
		cmocka_unit_test(test_no_audience_expected),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_nonce),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_ecdsa_form),
		cmocka_unit_test(test_keys_not_taken),
		cmocka_unit_test(test_sets_refused),
		cmocka_unit_test(test_make_and_peek),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
