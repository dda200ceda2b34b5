/* SPDX-License-Identifier: Apache-2.0
 *
 * State shared by the files of the path machine: path.c (peers and events), path_probe.c (what is
 * sent and received), path_why.c (what people are told). Times are monotonic nanoseconds, 0: never.
 */
#ifndef WARREN_DAEMON_PATH_INTERNAL_H
#define WARREN_DAEMON_PATH_INTERNAL_H

#include "daemon/path.h"
#include "daemon/stun.h"

#define MS NSEC_PER_MSEC

/* daemon/PATHS.md section 3 */
#define PATH_TRUST_NS		(6500 * MS) /* after the last proof */
#define PATH_KEEPALIVE_BUSY_NS	(3000 * MS)
#define PATH_KEEPALIVE_QUIET_NS (20000 * MS)
#define PATH_BUSY_NS		(10000 * MS) /* traffic this recent counts as busy */
#define PATH_RETRY_NS		(700 * MS)
#define PATH_URGENT_NS		(1000 * MS) /* no pong after NO_REPLY: dropped */
#define PATH_COMPARE_NS		(60000 * MS)
#define PATH_WANTED_NS		(60000 * MS)
#define PATH_LOST_WANTED_NS	(600000 * MS)
#define PATH_ROUND_NS		(5000 * MS)
#define PATH_BACKOFF_MIN_NS	(1000 * MS)
#define PATH_BACKOFF_MAX_NS	(300000 * MS)
#define PATH_SIGNAL_GAP_NS	(3000 * MS) /* between a signal and an answering one */
#define PATH_SIGNAL_MIN_NS	(200 * MS)
#define PATH_STUN_WAIT_NS	(150 * MS) /* a first signal waits this long for our reflexive address \
					    */
#define PATH_STUN_FRESH_NS  (20000 * MS)
#define PATH_STUN_RETRY_NS  (500 * MS)
#define PATH_STUN_TRIES	    5
#define PATH_PENDING_NS	    (5000 * MS)
#define PATH_PENDING	    2048
#define PATH_QUIET_KEPT	    64 /* quiet paths that are kept open */
#define PATH_MAX_CANDIDATES 24
#define PATH_PONG_BURST	    32
#define PATH_NEVER	    UINT64_MAX

struct path_candidate {
	struct endpoint endpoint;
	uint8_t type;  /* enum probe_candidate_type */
	uint8_t tries; /* unanswered pings in a row */
	bool proven;
	uint64_t next_ping_ns; /* 0: none is due */
	uint64_t last_ping_ns, last_proof_ns;
	uint64_t rtt_ns;
	uint32_t sent, received;
};

struct path_peer {
	char id[32], name[64];
	uint8_t node_key[32], path_key[32];
	uint8_t shared[32]; /* secret */
	uint64_t key_id;
	bool usable; /* path key is a good point */
	bool marked; /* path_set_peers */

	struct path_candidate *candidates; /* [PATH_MAX_CANDIDATES], made when first needed */
	size_t count;
	struct path_candidate *current; /* what traffic uses and trusts; NULL: none */

	uint64_t wanted_until_ns;
	uint64_t activity_ns;	 /* last traffic */
	uint64_t round_start_ns; /* 0: no round is running */
	uint64_t next_round_ns;
	unsigned rounds_failed;
	uint64_t signal_due_ns, signal_out_ns, signal_in_ns;
	uint64_t sequence_in;
	int signal_result;     /* of the last one; 1: not known */
	uint64_t urgent_ns;    /* the current path must prove itself until then; 0: no doubt */
	uint64_t keepalive_ns; /* next one */
	uint64_t compare_ns;
	uint64_t lost_ns; /* when the last path was dropped */
	uint64_t pong_refill_ns;
	unsigned pongs;
};

struct path_pending {
	uint8_t txid[PROBE_TXID_BYTES];
	uint64_t sent_ns; /* 0: free */
	uint64_t token;	  /* of path_ping, 0: ours */
	uint64_t key_id;  /* who must answer */
	struct endpoint to;
};

struct path_stun {
	struct endpoint server;
	uint8_t txid[STUN_TXID_BYTES];
	bool waiting;
	unsigned tries;
	uint64_t sent_ns, answered_ns;
	struct endpoint mapped; /* unset: none yet */
};

struct path {
	struct path_ops ops;
	const struct random_source *random;
	bool active;
	uint8_t secret[32], public_key[32];
	uint64_t key_id;
	uint64_t sequence;
	struct path_peer **peers;
	size_t count;
	struct endpoint local[PATH_MAX_LOCAL];
	size_t local_count;
	struct ip_prefix overlay4, overlay6;
	/* Servers of each family are asked alike; an answer of the other family is our other
	 * address. */
	struct path_stun stun[PATH_MAX_STUN_SERVERS];
	size_t stun_count;
	struct path_pending pending[PATH_PENDING];
	size_t pending_next;
};

/* path.c */
struct path_peer *path_peer_by_id(const struct path *p, const char *id);
struct path_candidate *path_candidate_add(struct path *p, struct path_peer *peer,
					  const struct endpoint *ep, uint8_t type);
bool path_usable_candidate(const struct path *p, const struct endpoint *ep);
void path_round_start(struct path *p, struct path_peer *peer, uint64_t now_ns);
void path_choose(struct path *p, struct path_peer *peer, uint64_t now_ns);
bool path_wanted(const struct path_peer *peer, uint64_t now_ns);

/* path_probe.c */
void path_probe_send(struct path *p, struct path_peer *peer, struct path_candidate *c,
		     uint64_t token, uint64_t now_ns);
void path_probe_signal(struct path *p, struct path_peer *peer, uint64_t now_ns);
void path_probe_stun_start(struct path *p, bool force, uint64_t now_ns);
bool path_probe_stun_waiting(const struct path *p);
uint64_t path_probe_stun_tick(struct path *p, uint64_t now_ns);

#endif
