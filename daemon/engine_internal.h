/* SPDX-License-Identifier: Apache-2.0
 *
 * What engine.c (messages) and engine_main_link.c (the socket to main) share.
 */
#ifndef WARREN_DAEMON_ENGINE_INTERNAL_H
#define WARREN_DAEMON_ENGINE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/options.h"
#include "daemon/wire.h"
#include "platform/log.h"
#include "policy/filter.h"
#include "tunnel/tunnel.h"

/* An answer that main's socket had no room for. */
struct engine_pending {
	struct engine_pending *next;
	size_t len;
	uint8_t data[];
};

/* What a thread of the tunnel judges its packets with; changed between two batches of it only. */
struct engine_shard {
	struct filter *filter;
	uint8_t ssh_mode;	     /* enum wire_ssh_mode */
	struct log_limit drop_limit; /* log lines about dropped packets */
	int result;		     /* of the last change */
};

struct engine {
	struct tunnel *tunnel;
	unsigned shard_count;
	struct engine_shard shards[DAEMON_MAX_SHARDS];
	/* Descriptors by enum wire_attach (WIRE_ATTACH_UDP: IPv4, and IPv6 behind it), until those of
	 * the last shard are here; -1: none. */
	int waiting[WIRE_ATTACH_UDP + 2][DAEMON_MAX_SHARDS];
	void *policy; /* the block that the filters read; NULL: none, nothing passes */
	size_t policy_len;
	bool stop;
	int exit_status;
	int main_fd; /* -1: main is away */
	int routes;  /* netlink_route_get */
	struct engine_pending *pending, **pending_tail;
	size_t pending_bytes;
	struct log_limit foreign_limit; /* datagrams that are not WireGuard */
	uint64_t foreign_dropped;
	uint8_t in[DAEMON_MAX_MESSAGE];
	uint8_t out[DAEMON_MAX_MESSAGE];
};

/* Takes fd (blocking state is changed to non-blocking). */
int engine_main_attach(struct engine *e, int fd) WARREN_MUST_USE;
void engine_main_detach(struct engine *e);
/* Events and datagrams: dropped when main does not read. */
void engine_main_foreign(void *ctx, const struct endpoint *from, const uint8_t *data, size_t len);
void engine_main_event(struct engine *e, const struct tunnel_event *event);
/* Sends what waits; true when nothing is left. */
bool engine_main_flush(struct engine *e);

#endif
