/* SPDX-License-Identifier: Apache-2.0
 *
 * The server object (control/PROTOCOL.md section 1): fetched once for all who wait, without a check
 * of TLS only when a fingerprint or a pinned key proves it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/control_client_internal.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/secret.h"

#define MAX_SPKI 16
#define SKEW_S	 60

static void tell_waiters(struct control_client *c, const struct error *err)
{
	/* Who is told may ask again or cancel others that wait. */
	c->telling = c->waiters;
	c->waiters = NULL;
	while (c->telling != NULL) {
		struct control_waiter *w = c->telling;

		c->telling = w->next;
		w->done(w->ctx, err == NULL ? &c->server : NULL, err);
		free(w);
	}
}

static int read_pins(const json_t *payload, struct control_server *s)
{
	struct writer w = writer_init(s->pins, sizeof(s->pins) - 1);
	json_t *list, *item;
	size_t i;

	if (json_get_array(payload, "spki", MAX_SPKI, &list, NULL) < 0 ||
	    json_array_size(list) == 0)
		return -EINVAL;
	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(item);
		uint8_t hash[32];

		if (text == NULL || encode_base64_exact(hash, sizeof(hash), text) < 0)
			return -EINVAL;
		if (i > 0)
			writer_u8(&w, ';');
		writer_bytes(&w, "sha256//", 8);
		writer_bytes(&w, text, strlen(text));
	}
	s->pins[w.len] = '\0';
	return w.failed ? -EMSGSIZE : 0;
}

static int read_ports(const json_t *issuer, struct control_server *s, struct error *err)
{
	const size_t max = sizeof(s->redirect_ports) / sizeof(s->redirect_ports[0]);
	json_t *list, *item;
	size_t i;
	int r = json_get_array(issuer, "redirect_ports", max, &list, err);

	if (r < 0)
		return r;
	json_array_foreach(list, i, item)
	{
		if (!json_is_integer(item) || json_integer_value(item) < 1 ||
		    json_integer_value(item) > 65535)
			return -EINVAL;
		s->redirect_ports[s->redirect_port_count++] = (uint16_t)json_integer_value(item);
	}
	return 0;
}

/* What an older server leaves out has its default. */
static int read_issuer(const json_t *issuer, struct control_server *s, struct error *err)
{
	int r = json_get_string(issuer, "user_claim", s->user_claim, sizeof(s->user_claim), err);

	if (r == 0 || r == -ENOENT)
		r = json_get_string(issuer, "access_audience", s->access_audience,
				    sizeof(s->access_audience), err);
	if (r == 0 || r == -ENOENT)
		r = json_get_string(issuer, "resource", s->resource, sizeof(s->resource), err);
	if (r == 0 || r == -ENOENT)
		r = json_get_int(issuer, "max_age", 0, INT32_MAX, &s->login_max_age_s, err);
	if (r == 0 || r == -ENOENT)
		r = read_ports(issuer, s, err);
	return r == -ENOENT ? 0 : r;
}

static int read_server(const json_t *payload, struct control_server *s, struct error *err)
{
	json_t *issuer, *stun, *item;
	char enroll[64];
	size_t i;

	if (json_get_string(payload, "network", s->network, sizeof(s->network), err) < 0 ||
	    json_get_string(payload, "domain", s->domain, sizeof(s->domain), err) < 0 ||
	    json_get_string(payload, "enroll_key", enroll, sizeof(enroll), err) < 0 ||
	    json_get_int(payload, "valid_until", 0, INT64_MAX, &s->valid_until_s, err) < 0 ||
	    json_get_object(payload, "issuer", &issuer, err) < 0 ||
	    json_get_string(issuer, "issuer", s->issuer, sizeof(s->issuer), err) < 0 ||
	    json_get_string(issuer, "client_id", s->client_id, sizeof(s->client_id), err) < 0 ||
	    json_get_bool(issuer, "embedded", &s->embedded, err) < 0 ||
	    read_issuer(issuer, s, err) < 0 || json_get_array(payload, "stun", 64, &stun, err) < 0)
		return -EBADMSG;
	if (encode_base64url_exact(s->enroll_key, sizeof(s->enroll_key), enroll) < 0 ||
	    read_pins(payload, s) < 0)
		return error_set(err, -EBADMSG,
				 "the control server's description has a wrong form");
	json_array_foreach(stun, i, item)
	{
		const char *text = json_string_value(item);

		if (text != NULL && s->stun_count < CONTROL_MAX_STUN &&
		    strlen(text) < sizeof(s->stun[0]))
			(void)stpcpy(s->stun[s->stun_count++], text);
	}
	return 0;
}

static int check_key(const struct control_client *c, const uint8_t key[32], struct error *err)
{
	uint8_t fingerprint[16];

	signed_fingerprint(key, fingerprint);
	if ((c->pinned && !secret_equal(key, c->signing_key, 32)) ||
	    (c->has_fingerprint && !secret_equal(fingerprint, c->fingerprint, sizeof(fingerprint))))
		return error_set(
			err, -EKEYREJECTED,
			"the server at %s shows another signing key than the one you were given: "
			"check the URL, and the setup key or the fingerprint behind #",
			c->url);
	return 0;
}

int64_t control_client_now_s(const struct control_client *c)
{
	return clock_realtime_s(c->clock);
}

static void say_minutes(int64_t off_s, char out[static 64])
{
	int64_t s = off_s < 0 ? -off_s : off_s;
	int n = s < 120 ? snprintf(out, 64, "%lld seconds", (long long)s)
			: snprintf(out, 64, "%lld minutes", (long long)(s / 60));

	if (n < 0)
		out[0] = '\0';
}

void control_client_clock_sentence(const struct control_client *c, int64_t server_s, char *out,
				   size_t cap)
{
	int64_t off_s = server_s - control_client_now_s(c);
	char minutes[64];
	int n;

	say_minutes(off_s, minutes);
	n = snprintf(out, cap, "this machine's clock is %s %s the control server's: set the time",
		     minutes, off_s > 0 ? "behind" : "ahead of");
	if (n < 0 && cap > 0)
		out[0] = '\0';
}

static int open_server(struct control_client *c, const char *body, size_t len, struct error *err)
{
	json_t *answer = json_load_strict(body, len, CONTROL_BODY_MAX, err);
	struct control_server s = {0};
	json_t *payload = NULL;
	const char *key_text, *text;
	struct error inner = {0};
	int64_t time_s = 0;
	int r = -EBADMSG;

	if (answer == NULL || json_get_text(answer, "signing_key", 64, &key_text, NULL) < 0 ||
	    json_get_text(answer, "signed", SIGNED_MAX_BYTES, &text, NULL) < 0 ||
	    encode_base64url_exact(s.signing_key, 32, key_text) < 0) {
		(void)error_set(err, r, "what answers at %s is not a Warren control server",
				c->url);
		goto out;
	}
	r = check_key(c, s.signing_key, err);
	if (r < 0)
		goto out;
	payload = signed_open(text, strlen(text), "server", s.signing_key, control_client_now_s(c),
			      SKEW_S, &inner);
	if (payload == NULL && inner.code == -ETIME) {
		/* Ended, unless it is our clock that is wrong. */
		payload = signed_open(text, strlen(text), "server", s.signing_key, 0, 0, NULL);
		if (payload != NULL &&
		    json_get_int(payload, "time", 0, INT64_MAX, &time_s, NULL) == 0) {
			r = error_set(err, -ETIME, "x");
			control_client_clock_sentence(c, time_s,
						      err != NULL ? err->text : inner.text,
						      sizeof(inner.text));
			goto out;
		}
	}
	if (payload == NULL) {
		r = error_set(
			err, -EKEYREJECTED,
			"the description of the control server at %s is not signed by its key: %s",
			c->url, error_text(&inner));
		goto out;
	}
	r = read_server(payload, &s, err);
	if (r == 0) {
		c->server = s;
		c->known = true;
		c->outdated = false;
		if (!c->pinned) {
			memcpy(c->signing_key, s.signing_key, 32);
			c->pinned = true;
		}
	}
out:
	json_decref(payload);
	json_decref(answer);
	return r;
}

/* The transport's words without the URL that we name ourselves. */
static const char *reason(const char *text)
{
	const char *colon = strncmp(text, "cannot reach http", 17) == 0 ? strstr(text, ": ") : NULL;

	return colon != NULL ? colon + 2 : text;
}

void control_client_unreachable(const struct control_client *c,
				const struct http_response *response, struct error *err)
{
	if (response->error == -EPROTO && !c->pinned && !c->has_fingerprint)
		(void)error_set(
			err, response->error,
			"the TLS certificate of %s is not one that this machine trusts: give the "
			"fingerprint of its signing key behind #, or a setup key (%s)",
			c->url, reason(response->error_text));
	else
		(void)error_set(err, response->error, "the control server %s cannot be reached: %s",
				c->url, reason(response->error_text));
}

static void on_server(void *ctx, const struct http_response *response)
{
	struct control_client *c = ctx;
	struct error err = {0};
	int r = 0;

	c->fetch = NULL;
	if (response->error != 0) {
		r = response->error;
		control_client_unreachable(c, response, &err);
	} else if (response->status != 200) {
		r = error_set(&err, -EPROTO,
			      "what answers at %s is not a Warren control server (status %ld)",
			      c->url, response->status);
	} else {
		r = open_server(c, response->body, response->body_len, &err);
	}
	tell_waiters(c, r < 0 ? &err : NULL);
}

static void fetch(struct control_client *c, control_server_cb *done, void *ctx)
{
	struct http_options options = {.method = "GET", .on_done = on_server, .ctx = c};
	struct control_waiter *waiter;
	struct error err = {0};
	char url[320];
	int n;

	waiter = calloc(1, sizeof(*waiter));
	if (waiter == NULL) {
		(void)error_set(&err, -ENOMEM, "no memory");
		done(ctx, NULL, &err);
		return;
	}
	*waiter = (struct control_waiter){c->waiters, done, ctx};
	c->waiters = waiter;
	if (c->fetch != NULL)
		return;
	n = snprintf(url, sizeof(url), "%s/v1/server", c->url);
	options.url = url;
	options.timeout_ms = 10000;
	options.trust.insecure_once = c->pinned || c->has_fingerprint;
	if (c->url[0] == '\0')
		(void)error_set(&err, -ENOENT, "no control server is known: give --control URL");
	else if (n < 0 || http_start(c->http, &options, &c->fetch, &err) < 0)
		c->fetch = NULL;
	if (err.code != 0)
		tell_waiters(c, &err);
}

void control_client_server(struct control_client *c, control_server_cb *done, void *ctx)
{
	if (c->known)
		done(ctx, &c->server, NULL);
	else
		fetch(c, done, ctx);
}

void control_client_server_anew(struct control_client *c, control_server_cb *done, void *ctx)
{
	if (c->known && !c->outdated)
		done(ctx, &c->server, NULL);
	else
		fetch(c, done, ctx);
}
