/* SPDX-License-Identifier: Apache-2.0
 *
 * Start, loop and end of the broker. The order of the start is: sockets (a second daemon stops
 * here, before it has touched anything), state, children. The end undoes everything that was made.
 */
#include "daemon/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/broker_internal.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "platform/user.h"
#include "ssh/config/file_limit.h"
#include "ssh/config/oom.h"

enum {
	SWEEP_S = 30,
	MIN_WAIT_MS = 100, /* between two looks at what could not be sent */
	SESSIONS_END_MS = 2000,
};

/* sd_notify(3): one datagram. */
static void notify(const char *socket_path, const char *state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strnlen(socket_path, sizeof(addr.sun_path));
	int fd;

	if (len < 2 || len == sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, socket_path, len);
	if (addr.sun_path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_debug("cannot tell the service manager", "error=%s", strerror(errno));
	file_close(&fd);
}

static void reap(struct broker *b)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!broker_children_reaped(b, pid, status) &&
		    !broker_object_reaped(b, pid, status) && !broker_ssh_reaped(b, pid, status))
			log_debug("an unknown child ended", "pid=%d", (int)pid);
}

static void on_signal(struct broker *b, int fd, void *ctx)
{
	struct signalfd_siginfo info;

	(void)ctx;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(b);
		else if (info.ssi_signo == SIGHUP)
			broker_sshd_config_refresh(b);
		else if (info.ssi_signo != SIGPIPE)
			b->stopping = true;
	}
}

static int catch_signals(struct broker *b)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGPIPE);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	b->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (b->signals < 0)
		return -errno;
	return broker_loop_add(b->loop, b->signals, on_signal, NULL);
}

static int make_socket_dir(const char *socket_path, struct error *err)
{
	const char *slash = strrchr(socket_path, '/');
	char path[sizeof(((struct daemon_options *)0)->socket)];
	size_t len = slash ? (size_t)(slash - socket_path) : 0;
	int rc;

	if (len == 0 || len >= sizeof(path))
		return 0;
	memcpy(path, socket_path, len);
	path[len] = '\0';
	rc = file_make_dirs(path, 0755);
	return rc < 0 ? error_set(err, rc, "cannot make %s for the socket: %s", path, strerror(-rc))
		      : 0;
}

static void find_accounts(struct broker *b)
{
	uid_t uid;
	gid_t gid;

	if (!b->privileged) {
		b->cannot = strdup("warrend runs without root: it can join a network but make no "
				   "interface and serve no SSH; start it as root");
		log_warn(b->cannot ? b->cannot : "no root", NULL);
		return;
	}
	user_service_account("warren", &b->main_uid, &b->main_gid, &b->main_account);
	user_service_account("warren-engine", &uid, &gid, &b->engine_account);
}

static struct broker *new_broker(const struct daemon_options *options)
{
	struct broker *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->options = options;
	b->privileged = geteuid() == 0;
	b->signals = b->lock = b->root_dir = b->main_dir = b->ipc = b->root_listener = -1;
	b->engine = (struct broker_child){.role = "engine", .sock = -1};
	b->main = (struct broker_child){.role = "main", .sock = -1};
	b->steer4 = b->steer6 = b->steer_program = -1;
	broker_net_init(&b->net);
	broker_ssh_init(b);
	return b;
}

static void free_broker(struct broker *b)
{
	file_close(&b->signals);
	file_close(&b->lock);
	file_close(&b->root_dir);
	file_close(&b->main_dir);
	file_close(&b->ssh.object);
	file_close(&b->steer4);
	file_close(&b->steer6);
	file_close(&b->steer_program);
	broker_loop_free(b->loop);
	secret_wipe(&b->hostkey, sizeof(b->hostkey));
	free(b->cannot);
	free(b);
}

static int start(struct broker *b, struct error *err)
{
	int rc;

	umask(022);
	file_limit_raise();
	rc = broker_loop_new(&b->loop);
	if (rc == 0)
		rc = catch_signals(b);
	if (rc < 0)
		return error_set(err, rc, "cannot start: %s", strerror(-rc));
	rc = make_socket_dir(b->options->socket, err);
	if (rc == 0)
		rc = unixsock_listen(b->options->socket, 0666, &b->ipc, err);
	if (rc == 0)
		rc = broker_root_listen(b, err);
	if (rc < 0)
		return rc;
	find_accounts(b);
	return broker_state_open(b, err);
}

static int wait_ms(const struct broker *b, uint64_t now)
{
	uint64_t deadline = b->next_sweep_ns, other = broker_children_deadline(b);

	deadline = other < deadline ? other : deadline;
	other = broker_ssh_deadline(b);
	if (other < now) /* something main had no room for */
		other = now + MIN_WAIT_MS * NSEC_PER_MSEC;
	deadline = other < deadline ? other : deadline;
	if (b->ssh.verification.pid > 0 && b->ssh.verification.deadline_ns < deadline)
		deadline = b->ssh.verification.deadline_ns;
	other = broker_audit_deadline(b);
	deadline = other < deadline ? other : deadline;
	if (deadline <= now)
		return 0;
	return (int)((deadline - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

static void tick(struct broker *b)
{
	uint64_t now = broker_now();

	broker_children_tick(b, now);
	broker_ssh_tick(b, now);
	broker_object_tick(b, now);
	broker_audit_tick(b, now);
	if (now >= b->next_sweep_ns) {
		broker_userdir_sweep_default(clock_realtime_s(&clock_system));
		broker_sshd_config_refresh(b);
		b->next_sweep_ns = now + SWEEP_S * NSEC_PER_SEC;
	}
}

static int loop(struct broker *b)
{
	int rc = 0;

	while (rc == 0 && !b->stopping) {
		tick(b);
		rc = broker_loop_turn(b->loop, b, wait_ms(b, broker_now()));
	}
	return rc;
}

/* Monitors get a moment to say goodbye. */
static void end_sessions(struct broker *b)
{
	uint64_t until = broker_now() + SESSIONS_END_MS * NSEC_PER_MSEC;

	broker_ssh_end_all(b, "the daemon of this machine stops");
	while (b->ssh.sessions && broker_now() < until)
		if (broker_loop_turn(b->loop, b, MIN_WAIT_MS) < 0)
			break;
	for (struct broker_session *s = b->ssh.sessions, *next; s; s = next) {
		next = s->next;
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
		broker_ssh_reaped(b, s->pid, 0);
	}
	if (b->ssh.verification.pid > 0) {
		kill(b->ssh.verification.pid, SIGKILL);
		waitpid(b->ssh.verification.pid, NULL, 0);
	}
}

static void stop(struct broker *b)
{
	b->stopping = true;
	if (b->loop) {
		end_sessions(b);
		broker_net_teardown(b);
		broker_children_stop(b);
		broker_root_stop(b);
	}
	broker_audit_close(b);
	if (b->ipc >= 0) {
		unlink(b->options->socket);
		broker_names_remove(b);
	}
	file_close(&b->ipc);
	/* Only when nothing of another daemon or of a user is in them. */
	rmdir(BROKER_RUN_DIR "/u");
	rmdir(BROKER_RUN_DIR);
}

int broker_run(const struct daemon_options *options)
{
	const char *notify_socket = getenv("NOTIFY_SOCKET");
	char *service = notify_socket ? strdup(notify_socket) : NULL;
	struct broker *b = new_broker(options);
	struct error err = {0};
	int rc;

	unsetenv("NOTIFY_SOCKET");
	if (!b) {
		free(service);
		return WARREN_EXIT_FAILED;
	}
	rc = start(b, &err);
	if (rc < 0) {
		log_error(error_text(&err), NULL);
	} else {
		broker_audit_open(b);
		oom_protect();
		broker_names_remove(b); /* of one that was killed */
		tick(b); /* engine and main */
		log_info("warrend is ready", "version=%s socket=%s", WARREN_VERSION,
			 options->socket);
		if (service)
			notify(service, "READY=1");
		rc = loop(b);
		if (rc < 0)
			log_error("the broker's loop failed", "error=%s", strerror(-rc));
		if (service)
			notify(service, "STOPPING=1");
	}
	stop(b);
	free_broker(b);
	free(service);
	return rc < 0 ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}
