/* SPDX-License-Identifier: Apache-2.0
 *
 * The map of one peer (control/PROTOCOL.md section 5): what it may know, and the signed object that
 * its SSH monitor believes (section 6). Owns the choice of what concerns a peer: only machines that
 * some rule connects with it, its slice of the policy, and groups that the slice asks for.
 */
#include "control/issuers.h"
#include "control/state_impl.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "platform/encode.h"
#include "platform/json.h"

#define MAX_SLICE POLICY_MAX_TEXT

static json_t *json_addr(const struct ip_addr *a)
{
	char text[IP_ADDR_STRLEN];

	return json_string(ip_addr_format(a, text));
}

static json_t *json_prefix(const struct ip_prefix *p)
{
	char text[IP_PREFIX_STRLEN];

	return json_string(ip_prefix_format(p, text));
}

static json_t *json_key(const uint8_t key[32])
{
	char text[ENCODE_BASE64URL_SIZE(32)];

	encode_base64url(text, key, 32);
	return json_string(text);
}

static json_t *json_name_or_null(const char *name)
{
	return name[0] ? json_string(name) : json_null();
}

/* The stored text of an array; an empty one when it is none. */
static json_t *json_stored_array(const char *text)
{
	json_t *a = json_load_strict(text, strlen(text), 4096, NULL);

	if (json_is_array(a))
		return a;
	json_decref(a);
	return json_array();
}

/* Takes value. */
static int put(struct map *m, const char *key, json_t *value)
{
	int r = value ? map_set(m, key, value) : -ENOMEM;

	json_decref(value);
	return r;
}

static json_t *self_component(const struct state *s, const struct entry *e)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:b,s:b,s:o,s:o}", "id", e->row.id,
			 "name", e->row.name, "fqdn", e->pub.fqdn, "domain", s->c->config->domain,
			 "overlay4", json_addr(&e->row.v4), "overlay6", json_addr(&e->row.v6),
			 "prefix4", json_prefix(&s->network.prefix4), "prefix6",
			 json_prefix(&s->network.prefix6), "ssh_enabled", e->row.ssh_enabled,
			 "ssh_advertised", e->row.ssh_advertised, "identities",
			 state_identities(s, e->row.id), "setup_key",
			 json_name_or_null(e->row.setup_key));
}

static json_t *peer_component(const struct state *s, const struct entry *e)
{
	json_t *ssh = json_pack("{s:b,s:b,s:i,s:o}", "enabled", e->row.ssh_enabled, "advertised",
				e->row.ssh_advertised, "port", (int)e->row.ssh_port, "host_keys",
				json_stored_array(e->row.host_keys));

	return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "id", e->row.id, "name",
			 e->row.name, "fqdn", e->pub.fqdn, "overlay4", json_addr(&e->row.v4),
			 "overlay6", json_addr(&e->row.v6), "node_key", json_key(e->row.node_key),
			 "path_key", json_key(e->row.path_key), "identities",
			 state_identities(s, e->row.id), "setup_key",
			 json_name_or_null(e->row.setup_key), "ssh", ssh);
}

/* The same machine as the object of type "ssh" lists it. */
static json_t *ssh_peer(const struct state *s, const struct entry *e)
{
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "id", e->row.id, "name", e->row.name,
			 "overlay4", json_addr(&e->row.v4), "overlay6", json_addr(&e->row.v6),
			 "identities", state_identities(s, e->row.id), "setup_key",
			 json_name_or_null(e->row.setup_key));
}

/* Can the slice ask for this group? Names that JSON might write in several ways count as asked. */
static bool slice_asks(const char *slice, const char *group)
{
	char quoted[160];
	size_t n = strlen(group);

	for (const char *c = group; *c; c++)
		if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\' || *c == '/')
			return true;
	if (n + 9 > sizeof(quoted))
		return true;
	memcpy(quoted, "\"group:", 7);
	memcpy(quoted + 7, group, n);
	memcpy(quoted + 7 + n, "\"", 2);
	return strstr(slice, quoted) != NULL;
}

/* With the groups of their newest login anywhere, not of one that this map happens to have: who lost a
 * group has lost it on all machines. */
static void add_identity(const struct state *s, json_t *all, const char *identity,
			 const char *slice)
{
	json_t *groups;
	const char *group;

	if (json_object_get(all, identity))
		return;
	groups = json_array();
	for (size_t i = 0; (group = policy_world_group(s->world, identity, i)) != NULL; i++)
		if (slice_asks(slice, group))
			(void)json_array_append_new(groups, json_string(group));
	(void)json_object_set_new(all, identity, groups);
}

/* Adds the identities of one machine with the groups that count. */
static void add_identities(const struct state *s, json_t *all, const struct entry *e,
			   const char *slice)
{
	if (e->row.enrolled_by[0] && !state_is_blocked(s, e->row.enrolled_by))
		add_identity(s, all, e->row.enrolled_by, slice);
	for (const struct login *l = e->logins; l; l = l->next)
		add_identity(s, all, l->identity, slice);
}

struct view {
	struct buffer slice;
	json_t *identities;		   /* object */
	json_t *ssh_peers;		   /* array; only for a target */
	json_t *blocked;		   /* array; only for a target */
	crypto_generichash_state ssh_hash; /* of the items of ssh_peers */
	struct map *map;
};

/* Adds a machine to the list of the object of type "ssh". */
static int add_ssh_peer(struct state *s, struct entry *e, struct view *v)
{
	if (!e->ssh_item) {
		size_t len = 0;
		char *text;

		e->ssh_item = ssh_peer(s, e);
		text = e->ssh_item ? json_canonical(e->ssh_item, &len) : NULL;
		if (!text)
			return -ENOMEM;
		crypto_generichash(e->ssh_item_hash, 32, (const uint8_t *)text, len, NULL, 0);
		free(text);
	}
	crypto_generichash_update(&v->ssh_hash, e->ssh_item_hash, 32);
	return json_array_append(v->ssh_peers, e->ssh_item) < 0 ? -ENOMEM : 0;
}

static int add_peer(struct state *s, struct entry *e, struct view *v)
{
	char key[MAP_MAX_KEY];
	int r = 0;

	state_peer_key(e, key);
	if (!map_get(s->shared, key))
		r = put(s->shared, key, peer_component(s, e));
	if (r == -ENOSPC) /* a network larger than any one map may be */
		return put(v->map, key, peer_component(s, e));
	return r < 0 ? r : map_share(v->map, s->shared, key);
}

/* Gets an object of type "ssh": also when its SSH is switched off here, for only an object that
 * says so ends what the one before it allowed. */
static bool is_target(const struct entry *e)
{
	return e->row.ssh_advertised;
}

static json_t *ca_keys(struct state *s, const struct entry *e)
{
	uint32_t generation = state_ca_generation(s, e->row.id);
	json_t *keys = json_array();

	for (uint32_t i = 0; i < 2 && i <= generation; i++) {
		uint8_t ca[32];

		if (signer_ca_public(s->c->signer, e->row.id, generation - i, ca) < 0 ||
		    json_array_append_new(keys, json_key(ca)) < 0) {
			json_decref(keys);
			return NULL;
		}
	}
	return keys;
}

/* Of all that the object says but for its times: the payload without the machines, and they. */
static int content_hash(struct view *v, const json_t *payload, uint8_t ret_hash[32])
{
	size_t len = 0;
	char *text = json_canonical(payload, &len);

	if (!text)
		return -ENOMEM;
	crypto_generichash_update(&v->ssh_hash, (const uint8_t *)text, len);
	crypto_generichash_final(&v->ssh_hash, ret_hash, 32);
	free(text);
	return 0;
}

static int sign_ssh(struct state *s, struct entry *e, const struct view *v, json_t *payload)
{
	int64_t now_s = state_now(s), ttl = s->c->config->map_ttl_s;
	char *text = NULL;
	int r;

	if (json_object_set(payload, "peers", v->ssh_peers) < 0 ||
	    json_object_set_new(payload, "domain", json_string(s->c->config->domain)) < 0 ||
	    json_object_set_new(payload, "seq", json_integer(++s->seq)) < 0 ||
	    json_object_set_new(payload, "now", json_integer(now_s)) < 0 ||
	    json_object_set_new(payload, "valid_until", json_integer(now_s + ttl)) < 0)
		return -ENOMEM;
	r = signer_object(s->c->signer, "ssh", payload, &text);
	if (r < 0)
		return r;
	free(e->ssh_signed);
	e->ssh_signed = text;
	e->ssh_until_s = now_s + ttl;
	return 0;
}

/* Signs the object of type "ssh" again when what it says has changed or half its life is over. */
static int ssh_component(struct state *s, struct entry *e, struct view *v)
{
	json_t *ca = ca_keys(s, e), *revoked = ca ? state_revoked(s, e) : NULL, *payload;
	uint8_t hash[32];
	int r;

	if (!ca || !revoked || !v->blocked) {
		json_decref(ca);
		json_decref(revoked);
		return ca ? -ENOMEM : -EIO;
	}
	payload =
		json_pack("{s:s,s:b,s:o,s:s%,s:O,s:o,s:O}", "peer", e->row.id, "enabled",
			  (int)(e->row.ssh_enabled && !e->leaving), "ca", ca, "policy", (const char *)v->slice.data,
			  v->slice.len, "identities", v->identities, "revoked", revoked,
			  "blocked", v->blocked);
	if (!payload)
		return -ENOMEM;
	/* Only where a rule takes tokens as passwords. */
	if (strstr((const char *)v->slice.data, "\"token\"") &&
	    json_object_set_new(payload, "tokens", issuers_tokens(s->c)) < 0) {
		json_decref(payload);
		return -ENOMEM;
	}
	r = content_hash(v, payload, hash);
	if (r == 0 && (!e->ssh_signed || memcmp(hash, e->ssh_hash, 32) != 0 ||
		       e->ssh_until_s - state_now(s) < s->c->config->map_ttl_s / 2)) {
		r = sign_ssh(s, e, v, payload);
		if (r == 0)
			memcpy(e->ssh_hash, hash, sizeof(hash));
	}
	json_decref(payload);
	return r < 0 ? r : put(v->map, "ssh", json_pack("{s:s}", "signed", e->ssh_signed));
}

static int add_others(struct state *s, struct entry *e, struct view *v)
{
	bool *concerned = state_concerned(s, e);
	int r = concerned ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < s->peer_count; i++) {
		struct entry *other = s->peers[i];

		if (other == e || !concerned[i])
			continue;
		r = add_peer(s, other, v);
		add_identities(s, v->identities, other, (const char *)v->slice.data);
		if (r == 0 && v->ssh_peers && !other->leaving)
			r = add_ssh_peer(s, other, v);
	}
	if (r == 0 && v->ssh_peers)
		v->blocked = state_blocked(s, e, concerned);
	free(concerned);
	return r;
}

static int fill(struct state *s, struct entry *e, struct view *v)
{
	int r = policy_slice(s->policy, s->world, e->row.id, &v->slice);

	if (r == 0 && !buffer_cstring(&v->slice))
		r = -ENOMEM;
	if (r < 0)
		return r;
	add_identities(s, v->identities, e, (const char *)v->slice.data);
	if (v->ssh_peers)
		r = add_ssh_peer(s, e, v);
	if (r == 0)
		r = put(v->map, "self", self_component(s, e));
	if (r == 0)
		r = add_others(s, e, v);
	if (r == 0)
		r = put(v->map, "policy",
			json_pack("{s:s%}", "text", (const char *)v->slice.data, v->slice.len));
	if (r == 0)
		r = map_set(v->map, "identities", v->identities);
	if (r == 0)
		r = map_set(v->map, "issuer", s->issuer);
	if (r == 0)
		r = map_set(v->map, "stun", s->stun);
	if (r == 0 && v->ssh_peers)
		r = ssh_component(s, e, v);
	return r;
}

int state_build_map(struct state *s, struct entry *e, struct map **ret_map)
{
	struct view v = {.identities = json_object(),
			 .ssh_peers = is_target(e) ? json_array() : NULL};
	int r = map_new(&v.map);

	buffer_init(&v.slice, MAX_SLICE);
	crypto_generichash_init(&v.ssh_hash, NULL, 0, 32);
	if (r == 0 && !v.identities)
		r = -ENOMEM;
	if (r == 0)
		r = fill(s, e, &v);
	if (r == 0) {
		*ret_map = v.map;
		v.map = NULL;
	}
	map_free(v.map);
	json_decref(v.identities);
	json_decref(v.ssh_peers);
	json_decref(v.blocked);
	buffer_done(&v.slice);
	return r;
}
