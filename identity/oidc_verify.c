/* SPDX-License-Identifier: Apache-2.0
 *
 * Verification of tokens on the provider's keys, which are fetched again at most every 30 s for a
 * kid that is not among them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "identity/jwks.h"
#include "identity/oidc_internal.h"
#include "platform/secret.h"

#define REFETCH_S 30

struct oidc_verification {
	struct oidc_verification *next;
	struct oidc *oidc;
	char *token; /* secret */
	size_t token_len;
	char **audiences; /* NULL: the configuration's */
	char *nonce;
	int64_t max_age_s;
	bool for_login, refetched;
	oidc_verify_cb *on_done;
	void *ctx;
};

static void free_verification(struct oidc_verification *v)
{
	struct oidc_verification **at = &v->oidc->verifications;

	while (*at && *at != v)
		at = &(*at)->next;
	if (*at)
		*at = v->next;
	oidc_unwait(v->oidc, v);
	secret_free(v->token);
	free(v->nonce);
	oidc_list_free(v->audiences);
	free(v);
}

void oidc_verification_end(struct oidc_verification *v, enum jwt_fault fault,
			   struct jwt_identity *identity, const struct error *err)
{
	oidc_verify_cb *on_done = v->on_done;
	void *ctx = v->ctx;

	free_verification(v);
	on_done(ctx, fault, identity, err);
}

static void on_verification_keys(void *ctx, const struct error *err);

/* What providers write into "typ" of access tokens: RFC 9068, Entra's, nothing. */
static const char *const *types_of(const struct oidc *o)
{
	static const char *const access[] = {"at+jwt", "JWT", "", NULL};

	return o->access_tokens ? access : NULL;
}

static void verify_now(struct oidc_verification *v)
{
	struct oidc *o = v->oidc;
	const char *const client[] = {o->client_id, NULL};
	struct jwt_identity identity = {0};
	struct jwt_expect expect = {
		.issuer = o->issuer,
		.user_claim = o->user_claim,
		.groups_claim = o->groups_claim,
		.nonce = v->nonce,
		.now_s = clock_realtime_s(o->clock),
		.skew_s = o->skew_s,
		.max_age_s = v->max_age_s   ? v->max_age_s
			     : v->for_login ? 0
					    : o->max_age_s,
		.require_email_verified = o->require_email_verified,
		.party = o->client_id,
		/* RFC 9068 section 2.2 has no "azp"; providers that write it mean the client. */
		.any_party = o->workload || (o->access_tokens && !v->for_login),
	};
	struct error err = {0};
	enum jwt_fault fault;
	uint64_t now = clock_monotonic_ns(o->clock);
	char **list = v->audiences ? v->audiences : v->for_login ? NULL : o->audiences;

	expect.audiences = list ? (const char *const *)list : client;
	if (!v->for_login) {
		expect.types = o->token_types ? (const char *const *)o->token_types : types_of(o);
	} else if (o->access_tokens) {
		expect.user_claim = "sub"; /* the access token says who it is */
		expect.groups_claim = "";
	}
	o->keys_used_ns = now;
	fault = jwt_verify(v->token, v->token_len, o->jwks, &expect, &identity, &err);
	if (fault == JWT_UNKNOWN_KEY && !v->refetched &&
	    (o->refetched_ns == 0 || now - o->refetched_ns >= REFETCH_S * NSEC_PER_SEC ||
	     o->keys_cache.request)) {
		v->refetched = true;
		if (!o->keys_cache.request)
			o->refetched_ns = now;
		oidc_keys_refetch(o, on_verification_keys, v);
		return;
	}
	if (fault == JWT_OK)
		oidc_verification_end(v, fault, &identity, NULL);
	else
		oidc_verification_end(v, fault, NULL, &err);
}

static void on_verification_keys(void *ctx, const struct error *err)
{
	struct oidc_verification *v = ctx;

	if (err)
		oidc_verification_end(v, JWT_UNKNOWN_KEY, NULL, err);
	else
		verify_now(v);
}

static int start_verification(struct oidc *o, struct oidc_verification *v, const char *token)
{
	if (o->closing) {
		oidc_list_free(v->audiences);
		free(v->nonce);
		free(v);
		return -ECANCELED;
	}
	v->oidc = o;
	v->token_len = strlen(token);
	v->token = secret_strdup(token);
	v->next = o->verifications;
	o->verifications = v;
	if (!v->token) {
		free_verification(v);
		return -ENOMEM;
	}
	if (oidc_cache_fresh(&o->keys_cache))
		verify_now(v);
	else
		oidc_keys_refetch(o, on_verification_keys, v);
	return 0;
}

int oidc_verify(struct oidc *o, const char *token, const char *const *audiences, int64_t max_age_s,
		oidc_verify_cb *on_done, void *ctx)
{
	struct oidc_verification *v = calloc(1, sizeof(*v));

	if (!v || (audiences && oidc_list_copy(audiences, &v->audiences) < 0)) {
		free(v);
		return -ENOMEM;
	}
	v->max_age_s = max_age_s;
	v->on_done = on_done;
	v->ctx = ctx;
	return start_verification(o, v, token);
}

int oidc_verify_login(struct oidc *o, const char *token, const char *nonce, oidc_verify_cb *on_done,
		      void *ctx)
{
	struct oidc_verification *v = calloc(1, sizeof(*v));

	if (!v || oidc_text_copy(nonce, &v->nonce) < 0) {
		free(v);
		return -ENOMEM;
	}
	v->for_login = true; /* an id token of ours: aud is our client id (Core section 3.1.3.7) */
	v->on_done = on_done;
	v->ctx = ctx;
	return start_verification(o, v, token);
}

void oidc_verify_forget(struct oidc *o, void *ctx)
{
	for (struct oidc_verification *v = o->verifications, *next; v; v = next) {
		next = v->next;
		if (v->ctx == ctx)
			free_verification(v);
	}
}
