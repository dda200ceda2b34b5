/* SPDX-License-Identifier: Apache-2.0
 *
 * The WireGuard device: protocol state, packet path and loop, for warren-wg and for warrend's
 * engine. One thread, control, calls everything here; packets run in threads of their own, the
 * shards. The caller hands in descriptors that are already open (TUN, UDP) so that the process that
 * runs packets needs no privilege and no system call to get them. The unit through every stage is a
 * super-packet; hooks see arrays of them.
 */
#ifndef WARREN_TUNNEL_TUNNEL_H
#define WARREN_TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/buffer.h"
#include "platform/clock.h"
#include "platform/error.h"
#include "platform/tun.h"

#define TUNNEL_KEY_BYTES 32

enum tunnel_direction {
	TUNNEL_TX, /* read from a TUN of ours, before segmentation and encryption */
	TUNNEL_RX, /* decrypted, allowed-IPs checked, coalesced, before it is written to a TUN */
};

enum tunnel_port {
	TUNNEL_PORT_MAIN, /* the interface people see */
	TUNNEL_PORT_SSH,  /* the second TUN, in the SSH server's namespace (design section 8) */
};

/* A run of segments that share a 5-tuple; a plain packet is one segment. data holds the inner IP
 * packet from its IP header on: for count > 1 a GSO packet whose transport payload is cut every
 * seg_size bytes. */
struct superpacket {
	uint8_t *data;
	uint32_t len;
	uint16_t seg_size; /* transport payload bytes per segment; 0 when count is 1 */
	uint16_t count;
	uint16_t csum_start; /* with needs_csum: as in virtio_net_hdr */
	uint16_t csum_offset;
	bool needs_csum;       /* stored transport checksum covers the pseudo-header only */
	uint8_t gso_type;      /* VIRTIO_NET_HDR_GSO_* */
	enum tunnel_port port; /* TX: where it was read from. RX: where the hook sends it */
	uint16_t rewrite_port; /* set by the hook, host order, 0: none. TX: new TCP source port;
				* RX: new TCP destination port. The tunnel fixes the checksum. */
	bool csum_valid;       /* the transport checksum was verified (single RX packets) */
	uint32_t head_len; /* RX: bytes that lie at data (headers and the first segment's payload);
			    * the rest is gathered when it is written. 0 (TX): all len bytes do.
			    * Hooks that read beyond the headers stop here. */
	bool drop; /* set by the hook; dropped until the hook clears it when a hook is set */
};

struct tunnel;

enum tunnel_event_type {
	TUNNEL_EVENT_HANDSHAKE_DONE, /* a session is confirmed */
	TUNNEL_EVENT_NEED_ENDPOINT,  /* traffic for a peer that has no endpoint */
	TUNNEL_EVENT_NO_REPLY,	     /* data went out, nothing authenticated came back for 1 s */
	TUNNEL_EVENT_HANDSHAKE_GIVEN_UP, /* REKEY_ATTEMPT_TIME passed */
	TUNNEL_EVENT_ROAMED, /* authenticated packet from another endpoint (reported in both modes)
			      */
	TUNNEL_EVENT_CLOSED, /* TUN or UAPI socket gone: the loop ends */
};

struct tunnel_event {
	enum tunnel_event_type type;
	uint8_t peer_key[TUNNEL_KEY_BYTES];
	struct endpoint endpoint; /* where it applies */
};

/* Hooks run in the middle of a batch: from inside them only tunnel_send_foreign, tunnel_watch,
 * tunnel_unwatch and tunnel_stop may be called. (The ready functions of tunnel_watch may call
 * everything but tunnel_free and tunnel_run.) */
struct tunnel_hooks {
	void *ctx;
	/* The filter (NULL: everything passes), called on the threads of the shards, with
	 * filter_ctx of the configuration. Sets ->drop = false on what may pass, and port and
	 * rewrite_port where it redirects. Called once per batch. peer_key is the peer a packet
	 * goes to or came from and is valid during the call; one call never mixes peers. */
	void (*filter)(void *ctx, enum tunnel_direction dir, const uint8_t peer_key[32],
		       struct superpacket *packets, size_t count, uint64_t now_ns);
	/* A datagram whose first byte is not a WireGuard type 1-4 with three zero bytes (or NULL:
	 * dropped). Never called with more than 65,535 bytes. */
	void (*foreign)(void *ctx, const struct endpoint *from, const uint8_t *data, size_t len);
	/* Rate-limited per peer to one of each type a second. */
	void (*event)(void *ctx, const struct tunnel_event *event);
	/* Packets for our address `source` came in at interface ifindex: do those from there to
	 * `to` leave by it? Asked when a peer's source changes and after tunnel_forget_sources;
	 * false: the kernel chooses the source (NULL: always true). */
	bool (*source)(void *ctx, const struct endpoint *to, const struct ip_addr *source,
		       unsigned ifindex);
};

struct tunnel_config {
	const struct clock *clock;	    /* NULL: clock_system */
	const struct random_source *random; /* NULL: random_system */
	struct tunnel_hooks hooks;
	bool roaming; /* endpoints follow authenticated packets (warren-wg); false: caller owns them
		       */
	unsigned shards;	 /* 0: 1; at most 64 */
	void *const *filter_ctx; /* [shards], for the filter; NULL: hooks.ctx for all */
	size_t max_peers;	 /* 0: 10,000 */
	const char *aead;	 /* engine of aead.h: "evp", "ipsec-mb"; NULL: best for this CPU */
};

int tunnel_new(const struct tunnel_config *config, struct tunnel **ret_tunnel) WARREN_MUST_USE;
void tunnel_free(struct tunnel *t); /* closes what it owns, wipes keys */
/* Makes the threads of the shards (tunnel_run and tunnel_run_once do it too): for callers that may
 * not do so later. After any fork. -EAGAIN, -ENOMEM, -errno. */
int tunnel_start(struct tunnel *t) WARREN_MUST_USE;
unsigned tunnel_shards(const struct tunnel *t);

/* One queue per shard: all are taken on success, none otherwise; replaces (and closes) the former
 * ones; -1 detaches. */
int tunnel_attach_tuns(struct tunnel *t, enum tunnel_port port, const int *fds, size_t count,
		       const struct tun_caps *caps) WARREN_MUST_USE;
/* IPv4 and IPv6 UDP sockets, bound and non-blocking, per shard (either may be -1). All are taken on
 * success, none otherwise. */
int tunnel_attach_udps(struct tunnel *t, const int *fds4, const int *fds6,
		       size_t count) WARREN_MUST_USE;
/* The same for one shard; -1 detaches for any number. */
int tunnel_attach_tun(struct tunnel *t, enum tunnel_port port, int fd,
		      const struct tun_caps *caps) WARREN_MUST_USE;
int tunnel_attach_udp(struct tunnel *t, int fd4, int fd6) WARREN_MUST_USE;
/* The port of the sockets, also after they were detached; 0: none yet. */
uint16_t tunnel_listen_port(const struct tunnel *t);
/* The maps of platform/bpf.h that the TUNs' steering programs read: kept up to date with allowed
 * IPs from here on. Takes both on success. */
int tunnel_set_steering(struct tunnel *t, int map4, int map6) WARREN_MUST_USE;
/* Calls call(ctx, shard) on every shard's thread between two batches, and returns when all have. */
int tunnel_on_shards(struct tunnel *t, void (*call)(void *ctx, unsigned shard),
		     void *ctx) WARREN_MUST_USE;
/* Opens such a pair on one port (0: any), close-on-exec, with SO_MARK when fwmark is not 0. A
 * family that the machine lacks is -1. Needs no tunnel: for whoever may open sockets. -EADDRINUSE,
 * -errno. */
int tunnel_udp_open(uint16_t port, uint32_t fwmark, int *ret_fd4, int *ret_fd6) WARREN_MUST_USE;
/* Such pairs for so many shards on one port; the kernel chooses the socket by the receiver index.
 */
int tunnel_udp_open_many(uint16_t port, uint32_t fwmark, size_t count, int *ret_fds4,
			 int *ret_fds6) WARREN_MUST_USE;
/* A descriptor of the caller that the loop watches for input (UAPI listener, control socket). */
int tunnel_watch(struct tunnel *t, int fd, void (*ready)(void *ctx, int fd),
		 void *ctx) WARREN_MUST_USE;
void tunnel_unwatch(struct tunnel *t, int fd);

/* One UAPI request without its final empty line ("get=1\n" or "set=1\nkey=value\n…"): appends the
 * whole answer including "errno=N\n\n" to reply. Keys as wireguard-go's; Warren's extensions are in
 * tunnel/PROTOCOL.md. listen_port and fwmark need the caller (uapi_ops in warren-wg). */
int tunnel_uapi(struct tunnel *t, const char *request, size_t len,
		struct buffer *reply) WARREN_MUST_USE;
/* Called when UAPI asks for another listen_port or fwmark: returns 0 after attaching, or -errno. */
void tunnel_set_bind_hook(struct tunnel *t, int (*bind)(void *ctx, uint16_t port, uint32_t fwmark),
			  void *ctx);

/* Sends a datagram that is not WireGuard from the tunnel's socket (probes, STUN). Bounded retry
 * never blocks; -errno. */
int tunnel_send_foreign(struct tunnel *t, const struct endpoint *to, const void *data,
			size_t len) WARREN_MUST_USE;
/* Inner MTU of a TUN, so that padding never makes datagrams larger than the path allows (0: 1420).
 */
void tunnel_set_mtu(struct tunnel *t, enum tunnel_port port, uint16_t mtu);
/* Addresses or routes of this machine changed: local addresses learned from packets are asked about
 * again (hook source), or forgotten. */
void tunnel_forget_sources(struct tunnel *t);
/* The device up (handshakes, keepalives, traffic) or down. */
void tunnel_set_up(struct tunnel *t, bool up);

/* Runs until tunnel_stop or a CLOSED event; -errno when the loop itself fails. */
int tunnel_run(struct tunnel *t) WARREN_MUST_USE;
/* One turn: waits at most timeout_ms (-1: until something happens), handles all that is ready. */
int tunnel_run_once(struct tunnel *t, int timeout_ms) WARREN_MUST_USE;
void tunnel_stop(struct tunnel *t);
bool tunnel_stopped(const struct tunnel *t);

/* Counters by name for status and tests; index from 0, false past the end. */
bool tunnel_counter(const struct tunnel *t, size_t index, const char **ret_name,
		    uint64_t *ret_value);

#endif
