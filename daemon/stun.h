/* SPDX-License-Identifier: Apache-2.0
 *
 * STUN Binding requests and answers (RFC 8489) as the path machine needs them: made and read, no
 * I/O.
 */
#ifndef WARREN_DAEMON_STUN_H
#define WARREN_DAEMON_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/error.h"

#define STUN_TXID_BYTES 12
/* As long as the longest answer we want, so that no server needs to amplify. */
#define STUN_REQUEST_BYTES 44

/* Top two bits zero and the magic cookie (section 5): may be STUN. */
bool stun_looks_like(const uint8_t *data, size_t len);
void stun_request(const uint8_t txid[STUN_TXID_BYTES], uint8_t out[static STUN_REQUEST_BYTES]);
/* A Binding success response: its transaction id and XOR-MAPPED-ADDRESS. -EBADMSG for anything else
 * (errors, unknown comprehension-required attributes, trailing bytes). */
int stun_response(const uint8_t *data, size_t len, uint8_t ret_txid[STUN_TXID_BYTES],
		  struct endpoint *ret_mapped) WARREN_MUST_USE;

#endif
