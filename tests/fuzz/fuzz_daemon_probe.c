/* SPDX-License-Identifier: Apache-2.0
 *
 * Datagrams that are not WireGuard, into a path machine that knows one peer: raw, and as the inside
 * of a probe or signal that decrypts.
 */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/path.h"
#include "daemon/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_send(void *ctx, const struct endpoint *to, const void *data, size_t len)
{
	(void)ctx;
	(void)to;
	(void)data;
	(void)len;
}

static void on_signal(void *ctx, const char *peer, const uint8_t *box, size_t len)
{
	(void)ctx;
	(void)peer;
	(void)box;
	(void)len;
}

static void on_endpoint(void *ctx, const uint8_t key[32], const struct endpoint *ep)
{
	(void)ctx;
	(void)key;
	(void)ep;
}

static void on_pong(void *ctx, uint64_t token, uint64_t rtt_ns, const struct endpoint *ep)
{
	(void)ctx;
	(void)token;
	(void)rtt_ns;
	(void)ep;
}

/* A box over the input, as the peer would make it. */
static size_t seal(const uint8_t *data, size_t size, const uint8_t shared[32], uint64_t key_id,
		   uint8_t *out)
{
	for (size_t i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(key_id >> (56 - 8 * i));
	memcpy(out, "wrn\x01", 4);
	memset(out + PROBE_HEADER_BYTES, 5, PROBE_NONCE_BYTES);
	(void)crypto_box_easy_afternm(out + PROBE_HEADER_BYTES + PROBE_NONCE_BYTES, data, size,
				      out + PROBE_HEADER_BYTES, shared);
	return PROBE_HEADER_BYTES + PROBE_NONCE_BYTES + 16 + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct random_fake seed = {.state = 1};
	struct random_source random = random_fake_source(&seed);
	struct path_ops ops = {NULL, on_send, on_signal, on_endpoint, on_pong};
	struct path_peer_config peer = {.id = "p_x", .name = "x"};
	uint8_t ours[32] = {1}, theirs[32] = {2}, our_public[32], shared[32], wire[2048], txid[12];
	struct endpoint from, mapped;
	struct path *p;
	size_t len;

	if (size > 1400 || sodium_init() < 0 || path_new(ours, &random, &ops, 1, &p) < 0)
		return 0;
	crypto_scalarmult_base(our_public, ours);
	crypto_scalarmult_base(peer.path_key, theirs);
	if (endpoint_parse("192.0.2.9:1", &from) < 0 || path_set_peers(p, &peer, 1, 1) < 0 ||
	    probe_shared(our_public, theirs, shared) < 0)
		abort();
	path_set_stun(p, &from, 1, 1);
	path_set_active(p, true, 1);
	path_datagram(p, &from, data, size, 2);
	(void)!stun_response(data, size, txid, &mapped);
	len = seal(data, size, shared, probe_key_id(peer.path_key), wire);
	path_datagram(p, &from, wire, len, 3);
	/* A signal is the same box without the header. */
	path_signal(p, "p_x", wire + PROBE_HEADER_BYTES, len - PROBE_HEADER_BYTES, 4);
	for (uint64_t now_ns = 5; now_ns < 8 * NSEC_PER_SEC; now_ns += NSEC_PER_SEC)
		(void)path_tick(p, now_ns);
	path_free(p);
	return 0;
}
