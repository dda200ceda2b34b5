/* SPDX-License-Identifier: Apache-2.0
 *
 * STUN Binding (RFC 8489) without authentication: tells a peer the address it is seen at.
 */
#ifndef WARREN_CONTROL_STUN_H
#define WARREN_CONTROL_STUN_H

#include <stdint.h>
#include <uv.h>

#include "platform/addr.h"
#include "platform/error.h"

#define STUN_MAX_ANSWER 44

/* The answer to one datagram, its length, or 0: drop it. */
size_t stun_answer(const uint8_t *request, size_t len, const struct endpoint *source,
		   uint8_t out[static STUN_MAX_ANSWER]);

struct stun;
int stun_new(uv_loop_t *loop, const char *listen, struct stun **ret_stun,
	     struct error *err) WARREN_MUST_USE;
void stun_stop(struct stun *s); /* frees when the loop has closed it */

#endif
