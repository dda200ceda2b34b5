/* SPDX-License-Identifier: Apache-2.0
 *
 * mac1, mac2 and cookies (WireGuard paper sections 5.3, 5.4.4 and 5.4.7): the checker of the side
 * that is asked, the maker of the side that asks.
 */
#ifndef WARREN_TUNNEL_COOKIE_H
#define WARREN_TUNNEL_COOKIE_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/addr.h"
#include "tunnel/noise.h"

enum cookie_verdict {
	COOKIE_BAD_MAC,	  /* mac1 is wrong: drop */
	COOKIE_MAC1_ONLY, /* may be answered when not under load */
	COOKIE_MAC2,	  /* the source address is proven */
};

struct cookie_checker {
	uint8_t mac1_key[32];
	uint8_t cookie_key[32];
	uint8_t secret[32];
	uint64_t secret_ns; /* birth; 0: none yet */
};

/* Per peer: what we need to write macs into messages for it. */
struct cookie_maker {
	uint8_t mac1_key[32];
	uint8_t cookie_key[32];
	uint8_t cookie[WIRE_COOKIE_BYTES];
	uint64_t cookie_ns; /* 0: none */
	uint8_t last_mac1[WIRE_MAC_BYTES];
	bool have_last_mac1;
};

void cookie_checker_set(struct cookie_checker *c, const uint8_t public_key[static NOISE_KEY_BYTES]);
void cookie_maker_set(struct cookie_maker *m, const uint8_t public_key[static NOISE_KEY_BYTES]);

/* msg[len] ends with mac1 and mac2. check_mac2: also look at mac2. */
enum cookie_verdict cookie_check(struct cookie_checker *c, const struct noise *n, const void *msg,
				 size_t len, const struct endpoint *from, bool check_mac2,
				 uint64_t now_ns) WARREN_MUST_USE;
/* The cookie reply to a message msg[len] whose sender index is receiver. */
void cookie_reply(struct cookie_checker *c, const struct noise *n, const void *msg, size_t len,
		  uint32_t receiver, const struct endpoint *from, uint64_t now_ns,
		  struct wire_cookie *reply);
/* Writes mac1 and mac2 into the end of msg[len]. */
void cookie_add_macs(struct cookie_maker *m, void *msg, size_t len, uint64_t now_ns);
/* Takes the cookie out of a reply to the last message; false when it does not authenticate. */
bool cookie_consume(struct cookie_maker *m, const struct wire_cookie *reply,
		    uint64_t now_ns) WARREN_MUST_USE;

#endif
