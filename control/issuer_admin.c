/* SPDX-License-Identifier: Apache-2.0
 *
 * Users of the embedded provider on the admin socket: POST /v1/admin/users {email, name, groups,
 * password, disabled} creates or changes, GET lists, DELETE /v1/admin/users/EMAIL removes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/issuer_internal.h"
#include "control/store_issuer.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/secret.h"

#define USERS	   "/v1/admin/users"
#define GROUPS_MAX 128

struct user_job {
	struct server_request *r;
	struct issuer *i;
	struct store_issuer_put put;
	struct store_issuer_delete gone;
	struct store_issuer_list list;
};

static void job_free(struct user_job *job)
{
	json_decref(job->list.users);
	issuer_unref(job->i);
	secret_wipe(job, sizeof(*job));
	free(job);
}

static struct user_job *job_new(struct issuer *i, struct server_request *r)
{
	struct user_job *job = calloc(1, sizeof(*job));
	if (job == NULL)
		server_reply_error(r, 503, "unavailable", "out of memory");
	else
		job->i = issuer_ref(i);
	return job;
}

static void unavailable(struct server_request *r)
{
	server_reply_error(r, 503, "unavailable", "the store does not answer");
}

/* ---- list */

static int list_users(void *db, void *arg)
{
	struct user_job *job = arg;
	return store_issuer_list(db, &job->list);
}

static void users_listed(void *arg, int result)
{
	struct user_job *job = arg;
	struct server_request *r = issuer_resume(&job->r);
	if (r != NULL && result == 0) {
		json_t *body = json_pack("{s:O}", "users", job->list.users);
		server_reply_json(r, 200, body);
		json_decref(body);
	} else if (r != NULL) {
		unavailable(r);
	}
	job_free(job);
}

static void handle_list(void *ctx, struct server_request *r)
{
	struct user_job *job = job_new(ctx, r);
	if (job == NULL)
		return;
	issuer_hold(r, &job->r);
	if (store_job(job->i->c->store, list_users, job, users_listed) != 0)
		users_listed(job, -EIO);
}

/* ---- create or change */

static int put_user(void *db, void *arg)
{
	struct user_job *job = arg;
	return store_issuer_put(db, &job->put);
}

static void user_put(void *arg, int result)
{
	struct user_job *job = arg;
	struct server_request *r = issuer_resume(&job->r);
	const struct store_issuer_put *put = &job->put;

	bool disabled = put->set_disabled && put->user.disabled;

	if (result == 0 && (put->set_password || disabled))
		issuer_flow_forget(job->i->flow, put->user.email);
	if (result == 0 && put->set_disabled && !put->created)
		state_cut_stored(job->i->c->state, &put->cut);
	if (r != NULL && result == 0) {
		log_info(put->created ? "user added" : "user changed", "email=%s", put->user.email);
		json_t *body = json_pack("{s:s}", "email", put->user.email);
		server_reply_json(r, put->created ? 201 : 200, body);
		json_decref(body);
	} else if (r != NULL && result == -EINVAL) {
		server_reply_error(r, put->set_disabled ? 404 : 400,
				   put->set_disabled ? "not_found" : "bad_request",
				   "there is no user %s; a new one needs a password",
				   put->user.email);
	} else if (r != NULL) {
		unavailable(r);
	}
	job_free(job);
}

static void password_hashed(void *ctx, int result, const char *hash)
{
	struct user_job *job = ctx;
	if (result == 0) {
		memcpy(job->put.user.password, hash, sizeof(job->put.user.password));
		result = store_job(job->i->c->store, put_user, job, user_put);
	}
	if (result != 0)
		user_put(job, -EIO);
}

static int read_groups(const json_t *body, struct store_issuer_user *user, struct error *err)
{
	json_t *groups, *group;
	size_t n;
	int r = json_get_array(body, "groups", GROUPS_MAX, &groups, err);
	if (r != 0)
		return r;
	json_array_foreach(groups, n, group)
	{
		if (!json_is_string(group) || json_string_length(group) == 0 ||
		    json_string_length(group) > 127)
			return error_set(err, -EINVAL,
					 "\"groups\" must be names of 1 to 127 characters");
	}
	char *text = json_dumps(groups, JSON_COMPACT);
	if (text == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	size_t len = strlen(text);
	if (len < sizeof(user->groups))
		memcpy(user->groups, text, len + 1);
	free(text);
	return len < sizeof(user->groups)
		       ? 0
		       : error_set(err, -EMSGSIZE, "\"groups\" are more than %zu bytes together",
				   sizeof(user->groups) - 1);
}

/* password: secret_alloc'ed room of ISSUER_PASSWORD_MAX + 1. */
static int read_user(const json_t *body, struct store_issuer_put *put, char *password,
		     struct error *err)
{
	static const char *const keys[] = {"email", "name", "groups", "password", "disabled", NULL};
	char email[256];
	int r = json_only_keys(body, keys, err);
	if (r == 0)
		r = json_get_string(body, "email", email, sizeof(email), err);
	if (r == 0 && issuer_oauth_email(email, put->user.email, sizeof(put->user.email)) != 0)
		r = error_set(err, -EINVAL, "\"email\" is not an e-mail address");
	if (r == 0 && json_object_get(body, "name") != NULL) {
		put->set_name = true;
		r = json_get_string(body, "name", put->user.name, sizeof(put->user.name), err);
	}
	if (r == 0 && json_object_get(body, "groups") != NULL) {
		put->set_groups = true;
		r = read_groups(body, &put->user, err);
	}
	if (r == 0 && json_object_get(body, "disabled") != NULL) {
		put->set_disabled = true;
		r = json_get_bool(body, "disabled", &put->user.disabled, err);
	}
	if (r == 0 && json_object_get(body, "password") != NULL) {
		put->set_password = true;
		r = json_get_string(body, "password", password, ISSUER_PASSWORD_MAX + 1, err);
		if (r == 0 && strlen(password) < ISSUER_PASSWORD_MIN)
			r = error_set(err, -EINVAL, "\"password\" has fewer than %d characters",
				      ISSUER_PASSWORD_MIN);
	}
	return r;
}

/* jansson's copy of the password is ours to overwrite. */
static void wipe_password(json_t *body)
{
	json_t *value = json_object_get(body, "password");
	if (json_is_string(value)) {
		uintptr_t text = (uintptr_t)json_string_value(value);
		secret_wipe((void *)text, json_string_length(value));
	}
}

static void new_subject(struct issuer *i, char ret_subject[40])
{
	uint8_t raw[16];
	char text[ENCODE_HEX_SIZE(16)];
	random_bytes(i->c->random, raw, sizeof(raw));
	encode_hex(text, raw, sizeof(raw));
	snprintf(ret_subject, 40, "u_%s", text);
}

static void handle_put(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	size_t len;
	const char *text = server_request_body(r, &len);
	struct error err = {0};
	json_t *body = json_load_strict(text, len, 65536, &err);
	char *password = secret_alloc(ISSUER_PASSWORD_MAX + 1);
	struct user_job *job;
	int e;

	if (body == NULL || password == NULL) {
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
		goto out;
	}
	job = job_new(i, r);
	if (job == NULL)
		goto out;
	e = read_user(body, &job->put, password, &err);
	if (e != 0) {
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
		job_free(job);
		goto out;
	}
	new_subject(i, job->put.user.subject);
	job->put.user.created_s = clock_realtime_s(i->c->clock);
	if (job->put.set_disabled) {
		state_cut_prepare(i->c->state, job->put.user.email, true, true, "disabled",
				  &job->put.cut);
		job->put.cut.unblock = !job->put.user.disabled;
	}
	issuer_hold(r, &job->r);
	if (job->put.set_password)
		e = issuer_password_hash_start(&i->pool, password, password_hashed, job);
	else
		e = store_job(i->c->store, put_user, job, user_put);
	if (e != 0)
		user_put(job, e);
out:
	wipe_password(body);
	json_decref(body);
	secret_free(password);
}

/* ---- delete */

static int delete_user(void *db, void *arg)
{
	struct user_job *job = arg;
	return store_issuer_delete(db, &job->gone);
}

static void user_deleted(void *arg, int result)
{
	struct user_job *job = arg;
	struct server_request *r = issuer_resume(&job->r);
	if (result == 0) {
		issuer_flow_forget(job->i->flow, job->gone.user.email);
		state_cut_stored(job->i->c->state, &job->gone.cut);
		log_info("user removed", "email=%s", job->gone.user.email);
	}
	if (r != NULL && result == 0)
		server_reply(r, 204, NULL, NULL, NULL, 0);
	else if (r != NULL && result == -ENOENT)
		server_reply_error(r, 404, "not_found", "there is no user %s", job->gone.user.email);
	else if (r != NULL)
		unavailable(r);
	job_free(job);
}

/* The last part of the path, which is percent-encoded as a form's value but for its plus signs. */
static int path_email(const char *path, char *out, size_t cap)
{
	char form[1024] = "e=", email[256];
	size_t at = 2;
	if (strncmp(path, USERS "/", sizeof(USERS)) != 0)
		return -EINVAL;
	for (path += sizeof(USERS); *path != 0; path++) {
		const char *piece = *path == '+' ? "%2B" : (const char[]){*path, 0};
		if (*path == '&' || at + strlen(piece) >= sizeof(form))
			return -EINVAL;
		memcpy(form + at, piece, strlen(piece) + 1);
		at += strlen(piece);
	}
	if (server_form_value(form, "e", email, sizeof(email)) != 0)
		return -EINVAL;
	return issuer_oauth_email(email, out, cap);
}

static void handle_delete(void *ctx, struct server_request *r)
{
	struct issuer *i = ctx;
	struct user_job *job = job_new(i, r);

	if (job == NULL)
		return;
	char *email = job->gone.user.email;
	if (path_email(server_request_path(r), email, sizeof(job->gone.user.email)) != 0) {
		server_reply_error(r, 400, "bad_request", "the path ends in no e-mail address");
		job_free(job);
		return;
	}
	state_cut_prepare(i->c->state, email, false, true, "removed", &job->gone.cut);
	issuer_hold(r, &job->r);
	if (store_job(i->c->store, delete_user, job, user_deleted) != 0)
		user_deleted(job, -EIO);
}

int issuer_admin_routes(struct issuer *i)
{
	struct server *s = i->c->server;
	unsigned admin = 1u << SERVER_ADMIN;
	int r = server_route(s, admin, "GET", USERS, handle_list, i);
	if (r == 0)
		r = server_route(s, admin, "POST", USERS, handle_put, i);
	if (r == 0)
		r = server_route(s, admin, "DELETE", USERS "/", handle_delete, i);
	return r;
}
