/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker that lies, for tests: stands in the place of warren-ssh-worker beside a copy of the other
 * programs, with the real one beside it as warren-ssh-worker.real. It runs that, carries its packets to
 * the monitor and back, and tells one lie of its own where it belongs. Which: the file LIE in the folder
 * LIES_DIR (compiled in), which the connection takes away with it, so that the next one is honest. What
 * came of it goes into LIES_DIR/said: answers, if there are any. (A worker that was caught is killed and says nothing.)
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/unixsock.h"
#include "ssh/monitor_wire.h"

#ifndef LIES_DIR
#error "LIES_DIR"
#endif
#define REAL	"warren-ssh-worker.real"
#define LIE_ID	0x70000000u /* of our own requests */
#define CHANNEL 0x00100000u

/* When: behind the monitor's answer to a request of this type. */
static const struct lie {
	const char *name;
	uint8_t after;
} lies[] = {
	{"session-before-key-exchange", MONITOR_HELLO},
	{"session-before-login", MONITOR_SIGN},
	{"forward-before-login", MONITOR_SIGN},
	{"other-login", MONITOR_USER},
	{"hello-twice", MONITOR_SIGN},
	{"user-twice", MONITOR_USER},
	{"login-twice", MONITOR_LIMITS},
	{"limits-twice", MONITOR_LIMITS},
	{"channel-twice", MONITOR_SESSION},
	{"session-after-no-more", MONITOR_SESSION},
	{"no-more-twice", MONITOR_SESSION},
	{"connect-denied", MONITOR_LIMITS},
	{"connect-after-no", MONITOR_LIMITS},
	{"connect-twice", MONITOR_LIMITS},
	{"listen-denied", MONITOR_LIMITS},
	{"agent-denied", MONITOR_LIMITS},
	{"unknown", MONITOR_LIMITS},
	{"cut-off", MONITOR_LIMITS},
	{"left-over", MONITOR_LIMITS},
	{"descriptor", MONITOR_LIMITS},
	{"not-reading", MONITOR_LIMITS},
	{"reads-late", MONITOR_LIMITS}, /* no lie: as one that stood still for a while */
};

static const struct lie *lie;
static uint32_t session_channel;
static bool told;
static uint8_t packet[MONITOR_WIRE_MAX], out[MONITOR_WIRE_MAX];

static void say(const char *text)
{
	int fd = open(LIES_DIR "/said", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		perror("lying_worker");
	close(fd);
}

/* The first connection that comes takes it. */
static void choose(void)
{
	char name[64] = "";
	int fd = -1;

	if (rename(LIES_DIR "/LIE", LIES_DIR "/told") == 0)
		fd = open(LIES_DIR "/told", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, name, sizeof(name) - 1) <= 0)
		return;
	name[strcspn(name, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		if (strcmp(lies[i].name, name) == 0)
			lie = &lies[i];
	close(fd);
}

static struct writer begin(uint8_t type)
{
	struct writer w = writer_init(out, sizeof(out));

	writer_u8(&w, type);
	writer_u32(&w, LIE_ID);
	return w;
}

static struct writer session(uint32_t channel, uint8_t agent)
{
	struct writer w = begin(MONITOR_SESSION);

	writer_u32(&w, channel);
	writer_u8(&w, MONITOR_EXEC);
	writer_cstring(&w, "touch " LIES_DIR "/ran");
	writer_u8(&w, 0);
	writer_cstring(&w, "");
	for (int i = 0; i < 4; i++)
		writer_u32(&w, 0);
	writer_cstring(&w, "");
	writer_u32(&w, 0);
	writer_u8(&w, agent);
	return w;
}

static struct writer place(uint8_t type, const char *host, uint32_t port)
{
	struct writer w = begin(type);

	if (type == MONITOR_FORWARD)
		writer_u8(&w, MONITOR_FORWARD_CONNECT);
	if (type == MONITOR_CONNECT)
		writer_u32(&w, CHANNEL);
	writer_cstring(&w, host);
	writer_u32(&w, port);
	if (type == MONITOR_CONNECT) {
		writer_cstring(&w, "127.0.0.1");
		writer_u32(&w, 1);
	}
	return w;
}

static struct writer login(uint8_t type, const char *name)
{
	struct writer w = begin(type);

	writer_cstring(&w, name);
	if (type == MONITOR_AUTH_NONE)
		writer_u8(&w, 0);
	return w;
}

static void send_it(const struct writer *w, const int *fds, size_t nfds)
{
	if (unixsock_send(WORKER_FD_MONITOR, w->data, w->len, fds, nfds) < 0)
		exit(0);
}

static bool is(const char *name)
{
	return strcmp(lie->name, name) == 0;
}

static struct writer make(void)
{
	struct writer w;

	if (is("session-before-key-exchange") || is("session-before-login"))
		return session(CHANNEL, 0);
	if (is("forward-before-login") || is("connect-denied"))
		return place(MONITOR_CONNECT, "127.0.0.1", 7777);
	if (is("connect-after-no") || is("connect-twice")) {
		/* The answers come back to us; the last request is the lie. */
		const char *host = is("connect-twice") ? "127.0.0.1" : "192.0.2.250";

		w = place(MONITOR_FORWARD, host, 7070);
		send_it(&w, NULL, 0);
		w = place(MONITOR_CONNECT, host, 7070);
		if (is("connect-twice"))
			send_it(&w, NULL, 0);
		return w;
	}
	if (is("other-login"))
		return login(MONITOR_AUTH_NONE, "somebody-else");
	if (is("login-twice"))
		return login(MONITOR_AUTH_NONE, "root");
	if (is("user-twice"))
		return login(MONITOR_USER, "somebody-else");
	if (is("hello-twice"))
		return begin(MONITOR_HELLO);
	if (is("limits-twice"))
		return begin(MONITOR_LIMITS);
	if (is("channel-twice"))
		return session(session_channel, 0);
	if (is("session-after-no-more")) /* stock ssh has said it, and has its session */
		return session(CHANNEL, 0);
	if (is("no-more-twice")) { /* and so is a second word about it */
		w = begin(MONITOR_NO_MORE_SESSIONS);
		writer_u32(&w, 100);
		return w;
	}
	if (is("listen-denied"))
		return place(MONITOR_LISTEN, "localhost", 0);
	if (is("agent-denied"))
		return session(CHANNEL, 1);
	if (is("unknown"))
		return begin(99);
	w = begin(MONITOR_SIGNAL);
	writer_u32(&w, 1);
	if (!is("cut-off"))
		writer_cstring(&w, "TERM");
	if (is("left-over"))
		writer_u8(&w, 0);
	return w;
}

#define MANY   20000 /* their answers fit into no socket */
#define LATE_S 4

/* Requests whose answers nobody reads: for good, or until the monitor has stood there for a while. */
static void ask_much(bool late)
{
	struct pollfd p = {.fd = WORKER_FD_MONITOR, .events = POLLOUT};
	struct writer w = make();

	for (int i = 0; i < MANY; i++) {
		if (late && poll(&p, 1, 500) == 0) {
			sleep(LATE_S);
			say("late\n");
			return;
		}
		send_it(&w, NULL, 0);
	}
	say("everything was read\n");
}

static void tell(void)
{
	const int fd = WORKER_FD_CONNECTION;
	struct writer w;

	told = true;
	if (is("not-reading") || is("reads-late")) {
		ask_much(is("reads-late"));
		return;
	}
	w = make();
	send_it(&w, &fd, is("descriptor"));
}

/* One packet; false at an end. */
static bool carry(int from, int to)
{
	int fds[UNIXSOCK_MAX_FDS];
	size_t nfds = 0;
	ssize_t n = unixsock_recv(from, packet, sizeof(packet), fds, &nfds, 0);
	struct reader r = reader_init(packet, n > 0 ? (size_t)n : 0);
	uint8_t type = reader_u8(&r);
	uint32_t id = reader_u32(&r);
	bool ours = from == WORKER_FD_MONITOR && id == LIE_ID;
	bool good;

	if (n <= 0)
		return false;
	if (from != WORKER_FD_MONITOR && type == MONITOR_SESSION)
		session_channel = reader_u32(&r);
	if (ours) {
		char text[32];

		snprintf(text, sizeof(text), "answer %u to %u\n", reader_u8(&r), type);
		say(text);
	}
	good = ours || unixsock_send(to, packet, (size_t)n, fds, nfds) == 0;
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	if (good && lie != NULL && !told && from == WORKER_FD_MONITOR && type == lie->after)
		tell();
	return good;
}

static int relay(int worker)
{
	for (;;) {
		struct pollfd p[] = {{.fd = WORKER_FD_MONITOR, .events = POLLIN},
				     {.fd = worker, .events = POLLIN}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (p[0].revents != 0 && !carry(WORKER_FD_MONITOR, worker))
			return 0;
		if (p[1].revents != 0 && !carry(worker, WORKER_FD_MONITOR))
			return 0;
	}
}

int main(int argc, char **argv)
{
	char path[512], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int pair[2];

	if (n <= 0 || argc < 2)
		return 1;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL || sizeof(path) - (size_t)(slash + 1 - path) < sizeof(REAL))
		return 1;
	memcpy(slash + 1, REAL, sizeof(REAL));
	if (strcmp(argv[1], "--worker") != 0)
		return execv(path, argv);
	choose();
	if (lie == NULL)
		return execv(path, argv);
	if (unixsock_pair(pair) < 0)
		return 1;
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(pair[1], WORKER_FD_MONITOR) < 0)
			_exit(1);
		execv(path, argv);
		_exit(1);
	}
	close(pair[1]);
	return relay(pair[0]);
}
