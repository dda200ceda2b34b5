/* SPDX-License-Identifier: Apache-2.0
 *
 * BLAKE2s (RFC 7693), and on it Hash, Mac, Hmac (RFC 2104) and Kdf of the WireGuard paper section
 * 5.4. Our own, since a handshake is some eighty blocks of it in small pieces: OpenSSL's interface
 * takes as long as a block for each message, and cannot keep the state behind an HMAC's key.
 */
#include "tunnel/blake2s.h"

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "platform/secret.h"

#define BLOCK_BYTES   64
#define KEY_BYTES_MAX 32

struct state {
	uint32_t h[8];
	uint64_t compressed; /* bytes */
	uint8_t block[BLOCK_BYTES];
	size_t used; /* of block; the last block is only compressed when it is known to be the last
		      */
};

/* RFC 7693 section 2.6 */
static const uint32_t iv[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* RFC 7693 section 2.7 */
static const uint8_t sigma[10][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

/* RFC 7693 section 3.1; x, y: words of the message */
#define MIX(a, b, c, d, x, y)                                                                      \
	do {                                                                                       \
		v[a] += v[b] + (x);                                                                \
		v[d] = ROTATE(v[d] ^ v[a], 16);                                                    \
		v[c] += v[d];                                                                      \
		v[b] = ROTATE(v[b] ^ v[c], 12);                                                    \
		v[a] += v[b] + (y);                                                                \
		v[d] = ROTATE(v[d] ^ v[a], 8);                                                     \
		v[c] += v[d];                                                                      \
		v[b] = ROTATE(v[b] ^ v[c], 7);                                                     \
	} while (0)

/* r is a constant, so that every word of the message is one load. */
#define ROUND(r)                                                                                   \
	do {                                                                                       \
		MIX(0, 4, 8, 12, m[sigma[r][0]], m[sigma[r][1]]);                                  \
		MIX(1, 5, 9, 13, m[sigma[r][2]], m[sigma[r][3]]);                                  \
		MIX(2, 6, 10, 14, m[sigma[r][4]], m[sigma[r][5]]);                                 \
		MIX(3, 7, 11, 15, m[sigma[r][6]], m[sigma[r][7]]);                                 \
		MIX(0, 5, 10, 15, m[sigma[r][8]], m[sigma[r][9]]);                                 \
		MIX(1, 6, 11, 12, m[sigma[r][10]], m[sigma[r][11]]);                               \
		MIX(2, 7, 8, 13, m[sigma[r][12]], m[sigma[r][13]]);                                \
		MIX(3, 4, 9, 14, m[sigma[r][14]], m[sigma[r][15]]);                                \
	} while (0)

/* RFC 7693 section 3.2, of s->block; bytes: of it that are message */
static void compress(struct state *s, size_t bytes, bool last)
{
	uint32_t m[16], v[16];

	s->compressed += bytes;
	memcpy(m, s->block, sizeof(m));
	for (size_t i = 0; i < 16; i++)
		m[i] = le32toh(m[i]);
	memcpy(v, s->h, sizeof(s->h));
	memcpy(v + 8, iv, sizeof(iv));
	v[12] ^= (uint32_t)s->compressed;
	v[13] ^= (uint32_t)(s->compressed >> 32);
	if (last)
		v[14] = ~v[14];
	ROUND(0);
	ROUND(1);
	ROUND(2);
	ROUND(3);
	ROUND(4);
	ROUND(5);
	ROUND(6);
	ROUND(7);
	ROUND(8);
	ROUND(9);
	for (size_t i = 0; i < 8; i++)
		s->h[i] ^= v[i] ^ v[i + 8];
}

static void begin(struct state *s, size_t out_len, size_t key_len)
{
	memcpy(s->h, iv, sizeof(iv));
	s->h[0] ^= 0x01010000u ^ (uint32_t)key_len << 8 ^ (uint32_t)out_len;
	s->compressed = 0;
	s->used = 0;
}

static void add(struct state *s, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		size_t n;

		if (s->used == BLOCK_BYTES) {
			compress(s, BLOCK_BYTES, false);
			s->used = 0;
		}
		n = BLOCK_BYTES - s->used < len ? BLOCK_BYTES - s->used : len;
		memcpy(s->block + s->used, p, n);
		s->used += n;
		p += n;
		len -= n;
	}
}

/* Takes the state with it. */
static void finish(struct state *s, uint8_t *out, size_t out_len)
{
	memset(s->block + s->used, 0, BLOCK_BYTES - s->used);
	compress(s, s->used, true);
	for (size_t i = 0; i < 8; i++)
		s->h[i] = htole32(s->h[i]);
	memcpy(out, s->h, out_len);
	secret_wipe(s, sizeof(*s));
}

void blake2s_hash(uint8_t out[static BLAKE2S_BYTES], const void *a, size_t a_len, const void *c,
		  size_t c_len)
{
	struct state s;

	begin(&s, BLAKE2S_BYTES, 0);
	add(&s, a, a_len);
	add(&s, c, c_len);
	finish(&s, out, BLAKE2S_BYTES);
}

void blake2s_mac(uint8_t out[static BLAKE2S_MAC_BYTES], const void *key, size_t key_len,
		 const void *data, size_t len)
{
	static const uint8_t zero[BLOCK_BYTES];
	struct state s;

	assert(key_len > 0 && key_len <= KEY_BYTES_MAX);
	begin(&s, BLAKE2S_MAC_BYTES, key_len);
	add(&s, key, key_len);
	add(&s, zero, BLOCK_BYTES - key_len);
	add(&s, data, len);
	finish(&s, out, BLAKE2S_MAC_BYTES);
}

/* ---- HMAC: the states behind the padded key ---- */

struct hmac {
	struct state inner, outer;
};

static void pad_key(struct state *s, const uint8_t key[static BLAKE2S_BYTES], uint8_t with)
{
	begin(s, BLAKE2S_BYTES, 0);
	memset(s->block, with, BLOCK_BYTES);
	for (size_t i = 0; i < BLAKE2S_BYTES; i++)
		s->block[i] ^= key[i];
	s->used = BLOCK_BYTES;
}

static void hmac_key(struct hmac *k, const uint8_t key[static BLAKE2S_BYTES])
{
	pad_key(&k->inner, key, 0x36);
	pad_key(&k->outer, key, 0x5c);
	/* A message always follows it; for the inner one see hmac_more_than_nothing. */
	compress(&k->outer, BLOCK_BYTES, false);
	k->outer.used = 0;
}

/* No message of this key will be empty: its first block is computed once. */
static void hmac_more_than_nothing(struct hmac *k)
{
	compress(&k->inner, BLOCK_BYTES, false);
	k->inner.used = 0;
}

static void hmac(const struct hmac *k, uint8_t out[static BLAKE2S_BYTES], const void *data,
		 size_t len)
{
	struct state s = k->inner;

	add(&s, data, len);
	finish(&s, out, BLAKE2S_BYTES);
	s = k->outer;
	add(&s, out, BLAKE2S_BYTES);
	finish(&s, out, BLAKE2S_BYTES);
}

void blake2s_kdf(uint8_t out1[static BLAKE2S_BYTES], uint8_t *out2, uint8_t *out3,
		 const uint8_t key[static BLAKE2S_BYTES], const void *input, size_t len)
{
	uint8_t *const outs[] = {out1, out2, out2 ? out3 : NULL};
	uint8_t t[BLAKE2S_BYTES + 1]; /* T(i - 1) || i */
	struct hmac k;

	hmac_key(&k, key);
	hmac(&k, t, input, len); /* tau_0 */
	hmac_key(&k, t);
	hmac_more_than_nothing(&k);
	for (uint8_t i = 0; i < 3 && outs[i]; i++) {
		t[BLAKE2S_BYTES] = (uint8_t)(i + 1);
		if (i == 0)
			hmac(&k, t, t + BLAKE2S_BYTES, 1);
		else
			hmac(&k, t, t, sizeof(t));
		memcpy(outs[i], t, BLAKE2S_BYTES);
	}
	secret_wipe(t, sizeof(t));
	secret_wipe(&k, sizeof(k));
}
