/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes from a browser or a client as text: forms, codes, addresses, redirect URIs, verifiers.
 * The first byte chooses; what is taken must read the same when it is taken again.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/issuer_oauth.h"
#include "control/pages.h"
#include "control/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void codes(const char *text)
{
	char code[ISSUER_USER_CODE_SIZE], again[ISSUER_USER_CODE_SIZE];
	if (issuer_oauth_user_code_read(text, code) != 0)
		return;
	assert(strlen(code) == 9);
	assert(issuer_oauth_user_code_read(code, again) == 0 && strcmp(code, again) == 0);
}

static void emails(const char *text)
{
	char email[256], again[256];
	if (issuer_oauth_email(text, email, sizeof(email)) != 0)
		return;
	assert(strchr(email, '\n') == NULL && strchr(email, '"') == NULL);
	assert(issuer_oauth_email(email, again, sizeof(again)) == 0 && strcmp(email, again) == 0);
}

static void redirects(const char *text)
{
	static const char url[] = "https://control.example";
	const struct issuer_client *client = issuer_oauth_client("warren");
	enum issuer_redirect got = issuer_oauth_redirect(client, url, text);
	if (got == ISSUER_REDIRECT_LOOPBACK)
		assert(strncmp(text, "http://127.0.0.1:", 17) == 0 ||
		       strncmp(text, "http://[::1]:", 13) == 0);
	if (got == ISSUER_REDIRECT_OURS)
		assert(strcmp(text, "https://control.example/ssh/callback") == 0);
	if (got != ISSUER_REDIRECT_REFUSED)
		assert(strpbrk(text, "\r\n@#?\\") == NULL);
}

static void percent(const char *text)
{
	char encoded[2048], form[2060], back[2048];
	if (issuer_oauth_percent(text, encoded, sizeof(encoded)) != 0)
		return;
	memcpy(form, "v=", 2);
	memcpy(form + 2, encoded, strlen(encoded) + 1);
	assert(server_form_value(form, "v", back, sizeof(back)) == 0 && strcmp(back, text) == 0);
}

static void escape(const char *text)
{
	struct pages p = {0};
	buffer_init(&p.html, 1u << 20);
	pages_text(&p, text);
	const char *html = buffer_cstring(&p.html);
	assert(p.failed || strpbrk(html, "<>\"'\r\n") == NULL);
	pages_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char small[16];
	if (size == 0)
		return 0;
	char *text = malloc(size);
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	switch (data[0] % 6) {
	case 0:
		codes(text);
		break;
	case 1:
		emails(text);
		break;
	case 2:
		redirects(text);
		break;
	case 3:
		percent(text);
		break;
	case 4:
		escape(text);
		break;
	default:
		if (server_form_value(text, "i", small, sizeof(small)) == 0)
			assert(strlen(small) < sizeof(small));
		(void)issuer_oauth_scopes(text);
		(void)issuer_oauth_verifier_ok("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", text);
		(void)issuer_oauth_challenge_ok(text);
		break;
	}
	free(text);
	return 0;
}
