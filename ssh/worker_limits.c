/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections and channels that are idle for too long (sshd_config(5): ClientAliveInterval,
 * ClientAliveCountMax, ChannelTimeout, UnusedConnectionTimeout). The monitor names the limits; here
 * is where bytes are seen to move.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "platform/clock.h"
#include "ssh/config/sshd_config.h"
#include "ssh/worker_internal.h"

int worker_limits_ask(struct worker *w)
{
	struct worker_limits *l = &w->limits;
	struct worker_packet *answer;
	struct reader *r;
	uint32_t count;
	int rc;

	worker_monitor_begin(&w->monitor, MONITOR_LIMITS);
	rc = worker_monitor_call(&w->monitor, &answer);
	if (rc < 0)
		return rc;
	r = &answer->fields;
	w->max_sessions = reader_u32(r);
	l->alive_interval_s = reader_u32(r);
	l->alive_count_max = reader_u32(r);
	l->unused_timeout_s = reader_u32(r);
	count = reader_u32(r);
	for (uint32_t i = 0; i < count && i < WORKER_TIMEOUTS_MAX && !r->failed; i++) {
		reader_cstring(r, l->timeouts[i].type, sizeof(l->timeouts[i].type));
		l->timeouts[i].seconds = reader_u32(r);
		l->timeout_count++;
	}
	rc = reader_done(r) ? 0 : -EBADMSG;
	worker_packet_free(answer);
	if (w->max_sessions > MONITOR_WIRE_SESSIONS)
		w->max_sessions = MONITOR_WIRE_SESSIONS;
	l->heard_ns = l->unused_ns = worker_now_ns();
	return rc;
}

static uint64_t timeout_ns(const struct worker_limits *l, const char *type)
{
	for (size_t i = 0; i < l->timeout_count; i++)
		if (sshd_pattern(type, strlen(type), l->timeouts[i].type,
				 strlen(l->timeouts[i].type)))
			return l->timeouts[i].seconds * NSEC_PER_SEC;
	return 0;
}

static void check_client(struct worker *w, uint64_t now_ns)
{
	struct worker_limits *l = &w->limits;
	uint64_t received, sent;

	if (l->alive_interval_s == 0)
		return;
	libssh_server_bytes(w->server, &received, &sent);
	if (received != l->heard_bytes) {
		l->heard_bytes = received;
		l->heard_ns = now_ns;
		l->unanswered = 0;
	}
	if (now_ns < l->heard_ns + NSEC_PER_SEC * l->alive_interval_s * (l->unanswered + 1))
		return;
	if (l->alive_count_max > 0 && l->unanswered >= l->alive_count_max) {
		worker_end(w, "Timeout, client not responding");
		return;
	}
	l->unanswered++;
	libssh_server_keepalive(w->server);
}

static void check_channels(struct worker *w, uint64_t now_ns)
{
	for (size_t i = 0; w->limits.timeout_count > 0 && i < w->channel_count; i++) {
		struct channel *c = w->channels[i];
		uint64_t limit = timeout_ns(&w->limits, c->type);

		if (c->seen_bytes != c->taken + c->given) {
			c->seen_bytes = c->taken + c->given;
			c->active_ns = now_ns;
		}
		if (limit != 0 && c->state == CHANNEL_RUNNING && now_ns >= c->active_ns + limit)
			channel_abort(c);
	}
}

static void check_unused(struct worker *w, uint64_t now_ns)
{
	struct worker_limits *l = &w->limits;

	if (w->channel_count > 0)
		l->unused_ns = 0;
	else if (l->unused_ns == 0)
		l->unused_ns = now_ns;
	if (l->unused_timeout_s != 0 && l->unused_ns != 0 &&
	    now_ns >= l->unused_ns + l->unused_timeout_s * NSEC_PER_SEC)
		worker_end(w, "Connection was not used for too long");
}

void worker_limits_tick(struct worker *w, uint64_t now_ns)
{
	check_client(w, now_ns);
	check_channels(w, now_ns);
	check_unused(w, now_ns);
	worker_patience_tick(w, now_ns);
}

static void earlier(uint64_t *at, uint64_t other)
{
	if (other < *at)
		*at = other;
}

int worker_limits_timeout_ms(const struct worker *w, uint64_t now_ns, int most_ms)
{
	const struct worker_limits *l = &w->limits;
	uint64_t at = most_ms < 0 ? UINT64_MAX : now_ns + (uint64_t)most_ms * NSEC_PER_MSEC;

	if (l->alive_interval_s != 0)
		earlier(&at, l->heard_ns +
				     NSEC_PER_SEC * l->alive_interval_s * (l->unanswered + 1));
	for (size_t i = 0; l->timeout_count > 0 && i < w->channel_count; i++) {
		uint64_t limit = timeout_ns(l, w->channels[i]->type);

		if (limit != 0 && w->channels[i]->state == CHANNEL_RUNNING)
			earlier(&at, w->channels[i]->active_ns + limit);
	}
	if (l->unused_timeout_s != 0 && l->unused_ns != 0)
		earlier(&at, l->unused_ns + l->unused_timeout_s * NSEC_PER_SEC);
	if (w->patience.look_ns != 0)
		earlier(&at, w->patience.look_ns);
	if (at == UINT64_MAX)
		return -1;
	if (at <= now_ns)
		return 0;
	at = (at - now_ns) / NSEC_PER_MSEC + 1;
	return at > 60000 ? 60000 : (int)at;
}
