/* SPDX-License-Identifier: Apache-2.0
 *
 * The map of one peer as a set of components (control/PROTOCOL.md section 5): set, delete, digest,
 * difference, apply. Pure; used by the server to make deltas and by the peer to apply them.
 */
#ifndef WARREN_CONTROL_PROTO_MAP_H
#define WARREN_CONTROL_PROTO_MAP_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define MAP_MAX_COMPONENTS 20000
#define MAP_MAX_KEY	   64

struct map;

int map_new(struct map **ret_map) WARREN_MUST_USE;
void map_free(struct map *m);
int map_copy(const struct map *m, struct map **ret_map) WARREN_MUST_USE;
/* Keeps a reference of value. */
int map_set(struct map *m, const char *key, json_t *value) WARREN_MUST_USE;
/* Puts the component that `from` has under this key, shared, not copied; -ENOENT. */
int map_share(struct map *m, const struct map *from, const char *key) WARREN_MUST_USE;
void map_del(struct map *m, const char *key);
json_t *map_get(const struct map *m, const char *key); /* borrowed or NULL */
size_t map_count(const struct map *m);
/* Calls fn for each component in byte order of keys; stops at non-zero and returns it. */
int map_each(const struct map *m, int (*fn)(void *ctx, const char *key, json_t *value), void *ctx);
void map_digest(const struct map *m, uint8_t ret_digest[32]);
/* {"set":…,"value":…} / {"del":…} that turn `from` into `to`. New reference. */
json_t *map_diff(const struct map *from, const struct map *to);
/* Applies ops to a copy-on-success: on any bad op nothing changes. */
int map_apply(struct map *m, const json_t *ops, struct error *err) WARREN_MUST_USE;

#endif
