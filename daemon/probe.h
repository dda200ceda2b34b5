/* SPDX-License-Identifier: Apache-2.0
 *
 * Path probes and signals between two peers (daemon/PATHS.md; control/PROTOCOL.md section 9): made,
 * encrypted, read and checked. No I/O, no clock.
 */
#ifndef WARREN_DAEMON_PROBE_H
#define WARREN_DAEMON_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/error.h"

#define PROBE_KEY_BYTES	   32
#define PROBE_TXID_BYTES   12
#define PROBE_NONCE_BYTES  24
#define PROBE_HEADER_BYTES 12
#define PROBE_BODY_BYTES   36 /* of a ping without padding, and of every pong */
#define PROBE_BYTES	   (PROBE_HEADER_BYTES + PROBE_NONCE_BYTES + 16 + PROBE_BODY_BYTES)
#define PROBE_MAX_BYTES	   1452

enum probe_type { PROBE_PING = 1, PROBE_PONG = 2 };

struct probe {
	enum probe_type type;
	uint8_t txid[PROBE_TXID_BYTES];
	struct endpoint seen; /* pong: where the ping came from */
};

/* First 8 bytes of BLAKE2b-256 of a path public key: names the sender in the header. */
uint64_t probe_key_id(const uint8_t path_key[PROBE_KEY_BYTES]);
/* Key shared by two path keys (crypto_box_beforenm). -EINVAL for a key of small order. */
int probe_shared(const uint8_t their_public[PROBE_KEY_BYTES],
		 const uint8_t our_secret[PROBE_KEY_BYTES],
		 uint8_t ret_shared[PROBE_KEY_BYTES]) WARREN_MUST_USE;

bool probe_looks_like(const uint8_t *data, size_t len);
/* Who sent it, from the header; unproven until probe_open. */
uint64_t probe_sender(const uint8_t *data);
/* Makes a probe in out[PROBE_BYTES]. */
void probe_seal(const struct probe *p, uint64_t our_key_id, const uint8_t shared[PROBE_KEY_BYTES],
		const uint8_t nonce[PROBE_NONCE_BYTES], uint8_t out[static PROBE_BYTES]);
/* Decrypts and reads: 0 or -EBADMSG. */
int probe_open(const uint8_t *data, size_t len, const uint8_t shared[PROBE_KEY_BYTES],
	       struct probe *ret_probe) WARREN_MUST_USE;

enum probe_candidate_type {
	PROBE_CANDIDATE_INTERFACE = 1,
	PROBE_CANDIDATE_REFLEXIVE = 2,
	PROBE_CANDIDATE_MAPPED = 3,
	PROBE_CANDIDATE_LAST_GOOD = 4,
	PROBE_CANDIDATE_SEEN = 5, /* never on the wire: a source address that a ping came from */
};
struct probe_candidate {
	uint8_t type;
	struct endpoint endpoint;
};

#define PROBE_SIGNAL_MAX_CANDIDATES 24
#define PROBE_SIGNAL_MAX_BYTES	    (PROBE_NONCE_BYTES + 16 + 11 + PROBE_SIGNAL_MAX_CANDIDATES * 20)
struct probe_signal {
	uint64_t sequence;
	size_t count;
	struct probe_candidate candidates[PROBE_SIGNAL_MAX_CANDIDATES];
};
/* The box of POST /v1/signal into out[PROBE_SIGNAL_MAX_BYTES]; returns its length. */
size_t probe_signal_seal(const struct probe_signal *s, const uint8_t shared[PROBE_KEY_BYTES],
			 const uint8_t nonce[PROBE_NONCE_BYTES],
			 uint8_t out[static PROBE_SIGNAL_MAX_BYTES]);
int probe_signal_open(const uint8_t *data, size_t len, const uint8_t shared[PROBE_KEY_BYTES],
		      struct probe_signal *ret_signal) WARREN_MUST_USE;

#endif
