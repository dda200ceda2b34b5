/* SPDX-License-Identifier: Apache-2.0
 *
 * The flow table: bounded, allocation-free after creation, fair between remote addresses. Internal
 * to policy/.
 */
#ifndef WARREN_POLICY_FLOW_H
#define WARREN_POLICY_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

#define FLOW_KEY_SSH	  1 /* belongs to the embedded SSH server; local_port is 22022 */
#define FLOW_KEY_ECHO_OUT 2 /* ICMP query that we sent: both sides may use one identifier */

/* Hashed and compared as bytes; both directions of a flow have the same key. */
struct flow_key {
	uint8_t remote[16]; /* IPv4 in the first four */
	uint16_t local_port, remote_port;
	uint8_t family, proto, flags, zero;
};
_Static_assert(sizeof(struct flow_key) == 24, "no padding: it is hashed");

enum flow_state {
	FLOW_NEW,      /* UDP and others: nothing came back yet */
	FLOW_REPLIED,  /* UDP and others */
	FLOW_SYN_SENT, /* TCP from here on */
	FLOW_SYN_RECEIVED,
	FLOW_ESTABLISHED, /* with fins: one side has finished */
	FLOW_TIME_WAIT,	  /* both have */
	FLOW_RESET,
};

struct flow {
	struct flow_key key;
	uint64_t expires_ns;
	uint64_t touched_ns; /* when it was last moved to the young end of its list */
	uint32_t generation; /* of the rules that judged it */
	uint16_t orig_port;  /* the port that the policy judged */
	bool out;	     /* we opened it */
	uint8_t state;	     /* enum flow_state */
	uint8_t fins;	     /* 1: the opener's FIN was seen, 2: the other's */
	bool resumed;	     /* picked up in the middle: who opened it is a guess */
	/* The table's own. */
	uint8_t list;
	bool used;
	uint32_t remote, hash_next, prev, next;
};

struct flow_table;

int flow_table_new(size_t max_flows, const uint8_t seed[16],
		   struct flow_table **ret_table) WARREN_MUST_USE;
void flow_table_free(struct flow_table *t);
/* NULL when there is none or it expired (then it is removed). */
struct flow *flow_find(struct flow_table *t, const struct flow_key *key, uint64_t now_ns);
/* key must not be in the table. Makes room at the expense of the remote with the most flows: its
 * oldest that never was answered, else its oldest. NULL when nobody has more than one flow. */
struct flow *flow_insert(struct flow_table *t, const struct flow_key *key, uint64_t now_ns);
void flow_remove(struct flow_table *t, struct flow *flow);
/* Sets the expiry and the place in the order of eviction. answered: keep longer than those that
 * never were. */
void flow_refresh(struct flow_table *t, struct flow *flow, bool answered, uint64_t timeout_ns,
		  uint64_t now_ns);
size_t flow_count(const struct flow_table *t);
/* Removes all flows whose key has one of these flags (0: all). */
void flow_remove_flagged(struct flow_table *t, uint8_t flags);

#endif
