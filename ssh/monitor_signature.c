/* SPDX-License-Identifier: Apache-2.0
 *
 * Does the client hold its key, or its certificate's (RFC 4252 section 7)? Ed25519 by libsodium; ECDSA
 * (the three NIST curves) and RSA with SHA-2 by OpenSSL. Every other algorithm is refused. Keys are read strictly
 * (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4). The monitor's program is linked
 * without OpenSSL: this runs in the process of worker_verify.c, for Ed25519 see monitor_proof.c.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/monitor.h"

#define UNCOMPRESSED	 4
#define ECDSA_DER_MAX	 160
#define RSA_MIN_BITS	 2048
#define RSA_MAX_BYTES	 1025

static const struct algorithm {
	const char *name, *key_type, *digest;
} algorithms[] = {
	{"ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", NULL},
	{"ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256", "SHA256"},
	{"ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp384", "SHA384"},
	{"ecdsa-sha2-nistp521-cert-v01@openssh.com", "ecdsa-sha2-nistp521", "SHA512"},
	{"rsa-sha2-256-cert-v01@openssh.com", "ssh-rsa", "SHA256"},
	{"rsa-sha2-512-cert-v01@openssh.com", "ssh-rsa", "SHA512"},
	{"ssh-ed25519", "ssh-ed25519", NULL},
	{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "SHA256"},
	{"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", "SHA384"},
	{"ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", "SHA512"},
	{"rsa-sha2-256", "ssh-rsa", "SHA256"},
	{"rsa-sha2-512", "ssh-rsa", "SHA512"},
};

/* RFC 5656 section 10.1 */
static const struct curve {
	const char *key_type, *name, *group;
	size_t point_bytes; /* uncompressed: 4, x, y */
	int bits;
} curves[] = {
	{"ecdsa-sha2-nistp256", "nistp256", "prime256v1", 65, 256},
	{"ecdsa-sha2-nistp384", "nistp384", "secp384r1", 97, 384},
	{"ecdsa-sha2-nistp521", "nistp521", "secp521r1", 133, 521},
};

static const struct curve *find_curve(const char *key_type)
{
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		if (strcmp(curves[i].key_type, key_type) == 0)
			return &curves[i];
	return NULL;
}

static const struct algorithm *find(const char *name)
{
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
		if (strcmp(algorithms[i].name, name) == 0)
			return &algorithms[i];
	return NULL;
}

static EVP_PKEY *key_from_params(const char *type, OSSL_PARAM_BLD *build)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *read_ecdsa(struct reader *r, const struct curve *c)
{
	OSSL_PARAM_BLD *build;
	EVP_PKEY *key = NULL;
	char curve[16];
	const uint8_t *point;
	size_t len;

	reader_cstring(r, curve, sizeof(curve));
	point = reader_string(r, c->point_bytes, &len);
	if (!reader_done(r) || point == NULL || strcmp(curve, c->name) != 0 ||
	    len != c->point_bytes || point[0] != UNCOMPRESSED)
		return NULL;
	build = OSSL_PARAM_BLD_new();
	if (build != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, c->group, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, len) == 1)
		key = key_from_params("EC", build);
	OSSL_PARAM_BLD_free(build);
	return key;
}

/* mpint (RFC 4251 section 5), positive. */
static BIGNUM *read_number(struct reader *r)
{
	size_t len;
	const uint8_t *bytes = reader_string(r, RSA_MAX_BYTES, &len);

	if (bytes == NULL || len == 0 || (bytes[0] & 0x80) != 0)
		return NULL;
	return BN_bin2bn(bytes, (int)len, NULL);
}

static EVP_PKEY *read_rsa(struct reader *r)
{
	BIGNUM *e = read_number(r), *n = read_number(r);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;

	if (reader_done(r) && e != NULL && n != NULL && build != NULL &&
	    BN_num_bits(n) >= RSA_MIN_BITS &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		key = key_from_params("RSA", build);
	OSSL_PARAM_BLD_free(build);
	BN_free(e);
	BN_free(n);
	return key;
}

/* mpint r, mpint s (RFC 5656 section 3.1.2) as the DER that OpenSSL takes; 0: no signature. */
static size_t ecdsa_der(const uint8_t *signature, size_t len, int bits,
			uint8_t out[static ECDSA_DER_MAX])
{
	struct reader reader = reader_init(signature, len);
	BIGNUM *r = read_number(&reader), *s = read_number(&reader);
	ECDSA_SIG *sig = ECDSA_SIG_new();
	unsigned char *at = out;
	int n = 0;

	if (!reader_done(&reader) || sig == NULL || r == NULL || s == NULL ||
	    BN_num_bits(r) > bits || BN_num_bits(s) > bits || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
	} else {
		n = i2d_ECDSA_SIG(sig, &at);
	}
	ECDSA_SIG_free(sig);
	return n > 0 ? (size_t)n : 0;
}

static bool verify_openssl(const struct algorithm *a, EVP_PKEY *key, const uint8_t *signature,
			   size_t signature_len, const uint8_t *data, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good;

	good = ctx != NULL && key != NULL &&
	       EVP_DigestVerifyInit_ex(ctx, NULL, a->digest, NULL, NULL, key, NULL) == 1 &&
	       EVP_DigestVerify(ctx, signature, signature_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return good;
}

static bool verify_ed25519(struct reader *r, const uint8_t *signature, size_t signature_len,
			   const uint8_t *data, size_t len)
{
	size_t key_len;
	const uint8_t *key = reader_string(r, crypto_sign_PUBLICKEYBYTES, &key_len);

	return reader_done(r) && key != NULL && key_len == crypto_sign_PUBLICKEYBYTES &&
	       signature_len == crypto_sign_BYTES &&
	       crypto_sign_verify_detached(signature, data, len, key) == 0;
}

bool monitor_signature_verify(const char *algorithm, const uint8_t *subject, size_t subject_len,
			      const uint8_t *signature, size_t signature_len, const uint8_t *data,
			      size_t len)
{
	const struct algorithm *a = find(algorithm);
	struct reader r = reader_init(subject, subject_len);
	uint8_t der[ECDSA_DER_MAX];
	const struct curve *curve;
	char type[32];

	reader_cstring(&r, type, sizeof(type));
	if (a == NULL || r.failed || strcmp(type, a->key_type) != 0)
		return false;
	if (a->digest == NULL)
		return verify_ed25519(&r, signature, signature_len, data, len);
	if (strcmp(type, "ssh-rsa") == 0)
		return verify_openssl(a, read_rsa(&r), signature, signature_len, data, len);
	curve = find_curve(type);
	signature_len = curve != NULL ? ecdsa_der(signature, signature_len, curve->bits, der) : 0;
	return signature_len > 0 &&
	       verify_openssl(a, read_ecdsa(&r, curve), der, signature_len, data, len);
}
