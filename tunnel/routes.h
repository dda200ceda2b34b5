/* SPDX-License-Identifier: Apache-2.0
 *
 * The allowed IPs of all peers as the shards read them: a trie per family whose nodes never change
 * once they were published, so that a lookup takes no lock. Control changes it by copying the nodes
 * on the way to a prefix, shares the rest with what is in force, and frees the old ones when no
 * shard uses them any more: one prefix costs as much among ten thousand peers as among ten.
 */
#ifndef WARREN_TUNNEL_ROUTES_H
#define WARREN_TUNNEL_ROUTES_H

#include <stdint.h>

#include "platform/addr.h"
#include "platform/error.h"

struct peer;
struct route_node;
struct route_chunk;

/* What shards read. All zero: nobody has any address. */
struct routes {
	struct route_node *root4, *root6;
};

/* Control's. All zero is a fresh one. */
struct routes_edit {
	struct routes routes; /* to be published */
	uint64_t generation;  /* nodes of this one have not been published */
	struct route_node *retired, *free;
	struct route_chunk *chunks; /* of nodes; kept until routes_done */
};

/* Peers are borrowed. -ENOMEM: the prefix has whom it had; -EINVAL. */
int routes_set(struct routes_edit *e, const struct ip_prefix *prefix,
	       struct peer *peer) WARREN_MUST_USE;
/* The prefix is nobody's. -ENOMEM: it still has whom it had. */
int routes_clear(struct routes_edit *e, const struct ip_prefix *prefix) WARREN_MUST_USE;
void routes_clear_all(struct routes_edit *e);
/* Every shard has what e->routes is now, and nothing older. */
void routes_published(struct routes_edit *e);
/* No shard reads any more. */
void routes_done(struct routes_edit *e);

/* addr in network order, 4 or 16 bytes. NULL: nobody. */
struct peer *routes_find4(const struct routes *r, const uint8_t addr[static 4]);
struct peer *routes_find6(const struct routes *r, const uint8_t addr[static 16]);

#endif
