/* SPDX-License-Identifier: Apache-2.0
 *
 * Main's side of daemon/PROTOCOL.md section 3: UAPI requests, the compiled policy, datagrams and
 * events of the engine.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/main_core.h"
#include "platform/file.h"
#include "platform/log.h"
#include "tunnel/tunnel.h"

#define MAX_UAPI_REPLY (16u << 20)
/* Requests longer than a packet are cut between peers. */
#define MAX_UAPI_REQUEST 50000u

struct engine_request {
	struct main_core *m;
	main_engine_cb *done;
	void *ctx;
	struct buffer reply;
};

static void request_finish(struct engine_request *request, int result)
{
	if (request->done != NULL)
		request->done(request->m, request->ctx, result, (const char *)request->reply.data,
			      request->reply.len);
	buffer_done(&request->reply);
	free(request);
}

static bool whole(const struct buffer *b)
{
	return b->len >= 2 && memcmp(b->data + b->len - 2, "\n\n", 2) == 0;
}

static bool on_uapi_reply(void *ctx, uint8_t type, struct reader *r)
{
	struct engine_request *request = ctx;
	const uint8_t *text;
	size_t len = 0;

	if (r == NULL) {
		request_finish(request, -EPIPE);
		return false;
	}
	text = reader_string(r, DAEMON_MAX_MESSAGE, &len);
	if (type != WIRE_UAPI_REPLY || !reader_done(r) ||
	    buffer_append(&request->reply, text, len) < 0) {
		r->failed = true;
		request_finish(request, -EBADMSG);
		return false;
	}
	if (!whole(&request->reply))
		return true;
	/* Only the last line matters for success: "errno=0". */
	request_finish(request, request->reply.len >= 9 &&
						memcmp(request->reply.data + request->reply.len - 9,
						       "errno=0\n\n", 9) == 0
					? 0
					: -EREMOTEIO);
	return false;
}

static struct engine_request *request_new(struct main_core *m, main_engine_cb *done, void *ctx)
{
	struct engine_request *request = calloc(1, sizeof(*request));

	if (request == NULL || m->engine == NULL) {
		free(request);
		if (done != NULL)
			done(m, ctx, m->engine == NULL ? -ENOTCONN : -ENOMEM, "", 0);
		return NULL;
	}
	request->m = m;
	request->done = done;
	request->ctx = ctx;
	buffer_init(&request->reply, MAX_UAPI_REPLY);
	return request;
}

static void send_part(struct main_core *m, const char *head, const void *text, size_t len,
		      main_engine_cb *done, void *ctx)
{
	struct engine_request *request = request_new(m, done, ctx);
	struct writer w;

	if (request == NULL)
		return;
	w = main_link_begin(m->engine, WIRE_UAPI, on_uapi_reply, request);
	writer_u32(&w, (uint32_t)(strlen(head) + len));
	writer_bytes(&w, head, strlen(head));
	writer_bytes(&w, text, len);
	main_link_end(m->engine, &w, -1);
}

static void on_part(struct main_core *m, void *ctx, int result, const char *reply, size_t len)
{
	(void)m;
	(void)ctx;
	(void)len;
	if (result < 0)
		log_error("the engine refused a part of the configuration", "reply=\"%.40s\"",
			  reply == NULL ? "" : reply);
}

void main_engine_uapi(struct main_core *m, const void *text, size_t len, main_engine_cb *done,
		      void *ctx)
{
	const char *at = text, *end = at + len, *head = "";

	/* set=1 of many peers: cut in front of a public_key line, each part its own request. */
	while ((size_t)(end - at) > MAX_UAPI_REQUEST) {
		const char *cut = at + MAX_UAPI_REQUEST;

		while (cut > at && (cut[-1] != '\n' || strncmp(cut, "public_key=", 11) != 0))
			cut--;
		if (cut == at)
			break;
		send_part(m, head, at, (size_t)(cut - at), on_part, NULL);
		head = "set=1\n";
		at = cut;
	}
	send_part(m, head, at, (size_t)(end - at), done, ctx);
}

int main_memfd(const char *name, const void *data, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = file_write_all(fd, data, len);
	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		r = -errno;
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0) {
		file_close(&fd);
		return r;
	}
	return fd;
}

static bool on_policy_reply(void *ctx, uint8_t type, struct reader *r)
{
	struct engine_request *request = ctx;
	uint8_t result = r == NULL ? 1 : reader_u8(r);

	if (r != NULL && (type != WIRE_POLICY_REPLY || !reader_done(r)))
		r->failed = true;
	request_finish(request, r == NULL || r->failed ? -EPIPE : result == 0 ? 0 : -EINVAL);
	return false;
}

void main_engine_policy(struct main_core *m, const void *block, size_t len, main_engine_cb *done,
			void *ctx)
{
	struct engine_request *request = request_new(m, done, ctx);
	struct writer w;
	int fd;

	if (request == NULL)
		return;
	fd = main_memfd("warren-policy", block, len);
	if (fd < 0) {
		request_finish(request, fd);
		return;
	}
	w = main_link_begin(m->engine, WIRE_POLICY, on_policy_reply, request);
	main_link_end(m->engine, &w, fd);
	file_close(&fd);
}

void main_engine_send(struct main_core *m, const struct endpoint *to, const void *data, size_t len)
{
	struct writer w;

	if (m->engine == NULL)
		return;
	w = main_link_begin(m->engine, WIRE_SEND, NULL, NULL);
	wire_put_endpoint(&w, to);
	writer_string(&w, data, len);
	main_link_end_droppable(m->engine, &w);
}

void main_engine_up(struct main_core *m, bool up)
{
	struct writer w;

	if (m->engine == NULL)
		return;
	w = main_link_begin(m->engine, WIRE_UP, NULL, NULL);
	writer_u8(&w, up ? 1 : 0);
	main_link_end(m->engine, &w, -1);
}

/* ---- counters */

struct refresh {
	main_engine_cb *done;
	void *ctx;
};

static void on_refresh(struct main_core *m, void *ctx, int result, const char *reply, size_t len)
{
	struct refresh *refresh = ctx;
	struct peers_engine fresh;

	if (result == 0)
		result = peers_engine_parse(reply, len, &fresh);
	if (result == 0) {
		uint64_t now_ns = main_now_ns(m);

		for (size_t i = 0; i < fresh.count; i++) {
			const struct peers_engine_peer *old =
				peers_engine_find(&m->counters, fresh.list[i].key);

			if (old != NULL && (old->rx_bytes != fresh.list[i].rx_bytes ||
					    old->tx_bytes != fresh.list[i].tx_bytes))
				path_activity(m->path, fresh.list[i].key, now_ns);
		}
		peers_engine_done(&m->counters);
		m->counters = fresh;
	}
	if (refresh->done != NULL)
		refresh->done(m, refresh->ctx, result, reply, len);
	free(refresh);
}

void main_engine_refresh(struct main_core *m, main_engine_cb *done, void *ctx)
{
	struct refresh *refresh = malloc(sizeof(*refresh));

	if (refresh == NULL) {
		if (done != NULL)
			done(m, ctx, -ENOMEM, "", 0);
		return;
	}
	*refresh = (struct refresh){done, ctx};
	main_engine_uapi(m, "get=1\n", 6, on_refresh, refresh);
}

/* ---- what the engine tells */

static int on_datagram(struct main_core *m, struct reader *r)
{
	struct endpoint from;
	const uint8_t *data;
	size_t len = 0;

	wire_get_endpoint(r, &from);
	data = reader_string(r, DAEMON_MAX_MESSAGE, &len);
	if (!reader_done(r))
		return -EBADMSG;
	if (endpoint_is_set(&from))
		path_datagram(m->path, &from, data, len, main_now_ns(m));
	main_network_path_tick(m);
	return 0;
}

static int on_event(struct main_core *m, struct reader *r)
{
	uint8_t type = reader_u8(r);
	uint8_t key[32];
	struct endpoint ep;
	uint64_t now_ns = main_now_ns(m);

	reader_bytes(r, key, sizeof(key));
	wire_get_endpoint(r, &ep);
	if (!reader_done(r))
		return -EBADMSG;
	switch (type) {
	case TUNNEL_EVENT_NEED_ENDPOINT:
		path_need_endpoint(m->path, key, now_ns);
		break;
	case TUNNEL_EVENT_NO_REPLY:
	case TUNNEL_EVENT_HANDSHAKE_GIVEN_UP:
		path_no_reply(m->path, key, now_ns);
		break;
	case TUNNEL_EVENT_ROAMED:
		path_roamed(m->path, key, &ep, now_ns);
		break;
	case TUNNEL_EVENT_HANDSHAKE_DONE:
		path_activity(m->path, key, now_ns);
		break;
	default:
		break;
	}
	main_network_path_tick(m);
	return 0;
}

static int on_message(void *ctx, uint8_t type, uint32_t id, struct reader *r, int *fds, size_t nfds)
{
	struct main_core *m = ctx;

	(void)id;
	(void)fds;
	if (nfds > 0)
		return -EBADMSG;
	switch (type) {
	case WIRE_DATAGRAM:
		return on_datagram(m, r);
	case WIRE_EVENT:
		return on_event(m, r);
	case WIRE_UAPI_REPLY:
	case WIRE_POLICY_REPLY:
	case WIRE_STATS_REPLY:
		return 0; /* of a request that was given up */
	default:
		return -EBADMSG;
	}
}

static void on_ended(void *ctx)
{
	struct main_core *m = ctx;

	log_error("the engine is gone: ending, to be started again with a new one", NULL);
	main_stop(m, 1);
}

int main_engine_open(struct main_core *m, struct error *err)
{
	struct main_link_ops ops = {m, on_message, on_ended};
	int r;

	if (!m->options.engine)
		return 0;
	r = main_link_new(m->loop, WIRE_FD_ENGINE, "engine", &ops, &m->engine);
	return r < 0 ? error_set(err, r, "the socket to the engine (descriptor 4) is missing: %s",
				 strerror(-r))
		     : 0;
}
