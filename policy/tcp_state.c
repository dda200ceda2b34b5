/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP as far as a filter follows it (RFC 9293 section 3.3.2): opening, established, half-closed,
 * closed, reset. Sequence numbers are not followed: the other end of a flow is an authenticated
 * peer, who can spoil nobody's connections but its own.
 */
#include "policy/tcp_state.h"

#include "policy/packet.h"

#define SECONDS UINT64_C(1000000000)

static enum tcp_step on_syn(struct flow *flow, bool opener)
{
	switch ((enum flow_state)flow->state) {
	case FLOW_TIME_WAIT:
	case FLOW_RESET:
		return TCP_STEP_AGAIN;
	case FLOW_SYN_SENT:
		if (!opener)
			flow->state = FLOW_SYN_RECEIVED; /* simultaneous open */
		return TCP_STEP_PASS;
	case FLOW_SYN_RECEIVED:
		return TCP_STEP_PASS;
	case FLOW_ESTABLISHED:
		/* A restarted opener: the other side answers with a challenge (RFC 5961 section 4).
		 * From the other side it would be a connection that nobody judged. */
		return opener ? TCP_STEP_PASS : TCP_STEP_DROP;
	case FLOW_NEW:
	case FLOW_REPLIED:
		break;
	}
	return TCP_STEP_DROP;
}

static enum tcp_step on_syn_ack(struct flow *flow, bool opener)
{
	if (opener)
		return flow->state == FLOW_SYN_RECEIVED ? TCP_STEP_PASS : TCP_STEP_DROP;
	if (flow->state == FLOW_SYN_SENT)
		flow->state = FLOW_SYN_RECEIVED;
	return TCP_STEP_PASS;
}

enum tcp_step tcp_state_step(struct flow *flow, bool opener, uint8_t flags)
{
	if (flags & FILTER_TCP_SYN)
		return flags & FILTER_TCP_ACK ? on_syn_ack(flow, opener) : on_syn(flow, opener);
	if (flags & FILTER_TCP_RST) {
		flow->state = FLOW_RESET;
		return TCP_STEP_PASS;
	}
	if (!(flags & FILTER_TCP_ACK))
		return TCP_STEP_DROP;
	if (flow->state == FLOW_SYN_SENT)
		/* Before the answer the opener has nothing to acknowledge; the other side may
		 * challenge. */
		return opener || (flags & FILTER_TCP_FIN) ? TCP_STEP_DROP : TCP_STEP_PASS;
	if (flow->state == FLOW_SYN_RECEIVED && opener)
		flow->state = FLOW_ESTABLISHED;
	if (flags & FILTER_TCP_FIN)
		flow->fins |= opener ? 1 : 2;
	if (flow->state == FLOW_ESTABLISHED && flow->fins == 3)
		flow->state = FLOW_TIME_WAIT;
	return TCP_STEP_PASS;
}

uint64_t tcp_state_timeout_ns(const struct flow *flow)
{
	switch ((enum flow_state)flow->state) {
	case FLOW_SYN_SENT:
	case FLOW_SYN_RECEIVED:
		return 60 * SECONDS;
	case FLOW_ESTABLISHED:
		/* Idle sessions are what people leave open: as long as Linux's conntrack keeps
		 * them. */
		return flow->fins ? 3600 * SECONDS : 5 * 86400 * SECONDS;
	case FLOW_TIME_WAIT:
		return 120 * SECONDS;
	case FLOW_RESET:
		return 10 * SECONDS;
	case FLOW_NEW:
	case FLOW_REPLIED:
		break;
	}
	return 0;
}
