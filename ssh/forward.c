/* SPDX-License-Identifier: Apache-2.0
 *
 * Forwards (RFC 4254 section 7) and agent sockets, all with the rights of the logged-in user: a helper
 * process becomes the user, resolves, connects or binds, and passes the descriptor back. Policy and
 * the machine's switches are asked before anything is started.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
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
#include <sys/wait.h>
#include <unistd.h>

#include "platform/addr.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "ssh/monitor.h"

#define CONNECT_LIMIT_S 30
#define HELPER_LIMIT_MS 3000
#define FIRST_FREE_PORT 1024

/* What a helper does as the user: opens a descriptor, or says why not. */
struct task {
	int (*open)(struct task *t, char message[static 128]);
	char host[256];
	uint16_t port;
	char path[104]; /* agent: out; fits sun_path */
};

void forward_init(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		m->listeners[i].fd = -1;
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		m->pending[i].fd = -1;
}

/* ------------------------------------------------------------------ helpers that run as the user */

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
	else if (poll(&p, 1, CONNECT_LIMIT_S * 1000 / 2) <= 0)
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

static int open_connection(struct task *t, char message[static 128])
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

/* GatewayPorts no: loopback, whatever the client asked for. */
static int open_listener(struct task *t, char message[static 128])
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(t->port)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)&in, sizeof(in)) < 0 || listen(fd, 64) < 0) {
		snprintf(message, 128, "%s", strerror(errno));
		return -errno;
	}
	return fd;
}

/* /tmp/ssh-XXXXXXXXXX/agent.PID, as sshd names it: a folder that only the user enters. */
static int open_agent(struct task *t, char message[static 128])
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

static int remove_agent(struct task *t, char message[static 128])
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

static _Noreturn void run_helper(struct monitor *m, struct task *t, int channel)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));
	char message[128] = "";
	sigset_t none;
	int fd;

	secret_wipe(m->host_secret, crypto_sign_SECRETKEYBYTES);
	if (dup2(channel, 3) < 0)
		_exit(1);
	close_range(4, ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(CONNECT_LIMIT_S + 5);
	account_become(&m->account);
	fd = t->open(t, message);
	writer_u8(&w, fd >= 0 ? MONITOR_YES : MONITOR_NO);
	writer_cstring(&w, message);
	writer_cstring(&w, t->path);
	_exit(unixsock_send(3, data, w.len, &fd, fd >= 0 ? 1 : 0) < 0);
}

static int start_helper(struct monitor *m, struct task *t, int *ret_fd, pid_t *ret_pid)
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
static int helper_result(int fd, char *path, size_t path_cap, char message[static 128])
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
	reader_cstring(&r, path != NULL ? path : ignored, path != NULL ? path_cap : sizeof(ignored));
	if (reader_done(&r) && result == MONITOR_YES && nfds == 1)
		return fds[0];
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	return -EACCES;
}

/* Waits for a helper that is quick by nature (bind, mkdir). */
static int run_task(struct monitor *m, struct task *t, char message[static 128])
{
	struct pollfd p = {.events = POLLIN};
	pid_t pid;
	int r;

	r = start_helper(m, t, &p.fd, &pid);
	if (r < 0) {
		snprintf(message, 128, "%s", strerror(-r));
		return r;
	}
	while (poll(&p, 1, HELPER_LIMIT_MS) < 0 && errno == EINTR)
		;
	r = helper_result(p.fd, t->path, sizeof(t->path), message);
	close(p.fd);
	return r;
}

/* ------------------------------------------------------------------ direct-tcpip */

/* "host:port" patterns of the decision; host may have * and ?, port may be *. */
static bool destination_allowed(const struct monitor *m, const char *host, uint16_t port)
{
	if (m->decision.destination_count == 0)
		return true;
	for (size_t i = 0; i < m->decision.destination_count; i++) {
		char pattern[72];
		char *colon;

		snprintf(pattern, sizeof(pattern), "%s", m->decision.destinations[i]);
		colon = strrchr(pattern, ':');
		if (colon == NULL)
			continue;
		*colon = '\0';
		if (fnmatch(pattern, host, FNM_CASEFOLD) != 0)
			continue;
		if (strcmp(colon + 1, "*") == 0 || (uint16_t)strtoul(colon + 1, NULL, 10) == port)
			return true;
	}
	return false;
}

static int connected(struct monitor *m, uint32_t channel, int fd, const char *message)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, MONITOR_CONNECTED, 0);
	writer_u32(&w, channel);
	writer_u8(&w, fd >= 0 ? MONITOR_YES : MONITOR_NO);
	writer_cstring(&w, message);
	return monitor_reply(m, &w, &fd, fd >= 0 ? 1 : 0);
}

static int simple_reply(struct monitor *m, uint8_t type, uint32_t id, uint8_t result)
{
	uint8_t data[16];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, type, id);
	writer_u8(&w, result);
	return monitor_reply(m, &w, NULL, 0);
}

static struct pending_connect *free_pending(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		if (m->pending[i].fd < 0)
			return &m->pending[i];
	return NULL;
}

int forward_connect(struct monitor *m, uint32_t id, struct reader *r)
{
	struct task t = {.open = open_connection};
	struct pending_connect *p = free_pending(m);
	const char *why = NULL;
	char originator[64], what[300];
	uint32_t channel, port;
	int ret;

	channel = reader_u32(r);
	reader_cstring(r, t.host, sizeof(t.host));
	port = reader_u32(r);
	reader_cstring(r, originator, sizeof(originator));
	reader_u32(r);
	if (!reader_done(r))
		return -EBADMSG;
	snprintf(what, sizeof(what), "%s:%u", t.host, port);
	ret = simple_reply(m, MONITOR_CONNECT, id, MONITOR_PENDING);
	if (ret < 0)
		return ret;
	t.port = (uint16_t)port;
	if (!m->config.allow_local_forward)
		why = "local port forwarding is off on this machine";
	else if ((m->decision.caps & POLICY_SSH_FORWARD) == 0)
		why = "policy does not allow forwards for this login";
	else if (port == 0 || port > 65535 || !destination_allowed(m, t.host, t.port))
		why = "policy does not allow this destination";
	else if (p == NULL)
		why = "too many connections are being opened at once";
	monitor_audit(m, why == NULL ? "ssh forward" : "ssh forward refused", "to", what);
	if (why != NULL)
		return connected(m, channel, -1, why);
	ret = start_helper(m, &t, &p->fd, &p->pid);
	if (ret < 0) {
		p->fd = -1;
		return connected(m, channel, -1, strerror(-ret));
	}
	p->channel = channel;
	p->deadline_ns = monitor_now_ns() + CONNECT_LIMIT_S * NSEC_PER_SEC;
	return 0;
}

int forward_pending_ready(struct monitor *m, struct pending_connect *p, bool timed_out)
{
	char message[128];
	int fd = helper_result(p->fd, NULL, 0, message);
	int r;

	if (timed_out && fd < 0)
		kill(p->pid, SIGKILL);
	file_close(&p->fd);
	if (fd >= 0) {
		m->forwards++;
		monitor_state_changed(m);
	}
	r = connected(m, p->channel, fd, fd >= 0 ? "" : message);
	file_close(&fd);
	return r;
}

/* ------------------------------------------------------------------ tcpip-forward */

static struct listener *free_listener(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		if (m->listeners[i].fd < 0)
			return &m->listeners[i];
	return NULL;
}

static int reply_listen(struct monitor *m, uint32_t id, uint8_t result, uint16_t port,
			const char *message)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, MONITOR_LISTEN, id);
	writer_u8(&w, result);
	writer_u32(&w, port);
	writer_cstring(&w, message);
	return monitor_reply(m, &w, NULL, 0);
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_in in = {0};
	socklen_t len = sizeof(in);

	return getsockname(fd, (struct sockaddr *)&in, &len) < 0 ? 0 : ntohs(in.sin_port);
}

int forward_listen(struct monitor *m, uint32_t id, struct reader *r)
{
	struct task t = {.open = open_listener};
	struct listener *l = free_listener(m);
	char address[256], message[128] = "", what[300];
	const char *why = NULL;
	uint32_t port;
	int fd;

	reader_cstring(r, address, sizeof(address));
	port = reader_u32(r);
	if (!reader_done(r))
		return -EBADMSG;
	if (!m->config.allow_remote_forward)
		why = "remote port forwarding is off on this machine";
	else if ((m->decision.caps & POLICY_SSH_REMOTE_FORWARD) == 0)
		why = "policy does not allow remote forwards for this login";
	else if (port > 65535 || (port != 0 && port < FIRST_FREE_PORT && m->account.uid != 0))
		why = "this port is not for this account";
	else if (l == NULL)
		why = "too many remote forwards";
	snprintf(what, sizeof(what), "%s:%u", address, port);
	monitor_audit(m, why == NULL ? "ssh remote forward" : "ssh remote forward refused", "on", what);
	if (why != NULL)
		return reply_listen(m, id, MONITOR_NO, 0, why);
	t.port = (uint16_t)port;
	fd = run_task(m, &t, message);
	if (fd < 0)
		return reply_listen(m, id, MONITOR_NO, 0, message);
	*l = (struct listener){.fd = fd, .asked_port = (uint16_t)port, .port = bound_port(fd)};
	snprintf(l->address, sizeof(l->address), "%s", address);
	m->forwards++;
	monitor_state_changed(m);
	return reply_listen(m, id, MONITOR_YES, l->port, "");
}

static void close_listener(struct monitor *m, struct listener *l)
{
	struct task t = {.open = remove_agent};
	char message[128];

	if (l->fd < 0)
		return;
	file_close(&l->fd);
	if (l->agent) {
		snprintf(t.path, sizeof(t.path), "%s", l->path);
		if (run_task(m, &t, message) >= 0)
			log_debug("an agent's folder stays", NULL);
	} else if (m->forwards > 0) {
		m->forwards--;
	}
	l->agent = false;
	monitor_state_changed(m);
}

int forward_unlisten(struct monitor *m, uint32_t id, struct reader *r)
{
	char address[256];
	uint32_t port;

	reader_cstring(r, address, sizeof(address));
	port = reader_u32(r);
	if (!reader_done(r))
		return -EBADMSG;
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++) {
		struct listener *l = &m->listeners[i];

		if (l->fd >= 0 && !l->agent && strcmp(l->address, address) == 0 &&
		    (l->port == port || l->asked_port == port)) {
			close_listener(m, l);
			return simple_reply(m, MONITOR_UNLISTEN, id, MONITOR_YES);
		}
	}
	return simple_reply(m, MONITOR_UNLISTEN, id, MONITOR_NO);
}

int forward_accept(struct monitor *m, struct listener *l)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));
	struct endpoint from = {0};
	struct ip_addr ip;
	char text[IP_ADDR_STRLEN] = "";
	int fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (fd < 0)
		return 0;
	monitor_begin(&w, l->agent ? MONITOR_AGENT : MONITOR_ACCEPTED, 0);
	if (l->agent) {
		writer_u32(&w, l->channel);
	} else {
		endpoint_from_sockaddr((const struct sockaddr *)&ss, len, &from);
		endpoint_ip(&from, &ip);
		ip_addr_format(&ip, text);
		writer_cstring(&w, l->address);
		writer_u32(&w, l->port);
		writer_cstring(&w, text);
		writer_u32(&w, endpoint_port(&from));
	}
	r = monitor_reply(m, &w, &fd, 1);
	close(fd);
	return r;
}

/* ------------------------------------------------------------------ agents */

int forward_agent_open(struct monitor *m, uint32_t channel, char *ret_path, size_t cap)
{
	struct task t = {.open = open_agent};
	struct listener *l = free_listener(m);
	char message[128];
	int fd;

	if (l == NULL)
		return -EMFILE;
	fd = run_task(m, &t, message);
	if (fd < 0)
		return fd;
	*l = (struct listener){.fd = fd, .agent = true, .channel = channel};
	snprintf(l->path, sizeof(l->path), "%s", t.path);
	snprintf(ret_path, cap, "%s", t.path);
	return 0;
}

void forward_close_agent(struct monitor *m, uint32_t channel)
{
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		if (m->listeners[i].fd >= 0 && m->listeners[i].agent &&
		    m->listeners[i].channel == channel)
			close_listener(m, &m->listeners[i]);
}

void forward_close_all(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		close_listener(m, &m->listeners[i]);
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		if (m->pending[i].fd >= 0) {
			kill(m->pending[i].pid, SIGKILL);
			file_close(&m->pending[i].fd);
		}
}
