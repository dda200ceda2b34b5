/* SPDX-License-Identifier: Apache-2.0
 *
 * Logouts (control/PROTOCOL.md section 4, DELETE /v1/self/login). The token of the account is gone at
 * once; control is told, and where it cannot be, the person hears so and it is told later. The
 * provider revokes the refresh token, where it can (RFC 7009); that is tried once.
 */
#include "daemon/logout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/login.h"
#include "platform/json.h"
#include "platform/log.h"

#define TELL_MS	    5000
#define MAX_LOGINS  1024 /* accounts of one machine */

struct logouts {
	json_t *of;    /* account number: identity */
	json_t *ended; /* identity: true; control has not heard of it */
	json_t *seen;  /* identities that control's map named on this machine */
};

static void save(struct main_core *m)
{
	json_t *all = json_pack("{s:O,s:O}", "of", m->logouts->of, "ended", m->logouts->ended);

	if (all == NULL || state_file_save_logins(m->state_fd, all) < 0)
		log_warn("who is logged in here was not saved", NULL);
	json_decref(all);
}

int logout_new(struct main_core *m)
{
	struct logouts *l = calloc(1, sizeof(*l));
	json_t *saved, *of, *ended;

	if (l == NULL)
		return -ENOMEM;
	saved = state_file_logins(m->state_fd);
	of = json_object_get(saved, "of");
	ended = json_object_get(saved, "ended");
	l->of = json_is_object(of) ? json_incref(of) : json_object();
	l->ended = json_is_object(ended) ? json_incref(ended) : json_object();
	l->seen = json_array();
	json_decref(saved);
	m->logouts = l;
	return 0;
}

static void key_of(uid_t uid, char key[16])
{
	(void)snprintf(key, 16, "%u", uid);
}

void logout_note(struct main_core *m, uid_t uid, const char *identity)
{
	struct logouts *l = m->logouts;
	const char *known;
	char key[16];

	key_of(uid, key);
	known = json_string_value(json_object_get(l->of, key));
	if (known != NULL && strcmp(known, identity) == 0)
		return;
	if (known == NULL && json_object_size(l->of) >= MAX_LOGINS)
		return;
	(void)json_object_set_new(l->of, key, json_string(identity));
	save(m);
}

void logout_forget(struct main_core *m)
{
	(void)json_object_clear(m->logouts->of);
	(void)json_object_clear(m->logouts->ended);
}

/* ---- what control ended */

static bool is(const json_t *value, const char *identity)
{
	const char *text = json_string_value(value);

	return text != NULL && strcmp(text, identity) == 0;
}

static bool named(const json_t *list, const char *identity)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) if (is(item, identity)) return true;
	return false;
}

static void on_revoked_silently(void *ctx, const struct error *err)
{
	(void)ctx;
	if (err != NULL && err->code != -ENOTSUP)
		log_warn("a refresh token was not revoked", "reason=\"%s\"", err->text);
}

/* Their tokens open nothing any more: without them the next login is a real one. */
static void ended_elsewhere(struct main_core *m, const char *identity)
{
	json_t *copy = json_copy(m->logouts->of), *value;
	const char *key;

	json_object_foreach(copy, key, value)
	{
		if (!is(value, identity))
			continue;
		uid_t uid = (uid_t)strtoul(key, NULL, 10);

		(void)login_revoke(m, uid, on_revoked_silently, NULL);
		login_forget(m, uid);
		(void)json_object_del(m->logouts->of, key);
		log_info("a login was ended by the control server", "uid=%s identity=\"%s\"", key,
			 identity);
	}
	json_decref(copy);
	save(m);
}

void logout_map_changed(struct main_core *m)
{
	json_t *now = json_object_get(map_get(m->map.map, "self"), "identities");
	json_t *before = m->logouts->seen, *item;
	size_t i;

	if (!json_is_array(now) || json_equal(now, before))
		return;
	m->logouts->seen = json_deep_copy(now);
	json_array_foreach(before, i, item) if (json_is_string(item) &&
						!named(now, json_string_value(item)))
		ended_elsewhere(m, json_string_value(item));
	json_decref(before);
}

/* ---- telling control */

struct telling {
	struct main_core *m;
	struct ipc_request *request; /* NULL: nobody waits */
	char identity[256];
	unsigned waits; /* for control, and for the provider */
	bool told;
	char reason[400]; /* why control was not */
	enum { NOTHING, REVOKED, NOT_REVOKED } revocation;
	char revocation_reason[400];
};

/* Everybody has answered. */
static void finish(struct telling *t)
{
	static const char *const words[] = {"nothing", "done", "failed"};

	if (--t->waits > 0)
		return;
	if (t->request != NULL) {
		t->request->on_gone = NULL;
		ipc_request_result(t->request,
				   json_pack("{s:s,s:b,s:s,s:s,s:s}", "identity", t->identity,
					     "told", (int)t->told, "reason", t->reason,
					     "revocation", words[t->revocation],
					     "revocation_reason", t->revocation_reason));
	}
	free(t);
}

static void on_revoked(void *ctx, const struct error *err)
{
	struct telling *t = ctx;

	if (err == NULL)
		t->revocation = REVOKED;
	else if (err->code != -ENOTSUP)
		t->revocation = NOT_REVOKED;
	if (t->revocation == NOT_REVOKED) {
		(void)snprintf(t->revocation_reason, sizeof(t->revocation_reason), "%.399s",
			       err->text);
		log_warn("a refresh token was not revoked", "identity=\"%s\" reason=\"%s\"",
			 t->identity, err->text);
	}
	finish(t);
}

static void on_told(void *ctx, const struct control_reply *reply)
{
	struct telling *t = ctx;
	struct main_core *m = t->m;
	/* 404: it was over already. */
	bool told = reply->error == 0 &&
		    ((reply->status >= 200 && reply->status <= 299) || reply->status == 404 ||
		     strcmp(reply->code, "unknown_peer") == 0);

	if (told && json_object_del(m->logouts->ended, t->identity) == 0)
		save(m);
	if (!told)
		log_warn("the control server was not told of a logout",
			 "identity=\"%s\" reason=\"%s\"", t->identity, reply->message);
	t->told = told;
	if (!told)
		(void)snprintf(t->reason, sizeof(t->reason), "%s", reply->message);
	finish(t);
}

static void on_gone(struct ipc_request *r)
{
	struct telling *t = r->data;

	t->request = NULL;
}

/* uid: whose login at the provider ends, too; -1: nobody's. */
static void tell(struct main_core *m, const char *identity, uid_t uid, struct ipc_request *r)
{
	struct telling *t = calloc(1, sizeof(*t));
	struct control_reply failed = {.error = -EIO};
	json_t *body = json_pack("{s:s}", "identity", identity);

	if (t == NULL) {
		json_decref(body);
		if (r != NULL)
			ipc_request_error(r, WARREN_EXIT_FAILED, "no memory");
		return;
	}
	t->m = m;
	t->request = r;
	t->waits = 1;
	(void)snprintf(t->identity, sizeof(t->identity), "%s", identity);
	if (uid != (uid_t)-1 && login_revoke(m, uid, on_revoked, t))
		t->waits++;
	if (r != NULL) {
		r->data = t;
		r->on_gone = on_gone;
	}
	(void)snprintf(failed.message, sizeof(failed.message),
		       "the control server cannot be asked now");
	if (body == NULL || control_client_call(m->control, "DELETE", "/v1/self/login", NULL, body,
						TELL_MS, on_told, t, NULL) < 0)
		on_told(t, &failed);
	json_decref(body);
}

void logout_flush(struct main_core *m)
{
	const char *identity;
	json_t *value, *copy;

	if (m->logouts == NULL || !m->network.enrolled || json_object_size(m->logouts->ended) == 0)
		return;
	copy = json_copy(m->logouts->ended);
	json_object_foreach(copy, identity, value) tell(m, identity, (uid_t)-1, NULL);
	json_decref(copy);
}

void logout_command(struct main_core *m, struct ipc_request *r)
{
	struct logouts *l = m->logouts;
	char key[16], identity[256];
	const char *known;

	login_identity(m, r->cred.uid, identity);
	key_of(r->cred.uid, key);
	known = json_string_value(json_object_get(l->of, key));
	if (identity[0] == '\0' && known != NULL)
		(void)snprintf(identity, sizeof(identity), "%s", known);
	if (identity[0] == '\0' || !m->network.enrolled) {
		login_forget(m, r->cred.uid);
		ipc_request_result(r, json_object()); /* nobody was logged in */
		return;
	}
	(void)json_object_del(l->of, key);
	(void)json_object_set_new(l->ended, identity, json_true());
	save(m);
	tell(m, identity, r->cred.uid, r);
	login_forget(m, r->cred.uid);
}
