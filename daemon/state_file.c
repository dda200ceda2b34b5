/* SPDX-License-Identifier: Apache-2.0
 *
 * Main's files. Owns their formats: JSON objects with a "format" and a version, keys as base64url.
 * Refuses unknown keys, other versions and truncated files with the sentence that says what to do,
 * and never writes over what it could not read.
 */
#include "daemon/state_file.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/encode.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/secret.h"

#define KEYS_FILE      "keys.json"
#define NETWORK_FILE   "network.json"
#define MAP_FILE       "map.json"
#define PATHS_FILE     "paths.json"
#define LOGINS_FILE    "logins.json"
#define STATE_MAX_FILE (64u << 20)

static int damaged(struct error *err, const char *file, const char *why)
{
	return error_set(err, -EBADMSG,
			 "the state file main/%s is damaged: %s; move it away and enrol again",
			 file, why);
}

/* 0 and *ret_object, -ENOENT, or -EBADMSG and a sentence. */
static int load(int dirfd, const char *file, const char *format, json_t **ret_object,
		struct error *err)
{
	struct error inner = {0};
	struct buffer text;
	char name[32];
	int64_t version;
	json_t *object;
	int r;

	buffer_init(&text, STATE_MAX_FILE);
	r = file_read_at(dirfd, file, &text);
	if (r == -ENOENT) {
		buffer_done(&text);
		return r;
	}
	if (r < 0) {
		buffer_done(&text);
		return error_set(err, r == -EMSGSIZE ? -EBADMSG : r,
				 "cannot read the state file main/%s: %s", file, strerror(-r));
	}
	object = json_load_strict((const char *)text.data, text.len, STATE_MAX_FILE, &inner);
	buffer_done(&text);
	if (object == NULL || !json_is_object(object)) {
		json_decref(object);
		return damaged(err, file, inner.code != 0 ? inner.text : "it is not a JSON object");
	}
	if (json_get_string(object, "format", name, sizeof(name), NULL) < 0 ||
	    strcmp(name, format) != 0 ||
	    json_get_int(object, "version", 1, 1, &version, NULL) < 0) {
		json_decref(object);
		return damaged(err, file, "it was not written by this version of warrend");
	}
	*ret_object = object;
	return 0;
}

static int save(int dirfd, const char *file, json_t *object, struct error *err)
{
	char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(1));
	int r = text == NULL ? -ENOMEM
			     : file_write_atomic_at(dirfd, file, text, strlen(text), 0600);

	if (text != NULL)
		secret_wipe(text, strlen(text));
	free(text);
	if (r < 0)
		return error_set(err, r, "cannot write the state file main/%s: %s", file,
				 strerror(-r));
	return 0;
}

static int get_bytes(const json_t *object, const char *key, uint8_t *out, size_t len)
{
	const char *text;
	int r = json_get_text(object, key, 256, &text, NULL);

	return r < 0 ? r : encode_base64url_exact(out, len, text);
}

static int put_bytes(json_t *object, const char *key, const uint8_t *data, size_t len)
{
	char text[ENCODE_BASE64URL_SIZE(64)];
	int r;

	encode_base64url(text, data, len);
	r = json_object_set_new(object, key, json_string(text));
	secret_wipe(text, sizeof(text));
	return r < 0 ? -ENOMEM : 0;
}

/* ---- keys.json */

static void derive_public(struct state_keys *k)
{
	crypto_scalarmult_base(k->node_public, k->node_secret);
	crypto_scalarmult_base(k->path_public, k->path_secret);
	memcpy(k->identity_public, k->identity_secret + 32, 32);
}

static int make_keys(int dirfd, const struct random_source *random, struct state_keys *k,
		     struct error *err)
{
	json_t *object = json_pack("{s:s,s:i}", "format", "warren-keys", "version", 1);
	uint8_t seed[32];
	int r = -ENOMEM;

	random_bytes(random, k->node_secret, 32);
	random_bytes(random, k->path_secret, 32);
	k->node_secret[0] &= 248; /* clamped, as WireGuard's tools show them */
	k->node_secret[31] = (k->node_secret[31] & 127) | 64;
	random_bytes(random, seed, sizeof(seed));
	crypto_sign_seed_keypair(k->identity_public, k->identity_secret, seed);
	if (object != NULL && put_bytes(object, "node", k->node_secret, 32) == 0 &&
	    put_bytes(object, "path", k->path_secret, 32) == 0 &&
	    put_bytes(object, "identity", seed, 32) == 0)
		r = save(dirfd, KEYS_FILE, object, err);
	secret_wipe(seed, sizeof(seed));
	json_decref(object);
	return r;
}

int state_file_keys(int dirfd, const struct random_source *random, struct state_keys **ret_keys,
		    struct error *err)
{
	static const char *const known[] = {"format", "version", "node", "path", "identity", NULL};
	struct state_keys *k = secret_alloc(sizeof(*k));
	json_t *object = NULL;
	uint8_t seed[32] = {0};
	int r;

	if (k == NULL)
		return error_set(err, -ENOMEM, "no memory for keys");
	r = load(dirfd, KEYS_FILE, "warren-keys", &object, err);
	if (r == -ENOENT) {
		r = make_keys(dirfd, random, k, err);
	} else if (r == 0) {
		if (json_only_keys(object, known, NULL) < 0 ||
		    get_bytes(object, "node", k->node_secret, 32) < 0 ||
		    get_bytes(object, "path", k->path_secret, 32) < 0 ||
		    get_bytes(object, "identity", seed, 32) < 0)
			r = damaged(err, KEYS_FILE, "a key is missing or is not 32 bytes");
		else
			crypto_sign_seed_keypair(k->identity_public, k->identity_secret, seed);
	}
	secret_wipe(seed, sizeof(seed));
	json_decref(object);
	if (r < 0) {
		secret_free(k);
		return r;
	}
	derive_public(k);
	*ret_keys = k;
	return 0;
}

/* ---- network.json */

static int get_addr(const json_t *object, const char *key, struct ip_addr *ret_addr)
{
	char text[IP_ADDR_STRLEN];
	int r = json_get_string(object, key, text, sizeof(text), NULL);

	return r < 0 ? r : ip_addr_parse(text, ret_addr);
}

static int read_enrolment(const json_t *object, struct state_network *n, struct error *err)
{
	if (json_get_string(object, "control", n->control_url, sizeof(n->control_url), err) < 0 ||
	    json_get_string(object, "network", n->network, sizeof(n->network), err) < 0 ||
	    json_get_string(object, "peer", n->peer, sizeof(n->peer), err) < 0 ||
	    json_get_string(object, "name", n->name, sizeof(n->name), err) < 0 ||
	    json_get_string(object, "fqdn", n->fqdn, sizeof(n->fqdn), err) < 0 ||
	    json_get_int(object, "epoch", 0, INT64_MAX, &n->epoch, err) < 0)
		return -EBADMSG;
	if (get_bytes(object, "signing_key", n->signing_key, 32) < 0)
		return error_set(err, -EBADMSG, "signing_key is not a key");
	if (get_addr(object, "overlay4", &n->overlay4) < 0 || n->overlay4.family != 4 ||
	    get_addr(object, "overlay6", &n->overlay6) < 0 || n->overlay6.family != 6)
		return error_set(err, -EBADMSG, "an overlay address is missing or wrong");
	return 0;
}

int state_file_network(int dirfd, struct state_network *ret_network, struct error *err)
{
	struct state_network n = {0};
	struct error inner = {0};
	json_t *object = NULL;
	int64_t mtu = 0;
	int r;

	r = load(dirfd, NETWORK_FILE, "warren-network", &object, err);
	if (r == -ENOENT) {
		*ret_network = n;
		return 0;
	}
	if (r < 0)
		return r;
	if (json_get_bool(object, "enrolled", &n.enrolled, &inner) < 0 ||
	    json_get_bool(object, "up", &n.wanted_up, &inner) < 0 ||
	    json_get_string(object, "hostname", n.hostname, sizeof(n.hostname), &inner) < 0 ||
	    json_get_int(object, "mtu", 0, 65535, &mtu, &inner) < 0 ||
	    (n.enrolled && read_enrolment(object, &n, &inner) < 0))
		r = damaged(err, NETWORK_FILE, error_text(&inner));
	json_decref(object);
	if (r < 0)
		return r;
	n.mtu = (uint16_t)mtu;
	*ret_network = n;
	return 0;
}

int state_file_save_network(int dirfd, const struct state_network *n, struct error *err)
{
	char v4[IP_ADDR_STRLEN], v6[IP_ADDR_STRLEN];
	json_t *object = json_pack("{s:s,s:i,s:b,s:b,s:s,s:i}", "format", "warren-network",
				   "version", 1, "enrolled", (int)n->enrolled, "up",
				   (int)n->wanted_up, "hostname", n->hostname, "mtu", (int)n->mtu);
	int r = object == NULL ? -ENOMEM : 0;

	if (r == 0 && n->enrolled) {
		json_t *more = json_pack(
			"{s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:s}", "control", n->control_url, "network",
			n->network, "peer", n->peer, "name", n->name, "fqdn", n->fqdn, "epoch",
			(json_int_t)n->epoch, "overlay4", ip_addr_format(&n->overlay4, v4),
			"overlay6", ip_addr_format(&n->overlay6, v6));

		if (more == NULL || json_object_update(object, more) < 0)
			r = -ENOMEM;
		else
			r = put_bytes(object, "signing_key", n->signing_key, 32);
		json_decref(more);
	}
	if (r == 0)
		r = save(dirfd, NETWORK_FILE, object, err);
	json_decref(object);
	return r;
}

/* ---- map.json */

int state_file_map(int dirfd, struct map **ret_map, char **ret_signed, struct error *err)
{
	json_t *object = NULL, *components, *value;
	const char *text, *key;
	struct map *map = NULL;
	char *copy = NULL;
	int r;

	*ret_map = NULL;
	*ret_signed = NULL;
	r = load(dirfd, MAP_FILE, "warren-map", &object, err);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (json_get_text(object, "signed", 1u << 20, &text, NULL) < 0 ||
	    json_get_object(object, "components", &components, NULL) < 0) {
		r = damaged(err, MAP_FILE, "a part is missing");
		goto out;
	}
	copy = strdup(text);
	r = copy == NULL ? -ENOMEM : map_new(&map);
	if (r == 0) {
		json_object_foreach(components, key, value) if (r == 0) r =
			map_set(map, key, value);
	}
	if (r < 0) {
		r = damaged(err, MAP_FILE, "a component does not fit");
		goto out;
	}
	*ret_map = map;
	*ret_signed = copy;
	map = NULL;
	copy = NULL;
out:
	map_free(map);
	free(copy);
	json_decref(object);
	return r;
}

static int collect(void *ctx, const char *key, json_t *value)
{
	return json_object_set(ctx, key, value) < 0 ? -ENOMEM : 0;
}

int state_file_save_map(int dirfd, const struct map *map, const char *signed_text,
			struct error *err)
{
	json_t *components = json_object();
	json_t *object = json_pack("{s:s,s:i,s:s,s:O}", "format", "warren-map", "version", 1,
				   "signed", signed_text, "components", components);
	int r = object == NULL ? -ENOMEM : map_each(map, collect, components);

	if (r == 0)
		r = save(dirfd, MAP_FILE, object, err);
	json_decref(object);
	json_decref(components);
	return r;
}

void state_file_drop_map(int dirfd)
{
	(void)unlinkat(dirfd, MAP_FILE, 0);
}

/* ---- logins.json */

json_t *state_file_logins(int dirfd)
{
	json_t *object = NULL, *logins = NULL;

	if (load(dirfd, LOGINS_FILE, "warren-logins", &object, NULL) < 0)
		return NULL;
	if (json_get_object(object, "logins", &logins, NULL) == 0)
		json_incref(logins);
	json_decref(object);
	return logins;
}

int state_file_save_logins(int dirfd, const json_t *logins)
{
	json_t *copy = json_deep_copy(logins);
	json_t *object =
		json_pack("{s:s,s:i,s:o}", "format", "warren-logins", "version", 1, "logins", copy);
	int r = save(dirfd, LOGINS_FILE, object, NULL);

	json_decref(object);
	return r;
}

/* ---- paths.json */

json_t *state_file_paths(int dirfd)
{
	json_t *object = NULL, *paths = NULL;

	if (load(dirfd, PATHS_FILE, "warren-paths", &object, NULL) < 0)
		return NULL;
	if (json_get_object(object, "paths", &paths, NULL) == 0)
		json_incref(paths);
	json_decref(object);
	return paths;
}

int state_file_save_paths(int dirfd, const json_t *paths)
{
	json_t *copy = json_deep_copy(paths);
	json_t *object =
		json_pack("{s:s,s:i,s:o}", "format", "warren-paths", "version", 1, "paths", copy);
	int r = save(dirfd, PATHS_FILE, object, NULL);

	json_decref(object);
	return r;
}

int state_file_forget(int dirfd, struct error *err)
{
	static const char *const files[] = {MAP_FILE, PATHS_FILE, LOGINS_FILE, NETWORK_FILE,
					     KEYS_FILE};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (unlinkat(dirfd, files[i], 0) < 0 && errno != ENOENT)
			return error_set(err, -errno, "cannot remove the state file main/%s: %s",
					 files[i], strerror(errno));
	return 0;
}
