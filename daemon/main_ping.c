/* SPDX-License-Identifier: Apache-2.0
 *
 * `warren ping PEER`: probes over the path in use, one a second; a peer without a path is connected
 * first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/main_core.h"
#include "platform/json.h"

#define GAP_MS	   1000
#define CONNECT_MS 100 /* between looks whether there is a path */

struct main_ping {
	struct main_ping *next, **link;
	struct main_core *m;
	struct ipc_request *request;
	char peer[32];
	int64_t count, timeout_ms;
	int64_t sent, received;
	uint64_t token;	     /* of the probe under way, 0: none */
	uint64_t started_ns; /* of this probe, or of waiting for a path */
	uv_timer_t timer;
};

static void on_timer(uv_timer_t *timer);

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void end(struct main_ping *p)
{
	*p->link = p->next;
	if (p->next != NULL)
		p->next->link = p->link;
	uv_close((uv_handle_t *)&p->timer, on_closed);
}

static void finish(struct main_ping *p)
{
	struct ipc_request *r = p->request;

	r->on_gone = NULL;
	ipc_request_result(r, json_pack("{s:I,s:I}", "sent", (json_int_t)p->sent, "received",
					(json_int_t)p->received));
	end(p);
}

static void step(struct main_ping *p)
{
	uint64_t now_ns = main_now_ns(p->m);
	uint64_t limit_ns = (uint64_t)p->timeout_ms * NSEC_PER_MSEC;
	uint64_t wait_ms = CONNECT_MS;

	if (p->token != 0 || (p->started_ns != 0 && now_ns - p->started_ns >= limit_ns)) {
		/* No answer in time, or no path. */
		p->token = 0;
		p->started_ns = 0;
		if (p->sent >= p->count) {
			finish(p);
			return;
		}
	}
	if (p->started_ns == 0) {
		p->started_ns = now_ns;
		p->sent++;
	}
	p->token = ++p->m->ping_token;
	if (path_ping(p->m->path, p->peer, p->token, now_ns)) {
		p->started_ns = now_ns;
		wait_ms = (uint64_t)p->timeout_ms;
	} else {
		p->token = 0; /* looks again until the time is over */
	}
	main_network_path_tick(p->m);
	(void)uv_timer_start(&p->timer, on_timer, wait_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
	step(timer->data);
}

void main_ping_pong(struct main_core *m, uint64_t token, uint64_t rtt_ns, const struct endpoint *ep)
{
	char text[ENDPOINT_STRLEN];

	for (struct main_ping *p = m->pings; p != NULL; p = p->next) {
		if (p->token != token)
			continue;
		p->received++;
		p->token = 0;
		p->started_ns = 0;
		ipc_request_event(p->request, "pong",
				  json_pack("{s:I,s:f,s:s}", "seq", (json_int_t)p->sent,
					    "latency_ms", (double)rtt_ns / (double)NSEC_PER_MSEC,
					    "endpoint", endpoint_format(ep, text)));
		if (p->sent >= p->count)
			finish(p);
		else
			(void)uv_timer_start(&p->timer, on_timer, GAP_MS, 0);
		return;
	}
}

static void on_gone(struct ipc_request *r)
{
	end(r->data);
}

void main_ping(struct main_core *m, struct ipc_request *r)
{
	const struct peer *peer = main_ipc_peer(m, r);
	struct main_ping *p;
	int64_t count = 3, timeout_ms = 2000;

	if (peer == NULL)
		return;
	if ((json_object_get(r->args, "count") != NULL &&
	     json_get_int(r->args, "count", 1, 1000, &count, NULL) < 0) ||
	    (json_object_get(r->args, "timeout_ms") != NULL &&
	     json_get_int(r->args, "timeout_ms", 10, 60000, &timeout_ms, NULL) < 0)) {
		ipc_request_error(r, WARREN_EXIT_USAGE, "ping wants a count of 1 to 1000");
		return;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "no memory");
		return;
	}
	p->m = m;
	p->request = r;
	p->count = count;
	p->timeout_ms = timeout_ms;
	(void)stpcpy(p->peer, peer->id);
	(void)uv_timer_init(m->loop, &p->timer);
	p->timer.data = p;
	p->next = m->pings;
	p->link = &m->pings;
	if (m->pings != NULL)
		m->pings->link = &p->next;
	m->pings = p;
	r->data = p;
	r->on_gone = on_gone;
	step(p);
}
