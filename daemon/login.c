/* SPDX-License-Identifier: Apache-2.0
 *
 * Logins at the network's OIDC provider (design section 8). Owns the pending logins; one per
 * account, shared by all that wait for it. The token goes to the control server only. What stays of
 * a login is login_kept.c's.
 */
#include "daemon/login_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/logout.h"
#include "identity/oidc.h"
#include "platform/json.h"
#include "platform/log.h"

#define MAX_PENDING 64

struct login_wait {
	struct login_wait *next, **link;
	struct login_pending *pending;
	struct login_ops ops;
	bool cached_only; /* nobody can be asked: a renewal at most */
};

/* One login on its way. */
struct login_pending {
	struct login_pending *next, **link;
	struct main_core *m;
	uid_t uid;
	bool enrols;
	unsigned flags;
	struct login_provider *provider;
	struct oidc_login *login;  /* while the person is at the provider */
	struct control_call *call; /* while control is told */
	struct oidc_tokens tokens;
	bool prompted, renews, renewed;
	bool other_flow; /* the provider does not offer the one that was wished for */
	char url[2048], code[64], verification_uri[1024];
	struct login_wait *waits;
	bool finishing;
};

int login_service_new(struct main_core *m)
{
	struct login_service *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return -ENOMEM;
	r = token_cache_new(m->clock, &s->cache);
	if (r < 0) {
		free(s);
		return r;
	}
	m->login = s;
	return 0;
}

static void pending_free(struct login_pending *p)
{
	*p->link = p->next;
	if (p->next != NULL)
		p->next->link = p->link;
	p->m->login->count--;
	oidc_tokens_done(&p->tokens);
	login_provider_put(p->provider);
	free(p);
}

/* Tells all that wait, in the order they came is not promised. */
static void pending_finish(struct login_pending *p, const struct login_result *result)
{
	p->finishing = true;
	while (p->waits != NULL) {
		struct login_wait *wait = p->waits;
		struct login_ops ops = wait->ops;

		p->waits = wait->next;
		if (p->waits != NULL)
			p->waits->link = &p->waits;
		free(wait);
		ops.done(ops.ctx, result);
	}
	pending_free(p);
}

static void pending_fail(struct login_pending *p, int exit_code, const char *message)
{
	struct login_result result = {.exit_code = exit_code, .message = message};

	pending_finish(p, &result);
}

static bool network_error(int code)
{
	switch (code) {
	case -ETIMEDOUT:
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -ENETDOWN:
		return true;
	default:
		return false;
	}
}

/* code: what the network said. */
static void pending_fail_network(struct login_pending *p, int exit_code, int code,
				 const char *message)
{
	struct login_result result = {
		.exit_code = exit_code, .message = message, .unreachable = network_error(code)};

	pending_finish(p, &result);
}

/* ---- a login */

static void tell_prompt(const struct login_pending *p, const struct login_wait *wait)
{
	struct login_prompt prompt = {p->url, p->code, p->verification_uri};

	if (wait->ops.prompt != NULL)
		wait->ops.prompt(wait->ops.ctx, &prompt);
}

static void on_prompt(void *ctx, const struct oidc_prompt *prompt)
{
	struct login_pending *p = ctx;

	(void)snprintf(p->url, sizeof(p->url), "%s", prompt->url);
	(void)snprintf(p->code, sizeof(p->code), "%s",
		       prompt->user_code != NULL ? prompt->user_code : "");
	(void)snprintf(p->verification_uri, sizeof(p->verification_uri), "%s",
		       prompt->verification_uri != NULL ? prompt->verification_uri : prompt->url);
	p->prompted = true;
	for (struct login_wait *w = p->waits; w != NULL; w = w->next)
		tell_prompt(p, w);
}

static void succeed(struct login_pending *p)
{
	struct login_result result = {.exit_code = WARREN_EXIT_OK,
				      .message = "",
				      .token = p->tokens.bearer,
				      .identity = p->tokens.identity.user,
				      .expires_s = p->tokens.expires_s};
	struct main_core *m = p->m;
	int64_t ttl_s = json_integer_value(json_object_get(m->switches, "ssh_jwt_cache_ttl"));

	if (p->enrols || ttl_s <= 0 ||
	    !login_keep(m, p->uid, &p->tokens, p->renewed, (uint32_t)ttl_s))
		login_revoke_silently(p->provider, p->tokens.refresh_token);
	if (!p->enrols)
		logout_note(m, p->uid, p->tokens.identity.user);
	log_info("logged in", "uid=%u identity=%s", p->uid, p->tokens.identity.user);
	pending_finish(p, &result);
}

static void on_told_control(void *ctx, const struct control_reply *reply)
{
	struct login_pending *p = ctx;

	p->call = NULL;
	if (reply->error == 0 && reply->status >= 200 && reply->status <= 299)
		succeed(p);
	else
		pending_fail_network(
			p, reply->error == 0 ? control_reply_exit(reply) : WARREN_EXIT_FAILED,
			reply->error, reply->message);
}

static void tell_control(struct login_pending *p)
{
	json_t *body = json_pack("{s:s}", "id_token", p->tokens.bearer);
	int r = body == NULL ? -ENOMEM
			     : control_client_call(p->m->control, "POST", "/v1/self/login", NULL,
						   body, 0, on_told_control, p, &p->call);

	json_decref(body);
	if (r < 0)
		pending_fail(p, WARREN_EXIT_FAILED,
			     "this machine is not enrolled: run `warren up` first");
}

static void on_server(void *ctx, const struct control_server *server,
		      const struct error *server_err);

static bool renewal_good(struct login_pending *p, const struct oidc_tokens *tokens)
{
	const struct login_refresh *kept =
		login_refresh_find(&p->m->login->refresh, p->uid, clock_monotonic_ns(p->m->clock));

	return tokens != NULL && kept != NULL && login_refresh_same(kept, tokens);
}

/* The renewal came to nothing: who can be asked is asked. */
static void ask_person(struct login_pending *p)
{
	struct login_result result = {
		.exit_code = WARREN_EXIT_LOGIN_NEEDED,
		.message = "your login could not be renewed: run `warren login`"};
	struct login_wait *wait = p->waits;

	login_refresh_forget(&p->m->login->refresh, p->uid);
	p->renews = false;
	while (wait != NULL) {
		struct login_ops ops = wait->ops;

		if (!wait->cached_only) {
			wait = wait->next;
			continue;
		}
		*wait->link = wait->next;
		if (wait->next != NULL)
			wait->next->link = wait->link;
		free(wait);
		ops.done(ops.ctx, &result);
		wait = p->waits; /* it may have cancelled others */
	}
	if (p->waits == NULL)
		pending_free(p);
	else
		control_client_server(p->m->control, on_server, p);
}

static void on_login_done(void *ctx, struct oidc_tokens *tokens, const struct error *err)
{
	struct login_pending *p = ctx;

	p->login = NULL;
	if (p->finishing) {
		if (tokens != NULL)
			oidc_tokens_done(tokens);
		return;
	}
	if (p->renews && !renewal_good(p, tokens)) {
		if (tokens != NULL)
			oidc_tokens_done(tokens);
		ask_person(p);
		return;
	}
	if (tokens == NULL && err->code == -ENOTSUP && !p->enrols && !p->other_flow) {
		p->other_flow = true;
		p->flags ^= LOGIN_BROWSER;
		control_client_server(p->m->control, on_server, p);
		return;
	}
	if (tokens == NULL) {
		/* Once a person was asked, a code that ended is no network's fault. */
		pending_fail_network(p, WARREN_EXIT_LOGIN_NEEDED, p->prompted ? 0 : err->code,
				     error_text(err));
		return;
	}
	p->tokens = *tokens;
	memset(tokens, 0, sizeof(*tokens));
	p->renewed = p->renews;
	if (p->enrols || p->renewed)
		succeed(p);
	else
		tell_control(p);
}

static void on_server(void *ctx, const struct control_server *server,
		      const struct error *server_err)
{
	struct login_pending *p = ctx;
	struct main_core *m = p->m;
	struct oidc_login_ops ops = {on_prompt, on_login_done, p};
	enum oidc_flow flow = (p->flags & LOGIN_BROWSER) != 0 ? OIDC_FLOW_PKCE : OIDC_FLOW_DEVICE;
	const struct login_refresh *kept;
	struct error err = {0};
	char nonce[44];
	int r;

	p->call = NULL;
	if (p->waits == NULL) { /* all went away meanwhile */
		pending_free(p);
		return;
	}
	if (server == NULL) {
		pending_fail_network(p, WARREN_EXIT_FAILED, server_err->code,
				     error_text(server_err));
		return;
	}
	login_provider_changed(m, server);
	login_provider_put(p->provider);
	p->provider = login_provider_get(m, &m->login->providers, server, &err);
	r = p->provider == NULL ? -EIO : 0;
	/* A device login of other providers carries no nonce (RFC 8628 knows none). */
	if (p->enrols && !server->embedded)
		flow = OIDC_FLOW_PKCE;
	kept = login_refresh_find(&m->login->refresh, p->uid, clock_monotonic_ns(m->clock));
	if (r == 0 && p->renews && kept == NULL) {
		ask_person(p);
		return;
	}
	if (r == 0 && p->renews) {
		r = oidc_refresh(login_provider_oidc(p->provider), kept->token, &ops, &p->login,
				 &err);
	} else if (r == 0 && p->enrols) {
		control_client_nonce(m->control, nonce);
		r = oidc_login_start_nonce(login_provider_oidc(p->provider), flow, nonce, &ops,
					   &p->login, &err);
	} else if (r == 0) {
		r = oidc_login_start(login_provider_oidc(p->provider), flow, &ops, &p->login, &err);
	}
	if (r < 0)
		pending_fail(p, WARREN_EXIT_FAILED, error_text(&err));
}

static struct login_pending *pending_new(struct main_core *m, uid_t uid, unsigned flags,
					 bool enrols)
{
	struct login_service *s = m->login;
	struct login_pending *p;

	if (s->count >= MAX_PENDING)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->m = m;
	p->uid = uid;
	p->flags = flags;
	p->enrols = enrols;
	p->next = s->pending;
	p->link = &s->pending;
	if (s->pending != NULL)
		s->pending->link = &p->next;
	s->pending = p;
	s->count++;
	return p;
}

static void refuse(const struct login_ops *ops, int exit_code, const char *message)
{
	struct login_result result = {.exit_code = exit_code, .message = message};

	ops->done(ops->ctx, &result);
}

static void join(struct main_core *m, uid_t uid, unsigned flags, bool enrols,
		 const struct login_ops *ops, struct login_wait **ret_wait)
{
	struct login_wait *wait = calloc(1, sizeof(*wait));
	struct login_pending *p;
	bool fresh = false;
	bool renews =
		!enrols && (flags & LOGIN_FORCE) == 0 &&
		login_refresh_find(&m->login->refresh, uid, clock_monotonic_ns(m->clock)) != NULL;

	for (p = m->login->pending; p != NULL; p = p->next)
		if (p->uid == uid && p->enrols == enrols && !p->finishing && p->waits != NULL)
			break;
	if (p == NULL && wait != NULL) {
		p = pending_new(m, uid, flags, enrols);
		if (p != NULL)
			p->renews = renews;
		fresh = true;
	}
	if (p == NULL || wait == NULL) {
		free(wait);
		refuse(ops, WARREN_EXIT_FAILED, "too many logins are under way: try again later");
		return;
	}
	wait->pending = p;
	wait->ops = *ops;
	wait->cached_only = (flags & LOGIN_CACHED_ONLY) != 0;
	wait->next = p->waits;
	wait->link = &p->waits;
	if (p->waits != NULL)
		p->waits->link = &wait->next;
	p->waits = wait;
	*ret_wait = wait;
	if (!enrols)
		logout_flush(m); /* before the new login, or it would be ended with the old one */
	if (fresh)
		control_client_server(m->control, on_server, p);
	else if (p->prompted)
		tell_prompt(p, wait);
}

/* Without a person; not while another login of theirs waits for one. */
static bool may_renew(struct main_core *m, uid_t uid)
{
	for (const struct login_pending *p = m->login->pending; p != NULL; p = p->next)
		if (p->uid == uid && !p->enrols && !p->finishing && !p->renews)
			return false;
	return login_refresh_find(&m->login->refresh, uid, clock_monotonic_ns(m->clock)) != NULL;
}

void login_want(struct main_core *m, uid_t uid, unsigned flags, const struct login_ops *ops,
		struct login_wait **ret_wait)
{
	struct login_result result = {.exit_code = WARREN_EXIT_OK, .message = ""};

	*ret_wait = NULL;
	if (!m->network.enrolled) {
		refuse(ops, WARREN_EXIT_FAILED,
		       "this machine is not enrolled: run `warren up` first");
		return;
	}
	token_cache_set_ttl(m->login->cache, (uint32_t)json_integer_value(json_object_get(
						     m->switches, "ssh_jwt_cache_ttl")));
	if (json_integer_value(json_object_get(m->switches, "ssh_jwt_cache_ttl")) == 0)
		login_refresh_end_all(m->login);
	if ((flags & LOGIN_FORCE) == 0)
		result.token =
			token_cache_get(m->login->cache, uid, &result.identity, &result.expires_s);
	if (result.token != NULL) {
		ops->done(ops->ctx, &result);
		return;
	}
	if ((flags & LOGIN_CACHED_ONLY) != 0 && !may_renew(m, uid)) {
		refuse(ops, WARREN_EXIT_LOGIN_NEEDED, "you are not logged in: run `warren login`");
		return;
	}
	join(m, uid, flags, false, ops, ret_wait);
}

void login_enrol(struct main_core *m, uid_t uid, const struct login_ops *ops,
		 struct login_wait **ret_wait)
{
	*ret_wait = NULL;
	join(m, uid, 0, true, ops, ret_wait);
}

void login_cancel(struct login_wait *wait)
{
	struct login_pending *p;

	if (wait == NULL)
		return;
	p = wait->pending;
	*wait->link = wait->next;
	if (wait->next != NULL)
		wait->next->link = wait->link;
	free(wait);
	if (p->waits != NULL || p->finishing)
		return;
	if (p->login != NULL) {
		struct oidc_login *login = p->login;

		p->finishing = true;
		p->login = NULL;
		oidc_login_cancel(login);
		pending_free(p);
	} else if (p->call != NULL) {
		control_call_cancel(p->call);
		pending_free(p);
	}
	/* Else the server object is being fetched: on_server finds nobody waiting. */
}
