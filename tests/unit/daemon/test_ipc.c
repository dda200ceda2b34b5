/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's socket: framing (whole lines, pieces, bounds) and the blocking client against a
 * thread that plays the daemon over a socket pair bound in a private folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/ipc/ipc.h"
#include "platform/file.h"
#include "platform/unixsock.h"

static void framing_takes_whole_lines(void **state)
{
	struct buffer in;
	json_t *object = NULL;

	(void)state;
	buffer_init(&in, 2 * IPC_MAX_LINE);
	assert_int_equal(ipc_next(&in, &object, NULL), -EAGAIN);
	assert_int_equal(buffer_append(&in, "{\"id\":1}\n{\"id\"", 14), 0);
	assert_int_equal(ipc_next(&in, &object, NULL), 0);
	assert_int_equal(json_integer_value(json_object_get(object, "id")), 1);
	json_decref(object);
	assert_int_equal(ipc_next(&in, &object, NULL), -EAGAIN);
	assert_int_equal(buffer_append(&in, ":2}\n", 4), 0);
	assert_int_equal(ipc_next(&in, &object, NULL), 0);
	assert_int_equal(json_integer_value(json_object_get(object, "id")), 2);
	json_decref(object);
	assert_int_equal(in.len, 0);
	buffer_done(&in);
}

static void framing_refuses(void **state)
{
	static const char *const bad[] = {"[1]\n", "nonsense\n", "{\"a\":1,\"a\":2}\n", "\n",
					  "{\"a\":1\n"};
	json_t *object = NULL;
	struct buffer in;
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buffer_init(&in, IPC_MAX_LINE);
		assert_int_equal(buffer_append(&in, bad[i], strlen(bad[i])), 0);
		assert_int_equal(ipc_next(&in, &object, NULL), -EBADMSG);
		buffer_done(&in);
	}
	buffer_init(&in, 2 * IPC_MAX_LINE);
	text = malloc(IPC_MAX_LINE);
	assert_non_null(text);
	memset(text, ' ', IPC_MAX_LINE);
	assert_int_equal(buffer_append(&in, text, IPC_MAX_LINE), 0);
	assert_int_equal(ipc_next(&in, &object, NULL), -EMSGSIZE);
	free(text);
	buffer_done(&in);
}

static void append_refuses_long_objects(void **state)
{
	json_t *object = json_object();
	char *text = malloc(IPC_MAX_LINE);
	struct buffer out;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', IPC_MAX_LINE - 1);
	text[IPC_MAX_LINE - 1] = '\0';
	json_object_set_new(object, "k", json_string(text));
	buffer_init(&out, 4 * IPC_MAX_LINE);
	assert_int_equal(ipc_append(&out, object), -EMSGSIZE);
	assert_int_equal(out.len, 0);
	buffer_done(&out);
	json_decref(object);
	free(text);
}

struct fake_daemon {
	int listener;
	const char *answer;
};

static void *serve(void *arg)
{
	struct fake_daemon *d = arg;
	char piece[4096];
	int fd;

	if (file_set_nonblock(d->listener, false) < 0)
		abort();
	fd = accept(d->listener, NULL, NULL);
	if (fd < 0)
		return NULL;
	if (recv(fd, piece, sizeof(piece), 0) > 0 &&
	    file_write_all(fd, d->answer, strlen(d->answer)) < 0)
		abort();
	close(fd);
	return NULL;
}

static unsigned events_seen;

static void count_event(void *ctx, const json_t *event)
{
	(void)ctx;
	assert_string_equal(json_string_value(json_object_get(event, "event")), "prompt");
	events_seen++;
}

static int ask(const char *answer, json_t **ret_result, int *ret_exit, struct error *err)
{
	char folder[] = "/tmp/warren-ipc-XXXXXX", path[64];
	struct fake_daemon d = {.answer = answer};
	json_t *request = json_pack("{s:s}", "cmd", "status");
	struct ipc_client *c = NULL;
	pthread_t thread;
	int r;

	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	assert_int_equal(unixsock_listen(path, 0600, &d.listener, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve, &d), 0);
	assert_int_equal(ipc_connect(path, &c, err), 0);
	events_seen = 0;
	r = ipc_call(c, request, count_event, NULL, 120000, ret_result, ret_exit, err);
	assert_null(json_object_get(request, "id"));
	ipc_close(c);
	json_decref(request);
	pthread_join(thread, NULL);
	close(d.listener);
	unlink(path);
	rmdir(folder);
	return r;
}

static void call_takes_events_and_result(void **state)
{
	json_t *result = NULL;
	struct error err = {0};
	int code;

	(void)state;
	assert_int_equal(
		ask("{\"id\":1,\"event\":\"prompt\",\"url\":\"x\"}\n{\"id\":9,\"result\":{}}\n"
		    "{\"id\":1,\"result\":{\"a\":7}}\n",
		    &result, &code, &err),
		0);
	assert_int_equal(code, 0);
	assert_int_equal(events_seen, 1);
	assert_int_equal(json_integer_value(json_object_get(result, "a")), 7);
	json_decref(result);
}

static void call_takes_errors(void **state)
{
	json_t *result = NULL;
	struct error err = {0};
	int code;

	(void)state;
	assert_true(ask("{\"id\":1,\"error\":{\"message\":\"log in first\",\"exit\":4}}\n", &result,
			&code, &err) < 0);
	assert_int_equal(code, WARREN_EXIT_LOGIN_NEEDED);
	assert_string_equal(err.text, "log in first");
	assert_true(ask("{\"id\":1,", &result, &code, &err) < 0);
	assert_int_equal(code, WARREN_EXIT_FAILED);
	assert_non_null(strstr(err.text, "closed the connection"));
}

/* ssh, whose standard input our output is, is killed while its person is asked. */
static void call_ends_with_who_asked(void **state)
{
	struct ipc_client *c = NULL;
	struct error err = {0};
	json_t *request = json_pack("{s:s}", "cmd", "login"), *result = NULL;
	char path[64];
	int listener, peer, pair[2], code = 0;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/warren-ipc-watch-%d", (int)getpid());
	unlink(path);
	assert_int_equal(unixsock_listen(path, 0600, &listener, &err), 0);
	assert_int_equal(ipc_connect(path, &c, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ipc_watch(c, pair[0]);
	assert_int_equal(ipc_call(c, request, NULL, NULL, 20, &result, &code, &err), -ETIMEDOUT);
	close(pair[1]);
	assert_int_equal(ipc_call(c, request, NULL, NULL, -1, &result, &code, &err), -ECANCELED);
	/* Nobody to watch: as before. */
	ipc_watch(c, -1);
	assert_int_equal(ipc_call(c, request, NULL, NULL, 20, &result, &code, &err), -ETIMEDOUT);
	close(pair[0]);
	peer = accept(listener, NULL, NULL);
	assert_true(peer >= 0);
	close(peer);
	close(listener);
	unlink(path);
	ipc_close(c);
	json_decref(request);
}

static void connect_names_the_socket(void **state)
{
	struct ipc_client *c = NULL;
	struct error err = {0};

	(void)state;
	assert_int_equal(ipc_connect("/tmp/warren-nobody-here", &c, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/tmp/warren-nobody-here"));
}

static void path_precedence(void **state)
{
	char path[128];

	(void)state;
	setenv("WARREN_SOCKET", "/run/other.sock", 1);
	assert_int_equal(ipc_socket_path("/a/b", path, sizeof(path)), 0);
	assert_string_equal(path, "/a/b");
	assert_int_equal(ipc_socket_path(NULL, path, sizeof(path)), 0);
	assert_string_equal(path, "/run/other.sock");
	assert_int_equal(ipc_socket_path(NULL, path, 4), -ENAMETOOLONG);
	unsetenv("WARREN_SOCKET");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(framing_takes_whole_lines),
		cmocka_unit_test(framing_refuses),
		cmocka_unit_test(append_refuses_long_objects),
		cmocka_unit_test(call_takes_events_and_result),
		cmocka_unit_test(call_takes_errors),
		cmocka_unit_test(call_ends_with_who_asked),
		cmocka_unit_test(connect_names_the_socket),
		cmocka_unit_test(path_precedence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
