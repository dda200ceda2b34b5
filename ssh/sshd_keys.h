/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of public keys that sshd_config(5) names: TrustedUserCAKeys, RevokedKeys. One key a line, as
 * in *.pub files; '#' begins a comment.
 */
#ifndef WARREN_SSH_SSHD_KEYS_H
#define WARREN_SSH_SSHD_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

/* Ed25519 keys of the file: -EINVAL with the line for any other kind, -E2BIG for more than max. */
int sshd_keys_read(const char *path, uint8_t (*out)[32], size_t max, size_t *ret_count,
		   struct error *err) WARREN_MUST_USE;
/* RevokedKeys, for verifier_revoked: a regular file. */
int sshd_keys_open_revoked(const char *path, int *ret_fd) WARREN_MUST_USE;
/* Can it be used (revoked.h)? A process without rights reads it. */
int sshd_keys_check(const char *path, struct error *err) WARREN_MUST_USE;

#endif
