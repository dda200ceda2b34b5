/* SPDX-License-Identifier: Apache-2.0
 *
 * The stateful filter: a compiled block from policy_compile, a flow table, and a verdict per
 * (super-)packet. No allocation after filter_new, no I/O, time is passed in. Fails closed: without a
 * block nothing passes; a block that does not validate is refused and the old one stays.
 */
#ifndef WARREN_POLICY_FILTER_H
#define WARREN_POLICY_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/error.h"

enum filter_dir { FILTER_OUT, FILTER_IN };

enum filter_drop {
	FILTER_PASS = 0,
	FILTER_DROP_NO_POLICY,   /* no block loaded */
	FILTER_DROP_MALFORMED,   /* header does not parse */
	FILTER_DROP_SPOOFED,     /* from the mesh with one of our own addresses, or not addressed to us */
	FILTER_DROP_DENIED,      /* no rule allows it, or a rule denies it */
	FILTER_DROP_STATE,       /* TCP segment in the middle of no flow */
	FILTER_DROP_FRAGMENT,    /* a later fragment of nothing we know */
	FILTER_DROP_TABLE_FULL,
	FILTER_DROP_REASONS,
};

struct filter;

struct filter_result {
	enum filter_drop drop;   /* FILTER_PASS: let it through */
	bool to_ssh;             /* IN: belongs to the embedded SSH server (second TUN) */
	uint16_t rewrite_port;   /* IN: new destination port; OUT: new source port; 0: none.
				  * Of an ICMP error it is the other port of the TCP segment quoted in it */
};

/* max_flows: table size (rounded up to a power of two; 0: 65,536). seed: for the hash. */
int filter_new(size_t max_flows, const uint8_t seed[16], struct filter **ret_filter) WARREN_MUST_USE;
void filter_free(struct filter *f);
/* Validates the block (bounds, versions) and switches to it; every cached flow is judged again on its
 * next packet. The block is borrowed and must stay mapped, unchanged, until the next call. */
int filter_set_rules(struct filter *f, const void *blob, size_t len) WARREN_MUST_USE;
/* SSH interception (design section 8): TCP to our addresses, port 22 or 22022, goes to the second
 * TUN, port 22 as 22022 (after the verdict on the original port). Off: nothing is intercepted. */
void filter_set_ssh(struct filter *f, bool intercept);
/* Until then TCP connections are picked up in the middle, where the rules allow that either side opened
 * them: those that another filter knew, in a process before this one. Never before it was called. */
void filter_resume(struct filter *f, uint64_t until_ns);
/* Judges one inner packet (data from the IP header on, len of the whole super-packet). from_ssh: OUT
 * packets that were read from the second TUN. ecn/ttl are not touched. */
void filter_check(struct filter *f, enum filter_dir dir, bool from_ssh, const uint8_t *data, size_t len,
		  uint64_t now_ns, struct filter_result *ret_result);
/* Statistics: flows in use, and drops per reason[FILTER_DROP_REASONS]. Also while another thread
 * judges packets. */
void filter_stats(const struct filter *f, size_t *ret_flows, uint64_t ret_drops[FILTER_DROP_REASONS]);
const char *filter_drop_name(enum filter_drop drop);

#endif
