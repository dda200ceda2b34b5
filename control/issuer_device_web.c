/* SPDX-License-Identifier: Apache-2.0
 *
 * /device: the person's side of a device login (RFC 8628 section 3.3). The code is typed or comes
 * with the link, the person signs in, sees what asks from where, and decides.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/issuer_internal.h"

#define CODES_PER_MINUTE 10 /* RFC 8628 section 5.1: guessing */

static void code_page(struct issuer *i, struct server_request *r, int status,
		      const struct pages_browser *browser, const char *code, const char *complaint)
{
	struct pages p;
	char csrf[PAGES_CSRF_SIZE];
	const char *cookies[] = {browser->set_cookie, NULL};
	bool given = code[0] != 0 && complaint == NULL;

	pages_csrf(i->csrf_key, browser, "device", csrf);
	pages_begin(&p, given ? "Is this your code?" : "Enter the code");
	if (complaint != NULL) {
		pages_html(&p, "<p class=\"warn\" role=\"alert\">");
		pages_text(&p, complaint);
		pages_html(&p, "</p>\n");
	}
	pages_paragraph(&p, given ? "Go on if your terminal shows this very code."
				  : "Your terminal shows a code of eight letters.");
	pages_form_begin(&p, "/device", csrf);
	pages_html(&p,
		   "<label for=\"code\">Code</label>\n"
		   "<input id=\"code\" name=\"user_code\" class=\"code\" autocomplete=\"off\" "
		   "autocapitalize=\"characters\" spellcheck=\"false\" required maxlength=\"16\" "
		   "placeholder=\"XXXX-XXXX\" value=\"");
	pages_text(&p, code);
	pages_html(&p, "\">\n");
	pages_button(&p, "action", "code", "Continue", true);
	pages_form_end(&p);
	pages_html(&p, "<p class=\"note\">Nobody should ever send you this code. If somebody did, "
		       "close this page.</p>\n");
	pages_send(&p, r, status, "ask", cookies);
}

static void handle_device(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	char typed[32], code[ISSUER_USER_CODE_SIZE] = "";
	struct pages_browser browser;

	if (!issuer_may_ask(i, r))
		return;
	pages_browser(r, i->c->random, i->secure, &browser);
	if (server_form_value(server_request_query(r), "user_code", typed, sizeof(typed)) != 0 ||
	    issuer_oauth_user_code_read(typed, code) != 0)
		code[0] = 0;
	code_page(i, r, 200, &browser, code, NULL);
}

static void handle_code(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	const char *form = server_request_body(r, NULL);
	char typed[32] = "", id[ISSUER_INTERACTION_ID_SIZE];
	struct issuer_interaction what = {0};
	struct pages_browser browser;
	struct endpoint source;

	if (!issuer_may_ask(i, r) || !issuer_pace(i, r, "user-code", CODES_PER_MINUTE))
		return;
	pages_browser(r, i->c->random, i->secure, &browser);
	if (!pages_csrf_ok(i->csrf_key, &browser, "device", form)) {
		code_page(i, r, 403, &browser, "",
			  "The page was open for too long. Please enter the code again.");
		return;
	}
	if (server_form_value(form, "user_code", typed, sizeof(typed)) != 0 ||
	    issuer_oauth_user_code_read(typed, what.user_code) != 0 ||
	    issuer_flow_device(i->flow, what.user_code) == NULL) {
		code_page(i, r, 404, &browser, typed,
			  "No login waits for this code. Codes are good for ten minutes; start the "
			  "login "
			  "again in your terminal.");
		return;
	}
	issuer_unpace(i, r, "user-code", CODES_PER_MINUTE); /* only guesses count */
	server_request_source(r, &source);
	issuer_flow_interaction_open(i->flow, &what, &browser, &source, id);
	issuer_web_continue(i, r, &browser, id);
}

static void code_over(struct server_request *r)
{
	pages_message(
		r, 410, "This code is over",
		"It was answered already or took longer than ten minutes. Start the login again "
		"in your terminal.");
}

void issuer_device_ask(struct issuer *i, struct server_request *r,
		       const struct pages_browser *browser, const char *interaction,
		       const struct issuer_interaction *what, const struct issuer_person *person)
{
	const struct issuer_device_request *asked = issuer_flow_device(i->flow, what->user_code);
	struct pages p;
	char csrf[PAGES_CSRF_SIZE], purpose[64], address[IP_ADDR_STRLEN], ago[64];
	struct ip_addr addr;

	if (asked == NULL) {
		code_over(r);
		return;
	}
	endpoint_ip(&asked->source, &addr);
	ip_addr_format(&addr, address);
	int64_t age = clock_realtime_s(i->c->clock) - asked->created_s;
	if (age < 60)
		snprintf(ago, sizeof(ago), "less than a minute ago");
	else
		snprintf(ago, sizeof(ago), "%d min ago", (int)(age / 60));
	snprintf(purpose, sizeof(purpose), "continue:%s", interaction);
	pages_csrf(i->csrf_key, browser, purpose, csrf);

	pages_begin(&p, "Sign in on a terminal?");
	pages_paragraph(&p, "A program asks to act for you in Warren.");
	pages_facts_begin(&p);
	pages_fact(&p, "You are", person->email);
	pages_fact(&p, "Program", asked->client->name);
	pages_fact(&p, "Code", what->user_code);
	pages_fact(&p, "Asked from", address);
	pages_fact(&p, "Asked", ago);
	pages_facts_end(&p);
	pages_html(&p,
		   "<p class=\"warn\">Allow it only if you started it yourself and your terminal "
		   "shows this code.</p>\n");
	pages_form_begin(&p, "/oidc/continue", csrf);
	pages_hidden(&p, "i", interaction);
	pages_button(&p, "decision", "allow", "Allow", true);
	pages_button(&p, "decision", "refuse", "Refuse", false);
	pages_button(&p, "decision", "other", "Sign in as somebody else", false);
	pages_form_end(&p);
	pages_send(&p, r, 200, "ask", NULL);
}

void issuer_device_decide(struct issuer *i, struct server_request *r, const char *interaction,
			  const struct issuer_interaction *what, const struct issuer_person *person,
			  bool allow)
{
	struct issuer_interaction copy = *what;
	int e;
	issuer_flow_interaction_close(i->flow, interaction);
	if (allow)
		e = issuer_flow_device_allow(i->flow, copy.user_code, person);
	else
		e = issuer_flow_device_refuse(i->flow, copy.user_code);
	if (e != 0)
		code_over(r);
	else if (allow)
		pages_message(r, 200, "You are signed in",
			      "Your terminal goes on by itself. You can close this page.");
	else
		pages_message(r, 200, "Refused",
			      "The program was told that you refused. You can close this page.");
}

int issuer_device_routes(struct issuer *i)
{
	struct server *s = i->c->server;
	int r = server_route(s, 1u << SERVER_PUBLIC, "GET", "/device", handle_device, i);
	if (r == 0)
		r = server_route(s, 1u << SERVER_PUBLIC, "POST", "/device", handle_code, i);
	return r;
}
