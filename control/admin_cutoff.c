/* SPDX-License-Identifier: Apache-2.0
 *
 * The admin API's part that ends what people have: blocked identities, certificates that were given
 * out and their revocation.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/api.h"
#include "control/state.h"
#include "control/store_cutoff.h"
#include "platform/json.h"

#define ADMIN (1u << SERVER_ADMIN)

/* ---- a change of an identity ---- */

struct cut_wait {
	struct api_wait *wait;
	struct control *c;
	char identity[256];
};

static void cut_done(void *ctx, int result)
{
	struct cut_wait *w = ctx;
	struct server_request *r = api_wait_end(w->wait);

	if (r && result == 0)
		server_reply(r, 204, NULL, NULL, NULL, 0);
	else if (r && result == -ENOENT && state_is_blocked(w->c->state, w->identity))
		server_reply_error(r, 409, "disabled",
				   "%s is disabled: warren-control user enable %s", w->identity,
				   w->identity);
	else if (r && result == -ENOENT)
		server_reply_error(r, 404, "not_found", "%s is not blocked", w->identity);
	else if (r)
		server_reply_error(r, 503, "unavailable", "the store did not take the change: %s",
				   strerror(-result));
	free(w);
}

static int read_identity(struct server_request *r, char out[256])
{
	static const char *const keys[] = {"identity", NULL};
	json_t *body = api_body(r, keys);
	struct error err = {0};
	int e;

	if (!body)
		return -EINVAL;
	e = json_get_string(body, "identity", out, 256, &err);
	json_decref(body);
	if (e == 0 && !out[0])
		e = error_set(&err, -EINVAL, "\"identity\" is empty");
	if (e < 0)
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
	/* As tokens' e-mail addresses are taken (identity/jwt.h). */
	for (char *at = strchr(out, '@') ? out : out + strlen(out); e == 0 && *at; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
	return e;
}

enum change { BLOCK, UNBLOCK, REVOKE };

static void change(struct control *c, struct server_request *r, enum change what)
{
	struct cut_wait *w = calloc(1, sizeof(*w));
	int e;

	if (!w) {
		server_reply_error(r, 503, "unavailable", "out of memory");
		return;
	}
	if (read_identity(r, w->identity) < 0 || !(w->wait = api_wait_new(c, r))) {
		free(w);
		return;
	}
	w->c = c;
	if (what == UNBLOCK)
		e = state_unblock(c->state, w->identity, cut_done, w);
	else
		e = state_cut(c->state, w->identity, what == BLOCK, what == BLOCK,
			      what == BLOCK ? "blocked" : "revoked", cut_done, w);
	if (e < 0)
		cut_done(w, e);
}

static void block(void *ctx, struct server_request *r)
{
	change(ctx, r, BLOCK);
}

static void unblock(void *ctx, struct server_request *r)
{
	change(ctx, r, UNBLOCK);
}

static void revoke_all(void *ctx, struct server_request *r)
{
	change(ctx, r, REVOKE);
}

static void list_blocked(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	json_t *body = json_pack("{s:o}", "blocked", state_blocked_identities(c->state));

	server_reply_json(r, 200, body);
	json_decref(body);
}

/* ---- certificates ---- */

struct certs_wait {
	struct store_certs a; /* first */
	struct api_wait *wait;
	struct control *c;
};

/* Names beside the ids, where the machines still are. */
static void add_names(const struct control *c, json_t *certs)
{
	static const char *const ids[][2] = {{"caller", "caller_name"}, {"target", "target_name"}};
	json_t *row;
	size_t i;

	json_array_foreach(certs, i, row)
	{
		for (size_t k = 0; k < 2; k++) {
			const char *id = json_string_value(json_object_get(row, ids[k][0]));
			const struct store_peer *p = id ? state_row(c->state, id) : NULL;

			(void)json_object_set_new(row, ids[k][1],
						  json_string(p ? p->name : id ? id : ""));
		}
	}
}

static void certs_read(void *arg, int result)
{
	struct certs_wait *w = arg;
	struct server_request *r = api_wait_end(w->wait);

	if (r && result == 0) {
		add_names(w->c, w->a.certs);
		json_t *body = json_pack("{s:O}", "certs", w->a.certs);

		server_reply_json(r, 200, body);
		json_decref(body);
	} else if (r) {
		server_reply_error(r, 503, "unavailable", "the store does not answer");
	}
	json_decref(w->a.certs);
	free(w);
}

static void list_certs(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	struct certs_wait *w = calloc(1, sizeof(*w));
	char text[24];

	if (!w || !(w->wait = api_wait_new(c, r))) {
		if (!w)
			server_reply_error(r, 503, "unavailable", "out of memory");
		free(w);
		return;
	}
	w->c = c;
	w->a.now_s = clock_realtime_s(c->clock);
	w->a.limit = 100;
	if (server_form_value(server_request_query(r), "limit", text, sizeof(text)) == 0)
		w->a.limit = strtoll(text, NULL, 10);
	if (w->a.limit < 1 || w->a.limit > 1000)
		w->a.limit = 100;
	if (server_form_value(server_request_query(r), "identity", w->a.identity,
			      sizeof(w->a.identity)) < 0)
		w->a.identity[0] = '\0';
	if (store_job(c->store, store_certs, &w->a, certs_read) < 0)
		certs_read(w, -EAGAIN);
}

static void cert_revoked(void *ctx, int result, const struct store_cert *cert)
{
	struct server_request *r = api_wait_end(ctx);

	if (!r)
		return;
	if (result == 0)
		server_reply(r, 204, NULL, NULL, NULL, 0);
	else if (result == -ENOENT)
		server_reply_error(r, 404, "not_found",
				   "there is no certificate with the serial %" PRIu64
				   " (they are kept for a month)",
				   cert ? cert->serial : 0);
	else if (result == -EALREADY)
		server_reply_error(r, 409, "revoked", "that certificate is revoked already");
	else if (result == -ENOSPC)
		server_reply_error(r, 409, "too_many",
				   "too many certificates are revoked: revoke those of one person "
				   "with --identity");
	else
		server_reply_error(r, 503, "unavailable", "the store did not take the change: %s",
				   strerror(-result));
}

static void revoke_one(void *ctx, struct server_request *r)
{
	static const char prefix[] = "/v1/admin/certs/";
	struct control *c = ctx;
	const char *text = server_request_path(r) + sizeof(prefix) - 1;
	struct api_wait *w;
	char *end;
	int e;

	errno = 0;
	long long serial = strtoll(text, &end, 10);
	if (errno || *end || end == text || *text < '0' || *text > '9') {
		server_reply_error(r, 400, "bad_request",
				   "the serial of a certificate is a number, as ssh-keygen -L and "
				   "warren-control cert list show it");
		return;
	}
	w = api_wait_new(c, r);
	if (!w)
		return;
	e = state_revoke(c->state, (uint64_t)serial, cert_revoked, w);
	if (e < 0)
		cert_revoked(w, e, NULL);
}

int admin_cutoff_routes(struct control *c)
{
	static const struct {
		const char *method, *path;
		server_handler *handler;
	} routes[] = {
		{"GET", "/v1/admin/identities/blocked", list_blocked},
		{"POST", "/v1/admin/identities/block", block},
		{"POST", "/v1/admin/identities/unblock", unblock},
		{"GET", "/v1/admin/certs", list_certs},
		{"POST", "/v1/admin/certs/revoke", revoke_all},
		{"DELETE", "/v1/admin/certs/", revoke_one},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(routes) / sizeof(routes[0]); i++)
		r = server_route(c->server, ADMIN, routes[i].method, routes[i].path,
				 routes[i].handler, c);
	return r;
}
