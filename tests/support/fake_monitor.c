/* SPDX-License-Identifier: Apache-2.0
 *
 * Plays the monitor for the SSH worker alone (ssh/PROTOCOL.md section 4), so that the worker can be
 * driven by stock SSH clients without policy, PAM or users: fake_monitor PORT WORKER
 * CLIENT_KEY_BLOB_BASE64 HOSTKEY_OUT listens on 127.0.0.1:PORT, writes its host key's blob (base64)
 * to HOSTKEY_OUT and starts WORKER --worker for each connection. Sessions run as whoever started
 * it: never use it for anything but tests.
 *
 * Logins: "ok" the given key; "nokey" refuses keys with a message; "cert" only certificates; "wait"
 * keyboard-interactive, yes after FAKE_WAIT_S seconds; "waitno" no, with a message; "none" without
 * anything; "nosession" logs in, but sessions are refused with a message. SIGUSR1: END to all
 * connections. Lines on stderr say what happened.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/unixsock.h"
#include "ssh/monitor_wire.h"

#define MAX_SESSIONS  256
#define MAX_LISTENERS 16
#define MAX_AGENTS    16

static struct monitor {
	int fd;
	pid_t worker;
	int worker_status; /* -1: it runs */
	uint8_t seed[64], public[32];
	uint8_t key[4096];
	size_t key_len;
	uint8_t session_id[64];
	size_t session_id_len;
	bool authenticated;
	time_t done_at;
	bool done_yes;
	struct {
		uint32_t channel;
		pid_t pid;
	} sessions[MAX_SESSIONS];
	struct {
		int fd;
		uint32_t asked, port;
		char address[128];
	} listeners[MAX_LISTENERS];
	struct {
		int fd;
		uint32_t channel;
		char path[64];
	} agents[MAX_AGENTS];
	size_t agent_count;
	uint32_t accepted;
	uint8_t in[MONITOR_WIRE_MAX], out[MONITOR_WIRE_MAX];
} g;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "fake_monitor[%d]: %s: %s\n", (int)getpid(), what, strerror(errno));
	exit(1);
}

static struct writer begin(uint8_t type, uint32_t id)
{
	struct writer w = writer_init(g.out, sizeof(g.out));

	writer_u8(&w, type);
	writer_u32(&w, id);
	return w;
}

static void finish(const struct writer *w, const int *fds, size_t n)
{
	if (w->failed || unixsock_send(g.fd, w->data, w->len, fds, n) < 0)
		exit(0);
}

static void result(uint8_t type, uint32_t id, uint8_t code)
{
	struct writer w = begin(type, id);

	writer_u8(&w, code);
	finish(&w, NULL, 0);
}

static void login_result(uint8_t type, uint32_t id, uint8_t code, const char *message)
{
	struct writer w = begin(type, id);

	if (code == MONITOR_YES)
		g.authenticated = true;
	writer_u8(&w, code);
	if (type != MONITOR_AUTH_QUERY)
		writer_cstring(&w, "publickey,keyboard-interactive");
	writer_cstring(&w, message);
	finish(&w, NULL, 0);
}

static void on_hello(uint32_t id)
{
	const char *grace = getenv("FAKE_GRACE_S");
	struct writer w = begin(MONITOR_HELLO, id);
	uint8_t blob[64];
	struct writer b = writer_init(blob, sizeof(blob));

	writer_cstring(&b, "ssh-ed25519");
	writer_string(&b, g.public, 32);
	writer_u32(&w, 4);
	writer_u32(&w, grace ? (uint32_t)atol(grace) : 30);
	writer_u32(&w, 24);
	writer_string(&w, b.data, b.len);
	writer_cstring(&w, "warren_test");
	writer_cstring(&w, "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
			   "ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group18-sha512,"
			   "diffie-hellman-group16-sha512,diffie-hellman-group14-sha256");
	writer_cstring(&w, "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,"
			   "aes128-gcm@openssh.com,aes256-ctr,aes128-ctr");
	writer_cstring(&w, "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com");
	writer_u64(&w, 0);
	writer_u32(&w, 0);
	finish(&w, NULL, 0);
}

static void on_user(uint32_t id)
{
	struct writer w = begin(MONITOR_USER, id);

	writer_u32(&w, 4);
	writer_cstring(&w, "");
	finish(&w, NULL, 0);
}

static void on_limits(uint32_t id)
{
	struct writer w = begin(MONITOR_LIMITS, id);

	writer_u32(&w, 24);
	for (int i = 0; i < 4; i++)
		writer_u32(&w, 0);
	finish(&w, NULL, 0);
}

static void on_sign(uint32_t id, struct reader *r)
{
	struct writer w = begin(MONITOR_SIGN, id);
	uint8_t signature[64];
	size_t len;
	const uint8_t *hash = reader_string(r, 64, &len);

	if (!hash || !reader_done(r) || (len != 32 && len != 48 && len != 64))
		die("SIGN");
	if (g.session_id_len == 0) {
		memcpy(g.session_id, hash, len);
		g.session_id_len = len;
	} else {
		fprintf(stderr, "rekey\n");
	}
	crypto_sign_detached(signature, NULL, hash, len, g.seed);
	writer_string(&w, signature, 64);
	finish(&w, NULL, 0);
}

/* The key itself, or any certificate for it. */
static bool is_our_key(const char *algorithm, const uint8_t *blob, size_t len)
{
	if (strcmp(algorithm, "ssh-ed25519-cert-v01@openssh.com") == 0)
		return memmem(blob, len, g.key + g.key_len - 32, 32) != NULL;
	return len == g.key_len && memcmp(blob, g.key, len) == 0;
}

static void on_query(uint32_t id, struct reader *r)
{
	char login[64], algorithm[64];
	size_t len;
	const uint8_t *blob;

	reader_cstring(r, login, sizeof(login));
	reader_cstring(r, algorithm, sizeof(algorithm));
	blob = reader_string(r, 8192, &len);
	if (!reader_done(r))
		die("QUERY");
	fprintf(stderr, "query %s %zu\n", algorithm, len);
	if (strcmp(login, "nokey") == 0 || (strcmp(login, "cert") == 0 && len == g.key_len))
		login_result(MONITOR_AUTH_QUERY, id, MONITOR_NO, "this key is not for you");
	else if (is_our_key(algorithm, blob, len))
		login_result(MONITOR_AUTH_QUERY, id, MONITOR_YES, "");
	else
		login_result(MONITOR_AUTH_QUERY, id, MONITOR_NO, "");
}

/* RFC 4252 section 7, and the signature, as the real monitor checks them for Ed25519 keys. */
static void on_key(uint32_t id, struct reader *r)
{
	uint8_t expected[8192];
	struct writer e = writer_init(expected, sizeof(expected));
	char login[64], algorithm[64];
	size_t blob_len, sig_len, data_len;
	const uint8_t *blob, *sig, *data;
	bool ok;

	reader_cstring(r, login, sizeof(login));
	reader_cstring(r, algorithm, sizeof(algorithm));
	blob = reader_string(r, 8192, &blob_len);
	sig = reader_string(r, 2048, &sig_len);
	data = reader_string(r, 16384, &data_len);
	if (!reader_done(r))
		die("KEY");
	writer_string(&e, g.session_id, g.session_id_len);
	writer_u8(&e, 50);
	writer_cstring(&e, login);
	writer_cstring(&e, "ssh-connection");
	writer_cstring(&e, "publickey");
	writer_u8(&e, 1);
	writer_cstring(&e, algorithm);
	writer_string(&e, blob, blob_len);
	ok = !e.failed && e.len == data_len && memcmp(e.data, data, data_len) == 0;
	if (ok && strncmp(algorithm, "ssh-ed25519", 11) == 0)
		ok = sig_len == 64 && is_our_key(algorithm, blob, blob_len) &&
		     crypto_sign_verify_detached(sig, data, data_len, g.key + g.key_len - 32) == 0;
	fprintf(stderr, "key %s signature %zu %s\n", algorithm, sig_len, ok ? "good" : "bad");
	login_result(MONITOR_AUTH_KEY, id, ok ? MONITOR_YES : MONITOR_NO,
		     ok ? "" : "the signature is wrong");
}

static void on_interactive(uint32_t id, struct reader *r)
{
	const char *wait_s = getenv("FAKE_WAIT_S");
	struct writer w = begin(MONITOR_AUTH_INTERACTIVE, id);
	char login[64];

	reader_cstring(r, login, sizeof(login));
	if (strncmp(login, "wait", 4) != 0) {
		writer_u8(&w, MONITOR_NO);
		writer_cstring(&w, "nobody may log in like that");
	} else {
		fprintf(stderr, "waiting\n");
		writer_u8(&w, MONITOR_PENDING);
		writer_cstring(&w, "To log in, open https://example.com/login");
		g.done_at = time(NULL) + (wait_s ? atol(wait_s) : 2);
		g.done_yes = strcmp(login, "wait") == 0;
	}
	finish(&w, NULL, 0);
}

static void interactive_done(void)
{
	struct writer w = begin(MONITOR_INTERACTIVE_DONE, 0);

	g.done_at = 0;
	g.authenticated = g.done_yes;
	writer_u8(&w, g.done_yes ? MONITOR_YES : MONITOR_NO);
	writer_cstring(&w, "publickey,keyboard-interactive");
	writer_cstring(&w, g.done_yes ? "" : "you are not allowed to log in here");
	finish(&w, NULL, 0);
}

struct session_request {
	uint32_t channel;
	uint8_t kind, pty, agent;
	char command[65536], term[64];
	uint32_t cols, rows, env_count;
	char env[64][2][512];
};

static void read_session(struct reader *r, struct session_request *s)
{
	size_t len;

	s->channel = reader_u32(r);
	s->kind = reader_u8(r);
	reader_cstring(r, s->command, sizeof(s->command));
	s->pty = reader_u8(r);
	reader_cstring(r, s->term, sizeof(s->term));
	s->cols = reader_u32(r);
	s->rows = reader_u32(r);
	reader_u32(r);
	reader_u32(r);
	reader_string(r, 4096, &len);
	s->env_count = reader_u32(r);
	for (uint32_t i = 0; i < s->env_count && i < 64 && !r->failed; i++) {
		reader_cstring(r, s->env[i][0], sizeof(s->env[i][0]));
		reader_cstring(r, s->env[i][1], sizeof(s->env[i][1]));
	}
	s->agent = reader_u8(r);
	if (!reader_done(r) || s->env_count > 64)
		die("SESSION");
}

static _Noreturn void run_shell(const struct session_request *s, const char *agent)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	close_range(3, ~0u, 0);
	for (uint32_t i = 0; i < s->env_count; i++)
		setenv(s->env[i][0], s->env[i][1], 1);
	if (s->pty)
		setenv("TERM", s->term, 1);
	if (*agent)
		setenv("SSH_AUTH_SOCK", agent, 1);
	if (s->kind == MONITOR_SHELL)
		execl("/bin/sh", s->pty ? "-sh" : "sh", (char *)NULL);
	else if (s->kind == MONITOR_SUBSYSTEM)
		execl("/usr/lib/openssh/sftp-server", "sftp-server", (char *)NULL);
	else
		execl("/bin/sh", "sh", "-c", s->command, (char *)NULL);
	_exit(127);
}

static void open_agent(const struct session_request *s, char *ret_path, size_t cap)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	ret_path[0] = '\0';
	if (!s->agent || g.agent_count == MAX_AGENTS)
		return;
	snprintf(ret_path, cap, "/tmp/fake-agent.%d.%u", (int)getpid(), s->channel);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", ret_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(ret_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, 5) < 0)
		die("agent");
	g.agents[g.agent_count].fd = fd;
	g.agents[g.agent_count].channel = s->channel;
	snprintf(g.agents[g.agent_count].path, sizeof(g.agents[0].path), "%s", ret_path);
	g.agent_count++;
}

static pid_t start_pty(const struct session_request *s, const char *agent, int fds[3])
{
	struct winsize size = {.ws_col = (unsigned short)s->cols,
			       .ws_row = (unsigned short)s->rows};
	pid_t pid = forkpty(&fds[0], NULL, NULL, &size);

	if (pid == 0)
		run_shell(s, agent);
	return pid;
}

static pid_t start_pipes(const struct session_request *s, const char *agent, int fds[3])
{
	int p[3][2];
	pid_t pid;

	for (int i = 0; i < 3; i++) {
		if (pipe2(p[i], O_CLOEXEC) < 0)
			die("pipe");
	}
	pid = fork();
	if (pid == 0) {
		setsid();
		dup2(p[0][0], 0);
		dup2(p[1][1], 1);
		dup2(p[2][1], 2);
		run_shell(s, agent);
	}
	close(p[0][0]);
	close(p[1][1]);
	close(p[2][1]);
	fds[0] = p[0][1];
	fds[1] = p[1][0];
	fds[2] = p[2][0];
	return pid;
}

static void on_session(uint32_t id, struct reader *r, const char *login)
{
	static struct session_request s;
	struct writer w = begin(MONITOR_SESSION, id);
	int fds[3] = {-1, -1, -1};
	char agent[64];
	size_t i = 0;

	memset(&s, 0, sizeof(s));
	read_session(r, &s);
	fprintf(stderr, "session %u kind %u pty %u\n", s.channel, s.kind, s.pty);
	if (!g.authenticated)
		die("session before authentication");
	if (strcmp(login, "nosession") == 0) {
		writer_u8(&w, MONITOR_NO);
		writer_cstring(&w, "sessions are not allowed here");
		finish(&w, NULL, 0);
		return;
	}
	while (i < MAX_SESSIONS && g.sessions[i].pid > 0)
		i++;
	if (i == MAX_SESSIONS)
		die("too many sessions");
	open_agent(&s, agent, sizeof(agent));
	g.sessions[i].channel = s.channel;
	g.sessions[i].pid = s.pty ? start_pty(&s, agent, fds) : start_pipes(&s, agent, fds);
	if (g.sessions[i].pid < 0)
		die("fork");
	writer_u8(&w, MONITOR_YES);
	writer_cstring(&w, "");
	finish(&w, fds, s.pty ? 1 : 3);
	for (i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

static void signal_channel(uint32_t channel, int signal_number)
{
	for (size_t i = 0; i < MAX_SESSIONS; i++) {
		if (g.sessions[i].pid > 0 && g.sessions[i].channel == channel)
			kill(-g.sessions[i].pid, signal_number);
	}
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == g.worker)
			g.worker_status = status;
		for (size_t i = 0; i < MAX_SESSIONS; i++) {
			struct writer w;

			if (g.sessions[i].pid != pid)
				continue;
			g.sessions[i].pid = 0;
			w = begin(MONITOR_EXIT, 0);
			writer_u32(&w, g.sessions[i].channel);
			writer_u8(&w, WIFSIGNALED(status) != 0);
			writer_u32(&w, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0);
			writer_cstring(&w,
				       WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "");
			writer_u8(&w, WIFSIGNALED(status) && WCOREDUMP(status));
			finish(&w, NULL, 0);
		}
	}
}

static void on_connect(uint32_t id, struct reader *r)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
	uint32_t channel = reader_u32(r), port;
	char host[256], originator[256], service[16];
	struct writer w;
	int fd = -1;

	reader_cstring(r, host, sizeof(host));
	port = reader_u32(r);
	reader_cstring(r, originator, sizeof(originator));
	reader_u32(r);
	if (!reader_done(r))
		die("CONNECT");
	result(MONITOR_CONNECT, id, strcmp(host, "forbidden") == 0 ? MONITOR_NO : MONITOR_PENDING);
	if (strcmp(host, "forbidden") == 0)
		return;
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &found) == 0) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
			close(fd);
			fd = -1;
		}
		freeaddrinfo(found);
	}
	w = begin(MONITOR_CONNECTED, 0);
	writer_u32(&w, channel);
	writer_u8(&w, fd >= 0 ? MONITOR_YES : MONITOR_NO);
	writer_cstring(&w, fd >= 0 ? "" : "connection refused");
	finish(&w, &fd, fd >= 0);
	if (fd >= 0)
		close(fd);
}

static void on_forward(uint32_t id)
{
	struct writer w = begin(MONITOR_FORWARD, id);

	writer_u8(&w, MONITOR_YES);
	writer_cstring(&w, "");
	finish(&w, NULL, 0);
}

static void on_listen(uint32_t id, struct reader *r)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	struct writer w = begin(MONITOR_LISTEN, id);
	size_t i = 0;
	int fd;

	while (i < MAX_LISTENERS && g.listeners[i].fd > 0)
		i++;
	if (i == MAX_LISTENERS)
		die("listeners");
	reader_cstring(r, g.listeners[i].address, sizeof(g.listeners[i].address));
	g.listeners[i].asked = reader_u32(r);
	sin.sin_port = htons((uint16_t)g.listeners[i].asked);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 16) < 0) {
		close(fd);
		writer_u8(&w, MONITOR_NO);
		writer_u32(&w, 0);
	} else {
		getsockname(fd, (struct sockaddr *)&sin, &len);
		g.listeners[i].fd = fd;
		g.listeners[i].port = ntohs(sin.sin_port);
		writer_u8(&w, MONITOR_YES);
		writer_u32(&w, g.listeners[i].port);
	}
	writer_cstring(&w, "");
	finish(&w, NULL, 0);
}

static void on_unlisten(uint32_t id, struct reader *r)
{
	char address[128];
	uint32_t port;
	uint8_t code = MONITOR_NO;

	reader_cstring(r, address, sizeof(address));
	port = reader_u32(r);
	for (size_t i = 0; i < MAX_LISTENERS; i++) {
		if (g.listeners[i].fd > 0 && g.listeners[i].port == port) {
			close(g.listeners[i].fd);
			g.listeners[i].fd = 0;
			code = MONITOR_YES;
		}
	}
	result(MONITOR_UNLISTEN, id, code);
}

static void accepted(size_t i)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	int fd = accept4(g.listeners[i].fd, (struct sockaddr *)&sin, &len, SOCK_CLOEXEC);
	struct writer w = begin(MONITOR_ACCEPTED, 0);

	if (fd < 0)
		return;
	writer_u32(&w, MONITOR_WIRE_ACCEPTED + ++g.accepted);
	writer_cstring(&w, g.listeners[i].address);
	writer_u32(&w, g.listeners[i].port);
	writer_cstring(&w, "127.0.0.1");
	writer_u32(&w, ntohs(sin.sin_port));
	finish(&w, &fd, 1);
	close(fd);
}

static void agent_accepted(size_t i)
{
	int fd = accept4(g.agents[i].fd, NULL, NULL, SOCK_CLOEXEC);
	struct writer w = begin(MONITOR_AGENT, 0);

	if (fd < 0)
		return;
	writer_u32(&w, MONITOR_WIRE_ACCEPTED + ++g.accepted);
	finish(&w, &fd, 1);
	close(fd);
}

static void send_end(void)
{
	struct writer w = begin(MONITOR_END, 0);

	writer_cstring(&w, "access was withdrawn");
	finish(&w, NULL, 0);
}

static void on_packet(struct reader *r)
{
	static char login[64];
	uint8_t type = reader_u8(r);
	uint32_t id = reader_u32(r);
	char name[32];
	uint32_t channel;

	switch (type) {
	case MONITOR_HELLO:
		on_hello(id);
		break;
	case MONITOR_SIGN:
		on_sign(id, r);
		break;
	case MONITOR_USER:
		on_user(id);
		break;
	case MONITOR_LIMITS:
		on_limits(id);
		break;
	case MONITOR_FORWARD:
		on_forward(id);
		break;
	case MONITOR_AUTH_NONE:
		reader_cstring(r, login, sizeof(login));
		reader_u8(r);
		login_result(type, id,
			     strcmp(login, "none") == 0 || strcmp(login, "nosession") == 0
				     ? MONITOR_YES
				     : MONITOR_NO,
			     "");
		break;
	case MONITOR_AUTH_QUERY:
		on_query(id, r);
		break;
	case MONITOR_AUTH_KEY:
		on_key(id, r);
		break;
	case MONITOR_AUTH_INTERACTIVE:
		on_interactive(id, r);
		break;
	case MONITOR_AUTH_CANCEL:
		fprintf(stderr, "cancel\n");
		g.done_at = 0;
		result(type, id, MONITOR_YES);
		break;
	case MONITOR_SESSION:
		on_session(id, r, login);
		break;
	case MONITOR_NO_MORE_SESSIONS: /* no answer */
		fprintf(stderr, "no more sessions but %u\n", reader_u32(r));
		break;
	case MONITOR_SIGNAL:
		channel = reader_u32(r);
		reader_cstring(r, name, sizeof(name));
		fprintf(stderr, "signal %s\n", name);
		signal_channel(channel, strcmp(name, "TERM") == 0 ? SIGTERM : SIGINT);
		result(type, id, MONITOR_YES);
		break;
	case MONITOR_CLOSE:
		channel = reader_u32(r);
		reader_u64(r);
		reader_u64(r);
		fprintf(stderr, "close %u\n", channel);
		signal_channel(channel, SIGHUP);
		result(type, id, MONITOR_YES);
		break;
	case MONITOR_CONNECT:
		on_connect(id, r);
		break;
	case MONITOR_LISTEN:
		on_listen(id, r);
		break;
	case MONITOR_UNLISTEN:
		on_unlisten(id, r);
		break;
	case MONITOR_BYTES:
		break;
	default:
		die("unknown request");
	}
}

static void loop(int signals)
{
	for (;;) {
		struct pollfd p[2 + MAX_LISTENERS + MAX_AGENTS];
		struct signalfd_siginfo info;
		ssize_t n;

		p[0] = (struct pollfd){.fd = g.fd, .events = POLLIN};
		p[1] = (struct pollfd){.fd = signals, .events = POLLIN};
		for (size_t i = 0; i < MAX_LISTENERS; i++)
			p[2 + i] = (struct pollfd){.fd = g.listeners[i].fd > 0 ? g.listeners[i].fd
									       : -1,
						   .events = POLLIN};
		for (size_t i = 0; i < MAX_AGENTS; i++)
			p[2 + MAX_LISTENERS + i] = (struct pollfd){
				.fd = i < g.agent_count ? g.agents[i].fd : -1, .events = POLLIN};
		if (poll(p, 2 + MAX_LISTENERS + MAX_AGENTS, g.done_at ? 200 : -1) < 0)
			die("poll");
		if (g.done_at && time(NULL) >= g.done_at)
			interactive_done();
		if (p[1].revents && read(signals, &info, sizeof(info)) == sizeof(info)) {
			if (info.ssi_signo == SIGUSR1)
				send_end();
			else
				reap();
		}
		for (size_t i = 0; i < MAX_LISTENERS; i++) {
			if (p[2 + i].revents)
				accepted(i);
		}
		for (size_t i = 0; i < MAX_AGENTS; i++) {
			if (p[2 + MAX_LISTENERS + i].revents)
				agent_accepted(i);
		}
		if (p[0].revents) {
			struct reader r;

			n = unixsock_recv(g.fd, g.in, sizeof(g.in), NULL, NULL, 0);
			if (n <= 0)
				return;
			r = reader_init(g.in, (size_t)n);
			on_packet(&r);
		}
	}
}

static void serve(int connection, const char *worker, sigset_t *mask)
{
	int pair[2], signals;
	pid_t pid;

	if (unixsock_pair(pair) < 0)
		die("pair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		int high = fcntl(pair[1], F_DUPFD, 100),
		    high_connection = fcntl(connection, F_DUPFD, 101);

		sigprocmask(SIG_UNBLOCK, mask, NULL);
		dup2(high_connection, WORKER_FD_CONNECTION);
		dup2(high, WORKER_FD_MONITOR);
		execl(worker, worker, "--worker", (char *)NULL);
		_exit(127);
	}
	close(connection);
	close(pair[1]);
	g.fd = pair[0];
	g.worker = pid;
	g.worker_status = -1;
	signals = signalfd(-1, mask, SFD_CLOEXEC);
	loop(signals);
	for (size_t i = 0; i < g.agent_count; i++)
		unlink(g.agents[i].path);
	for (size_t i = 0; i < MAX_SESSIONS; i++) {
		if (g.sessions[i].pid > 0)
			kill(-g.sessions[i].pid, SIGHUP);
	}
	if (g.worker_status < 0)
		waitpid(pid, &g.worker_status, 0);
	if (!WIFEXITED(g.worker_status))
		fprintf(stderr, "worker died of signal %d\n", WTERMSIG(g.worker_status));
	else
		fprintf(stderr, "worker ended %d\n", WEXITSTATUS(g.worker_status));
	exit(0);
}

static void write_host_key(const char *path)
{
	uint8_t blob[64];
	struct writer b = writer_init(blob, sizeof(blob));
	char text[ENCODE_BASE64_SIZE(64)];
	FILE *f = fopen(path, "w");

	writer_cstring(&b, "ssh-ed25519");
	writer_string(&b, g.public, 32);
	encode_base64(text, b.data, b.len);
	if (!f || fprintf(f, "%s\n", text) < 0 || fclose(f) != 0)
		die(path);
}

int main(int argc, char **argv)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	sigset_t mask;
	int listener;

	if (argc != 5 || sodium_init() < 0 ||
	    encode_base64_decode(g.key, sizeof(g.key), argv[3], strlen(argv[3]), &g.key_len) < 0) {
		fputs("usage: fake_monitor PORT WORKER CLIENT_KEY_BASE64 HOSTKEY_OUT\n", stderr);
		return 2;
	}
	setvbuf(stderr, NULL, _IOLBF, 0);
	crypto_sign_keypair(g.public, g.seed);
	sin.sin_port = htons((uint16_t)atol(argv[1]));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(listener, 64) < 0)
		die("listen");
	write_host_key(argv[4]);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGUSR1);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		if (fork() == 0) {
			close(listener);
			signal(SIGCHLD, SIG_DFL);
			signal(SIGUSR1, SIG_DFL);
			sigprocmask(SIG_BLOCK, &mask, NULL);
			serve(fd, argv[2], &mask);
		}
		close(fd);
	}
}
