/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects signed by the control server's signing key (Ed25519): one line of text
 *
 *     wso1.TYPE.BASE64URL(payload).BASE64URL(signature[64])
 *
 * The signature covers every byte before the last dot, so type and payload are bound together.
 * The payload is a JSON object that is looked at only after the signature held. control/PROTOCOL.md
 * lists the types and their keys.
 */
#ifndef WARREN_IDENTITY_SIGNED_H
#define WARREN_IDENTITY_SIGNED_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define SIGNED_KEY_BYTES	 32
#define SIGNED_MAX_BYTES	 (8u << 20)
#define SIGNED_FINGERPRINT_BYTES 16

/* Makes the text; sign is called with the bytes to sign (the signer child does it). The caller
 * frees. */
int signed_make(const char *type, const json_t *payload,
		int (*sign)(void *ctx, const void *data, size_t len, uint8_t ret_sig[64]),
		void *ctx, char **ret_text) WARREN_MUST_USE;
/* Verifies signature and type, then parses: the payload (caller decrefs), or NULL with -EBADMSG
 * (bad signature or form) / -EPROTOTYPE (another type) in err->code. When the payload has
 * valid_until, and now_s is > 0, an object that ended more than skew_s ago is -ETIME. */
json_t *signed_open(const char *text, size_t len, const char *type, const uint8_t key[32],
		    int64_t now_s, int64_t skew_s, struct error *err);
/* First 16 bytes of SHA-256 of the public key: what setup keys and `--control URL#…` carry
 * (base64url). */
void signed_fingerprint(const uint8_t key[32], uint8_t ret_fingerprint[16]);

#endif
