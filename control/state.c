/* SPDX-License-Identifier: Apache-2.0
 *
 * The network in memory: loading, lookups, the world that policies are judged in, timers.
 */
#include "control/state_impl.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"
#include "control/signer.h"
#include "platform/json.h"
#include "platform/log.h"

int64_t state_now(const struct state *s)
{
	return clock_realtime_s(s->c->clock);
}

/* ---- peers ---- */

static size_t position(const struct state *s, const char *id, bool *ret_found)
{
	size_t low = 0, high = s->peer_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(s->peers[mid]->row.id, id);

		if (order == 0) {
			*ret_found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = false;
	return low;
}

struct entry *state_entry(const struct state *s, const char *id)
{
	bool found;
	size_t at = position(s, id, &found);

	return found ? s->peers[at] : NULL;
}

void state_peer_key(const struct entry *e, char *out)
{
	memcpy(out, "peer:", 5);
	memcpy(out + 5, e->row.id, strlen(e->row.id) + 1);
}

void state_forget_view(struct state *s, struct entry *e)
{
	char key[MAP_MAX_KEY];

	state_peer_key(e, key);
	map_del(s->shared, key);
	json_decref(e->ssh_item);
	e->ssh_item = NULL;
}

void state_publish(struct state *s, struct entry *e)
{
	struct state_peer *p = &e->pub;
	const struct store_peer *row = &e->row;

	memcpy(p->id, row->id, sizeof(p->id));
	memcpy(p->name, row->name, sizeof(p->name));
	snprintf(p->fqdn, sizeof(p->fqdn), "%s.%s", row->name, s->c->config->domain);
	memcpy(p->setup_key, row->setup_key, sizeof(p->setup_key));
	p->v4 = row->v4;
	p->v6 = row->v6;
	memcpy(p->node_key, row->node_key, 32);
	memcpy(p->path_key, row->path_key, 32);
	memcpy(p->identity_key, row->identity_key, 32);
	p->ssh_enabled = row->ssh_enabled;
	p->ssh_advertised = row->ssh_advertised;
	p->ssh_port = row->ssh_port;
	state_forget_view(s, e);
}

int state_insert(struct state *s, const struct store_peer *row, struct entry **ret_entry)
{
	bool found;
	size_t at = position(s, row->id, &found);

	if (found) {
		*ret_entry = s->peers[at];
		return 0;
	}
	if (s->peer_count == s->peer_cap) {
		size_t cap = s->peer_cap ? s->peer_cap * 2 : 64;
		struct entry **more = realloc(s->peers, cap * sizeof(struct entry *));

		if (!more)
			return -ENOMEM;
		s->peers = more;
		s->peer_cap = cap;
	}
	struct entry *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->row = *row;
	e->last_seen_s = state_now(s);
	state_publish(s, e);
	memmove(&s->peers[at + 1], &s->peers[at], (s->peer_count - at) * sizeof(struct entry *));
	s->peers[at] = e;
	s->peer_count++;
	*ret_entry = e;
	return 0;
}

static void entry_free(struct entry *e)
{
	while (e->logins) {
		struct login *l = e->logins;

		e->logins = l->next;
		json_decref(l->groups);
		free(l);
	}
	map_free(e->sent);
	json_decref(e->ssh_item);
	free(e->ssh_signed);
	free(e);
}

void state_drop_entry(struct state *s, struct entry *e)
{
	bool found;
	size_t at = position(s, e->row.id, &found);

	if (!found)
		return;
	state_forget_view(s, e);
	s->peer_count--;
	memmove(&s->peers[at], &s->peers[at + 1], (s->peer_count - at) * sizeof(struct entry *));
	entry_free(e);
}

const struct state_peer *state_peer(const struct state *s, const char *id)
{
	const struct entry *e = state_entry(s, id);

	return e ? &e->pub : NULL;
}

const struct state_peer *state_peer_by_addr(const struct state *s, const struct ip_addr *overlay)
{
	for (size_t i = 0; i < s->peer_count; i++) {
		const struct state_peer *p = &s->peers[i]->pub;

		if (ip_addr_equal(&p->v4, overlay) || ip_addr_equal(&p->v6, overlay))
			return p;
	}
	return NULL;
}

const struct store_peer *state_row(const struct state *s, const char *id)
{
	const struct entry *e = state_entry(s, id);

	return e ? &e->row : NULL;
}

const struct store_peer *state_row_by_name(const struct state *s, const char *name)
{
	for (size_t i = 0; i < s->peer_count; i++)
		if (strcmp(s->peers[i]->row.name, name) == 0)
			return &s->peers[i]->row;
	return NULL;
}

const struct store_peer *state_row_by_identity(const struct state *s, const uint8_t key[32])
{
	for (size_t i = 0; i < s->peer_count; i++)
		if (memcmp(s->peers[i]->row.identity_key, key, 32) == 0)
			return &s->peers[i]->row;
	return NULL;
}

size_t state_peer_count(const struct state *s)
{
	return s->peer_count;
}

const struct store_peer *state_row_at(const struct state *s, size_t index)
{
	return &s->peers[index]->row;
}

bool state_online(const struct state *s, const char *id)
{
	const struct entry *e = state_entry(s, id);

	return e && e->stream;
}

bool state_has_identity(const struct entry *e, const char *identity)
{
	if (strcmp(e->row.enrolled_by, identity) == 0)
		return true;
	for (const struct login *l = e->logins; l; l = l->next)
		if (strcmp(l->identity, identity) == 0)
			return true;
	return false;
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

json_t *state_identities(const struct state *s, const char *id)
{
	const struct entry *e = state_entry(s, id);
	const char *names[STATE_MAX_IDENTITIES];
	size_t n = 0;
	json_t *array = json_array();

	/* Who is blocked gives a machine nothing, also where it stands for who enrolled it. */
	if (e && e->row.enrolled_by[0] && !state_is_blocked(s, e->row.enrolled_by))
		names[n++] = e->row.enrolled_by;
	for (const struct login *l = e ? e->logins : NULL; l && n < STATE_MAX_IDENTITIES;
	     l = l->next)
		if (strcmp(l->identity, e->row.enrolled_by) != 0)
			names[n++] = l->identity;
	qsort(names, n, sizeof(names[0]), by_text);
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(array, json_string(names[i]));
	return array;
}

/* ---- setup keys ---- */

const struct store_setup_key *state_key(const struct state *s, const char *name)
{
	for (size_t i = 0; i < s->key_count; i++)
		if (strcmp(s->keys[i].name, name) == 0)
			return &s->keys[i];
	return NULL;
}

const struct store_setup_key *state_key_by_public(const struct state *s, const uint8_t key[32])
{
	for (size_t i = 0; i < s->key_count; i++)
		if (memcmp(s->keys[i].public_key, key, 32) == 0)
			return &s->keys[i];
	return NULL;
}

size_t state_key_count(const struct state *s)
{
	return s->key_count;
}

const struct store_setup_key *state_key_at(const struct state *s, size_t index)
{
	return &s->keys[index];
}

/* ---- the rest of what others read ---- */

const struct policy *state_policy(const struct state *s)
{
	return s->policy;
}

const struct policy_world *state_world(const struct state *s)
{
	return s->world;
}

const char *state_network(const struct state *s)
{
	return s->network.id;
}

json_t *state_stun(const struct state *s)
{
	return s->stun;
}

const char *state_policy_text(const struct state *s)
{
	return s->network.policy;
}

uint32_t state_ca_generation(const struct state *s, const char *peer)
{
	(void)s;
	(void)peer;
	return 0;
}

int64_t state_epoch(const struct state *s)
{
	return s->network.epoch;
}

int64_t state_revision(const struct state *s)
{
	return s->network.revision;
}

void state_prefixes(const struct state *s, struct ip_prefix *ret_v4, struct ip_prefix *ret_v6)
{
	*ret_v4 = s->network.prefix4;
	*ret_v6 = s->network.prefix6;
}

bool state_may_signal(struct state *s, const char *peer)
{
	const double burst = 200, per_s = 20;
	struct entry *e = state_entry(s, peer);
	uint64_t now = clock_monotonic_ns(s->c->clock);

	if (!e)
		return false;
	double gained = e->signal_at_ns ? (double)(now - e->signal_at_ns) / 1e9 * per_s : burst;
	e->signal_at_ns = now;
	e->signal_tokens = e->signal_tokens + gained > burst ? burst : e->signal_tokens + gained;
	if (e->signal_tokens < 1)
		return false;
	e->signal_tokens -= 1;
	return true;
}

/* ---- life ---- */

static int take_logins(struct state *s, struct store_load *a)
{
	int64_t now_s = state_now(s);

	for (size_t i = 0; i < a->login_count; i++) {
		struct entry *e = state_entry(s, a->logins[i].peer);
		struct login *l;

		if (!e || a->logins[i].expires_s <= now_s || !a->logins[i].identity[0])
			continue;
		l = calloc(1, sizeof(*l));
		if (!l)
			return -ENOMEM;
		memcpy(l->identity, a->logins[i].identity, sizeof(l->identity));
		l->groups = json_incref(a->logins[i].groups);
		l->expires_s = a->logins[i].expires_s;
		l->issued_s = a->logins[i].issued_s;
		l->next = e->logins;
		e->logins = l;
	}
	return 0;
}

static int take_over(struct state *s, struct store_load *a)
{
	int r = 0;

	s->network = a->network;
	a->network.policy = NULL;
	s->keys = a->keys;
	s->key_count = s->key_cap = a->key_count;
	a->keys = NULL;
	for (size_t i = 0; r == 0 && i < a->peer_count; i++) {
		struct entry *e;

		r = state_insert(s, &a->peers[i], &e);
	}
	if (r == 0)
		r = take_logins(s, a);
	if (r == 0)
		r = state_cutoffs_load(s, a);
	if (r == 0)
		r = state_nonces_rebuild(s, state_now(s));
	for (size_t i = 0; r == 0 && i < a->nonce_count; i++)
		(void)state_nonce(s, a->nonces[i].nonce, false);
	/* Grows over restarts (starts), within one (the low bits), and over restores (epoch). */
	s->seq = (s->network.epoch & 0xff) << 54 | (s->network.starts & 0x3fffff) << 32;
	return r;
}

/* The policy in the store was good when it was stored; what this version no longer takes denies
 * all. */
static int take_policy(struct state *s, struct error *err)
{
	static const char nothing[] = "{}";
	struct error why = {0};
	int r = -ENOENT;

	if (s->network.policy)
		r = policy_parse("policy", s->network.policy, strlen(s->network.policy), &s->policy,
				 &why);
	if (r < 0 && s->network.policy)
		log_error(
			"the stored policy is not understood by this version: everything is denied "
			"until another is set",
			"error=\"%s\"", error_text(&why));
	if (r < 0)
		r = policy_parse("policy", nothing, sizeof(nothing) - 1, &s->policy, err);
	if (!s->network.policy)
		s->network.policy = strdup(nothing);
	return r < 0 ? r : s->network.policy ? 0 : -ENOMEM;
}

/* STUN is offered at the host of public_url and the port of stun_listen. */
static json_t *stun_component(const struct control_config *config)
{
	const char *host = strstr(config->public_url, "://");
	const char *port = strrchr(config->stun_listen, ':');
	char name[256];
	json_t *list = json_array();

	if (!host || !port)
		return list;
	host += 3;
	size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
	if (len < sizeof(name)) {
		memcpy(name, host, len);
		name[len] = 0;
		(void)json_array_append_new(list, json_sprintf("%s%s", name, port));
	}
	return list;
}

static void on_tick(uv_timer_t *timer)
{
	state_tick(timer->data);
}

static int start_timers(struct state *s)
{
	int r = uv_timer_init(s->c->loop, &s->tick);

	if (r == 0)
		r = uv_timer_init(s->c->loop, &s->flush);
	if (r < 0)
		return r;
	s->tick.data = s->flush.data = s;
	s->timers = true;
	return uv_timer_start(&s->tick, on_tick, 1000, 1000);
}

int state_new(struct control *c, struct state **ret_state, struct error *err)
{
	struct state *s = calloc(1, sizeof(*s));
	struct store_load load = {.now_s = clock_realtime_s(c->clock)};
	const struct control_config *config = c->config;
	int r;

	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	s->c = c;
	if (map_new(&s->shared) < 0) {
		free(s);
		return error_set(err, -ENOMEM, "out of memory");
	}
	r = ip_prefix_parse(config->prefix4[0] ? config->prefix4 : "100.64.0.0/10", &load.prefix4);
	if (r < 0 || load.prefix4.addr.family != 4 || load.prefix4.bits > 28) {
		state_free(s);
		return error_set(err, -EINVAL,
				 "\"%s\" is not an IPv4 range of at least /28 for the mesh",
				 config->prefix4);
	}
	r = store_load(c->store, &load);
	if (r < 0)
		error_set(err, r, "the store cannot be loaded: %s", strerror(-r));
	if (r == 0 && (r = take_over(s, &load)) < 0)
		error_set(err, r, "the network cannot be loaded: %s", strerror(-r));
	store_load_done(&load);
	if (r == 0)
		r = take_policy(s, err);
	if (r == 0) {
		s->stun = stun_component(config);
		s->issuer = config_issuer_object(config);
		r = s->stun && s->issuer ? state_make_world(s) : -ENOMEM;
		if (r == 0)
			r = signer_init(c->signer, s->network.id,
					config->issuer[0] ? "" : config->public_url);
		if (r == 0)
			r = start_timers(s);
		if (r < 0)
			error_set(err, r, "the network's state cannot be made: %s", strerror(-r));
	}
	if (r < 0) {
		state_free(s);
		return r;
	}
	*ret_state = s;
	return 0;
}

void state_stop(struct state *s)
{
	if (!s || s->stopping)
		return;
	s->stopping = true;
	state_farewell_stop(s);
	while (s->streams)
		state_stream_reset(s->streams, "restart");
	if (s->timers) {
		uv_close((uv_handle_t *)&s->tick, NULL);
		uv_close((uv_handle_t *)&s->flush, NULL);
	}
}

void state_free(struct state *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->peer_count; i++)
		entry_free(s->peers[i]);
	free(s->peers);
	free(s->keys);
	free(s->nonces);
	free(s->cutoffs);
	free(s->revoked);
	free(s->network.policy);
	policy_free(s->policy);
	policy_world_free(s->world);
	map_free(s->shared);
	json_decref(s->stun);
	json_decref(s->issuer);
	free(s);
}
