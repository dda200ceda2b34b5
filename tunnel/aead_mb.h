/* SPDX-License-Identifier: Apache-2.0
 *
 * The batch engine on intel-ipsec-mb, where the library was there at build time and the CPU is x86
 * with AVX2. aead.c decides when it is used.
 */
#ifndef WARREN_TUNNEL_AEAD_MB_H
#define WARREN_TUNNEL_AEAD_MB_H

#include "tunnel/aead.h"

struct aead_mb;

/* -ENOTSUP: not built in, or not for this CPU. */
int aead_mb_new(struct aead_mb **ret_mb) WARREN_MUST_USE;
void aead_mb_free(struct aead_mb *mb);
/* Faster than one packet after the other in OpenSSL for packets of this length? */
bool aead_mb_pays(const struct aead_mb *mb, uint32_t len);
void aead_mb_run(struct aead_mb *mb, const uint8_t key[static AEAD_KEY_BYTES],
		 struct aead_job *jobs, size_t count, bool seal);

#endif
