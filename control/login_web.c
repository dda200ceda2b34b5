/* SPDX-License-Identifier: Apache-2.0
 *
 * The person's side of a connection's login: /ssh/ID says who asks for what from where before the
 * provider is asked, /ssh/callback takes the provider's answer, and /ssh/ID then asks once more
 * with the identity in sight. Only the browser that pressed Continue can finish, so a link that was
 * sent to somebody else cannot be finished by the one who sent it.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/login_internal.h"
#include "platform/encode.h"
#include "platform/secret.h"

#define PREFIX "/ssh/"

static void over(struct server_request *r)
{
	pages_message(
		r, 410, "This login is over",
		"It was answered already, took longer than ten minutes, or never was. Connect "
		"again in your terminal to get a new link.");
}

static void redirect_uri(const struct control *c, char *out, size_t cap)
{
	snprintf(out, cap, "%s/ssh/callback", c->config->public_url);
}

/* "second (100.64.0.2)" or the id of a peer that has gone. */
static void peer_text(const struct state *state, const char *id, const struct ip_addr *addr,
		      char *out, size_t cap)
{
	const struct state_peer *p = state_peer(state, id);
	char address[IP_ADDR_STRLEN];
	if (addr != NULL)
		snprintf(out, cap, "%s (%s)", p != NULL ? p->name : id,
			 ip_addr_format(addr, address));
	else
		snprintf(out, cap, "%s", p != NULL ? p->name : id);
}

static void facts(struct login_service *l, struct pages *p, const struct login_pending *e)
{
	char target[128], caller[128];
	peer_text(l->c->state, e->target, NULL, target, sizeof(target));
	peer_text(l->c->state, e->caller, &e->caller_address, caller, sizeof(caller));
	pages_facts_begin(p);
	if (e->known)
		pages_fact(p, "You are", e->identity.user);
	pages_fact(p, "Account", e->login);
	pages_fact(p, "Machine", target);
	pages_fact(p, "Asked from", caller);
	pages_facts_end(p);
}

static void form(struct login_service *l, struct pages *p, const struct login_pending *e,
		 const struct pages_browser *browser)
{
	char csrf[PAGES_CSRF_SIZE], purpose[64], action[64];
	snprintf(purpose, sizeof(purpose), "%s:%s", e->known ? "confirm" : "start", e->id);
	snprintf(action, sizeof(action), PREFIX "%s", e->id);
	pages_csrf(l->csrf_key, browser, purpose, csrf);
	pages_form_begin(p, action, csrf);
	if (e->known) {
		pages_button(p, "decision", "allow", "Allow", true);
		pages_button(p, "decision", "refuse", "Refuse", false);
	} else {
		pages_button(p, "decision", "continue", "Continue", true);
		pages_button(p, "decision", "other", "Continue as somebody else", false);
	}
	pages_form_end(p);
}

static void start_page(struct login_service *l, struct server_request *r,
		       const struct login_pending *e, const struct pages_browser *browser)
{
	struct pages p;
	const char *cookies[] = {browser->set_cookie, NULL};
	/* Another browser's identity is none of this one's business. */
	struct login_pending view = *e;
	view.known = false;
	pages_begin(&p, "Log in to a machine?");
	pages_paragraph(&p, "An SSH connection waits for you to sign in.");
	facts(l, &p, &view);
	pages_html(&p, "<p class=\"warn\">Go on only if you opened this connection yourself, just "
		       "now.</p>\n");
	form(l, &p, &view, browser);
	pages_send(&p, r, 200, "ask", cookies);
}

static void confirm_page(struct login_service *l, struct server_request *r,
			 const struct login_pending *e, const struct pages_browser *browser)
{
	struct pages p;
	char title[640], target[128], caller[128];
	peer_text(l->c->state, e->target, NULL, target, sizeof(target));
	peer_text(l->c->state, e->caller, &e->caller_address, caller, sizeof(caller));
	snprintf(title, sizeof(title), "%.255s logs in as %s on %s, asked from %s",
		 e->identity.user, e->login, target, caller);
	pages_begin(&p, title);
	facts(l, &p, e);
	form(l, &p, e, browser);
	pages_send(&p, r, 200, "ask", NULL);
}

static struct login_pending *entry_of(struct login_service *l, const struct server_request *r)
{
	struct login_pending *e =
		login_table_find(l->table, server_request_path(r) + sizeof(PREFIX) - 1);
	return e != NULL && e->state == LOGIN_PENDING ? e : NULL;
}

static void handle_page(void *ctx, struct server_request *r)
{
	struct login_service *l = ctx;
	struct login_pending *e = entry_of(l, r);
	struct pages_browser browser;

	pages_browser(r, l->c->random, l->secure, &browser);
	if (e == NULL)
		over(r);
	else if (e->known && login_table_owner(e, &browser))
		confirm_page(l, r, e, &browser);
	else
		start_page(l, r, e, &browser);
}

/* ---- to the provider */

struct web_job {
	struct server_request *r;
	struct login_service *l;
	char id[LOGIN_ID_SIZE];
	unsigned asks; /* the Continue that this belongs to */
};

static struct web_job *job_new(struct login_service *l, struct server_request *r, const char *id)
{
	struct web_job *job = calloc(1, sizeof(*job));
	if (job == NULL) {
		server_reply_error(r, 503, "unavailable", "out of memory");
		return NULL;
	}
	job->l = login_ref(l);
	snprintf(job->id, sizeof(job->id), "%s", id);
	login_hold(r, &job->r);
	return job;
}

static void job_free(struct web_job *job)
{
	login_unref(job->l);
	free(job);
}

static void provider_down(struct server_request *r, const struct error *err)
{
	char text[700];
	snprintf(text, sizeof(text),
		 "The provider of logins does not answer as it should: %s. Go back and try again.",
		 error_text(err));
	pages_message(r, 502, "Signing in does not work now", text);
}

static void url_made(void *ctx, const char *url, const struct error *err)
{
	struct web_job *job = ctx;
	struct server_request *r = login_resume(&job->r);
	if (r != NULL && url != NULL)
		server_redirect(r, url, NULL);
	else if (r != NULL)
		provider_down(r, err);
	job_free(job);
}

static void ask_provider(struct login_service *l, struct server_request *r, struct login_pending *e,
			 const struct pages_browser *browser, bool other)
{
	char state[PAGES_TOKEN_SIZE], challenge[ENCODE_BASE64URL_SIZE(32)], uri[300];
	uint8_t hash[32];
	struct web_job *job = job_new(l, r, e->id);

	if (job == NULL)
		return;
	login_table_ask(l->table, e, browser, state);
	crypto_hash_sha256(hash, (const uint8_t *)e->verifier, strlen(e->verifier));
	encode_base64url(challenge, hash, sizeof(hash));
	redirect_uri(l->c, uri, sizeof(uri));
	if (oidc_authorize_url(l->c->oidc, uri, state, e->nonce, challenge, other ? "login" : NULL,
			       url_made, job) != 0) {
		struct error err = {.code = -EIO, .text = "it cannot be asked"};
		provider_down(login_resume(&job->r), &err);
		job_free(job);
	}
	secret_wipe(state, sizeof(state));
}

/* ---- the answer */

static bool judged(struct login_service *l, const struct login_pending *e,
		   struct policy_ssh_decision *ret_decision)
{
	const struct state_peer *target = state_peer(l->c->state, e->target);
	struct login_question question = {.caller = e->caller,
					  .target = e->target,
					  .login = e->login,
					  .identity = &e->identity,
					  .now_s = clock_realtime_s(l->c->clock)};
	memset(ret_decision, 0, sizeof(*ret_decision));
	if (target == NULL || target->removed || !target->ssh_enabled) {
		snprintf(ret_decision->reason, sizeof(ret_decision->reason),
			 "SSH is not on for that machine any more");
		return false;
	}
	const char *why = state_refused(l->c->state, e->identity.user, e->caller,
					e->identity.issued_s);
	if (why != NULL) {
		snprintf(ret_decision->reason, sizeof(ret_decision->reason), "%s", why);
		return false;
	}
	login_judge(l->c->state, &question, ret_decision);
	return ret_decision->allowed;
}

static void audit(struct login_service *l, const char *kind, const struct login_pending *e,
		  const char *reason)
{
	json_t *detail = json_pack("{s:s, s:s, s:s*}", "caller", e->caller, "login", e->login,
				   "reason", reason);
	state_event(l->c->state, kind, e->known ? e->identity.user : "", e->target, detail);
	json_decref(detail);
}

static void deny(struct login_service *l, struct server_request *r, struct login_pending *e,
		 const char *reason)
{
	struct pages p;
	pages_begin(&p, "This login is not allowed");
	facts(l, &p, e);
	pages_paragraph(&p, reason);
	pages_send(&p, r, 403, "failed", NULL);
	audit(l, "ssh_login_denied", e, reason);
	login_table_deny(l->table, e, reason);
	login_changed(l, e);
}

/* Would a login of this moment do, where the one that came is too old (max_login_age)? */
static bool wants_renewal(struct login_service *l, struct login_pending *e)
{
	struct policy_ssh_decision decision;
	int64_t auth_time_s = e->identity.auth_time_s;
	e->identity.auth_time_s = clock_realtime_s(l->c->clock);
	bool allowed = !e->renewed && judged(l, e, &decision);
	e->identity.auth_time_s = auth_time_s;
	return allowed;
}

static void renew(struct login_service *l, struct server_request *r, struct login_pending *e)
{
	struct pages_browser browser = {0};
	memcpy(browser.hash, e->browser, sizeof(browser.hash));
	e->renewed = true;
	ask_provider(l, r, e, &browser, true);
}

static void code_exchanged(void *ctx, struct oidc_tokens *tokens, const struct error *err)
{
	struct web_job *job = ctx;
	struct login_service *l = job->l;
	struct server_request *r = login_resume(&job->r);
	struct login_pending *e = l->closing ? NULL : login_table_find(l->table, job->id);
	struct policy_ssh_decision decision;
	char location[64];

	if (r == NULL) {
		/* the browser went away; it can press Continue again */
	} else if (tokens == NULL) {
		provider_down(r, err);
	} else if (e == NULL || e->state != LOGIN_PENDING || e->asks != job->asks) {
		/* Continue was pressed again, maybe in another browser: this one lost it. */
		over(r);
	} else {
		login_table_known(e, &tokens->identity);
		if (judged(l, e, &decision)) {
			snprintf(location, sizeof(location), PREFIX "%s", e->id);
			server_redirect(r, location, NULL);
		} else if (wants_renewal(l, e)) {
			renew(l, r, e);
		} else {
			deny(l, r, e, decision.reason);
		}
	}
	if (tokens != NULL)
		oidc_tokens_done(tokens);
	job_free(job);
}

static void handle_callback(void *ctx, struct server_request *r)
{
	struct login_service *l = ctx;
	const char *query = server_request_query(r);
	char state[PAGES_TOKEN_SIZE], code[2048], fault[128], uri[300];
	struct pages_browser browser;
	struct login_pending *e = NULL;
	struct oidc_login *login;
	struct error err = {0};

	pages_browser(r, l->c->random, l->secure, &browser);
	if (server_form_value(query, "state", state, sizeof(state)) == 0)
		e = login_table_answer(l->table, state, &browser);
	if (e == NULL) {
		pages_message(
			r, 400, "This answer belongs to no login here",
			"The login was begun in another browser, was finished, or took too long. "
			"Open the link in your terminal again.");
		return;
	}
	if (server_form_value(query, "code", code, sizeof(code)) != 0) {
		if (server_form_value(query, "error", fault, sizeof(fault)) != 0)
			snprintf(fault, sizeof(fault), "no code came back");
		error_set(&err, -EACCES, "%s", fault);
		provider_down(r, &err);
		return;
	}
	struct web_job *job = job_new(l, r, e->id);
	if (job == NULL)
		return;
	job->asks = e->asks;
	struct oidc_login_ops ops = {.on_done = code_exchanged, .ctx = job};
	redirect_uri(l->c, uri, sizeof(uri));
	if (oidc_exchange_code(l->c->oidc, code, uri, e->verifier, e->nonce, &ops, &login, &err) !=
	    0) {
		provider_down(login_resume(&job->r), &err);
		job_free(job);
	}
	secret_wipe(code, sizeof(code));
}

/* ---- the decision */

static void allow(struct login_service *l, struct server_request *r, struct login_pending *e)
{
	struct policy_ssh_decision decision;
	char *grant = NULL;

	if (!judged(l, e, &decision)) {
		deny(l, r, e, decision.reason);
		return;
	}
	json_t *payload = login_grant_payload(
		e, state_issue_s(l->c->state, e->identity.user, e->caller,
				 clock_realtime_s(l->c->clock)));
	int failed =
		payload == NULL ? -ENOMEM : signer_object(l->c->signer, "grant", payload, &grant);
	json_decref(payload);
	if (failed != 0) {
		pages_message(r, 503, "Signing in does not work now",
			      "The server could not sign its answer. Go back and try again.");
		return;
	}
	audit(l, "ssh_login", e, NULL);
	login_table_grant(l->table, e, grant);
	login_changed(l, e);
	pages_message(
		r, 200, "You are logged in",
		"The connection in your terminal goes on by itself. You can close this page.");
}

static void refuse(struct login_service *l, struct server_request *r, struct login_pending *e)
{
	char reason[320];
	snprintf(reason, sizeof(reason), "%.200s refused this login in the browser",
		 e->identity.user);
	audit(l, "ssh_login_denied", e, reason);
	login_table_deny(l->table, e, reason);
	login_changed(l, e);
	pages_message(r, 200, "Refused",
		      "The connection was told that you refused. You can close this page.");
}

static void handle_decision(void *ctx, struct server_request *r)
{
	struct login_service *l = ctx;
	struct login_pending *e = entry_of(l, r);
	const char *body = server_request_body(r, NULL);
	char decision[16], purpose[64];
	struct pages_browser browser;

	pages_browser(r, l->c->random, l->secure, &browser);
	if (e == NULL || server_form_value(body, "decision", decision, sizeof(decision)) != 0) {
		over(r);
		return;
	}
	bool start = strcmp(decision, "continue") == 0 || strcmp(decision, "other") == 0;
	snprintf(purpose, sizeof(purpose), "%s:%s", start ? "start" : "confirm", e->id);
	if (!pages_csrf_ok(l->csrf_key, &browser, purpose, body))
		start_page(l, r, e, &browser);
	else if (start)
		ask_provider(l, r, e, &browser, strcmp(decision, "other") == 0);
	else if (!e->known || !login_table_owner(e, &browser))
		over(r);
	else if (strcmp(decision, "allow") == 0)
		allow(l, r, e);
	else
		refuse(l, r, e);
}

int login_web_routes(struct login_service *l)
{
	struct server *s = l->c->server;
	int r = server_route(s, 1u << SERVER_PUBLIC, "GET", PREFIX, handle_page, l);
	if (r == 0)
		r = server_route(s, 1u << SERVER_PUBLIC, "POST", PREFIX, handle_decision, l);
	if (r == 0)
		r = server_route(s, 1u << SERVER_PUBLIC, "GET", PREFIX "callback", handle_callback,
				 l);
	return r;
}
