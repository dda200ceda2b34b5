/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of struct tunnel, and the steps that its files offer each other. A struct tunnel is
 * one shard: a thread with a TUN queue, sockets, sessions and timers of its own, that shares
 * nothing mutable with others. The first shard is also what callers hold; the fields of control in
 * it belong to the caller's thread (shards.h). Datagrams go out and packets go up through struct
 * device_io, so that two devices can be run against each other in memory.
 */
#ifndef WARREN_TUNNEL_DEVICE_H
#define WARREN_TUNNEL_DEVICE_H

#include <sys/uio.h>

#include "tunnel/aead.h"
#include "tunnel/allowedips.h"
#include "tunnel/coalesce.h"
#include "tunnel/cookie.h"
#include "tunnel/heap.h"
#include "tunnel/index.h"
#include "tunnel/noise.h"
#include "tunnel/peer.h"
#include "tunnel/ratelimiter.h"
#include "tunnel/routes.h"
#include "tunnel/staging.h"
#include "tunnel/tunnel.h"

enum drop_reason {
	DROP_RX_SHORT,	 /* length does not fit the type */
	DROP_RX_FOREIGN, /* not WireGuard, and nobody wants it */
	DROP_RX_BAD_MAC,
	DROP_RX_RATE_LIMITED,
	DROP_RX_COOKIE_SENT, /* handshake answered with a cookie reply */
	DROP_RX_BAD_HANDSHAKE,
	DROP_RX_UNKNOWN_PEER,
	DROP_RX_REPLAYED_HANDSHAKE,
	DROP_RX_HANDSHAKE_FLOOD,
	DROP_RX_BAD_COOKIE,
	DROP_RX_UNKNOWN_INDEX,
	DROP_RX_EXPIRED_SESSION,
	DROP_RX_BAD_PACKET, /* does not authenticate */
	DROP_RX_REPLAY,
	DROP_RX_BAD_INNER,   /* not an IP packet */
	DROP_RX_NOT_ALLOWED, /* source is not the peer's */
	DROP_RX_FILTER,
	DROP_RX_REDIRECT,  /* hook asked for what cannot be done */
	DROP_RX_TUN_WRITE, /* no TUN there, or it is down */
	DROP_TX_BAD_INNER,
	DROP_TX_NO_PEER,
	DROP_TX_OTHER_SHARD, /* steering does not know yet that the address moved */
	DROP_TX_FILTER,
	DROP_TX_REDIRECT,
	DROP_TX_STAGE_FULL,
	DROP_TX_GIVEN_UP, /* no handshake in REKEY_ATTEMPT_TIME */
	DROP_TX_NO_ENDPOINT,
	DROP_TX_SOCKET, /* send failed or would block */
	DROP_REASONS,
};

enum device_stat {
	STAT_RX_DATAGRAMS,
	STAT_RX_BYTES,
	STAT_RX_PACKETS, /* inner */
	STAT_RX_WRITES,	 /* super-packets written */
	STAT_TX_READS,	 /* super-packets read */
	STAT_TX_PACKETS,
	STAT_TX_BYTES,
	STAT_TX_TRAINS, /* messages handed to the socket */
	STAT_HANDSHAKES,
	STAT_SOURCE_LOST,
	STAT_GSO_LOST,
	DEVICE_STATS,
};

#define DEVICE_PACKET_MAX    65536
#define DEVICE_TX_READS	     128 /* super-packets of one batch */
#define DEVICE_TX_ARENA	     (4 * DEVICE_PACKET_MAX + 64)
#define DEVICE_SLAB_BYTES    (6 * DEVICE_PACKET_MAX)
#define DEVICE_TRAINS	     128
#define DEVICE_TRAIN_BYTES   65507 /* most that one UDP send takes */
#define DEVICE_TRAIN_COUNT   64	   /* UDP_MAX_SEGMENTS of Linux before 6.9 */
#define DEVICE_DEFAULT_MTU   1420
#define DEVICE_HANDSHAKE_TOS 0x88 /* AF41, as the kernel's WireGuard */

/* Equal-sized datagrams (the last may be shorter) to one endpoint, contiguous. */
struct train {
	uint8_t *data;
	uint32_t len;
	uint32_t seg_size;
	uint8_t tos; /* DSCP and ECN of the outer header */
	struct endpoint to;
	struct udp_source source;
	struct peer *peer; /* NULL when it is gone */
};

static inline uint32_t train_datagrams(const struct train *train)
{
	return (train->len + train->seg_size - 1) / train->seg_size;
}

struct device_io {
	void *send_ctx, *deliver_ctx;
	/* Sends trains in order; returns how many are done with (sent or lost), less than count
	 * when the socket is full (a train that was sent in part is shortened to the rest). */
	size_t (*send)(void *ctx, struct train *trains, size_t count);
	/* Writes one packet to a TUN: iov[0] is the vnet header. False: lost. */
	bool (*deliver)(void *ctx, enum tunnel_port port, const struct superpacket *p,
			const struct iovec *iov, int count);
};

/* Counters have one writer, so that no locked instruction is needed, and any reader. */
#define DEVICE_COUNT(counter, more)                                                                \
	__atomic_store_n(&(counter), (counter) + (uint64_t)(more), __ATOMIC_RELAXED)
#define DEVICE_READ(counter) __atomic_load_n(&(counter), __ATOMIC_RELAXED)

struct device_tx {
	uint8_t *arena; /* super-packets read */
	uint8_t *slab;	/* datagrams sealed */
	size_t slab_used;
	struct train trains[DEVICE_TRAINS];
	size_t train_first, train_count; /* waiting: [first, count) */
	bool blocked;			 /* the socket is full */
	/* In the trains, but still to be sealed: all under one session. */
	struct aead_job jobs[AEAD_BATCH];
	size_t job_count;
	struct keypair *job_keypair;
};

struct udp;
struct loop;
struct tunio;

struct shards;
struct snapshot;

struct tunnel {
	/* Never change. */
	struct shards *shards;
	unsigned number; /* of this shard */
	const struct clock *clock;
	const struct random_source *random;
	struct tunnel_hooks hooks;
	void *filter_ctx;
	bool roaming;

	/* Of the snapshot in force. */
	const struct snapshot *snapshot;
	struct routes routes;
	bool up;
	bool identity_set;
	uint16_t mtu[2]; /* by port; 0: unknown */

	struct aead_engine *aead;
	struct noise noise;
	struct cookie_checker checker;
	struct ratelimiter limiter;
	uint64_t load_window_ns; /* handshake messages in the current window, for "under load" */
	unsigned load_count;
	unsigned load_limit;
	uint64_t load_until_ns;
	uint64_t answer_ns; /* when the last ICMP message was made */
	uint32_t jitter;    /* state of timers.c's spread; 0: not seeded */

	struct index_table index;
	struct peer *own; /* peers of this shard */
	size_t own_count;
	struct heap timers;
	struct staging_pool staging;
	struct device_io io;
	struct device_tx tx;
	struct coalesce *rx;
	struct peer *rx_peer; /* whose packets are in rx */

	struct udp *udp;
	struct tunio *tunio;
	struct loop *loop;
	uint64_t drops[DROP_REASONS]; /* DEVICE_COUNT, DEVICE_READ */
	uint64_t stats[DEVICE_STATS];

	/* Control's: of how many peers there are in this shard; the rest in the first shard only.
	 */
	size_t given_peers;
	struct noise_identity identity;
	struct noise control_noise;
	uint8_t last_timestamp[WIRE_TIMESTAMP_BYTES];
	size_t max_peers;
	struct peer_table peers;
	struct allowedips allowed;
	int (*bind)(void *ctx, uint16_t port, uint32_t fwmark);
	void *bind_ctx;
	uint16_t listen_port;
	uint32_t fwmark;
	bool stopped;
};

/* device.c */
/* A device without operating system and threads, of one shard: the caller sets io. tunnel_new adds
 * loop, sockets and TUNs. */
int device_new(const struct tunnel_config *config, struct tunnel **ret_tunnel) WARREN_MUST_USE;
uint64_t device_now(const struct tunnel *t);
/* One turn of a shard's loop: waits at most timeout_ms (-1: until something happens), handles all
 * that is ready, then takes over what control changed. */
int device_turn(struct tunnel *t, int timeout_ms) WARREN_MUST_USE;
int device_set_private_key(struct tunnel *t,
			   const uint8_t key[static NOISE_KEY_BYTES]) WARREN_MUST_USE;

/* handshake.c: the shard's side */
void handshake_initiate(struct peer *p, bool is_retry, uint64_t now_ns);
void handshake_receive(struct tunnel *t, const uint8_t *data, size_t len,
		       const struct endpoint *from, const struct udp_source *source,
		       uint64_t now_ns);
struct note;
/* What control made of it: a message to send, a session. Takes note->keypair. */
void handshake_note(struct tunnel *t, const struct note *note, const uint8_t *data, size_t len);
/* control.c: the other side, on the control thread. t: the shard that tells. */
void control_note(struct tunnel *t, const struct note *note, const uint8_t *data, size_t len);
void control_closed(struct tunnel *t);

/* handshake.c */
/* Rekeys when the session in use is old or much used (paper section 6.2). */
void handshake_keep_fresh_sending(struct peer *p, uint64_t now_ns);
void handshake_keep_fresh_receiving(struct peer *p, uint64_t now_ns);

/* tx.c */
void tx_packets(struct tunnel *t, struct superpacket *packets, size_t count, uint64_t now_ns);
void tx_staged(struct peer *p, uint64_t now_ns);
void tx_keepalive(struct peer *p, uint64_t now_ns);
/* A message of the handshake, to the endpoint of p. */
void tx_message(struct peer *p, const void *msg, size_t len);
void tx_message_to(struct tunnel *t, const struct endpoint *to, const struct udp_source *source,
		   const void *msg, size_t len);
void tx_flush(struct tunnel *t);
/* What a full socket did not take is lost; after tx_flush. */
void tx_discard(struct tunnel *t);
/* Seals what is still plain; before a session ends, and before anything is sent. */
void tx_seal(struct tunnel *t);
void tx_forget_peer(struct tunnel *t, const struct peer *p);

/* rx.c */
/* Datagrams of seg_size (the last may be shorter; 0: one) from one sender. data is overwritten and
 * must stay until rx_flush, which sends up what was received since the last one. */
void rx_train(struct tunnel *t, uint8_t *data, size_t len, size_t seg_size,
	      const struct endpoint *from, const struct udp_source *source, uint64_t now_ns);
void rx_flush(struct tunnel *t, uint64_t now_ns);
/* What the main TUN takes as super-packets. */
void rx_set_offloads(struct tunnel *t, bool tso, bool uso);
/* The route from this address of ours leads elsewhere: the kernel chooses the source. */
void rx_refuse_source(struct peer *p, const struct udp_source *source);
/* Addresses or routes changed: it is asked again, or forgotten where nobody can be asked. */
void rx_recheck_source(struct peer *p, uint64_t now_ns);
/* Nothing is known about sources any more. */
void rx_forget_source(struct peer *p);
/* An authenticated packet of p came from here. */
void rx_endpoint(struct peer *p, const struct endpoint *from, const struct udp_source *source,
		 uint64_t now_ns);

#endif
