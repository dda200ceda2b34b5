/* SPDX-License-Identifier: Apache-2.0
 *
 * The two places where libssh is interposed, because it has no interface for them: who signs with
 * the host key, and what exactly a client signed. libssh calls EVP_DigestSign and EVP_DigestVerify
 * through the dynamic linker; the program's own definitions come first. While nothing is armed, and
 * for every key but the stand-in, both are OpenSSL's functions. Single-threaded; only the worker
 * arms them.
 */
#ifndef WARREN_SSH_LIBSSH_HOOKS_H
#define WARREN_SSH_LIBSSH_HOOKS_H

#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define LIBSSH_HOOKS_DATA_MAX 16384 /* a signed request with a certificate of an RSA key is 2 KiB  \
				     */
#define LIBSSH_HOOKS_SIGNATURE_MAX 1024

/* Signs hash[len] with the real host key into ret_signature[64]; 0 or a negative code. */
typedef int (*libssh_hooks_sign_fn)(void *ctx, const uint8_t *hash, size_t len,
				    uint8_t *ret_signature);

/* What a client presented: its signature as OpenSSL takes it (Ed25519: 64 bytes; ECDSA: DER; RSA:
 * raw) and the bytes that it covers. */
struct libssh_hooks_proof {
	size_t signature_len, data_len;
	uint8_t signature[LIBSSH_HOOKS_SIGNATURE_MAX];
	uint8_t data[LIBSSH_HOOKS_DATA_MAX];
};

/* From now on the stand-in (an Ed25519 key whose seed is 32 zero bytes) signs by sign(ctx, …). */
void libssh_hooks_arm_sign(libssh_hooks_sign_fn sign, void *ctx);
/* From now on every signature that is verified is noted and called good: the monitor, which is told
 * both, is the one who judges it. libssh would leave a client with a bad signature without an
 * answer. */
int libssh_hooks_arm_verify(void) WARREN_MUST_USE;
/* The noted proof whose signed data contains blob[len] (newest first); NULL when there is none. */
const struct libssh_hooks_proof *libssh_hooks_find(const uint8_t *blob, size_t len);
/* Forgets what was noted and verifies again as OpenSSL does. */
void libssh_hooks_disarm_verify(void);

#endif
