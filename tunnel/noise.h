/* SPDX-License-Identifier: Apache-2.0
 *
 * The handshake Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s of the WireGuard paper sections 5.4.1
 * to 5.4.5. Pure state: no tables, no I/O; mac1 and mac2 belong to cookie.h.
 */
#ifndef WARREN_TUNNEL_NOISE_H
#define WARREN_TUNNEL_NOISE_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/clock.h"
#include "platform/error.h"
#include "tunnel/blake2s.h"
#include "tunnel/wire.h"

#define NOISE_KEY_BYTES 32

struct noise_identity {
	bool set;
	uint8_t private_key[NOISE_KEY_BYTES]; /* clamped */
	uint8_t public_key[NOISE_KEY_BYTES];
};

enum noise_state {
	NOISE_ZEROED,
	NOISE_INITIATION_CREATED,
	NOISE_INITIATION_CONSUMED,
	NOISE_RESPONSE_CREATED,
	NOISE_RESPONSE_CONSUMED,
};

/* Tools that all handshakes of a device share. */
struct noise {
	const struct random_source *random;
	uint8_t initial_chain[BLAKE2S_BYTES]; /* Hash(CONSTRUCTION) */
	uint8_t initial_hash[BLAKE2S_BYTES];  /* Hash(initial_chain || IDENTIFIER) */
};

struct noise_handshake {
	enum noise_state state;
	uint32_t local_index;
	uint32_t remote_index;
	uint8_t remote_static[NOISE_KEY_BYTES];
	uint8_t preshared[NOISE_KEY_BYTES];
	uint8_t static_static[NOISE_KEY_BYTES]; /* DH(ours, theirs); all zero: impossible key */
	uint8_t ephemeral_private[NOISE_KEY_BYTES];
	uint8_t remote_ephemeral[NOISE_KEY_BYTES];
	uint8_t hash[BLAKE2S_BYTES];
	uint8_t chain[BLAKE2S_BYTES];
	uint8_t latest_timestamp[WIRE_TIMESTAMP_BYTES]; /* TAI64N of the newest initiation consumed
							 */
	uint64_t last_initiation_ns;			/* monotonic; 0: none */
};

/* What noise_read_initiation learned, before a peer is known. */
struct noise_initiation {
	uint8_t remote_static[NOISE_KEY_BYTES];
	uint8_t hash[BLAKE2S_BYTES];
	uint8_t chain[BLAKE2S_BYTES];
};

struct noise_keys {
	uint8_t send[NOISE_KEY_BYTES];
	uint8_t receive[NOISE_KEY_BYTES];
	bool initiator;
};

enum noise_result {
	NOISE_OK = 0,
	NOISE_BAD,    /* does not authenticate, or no such state */
	NOISE_REPLAY, /* timestamp not newer */
	NOISE_FLOOD,  /* more than 50 initiations a second from this peer */
};

void noise_init(struct noise *n, const struct random_source *random);
/* Clamps and derives the public key; an all-zero private key clears the identity. */
void noise_identity_set(struct noise_identity *id,
			const uint8_t private_key[static NOISE_KEY_BYTES]);
void noise_identity_wipe(struct noise_identity *id);

void noise_handshake_init(struct noise_handshake *hs, const struct noise_identity *id,
			  const uint8_t remote_static[static NOISE_KEY_BYTES]);
/* After a change of the identity: new DH(static, static), state cleared. */
void noise_handshake_rekey_static(struct noise_handshake *hs, const struct noise_identity *id);
/* Forgets everything but the long-lived keys and the replay timestamp. */
void noise_handshake_clear(struct noise_handshake *hs);

/* Fills msg up to its macs. timestamp: TAI64N. False when the keys cannot be used. */
bool noise_create_initiation(const struct noise *n, const struct noise_identity *id,
			     struct noise_handshake *hs,
			     const uint8_t timestamp[static WIRE_TIMESTAMP_BYTES],
			     uint32_t local_index, struct wire_initiation *msg) WARREN_MUST_USE;
/* Who is it from? Nothing is stored. */
enum noise_result noise_read_initiation(const struct noise *n, const struct noise_identity *id,
					const struct wire_initiation *msg,
					struct noise_initiation *ret) WARREN_MUST_USE;
/* Authenticates what noise_read_initiation read and commits to hs. */
enum noise_result noise_consume_initiation(struct noise_handshake *hs,
					   const struct wire_initiation *msg,
					   const struct noise_initiation *read,
					   uint64_t now_ns) WARREN_MUST_USE;
bool noise_create_response(const struct noise *n, struct noise_handshake *hs, uint32_t local_index,
			   struct wire_response *msg) WARREN_MUST_USE;
enum noise_result noise_consume_response(const struct noise_identity *id,
					 struct noise_handshake *hs,
					 const struct wire_response *msg) WARREN_MUST_USE;
/* Derives the transport keys (5.4.5) and clears the handshake. The caller wipes ret_keys. */
bool noise_begin_session(struct noise_handshake *hs, struct noise_keys *ret_keys) WARREN_MUST_USE;

#endif
