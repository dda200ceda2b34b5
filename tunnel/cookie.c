/* SPDX-License-Identifier: Apache-2.0
 *
 * mac1, mac2 and cookie replies (WireGuard paper sections 5.3, 5.4.4, 5.4.7). Secrets live 120 s;
 * a cookie is used for 5 s less than that, since it was made before it was received.
 */
#include "tunnel/cookie.h"

#include <sodium.h>
#include <string.h>

#include "platform/secret.h"
#include "tunnel/bytes.h"

#define SECRET_MAX_AGE_NS (120 * NSEC_PER_SEC)
#define SECRET_LATENCY_NS (5 * NSEC_PER_SEC)
#define LABEL_BYTES	  8

static const char label_mac1[] = "mac1----";
static const char label_cookie[] = "cookie--";

static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES ==
		      sizeof(((struct wire_cookie *)0)->nonce),
	      "nonce size");

void cookie_checker_set(struct cookie_checker *c, const uint8_t public_key[static NOISE_KEY_BYTES])
{
	blake2s_hash(c->mac1_key, label_mac1, LABEL_BYTES, public_key, NOISE_KEY_BYTES);
	blake2s_hash(c->cookie_key, label_cookie, LABEL_BYTES, public_key, NOISE_KEY_BYTES);
}

void cookie_maker_set(struct cookie_maker *m, const uint8_t public_key[static NOISE_KEY_BYTES])
{
	memset(m, 0, sizeof(*m));
	blake2s_hash(m->mac1_key, label_mac1, LABEL_BYTES, public_key, NOISE_KEY_BYTES);
	blake2s_hash(m->cookie_key, label_cookie, LABEL_BYTES, public_key, NOISE_KEY_BYTES);
}

/* Cookie := Mac(R, source address || port) */
static void make_cookie(struct cookie_checker *c, const struct noise *n,
			const struct endpoint *from, uint64_t now_ns,
			uint8_t cookie[static WIRE_COOKIE_BYTES])
{
	struct ip_addr addr;
	uint8_t source[18];
	size_t len;

	if (!c->secret_ns || now_ns - c->secret_ns >= SECRET_MAX_AGE_NS) {
		random_bytes(n->random, c->secret, sizeof(c->secret));
		c->secret_ns = now_ns ? now_ns : 1;
	}
	endpoint_ip(from, &addr);
	len = addr.family == 4 ? 4 : 16;
	memcpy(source, addr.bytes, len);
	bytes_put_be16(source + len, endpoint_port(from));
	blake2s_mac(cookie, c->secret, sizeof(c->secret), source, len + 2);
}

enum cookie_verdict cookie_check(struct cookie_checker *c, const struct noise *n, const void *msg,
				 size_t len, const struct endpoint *from, bool check_mac2,
				 uint64_t now_ns)
{
	const uint8_t *mac1 = (const uint8_t *)msg + len - 2 * WIRE_MAC_BYTES;
	const uint8_t *mac2 = mac1 + WIRE_MAC_BYTES;
	uint8_t expected[WIRE_MAC_BYTES];
	uint8_t cookie[WIRE_COOKIE_BYTES];

	blake2s_mac(expected, c->mac1_key, sizeof(c->mac1_key), msg, len - 2 * WIRE_MAC_BYTES);
	if (!secret_equal(expected, mac1, WIRE_MAC_BYTES))
		return COOKIE_BAD_MAC;
	if (!check_mac2)
		return COOKIE_MAC1_ONLY;
	make_cookie(c, n, from, now_ns, cookie);
	blake2s_mac(expected, cookie, sizeof(cookie), msg, len - WIRE_MAC_BYTES);
	return secret_equal(expected, mac2, WIRE_MAC_BYTES) ? COOKIE_MAC2 : COOKIE_MAC1_ONLY;
}

void cookie_reply(struct cookie_checker *c, const struct noise *n, const void *msg, size_t len,
		  uint32_t receiver, const struct endpoint *from, uint64_t now_ns,
		  struct wire_cookie *reply)
{
	const uint8_t *mac1 = (const uint8_t *)msg + len - 2 * WIRE_MAC_BYTES;
	uint8_t cookie[WIRE_COOKIE_BYTES];

	bytes_put_le32(reply->type, WIRE_COOKIE);
	bytes_put_le32(reply->receiver, receiver);
	random_bytes(n->random, reply->nonce, sizeof(reply->nonce));
	make_cookie(c, n, from, now_ns, cookie);
	crypto_aead_xchacha20poly1305_ietf_encrypt(reply->encrypted_cookie, NULL, cookie,
						   sizeof(cookie), mac1, WIRE_MAC_BYTES, NULL,
						   reply->nonce, c->cookie_key);
	secret_wipe(cookie, sizeof(cookie));
}

void cookie_add_macs(struct cookie_maker *m, void *msg, size_t len, uint64_t now_ns)
{
	uint8_t *mac1 = (uint8_t *)msg + len - 2 * WIRE_MAC_BYTES;
	uint8_t *mac2 = mac1 + WIRE_MAC_BYTES;

	blake2s_mac(mac1, m->mac1_key, sizeof(m->mac1_key), msg, len - 2 * WIRE_MAC_BYTES);
	memcpy(m->last_mac1, mac1, WIRE_MAC_BYTES);
	m->have_last_mac1 = true;
	if (m->cookie_ns && now_ns - m->cookie_ns < SECRET_MAX_AGE_NS - SECRET_LATENCY_NS)
		blake2s_mac(mac2, m->cookie, sizeof(m->cookie), msg, len - WIRE_MAC_BYTES);
	else
		memset(mac2, 0, WIRE_MAC_BYTES);
}

bool cookie_consume(struct cookie_maker *m, const struct wire_cookie *reply, uint64_t now_ns)
{
	uint8_t cookie[WIRE_COOKIE_BYTES];

	if (!m->have_last_mac1 ||
	    crypto_aead_xchacha20poly1305_ietf_decrypt(
		    cookie, NULL, NULL, reply->encrypted_cookie, sizeof(reply->encrypted_cookie),
		    m->last_mac1, WIRE_MAC_BYTES, reply->nonce, m->cookie_key) != 0)
		return false;
	memcpy(m->cookie, cookie, sizeof(cookie));
	m->cookie_ns = now_ns ? now_ns : 1;
	m->have_last_mac1 = false;
	secret_wipe(cookie, sizeof(cookie));
	return true;
}
