/* SPDX-License-Identifier: Apache-2.0
 *
 * Small pure parts of the broker: early drop, the sweep of expired files, the loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/broker_internal.h"

/* ---- who this machine is, when main says so */

struct pinned {
	struct broker *b;
	char path[64];
};

static struct pinned new_pinned(bool fingerprint)
{
	struct pinned p = {.b = calloc(1, sizeof(*p.b)), .path = "/tmp/warren-pin-XXXXXX"};

	assert_non_null(p.b);
	assert_non_null(mkdtemp(p.path));
	broker_net_init(&p.b->net);
	broker_ssh_init(p.b);
	p.b->main.sock = p.b->engine.sock = -1;
	p.b->root_dir = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p.b->state.control = (struct switches_control){.url = "https://c.example",
						       .has_fingerprint = fingerprint};
	return p;
}

static void free_pinned(struct pinned *p)
{
	unlinkat(p->b->root_dir, "pin.json", 0);
	close(p->b->root_dir);
	assert_int_equal(rmdir(p->path), 0);
	free(p->b);
}

static int pin(struct broker *b, uint8_t key, const char *peer)
{
	struct switches_pin wanted = {.set = true, .network = "n_a"};
	struct error err = {0};

	memset(wanted.signing_key, key, sizeof(wanted.signing_key));
	memcpy(wanted.peer_id, peer, strlen(peer));
	return broker_state_pin(b, &wanted, &err);
}

static void restart(struct broker *b)
{
	struct switches_control control = b->state.control;
	struct error err = {0};

	assert_int_equal(switches_load(b->root_dir, "state", &b->state, &err), 0);
	b->state.control = control;
}

/* A main that was taken over: another server's key, or another peer's permissions. */
static void main_does_not_change_who_is_believed(void **state)
{
	struct pinned p = new_pinned(false);
	struct error err = {0};

	(void)state;
	assert_int_equal(pin(p.b, 1, "p_me"), 0);
	assert_false(p.b->state.pin.held);
	assert_int_equal(pin(p.b, 2, "p_me"), -EPERM);
	assert_int_equal(broker_state_leave(p.b, &err), 0);
	assert_false(p.b->state.pin.set);
	restart(p.b);
	assert_false(p.b->state.pin.set);
	assert_int_equal(pin(p.b, 2, "p_me"), -EPERM);
	assert_false(p.b->state.pin.set);
	/* Enrolled again as it was: nothing opens. */
	assert_int_equal(pin(p.b, 1, "p_me"), 0);
	assert_false(p.b->state.pin.held);
	/* As somebody else: the mesh works, SSH waits for root, whatever main does. */
	assert_int_equal(pin(p.b, 1, "p_other"), 0);
	assert_true(p.b->state.pin.set && p.b->state.pin.held);
	restart(p.b);
	assert_true(p.b->state.pin.set && p.b->state.pin.held);
	assert_int_equal(broker_state_leave(p.b, &err), 0);
	assert_int_equal(broker_state_leave(p.b, &err), 0);
	assert_int_equal(pin(p.b, 1, "p_other"), 0);
	assert_true(p.b->state.pin.held);
	free_pinned(&p);
}

static void root_chooses_again(void **state)
{
	struct pinned p = new_pinned(false);
	struct error err = {0};

	(void)state;
	assert_int_equal(pin(p.b, 1, "p_me"), 0);
	assert_int_equal(pin(p.b, 1, "p_other"), 0);
	assert_true(p.b->state.pin.held);
	assert_int_equal(broker_state_release(p.b, &err), 0);
	assert_true(p.b->state.pin.set && !p.b->state.pin.held);
	/* Root's word before the machine is enrolled anew. */
	assert_int_equal(broker_state_leave(p.b, &err), 0);
	assert_int_equal(broker_state_release(p.b, &err), 0);
	restart(p.b);
	assert_int_equal(pin(p.b, 2, "p_third"), -EPERM);
	assert_int_equal(pin(p.b, 1, "p_third"), 0);
	assert_false(p.b->state.pin.held);
	assert_int_equal(pin(p.b, 1, "p_me"), 0);
	assert_true(p.b->state.pin.held);
	assert_int_equal(broker_state_forget(p.b, &err), 0);
	assert_int_equal(pin(p.b, 2, "p_fourth"), 0);
	assert_false(p.b->state.pin.held);
	free_pinned(&p);
}

static void put(int fd, const char *name, time_t mtime)
{
	const struct timespec times[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};
	int file = openat(fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(file >= 0);
	close(file);
	assert_int_equal(utimensat(fd, name, times, 0), 0);
}

static void sweep(void **state)
{
	char outside[] = "/tmp/warren-outside-XXXXXX", users[] = "/tmp/warren-users-XXXXXX";
	int64_t now = (int64_t)time(NULL);
	int u, v, o;

	(void)state;
	assert_non_null(mkdtemp(outside));
	assert_non_null(mkdtemp(users));
	o = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	u = open(users, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(u, "1000", 0700), 0);
	v = openat(u, "1000", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put(o, "victim", 100);
	put(v, "old", 100);
	put(v, "edge", 200);
	put(v, "new", 201);
	assert_int_equal(mkdirat(v, "folder", 0700), 0);
	assert_int_equal(symlinkat(outside, u, "1001"), 0); /* a user's folder that is a link */
	assert_int_equal(symlinkat(outside, v, "link"), 0);
	broker_userdir_sweep(u, 200);
	assert_true(faccessat(v, "old", F_OK, 0) < 0);
	assert_true(faccessat(v, "edge", F_OK, 0) < 0);
	assert_int_equal(faccessat(v, "new", F_OK, 0), 0);
	assert_int_equal(faccessat(v, "folder", F_OK, 0), 0);
	assert_int_equal(faccessat(v, "link", F_OK, 0), 0);
	assert_int_equal(faccessat(o, "victim", F_OK, 0), 0);
	/* Somebody is about to write it: its time is not set yet. */
	put(v, "fresh", now);
	broker_userdir_sweep(u, now);
	assert_int_equal(faccessat(v, "fresh", F_OK, 0), 0);
	broker_userdir_sweep(u, now + 10);
	assert_true(faccessat(v, "fresh", F_OK, 0) < 0);
	unlinkat(v, "new", 0);
	unlinkat(v, "link", 0);
	unlinkat(v, "folder", AT_REMOVEDIR);
	unlinkat(u, "1001", 0);
	unlinkat(u, "1000", AT_REMOVEDIR);
	unlinkat(o, "victim", 0);
	close(o);
	close(u);
	close(v);
	assert_int_equal(rmdir(users), 0);
	assert_int_equal(rmdir(outside), 0);
}

struct turn {
	struct broker_loop *loop;
	int other, calls;
};

static void remove_other(struct broker *b, int fd, void *ctx)
{
	struct turn *t = ctx;

	(void)b;
	(void)fd;
	t->calls++;
	broker_loop_del(t->loop, t->other);
}

static void never(struct broker *b, int fd, void *ctx)
{
	(void)b;
	(void)fd;
	(void)ctx;
	fail_msg("a removed watch was called");
}

static void loop_removal(void **state)
{
	struct turn t = {0};
	int a[2], b[2];

	(void)state;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(broker_loop_new(&t.loop), 0);
	t.other = b[0];
	assert_int_equal(broker_loop_add(t.loop, a[0], remove_other, &t), 0);
	assert_int_equal(broker_loop_add(t.loop, b[0], never, NULL), 0);
	assert_int_equal(broker_loop_turn(t.loop, NULL, 0), 0);
	assert_int_equal(t.calls, 1);
	assert_int_equal(broker_loop_turn(t.loop, NULL, 0), 0);
	assert_int_equal(t.calls, 2);
	broker_loop_free(t.loop);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static void memfds_are_sealed(void **state)
{
	char text[8] = {0};
	int fd, copy;

	(void)state;
	assert_int_equal(broker_memfd("test", "hello", 5, &fd), 0);
	assert_true(write(fd, "x", 1) < 0);
	assert_true(ftruncate(fd, 0) < 0);
	assert_int_equal(broker_reopen(fd, &copy), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_int_equal(read(copy, text, sizeof(text)), 5); /* an offset of its own */
	assert_string_equal(text, "hello");
	close(fd);
	close(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sweep),
		cmocka_unit_test(loop_removal),
		cmocka_unit_test(memfds_are_sealed),
		cmocka_unit_test(main_does_not_change_who_is_believed),
		cmocka_unit_test(root_chooses_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
