/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of STATE/root. They are read strictly: a truncated file, a key that this version does
 * not know or a value that cannot be stops the daemon before it could overwrite what it did not
 * understand.
 */
#include "daemon/switches.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/json.h"

enum { MAX_FILE_BYTES = 256 * 1024, VERSION = 1, MAX_CACHE_TTL_S = 86400 };

#define FILE_SWITCHES  "switches.json"
#define FILE_PIN       "pin.json"
#define FILE_SEQUENCES "sequences.json"

static const struct {
	const char *name;
	size_t offset;
} flags[] = {
	{"allow_server_ssh", offsetof(struct switches, allow_server_ssh)},
	{"enable_ssh_root", offsetof(struct switches, enable_ssh_root)},
	{"enable_ssh_sftp", offsetof(struct switches, enable_ssh_sftp)},
	{"enable_ssh_local_port_forwarding",
	 offsetof(struct switches, enable_ssh_local_port_forwarding)},
	{"enable_ssh_remote_port_forwarding",
	 offsetof(struct switches, enable_ssh_remote_port_forwarding)},
	{"disable_ssh_auth", offsetof(struct switches, disable_ssh_auth)},
	{"enable_ssh_authorized_keys", offsetof(struct switches, enable_ssh_authorized_keys)},
	{"enable_ssh_jwt_password", offsetof(struct switches, enable_ssh_jwt_password)},
};

enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

static bool *flag_of(struct switches *s, size_t i)
{
	return (bool *)((char *)s + flags[i].offset);
}

json_t *switches_json(const struct switches *s)
{
	struct switches copy = *s;
	json_t *object = json_object();
	int rc = object ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < FLAG_COUNT; i++)
		rc = json_object_set_new(object, flags[i].name, json_boolean(*flag_of(&copy, i)));
	if (rc == 0)
		rc = json_object_set_new(object, "ssh_jwt_cache_ttl",
					 json_integer(s->ssh_jwt_cache_ttl_s));
	if (rc == 0)
		return object;
	json_decref(object);
	return NULL;
}

json_t *switches_control_json(const struct switches_control *c)
{
	char text[ENCODE_BASE64URL_SIZE(sizeof(c->fingerprint))];

	if (c->url[0] == '\0')
		return json_null();
	encode_base64url(text, c->fingerprint, sizeof(c->fingerprint));
	return json_pack("{s:s, s:s?}", "url", c->url, "fingerprint",
			 c->has_fingerprint ? text : NULL);
}

int switches_update(struct switches *s, const json_t *object, struct error *err)
{
	static const char *const keys[] = {"allow_server_ssh",
					   "enable_ssh_root",
					   "enable_ssh_sftp",
					   "enable_ssh_local_port_forwarding",
					   "enable_ssh_remote_port_forwarding",
					   "disable_ssh_auth",
					   "enable_ssh_authorized_keys",
					   "enable_ssh_jwt_password",
					   "ssh_jwt_cache_ttl",
					   NULL};
	struct switches new = *s;
	int64_t ttl = s->ssh_jwt_cache_ttl_s;
	int rc = json_only_keys(object, keys, err);

	for (size_t i = 0; rc == 0 && i < FLAG_COUNT; i++) {
		rc = json_get_bool(object, flags[i].name, flag_of(&new, i), err);
		if (rc == -ENOENT)
			rc = 0;
	}
	if (rc == 0) {
		rc = json_get_int(object, "ssh_jwt_cache_ttl", 0, MAX_CACHE_TTL_S, &ttl, err);
		if (rc == -ENOENT)
			rc = 0;
	}
	if (rc < 0)
		return rc;
	new.ssh_jwt_cache_ttl_s = (uint32_t)ttl;
	*s = new;
	return 0;
}

/* Host names, addresses, ports and paths; nothing that a shell, a log or a terminal would mind. */
static bool url_characters(const char *url)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"-._~:/[]";

	return url[strspn(url, allowed)] == '\0';
}

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* The character behind the host may be the end, a port or a path. */
static bool loopback_host(const char *host)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);

		if (strncmp(host, names[i], len) == 0 &&
		    (host[len] == '\0' || host[len] == ':' || host[len] == '/'))
			return true;
	}
	return false;
}

int switches_control_parse(const json_t *object, struct switches_control *ret_control,
			   struct error *err)
{
	struct switches_control c = {0};
	const json_t *fingerprint;
	const char *host;
	int rc;

	rc = json_get_string(object, "url", c.url, sizeof(c.url), err);
	if (rc < 0)
		return rc;
	host = starts_with(c.url, "https://") ? c.url + 8 : NULL;
	if (!host && starts_with(c.url, "http://") && loopback_host(c.url + 7))
		host = c.url + 7;
	if (!host || *host == '\0' || *host == '/' || *host == ':' || !url_characters(c.url))
		return error_set(err, -EINVAL,
				 "\"%.100s\" is no URL of a control server: write "
				 "https://HOST:PORT (plain http is for this machine only)",
				 c.url);
	fingerprint = json_object_get(object, "fingerprint");
	if (fingerprint && !json_is_null(fingerprint)) {
		if (!json_is_string(fingerprint) ||
		    encode_base64url_exact(c.fingerprint, sizeof(c.fingerprint),
					   json_string_value(fingerprint)) < 0)
			return error_set(
				err, -EINVAL,
				"the fingerprint of the control server must be 22 characters "
				"of base64url: copy it from the setup key or from "
				"`warren-control`");
		c.has_fingerprint = true;
	}
	*ret_control = c;
	return 0;
}

uint64_t switches_seq(const struct switches_sequences *s, const char *network)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->entry[i].network, network) == 0)
			return s->entry[i].seq;
	return 0;
}

int switches_set_seq(struct switches_sequences *s, const char *network, uint64_t seq)
{
	size_t i, len = strlen(network);

	for (i = 0; i < s->count; i++)
		if (strcmp(s->entry[i].network, network) == 0)
			break;
	if (i == SWITCHES_MAX_NETWORKS)
		return -ENOSPC;
	if (len == 0 || len >= sizeof(s->entry[i].network) || seq > INT64_MAX)
		return -EINVAL;
	if (i < s->count && seq < s->entry[i].seq)
		return -EINVAL;
	if (i == s->count)
		memcpy(s->entry[s->count++].network, network, len + 1);
	s->entry[i].seq = seq;
	return 0;
}

static int save(int dirfd, const char *name, json_t *object_take)
{
	char *text = object_take ? json_dumps(object_take, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
	int rc = text ? file_write_atomic_at(dirfd, name, text, strlen(text), 0600) : -ENOMEM;

	free(text);
	json_decref(object_take);
	return rc;
}

int switches_save(int dirfd, const struct switches *s, const struct switches_control *c)
{
	return save(dirfd, FILE_SWITCHES,
		    json_pack("{s:i, s:o, s:o}", "v", VERSION, "switches", switches_json(s),
			      "control", switches_control_json(c)));
}

int switches_save_pin(int dirfd, const struct switches_pin *pin)
{
	char key[ENCODE_BASE64URL_SIZE(sizeof(pin->signing_key))];

	if (!pin->set && !pin->left)
		return unlinkat(dirfd, FILE_PIN, 0) < 0 && errno != ENOENT ? -errno : 0;
	encode_base64url(key, pin->signing_key, sizeof(pin->signing_key));
	return save(dirfd, FILE_PIN,
		    json_pack("{s:i, s:s, s:s, s:s, s:b, s:b}", "v", VERSION, "signing_key", key,
			      "network", pin->network, "peer", pin->peer_id, "left", pin->left,
			      "held", pin->held));
}

int switches_save_sequences(int dirfd, const struct switches_sequences *s)
{
	json_t *networks = json_object();

	for (size_t i = 0; networks && i < s->count; i++) {
		if (json_object_set_new(networks, s->entry[i].network,
					json_integer((json_int_t)s->entry[i].seq)) < 0) {
			json_decref(networks);
			networks = NULL;
		}
	}
	if (!networks)
		return -ENOMEM;
	return save(dirfd, FILE_SEQUENCES, json_pack("{s:i, s:o}", "v", VERSION, "ssh", networks));
}

static int check_version(const json_t *object, const char *const *keys, struct error *err)
{
	int64_t version;
	int rc;

	if (!json_is_object(object))
		return error_set(err, -EINVAL, "expected an object");
	rc = json_get_int(object, "v", 0, INT32_MAX, &version, err);
	if (rc < 0)
		return rc;
	if (version != VERSION)
		return error_set(err, -EINVAL, "version %lld was written by another warrend",
				 (long long)version);
	return json_only_keys(object, keys, err);
}

static int parse_switches(const json_t *object, struct switches_state *state, struct error *err)
{
	static const char *const keys[] = {"v", "switches", "control", NULL};
	static const char *const control_keys[] = {"url", "fingerprint", NULL};
	json_t *switches = NULL, *control;
	int rc = check_version(object, keys, err);

	if (rc == 0)
		rc = json_get_object(object, "switches", &switches, err);
	if (rc == 0)
		rc = switches_update(&state->switches, switches, err);
	if (rc < 0)
		return rc;
	control = json_object_get(object, "control");
	if (!control || json_is_null(control))
		return 0;
	rc = json_only_keys(control, control_keys, err);
	return rc < 0 ? rc : switches_control_parse(control, &state->control, err);
}

static int optional_bool(const json_t *object, const char *key, bool *ret_value, struct error *err)
{
	int rc = json_get_bool(object, key, ret_value, err);

	return rc == -ENOENT ? 0 : rc;
}

static int parse_pin(const json_t *object, struct switches_state *state, struct error *err)
{
	static const char *const keys[] = {"v",	   "signing_key", "network", "peer",
					   "left", "held",	  NULL};
	struct switches_pin *pin = &state->pin;
	const char *text = NULL;
	int rc = check_version(object, keys, err);

	if (rc == 0)
		rc = json_get_text(object, "signing_key", 64, &text, err);
	if (rc == 0 && encode_base64url_exact(pin->signing_key, sizeof(pin->signing_key), text) < 0)
		rc = error_set(err, -EINVAL, "\"signing_key\" is not a key");
	if (rc == 0)
		rc = json_get_string(object, "network", pin->network, sizeof(pin->network), err);
	if (rc == 0)
		rc = json_get_string(object, "peer", pin->peer_id, sizeof(pin->peer_id), err);
	if (rc == 0)
		rc = optional_bool(object, "left", &pin->left, err);
	if (rc == 0)
		rc = optional_bool(object, "held", &pin->held, err);
	pin->set = rc == 0 && !pin->left;
	return rc;
}

static int parse_sequences(const json_t *object, struct switches_state *state, struct error *err)
{
	static const char *const keys[] = {"v", "ssh", NULL};
	json_t *networks = NULL, *value;
	const char *network;
	int rc = check_version(object, keys, err);

	if (rc == 0)
		rc = json_get_object(object, "ssh", &networks, err);
	if (rc < 0)
		return rc;
	json_object_foreach(networks, network, value)
	{
		int64_t seq;

		rc = json_get_int(networks, network, 0, INT64_MAX, &seq, err);
		if (rc == 0 && switches_set_seq(&state->sequences, network, (uint64_t)seq) < 0)
			rc = error_set(err, -EINVAL, "\"%.40s\" is no network", network);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static const struct {
	const char *name;
	int (*parse)(const json_t *object, struct switches_state *state, struct error *err);
	const char *lost; /* what somebody has to do who can't restore the file */
} files[] = {
	{FILE_SWITCHES, parse_switches,
	 "move it away and give the SSH flags and the control server to `warren up` again"},
	{FILE_PIN, parse_pin, "move it away and enrol again with `warren up`"},
	{FILE_SEQUENCES, parse_sequences,
	 "move it away (older SSH permissions could then be replayed once)"},
};

int switches_load(int dirfd, const char *path, struct switches_state *ret_state, struct error *err)
{
	struct switches_state state = {0};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct error inner = {0};
		struct buffer text;
		json_t *object = NULL;
		int rc;

		buffer_init(&text, MAX_FILE_BYTES);
		rc = file_read_at(dirfd, files[i].name, &text);
		if (rc == 0) {
			object = json_load_strict((const char *)text.data, text.len, MAX_FILE_BYTES,
						  &inner);
			rc = object ? files[i].parse(object, &state, &inner) : -EINVAL;
		} else if (rc != -ENOENT) {
			error_set(&inner, rc, "%s", strerror(-rc));
		}
		json_decref(object);
		buffer_done(&text);
		if (rc < 0 && (rc != -ENOENT || inner.code != 0))
			return error_set(
				err, -EBADMSG,
				"cannot use the state file %s/%s (%s); it was left as it is: "
				"restore it from a backup, or %s",
				path, files[i].name, error_text(&inner), files[i].lost);
	}
	*ret_state = state;
	return 0;
}
