/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v1/stream: joins a peer's request with its stream in the state.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/api.h"
#include "control/state.h"

struct listener {
	struct server_request *request;
	struct stream *stream;
};

static int sink_write(void *ctx, const void *data, size_t len)
{
	struct listener *l = ctx;

	return server_stream_write(l->request, data, len);
}

static void sink_end(void *ctx)
{
	struct listener *l = ctx;

	server_request_on_close(l->request, NULL, NULL);
	server_stream_end(l->request);
	free(l);
}

static void on_close(void *ctx)
{
	struct listener *l = ctx;

	state_stream_gone(l->stream);
	free(l);
}

static void on_drain(void *ctx)
{
	struct listener *l = ctx;

	state_stream_drained(l->stream);
}

/* A number of the query; absent: 0. */
static int query_number(const struct server_request *r, const char *name, int64_t *ret_value)
{
	char text[24], *end;
	int e = server_form_value(server_request_query(r), name, text, sizeof(text));

	*ret_value = 0;
	if (e < 0)
		return e == -ENOENT ? 0 : e;
	if (!text[0] || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
		return -EINVAL;
	*ret_value = strtoll(text, &end, 10);
	return *end ? -EINVAL : 0;
}

static void get_stream(void *ctx, struct server_request *r)
{
	struct control *c = ctx;
	const struct state_peer *peer = api_authenticate(c, r);
	struct stream_sink sink = {sink_write, sink_end, NULL};
	int64_t epoch, cursor;
	struct listener *l;

	if (!peer)
		return;
	if (query_number(r, "epoch", &epoch) < 0 || query_number(r, "cursor", &cursor) < 0) {
		server_reply_error(r, 400, "bad_request", "epoch and cursor are whole numbers");
		return;
	}
	l = calloc(1, sizeof(*l));
	if (!l || server_stream_begin(r, "application/x-ndjson") < 0) {
		free(l);
		server_reply_error(r, 503, "unavailable", "the server is out of memory; try again");
		return;
	}
	l->request = r;
	sink.ctx = l;
	server_request_on_close(r, NULL, NULL);
	if (state_stream_open(c->state, peer->id, epoch, cursor, &sink, &l->stream) < 0) {
		sink_end(l);
		return;
	}
	server_request_on_close(r, on_close, l);
	server_stream_on_drain(r, on_drain, l);
}

int api_stream_routes(struct control *c)
{
	return server_route(c->server, 1u << SERVER_PUBLIC, "GET", "/v1/stream", get_stream, c);
}
