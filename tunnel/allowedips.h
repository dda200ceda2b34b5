/* SPDX-License-Identifier: Apache-2.0
 *
 * Which peer owns an inner address: longest prefix match over all peers' allowed IPs (cryptokey
 * routing, WireGuard paper section 2). A prefix belongs to one peer at a time.
 */
#ifndef WARREN_TUNNEL_ALLOWEDIPS_H
#define WARREN_TUNNEL_ALLOWEDIPS_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/addr.h"

struct peer;
struct allowedips_node;

/* Inside a peer: the prefixes it owns. */
struct allowedips_list {
	struct allowedips_node *first;
	size_t count;
};

struct allowedips {
	struct allowedips_node *root4;
	struct allowedips_node *root6;
};

void allowedips_done(struct allowedips *a); /* peers' lists are not touched */
/* Gives the prefix to peer, taking it from another where it was there. -ENOMEM, -EINVAL. */
int allowedips_insert(struct allowedips *a, const struct ip_prefix *prefix, struct peer *peer,
		      struct allowedips_list *list) WARREN_MUST_USE;
/* Takes the prefix from the peer that has this list; false when it is not there. */
bool allowedips_remove(struct allowedips *a, const struct ip_prefix *prefix,
		       struct allowedips_list *list);
void allowedips_remove_all(struct allowedips *a, struct allowedips_list *list);
/* addr in network order, 4 or 16 bytes. NULL: nobody. */
struct peer *allowedips_find4(const struct allowedips *a, const uint8_t addr[static 4]);
struct peer *allowedips_find6(const struct allowedips *a, const uint8_t addr[static 16]);

/* Walks a list: *at is NULL at first; false at the end. */
bool allowedips_next(const struct allowedips_list *list, const struct allowedips_node **at,
		     struct ip_prefix *ret_prefix);

#endif
