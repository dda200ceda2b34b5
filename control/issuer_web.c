/* SPDX-License-Identifier: Apache-2.0
 *
 * The browser's side of the embedded provider: /oidc/authorize (RFC 6749 section 4.1, RFC 7636 with
 * S256 only, RFC 8252, RFC 9207), /login, /oidc/continue. A request is kept as an interaction that
 * is bound to the browser's cookie; nothing it asked for is read from a form again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/issuer_internal.h"
#include "control/store_issuer.h"
#include "platform/log.h"
#include "platform/secret.h"

#define LOCATION_SIZE 4096
#define COOKIE_SIZE   192

void issuer_web_redirect(struct server_request *r, const char *location, const char *cookie)
{
	const char *headers[] = {cookie, NULL};
	server_redirect(r, location, cookie != NULL && cookie[0] != 0 ? headers : NULL);
}

bool issuer_web_person(struct issuer *i, struct server_request *r, struct issuer_person *ret_person)
{
	char cookie[PAGES_TOKEN_SIZE];
	return pages_read_cookie(r, i->secure, ISSUER_COOKIE_SSO, cookie, sizeof(cookie)) == 0 &&
	       issuer_flow_session(i->flow, cookie, ret_person);
}

/* Signed in, and recently enough for what was asked. */
static bool fresh_person(struct issuer *i, struct server_request *r,
			 const struct issuer_interaction *what, struct issuer_person *ret_person)
{
	return issuer_web_person(i, r, ret_person) &&
	       ret_person->auth_time_s >= what->request.min_auth_time_s;
}

static void interaction_over(struct server_request *r)
{
	pages_message(
		r, 410, "This page is over",
		"It was open for too long, was answered already, or belongs to another browser. "
		"Start the login again where you began it.");
}

/* Adds ?name=value or &name=value. */
static int add_parameter(char *location, const char *name, const char *value)
{
	char encoded[LOCATION_SIZE / 2];
	size_t len = strlen(location);
	int r = issuer_oauth_percent(value, encoded, sizeof(encoded));
	if (r != 0)
		return r;
	int n = snprintf(location + len, LOCATION_SIZE - len, "%c%s=%s",
			 strchr(location, '?') != NULL ? '&' : '?', name, encoded);
	return n > 0 && (size_t)n < LOCATION_SIZE - len ? 0 : -EMSGSIZE;
}

/* Sends the browser back to the client with name=value, state and iss. */
static void answer_client(struct issuer *i, struct server_request *r,
			  const struct issuer_request *what, const char *name, const char *value,
			  const char *description)
{
	char location[LOCATION_SIZE];
	snprintf(location, sizeof(location), "%s", what->redirect_uri);
	int e = add_parameter(location, name, value);
	if (e == 0 && description != NULL)
		e = add_parameter(location, "error_description", description);
	if (e == 0 && what->state[0] != 0)
		e = add_parameter(location, "state", what->state);
	if (e == 0)
		e = add_parameter(location, "iss", i->url);
	if (e != 0)
		pages_message(r, 400, "The request is too long",
			      "The program that sent you here asked for too much at once.");
	else
		issuer_web_redirect(r, location, NULL);
}

static void give_code(struct issuer *i, struct server_request *r, const char *interaction,
		      const struct issuer_interaction *what, const struct issuer_person *person)
{
	char code[PAGES_TOKEN_SIZE];
	struct issuer_request request = what->request;
	issuer_flow_code_open(i->flow, &request, person, code);
	issuer_flow_interaction_close(i->flow, interaction);
	answer_client(i, r, &request, "code", code, NULL);
	secret_wipe(code, sizeof(code));
}

/* ---- /oidc/authorize */

static int optional(const char *query, const char *name, char *out, size_t cap)
{
	int r = server_form_value(query, name, out, cap);
	if (r == -ENOENT) {
		out[0] = 0;
		return 0;
	}
	return r;
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = list; (at = strstr(at, word)) != NULL; at += len) {
		if ((at == list || at[-1] == ' ') && (at[len] == 0 || at[len] == ' '))
			return true;
	}
	return false;
}

/* -1 when absent, -2 when it is not a number of seconds. */
static int64_t max_age_of(const char *text)
{
	int64_t value = 0;
	if (text[0] == 0)
		return -1;
	for (; *text != 0; text++) {
		if (*text < '0' || *text > '9' || value > 1000000000)
			return -2;
		value = value * 10 + (*text - '0');
	}
	return value;
}

/* Everything behind client and redirect URI: the error that goes to the client, or NULL. */
static const char *read_request(const char *query, int64_t now_s, struct issuer_request *q,
				char prompt[static 64], const char **ret_description)
{
	char type[32], method[16], scope[512], max_age[16], unused[8];
	*ret_description = NULL;
	if (server_form_value(query, "request", unused, sizeof(unused)) != -ENOENT)
		return "request_not_supported";
	if (server_form_value(query, "request_uri", unused, sizeof(unused)) != -ENOENT)
		return "request_uri_not_supported";
	if (optional(query, "nonce", q->nonce, sizeof(q->nonce)) != 0 ||
	    optional(query, "prompt", prompt, 64) != 0 ||
	    optional(query, "max_age", max_age, sizeof(max_age)) != 0 ||
	    optional(query, "scope", scope, sizeof(scope)) != 0 ||
	    optional(query, "response_type", type, sizeof(type)) != 0 ||
	    optional(query, "code_challenge", q->challenge, sizeof(q->challenge)) != 0 ||
	    optional(query, "code_challenge_method", method, sizeof(method)) != 0) {
		*ret_description = "a parameter is too long, malformed or there twice";
		return "invalid_request";
	}
	if (strcmp(type, "code") != 0) {
		*ret_description = "response_type must be code";
		return "unsupported_response_type";
	}
	if (strcmp(method, "S256") != 0 || !issuer_oauth_challenge_ok(q->challenge)) {
		*ret_description = "PKCE with code_challenge_method S256 is required";
		return "invalid_request";
	}
	q->scopes = issuer_oauth_scopes(scope);
	if ((q->scopes & ISSUER_SCOPE_OPENID) == 0) {
		*ret_description = "scope must have openid";
		return "invalid_scope";
	}
	int64_t age = max_age_of(max_age);
	if (age == -2) {
		*ret_description = "max_age is not a number of seconds";
		return "invalid_request";
	}
	if (age >= 0)
		q->min_auth_time_s = now_s - age;
	if (has_word(prompt, "login") || has_word(prompt, "select_account"))
		q->min_auth_time_s = now_s;
	return NULL;
}

static void handle_authorize(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	const char *query = server_request_query(r), *error, *description;
	char client_id[64], prompt[64] = "", id[ISSUER_INTERACTION_ID_SIZE];
	struct issuer_interaction what = {0};
	struct issuer_request *q = &what.request;
	struct issuer_person person;
	struct pages_browser browser;
	struct endpoint source;

	if (!issuer_pace(i, r, "authorize", 300))
		return;
	if (server_form_value(query, "client_id", client_id, sizeof(client_id)) == 0)
		q->client = issuer_oauth_client(client_id);
	if (q->client == NULL) {
		pages_message(r, 400, "Unknown program",
			      "The program that sent you here is not known to this server.");
		return;
	}
	if (server_form_value(query, "redirect_uri", q->redirect_uri, sizeof(q->redirect_uri)) == 0)
		q->redirect = issuer_oauth_redirect(q->client, i->url, q->redirect_uri);
	/* From here on errors go to the client; never before the URI is known to be its own. */
	if (q->redirect == ISSUER_REDIRECT_REFUSED ||
	    optional(query, "state", q->state, sizeof(q->state)) != 0) {
		pages_message(
			r, 400, "The request is not right",
			"The program that sent you here named an address for the answer that is "
			"not its own.");
		return;
	}
	error = read_request(query, clock_realtime_s(i->c->clock), q, prompt, &description);
	if (error != NULL) {
		answer_client(i, r, q, "error", error, description);
		return;
	}
	if (has_word(prompt, "none")) {
		if (!fresh_person(i, r, &what, &person))
			answer_client(i, r, q, "error", "login_required", NULL);
		else if (q->redirect != ISSUER_REDIRECT_OURS)
			answer_client(i, r, q, "error", "consent_required", NULL);
		else
			give_code(i, r, "", &what, &person);
		return;
	}
	pages_browser(r, i->c->random, i->secure, &browser);
	server_request_source(r, &source);
	issuer_flow_interaction_open(i->flow, &what, &browser, &source, id);
	issuer_web_continue(i, r, &browser, id);
}

/* ---- /oidc/continue: the person agrees */

void issuer_web_continue(struct issuer *i, struct server_request *r,
			 const struct pages_browser *browser, const char *interaction)
{
	const struct issuer_interaction *what =
		issuer_flow_interaction(i->flow, interaction, browser);
	struct issuer_person person;
	char location[128];
	bool known = what != NULL && fresh_person(i, r, what, &person);
	snprintf(location, sizeof(location), "%s?i=%s", known ? "/oidc/continue" : "/login",
		 interaction);
	issuer_web_redirect(r, location, browser->set_cookie);
}

static void consent_page(struct issuer *i, struct server_request *r,
			 const struct pages_browser *browser, const char *id,
			 const struct issuer_interaction *what, const struct issuer_person *person)
{
	struct pages p;
	char csrf[PAGES_CSRF_SIZE], purpose[64];
	snprintf(purpose, sizeof(purpose), "continue:%s", id);
	pages_csrf(i->csrf_key, browser, purpose, csrf);
	pages_begin(&p, "Continue to Warren?");
	pages_paragraph(&p, "A program on this computer asks to act for you in Warren.");
	pages_facts_begin(&p);
	pages_fact(&p, "You are", person->email);
	pages_fact(&p, "Program", what->request.client->name);
	pages_facts_end(&p);
	pages_html(&p, "<p class=\"warn\">Go on only if you have just started a login yourself on "
		       "this computer.</p>\n");
	pages_form_begin(&p, "/oidc/continue", csrf);
	pages_hidden(&p, "i", id);
	pages_button(&p, "decision", "allow", "Continue", true);
	pages_button(&p, "decision", "refuse", "Cancel", false);
	pages_button(&p, "decision", "other", "Sign in as somebody else", false);
	pages_form_end(&p);
	pages_send(&p, r, 200, "ask", NULL);
}

static void handle_continue(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	char id[ISSUER_INTERACTION_ID_SIZE];
	struct issuer_person person;
	struct pages_browser browser;
	const struct issuer_interaction *what = NULL;

	pages_browser(r, i->c->random, i->secure, &browser);
	if (server_form_value(server_request_query(r), "i", id, sizeof(id)) == 0)
		what = issuer_flow_interaction(i->flow, id, &browser);
	if (what == NULL)
		interaction_over(r);
	else if (!fresh_person(i, r, what, &person))
		issuer_web_continue(i, r, &browser, id);
	else if (what->user_code[0] != 0)
		issuer_device_ask(i, r, &browser, id, what, &person);
	else if (what->request.redirect == ISSUER_REDIRECT_OURS)
		give_code(i, r, id, what, &person); /* our own page asked already */
	else
		consent_page(i, r, &browser, id, what, &person);
}

static void decide(struct issuer *i, struct server_request *r, const char *id,
		   const struct issuer_interaction *what, const struct issuer_person *person,
		   bool allow)
{
	if (what->user_code[0] != 0) {
		issuer_device_decide(i, r, id, what, person, allow);
	} else if (allow) {
		give_code(i, r, id, what, person);
	} else {
		struct issuer_request request = what->request;
		issuer_flow_interaction_close(i->flow, id);
		answer_client(i, r, &request, "error", "access_denied", NULL);
	}
}

static void handle_decision(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	const char *form = server_request_body(r, NULL);
	char id[ISSUER_INTERACTION_ID_SIZE], purpose[64], decision[16] = "", location[64];
	char cookie[PAGES_TOKEN_SIZE], gone[COOKIE_SIZE];
	struct issuer_person person;
	struct pages_browser browser;
	const struct issuer_interaction *what = NULL;

	pages_browser(r, i->c->random, i->secure, &browser);
	if (server_form_value(form, "i", id, sizeof(id)) == 0)
		what = issuer_flow_interaction(i->flow, id, &browser);
	snprintf(purpose, sizeof(purpose), "continue:%s", what != NULL ? id : "");
	if (what == NULL || !pages_csrf_ok(i->csrf_key, &browser, purpose, form) ||
	    server_form_value(form, "decision", decision, sizeof(decision)) != 0) {
		interaction_over(r);
		return;
	}
	if (strcmp(decision, "other") == 0) {
		if (pages_read_cookie(r, i->secure, ISSUER_COOKIE_SSO, cookie, sizeof(cookie)) == 0)
			issuer_flow_session_close(i->flow, cookie);
		pages_cookie(gone, sizeof(gone), i->secure, ISSUER_COOKIE_SSO, "", 0);
		snprintf(location, sizeof(location), "/login?i=%s", id);
		issuer_web_redirect(r, location, gone);
		return;
	}
	if (!fresh_person(i, r, what, &person)) {
		issuer_web_continue(i, r, &browser, id);
		return;
	}
	decide(i, r, id, what, &person, strcmp(decision, "allow") == 0);
}

int issuer_web_routes(struct issuer *i)
{
	struct server *s = i->c->server;
	unsigned all = 1u << SERVER_PUBLIC;
	int r = server_route(s, all, "GET", "/oidc/authorize", handle_authorize, i);
	if (r == 0)
		r = server_route(s, all, "GET", "/oidc/continue", handle_continue, i);
	if (r == 0)
		r = server_route(s, all, "POST", "/oidc/continue", handle_decision, i);
	if (r == 0)
		r = issuer_login_routes(i);
	return r;
}
