/* SPDX-License-Identifier: Apache-2.0
 *
 * HTML of the issuer's and the login's pages. The only way for foreign text into a page is
 * pages_text; the Content-Security-Policy allows our style sheet by its hash and nothing else.
 */
#include "control/pages.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "control/pages_style.h"
#include "platform/encode.h"
#include "platform/secret.h"

#define PAGE_MAX       (64u << 10)
#define COOKIE_BROWSER "warren-browser"
#define BROWSER_AGE_S  3600

static void add(struct pages *p, const char *text, size_t len)
{
	if (!p->failed && buffer_append(&p->html, text, len) != 0)
		p->failed = true;
}

void pages_html(struct pages *p, const char *html)
{
	add(p, html, strlen(html));
}

/* Length of the UTF-8 sequence at s (RFC 3629), 0 when it is none; *ret_code its character. */
static size_t utf8_at(const uint8_t *s, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80	     ? 1
		     : (s[0] & 0xe0) == 0xc0 ? 2
		     : (s[0] & 0xf0) == 0xe0 ? 3
		     : (s[0] & 0xf8) == 0xf0 ? 4
					     : 0;
	if (len == 0)
		return 0;
	uint32_t code = len == 1 ? s[0] : s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return len;
}

/* Control characters, and those that turn the direction of what follows: a name must not be able to
 * make a page read differently. */
static bool is_invisible(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c ||
	       (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

void pages_text(struct pages *p, const char *text)
{
	const uint8_t *s = (const uint8_t *)text;
	while (*s != 0) {
		uint32_t code = 0;
		size_t len = utf8_at(s, &code);
		if (len == 0) {
			pages_html(p, "?");
			s++;
			continue;
		}
		if (is_invisible(code))
			pages_html(p, " ");
		else if (code == '<')
			pages_html(p, "&lt;");
		else if (code == '>')
			pages_html(p, "&gt;");
		else if (code == '&')
			pages_html(p, "&amp;");
		else if (code == '"')
			pages_html(p, "&quot;");
		else if (code == '\'')
			pages_html(p, "&#39;");
		else
			add(p, (const char *)s, len);
		s += len;
	}
}

void pages_begin(struct pages *p, const char *title)
{
	buffer_init(&p->html, PAGE_MAX);
	p->failed = false;
	pages_html(p, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		      "<meta name=\"robots\" content=\"noindex\">\n<title>");
	pages_text(p, title);
	pages_html(p, " · Warren</title>\n<style>");
	pages_html(p, pages_style);
	pages_html(p, "</style></head>\n<body><main>\n<p class=\"brand\">");
	pages_html(p, pages_mark);
	pages_html(p, "Warren</p>\n<h1>");
	pages_text(p, title);
	pages_html(p, "</h1>\n");
}

void pages_paragraph(struct pages *p, const char *text)
{
	pages_html(p, "<p>");
	pages_text(p, text);
	pages_html(p, "</p>\n");
}

void pages_facts_begin(struct pages *p)
{
	pages_html(p, "<dl>\n");
}

void pages_fact(struct pages *p, const char *name, const char *value)
{
	pages_html(p, "<div><dt>");
	pages_text(p, name);
	pages_html(p, "</dt><dd>");
	pages_text(p, value);
	pages_html(p, "</dd></div>\n");
}

void pages_facts_end(struct pages *p)
{
	pages_html(p, "</dl>\n");
}

void pages_form_begin(struct pages *p, const char *action, const char *csrf)
{
	pages_html(p, "<form method=\"post\" action=\"");
	pages_text(p, action);
	pages_html(p, "\">\n");
	pages_hidden(p, "csrf", csrf);
}

void pages_hidden(struct pages *p, const char *name, const char *value)
{
	pages_html(p, "<input type=\"hidden\" name=\"");
	pages_text(p, name);
	pages_html(p, "\" value=\"");
	pages_text(p, value);
	pages_html(p, "\">\n");
}

void pages_button(struct pages *p, const char *name, const char *value, const char *label,
		  bool primary)
{
	pages_html(p, primary ? "<button class=\"primary\" name=\"" : "<button name=\"");
	pages_text(p, name);
	pages_html(p, "\" value=\"");
	pages_text(p, value);
	pages_html(p, "\">");
	pages_text(p, label);
	pages_html(p, "</button>\n");
}

void pages_form_end(struct pages *p)
{
	pages_html(p, "</form>\n");
}

void pages_done(struct pages *p)
{
	buffer_done(&p->html);
}

/* No form-action: Chrome applies it to redirects too, and a login ends at a native app's loopback
 * address. Forms are protected by their token. */
static void security_policy(char *out, size_t cap)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	char text[ENCODE_BASE64_SIZE(sizeof(hash))];
	crypto_hash_sha256(hash, (const uint8_t *)pages_style, strlen(pages_style));
	encode_base64(text, hash, sizeof(hash));
	snprintf(out, cap,
		 "Content-Security-Policy: default-src 'none'; style-src 'sha256-%s'; "
		 "frame-ancestors 'none'; base-uri 'none'",
		 text);
}

void pages_send(struct pages *p, struct server_request *r, int status, const char *state,
		const char *const *cookies)
{
	char policy[192];
	const char *headers[16];
	size_t count = 0;

	pages_html(p, "<data id=\"warren-state\" value=\"");
	pages_text(p, state);
	pages_html(p, "\"></data>\n</main></body></html>\n");
	security_policy(policy, sizeof(policy));
	headers[count++] = policy;
	for (; cookies != NULL && *cookies != NULL && count < 15; cookies++) {
		if (**cookies != 0)
			headers[count++] = *cookies;
	}
	headers[count] = NULL;
	if (p->failed)
		server_reply_error(r, 500, "internal", "the page could not be made");
	else
		server_reply(r, status, "text/html; charset=utf-8", headers, p->html.data,
			     p->html.len);
	pages_done(p);
}

void pages_message(struct server_request *r, int status, const char *title, const char *text)
{
	struct pages p;
	pages_begin(&p, title);
	pages_paragraph(&p, text);
	pages_send(&p, r, status, status < 400 ? "done" : "failed", NULL);
}

void pages_token(const struct random_source *random, char ret_token[static PAGES_TOKEN_SIZE])
{
	uint8_t raw[PAGES_TOKEN_BYTES];
	random_bytes(random, raw, sizeof(raw));
	encode_base64url(ret_token, raw, sizeof(raw));
	secret_wipe(raw, sizeof(raw));
}

void pages_hash(const char *token, uint8_t ret_hash[32])
{
	crypto_hash_sha256(ret_hash, (const uint8_t *)token, strlen(token));
}

static void cookie_name(char *out, size_t cap, bool secure, const char *name)
{
	snprintf(out, cap, "%s%s", secure ? "__Host-" : "", name);
}

void pages_cookie(char *out, size_t cap, bool secure, const char *name, const char *value,
		  unsigned max_age_s)
{
	char full[64];
	cookie_name(full, sizeof(full), secure, name);
	snprintf(out, cap, "Set-Cookie: %s=%s; Path=/; Max-Age=%u; HttpOnly; SameSite=Lax%s", full,
		 value, max_age_s, secure ? "; Secure" : "");
}

int pages_read_cookie(const struct server_request *r, bool secure, const char *name, char *out,
		      size_t cap)
{
	char full[64];
	cookie_name(full, sizeof(full), secure, name);
	return server_request_cookie(r, full, out, cap);
}

void pages_browser(const struct server_request *r, const struct random_source *random, bool secure,
		   struct pages_browser *ret_browser)
{
	uint8_t raw[PAGES_TOKEN_BYTES];
	struct pages_browser *b = ret_browser;
	memset(b, 0, sizeof(*b));
	if (pages_read_cookie(r, secure, COOKIE_BROWSER, b->id, sizeof(b->id)) != 0 ||
	    encode_base64url_exact(raw, sizeof(raw), b->id) != 0) {
		pages_token(random, b->id);
		pages_cookie(b->set_cookie, sizeof(b->set_cookie), secure, COOKIE_BROWSER, b->id,
			     BROWSER_AGE_S);
	}
	secret_wipe(raw, sizeof(raw));
	pages_hash(b->id, b->hash);
}

void pages_csrf(const uint8_t key[32], const struct pages_browser *browser, const char *purpose,
		char ret_token[static PAGES_CSRF_SIZE])
{
	uint8_t hash[32];
	crypto_generichash_state st;
	crypto_generichash_init(&st, key, 32, sizeof(hash));
	crypto_generichash_update(&st, browser->hash, sizeof(browser->hash));
	crypto_generichash_update(&st, (const uint8_t *)purpose, strlen(purpose));
	crypto_generichash_final(&st, hash, sizeof(hash));
	encode_base64url(ret_token, hash, sizeof(hash));
	secret_wipe(&st, sizeof(st));
}

bool pages_csrf_ok(const uint8_t key[32], const struct pages_browser *browser, const char *purpose,
		   const char *form)
{
	char given[PAGES_CSRF_SIZE], expected[PAGES_CSRF_SIZE];
	/* A cookie that was made just now cannot have been in the form's page. */
	if (browser->set_cookie[0] != 0)
		return false;
	if (server_form_value(form, "csrf", given, sizeof(given)) != 0 ||
	    strlen(given) != PAGES_CSRF_SIZE - 1)
		return false;
	pages_csrf(key, browser, purpose, expected);
	return secret_equal(given, expected, PAGES_CSRF_SIZE - 1);
}
