/* SPDX-License-Identifier: Apache-2.0
 *
 * OIDC client: configuration, discovery (OpenID Connect Discovery 1.0 section 4), the key set and
 * its cache. The issuer is compared exactly wherever it appears. Key sets
 * are kept as long as the provider says, within a minute and a day, and fetched again before they
 * end.
 */
#include "identity/oidc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/jwks.h"
#include "identity/oidc_internal.h"
#include "platform/secret.h"

enum {
	KEEP_DEFAULT_S = 3600,
	KEEP_MIN_S = 60,
	KEEP_MAX_S = 24 * 3600,
	RETRY_S = 30,
	IDLE_S = 24 * 3600, /* keys that nobody used for so long are not refreshed */
	SKEW_S = 60,
};

void oidc_list_free(char **list)
{
	for (char **item = list; item && *item; item++)
		free(*item);
	free(list);
}

int oidc_list_copy(const char *const *list, char ***ret_list)
{
	size_t count = 0;
	char **copy;

	while (list[count])
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		copy[i] = strdup(list[i]);
		if (!copy[i]) {
			oidc_list_free(copy);
			return -ENOMEM;
		}
	}
	*ret_list = copy;
	return 0;
}

int oidc_text_copy(const char *text, char **ret_copy)
{
	*ret_copy = text ? strdup(text) : NULL;
	return text && !*ret_copy ? -ENOMEM : 0;
}

static void free_config(struct oidc *o)
{
	secret_free(o->client_secret);
	free(o->issuer);
	free(o->client_id);
	free(o->scope);
	free(o->user_claim);
	free(o->groups_claim);
	free(o->discovery_url);
	free(o->resource);
	free(o->ca_file);
	free(o->pinned_spki);
	oidc_list_free(o->audiences);
	oidc_list_free(o->token_types);
}

static int copy_config(struct oidc *o, const struct oidc_config *c)
{
	size_t issuer_len = strlen(c->issuer);
	int rc = oidc_text_copy(c->issuer, &o->issuer);

	rc = rc < 0 ? rc : oidc_text_copy(c->client_id, &o->client_id);
	rc = rc < 0 ? rc
		    : oidc_text_copy(c->scope ? c->scope
					      : "openid email profile groups offline_access",
				     &o->scope);
	rc = rc < 0 ? rc : oidc_text_copy(c->user_claim, &o->user_claim);
	rc = rc < 0 ? rc : oidc_text_copy(c->groups_claim, &o->groups_claim);
	rc = rc < 0 ? rc : oidc_text_copy(c->resource, &o->resource);
	rc = rc < 0 ? rc : oidc_text_copy(c->trust.ca_file, &o->ca_file);
	rc = rc < 0 ? rc : oidc_text_copy(c->trust.pinned_spki, &o->pinned_spki);
	if (rc == 0 && c->audiences)
		rc = oidc_list_copy(c->audiences, &o->audiences);
	if (rc == 0 && c->token_types)
		rc = oidc_list_copy(c->token_types, &o->token_types);
	if (rc == 0 && c->client_secret) {
		o->client_secret = secret_strdup(c->client_secret);
		rc = o->client_secret ? 0 : -ENOMEM;
	}
	if (rc == 0 && c->discovery_url) {
		rc = oidc_text_copy(c->discovery_url, &o->discovery_url);
	} else if (rc == 0) {
		/* A final slash of the issuer is not doubled (Discovery section 4). */
		while (issuer_len > 0 && c->issuer[issuer_len - 1] == '/')
			issuer_len--;
		if (asprintf(&o->discovery_url, "%.*s/.well-known/openid-configuration",
			     (int)issuer_len, c->issuer) < 0) {
			o->discovery_url = NULL;
			rc = -ENOMEM;
		}
	}
	o->trust = (struct http_trust){
		.ca_file = o->ca_file,
		.pinned_spki = o->pinned_spki,
	};
	o->skew_s = c->skew_s > 0 ? c->skew_s : SKEW_S;
	o->max_age_s = c->max_age_s;
	o->require_email_verified = c->require_email_verified;
	o->access_tokens = c->access_tokens;
	o->workload = c->workload;
	memcpy(o->redirect_ports, c->redirect_ports, sizeof(o->redirect_ports));
	o->redirect_port_count = c->redirect_port_count < OIDC_MAX_REDIRECT_PORTS
					 ? c->redirect_port_count
					 : OIDC_MAX_REDIRECT_PORTS;
	o->keys_changed = c->keys_changed;
	o->keys_ctx = c->keys_ctx;
	return rc;
}

static void on_refresh_timer(uv_timer_t *timer);

int oidc_new(struct http *http, const struct clock *clock, const struct random_source *random,
	     const struct oidc_config *config, struct oidc **ret_oidc, struct error *err)
{
	struct oidc *o;
	int rc;

	if (!config->issuer || !config->issuer[0] || !config->client_id || !config->client_id[0])
		return error_set(err, -EINVAL, "an issuer and a client id must be configured");
	if (config->access_tokens && (!config->audiences || !config->audiences[0]))
		return error_set(err, -EINVAL,
				 "access tokens need an audience: write what the provider puts "
				 "into \"aud\"");
	if (config->trust.insecure_once)
		return error_set(err, -EINVAL, "a provider's TLS must be checked");
	o = calloc(1, sizeof(*o));
	if (!o)
		return error_set(err, -ENOMEM, "out of memory");
	o->http = http;
	o->clock = clock;
	o->random = random;
	o->metadata_cache.oidc = o->keys_cache.oidc = o;
	rc = copy_config(o, config);
	if (rc < 0) {
		free_config(o);
		free(o);
		return error_set(err, rc, "out of memory");
	}
	(void)uv_timer_init(http_loop(http), &o->refresh_timer);
	o->refresh_timer.data = o;
	uv_unref((uv_handle_t *)&o->refresh_timer);
	*ret_oidc = o;
	return 0;
}

static int add_waiter(struct oidc_cache *c, oidc_ready_cb *ready, void *ctx)
{
	struct oidc_waiter *w = calloc(1, sizeof(*w)), **end = &c->waiters;

	if (!w)
		return -ENOMEM;
	*w = (struct oidc_waiter){.ready = ready, .ctx = ctx};
	while (*end)
		end = &(*end)->next;
	*end = w;
	return 0;
}

static void remove_waiters(struct oidc_waiter **at, const void *ctx)
{
	while (*at) {
		struct oidc_waiter *w = *at;

		if (ctx && w->ctx != ctx) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
	}
}

void oidc_unwait(struct oidc *o, void *ctx)
{
	remove_waiters(&o->metadata_cache.waiters, ctx);
	remove_waiters(&o->metadata_cache.waking, ctx);
	remove_waiters(&o->keys_cache.waiters, ctx);
	remove_waiters(&o->keys_cache.waking, ctx);
}

/* One after the other from a list of its own: a callback may add, remove or free everything. */
static void wake(struct oidc_cache *c, const struct error *err)
{
	struct oidc_waiter **end = &c->waking;

	while (*end)
		end = &(*end)->next;
	*end = c->waiters;
	c->waiters = NULL;
	while (c->waking) {
		struct oidc_waiter w = *c->waking;

		free(c->waking);
		c->waking = w.next;
		w.ready(w.ctx, err);
	}
}

static void keep(struct oidc_cache *c, long max_age_s)
{
	int64_t keep_s = max_age_s < 0 ? KEEP_DEFAULT_S : max_age_s;

	keep_s = keep_s < KEEP_MIN_S ? KEEP_MIN_S : keep_s > KEEP_MAX_S ? KEEP_MAX_S : keep_s;
	c->fetched_ns = clock_monotonic_ns(c->oidc->clock);
	c->expires_ns = c->fetched_ns + (uint64_t)keep_s * NSEC_PER_SEC;
}

bool oidc_cache_fresh(const struct oidc_cache *c)
{
	return c->expires_ns != 0 && clock_monotonic_ns(c->oidc->clock) < c->expires_ns;
}

static int fetch(struct oidc_cache *c, const char *url,
		 void (*on_done)(void *ctx, const struct http_response *response),
		 struct error *err)
{
	const struct http_options options = {
		.method = "GET",
		.url = url,
		.max_body = c == &c->oidc->keys_cache ? (size_t)JWKS_MAX_BYTES
						      : (size_t)OIDC_METADATA_BYTES,
		.trust = c->oidc->trust,
		.follow_redirects = true,
		.on_done = on_done,
		.ctx = c->oidc,
	};

	return http_start(c->oidc->http, &options, &c->request, err);
}

/* 0 for a 200; else the sentence. */
static int answer_error(const struct http_response *response, const char *what, const char *url,
			struct error *err)
{
	if (response->error < 0)
		return error_set(err, response->error, "%s", response->error_text);
	if (response->status != 200)
		return error_set(err, -EPROTO, "%s at %.300s answered with status %ld", what, url,
				 response->status);
	return 0;
}

static int load_metadata(struct oidc *o, const struct http_response *response, struct error *err)
{
	struct oidc_metadata m = {0};
	int rc = answer_error(response, "the provider's discovery", o->discovery_url, err);

	if (rc == 0)
		rc = oidc_metadata_parse(response->body, response->body_len, o->issuer, &m, err);
	if (rc < 0)
		return rc;
	oidc_metadata_done(&o->metadata);
	o->metadata = m;
	keep(&o->metadata_cache, response->max_age_s);
	return 0;
}

static void on_metadata(void *ctx, const struct http_response *response)
{
	struct error err = {0};
	struct oidc *o = ctx;
	int rc;

	o->metadata_cache.request = NULL;
	if (o->closing)
		return;
	rc = load_metadata(o, response, &err);
	/* Where the endpoints are does not change because the provider is down. */
	wake(&o->metadata_cache, rc < 0 && !o->metadata.token_endpoint ? &err : NULL);
}

void oidc_need_metadata(struct oidc *o, oidc_ready_cb *ready, void *ctx)
{
	struct oidc_cache *c = &o->metadata_cache;
	struct error err = {0};
	int rc = 0;

	if (oidc_cache_fresh(c)) {
		ready(ctx, NULL);
		return;
	}
	if (!c->request)
		rc = fetch(c, o->discovery_url, on_metadata, &err);
	if (rc == 0 && add_waiter(c, ready, ctx) < 0)
		rc = error_set(&err, -ENOMEM, "out of memory");
	if (rc < 0)
		ready(ctx, &err);
}

static void arm_refresh(struct oidc *o, uint64_t delay_s)
{
	(void)uv_timer_start(&o->refresh_timer, on_refresh_timer, delay_s * 1000, 0);
	uv_unref((uv_handle_t *)&o->refresh_timer);
}

static void remember_text(struct oidc *o, const struct http_response *response)
{
	char *text = strndup(response->body, response->body_len);
	bool changed = text && (!o->jwks_text || strcmp(text, o->jwks_text) != 0);

	if (text) {
		free(o->jwks_text);
		o->jwks_text = text;
	}
	if (changed && o->keys_wanted && o->keys_changed)
		o->keys_changed(o->keys_ctx);
}

static int load_keys(struct oidc *o, const struct http_response *response, struct error *err)
{
	struct jwks *jwks = NULL;
	int rc = answer_error(response, "the provider's key set", o->metadata.jwks_uri, err);

	if (rc < 0)
		return rc;
	rc = jwks_parse(response->body, response->body_len, &jwks, err);
	if (rc < 0)
		return rc;
	if (jwks_count(jwks) == 0) {
		jwks_free(jwks);
		return error_set(err, -EPROTO, "the provider's key set holds no usable key");
	}
	jwks_free(o->jwks);
	o->jwks = jwks;
	remember_text(o, response);
	keep(&o->keys_cache, response->max_age_s);
	return 0;
}

static void on_keys(void *ctx, const struct http_response *response)
{
	struct error err = {0};
	struct oidc *o = ctx;
	int rc;

	o->keys_cache.request = NULL;
	if (o->closing)
		return;
	rc = load_keys(o, response, &err);
	if (rc == 0)
		arm_refresh(o, (o->keys_cache.expires_ns - o->keys_cache.fetched_ns) /
				       NSEC_PER_SEC * 3 / 4);
	else
		arm_refresh(o, RETRY_S);
	/* The keys we have are good until they end, whether new ones came or not. */
	wake(&o->keys_cache, rc < 0 && !oidc_cache_fresh(&o->keys_cache) ? &err : NULL);
}

static void fetch_keys(void *ctx, const struct error *metadata_err)
{
	struct error err = {0};
	struct oidc *o = ctx;
	int rc;

	if (metadata_err)
		rc = error_set(&err, metadata_err->code, "%s", metadata_err->text);
	else
		rc = o->keys_cache.request
			     ? 0
			     : fetch(&o->keys_cache, o->metadata.jwks_uri, on_keys, &err);
	if (rc < 0)
		wake(&o->keys_cache, oidc_cache_fresh(&o->keys_cache) ? NULL : &err);
}

/* Waits for a fetch of the keys, starting one when none runs. */
void oidc_keys_refetch(struct oidc *o, oidc_ready_cb *ready, void *ctx)
{
	bool first = !o->keys_cache.waiters && !o->keys_cache.request;
	struct error err = {0};

	if (add_waiter(&o->keys_cache, ready, ctx) < 0) {
		error_set(&err, -ENOMEM, "out of memory");
		ready(ctx, &err);
		return;
	}
	if (first)
		oidc_need_metadata(o, fetch_keys, o);
}

static void ignore_ready(void *ctx, const struct error *err)
{
	(void)ctx, (void)err;
}

static void on_refresh_timer(uv_timer_t *timer)
{
	struct oidc *o = timer->data;

	if (o->keys_wanted ||
	    clock_monotonic_ns(o->clock) - o->keys_used_ns < IDLE_S * NSEC_PER_SEC)
		oidc_keys_refetch(o, ignore_ready, &o->refresh_timer);
}

const char *oidc_keys(struct oidc *o)
{
	bool first = !o->keys_wanted;

	o->keys_wanted = true;
	if (first && !o->jwks_text)
		oidc_keys_refetch(o, ignore_ready, &o->refresh_timer);
	return o->jwks_text;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void oidc_free(struct oidc *o)
{
	struct error err = {0};

	if (!o || o->closing)
		return;
	o->closing = true;
	error_set(&err, -ECANCELED, "the login was cancelled");
	while (o->logins)
		oidc_login_cancel(o->logins);
	while (o->verifications)
		oidc_verification_end(o->verifications, JWT_UNKNOWN_KEY, NULL, &err);
	wake(&o->metadata_cache, &err); /* who waits for a URL; the others are gone */
	oidc_unwait(o, NULL);
	http_cancel(o->metadata_cache.request);
	http_cancel(o->keys_cache.request);
	jwks_free(o->jwks);
	free(o->jwks_text);
	oidc_metadata_done(&o->metadata);
	free_config(o);
	uv_close((uv_handle_t *)&o->refresh_timer, on_closed);
}
