/* SPDX-License-Identifier: Apache-2.0
 *
 * The pages that people see in a browser: plain HTML and one style sheet, no scripts. Everything
 * that is not a literal of ours goes through pages_text. Also the browser's cookie and the token
 * against forged forms (CSRF) that is derived from it. Loop thread only.
 */
#ifndef WARREN_CONTROL_PAGES_H
#define WARREN_CONTROL_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/server.h"
#include "platform/buffer.h"
#include "platform/clock.h"

#define PAGES_TOKEN_BYTES 32
#define PAGES_TOKEN_SIZE  44 /* base64url of it and a NUL */
#define PAGES_CSRF_SIZE	  44

struct pages {
	struct buffer html;
	bool failed; /* out of memory or too long: sent as a plain 500 */
};

/* Starts a page; title is literal or foreign text (escaped) and also its heading. */
void pages_begin(struct pages *p, const char *title);
/* html is a literal of ours. */
void pages_html(struct pages *p, const char *html);
/* Any text: < > & " ' become entities, control and bidirectional-override characters a blank, bytes
 * that are not UTF-8 a question mark. Safe in content and in double-quoted attributes. */
void pages_text(struct pages *p, const char *text);
/* "<p>…</p>" of text. */
void pages_paragraph(struct pages *p, const char *text);
/* A row of a table of facts, between pages_facts_begin and _end. */
void pages_facts_begin(struct pages *p);
void pages_fact(struct pages *p, const char *name, const char *value);
void pages_facts_end(struct pages *p);
/* A POST form with the token against forgery as its first hidden field. */
void pages_form_begin(struct pages *p, const char *action, const char *csrf);
void pages_hidden(struct pages *p, const char *name, const char *value);
/* A submit button; primary is the one that goes on. */
void pages_button(struct pages *p, const char *name, const char *value, const char *label,
		  bool primary);
void pages_form_end(struct pages *p);
/* Ends the page, answers and frees p. state is the value of the page's "warren-state" element,
 * for scripts: "ask", "done" or "failed". cookies: "Set-Cookie: …" lines, NULL-terminated or NULL.
 */
void pages_send(struct pages *p, struct server_request *r, int status, const char *state,
		const char *const *cookies);
void pages_done(struct pages *p); /* frees without sending */
/* A page of a heading and one paragraph. */
void pages_message(struct server_request *r, int status, const char *title, const char *text);

/* The browser as the cookie names it: known before anybody logs in, so that a flow ends in the
 * browser it began in. */
struct pages_browser {
	char id[PAGES_TOKEN_SIZE];
	uint8_t hash[32];
	char set_cookie[192]; /* "" when the browser sent the cookie */
};
/* Reads the cookie or makes a new one. secure: the public URL is https. */
void pages_browser(const struct server_request *r, const struct random_source *random, bool secure,
		   struct pages_browser *ret_browser);
/* "Set-Cookie: …" of an HttpOnly, SameSite=Lax cookie, with "__Host-" and Secure when secure; empty
 * value and max_age_s 0 delete it. */
void pages_cookie(char *out, size_t cap, bool secure, const char *name, const char *value,
		  unsigned max_age_s);
int pages_read_cookie(const struct server_request *r, bool secure, const char *name, char *out,
		      size_t cap) WARREN_MUST_USE;

/* Token of a form: keyed hash of the browser's cookie and the form's purpose. */
void pages_csrf(const uint8_t key[32], const struct pages_browser *browser, const char *purpose,
		char ret_token[static PAGES_CSRF_SIZE]);
bool pages_csrf_ok(const uint8_t key[32], const struct pages_browser *browser, const char *purpose,
		   const char *form);

/* 256 random bits in base64url, and the hash that is stored in their place. */
void pages_token(const struct random_source *random, char ret_token[static PAGES_TOKEN_SIZE]);
void pages_hash(const char *token, uint8_t ret_hash[32]);

#endif
