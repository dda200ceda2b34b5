/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads, rings and snapshots of a device. A shard never waits for control. Control waits for the
 * shards only while it puts a snapshot into force, so that whatever the former one was made of can
 * be freed at once.
 */
#include "tunnel/shards.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "platform/bpf.h"
#include "platform/secret.h"
#include "tunnel/loop.h"
#include "tunnel/ring.h"

#define TO_CONTROL_BYTES (256u << 10) /* over a thousand handshakes */
#define TO_SHARD_BYTES	 (64u << 10)
#define NOTES_PER_TURN	 64   /* of one shard, before others have their turn */
#define NOTES_MAX	 8192 /* more than a ring holds */
#define ERROR_PAUSE_NS	 10000000

struct shard_thread {
	struct tunnel *shard;
	pthread_t id;
	bool started;
	int wake_fd;
	struct ring to_control, to_shard;
};

struct shards_threads {
	_Atomic bool stop;
	_Alignas(RING_LINE) _Atomic bool armed; /* control wants notes_fd to be written */
	unsigned count;
	struct shard_thread each[];
};

int shards_new(struct tunnel *head, unsigned count, struct shards **ret_shards)
{
	struct shards *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->count = count;
	s->all[0] = head;
	s->notes_fd = s->passed_fd = -1;
	s->steer4 = s->steer6 = -1;
	s->drops = head->drops;
	/* Sessions are more, and come later. */
	if (secret_pool_new(sizeof(struct peer), secret_lock_limit(0) / 4, &s->peer_memory) < 0 ||
	    secret_pool_new(sizeof(struct keypair), secret_lock_limit(0) / 4 * 3,
			    &s->keypair_memory) < 0) {
		secret_pool_free(s->peer_memory);
		free(s);
		return -ENOMEM;
	}
	atomic_init(&s->current, &s->slots[0]);
	*ret_shards = s;
	return 0;
}

static void wake(int fd)
{
	const uint64_t one = 1;

	/* An event counter is full only when its reader has been woken long ago. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void wake_ready(void *ctx, int fd)
{
	uint64_t count;

	(void)ctx;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* ---- notes ---- */

bool shards_tell_control(struct tunnel *t, const struct note *note, const void *data, size_t len)
{
	struct shards_threads *threads = t->shards->threads;
	bool hint = note->type == NOTE_FOREIGN || note->type == NOTE_EVENT;
	struct ring *ring;

	if (!threads) {
		control_note(t, note, data, len);
		return true;
	}
	ring = &threads->each[t->number].to_control;
	/* A flood of what is not WireGuard leaves half of the room to handshakes. */
	if ((hint && ring_used(ring) > TO_CONTROL_BYTES / 2) ||
	    !ring_push(ring, note, sizeof(*note), data, len))
		return false;
	/* Whoever of us is second sees what the other did: control arms, then looks again. */
	if (atomic_exchange_explicit(&threads->armed, false, memory_order_acq_rel))
		wake(t->shards->notes_fd);
	return true;
}

void shards_closed(struct tunnel *t)
{
	struct shards *s = t->shards;

	if (!s->threads) {
		control_closed(t);
		return;
	}
	atomic_store(&s->closed, true);
	wake(s->notes_fd);
}

bool shards_tell(struct tunnel *shard, const struct note *note, const void *data, size_t len)
{
	struct shards_threads *threads = shard->shards->threads;
	struct shard_thread *to;

	if (!threads) {
		handshake_note(shard, note, data, len);
		return true;
	}
	to = &threads->each[shard->number];
	if (!ring_push(&to->to_shard, note, sizeof(*note), data, len))
		return false;
	wake(to->wake_fd);
	return true;
}

typedef void (*note_handler)(struct tunnel *t, const struct note *note, const uint8_t *data,
			     size_t len);

/* True when the ring is empty. */
static bool drain(struct tunnel *t, struct ring *ring, size_t max, note_handler handle)
{
	size_t len;

	for (size_t i = 0; i < max; i++) {
		uint8_t *record = ring_peek(ring, &len);
		struct note note;

		if (!record)
			return true;
		memcpy(&note, record, sizeof(note));
		handle(t, &note, record + sizeof(note), len - sizeof(note));
		ring_pop(ring);
	}
	return false;
}

static bool drain_notes(struct shards *s, size_t max)
{
	bool empty = true;

	for (unsigned i = 0; i < s->count; i++)
		empty &= drain(s->all[i], &s->threads->each[i].to_control, max, control_note);
	return empty;
}

static void notes_ready(void *ctx, int fd)
{
	struct shards *s = ctx;
	size_t len;
	bool more;

	wake_ready(NULL, fd);
	if (atomic_exchange(&s->closed, false))
		control_closed(s->all[0]);
	more = !drain_notes(s, NOTES_PER_TURN);
	if (!more) {
		atomic_exchange_explicit(&s->threads->armed, true, memory_order_acq_rel);
		for (unsigned i = 0; i < s->count; i++)
			more |= ring_peek(&s->threads->each[i].to_control, &len) != NULL;
	}
	if (more && (!atomic_load_explicit(&s->threads->armed, memory_order_relaxed) ||
		     atomic_exchange_explicit(&s->threads->armed, false, memory_order_acq_rel)))
		wake(fd);
}

/* ---- a shard takes a snapshot over ---- */

static void adopt_changes(struct tunnel *t, const struct snapshot *s)
{
	for (struct peer *p = s->changed; p; p = p->change.next) {
		struct peer_change *c = &p->change;

		if (p->device != t)
			continue;
		if (c->removed)
			peer_drop(p);
		else if (c->added)
			c->result = peer_adopt(p);
		if (c->removed || c->result < 0)
			continue;
		if (c->endpoint_set) {
			peer_set_endpoint(p, &c->endpoint);
			rx_forget_source(p);
		}
		if (c->keepalive_set)
			p->persistent_keepalive_s = c->keepalive_s;
	}
}

static void adopt_identity(struct tunnel *t, const struct snapshot *s)
{
	t->identity_set = s->identity_set;
	cookie_checker_set(&t->checker, s->public_key);
	for (struct peer *p = t->own; p; p = p->own_next)
		peer_expire_sessions(p);
}

static void adopt_up(struct tunnel *t, const struct snapshot *s)
{
	t->up = s->up;
	for (struct peer *p = t->own; p; p = p->own_next) {
		if (t->up)
			peer_start(p);
		else
			peer_stop(p);
	}
}

/* A peer whose configuration changed while the device is up: it may have something to send now. */
static void stir(struct peer *p, uint64_t now_ns)
{
	const struct peer_change *c = &p->change;

	if (!p->running) {
		peer_start(p);
		return;
	}
	if (c->endpoint_set) {
		/* An initiation that went to the old place is sent again, not waited for. */
		p->last_sent_handshake_ns = 0;
		if (p->pending_index)
			handshake_initiate(p, true, now_ns);
		if (p->staged.first)
			tx_staged(p, now_ns);
	}
	if (c->keepalive_on)
		tx_keepalive(p, now_ns);
}

static void adopt(struct tunnel *t, const struct snapshot *s)
{
	t->snapshot = s;
	t->routes = s->routes;
	t->mtu[0] = s->mtu[0];
	t->mtu[1] = s->mtu[1];
	adopt_changes(t, s);
	if (s->identity_changed)
		adopt_identity(t, s);
	if (s->forget_sources)
		for (struct peer *p = t->own; p; p = p->own_next)
			rx_recheck_source(p, device_now(t));
	if (s->call)
		s->call(s->call_ctx, t);
	if (s->up != t->up)
		adopt_up(t, s);
	for (struct peer *p = s->changed; p && t->up; p = p->change.next)
		if (p->device == t && p->adopted && !p->change.removed)
			stir(p, device_now(t));
	tx_flush(t);
	if (!t->up)
		tx_discard(t); /* nothing leaves after this */
}

void shards_quiescent(struct tunnel *t)
{
	struct shards *s = t->shards;
	const struct snapshot *now = atomic_load_explicit(&s->current, memory_order_acquire);

	/* What control said before it made the snapshot comes first. */
	if (s->threads)
		drain(t, &s->threads->each[t->number].to_shard, NOTES_MAX, handshake_note);
	if (now == t->snapshot)
		return;
	adopt(t, now);
	if (s->threads)
		wake(s->passed_fd);
}

/* ---- control puts one into force ---- */

/* No shard uses the former snapshot any more, nor a peer that was removed. */
static int settle(struct peer *changed)
{
	int r = 0;

	while (changed) {
		struct peer *p = changed;

		changed = p->change.next;
		if (p->change.removed) {
			peer_free(p);
			continue;
		}
		if (p->change.result < 0) { /* with the next snapshot, then */
			r = p->change.result;
			p->change.listed = false;
			p->change.result = 0;
			peer_changed(p);
			continue;
		}
		p->change = (struct peer_change){0};
	}
	return r;
}

static void wait_for_all(struct shards *s)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < s->count; i++)
		wake(s->threads->each[i].wake_fd);
	while (passed < s->count) {
		uint64_t one;

		if (read(s->passed_fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
			passed++;
		else if (errno != EINTR)
			abort(); /* a blocking event counter of our own */
	}
}

/* Without memory nobody has any address: peers that are gone must not be found. */
static int remake_routes(struct tunnel *head)
{
	struct shards *s = head->shards;
	int r = 0;

	routes_clear_all(&s->routes);
	for (struct peer *p = head->peers.first; p && r == 0; p = p->next) {
		const struct allowedips_node *at = NULL;
		struct ip_prefix prefix;

		while (r == 0 && allowedips_next(&p->allowed, &at, &prefix))
			r = routes_set(&s->routes, &prefix, p);
	}
	if (r < 0)
		routes_clear_all(&s->routes);
	s->routes_lost = r < 0;
	return r;
}

int shards_publish(struct tunnel *head, void (*call)(void *ctx, struct tunnel *shard), void *ctx)
{
	struct shards *s = head->shards;
	const struct snapshot *old = atomic_load_explicit(&s->current, memory_order_relaxed);
	struct snapshot *next = old == &s->slots[0] ? &s->slots[1] : &s->slots[0];
	struct peer *changed = s->changed;
	int r = 0, r2;

	*next = (struct snapshot){.changed = changed,
				  .up = s->up,
				  .identity_set = head->identity.set,
				  .identity_changed = s->identity_changed,
				  .forget_sources = s->forget_sources,
				  .mtu = {s->mtu[0], s->mtu[1]},
				  .call = call,
				  .call_ctx = ctx};
	memcpy(next->public_key, head->identity.public_key, NOISE_KEY_BYTES);
	if (s->routes_lost)
		r = remake_routes(head);
	next->routes = s->routes.routes;
	s->identity_changed = s->forget_sources = false;
	s->changed = s->changed_last = NULL;
	atomic_store_explicit(&s->current, next, memory_order_release);
	if (s->threads) {
		wait_for_all(s);
		drain_notes(s, NOTES_MAX); /* nothing speaks of removed peers after this */
	} else {
		for (unsigned i = 0; i < s->count; i++)
			shards_quiescent(s->all[i]);
	}
	routes_published(&s->routes);
	r2 = settle(changed);
	return r < 0 ? r : r2;
}

/* ---- allowed IPs ---- */

int shards_route(struct peer *p, const struct ip_prefix *prefix)
{
	struct shards *s = p->device->shards;
	struct tunnel *head = s->all[0];
	int map = prefix->addr.family == 4 ? s->steer4 : s->steer6;
	int r = allowedips_insert(&head->allowed, prefix, p, &p->allowed);

	if (r < 0)
		return r;
	if (routes_set(&s->routes, prefix, p) < 0)
		s->routes_lost = true;
	if (map >= 0)
		r = bpf_steer_set(map, prefix, p->device->number);
	if (r < 0)
		shards_unroute(p, prefix);
	return r;
}

void shards_unroute(struct peer *p, const struct ip_prefix *prefix)
{
	struct shards *s = p->device->shards;
	int map = prefix->addr.family == 4 ? s->steer4 : s->steer6;

	if (!allowedips_remove(&s->all[0]->allowed, prefix, &p->allowed))
		return;
	if (routes_clear(&s->routes, prefix) < 0)
		s->routes_lost = true;
	if (map >= 0)
		bpf_steer_remove(map, prefix);
}

void shards_unroute_all(struct peer *p)
{
	struct shards *s = p->device->shards;
	const struct allowedips_node *at = NULL;
	struct ip_prefix prefix;

	while (allowedips_next(&p->allowed, &at, &prefix)) {
		if (routes_clear(&s->routes, &prefix) < 0)
			s->routes_lost = true;
		if (s->steer4 >= 0)
			bpf_steer_remove(prefix.addr.family == 4 ? s->steer4 : s->steer6, &prefix);
	}
	allowedips_remove_all(&s->all[0]->allowed, &p->allowed);
}

/* ---- threads ---- */

static void *run(void *arg)
{
	struct shard_thread *me = arg;
	struct tunnel *t = me->shard;
	struct shards *s = t->shards;
	const struct timespec pause = {.tv_nsec = ERROR_PAUSE_NS};

	while (!atomic_load_explicit(&s->threads->stop, memory_order_acquire)) {
		int r = device_turn(t, -1);

		if (r == 0)
			continue;
		/* Control ends the device; until then it must not wait for us in vain. */
		atomic_store(&s->error, r);
		wake(s->notes_fd);
		shards_quiescent(t);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static int thread_init(struct shard_thread *th, struct tunnel *t)
{
	int r;

	th->shard = t;
	th->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (th->wake_fd < 0)
		return -errno;
	r = loop_watch_input(t->loop, th->wake_fd, wake_ready, NULL);
	if (r == 0)
		r = ring_init(&th->to_control, TO_CONTROL_BYTES);
	if (r == 0)
		r = ring_init(&th->to_shard, TO_SHARD_BYTES);
	return r;
}

static void forget_note(struct tunnel *t, const struct note *note, const uint8_t *data, size_t len)
{
	(void)data;
	(void)len;
	peer_free_keypair(t, note->keypair);
}

void shards_stop(struct shards *s)
{
	struct shards_threads *threads = s->threads;

	if (!threads)
		return;
	atomic_store(&threads->stop, true);
	for (unsigned i = 0; i < threads->count; i++) {
		struct shard_thread *th = &threads->each[i];

		if (th->started) {
			wake(th->wake_fd);
			pthread_join(th->id, NULL);
		}
		if (th->to_shard.data)
			drain(th->shard, &th->to_shard, NOTES_MAX, forget_note);
		if (th->wake_fd >= 0) {
			loop_unwatch(th->shard->loop, th->wake_fd);
			close(th->wake_fd);
		}
		ring_done(&th->to_control);
		ring_done(&th->to_shard);
	}
	s->threads = NULL;
	free(threads);
	if (s->loop)
		loop_unwatch(s->loop, s->notes_fd);
	close(s->notes_fd);
	close(s->passed_fd);
	s->notes_fd = s->passed_fd = -1;
}

void shards_free(struct shards *s)
{
	if (!s)
		return;
	routes_done(&s->routes);
	loop_free(s->loop);
	if (s->steer4 >= 0)
		close(s->steer4);
	if (s->steer6 >= 0)
		close(s->steer6);
	secret_pool_free(s->peer_memory);
	secret_pool_free(s->keypair_memory);
	free(s);
}

static int start_all(struct shards *s)
{
	sigset_t all, before;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < s->count && r == 0; i++) {
		struct shard_thread *th = &s->threads->each[i];

		r = -pthread_create(&th->id, NULL, run, th);
		th->started = r == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int shards_start(struct tunnel *head)
{
	struct shards *s = head->shards;
	struct shards_threads *threads;
	int r = 0;

	threads = aligned_alloc(RING_LINE, sizeof(*threads) + s->count * sizeof(threads->each[0]));
	if (!threads)
		return -ENOMEM;
	memset(threads, 0, sizeof(*threads) + s->count * sizeof(threads->each[0]));
	threads->armed = true;
	for (unsigned i = 0; i < s->count; i++)
		threads->each[i].wake_fd = -1;
	s->notes_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->passed_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	if (s->notes_fd < 0 || s->passed_fd < 0)
		r = -errno;
	if (r == 0)
		r = loop_watch_input(s->loop, s->notes_fd, notes_ready, s);
	for (unsigned i = 0; i < s->count && r == 0; i++) {
		threads->count++;
		r = thread_init(&threads->each[i], s->all[i]);
	}
	s->threads = threads;
	s->drops = s->own_drops;
	if (r == 0)
		r = start_all(s);
	if (r < 0)
		shards_stop(s);
	return r;
}
