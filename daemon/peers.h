/* SPDX-License-Identifier: Apache-2.0
 *
 * The map as main uses it: ourselves, the other peers, look-ups by what people write, the world of
 * the policy library, and the UAPI text that makes the engine agree with it. Pure.
 */
#ifndef WARREN_DAEMON_PEERS_H
#define WARREN_DAEMON_PEERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/proto/map.h"
#include "platform/addr.h"
#include "platform/buffer.h"
#include "platform/error.h"
#include "policy/policy.h"

#define PEERS_MAX_HOST_KEYS 8

struct peer {
	char id[32], name[64], fqdn[256];
	struct ip_addr overlay4, overlay6;
	uint8_t node_key[32], path_key[32];
	bool ssh_enabled, ssh_advertised;
	uint16_t ssh_port;
	json_t *value; /* the component (a reference): identities, setup_key, host_keys */
};

struct peers {
	struct peer self; /* no keys in here */
	char domain[128];
	struct ip_prefix prefix4, prefix6;
	struct peer *list;
	size_t count;
};

/* Reads `self` and every `peer:` of the map, strictly: -EBADMSG with a sentence. */
int peers_read(const struct map *map, struct peers **ret_peers, struct error *err) WARREN_MUST_USE;
void peers_free(struct peers *p);

const struct peer *peers_by_id(const struct peers *p, const char *id);
const struct peer *peers_by_node_key(const struct peers *p, const uint8_t key[32]);
/* What a person writes: name, name.domain, id or overlay address. *ret_self: it is this machine. */
const struct peer *peers_by_host(const struct peers *p, const char *host, bool *ret_self);

/* The policy of the map and the world it is judged in. An absent policy is an empty one; so is that
 * of deny_all. */
int peers_world(const struct peers *p, const struct map *map, bool deny_all,
		struct policy_world **ret_world, struct policy **ret_policy,
		struct error *err) WARREN_MUST_USE;

/* What the engine has (from `get=1`). */
struct peers_engine_peer {
	uint8_t key[32];
	struct endpoint endpoint; /* unset: none */
	int64_t handshake_s;	  /* wall clock of the last handshake, 0: none */
	uint64_t rx_bytes, tx_bytes;
	uint64_t allowed_hash; /* order-independent hash of the allowed IPs */
};
struct peers_engine {
	bool has_key;
	uint8_t private_key[32];
	uint16_t listen_port;
	struct peers_engine_peer *list;
	size_t count;
};
/* Parses a whole reply of `get=1`. */
int peers_engine_parse(const char *text, size_t len,
		       struct peers_engine *ret_engine) WARREN_MUST_USE;
void peers_engine_done(struct peers_engine *e);
const struct peers_engine_peer *peers_engine_find(const struct peers_engine *e,
						  const uint8_t key[32]);
/* Appends a `set=1` request (without its final empty line) that turns the engine into the map: only
 * what differs. *ret_changes: number of peers touched. */
int peers_engine_diff(const struct peers *p, const struct peers_engine *e,
		      const uint8_t private_key[32], struct buffer *out,
		      size_t *ret_changes) WARREN_MUST_USE;

#endif
