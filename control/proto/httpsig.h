/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP Message Signatures as control/PROTOCOL.md section 2 uses them (RFC 9421, RFC 9530): made by
 * peers, verified by the control server. Pure: keys, time and nonce are passed in.
 */
#ifndef WARREN_CONTROL_PROTO_HTTPSIG_H
#define WARREN_CONTROL_PROTO_HTTPSIG_H

#include <stddef.h>
#include <stdint.h>

#include "platform/buffer.h"
#include "platform/error.h"

struct httpsig_message {
	const char *method;    /* "POST" */
	const char *authority; /* "host:port" as in Host, lower-case */
	const char *path;      /* "/v1/enroll" */
	const char *query;     /* without "?", NULL or "" for none */
	const void *body;
	size_t body_len;
};

struct httpsig_key {
	char label; /* 'w' or 'i' */
	const char *keyid;
	const uint8_t *secret; /* Ed25519 secret key[64] */
};

#define HTTPSIG_MAX_KEYS 2
/* Header lines "Name: value" (Content-Digest, Signature-Input, Signature), NUL-terminated each. */
struct httpsig_headers {
	char digest[96];
	char input[768];
	char signature[320];
};
int httpsig_sign(const struct httpsig_message *m, const struct httpsig_key *keys, size_t key_count,
		 int64_t created_s, const uint8_t nonce[16],
		 struct httpsig_headers *ret_headers) WARREN_MUST_USE;

struct httpsig_parsed {
	char keyid[128];
	int64_t created_s;
	char nonce[32];
};
/* Reads one label's parameters from the values (without names) of Signature-Input; strict. */
int httpsig_parse(const char *signature_input, char label,
		  struct httpsig_parsed *ret_parsed) WARREN_MUST_USE;
/* Verifies digest and signature of that label with the public key; -EBADMSG otherwise. Time and
 * nonce are the caller's to judge. */
int httpsig_verify(const struct httpsig_message *m, const char *content_digest,
		   const char *signature_input, const char *signature, char label,
		   const uint8_t public_key[32]) WARREN_MUST_USE;

/* The signature base of RFC 9421 section 2.5 for components in this order and the text of the
 * signature parameters: what is signed. Appends to out; -EINVAL when a value could break a line. */
struct httpsig_component {
	const char *name, *value;
};
int httpsig_base(const struct httpsig_component *components, size_t count, const char *params,
		 struct buffer *out) WARREN_MUST_USE;
/* "sha-256=:BASE64:" (RFC 9530). */
#define HTTPSIG_DIGEST_SIZE 64
void httpsig_digest(const void *body, size_t len, char out[static HTTPSIG_DIGEST_SIZE]);

#endif
