/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor's process: the loop and the end. What the worker may ask for is in monitor_table.c.
 */
#include "ssh/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/unixsock.h"

#define STATE_INTERVAL_NS NSEC_PER_SEC
#define TRIM_AFTER_MS	  1000
#define STOPPING	  "the machine's SSH server is stopping"

uint64_t monitor_now_ns(void)
{
	return clock_monotonic_ns(&clock_system);
}

int64_t monitor_now_s(void)
{
	return clock_realtime_s(&clock_system);
}

uint64_t monitor_grace_end_ns(const struct monitor *m)
{
	if (m->options->now.login_grace_s == 0)
		return UINT64_MAX;
	return monitor_now_ns() + (uint64_t)m->options->now.login_grace_s * NSEC_PER_SEC;
}

struct answer_limits monitor_patience(const struct monitor *m, pid_t pid)
{
	struct answer_limits l = {.pid = pid, .gone_fd = m->worker_fd, .message_fd = -1};
	uint64_t now = monitor_now_ns(), ms = 0;

	if (m->state == MONITOR_OPEN) {
		l.wall_ms = ANSWER_DEFAULT_MS;
		l.message_fd = m->broker_fd;
	} else if (m->state == MONITOR_ENDING) {
		l.wall_ms = ANSWER_HURRY_MS;
	} else {
		if (m->grace_deadline_ns > now)
			ms = (m->grace_deadline_ns - now) / NSEC_PER_MSEC;
		l.wall_ms = ms < ANSWER_SHORTEST_MS ? ANSWER_SHORTEST_MS
						     : (int)(ms < ANSWER_LONGEST_MS ? ms : ANSWER_LONGEST_MS);
	}
	return l;
}

void monitor_begin(struct writer *w, uint8_t type, uint32_t id)
{
	writer_u8(w, type);
	writer_u32(w, id);
}

#define SEND_TRIES 16 /* room was seen so often, and somebody else took it */

static int send_within(int fd, const void *data, size_t len, const int *fds, size_t nfds,
		       const struct answer_limits *limits)
{
	int r = unixsock_send(fd, data, len, fds, nfds);

	for (int i = 0; r == -EAGAIN && i < SEND_TRIES; i++) {
		r = answer_wait(fd, limits, NULL);
		if (r == 0)
			r = unixsock_send(fd, data, len, fds, nfds);
	}
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

int monitor_send(int fd, const void *data, size_t len, const int *fds, size_t nfds)
{
	const struct answer_limits l = {.wall_ms = MONITOR_SEND_MS, .events = POLLOUT};

	return send_within(fd, data, len, fds, nfds, &l);
}

int monitor_reply(struct monitor *m, const struct writer *w, const int *fds, size_t nfds)
{
	const struct answer_limits l = {
		.wall_ms = m->state == MONITOR_ENDING ? MONITOR_SEND_MS : MONITOR_REPLY_MS,
		.hurry_ms = MONITOR_SEND_MS,
		.events = POLLOUT,
		.message_fd = m->broker_fd,
	};

	if (w->failed)
		return -EMSGSIZE;
	return send_within(m->worker_fd, w->data, w->len, fds, nfds, &l);
}

/* ------------------------------------------------------------------ beginning and end */

/* What runs now has to be gone at the end, also what a shell started in groups of its own. */
static void remember_sessions(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++)
		if (m->sessions[i].used)
			m->ended[m->ended_count++] = m->sessions[i].pid;
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
	monitor_audit(m, "ssh connection is ended", "reason", m->ending_reason);
	monitor_begin(&w, MONITOR_END, 0);
	writer_cstring(&w, m->ending_reason);
	if (monitor_reply(m, &w, NULL, 0) < 0)
		log_debug("the worker does not hear of the end", NULL);
	remember_sessions(m);
	for (size_t i = 0; i < m->ended_count; i++)
		session_signal_tree(m->ended[i], SIGHUP);
	forward_close_all(m);
}

/* ------------------------------------------------------------------ loop */

/* The worker left: the end, but for processes that have their time to end. */
static int worker_gone(struct monitor *m)
{
	file_close(&m->worker_fd);
	return m->state == MONITOR_ENDING && m->session_count > 0 ? 0 : -EPIPE;
}

/* Nobody speaks for the client any more: what it started gets the time to end that a withdrawn login
 * gets, and no more. */
static int broken_worker(struct monitor *m)
{
	if (m->worker > 0)
		kill(m->worker, SIGKILL);
	monitor_end(m, "protocol violation");
	return worker_gone(m);
}

static int worker_message(struct monitor *m)
{
	static uint8_t data[MONITOR_WIRE_MAX];
	ssize_t n = unixsock_recv(m->worker_fd, data, sizeof(data), NULL, NULL, MSG_DONTWAIT);
	char number[16];
	int r;

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n == 0 || n == -ECONNRESET || n == -EPIPE)
		return worker_gone(m);
	r = n < 0 ? (int)n : monitor_packet(m, data, (size_t)n);
	if (r == 0 || m->state == MONITOR_ENDING)
		return r;
	snprintf(number, sizeof(number), "request %u", n > 0 ? data[0] : 0);
	if (n == -EBADMSG)
		r = monitor_violation(m, "descriptor", number);
	else if (r == -EBADMSG || n == -EMSGSIZE)
		r = monitor_violation(m, "malformed", number);
	else if (r == -ETIMEDOUT)
		r = monitor_violation(m, "not-reading", number);
	return r == -EPERM ? broken_worker(m) : r;
}

static void new_object(struct monitor *m, int fd)
{
	struct error err = {0};

	if (monitor_take_object(m, fd, &err) == 0) {
		monitor_auth_again(m);
		return;
	}
	/* The broker believes it, so it is the newest: what it withdraws must not go on. */
	log_warn("a newer ssh object cannot be judged", "reason=%s", error_text(&err));
	monitor_end(m, "access was withdrawn: the newest permissions cannot be judged here");
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
	if (n <= 0) { /* nobody is left who could withdraw the login */
		file_close(&m->broker_fd);
		if (!m->config.standalone) /* there, as with sshd, sessions outlive the listener */
			monitor_end(m, STOPPING);
		return 0;
	}
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

static void reap(struct monitor *m)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(m->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			monitor_end(m, STOPPING);
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == m->worker) {
			m->worker = -1; /* its socket says when all that it sent was read */
		} else if (verifier_reaped(m->verifier, pid)) {
			monitor_end(m, "internal error: nobody is left to judge this login");
		} else {
			session_reaped(m, pid, status);
			forward_reaped(m, pid);
		}
	}
}

#define FIXED_FDS 4
#define BUSY_MS	  20

/* Connections to listeners wait while the worker has much to read: whoever knocks fast ends
 * nothing. */
static bool worker_busy(const struct monitor *m)
{
	struct pollfd p = {.fd = m->worker_fd, .events = POLLOUT};

	return poll(&p, 1, 0) == 0;
}

#define POLLS_MAX (FIXED_FDS + MONITOR_MAX_LISTENERS + MONITOR_MAX_PENDING + MONITOR_WIRE_SESSIONS)

/* What a turn waits for: only what is open, since poll(2) takes no more entries than RLIMIT_NOFILE, and
 * PAM may leave few to a connection. */
struct watch {
	struct pollfd p[POLLS_MAX];
	size_t n, logs_at;
	const struct pollfd *listeners[MONITOR_MAX_LISTENERS], *pending[MONITOR_MAX_PENDING];
};

static const struct pollfd *watch_one(struct watch *w, int fd)
{
	if (fd < 0)
		return NULL;
	w->p[w->n] = (struct pollfd){.fd = fd, .events = POLLIN};
	return &w->p[w->n++];
}

static void collect(struct monitor *m, struct watch *w, int *timeout_ms)
{
	const int fixed[FIXED_FDS] = {m->worker_fd, m->broker_fd, m->main_fd, m->signal_fd};
	bool busy = worker_busy(m);

	if (busy && *timeout_ms > BUSY_MS)
		*timeout_ms = BUSY_MS;
	for (w->n = 0; w->n < FIXED_FDS; w->n++)
		w->p[w->n] = (struct pollfd){.fd = fixed[w->n], .events = POLLIN};
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		w->listeners[i] = busy ? NULL : watch_one(w, m->listeners[i].fd);
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		w->pending[i] = watch_one(w, m->pending[i].fd);
	w->logs_at = w->n;
	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++)
		if (m->sessions[i].used)
			watch_one(w, m->sessions[i].log_fd);
}

/* The login may end by the clock; the wall clock may jump. */
static void again_in_time(struct monitor *m, uint64_t now_ns)
{
	if (m->state != MONITOR_OPEN || m->decision.again_at_s == 0 ||
	    monitor_now_s() < m->decision.again_at_s || now_ns - m->again_ns < NSEC_PER_SEC)
		return;
	m->again_ns = now_ns;
	monitor_auth_again(m);
}

static int pending_in_time(struct monitor *m, uint64_t now_ns)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < MONITOR_MAX_PENDING; i++)
		if (m->pending[i].fd >= 0 && now_ns >= m->pending[i].deadline_ns)
			r = forward_pending_ready(m, &m->pending[i], true);
	return r;
}

/* Timers; *ret_timeout_ms: how long poll may sleep. */
static int timers(struct monitor *m, int *ret_timeout_ms)
{
	uint64_t now = monitor_now_ns();

	*ret_timeout_ms = m->state == MONITOR_ENDING ? 50 : TRIM_AFTER_MS;
	if (m->state == MONITOR_ENDING) {
		if (now >= m->ending_deadline_ns || (m->worker_fd < 0 && m->session_count == 0))
			return -ETIMEDOUT;
		return 0;
	}
	if (m->state != MONITOR_OPEN && now >= m->grace_deadline_ns) {
		monitor_audit_refused(m, "timeout", m->method, "it took too long");
		return -ETIMEDOUT;
	}
	again_in_time(m, now);
	if (m->state == MONITOR_OPEN && m->state_dirty &&
	    now - m->state_sent_ns >= STATE_INTERVAL_NS)
		monitor_state_send(m, false);
	return pending_in_time(m, now);
}

static void read_logs(struct monitor *m, const struct watch *w)
{
	for (size_t at = w->logs_at; at < w->n; at++)
		for (size_t i = 0; w->p[at].revents != 0 && i < MONITOR_WIRE_SESSIONS; i++)
			if (m->sessions[i].used && m->sessions[i].log_fd == w->p[at].fd)
				session_log_ready(m, &m->sessions[i]);
}

/* Did it become ready, and is it still the same? */
static bool ready(const struct pollfd *p, int fd)
{
	return p != NULL && p->revents != 0 && p->fd == fd;
}

static int turn(struct monitor *m)
{
	struct answer_limits patience = monitor_patience(m, 0);
	struct watch w;
	int timeout_ms, r;

	verifier_patience(m->verifier, &patience);
	r = timers(m, &timeout_ms);
	if (r < 0)
		return r;
	collect(m, &w, &timeout_ms);
	r = poll(w.p, w.n, timeout_ms);
	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	if (r == 0 && m->trim_due && timeout_ms >= TRIM_AFTER_MS) {
		malloc_trim(0);
		m->trim_due = false;
	}
	r = 0;
	read_logs(m, &w);
	if (w.p[3].revents != 0)
		reap(m);
	if (w.p[0].revents != 0 && m->worker_fd >= 0)
		r = worker_message(m);
	if (r == 0 && w.p[1].revents != 0 && m->broker_fd >= 0)
		r = broker_message(m);
	if (r == 0 && w.p[2].revents != 0 && m->main_fd >= 0)
		r = main_message(m);
	for (size_t i = 0; r == 0 && i < MONITOR_MAX_LISTENERS; i++)
		if (ready(w.listeners[i], m->listeners[i].fd))
			r = forward_accept(m, &m->listeners[i]);
	for (size_t i = 0; r == 0 && i < MONITOR_MAX_PENDING; i++)
		if (ready(w.pending[i], m->pending[i].fd))
			r = forward_pending_ready(m, &m->pending[i], false);
	return r;
}

/* Processes of an ended connection are gone now; those of one that the client left get SIGHUP and
 * may go on, as with sshd. */
static void finish_sessions(struct monitor *m)
{
	if (m->state == MONITOR_ENDING)
		for (size_t i = 0; i < m->ended_count; i++)
			session_signal_tree(m->ended[i], SIGKILL);
	else
		session_signal_all(m, SIGHUP);
	session_forget_all(m);
}

static void audit_end(struct monitor *m)
{
	struct monitor_who who = monitor_who(m);
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_REASON, m->ending_reason, 0},
		{SSH_AUDIT_DURATION_MS, NULL,
		 m->since_ns != 0 ? (monitor_now_ns() - m->since_ns) / NSEC_PER_MSEC : 0},
		{SSH_AUDIT_RECEIVED, NULL, m->received},
		{SSH_AUDIT_SENT, NULL, m->sent},
	};

	monitor_event(m, SSH_AUDIT_END, fields, 4);

	log_info("ssh connection over",
		 "connection=%u client=%s identity=%s peer=%s login=%s reason=%s duration_s=%llu "
		 "received=%llu sent=%llu",
		 m->config.session_id, who.client, who.identity, who.peer, who.login,
		 m->ending_reason,
		 m->since_ns != 0
			 ? (unsigned long long)((monitor_now_ns() - m->since_ns) / NSEC_PER_SEC)
			 : 0ULL,
		 (unsigned long long)m->received, (unsigned long long)m->sent);
}

static void finish(struct monitor *m, int result)
{
	if (m->ending_reason[0] == '\0')
		snprintf(m->ending_reason, sizeof(m->ending_reason), "%s",
			 result == -EPIPE ? "closed" : strerror(-result));
	if (m->worker > 0) {
		kill(m->worker, SIGKILL);
		waitpid(m->worker, NULL, 0);
		m->worker = -1;
	}
	finish_sessions(m);
	forward_close_all(m);
	forward_audit_rest(m);
	account_close_session(m);
	audit_end(m);
	if (m->logged_in && m->broker_fd >= 0)
		monitor_state_send(m, true);
}

struct monitor *monitor_new(void)
{
	struct monitor *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->options = monitor_options_new();
	if (m->options == NULL) {
		free(m);
		return NULL;
	}
	m->broker_fd = m->main_fd = m->worker_fd = m->signal_fd = -1;
	m->worker = -1;
	buffer_init(&m->pam_text, 16384);
	forward_init(m);
	return m;
}

void monitor_free(struct monitor *m)
{
	if (m == NULL)
		return;
	verifier_stop(m->verifier);
	monitor_options_free(m->options);
	secret_free(m->host_secret);
	free(m->key);
	buffer_done(&m->pam_text);
	file_close(&m->worker_fd);
	file_close(&m->signal_fd);
	free(m);
}

/* What is opened later must never be 0, 1 or 2. */
static int fill_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_NOCTTY) != fd)
			return -EBADF;
	return 0;
}

int monitor_run(void)
{
	struct monitor *m = fill_standard_fds() == 0 ? monitor_new() : NULL;
	int r;

	if (m == NULL)
		return 1;
	umask(022); /* PAM may say otherwise; sessions inherit it */
	if (account_limits_keep(m) < 0 || secret_process_init() < 0) {
		monitor_free(m);
		return 1;
	}
	m->broker_fd = SSH_WIRE_FD_BROKER;
	m->main_fd = SSH_WIRE_FD_MAIN;
	r = monitor_start(m);
	if (r < 0)
		log_error("this ssh connection cannot be served", "reason=%s", strerror(-r));
	while (r == 0)
		r = turn(m);
	finish(m, r);
	monitor_free(m);
	return 0;
}
