/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker process: gives up its rights, then runs one SSH connection (ssh/PROTOCOL.md section 4)
 * in one loop over the connection, the monitor and the descriptors behind the channels.
 */
#include "ssh/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/dscp.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/sandbox.h"
#include "platform/secret.h"
#include "ssh/place.h"
#include "ssh/worker_internal.h"

#define TRIM_AFTER_MS 1000
#define MAX_FILES     4096
#define MAX_MEMORY    (UINT64_C(512) << 20)
#define BYTES_EVERY   NSEC_PER_SEC
#define ENDING_NS     NSEC_PER_SEC /* for the last bytes to the client */
#define HANG_UP_NS    (700 * NSEC_PER_MSEC)
#define DISCONNECT_MS 500
#define BULK_FROM     (32u << 10)  /* bytes in one go */
#define BULK_FULL     (192u << 10) /* there is more than one turn takes */
#define BULK_WAIT_NS  500000L
#define BULK_LITTLE   (96u << 10) /* not worth the wait where the client may wait for us */
#define BULK_DRY      3		  /* such waits in a row: no bulk */
#define BULK_AGAIN    (1u << 20)  /* bytes until the next try */

/* libssh and OpenSSL look for files and time zones that an empty root hasn't; the rest is what
 * moving bytes between descriptors needs. */
static const char *const allowed_calls[] = {
	"poll",	 "ppoll",  "recvfrom", "sendto",   "recvmsg",	 "sendmsg",    "read",
	"write", "writev", "close",    "shutdown", "setsockopt", "getsockopt", NULL,
};
/* A window's size is all that a terminal is told, and flags all that descriptors get. */
static const struct sandbox_rule allowed_arguments[] = {
	{"ioctl", 1, TIOCSWINSZ, 0}, {"fcntl", 1, F_GETFL, 0}, {"fcntl", 1, F_SETFL, 0},
	{"fcntl", 1, F_GETFD, 0},    {"fcntl", 1, F_SETFD, 0}, {NULL, 0, 0, 0},
};
static const char *const refused_calls[] = {
	"open",	   "openat", "openat2",	  "stat",	"lstat",     "fstat",	   "newfstatat",
	"statx",   "access", "faccessat", "faccessat2", "readlink",  "readlinkat", "socket",
	"sysinfo", "getcwd", "uname",	  "getppid",	"prlimit64", NULL,
};

uint64_t worker_now_ns(void)
{
	return clock_monotonic_ns(&clock_system);
}

void worker_end(struct worker *w, const char *text)
{
	size_t len = strlen(text);

	if (w->ending)
		return;
	w->ending = true;
	w->ending_ns = worker_now_ns();
	if (len >= sizeof(w->ending_text))
		len = sizeof(w->ending_text) - 1;
	memcpy(w->ending_text, text, len);
	w->ending_text[len] = '\0';
}

/* ---- Start. */

/* A descriptor that comes later must never be 0, 1 or 2. */
static int fill_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", O_RDWR | O_NOCTTY) != fd)
			return -EBADF;
	}
	return 0;
}

static int drop_rights(const struct place *place, struct error *err)
{
	const char *how;
	int rc;

	if (geteuid() != 0) {
		rc = sandbox_without_root(&how);
		log_debug("confined without root", "by=%s", how);
		return rc < 0 ? error_set(err, rc, "cannot give up capabilities: %s", strerror(-rc)) : 0;
	}
	rc = place_enter(place);
	if (rc < 0)
		return error_set(err, rc, "cannot give up files and privileges: %s", strerror(-rc));
	return 0;
}

static int limit_memory(void)
{
#ifndef WARREN_SANITIZE
	struct rlimit limit = {.rlim_cur = MAX_MEMORY, .rlim_max = MAX_MEMORY};

	if (setrlimit(RLIMIT_AS, &limit) < 0)
		return -errno;
#endif
	return 0;
}

int worker_confine(const struct place *place, struct error *err)
{
	static const struct sandbox_profile profile = {
		.name = "ssh worker",
		.allow = allowed_calls,
		.eacces = refused_calls,
		.rules = allowed_arguments,
	};
	int rc = fill_standard_fds();

	/* Pipes without reader and RLIMIT_FSIZE are errors of write(2), not the end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (rc == 0)
		rc = drop_rights(place, err);
	if (rc == 0 && close_range(WORKER_FD_MONITOR + 1, ~0u, 0) < 0)
		rc = -errno;
	if (rc == 0)
		rc = secret_process_init();
	if (rc == 0)
		rc = sandbox_limits(MAX_FILES, 1, 1);
	if (rc == 0)
		rc = limit_memory();
	if (rc == 0)
		rc = sandbox_apply(&profile, err);
	return rc < 0 && err->code == 0
		       ? error_set(err, rc, "cannot confine the worker: %s", strerror(-rc))
		       : rc;
}

/* Exchange hash → signature of the host key. */
static int sign(void *ctx, const uint8_t *hash, size_t len, uint8_t *ret_signature)
{
	struct worker *w = ctx;
	struct worker_packet *answer;
	const uint8_t *signature;
	size_t signature_len;
	int rc;

	writer_string(worker_monitor_begin(&w->monitor, MONITOR_SIGN), hash, len);
	rc = worker_monitor_call(&w->monitor, &answer);
	if (rc < 0)
		return rc;
	signature = reader_string(&answer->fields, 64, &signature_len);
	if (!signature || signature_len != 64 || !reader_done(&answer->fields))
		rc = -EBADMSG;
	else
		memcpy(ret_signature, signature, 64);
	worker_packet_free(answer);
	return rc;
}

static int hello(struct worker *w, struct error *err)
{
	struct worker_packet *answer;
	struct libssh_settings s = {0};
	uint8_t host_public[128];
	const uint8_t *blob;
	size_t len;
	int rc;

	worker_monitor_begin(&w->monitor, MONITOR_HELLO);
	rc = worker_monitor_call(&w->monitor, &answer);
	if (rc < 0)
		return error_set(err, rc, "the monitor does not answer: %s", strerror(-rc));
	w->max_auth_tries = reader_u32(&answer->fields);
	w->grace_s = reader_u32(&answer->fields);
	w->max_sessions = reader_u32(&answer->fields);
	blob = reader_string(&answer->fields, sizeof(host_public), &len);
	reader_cstring(&answer->fields, s.versions, sizeof(s.versions));
	reader_cstring(&answer->fields, s.kex, sizeof(s.kex));
	reader_cstring(&answer->fields, s.ciphers, sizeof(s.ciphers));
	reader_cstring(&answer->fields, s.macs, sizeof(s.macs));
	s.rekey_bytes = reader_u64(&answer->fields);
	s.rekey_s = reader_u32(&answer->fields);
	if (reader_done(&answer->fields) && blob)
		memcpy(host_public, blob, len);
	else
		rc = error_set(err, -EBADMSG, "the monitor's HELLO cannot be read");
	worker_packet_free(answer);
	if (rc < 0)
		return rc;
	if (w->max_sessions > MONITOR_WIRE_SESSIONS)
		w->max_sessions = MONITOR_WIRE_SESSIONS;
	return libssh_server_new(WORKER_FD_CONNECTION, host_public, len, &s, sign, w, &w->server,
				 err);
}

/* Errors are fine: a connection may be something else than TCP. */
static void set_tcp(int option, int on)
{
	(void)setsockopt(WORKER_FD_CONNECTION, IPPROTO_TCP, option, &on, sizeof(on));
}

/* A client whose kernel waits for it before it sends the next small packet (Nagle) would lose 40 ms a
 * step. Our own proxy, which marks its connections, has turned that off: there it would be one more
 * packet through two tunnels for each that comes. */
static void acknowledge(const struct worker *w)
{
	set_tcp(TCP_QUICKACK, !w->certificate_comes);
}

/* The kernel's copy of the packet that began the connection, where the listener asked for it. */
static bool certificate_comes(void)
{
	uint8_t syn[256];
	socklen_t len = sizeof(syn);
	unsigned tos;

	if (getsockopt(WORKER_FD_CONNECTION, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len) < 0 || len < 20)
		return false;
	tos = syn[0] >> 4 == 4 ? syn[1] : (unsigned)(syn[0] << 4 | syn[1] >> 4) & 0xff;
	return (tos & DSCP_MASK) == DSCP_CERTIFICATE_TOS;
}

/* ---- Loop. */

static int on_packet(struct worker *w, struct worker_packet *p)
{
	char text[WORKER_TEXT_MAX];

	if (p->type == MONITOR_END) {
		reader_cstring(&p->fields, text, sizeof(text));
		if (p->fields.failed)
			text[0] = '\0';
		if (!w->ending && w->authenticated)
			worker_channels_end(w, text);
		worker_end(w, text);
		return 0;
	}
	if (p->type == MONITOR_AUTH_INTERACTIVE || p->type == MONITOR_INTERACTIVE_DONE ||
	    p->type == MONITOR_BANNER)
		return w->authenticated || w->ending ? 0 : worker_auth_packet(w, p);
	if (!w->authenticated)
		return -EBADMSG;
	return w->ending ? 0 : worker_channels_event(w, p);
}

static int read_monitor(struct worker *w)
{
	struct worker_packet *p;
	int rc;

	for (;;) {
		rc = worker_monitor_next(&w->monitor, &p);
		if (rc < 0 || !p)
			return rc;
		rc = on_packet(w, p);
		worker_packet_free(p);
		if (rc < 0)
			return rc;
	}
}

static int tell_bytes(struct worker *w, uint64_t now_ns)
{
	struct writer *out;
	uint64_t received, sent;

	libssh_server_bytes(w->server, &received, &sent);
	if ((received == w->received && sent == w->sent) || now_ns - w->told_ns < BYTES_EVERY)
		return 0;
	w->received = received;
	w->sent = sent;
	w->told_ns = now_ns;
	out = worker_monitor_begin(&w->monitor, MONITOR_BYTES);
	writer_u64(out, received);
	writer_u64(out, sent);
	return worker_monitor_post(&w->monitor, NULL);
}

static int timeout_ms(const struct worker *w, uint64_t now_ns)
{
	if (worker_channels_hurry(w))
		return 0;
	if (w->ending)
		return 50;
	if (!w->authenticated)
		return worker_auth_timeout_ms(w, now_ns);
	if (worker_channels_tick(w))
		return 100;
	return worker_limits_timeout_ms(
		w, now_ns,
		w->trim_due || now_ns - w->told_ns < BYTES_EVERY ? TRIM_AFTER_MS : -1);
}

static int wait_for_something(struct worker *w, size_t channels)
{
	bool paused = libssh_server_pace(w->server);
	bool waiting = libssh_server_waiting(w->server);
	int timeout = waiting ? 0 : timeout_ms(w, worker_now_ns());
	bool batch = w->bulk && !paused && timeout != 0 && w->bulk_came < BULK_FULL;
	struct timespec wait = {.tv_sec = timeout / 1000,
				.tv_nsec = timeout % 1000 * (long)NSEC_PER_MSEC};
	int ready;

	if (batch)
		wait = (struct timespec){.tv_nsec = BULK_WAIT_NS};
	w->polls[0].fd = WORKER_FD_CONNECTION;
	w->polls[0].events = (short)((paused || batch ? 0 : POLLIN) |
				     (libssh_server_congested(w->server) ? POLLOUT : 0));
	w->polls[1].fd = w->monitor.fd;
	w->polls[1].events = POLLIN;
	worker_channels_poll(w, w->polls + 2);
	do
		ready = ppoll(w->polls, 2 + channels * CHANNEL_POLLS,
			      timeout >= 0 || batch ? &wait : NULL, NULL);
	while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return -errno;
	if (ready == 0 && w->trim_due && !batch && timeout >= TRIM_AFTER_MS) {
		malloc_trim(0);
		w->trim_due = false;
	}
	w->bulk_waited = batch && ready == 0;
	if (waiting || batch)
		w->polls[0].revents |= POLLIN;
	return 0;
}

/* While much comes in, this process looks for it from time to time and is not woken for each
 * segment: a wake-up across cores costs the sender more than our reading costs us, and moves us to
 * its core. Not for a client that sends a piece, waits for the answer and sends the next. */
static void tell_bulk(struct worker *w)
{
	uint64_t received, sent;
	bool dry;

	libssh_server_bytes(w->server, &received, &sent);
	w->bulk_came = received - w->bulk_received;
	w->bulk_received = received;
	dry = w->bulk && w->bulk_waited && w->bulk_came < BULK_LITTLE && sent > w->bulk_sent;
	w->bulk_sent = sent;
	w->bulk_dry = dry ? w->bulk_dry + 1 : 0;
	if (w->bulk_dry == BULK_DRY) {
		w->bulk_dry = 0;
		w->bulk_after = received + BULK_AGAIN;
	}
	w->bulk = w->bulk_came >= BULK_FROM && received >= w->bulk_after;
}

/* 1 when the key exchange is done. */
static int key_exchange(struct worker *w)
{
	int rc;

	do {
		acknowledge(w);
		set_tcp(TCP_CORK, 1); /* as in loop */
		rc = libssh_server_key_exchange(w->server);
		set_tcp(TCP_CORK, 0);
		if (rc == 0 && worker_auth_tick(w, worker_now_ns()) < 0)
			return -ETIMEDOUT;
		if (rc == 0 && wait_for_something(w, 0) < 0)
			return -EIO;
		if (rc == 0 && (w->polls[1].revents & (POLLIN | POLLHUP))) {
			rc = read_monitor(w);
			if (rc == 0 && w->ending)
				rc = -ECANCELED;
		}
	} while (rc == 0);
	return rc;
}

/* As sshd, but the client is told why. Nothing else that it sent is looked at. */
static int pump(struct worker *w)
{
	int rc = libssh_server_pump(w->server);

	if (rc != -EBADMSG)
		return rc;
	worker_end(w, "a request of the client cannot be read");
	w->ending_ns = 0;
	return 0;
}

static int step_connection(struct worker *w)
{
	int rc;

	if (!w->authenticated) {
		acknowledge(w);
		rc = worker_auth_step(w);
		if (rc == 0 && !w->authenticated && !w->ending)
			rc = worker_auth_tick(w, worker_now_ns());
		return rc < 0 || !w->authenticated ? rc : pump(w);
	}
	if (w->polls[0].revents == 0)
		return libssh_server_alive(w->server) ? 0 : -EPIPE;
	rc = pump(w);
	tell_bulk(w);
	return rc;
}

static bool ended(const struct worker *w, uint64_t now_ns)
{
	uint64_t since_ns = now_ns - w->ending_ns;

	if (!w->ending || since_ns > ENDING_NS)
		return w->ending;
	/* A client that reads of the disconnection at once drops the text before it (OpenSSH): it
	 * hangs up itself when its sessions are closed. */
	return !worker_channels_left(w) && (!w->ending_sessions || since_ns > HANG_UP_NS);
}

static int loop(struct worker *w)
{
	bool first = true;
	int rc = 0;

	while (rc == 0 && !ended(w, worker_now_ns())) {
		size_t count = w->channel_count;

		/* The first requests may have come with the end of the key exchange. */
		if (!first)
			rc = wait_for_something(w, count);
		first = false;
		/* What one turn says, such as exit status, end and close of a channel, is one
		 * segment: each would wake two tunnels and the client. */
		set_tcp(TCP_CORK, 1);
		if (rc == 0)
			rc = read_monitor(w);
		if (rc == 0)
			rc = step_connection(w);
		if (rc == 0)
			rc = worker_channels_run(w, w->polls + 2, count);
		if (rc == 0 && w->authenticated && !w->ending)
			worker_limits_tick(w, worker_now_ns());
		if (rc == 0 && w->authenticated && !w->ending)
			rc = tell_bytes(w, worker_now_ns());
		set_tcp(TCP_CORK, 0);
	}
	return rc;
}

static int serve(struct worker *w, struct error *err)
{
	int rc = file_set_nonblock(WORKER_FD_CONNECTION, true);

	set_tcp(TCP_NODELAY, 1);
	if (rc == 0)
		rc = hello(w, err);
	if (rc == 0)
		rc = key_exchange(w);
	if (rc > 0)
		rc = loop(w);
	if (w->authenticated && w->server) {
		w->told_ns = 0; /* the sums, for the audit log */
		if (worker_channels_over(w) < 0 || tell_bytes(w, worker_now_ns()) < 0)
			log_debug("the monitor does not hear the last numbers", NULL);
	}
	/* The client gave up while a person was to log in. */
	if (!w->authenticated && worker_auth_abandon(w) < 0)
		return rc;
	if (rc == 0 && w->ending)
		libssh_server_disconnect(w->server, w->ending_text, DISCONNECT_MS);
	return rc;
}

int worker_run(const struct place *place)
{
	struct error err = {0};
	struct worker *w;
	int rc;

	rc = worker_confine(place, &err);
	w = rc == 0 ? calloc(1, sizeof(*w)) : NULL;
	if (w)
		w->scratch = malloc(CHANNEL_SCRATCH);
	if (!w || !w->scratch) {
		log_error("cannot serve an SSH connection", "error=\"%s\"", error_text(&err));
		free(w);
		return WARREN_EXIT_FAILED;
	}
	worker_monitor_init(&w->monitor, WORKER_FD_MONITOR);
	w->started_ns = worker_now_ns();
	w->certificate_comes = certificate_comes();
	rc = serve(w, &err);
	if (err.code)
		log_error("SSH connection failed", "error=\"%s\"", error_text(&err));
	else
		log_debug("SSH connection is over", "code=%d channels=%zu libssh=\"%s\"", rc,
			  w->channel_count, w->server ? libssh_server_error(w->server) : "");
	worker_channels_free(w);
	libssh_server_free(w->server);
	worker_auth_done(&w->auth);
	worker_monitor_done(&w->monitor);
	free(w->scratch);
	free(w);
	return err.code ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}
