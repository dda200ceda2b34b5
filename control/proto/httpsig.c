/* SPDX-License-Identifier: Apache-2.0
 *
 * Signs and verifies the one form of HTTP Message Signatures that control/PROTOCOL.md section 2
 * allows (RFC 9421; digest of RFC 9530). Owns the signature base and the strict reading of the
 * three fields: another order, another set of components, white space or parameters elsewhere are
 * refused, so that what was signed can be read in one way only.
 */
#include "control/proto/httpsig.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "platform/encode.h"

#define COMPONENTS  "(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\")"
#define MAX_PARAMS  384
#define MAX_BASE    16384
#define NONCE_BYTES 16
#define SIGNATURE   crypto_sign_BYTES

static bool keyid_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static bool line_safe(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
			return false;
	return true;
}

int httpsig_base(const struct httpsig_component *components, size_t count, const char *params,
		 struct buffer *out)
{
	for (size_t i = 0; i < count; i++) {
		if (!line_safe(components[i].name) || !line_safe(components[i].value))
			return -EINVAL;
		int r = buffer_printf(out, "\"%s\": %s\n", components[i].name, components[i].value);
		if (r < 0)
			return r;
	}
	if (!line_safe(params))
		return -EINVAL;
	return buffer_printf(out, "\"@signature-params\": %s", params);
}

void httpsig_digest(const void *body, size_t len, char out[static HTTPSIG_DIGEST_SIZE])
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	char text[ENCODE_BASE64_SIZE(crypto_hash_sha256_BYTES)];

	crypto_hash_sha256(hash, body ? body : "", len);
	encode_base64(text, hash, sizeof(hash));
	snprintf(out, HTTPSIG_DIGEST_SIZE, "sha-256=:%s:", text);
}

static int message_base(const struct httpsig_message *m, const char *digest, const char *params,
			struct buffer *out)
{
	char query[2048];
	int n = snprintf(query, sizeof(query), "?%s", m->query ? m->query : "");

	if (n < 0 || (size_t)n >= sizeof(query))
		return -EMSGSIZE;
	const struct httpsig_component components[] = {
		{"@method", m->method}, {"@authority", m->authority}, {"@path", m->path},
		{"@query", query},	{"content-digest", digest},
	};
	return httpsig_base(components, sizeof(components) / sizeof(components[0]), params, out);
}

static bool keyid_valid(const char *keyid, size_t len)
{
	if (len == 0 || len >= sizeof(((struct httpsig_parsed *)0)->keyid))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!keyid_char(keyid[i]))
			return false;
	return true;
}

static int sign_one(const struct httpsig_message *m, const char *digest,
		    const struct httpsig_key *key, const char *params,
		    uint8_t ret_signature[SIGNATURE])
{
	struct buffer base;
	int r;

	buffer_init(&base, MAX_BASE);
	r = message_base(m, digest, params, &base);
	if (r == 0)
		(void)crypto_sign_detached(ret_signature, NULL, base.data, base.len, key->secret);
	buffer_done(&base);
	return r;
}

/* Appends formatted text to a bounded header line. */
static WARREN_PRINTF(3, 4) int line_add(char *line, size_t cap, const char *fmt, ...)
{
	size_t len = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line + len, cap - len, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= cap - len ? -EMSGSIZE : 0;
}

int httpsig_sign(const struct httpsig_message *m, const struct httpsig_key *keys, size_t key_count,
		 int64_t created_s, const uint8_t nonce[16], struct httpsig_headers *ret_headers)
{
	struct httpsig_headers h = {.input = "Signature-Input: ", .signature = "Signature: "};
	char digest[HTTPSIG_DIGEST_SIZE], nonce_text[ENCODE_BASE64URL_SIZE(NONCE_BYTES)];
	int r;

	if (key_count < 1 || key_count > HTTPSIG_MAX_KEYS || created_s < 0)
		return -EINVAL;
	httpsig_digest(m->body, m->body_len, digest);
	snprintf(h.digest, sizeof(h.digest), "Content-Digest: %s", digest);
	encode_base64url(nonce_text, nonce, NONCE_BYTES);
	for (size_t i = 0; i < key_count; i++) {
		const char *separator = i ? ", " : "";
		char params[MAX_PARAMS], text[ENCODE_BASE64_SIZE(SIGNATURE)];
		uint8_t signature[SIGNATURE];

		if (keys[i].label < 'a' || keys[i].label > 'z' ||
		    !keyid_valid(keys[i].keyid, strlen(keys[i].keyid)) ||
		    (i == 1 && keys[0].label == keys[1].label))
			return -EINVAL;
		snprintf(params, sizeof(params),
			 COMPONENTS ";created=%" PRId64
				    ";nonce=\"%s\";keyid=\"%s\";alg=\"ed25519\"",
			 created_s, nonce_text, keys[i].keyid);
		r = sign_one(m, digest, &keys[i], params, signature);
		if (r < 0)
			return r;
		encode_base64(text, signature, sizeof(signature));
		r = line_add(h.input, sizeof(h.input), "%s%c=%s", separator, keys[i].label, params);
		if (r == 0)
			r = line_add(h.signature, sizeof(h.signature), "%s%c=:%s:", separator,
				     keys[i].label, text);
		if (r < 0)
			return r;
	}
	*ret_headers = h;
	return 0;
}

/* ---- reading ---- */

/* Takes the literal from *at, or fails. */
static bool take(const char **at, const char *literal)
{
	size_t n = strlen(literal);

	if (strncmp(*at, literal, n) != 0)
		return false;
	*at += n;
	return true;
}

/* Takes characters of keyid_char up to a quote into out[cap]. */
static bool take_token(const char **at, char *out, size_t cap)
{
	size_t n = 0;

	while (keyid_char((*at)[n]))
		n++;
	if (n == 0 || n >= cap || (*at)[n] != '"')
		return false;
	memcpy(out, *at, n);
	out[n] = 0;
	*at += n + 1;
	return true;
}

static bool take_number(const char **at, int64_t *ret_value)
{
	int64_t v = 0;
	int digits = 0;

	for (; **at >= '0' && **at <= '9'; (*at)++) {
		if (++digits > 15) /* RFC 8941 section 3.3.1 */
			return false;
		v = v * 10 + (**at - '0');
	}
	*ret_value = v;
	return digits > 0;
}

/* One member of Signature-Input; *at behind it. */
static bool take_member(const char **at, char *ret_label, struct httpsig_parsed *ret_parsed)
{
	*ret_label = **at;
	if (*ret_label < 'a' || *ret_label > 'z')
		return false;
	(*at)++;
	return take(at, "=" COMPONENTS ";created=") && take_number(at, &ret_parsed->created_s) &&
	       take(at, ";nonce=\"") &&
	       take_token(at, ret_parsed->nonce, sizeof(ret_parsed->nonce)) &&
	       take(at, ";keyid=\"") &&
	       take_token(at, ret_parsed->keyid, sizeof(ret_parsed->keyid)) &&
	       take(at, ";alg=\"ed25519\"");
}

static bool take_separator(const char **at)
{
	if (!take(at, ","))
		return false;
	while (**at == ' ')
		(*at)++;
	return true;
}

/* Walks all members; finds the one of this label and the text of its parameters. */
static int find_input(const char *input, char label, struct httpsig_parsed *ret_parsed,
		      char ret_params[MAX_PARAMS])
{
	const char *at = input;
	char seen[HTTPSIG_MAX_KEYS];
	size_t count = 0;
	bool found = false;

	for (;;) {
		struct httpsig_parsed parsed;
		const char *start = at + 2;
		uint8_t nonce[NONCE_BYTES];

		if (count == HTTPSIG_MAX_KEYS || !take_member(&at, &seen[count], &parsed) ||
		    (count == 1 && seen[0] == seen[1]) ||
		    encode_base64url_exact(nonce, sizeof(nonce), parsed.nonce) < 0)
			return -EINVAL;
		if (seen[count] == label) {
			size_t len = (size_t)(at - start);

			if (len >= MAX_PARAMS)
				return -EINVAL;
			memcpy(ret_params, start, len);
			ret_params[len] = 0;
			*ret_parsed = parsed;
			found = true;
		}
		count++;
		if (*at == 0)
			return found ? 0 : -ENOENT;
		if (!take_separator(&at))
			return -EINVAL;
	}
}

static int find_signature(const char *value, char label, uint8_t ret_signature[SIGNATURE])
{
	const char *at = value;
	char seen[HTTPSIG_MAX_KEYS];
	size_t count = 0;
	bool found = false;
	const size_t text_len = ENCODE_BASE64_SIZE(SIGNATURE) - 1;

	for (;;) {
		char text[ENCODE_BASE64_SIZE(SIGNATURE)];
		uint8_t signature[SIGNATURE];

		if (count == HTTPSIG_MAX_KEYS || *at < 'a' || *at > 'z')
			return -EINVAL;
		seen[count] = *at++;
		if ((count == 1 && seen[0] == seen[1]) || !take(&at, "=:") ||
		    strnlen(at, text_len) < text_len)
			return -EINVAL;
		memcpy(text, at, text_len);
		text[text_len] = 0;
		at += text_len;
		if (!take(&at, ":") || encode_base64_exact(signature, sizeof(signature), text) < 0)
			return -EINVAL;
		if (seen[count] == label) {
			memcpy(ret_signature, signature, sizeof(signature));
			found = true;
		}
		count++;
		if (*at == 0)
			return found ? 0 : -ENOENT;
		if (!take_separator(&at))
			return -EINVAL;
	}
}

int httpsig_parse(const char *signature_input, char label, struct httpsig_parsed *ret_parsed)
{
	char params[MAX_PARAMS];

	return find_input(signature_input, label, ret_parsed, params);
}

int httpsig_verify(const struct httpsig_message *m, const char *content_digest,
		   const char *signature_input, const char *signature, char label,
		   const uint8_t public_key[32])
{
	struct httpsig_parsed parsed;
	char params[MAX_PARAMS], digest[HTTPSIG_DIGEST_SIZE];
	uint8_t raw[SIGNATURE];
	struct buffer base;
	int r = -EBADMSG;

	buffer_init(&base, MAX_BASE);
	httpsig_digest(m->body, m->body_len, digest);
	if (strcmp(digest, content_digest) == 0 &&
	    find_input(signature_input, label, &parsed, params) == 0 &&
	    find_signature(signature, label, raw) == 0 &&
	    message_base(m, digest, params, &base) == 0 &&
	    crypto_sign_verify_detached(raw, base.data, base.len, public_key) == 0)
		r = 0;
	buffer_done(&base);
	return r;
}
