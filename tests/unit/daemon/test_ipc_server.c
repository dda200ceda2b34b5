/* SPDX-License-Identifier: Apache-2.0
 *
 * The command socket's server over socket pairs of a private folder: answers, events, several
 * requests at once, clients that go away, clients that talk nonsense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/ipc/ipc.h"
#include "daemon/ipc_server.h"

struct fixture {
	char folder[64], path[96];
	uv_loop_t loop;
	struct ipc_server *server;
	struct ipc_request *held[8]; /* of the command "hold" */
	size_t held_count;
	unsigned gone;
};

static void on_gone(struct ipc_request *r)
{
	struct fixture *f = r->data;

	f->gone++;
}

static void dispatch(void *ctx, struct ipc_request *r)
{
	struct fixture *f = ctx;

	if (strcmp(r->cmd, "hold") == 0) {
		assert_true(f->held_count < 8);
		r->data = f;
		r->on_gone = on_gone;
		f->held[f->held_count++] = r;
	} else if (strcmp(r->cmd, "echo") == 0) {
		ipc_request_event(r, "seen", json_pack("{s:i}", "uid", (int)r->cred.uid));
		ipc_request_result(r, json_pack("{s:O}", "args", (json_t *)(uintptr_t)r->args));
	} else {
		ipc_request_error(r, WARREN_EXIT_USAGE, "no command \"%s\"", r->cmd);
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	assert_non_null(f);
	strcpy(f->folder, "/tmp/warren-server-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	(void)snprintf(f->path, sizeof(f->path), "%s/s", f->folder);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	assert_int_equal(unixsock_listen(f->path, 0600, &fd, NULL), 0);
	assert_int_equal(ipc_server_new(&f->loop, fd, dispatch, f, &f->server), 0);
	*state = f;
	return 0;
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 10; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ipc_server_free(f->server);
	turn(f);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	unlink(f->path);
	rmdir(f->folder);
	free(f);
	return 0;
}

static int client(struct fixture *f)
{
	int fd;

	assert_int_equal(unixsock_connect(f->path, &fd, NULL), 0);
	return fd;
}

static void say(struct fixture *f, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turn(f);
}

/* What came, "" for nothing yet; NULL when the server hung up. */
static const char *hear(int fd, char out[static 4096])
{
	ssize_t n = recv(fd, out, 4095, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return NULL;
	out[n > 0 ? n : 0] = '\0';
	return out;
}

static void answers_and_events(void **state)
{
	struct fixture *f = *state;
	char text[4096];
	int fd = client(f);

	say(f, fd, "{\"id\":7,\"cmd\":\"echo\",\"x\":1}\n");
	assert_non_null(hear(fd, text));
	assert_non_null(strstr(text, "\"event\":\"seen\""));
	assert_non_null(strstr(text, "\"result\":{\"args\":{"));
	assert_non_null(strstr(text, "{\"id\":7,"));
	say(f, fd, "{\"id\":8,\"cmd\":\"unknown\"}\n{\"id\":9}\n");
	assert_non_null(hear(fd, text));
	assert_non_null(strstr(text, "no command \\\"unknown\\\""));
	assert_non_null(strstr(text, "{\"id\":9,\"error\""));
	close(fd);
	turn(f);
}

static void late_answers_in_any_order(void **state)
{
	struct fixture *f = *state;
	char text[4096];
	int fd = client(f);

	say(f, fd, "{\"id\":1,\"cmd\":\"hold\"}\n{\"id\":2,\"cmd\":\"hold\"}\n");
	assert_int_equal(f->held_count, 2);
	assert_string_equal(hear(fd, text), "");
	ipc_request_result(f->held[1], NULL);
	assert_non_null(hear(fd, text));
	assert_string_equal(text, "{\"id\":2,\"result\":{}}\n");
	ipc_request_error(f->held[0], 4, "log in");
	assert_non_null(hear(fd, text));
	assert_string_equal(text, "{\"id\":1,\"error\":{\"message\":\"log in\",\"exit\":4}}\n");
	close(fd);
	turn(f);
	assert_int_equal(f->gone, 0);
}

static void a_client_that_goes_cancels(void **state)
{
	struct fixture *f = *state;
	int fd = client(f), other = client(f);

	say(f, fd, "{\"id\":1,\"cmd\":\"hold\"}\n{\"id\":2,\"cmd\":\"hold\"}\n");
	say(f, other, "{\"id\":1,\"cmd\":\"hold\"}\n");
	close(fd);
	turn(f);
	assert_int_equal(f->gone, 2);
	ipc_request_result(f->held[2], NULL); /* the other's is alive */
	close(other);
	turn(f);
	assert_int_equal(f->gone, 2);
}

static void nonsense_is_hung_up_on(void **state)
{
	static const char *const bad[] = {"nonsense\n", "[]\n", "{\"cmd\":\"echo\"}\n",
					  "{\"id\":-1,\"cmd\":\"echo\"}\n", "{\"id\":\"1\"}\n"};
	struct fixture *f = *state;
	char text[4096];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = client(f);

		say(f, fd, bad[i]);
		assert_null(hear(fd, text));
		close(fd);
	}
	turn(f);
}

static void requests_are_bounded(void **state)
{
	struct fixture *f = *state;
	char *many = malloc(65536), text[4096];
	size_t len = 0;
	int fd = client(f);

	assert_non_null(many);
	f->held_count = 0;
	for (int i = 0; i < 8; i++)
		len += (size_t)snprintf(many + len, 65536 - len, "{\"id\":%d,\"cmd\":\"hold\"}\n",
					i);
	say(f, fd, many);
	assert_int_equal(f->held_count, 8);
	/* The client's own limit is 32: held ones of the fixture stand for the first eight. */
	f->held_count = 0;
	for (int round = 0; round < 3; round++) {
		f->held_count = 0;
		say(f, fd, many);
	}
	f->held_count = 0;
	say(f, fd, "{\"id\":99,\"cmd\":\"hold\"}\n");
	assert_int_equal(f->held_count, 0);
	assert_null(hear(fd, text));
	assert_int_equal(f->gone, 32);
	close(fd);
	free(many);
	turn(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_and_events, setup, teardown),
		cmocka_unit_test_setup_teardown(late_answers_in_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_that_goes_cancels, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_hung_up_on, setup, teardown),
		cmocka_unit_test_setup_teardown(requests_are_bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
