/* SPDX-License-Identifier: Apache-2.0
 *
 * What a TCP segment does to its flow. Internal to policy/.
 */
#ifndef WARREN_POLICY_TCP_STATE_H
#define WARREN_POLICY_TCP_STATE_H

#include "policy/flow.h"

enum tcp_step {
	TCP_STEP_PASS,
	TCP_STEP_DROP,	/* makes no sense in this state */
	TCP_STEP_AGAIN, /* a new connection on the ports of one that is over: judge it as new */
};

/* Changes state and fins of the flow for a segment with these flags (FILTER_TCP_*). opener: the
 * segment comes from the side that opened the flow. */
enum tcp_step tcp_state_step(struct flow *flow, bool opener, uint8_t flags);
/* How long the flow may stay silent in its state. */
uint64_t tcp_state_timeout_ns(const struct flow *flow);

#endif
