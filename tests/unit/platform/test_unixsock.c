/* SPDX-License-Identifier: Apache-2.0
 *
 * Listeners and their paths, descriptors that travel with packets, and packets that don't fit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/unixsock.h"

static char folder[] = "/tmp/warren-test-sock-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	umask(027);
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static bool close_on_exec(int fd)
{
	return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static int open_count(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void listens_and_connects(void **state)
{
	struct unixsock_cred cred = {0};
	struct error err = {0};
	int listener, client = -1, server;
	struct stat st;

	(void)state;
	assert_int_equal(unixsock_listen(path, 0660, &listener, &err), 0);
	assert_true(close_on_exec(listener));
	assert_true(fcntl(listener, F_GETFL) & O_NONBLOCK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660); /* whatever the umask */
	assert_int_equal(unixsock_connect(path, &client, &err), 0);
	assert_true(close_on_exec(client));
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	assert_int_equal(unixsock_peer_cred(server, &cred), 0);
	assert_int_equal(cred.pid, getpid());
	assert_int_equal(cred.uid, geteuid());
	assert_int_equal(cred.gid, getegid());
	file_close(&server);
	file_close(&client);

	/* A second daemon on the same path. */
	assert_int_equal(unixsock_listen(path, 0600, &server, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another program already listens"));
	assert_int_equal(unixsock_connect(path, &client, NULL), 0);
	file_close(&client);
	file_close(&listener);

	/* The first one is gone: stale, nobody answers, replaced. */
	assert_int_equal(unixsock_connect(path, &client, &err), -ECONNREFUSED);
	assert_non_null(strstr(err.text, "nobody answers"));
	assert_int_equal(unixsock_listen(path, 0600, &listener, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	file_close(&listener);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unixsock_connect(path, &client, &err), -ENOENT);
}

static void bad_paths(void **state)
{
	char long_path[200];
	struct error err = {0};
	int fd;

	(void)state;
	memset(long_path, 'p', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[108] = '\0'; /* one too many */
	assert_int_equal(unixsock_listen(long_path, 0600, &fd, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.text, "107"));
	assert_int_equal(unixsock_connect(long_path, &fd, &err), -ENAMETOOLONG);
	assert_int_equal(unixsock_connect("", &fd, &err), -EINVAL);
	assert_int_equal(unixsock_listen("/no/such/folder/s", 0600, &fd, &err), -ENOENT);

	/* What is no socket is not removed. */
	assert_int_equal(file_write_atomic(path, "data", 4, 0600), 0);
	assert_int_equal(unixsock_listen(path, 0600, &fd, &err), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
}

static void groups(void **state)
{
	struct unixsock_cred root = {.uid = 0, .gid = 0}, other = {.uid = 54321, .gid = 54321};

	(void)state;
	assert_int_equal(unixsock_cred_in_group(&root, "root"), 1);
	assert_int_equal(unixsock_cred_in_group(&other, "root"), 0);
	assert_int_equal(unixsock_cred_in_group(&root, "no-such-group"), 0);
	other.gid = 0;
	assert_int_equal(unixsock_cred_in_group(&other, "root"), 1);
}

static void descriptors_travel(void **state)
{
	int pair[2], pipe_fds[2], got[UNIXSOCK_MAX_FDS];
	char data[16], back[4] = {0};
	size_t count = 99;
	int before = open_count();

	(void)state;
	assert_int_equal(unixsock_pair(pair), 0);
	assert_true(close_on_exec(pair[0]) && close_on_exec(pair[1]));
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(unixsock_send(pair[0], "hello", 5, pipe_fds, 2), 0);
	assert_int_equal(unixsock_recv(pair[1], data, sizeof(data), got, &count, 0), 5);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(count, 2);
	assert_true(close_on_exec(got[0]) && close_on_exec(got[1]));
	assert_int_equal(file_write_all(got[1], "pipe", 4), 0);
	assert_int_equal(read(pipe_fds[0], back, 4), 4);
	assert_memory_equal(back, "pipe", 4);
	close(got[0]);
	close(got[1]);

	/* Packets keep their borders; none waiting; the end. */
	assert_int_equal(unixsock_send(pair[0], "a", 1, NULL, 0), 0);
	assert_int_equal(unixsock_send(pair[0], "bc", 2, NULL, 0), 0);
	assert_int_equal(unixsock_recv(pair[1], data, sizeof(data), got, &count, 0), 1);
	assert_int_equal(count, 0);
	assert_int_equal(unixsock_recv(pair[1], data, sizeof(data), NULL, NULL, 0), 2);
	assert_int_equal(unixsock_recv(pair[1], data, sizeof(data), got, &count, MSG_DONTWAIT),
			 -EAGAIN);
	assert_int_equal(unixsock_send(pair[0], "", 0, NULL, 0), -EINVAL);
	file_close(&pair[0]);
	assert_int_equal(unixsock_recv(pair[1], data, sizeof(data), got, &count, 0), 0);
	assert_int_equal(unixsock_send(pair[1], "x", 1, NULL, 0), -EPIPE);
	file_close(&pair[1]);
	file_close(&pipe_fds[0]);
	file_close(&pipe_fds[1]);
	assert_int_equal(open_count(), before);
}

static void what_does_not_fit_is_refused_whole(void **state)
{
	int pair[2], zeros[UNIXSOCK_MAX_FDS + 1] = {0}, got[UNIXSOCK_MAX_FDS];
	size_t count = 99;
	char data[4];
	int before;

	(void)state;
	assert_int_equal(unixsock_pair(pair), 0);
	before = open_count();

	/* A packet longer than the buffer, with a descriptor. */
	assert_int_equal(unixsock_send(pair[0], "12345", 5, zeros, 1), 0);
	assert_int_equal(unixsock_recv(pair[1], data, sizeof(data), got, &count, 0), -EMSGSIZE);
	assert_int_equal(open_count(), before);

	/* A descriptor where none is expected. */
	assert_int_equal(unixsock_send(pair[0], "1", 1, zeros, 2), 0);
	assert_int_equal(unixsock_recv(pair[1], data, sizeof(data), NULL, NULL, 0), -EBADMSG);
	assert_int_equal(open_count(), before);

	/* Eight fit, nine are not sent. */
	assert_int_equal(unixsock_send(pair[0], "1", 1, zeros, UNIXSOCK_MAX_FDS), 0);
	assert_int_equal(unixsock_recv(pair[1], data, sizeof(data), got, &count, 0), 1);
	assert_int_equal(count, UNIXSOCK_MAX_FDS);
	for (size_t i = 0; i < count; i++)
		close(got[i]);
	assert_int_equal(unixsock_send(pair[0], "1", 1, zeros, UNIXSOCK_MAX_FDS + 1), -EINVAL);
	assert_int_equal(count, UNIXSOCK_MAX_FDS);
	file_close(&pair[0]);
	file_close(&pair[1]);
}

/* As with a small net.core.wmem_default. */
static void large_packets_fit(void **state)
{
	static uint8_t data[UNIXSOCK_PACKET_MAX], back[UNIXSOCK_PACKET_MAX];
	int pair[2], small = 4608;

	(void)state;
	assert_int_equal(unixsock_pair(pair), 0);
	data[0] = 1;
	data[sizeof(data) - 1] = 2;
	for (int side = 0; side < 2; side++) {
		assert_int_equal(setsockopt(pair[side], SOL_SOCKET, SO_SNDBUF, &small,
					    sizeof(small)),
				 0);
		assert_int_equal(unixsock_send(pair[side], data, sizeof(data), NULL, 0), -EMSGSIZE);
		assert_int_equal(unixsock_make_room(pair[side]), 0);
		assert_int_equal(unixsock_send(pair[side], data, sizeof(data), NULL, 0), 0);
		assert_int_equal(unixsock_recv(pair[1 - side], back, sizeof(back), NULL, NULL, 0),
				 (ssize_t)sizeof(back));
		assert_memory_equal(data, back, sizeof(data));
	}
	file_close(&pair[0]);
	file_close(&pair[1]);
}

/* A sender of another program may put twelve into one packet. */
static void too_many_descriptors(void **state)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(12 * sizeof(int))] = {0};
	struct iovec iov = {(char[]){"x"}, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int pair[2], got[UNIXSOCK_MAX_FDS], before;
	size_t count = 0;
	char data[4];

	(void)state;
	assert_int_equal(unixsock_pair(pair), 0);
	before = open_count();
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(12 * sizeof(int)); /* twelve times descriptor 0 */
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	assert_int_equal(unixsock_recv(pair[1], data, sizeof(data), got, &count, 0), -EMSGSIZE);
	assert_int_equal(open_count(), before);
	file_close(&pair[0]);
	file_close(&pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listens_and_connects),
		cmocka_unit_test(bad_paths),
		cmocka_unit_test(groups),
		cmocka_unit_test(large_packets_fit),
		cmocka_unit_test(descriptors_travel),
		cmocka_unit_test(what_does_not_fit_is_refused_whole),
		cmocka_unit_test(too_many_descriptors),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
