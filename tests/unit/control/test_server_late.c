/* SPDX-License-Identifier: Apache-2.0
 *
 * A request that is answered late, with the client's next one behind it in the same bytes: the next
 * one must not run while the one who answers is still at work.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "control/server.h"
#include "platform/error.h"
#include "platform/unixsock.h"

struct world {
	uv_loop_t loop;
	uv_timer_t timer;
	struct server *server;
	struct server_request *held;
	bool answering, inside; /* the second ran while the first was being answered */
	unsigned second;
};

static void answer_late(uv_timer_t *timer)
{
	struct world *w = timer->data;

	w->answering = true;
	server_reply(w->held, 204, NULL, NULL, NULL, 0);
	w->answering = false;
}

static void first(void *ctx, struct server_request *r)
{
	struct world *w = ctx;

	w->held = r;
	assert_int_equal(uv_timer_start(&w->timer, answer_late, 0, 0), 0);
}

static void second(void *ctx, struct server_request *r)
{
	struct world *w = ctx;

	w->second++;
	w->inside = w->inside || w->answering;
	server_reply(r, 204, NULL, NULL, NULL, 0);
}

static void next_waits(void **state)
{
	static const char requests[] = "POST /first HTTP/1.1\r\nHost: a\r\n\r\n"
				       "POST /second HTTP/1.1\r\nHost: a\r\n\r\n"
				       "POST /second HTTP/1.1\r\nHost: a\r\n\r\n";
	char folder[] = "/tmp/warren-late-XXXXXX", path[64];
	struct world w = {0};
	struct server_config config = {.loop = &w.loop, .public_socket = path};
	struct error err = {0};
	int fd = -1;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	assert_int_equal(uv_loop_init(&w.loop), 0);
	assert_int_equal(uv_timer_init(&w.loop, &w.timer), 0);
	w.timer.data = &w;
	assert_int_equal(server_new(&config, &w.server, &err), 0);
	assert_int_equal(server_route(w.server, 1u << SERVER_PUBLIC, "POST", "/first", first, &w), 0);
	assert_int_equal(server_route(w.server, 1u << SERVER_PUBLIC, "POST", "/second", second, &w),
			 0);
	assert_int_equal(server_start(w.server, &err), 0);
	assert_int_equal(unixsock_connect(path, &fd, &err), 0);
	assert_int_equal(send(fd, requests, sizeof(requests) - 1, 0), sizeof(requests) - 1);
	for (int i = 0; i < 100 && w.second < 2; i++)
		uv_run(&w.loop, UV_RUN_ONCE);
	assert_int_equal(w.second, 2);
	assert_false(w.inside);
	close(fd);
	server_stop(w.server);
	uv_close((uv_handle_t *)&w.timer, NULL);
	uv_run(&w.loop, UV_RUN_DEFAULT);
	server_free(w.server);
	assert_int_equal(uv_loop_close(&w.loop), 0);
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(next_waits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
