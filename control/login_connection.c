/* SPDX-License-Identifier: Apache-2.0
 *
 * Logins of connections (PROTOCOL.md section 7): a target asks, shows the URL, and waits here for
 * the grant. The person's side is login_web.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/login_internal.h"
#include "platform/encode.h"
#include "platform/json.h"

#define MAX_WAIT_S  25
#define MAX_WAITERS 1024
#define SWEEP_MS    500
#define PATH	    "/v1/ssh/login"

/* ---- long polls */

struct login_waiter {
	struct login_waiter *next;
	struct login_service *l;
	struct server_request *r;
	char id[LOGIN_ID_SIZE];
	uint64_t until_ns;
};

static void reply_state(struct server_request *r, const struct login_pending *e)
{
	json_t *body =
		json_pack("{s:s, s:s*, s:s*}", "state", login_state_name(e->state), "message",
			  e->message[0] != 0 ? e->message : NULL, "grant", e->grant);
	server_reply_json(r, 200, body);
	json_decref(body);
}

static void waiter_unlink(struct login_waiter *w)
{
	struct login_waiter **at = &w->l->waiters;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	w->l->waiter_count--;
	free(w);
}

static void waiter_gone(void *ctx)
{
	waiter_unlink(ctx);
}

/* Answers a waiter with what there is now. */
static void waiter_answer(struct login_waiter *w)
{
	struct server_request *r = w->r;
	const struct login_pending *e = login_table_find(w->l->table, w->id);
	server_request_on_close(r, NULL, NULL);
	waiter_unlink(w);
	if (e != NULL)
		reply_state(r, e);
	else
		server_reply_error(r, 404, "not_found", "there is no such login");
}

/* From the start after each answer: it may have let the same connection's next request in. */
static void wake(struct login_service *l, const char *id)
{
	struct login_waiter *w = l->waiters;
	while (w != NULL) {
		if (strcmp(w->id, id) != 0) {
			w = w->next;
			continue;
		}
		waiter_answer(w);
		w = l->waiters;
	}
}

void login_waiters_end(struct login_service *l)
{
	while (l->waiters != NULL) {
		struct server_request *r = l->waiters->r;
		server_request_on_close(r, NULL, NULL);
		waiter_unlink(l->waiters);
		server_reply_error(r, 503, "unavailable", "the server is being stopped");
	}
}

void login_changed(struct login_service *l, struct login_pending *entry)
{
	json_t *line = json_pack("{s:s, s:s}", "type", "ssh_login", "id", entry->id);
	if (line != NULL)
		state_push(l->c->state, entry->target, line);
	json_decref(line);
	wake(l, entry->id);
}

static void expired(void *ctx, struct login_pending *entry)
{
	login_changed(ctx, entry);
}

static void on_tick(uv_timer_t *timer)
{
	struct login_service *l = timer->data;
	uint64_t now = clock_monotonic_ns(l->c->clock);
	size_t left = login_table_sweep(l->table, expired, l);
	struct login_waiter *w = l->waiters;
	while (w != NULL) {
		if (w->until_ns > now) {
			w = w->next;
			continue;
		}
		waiter_answer(w);
		w = l->waiters;
	}
	if (left == 0 && l->waiters == NULL)
		uv_timer_stop(timer);
}

static void start_timer(struct login_service *l)
{
	if (l->timer == NULL) {
		l->timer = calloc(1, sizeof(*l->timer));
		if (l->timer == NULL)
			return;
		uv_timer_init(l->c->loop, l->timer);
		uv_unref((uv_handle_t *)l->timer);
		l->timer->data = l;
	}
	if (!uv_is_active((uv_handle_t *)l->timer))
		uv_timer_start(l->timer, on_tick, SWEEP_MS, SWEEP_MS);
}

/* ---- the grant */

json_t *login_grant_payload(const struct login_pending *e, int64_t issued_s)
{
	char address[IP_ADDR_STRLEN];
	json_t *groups = json_array();
	ip_addr_format(&e->caller_address, address);
	for (size_t i = 0; i < e->identity.group_count; i++)
		json_array_append_new(groups, json_string(e->identity.groups[i]));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:I, s:I}", "target", e->target,
			 "caller", e->caller, "caller_address", address, "identity",
			 e->identity.user, "groups", groups, "login", e->login, "session",
			 e->session, "auth_time", (json_int_t)e->identity.auth_time_s, "issued",
			 (json_int_t)issued_s, "valid_until", (json_int_t)(issued_s + LOGIN_ANSWER_S));
}

/* ---- POST */

struct login_form {
	char login[LOGIN_NAME_SIZE], caller[IP_ADDR_STRLEN], session[65];
	struct ip_addr address;
};

static int read_form(const json_t *body, struct login_form *f, struct error *err)
{
	uint8_t hash[32];
	int r = json_get_string(body, "login", f->login, sizeof(f->login), err);
	if (r == 0 && !login_name_ok(f->login))
		r = error_set(err, -EINVAL, "\"login\" is not a user name");
	if (r == 0)
		r = json_get_string(body, "caller", f->caller, sizeof(f->caller), err);
	if (r == 0 && ip_addr_parse(f->caller, &f->address) != 0)
		r = error_set(err, -EINVAL, "\"caller\" is not an address");
	if (r == 0)
		r = json_get_string(body, "session", f->session, sizeof(f->session), err);
	if (r == 0 && encode_hex_exact(hash, sizeof(hash), f->session) != 0)
		r = error_set(err, -EINVAL, "\"session\" is not 32 bytes in hex");
	return r;
}

static void reply_opened(struct login_service *l, struct server_request *r,
			 const struct login_pending *e)
{
	json_t *body = json_pack("{s:s, s:o, s:I}", "id", e->id, "url",
				 json_sprintf("%s/ssh/%s", l->c->config->public_url, e->id),
				 "expires", (json_int_t)e->until_s);
	server_reply_json(r, 201, body);
	json_decref(body);
}

static void open_login(struct login_service *l, struct server_request *r,
		       const struct state_peer *target, const struct login_form *f)
{
	const struct state_peer *caller = state_peer_by_addr(l->c->state, &f->address);
	struct login_pending *entry;

	if (!target->ssh_enabled || !target->ssh_advertised) {
		server_reply_error(r, 409, "ssh_off", "SSH is not on for this peer");
		return;
	}
	if (caller == NULL || caller->removed) {
		server_reply_error(r, 403, "denied", "no peer of the network has the address %s",
				   f->caller);
		return;
	}
	if (!policy_ssh_anyone(state_policy(l->c->state), state_world(l->c->state), caller->id,
			       target->id, f->login, clock_realtime_s(l->c->clock))) {
		server_reply_error(r, 403, "denied", "nobody may log in as %s on %s from %s",
				   f->login, target->name, caller->name);
		return;
	}
	struct login_want want = {.target = target->id,
				  .caller = caller->id,
				  .login = f->login,
				  .session = f->session,
				  .caller_address = f->address};
	int e = login_table_open(l->table, &want, &entry);
	if (e == -EBUSY) {
		server_reply_error(r, 429, "slow_down", "too many logins wait for somebody");
	} else if (e != 0) {
		server_reply_error(r, 503, "unavailable", "out of memory");
	} else {
		start_timer(l);
		reply_opened(l, r, entry);
	}
}

static void handle_open(void *ctx, struct server_request *r)
{
	static const char *const keys[] = {"login", "caller", "session", NULL};
	struct login_service *l = ctx;
	const struct state_peer *target = api_authenticate(l->c, r);
	struct login_form form = {0};
	struct error err = {0};
	json_t *body;

	if (target == NULL)
		return;
	body = login_body(r, keys);
	if (body == NULL)
		return;
	if (read_form(body, &form, &err) != 0)
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
	else
		open_login(l, r, target, &form);
	json_decref(body);
}

/* ---- GET and DELETE */

/* The entry of the path, when it is the caller's own. */
static struct login_pending *own_entry(struct login_service *l, struct server_request *r)
{
	const struct state_peer *target = api_authenticate(l->c, r);
	const char *path;
	struct login_pending *e = NULL;
	if (target == NULL)
		return NULL;
	path = server_request_path(r);
	if (strncmp(path, PATH "/", sizeof(PATH)) == 0)
		e = login_table_find(l->table, path + sizeof(PATH));
	if (e != NULL && strcmp(e->target, target->id) == 0)
		return e;
	server_reply_error(r, 404, "not_found", "there is no such login");
	return NULL;
}

static unsigned wait_of(const struct server_request *r)
{
	char text[8];
	unsigned wait = 0;
	if (server_form_value(server_request_query(r), "wait", text, sizeof(text)) != 0)
		return 0;
	for (const char *s = text; *s >= '0' && *s <= '9' && wait <= MAX_WAIT_S; s++)
		wait = wait * 10 + (unsigned)(*s - '0');
	return wait < MAX_WAIT_S ? wait : MAX_WAIT_S;
}

static void handle_get(void *ctx, struct server_request *r)
{
	struct login_service *l = ctx;
	struct login_pending *e = own_entry(l, r);
	struct login_waiter *w;
	unsigned wait;

	if (e == NULL)
		return;
	wait = wait_of(r);
	if (e->state != LOGIN_PENDING || wait == 0 || l->waiter_count >= MAX_WAITERS ||
	    (w = calloc(1, sizeof(*w))) == NULL) {
		reply_state(r, e);
		return;
	}
	w->l = l;
	w->r = r;
	memcpy(w->id, e->id, sizeof(w->id));
	w->until_ns = clock_monotonic_ns(l->c->clock) + wait * NSEC_PER_SEC;
	w->next = l->waiters;
	l->waiters = w;
	l->waiter_count++;
	server_request_on_close(r, waiter_gone, w);
	start_timer(l);
}

static void handle_delete(void *ctx, struct server_request *r)
{
	struct login_service *l = ctx;
	struct login_pending *e = own_entry(l, r);
	char id[LOGIN_ID_SIZE];

	if (e == NULL)
		return;
	memcpy(id, e->id, sizeof(id));
	login_table_close(l->table, e);
	server_reply(r, 204, NULL, NULL, NULL, 0);
	wake(l, id);
}

int login_connection_routes(struct login_service *l)
{
	struct server *s = l->c->server;
	int r = server_route(s, 1u << SERVER_PUBLIC, "POST", PATH, handle_open, l);
	if (r == 0)
		r = server_route(s, 1u << SERVER_PUBLIC, "GET", PATH "/", handle_get, l);
	if (r == 0)
		r = server_route(s, 1u << SERVER_PUBLIC, "DELETE", PATH "/", handle_delete, l);
	return r;
}
