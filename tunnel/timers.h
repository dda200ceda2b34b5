/* SPDX-License-Identifier: Apache-2.0
 *
 * WireGuard's timers (paper section 6): what each event arms, and what happens when one is due.
 */
#ifndef WARREN_TUNNEL_TIMERS_H
#define WARREN_TUNNEL_TIMERS_H

#include "tunnel/peer.h"

#define REKEY_AFTER_MESSAGES  (UINT64_C(1) << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13))
#define REKEY_AFTER_TIME      (120 * NSEC_PER_SEC)
#define REJECT_AFTER_TIME     (180 * NSEC_PER_SEC)
#define REKEY_ATTEMPT_TIME    (90 * NSEC_PER_SEC)
#define REKEY_TIMEOUT	      (5 * NSEC_PER_SEC)
#define REKEY_JITTER	      (333 * NSEC_PER_MSEC)
#define KEEPALIVE_TIMEOUT     (10 * NSEC_PER_SEC)
#define MAX_HANDSHAKES	      (REKEY_ATTEMPT_TIME / REKEY_TIMEOUT)
#define NO_REPLY_TIME	      (1 * NSEC_PER_SEC)

void timers_data_sent(struct peer *p, uint64_t now_ns);
void timers_data_received(struct peer *p, uint64_t now_ns);
void timers_any_authenticated_sent(struct peer *p);
void timers_any_authenticated_received(struct peer *p);
void timers_any_authenticated_traversal(struct peer *p, uint64_t now_ns);
void timers_handshake_initiated(struct peer *p, uint64_t now_ns);
void timers_handshake_complete(struct peer *p, uint64_t now_ns);
void timers_session_derived(struct peer *p, uint64_t now_ns);
void timers_stop(struct peer *p);

/* Handles all that is due. */
void timers_run(struct tunnel *t, uint64_t now_ns);
/* The next deadline, UINT64_MAX when there is none. May be early, never late. */
uint64_t timers_next(const struct tunnel *t);

#endif
