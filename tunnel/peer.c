/* SPDX-License-Identifier: Apache-2.0
 *
 * Peers: the table by public key, and the rotation of sessions (previous, current, next) of the
 * WireGuard paper section 6.1 and 6.3.
 */
#include "tunnel/peer.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret.h"
#include "tunnel/device.h"
#include "tunnel/shards.h"
#include "tunnel/timers.h"

#define INITIAL_SLOTS	  16
#define EVENT_INTERVAL_NS NSEC_PER_SEC

int peer_table_init(struct peer_table *t, const struct random_source *random)
{
	memset(t, 0, sizeof(*t));
	t->slots = calloc(INITIAL_SLOTS, sizeof(struct peer *));
	if (!t->slots)
		return -ENOMEM;
	t->mask = INITIAL_SLOTS - 1;
	random_bytes(random, t->hash_key, sizeof(t->hash_key));
	return 0;
}

void peer_table_done(struct peer_table *t)
{
	while (t->first) {
		struct peer *p = t->first;

		t->first = p->next;
		peer_drop(p);
		peer_free(p);
	}
	free(t->slots);
	secret_wipe(t, sizeof(*t));
}

/* Others choose their keys, so the hash is keyed. */
static size_t home_of(const struct peer_table *t, const uint8_t key[static NOISE_KEY_BYTES])
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t hash;

	crypto_shorthash(out, key, NOISE_KEY_BYTES, t->hash_key);
	memcpy(&hash, out, sizeof(hash));
	return (size_t)hash & t->mask;
}

static size_t slot_of(const struct peer_table *t, const uint8_t key[static NOISE_KEY_BYTES])
{
	size_t i = home_of(t, key);

	while (t->slots[i] && memcmp(t->slots[i]->key, key, NOISE_KEY_BYTES) != 0)
		i = (i + 1) & t->mask;
	return i;
}

struct peer *peer_find(const struct tunnel *t, const uint8_t key[static NOISE_KEY_BYTES])
{
	return t->peers.slots[slot_of(&t->peers, key)];
}

static int table_grow(struct peer_table *t)
{
	struct peer **old = t->slots;
	size_t slots = (t->mask + 1) * 2;

	t->slots = calloc(slots, sizeof(struct peer *));
	if (!t->slots) {
		t->slots = old;
		return -ENOMEM;
	}
	t->mask = slots - 1;
	for (struct peer *p = t->first; p; p = p->next)
		t->slots[slot_of(t, p->key)] = p;
	free(old);
	return 0;
}

static void table_remove(struct peer_table *t, const struct peer *p)
{
	size_t hole = slot_of(t, p->key);

	for (size_t i = (hole + 1) & t->mask; t->slots[i]; i = (i + 1) & t->mask) {
		size_t home = home_of(t, t->slots[i]->key);

		if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole] = NULL;
	t->count--;
}

static struct tunnel *emptiest_shard(const struct tunnel *t)
{
	struct tunnel *best = t->shards->all[0];

	for (unsigned i = 1; i < t->shards->count; i++)
		if (t->shards->all[i]->given_peers < best->given_peers)
			best = t->shards->all[i];
	return best;
}

int peer_new(struct tunnel *t, const uint8_t key[static NOISE_KEY_BYTES], struct peer **ret_peer)
{
	struct peer_table *table = &t->peers;
	struct peer *p;
	int r;

	if (peer_find(t, key))
		return -EEXIST;
	if (table->count >= t->max_peers)
		return -ENOSPC;
	if (table->count * 2 > table->mask) {
		r = table_grow(table);
		if (r < 0)
			return r;
	}
	p = secret_pool_get(t->shards->peer_memory);
	if (!p)
		return -ENOMEM;
	p->device = emptiest_shard(t);
	p->device->given_peers++;
	memcpy(p->key, key, NOISE_KEY_BYTES);
	noise_handshake_init(&p->handshake, &t->identity, key);
	cookie_maker_set(&p->cookie, key);
	table->slots[slot_of(table, key)] = p;
	table->count++;
	p->prev = table->last;
	if (table->last)
		table->last->next = p;
	else
		table->first = p;
	table->last = p;
	p->change.added = true;
	peer_changed(p);
	*ret_peer = p;
	return 0;
}

void peer_changed(struct peer *p)
{
	struct shards *s = p->device->shards;

	if (p->change.listed)
		return;
	p->change.listed = true;
	p->change.next = NULL;
	if (s->changed_last)
		s->changed_last->change.next = p;
	else
		s->changed = p;
	s->changed_last = p;
}

void peer_remove(struct peer *p)
{
	struct tunnel *t = p->device->shards->all[0];

	shards_unroute_all(p);
	table_remove(&t->peers, p);
	if (p->prev)
		p->prev->next = p->next;
	else
		t->peers.first = p->next;
	if (p->next)
		p->next->prev = p->prev;
	else
		t->peers.last = p->prev;
	p->device->given_peers--;
	noise_handshake_clear(&p->handshake);
	p->change.removed = true;
	peer_changed(p);
}

void peer_free(struct peer *p)
{
	secret_pool_put(p->device->shards->peer_memory, p);
}

/* ---- what the other side reads ---- */

void peer_set_endpoint(struct peer *p, const struct endpoint *endpoint)
{
	struct peer_shown_endpoint *shown = &p->shown;
	uint32_t sequence = atomic_load_explicit(&shown->sequence, memory_order_relaxed);
	uint64_t words[sizeof(shown->words) / sizeof(shown->words[0])] = {0};

	p->endpoint = *endpoint;
	memcpy(words, endpoint, sizeof(*endpoint));
	atomic_store(&shown->sequence, sequence + 1);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		atomic_store(&shown->words[i], words[i]);
	atomic_store(&shown->sequence, sequence + 2);
}

void peer_shown_endpoint(const struct peer *p, struct endpoint *ret_endpoint)
{
	const struct peer_shown_endpoint *shown = &p->shown;
	uint64_t words[sizeof(shown->words) / sizeof(shown->words[0])];
	uint32_t before, after;

	do {
		before = atomic_load(&shown->sequence);
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			words[i] = atomic_load(&shown->words[i]);
		after = atomic_load(&shown->sequence);
	} while (before != after || (before & 1));
	memcpy(ret_endpoint, words, sizeof(*ret_endpoint));
}

/* ---- coming to a shard, and leaving it ---- */

int peer_adopt(struct peer *p)
{
	struct tunnel *t = p->device;
	int r = heap_reserve(&t->timers, t->own_count + 1);

	if (r < 0)
		return r;
	p->own_prev = NULL;
	p->own_next = t->own;
	if (t->own)
		t->own->own_prev = p;
	t->own = p;
	t->own_count++;
	p->adopted = true;
	return 0;
}

void peer_drop(struct peer *p)
{
	struct tunnel *t = p->device;

	if (!p->adopted)
		return;
	tx_forget_peer(t, p);
	peer_stop(p);
	if (p->own_prev)
		p->own_prev->own_next = p->own_next;
	else
		t->own = p->own_next;
	if (p->own_next)
		p->own_next->own_prev = p->own_prev;
	t->own_count--;
	p->adopted = false;
}

/* ---- sessions ---- */

void peer_free_keypair(struct tunnel *t, struct keypair *kp)
{
	if (!kp)
		return;
	aead_done(&kp->seal);
	aead_done(&kp->open);
	secret_pool_put(t->shards->keypair_memory, kp);
}

static void keypair_drop(struct keypair **slot)
{
	struct keypair *kp = *slot;

	*slot = NULL;
	if (!kp)
		return;
	tx_seal(kp->peer->device);
	index_remove(&kp->peer->device->index, kp->local_index);
	peer_free_keypair(kp->peer->device, kp);
}

void peer_clear_pending(struct peer *p)
{
	index_remove(&p->device->index, p->pending_index);
	p->pending_index = 0;
}

void peer_clear_keys(struct peer *p)
{
	peer_clear_pending(p);
	keypair_drop(&p->previous);
	keypair_drop(&p->current);
	keypair_drop(&p->next_keypair);
	p->last_sent_handshake_ns = 0;
}

void peer_expire_sessions(struct peer *p)
{
	peer_clear_pending(p);
	if (p->current)
		p->current->send_counter = REJECT_AFTER_MESSAGES;
	if (p->next_keypair)
		p->next_keypair->send_counter = REJECT_AFTER_MESSAGES;
	p->last_sent_handshake_ns = 0;
}

static int keypair_init(struct keypair *kp, const struct noise_keys *keys)
{
	int r = aead_init(&kp->seal, keys->send);

	return r < 0 ? r : aead_init(&kp->open, keys->receive);
}

struct keypair *peer_make_keypair(struct peer *p, uint64_t now_ns)
{
	struct noise_keys keys = {0};
	struct keypair *kp = secret_pool_get(p->device->shards->keypair_memory);
	bool ok;

	if (!kp) {
		noise_handshake_clear(&p->handshake);
		return NULL;
	}
	kp->peer = p;
	kp->local_index = p->handshake.local_index;
	kp->remote_index = p->handshake.remote_index;
	kp->created_ns = now_ns;
	ok = noise_begin_session(&p->handshake, &keys) && keypair_init(kp, &keys) == 0;
	kp->initiator = keys.initiator;
	secret_wipe(&keys, sizeof(keys));
	if (ok)
		return kp;
	noise_handshake_clear(&p->handshake);
	peer_free_keypair(p->device, kp);
	return NULL;
}

int peer_begin_session(struct peer *p, struct keypair *kp)
{
	int r;

	peer_clear_pending(p); /* ours, or one that theirs overtook */
	r = index_add(&p->device->index, kp->local_index, p, kp);
	if (r < 0) {
		peer_free_keypair(p->device, kp);
		return r;
	}
	if (kp->initiator) {
		/* The response confirmed it. A session of theirs that was never confirmed is kept
		 * as the previous one, for packets under way. */
		keypair_drop(&p->previous);
		if (p->next_keypair) {
			p->previous = p->next_keypair;
			p->next_keypair = NULL;
			keypair_drop(&p->current);
		} else {
			p->previous = p->current;
		}
		p->current = kp;
	} else {
		/* Not to be used before the initiator has (5.4.5). */
		keypair_drop(&p->next_keypair);
		keypair_drop(&p->previous);
		p->next_keypair = kp;
	}
	return 0;
}

bool peer_confirm(struct peer *p, struct keypair *kp)
{
	if (kp != p->next_keypair)
		return false;
	keypair_drop(&p->previous);
	p->previous = p->current;
	p->current = kp;
	p->next_keypair = NULL;
	return true;
}

struct keypair *peer_sendable(const struct peer *p, uint64_t now_ns)
{
	struct keypair *kp = p->current;

	if (!kp || now_ns - kp->created_ns >= REJECT_AFTER_TIME ||
	    kp->send_counter >= REJECT_AFTER_MESSAGES)
		return NULL;
	return kp;
}

bool peer_can_receive(const struct keypair *kp, uint64_t now_ns)
{
	return now_ns - kp->created_ns < REJECT_AFTER_TIME;
}

void peer_start(struct peer *p)
{
	uint64_t now_ns = device_now(p->device);

	if (p->running)
		return;
	p->running = true;
	p->last_sent_handshake_ns = 0;
	if (p->persistent_keepalive_s)
		tx_keepalive(p, now_ns);
	if (p->staged.first)
		tx_staged(p, now_ns);
}

void peer_stop(struct peer *p)
{
	timers_stop(p);
	peer_clear_keys(p);
	DEVICE_COUNT(p->device->drops[DROP_TX_GIVEN_UP],
		     staging_clear(&p->device->staging, &p->staged));
	p->running = false;
}

void peer_event(struct peer *p, enum tunnel_event_type type, const struct endpoint *endpoint,
		uint64_t now_ns)
{
	struct note note = {.type = NOTE_EVENT, .event = type, .peer = p, .now_ns = now_ns};

	if (!p->device->hooks.event)
		return;
	if (p->event_ns[type] && now_ns - p->event_ns[type] < EVENT_INTERVAL_NS)
		return;
	p->event_ns[type] = now_ns ? now_ns : 1;
	if (endpoint)
		note.endpoint = *endpoint;
	(void)shards_tell_control(p->device, &note, NULL, 0);
}
