/* SPDX-License-Identifier: Apache-2.0
 *
 * The allowed IPs of all peers as the shards read them: an immutable copy of the trie of
 * allowedips.h in two arrays, so that a lookup touches few cache lines and takes no lock. Control
 * makes a new one when allowed IPs changed and frees the old one when no shard uses it any more.
 */
#ifndef WARREN_TUNNEL_ROUTES_H
#define WARREN_TUNNEL_ROUTES_H

#include "tunnel/allowedips.h"

struct routes;

/* -ENOMEM. Peers are borrowed. */
int routes_new(const struct allowedips *a, struct routes **ret_routes) WARREN_MUST_USE;
void routes_free(struct routes *r);
/* addr in network order, 4 or 16 bytes. NULL: nobody (also when r is NULL). */
struct peer *routes_find4(const struct routes *r, const uint8_t addr[static 4]);
struct peer *routes_find6(const struct routes *r, const uint8_t addr[static 16]);

#endif
