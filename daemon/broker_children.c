/* SPDX-License-Identifier: Apache-2.0
 *
 * Engine and main as children: started from the broker's own program with descriptors at fixed
 * numbers, started again with back-off when they end. A new main gets a new pair with the running
 * engine, whose tunnels stay; a new engine gets all descriptors again, and main is started anew
 * behind it, because only main knows keys, peers and policy.
 */
#include "daemon/broker_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/unixsock.h"
#include "ssh/config/file_limit.h"
#include "ssh/config/oom.h"

enum {
	FIRST_FD = 3,
	SPAWN_MAX_FDS = 8,
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 10000,
	STABLE_S = 30, /* a child that ran this long starts over with the shortest back-off */
	ENGINE_ANSWER_MS = 2000,
	STOP_MS = 3000,
	SOCKET_BUFFER_BYTES = 4 << 20,
};

uint64_t broker_now(void)
{
	return clock_monotonic_ns(&clock_system);
}

/* In the child, which has the broker's memory until the exec: only calls that are safe there. */
static _Noreturn void become(const char *program, char *const argv[], const int *fds, size_t nfds,
		   char *const envp[])
{
	int high[SPAWN_MAX_FDS];
	sigset_t none;

	sigemptyset(&none);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL); /* refused for two of them */
	sigprocmask(SIG_SETMASK, &none, NULL);
	oom_restore();
	/* A terminal's Ctrl-C is for the broker, which then ends its children in order. */
	setsid();
	for (size_t i = 0; i < nfds; i++) {
		int fd = fds[i] >= 0 ? fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);

		high[i] = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + SPAWN_MAX_FDS);
		if (high[i] < 0)
			_exit(126);
	}
	for (size_t i = 0; i < nfds; i++)
		if (dup2(high[i], FIRST_FD + (int)i) < 0)
			_exit(126);
	if (close_range(FIRST_FD + (unsigned)nfds, ~0U, 0) < 0)
		_exit(126);
	execve(program, argv, envp);
	_exit(127);
}

int broker_spawn(const char *program, char *const argv[], const int *fds, size_t nfds,
		 bool clean_env, pid_t *ret_pid)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *const clean[] = {path, NULL};
	pid_t pid;

	if (nfds > SPAWN_MAX_FDS)
		return -EINVAL;
	/* No copy of the page tables: an SSH login is two of them otherwise. */
	pid = vfork();
	if (pid < 0)
		return -errno;
	if (pid == 0 && clean_env)
		file_limit_restore(); /* what people run is no listener */
	if (pid == 0)
		become(program, argv, fds, nfds, clean_env ? clean : environ);
	*ret_pid = pid;
	return 0;
}

int broker_memfd(const char *name, const void *data, size_t len, int *ret_fd)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc;

	if (fd < 0)
		return -errno;
	rc = file_write_all(fd, data, len);
	if (rc == 0 &&
	    (lseek(fd, 0, SEEK_SET) < 0 ||
	     fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0))
		rc = -errno;
	if (rc < 0) {
		file_close(&fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int broker_reopen(int fd, int *ret_fd)
{
	char path[40];
	int copy;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, O_RDONLY | O_CLOEXEC);
	if (copy < 0)
		return -errno;
	*ret_fd = copy;
	return 0;
}

static int spawn_role(struct broker *b, struct broker_child *c, const int *fds, size_t nfds)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	char program[] = "/proc/self/exe", name[] = "warrend", role[] = "--role";
	char level[] = "--log-level", json[] = "--log-json";
	char shards[] = "--shards", count[12];
	char role_name[16] = {0}, level_name[8] = {0};
	char *argv[] = {name,	    role,   role_name, level,
			level_name, shards, count,     b->options->log_json ? json : NULL,
			NULL};
	int rc;

	snprintf(count, sizeof(count), "%u", b->shards ? b->shards : 1);
	memcpy(role_name, c->role, strnlen(c->role, sizeof(role_name) - 1));
	memcpy(level_name, levels[b->options->log_level],
	       strnlen(levels[b->options->log_level], sizeof(level_name) - 1));
	rc = broker_spawn(program, argv, fds, nfds, false, &c->pid);
	if (rc < 0)
		return rc;
	c->started_ns = broker_now();
	c->restart_ns = 0;
	log_debug("started a process", "role=%s pid=%d", c->role, (int)c->pid);
	return 0;
}

static void schedule(struct broker_child *c)
{
	uint64_t now = broker_now();

	if (c->backoff_ms == 0 || now - c->started_ns > STABLE_S * NSEC_PER_SEC)
		c->backoff_ms = BACKOFF_MIN_MS;
	c->restart_ns = now + c->backoff_ms * NSEC_PER_MSEC;
	c->backoff_ms = c->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : c->backoff_ms * 2;
}

/* A pair with room for bursts of datagrams and long answers. */
static int make_pair(int fds[static 2])
{
	const int bytes = SOCKET_BUFFER_BYTES;
	int rc = unixsock_pair(fds);

	for (int i = 0; rc == 0 && i < 2; i++)
		if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0 &&
		    setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) < 0)
			rc = -errno;
	return rc;
}

struct writer broker_engine_begin(struct broker *b, uint8_t type)
{
	struct writer w = writer_init(b->out, sizeof(b->out));

	if (++b->engine_request == 0)
		b->engine_request = 1;
	wire_begin(&w, type, b->engine_request);
	return w;
}

/* The answer to the last request: 0, or -EPROTO when it is none. *ret_rc: what the engine said. */
static int read_answer(struct broker *b, int *ret_rc)
{
	char sentence[256];
	struct reader r;
	uint8_t failed;
	ssize_t n = unixsock_recv(b->engine.sock, b->in, sizeof(b->in), NULL, NULL, MSG_DONTWAIT);

	if (n <= 0)
		return n == 0 ? -EPIPE : (int)n;
	r = reader_init(b->in, (size_t)n);
	if (reader_u8(&r) != WIRE_REPLY || reader_u32(&r) != b->engine_request)
		return -EPROTO;
	failed = reader_u8(&r);
	reader_cstring(&r, sentence, sizeof(sentence));
	if (!reader_done(&r) || failed > 1)
		return -EPROTO;
	if (failed)
		log_error("the engine refused a request", "error=%s", sentence);
	*ret_rc = failed ? -EIO : 0;
	return 0;
}

int broker_engine_call(struct broker *b, const struct writer *w, const int *fds, size_t nfds)
{
	struct pollfd wait = {.fd = b->engine.sock, .events = POLLIN};
	int rc, said = -EIO;

	if (b->engine.sock < 0 || w->failed)
		return -EPIPE;
	rc = unixsock_send(b->engine.sock, w->data, w->len, fds, nfds);
	if (rc == 0) {
		int n = poll(&wait, 1, ENGINE_ANSWER_MS);

		rc = n == 1 ? read_answer(b, &said) : -ETIMEDOUT;
	}
	if (rc == 0)
		return said;
	log_error("the engine does not answer: it is started anew", "error=%s", strerror(-rc));
	if (b->engine.pid > 0)
		kill(b->engine.pid, SIGKILL);
	broker_loop_del(b->loop, b->engine.sock);
	file_close(&b->engine.sock);
	return rc;
}

/* The engine says nothing on its own: whatever is readable here is its end. */
static void on_engine(struct broker *b, int fd, void *ctx)
{
	(void)ctx;
	broker_loop_del(b->loop, fd);
	if (b->engine.pid > 0 && !b->stopping)
		kill(b->engine.pid, SIGKILL);
	file_close(&b->engine.sock);
}

static int start_engine(struct broker *b)
{
	int pair[2] = {-1, -1};
	int rc = broker_steer_new(b);

	if (rc == 0)
		rc = make_pair(pair);
	if (rc == 0)
		rc = spawn_role(b, &b->engine, &pair[1], 1);
	file_close(&pair[1]);
	/* An engine that reads nothing must not hold the broker up. */
	if (rc == 0)
		rc = file_set_nonblock(pair[0], true);
	if (rc == 0)
		rc = broker_loop_add(b->loop, pair[0], on_engine, NULL);
	if (rc < 0) {
		file_close(&pair[0]);
		return rc;
	}
	b->engine.sock = pair[0];
	return broker_net_attach_all(b);
}

static int options_memfd(struct broker *b, int *ret_fd)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	const struct daemon_options *o = b->options;
	char prefix4[IP_PREFIX_STRLEN], prefix6[IP_PREFIX_STRLEN];
	json_t *object = json_pack(
		"{s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:b, s:b, s:b, s:s}", "socket", o->socket,
		"interface", o->interface, "wireguard_port", (int)o->wireguard_port, "mtu",
		(int)o->mtu, "prefix4", ip_prefix_format(&o->prefix4, prefix4), "prefix6",
		ip_prefix_format(&o->prefix6, prefix6), "log_level", levels[o->log_level],
		"log_json", o->log_json, "privileged", b->privileged, "engine", b->privileged,
		"issuer_ca_file", o->issuer_ca_file);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	int rc = text ? broker_memfd("warren-options", text, strlen(text), ret_fd) : -ENOMEM;

	free(text);
	json_decref(object);
	return rc;
}

/* The engine gets its end of a new pair with main; *ret_fd is main's. */
static int pair_with_engine(struct broker *b, int *ret_fd)
{
	struct writer w = broker_engine_begin(b, WIRE_MAIN);
	int pair[2] = {-1, -1};
	int rc = make_pair(pair);

	if (rc == 0)
		rc = broker_engine_call(b, &w, &pair[1], 1);
	file_close(&pair[1]);
	if (rc < 0) {
		file_close(&pair[0]);
		return rc;
	}
	*ret_fd = pair[0];
	return 0;
}

static void tell_main_all(struct broker *b)
{
	broker_main_tell_switches(b);
	broker_main_tell_control(b);
	for (struct broker_session *s = b->ssh.sessions; s; s = s->next) {
		s->told = false;
		if (s->json)
			broker_main_tell_session(b, s);
	}
}

static int start_main(struct broker *b)
{
	int pair[2] = {-1, -1}, engine = -1, options = -1;
	int rc = make_pair(pair);

	if (rc == 0 && b->privileged)
		rc = pair_with_engine(b, &engine);
	if (rc == 0)
		rc = options_memfd(b, &options);
	if (rc == 0) {
		const int fds[] = {pair[1], engine, b->ipc, b->main_dir, options};

		rc = spawn_role(b, &b->main, fds, 5);
	}
	file_close(&pair[1]);
	file_close(&engine);
	file_close(&options);
	if (rc == 0)
		rc = file_set_nonblock(pair[0], true);
	if (rc == 0)
		rc = broker_loop_add(b->loop, pair[0], broker_main_ready, NULL);
	if (rc < 0) {
		file_close(&pair[0]);
		return rc;
	}
	b->main.sock = pair[0];
	tell_main_all(b);
	return 0;
}

static void drop_main_socket(struct broker *b)
{
	broker_loop_del(b->loop, b->main.sock);
	file_close(&b->main.sock);
}

void broker_children_restart_main(struct broker *b)
{
	drop_main_socket(b);
	if (b->main.pid > 0)
		kill(b->main.pid, SIGKILL);
}

void broker_children_tick(struct broker *b, uint64_t now_ns)
{
	int rc;

	if (b->stopping)
		return;
	if (b->privileged && b->engine.pid == 0 && b->engine.restart_ns <= now_ns) {
		rc = start_engine(b);
		if (rc < 0) {
			log_error("cannot start the engine", "error=%s", strerror(-rc));
			schedule(&b->engine);
		}
	}
	if (b->main.pid == 0 && b->main.restart_ns <= now_ns &&
	    (!b->privileged || b->engine.sock >= 0)) {
		rc = start_main(b);
		if (rc < 0) {
			log_error("cannot start main", "error=%s", strerror(-rc));
			schedule(&b->main);
		}
	}
}

uint64_t broker_children_deadline(const struct broker *b)
{
	uint64_t deadline = UINT64_MAX;

	if (b->privileged && b->engine.pid == 0)
		deadline = b->engine.restart_ns;
	if (b->main.pid == 0 && b->main.restart_ns < deadline &&
	    (!b->privileged || b->engine.sock >= 0))
		deadline = b->main.restart_ns;
	return deadline;
}

static void log_end(const struct broker *b, const struct broker_child *c, int status)
{
	if (b->stopping)
		return;
	if (WIFSIGNALED(status))
		log_warn("a process was killed", "role=%s signal=%d", c->role, WTERMSIG(status));
	else
		log_warn("a process ended", "role=%s status=%d", c->role, WEXITSTATUS(status));
}

bool broker_children_reaped(struct broker *b, pid_t pid, int status)
{
	struct broker_child *c = pid == b->engine.pid ? &b->engine
				 : pid == b->main.pid ? &b->main
						      : NULL;

	if (!c || pid <= 0)
		return false;
	log_end(b, c, status);
	c->pid = 0;
	broker_loop_del(b->loop, c->sock);
	file_close(&c->sock);
	if (b->stopping)
		return true;
	schedule(c);
	if (c == &b->engine) {
		/* The engine ends by itself when our interface is deleted. */
		if (b->net.up && !broker_net_interface_exists(b))
			broker_net_teardown(b);
		broker_children_restart_main(b);
	}
	return true;
}

static void wait_for(struct broker_child *c, uint64_t until_ns)
{
	int status;

	while (c->pid > 0 && waitpid(c->pid, &status, WNOHANG) == 0) {
		if (broker_now() > until_ns)
			kill(c->pid, SIGKILL);
		poll(NULL, 0, 5);
	}
	c->pid = 0;
}

void broker_children_stop(struct broker *b)
{
	uint64_t until = broker_now() + STOP_MS * NSEC_PER_MSEC;

	drop_main_socket(b);
	if (b->main.pid > 0)
		kill(b->main.pid, SIGTERM);
	wait_for(&b->main, until);
	broker_loop_del(b->loop, b->engine.sock);
	file_close(&b->engine.sock); /* its sign to end */
	wait_for(&b->engine, until);
}
