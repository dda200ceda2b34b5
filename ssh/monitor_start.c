/* SPDX-License-Identifier: Apache-2.0
 *
 * How a connection's processes come into being (ssh/PROTOCOL.md, top): the verifier is forked while
 * nothing secret is in memory, then the configuration with the host key is read, and the worker is
 * forked and executed so that none of it is in there either.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "platform/sandbox.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "ssh/monitor.h"
#include "ssh/place.h"

#define CONFIG_MAX (SSH_WIRE_SSHD_CONFIG_MAX + 8192)

int monitor_program_path(const char *name, char ret_path[static MONITOR_PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret_path, MONITOR_PATH_MAX);
	size_t len = strlen(name);
	char *slash;

	if (n <= 0 || n >= MONITOR_PATH_MAX)
		return -ENAMETOOLONG;
	ret_path[n] = '\0';
	slash = strrchr(ret_path, '/');
	if (slash == NULL || (size_t)(slash - ret_path) + 1 + len + 1 > MONITOR_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(slash + 1, name, len + 1);
	return access(ret_path, X_OK) == 0 ? 0 : -errno;
}

int monitor_worker_path(char ret_path[static MONITOR_PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret_path, MONITOR_PATH_MAX);
	const char *slash;

	if (n <= 0 || n >= MONITOR_PATH_MAX)
		return -ENAMETOOLONG;
	ret_path[n] = '\0';
	slash = strrchr(ret_path, '/');
	if (slash != NULL && strcmp(slash, "/warren-ssh-session") != 0)
		return 0; /* a test, which plays the worker itself */
	return monitor_program_path(MONITOR_WORKER_PROGRAM, ret_path);
}

/* What the child needs between fork and exec. */
struct worker_start {
	const char *program;
	char **argv, **envp;
	int sock, root;
};

static _Noreturn void become_worker(const struct worker_start *s)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* 3 is the connection already. The pair may have got 4, which was free again. */
	if (s->sock == WORKER_FD_MONITOR ? fcntl(s->sock, F_SETFD, 0) < 0
					 : dup2(s->sock, WORKER_FD_MONITOR) < 0)
		_exit(1);
	if (s->root >= 0 && dup2(s->root, WORKER_FD_ROOT) < 0)
		_exit(1);
	close_range(s->root >= 0 ? WORKER_FD_ROOT + 1 : WORKER_FD_MONITOR + 1, ~0U, 0);
	execve(s->program, s->argv, s->envp);
	_exit(1);
}

static int start_worker(struct monitor *m, const struct place *place)
{
	char program[MONITOR_PATH_MAX], uid[12], gid[12];
	char name[] = MONITOR_WORKER_PROGRAM, worker[] = "--worker";
	char *argv[] = {name, worker, NULL, NULL, NULL};
	char debug[] = "WARREN_SANDBOX_DEBUG=1", json[] = "WARREN_LOG_JSON=1";
	char *envp[] = {(char[]){"LC_ALL=C.UTF-8"}, NULL, NULL, NULL};
	struct worker_start start;
	size_t n = 1;
	int pair[2], r;

	r = monitor_worker_path(program);
	if (r < 0) {
		log_error(MONITOR_WORKER_PROGRAM " is missing beside this program", NULL);
		return r;
	}
	r = unixsock_pair(pair);
	if (r < 0)
		return r;
	/* Its environment is made here: the child has our memory until the exec. */
	if (getenv("WARREN_SANDBOX_DEBUG") != NULL)
		envp[n++] = debug;
	if (getenv("WARREN_LOG_JSON") != NULL)
		envp[n++] = json;
	if (place->root >= 0) {
		snprintf(uid, sizeof(uid), "%u", (unsigned)place->uid);
		snprintf(gid, sizeof(gid), "%u", (unsigned)place->gid);
		argv[2] = uid;
		argv[3] = gid;
	}
	start = (struct worker_start){program, argv, envp, pair[1], place->root};
	m->worker = vfork();
	if (m->worker == 0)
		become_worker(&start);
	r = m->worker < 0 ? -errno : 0;
	close(pair[1]);
	m->worker_fd = pair[0];
	return r < 0 ? r : file_set_nonblock(m->worker_fd, true);
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
	if (ret == 0)
		ret = monitor_options_load(m, (const char *)m->config.sshd_config,
					   m->config.sshd_config_len);
	m->config.sshd_config = NULL;
	m->config.sshd_config_len = 0;
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

/* What people read names this machine as the mesh does. */
int monitor_take_object(struct monitor *m, int fd, struct error *err)
{
	struct verifier_object object;
	int r = verifier_object(m->verifier, fd, &object, err);

	if (r == 0 && object.host_name[0] != '\0')
		snprintf(m->config.host_name, sizeof(m->config.host_name), "%s", object.host_name);
	return r;
}

/* Verifier, worker and the configuration between them. */
static int start_processes(struct monitor *m)
{
	const bool given = sandbox_is_empty_root(SSH_WIRE_FD_ROOT);
	struct place place = {.root = -1};
	int r = geteuid() == 0 ? place_open(given ? SSH_WIRE_FD_ROOT : -1, &place) : 0;

	if (given)
		close(SSH_WIRE_FD_ROOT);
	if (r == 0)
		r = verifier_start(&place, &m->verifier); /* before the host key is in this process */
	if (r == 0)
		r = read_config(m);
	if (r == 0)
		r = verifier_configure(m->verifier, &m->config);
	if (r == 0)
		r = watch_signals(m);
	if (r == 0)
		r = start_worker(m, &place);
	place_close(&place);
	return r;
}

int monitor_start(struct monitor *m)
{
	struct error err = {0};
	int r;

	static_assert((int)SSH_WIRE_FD_CONNECTION == (int)WORKER_FD_CONNECTION, "start_worker");
	for (int fd = SSH_WIRE_FD_CONFIG; fd <= SSH_WIRE_FD_MAIN; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
	r = file_set_nonblock(SSH_WIRE_FD_BROKER, true);
	if (r == 0)
		r = file_set_nonblock(SSH_WIRE_FD_MAIN, true);
	if (r == 0)
		r = start_processes(m);
	if (r < 0)
		return r;
	close(SSH_WIRE_FD_CONNECTION);
	m->no_interactive = m->config.standalone; /* nobody would make the URL */
	if (!m->config.standalone && monitor_take_object(m, SSH_WIRE_FD_OBJECT, &err) < 0)
		log_warn("the ssh object is refused; nobody can log in", "reason=%s",
			 error_text(&err));
	close(SSH_WIRE_FD_OBJECT);
	m->since_s = monitor_now_s();
	m->since_ns = monitor_now_ns();
	monitor_audit(m, "ssh connection", "network", m->config.network);
	m->grace_deadline_ns = monitor_grace_end_ns(m);
	return 0;
}
