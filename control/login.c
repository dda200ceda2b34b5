/* SPDX-License-Identifier: Apache-2.0
 *
 * The login service: who is logged in on which peer (PROTOCOL.md section 4, /v1/self/login), and
 * the life of the service itself. A token is believed only after oidc_verify, and only for the peer
 * that signed the request.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/issuers.h"
#include "control/login_internal.h"
#include "platform/json.h"
#include "platform/secret.h"

struct login_service *login_ref(struct login_service *l)
{
	l->refs++;
	return l;
}

void login_unref(struct login_service *l)
{
	if (l == NULL || --l->refs > 0)
		return;
	login_table_free(l->table);
	secret_wipe(l, sizeof(*l));
	free(l);
}

static void held_gone(void *ctx)
{
	struct server_request **slot = ctx;
	*slot = NULL;
}

void login_hold(struct server_request *r, struct server_request **slot)
{
	*slot = r;
	server_request_on_close(r, held_gone, slot);
}

struct server_request *login_resume(struct server_request **slot)
{
	struct server_request *r = *slot;
	*slot = NULL;
	if (r != NULL)
		server_request_on_close(r, NULL, NULL);
	return r;
}

void login_refuse_token(struct server_request *r, enum jwt_fault fault, const struct error *err)
{
	int code = err != NULL ? err->code : 0;
	if (fault == JWT_UNKNOWN_KEY &&
	    (code == -ETIMEDOUT || code == -ECONNREFUSED || code == -EHOSTUNREACH ||
	     code == -EPROTO || code == -ECANCELED || code == -ENETUNREACH)) {
		server_reply_error(r, 503, "unavailable", "the login provider does not answer: %s",
				   error_text(err));
		return;
	}
	json_t *body = json_pack("{s:{s:s, s:s, s:s}}", "error", "code", "login_required",
				 "message", error_text(err), "token", jwt_fault_name(fault));
	server_reply_json(r, 401, body);
	json_decref(body);
}

bool login_refuse_void(const struct control *c, struct server_request *r,
		       const struct jwt_identity *identity, const char *peer)
{
	const char *why = state_refused(c->state, identity->user, peer, identity->issued_s);

	if (why == NULL)
		return false;
	if (state_refused(c->state, identity->user, peer, INT64_MAX) != NULL) {
		/* Another login would not help. */
		server_reply_error(r, 403, "denied", "%s", why);
		return true;
	}
	json_t *body = json_pack("{s:{s:s, s:s, s:s}}", "error", "code", "login_required",
				 "message", why, "token", "ended");
	server_reply_json(r, 401, body);
	json_decref(body);
	return true;
}

json_t *login_body(struct server_request *r, const char *const *keys)
{
	struct error err = {0};
	size_t len;
	const char *text = server_request_body(r, &len);
	json_t *body = json_load_strict(text, len, 256u << 10, &err);
	if (body != NULL && json_only_keys(body, keys, &err) == 0)
		return body;
	server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
	json_decref(body);
	return NULL;
}

/* ---- POST and DELETE /v1/self/login */

struct self_job {
	struct server_request *r;
	struct login_service *l;
	char peer[24];
	char identity[256];
	int64_t expires_s;
	bool logout;
};

static void job_free(struct self_job *job)
{
	login_unref(job->l);
	free(job);
}

static void recorded(void *ctx, int result)
{
	struct self_job *job = ctx;
	struct server_request *r = login_resume(&job->r);

	if (result == 0)
		state_event(job->l->c->state, job->logout ? "logout" : "login", job->identity,
			    job->peer, NULL);
	if (r != NULL && result == -ENOENT)
		server_reply_error(r, 404, "not_found", "%s is not logged in here", job->identity);
	else if (r != NULL && result == -EUSERS)
		server_reply_error(r, 403, "denied",
				   "too many people are logged in on this machine: somebody has "
				   "to log out first");
	else if (r != NULL && result != 0)
		server_reply_error(r, 503, "unavailable", "the store does not answer");
	else if (r != NULL && job->logout)
		server_reply(r, 204, NULL, NULL, NULL, 0);
	else if (r != NULL) {
		json_t *body = json_pack("{s:s, s:I}", "identity", job->identity, "expires",
					 (json_int_t)job->expires_s);
		server_reply_json(r, 200, body);
		json_decref(body);
	}
	job_free(job);
}

static void token_verified(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
			   const struct error *err)
{
	struct self_job *job = ctx;
	struct control *c = job->l->c;
	const char *groups[JWT_MAX_GROUPS];

	if (fault != JWT_OK || job->l->closing) {
		struct server_request *r = login_resume(&job->r);
		if (r != NULL)
			login_refuse_token(r, fault, err);
		if (identity != NULL)
			jwt_identity_done(identity);
		job_free(job);
		return;
	}
	if (state_refused(c->state, identity->user, job->peer, identity->issued_s) != NULL) {
		struct server_request *r = login_resume(&job->r);
		if (r != NULL)
			(void)login_refuse_void(c, r, identity, job->peer);
		jwt_identity_done(identity);
		job_free(job);
		return;
	}
	/* From the token's issue, so that an old token does not make a young login. */
	job->expires_s = identity->issued_s + c->config->login_ttl_s;
	snprintf(job->identity, sizeof(job->identity), "%s", identity->user);
	for (size_t i = 0; i < identity->group_count && i < JWT_MAX_GROUPS; i++)
		groups[i] = identity->groups[i];
	state_login(c->state, job->peer, job->identity, groups, identity->group_count,
		    job->expires_s, recorded, job);
	jwt_identity_done(identity);
}

static struct self_job *job_new(struct login_service *l, struct server_request *r, const char *peer)
{
	struct self_job *job = calloc(1, sizeof(*job));
	if (job == NULL) {
		server_reply_error(r, 503, "unavailable", "out of memory");
		return NULL;
	}
	job->l = login_ref(l);
	memcpy(job->peer, peer, strnlen(peer, sizeof(job->peer) - 1));
	return job;
}

static void handle_login(void *ctx, struct server_request *r)
{
	static const char *const keys[] = {"id_token", NULL};
	struct login_service *l = ctx;
	const struct state_peer *peer = api_authenticate(l->c, r);
	const char *token;
	struct error err = {0};
	json_t *body;

	if (peer == NULL)
		return;
	body = login_body(r, keys);
	if (body == NULL)
		return;
	if (json_get_text(body, "id_token", JWT_MAX_BYTES, &token, &err) != 0) {
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
		json_decref(body);
		return;
	}
	struct self_job *job = job_new(l, r, peer->id);
	if (job != NULL) {
		login_hold(r, &job->r);
		if (issuers_verify(l->c, ISSUERS_PERSON, token, token_verified, job) != 0) {
			login_resume(&job->r);
			server_reply_error(r, 503, "unavailable",
					   "the token cannot be checked now");
			job_free(job);
		}
	}
	json_decref(body);
}

static void handle_logout(void *ctx, struct server_request *r)
{
	static const char *const keys[] = {"identity", NULL};
	struct login_service *l = ctx;
	const struct state_peer *peer = api_authenticate(l->c, r);
	struct error err = {0};
	json_t *body;

	if (peer == NULL)
		return;
	body = login_body(r, keys);
	if (body == NULL)
		return;
	struct self_job *job = job_new(l, r, peer->id);
	if (job != NULL) {
		job->logout = true;
		if (json_get_string(body, "identity", job->identity, sizeof(job->identity), &err) !=
		    0) {
			server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
			job_free(job);
		} else {
			login_hold(r, &job->r);
			state_logout(l->c->state, job->peer, job->identity, recorded, job);
		}
	}
	json_decref(body);
}

/* ---- life */

static int add_routes(struct login_service *l)
{
	struct server *s = l->c->server;
	int r = server_route(s, 1u << SERVER_PUBLIC, "POST", "/v1/self/login", handle_login, l);
	if (r == 0)
		r = server_route(s, 1u << SERVER_PUBLIC, "DELETE", "/v1/self/login", handle_logout,
				 l);
	if (r == 0)
		r = login_cert_routes(l);
	if (r == 0)
		r = login_connection_routes(l);
	if (r == 0)
		r = login_web_routes(l);
	return r;
}

int login_service_new(struct control *c, struct login_service **ret_login, struct error *err)
{
	struct login_service *l = calloc(1, sizeof(*l));
	int r = l != NULL ? 0 : -ENOMEM;
	if (r == 0) {
		l->c = c;
		l->refs = 1;
		l->secure = strncmp(c->config->public_url, "https://", 8) == 0;
		random_bytes(c->random, l->csrf_key, sizeof(l->csrf_key));
		r = login_table_new(c->clock, c->random, &l->table);
	}
	if (r == 0)
		r = add_routes(l);
	if (r != 0) {
		login_unref(l);
		return error_set(err, r, "the login service cannot start: %s", strerror(-r));
	}
	*ret_login = l;
	return 0;
}

static void timer_closed(uv_handle_t *handle)
{
	free(handle);
}

void login_service_free(struct login_service *l)
{
	if (l == NULL)
		return;
	l->closing = true;
	login_waiters_end(l);
	if (l->timer != NULL)
		uv_close((uv_handle_t *)l->timer, timer_closed);
	l->timer = NULL;
	login_unref(l);
}
