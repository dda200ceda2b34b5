/* SPDX-License-Identifier: Apache-2.0
 *
 * The peer's copy of its map (control/PROTOCOL.md section 5). A change is made on a copy and
 * replaces the map in force only when the signed head names us, is not older than what we hold and
 * carries the digest of the result.
 */
#include "daemon/control_client_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/json.h"

#define REVISION_MAX (INT64_C(1) << 53)

struct head {
	int64_t epoch, revision, valid_until_s;
	uint8_t digest[32];
};

void control_map_done(struct control_map *m)
{
	map_free(m->map);
	map_free(m->building);
	free(m->signed_text);
	memset(m, 0, sizeof(*m));
}

bool control_map_valid(const struct control_map *m, int64_t now_s)
{
	return m->map != NULL && now_s < m->valid_until_s;
}

/* valid_until is judged by control_map_valid, since a map must also be looked at when it is too
 * old. */
static int read_head(const struct control_pin *pin, const char *text, struct head *ret_head,
		     struct error *err)
{
	json_t *payload = signed_open(text, strlen(text), "map", pin->signing_key, 0, 0, err);
	char network[32], peer[32], digest[72];
	struct head h;
	int r = -EBADMSG;

	if (payload == NULL) {
		error_prefix(err, "the head of the map");
		return -EBADMSG;
	}
	if (json_get_string(payload, "network", network, sizeof(network), err) < 0 ||
	    json_get_string(payload, "peer", peer, sizeof(peer), err) < 0 ||
	    json_get_string(payload, "digest", digest, sizeof(digest), err) < 0 ||
	    json_get_int(payload, "epoch", 0, REVISION_MAX, &h.epoch, err) < 0 ||
	    json_get_int(payload, "revision", 0, REVISION_MAX, &h.revision, err) < 0 ||
	    json_get_int(payload, "valid_until", 0, REVISION_MAX, &h.valid_until_s, err) < 0 ||
	    encode_hex_exact(h.digest, sizeof(h.digest), digest) < 0)
		(void)error_set(err, r, "the head of the map has a wrong form");
	else if (strcmp(network, pin->network) != 0 || strcmp(peer, pin->peer) != 0)
		(void)error_set(err, r, "the control server sent the map of another peer");
	else
		r = 0;
	json_decref(payload);
	if (r == 0)
		*ret_head = h;
	return r;
}

static int check_fresh(const struct control_map *m, const struct head *h, struct error *err)
{
	if (m->signed_text == NULL)
		return 0;
	if (h->epoch < m->epoch || (h->epoch == m->epoch && h->revision < m->revision))
		return error_set(
			err, -ESTALE,
			"the control server offers revision %lld of epoch %lld, older than %lld of "
			"%lld that this machine has: refused as a roll-back",
			(long long)h->revision, (long long)h->epoch, (long long)m->revision,
			(long long)m->epoch);
	return 0;
}

/* Puts map (taken) and head in force. */
static int commit(struct control_map *m, struct map *map, const struct head *h, const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		return -ENOMEM;
	if (map != m->map)
		map_free(m->map);
	free(m->signed_text);
	m->map = map;
	m->signed_text = copy;
	m->epoch = h->epoch;
	m->revision = h->revision;
	m->valid_until_s = h->valid_until_s;
	return 0;
}

static bool digest_fits(const struct map *map, const struct head *h)
{
	uint8_t digest[32];

	map_digest(map, digest);
	return memcmp(digest, h->digest, sizeof(digest)) == 0;
}

int control_map_restore(struct control_map *m, const struct control_pin *pin, struct map *map,
			const char *signed_text, struct error *err)
{
	struct head h;
	int r = read_head(pin, signed_text, &h, err);

	if (r == 0 && !digest_fits(map, &h))
		r = error_set(err, -EBADMSG, "the saved map does not fit its signature");
	return r < 0 ? r : commit(m, map, &h, signed_text);
}

static int take_set(struct control_map *m, const json_t *line, struct error *err)
{
	json_t *value = json_object_get(line, "value");
	char key[MAP_MAX_KEY];

	if (m->building == NULL || value == NULL ||
	    json_get_string(line, "key", key, sizeof(key), NULL) < 0 ||
	    map_get(m->building, key) != NULL || map_set(m->building, key, value) < 0)
		return error_set(err, -EBADMSG,
				 "the control server sent a component that does not fit");
	return 0;
}

static int take_snapshot(struct control_map *m, const json_t *line, struct error *err)
{
	map_free(m->building);
	m->building = NULL;
	if (json_get_int(line, "revision", 0, REVISION_MAX, &m->building_revision, err) < 0)
		return -EBADMSG;
	return map_new(&m->building);
}

static int take_end(struct control_map *m, const struct control_pin *pin, const json_t *line,
		    enum control_map_result *ret_result, struct error *err)
{
	struct map *map = m->building;
	const char *text;
	struct head h;
	int r;

	if (map == NULL || json_get_text(line, "signed", SIGNED_MAX_BYTES, &text, NULL) < 0)
		return error_set(err, -EBADMSG,
				 "the control server ended a snapshot that it did not begin");
	r = read_head(pin, text, &h, err);
	if (r == 0)
		r = check_fresh(m, &h, err);
	if (r == 0 && (h.revision != m->building_revision || !digest_fits(map, &h)))
		r = error_set(err, -EBADMSG,
			      "the control server's snapshot does not fit its signature");
	if (r < 0)
		return r;
	m->building = NULL;
	r = commit(m, map, &h, text);
	if (r < 0)
		map_free(map);
	else
		*ret_result = CONTROL_MAP_CHANGED;
	return r;
}

static int take_delta(struct control_map *m, const struct control_pin *pin, const json_t *line,
		      enum control_map_result *ret_result, struct error *err)
{
	struct map *copy = NULL;
	int64_t from, to;
	json_t *ops;
	const char *text;
	struct head h;
	int r;

	if (json_get_int(line, "from", 0, REVISION_MAX, &from, err) < 0 ||
	    json_get_int(line, "to", 0, REVISION_MAX, &to, err) < 0 ||
	    json_get_array(line, "ops", 2 * MAP_MAX_COMPONENTS, &ops, err) < 0 ||
	    json_get_text(line, "signed", SIGNED_MAX_BYTES, &text, err) < 0)
		return -EBADMSG;
	if (m->map == NULL || from != m->revision) {
		*ret_result = CONTROL_MAP_RESYNC;
		return 0;
	}
	r = read_head(pin, text, &h, err);
	if (r == 0)
		r = check_fresh(m, &h, err);
	if (r < 0)
		return r;
	r = map_copy(m->map, &copy);
	if (r < 0)
		return r;
	if (map_apply(copy, ops, NULL) < 0 || h.revision != to || !digest_fits(copy, &h)) {
		map_free(copy);
		*ret_result = CONTROL_MAP_RESYNC;
		return 0;
	}
	r = commit(m, copy, &h, text);
	if (r < 0)
		map_free(copy);
	else
		*ret_result = json_array_size(ops) > 0 ? CONTROL_MAP_CHANGED : CONTROL_MAP_RENEWED;
	return r;
}

static int take_renewal(struct control_map *m, const struct control_pin *pin, const char *text,
			enum control_map_result *ret_result, struct error *err)
{
	struct head h;
	int r = read_head(pin, text, &h, err);

	if (r == 0)
		r = check_fresh(m, &h, err);
	if (r < 0)
		return r;
	if (m->map == NULL || h.revision != m->revision || h.epoch != m->epoch ||
	    !digest_fits(m->map, &h)) {
		*ret_result = CONTROL_MAP_RESYNC;
		return 0;
	}
	r = commit(m, m->map, &h, text);
	if (r == 0)
		*ret_result = CONTROL_MAP_RENEWED;
	return r;
}

int control_map_line(struct control_map *m, const struct control_pin *pin, const json_t *line,
		     enum control_map_result *ret_result, struct error *err)
{
	char type[32];
	const char *text;

	*ret_result = CONTROL_MAP_NOTHING;
	if (json_get_string(line, "type", type, sizeof(type), err) < 0)
		return -EBADMSG;
	if (strcmp(type, "snapshot") == 0)
		return take_snapshot(m, line, err);
	if (strcmp(type, "set") == 0)
		return take_set(m, line, err);
	if (strcmp(type, "end") == 0)
		return take_end(m, pin, line, ret_result, err);
	if (strcmp(type, "delta") == 0)
		return take_delta(m, pin, line, ret_result, err);
	if (strcmp(type, "ping") == 0 &&
	    json_get_text(line, "signed", SIGNED_MAX_BYTES, &text, NULL) == 0)
		return take_renewal(m, pin, text, ret_result, err);
	return 0;
}
