/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier's knowledge: the signed "ssh" object (control/PROTOCOL.md section 6), read whole or
 * not at all.
 */
#include "ssh/judge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "identity/signed.h"
#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/json.h"

static void known_free(struct known *k)
{
	if (k == NULL)
		return;
	policy_free(k->policy);
	policy_world_free(k->world);
	json_decref(k->identities);
	json_decref(k->blocked);
	json_decref(k->peer_list);
	free(k->issuers);
	free(k->peers);
	free(k->revoked);
	free(k);
}

static int compare_serials(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int judge_new(const struct judge_trust *trust, struct judge **ret_judge)
{
	struct judge *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return -ENOMEM;
	j->trust = *trust;
	if (trust->break_glass_count > SSH_WIRE_BREAK_GLASS_MAX ||
	    trust->revoked_count > SSH_WIRE_REVOKED_MAX) {
		free(j);
		return -EINVAL;
	}
	qsort(j->trust.revoked, j->trust.revoked_count, sizeof(j->trust.revoked[0]),
	      compare_serials);
	*ret_judge = j;
	return 0;
}

void judge_free(struct judge *j)
{
	if (j == NULL)
		return;
	known_free(j->known);
	free(j);
}

/* ------------------------------------------------------------------ the object */

static int load_cas(struct known *k, const json_t *object, struct error *err)
{
	json_t *list;
	int r = json_get_array(object, "ca", MAX_CAS, &list, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text == NULL || encode_base64url_exact(k->ca[i], 32, text) < 0)
			return error_set(err, -EINVAL, "ca %zu is not a key", i);
		k->ca_count++;
	}
	return 0;
}

static int load_revoked(struct known *k, const json_t *object, struct error *err)
{
	json_t *list;
	int r = json_get_array(object, "revoked", MAX_REVOKED, &list, err);

	if (r < 0)
		return r;
	k->revoked = calloc(json_array_size(list) + 1, sizeof(*k->revoked));
	if (k->revoked == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *serial = json_array_get(list, i);

		if (!json_is_integer(serial))
			return error_set(err, -EINVAL, "revoked serial %zu is not a number", i);
		k->revoked[k->revoked_count++] = (uint64_t)json_integer_value(serial);
	}
	/* sshcert_check searches by halves. */
	qsort(k->revoked, k->revoked_count, sizeof(*k->revoked), compare_serials);
	return 0;
}

/* What was issued up to a moment and is void; objects of before this was told have no such list. */
static int load_blocked(struct known *k, const json_t *object, struct error *err)
{
	json_t *list, *row;
	char identity[256], caller[32];
	int64_t before_s;
	size_t i;
	int r = json_get_array(object, "blocked", MAX_BLOCKED, &list, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	json_array_foreach(list, i, row)
	{
		r = json_get_string(row, "identity", identity, sizeof(identity), err);
		if (r == 0)
			r = json_get_string(row, "caller", caller, sizeof(caller), err);
		if (r == 0)
			r = json_get_int(row, "before", 0, INT64_MAX, &before_s, err);
		if (r < 0)
			return r;
	}
	k->blocked = json_incref(list);
	return 0;
}

static int load_identities_of_peer(const json_t *peer, const char **names, size_t max,
				   size_t *ret_count, struct error *err)
{
	json_t *list;
	int r = json_get_array(peer, "identities", max, &list, err);

	*ret_count = 0;
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		names[i] = json_string_value(json_array_get(list, i));
		if (names[i] == NULL)
			return error_set(err, -EINVAL, "an identity of a peer is not a string");
		(*ret_count)++;
	}
	return r;
}

static int load_peer(struct known *k, const json_t *peer, const char *self, bool enabled,
		     struct error *err)
{
	struct known_peer *p = &k->peers[k->peer_count];
	const char *names[MAX_GROUPS];
	struct policy_peer wp = {0};
	char text[IP_ADDR_STRLEN];
	int r;

	r = json_get_string(peer, "id", p->id, sizeof(p->id), err);
	if (r == 0)
		r = json_get_string(peer, "name", p->name, sizeof(p->name), err);
	if (r == 0)
		r = json_get_string(peer, "overlay4", text, sizeof(text), err);
	if (r == 0)
		r = ip_addr_parse(text, &p->v4);
	if (r == 0)
		r = json_get_string(peer, "overlay6", text, sizeof(text), err);
	if (r == 0)
		r = ip_addr_parse(text, &p->v6);
	if (r == 0)
		r = load_identities_of_peer(peer, names, MAX_GROUPS, &wp.identity_count, err);
	if (r < 0)
		return r;
	wp.id = p->id;
	wp.name = p->name;
	wp.v4 = p->v4;
	wp.v6 = p->v6;
	wp.identities = names;
	wp.setup_key = json_string_value(json_object_get(peer, "setup_key"));
	wp.ssh_enabled = wp.ssh_advertised = enabled && strcmp(p->id, self) == 0;
	k->peer_count++;
	return policy_world_add_peer(k->world, &wp);
}

static int load_world(struct known *k, const json_t *object, const char *self, struct error *err)
{
	const char *identity, *groups[MAX_GROUPS];
	json_t *peers, *list;
	int r;

	r = policy_world_new(&k->world);
	if (r == 0)
		r = json_get_array(object, "peers", MAX_PEERS, &peers, err);
	if (r < 0)
		return r;
	k->peers = calloc(json_array_size(peers) + 1, sizeof(*k->peers));
	if (k->peers == NULL)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < json_array_size(peers); i++)
		r = load_peer(k, json_array_get(peers, i), self, k->enabled, err);
	if (r == 0)
		r = json_get_object(object, "identities", &k->identities, err);
	if (r < 0) {
		k->identities = NULL;
		return r;
	}
	k->peer_list = json_incref(peers);
	json_incref(k->identities);
	json_object_foreach(k->identities, identity, list)
	{
		size_t n = 0;

		if (!json_is_array(list) || json_array_size(list) > MAX_GROUPS)
			return error_set(err, -EINVAL, "groups of %s are not a list", identity);
		for (; n < json_array_size(list); n++) {
			groups[n] = json_string_value(json_array_get(list, n));
			if (groups[n] == NULL)
				return error_set(err, -EINVAL, "a group of %s is not a string",
						 identity);
		}
		r = policy_world_add_identity(k->world, identity, groups, n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Optional: control says it where a rule takes tokens. */
static int load_issuers(struct known *k, const json_t *object, struct error *err)
{
	json_t *list = json_object_get(object, "tokens");

	if (list == NULL)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > MAX_ISSUERS)
		return error_set(err, -EINVAL, "\"tokens\" is not a list of issuers");
	k->issuers = json_dumps(list, JSON_COMPACT);
	if (k->issuers == NULL)
		return -ENOMEM;
	return strlen(k->issuers) <= MAX_ISSUERS_TEXT
		       ? 0
		       : error_set(err, -EMSGSIZE, "the keys of the issuers are too many");
}

static int load(struct judge *j, struct known *k, const json_t *object, struct error *err)
{
	char network[32], peer[32];
	const char *text;
	int64_t seq;
	int r;

	r = json_get_string(object, "network", network, sizeof(network), err);
	if (r == 0)
		r = json_get_string(object, "peer", peer, sizeof(peer), err);
	if (r == 0)
		r = json_get_int(object, "seq", 0, INT64_MAX, &seq, err);
	if (r == 0)
		r = json_get_int(object, "valid_until", 1, INT64_MAX, &k->valid_until_s, err);
	if (r == 0)
		r = json_get_bool(object, "enabled", &k->enabled, err);
	if (r < 0)
		return r;
	r = json_get_string(object, "domain", k->domain, sizeof(k->domain), err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (strcmp(network, j->trust.network) != 0 || strcmp(peer, j->trust.peer_id) != 0)
		return error_set(err, -EACCES, "the object was made for another machine");
	k->seq = (uint64_t)seq;
	if (k->seq < j->trust.min_seq)
		return error_set(err, -EACCES, "the object is older than one seen before");
	r = load_cas(k, object, err);
	if (r == 0)
		r = load_revoked(k, object, err);
	if (r == 0)
		r = load_blocked(k, object, err);
	if (r == 0)
		r = load_world(k, object, j->trust.peer_id, err);
	if (r == 0)
		r = load_issuers(k, object, err);
	if (r == 0)
		r = json_get_text(object, "policy", POLICY_MAX_TEXT, &text, err);
	if (r == 0)
		r = policy_parse("policy", text, strlen(text), &k->policy, err);
	return r;
}

int judge_object(struct judge *j, const char *text, size_t len, int64_t now_s, uint64_t *ret_seq,
		 bool *ret_enabled, struct error *err)
{
	struct known *k = calloc(1, sizeof(*k));
	json_t *object = NULL;
	int r = -ENOMEM;

	if (k == NULL)
		goto out;
	object = signed_open(text, len, "ssh", j->trust.signing_key, now_s, SKEW_S, err);
	if (object == NULL) {
		r = err != NULL && err->code < 0 ? err->code : -EBADMSG;
		goto out;
	}
	r = load(j, k, object, err);
	if (r < 0)
		goto out;
	*ret_seq = k->seq;
	*ret_enabled = k->enabled;
	j->trust.min_seq = k->seq;
	known_free(j->known);
	j->known = k;
	k = NULL;
out:
	known_free(k);
	json_decref(object);
	return r;
}

const char *judge_host_name(const struct judge *j)
{
	for (size_t i = 0; j->known != NULL && i < j->known->peer_count; i++)
		if (strcmp(j->known->peers[i].id, j->trust.peer_id) == 0)
			return j->known->peers[i].name;
	return "";
}

int judge_resolve(const struct judge *j, const char *host, struct ip_addr *ret_addr)
{
	const struct known *k = j->known;
	size_t len = strcspn(host, ".");

	if (k == NULL || (host[len] == '.' &&
			  (k->domain[0] == '\0' || strcasecmp(host + len + 1, k->domain) != 0)))
		return -ENOENT;
	for (size_t i = 0; i < k->peer_count; i++)
		if (strncasecmp(k->peers[i].name, host, len) == 0 &&
		    k->peers[i].name[len] == '\0') {
			*ret_addr = k->peers[i].v4;
			return 0;
		}
	return -ENOENT;
}

const char *judge_issuers(const struct judge *j)
{
	return j->known != NULL && j->known->issuers != NULL ? j->known->issuers : "[]";
}
