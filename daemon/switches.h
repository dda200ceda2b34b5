/* SPDX-License-Identifier: Apache-2.0
 *
 * What only root may change, and what the broker remembers about the control server
 * (daemon/PROTOCOL.md sections 1 and 5): switches.json, pin.json and sequences.json in STATE/root.
 * Each file is replaced as a whole; one that does not read whole stops the start and stays as it
 * is.
 */
#ifndef WARREN_DAEMON_SWITCHES_H
#define WARREN_DAEMON_SWITCHES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/error.h"

#define SWITCHES_MAX_NETWORKS 64

struct switches {
	bool allow_server_ssh;
	bool enable_ssh_root;
	bool enable_ssh_sftp;
	bool enable_ssh_local_port_forwarding;
	bool enable_ssh_remote_port_forwarding;
	bool disable_ssh_auth;
	bool enable_ssh_authorized_keys;
	bool enable_ssh_jwt_password;
	uint32_t ssh_jwt_cache_ttl_s;
};

/* The control server that root chose. */
struct switches_control {
	char url[256]; /* "": none yet */
	bool has_fingerprint;
	uint8_t fingerprint[16];
};

/* The signing key that this machine believes, and who this machine is to it. */
struct switches_pin {
	bool set;
	bool left; /* not set, because main said so: the former one stays a bound for the next */
	bool held; /* the identity changed without root's word: SSH is not served */
	uint8_t signing_key[32];
	char network[32];
	char peer_id[32];
};

/* The highest sequence of an object of type "ssh" seen, per network: nothing older is believed. */
struct switches_sequences {
	size_t count;
	struct {
		char network[32];
		uint64_t seq;
	} entry[SWITCHES_MAX_NETWORKS];
};

struct switches_state {
	struct switches switches;
	struct switches_control control;
	struct switches_pin pin;
	struct switches_sequences sequences;
};

/* Reads the files of the folder dirfd, whose path is for messages only. Missing ones mean defaults.
 */
int switches_load(int dirfd, const char *path, struct switches_state *ret_state,
		  struct error *err) WARREN_MUST_USE;
int switches_save(int dirfd, const struct switches *s,
		  const struct switches_control *c) WARREN_MUST_USE;
/* A pin that is neither set nor left removes the file. */
int switches_save_pin(int dirfd, const struct switches_pin *pin) WARREN_MUST_USE;
int switches_save_sequences(int dirfd, const struct switches_sequences *s) WARREN_MUST_USE;

/* The object of "switches": all keys. New reference or NULL without memory. */
json_t *switches_json(const struct switches *s);
/* {"url":…,"fingerprint":…} or null when none was chosen. */
json_t *switches_control_json(const struct switches_control *c);
/* Applies an object with any of the keys; nothing changes when one is unknown or wrong. */
int switches_update(struct switches *s, const json_t *object, struct error *err) WARREN_MUST_USE;
/* "url" and "fingerprint" (text or null) of object: https, or http to this machine only. */
int switches_control_parse(const json_t *object, struct switches_control *ret_control,
			   struct error *err) WARREN_MUST_USE;

/* 0 when nothing was seen yet. */
uint64_t switches_seq(const struct switches_sequences *s, const char *network);
/* Raises the sequence of network; the table forgets nothing: -ENOSPC when it is full. */
int switches_set_seq(struct switches_sequences *s, const char *network,
		     uint64_t seq) WARREN_MUST_USE;

#endif
