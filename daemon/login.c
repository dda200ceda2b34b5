/* SPDX-License-Identifier: Apache-2.0
 *
 * Logins at the network's OIDC provider (design section 8). Owns the provider's client, the token
 * cache and the pending logins; one per account, shared by all that wait for it. The token goes to
 * the control server only.
 */
#include "daemon/login.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/login_provider.h"
#include "daemon/login_refresh.h"
#include "daemon/logout.h"
#include "identity/oidc.h"
#include "identity/token_cache.h"
#include "platform/json.h"
#include "platform/log.h"

#define MAX_PENDING 64

struct pending;

struct login_wait {
	struct login_wait *next, **link;
	struct pending *pending;
	struct login_ops ops;
	bool cached_only; /* nobody can be asked: a renewal at most */
};

/* One login on its way. */
struct pending {
	struct pending *next, **link;
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

struct login_service {
	struct token_cache *cache;
	struct login_refresh *refresh;
	struct login_providers providers;
	struct pending *pending;
	unsigned count;
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

static void pending_free(struct pending *p)
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
static void pending_finish(struct pending *p, const struct login_result *result)
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

static void pending_fail(struct pending *p, int exit_code, const char *message)
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
static void pending_fail_network(struct pending *p, int exit_code, int code, const char *message)
{
	struct login_result result = {.exit_code = exit_code,
				      .message = message,
				      .unreachable = network_error(code)};

	pending_finish(p, &result);
}

/* ---- the provider */

static void on_revoked_silently(void *ctx, const struct error *err)
{
	(void)ctx;
	if (err != NULL && err->code != -ENOTSUP)
		log_warn("a refresh token was not revoked", "reason=\"%s\"", err->text);
}

/* What was obtained and is not kept is not left to live on at the provider. */
static void revoke_silently(struct login_provider *provider, const char *refresh_token)
{
	struct error err = {0};

	if (refresh_token != NULL &&
	    oidc_revoke(login_provider_oidc(provider), refresh_token, LOGIN_REVOKE_MS,
			on_revoked_silently, NULL, &err) < 0)
		on_revoked_silently(NULL, &err);
}

static void refresh_end_all(struct login_service *s)
{
	for (const struct login_refresh *e = s->refresh; e != NULL && s->providers.current != NULL;
	     e = e->next)
		revoke_silently(s->providers.current, e->token);
	login_refresh_clear(&s->refresh);
}

/* Nothing of one provider is ever shown to another, and what was made for other settings control would
 * refuse. */
static void provider_changed(struct main_core *m, const struct control_server *server)
{
	struct login_service *s = m->login;

	if (!login_providers_differ(&s->providers, server))
		return;
	log_info("the login provider's settings have changed", "issuer=%s", server->issuer);
	refresh_end_all(s);
	token_cache_clear(s->cache);
	login_providers_retire(&s->providers);
}

void login_server_changed(struct main_core *m)
{
	const struct control_server *server = control_client_known(m->control);

	if (server != NULL)
		provider_changed(m, server);
}

/* ---- a login */

static void tell_prompt(const struct pending *p, const struct login_wait *wait)
{
	struct login_prompt prompt = {p->url, p->code, p->verification_uri};

	if (wait->ops.prompt != NULL)
		wait->ops.prompt(wait->ops.ctx, &prompt);
}

static void on_prompt(void *ctx, const struct oidc_prompt *prompt)
{
	struct pending *p = ctx;

	(void)snprintf(p->url, sizeof(p->url), "%s", prompt->url);
	(void)snprintf(p->code, sizeof(p->code), "%s",
		       prompt->user_code != NULL ? prompt->user_code : "");
	(void)snprintf(p->verification_uri, sizeof(p->verification_uri), "%s",
		       prompt->verification_uri != NULL ? prompt->verification_uri : prompt->url);
	p->prompted = true;
	for (struct login_wait *w = p->waits; w != NULL; w = w->next)
		tell_prompt(p, w);
}

/* A renewed login lives as long as the login it renews would have. True: what renews it was kept. */
static bool keep(struct pending *p, uint32_t ttl_s)
{
	struct login_service *s = p->m->login;
	uint64_t now_ns = clock_monotonic_ns(p->m->clock);
	const struct login_refresh *old =
		p->renewed ? login_refresh_find(&s->refresh, p->uid, now_ns) : NULL;
	uint64_t until_ns = old != NULL ? old->until_ns : now_ns + ttl_s * NSEC_PER_SEC;
	int64_t end_s =
		clock_realtime_s(p->m->clock) + (int64_t)((until_ns - now_ns) / NSEC_PER_SEC);

	if (p->tokens.expires_s < end_s)
		end_s = p->tokens.expires_s;
	token_cache_set_ttl(s->cache, ttl_s);
	if (token_cache_put(s->cache, p->uid, p->tokens.identity.user, p->tokens.bearer,
			    p->tokens.identity.issued_s, end_s) < 0)
		log_warn("a login could not be kept", "uid=%u", p->uid);
	return login_refresh_keep(&s->refresh, p->uid, &p->tokens, until_ns);
}

static void succeed(struct pending *p)
{
	struct login_result result = {.exit_code = WARREN_EXIT_OK,
				      .message = "",
				      .token = p->tokens.bearer,
				      .identity = p->tokens.identity.user,
				      .expires_s = p->tokens.expires_s};
	struct main_core *m = p->m;
	int64_t ttl_s = json_integer_value(json_object_get(m->switches, "ssh_jwt_cache_ttl"));

	if (p->enrols || ttl_s <= 0 || !keep(p, (uint32_t)ttl_s))
		revoke_silently(p->provider, p->tokens.refresh_token);
	if (!p->enrols)
		logout_note(m, p->uid, p->tokens.identity.user);
	log_info("logged in", "uid=%u identity=%s", p->uid, p->tokens.identity.user);
	pending_finish(p, &result);
}

static void on_told_control(void *ctx, const struct control_reply *reply)
{
	struct pending *p = ctx;

	p->call = NULL;
	if (reply->error == 0 && reply->status >= 200 && reply->status <= 299)
		succeed(p);
	else
		pending_fail_network(p,
				     reply->error == 0 ? control_reply_exit(reply)
						       : WARREN_EXIT_FAILED,
				     reply->error, reply->message);
}

static void tell_control(struct pending *p)
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

static bool renewal_good(struct pending *p, const struct oidc_tokens *tokens)
{
	const struct login_refresh *kept =
		login_refresh_find(&p->m->login->refresh, p->uid, clock_monotonic_ns(p->m->clock));

	return tokens != NULL && kept != NULL && login_refresh_same(kept, tokens);
}

/* The renewal came to nothing: who can be asked is asked. */
static void ask_person(struct pending *p)
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
	struct pending *p = ctx;

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
	struct pending *p = ctx;
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
	provider_changed(m, server);
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
		r = oidc_refresh(login_provider_oidc(p->provider), kept->token, &ops, &p->login, &err);
	} else if (r == 0 && p->enrols) {
		control_client_nonce(m->control, nonce);
		r = oidc_login_start_nonce(login_provider_oidc(p->provider), flow, nonce, &ops, &p->login, &err);
	} else if (r == 0) {
		r = oidc_login_start(login_provider_oidc(p->provider), flow, &ops, &p->login, &err);
	}
	if (r < 0)
		pending_fail(p, WARREN_EXIT_FAILED, error_text(&err));
}

static struct pending *pending_new(struct main_core *m, uid_t uid, unsigned flags, bool enrols)
{
	struct login_service *s = m->login;
	struct pending *p;

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
	struct pending *p;
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
	for (const struct pending *p = m->login->pending; p != NULL; p = p->next)
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
		refresh_end_all(m->login);
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
	struct pending *p;

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

/* ---- the cache */

void login_identity(struct main_core *m, uid_t uid, char ret_identity[256])
{
	const char *identity = NULL;
	int64_t expires_s;

	ret_identity[0] = '\0';
	if (token_cache_get(m->login->cache, uid, &identity, &expires_s) != NULL &&
	    identity != NULL)
		(void)snprintf(ret_identity, 256, "%s", identity);
}

void login_forget(struct main_core *m, uid_t uid)
{
	token_cache_forget(m->login->cache, uid);
	login_refresh_forget(&m->login->refresh, uid);
}

bool login_revoke(struct main_core *m, uid_t uid, void (*done)(void *ctx, const struct error *err),
		  void *ctx)
{
	struct login_service *s = m->login;
	const struct login_refresh *kept =
		login_refresh_find(&s->refresh, uid, clock_monotonic_ns(m->clock));
	struct error err = {0};

	if (kept == NULL || s->providers.current == NULL)
		return false;
	if (oidc_revoke(login_provider_oidc(s->providers.current), kept->token, LOGIN_REVOKE_MS,
			done, ctx, &err) == 0)
		return true;
	log_warn("a refresh token was not revoked", "uid=%u reason=\"%s\"", uid, err.text);
	return false;
}

struct revoking {
	unsigned waits;
	struct error err; /* of the last that failed */
	bool revoked;
	void (*done)(void *ctx, const struct error *err);
	void *ctx;
};

static void on_one_revoked(void *ctx, const struct error *err)
{
	static const struct error nothing = {.code = -ENOTSUP};
	struct revoking *r = ctx;

	if (err == NULL)
		r->revoked = true;
	else if (err->code != -ENOTSUP)
		r->err = *err;
	if (--r->waits > 0)
		return;
	r->done(r->ctx, r->err.code != 0 ? &r->err : r->revoked ? NULL : &nothing);
	free(r);
}

bool login_revoke_all(struct main_core *m, void (*done)(void *ctx, const struct error *err),
		      void *ctx)
{
	struct revoking *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return false;
	r->done = done;
	r->ctx = ctx;
	for (const struct login_refresh *e = m->login->refresh, *next; e != NULL; e = next) {
		next = e->next; /* one that is over goes */
		if (login_revoke(m, e->uid, on_one_revoked, r))
			r->waits++;
	}
	if (r->waits > 0)
		return true;
	free(r);
	return false;
}

void login_forget_all(struct main_core *m)
{
	token_cache_clear(m->login->cache);
	login_refresh_clear(&m->login->refresh);
	login_providers_end(&m->login->providers);
}
