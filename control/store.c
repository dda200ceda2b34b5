/* SPDX-License-Identifier: Apache-2.0
 *
 * The store's thread: a queue of operations in, a queue of results out. Owns order and hand-over;
 * knows no SQL. At most MAX_QUEUE operations wait, then callers get -EAGAIN.
 */
#include "control/store.h"

#include <errno.h>
#include <stdlib.h>

#include "control/control.h"

#define MAX_QUEUE 65536

enum op {
	OP_JOB,
	OP_ENROLL,
	OP_PEER_CHANGE,
	OP_PEER_REMOVE,
	OP_LOGIN_CHANGE,
	OP_POLICY_SET,
	OP_KEY_CHANGE,
	OP_NONCE_PUT,
	OP_EVENT_PUT,
	OP_EVENTS,
};

struct job {
	struct job *next;
	enum op op;
	int (*fn)(void *db, void *arg); /* OP_JOB */
	void *arg;
	store_done *done;
	int result;
};

struct queue {
	struct job *first, **last;
	size_t count;
};

struct store {
	const struct store_ops *ops;
	void *db;
	uv_thread_t thread;
	uv_mutex_t mutex;
	uv_cond_t wake;
	uv_async_t ready;
	struct queue in, out; /* under mutex */
	bool stopping;	      /* under mutex */
	bool closed;
};

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->last = &q->first;
	q->count = 0;
}

static void queue_put(struct queue *q, struct job *j)
{
	j->next = NULL;
	*q->last = j;
	q->last = &j->next;
	q->count++;
}

static struct job *queue_take(struct queue *q)
{
	struct job *j = q->first;

	if (!j)
		return NULL;
	q->first = j->next;
	if (!q->first)
		q->last = &q->first;
	q->count--;
	return j;
}

static int run(struct store *s, struct job *j)
{
	const struct store_ops *ops = s->ops;

	switch (j->op) {
	case OP_JOB:
		return j->fn(ops->native(s->db), j->arg);
	case OP_ENROLL:
		return ops->enroll(s->db, j->arg);
	case OP_PEER_CHANGE:
		return ops->peer_change(s->db, j->arg);
	case OP_PEER_REMOVE:
		return ops->peer_remove(s->db, j->arg);
	case OP_LOGIN_CHANGE:
		return ops->login_change(s->db, j->arg);
	case OP_POLICY_SET:
		return ops->policy_set(s->db, j->arg);
	case OP_KEY_CHANGE:
		return ops->key_change(s->db, j->arg);
	case OP_NONCE_PUT:
		return ops->nonce_put(s->db, j->arg);
	case OP_EVENT_PUT:
		return ops->event_put(s->db, j->arg);
	case OP_EVENTS:
		return ops->events(s->db, j->arg);
	}
	return -ENOSYS;
}

static void thread_main(void *arg)
{
	struct store *s = arg;

	uv_mutex_lock(&s->mutex);
	for (;;) {
		struct job *j = queue_take(&s->in);

		if (!j) {
			if (s->stopping)
				break;
			uv_cond_wait(&s->wake, &s->mutex);
			continue;
		}
		uv_mutex_unlock(&s->mutex);
		j->result = run(s, j);
		uv_mutex_lock(&s->mutex);
		queue_put(&s->out, j);
		uv_async_send(&s->ready);
	}
	uv_mutex_unlock(&s->mutex);
}

static void deliver(struct store *s)
{
	for (;;) {
		uv_mutex_lock(&s->mutex);
		struct job *j = queue_take(&s->out);
		uv_mutex_unlock(&s->mutex);
		if (!j)
			return;
		if (j->done)
			j->done(j->arg, j->result);
		free(j);
	}
}

static void on_ready(uv_async_t *async)
{
	deliver(async->data);
}

int store_new(uv_loop_t *loop, const struct store_ops *ops, const char *where,
	      const struct random_source *random, struct store **ret_store, struct error *err)
{
	struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	s->ops = ops;
	queue_init(&s->in);
	queue_init(&s->out);
	r = ops->open(where, random, &s->db, err);
	if (r < 0) {
		free(s);
		return r;
	}
	if (uv_mutex_init(&s->mutex) < 0 || uv_cond_init(&s->wake) < 0 ||
	    uv_async_init(loop, &s->ready, on_ready) < 0)
		abort(); /* out of descriptors before anything was served */
	s->ready.data = s;
	r = uv_thread_create(&s->thread, thread_main, s);
	if (r < 0)
		abort();
	*ret_store = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s || s->closed)
		return;
	uv_mutex_lock(&s->mutex);
	s->stopping = true;
	uv_cond_signal(&s->wake);
	uv_mutex_unlock(&s->mutex);
	uv_thread_join(&s->thread);
	deliver(s);
	s->ops->close(s->db);
	s->closed = true;
	uv_close((uv_handle_t *)&s->ready, NULL);
}

void store_free(struct store *s)
{
	if (!s)
		return;
	uv_mutex_destroy(&s->mutex);
	uv_cond_destroy(&s->wake);
	free(s);
}

int store_load(struct store *s, struct store_load *a)
{
	return s->ops->load(s->db, a);
}

static int submit(struct store *s, enum op op, int (*fn)(void *db, void *arg), void *arg,
		  store_done *done)
{
	struct job *j = calloc(1, sizeof(*j));
	int r = 0;

	if (!j)
		return -ENOMEM;
	*j = (struct job){.op = op, .fn = fn, .arg = arg, .done = done};
	uv_mutex_lock(&s->mutex);
	if (s->stopping)
		r = -ESHUTDOWN;
	else if (s->in.count >= MAX_QUEUE)
		r = -EAGAIN;
	else
		queue_put(&s->in, j);
	uv_cond_signal(&s->wake);
	uv_mutex_unlock(&s->mutex);
	if (r < 0)
		free(j);
	return r;
}

int store_job(struct store *s, int (*fn)(void *db, void *arg), void *arg, store_done *done)
{
	return submit(s, OP_JOB, fn, arg, done);
}

int store_enroll(struct store *s, struct store_enroll *a, store_done *done)
{
	return submit(s, OP_ENROLL, NULL, a, done);
}

int store_peer_change(struct store *s, struct store_peer_change *a, store_done *done)
{
	return submit(s, OP_PEER_CHANGE, NULL, a, done);
}

int store_peer_remove(struct store *s, struct store_peer_remove *a, store_done *done)
{
	return submit(s, OP_PEER_REMOVE, NULL, a, done);
}

int store_login_change(struct store *s, struct store_login_change *a, store_done *done)
{
	return submit(s, OP_LOGIN_CHANGE, NULL, a, done);
}

int store_policy_set(struct store *s, struct store_policy *a, store_done *done)
{
	return submit(s, OP_POLICY_SET, NULL, a, done);
}

int store_key_change(struct store *s, struct store_key_change *a, store_done *done)
{
	return submit(s, OP_KEY_CHANGE, NULL, a, done);
}

int store_nonce_put(struct store *s, struct store_nonce_put *a, store_done *done)
{
	return submit(s, OP_NONCE_PUT, NULL, a, done);
}

int store_event_put(struct store *s, struct store_event *a, store_done *done)
{
	return submit(s, OP_EVENT_PUT, NULL, a, done);
}

int store_events(struct store *s, struct store_events *a, store_done *done)
{
	return submit(s, OP_EVENTS, NULL, a, done);
}
