/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of the network: each goes to the store, and when it is there memory takes it over, marks
 * the maps of those whom a rule connects with it (before and after), and tells the caller. Also
 * what time alone changes: logins that end, ephemeral peers that stay away.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/state_impl.h"
#include "platform/json.h"
#include "platform/log.h"

/* ---- taking a change over ---- */

static void took(struct state *s, int64_t revision)
{
	if (revision > s->network.revision)
		s->network.revision = revision;
	if (state_make_world(s) < 0)
		log_error("out of memory: the policy is judged in an old picture of the network",
			  NULL);
}

/* Everybody whose "identities" component may name this person. */
static void mark_identity(struct state *s, const char *identity)
{
	for (size_t i = 0; i < s->peer_count; i++)
		if (state_has_identity(s->peers[i], identity))
			state_mark_around(s, s->peers[i]);
}

/* ---- enrolment ---- */

struct enroll {
	struct store_enroll a; /* first: the store gives it back */
	struct state *s;
	state_enroll_done *done;
	void *ctx;
};

static void take_key_use(struct state *s, const struct store_enroll *a)
{
	for (size_t i = 0; i < s->key_count; i++) {
		if (strcmp(s->keys[i].name, a->key_name) == 0) {
			s->keys[i].uses_left = a->key_uses_left;
			s->keys[i].used = a->key_used;
		}
	}
}

static void enrolled(void *arg, int result)
{
	struct enroll *job = arg;
	struct state *s = job->s;
	const struct store_enroll *a = &job->a;
	struct entry *e = NULL;

	if (result == 0)
		result = state_insert(s, &a->peer, &e);
	if (result == 0) {
		e->row = a->peer;
		state_publish(s, e);
		if (a->key_name[0])
			take_key_use(s, a);
		took(s, a->revision);
		state_mark_around(s, e);
		json_t *detail = json_pack("{s:s,s:s,s:b}", "name", a->peer.name, "setup_key",
					   a->key_name, "again", a->existing);
		state_event(s, "peer.enrolled",
			    a->peer.enrolled_by[0] ? a->peer.enrolled_by : "setup-key", a->peer.id,
			    detail);
		json_decref(detail);
	}
	job->done(job->ctx, result, a);
	free(job);
}

int state_enroll(struct state *s, const struct store_enroll *wished, state_enroll_done *done,
		 void *ctx)
{
	struct enroll *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return -ENOMEM;
	*job = (struct enroll){.a = *wished, .s = s, .done = done, .ctx = ctx};
	r = store_enroll(s->c->store, &job->a, enrolled);
	if (r < 0)
		free(job);
	return r;
}

/* ---- peers ---- */

struct change {
	union { /* first: the store gives it back */
		struct store_peer_change peer;
		struct store_peer_remove remove;
		struct store_login_change login;
		struct store_policy policy;
		struct store_key_change key;
	};
	struct state *s;
	state_done *done;
	void *ctx;
	struct policy *compiled;
	char kind[32];
};

static struct change *change_new(struct state *s, state_done *done, void *ctx)
{
	struct change *job = calloc(1, sizeof(*job));

	if (job) {
		job->s = s;
		job->done = done;
		job->ctx = ctx;
	}
	return job;
}

static void change_finish(struct change *job, int result)
{
	if (job->done)
		job->done(job->ctx, result);
	free(job);
}

static void peer_changed(void *arg, int result)
{
	struct change *job = arg;
	struct state *s = job->s;
	struct entry *e = state_entry(s, job->peer.peer.id);

	if (result == 0 && e) {
		state_mark_around(s, e);
		e->row = job->peer.peer;
		state_publish(s, e);
		took(s, job->peer.revision);
		state_mark_around(s, e);
	}
	change_finish(job, result);
}

int state_change_peer(struct state *s, const struct store_peer *row, unsigned fields,
		      const char *kind, state_done *done, void *ctx)
{
	struct change *job = change_new(s, done, ctx);
	int r;

	if (!job)
		return -ENOMEM;
	snprintf(job->kind, sizeof(job->kind), "%s", kind);
	job->peer = (struct store_peer_change){
		.peer = *row, .fields = fields, .kind = job->kind, .now_s = state_now(s)};
	r = store_peer_change(s->c->store, &job->peer, peer_changed);
	if (r < 0)
		free(job);
	return r;
}

static void peer_removed(void *arg, int result)
{
	struct change *job = arg;
	struct state *s = job->s;
	struct entry *e = state_entry(s, job->remove.id);

	if (result == 0 && e) {
		state_mark_around(s, e);
		if (e->stream)
			state_stream_reset(e->stream, "removed");
		json_t *detail = json_pack("{s:s}", "name", e->row.name);
		state_event(s, "peer.removed", "control", e->row.id, detail);
		json_decref(detail);
		state_drop_entry(s, e);
		took(s, job->remove.revision);
	} else if (e) {
		state_farewell_back(s, e);
	}
	change_finish(job, result);
}

static void remove_now(void *arg)
{
	struct change *job = arg;
	struct entry *e;
	int r = store_peer_remove(job->s->c->store, &job->remove, peer_removed);

	if (r == 0)
		return;
	e = state_entry(job->s, job->remove.id);
	if (e)
		state_farewell_back(job->s, e);
	change_finish(job, r);
}

int state_remove_peer(struct state *s, const char *id, state_done *done, void *ctx)
{
	struct entry *e = state_entry(s, id);
	struct change *job;
	int r;

	if (!e)
		return -ENOENT;
	job = change_new(s, done, ctx);
	if (!job)
		return -ENOMEM;
	job->remove = (struct store_peer_remove){
		.now_s = state_now(s), .quarantine_until_s = state_now(s) + STATE_QUARANTINE_S};
	snprintf(job->remove.id, sizeof(job->remove.id), "%s", id);
	r = state_farewell(s, e, remove_now, job);
	if (r < 0)
		free(job);
	return r;
}

/* ---- logins ---- */

static struct login **find_login(struct entry *e, const char *identity)
{
	struct login **at = &e->logins;

	while (*at && strcmp((*at)->identity, identity) != 0)
		at = &(*at)->next;
	return at;
}

static int take_login(struct entry *e, const struct store_login *stored)
{
	struct login **at = find_login(e, stored->identity), *l = *at;

	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			return -ENOMEM;
		memcpy(l->identity, stored->identity, sizeof(l->identity));
		*at = l;
	}
	json_decref(l->groups);
	l->groups = json_incref(stored->groups);
	l->expires_s = stored->expires_s;
	if (stored->issued_s > l->issued_s)
		l->issued_s = stored->issued_s;
	return 0;
}

static size_t login_count(const struct entry *e)
{
	size_t n = 0;

	for (const struct login *l = e->logins; l; l = l->next)
		n++;
	return n;
}

/* What the login gave is void: at once here, and with the login's row in the store. */
static int cut_login(struct state *s, struct entry *e, const char *reason,
		     struct store_login_change *a)
{
	const struct login *l = *find_login(e, a->login.identity);

	if (!l)
		return -ENOENT;
	a->cutoff = (struct store_cutoff){
		.before_s = a->now_s,
		.token_before_s = l->issued_s,
		.until_s = state_cut_until(s, a->now_s),
	};
	memcpy(a->cutoff.identity, a->login.identity, sizeof(a->cutoff.identity));
	memcpy(a->cutoff.peer, e->row.id, sizeof(a->cutoff.peer));
	snprintf(a->cutoff.reason, sizeof(a->cutoff.reason), "%s", reason);
	return state_cut_now(s, &a->cutoff);
}

static void login_changed(void *arg, int result)
{
	struct change *job = arg;
	struct state *s = job->s;
	const struct store_login *l = &job->login.login;
	struct entry *e = state_entry(s, l->peer);

	if (result == 0 && e) {
		state_mark_around(s, e);
		mark_identity(s, l->identity);
		if (job->login.remove) {
			struct login **at = find_login(e, l->identity), *old = *at;

			if (old) {
				*at = old->next;
				json_decref(old->groups);
				free(old);
			}
		} else {
			result = take_login(e, l);
		}
		state_forget_view(s, e);
		took(s, job->login.revision);
		state_mark_around(s, e);
		mark_identity(s, l->identity);
		state_event(s, job->login.remove ? "peer.logout" : "peer.login", l->identity,
			    l->peer, NULL);
	}
	json_decref(job->login.login.groups);
	change_finish(job, result);
}

/* reason: of a removal; NULL: a login. */
static int change_login(struct state *s, const char *peer, const char *identity, json_t *groups,
			int64_t expires_s, const char *reason, state_done *done, void *ctx)
{
	struct entry *e = state_entry(s, peer);
	struct change *job;
	int r = -ENOENT;

	if (e && !reason && !*find_login(e, identity) && login_count(e) >= STATE_MAX_IDENTITIES - 1)
		r = -EUSERS;
	else if (e && strlen(identity) < sizeof(job->login.login.identity))
		r = 0;
	if (r < 0) {
		json_decref(groups);
		return r;
	}
	job = change_new(s, done, ctx);
	if (!job) {
		json_decref(groups);
		return -ENOMEM;
	}
	job->login = (struct store_login_change){
		.login = {.groups = groups,
			  .expires_s = expires_s,
			  .issued_s = expires_s - s->c->config->login_ttl_s},
		.remove = reason != NULL,
		.now_s = state_now(s),
	};
	snprintf(job->login.login.peer, sizeof(job->login.login.peer), "%s", peer);
	snprintf(job->login.login.identity, sizeof(job->login.login.identity), "%s", identity);
	if (reason)
		r = cut_login(s, e, reason, &job->login);
	if (r == 0)
		r = store_login_change(s->c->store, &job->login, login_changed);
	if (r < 0) {
		json_decref(groups);
		free(job);
	}
	return r;
}

void state_login(struct state *s, const char *peer, const char *identity, const char *const *groups,
		 size_t group_count, int64_t expires_s, void (*done)(void *ctx, int result),
		 void *ctx)
{
	struct entry *e = state_entry(s, peer);
	const struct login *old = e ? *find_login(e, identity) : NULL;
	json_t *list;

	/* An older token takes nothing back: groups that were lost would come again with it. */
	if (old && old->issued_s > expires_s - s->c->config->login_ttl_s) {
		if (done)
			done(ctx, 0);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < group_count; i++)
		(void)json_array_append_new(list, json_string(groups[i]));
	int r = change_login(s, peer, identity, list, expires_s, NULL, done, ctx);
	if (r < 0 && done)
		done(ctx, r);
}

int64_t state_login_issued(const struct state *s, const char *identity)
{
	int64_t newest_s = 0;

	for (size_t i = 0; i < s->peer_count; i++) {
		const struct login *l = *find_login(s->peers[i], identity);

		if (l && l->issued_s > newest_s)
			newest_s = l->issued_s;
	}
	return newest_s;
}

void state_logout(struct state *s, const char *peer, const char *identity,
		  void (*done)(void *ctx, int result), void *ctx)
{
	int r = change_login(s, peer, identity, json_array(), 0, "logout", done, ctx);

	if (r < 0 && done)
		done(ctx, r);
}

void state_forget(struct state *s, const char *identity)
{
	for (size_t i = 0; i < s->peer_count; i++) {
		struct entry *e = s->peers[i];

		if (*find_login(e, identity))
			state_logout(s, e->row.id, identity, NULL, NULL);
	}
}

/* ---- policy ---- */

static int check_policy(const struct state *s, const char *file, const char *text, size_t len,
			int64_t at_s, struct policy **ret_policy, struct error *err)
{
	struct policy *p;
	int r = policy_parse(file, text, len, &p, err);

	if (r < 0)
		return r;
	r = policy_run_tests(p, s->world, at_s < 0 ? state_now(s) : at_s, err);
	if (r < 0)
		policy_free(p);
	else
		*ret_policy = p;
	return r;
}

int state_test_policy(const struct state *s, const char *file, const char *text, size_t len,
		      int64_t at_s, struct error *err)
{
	struct policy *p;
	int r = check_policy(s, file, text, len, at_s, &p, err);

	if (r == 0)
		policy_free(p);
	return r;
}

static void policy_stored(void *arg, int result)
{
	struct change *job = arg;
	struct state *s = job->s;

	if (result == 0) {
		policy_free(s->policy);
		s->policy = job->compiled;
		job->compiled = NULL;
		free(s->network.policy);
		s->network.policy = job->policy.text;
		job->policy.text = NULL;
		took(s, job->policy.revision);
		state_mark_all(s);
		state_event(s, "policy.set", job->policy.actor, s->network.id, NULL);
	}
	policy_free(job->compiled);
	free(job->policy.text);
	change_finish(job, result);
}

int state_set_policy(struct state *s, const char *file, const char *text, size_t len,
		     const char *actor, state_done *done, void *ctx, struct error *err)
{
	struct change *job = change_new(s, done, ctx);
	int r;

	if (!job)
		return error_set(err, -ENOMEM, "out of memory");
	r = check_policy(s, file, text, len, -1, &job->compiled, err);
	if (r < 0) {
		free(job);
		return r;
	}
	job->policy = (struct store_policy){.text = strndup(text, len), .now_s = state_now(s)};
	snprintf(job->policy.actor, sizeof(job->policy.actor), "%s", actor);
	r = job->policy.text ? store_policy_set(s->c->store, &job->policy, policy_stored) : -ENOMEM;
	if (r < 0) {
		policy_free(job->compiled);
		free(job->policy.text);
		free(job);
		return error_set(err, r, "the store does not take the policy: %s", strerror(-r));
	}
	return 0;
}

/* ---- setup keys ---- */

static int add_key(struct state *s, const struct store_setup_key *key)
{
	if (s->key_count == s->key_cap) {
		size_t cap = s->key_cap ? s->key_cap * 2 : 16;
		struct store_setup_key *more = realloc(s->keys, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->keys = more;
		s->key_cap = cap;
	}
	s->keys[s->key_count++] = *key;
	return 0;
}

static void key_changed(void *arg, int result)
{
	struct change *job = arg;
	struct state *s = job->s;
	const struct store_setup_key *key = &job->key.key;

	if (result == 0 && job->key.revoke) {
		for (size_t i = 0; i < s->key_count; i++)
			if (strcmp(s->keys[i].name, key->name) == 0)
				s->keys[i].revoked = true;
	} else if (result == 0) {
		result = add_key(s, key);
	}
	if (result == 0) {
		if (job->key.revision > s->network.revision)
			s->network.revision = job->key.revision;
		state_event(s, job->key.revoke ? "setup-key.revoked" : "setup-key.created", "admin",
			    key->name, NULL);
	}
	change_finish(job, result);
}

static int change_key(struct state *s, const struct store_setup_key *key, bool revoke,
		      state_done *done, void *ctx)
{
	struct change *job = change_new(s, done, ctx);
	int r;

	if (!job)
		return -ENOMEM;
	job->key = (struct store_key_change){.key = *key, .revoke = revoke, .now_s = state_now(s)};
	r = store_key_change(s->c->store, &job->key, key_changed);
	if (r < 0)
		free(job);
	return r;
}

int state_create_key(struct state *s, const struct store_setup_key *key, state_done *done,
		     void *ctx)
{
	return change_key(s, key, false, done, ctx);
}

int state_revoke_key(struct state *s, const char *name, state_done *done, void *ctx)
{
	const struct store_setup_key *key = state_key(s, name);

	return key ? change_key(s, key, true, done, ctx) : -ENOENT;
}

/* ---- events ---- */

static void event_stored(void *arg, int result)
{
	struct store_event *a = arg;

	if (result < 0)
		log_error("an event was not stored", "kind=%s error=%d", a->kind, result);
	free(a->detail);
	free(a);
}

void state_event(struct state *s, const char *kind, const char *actor, const char *subject,
		 const json_t *detail)
{
	struct store_event *a = calloc(1, sizeof(*a));

	log_info("event", "kind=%s actor=\"%s\" subject=\"%s\"", kind, actor ? actor : "",
		 subject ? subject : "");
	if (!a)
		return;
	snprintf(a->kind, sizeof(a->kind), "%s", kind);
	snprintf(a->actor, sizeof(a->actor), "%s", actor ? actor : "");
	snprintf(a->subject, sizeof(a->subject), "%s", subject ? subject : "");
	a->detail = detail ? json_canonical(detail, NULL) : NULL;
	a->now_s = state_now(s);
	if (store_event_put(s->c->store, a, event_stored) < 0)
		event_stored(a, -EAGAIN);
}

/* ---- time ---- */

static void end_logins(struct state *s, struct entry *e, int64_t now_s)
{
	for (struct login *l = e->logins; l; l = l->next) {
		if (l->expires_s > now_s)
			continue;
		l->expires_s = now_s + 60; /* asked for; again in a minute if the store fails */
		if (change_login(s, e->row.id, l->identity, json_array(), 0, "expired", NULL,
				 NULL) < 0)
			log_warn("a login that is over was not ended", "peer=%s identity=\"%s\"",
				 e->row.id, l->identity);
	}
}

void state_tick(struct state *s)
{
	int64_t now_s = state_now(s);

	for (size_t i = 0; i < s->peer_count; i++) {
		struct entry *e = s->peers[i];

		end_logins(s, e, now_s);
		if (e->row.ephemeral && !e->stream && now_s - e->last_seen_s > STATE_EPHEMERAL_S) {
			e->last_seen_s = now_s; /* asked for */
			if (state_remove_peer(s, e->row.id, NULL, NULL) < 0)
				log_warn("an ephemeral peer was not removed", "peer=%s", e->row.id);
		}
	}
	state_cutoffs_tick(s, now_s);
	state_stream_tick(s);
}
