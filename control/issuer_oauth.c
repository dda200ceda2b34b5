/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules of RFC 6749, 7636 (S256 only), 8252 and 8628 that need no state.
 */
#include "control/issuer_oauth.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "platform/encode.h"
#include "platform/secret.h"

#define WEB_CALLBACK "/ssh/callback"
#define LETTERS	     "BCDFGHJKLMNPQRSTVWXZ"
#define LETTER_COUNT 20

/* The control server's own pages sign people in as `warren` too, so that a foreign provider needs
 * one client only; `warren-control` is the name for a web client alone. */
static const struct issuer_client clients[] = {
	{"warren", "Warren on a computer", true, true},
	{"warren-control", "Warren's login page", false, true},
	/* Tokens that do as an SSH password, and for nothing else. */
	{"warren-ssh", "Warren, for an SSH password", true, false},
};

const struct issuer_client *issuer_oauth_client(const char *id)
{
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		if (strcmp(clients[i].id, id) == 0)
			return &clients[i];
	}
	return NULL;
}

/* ":PORT/path" with a port of 1 to 65535, and a plain path without query or fragment. */
static bool loopback_tail(const char *s)
{
	unsigned port = 0;
	size_t digits = 0;
	if (*s++ != ':')
		return false;
	for (; *s >= '0' && *s <= '9' && digits < 5; s++, digits++)
		port = port * 10 + (unsigned)(*s - '0');
	if (digits == 0 || port == 0 || port > 65535)
		return false;
	if (*s == 0)
		return true;
	if (*s != '/' || strlen(s) > 64)
		return false;
	return strspn(s, "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
	       strlen(s);
}

enum issuer_redirect issuer_oauth_redirect(const struct issuer_client *client,
					   const char *public_url, const char *uri)
{
	static const char *const hosts[] = {"http://127.0.0.1", "http://[::1]"};
	size_t base = strlen(public_url);

	for (size_t i = 0; client->native && i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		size_t len = strlen(hosts[i]);
		if (strncmp(uri, hosts[i], len) == 0 && loopback_tail(uri + len))
			return ISSUER_REDIRECT_LOOPBACK;
	}
	if (client->web && strncmp(uri, public_url, base) == 0 &&
	    strcmp(uri + base, WEB_CALLBACK) == 0)
		return ISSUER_REDIRECT_OURS;
	return ISSUER_REDIRECT_REFUSED;
}

bool issuer_oauth_challenge_ok(const char *challenge)
{
	uint8_t hash[32];
	return encode_base64url_exact(hash, sizeof(hash), challenge) == 0;
}

bool issuer_oauth_verifier_ok(const char *challenge, const char *verifier)
{
	uint8_t hash[32], expected[32];
	size_t len = strlen(verifier);
	if (len < 43 || len > 128 ||
	    strspn(verifier, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			     "-._~") != len)
		return false;
	if (encode_base64url_exact(expected, sizeof(expected), challenge) != 0)
		return false;
	crypto_hash_sha256(hash, (const uint8_t *)verifier, len);
	return secret_equal(hash, expected, sizeof(hash));
}

static const struct {
	const char *word;
	unsigned scope;
} scope_words[] = {
	{"openid", ISSUER_SCOPE_OPENID},	  {"email", ISSUER_SCOPE_EMAIL},
	{"profile", ISSUER_SCOPE_PROFILE},	  {"groups", ISSUER_SCOPE_GROUPS},
	{"offline_access", ISSUER_SCOPE_OFFLINE},
};

unsigned issuer_oauth_scopes(const char *text)
{
	unsigned scopes = 0;
	while (*text != 0) {
		size_t len = strcspn(text, " ");
		for (size_t i = 0; i < sizeof(scope_words) / sizeof(scope_words[0]); i++) {
			if (strlen(scope_words[i].word) == len &&
			    memcmp(scope_words[i].word, text, len) == 0)
				scopes |= scope_words[i].scope;
		}
		text += len;
		text += strspn(text, " ");
	}
	return scopes;
}

void issuer_oauth_scope_text(unsigned scopes, char out[static ISSUER_SCOPE_TEXT])
{
	size_t at = 0;
	out[0] = 0;
	for (size_t i = 0; i < sizeof(scope_words) / sizeof(scope_words[0]); i++) {
		if ((scopes & scope_words[i].scope) == 0)
			continue;
		int n = snprintf(out + at, ISSUER_SCOPE_TEXT - at, "%s%s", at > 0 ? " " : "",
				 scope_words[i].word);
		at += (size_t)n;
	}
}

void issuer_oauth_user_code(const struct random_source *random,
			    char out[static ISSUER_USER_CODE_SIZE])
{
	size_t at = 0;
	while (at < ISSUER_USER_CODE_SIZE - 1) {
		uint8_t byte;
		random_bytes(random, &byte, 1);
		if (byte >= 256 / LETTER_COUNT * LETTER_COUNT)
			continue; /* the rest would make some letters likelier */
		out[at++] = LETTERS[byte % LETTER_COUNT];
		if (at == 4)
			out[at++] = '-';
	}
	out[at] = 0;
}

int issuer_oauth_user_code_read(const char *typed, char out[static ISSUER_USER_CODE_SIZE])
{
	char code[ISSUER_USER_CODE_SIZE];
	size_t at = 0;
	for (; *typed != 0; typed++) {
		char c = *typed;
		if (c == '-' || c == ' ')
			continue;
		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		if (at == ISSUER_USER_CODE_SIZE - 1 || strchr(LETTERS, c) == NULL)
			return -EINVAL;
		code[at++] = c;
		if (at == 4)
			code[at++] = '-';
	}
	if (at != ISSUER_USER_CODE_SIZE - 1)
		return -EINVAL;
	code[at] = 0;
	memcpy(out, code, sizeof(code));
	return 0;
}

int issuer_oauth_email(const char *typed, char *out, size_t cap)
{
	size_t len = strlen(typed), ats = 0;
	if (len < 3 || len > 254 || len >= cap || typed[0] == '@' || typed[len - 1] == '@')
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)typed[i];
		if (c <= ' ' || c == 0x7f || strchr("<>\"\\,;:()[]", c) != NULL)
			return -EINVAL;
		ats += c == '@';
	}
	if (ats != 1)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		out[i] = typed[i] >= 'A' && typed[i] <= 'Z' ? (char)(typed[i] - 'A' + 'a')
							    : typed[i];
	out[len] = 0;
	return 0;
}

int issuer_oauth_percent(const char *text, char *out, size_t cap)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t at = 0;
	for (; *text != 0; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || strchr("-._~", c) != NULL;
		if (at + (plain ? 1 : 3) >= cap)
			return -EMSGSIZE;
		if (plain) {
			out[at++] = (char)c;
		} else {
			out[at++] = '%';
			out[at++] = digits[c >> 4];
			out[at++] = digits[c & 15];
		}
	}
	if (at >= cap)
		return -EMSGSIZE;
	out[at] = 0;
	return 0;
}
