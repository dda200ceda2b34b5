/* SPDX-License-Identifier: Apache-2.0
 *
 * Starts warren-ssh-session for a connection without a mesh: there is no signed object and no main,
 * and the authorities are those of TrustedUserCAKeys (ssh/PROTOCOL.md section 1).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "ssh/config/file_limit.h"
#include "ssh/config/oom.h"
#include "ssh/monitor.h"
#include "ssh/sshd_internal.h"

#define PROGRAM	   "warren-ssh-session"
#define HIGH_FD	   64
#define MONITOR_FDS 5

static int memfd_of(const struct writer *w, int *ret_fd)
{
	int fd = memfd_create("warren-ssh-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc = fd < 0 ? -errno : 0;

	if (rc == 0 && w->failed)
		rc = -EMSGSIZE;
	if (rc == 0)
		rc = file_write_all(fd, w->data, w->len);
	if (rc == 0 && (lseek(fd, 0, SEEK_SET) < 0 ||
			fcntl(fd, F_ADD_SEALS,
			      F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0))
		rc = -errno;
	if (rc < 0)
		file_close(&fd);
	else
		*ret_fd = fd;
	return rc;
}

/* A connection may be something else than TCP: then nobody's address is known. */
static void addresses(int connection, struct ssh_wire_config *c)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct ip_addr none = {.family = 4};

	endpoint_from_ip(&none, 0, &c->client);
	endpoint_from_ip(&none, 0, &c->server);
	if (getpeername(connection, (struct sockaddr *)&ss, &len) == 0 &&
	    (ss.ss_family == AF_INET || ss.ss_family == AF_INET6))
		endpoint_from_sockaddr((struct sockaddr *)&ss, len, &c->client);
	len = sizeof(ss);
	if (getsockname(connection, (struct sockaddr *)&ss, &len) == 0 &&
	    (ss.ss_family == AF_INET || ss.ss_family == AF_INET6))
		endpoint_from_sockaddr((struct sockaddr *)&ss, len, &c->server);
}

static int config_memfd(const struct sshd_force *f, uint32_t id, int connection, int *ret_fd)
{
	struct ssh_wire_config c = {
		.session_id = id,
		.standalone = true,
		.allow_root = true, /* PermitRootLogin and the like decide */
		.allow_sftp = true,
		.allow_local_forward = true,
		.allow_remote_forward = true,
		.authorized_keys = true,
		.break_glass_count = (uint32_t)f->ca_count,
		.sshd_config = f->text.data,
		.sshd_config_len = f->text.len,
	};
	size_t cap = 8192 + f->text.len;
	uint8_t *data = malloc(cap);
	struct writer w = writer_init(data, cap);
	int rc;

	if (data == NULL)
		return -ENOMEM;
	memcpy(c.break_glass, f->ca, sizeof(c.break_glass));
	memcpy(c.host_key_seed, f->key.seed, sizeof(c.host_key_seed));
	if (gethostname(c.host_name, sizeof(c.host_name) - 1) < 0)
		c.host_name[0] = '\0';
	addresses(connection, &c);
	ssh_wire_config_put(&w, &c);
	rc = memfd_of(&w, ret_fd);
	secret_wipe(data, cap);
	secret_wipe(&c, sizeof(c));
	free(data);
	return rc;
}

/* fds[i] becomes descriptor 3 + i; returns when it cannot be executed. */
static int become(const struct sshd_force *f, const int fds[MONITOR_FDS])
{
	static char name[] = PROGRAM;
	static char path_env[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static char json[] = "WARREN_LOG_JSON=1", debug[] = "WARREN_SANDBOX_DEBUG=1";
	char *const argv[] = {name, NULL};
	char *envp[] = {path_env, NULL, NULL, NULL};
	char program[MONITOR_PATH_MAX];
	size_t n = 1;
	sigset_t none;
	int high[MONITOR_FDS], rc = monitor_program_path(PROGRAM, program);

	if (rc < 0)
		return rc;
	if (getenv("WARREN_LOG_JSON") != NULL)
		envp[n++] = json;
	if (getenv("WARREN_SANDBOX_DEBUG") != NULL)
		envp[n++] = debug;
	for (int i = 0; i < MONITOR_FDS; i++) {
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH_FD);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < MONITOR_FDS; i++)
		if (dup2(high[i], SSH_WIRE_FD_CONNECTION + i) < 0)
			return -errno;
	if (close_range(SSH_WIRE_FD_CONNECTION + MONITOR_FDS, ~0U, 0) < 0)
		return -errno;
	if (setrlimit(RLIMIT_CORE, &f->core) < 0)
		return -errno;
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(program, argv, envp);
	return -errno;
}

struct start {
	int config, null, broker[2], main[2];
};

static int prepare(const struct sshd_force *f, uint32_t id, int connection, struct start *s)
{
	int rc;

	*s = (struct start){-1, -1, {-1, -1}, {-1, -1}};
	rc = config_memfd(f, id, connection, &s->config);
	if (rc == 0)
		rc = unixsock_pair(s->broker);
	if (rc == 0)
		rc = unixsock_pair(s->main);
	if (rc == 0)
		s->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return rc == 0 && s->null < 0 ? -errno : rc;
}

static void close_start(struct start *s)
{
	file_close(&s->config);
	file_close(&s->null);
	for (int i = 0; i < 2; i++) {
		file_close(&s->broker[i]);
		file_close(&s->main[i]);
	}
}

int sshd_spawn(const struct sshd_force *f, uint32_t id, int connection, int *ret_sock,
	       pid_t *ret_pid)
{
	struct start s;
	int rc = prepare(f, id, connection, &s);
	pid_t pid = rc == 0 ? fork() : -1;

	if (pid == 0) {
		const int fds[] = {connection, s.config, s.null, s.broker[1], s.main[1]};

		oom_restore();
		file_limit_restore();
		setsid(); /* Ctrl-C ends the listener */
		become(f, fds);
		_exit(127);
	}
	if (rc == 0 && pid < 0)
		rc = -errno;
	if (rc == 0)
		rc = file_set_nonblock(s.broker[0], true);
	if (rc == 0) {
		*ret_sock = s.broker[0];
		*ret_pid = pid;
		s.broker[0] = -1;
	}
	close_start(&s);
	return rc;
}

/* A socket for the connection on standard input. With pipes this process stays as their carrier, and
 * its child goes on. */
static int own_connection(void)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int pair[2];
	pid_t pid;

	if (getsockname(STDIN_FILENO, (struct sockaddr *)&ss, &len) == 0)
		return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, HIGH_FD);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	pid = fork();
	if (pid > 0) {
		close(pair[1]);
		sshd_relay_run(STDIN_FILENO, STDOUT_FILENO, pair[0]);
		_exit(WARREN_EXIT_OK);
	}
	close(pair[0]);
	return pid == 0 ? pair[1] : -1;
}

/* What the connection's monitor reports, until it is gone. */
static void keep(struct sshd_audit *audit, int sock, uint32_t id, const struct endpoint *client)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	bool ended = false;
	uint8_t type;
	int r = 0;

	signal(SIGTERM, SIG_IGN); /* the session goes on, as sshd's does */
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	while (r >= 0)
		if (poll(&p, 1, sshd_audit_tick(audit)) > 0)
			r = sshd_audit_hear(audit, sock, id, client, &type, &ended);
	if (!ended)
		sshd_audit_died(audit, id, client);
	sshd_audit_free(audit);
}

int sshd_spawn_here(const struct sshd_force *f, struct sshd_audit *audit)
{
	struct ssh_wire_config ends = {0};
	uint32_t id = (uint32_t)getpid();
	struct start s;
	int connection = own_connection();
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int rc = connection < 0 || null < 0 ? -errno : prepare(f, id, connection, &s);
	pid_t pid;
	int sock;

	if (rc < 0)
		return rc;
	addresses(connection, &ends);
	/* The connection is no terminal for messages, and inetd hands it as 0, 1 and 2. */
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		const int fds[] = {connection, s.config, s.null, s.broker[1], s.main[1]};

		become(f, fds);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	close(connection);
	sock = s.broker[0];
	s.broker[0] = -1;
	close_start(&s);
	keep(audit, sock, id, &ends.client);
	_exit(WARREN_EXIT_OK);
}
