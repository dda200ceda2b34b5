/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams: each peer's NDJSON (control/PROTOCOL.md section 5). A difference is always made between
 * what the peer was sent last and what its map is now, so a slow reader loses nothing: while it
 * does not read, nothing is made for it. Owns snapshots in pieces, signed heads, pings and
 * renewals.
 */
#include "control/state_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/encode.h"
#include "platform/json.h"
#include "platform/log.h"

#define FLUSH_SLICE_NS (20 * NSEC_PER_MSEC) /* of the loop's time, then others get a turn */

static void on_flush(uv_timer_t *timer)
{
	state_flush(timer->data);
}

static void schedule(struct state *s)
{
	if (s->timers && !s->stopping && !uv_is_active((uv_handle_t *)&s->flush))
		(void)uv_timer_start(&s->flush, on_flush, 0, 0);
}

void state_mark(struct state *s, struct entry *e)
{
	if (e->stream) {
		e->stream->dirty = true;
		schedule(s);
	}
}

void state_renew_maps(struct state *s)
{
	state_mark_all(s);
}

void state_mark_all(struct state *s)
{
	for (struct stream *t = s->streams; t; t = t->next)
		t->dirty = true;
	schedule(s);
}

void state_mark_around(struct state *s, struct entry *e)
{
	bool *concerned = state_concerned(s, e);

	if (!concerned) {
		state_mark_all(s);
		return;
	}
	state_mark(s, e);
	for (size_t i = 0; i < s->peer_count; i++)
		if (concerned[i])
			state_mark(s, s->peers[i]);
	free(concerned);
}

/* ---- lines ---- */

/* Takes object. -EAGAIN: the reader is slow. */
static int send_line(struct stream *t, json_t *object)
{
	size_t len = 0;
	char *text = object ? json_canonical(object, &len) : NULL;
	int r = -ENOMEM;

	json_decref(object);
	if (text && len + 1 > STATE_LINE_MAX) {
		r = -EMSGSIZE;
	} else if (text) {
		text[len] = '\n'; /* the place of the NUL */
		r = t->sink.write(t->sink.ctx, text, len + 1);
	}
	free(text);
	return r;
}

static int sign_head(struct state *s, const struct entry *e, const struct map *m, int64_t revision,
		     int64_t *ret_until, char **ret_text)
{
	uint8_t digest[32];
	char hex[ENCODE_HEX_SIZE(32)];
	int64_t until = state_now(s) + s->c->config->map_ttl_s;
	int r;

	map_digest(m, digest);
	encode_hex(hex, digest, sizeof(digest));
	json_t *payload = json_pack("{s:s,s:I,s:I,s:I,s:s}", "peer", e->row.id, "epoch",
				    (json_int_t)s->network.epoch, "revision", (json_int_t)revision,
				    "valid_until", (json_int_t)until, "digest", hex);
	if (!payload)
		return -ENOMEM;
	r = signer_object(s->c->signer, "map", payload, ret_text);
	json_decref(payload);
	if (r == 0)
		*ret_until = until;
	return r;
}

static void set_head(struct stream *t, char *head, int64_t until_s)
{
	free(t->head);
	t->head = head;
	t->head_until_s = until_s;
}

/* ---- snapshots ---- */

struct cursor {
	struct stream *t;
	size_t at; /* of the component that fn is called with */
};

static int send_component(void *ctx, const char *key, json_t *value)
{
	struct cursor *c = ctx;

	if (c->at++ < c->t->sending_at)
		return 0;
	int r = send_line(c->t,
			  json_pack("{s:s,s:s,s:O}", "type", "set", "key", key, "value", value));
	if (r == 0)
		c->t->sending_at++;
	return r;
}

/* Sends on; 0 when all of it is queued. */
static int snapshot_go_on(struct stream *t)
{
	struct entry *e = t->entry;
	struct cursor c = {t, 0};
	int r = map_each(t->sending, send_component, &c);

	if (r < 0)
		return r;
	if (!t->head) {
		char *head;
		int64_t until_s;

		r = sign_head(t->s, e, t->sending, t->sending_revision, &until_s, &head);
		if (r < 0)
			return r;
		set_head(t, head, until_s);
	}
	r = send_line(t, json_pack("{s:s,s:s}", "type", "end", "signed", t->head));
	if (r < 0)
		return r;
	map_free(e->sent);
	e->sent = t->sending;
	e->sent_revision = t->sending_revision;
	t->sending = NULL;
	return 0;
}

static int snapshot_begin(struct stream *t)
{
	struct map *m;
	int r = state_build_map(t->s, t->entry, &m);

	if (r < 0)
		return r;
	set_head(t, NULL, 0);
	t->sending = m;
	t->sending_at = 0;
	t->sending_revision = t->s->network.revision;
	t->dirty = false;
	r = send_line(t, json_pack("{s:s,s:I}", "type", "snapshot", "revision",
				   (json_int_t)t->sending_revision));
	return r < 0 ? r : snapshot_go_on(t);
}

/* ---- differences ---- */

static int send_delta(struct stream *t, struct map *now, json_t *ops, int64_t to)
{
	struct entry *e = t->entry;
	char *head;
	int64_t until_s;
	int r = sign_head(t->s, e, now, to, &until_s, &head);

	if (r < 0)
		return r;
	r = send_line(t, json_pack("{s:s,s:I,s:I,s:O,s:s}", "type", "delta", "from",
				   (json_int_t)e->sent_revision, "to", (json_int_t)to, "ops", ops,
				   "signed", head));
	if (r < 0) {
		free(head);
		return r;
	}
	set_head(t, head, until_s);
	e->sent_revision = to;
	return 0;
}

/* always: also when nothing changed (the answer to a cursor). */
static int delta(struct stream *t, bool always)
{
	struct entry *e = t->entry;
	struct map *now;
	int r = state_build_map(t->s, e, &now);

	if (r < 0)
		return r;
	json_t *ops = map_diff(e->sent, now);
	if (!ops)
		r = -ENOMEM;
	else if (json_array_size(ops))
		r = send_delta(t, now, ops,
			       t->s->network.revision > e->sent_revision ? t->s->network.revision
									 : e->sent_revision);
	else if (always)
		r = send_delta(t, now, ops, e->sent_revision);
	if (r == 0) {
		map_free(e->sent);
		e->sent = now;
		now = NULL;
		t->dirty = false;
	}
	map_free(now);
	json_decref(ops);
	return r;
}

/* ---- life of a stream ---- */

static void detach(struct stream *t)
{
	struct state *s = t->s;

	if (t->prev)
		t->prev->next = t->next;
	else
		s->streams = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->entry->stream = NULL;
	t->entry->last_seen_s = state_now(s);
	map_free(t->sending);
	free(t->head);
	free(t);
}

void state_stream_gone(struct stream *t)
{
	if (t)
		detach(t);
}

void state_stream_reset(struct stream *t, const char *reason)
{
	struct stream_sink sink = t->sink;

	(void)send_line(t, json_pack("{s:s,s:s}", "type", "reset", "reason", reason));
	detach(t);
	sink.end(sink.ctx);
}

/* What a result of sending means for the stream; false: it is gone. */
static bool settle(struct stream *t, int r)
{
	if (r == -EAGAIN) {
		t->blocked = true;
		return true;
	}
	if (r == 0)
		return true;
	if (r != -EPIPE)
		log_warn("a stream ends", "peer=%s error=%d", t->entry->row.id, r);
	/* Too long for one line, no memory, no signer: the peer asks again from the start. */
	if (t->entry->sent && r == -EMSGSIZE) {
		map_free(t->entry->sent);
		t->entry->sent = NULL;
	}
	state_stream_reset(t, "cursor");
	return false;
}

static bool update(struct stream *t)
{
	if (t->blocked)
		return true;
	if (t->sending)
		return settle(t, snapshot_go_on(t)) && (t->sending || !t->dirty || update(t));
	return settle(t, delta(t, false));
}

void state_flush(struct state *s)
{
	uint64_t start = uv_hrtime();

	for (struct stream *t = s->streams, *next; t; t = next) {
		next = t->next;
		if (t->dirty && !t->blocked)
			(void)update(t);
		if (next && uv_hrtime() - start > FLUSH_SLICE_NS) {
			schedule(s);
			return;
		}
	}
}

void state_stream_drained(struct stream *t)
{
	if (!t->blocked)
		return;
	t->blocked = false;
	if (t->sending || t->dirty)
		(void)update(t);
}

int state_stream_open(struct state *s, const char *peer, int64_t epoch, int64_t cursor,
		      const struct stream_sink *sink, struct stream **ret_stream)
{
	struct entry *e = state_entry(s, peer);
	struct stream *t;
	int r;

	if (!e)
		return -ENOENT;
	if (e->stream)
		state_stream_reset(e->stream, "restart");
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct stream){.s = s, .entry = e, .sink = *sink, .next = s->streams};
	if (t->next)
		t->next->prev = t;
	s->streams = t;
	e->stream = t;
	t->next_ping_ns = clock_monotonic_ns(s->c->clock) + STATE_PING_NS;
	r = send_line(t, json_pack("{s:s,s:I,s:I}", "type", "hello", "epoch",
				   (json_int_t)s->network.epoch, "time", (json_int_t)state_now(s)));
	if (r == 0 && e->sent && cursor > 0 && cursor == e->sent_revision &&
	    epoch == s->network.epoch)
		r = delta(t, true);
	else if (r == 0)
		r = snapshot_begin(t);
	if (r == -EAGAIN) {
		t->blocked = true;
		t->dirty = true;
		r = 0;
	}
	if (r < 0) {
		log_warn("a stream cannot begin", "peer=%s error=%d", peer, r);
		detach(t);
		return r;
	}
	*ret_stream = t;
	return 0;
}

static void ping(struct stream *t)
{
	struct state *s = t->s;
	struct entry *e = t->entry;
	int64_t ttl = s->c->config->map_ttl_s;

	if (t->blocked || t->sending || !e->sent)
		return;
	if (t->head && t->head_until_s - state_now(s) < ttl / 2) {
		char *head;
		int64_t until_s;

		if (sign_head(s, e, e->sent, e->sent_revision, &until_s, &head) == 0)
			set_head(t, head, until_s);
		t->dirty = true; /* the "ssh" component may be due as well */
		schedule(s);
	}
	(void)settle(t, send_line(t, json_pack("{s:s,s:s}", "type", "ping", "signed", t->head)));
}

void state_stream_tick(struct state *s)
{
	uint64_t now = clock_monotonic_ns(s->c->clock);

	for (struct stream *t = s->streams, *next; t; t = next) {
		next = t->next;
		if (now >= t->next_ping_ns) {
			t->next_ping_ns = now + STATE_PING_NS;
			ping(t);
		}
	}
}

bool state_push(struct state *s, const char *peer, const json_t *line)
{
	struct entry *e = state_entry(s, peer);

	if (!e || !e->stream || e->stream->sending)
		return false;
	return send_line(e->stream, json_deep_copy(line)) == 0;
}
