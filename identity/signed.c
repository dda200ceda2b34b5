/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects signed by the control server's signing key (form in signed.h, types in
 * control/PROTOCOL.md). The signature is verified over the bytes as they came; only then is the
 * text taken apart. One spelling per object: strict base64url, no white space, nothing behind.
 */
#include "identity/signed.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/json.h"

#define PREFIX "wso1."

enum {
	SIGNATURE_BYTES = 64,
	SIGNATURE_CHARS = 86, /* base64url of 64 bytes, unpadded */
	TYPE_MAX = 32,
};

static bool type_valid(const char *type, size_t len)
{
	if (len == 0 || len > TYPE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((type[i] >= 'a' && type[i] <= 'z') || (type[i] >= '0' && type[i] <= '9') ||
		      type[i] == '_' || type[i] == '-'))
			return false;
	return true;
}

static int append_base64url(struct buffer *out, const void *data, size_t len)
{
	char *text = malloc(ENCODE_BASE64URL_SIZE(len));
	int rc;

	if (!text)
		return -ENOMEM;
	rc = buffer_append(out, text, encode_base64url(text, data, len));
	free(text);
	return rc;
}

int signed_make(const char *type, const json_t *payload,
		int (*sign)(void *ctx, const void *data, size_t len, uint8_t ret_sig[64]),
		void *ctx, char **ret_text)
{
	uint8_t sig[SIGNATURE_BYTES];
	struct buffer out;
	char *json = NULL;
	size_t json_len = 0;
	int rc;

	if (!type_valid(type, strlen(type)) || !json_is_object(payload))
		return -EINVAL;
	buffer_init(&out, SIGNED_MAX_BYTES);
	json = json_canonical(payload, &json_len);
	rc = json ? buffer_printf(&out, PREFIX "%s.", type) : -ENOMEM;
	if (rc == 0)
		rc = append_base64url(&out, json, json_len);
	if (rc == 0)
		rc = sign(ctx, out.data, out.len, sig);
	if (rc == 0)
		rc = buffer_append(&out, ".", 1);
	if (rc == 0)
		rc = append_base64url(&out, sig, sizeof(sig));
	if (rc == 0) {
		*ret_text = strndup((const char *)out.data, out.len);
		rc = *ret_text ? 0 : -ENOMEM;
	}
	free(json);
	buffer_done(&out);
	return rc;
}

/* Splits off and checks the signature; *ret_body is the number of bytes it covers. */
static int verify(const char *text, size_t len, const uint8_t key[32], size_t *ret_body,
		  struct error *err)
{
	uint8_t sig[SIGNATURE_BYTES];
	size_t body, got = 0;

	if (len > SIGNED_MAX_BYTES || len < sizeof(PREFIX) + SIGNATURE_CHARS)
		return error_set(err, -EBADMSG, "the signed object has an impossible length");
	body = len - SIGNATURE_CHARS - 1;
	if (text[body] != '.' ||
	    encode_base64url_decode(sig, sizeof(sig), text + body + 1, SIGNATURE_CHARS, &got) < 0 ||
	    got != sizeof(sig))
		return error_set(err, -EBADMSG, "the signed object carries no signature");
	if (crypto_sign_verify_detached(sig, (const unsigned char *)text, body, key) != 0)
		return error_set(err, -EBADMSG,
				 "the signature of the object was not made by the control server's "
				 "signing key");
	*ret_body = body;
	return 0;
}

static json_t *load_payload(const char *text, size_t len, struct error *err)
{
	uint8_t *raw = malloc(len + 1);
	json_t *payload = NULL;
	size_t raw_len = 0;

	if (!raw) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	if (encode_base64url_decode(raw, len, text, len, &raw_len) < 0) {
		error_set(err, -EBADMSG, "the payload of the signed object is not base64url");
	} else {
		payload = json_load_strict((const char *)raw, raw_len, SIGNED_MAX_BYTES, err);
		if (!payload && err)
			err->code = -EBADMSG;
		if (payload && !json_is_object(payload)) {
			json_decref(payload);
			payload = NULL;
			error_set(err, -EBADMSG,
				  "the payload of the signed object is not a JSON object");
		}
	}
	free(raw);
	return payload;
}

json_t *signed_open(const char *text, size_t len, const char *type, const uint8_t key[32],
		    int64_t now_s, int64_t skew_s, struct error *err)
{
	const size_t prefix = sizeof(PREFIX) - 1;
	const char *dot;
	json_t *payload, *until;
	size_t body = 0, type_len;

	if (verify(text, len, key, &body, err) < 0)
		return NULL;
	if (memcmp(text, PREFIX, prefix) != 0) {
		error_set(err, -EBADMSG, "the signed object is of an unknown version");
		return NULL;
	}
	dot = memchr(text + prefix, '.', body - prefix);
	type_len = dot ? (size_t)(dot - text) - prefix : 0;
	if (!dot || !type_valid(text + prefix, type_len)) {
		error_set(err, -EBADMSG, "the signed object names no type");
		return NULL;
	}
	if (type_len != strlen(type) || memcmp(text + prefix, type, type_len) != 0) {
		error_set(err, -EPROTOTYPE, "the signed object is of type \"%.*s\", not \"%s\"",
			  (int)type_len, text + prefix, type);
		return NULL;
	}
	payload = load_payload(dot + 1, body - (size_t)(dot + 1 - text), err);
	if (!payload)
		return NULL;
	until = json_object_get(payload, "valid_until");
	if (!until)
		return payload;
	if (!json_is_integer(until) || json_integer_value(until) < 0) {
		json_decref(payload);
		error_set(err, -EBADMSG, "\"valid_until\" of the signed object is not a time");
		return NULL;
	}
	/* Not "until + skew": the sum could overflow. */
	if (now_s > 0 && json_integer_value(until) < now_s - skew_s) {
		error_set(err, -ETIME,
			  "the signed object of type \"%s\" ended %lld s ago; check this machine's "
			  "clock "
			  "and the connection to the control server",
			  type, (long long)(now_s - json_integer_value(until)));
		json_decref(payload);
		return NULL;
	}
	return payload;
}

void signed_fingerprint(const uint8_t key[32], uint8_t ret_fingerprint[16])
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	static_assert(sizeof(hash) >= SIGNED_FINGERPRINT_BYTES, "a fingerprint is a cut hash");
	crypto_hash_sha256(hash, key, SIGNED_KEY_BYTES);
	memcpy(ret_fingerprint, hash, SIGNED_FINGERPRINT_BYTES);
}
