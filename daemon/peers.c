/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the components of the map (control/PROTOCOL.md section 5) into what main works with.
 * Refuses a map in which a peer has no keys, no addresses, addresses outside the overlay or one
 * that another peer has: such a map is not applied at all.
 */
#include "daemon/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "platform/encode.h"
#include "platform/json.h"

#define MAX_IDENTITIES 1024
#define MAX_GROUPS     256

static int get_addr(const json_t *v, const char *key, uint8_t family, struct ip_addr *ret_addr,
		    struct error *err)
{
	char text[IP_ADDR_STRLEN];

	if (json_get_string(v, key, text, sizeof(text), err) < 0)
		return -EBADMSG;
	if (ip_addr_parse(text, ret_addr) < 0 || ret_addr->family != family)
		return error_set(err, -EBADMSG, "%s is not an address", key);
	return 0;
}

static int get_key(const json_t *v, const char *key, uint8_t out[32], struct error *err)
{
	char text[64];

	if (json_get_string(v, key, text, sizeof(text), err) < 0)
		return -EBADMSG;
	if (encode_base64url_exact(out, 32, text) < 0)
		return error_set(err, -EBADMSG, "%s is not a key", key);
	return 0;
}

static int read_names(json_t *v, struct peer *p, struct error *err)
{
	if (json_get_string(v, "id", p->id, sizeof(p->id), err) < 0 ||
	    json_get_string(v, "name", p->name, sizeof(p->name), err) < 0 ||
	    json_get_string(v, "fqdn", p->fqdn, sizeof(p->fqdn), err) < 0 ||
	    get_addr(v, "overlay4", 4, &p->overlay4, err) < 0 ||
	    get_addr(v, "overlay6", 6, &p->overlay6, err) < 0)
		return -EBADMSG;
	p->value = json_incref(v);
	return 0;
}

static int read_self(json_t *v, struct peers *p, struct error *err)
{
	char prefix4[IP_PREFIX_STRLEN], prefix6[IP_PREFIX_STRLEN];

	if (read_names(v, &p->self, err) < 0 ||
	    json_get_string(v, "domain", p->domain, sizeof(p->domain), err) < 0 ||
	    json_get_string(v, "prefix4", prefix4, sizeof(prefix4), err) < 0 ||
	    json_get_string(v, "prefix6", prefix6, sizeof(prefix6), err) < 0 ||
	    json_get_bool(v, "ssh_enabled", &p->self.ssh_enabled, err) < 0)
		return -EBADMSG;
	if (ip_prefix_parse(prefix4, &p->prefix4) < 0 || p->prefix4.addr.family != 4 ||
	    ip_prefix_parse(prefix6, &p->prefix6) < 0 || p->prefix6.addr.family != 6)
		return error_set(err, -EBADMSG, "an overlay prefix is wrong");
	return 0;
}

static int read_peer(const char *key, json_t *v, struct peer *p, struct error *err)
{
	int64_t port = 22;
	json_t *ssh;

	if (read_names(v, p, err) < 0 || get_key(v, "node_key", p->node_key, err) < 0 ||
	    get_key(v, "path_key", p->path_key, err) < 0 ||
	    json_get_object(v, "ssh", &ssh, err) < 0 ||
	    json_get_bool(ssh, "enabled", &p->ssh_enabled, err) < 0 ||
	    json_get_bool(ssh, "advertised", &p->ssh_advertised, err) < 0 ||
	    json_get_int(ssh, "port", 0, 65535, &port, err) < 0)
		return -EBADMSG;
	if (strcmp(key + strlen("peer:"), p->id) != 0)
		return error_set(err, -EBADMSG, "its id is %s", p->id);
	p->ssh_port = port == 0 ? 22 : (uint16_t)port;
	return 0;
}

struct reading {
	struct peers *peers;
	size_t cap;
	struct error *err;
};

static int read_component(void *ctx, const char *key, json_t *value)
{
	struct reading *reading = ctx;
	struct peers *p = reading->peers;
	struct peer *peer;

	if (strncmp(key, "peer:", 5) != 0)
		return 0;
	if (p->count == reading->cap)
		return -EBADMSG;
	peer = &p->list[p->count];
	if (read_peer(key, value, peer, reading->err) < 0) {
		json_decref(peer->value);
		peer->value = NULL;
		error_prefix(reading->err, "the control server's map: %s", key);
		return -EBADMSG;
	}
	p->count++;
	if (!ip_prefix_contains(&p->prefix4, &peer->overlay4) ||
	    !ip_prefix_contains(&p->prefix6, &peer->overlay6))
		return error_set(reading->err, -EBADMSG,
				 "the control server's map: %s has an address outside the overlay",
				 key);
	return 0;
}

static int compare_addr4(const void *a, const void *b)
{
	return ip_addr_compare(&((const struct peer *)a)->overlay4,
			       &((const struct peer *)b)->overlay4);
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static bool keys_unique(const struct peers *p, bool node_keys)
{
	uint8_t(*keys)[32] = calloc(p->count + 1, sizeof(*keys));
	bool unique = keys != NULL;

	for (size_t i = 0; i < p->count && unique; i++) {
		if (node_keys)
			memcpy(keys[i], p->list[i].node_key, 32);
		else
			memcpy(keys[i], p->list[i].overlay6.bytes, 16);
	}
	if (unique)
		qsort(keys, p->count, sizeof(*keys), compare_keys);
	for (size_t i = 0; i + 1 < p->count && unique; i++)
		unique = memcmp(keys[i], keys[i + 1], 32) != 0;
	free(keys);
	return unique;
}

/* The list is sorted by IPv4 address. */
static int check_unique(const struct peers *p, struct error *err)
{
	bool unique = keys_unique(p, true) && keys_unique(p, false);

	for (size_t i = 0; i + 1 < p->count && unique; i++)
		unique = !ip_addr_equal(&p->list[i].overlay4, &p->list[i + 1].overlay4);
	for (size_t i = 0; i < p->count && unique; i++)
		unique = !ip_addr_equal(&p->list[i].overlay4, &p->self.overlay4) &&
			 !ip_addr_equal(&p->list[i].overlay6, &p->self.overlay6);
	return unique ? 0
		      : error_set(err, -EBADMSG,
				  "the control server's map gives one address or key to two peers");
}

int peers_read(const struct map *map, struct peers **ret_peers, struct error *err)
{
	struct peers *p = calloc(1, sizeof(*p));
	json_t *self = map_get(map, "self");
	struct reading reading = {.peers = p, .cap = map_count(map), .err = err};
	int r = -ENOMEM;

	if (p == NULL)
		return error_set(err, r, "no memory");
	p->list = calloc(reading.cap + 1, sizeof(*p->list));
	if (p->list == NULL)
		goto out;
	if (self == NULL) {
		r = error_set(err, -EBADMSG, "the control server's map does not name this machine");
		goto out;
	}
	r = read_self(self, p, err);
	if (r < 0) {
		error_prefix(err, "the control server's map: self");
		goto out;
	}
	r = map_each(map, read_component, &reading);
	if (r < 0)
		goto out;
	qsort(p->list, p->count, sizeof(*p->list), compare_addr4);
	r = check_unique(p, err);
out:
	if (r < 0) {
		peers_free(p);
		return r;
	}
	*ret_peers = p;
	return 0;
}

void peers_free(struct peers *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->count; i++)
		json_decref(p->list[i].value);
	json_decref(p->self.value);
	free(p->list);
	free(p);
}

const struct peer *peers_by_id(const struct peers *p, const char *id)
{
	for (size_t i = 0; p != NULL && i < p->count; i++)
		if (strcmp(p->list[i].id, id) == 0)
			return &p->list[i];
	return NULL;
}

const struct peer *peers_by_node_key(const struct peers *p, const uint8_t key[32])
{
	for (size_t i = 0; p != NULL && i < p->count; i++)
		if (memcmp(p->list[i].node_key, key, 32) == 0)
			return &p->list[i];
	return NULL;
}

static bool is_host(const struct peer *p, const char *host, size_t len, const struct ip_addr *addr)
{
	if (addr->family != 0)
		return ip_addr_equal(addr, &p->overlay4) || ip_addr_equal(addr, &p->overlay6);
	return (strlen(p->fqdn) == len && strncasecmp(p->fqdn, host, len) == 0) ||
	       (strlen(p->name) == len && strncasecmp(p->name, host, len) == 0) ||
	       (strlen(p->id) == len && strncmp(p->id, host, len) == 0);
}

const struct peer *peers_by_host(const struct peers *p, const char *host, bool *ret_self)
{
	size_t len = strlen(host);
	struct ip_addr addr = {0};

	*ret_self = false;
	if (p == NULL || len == 0)
		return NULL;
	if (ip_addr_parse(host, &addr) < 0)
		addr.family = 0;
	if (host[len - 1] == '.') /* an absolute name */
		len--;
	if (is_host(&p->self, host, len, &addr)) {
		*ret_self = true;
		return &p->self;
	}
	for (size_t i = 0; i < p->count; i++)
		if (is_host(&p->list[i], host, len, &addr))
			return &p->list[i];
	return NULL;
}

/* ---- the world of the policy */

static int text_list(const json_t *array, const char **out, size_t max, size_t *ret_count)
{
	const json_t *item;
	size_t i;

	*ret_count = 0;
	json_array_foreach(array, i, item)
	{
		if (!json_is_string(item) || *ret_count == max)
			return -EBADMSG;
		out[(*ret_count)++] = json_string_value(item);
	}
	return 0;
}

static int add_peer(struct policy_world *w, const struct peer *p, const char *const *identities,
		    size_t count, const char *setup_key)
{
	struct policy_peer peer = {.id = p->id,
				   .name = p->name,
				   .v4 = p->overlay4,
				   .v6 = p->overlay6,
				   .setup_key = setup_key,
				   .identities = identities,
				   .identity_count = count,
				   .ssh_enabled = p->ssh_enabled,
				   .ssh_advertised = p->ssh_advertised};

	return policy_world_add_peer(w, &peer);
}

static int add_identities(struct policy_world *w, const json_t *component)
{
	const char *groups[MAX_GROUPS], *identity;
	json_t *value;
	size_t count;
	int r = 0;

	json_object_foreach((json_t *)(uintptr_t)component, identity, value)
	{
		r = text_list(value, groups, MAX_GROUPS, &count);
		if (r == 0)
			r = policy_world_add_identity(w, identity, groups, count);
		if (r < 0)
			break;
	}
	return r;
}

static int make_world(const struct peers *p, const struct map *map, struct policy_world **ret_world)
{
	const char **identities = calloc(MAX_IDENTITIES, sizeof(const char *));
	struct policy_world *w = NULL;
	int r = identities == NULL ? -ENOMEM : policy_world_new(&w);
	size_t count;

	if (r == 0)
		r = text_list(json_object_get(p->self.value, "identities"), identities,
			      MAX_IDENTITIES, &count);
	if (r == 0)
		r = add_peer(w, &p->self, identities, count,
			     json_string_value(json_object_get(p->self.value, "setup_key")));
	for (size_t i = 0; i < p->count && r == 0; i++) {
		const json_t *v = p->list[i].value;

		r = text_list(json_object_get(v, "identities"), identities, MAX_IDENTITIES, &count);
		if (r == 0)
			r = add_peer(w, &p->list[i], identities, count,
				     json_string_value(json_object_get(v, "setup_key")));
	}
	if (r == 0)
		r = add_identities(w, map_get(map, "identities"));
	free(identities);
	if (r < 0) {
		policy_world_free(w);
		return r;
	}
	*ret_world = w;
	return 0;
}

int peers_world(const struct peers *p, const struct map *map, bool deny_all,
		struct policy_world **ret_world, struct policy **ret_policy, struct error *err)
{
	const json_t *component = deny_all ? NULL : map_get(map, "policy");
	const char *text = "{}";
	struct policy *policy = NULL;
	int r;

	if (component != NULL && json_get_text(component, "text", POLICY_MAX_TEXT, &text, err) < 0)
		return -EBADMSG;
	r = policy_parse("policy", text, strlen(text), &policy, err);
	if (r < 0)
		return r;
	r = make_world(p, map, ret_world);
	if (r < 0) {
		policy_free(policy);
		return error_set(err, r,
				 "the control server's map does not fit the policy library");
	}
	*ret_policy = policy;
	return 0;
}
