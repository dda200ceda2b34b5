/* SPDX-License-Identifier: Apache-2.0
 *
 * Self-made certificates (RFC 5280) by OpenSSL: P-256, SAN of the public host. Peers don't trust
 * them by name: they pin the key through the control server's signing key.
 */
#include "control/tls_cert.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/addr.h"
#include "platform/encode.h"
#include "platform/file.h"

#define LIFE_DAYS 3650
#define MAX_PEM	  65536

int tls_cert_url_host(const char *url, char *out, size_t cap)
{
	const char *host = strstr(url, "://");
	size_t len;

	if (!host)
		return -EINVAL;
	host += 3;
	if (*host == '[') {
		host++;
		len = strcspn(host, "]");
	} else {
		len = strcspn(host, ":/");
	}
	if (len == 0 || len >= cap)
		return -EINVAL;
	memcpy(out, host, len);
	out[len] = 0;
	return 0;
}

static X509 *read_cert(const char *file)
{
	struct buffer pem;
	X509 *cert = NULL;

	buffer_init(&pem, MAX_PEM);
	if (file_read(file, &pem) == 0) {
		BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);

		cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
		BIO_free(bio);
	}
	buffer_done(&pem);
	return cert;
}

static bool names_host(X509 *cert, const char *host)
{
	struct ip_addr addr;

	if (ip_addr_parse(host, &addr) == 0)
		return X509_check_ip_asc(cert, host, 0) == 1;
	return X509_check_host(cert, host, strlen(host), 0, NULL) == 1;
}

static int add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	int ok = e && X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	return ok;
}

static X509 *make_cert(EVP_PKEY *key, const char *host)
{
	X509 *cert = X509_new();
	struct ip_addr addr;
	uint64_t serial;
	char san[300];

	if (!cert || RAND_bytes((unsigned char *)&serial, sizeof(serial)) != 1)
		goto fail;
	snprintf(san, sizeof(san), "%s:%s", ip_addr_parse(host, &addr) == 0 ? "IP" : "DNS", host);
	X509_NAME *name = X509_get_subject_name(cert);
	if (!X509_set_version(cert, 2) ||
	    !ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) ||
	    !X509_gmtime_adj(X509_getm_notBefore(cert), -3600) ||
	    !X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * LIFE_DAYS) ||
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					(const unsigned char *)"warren-control", -1, -1, 0) ||
	    !X509_set_issuer_name(cert, name) || !X509_set_pubkey(cert, key) ||
	    !add_extension(cert, NID_subject_alt_name, san) ||
	    !add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(cert, NID_ext_key_usage, "serverAuth") ||
	    !X509_sign(cert, key, EVP_sha256()))
		goto fail;
	return cert;
fail:
	X509_free(cert);
	return NULL;
}

static int write_bio(BIO *bio, const char *file, mode_t mode)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);

	return len <= 0 ? -EIO : file_write_atomic(file, data, (size_t)len, mode);
}

static int make(const char *cert_file, const char *key_file, const char *host)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? make_cert(key, host) : NULL;
	BIO *cert_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_secmem());
	int r = -EIO;

	if (cert && cert_pem && key_pem && PEM_write_bio_X509(cert_pem, cert) &&
	    PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL)) {
		r = write_bio(key_pem, key_file, 0600);
		if (r == 0)
			r = write_bio(cert_pem, cert_file, 0644);
	}
	BIO_free(cert_pem);
	BIO_free(key_pem);
	X509_free(cert);
	EVP_PKEY_free(key);
	return r;
}

int tls_cert_ensure(const char *cert_file, const char *key_file, const char *host,
		    struct error *err)
{
	X509 *cert = read_cert(cert_file);
	bool good = cert && names_host(cert, host) && access(key_file, R_OK) == 0;
	int r;

	X509_free(cert);
	if (good)
		return 0;
	r = make(cert_file, key_file, host);
	if (r < 0)
		return error_set(err, r, "a certificate for %s cannot be made at %s: %s", host,
				 cert_file, strerror(-r));
	return 0;
}

int tls_cert_spki(const char *cert_file, char *out, size_t cap, struct error *err)
{
	X509 *cert = read_cert(cert_file);
	unsigned char *der = NULL, hash[32];
	unsigned hash_len = 0;
	int len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;

	X509_free(cert);
	if (len <= 0 || cap < ENCODE_BASE64_SIZE(sizeof(hash)) ||
	    EVP_Digest(der, (size_t)len, hash, &hash_len, EVP_sha256(), NULL) != 1) {
		OPENSSL_free(der);
		return error_set(err, -EINVAL, "%s is not a readable PEM certificate", cert_file);
	}
	OPENSSL_free(der);
	encode_base64(out, hash, sizeof(hash));
	return 0;
}
