/* SPDX-License-Identifier: Apache-2.0
 *
 * Codec of path probes (daemon/PATHS.md sections 1 and 2) and of signals (control/PROTOCOL.md
 * section 9). Both are crypto_box between two path keys, so reading one proves who made it and that
 * it was made for us. Refuses other versions and types, wrong lengths, padding that is not zero.
 */
#include "daemon/probe.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "platform/buffer.h"

static const uint8_t magic[4] = {'w', 'r', 'n', 1};

static_assert(PROBE_KEY_BYTES == crypto_box_BEFORENMBYTES, "shared key");
static_assert(PROBE_NONCE_BYTES == crypto_box_NONCEBYTES, "nonce");
static_assert(crypto_box_MACBYTES == 16, "tag");

uint64_t probe_key_id(const uint8_t path_key[PROBE_KEY_BYTES])
{
	uint8_t hash[32];
	struct reader r;

	crypto_generichash(hash, sizeof(hash), path_key, PROBE_KEY_BYTES, NULL, 0);
	r = reader_init(hash, 8);
	return reader_u64(&r);
}

int probe_shared(const uint8_t their_public[PROBE_KEY_BYTES],
		 const uint8_t our_secret[PROBE_KEY_BYTES], uint8_t ret_shared[PROBE_KEY_BYTES])
{
	return crypto_box_beforenm(ret_shared, their_public, our_secret) == 0 ? 0 : -EINVAL;
}

bool probe_looks_like(const uint8_t *data, size_t len)
{
	return len >= PROBE_BYTES && len <= PROBE_MAX_BYTES &&
	       memcmp(data, magic, sizeof(magic)) == 0;
}

uint64_t probe_sender(const uint8_t *data)
{
	struct reader r = reader_init(data + sizeof(magic), 8);

	return reader_u64(&r);
}

/* 19 bytes: family 0, 4 or 6, address[16] (IPv4 in the first four), port. */
static void put_seen(struct writer *w, const struct endpoint *ep)
{
	struct ip_addr addr = {0};

	if (endpoint_is_set(ep))
		endpoint_ip(ep, &addr);
	writer_u8(w, addr.family);
	writer_bytes(w, addr.bytes, 16);
	writer_u16(w, addr.family == 0 ? 0 : endpoint_port(ep));
}

static void get_seen(struct reader *r, struct endpoint *ret_endpoint)
{
	struct ip_addr addr = {.family = reader_u8(r)};
	uint16_t port;

	reader_bytes(r, addr.bytes, 16);
	port = reader_u16(r);
	memset(ret_endpoint, 0, sizeof(*ret_endpoint));
	if (addr.family == 4 || addr.family == 6)
		endpoint_from_ip(&addr, port, ret_endpoint);
	else if (addr.family != 0)
		r->failed = true;
}

void probe_seal(const struct probe *p, uint64_t our_key_id, const uint8_t shared[PROBE_KEY_BYTES],
		const uint8_t nonce[PROBE_NONCE_BYTES], uint8_t out[static PROBE_BYTES])
{
	uint8_t body[PROBE_BODY_BYTES] = {0};
	struct writer inner = writer_init(body, sizeof(body));
	struct writer w = writer_init(out, PROBE_BYTES);

	writer_u8(&inner, 1);
	writer_u8(&inner, (uint8_t)p->type);
	writer_bytes(&inner, p->txid, sizeof(p->txid));
	put_seen(&inner, &p->seen);
	writer_bytes(&w, magic, sizeof(magic));
	writer_u64(&w, our_key_id);
	writer_bytes(&w, nonce, PROBE_NONCE_BYTES);
	/* Fails only for messages longer than 2^38 bytes. */
	(void)crypto_box_easy_afternm(out + w.len, body, sizeof(body), nonce, shared);
}

int probe_open(const uint8_t *data, size_t len, const uint8_t shared[PROBE_KEY_BYTES],
	       struct probe *ret_probe)
{
	uint8_t body[PROBE_MAX_BYTES];
	const uint8_t *nonce = data + PROBE_HEADER_BYTES;
	struct probe p = {0};
	uint8_t version, type;
	size_t body_len;
	struct reader r;

	if (!probe_looks_like(data, len))
		return -EBADMSG;
	body_len = len - (PROBE_BYTES - PROBE_BODY_BYTES);
	if (crypto_box_open_easy_afternm(body, nonce + PROBE_NONCE_BYTES, body_len + 16, nonce,
					 shared) != 0)
		return -EBADMSG;
	r = reader_init(body, body_len);
	version = reader_u8(&r);
	type = reader_u8(&r);
	reader_bytes(&r, p.txid, sizeof(p.txid));
	get_seen(&r, &p.seen);
	if (r.failed || version != 1 || (type != PROBE_PING && type != PROBE_PONG))
		return -EBADMSG;
	if (type == PROBE_PONG && (body_len != PROBE_BODY_BYTES || !endpoint_is_set(&p.seen)))
		return -EBADMSG;
	while (reader_left(&r) > 0)
		if (reader_u8(&r) != 0)
			return -EBADMSG;
	p.type = (enum probe_type)type;
	*ret_probe = p;
	return 0;
}

size_t probe_signal_seal(const struct probe_signal *s, const uint8_t shared[PROBE_KEY_BYTES],
			 const uint8_t nonce[PROBE_NONCE_BYTES],
			 uint8_t out[static PROBE_SIGNAL_MAX_BYTES])
{
	uint8_t body[PROBE_SIGNAL_MAX_BYTES];
	struct writer w = writer_init(body, sizeof(body));
	size_t count = s->count;

	if (count > PROBE_SIGNAL_MAX_CANDIDATES)
		count = PROBE_SIGNAL_MAX_CANDIDATES;
	writer_u8(&w, 1);
	writer_u64(&w, s->sequence);
	writer_u8(&w, 1); /* call me maybe */
	writer_u8(&w, (uint8_t)count);
	for (size_t i = 0; i < count; i++) {
		struct ip_addr addr;

		endpoint_ip(&s->candidates[i].endpoint, &addr);
		writer_u8(&w, s->candidates[i].type);
		writer_u8(&w, addr.family);
		writer_bytes(&w, addr.bytes, addr.family == 4 ? 4 : 16);
		writer_u16(&w, endpoint_port(&s->candidates[i].endpoint));
	}
	memcpy(out, nonce, PROBE_NONCE_BYTES);
	(void)crypto_box_easy_afternm(out + PROBE_NONCE_BYTES, body, w.len, nonce, shared);
	return PROBE_NONCE_BYTES + 16 + w.len;
}

int probe_signal_open(const uint8_t *data, size_t len, const uint8_t shared[PROBE_KEY_BYTES],
		      struct probe_signal *ret_signal)
{
	uint8_t body[PROBE_SIGNAL_MAX_BYTES];
	struct probe_signal s = {0};
	uint8_t version, kind;
	struct reader r;

	if (len < PROBE_NONCE_BYTES + 16 || len > PROBE_SIGNAL_MAX_BYTES)
		return -EBADMSG;
	if (crypto_box_open_easy_afternm(body, data + PROBE_NONCE_BYTES, len - PROBE_NONCE_BYTES,
					 data, shared) != 0)
		return -EBADMSG;
	r = reader_init(body, len - PROBE_NONCE_BYTES - 16);
	version = reader_u8(&r);
	s.sequence = reader_u64(&r);
	kind = reader_u8(&r);
	s.count = reader_u8(&r);
	if (r.failed || version != 1 || kind != 1 || s.count > PROBE_SIGNAL_MAX_CANDIDATES)
		return -EBADMSG;
	for (size_t i = 0; i < s.count; i++) {
		struct ip_addr addr = {0};

		s.candidates[i].type = reader_u8(&r);
		addr.family = reader_u8(&r);
		if (addr.family != 4 && addr.family != 6)
			return -EBADMSG;
		reader_bytes(&r, addr.bytes, addr.family == 4 ? 4 : 16);
		endpoint_from_ip(&addr, reader_u16(&r), &s.candidates[i].endpoint);
		if (r.failed || s.candidates[i].type < PROBE_CANDIDATE_INTERFACE ||
		    s.candidates[i].type > PROBE_CANDIDATE_LAST_GOOD)
			return -EBADMSG;
	}
	if (!reader_done(&r))
		return -EBADMSG;
	*ret_signal = s;
	return 0;
}
