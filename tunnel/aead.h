/* SPDX-License-Identifier: Apache-2.0
 *
 * ChaCha20-Poly1305 (RFC 8439) for the packet path, one key per struct aead, in
 * batches; and one-shot forms for handshakes. Nonces are WireGuard's: four zero bytes, counter
 * little-endian. An engine is the implementation that a device chose for its CPU; all give the same
 * bytes.
 */
#ifndef WARREN_TUNNEL_AEAD_H
#define WARREN_TUNNEL_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define AEAD_KEY_BYTES 32
#define AEAD_TAG_BYTES 16
#define AEAD_BATCH     64

struct aead_engine;

struct aead {
	void *evp; /* EVP_CIPHER_CTX, wiped by aead_done */
	uint8_t key[AEAD_KEY_BYTES];
};

/* One packet of a batch, worked on in place. */
struct aead_job {
	uint8_t *data;
	uint32_t len; /* seal: plaintext at data[len + AEAD_TAG_BYTES]; open: with the tag */
	bool ok;      /* open: it authenticates. What does not is garbage afterwards. */
	uint64_t counter;
};

/* name: "evp" or "ipsec-mb"; NULL: the best for this CPU. -ENOTSUP: not here. One thread. */
int aead_engine_new(const char *name, struct aead_engine **ret_engine) WARREN_MUST_USE;
void aead_engine_free(struct aead_engine *e);
const char *aead_engine_name(const struct aead_engine *e);

int aead_init(struct aead *a, const uint8_t key[static AEAD_KEY_BYTES]) WARREN_MUST_USE;
void aead_done(struct aead *a);
/* At most AEAD_BATCH jobs under one key. Sealing cannot fail for any input; opening wants
 * len >= AEAD_TAG_BYTES. */
void aead_seal_many(struct aead_engine *e, struct aead *a, struct aead_job *jobs, size_t count);
void aead_open_many(struct aead_engine *e, struct aead *a, struct aead_job *jobs, size_t count);

/* One message under a key that is used once: counter 0, associated data ad. */
void aead_seal_once(uint8_t *out, const uint8_t key[static AEAD_KEY_BYTES], const void *plain,
		    size_t len, const void *ad, size_t ad_len);
bool aead_open_once(uint8_t *out, const uint8_t key[static AEAD_KEY_BYTES], const void *sealed,
		    size_t len, const void *ad, size_t ad_len) WARREN_MUST_USE;

#endif
