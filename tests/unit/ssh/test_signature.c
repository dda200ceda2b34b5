/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor_signature.c: published vectors (RFC 8032 section 7.1, RFC 6979 appendix A.2.5), OpenSSL
 * as the other side for RSA, and each field of the signed data changed in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "platform/encode.h"
#include "ssh/monitor.h"

#define ED25519 "ssh-ed25519-cert-v01@openssh.com"
#define P256	"ecdsa-sha2-nistp256-cert-v01@openssh.com"
#define RSA256	"rsa-sha2-256-cert-v01@openssh.com"
#define RSA512	"rsa-sha2-512-cert-v01@openssh.com"

static size_t hex(uint8_t *out, size_t cap, const char *text)
{
	size_t len;

	assert_int_equal(encode_hex_decode(out, cap, text, strlen(text), &len), 0);
	return len;
}

static void ed25519(void **state)
{
	static const struct {
		const char *key, *message, *signature;
	} vectors[] = {
		{"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
		 "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc"
		 "61e3970"
		 "1cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
		 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e4"
		 "58f3613"
		 "d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint8_t key[32], message[8], signature[64], blob[64];
		struct writer w = writer_init(blob, sizeof(blob));
		size_t len = 0;

		hex(key, sizeof(key), vectors[i].key);
		if (vectors[i].message[0] != '\0')
			len = hex(message, sizeof(message), vectors[i].message);
		hex(signature, sizeof(signature), vectors[i].signature);
		writer_cstring(&w, "ssh-ed25519");
		writer_string(&w, key, 32);
		assert_true(monitor_signature_verify(ED25519, blob, w.len, signature, 64, message,
						     len));
		/* a wrong message, signature, length, type, key, trailing byte */
		assert_false(
			monitor_signature_verify(ED25519, blob, w.len, signature, 64, blob, 3));
		assert_false(monitor_signature_verify(ED25519, blob, w.len, signature, 63, message,
						      len));
		assert_false(
			monitor_signature_verify(P256, blob, w.len, signature, 64, message, len));
		assert_true(monitor_signature_verify("ssh-ed25519", blob, w.len, signature, 64,
						     message, len));
		assert_false(monitor_signature_verify("ssh-rsa", blob, w.len, signature, 64,
						      message, len));
		assert_false(monitor_signature_verify(ED25519, blob, w.len - 1, signature, 64,
						      message, len));
		assert_false(monitor_signature_verify(ED25519, blob, w.len + 1, signature, 64,
						      message, len));
		signature[40] ^= 1;
		assert_false(monitor_signature_verify(ED25519, blob, w.len, signature, 64, message,
						      len));
	}
}

/* mpint r, mpint s: both have their top bit set in this vector. */
static void ecdsa(void **state)
{
	static const char key[] =
		"04"
		"60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
		"7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
	static const char number_pair[] =
		"00000021"
		"00efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
		"00000021"
		"00f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
	uint8_t point[65], signature[80], blob[256];
	struct writer w = writer_init(blob, sizeof(blob));
	size_t len;

	(void)state;
	hex(point, sizeof(point), key);
	len = hex(signature, sizeof(signature), number_pair);
	writer_cstring(&w, "ecdsa-sha2-nistp256");
	writer_cstring(&w, "nistp256");
	writer_string(&w, point, sizeof(point));
	assert_true(monitor_signature_verify(P256, blob, w.len, signature, len,
					     (const uint8_t *)"sample", 6));
	assert_false(monitor_signature_verify(P256, blob, w.len, signature, len,
					      (const uint8_t *)"sampl", 5));
	assert_false(monitor_signature_verify(P256, blob, w.len, signature, len - 1,
					      (const uint8_t *)"sample", 6));
	blob[w.len - 1] ^= 1; /* not on the curve */
	assert_false(monitor_signature_verify(P256, blob, w.len, signature, len,
					      (const uint8_t *)"sample", 6));
	blob[w.len - 1] ^= 1;
	blob[31] = '3'; /* another curve's name */
	assert_false(monitor_signature_verify(P256, blob, w.len, signature, len,
					      (const uint8_t *)"sample", 6));
}

static void put_number(struct writer *w, const EVP_PKEY *key, const char *name)
{
	uint8_t bytes[600] = {0};
	BIGNUM *n = NULL;
	int len;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	len = BN_bn2bin(n, bytes + 1);
	BN_free(n);
	if ((bytes[1] & 0x80) != 0)
		writer_string(w, bytes, (size_t)len + 1);
	else
		writer_string(w, bytes + 1, (size_t)len);
}

static void rsa_of(unsigned bits, const char *algorithm, const char *digest, bool good)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t blob[1200], signature[600];
	struct writer w = writer_init(blob, sizeof(blob));
	size_t len = sizeof(signature);

	assert_non_null(key);
	writer_cstring(&w, "ssh-rsa");
	put_number(&w, key, OSSL_PKEY_PARAM_RSA_E);
	put_number(&w, key, OSSL_PKEY_PARAM_RSA_N);
	assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL), 1);
	assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const uint8_t *)"data", 4), 1);
	assert_int_equal(monitor_signature_verify(algorithm, blob, w.len, signature, len,
						  (const uint8_t *)"data", 4),
			 good);
	signature[5] ^= 1;
	assert_false(monitor_signature_verify(algorithm, blob, w.len, signature, len,
					      (const uint8_t *)"data", 4));
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

static void rsa(void **state)
{
	(void)state;
	rsa_of(2048, RSA256, "SHA256", true);
	rsa_of(2048, RSA512, "SHA512", true);
	rsa_of(2048, RSA512, "SHA256", false);
	rsa_of(1024, RSA256, "SHA256", false);
	rsa_of(2048, "ssh-rsa-cert-v01@openssh.com", "SHA1", false);
	assert_false(monitor_signature_known("ssh-dss"));
	assert_false(monitor_signature_known("sk-ssh-ed25519@openssh.com"));
	assert_false(monitor_signature_known(""));
}

/* As a client writes it (RFC 4252 section 7), with each part changeable. */
struct parts {
	uint8_t session[32];
	size_t session_len;
	uint8_t message;
	const char *login, *service, *method;
	uint8_t has_signature;
	const char *algorithm, *blob;
	size_t extra;
};

static bool judged(const struct parts *p)
{
	static const uint8_t session[32] = {1, 2, 3};
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));

	writer_string(&w, p->session, p->session_len);
	writer_u8(&w, p->message);
	writer_cstring(&w, p->login);
	writer_cstring(&w, p->service);
	writer_cstring(&w, p->method);
	writer_u8(&w, p->has_signature);
	writer_cstring(&w, p->algorithm);
	writer_cstring(&w, p->blob);
	return monitor_signature_data(data, w.len + p->extra, session, 32, "deploy", ED25519,
				      (const uint8_t *)"blob", 4);
}

static void signed_data(void **state)
{
	const struct parts right = {{1, 2, 3},	 32, 50,      "deploy", "ssh-connection",
				    "publickey", 1,  ED25519, "blob",	0};
	struct parts p = right;

	(void)state;
	assert_true(judged(&p));
#define WRONG(field, value)                                                                        \
	p = right;                                                                                 \
	p.field = value;                                                                           \
	assert_false(judged(&p))
	WRONG(session[31], 1);
	WRONG(session_len, 31);
	WRONG(message, 51);
	WRONG(login, "root");
	WRONG(service, "ssh-userauth");
	WRONG(method, "hostbased");
	WRONG(has_signature, 0);
	WRONG(algorithm, "ssh-ed25519");
	WRONG(blob, "blub");
	WRONG(extra, 1);
	/* before the first key exchange nothing can be signed */
	assert_false(monitor_signature_data((const uint8_t *)"\0\0\0\0", 4, NULL, 0, "deploy",
					    ED25519, (const uint8_t *)"blob", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ed25519),
		cmocka_unit_test(ecdsa),
		cmocka_unit_test(rsa),
		cmocka_unit_test(signed_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
