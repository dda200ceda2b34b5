/* SPDX-License-Identifier: Apache-2.0
 *
 * The four WireGuard messages (WireGuard paper section 5.4). All integers little-endian.
 */
#ifndef WARREN_TUNNEL_WIRE_H
#define WARREN_TUNNEL_WIRE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type {
	WIRE_INITIATION = 1,
	WIRE_RESPONSE = 2,
	WIRE_COOKIE = 3,
	WIRE_DATA = 4,
};

#define WIRE_TAG_BYTES	     16
#define WIRE_MAC_BYTES	     16
#define WIRE_TIMESTAMP_BYTES 12
#define WIRE_COOKIE_BYTES    16

struct wire_initiation { /* 5.4.2 */
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t ephemeral[32];
	uint8_t encrypted_static[32 + WIRE_TAG_BYTES];
	uint8_t encrypted_timestamp[WIRE_TIMESTAMP_BYTES + WIRE_TAG_BYTES];
	uint8_t mac1[WIRE_MAC_BYTES];
	uint8_t mac2[WIRE_MAC_BYTES];
};
static_assert(sizeof(struct wire_initiation) == 148, "initiation layout");
static_assert(offsetof(struct wire_initiation, mac1) == 116, "initiation layout");

struct wire_response { /* 5.4.3 */
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t receiver[4];
	uint8_t ephemeral[32];
	uint8_t encrypted_nothing[WIRE_TAG_BYTES];
	uint8_t mac1[WIRE_MAC_BYTES];
	uint8_t mac2[WIRE_MAC_BYTES];
};
static_assert(sizeof(struct wire_response) == 92, "response layout");
static_assert(offsetof(struct wire_response, mac1) == 60, "response layout");

struct wire_cookie { /* 5.4.7 */
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t nonce[24];
	uint8_t encrypted_cookie[WIRE_COOKIE_BYTES + WIRE_TAG_BYTES];
};
static_assert(sizeof(struct wire_cookie) == 64, "cookie layout");

struct wire_data { /* 5.4.6; the encrypted packet and its tag follow */
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t counter[8];
};
static_assert(sizeof(struct wire_data) == 16, "data layout");

#define WIRE_DATA_OVERHEAD (sizeof(struct wire_data) + WIRE_TAG_BYTES)

#endif
