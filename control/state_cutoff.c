/* SPDX-License-Identifier: Apache-2.0
 *
 * What is void before its time: after a logout, a block, a disabled user, a revoked certificate.
 * Owns the cutoffs in memory, what they refuse here, and what targets are told of them in objects
 * of type "ssh" (PROTOCOL.md section 6), which stays bounded however many there are.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/state_impl.h"
#include "control/store_cutoff.h"
#include "identity/sshcert.h"
#include "platform/log.h"

#define MAX_CERT_S    SSHCERT_MAX_LIFE_S
#define MARGIN_S      300   /* clocks that differ, and the grant's minute */
#define TOLD_MAX      4096  /* cutoffs in one object; older ones become one for everybody */
#define REVOKED_MAX   100000
#define SWEEP_EVERY_S 60
#define TOKEN_AHEAD_S 4 /* what every verifier of a token bears, as clocks differ */

int64_t state_cut_until(const struct state *s, int64_t now_s)
{
	int64_t ttl = s->c->config->map_ttl_s;

	return now_s + (ttl > MAX_CERT_S ? ttl : MAX_CERT_S) + MARGIN_S;
}

/* ---- in memory ---- */

static struct store_cutoff *find(const struct state *s, const char *identity, const char *peer)
{
	for (size_t i = 0; i < s->cutoff_count; i++)
		if (strcmp(s->cutoffs[i].identity, identity) == 0 &&
		    strcmp(s->cutoffs[i].peer, peer) == 0)
			return &s->cutoffs[i];
	return NULL;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* As the store merges it. */
static void merge(struct store_cutoff *into, const struct store_cutoff *old)
{
	if (old->blocked && strcmp(into->reason, "blocked") != 0)
		memcpy(into->reason, old->reason, sizeof(into->reason));
	into->before_s = later(into->before_s, old->before_s);
	into->token_before_s = later(into->token_before_s, old->token_before_s);
	into->until_s = later(into->until_s, old->until_s);
	into->blocked = into->blocked || old->blocked;
}

int state_cut_now(struct state *s, const struct store_cutoff *c)
{
	struct store_cutoff *old = find(s, c->identity, c->peer), fresh = *c;

	if (old) {
		size_t at = (size_t)(old - s->cutoffs);

		merge(&fresh, old);
		s->cutoff_count--;
		memmove(old, old + 1, (s->cutoff_count - at) * sizeof(*old));
	}
	if (s->cutoff_count == s->cutoff_cap) {
		size_t cap = s->cutoff_cap ? s->cutoff_cap * 2 : 64;
		struct store_cutoff *more = realloc(s->cutoffs, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->cutoffs = more;
		s->cutoff_cap = cap;
	}
	/* The newest last; the clock may have gone back. */
	size_t at = s->cutoff_count;
	while (at > 0 && s->cutoffs[at - 1].before_s > fresh.before_s)
		at--;
	memmove(&s->cutoffs[at + 1], &s->cutoffs[at], (s->cutoff_count - at) * sizeof(*s->cutoffs));
	s->cutoffs[at] = fresh;
	s->cutoff_count++;
	return 0;
}

static int add_revoked(struct state *s, const struct store_cert *cert)
{
	if (s->revoked_count == s->revoked_cap) {
		size_t cap = s->revoked_cap ? s->revoked_cap * 2 : 64;
		struct revoked *more = realloc(s->revoked, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->revoked = more;
		s->revoked_cap = cap;
	}
	struct revoked *r = &s->revoked[s->revoked_count++];
	r->serial = cert->serial;
	memcpy(r->target, cert->target, sizeof(r->target));
	/* The certificate may go on for a day, and a target that hears nothing for a map's life. */
	r->until_s = state_cut_until(s, later(cert->revoked_s, cert->expires_s));
	return 0;
}

int state_cutoffs_load(struct state *s, const struct store_load *a)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->cutoff_count; i++)
		r = state_cut_now(s, &a->cutoffs[i]);
	for (size_t i = 0; r == 0 && i < a->revoked_count; i++)
		r = add_revoked(s, &a->revoked[i]);
	return r;
}

void state_cutoffs_tick(struct state *s, int64_t now_s)
{
	size_t left = 0;

	if (now_s < s->next_cutoff_sweep_s)
		return;
	s->next_cutoff_sweep_s = now_s + SWEEP_EVERY_S;
	for (size_t i = 0; i < s->cutoff_count; i++)
		if (s->cutoffs[i].blocked || s->cutoffs[i].until_s > now_s)
			s->cutoffs[left++] = s->cutoffs[i];
	s->cutoff_count = left;
	left = 0;
	for (size_t i = 0; i < s->revoked_count; i++)
		if (s->revoked[i].until_s > now_s)
			s->revoked[left++] = s->revoked[i];
	s->revoked_count = left;
}

/* ---- what is refused here ---- */

bool state_is_blocked(const struct state *s, const char *identity)
{
	const struct store_cutoff *c = find(s, identity, "");

	return c && c->blocked;
}

const char *state_refused(const struct state *s, const char *identity, const char *peer,
			  int64_t token_issued_s)
{
	for (size_t i = 0; i < s->cutoff_count; i++) {
		const struct store_cutoff *c = &s->cutoffs[i];

		if (strcmp(c->identity, identity) != 0 ||
		    (c->peer[0] && strcmp(c->peer, peer) != 0))
			continue;
		if (c->blocked)
			return strcmp(c->reason, "disabled") == 0
				       ? "this person's account is disabled on the control server"
				       : "this person is blocked on the control server";
		if (token_issued_s <= c->token_before_s)
			return "this login was ended: log in again";
	}
	return NULL;
}

int64_t state_issue_s(const struct state *s, const char *identity, const char *peer, int64_t now_s)
{
	int64_t at = now_s;

	for (size_t i = 0; i < s->cutoff_count; i++) {
		const struct store_cutoff *c = &s->cutoffs[i];

		if (strcmp(c->identity, identity) == 0 &&
		    (!c->peer[0] || strcmp(c->peer, peer) == 0) && c->before_s >= at)
			at = c->before_s + 1;
	}
	/* A clock that went back must not make certificates of the far future. */
	return at > now_s + SSHCERT_BACKDATED_S ? now_s : at;
}

int64_t state_token_s(const struct state *s, int64_t now_s)
{
	int64_t at = now_s;

	for (size_t i = 0; i < s->cutoff_count; i++)
		if (s->cutoffs[i].token_before_s >= at &&
		    s->cutoffs[i].token_before_s < now_s + TOKEN_AHEAD_S)
			at = s->cutoffs[i].token_before_s + 1;
	return at;
}

/* ---- what targets are told ---- */

json_t *state_revoked(const struct state *s, const struct entry *e)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->revoked_count; i++)
		if (strcmp(s->revoked[i].target, e->row.id) == 0)
			(void)json_array_append_new(list,
						    json_integer((json_int_t)s->revoked[i].serial));
	return list;
}

static bool matters(const struct state *s, const struct store_cutoff *c, const struct entry *e,
		    const bool *concerned)
{
	if (c->until_s <= state_now(s))
		return false;
	if (!c->peer[0] || strcmp(c->peer, e->row.id) == 0)
		return true;
	for (size_t i = 0; i < s->peer_count; i++)
		if (concerned[i] && strcmp(s->peers[i]->row.id, c->peer) == 0)
			return true;
	return false;
}

json_t *state_blocked(const struct state *s, const struct entry *e, const bool *concerned)
{
	json_t *list = json_array();

	for (size_t i = s->cutoff_count; list && i-- > 0;) {
		const struct store_cutoff *c = &s->cutoffs[i];
		bool all = json_array_size(list) == TOLD_MAX;

		if (!matters(s, c, e, concerned))
			continue;
		/* Too many: what began before all the others is void, whoever's it is. */
		if (json_array_append_new(list, json_pack("{s:s,s:s,s:I}", "identity",
							  all ? "" : c->identity, "caller",
							  all ? "" : c->peer, "before",
							  (json_int_t)c->before_s)) < 0) {
			json_decref(list);
			return NULL;
		}
		if (all)
			break;
	}
	return list;
}

/* ---- changes ---- */

void state_cut_prepare(const struct state *s, const char *identity, bool block, bool logins,
		       const char *reason, struct store_cutoff_change *ret_change)
{
	int64_t now_s = state_now(s);
	struct store_cutoff *c = &ret_change->cutoff;

	*ret_change = (struct store_cutoff_change){
		.cutoff = {.before_s = now_s,
			   .token_before_s = logins ? now_s : 0,
			   .until_s = state_cut_until(s, now_s),
			   .blocked = block},
		.now_s = now_s,
	};
	snprintf(c->identity, sizeof(c->identity), "%s", identity);
	snprintf(c->reason, sizeof(c->reason), "%s", reason);
}

void state_cut_stored(struct state *s, const struct store_cutoff_change *change)
{
	const struct store_cutoff *c = &change->cutoff;

	struct store_cutoff *old = find(s, c->identity, "");

	/* A person who was removed is not disabled any more. */
	if (old && (change->unblock ? strcmp(old->reason, c->reason) == 0
				    : strcmp(c->reason, "removed") == 0 &&
					      strcmp(old->reason, "disabled") == 0))
		old->blocked = false;
	if (!change->unblock && state_cut_now(s, c) < 0)
		log_error("out of memory: sessions that should end go on until a restart",
			  "identity=\"%s\"", c->identity);
	if (change->revision > s->network.revision)
		s->network.revision = change->revision;
	if (state_make_world(s) < 0)
		log_error("out of memory: the policy is judged in an old picture of the network",
			  NULL);
	for (size_t i = 0; i < s->peer_count; i++)
		if (state_has_identity(s->peers[i], c->identity))
			state_forget_view(s, s->peers[i]);
	state_mark_all(s);
	state_event(s, change->unblock ? "identity.unblocked" : "identity.ended", "control",
		    c->identity, NULL);
	if (!change->unblock && c->token_before_s)
		state_forget(s, c->identity);
}

struct cut_job {
	struct store_cutoff_change change; /* first: the store gives it back */
	struct state *s;
	state_done *done;
	void *ctx;
};

static void cut_stored(void *arg, int result)
{
	struct cut_job *job = arg;

	if (result == 0)
		state_cut_stored(job->s, &job->change);
	if (job->done)
		job->done(job->ctx, result);
	free(job);
}

static int cut_start(struct state *s, const struct store_cutoff_change *change, state_done *done,
		     void *ctx)
{
	struct cut_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return -ENOMEM;
	*job = (struct cut_job){.change = *change, .s = s, .done = done, .ctx = ctx};
	/* Nothing more is given out while the store is at work. */
	r = change->unblock ? 0 : state_cut_now(s, &change->cutoff);
	if (r == 0)
		r = store_job(s->c->store, store_cutoff_put, job, cut_stored);
	if (r < 0)
		free(job);
	return r;
}

int state_cut(struct state *s, const char *identity, bool block, bool logins, const char *reason,
	      state_done *done, void *ctx)
{
	struct store_cutoff_change change;

	state_cut_prepare(s, identity, block, logins, reason, &change);
	return cut_start(s, &change, done, ctx);
}

int state_unblock(struct state *s, const char *identity, state_done *done, void *ctx)
{
	struct store_cutoff_change change;

	state_cut_prepare(s, identity, false, false, "blocked", &change);
	change.unblock = true;
	return cut_start(s, &change, done, ctx);
}

json_t *state_blocked_identities(const struct state *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->cutoff_count; i++)
		if (s->cutoffs[i].blocked)
			(void)json_array_append_new(
				list, json_pack("{s:s,s:s,s:I}", "identity", s->cutoffs[i].identity,
						"reason", s->cutoffs[i].reason, "since",
						(json_int_t)s->cutoffs[i].before_s));
	return list;
}

/* ---- certificates ---- */

static void cert_stored(void *arg, int result)
{
	struct store_cert *c = arg;

	if (result < 0)
		log_error("a certificate was not remembered: it is revoked by identity only",
			  "serial=%" PRIu64 " identity=\"%s\" error=%d", c->serial, c->identity,
			  result);
	free(c);
}

void state_cert_made(struct state *s, const struct store_cert *cert)
{
	struct store_cert *copy = malloc(sizeof(*copy));

	if (!copy)
		return;
	*copy = *cert;
	if (store_job(s->c->store, store_cert_put, copy, cert_stored) < 0)
		cert_stored(copy, -EAGAIN);
}

struct revoke_job {
	struct store_cert_revoke a; /* first */
	struct state *s;
	state_revoke_done *done;
	void *ctx;
};

static void cert_revoked(void *arg, int result)
{
	struct revoke_job *job = arg;
	struct state *s = job->s;
	struct entry *e = state_entry(s, job->a.cert.target);

	if (result == 0) {
		char serial[24];

		if (add_revoked(s, &job->a.cert) < 0)
			result = -ENOMEM;
		if (job->a.revision > s->network.revision)
			s->network.revision = job->a.revision;
		if (e)
			state_mark(s, e);
		snprintf(serial, sizeof(serial), "%" PRIu64, job->a.cert.serial);
		json_t *detail =
			json_pack("{s:s,s:s}", "serial", serial, "target", job->a.cert.target);
		state_event(s, "cert.revoked", "admin", job->a.cert.identity, detail);
		json_decref(detail);
	}
	job->done(job->ctx, result, &job->a.cert);
	free(job);
}

int state_revoke(struct state *s, uint64_t serial, state_revoke_done *done, void *ctx)
{
	struct revoke_job *job;
	int r;

	if (s->revoked_count >= REVOKED_MAX)
		return -ENOSPC;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	*job = (struct revoke_job){.s = s, .done = done, .ctx = ctx};
	job->a.cert.serial = serial;
	job->a.now_s = state_now(s);
	r = store_job(s->c->store, store_cert_revoke, job, cert_revoked);
	if (r < 0)
		free(job);
	return r;
}
