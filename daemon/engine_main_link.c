/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's socket to main (daemon/PROTOCOL.md section 3). Packets never wait for main: what
 * main does not read is dropped (datagrams, events) or kept up to a limit (answers). A main that
 * sends what does not parse loses its socket; the broker gives a new one.
 */
#include "daemon/engine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/secret.h"
#include "platform/unixsock.h"

enum {
	MAX_PENDING_BYTES = 16 << 20,
	MAX_UAPI_REPLY = 16 << 20,
	MAX_UAPI_PART = 59000,
	MAX_POLICY_BYTES = 256 << 20,
	MESSAGES_PER_TURN = 32, /* packets get their turn in between */
};

static void forget_pending(struct engine *e)
{
	while (e->pending) {
		struct engine_pending *next = e->pending->next;

		secret_wipe(e->pending->data, e->pending->len);
		free(e->pending);
		e->pending = next;
	}
	e->pending_tail = &e->pending;
	e->pending_bytes = 0;
}

void engine_main_detach(struct engine *e)
{
	if (e->main_fd >= 0)
		tunnel_unwatch(e->tunnel, e->main_fd);
	file_close(&e->main_fd);
	forget_pending(e);
}

bool engine_main_flush(struct engine *e)
{
	while (e->pending && e->main_fd >= 0) {
		struct engine_pending *first = e->pending;
		int rc = unixsock_send(e->main_fd, first->data, first->len, NULL, 0);

		if (rc == -EAGAIN || rc == -ENOBUFS)
			return false;
		if (rc < 0) {
			engine_main_detach(e);
			return true;
		}
		e->pending = first->next;
		if (!e->pending)
			e->pending_tail = &e->pending;
		e->pending_bytes -= first->len;
		secret_wipe(first->data, first->len); /* it may be the private key */
		free(first);
	}
	return true;
}

/* An answer: never lost while main lives. */
static void answer(struct engine *e, const struct writer *w)
{
	struct engine_pending *p;

	if (e->main_fd < 0)
		return;
	p = w->failed || e->pending_bytes + w->len > MAX_PENDING_BYTES
		    ? NULL
		    : malloc(sizeof(*p) + w->len);
	if (!p) {
		log_error("main does not read its answers: closing its socket", NULL);
		engine_main_detach(e);
		return;
	}
	p->next = NULL;
	p->len = w->len;
	memcpy(p->data, w->data, w->len);
	*e->pending_tail = p;
	e->pending_tail = &p->next;
	e->pending_bytes += w->len;
	engine_main_flush(e);
}

/* An event: dropped when there is no room, and behind answers that wait. */
static bool tell(struct engine *e, const struct writer *w)
{
	int rc;

	if (e->main_fd < 0 || e->pending || w->failed)
		return false;
	rc = unixsock_send(e->main_fd, w->data, w->len, NULL, 0);
	/* The end of main is seen by the next read. */
	return rc == 0;
}

void engine_main_foreign(void *ctx, const struct endpoint *from, const uint8_t *data, size_t len)
{
	struct engine *e = ctx;
	struct writer w = writer_init(e->out, sizeof(e->out));

	if (!log_limit_allow(&e->foreign_limit, clock_monotonic_ns(&clock_system))) {
		e->foreign_dropped++;
		return;
	}
	wire_begin(&w, WIRE_DATAGRAM, 0);
	wire_put_endpoint(&w, from);
	writer_string(&w, data, len);
	if (!tell(e, &w))
		e->foreign_dropped++;
}

void engine_main_event(struct engine *e, const struct tunnel_event *event)
{
	struct writer w = writer_init(e->out, sizeof(e->out));

	wire_begin(&w, WIRE_EVENT, 0);
	writer_u8(&w, (uint8_t)event->type);
	writer_bytes(&w, event->peer_key, sizeof(event->peer_key));
	wire_put_endpoint(&w, &event->endpoint);
	(void)tell(e, &w);
}

/* Length of the next part of an answer: all of it, or up to a line's end that is not the last. */
static size_t part_length(const uint8_t *text, size_t len)
{
	size_t at = MAX_UAPI_PART;

	if (len <= MAX_UAPI_PART)
		return len;
	while (at > 1 && (text[at - 1] != '\n' || text[at - 2] == '\n'))
		at--;
	return at;
}

static int on_uapi(struct engine *e, uint32_t id, struct reader *r)
{
	struct buffer reply;
	const uint8_t *request;
	size_t len = 0, at = 0;
	int rc;

	request = reader_string(r, DAEMON_MAX_MESSAGE, &len);
	if (!reader_done(r))
		return -EBADMSG;
	buffer_init(&reply, MAX_UAPI_REPLY);
	rc = tunnel_uapi(e->tunnel, (const char *)request, len, &reply);
	if (rc < 0) {
		buffer_reset(&reply);
		if (buffer_printf(&reply, "errno=%d\n\n", -rc) < 0)
			reply.len = 0;
	}
	do {
		size_t part = part_length(reply.data + at, reply.len - at);
		struct writer w = writer_init(e->out, sizeof(e->out));

		wire_begin(&w, WIRE_UAPI_REPLY, id);
		writer_string(&w, reply.data + at, part);
		answer(e, &w);
		secret_wipe(e->out, w.len);
		at += part;
	} while (at < reply.len);
	buffer_done(&reply); /* holds the private key: wiped */
	return 0;
}

/* Maps a sealed memfd read-only. */
static int map_policy(int fd, void **ret_map, size_t *ret_len)
{
	const int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *map;

	if (seals < 0 || (seals & wanted) != wanted)
		return -EPERM; /* its maker could change it under the filter */
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || st.st_size > MAX_POLICY_BYTES)
		return -EMSGSIZE;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret_map = map;
	*ret_len = (size_t)st.st_size;
	return 0;
}

struct policy_change {
	struct engine *engine;
	const void *map;
	size_t len;
};

static void change_policy(void *ctx, unsigned shard)
{
	const struct policy_change *c = ctx;
	struct engine_shard *s = &c->engine->shards[shard];

	s->result = filter_set_rules(s->filter, c->map, c->len);
}

static int load_policy(struct engine *e, int fd)
{
	struct policy_change c = {.engine = e};
	void *map = NULL;
	size_t len = 0;
	int rc = map_policy(fd, &map, &len);

	if (rc < 0)
		return rc;
	c.map = map;
	c.len = len;
	/* What a shard failed at otherwise is not about this block, and comes up again. */
	(void)!tunnel_on_shards(e->tunnel, change_policy, &c);
	/* All look at the same bytes: all take it or none does. */
	rc = e->shards[0].result;
	if (rc < 0) {
		munmap(map, len);
		return rc; /* the old one stays in force */
	}
	if (e->policy)
		munmap(e->policy, e->policy_len);
	e->policy = map;
	e->policy_len = len;
	return 0;
}

static int on_policy(struct engine *e, uint32_t id, const struct reader *r, const int *fds,
		     size_t nfds)
{
	struct writer w = writer_init(e->out, sizeof(e->out));
	int rc;

	if (!reader_done(r) || nfds != 1)
		return -EBADMSG;
	rc = load_policy(e, fds[0]);
	if (rc < 0)
		log_error("refused a compiled policy", "error=%s", strerror(-rc));
	else
		log_debug("new policy in force", "bytes=%zu", e->policy_len);
	wire_begin(&w, WIRE_POLICY_REPLY, id);
	writer_u8(&w, rc == 0 ? 0 : 1);
	answer(e, &w);
	return 0;
}

static void put_counter(struct writer *w, const char *name, uint64_t value)
{
	writer_cstring(w, name);
	writer_u64(w, value);
}

static int on_stats(struct engine *e, uint32_t id, const struct reader *r)
{
	struct writer w = writer_init(e->out, sizeof(e->out));
	uint64_t drops[FILTER_DROP_REASONS] = {0}, value;
	uint32_t count = 0;
	const char *name;
	size_t flows = 0;

	if (!reader_done(r))
		return -EBADMSG;
	while (tunnel_counter(e->tunnel, count, &name, &value))
		count++;
	for (unsigned i = 0; i < e->shard_count; i++) {
		uint64_t more[FILTER_DROP_REASONS];
		size_t more_flows;

		filter_stats(e->shards[i].filter, &more_flows, more);
		flows += more_flows;
		for (int k = 0; k < FILTER_DROP_REASONS; k++)
			drops[k] += more[k];
	}
	wire_begin(&w, WIRE_STATS_REPLY, id);
	/* FILTER_PASS is no drop. */
	writer_u32(&w, count + FILTER_DROP_REASONS - 1 + 2);
	for (uint32_t i = 0; i < count && tunnel_counter(e->tunnel, i, &name, &value); i++)
		put_counter(&w, name, value);
	put_counter(&w, "flows", flows);
	put_counter(&w, "foreign_dropped", e->foreign_dropped);
	for (int i = FILTER_PASS + 1; i < FILTER_DROP_REASONS; i++) {
		char text[64] = "drop_";
		const char *reason = filter_drop_name((enum filter_drop)i);
		size_t len = strnlen(reason, sizeof(text) - 6);

		memcpy(text + 5, reason, len);
		put_counter(&w, text, drops[i]);
	}
	answer(e, &w);
	return 0;
}

static int on_send(struct engine *e, struct reader *r)
{
	struct endpoint to;
	const uint8_t *data;
	size_t len = 0;
	int rc;

	wire_get_endpoint(r, &to);
	data = reader_string(r, DAEMON_MAX_MESSAGE, &len);
	if (!reader_done(r))
		return -EBADMSG;
	/* Datagrams may be lost on any way. */
	rc = endpoint_is_set(&to) ? tunnel_send_foreign(e->tunnel, &to, data, len) : -EDESTADDRREQ;
	if (rc < 0 && log_enabled(LOG_LEVEL_DEBUG)) {
		char text[ENDPOINT_STRLEN];

		log_debug("a datagram was not sent", "to=%s error=%s", endpoint_format(&to, text),
			  strerror(-rc));
	}
	return 0;
}

static int on_up(struct engine *e, struct reader *r)
{
	uint8_t up = reader_u8(r);

	if (!reader_done(r) || up > 1)
		return -EBADMSG;
	tunnel_set_up(e->tunnel, up == 1);
	return 0;
}

static int dispatch(struct engine *e, struct reader *r, const int *fds, size_t nfds)
{
	uint8_t type = reader_u8(r);
	uint32_t id = reader_u32(r);

	if (r->failed || (nfds > 0 && type != WIRE_POLICY))
		return -EBADMSG;
	switch (type) {
	case WIRE_UAPI:
		return on_uapi(e, id, r);
	case WIRE_POLICY:
		return on_policy(e, id, r, fds, nfds);
	case WIRE_SEND:
		return on_send(e, r);
	case WIRE_STATS:
		return on_stats(e, id, r);
	case WIRE_UP:
		return on_up(e, r);
	default:
		return -EBADMSG;
	}
}

static void on_readable(void *ctx, int fd)
{
	struct engine *e = ctx;

	for (int i = 0; i < MESSAGES_PER_TURN && e->main_fd == fd; i++) {
		int fds[UNIXSOCK_MAX_FDS];
		size_t nfds = 0;
		ssize_t n = unixsock_recv(fd, e->in, sizeof(e->in), fds, &nfds, MSG_DONTWAIT);
		struct reader r;
		uint8_t type;
		int rc;

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			log_info("main went away: tunnels stay as they are", NULL);
			engine_main_detach(e);
			return;
		}
		r = reader_init(e->in, (size_t)n);
		type = e->in[0];
		rc = dispatch(e, &r, fds, nfds);
		if (type == WIRE_UAPI) /* keys in hexadecimal digits */
			secret_wipe(e->in, (size_t)n);
		for (size_t k = 0; k < nfds; k++)
			close(fds[k]);
		if (rc < 0) {
			log_error("a message of main does not parse: closing its socket", "type=%u",
				  type);
			engine_main_detach(e);
		}
	}
}

int engine_main_attach(struct engine *e, int fd)
{
	int rc;

	engine_main_detach(e);
	rc = file_set_nonblock(fd, true);
	if (rc == 0)
		rc = tunnel_watch(e->tunnel, fd, on_readable, e);
	if (rc < 0)
		return rc;
	e->main_fd = fd;
	return 0;
}
