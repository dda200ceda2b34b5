/* SPDX-License-Identifier: Apache-2.0
 *
 * What stays of a login: the token in the cache, what renews it, and how both end (a logout, other
 * settings of the provider, a lifetime of 0), also at the provider.
 */
#include "daemon/login_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/log.h"

/* ---- what a login left behind */

bool login_keep(struct main_core *m, uid_t uid, const struct oidc_tokens *tokens, bool renewed,
		uint32_t ttl_s)
{
	struct login_service *s = m->login;
	uint64_t now_ns = clock_monotonic_ns(m->clock);
	const struct login_refresh *old =
		renewed ? login_refresh_find(&s->refresh, uid, now_ns) : NULL;
	uint64_t until_ns = old != NULL ? old->until_ns : now_ns + ttl_s * NSEC_PER_SEC;
	int64_t end_s = clock_realtime_s(m->clock) + (int64_t)((until_ns - now_ns) / NSEC_PER_SEC);

	if (tokens->expires_s < end_s)
		end_s = tokens->expires_s;
	token_cache_set_ttl(s->cache, ttl_s);
	if (token_cache_put(s->cache, uid, tokens->identity.user, tokens->bearer,
			    tokens->identity.issued_s, end_s) < 0)
		log_warn("a login could not be kept", "uid=%u", uid);
	return login_refresh_keep(&s->refresh, uid, tokens, until_ns);
}

void login_identity(struct main_core *m, uid_t uid, char ret_identity[256])
{
	const char *identity = NULL;
	int64_t expires_s;

	ret_identity[0] = '\0';
	if (token_cache_get(m->login->cache, uid, &identity, &expires_s) != NULL &&
	    identity != NULL)
		(void)snprintf(ret_identity, 256, "%s", identity);
}

/* ---- the provider */

static void on_revoked_silently(void *ctx, const struct error *err)
{
	(void)ctx;
	if (err != NULL && err->code != -ENOTSUP)
		log_warn("a refresh token was not revoked", "reason=\"%s\"", err->text);
}

void login_revoke_silently(struct login_provider *provider, const char *refresh_token)
{
	struct error err = {0};

	if (refresh_token != NULL &&
	    oidc_revoke(login_provider_oidc(provider), refresh_token, LOGIN_REVOKE_MS,
			on_revoked_silently, NULL, &err) < 0)
		on_revoked_silently(NULL, &err);
}

void login_refresh_end_all(struct login_service *s)
{
	for (const struct login_refresh *e = s->refresh; e != NULL && s->providers.current != NULL;
	     e = e->next)
		login_revoke_silently(s->providers.current, e->token);
	login_refresh_clear(&s->refresh);
}

void login_provider_changed(struct main_core *m, const struct control_server *server)
{
	struct login_service *s = m->login;

	if (!login_providers_differ(&s->providers, server))
		return;
	log_info("the login provider's settings have changed", "issuer=%s", server->issuer);
	login_refresh_end_all(s);
	token_cache_clear(s->cache);
	login_providers_retire(&s->providers);
}

void login_server_changed(struct main_core *m)
{
	const struct control_server *server = control_client_known(m->control);

	if (server != NULL)
		login_provider_changed(m, server);
}

/* ---- logouts */

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
