/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor's process: start of verifier and worker, the table of permitted requests, the loop. Model:
 * OpenSSH's monitor.c. A request that the table does not permit in this state, or that does not parse
 * whole, ends the connection.
 */
#include "ssh/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/unixsock.h"

#define CONFIG_MAX       4096
#define STATE_INTERVAL_NS NSEC_PER_SEC
#define MAX_SIGNATURES   100000 /* key exchanges of one connection */

struct request {
	uint8_t type;
	unsigned states; /* bits of 1 << enum monitor_state */
	bool once;
	int (*handle)(struct monitor *m, uint32_t id, struct reader *r);
};

static int hello(struct monitor *m, uint32_t id, struct reader *r);
static int bytes(struct monitor *m, uint32_t id, struct reader *r);

#define IN(state) (1U << (state))

static const struct request requests[] = {
	{MONITOR_HELLO, IN(MONITOR_KEX), true, hello},
	{MONITOR_SIGN, IN(MONITOR_KEX) | IN(MONITOR_AUTH) | IN(MONITOR_OPEN), false, monitor_auth_sign},
	{MONITOR_AUTH_NONE, IN(MONITOR_AUTH), false, monitor_auth_none},
	{MONITOR_AUTH_QUERY, IN(MONITOR_AUTH), false, monitor_auth_query},
	{MONITOR_AUTH_KEY, IN(MONITOR_AUTH), false, monitor_auth_key},
	{MONITOR_AUTH_INTERACTIVE, IN(MONITOR_AUTH), false, monitor_auth_interactive},
	{MONITOR_AUTH_CANCEL, IN(MONITOR_AUTH), false, monitor_auth_cancel},
	{MONITOR_SESSION, IN(MONITOR_OPEN), false, session_start},
	{MONITOR_SIGNAL, IN(MONITOR_OPEN), false, session_signal},
	{MONITOR_CLOSE, IN(MONITOR_OPEN) | IN(MONITOR_ENDING), false, session_close},
	{MONITOR_CONNECT, IN(MONITOR_OPEN), false, forward_connect},
	{MONITOR_LISTEN, IN(MONITOR_OPEN), false, forward_listen},
	{MONITOR_UNLISTEN, IN(MONITOR_OPEN), false, forward_unlisten},
	{MONITOR_BYTES, IN(MONITOR_OPEN) | IN(MONITOR_ENDING), false, bytes},
};

uint64_t monitor_now_ns(void)
{
	return clock_monotonic_ns(&clock_system);
}

int64_t monitor_now_s(void)
{
	return clock_realtime_s(&clock_system);
}

void monitor_begin(struct writer *w, uint8_t type, uint32_t id)
{
	writer_u8(w, type);
	writer_u32(w, id);
}

int monitor_reply(struct monitor *m, const struct writer *w, const int *fds, size_t nfds)
{
	if (w->failed)
		return -EMSGSIZE;
	return unixsock_send(m->worker_fd, w->data, w->len, fds, nfds);
}

void monitor_audit(struct monitor *m, const char *event, const char *key, const char *value)
{
	char client[ENDPOINT_STRLEN];

	endpoint_format(&m->config.client, client);
	log_info(event, "connection=%u client=%s identity=%s peer=%s login=%s %s=%s",
		 m->config.session_id, client,
		 m->decision.identity[0] != '\0' ? m->decision.identity : "-",
		 m->decision.caller_name[0] != '\0' ? m->decision.caller_name : "-",
		 m->login[0] != '\0' ? m->login : "-", key, value);
}

/* ------------------------------------------------------------------ what status shows */

static void format_time(int64_t t, char out[32])
{
	time_t when = (time_t)t;
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void send_state(struct monitor *m, bool ended)
{
	char since[32], from[ENDPOINT_STRLEN];
	uint8_t data[4096];
	struct writer w = writer_init(data, sizeof(data));
	json_t *state;
	char *text;

	format_time(m->since_s, since);
	endpoint_format(&m->config.client, from);
	state = json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:I,s:I}", "id",
			  (int)m->config.session_id, "identity", m->decision.identity, "login", m->login,
			  "peer", m->decision.caller_name, "from", from, "method", m->method, "since",
			  since, "channels", (int)m->session_count, "forwards", (int)m->forwards,
			  "received", (json_int_t)m->received, "sent", (json_int_t)m->sent);
	if (state == NULL)
		return;
	if (ended) {
		json_object_set_new(state, "ended", json_true());
		json_object_set_new(state, "reason", json_string(m->ending_reason));
	}
	text = json_dumps(state, JSON_COMPACT);
	json_decref(state);
	if (text == NULL)
		return;
	monitor_begin(&w, SSH_WIRE_STATE, 0);
	writer_cstring(&w, text);
	free(text);
	if (!w.failed && unixsock_send(m->broker_fd, data, w.len, NULL, 0) < 0)
		log_debug("the broker does not take this session's state", NULL);
	m->state_dirty = false;
	m->state_sent_ns = monitor_now_ns();
}

void monitor_state_changed(struct monitor *m)
{
	m->state_dirty = true;
}

static int bytes(struct monitor *m, uint32_t id, struct reader *r)
{
	(void)id;
	m->received = reader_u64(r);
	m->sent = reader_u64(r);
	m->state_dirty = true;
	return reader_done(r) ? 0 : -EBADMSG;
}

/* ------------------------------------------------------------------ beginning and end */

static int hello(struct monitor *m, uint32_t id, struct reader *r)
{
	uint8_t data[256], blob[64];
	struct writer w = writer_init(data, sizeof(data));
	struct writer key = writer_init(blob, sizeof(blob));

	if (!reader_done(r))
		return -EBADMSG;
	writer_cstring(&key, "ssh-ed25519");
	writer_string(&key, m->host_public, sizeof(m->host_public));
	monitor_begin(&w, MONITOR_HELLO, id);
	writer_u32(&w, m->config.max_auth_tries);
	writer_u32(&w, m->config.login_grace_s);
	writer_u32(&w, m->config.max_sessions);
	writer_string(&w, blob, key.len);
	writer_cstring(&w, "");
	return monitor_reply(m, &w, NULL, 0);
}

void monitor_end(struct monitor *m, const char *reason)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));

	if (m->state == MONITOR_ENDING)
		return;
	m->state = MONITOR_ENDING;
	snprintf(m->ending_reason, sizeof(m->ending_reason), "%s", reason);
	m->ending_deadline_ns = monitor_now_ns() + MONITOR_END_GRACE_NS;
	monitor_audit(m, "ssh connection is ended", "reason", reason);
	monitor_begin(&w, MONITOR_END, 0);
	writer_cstring(&w, reason);
	if (!w.failed && unixsock_send(m->worker_fd, data, w.len, NULL, 0) < 0)
		m->ending_deadline_ns = 0;
	session_signal_all(m, SIGHUP);
	forward_close_all(m);
}

static int start_worker(struct monitor *m)
{
	int pair[2], r;

	r = unixsock_pair(pair);
	if (r < 0)
		return r;
	m->worker = fork();
	if (m->worker == 0) {
		char *const argv[] = {(char[]){"warren-ssh-session"}, (char[]){"--worker"}, NULL};
		char *envp[] = {(char[]){"LC_ALL=C.UTF-8"}, NULL, NULL};
		const char *debug = getenv("WARREN_SANDBOX_DEBUG");
		sigset_t none;

		if (debug != NULL)
			envp[1] = (char[]){"WARREN_SANDBOX_DEBUG=1"};
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* 3 is the connection already; the pair never is, because 3 to 7 are taken. */
		if (dup2(pair[1], WORKER_FD_MONITOR) < 0 ||
		    dup2(SSH_WIRE_FD_CONNECTION, WORKER_FD_CONNECTION) < 0)
			_exit(1);
		close_range(WORKER_FD_MONITOR + 1, ~0U, 0);
		execve("/proc/self/exe", argv, envp);
		_exit(1);
	}
	r = m->worker < 0 ? -errno : 0;
	close(pair[1]);
	m->worker_fd = pair[0];
	return r;
}

static int read_config(struct monitor *m)
{
	uint8_t seed[crypto_sign_SEEDBYTES];
	struct buffer text;
	struct reader r;
	int ret;

	buffer_init(&text, CONFIG_MAX);
	ret = lseek(SSH_WIRE_FD_CONFIG, 0, SEEK_SET) < 0 ? -errno
							  : file_read_fd(SSH_WIRE_FD_CONFIG, &text);
	if (ret == 0) {
		r = reader_init(text.data, text.len);
		ret = ssh_wire_config_get(&r, &m->config);
	}
	buffer_done(&text);
	close(SSH_WIRE_FD_CONFIG);
	if (ret < 0)
		return ret;
	m->host_secret = secret_alloc(crypto_sign_SECRETKEYBYTES);
	if (m->host_secret == NULL)
		return -ENOMEM;
	memcpy(seed, m->config.host_key_seed, sizeof(seed));
	crypto_sign_seed_keypair(m->host_public, m->host_secret, seed);
	secret_wipe(seed, sizeof(seed));
	secret_wipe(m->config.host_key_seed, sizeof(m->config.host_key_seed));
	return 0;
}

static int watch_signals(struct monitor *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return m->signal_fd < 0 ? -errno : 0;
}

static int start(struct monitor *m)
{
	struct error err = {0};
	uint64_t seq;
	bool enabled;
	int r;

	for (int fd = SSH_WIRE_FD_CONNECTION; fd <= SSH_WIRE_FD_MAIN; fd++)
		if (fd != SSH_WIRE_FD_CONNECTION && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
	r = verifier_start(&m->verifier); /* before the host key is in this process */
	if (r == 0)
		r = read_config(m);
	if (r == 0)
		r = verifier_configure(m->verifier, &m->config);
	if (r == 0)
		r = watch_signals(m);
	if (r == 0)
		r = start_worker(m);
	if (r < 0)
		return r;
	close(SSH_WIRE_FD_CONNECTION);
	r = verifier_object(m->verifier, SSH_WIRE_FD_OBJECT, &seq, &enabled, &err);
	if (r < 0)
		log_warn("the ssh object is refused; nobody can log in", "reason=%s", error_text(&err));
	close(SSH_WIRE_FD_OBJECT);
	m->since_s = monitor_now_s();
	m->grace_deadline_ns = monitor_now_ns() + (uint64_t)m->config.login_grace_s * NSEC_PER_SEC;
	return 0;
}

/* ------------------------------------------------------------------ loop */

static const struct request *permitted(struct monitor *m, uint8_t type)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (requests[i].type != type)
			continue;
		if ((requests[i].states & IN(m->state)) == 0)
			return NULL;
		if (requests[i].once && m->hello_done)
			return NULL;
		return &requests[i];
	}
	return NULL;
}

static int worker_message(struct monitor *m)
{
	static uint8_t data[MONITOR_WIRE_MAX];
	const struct request *request;
	struct reader r;
	uint8_t type;
	uint32_t id;
	ssize_t n = unixsock_recv(m->worker_fd, data, sizeof(data), NULL, NULL, MSG_DONTWAIT);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return -EPIPE;
	r = reader_init(data, (size_t)n);
	type = reader_u8(&r);
	id = reader_u32(&r);
	request = r.failed ? NULL : permitted(m, type);
	if (request == NULL) {
		char number[16];

		if (m->state == MONITOR_ENDING)
			return 0;
		snprintf(number, sizeof(number), "%u", type);
		monitor_audit(m, "ssh worker asked for what it may not", "request", number);
		return -EPERM;
	}
	if (type == MONITOR_HELLO)
		m->hello_done = true;
	if (type == MONITOR_SIGN && ++m->sign_count > MAX_SIGNATURES)
		return -EPERM;
	return request->handle(m, id, &r);
}

static void new_object(struct monitor *m, int fd)
{
	struct error err = {0};
	uint64_t seq;
	bool enabled;

	if (verifier_object(m->verifier, fd, &seq, &enabled, &err) < 0)
		log_warn("a newer ssh object is refused, the former one stays", "reason=%s",
			 error_text(&err));
	else
		monitor_auth_again(m);
}

static int broker_message(struct monitor *m)
{
	uint8_t data[1024];
	int fds[UNIXSOCK_MAX_FDS];
	size_t nfds = 0;
	char reason[256];
	struct reader r;
	uint8_t type;
	ssize_t n = unixsock_recv(m->broker_fd, data, sizeof(data), fds, &nfds, MSG_DONTWAIT);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return -EPIPE;
	r = reader_init(data, (size_t)n);
	type = reader_u8(&r);
	reader_u32(&r);
	if (type == SSH_WIRE_OBJECT && nfds == 1 && reader_done(&r)) {
		new_object(m, fds[0]);
	} else if (type == SSH_WIRE_END) {
		reader_cstring(&r, reason, sizeof(reason));
		if (!r.failed)
			monitor_end(m, reason);
	}
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	return 0;
}

static int main_message(struct monitor *m)
{
	static uint8_t data[MONITOR_WIRE_MAX];
	struct reader r;
	uint8_t type;
	uint32_t id;
	ssize_t n = unixsock_recv(m->main_fd, data, sizeof(data), NULL, NULL, MSG_DONTWAIT);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0) { /* main is restarted: logins in progress fail, the rest goes on */
		file_close(&m->main_fd);
		r = reader_init("", 0);
		return m->main_request != 0 ? monitor_auth_main(m, 0, m->main_request, &r) : 0;
	}
	r = reader_init(data, (size_t)n);
	type = reader_u8(&r);
	id = reader_u32(&r);
	return r.failed ? 0 : monitor_auth_main(m, type, id, &r);
}

/* Reaps; returns false when the worker is gone. */
static bool reap(struct monitor *m)
{
	struct signalfd_siginfo info;
	bool worker = true;
	int status;
	pid_t pid;

	while (read(m->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			monitor_end(m, "the machine's SSH server is stopping");
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == m->worker) {
			m->worker = -1;
			worker = false;
		} else {
			session_reaped(m, pid, status);
		}
	}
	return worker;
}

#define FIXED_FDS 4

static size_t collect(struct monitor *m, struct pollfd *p, size_t *listener_at, size_t *pending_at)
{
	size_t n = 0;

	p[n++] = (struct pollfd){.fd = m->worker_fd, .events = POLLIN};
	p[n++] = (struct pollfd){.fd = m->broker_fd, .events = POLLIN};
	p[n++] = (struct pollfd){.fd = m->main_fd, .events = POLLIN};
	p[n++] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
	*listener_at = n;
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		p[n++] = (struct pollfd){.fd = m->listeners[i].fd, .events = POLLIN};
	*pending_at = n;
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		p[n++] = (struct pollfd){.fd = m->pending[i].fd, .events = POLLIN};
	return n;
}

/* Timers; returns how long poll may sleep. */
static int timers(struct monitor *m, int *ret_timeout_ms)
{
	uint64_t now = monitor_now_ns();

	*ret_timeout_ms = 1000;
	if (m->state == MONITOR_ENDING) {
		*ret_timeout_ms = 50;
		if (now >= m->ending_deadline_ns)
			return -ETIMEDOUT;
	} else if (m->state != MONITOR_OPEN && now >= m->grace_deadline_ns) {
		monitor_audit(m, "ssh login took too long", "method", m->method);
		return -ETIMEDOUT;
	}
	if (m->state == MONITOR_OPEN && m->decision.again_at_s != 0 &&
	    monitor_now_s() >= m->decision.again_at_s)
		monitor_auth_again(m);
	if (m->state == MONITOR_OPEN && m->state_dirty && now - m->state_sent_ns >= STATE_INTERVAL_NS)
		send_state(m, false);
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		if (m->pending[i].fd >= 0 && now >= m->pending[i].deadline_ns) {
			int r = forward_pending_ready(m, &m->pending[i], true);

			if (r < 0)
				return r;
		}
	return 0;
}

static int turn(struct monitor *m)
{
	struct pollfd p[FIXED_FDS + MONITOR_MAX_LISTENERS + MONITOR_MAX_PENDING];
	size_t listener_at, pending_at, n;
	int timeout_ms, r;

	r = timers(m, &timeout_ms);
	if (r < 0)
		return r;
	n = collect(m, p, &listener_at, &pending_at);
	if (poll(p, n, timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	/* Exits first: a worker that is told EXIT may still have requests on the way. */
	if (p[3].revents != 0 && !reap(m))
		return -EPIPE;
	if (p[0].revents != 0)
		r = worker_message(m);
	if (r == 0 && p[1].revents != 0)
		r = broker_message(m);
	if (r == 0 && p[2].revents != 0)
		r = main_message(m);
	for (size_t i = 0; r == 0 && i < MONITOR_MAX_LISTENERS; i++)
		if (p[listener_at + i].fd >= 0 && p[listener_at + i].revents != 0 &&
		    m->listeners[i].fd == p[listener_at + i].fd)
			r = forward_accept(m, &m->listeners[i]);
	for (size_t i = 0; r == 0 && i < MONITOR_MAX_PENDING; i++)
		if (p[pending_at + i].fd >= 0 && p[pending_at + i].revents != 0 &&
		    m->pending[i].fd == p[pending_at + i].fd)
			r = forward_pending_ready(m, &m->pending[i], false);
	return r;
}

static void finish(struct monitor *m, int result)
{
	bool had_login = m->method[0] != '\0' && m->since_s != 0;

	if (m->ending_reason[0] == '\0')
		snprintf(m->ending_reason, sizeof(m->ending_reason), "%s",
			 result == -EPIPE ? "closed" : strerror(-result));
	session_signal_all(m, SIGHUP);
	forward_close_all(m);
	account_close_session(m);
	if (m->worker > 0)
		kill(m->worker, SIGKILL);
	if (m->ending_deadline_ns != 0)
		session_signal_all(m, SIGKILL);
	monitor_audit(m, "ssh connection over", "reason", m->ending_reason);
	if (had_login)
		send_state(m, true);
	verifier_stop(m->verifier);
	secret_free(m->host_secret);
	buffer_done(&m->pam_text);
}

int monitor_run(void)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int r;

	if (m == NULL || secret_process_init() < 0)
		return 1;
	m->broker_fd = SSH_WIRE_FD_BROKER;
	m->main_fd = SSH_WIRE_FD_MAIN;
	m->worker_fd = m->signal_fd = -1;
	m->worker = -1;
	buffer_init(&m->pam_text, 16384);
	forward_init(m);
	r = start(m);
	if (r < 0)
		log_error("this ssh connection cannot be served", "reason=%s", strerror(-r));
	while (r == 0)
		r = turn(m);
	finish(m, r);
	free(m);
	return 0;
}
