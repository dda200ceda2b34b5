/* SPDX-License-Identifier: Apache-2.0
 *
 * Noise_IKpsk2 as in the WireGuard paper sections 5.4.1 to 5.4.5; each step carries the paper's
 * token. Everything is computed into locals, and the handshake is written only after the message
 * has proven to be authentic.
 */
#include "tunnel/noise.h"

#include <sodium.h>
#include <string.h>

#include "platform/secret.h"
#include "tunnel/aead.h"
#include "tunnel/bytes.h"

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

#define INITIATION_INTERVAL_NS (NSEC_PER_SEC / 50)

void noise_init(struct noise *n, const struct random_source *random)
{
	n->random = random;
	blake2s_hash(n->initial_chain, construction, sizeof(construction) - 1, NULL, 0);
	blake2s_hash(n->initial_hash, n->initial_chain, BLAKE2S_BYTES, identifier,
		     sizeof(identifier) - 1);
}

static void clamp(uint8_t key[static NOISE_KEY_BYTES])
{
	key[0] &= 248;
	key[31] = (uint8_t)((key[31] & 127) | 64);
}

void noise_identity_set(struct noise_identity *id,
			const uint8_t private_key[static NOISE_KEY_BYTES])
{
	static const uint8_t zero[NOISE_KEY_BYTES];

	if (secret_equal(private_key, zero, sizeof(zero))) {
		noise_identity_wipe(id);
		return;
	}
	memcpy(id->private_key, private_key, NOISE_KEY_BYTES);
	clamp(id->private_key);
	id->set = crypto_scalarmult_curve25519_base(id->public_key, id->private_key) == 0;
}

void noise_identity_wipe(struct noise_identity *id)
{
	secret_wipe(id, sizeof(*id));
}

void noise_handshake_init(struct noise_handshake *hs, const struct noise_identity *id,
			  const uint8_t remote_static[static NOISE_KEY_BYTES])
{
	memset(hs, 0, sizeof(*hs));
	memcpy(hs->remote_static, remote_static, NOISE_KEY_BYTES);
	noise_handshake_rekey_static(hs, id);
}

void noise_handshake_rekey_static(struct noise_handshake *hs, const struct noise_identity *id)
{
	noise_handshake_clear(hs);
	if (!id->set || crypto_scalarmult_curve25519(hs->static_static, id->private_key,
						     hs->remote_static) != 0)
		secret_wipe(hs->static_static, sizeof(hs->static_static));
}

void noise_handshake_clear(struct noise_handshake *hs)
{
	hs->state = NOISE_ZEROED;
	hs->local_index = 0;
	hs->remote_index = 0;
	secret_wipe(hs->ephemeral_private, sizeof(hs->ephemeral_private));
	secret_wipe(hs->remote_ephemeral, sizeof(hs->remote_ephemeral));
	secret_wipe(hs->hash, sizeof(hs->hash));
	secret_wipe(hs->chain, sizeof(hs->chain));
}

/* Hash := Hash(Hash || data) */
static void mix_hash(uint8_t hash[static BLAKE2S_BYTES], const void *data, size_t len)
{
	blake2s_hash(hash, hash, BLAKE2S_BYTES, data, len);
}

/* (chain, key) := Kdf2(chain, DH(private, public)); key may be NULL for Kdf1. */
static bool mix_dh(uint8_t chain[static BLAKE2S_BYTES], uint8_t *key,
		   const uint8_t private_key[static NOISE_KEY_BYTES],
		   const uint8_t public_key[static NOISE_KEY_BYTES])
{
	uint8_t dh[NOISE_KEY_BYTES];
	bool ok = crypto_scalarmult_curve25519(dh, private_key, public_key) == 0;

	if (ok)
		blake2s_kdf(chain, key, NULL, chain, dh, sizeof(dh));
	secret_wipe(dh, sizeof(dh));
	return ok;
}

static bool mix_static_static(const struct noise_handshake *hs, uint8_t chain[static BLAKE2S_BYTES],
			      uint8_t key[static NOISE_KEY_BYTES])
{
	static const uint8_t zero[NOISE_KEY_BYTES];

	if (secret_equal(hs->static_static, zero, sizeof(zero)))
		return false;
	blake2s_kdf(chain, key, NULL, chain, hs->static_static, NOISE_KEY_BYTES);
	return true;
}

static void seal_and_mix(uint8_t *out, const uint8_t key[static NOISE_KEY_BYTES], const void *plain,
			 size_t len, uint8_t hash[static BLAKE2S_BYTES])
{
	aead_seal_once(out, key, plain, len, hash, BLAKE2S_BYTES);
	mix_hash(hash, out, len + WIRE_TAG_BYTES);
}

/* len: of the sealed message */
static bool open_and_mix(uint8_t *out, const uint8_t key[static NOISE_KEY_BYTES],
			 const void *sealed, size_t len, uint8_t hash[static BLAKE2S_BYTES])
{
	if (!aead_open_once(out, key, sealed, len, hash, BLAKE2S_BYTES))
		return false;
	mix_hash(hash, sealed, len);
	return true;
}

static bool make_ephemeral(const struct noise *n, uint8_t private_key[static NOISE_KEY_BYTES],
			   uint8_t public_key[static NOISE_KEY_BYTES])
{
	random_bytes(n->random, private_key, NOISE_KEY_BYTES);
	clamp(private_key);
	return crypto_scalarmult_curve25519_base(public_key, private_key) == 0;
}

/* C := Kdf1(C, E_pub), H := Hash(H || E_pub) */
static void mix_ephemeral(uint8_t chain[static BLAKE2S_BYTES], uint8_t hash[static BLAKE2S_BYTES],
			  const uint8_t ephemeral[static NOISE_KEY_BYTES])
{
	mix_hash(hash, ephemeral, NOISE_KEY_BYTES);
	blake2s_kdf(chain, NULL, NULL, chain, ephemeral, NOISE_KEY_BYTES);
}

bool noise_create_initiation(const struct noise *n, const struct noise_identity *id,
			     struct noise_handshake *hs,
			     const uint8_t timestamp[static WIRE_TIMESTAMP_BYTES],
			     uint32_t local_index, struct wire_initiation *msg)
{
	uint8_t key[NOISE_KEY_BYTES];
	bool ok = false;

	if (!id->set)
		return false;
	noise_handshake_clear(hs);
	bytes_put_le32(msg->type, WIRE_INITIATION);
	bytes_put_le32(msg->sender, local_index);

	/* C_i := Hash(Construction), H_i := Hash(Hash(C_i || Identifier) || S_r_pub) */
	memcpy(hs->chain, n->initial_chain, BLAKE2S_BYTES);
	memcpy(hs->hash, n->initial_hash, BLAKE2S_BYTES);
	mix_hash(hs->hash, hs->remote_static, NOISE_KEY_BYTES);
	/* e */
	if (!make_ephemeral(n, hs->ephemeral_private, msg->ephemeral))
		goto out;
	mix_ephemeral(hs->chain, hs->hash, msg->ephemeral);
	/* es */
	if (!mix_dh(hs->chain, key, hs->ephemeral_private, hs->remote_static))
		goto out;
	/* s: msg.static := Aead(k, 0, S_i_pub, H_i) */
	seal_and_mix(msg->encrypted_static, key, id->public_key, NOISE_KEY_BYTES, hs->hash);
	/* ss */
	if (!mix_static_static(hs, hs->chain, key))
		goto out;
	/* {t}: msg.timestamp := Aead(k, 0, Timestamp(), H_i) */
	seal_and_mix(msg->encrypted_timestamp, key, timestamp, WIRE_TIMESTAMP_BYTES, hs->hash);

	hs->local_index = local_index;
	hs->state = NOISE_INITIATION_CREATED;
	ok = true;
out:
	secret_wipe(key, sizeof(key));
	if (!ok)
		noise_handshake_clear(hs);
	return ok;
}

enum noise_result noise_read_initiation(const struct noise *n, const struct noise_identity *id,
					const struct wire_initiation *msg,
					struct noise_initiation *ret)
{
	uint8_t key[NOISE_KEY_BYTES];
	enum noise_result result = NOISE_BAD;

	if (!id->set)
		return NOISE_BAD;
	memcpy(ret->chain, n->initial_chain, BLAKE2S_BYTES);
	memcpy(ret->hash, n->initial_hash, BLAKE2S_BYTES);
	mix_hash(ret->hash, id->public_key, NOISE_KEY_BYTES);
	/* e */
	mix_ephemeral(ret->chain, ret->hash, msg->ephemeral);
	/* es */
	if (!mix_dh(ret->chain, key, id->private_key, msg->ephemeral))
		goto out;
	/* s */
	if (!open_and_mix(ret->remote_static, key, msg->encrypted_static,
			  sizeof(msg->encrypted_static), ret->hash))
		goto out;
	result = NOISE_OK;
out:
	secret_wipe(key, sizeof(key));
	if (result != NOISE_OK)
		secret_wipe(ret, sizeof(*ret));
	return result;
}

enum noise_result noise_consume_initiation(struct noise_handshake *hs,
					   const struct wire_initiation *msg,
					   const struct noise_initiation *read, uint64_t now_ns)
{
	uint8_t key[NOISE_KEY_BYTES];
	uint8_t chain[BLAKE2S_BYTES];
	uint8_t hash[BLAKE2S_BYTES];
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES];
	enum noise_result result = NOISE_BAD;

	memcpy(chain, read->chain, sizeof(chain));
	memcpy(hash, read->hash, sizeof(hash));
	/* ss */
	if (!mix_static_static(hs, chain, key))
		goto out;
	/* {t} */
	if (!open_and_mix(timestamp, key, msg->encrypted_timestamp,
			  sizeof(msg->encrypted_timestamp), hash))
		goto out;
	/* TAI64N is big-endian, so that memcmp compares times (5.1). */
	if (memcmp(timestamp, hs->latest_timestamp, sizeof(timestamp)) <= 0) {
		result = NOISE_REPLAY;
		goto out;
	}
	if (hs->last_initiation_ns && now_ns - hs->last_initiation_ns < INITIATION_INTERVAL_NS) {
		result = NOISE_FLOOD;
		goto out;
	}

	noise_handshake_clear(hs);
	memcpy(hs->remote_ephemeral, msg->ephemeral, NOISE_KEY_BYTES);
	memcpy(hs->latest_timestamp, timestamp, sizeof(timestamp));
	memcpy(hs->hash, hash, sizeof(hash));
	memcpy(hs->chain, chain, sizeof(chain));
	hs->remote_index = bytes_get_le32(msg->sender);
	hs->last_initiation_ns = now_ns;
	hs->state = NOISE_INITIATION_CONSUMED;
	result = NOISE_OK;
out:
	secret_wipe(key, sizeof(key));
	secret_wipe(chain, sizeof(chain));
	secret_wipe(hash, sizeof(hash));
	return result;
}

/* psk: (C, tau, k) := Kdf3(C, Q), H := Hash(H || tau) */
static void mix_psk(uint8_t chain[static BLAKE2S_BYTES], uint8_t hash[static BLAKE2S_BYTES],
		    uint8_t key[static NOISE_KEY_BYTES], const uint8_t psk[static NOISE_KEY_BYTES])
{
	uint8_t tau[BLAKE2S_BYTES];

	blake2s_kdf(chain, tau, key, chain, psk, NOISE_KEY_BYTES);
	mix_hash(hash, tau, sizeof(tau));
	secret_wipe(tau, sizeof(tau));
}

bool noise_create_response(const struct noise *n, struct noise_handshake *hs, uint32_t local_index,
			   struct wire_response *msg)
{
	uint8_t key[NOISE_KEY_BYTES];
	bool ok = false;

	if (hs->state != NOISE_INITIATION_CONSUMED)
		return false;
	bytes_put_le32(msg->type, WIRE_RESPONSE);
	bytes_put_le32(msg->sender, local_index);
	bytes_put_le32(msg->receiver, hs->remote_index);

	/* e */
	if (!make_ephemeral(n, hs->ephemeral_private, msg->ephemeral))
		goto out;
	mix_ephemeral(hs->chain, hs->hash, msg->ephemeral);
	/* ee */
	if (!mix_dh(hs->chain, NULL, hs->ephemeral_private, hs->remote_ephemeral))
		goto out;
	/* se */
	if (!mix_dh(hs->chain, NULL, hs->ephemeral_private, hs->remote_static))
		goto out;
	/* psk */
	mix_psk(hs->chain, hs->hash, key, hs->preshared);
	/* {}: msg.empty := Aead(k, 0, empty, H_r) */
	seal_and_mix(msg->encrypted_nothing, key, NULL, 0, hs->hash);

	hs->local_index = local_index;
	hs->state = NOISE_RESPONSE_CREATED;
	ok = true;
out:
	secret_wipe(key, sizeof(key));
	if (!ok)
		noise_handshake_clear(hs);
	return ok;
}

enum noise_result noise_consume_response(const struct noise_identity *id,
					 struct noise_handshake *hs,
					 const struct wire_response *msg)
{
	uint8_t key[NOISE_KEY_BYTES];
	uint8_t chain[BLAKE2S_BYTES];
	uint8_t hash[BLAKE2S_BYTES];
	enum noise_result result = NOISE_BAD;

	if (hs->state != NOISE_INITIATION_CREATED || !id->set)
		return NOISE_BAD;
	memcpy(chain, hs->chain, sizeof(chain));
	memcpy(hash, hs->hash, sizeof(hash));
	/* e */
	mix_ephemeral(chain, hash, msg->ephemeral);
	/* ee */
	if (!mix_dh(chain, NULL, hs->ephemeral_private, msg->ephemeral))
		goto out;
	/* se */
	if (!mix_dh(chain, NULL, id->private_key, msg->ephemeral))
		goto out;
	/* psk */
	mix_psk(chain, hash, key, hs->preshared);
	/* {} */
	if (!open_and_mix(NULL, key, msg->encrypted_nothing, sizeof(msg->encrypted_nothing), hash))
		goto out;

	memcpy(hs->remote_ephemeral, msg->ephemeral, NOISE_KEY_BYTES);
	memcpy(hs->hash, hash, sizeof(hash));
	memcpy(hs->chain, chain, sizeof(chain));
	hs->remote_index = bytes_get_le32(msg->sender);
	hs->state = NOISE_RESPONSE_CONSUMED;
	result = NOISE_OK;
out:
	secret_wipe(key, sizeof(key));
	secret_wipe(chain, sizeof(chain));
	secret_wipe(hash, sizeof(hash));
	return result;
}

bool noise_begin_session(struct noise_handshake *hs, struct noise_keys *ret_keys)
{
	uint8_t first[NOISE_KEY_BYTES];
	uint8_t second[NOISE_KEY_BYTES];

	if (hs->state != NOISE_RESPONSE_CREATED && hs->state != NOISE_RESPONSE_CONSUMED)
		return false;
	ret_keys->initiator = hs->state == NOISE_RESPONSE_CONSUMED;
	/* (T_send_i = T_recv_r, T_recv_i = T_send_r) := Kdf2(C, empty) */
	blake2s_kdf(first, second, NULL, hs->chain, NULL, 0);
	memcpy(ret_keys->initiator ? ret_keys->send : ret_keys->receive, first, sizeof(first));
	memcpy(ret_keys->initiator ? ret_keys->receive : ret_keys->send, second, sizeof(second));
	secret_wipe(first, sizeof(first));
	secret_wipe(second, sizeof(second));
	noise_handshake_clear(hs);
	return true;
}
