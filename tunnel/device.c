/* SPDX-License-Identifier: Apache-2.0
 *
 * The device: construction of its shards, identity, up and down, the loop's turn, counters.
 */
#include "tunnel/device.h"

#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/bpf.h"
#include "platform/secret.h"
#include "tunnel/loop.h"
#include "tunnel/shards.h"
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
	[DROP_TX_OTHER_SHARD] = "drop_tx_other_shard",
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

/* Frees a shard; the first also holds what is control's. */
static void shard_free(struct tunnel *t)
{
	if (!t)
		return;
	tunio_free(t->tunio);
	udp_free(t->udp);
	loop_free(t->loop);
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
	aead_engine_free(t->aead);
	allowedips_done(&t->allowed);
	secret_free(t);
}

/* What every shard has of its own. */
static int shard_init(struct tunnel *t, const struct tunnel_config *config, unsigned number)
{
	unsigned shards = t->shards->count;
	int r;

	t->number = number;
	t->snapshot = &t->shards->slots[0];
	t->clock = config->clock ? config->clock : &clock_system;
	t->random = config->random ? config->random : &random_system;
	t->hooks = config->hooks;
	t->filter_ctx = config->filter_ctx ? config->filter_ctx[number] : config->hooks.ctx;
	t->roaming = config->roaming;
	t->load_limit = DEFAULT_LOAD_LIMIT / shards ? DEFAULT_LOAD_LIMIT / shards : 1;
	r = aead_engine_new(config->aead, &t->aead);
	noise_init(&t->noise, t->random);
	if (r == 0)
		r = index_init(&t->index);
	if (r == 0)
		r = staging_init(&t->staging);
	if (r < 0)
		return r;
	ratelimiter_init(&t->limiter, t->random);
	t->tx.arena = map_buffer(DEVICE_TX_ARENA);
	t->tx.slab = map_buffer(DEVICE_SLAB_BYTES);
	t->rx = map_buffer(sizeof(*t->rx));
	return t->tx.arena && t->tx.slab && t->rx ? 0 : -ENOMEM;
}

static int control_init(struct tunnel *t, const struct tunnel_config *config)
{
	t->max_peers = config->max_peers ? config->max_peers : DEFAULT_MAX_PEERS;
	noise_init(&t->control_noise, t->random);
	return peer_table_init(&t->peers, t->random);
}

static int make_shards(const struct tunnel_config *config, unsigned count,
		       struct tunnel **ret_tunnel)
{
	struct tunnel *t = secret_alloc(sizeof(*t)); /* has the private key */
	int r;

	if (!t)
		return -ENOMEM;
	if (sodium_init() < 0)
		r = -ENOTSUP;
	else
		r = shards_new(t, count, &t->shards);
	if (r < 0) {
		secret_free(t);
		return r;
	}
	r = shard_init(t, config, 0);
	if (r == 0)
		r = control_init(t, config);
	for (unsigned i = 1; i < count && r == 0; i++) {
		struct tunnel *more = secret_alloc(sizeof(*more));

		t->shards->all[i] = more;
		if (more)
			more->shards = t->shards;
		r = more ? shard_init(more, config, i) : -ENOMEM;
	}
	if (r < 0) {
		tunnel_free(t);
		return r;
	}
	*ret_tunnel = t;
	return 0;
}

int device_new(const struct tunnel_config *config, struct tunnel **ret_tunnel)
{
	return make_shards(config, 1, ret_tunnel);
}

static int add_system(struct tunnel *t)
{
	int r = loop_new(&t->loop);

	if (r == 0)
		r = udp_new(t, &t->udp);
	if (r == 0)
		r = tunio_new(t, &t->tunio);
	if (r < 0)
		return r;
	t->io.send = udp_send;
	t->io.send_ctx = t->udp;
	t->io.deliver = tunio_deliver;
	t->io.deliver_ctx = t->tunio;
	return 0;
}

int tunnel_new(const struct tunnel_config *config, struct tunnel **ret_tunnel)
{
	unsigned count = config->shards ? config->shards : 1;
	struct tunnel *t;
	int r;

	if (count > SHARDS_MAX)
		return -EINVAL;
	r = make_shards(config, count, &t);
	if (r < 0)
		return r;
	r = loop_new(&t->shards->loop);
	for (unsigned i = 0; i < count && r == 0; i++)
		r = add_system(t->shards->all[i]);
	if (r < 0) {
		tunnel_free(t);
		return r;
	}
	*ret_tunnel = t;
	return 0;
}

void tunnel_free(struct tunnel *t)
{
	struct shards *s;

	if (!t)
		return;
	s = t->shards;
	shards_stop(s);
	if (t->peers.slots)
		peer_table_done(&t->peers);
	for (unsigned i = s->count; i > 0; i--)
		shard_free(s->all[i - 1]);
	shards_free(s);
}

int tunnel_start(struct tunnel *t)
{
	return t->shards->threads ? 0 : shards_start(t);
}

unsigned tunnel_shards(const struct tunnel *t)
{
	return t->shards->count;
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
	for (struct peer *p = t->peers.first; p; p = p->next)
		noise_handshake_rekey_static(&p->handshake, &t->identity);
	t->shards->identity_changed = true;
	return shards_publish(t, NULL, NULL);
}

/* ---- descriptors ---- */

struct attach_tun {
	enum tunnel_port port;
	const int *fds;
	const struct tun_caps *caps;
	int results[SHARDS_MAX];
};

static void attach_tun(void *ctx, struct tunnel *shard)
{
	struct attach_tun *a = ctx;
	unsigned i = shard->number;

	a->results[i] = tunio_attach(shard->tunio, a->port, a->fds[i], a->caps);
}

static void release_tun(void *ctx, struct tunnel *shard)
{
	const struct attach_tun *a = ctx;

	if (a->results[shard->number] == 0)
		tunio_release(shard->tunio, a->port);
}

int tunnel_attach_tuns(struct tunnel *t, enum tunnel_port port, const int *fds, size_t count,
		       const struct tun_caps *caps)
{
	struct attach_tun a = {.port = port, .fds = fds, .caps = caps};
	int r = count == t->shards->count ? shards_publish(t, attach_tun, &a) : -EINVAL;

	for (size_t i = 0; i < count && r == 0; i++)
		r = a.results[i];
	if (r < 0 && count == t->shards->count && shards_publish(t, release_tun, &a) < 0)
		return r;
	return r;
}

int tunnel_attach_tun(struct tunnel *t, enum tunnel_port port, int fd, const struct tun_caps *caps)
{
	int fds[SHARDS_MAX] = {fd};

	for (unsigned i = 1; i < SHARDS_MAX; i++)
		fds[i] = -1;
	if (fd >= 0 && t->shards->count > 1)
		return -EINVAL;
	return tunnel_attach_tuns(t, port, fds, t->shards->count, caps);
}

struct attach_udp {
	const int *fds4, *fds6;
	int results[SHARDS_MAX];
};

static void attach_udp(void *ctx, struct tunnel *shard)
{
	struct attach_udp *a = ctx;
	unsigned i = shard->number;

	a->results[i] = udp_attach(shard->udp, a->fds4[i], a->fds6[i]);
}

static void release_udp(void *ctx, struct tunnel *shard)
{
	const struct attach_udp *a = ctx;

	if (a->results[shard->number] == 0)
		udp_release(shard->udp);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	if (fd < 0 || getsockname(fd, (struct sockaddr *)(void *)&name, &len) < 0)
		return 0;
	return ntohs(name.sin6_port); /* same place for IPv4 */
}

int tunnel_attach_udps(struct tunnel *t, const int *fds4, const int *fds6, size_t count)
{
	struct attach_udp a = {.fds4 = fds4, .fds6 = fds6};
	int r;

	if (count != t->shards->count)
		return -EINVAL;
	/* Sources belonged to the former sockets, and what waited for them goes through the new. */
	t->shards->forget_sources = true;
	r = shards_publish(t, attach_udp, &a);
	for (size_t i = 0; i < count && r == 0; i++)
		r = a.results[i];
	if (r == 0 && (fds4[0] >= 0 || fds6[0] >= 0)) /* else it is shown, and comes back */
		t->listen_port = port_of(fds4[0] >= 0 ? fds4[0] : fds6[0]);
	else if (r < 0 && shards_publish(t, release_udp, &a) < 0)
		return r;
	return r;
}

uint16_t tunnel_listen_port(const struct tunnel *t)
{
	return t->listen_port;
}

int tunnel_attach_udp(struct tunnel *t, int fd4, int fd6)
{
	int fds4[SHARDS_MAX] = {fd4}, fds6[SHARDS_MAX] = {fd6};

	for (unsigned i = 1; i < SHARDS_MAX; i++)
		fds4[i] = fds6[i] = -1;
	if ((fd4 >= 0 || fd6 >= 0) && t->shards->count > 1)
		return -EINVAL;
	return tunnel_attach_udps(t, fds4, fds6, t->shards->count);
}

int tunnel_set_steering(struct tunnel *t, int map4, int map6)
{
	struct shards *s = t->shards;
	int r = 0;

	if (map4 < 0 || map6 < 0)
		return -EINVAL;
	for (struct peer *p = t->peers.first; p && r == 0; p = p->next) {
		const struct allowedips_node *at = NULL;
		struct ip_prefix prefix;

		while (r == 0 && allowedips_next(&p->allowed, &at, &prefix))
			r = bpf_steer_set(prefix.addr.family == 4 ? map4 : map6, &prefix,
					  p->device->number);
	}
	if (r < 0)
		return r;
	if (s->steer4 >= 0)
		close(s->steer4);
	if (s->steer6 >= 0)
		close(s->steer6);
	s->steer4 = map4;
	s->steer6 = map6;
	return 0;
}

/* ---- what the caller changes ---- */

struct shards_call {
	void (*call)(void *ctx, unsigned shard);
	void *ctx;
};

static void call_number(void *ctx, struct tunnel *shard)
{
	const struct shards_call *c = ctx;

	c->call(c->ctx, shard->number);
}

int tunnel_on_shards(struct tunnel *t, void (*call)(void *ctx, unsigned shard), void *ctx)
{
	struct shards_call c = {.call = call, .ctx = ctx};

	return shards_publish(t, call_number, &c);
}

/* A snapshot that only fails for peers that are still to come is in force. */
static void publish(struct tunnel *t)
{
	if (shards_publish(t, NULL, NULL) < 0)
		return;
}

void tunnel_forget_sources(struct tunnel *t)
{
	t->shards->forget_sources = true;
	publish(t);
}

void tunnel_set_mtu(struct tunnel *t, enum tunnel_port port, uint16_t mtu)
{
	if (t->shards->mtu[port] == mtu)
		return;
	t->shards->mtu[port] = mtu;
	publish(t);
}

void tunnel_set_up(struct tunnel *t, bool up)
{
	if (t->shards->up == up)
		return;
	t->shards->up = up;
	publish(t);
	for (struct peer *p = t->peers.first; p && !up; p = p->next)
		noise_handshake_clear(&p->handshake);
}

int tunnel_watch(struct tunnel *t, int fd, void (*ready)(void *ctx, int fd), void *ctx)
{
	return loop_watch_input(t->shards->loop, fd, ready, ctx);
}

void tunnel_unwatch(struct tunnel *t, int fd)
{
	loop_unwatch(t->shards->loop, fd);
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

int device_turn(struct tunnel *t, int timeout_ms)
{
	uint64_t now_ns = device_now(t);
	uint64_t deadline_ns = timers_next(t);
	int r;

	if (timeout_ms >= 0 && deadline_ns > now_ns + (uint64_t)timeout_ms * NSEC_PER_MSEC)
		deadline_ns = now_ns + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	r = loop_turn(t->loop, now_ns, deadline_ns);
	if (r < 0)
		return r;
	shards_quiescent(t);
	now_ns = device_now(t);
	if (timers_next(t) <= now_ns)
		timers_run(t, now_ns);
	/* A full socket stops the TUNs, so that senders wait instead of losing. */
	r = udp_watch_room(t->udp, t->tx.blocked);
	return r < 0 ? r : tunio_watch_input(t->tunio, !t->tx.blocked);
}

int tunnel_run_once(struct tunnel *t, int timeout_ms)
{
	uint64_t now_ns = device_now(t);
	uint64_t deadline_ns =
		timeout_ms < 0 ? UINT64_MAX : now_ns + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	int r = tunnel_start(t);

	if (r == 0)
		r = loop_turn(t->shards->loop, now_ns, deadline_ns);
	return r < 0 ? r : atomic_load(&t->shards->error);
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

static uint64_t sum(const struct tunnel *t, size_t offset)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < t->shards->count; i++) {
		const char *at = (const char *)t->shards->all[i] + offset;

		total += DEVICE_READ(*(const uint64_t *)(const void *)at);
	}
	return total;
}

bool tunnel_counter(const struct tunnel *t, size_t index, const char **ret_name,
		    uint64_t *ret_value)
{
	if (index < DEVICE_STATS) {
		*ret_name = stat_names[index];
		*ret_value = sum(t, offsetof(struct tunnel, stats) + index * sizeof(uint64_t));
		return true;
	}
	index -= DEVICE_STATS;
	if (index >= DROP_REASONS)
		return false;
	*ret_name = drop_names[index];
	*ret_value = sum(t, offsetof(struct tunnel, drops) + index * sizeof(uint64_t)) +
		     t->shards->own_drops[index];
	return true;
}
