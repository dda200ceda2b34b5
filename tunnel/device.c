/* SPDX-License-Identifier: Apache-2.0
 *
 * The device: construction, identity, up and down, the loop's turn, counters.
 */
#include "tunnel/device.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "platform/secret.h"
#include "tunnel/loop.h"
#include "tunnel/timers.h"
#include "tunnel/tunio.h"
#include "tunnel/udp.h"

#define DEFAULT_MAX_PEERS  10000
#define DEFAULT_LOAD_LIMIT 128 /* handshakes per 100 ms: about a quarter of a core */

static const char *const drop_names[DROP_REASONS] = {
	[DROP_RX_SHORT] = "drop_rx_short",
	[DROP_RX_FOREIGN] = "drop_rx_foreign",
	[DROP_RX_BAD_MAC] = "drop_rx_bad_mac",
	[DROP_RX_RATE_LIMITED] = "drop_rx_rate_limited",
	[DROP_RX_COOKIE_SENT] = "drop_rx_cookie_sent",
	[DROP_RX_BAD_HANDSHAKE] = "drop_rx_bad_handshake",
	[DROP_RX_UNKNOWN_PEER] = "drop_rx_unknown_peer",
	[DROP_RX_REPLAYED_HANDSHAKE] = "drop_rx_replayed_handshake",
	[DROP_RX_HANDSHAKE_FLOOD] = "drop_rx_handshake_flood",
	[DROP_RX_BAD_COOKIE] = "drop_rx_bad_cookie",
	[DROP_RX_UNKNOWN_INDEX] = "drop_rx_unknown_index",
	[DROP_RX_EXPIRED_SESSION] = "drop_rx_expired_session",
	[DROP_RX_BAD_PACKET] = "drop_rx_bad_packet",
	[DROP_RX_REPLAY] = "drop_rx_replay",
	[DROP_RX_BAD_INNER] = "drop_rx_bad_inner",
	[DROP_RX_NOT_ALLOWED] = "drop_rx_not_allowed",
	[DROP_RX_FILTER] = "drop_rx_filter",
	[DROP_RX_REDIRECT] = "drop_rx_redirect",
	[DROP_RX_TUN_WRITE] = "drop_rx_tun_write",
	[DROP_TX_BAD_INNER] = "drop_tx_bad_inner",
	[DROP_TX_NO_PEER] = "drop_tx_no_peer",
	[DROP_TX_FILTER] = "drop_tx_filter",
	[DROP_TX_REDIRECT] = "drop_tx_redirect",
	[DROP_TX_STAGE_FULL] = "drop_tx_stage_full",
	[DROP_TX_GIVEN_UP] = "drop_tx_given_up",
	[DROP_TX_NO_ENDPOINT] = "drop_tx_no_endpoint",
	[DROP_TX_SOCKET] = "drop_tx_socket",
};

static const char *const stat_names[DEVICE_STATS] = {
	[STAT_RX_DATAGRAMS] = "rx_datagrams", [STAT_RX_BYTES] = "rx_bytes",
	[STAT_RX_PACKETS] = "rx_packets",     [STAT_RX_WRITES] = "rx_tun_writes",
	[STAT_TX_READS] = "tx_tun_reads",     [STAT_TX_PACKETS] = "tx_packets",
	[STAT_TX_BYTES] = "tx_bytes",	      [STAT_TX_TRAINS] = "tx_messages",
	[STAT_HANDSHAKES] = "handshakes",     [STAT_SOURCE_LOST] = "source_lost",
	[STAT_GSO_LOST] = "gso_lost",
};

static void *map_buffer(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int device_new(const struct tunnel_config *config, struct tunnel **ret_tunnel)
{
	struct tunnel *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	if (!t)
		return -ENOMEM;
	t->clock = config->clock ? config->clock : &clock_system;
	t->random = config->random ? config->random : &random_system;
	t->hooks = config->hooks;
	t->roaming = config->roaming;
	t->max_peers = config->max_peers ? config->max_peers : DEFAULT_MAX_PEERS;
	t->load_limit = DEFAULT_LOAD_LIMIT;
	if (sodium_init() < 0) {
		r = -ENOTSUP;
		goto fail;
	}
	r = aead_engine_new(config->aead, &t->aead);
	if (r == 0)
		r = blake2s_new(&t->blake);
	if (r == 0)
		r = noise_init(&t->noise, t->blake, t->random);
	if (r == 0)
		r = index_init(&t->index, t->random);
	if (r == 0)
		r = peer_table_init(&t->peers, t->random);
	if (r == 0)
		r = staging_init(&t->staging);
	if (r < 0)
		goto fail;
	ratelimiter_init(&t->limiter, t->random);
	t->tx.arena = map_buffer(DEVICE_TX_ARENA);
	t->tx.slab = map_buffer(DEVICE_SLAB_BYTES);
	t->rx = map_buffer(sizeof(*t->rx));
	if (!t->tx.arena || !t->tx.slab || !t->rx) {
		r = -ENOMEM;
		goto fail;
	}
	*ret_tunnel = t;
	return 0;
fail:
	tunnel_free(t);
	return r;
}

int tunnel_new(const struct tunnel_config *config, struct tunnel **ret_tunnel)
{
	struct tunnel *t;
	int r = device_new(config, &t);

	if (r < 0)
		return r;
	r = loop_new(&t->loop);
	if (r == 0)
		r = udp_new(t, &t->udp);
	if (r == 0)
		r = tunio_new(t, &t->tunio);
	if (r < 0) {
		tunnel_free(t);
		return r;
	}
	t->io.send = udp_send;
	t->io.send_ctx = t->udp;
	t->io.deliver = tunio_deliver;
	t->io.deliver_ctx = t->tunio;
	*ret_tunnel = t;
	return 0;
}

void tunnel_free(struct tunnel *t)
{
	if (!t)
		return;
	if (t->peers.slots)
		peer_table_done(&t->peers);
	tunio_free(t->tunio);
	udp_free(t->udp);
	loop_free(t->loop);
	allowedips_done(&t->allowed);
	index_done(&t->index);
	heap_done(&t->timers);
	ratelimiter_done(&t->limiter);
	staging_done(&t->staging);
	if (t->tx.arena)
		munmap(t->tx.arena, DEVICE_TX_ARENA);
	if (t->tx.slab)
		munmap(t->tx.slab, DEVICE_SLAB_BYTES);
	if (t->rx)
		munmap(t->rx, sizeof(*t->rx));
	blake2s_free(t->blake);
	aead_engine_free(t->aead);
	secret_wipe(t, sizeof(*t));
	free(t);
}

uint64_t device_now(const struct tunnel *t)
{
	return clock_monotonic_ns(t->clock);
}

int device_set_private_key(struct tunnel *t, const uint8_t key[static NOISE_KEY_BYTES])
{
	struct noise_identity id = {0};
	struct peer *self;

	noise_identity_set(&id, key);
	if (id.set == t->identity.set &&
	    secret_equal(id.private_key, t->identity.private_key, NOISE_KEY_BYTES)) {
		noise_identity_wipe(&id);
		return 0;
	}
	t->identity = id;
	noise_identity_wipe(&id);
	if (t->identity.set) {
		self = peer_find(t, t->identity.public_key);
		if (self)
			peer_remove(self);
	}
	cookie_checker_set(&t->checker, &t->noise, t->identity.public_key);
	for (struct peer *p = t->peers.first; p; p = p->next) {
		peer_expire_sessions(p);
		noise_handshake_rekey_static(&p->handshake, &t->identity);
	}
	return 0;
}

int tunnel_attach_tun(struct tunnel *t, enum tunnel_port port, int fd, const struct tun_caps *caps)
{
	return tunio_attach(t->tunio, port, fd, caps);
}

int tunnel_attach_udp(struct tunnel *t, int fd4, int fd6)
{
	int r = udp_attach(t->udp, fd4, fd6);

	if (r < 0)
		return r;
	/* Sources belonged to the former sockets, and what waited for them goes through the new. */
	tunnel_forget_sources(t);
	tx_flush(t);
	return 0;
}

void tunnel_forget_sources(struct tunnel *t)
{
	for (struct peer *p = t->peers.first; p; p = p->next)
		p->source = (struct udp_source){0};
}

void tunnel_set_mtu(struct tunnel *t, enum tunnel_port port, uint16_t mtu)
{
	t->mtu[port] = mtu;
}

int tunnel_watch(struct tunnel *t, int fd, void (*ready)(void *ctx, int fd), void *ctx)
{
	return loop_watch_input(t->loop, fd, ready, ctx);
}

void tunnel_unwatch(struct tunnel *t, int fd)
{
	loop_unwatch(t->loop, fd);
}

void tunnel_set_bind_hook(struct tunnel *t, int (*bind)(void *ctx, uint16_t port, uint32_t fwmark),
			  void *ctx)
{
	t->bind = bind;
	t->bind_ctx = ctx;
}

int tunnel_send_foreign(struct tunnel *t, const struct endpoint *to, const void *data, size_t len)
{
	return udp_send_foreign(t->udp, to, data, len);
}

void tunnel_set_up(struct tunnel *t, bool up)
{
	if (t->up == up)
		return;
	t->up = up;
	for (struct peer *p = t->peers.first; p; p = p->next) {
		if (up)
			peer_start(p);
		else
			peer_stop(p);
	}
	tx_flush(t);
	if (!up)
		tx_discard(t); /* nothing leaves after this */
}

int tunnel_run_once(struct tunnel *t, int timeout_ms)
{
	uint64_t now_ns = device_now(t);
	uint64_t deadline_ns = timers_next(t);
	int r;

	if (timeout_ms >= 0 && deadline_ns > now_ns + (uint64_t)timeout_ms * NSEC_PER_MSEC)
		deadline_ns = now_ns + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	r = loop_turn(t->loop, now_ns, deadline_ns);
	if (r < 0)
		return r;
	now_ns = device_now(t);
	if (timers_next(t) <= now_ns)
		timers_run(t, now_ns);
	/* A full socket stops the TUNs, so that senders wait instead of losing. */
	r = udp_watch_room(t->udp, t->tx.blocked);
	return r < 0 ? r : tunio_watch_input(t->tunio, !t->tx.blocked);
}

int tunnel_run(struct tunnel *t)
{
	int r = 0;

	while (!t->stopped && r == 0)
		r = tunnel_run_once(t, -1);
	return r;
}

void tunnel_stop(struct tunnel *t)
{
	t->stopped = true;
}

bool tunnel_stopped(const struct tunnel *t)
{
	return t->stopped;
}

bool tunnel_counter(const struct tunnel *t, size_t index, const char **ret_name,
		    uint64_t *ret_value)
{
	if (index < DEVICE_STATS) {
		*ret_name = stat_names[index];
		*ret_value = t->stats[index];
		return true;
	}
	index -= DEVICE_STATS;
	if (index < DROP_REASONS) {
		*ret_name = drop_names[index];
		*ret_value = t->drops[index];
		return true;
	}
	return false;
}
