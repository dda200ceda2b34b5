/* SPDX-License-Identifier: Apache-2.0
 *
 * Token revocation (RFC 7009): one POST of the refresh token to the provider's revocation endpoint,
 * as the client it was made for. It lives as a login does, with a deadline of its own, and says
 * nothing but whether it was done.
 */
#include <errno.h>

#include "identity/jwt_claims.h"
#include "identity/oidc_internal.h"

void oidc_revoke_told(struct oidc_login *l, const struct error *err)
{
	l->on_revoked(l->ops.ctx, err);
}

static void on_answer(void *ctx, const struct http_response *response)
{
	struct oidc_login *l = ctx;
	char code[64], shown[64];
	struct error err = {0};

	if (l->ended)
		return;
	l->request = NULL;
	if (response->error == 0 && response->status / 100 == 2) {
		oidc_login_end(l);
		oidc_revoke_told(l, NULL);
		return;
	}
	oidc_login_error_code(response, code, sizeof(code));
	if (response->error < 0)
		error_set(&err, response->error, "%s", response->error_text);
	else
		error_set(&err, -EPROTO, "%s did not revoke the login: status %ld%s%s",
			  l->oidc->issuer, response->status, code[0] ? ", " : "",
			  jwt_printable(code, shown, sizeof(shown)));
	oidc_login_fail(l, &err);
}

static void on_metadata(void *ctx, const struct error *not_ready)
{
	struct oidc_login *l = ctx;
	const struct oidc_metadata *m = &l->oidc->metadata;
	const char *url = m->revocation_endpoint;
	struct error err = {0};

	if (not_ready)
		err = *not_ready;
	else if (!url || (!l->oidc->client_secret && !m->revokes_for_public))
		error_set(&err, -ENOTSUP, "%s offers a client like this one no revocation", l->oidc->issuer);
	else if (oidc_login_post(l, url, on_answer, &err) == 0)
		return;
	oidc_login_fail(l, &err);
}

static void on_deadline(uv_timer_t *timer)
{
	struct oidc_login *l = timer->data;
	struct error err = {0};

	error_set(&err, -ETIMEDOUT, "%s did not answer in time", l->oidc->issuer);
	oidc_login_fail(l, &err);
}

static void on_begin(uv_timer_t *timer)
{
	struct oidc_login *l = timer->data;
	uint64_t now_ns = clock_monotonic_ns(l->oidc->clock);

	oidc_login_after(
		l, l->deadline_ns > now_ns ? (l->deadline_ns - now_ns) / NSEC_PER_MSEC : 0,
		on_deadline);
	oidc_need_metadata(l->oidc, on_metadata, l);
}

int oidc_revoke(struct oidc *o, const char *refresh_token, unsigned timeout_ms,
		oidc_revoke_cb *on_done, void *ctx, struct error *err)
{
	const struct oidc_login_ops ops = {.ctx = ctx};
	struct oidc_login *l;
	int rc = oidc_login_new(o, OIDC_GRANT_REVOKE, NULL, &ops, &l, err);

	if (rc < 0)
		return rc;
	l->on_revoked = on_done;
	l->deadline_ns = clock_monotonic_ns(o->clock) + timeout_ms * NSEC_PER_MSEC;
	rc = oidc_form_add(&l->form, "token", refresh_token);
	if (rc == 0)
		rc = oidc_form_add(&l->form, "token_type_hint", "refresh_token");
	if (rc == 0 && !o->client_secret)
		rc = oidc_form_add(&l->form, "client_id", o->client_id);
	if (rc < 0) {
		oidc_login_end(l);
		return error_set(err, rc, "the token is too long");
	}
	oidc_login_after(l, 0, on_begin);
	return 0;
}
