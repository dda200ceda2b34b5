/* SPDX-License-Identifier: Apache-2.0
 *
 * What main keeps in its folder of the state directory: keys.json, network.json, map.json,
 * paths.json, logins.json. Files are replaced atomically, 0600. One that does not read whole is an error with a
 * sentence and is never overwritten by a load.
 */
#ifndef WARREN_DAEMON_STATE_FILE_H
#define WARREN_DAEMON_STATE_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/proto/map.h"
#include "platform/addr.h"
#include "platform/clock.h"
#include "platform/error.h"

/* Lives in secret_alloc memory. */
struct state_keys {
	uint8_t node_secret[32], node_public[32];
	uint8_t path_secret[32], path_public[32];
	uint8_t identity_secret[64], identity_public[32]; /* Ed25519 */
};

/* Reads keys.json; makes and writes it when it is missing. ret_keys: secret_free. */
int state_file_keys(int dirfd, const struct random_source *random, struct state_keys **ret_keys,
		    struct error *err) WARREN_MUST_USE;

struct state_network {
	bool enrolled;
	char control_url[256];
	uint8_t signing_key[32];
	char network[32], peer[32];
	char name[64], fqdn[256];
	struct ip_addr overlay4, overlay6;
	int64_t epoch;
	bool wanted_up;
	char hostname[64]; /* asked for by the user; "": the machine's */
	uint16_t mtu;	   /* 0: default */
};
/* A missing file is success: not enrolled. */
int state_file_network(int dirfd, struct state_network *ret_network,
		       struct error *err) WARREN_MUST_USE;
int state_file_save_network(int dirfd, const struct state_network *n,
			    struct error *err) WARREN_MUST_USE;

/* The map as saved, not yet verified. *ret_map NULL and *ret_signed NULL when there is none. The
 * caller frees both. */
int state_file_map(int dirfd, struct map **ret_map, char **ret_signed,
		   struct error *err) WARREN_MUST_USE;
int state_file_save_map(int dirfd, const struct map *map, const char *signed_text,
			struct error *err) WARREN_MUST_USE;

/* Another network's map is no use; a failure is none either: it is verified when it is read. */
void state_file_drop_map(int dirfd);

/* Last known good endpoints: object of peer id to text. Damage is not worth an error: NULL. */
json_t *state_file_paths(int dirfd);
int state_file_save_paths(int dirfd, const json_t *paths) WARREN_MUST_USE;

/* Who is logged in here: object of "of" (account number to identity) and "ended" (identity to true:
 * logouts that control has not heard of). No tokens. Damage is not worth an error: NULL. */
json_t *state_file_logins(int dirfd);
int state_file_save_logins(int dirfd, const json_t *logins) WARREN_MUST_USE;

/* After leaving the network: removes all of them. */
int state_file_forget(int dirfd, struct error *err) WARREN_MUST_USE;

#endif
