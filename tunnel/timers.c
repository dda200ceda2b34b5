/* SPDX-License-Identifier: Apache-2.0
 *
 * The timers of the WireGuard paper section 6. Each peer holds its deadlines and one node in the
 * device's heap; a deadline that moves later leaves the node where it is, so that the packet path
 * only stores a number.
 */
#include "tunnel/timers.h"

#include <stddef.h>

#include "tunnel/device.h"
#include "tunnel/shards.h"

static void arm(struct peer *p, enum peer_timer timer, uint64_t deadline_ns)
{
	if (!p->running)
		return;
	p->timers[timer] = deadline_ns;
	if (!p->timer_node.position || deadline_ns < p->timer_node.deadline_ns)
		heap_set(&p->device->timers, &p->timer_node, deadline_ns);
}

static bool armed(const struct peer *p, enum peer_timer timer)
{
	return p->timers[timer] != 0;
}

static void disarm(struct peer *p, enum peer_timer timer)
{
	p->timers[timer] = 0;
}

/* Spreads machines that would otherwise act together; nobody gains from guessing it, so one seed
 * per device is enough (xorshift32) and the packet path makes no system call for it. */
static uint64_t jitter(const struct peer *p)
{
	struct tunnel *t = p->device;

	while (!t->jitter)
		random_bytes(t->random, &t->jitter, sizeof(t->jitter));
	t->jitter ^= t->jitter << 13;
	t->jitter ^= t->jitter >> 17;
	t->jitter ^= t->jitter << 5;
	return t->jitter % REKEY_JITTER;
}

void timers_data_sent(struct peer *p, uint64_t now_ns)
{
	if (!armed(p, PEER_TIMER_NEW_HANDSHAKE))
		arm(p, PEER_TIMER_NEW_HANDSHAKE,
		    now_ns + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + jitter(p));
	if (p->device->hooks.event && !armed(p, PEER_TIMER_NO_REPLY))
		arm(p, PEER_TIMER_NO_REPLY, now_ns + NO_REPLY_TIME);
}

void timers_data_received(struct peer *p, uint64_t now_ns)
{
	if (!armed(p, PEER_TIMER_KEEPALIVE))
		arm(p, PEER_TIMER_KEEPALIVE, now_ns + KEEPALIVE_TIMEOUT);
	else
		p->need_another_keepalive = true;
}

void timers_any_authenticated_sent(struct peer *p)
{
	disarm(p, PEER_TIMER_KEEPALIVE);
}

void timers_any_authenticated_received(struct peer *p)
{
	disarm(p, PEER_TIMER_NEW_HANDSHAKE);
	disarm(p, PEER_TIMER_NO_REPLY);
}

void timers_any_authenticated_traversal(struct peer *p, uint64_t now_ns)
{
	if (p->persistent_keepalive_s)
		arm(p, PEER_TIMER_PERSISTENT, now_ns + p->persistent_keepalive_s * NSEC_PER_SEC);
}

void timers_handshake_initiated(struct peer *p, uint64_t now_ns)
{
	arm(p, PEER_TIMER_RETRANSMIT, now_ns + REKEY_TIMEOUT + jitter(p));
}

void timers_handshake_complete(struct peer *p, uint64_t now_ns)
{
	disarm(p, PEER_TIMER_RETRANSMIT);
	p->handshake_attempts = 0;
	p->sent_lastminute_handshake = false;
	__atomic_store_n(&p->last_handshake_real_ns, clock_realtime_ns(p->device->clock),
			 __ATOMIC_RELAXED);
	DEVICE_COUNT(p->device->stats[STAT_HANDSHAKES], 1);
	peer_event(p, TUNNEL_EVENT_HANDSHAKE_DONE, &p->endpoint, now_ns);
}

void timers_session_derived(struct peer *p, uint64_t now_ns)
{
	arm(p, PEER_TIMER_ZERO_KEYS, now_ns + REJECT_AFTER_TIME * 3);
}

void timers_stop(struct peer *p)
{
	for (size_t i = 0; i < PEER_TIMERS; i++)
		p->timers[i] = 0;
	heap_remove(&p->device->timers, &p->timer_node);
	p->handshake_attempts = 0;
	p->need_another_keepalive = false;
	p->sent_lastminute_handshake = false;
}

static void retransmit(struct peer *p, uint64_t now_ns)
{
	if (p->handshake_attempts > MAX_HANDSHAKES) {
		disarm(p, PEER_TIMER_KEEPALIVE);
		/* No path: what waits is given up, and keys go unless they are in use. */
		DEVICE_COUNT(p->device->drops[DROP_TX_GIVEN_UP],
			     staging_clear(&p->device->staging, &p->staged));
		if (!armed(p, PEER_TIMER_ZERO_KEYS))
			arm(p, PEER_TIMER_ZERO_KEYS, now_ns + REJECT_AFTER_TIME * 3);
		peer_event(p, TUNNEL_EVENT_HANDSHAKE_GIVEN_UP, &p->endpoint, now_ns);
		return;
	}
	p->handshake_attempts++;
	/* Our own address may have changed. */
	p->source = (struct udp_source){0};
	handshake_initiate(p, true, now_ns);
}

static void zero_keys(struct peer *p, uint64_t now_ns)
{
	struct note note = {.type = NOTE_CLEAR, .peer = p};

	peer_clear_keys(p);
	/* What control has of a handshake goes too; when it is too busy to hear it, a bit later. */
	if (!shards_tell_control(p->device, &note, NULL, 0))
		arm(p, PEER_TIMER_ZERO_KEYS, now_ns + NSEC_PER_SEC);
}

static void due(struct peer *p, enum peer_timer timer, uint64_t now_ns)
{
	switch (timer) {
	case PEER_TIMER_RETRANSMIT:
		retransmit(p, now_ns);
		break;
	case PEER_TIMER_KEEPALIVE:
		tx_keepalive(p, now_ns);
		if (p->need_another_keepalive) {
			p->need_another_keepalive = false;
			arm(p, PEER_TIMER_KEEPALIVE, now_ns + KEEPALIVE_TIMEOUT);
		}
		break;
	case PEER_TIMER_NEW_HANDSHAKE:
		p->source = (struct udp_source){0};
		handshake_initiate(p, false, now_ns);
		break;
	case PEER_TIMER_ZERO_KEYS:
		zero_keys(p, now_ns);
		break;
	case PEER_TIMER_PERSISTENT:
		if (p->persistent_keepalive_s)
			tx_keepalive(p, now_ns);
		break;
	case PEER_TIMER_NO_REPLY:
		peer_event(p, TUNNEL_EVENT_NO_REPLY, &p->endpoint, now_ns);
		break;
	case PEER_TIMERS:
		break;
	}
}

void timers_run(struct tunnel *t, uint64_t now_ns)
{
	struct heap_node *node;

	while ((node = heap_first(&t->timers)) && node->deadline_ns <= now_ns) {
		struct peer *p =
			(struct peer *)(void *)((char *)node - offsetof(struct peer, timer_node));
		uint64_t next = UINT64_MAX;

		for (size_t i = 0; i < PEER_TIMERS; i++) {
			if (!p->timers[i] || p->timers[i] > now_ns)
				continue;
			p->timers[i] = 0;
			due(p, (enum peer_timer)i, now_ns);
		}
		for (size_t i = 0; i < PEER_TIMERS; i++)
			if (p->timers[i] && p->timers[i] < next)
				next = p->timers[i];
		if (next == UINT64_MAX)
			heap_remove(&t->timers, node);
		else
			heap_set(&t->timers, node, next);
	}
	ratelimiter_idle(&t->limiter, now_ns);
	tx_flush(t);
}

uint64_t timers_next(const struct tunnel *t)
{
	const struct heap_node *node = heap_first(&t->timers);

	return node ? node->deadline_ns : UINT64_MAX;
}
