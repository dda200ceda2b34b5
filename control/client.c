/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 over the admin socket, one request per connection, answer read to its end.
 */
#include "control/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/unixsock.h"

#define MAX_ANSWER (64u << 20)

static int send_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* "HTTP/1.1 NNN …", headers, empty line, body. */
static int split(struct buffer *answer, int *ret_status, struct buffer *ret_body)
{
	char *end = answer->len ? memmem(answer->data, answer->len, "\r\n\r\n", 4) : NULL;
	const char *text = (const char *)answer->data;

	if (!end || strncmp(text, "HTTP/1.1 ", 9) != 0)
		return -EPROTO;
	*ret_status = (int)strtol(text + 9, NULL, 10);
	size_t head = (size_t)(end - text) + 4;
	return buffer_append(ret_body, answer->data + head, answer->len - head);
}

int client_call(const char *socket_path, const char *method, const char *path, const void *body,
		size_t len, int *ret_status, struct buffer *ret_body, struct error *err)
{
	char head[1024];
	struct buffer answer;
	int fd, n, r;

	r = unixsock_connect(socket_path, &fd, NULL);
	if (r < 0)
		return error_set(err, r,
				 r == -EACCES
					 ? "only root (or the server's own user) may use %s: %s"
					 : "no warren-control answers on %s (%s): start it with "
					   "warren-control serve, or name its socket with --socket",
				 socket_path, strerror(-r));
	n = snprintf(head, sizeof(head),
		     "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
		     "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		     method, path, len);
	buffer_init(&answer, MAX_ANSWER);
	r = n < 0 || (size_t)n >= sizeof(head) ? -EMSGSIZE : file_set_nonblock(fd, false);
	if (r == 0)
		r = send_all(fd, head, (size_t)n);
	if (r == 0 && len)
		r = send_all(fd, body, len);
	if (r == 0)
		r = file_read_fd(fd, &answer);
	if (r == 0)
		r = split(&answer, ret_status, ret_body);
	if (r == -EPROTO && answer.len == 0)
		error_set(err, r,
			  "warren-control closed the connection: only root (or its own user) may "
			  "use %s",
			  socket_path);
	else if (r < 0)
		error_set(err, r, "the answer of warren-control did not arrive: %s", strerror(-r));
	buffer_done(&answer);
	file_close(&fd);
	return r;
}
