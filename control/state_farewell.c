/* SPDX-License-Identifier: Apache-2.0
 *
 * A machine that is removed leaves in two steps: first the objects of type "ssh" no longer know it
 * (and its own says that SSH is off), so that sessions from it and on it end with a line to their
 * users while the tunnel still carries that line; two seconds later it is gone from the store and
 * from everybody's map.
 */
#include "control/state_impl.h"

#include <errno.h>
#include <stdlib.h>

#define FAREWELL_MS 2000 /* as a target under load takes to end its sessions, and more */

struct farewell {
	uv_timer_t timer; /* first: closing gives it back */
	struct farewell *next;
	struct state *s;
	void (*then)(void *arg);
	void *arg;
};

static void on_closed(uv_handle_t *handle)
{
	free(handle);
}

static void is_over(uv_timer_t *timer)
{
	struct farewell *f = timer->data, **at = &f->s->farewells;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	f->then(f->arg);
	uv_close((uv_handle_t *)&f->timer, on_closed);
}

int state_farewell(struct state *s, struct entry *e, void (*then)(void *arg), void *arg)
{
	struct farewell *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	r = uv_timer_init(s->c->loop, &f->timer);
	if (r < 0) {
		free(f);
		return r;
	}
	f->timer.data = f;
	f->s = s;
	f->then = then;
	f->arg = arg;
	f->next = s->farewells;
	s->farewells = f;
	e->leaving = true;
	state_mark_around(s, e);
	(void)uv_timer_start(&f->timer, is_over, s->stopping ? 0 : FAREWELL_MS, 0);
	return 0;
}

void state_farewell_back(struct state *s, struct entry *e)
{
	e->leaving = false;
	state_mark_around(s, e);
}

void state_farewell_stop(struct state *s)
{
	while (s->farewells)
		is_over(&s->farewells->timer);
}
