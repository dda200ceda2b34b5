/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Tokens (RFC 7515 compact form, RFC 7519, RFC 8725's advice). The signature is checked by
 * jwks.c before any claim is looked at; jwt_claims.c judges the claims. Refuses "crit", unsigned
 * and symmetric tokens, duplicate members, and every "typ" that was not asked for.
 */
#include "identity/jwt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "identity/jwks.h"
#include "identity/jwt_claims.h"
#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/json.h"

enum {
	HEADER_BYTES_MAX = 4096,
	SIG_BYTES_MAX = 1024, /* RSA 8192 */
	KID_BYTES = 256,
};

/* The three parts, not decoded. */
struct parts {
	const char *header, *payload, *sig;
	size_t header_len, payload_len, sig_len, signed_len;
};

static bool split(const char *token, size_t len, struct parts *ret_parts)
{
	const char *end = token + len, *dot1, *dot2;

	if (len == 0 || len > JWT_MAX_BYTES)
		return false;
	dot1 = memchr(token, '.', len);
	if (!dot1)
		return false;
	dot2 = memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1));
	if (!dot2 || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)))
		return false;
	*ret_parts = (struct parts){
		.header = token,
		.header_len = (size_t)(dot1 - token),
		.payload = dot1 + 1,
		.payload_len = (size_t)(dot2 - dot1 - 1),
		.sig = dot2 + 1,
		.sig_len = (size_t)(end - dot2 - 1),
		.signed_len = (size_t)(dot2 - token),
	};
	return ret_parts->header_len > 0 && ret_parts->payload_len > 0;
}

/* A base64url part that must be a JSON object. */
static json_t *load_part(const char *text, size_t len, size_t max, struct error *err)
{
	json_t *value = NULL;
	size_t raw_len = 0;
	char *raw;

	if (len > ENCODE_BASE64URL_SIZE(max))
		return NULL;
	raw = malloc(max);
	if (!raw)
		return NULL;
	if (encode_base64url_decode(raw, max, text, len, &raw_len) == 0)
		value = json_load_strict(raw, raw_len, max, err);
	free(raw);
	if (value && !json_is_object(value)) {
		json_decref(value);
		value = NULL;
	}
	return value;
}

static enum jwt_fault fail(struct error *err, enum jwt_fault fault, const char *sentence)
{
	error_set(err, -EACCES, "%s", sentence);
	return fault;
}

/* RFC 7515 section 4.1.9: a media type, compared without case and without "application/". */
static bool type_accepted(const char *typ, const char *const *types)
{
	static const char *const plain[] = {"JWT", "", NULL};

	if (strncasecmp(typ, "application/", 12) == 0)
		typ += 12;
	for (types = types ? types : plain; *types; types++)
		if (strcasecmp(typ, *types) == 0)
			return true;
	return false;
}

struct header {
	enum jws_alg alg;
	char kid[KID_BYTES];
	bool has_kid;
};

static enum jwt_fault read_header(const json_t *json, const char *const *types,
				  struct header *ret_header, struct error *err)
{
	char alg[32], typ[64] = "", shown[64];
	int known;

	if (json_object_get(json, "crit"))
		return fail(err, JWT_CRITICAL,
			    "the token's header has \"crit\", which is not supported");
	if (json_get_string(json, "alg", alg, sizeof(alg), NULL) < 0)
		return fail(err, JWT_MALFORMED, "the token's header names no algorithm");
	known = jwks_alg(alg);
	if (known < 0) {
		error_set(err, -EACCES,
			  "the token's algorithm is \"%s\"; only RS256, PS256, ES256, ES384 and "
			  "EdDSA "
			  "are accepted",
			  jwt_printable(alg, shown, sizeof(shown)));
		return JWT_ALGORITHM;
	}
	ret_header->alg = (enum jws_alg)known;
	if (json_object_get(json, "typ") &&
	    json_get_string(json, "typ", typ, sizeof(typ), NULL) < 0)
		return fail(err, JWT_TYPE, "the token's \"typ\" is not a short string");
	if (!type_accepted(typ, types)) {
		error_set(err, -EACCES, "the token's type is \"%s\", expected \"%s\"",
			  jwt_printable(typ, shown, sizeof(shown)), types ? types[0] : "JWT");
		return JWT_TYPE;
	}
	ret_header->has_kid = json_object_get(json, "kid") != NULL;
	if (ret_header->has_kid &&
	    json_get_string(json, "kid", ret_header->kid, sizeof(ret_header->kid), NULL) < 0)
		return fail(err, JWT_MALFORMED, "the token's \"kid\" is not a short string");
	return JWT_OK;
}

static enum jwt_fault check_signature(const char *token, const struct parts *parts,
				      const struct header *header, const struct jwks *jwks,
				      struct error *err)
{
	uint8_t sig[SIG_BYTES_MAX];
	char shown[64];
	size_t sig_len = 0;
	enum jwt_fault fault;

	if (encode_base64url_decode(sig, sizeof(sig), parts->sig, parts->sig_len, &sig_len) < 0)
		return fail(err, JWT_MALFORMED, "the token's signature is not base64url");
	fault = jwks_verify(jwks, header->has_kid ? header->kid : NULL, header->alg, token,
			    parts->signed_len, sig, sig_len);
	if (fault == JWT_ALGORITHM)
		return fail(err, fault,
			    "the token's algorithm is not the one of the key that it names");
	if (fault == JWT_SIGNATURE)
		return fail(err, fault, "the token's signature is wrong");
	if (fault == JWT_UNKNOWN_KEY && !header->has_kid)
		return fail(err, fault, "none of the issuer's keys signed the token");
	if (fault == JWT_UNKNOWN_KEY)
		error_set(err, -EACCES, "the issuer has no key \"%s\", which the token names",
			  jwt_printable(header->kid, shown, sizeof(shown)));
	return fault;
}

enum jwt_fault jwt_verify(const char *token, size_t len, const struct jwks *jwks,
			  const struct jwt_expect *expect, struct jwt_identity *ret_identity,
			  struct error *err)
{
	struct header header = {0};
	enum jwt_fault fault;
	struct parts parts;
	json_t *json;

	if (!split(token, len, &parts))
		return fail(err, JWT_MALFORMED,
			    "this is not a signed token (three parts with dots)");
	json = load_part(parts.header, parts.header_len, HEADER_BYTES_MAX, NULL);
	if (!json)
		return fail(err, JWT_MALFORMED, "the token's header is not a JSON object");
	fault = read_header(json, expect->types, &header, err);
	json_decref(json);
	if (fault == JWT_OK)
		fault = check_signature(token, &parts, &header, jwks, err);
	if (fault != JWT_OK)
		return fault;
	json = load_part(parts.payload, parts.payload_len, JWT_MAX_BYTES, NULL);
	if (!json)
		return fail(err, JWT_MALFORMED, "the token's claims are not a JSON object");
	fault = jwt_claims_check(json, expect, ret_identity, err); /* takes json when OK */
	if (fault != JWT_OK)
		json_decref(json);
	return fault;
}

void jwt_identity_done(struct jwt_identity *id)
{
	if (!id)
		return;
	free(id->groups);
	json_decref(id->claims);
	*id = (struct jwt_identity){0};
}

int jwt_peek(const char *token, size_t len, char *ret_issuer, size_t issuer_cap, char *ret_kid,
	     size_t kid_cap)
{
	json_t *header, *claims = NULL;
	struct parts parts;
	int rc = -EINVAL;

	ret_issuer[0] = ret_kid[0] = '\0';
	if (!split(token, len, &parts))
		return -EINVAL;
	header = load_part(parts.header, parts.header_len, HEADER_BYTES_MAX, NULL);
	if (header)
		claims = load_part(parts.payload, parts.payload_len, JWT_MAX_BYTES, NULL);
	if (claims)
		rc = json_get_string(claims, "iss", ret_issuer, issuer_cap, NULL);
	if (rc == 0 && json_object_get(header, "kid"))
		rc = json_get_string(header, "kid", ret_kid, kid_cap, NULL);
	json_decref(header);
	json_decref(claims);
	return rc;
}

static int append_part(struct buffer *out, const json_t *json)
{
	size_t len = 0;
	char *text = json_canonical(json, &len), *part = NULL;
	int rc = -ENOMEM;

	if (text)
		part = malloc(ENCODE_BASE64URL_SIZE(len));
	if (part)
		rc = buffer_append(out, part, encode_base64url(part, text, len));
	free(part);
	free(text);
	return rc;
}

int jwt_make(const json_t *claims, const char *type, const char *kid,
	     int (*sign)(void *ctx, const void *data, size_t len, uint8_t ret_sig[64]), void *ctx,
	     char **ret_token)
{
	json_t *header = json_pack("{s:s, s:s, s:s}", "alg", "EdDSA", "kid", kid, "typ", type);
	char text[ENCODE_BASE64URL_SIZE(64)];
	struct buffer out;
	uint8_t sig[64];
	int rc;

	buffer_init(&out, JWT_MAX_BYTES);
	rc = header && json_is_object(claims) ? append_part(&out, header) : -EINVAL;
	if (rc == 0)
		rc = buffer_append(&out, ".", 1);
	if (rc == 0)
		rc = append_part(&out, claims);
	if (rc == 0)
		rc = sign(ctx, out.data, out.len, sig);
	if (rc == 0)
		rc = buffer_append(&out, ".", 1);
	if (rc == 0)
		rc = buffer_append(&out, text, encode_base64url(text, sig, sizeof(sig)));
	if (rc == 0) {
		*ret_token = strndup((const char *)out.data, out.len);
		rc = *ret_token ? 0 : -ENOMEM;
	}
	buffer_done(&out);
	json_decref(header);
	return rc;
}

const char *jwt_fault_name(enum jwt_fault fault)
{
	switch (fault) {
	case JWT_OK:
		return "ok";
	case JWT_MALFORMED:
		return "malformed";
	case JWT_ALGORITHM:
		return "algorithm";
	case JWT_CRITICAL:
		return "critical";
	case JWT_TYPE:
		return "type";
	case JWT_UNKNOWN_KEY:
		return "unknown_key";
	case JWT_SIGNATURE:
		return "signature";
	case JWT_ISSUER:
		return "issuer";
	case JWT_AUDIENCE:
		return "audience";
	case JWT_EXPIRED:
		return "expired";
	case JWT_NOT_YET:
		return "not_yet";
	case JWT_TOO_OLD:
		return "too_old";
	case JWT_CLAIM:
		return "claim";
	}
	return "unknown";
}
