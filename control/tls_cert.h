/* SPDX-License-Identifier: Apache-2.0
 *
 * The certificate of the HTTPS port: one made by ourselves at first start, and the hash of its key
 * that peers pin through the signed `server` object.
 */
#ifndef WARREN_CONTROL_TLS_CERT_H
#define WARREN_CONTROL_TLS_CERT_H

#include <stddef.h>

#include "platform/error.h"

/* Makes an ECDSA P-256 key and a ten-year certificate for this host (name or IP address) unless
 * both files are there and the certificate names the host. Key: mode 0600. */
int tls_cert_ensure(const char *cert_file, const char *key_file, const char *host,
		    struct error *err) WARREN_MUST_USE;
/* Base64 SHA-256 of the SubjectPublicKeyInfo of the first certificate in the file; out[45]. */
int tls_cert_spki(const char *cert_file, char *out, size_t cap, struct error *err) WARREN_MUST_USE;
/* The host of an https:// URL without brackets. */
int tls_cert_url_host(const char *url, char *out, size_t cap) WARREN_MUST_USE;

#endif
