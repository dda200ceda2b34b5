/* SPDX-License-Identifier: Apache-2.0
 *
 * Following the stream of control/PROTOCOL.md section 5: snapshots, deltas, digests, roll-back.
 * Pure: no I/O, time is passed in.
 */
#ifndef WARREN_DAEMON_CONTROL_CLIENT_MAP_H
#define WARREN_DAEMON_CONTROL_CLIENT_MAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/proto/map.h"
#include "platform/error.h"

/* What the peer pinned and who it is. */
struct control_pin {
	uint8_t signing_key[32];
	char network[32], peer[32];
};

struct control_map {
	struct map *map; /* in force; NULL: none yet */
	int64_t epoch, revision, valid_until_s;
	char *signed_text;
	struct map *building; /* during a snapshot */
	int64_t building_revision;
};

enum control_map_result {
	CONTROL_MAP_NOTHING, /* not for the map, or no change */
	CONTROL_MAP_RENEWED, /* same components, longer validity */
	CONTROL_MAP_CHANGED,
	CONTROL_MAP_RESYNC, /* does not fit: ask again with cursor 0 */
};

void control_map_done(struct control_map *m);
/* A map from disk: verified as if it had just come (time is not judged: ask control_map_valid).
 * Takes over map on success. */
int control_map_restore(struct control_map *m, const struct control_pin *pin, struct map *map,
			const char *signed_text, struct error *err) WARREN_MUST_USE;
/* One object of the stream. Lines of other types are CONTROL_MAP_NOTHING. -EBADMSG, or -ESTALE for
 * a roll-back, with a sentence: the connection must end; the map in force stays as it was. */
int control_map_line(struct control_map *m, const struct control_pin *pin, const json_t *line,
		     enum control_map_result *ret_result, struct error *err) WARREN_MUST_USE;
bool control_map_valid(const struct control_map *m, int64_t now_s);

#endif
