/* SPDX-License-Identifier: Apache-2.0
 *
 * /login: e-mail address and password. Tries are counted by account, by source, and by both; a
 * wrong address costs the time of a wrong password and reads the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/issuer_internal.h"
#include "control/store_issuer.h"
#include "platform/log.h"
#include "platform/secret.h"

#define LIMITS 3

static const struct issuer_rate limits[LIMITS] = {
	{5, 30 * NSEC_PER_SEC},	 /* this account from this source */
	{30, 5 * NSEC_PER_SEC},	 /* this source */
	{30, 10 * NSEC_PER_SEC}, /* this account */
};

struct login_job {
	struct server_request *r;
	struct issuer *i;
	char interaction[ISSUER_INTERACTION_ID_SIZE];
	struct pages_browser browser;
	char limit_keys[LIMITS][384];
	char *password;
	struct store_issuer_user user;
};

static void job_free(struct login_job *job)
{
	secret_free(job->password);
	issuer_unref(job->i);
	secret_wipe(job, sizeof(*job));
	free(job);
}

static void login_page(struct issuer *i, struct server_request *r, int status,
		       const struct pages_browser *browser, const char *id, const char *email,
		       const char *complaint)
{
	struct pages p;
	char csrf[PAGES_CSRF_SIZE], purpose[64];
	const char *cookies[] = {browser->set_cookie, NULL};

	snprintf(purpose, sizeof(purpose), "login:%s", id);
	pages_csrf(i->csrf_key, browser, purpose, csrf);
	pages_begin(&p, "Sign in");
	if (complaint != NULL) {
		pages_html(&p, "<p class=\"warn\" role=\"alert\">");
		pages_text(&p, complaint);
		pages_html(&p, "</p>\n");
	}
	pages_form_begin(&p, "/login", csrf);
	pages_hidden(&p, "i", id);
	pages_html(&p,
		   "<label for=\"email\">E-mail address</label>\n"
		   "<input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"username\" "
		   "required autofocus maxlength=\"254\" value=\"");
	pages_text(&p, email);
	pages_html(&p, "\">\n<label for=\"password\">Password</label>\n"
		       "<input id=\"password\" name=\"password\" type=\"password\" "
		       "autocomplete=\"current-password\" required maxlength=\"512\">\n");
	pages_button(&p, "action", "login", "Sign in", true);
	pages_form_end(&p);
	pages_send(&p, r, status, "ask", cookies);
}

static void over(struct server_request *r)
{
	pages_message(
		r, 410, "This page is over",
		"It was open for too long, was answered already, or belongs to another browser. "
		"Start the login again where you began it.");
}

static void handle_login_page(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	char id[ISSUER_INTERACTION_ID_SIZE];
	struct pages_browser browser;

	if (!issuer_may_ask(i, r))
		return;
	pages_browser(r, i->c->random, i->secure, &browser);
	if (server_form_value(server_request_query(r), "i", id, sizeof(id)) != 0 ||
	    issuer_flow_interaction(i->flow, id, &browser) == NULL)
		over(r);
	else
		login_page(i, r, 200, &browser, id, "", NULL);
}

/* ---- POST */

static bool take_tries(struct login_job *job, unsigned *ret_wait_s)
{
	struct issuer *i = job->i;
	uint64_t now = clock_monotonic_ns(i->c->clock);
	for (size_t n = 0; n < LIMITS; n++) {
		if (issuer_throttle_take(i->throttle, job->limit_keys[n], &limits[n], now,
					 ret_wait_s))
			continue;
		while (n-- > 0)
			issuer_throttle_give(i->throttle, job->limit_keys[n], &limits[n]);
		return false;
	}
	return true;
}

static void give_tries(struct login_job *job)
{
	for (size_t n = 0; n < LIMITS; n++)
		issuer_throttle_give(job->i->throttle, job->limit_keys[n], &limits[n]);
}

static void busy(struct login_job *job)
{
	struct server_request *r = issuer_resume(&job->r);
	give_tries(job);
	if (r != NULL)
		login_page(job->i, r, 503, &job->browser, job->interaction, job->user.email,
			   "The server is busy. Please try again in a moment.");
	job_free(job);
}

static void password_judged(void *ctx, bool right)
{
	struct login_job *job = ctx;
	struct issuer *i = job->i;
	struct server_request *r = issuer_resume(&job->r);
	struct issuer_person person = {.auth_time_s = clock_realtime_s(i->c->clock)};
	char token[PAGES_TOKEN_SIZE], cookie[192], location[64];

	if (right && !job->user.disabled)
		give_tries(job);
	if (r == NULL) {
		job_free(job);
		return;
	}
	if (!right || job->user.disabled) {
		log_info("login refused", "email=%s", job->user.email);
		login_page(i, r, 403, &job->browser, job->interaction, job->user.email,
			   "The e-mail address or the password is wrong.");
		job_free(job);
		return;
	}
	log_info("login accepted", "email=%s", job->user.email);
	memcpy(person.email, job->user.email, sizeof(person.email));
	issuer_flow_session_open(i->flow, &person, token);
	pages_cookie(cookie, sizeof(cookie), i->secure, ISSUER_COOKIE_SSO, token, ISSUER_SESSION_S);
	snprintf(location, sizeof(location), "/oidc/continue?i=%s", job->interaction);
	issuer_web_redirect(r, location, cookie);
	secret_wipe(token, sizeof(token));
	secret_wipe(cookie, sizeof(cookie));
	job_free(job);
}

static int get_user(void *db, void *arg)
{
	struct login_job *job = arg;
	return store_issuer_get(db, &job->user);
}

static void user_found(void *arg, int result)
{
	struct login_job *job = arg;
	if (result != 0 && result != -ENOENT) {
		busy(job);
		return;
	}
	int r = issuer_password_verify_start(&job->i->pool, result == 0 ? job->user.password : NULL,
					     job->password, password_judged, job);
	secret_free(job->password);
	job->password = NULL;
	if (r != 0)
		busy(job);
}

/* Reads the form; false: the page asks again or is over, and r is answered. */
static bool read_form(struct login_job *job, struct server_request *r)
{
	struct issuer *i = job->i;
	const char *form = server_request_body(r, NULL);
	char purpose[64], email[256];
	struct endpoint source;

	if (server_form_value(form, "i", job->interaction, sizeof(job->interaction)) != 0 ||
	    issuer_flow_interaction(i->flow, job->interaction, &job->browser) == NULL) {
		over(r);
		return false;
	}
	snprintf(purpose, sizeof(purpose), "login:%s", job->interaction);
	if (!pages_csrf_ok(i->csrf_key, &job->browser, purpose, form)) {
		over(r);
		return false;
	}
	job->password = secret_alloc(ISSUER_PASSWORD_MAX + 1);
	if (job->password == NULL || server_form_value(form, "email", email, sizeof(email)) != 0 ||
	    server_form_value(form, "password", job->password, ISSUER_PASSWORD_MAX + 1) != 0 ||
	    job->password[0] == 0 ||
	    issuer_oauth_email(email, job->user.email, sizeof(job->user.email)) != 0) {
		login_page(i, r, 403, &job->browser, job->interaction, "",
			   "Please give your e-mail address and your password.");
		return false;
	}
	server_request_source(r, &source);
	issuer_throttle_source("login", &source, job->limit_keys[1], sizeof(job->limit_keys[1]));
	snprintf(job->limit_keys[0], sizeof(job->limit_keys[0]), "%.100s|%s", job->limit_keys[1],
		 job->user.email);
	snprintf(job->limit_keys[2], sizeof(job->limit_keys[2]), "account|%s", job->user.email);
	return true;
}

static void handle_login(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	unsigned wait = 0;

	if (!issuer_may_ask(i, r))
		return;
	struct login_job *job = calloc(1, sizeof(*job));
	if (job == NULL) {
		server_reply_error(r, 503, "unavailable", "out of memory");
		return;
	}
	job->i = issuer_ref(i);
	pages_browser(r, i->c->random, i->secure, &job->browser);
	if (!read_form(job, r)) {
		job_free(job);
		return;
	}
	if (!take_tries(job, &wait)) {
		char text[128];
		snprintf(text, sizeof(text),
			 "There were too many tries. Please try again in %u seconds.", wait);
		login_page(i, r, 429, &job->browser, job->interaction, job->user.email, text);
		job_free(job);
		return;
	}
	issuer_hold(r, &job->r);
	if (store_job(i->c->store, get_user, job, user_found) != 0)
		busy(job);
}

int issuer_login_routes(struct issuer *i)
{
	struct server *s = i->c->server;
	int r = server_route(s, 1u << SERVER_PUBLIC, "GET", "/login", handle_login_page, i);
	if (r == 0)
		r = server_route(s, 1u << SERVER_PUBLIC, "POST", "/login", handle_login, i);
	return r;
}
