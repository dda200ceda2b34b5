/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a login: its grant (device, browser, code of a relying party, refresh token) ends in
 * one request to the token endpoint (RFC 6749 section 4.1.3, 6; OpenID Connect Core section 3.1.3),
 * and the id token that comes back is verified before anybody is told. Tokens live in secret
 * memory, forms and answers are wiped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/jwt_claims.h"
#include "identity/oidc_internal.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/secret.h"

enum { FORM_BYTES = 64 << 10, ANSWER_BYTES = 256 << 10 };

int oidc_form_add(struct buffer *form, const char *name, const char *value)
{
	int rc = buffer_printf(form, "%s%s=", form->len > 0 ? "&" : "", name);

	for (; rc == 0 && *value; value++) {
		unsigned char c = (unsigned char)*value;

		/* RFC 3986 section 2.3: everything else is escaped, space as %20. */
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '-' || c == '.' || c == '_' || c == '~')
			rc = buffer_append(form, &c, 1);
		else
			rc = buffer_printf(form, "%%%02X", c);
	}
	return rc;
}

void oidc_random_text(struct oidc *o, size_t len, char *out, size_t cap)
{
	uint8_t bytes[32];

	if (len > sizeof(bytes) || cap < ENCODE_BASE64URL_SIZE(len))
		abort(); /* a constant of the caller is wrong */
	random_bytes(o->random, bytes, len);
	encode_base64url(out, bytes, len);
	secret_wipe(bytes, sizeof(bytes));
}

void oidc_tokens_done(struct oidc_tokens *t)
{
	if (!t)
		return;
	secret_free(t->id_token);
	secret_free(t->access_token);
	secret_free(t->refresh_token);
	jwt_identity_done(&t->identity);
	*t = (struct oidc_tokens){0};
}

void oidc_login_handle_closed(struct oidc_login *l)
{
	if (--l->open_handles > 0)
		return;
	buffer_done(&l->form);
	secret_wipe(&l->pkce, sizeof(l->pkce));
	free(l->nonce);
	free(l);
}

static void on_timer_closed(uv_handle_t *handle)
{
	oidc_login_handle_closed(handle->data);
}

/* Takes the login out of everything; the caller then tells. The memory goes when its handles have
 * closed, which is never before the loop runs again. */
void oidc_login_end(struct oidc_login *l)
{
	struct oidc_login **at = &l->oidc->logins;
	struct http_request *request = l->request;

	l->ended = true;
	while (*at && *at != l)
		at = &(*at)->next;
	if (*at)
		*at = l->next;
	oidc_unwait(l->oidc, l);
	oidc_verify_forget(l->oidc, l);
	l->request = NULL;
	http_cancel(request);
	if (l->grant == OIDC_GRANT_DEVICE)
		oidc_device_stop(l);
	if (l->grant == OIDC_GRANT_PKCE)
		oidc_pkce_stop(l);
	uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

void oidc_login_fail(struct oidc_login *l, const struct error *err)
{
	if (l->ended)
		return;
	oidc_login_end(l);
	oidc_tokens_done(&l->tokens);
	if (l->grant == OIDC_GRANT_REVOKE)
		oidc_revoke_told(l, err);
	else
		l->ops.on_done(l->ops.ctx, NULL, err);
}

void oidc_login_cancel(struct oidc_login *l)
{
	struct error err = {0};

	if (!l)
		return;
	error_set(&err, -ECANCELED, "the login was cancelled");
	oidc_login_fail(l, &err);
}

void oidc_login_after(struct oidc_login *l, uint64_t ms, uv_timer_cb fn)
{
	uv_update_time(http_loop(l->oidc->http));
	(void)uv_timer_start(&l->timer, fn, ms, 0); /* fails only on a closing handle */
}

/* Takes over *identity. */
static void finish_login(struct oidc_login *l, struct jwt_identity *identity)
{
	struct oidc_tokens tokens;

	oidc_login_end(l);
	tokens = l->tokens;
	l->tokens = (struct oidc_tokens){0};
	tokens.identity = *identity;
	tokens.expires_s = identity->expires_s;
	tokens.bearer = l->oidc->access_tokens ? tokens.access_token : tokens.id_token;
	l->ops.on_done(l->ops.ctx, &tokens, NULL);
}

static void on_verified(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
			const struct error *err);

/* The id token holds. Where access tokens are shown, that one is looked at like those who will be
 * shown it do. Takes over *identity. */
static void verify_bearer(struct oidc_login *l, struct jwt_identity *identity)
{
	struct error err = {0};
	int rc;

	if (!l->oidc->access_tokens) {
		finish_login(l, identity);
		return;
	}
	l->tokens.identity = *identity;
	l->bearer_next = true;
	if (!l->tokens.access_token)
		rc = error_set(&err, -EPROTO, "%s sent no access token", l->oidc->issuer);
	else
		rc = oidc_verify(l->oidc, l->tokens.access_token, NULL, 0, on_verified, l);
	if (rc == -ENOMEM)
		error_set(&err, rc, "out of memory");
	if (rc < 0)
		oidc_login_fail(l, &err);
}

static void on_verified(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
			const struct error *err)
{
	struct oidc_login *l = ctx;
	struct error why = {0};

	if (fault != JWT_OK) {
		error_set(&why, err ? err->code : -EACCES, "%s", error_text(err));
		error_prefix(&why, "the provider's %s token is refused",
			     l->bearer_next ? "access" : "id");
		oidc_login_fail(l, &why);
		return;
	}
	if (!l->bearer_next) {
		verify_bearer(l, identity);
		return;
	}
	if (strcmp(identity->subject, l->tokens.identity.subject) != 0) {
		jwt_identity_done(identity);
		error_set(&why, -EACCES,
			  "the provider's id token and access token are of two people");
		oidc_login_fail(l, &why);
		return;
	}
	jwt_identity_done(&l->tokens.identity);
	finish_login(l, identity);
}

/* Moves a string out of the answer into secret memory; 0 with *ret NULL when it is not there. */
static int take_secret(json_t *json, const char *key, char **ret_text)
{
	json_t *value = json_object_get(json, key);
	size_t len;

	*ret_text = NULL;
	if (!value || json_is_null(value))
		return 0;
	len = json_string_length(value);
	if (!json_is_string(value) || len == 0 || len >= JWT_MAX_BYTES)
		return -EPROTO;
	*ret_text = secret_strdup(json_string_value(value));
	/* jansson would leave it on the heap. The object goes away right after. */
	secret_wipe((void *)(uintptr_t)json_string_value(value), len);
	return *ret_text ? 0 : -ENOMEM;
}

static json_t *load_answer(const struct http_response *response)
{
	json_t *json = NULL;

	if (response->body)
		json = json_load_strict(response->body, response->body_len, ANSWER_BYTES, NULL);
	if (json && !json_is_object(json)) {
		json_decref(json);
		json = NULL;
	}
	return json;
}

void oidc_login_error_code(const struct http_response *response, char *out, size_t cap)
{
	json_t *json = load_answer(response);

	out[0] = '\0';
	if (json && json_get_string(json, "error", out, cap, NULL) < 0)
		out[0] = '\0';
	json_decref(json);
}

/* The provider's own words, made safe for a terminal. */
static int provider_error(const struct http_response *response, const struct oidc *o,
			  struct error *err)
{
	char code[64] = "", text[256] = "", shown_code[64], shown_text[256];
	json_t *json;

	if (response->error < 0)
		return error_set(err, response->error, "%s", response->error_text);
	json = load_answer(response);
	if (json) {
		if (json_get_string(json, "error", code, sizeof(code), NULL) < 0)
			code[0] = '\0';
		if (json_get_string(json, "error_description", text, sizeof(text), NULL) < 0)
			text[0] = '\0';
		json_decref(json);
	}
	if (code[0] == '\0')
		return error_set(err, -EPROTO, "%s answered the login with status %ld", o->issuer,
				 response->status);
	jwt_printable(code, shown_code, sizeof(shown_code));
	jwt_printable(text, shown_text, sizeof(shown_text));
	return error_set(err, strcmp(code, "access_denied") == 0 ? -EACCES : -EPROTO,
			 "%s refused the login: %s%s%s%s", o->issuer,
			 shown_text[0] ? shown_text : shown_code, shown_text[0] ? " (" : "",
			 shown_text[0] ? shown_code : "", shown_text[0] ? ")" : "");
}

void oidc_login_take_answer(struct oidc_login *l, const struct http_response *response)
{
	struct error err = {0};
	json_t *json;
	int rc;

	if (response->error < 0 || response->status != 200) {
		(void)provider_error(response, l->oidc, &err);
		oidc_login_fail(l, &err);
		return;
	}
	json = load_answer(response);
	rc = json ? take_secret(json, "id_token", &l->tokens.id_token) : -EPROTO;
	if (rc == 0)
		rc = take_secret(json, "access_token", &l->tokens.access_token);
	if (rc == 0)
		rc = take_secret(json, "refresh_token", &l->tokens.refresh_token);
	json_decref(json);
	if (rc == 0 && !l->tokens.id_token)
		rc = error_set(&err, -EPROTO,
			       "%s sent no id token; the scope must contain \"openid\"",
			       l->oidc->issuer);
	else if (rc < 0)
		error_set(&err, rc, "%s sent an answer to the login that is not understood",
			  l->oidc->issuer);
	if (rc == 0) {
		rc = oidc_verify_login(l->oidc, l->tokens.id_token, l->nonce, on_verified, l);
		if (rc == 0)
			return; /* l may be gone */
		error_set(&err, rc, "out of memory");
	}
	oidc_login_fail(l, &err);
}

int oidc_login_form(struct oidc_login *l, const char *grant_type)
{
	int rc;

	buffer_reset(&l->form);
	rc = grant_type ? oidc_form_add(&l->form, "grant_type", grant_type) : 0;
	/* With client_secret_basic the id is in the header. */
	if (rc == 0 && !l->oidc->client_secret)
		rc = oidc_form_add(&l->form, "client_id", l->oidc->client_id);
	return rc == 0 && l->oidc->resource ? oidc_form_add(&l->form, "resource", l->oidc->resource)
					    : rc;
}

/* RFC 6749 section 2.3.1: both halves are form-encoded before base64. */
static int basic_header(const struct oidc *o, struct buffer *out)
{
	struct buffer id, secret;
	char *text = NULL;
	int rc;

	buffer_init(&id, 4096);
	buffer_init(&secret, 4096);
	rc = oidc_form_add(&id, "", o->client_id);
	if (rc == 0)
		rc = oidc_form_add(&secret, "", o->client_secret);
	buffer_consume(&id, id.len > 0); /* the = of an empty name */
	buffer_consume(&secret, secret.len > 0);
	if (rc == 0)
		rc = buffer_append(&id, ":", 1);
	if (rc == 0)
		rc = buffer_append(&id, secret.data, secret.len);
	if (rc == 0) {
		text = secret_alloc(ENCODE_BASE64_SIZE(id.len));
		rc = text ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		encode_base64(text, id.data, id.len);
		rc = buffer_printf(out, "Authorization: Basic %s", text);
	}
	secret_free(text);
	buffer_done(&id);
	buffer_done(&secret);
	return rc;
}

int oidc_login_post(struct oidc_login *l, const char *url,
		    void (*on_done)(void *ctx, const struct http_response *response),
		    struct error *err)
{
	const char *headers[4] = {"Content-Type: application/x-www-form-urlencoded",
				  "Accept: application/json", NULL, NULL};
	struct http_options options = {
		.method = "POST",
		.url = url,
		.headers = headers,
		.body = l->form.data,
		.body_len = l->form.len,
		.max_body = ANSWER_BYTES,
		.trust = l->oidc->trust,
		.on_done = on_done,
		.ctx = l,
	};
	struct buffer basic;
	int rc = 0;

	buffer_init(&basic, 16384);
	if (l->oidc->client_secret) {
		rc = basic_header(l->oidc, &basic);
		headers[2] = rc == 0 ? buffer_cstring(&basic) : NULL;
		if (!headers[2])
			rc = error_set(err, -ENOMEM, "out of memory");
	}
	if (rc == 0)
		rc = http_start(l->oidc->http, &options, &l->request, err);
	buffer_done(&basic);
	return rc;
}

static void on_answer(void *ctx, const struct http_response *response)
{
	struct oidc_login *l = ctx;

	if (l->ended)
		return;
	l->request = NULL;
	oidc_login_take_answer(l, response);
}

/* The form is there already: to the token endpoint with it. */
static void on_ready_to_post(void *ctx, const struct error *not_ready)
{
	struct oidc_login *l = ctx;
	struct error err = {0};

	if (not_ready)
		oidc_login_fail(l, not_ready);
	else if (oidc_login_post(l, l->oidc->metadata.token_endpoint, on_answer, &err) < 0)
		oidc_login_fail(l, &err);
}

static void begin_device(void *ctx, const struct error *err)
{
	if (err)
		oidc_login_fail(ctx, err);
	else
		oidc_device_begin(ctx);
}

static void begin_pkce(void *ctx, const struct error *err)
{
	if (err)
		oidc_login_fail(ctx, err);
	else
		oidc_pkce_begin(ctx);
}

static void on_begin(uv_timer_t *timer)
{
	struct oidc_login *l = timer->data;

	switch (l->grant) {
	case OIDC_GRANT_DEVICE:
		oidc_need_metadata(l->oidc, begin_device, l);
		return;
	case OIDC_GRANT_PKCE:
		oidc_need_metadata(l->oidc, begin_pkce, l);
		return;
	case OIDC_GRANT_REVOKE: /* begins itself */
		return;
	case OIDC_GRANT_REFRESH:
	case OIDC_GRANT_CODE:
		oidc_need_metadata(l->oidc, on_ready_to_post, l);
		return;
	}
}

/* Everything begins from the loop, so that nobody is called before the caller has its login. */
int oidc_login_new(struct oidc *o, enum oidc_grant grant, const char *nonce,
		   const struct oidc_login_ops *ops, struct oidc_login **ret_login,
		   struct error *err)
{
	struct oidc_login *l;

	if (o->closing)
		return error_set(err, -ECANCELED, "the OIDC client is closing");
	l = calloc(1, sizeof(*l));
	if (!l)
		return error_set(err, -ENOMEM, "out of memory");
	l->oidc = o;
	l->grant = grant;
	l->ops = *ops;
	buffer_init(&l->form, FORM_BYTES);
	if (nonce) {
		l->nonce = strdup(nonce);
		l->nonce_given = true;
		if (!l->nonce) {
			free(l);
			return error_set(err, -ENOMEM, "out of memory");
		}
	}
	(void)uv_timer_init(http_loop(o->http), &l->timer);
	l->timer.data = l;
	l->open_handles = 1;
	l->next = o->logins;
	o->logins = l;
	*ret_login = l;
	return 0;
}

/* Undoes oidc_login_new when a form did not fit; nobody is told. */
static int drop_login(struct oidc_login *l, int rc, struct error *err)
{
	oidc_login_end(l);
	return error_set(err, rc, "the login's form is too long");
}

int oidc_login_start_nonce(struct oidc *o, enum oidc_flow flow, const char *nonce,
			   const struct oidc_login_ops *ops, struct oidc_login **ret_login,
			   struct error *err)
{
	struct oidc_login *l;
	int rc = oidc_login_new(o, flow == OIDC_FLOW_DEVICE ? OIDC_GRANT_DEVICE : OIDC_GRANT_PKCE,
				nonce, ops, &l, err);

	if (rc < 0)
		return rc;
	oidc_login_after(l, 0, on_begin);
	*ret_login = l;
	return 0;
}

int oidc_login_start(struct oidc *o, enum oidc_flow flow, const struct oidc_login_ops *ops,
		     struct oidc_login **ret_login, struct error *err)
{
	return oidc_login_start_nonce(o, flow, NULL, ops, ret_login, err);
}

int oidc_refresh(struct oidc *o, const char *refresh_token, const struct oidc_login_ops *ops,
		 struct oidc_login **ret_login, struct error *err)
{
	struct oidc_login *l;
	int rc = oidc_login_new(o, OIDC_GRANT_REFRESH, NULL, ops, &l, err);

	if (rc < 0)
		return rc;
	rc = oidc_login_form(l, "refresh_token");
	if (rc == 0)
		rc = oidc_form_add(&l->form, "refresh_token", refresh_token);
	if (rc < 0)
		return drop_login(l, rc, err);
	oidc_login_after(l, 0, on_begin);
	*ret_login = l;
	return 0;
}

int oidc_exchange_code(struct oidc *o, const char *code, const char *redirect_uri,
		       const char *code_verifier, const char *nonce,
		       const struct oidc_login_ops *ops, struct oidc_login **ret_login,
		       struct error *err)
{
	struct oidc_login *l;
	int rc = oidc_login_new(o, OIDC_GRANT_CODE, nonce, ops, &l, err);

	if (rc < 0)
		return rc;
	rc = oidc_login_form(l, "authorization_code");
	if (rc == 0)
		rc = oidc_form_add(&l->form, "code", code);
	if (rc == 0)
		rc = oidc_form_add(&l->form, "redirect_uri", redirect_uri);
	if (rc == 0)
		rc = oidc_form_add(&l->form, "code_verifier", code_verifier);
	if (rc < 0)
		return drop_login(l, rc, err);
	oidc_login_after(l, 0, on_begin);
	*ret_login = l;
	return 0;
}

char *oidc_login_url(struct oidc *o, const char *redirect_uri, const char *state, const char *nonce,
		     const char *challenge, const char *prompt, struct error *err)
{
	const char *endpoint = o->metadata.authorization_endpoint;
	char max_age[24];
	const char *const pairs[][2] = {
		{"response_type", "code"},
		{"client_id", o->client_id},
		{"redirect_uri", redirect_uri},
		{"scope", o->scope},
		{"state", state},
		{"nonce", nonce},
		{"code_challenge", challenge},
		{"code_challenge_method", challenge ? "S256" : NULL},
		{"prompt", prompt},
		{"max_age", o->max_age_s > 0 ? max_age : NULL},
		{"resource", o->resource},
	};
	struct buffer query;
	char *url = NULL;
	int rc = 0;

	if (!endpoint) {
		error_set(err, -ENOTSUP,
			  "%s offers no login by browser with PKCE (S256); use the device code",
			  o->issuer);
		return NULL;
	}
	snprintf(max_age, sizeof(max_age), "%lld", (long long)o->max_age_s);
	buffer_init(&query, FORM_BYTES);
	for (size_t i = 0; rc == 0 && i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i][1])
			rc = oidc_form_add(&query, pairs[i][0], pairs[i][1]);
	if (rc < 0 || asprintf(&url, "%s%c%.*s", endpoint, strchr(endpoint, '?') ? '&' : '?',
			       (int)query.len, (const char *)query.data) < 0) {
		url = NULL;
		error_set(err, rc < 0 ? rc : -ENOMEM, "the login's URL is too long");
	}
	buffer_done(&query);
	return url;
}
