/* SPDX-License-Identifier: Apache-2.0
 *
 * JWK sets (RFC 7517, 7518 section 6, 8037) as OpenSSL keys, and signatures checked with them
 * (RFC 7518 section 3). What a key may verify is fixed when it is read: its curve or its "alg"
 * decide, a token's header only picks among that. Refuses RSA below 2048 bits, points that are not
 * on their curve and exponents that sign nothing; symmetric keys are never keys here.
 */
#include "identity/jwks.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "platform/encode.h"
#include "platform/json.h"

enum {
	KEYS_MAX = 64,
	RSA_BITS_MIN = 2048,
	RSA_BYTES_MAX = 1024,
	RSA_E_BYTES_MAX = 8,
	KID_BYTES = 256,
};

struct key {
	char kid[KID_BYTES];
	bool has_kid;
	unsigned algs; /* bit mask of 1 << enum jws_alg */
	EVP_PKEY *pkey;
};

struct jwks {
	size_t count;
	struct key keys[KEYS_MAX];
};

static const struct {
	const char *name;
	enum jws_alg alg;
} alg_names[] = {
	{"RS256", JWS_RS256}, {"PS256", JWS_PS256}, {"ES256", JWS_ES256},
	{"ES384", JWS_ES384}, {"EdDSA", JWS_EDDSA}, {"Ed25519", JWS_EDDSA},
};

int jwks_alg(const char *name)
{
	for (size_t i = 0; i < sizeof(alg_names) / sizeof(alg_names[0]); i++)
		if (strcmp(name, alg_names[i].name) == 0)
			return (int)alg_names[i].alg;
	return -1;
}

/* A base64url member of at most cap bytes; 0 when it is missing or not that. */
static size_t member_bytes(const json_t *jwk, const char *name, uint8_t *out, size_t cap)
{
	const char *text;
	size_t len = 0;

	if (json_get_text(jwk, name, ENCODE_BASE64URL_SIZE(cap), &text, NULL) < 0 ||
	    encode_base64url_decode(out, cap, text, strlen(text), &len) < 0)
		return 0;
	return len;
}

static EVP_PKEY *key_from_params(const char *kind, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
	EVP_PKEY *pkey = NULL;

	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return pkey;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
	uint8_t n_bytes[RSA_BYTES_MAX], e_bytes[RSA_E_BYTES_MAX];
	size_t n_len = member_bytes(jwk, "n", n_bytes, sizeof(n_bytes));
	size_t e_len = member_bytes(jwk, "e", e_bytes, sizeof(e_bytes));
	OSSL_PARAM_BLD *bld;
	EVP_PKEY *pkey = NULL;
	BIGNUM *n, *e;

	if (n_len == 0 || e_len == 0)
		return NULL;
	bld = OSSL_PARAM_BLD_new();
	n = BN_bin2bn(n_bytes, (int)n_len, NULL);
	e = BN_bin2bn(e_bytes, (int)e_len, NULL);
	/* e = 1 would make every signature its own message. */
	if (bld && n && e && BN_num_bits(n) >= RSA_BITS_MIN && BN_is_odd(n) && BN_is_odd(e) &&
	    !BN_is_one(e) && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
		pkey = key_from_params("RSA", bld);
	BN_free(n);
	BN_free(e);
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

/* size: bytes of a coordinate; RFC 7518 section 6.2.1.2 wants them in full length. */
static EVP_PKEY *read_ec(const json_t *jwk, const char *group, size_t size)
{
	uint8_t point[1 + 2 * 48];
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM_BLD *bld;

	point[0] = 4; /* uncompressed */
	if (member_bytes(jwk, "x", point + 1, size) != size ||
	    member_bytes(jwk, "y", point + 1 + size, size) != size)
		return NULL;
	bld = OSSL_PARAM_BLD_new();
	if (bld && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
	    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * size))
		pkey = key_from_params("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	if (pkey)
		ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (pkey && (!ctx || EVP_PKEY_public_check(ctx) <= 0)) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *read_ed25519(const json_t *jwk)
{
	uint8_t x[32];

	if (member_bytes(jwk, "x", x, sizeof(x)) != sizeof(x))
		return NULL;
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof(x));
}

static bool for_signatures(const json_t *jwk)
{
	const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");
	const json_t *op;
	size_t i;

	if (use && (!json_is_string(use) || strcmp(json_string_value(use), "sig") != 0))
		return false;
	if (!ops)
		return true;
	json_array_foreach(ops, i, op) if (json_is_string(op) && strcmp(json_string_value(op),
									"verify") == 0) return true;
	return false;
}

/* Fills key; false for a key that is not taken. */
static bool read_key(const json_t *jwk, struct key *key)
{
	char kty[16], crv[16], alg[32];
	int named;

	if (!json_is_object(jwk) || !for_signatures(jwk) ||
	    json_get_string(jwk, "kty", kty, sizeof(kty), NULL) < 0)
		return false;
	if (json_object_get(jwk, "kid")) {
		if (json_get_string(jwk, "kid", key->kid, sizeof(key->kid), NULL) < 0)
			return false;
		key->has_kid = true;
	}
	if (strcmp(kty, "RSA") == 0) {
		key->algs = 1u << JWS_RS256 | 1u << JWS_PS256;
		key->pkey = read_rsa(jwk);
	} else if (json_get_string(jwk, "crv", crv, sizeof(crv), NULL) < 0) {
		return false;
	} else if (strcmp(kty, "EC") == 0 && strcmp(crv, "P-256") == 0) {
		key->algs = 1u << JWS_ES256;
		key->pkey = read_ec(jwk, "P-256", 32);
	} else if (strcmp(kty, "EC") == 0 && strcmp(crv, "P-384") == 0) {
		key->algs = 1u << JWS_ES384;
		key->pkey = read_ec(jwk, "P-384", 48);
	} else if (strcmp(kty, "OKP") == 0 && strcmp(crv, "Ed25519") == 0) {
		key->algs = 1u << JWS_EDDSA;
		key->pkey = read_ed25519(jwk);
	}
	if (json_object_get(jwk, "alg")) {
		if (json_get_string(jwk, "alg", alg, sizeof(alg), NULL) < 0)
			return false;
		named = jwks_alg(alg);
		key->algs &= named < 0 ? 0 : 1u << named;
	}
	return key->pkey && key->algs != 0;
}

int jwks_parse(const char *text, size_t len, struct jwks **ret_jwks, struct error *err)
{
	json_t *set = json_load_strict(text, len, JWKS_MAX_BYTES, err), *list = NULL;
	const json_t *jwk;
	struct jwks *jwks;
	size_t i;

	if (!set) {
		error_prefix(err, "the key set");
		return -EINVAL;
	}
	list = json_object_get(set, "keys");
	if (!json_is_array(list) || json_array_size(list) > KEYS_MAX) {
		json_decref(set);
		return error_set(err, -EINVAL,
				 "the key set has no list \"keys\" of at most %d keys", KEYS_MAX);
	}
	jwks = calloc(1, sizeof(*jwks));
	if (!jwks) {
		json_decref(set);
		return error_set(err, -ENOMEM, "out of memory");
	}
	json_array_foreach(list, i, jwk)
	{
		struct key key = {0};

		if (read_key(jwk, &key))
			jwks->keys[jwks->count++] = key;
		else
			EVP_PKEY_free(key.pkey);
	}
	ERR_clear_error();
	json_decref(set);
	*ret_jwks = jwks;
	return 0;
}

void jwks_free(struct jwks *jwks)
{
	if (!jwks)
		return;
	for (size_t i = 0; i < jwks->count; i++)
		EVP_PKEY_free(jwks->keys[i].pkey);
	free(jwks);
}

size_t jwks_count(const struct jwks *jwks)
{
	return jwks->count;
}

bool jwks_has_kid(const struct jwks *jwks, const char *kid)
{
	for (size_t i = 0; i < jwks->count; i++)
		if (jwks->keys[i].has_kid && strcmp(jwks->keys[i].kid, kid) == 0)
			return true;
	return false;
}

/* r || s of fixed size (RFC 7518 section 3.4) as DER, which OpenSSL wants. The caller frees. */
static int ecdsa_to_der(const uint8_t *sig, size_t sig_len, size_t size, unsigned char **ret_der)
{
	ECDSA_SIG *pair;
	BIGNUM *r, *s;
	int len = -1;

	if (sig_len != 2 * size)
		return -1;
	pair = ECDSA_SIG_new();
	r = BN_bin2bn(sig, (int)size, NULL);
	s = BN_bin2bn(sig + size, (int)size, NULL);
	if (pair && r && s && ECDSA_SIG_set0(pair, r, s)) {
		r = s = NULL; /* owned by pair */
		len = i2d_ECDSA_SIG(pair, ret_der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(pair);
	return len;
}

static bool set_up(EVP_MD_CTX *ctx, EVP_PKEY *pkey, enum jws_alg alg)
{
	const EVP_MD *md = alg == JWS_EDDSA ? NULL : alg == JWS_ES384 ? EVP_sha384() : EVP_sha256();
	EVP_PKEY_CTX *pctx = NULL;

	if (EVP_DigestVerifyInit(ctx, &pctx, md, NULL, pkey) <= 0)
		return false;
	if (alg == JWS_RS256)
		return EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PADDING) > 0;
	if (alg == JWS_PS256)
		return EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
		       EVP_PKEY_CTX_set_rsa_mgf1_md(pctx, md) > 0 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0;
	return true;
}

static bool verify_one(EVP_PKEY *pkey, enum jws_alg alg, const void *data, size_t len,
		       const uint8_t *sig, size_t sig_len)
{
	unsigned char *der = NULL;
	EVP_MD_CTX *ctx;
	bool good = false;

	if (alg == JWS_ES256 || alg == JWS_ES384) {
		int der_len = ecdsa_to_der(sig, sig_len, alg == JWS_ES256 ? 32 : 48, &der);

		if (der_len <= 0)
			return false;
		sig = der;
		sig_len = (size_t)der_len;
	}
	ctx = EVP_MD_CTX_new();
	if (ctx && set_up(ctx, pkey, alg))
		good = EVP_DigestVerify(ctx, sig, sig_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	ERR_clear_error();
	return good;
}

enum jwt_fault jwks_verify(const struct jwks *jwks, const char *kid, enum jws_alg alg,
			   const void *data, size_t len, const uint8_t *sig, size_t sig_len)
{
	bool named = false, fits = false;

	for (size_t i = 0; i < jwks->count; i++) {
		const struct key *key = &jwks->keys[i];

		if (kid && (!key->has_kid || strcmp(key->kid, kid) != 0))
			continue;
		named = true;
		if (!(key->algs & 1u << alg))
			continue;
		fits = true;
		if (verify_one(key->pkey, alg, data, len, sig, sig_len))
			return JWT_OK;
	}
	if (!kid)
		return JWT_UNKNOWN_KEY;
	return fits ? JWT_SIGNATURE : named ? JWT_ALGORITHM : JWT_UNKNOWN_KEY;
}
