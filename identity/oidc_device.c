/* SPDX-License-Identifier: Apache-2.0
 *
 * Device authorization grant (RFC 8628): show a code, ask the token endpoint until the person is
 * done. "slow_down" lengthens the interval by 5 s for good; while the network or the provider is
 * down the login is still pending; it ends with the code's own lifetime.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "identity/oidc_internal.h"
#include "platform/json.h"
#include "platform/secret.h"

#define DEVICE_GRANT "urn:ietf:params:oauth:grant-type:device_code"

enum {
	INTERVAL_S = 5, /* RFC 8628 section 3.2 */
	INTERVAL_MAX_S = 60,
	SLOW_DOWN_S = 5,
	BACKOFF_MAX_S = 30,
	EXPIRES_MAX_S = 3600,
	ANSWER_BYTES = 64 << 10,
};

static void on_poll_time(uv_timer_t *timer);

/* After the interval, or when the code ends, whichever comes first. */
static void wait_for_poll(struct oidc_login *l)
{
	uint64_t now = clock_monotonic_ns(l->oidc->clock), left_ms;
	uint64_t wait_ms = (uint64_t)(l->device.interval_s + l->device.backoff_s) * 1000;

	left_ms = l->deadline_ns > now ? (l->deadline_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC
				       : 0;
	oidc_login_after(l, wait_ms < left_ms ? wait_ms : left_ms, on_poll_time);
}

static bool is(const char *code, const char *name)
{
	return strcmp(code, name) == 0;
}

static void on_poll_answer(void *ctx, const struct http_response *response)
{
	struct oidc_login *l = ctx;
	char code[64];

	if (l->ended)
		return;
	l->request = NULL;
	if (response->error == 0 && response->status == 200) {
		oidc_login_take_answer(l, response);
		return;
	}
	oidc_login_error_code(response, code, sizeof(code));
	if (is(code, "slow_down")) {
		if (l->device.interval_s < INTERVAL_MAX_S)
			l->device.interval_s += SLOW_DOWN_S;
	} else if ((response->error < 0 && response->error != -EMSGSIZE) ||
		   response->status >= 500 || response->status == 429) {
		/* RFC 8628 section 3.5: back off exponentially when there is no answer. */
		l->device.backoff_s = l->device.backoff_s ? l->device.backoff_s * 2 : 1;
		if (l->device.backoff_s > BACKOFF_MAX_S)
			l->device.backoff_s = BACKOFF_MAX_S;
		wait_for_poll(l);
		return;
	} else if (is(code, "expired_token")) {
		struct error err = {0};

		error_set(&err, -ETIMEDOUT, "nobody logged in before the code expired; try again");
		oidc_login_fail(l, &err);
		return;
	} else if (!is(code, "authorization_pending")) {
		oidc_login_take_answer(l, response); /* its error ends the login */
		return;
	}
	l->device.backoff_s = 0;
	wait_for_poll(l);
}

static void on_poll_time(uv_timer_t *timer)
{
	struct oidc_login *l = timer->data;
	struct error err = {0};
	int rc;

	if (clock_monotonic_ns(l->oidc->clock) >= l->deadline_ns) {
		error_set(&err, -ETIMEDOUT, "nobody logged in before the code expired; try again");
		oidc_login_fail(l, &err);
		return;
	}
	rc = oidc_login_form(l, DEVICE_GRANT);
	if (rc == 0)
		rc = oidc_form_add(&l->form, "device_code", l->device.code);
	if (rc == 0)
		rc = oidc_login_post(l, l->oidc->metadata.token_endpoint, on_poll_answer, &err);
	else
		error_set(&err, rc, "the provider's device code is too long");
	if (rc < 0)
		oidc_login_fail(l, &err);
}

/* Shown on a terminal and opened by a browser: a printable web address and nothing else. */
static bool web_address(const char *text)
{
	if (strncmp(text, "https://", 8) != 0 && strncmp(text, "http://", 7) != 0)
		return false;
	for (; *text; text++)
		if (*text <= 0x20 || *text >= 0x7f || *text == '"' || *text == '\'' ||
		    *text == '`' || *text == '\\')
			return false;
	return true;
}

static bool printable(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text; text++)
		if (*text < 0x20 || *text >= 0x7f)
			return false;
	return true;
}

struct answer {
	char code[4096], user_code[128], uri[1024], complete[2048];
	int64_t expires_s, interval_s;
};

static int read_answer(const struct http_response *response, struct answer *a)
{
	json_t *json = json_load_strict(response->body, response->body_len, ANSWER_BYTES, NULL);
	int rc;

	a->interval_s = INTERVAL_S;
	rc = json ? json_get_string(json, "device_code", a->code, sizeof(a->code), NULL) : -EPROTO;
	if (rc == 0)
		rc = json_get_string(json, "user_code", a->user_code, sizeof(a->user_code), NULL);
	if (rc == 0)
		rc = json_get_string(json, "verification_uri", a->uri, sizeof(a->uri), NULL);
	if (rc == 0)
		rc = json_get_int(json, "expires_in", 1, INT32_MAX, &a->expires_s, NULL);
	if (rc == 0 && json_object_get(json, "verification_uri_complete"))
		rc = json_get_string(json, "verification_uri_complete", a->complete,
				     sizeof(a->complete), NULL);
	if (rc == 0 && json_object_get(json, "interval"))
		rc = json_get_int(json, "interval", 0, INTERVAL_MAX_S, &a->interval_s, NULL);
	json_decref(json);
	if (rc < 0 || a->code[0] == '\0' || !printable(a->user_code) || !web_address(a->uri) ||
	    (a->complete[0] && !web_address(a->complete)))
		return -EPROTO;
	if (a->expires_s > EXPIRES_MAX_S)
		a->expires_s = EXPIRES_MAX_S;
	if (a->interval_s < 1)
		a->interval_s = 1;
	return 0;
}

static void on_code(void *ctx, const struct http_response *response)
{
	struct oidc_login *l = ctx;
	struct oidc_prompt prompt;
	struct error err = {0};
	struct answer a = {0};

	if (l->ended)
		return;
	l->request = NULL;
	if (response->error < 0 || response->status != 200) {
		if (response->error == 0 && response->status / 100 == 2) {
			error_set(&err, -EPROTO,
				  "%s answered the request for a code with status %ld",
				  l->oidc->issuer, response->status);
			oidc_login_fail(l, &err);
		} else {
			oidc_login_take_answer(l, response); /* its error ends the login */
		}
		return;
	}
	if (read_answer(response, &a) == 0)
		l->device.code = secret_strdup(a.code);
	secret_wipe(a.code, sizeof(a.code));
	if (!l->device.code) {
		error_set(&err, -EPROTO, "%s sent a device code that is not understood",
			  l->oidc->issuer);
		oidc_login_fail(l, &err);
		return;
	}
	l->device.interval_s = (unsigned)a.interval_s;
	l->deadline_ns = clock_monotonic_ns(l->oidc->clock) + (uint64_t)a.expires_s * NSEC_PER_SEC;
	wait_for_poll(l);
	prompt = (struct oidc_prompt){
		.url = a.complete[0] ? a.complete : a.uri,
		.verification_uri = a.uri,
		.user_code = a.user_code,
		.expires_s = clock_realtime_s(l->oidc->clock) + a.expires_s,
	};
	if (l->ops.on_prompt)
		l->ops.on_prompt(l->ops.ctx, &prompt); /* may cancel */
}

void oidc_device_begin(struct oidc_login *l)
{
	const struct oidc *o = l->oidc;
	struct error err = {0};
	int rc;

	if (!o->metadata.device_endpoint) {
		error_set(&err, -ENOTSUP, "%s offers no login by device code", o->issuer);
		oidc_login_fail(l, &err);
		return;
	}
	rc = oidc_login_form(l, NULL);
	/* RFC 8628 section 3.1: not needed when the client authenticates, but some providers
	 * insist. */
	if (rc == 0 && o->client_secret)
		rc = oidc_form_add(&l->form, "client_id", o->client_id);
	if (rc == 0)
		rc = oidc_form_add(&l->form, "scope", o->scope);
	if (rc == 0 && l->nonce_given)
		rc = oidc_form_add(&l->form, "nonce", l->nonce);
	if (rc == 0)
		rc = oidc_login_post(l, o->metadata.device_endpoint, on_code, &err);
	else
		error_set(&err, rc, "the login's form is too long");
	if (rc < 0)
		oidc_login_fail(l, &err);
}

void oidc_device_stop(struct oidc_login *l)
{
	secret_free(l->device.code);
	l->device.code = NULL;
}
