/* SPDX-License-Identifier: Apache-2.0
 *
 * Framing and blocking client of the daemon's sockets (daemon/PROTOCOL.md sections 4 and 5). Owns
 * the choice of the socket path and one request at a time on one connection. Refuses lines over 1
 * MiB, anything that is not an object, and answers to requests that were not asked.
 */
#include "daemon/ipc/ipc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/json.h"
#include "platform/unixsock.h"

#define IPC_CONFIG_FILE	     "/etc/warren/warren.json"
#define IPC_CONFIG_MAX_BYTES (64u << 10)

struct ipc_client {
	int fd, watched_fd;
	int64_t next_id;
	struct buffer in;
};

static int path_from_config(char *out, size_t cap)
{
	struct buffer text;
	int r;

	buffer_init(&text, IPC_CONFIG_MAX_BYTES);
	r = file_read(IPC_CONFIG_FILE, &text);
	if (r == 0) {
		json_t *config = json_load_strict((const char *)text.data, text.len,
						  IPC_CONFIG_MAX_BYTES, NULL);

		r = config == NULL ? -EINVAL : json_get_string(config, "socket", out, cap, NULL);
		json_decref(config);
	}
	buffer_done(&text);
	return r;
}

int ipc_socket_path(const char *explicit_path, char *out, size_t cap)
{
	const char *path = explicit_path;
	size_t len;

	if (path == NULL || path[0] == '\0')
		path = getenv("WARREN_SOCKET");
	if (path == NULL || path[0] == '\0') {
		if (path_from_config(out, cap) == 0 && out[0] != '\0')
			return 0;
		path = IPC_DEFAULT_SOCKET;
	}
	len = strlen(path);
	if (len >= cap)
		return -ENAMETOOLONG;
	memcpy(out, path, len + 1);
	return 0;
}

int ipc_connect(const char *socket_path, struct ipc_client **ret_client, struct error *err)
{
	struct ipc_client *c;
	int fd = -1;
	int r;

	r = unixsock_connect(socket_path, &fd, NULL);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return error_set(
			err, r,
			"the daemon is not running: nothing answers on %s (start warrend, or give "
			"--socket)",
			socket_path);
	if (r == -EACCES || r == -EPERM)
		return error_set(err, r, "this account may not talk to the daemon on %s",
				 socket_path);
	if (r < 0)
		return error_set(err, r, "cannot reach the daemon on %s: %s", socket_path,
				 strerror(-r));
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		file_close(&fd);
		return error_set(err, -ENOMEM, "no memory");
	}
	c->fd = fd;
	c->watched_fd = -1;
	c->next_id = 1;
	buffer_init(&c->in, 2 * (size_t)IPC_MAX_LINE);
	*ret_client = c;
	return 0;
}

void ipc_close(struct ipc_client *c)
{
	if (c == NULL)
		return;
	file_close(&c->fd);
	buffer_done(&c->in);
	free(c);
}

int ipc_fd(const struct ipc_client *c)
{
	return c->fd;
}

void ipc_watch(struct ipc_client *c, int fd)
{
	c->watched_fd = fd;
}

int ipc_next(struct buffer *in, json_t **ret_object, struct error *err)
{
	const uint8_t *end = in->len == 0 ? NULL : memchr(in->data, '\n', in->len);
	json_t *object;
	size_t len;

	if (end == NULL) {
		if (in->len >= IPC_MAX_LINE)
			return error_set(err, -EMSGSIZE, "a line is longer than %u bytes",
					 IPC_MAX_LINE);
		return -EAGAIN;
	}
	len = (size_t)(end - in->data);
	if (len >= IPC_MAX_LINE)
		return error_set(err, -EMSGSIZE, "a line is longer than %u bytes", IPC_MAX_LINE);
	object = json_load_strict((const char *)in->data, len, IPC_MAX_LINE, err);
	if (object == NULL)
		return -EBADMSG;
	if (!json_is_object(object)) {
		json_decref(object);
		return error_set(err, -EBADMSG, "a line is not a JSON object");
	}
	buffer_consume(in, len + 1);
	*ret_object = object;
	return 0;
}

int ipc_append(struct buffer *out, const json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);
	size_t before = out->len;
	size_t len;
	int r;

	if (text == NULL)
		return -EINVAL;
	len = strlen(text);
	r = len >= IPC_MAX_LINE ? -EMSGSIZE : buffer_append(out, text, len);
	if (r == 0)
		r = buffer_append(out, "\n", 1);
	if (r < 0)
		out->len = before;
	free(text);
	return r;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits until the socket is ready for events; deadline_ms < 0: for ever. */
static int wait_ready(const struct ipc_client *c, short events, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = c->fd, .events = events}, {.fd = c->watched_fd}};
		int timeout = -1;
		int r;

		if (deadline_ms >= 0) {
			int64_t left = deadline_ms - now_ms();

			if (left <= 0)
				return -ETIMEDOUT;
			timeout = left > 1000000 ? 1000000 : (int)left;
		}
		r = poll(p, 2, timeout);
		if (r > 0)
			return p[0].revents == 0 ? -ECANCELED : 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static int send_all(struct ipc_client *c, const uint8_t *data, size_t len, int64_t deadline_ms)
{
	while (len > 0) {
		ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK) {
			int r = wait_ready(c, POLLOUT, deadline_ms);

			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

static int receive(struct ipc_client *c, int64_t deadline_ms, json_t **ret_object,
		   struct error *err)
{
	for (;;) {
		uint8_t piece[16384];
		ssize_t n;
		int r;

		r = ipc_next(&c->in, ret_object, err);
		if (r != -EAGAIN)
			return r;
		r = wait_ready(c, POLLIN, deadline_ms);
		if (r == -ETIMEDOUT)
			return error_set(err, r, "the daemon did not answer in time");
		if (r == -ECANCELED)
			return error_set(err, r, "whoever asked for this is gone");
		if (r < 0)
			return error_set(err, r, "cannot wait for the daemon: %s", strerror(-r));
		n = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT);
		if (n == 0)
			return error_set(err, -EPIPE,
					 "the daemon closed the connection before it answered");
		if (n < 0) {
			if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)
				continue;
			return error_set(err, -errno, "cannot read from the daemon: %s",
					 strerror(errno));
		}
		r = buffer_append(&c->in, piece, (size_t)n);
		if (r < 0)
			return error_set(err, r, "the daemon's answer is too long");
	}
}

static int take_error(const json_t *failure, int *ret_exit, struct error *err)
{
	char message[sizeof(err->text)];
	int64_t code;

	if (json_get_int(failure, "exit", 1, 255, &code, NULL) < 0)
		code = WARREN_EXIT_FAILED;
	if (json_get_string(failure, "message", message, sizeof(message), NULL) < 0)
		(void)error_set(err, -EIO, "the daemon reported a failure without a sentence");
	else
		(void)error_set(err, -EREMOTEIO, "%s", message);
	*ret_exit = (int)code;
	return -EREMOTEIO;
}

int ipc_call(struct ipc_client *c, json_t *request,
	     void (*on_event)(void *ctx, const json_t *event), void *ctx, int timeout_ms,
	     json_t **ret_result, int *ret_exit, struct error *err)
{
	int64_t deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	int64_t id = c->next_id++;
	json_t *copy = json_copy(request);
	struct buffer out;
	int r;

	*ret_exit = WARREN_EXIT_FAILED;
	buffer_init(&out, 2 * (size_t)IPC_MAX_LINE);
	r = copy == NULL || json_object_set_new(copy, "id", json_integer(id)) < 0 ? -ENOMEM : 0;
	if (r == 0)
		r = ipc_append(&out, copy);
	json_decref(copy);
	if (r == 0)
		r = send_all(c, out.data, out.len, deadline_ms);
	buffer_done(&out);
	if (r < 0)
		return error_set(err, r, "cannot send the request to the daemon: %s", strerror(-r));
	for (;;) {
		json_t *answer = NULL, *result, *failure;

		r = receive(c, deadline_ms, &answer, err);
		if (r < 0)
			return r;
		if (json_integer_value(json_object_get(answer, "id")) != id) {
			json_decref(answer);
			continue; /* the tail of a call that timed out */
		}
		result = json_object_get(answer, "result");
		failure = json_object_get(answer, "error");
		if (result != NULL) {
			*ret_result = json_incref(result);
			*ret_exit = WARREN_EXIT_OK;
			json_decref(answer);
			return 0;
		}
		if (failure != NULL) {
			r = take_error(failure, ret_exit, err);
			json_decref(answer);
			return r;
		}
		if (on_event != NULL && json_object_get(answer, "event") != NULL)
			on_event(ctx, answer);
		json_decref(answer);
	}
}
