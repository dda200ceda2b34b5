/* SPDX-License-Identifier: Apache-2.0
 *
 * Helper processes of forwards: each becomes the user, does one thing that needs the user's rights
 * (resolve and connect, bind, make or remove an agent's socket), passes the descriptor back and
 * ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/secret.h"
#include "platform/unixsock.h"
#include "ssh/monitor.h"

static int connect_one(const struct addrinfo *ai, char message[static 128])
{
	struct pollfd p = {.events = POLLOUT};
	int error = 0, one = 1;
	socklen_t len = sizeof(error);

	p.fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p.fd < 0)
		return -errno;
	if (connect(p.fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS)
		error = errno;
	else if (poll(&p, 1, FORWARD_CONNECT_LIMIT_S * 1000 / 2) <= 0)
		error = ETIMEDOUT;
	else if (getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0) {
		snprintf(message, 128, "%s", strerror(error));
		close(p.fd);
		return -error;
	}
	setsockopt(p.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return p.fd;
}

int forward_helper_connect(struct forward_task *t, char message[static 128])
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char port[8];
	int r, fd = -EHOSTUNREACH;

	snprintf(port, sizeof(port), "%u", t->port);
	r = getaddrinfo(t->host, port, &hints, &list);
	if (r != 0) {
		snprintf(message, 128, "%s", gai_strerror(r));
		return -ENOENT;
	}
	for (const struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next)
		fd = connect_one(ai, message);
	freeaddrinfo(list);
	return fd;
}

int forward_helper_listen(struct forward_task *t, char message[static 128])
{
	struct endpoint ep;
	int fd, one = 1;

	endpoint_from_ip(&t->listen, t->port, &ep);
	fd = socket(ep.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (t->listen.family == 6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    bind(fd, &ep.sa, endpoint_len(&ep)) < 0 || listen(fd, 64) < 0) {
		int error = errno;

		snprintf(message, 128, "%s", strerror(error));
		return -error;
	}
	return fd;
}

/* /tmp/ssh-XXXXXXXXXX/agent.PID, as sshd names it: a folder that only the user enters. */
int forward_helper_agent(struct forward_task *t, char message[static 128])
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/ssh-XXXXXXXXXX";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	umask(077);
	if (fd < 0 || mkdtemp(dir) == NULL) {
		snprintf(message, 128, "%s", strerror(errno));
		return -errno;
	}
	snprintf(t->path, sizeof(t->path), "%s/agent.%d", dir, (int)getpid());
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", t->path);
	if (bind(fd, (const struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 16) < 0) {
		snprintf(message, 128, "%s", strerror(errno));
		return -errno;
	}
	return fd;
}

int forward_helper_remove_agent(struct forward_task *t, char message[static 128])
{
	char *slash = strrchr(t->path, '/');

	(void)message;
	unlink(t->path);
	if (slash != NULL) {
		*slash = '\0';
		rmdir(t->path);
	}
	return -ECANCELED;
}

static _Noreturn void run_helper(struct monitor *m, struct forward_task *t, int channel)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));
	char message[128] = "";
	sigset_t none;
	int fd;

	if (m->host_secret != NULL)
		secret_wipe(m->host_secret, crypto_sign_SECRETKEYBYTES); /* this process's copy */
	if (dup2(channel, 3) < 0)
		_exit(1);
	close_range(4, ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(FORWARD_CONNECT_LIMIT_S + 5);
	account_limits(m);
	answer_limit_cpu();
	account_become(m);
	fd = t->open(t, message);
	writer_u8(&w, fd >= 0 ? MONITOR_YES : MONITOR_NO);
	writer_cstring(&w, message);
	writer_cstring(&w, t->path);
	_exit(unixsock_send(3, data, w.len, &fd, fd >= 0 ? 1 : 0) < 0);
}

int forward_helper_start(struct monitor *m, struct forward_task *t, int *ret_fd, pid_t *ret_pid)
{
	int pair[2];
	int r = unixsock_pair(pair);

	if (r < 0)
		return r;
	*ret_pid = fork();
	if (*ret_pid == 0)
		run_helper(m, t, pair[1]);
	close(pair[1]);
	if (*ret_pid < 0) {
		r = -errno;
		close(pair[0]);
		return r;
	}
	*ret_fd = pair[0];
	return 0;
}

/* The helper's one packet: a descriptor, or -EACCES and its message. */
int forward_helper_result(int fd, char *path, size_t path_cap, char message[static 128])
{
	uint8_t data[512];
	int fds[UNIXSOCK_MAX_FDS];
	size_t nfds = 0;
	struct reader r;
	char ignored[128];
	ssize_t n = unixsock_recv(fd, data, sizeof(data), fds, &nfds, MSG_DONTWAIT);
	uint8_t result;

	snprintf(message, 128, "it took too long");
	if (n <= 0)
		return -EACCES;
	r = reader_init(data, (size_t)n);
	result = reader_u8(&r);
	reader_cstring(&r, message, 128);
	reader_cstring(&r, path != NULL ? path : ignored,
		       path != NULL ? path_cap : sizeof(ignored));
	if (reader_done(&r) && result == MONITOR_YES && nfds == 1)
		return fds[0];
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	return -EACCES;
}

/* Waits for a helper that is quick by nature (bind, mkdir), unless its user stops it. */
int forward_helper_run(struct monitor *m, struct forward_task *t, char message[static 128])
{
	struct answer_limits limits = monitor_patience(m, 0);
	pid_t pid;
	int fd, r;

	r = forward_helper_start(m, t, &fd, &pid);
	if (r < 0) {
		snprintf(message, 128, "%s", strerror(-r));
		return r;
	}
	if (answer_wait(fd, &limits, NULL) < 0)
		kill(pid, SIGKILL); /* not reaped yet: only the monitor's loop does that */
	r = forward_helper_result(fd, t->path, sizeof(t->path), message);
	close(fd);
	return r;
}
