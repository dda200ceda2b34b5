/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-wg IFNAME [-f]: the data plane alone, in the place of `wireguard-go IFNAME`. Makes the TUN
 * and /var/run/wireguard/IFNAME.sock, goes to the background, and ends when the socket is removed,
 * the link is deleted, or by SIGTERM or SIGINT.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "platform/netlink.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "tunnel/tunnel.h"
#include "tunnel/uapi_server.h"

#define SOCKET_DIR   "/var/run/wireguard"
#define DEFAULT_MTU  1420
#define TUN_TRIES    10 /* of 50 ms */
#define LISTEN_TRIES 20
#define POLL_MS	     1000

struct program {
	struct tunnel *tunnel;
	struct uapi_server *uapi;
	char ifname[IFNAMSIZ];
	char socket_path[PATH_MAX];
	struct stat socket_stat;
	int inotify, netlink, signals;
	bool up;
	uint16_t port;
	uint32_t fwmark;
	int fd4, fd6; /* owned by the tunnel */
	bool bound;
};

static int usage(FILE *out, int code)
{
	fputs("usage: warren-wg [-f|--foreground] INTERFACE\n"
	      "       warren-wg --version\n"
	      "environment: LOG_LEVEL (debug, info, warn, error, silent), WG_TUN_FD, WG_UAPI_FD,\n"
	      "             WG_PROCESS_FOREGROUND=1\n",
	      out);
	return code;
}

/* ---- sockets ---- */

static int bind_sockets(struct program *p, uint16_t port, uint32_t fwmark)
{
	int fd4, fd6;
	int r = tunnel_udp_open(port, fwmark, &fd4, &fd6);

	if (r < 0)
		return r;
	r = tunnel_attach_udp(p->tunnel, fd4, fd6);
	if (r < 0) {
		file_close(&fd4);
		file_close(&fd6);
		return r;
	}
	p->fd4 = fd4;
	p->fd6 = fd6;
	p->bound = true;
	return 0;
}

static int mark_sockets(const struct program *p, uint32_t fwmark)
{
	if (p->fd4 >= 0 && setsockopt(p->fd4, SOL_SOCKET, SO_MARK, &fwmark, sizeof(fwmark)) < 0)
		return -errno;
	if (p->fd6 >= 0 && setsockopt(p->fd6, SOL_SOCKET, SO_MARK, &fwmark, sizeof(fwmark)) < 0)
		return -errno;
	return 0;
}

static int bind_hook(void *ctx, uint16_t port, uint32_t fwmark)
{
	struct program *p = ctx;
	int r = 0;

	if (p->bound && fwmark != p->fwmark)
		r = mark_sockets(p, fwmark);
	else if (p->bound)
		r = bind_sockets(p, port, fwmark);
	if (r < 0) {
		log_error("cannot use the port", "port=%u error=%s", port, strerror(-r));
		return r;
	}
	p->port = port;
	p->fwmark = fwmark;
	return 0;
}

/* ---- the interface ---- */

static void set_up(struct program *p, bool up)
{
	if (up == p->up)
		return;
	if (up && !p->bound) {
		int r = bind_sockets(p, p->port, p->fwmark);

		if (r < 0) {
			log_error("cannot open the UDP port", "port=%u error=%s", p->port,
				  strerror(-r));
			return;
		}
	}
	p->up = up;
	tunnel_set_up(p->tunnel, up);
	log_info(up ? "interface up" : "interface down", "interface=%s", p->ifname);
}

static void refresh_link(struct program *p)
{
	unsigned mtu;
	bool up;

	/* When it is not here it moved to another namespace (deletion is seen at its descriptor);
	 * what comes out of it proves that it is up there. */
	if (netlink_link_get(p->ifname, &up, &mtu) < 0) {
		set_up(p, true);
		return;
	}
	tunnel_set_mtu(p->tunnel, TUNNEL_PORT_MAIN, mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)mtu);
	set_up(p, up);
}

static void netlink_ready(void *ctx, int fd)
{
	struct program *p = ctx;
	bool changed = false;

	if (netlink_monitor_drain(fd, &changed) < 0 || changed) {
		tunnel_forget_sources(p->tunnel);
		refresh_link(p);
	}
}

/* ---- the ends ---- */

static void signal_ready(void *ctx, int fd)
{
	struct program *p = ctx;
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		log_info("ending on a signal", "signal=%u", info.ssi_signo);
		tunnel_stop(p->tunnel);
	}
}

static bool socket_is_ours(const struct program *p)
{
	struct stat st;

	return lstat(p->socket_path, &st) == 0 && st.st_dev == p->socket_stat.st_dev &&
	       st.st_ino == p->socket_stat.st_ino;
}

static void check_socket(struct program *p)
{
	if (socket_is_ours(p))
		return;
	log_info("ending because the socket was removed", "path=%s", p->socket_path);
	tunnel_stop(p->tunnel);
}

static void inotify_ready(void *ctx, int fd)
{
	char events[4096] __attribute__((aligned(8)));

	while (read(fd, events, sizeof(events)) > 0)
		;
	check_socket(ctx);
}

static void event_hook(void *ctx, const struct tunnel_event *event)
{
	struct program *p = ctx;
	char endpoint[ENDPOINT_STRLEN];

	switch (event->type) {
	case TUNNEL_EVENT_CLOSED:
		log_info("ending because the interface is gone", "interface=%s", p->ifname);
		break;
	case TUNNEL_EVENT_HANDSHAKE_DONE:
		log_debug("session", "endpoint=%s", endpoint_format(&event->endpoint, endpoint));
		break;
	case TUNNEL_EVENT_ROAMED:
		log_debug("peer moved", "endpoint=%s", endpoint_format(&event->endpoint, endpoint));
		break;
	case TUNNEL_EVENT_HANDSHAKE_GIVEN_UP:
		log_debug("handshake given up", NULL);
		break;
	case TUNNEL_EVENT_NEED_ENDPOINT:
	case TUNNEL_EVENT_NO_REPLY:
		break;
	}
}

/* ---- start ---- */

static int inherited_fd(const char *variable, int *ret_fd)
{
	const char *text = getenv(variable);
	char *end;
	long fd;

	if (!text)
		return 0;
	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || *end || end == text || fd < 0 || fd > INT_MAX || fcntl((int)fd, F_GETFD) < 0)
		return -EBADF;
	*ret_fd = (int)fd;
	unsetenv(variable);
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0 || file_set_nonblock((int)fd, true) < 0)
		return -EBADF;
	return 1;
}

/* A predecessor of the same name may still be ending. */
static void pause_briefly(void)
{
	struct timespec pause = {.tv_nsec = 50000000};

	nanosleep(&pause, NULL);
}

static int open_tun(struct program *p, const char *name, int *ret_fd, struct tun_caps *caps,
		    struct error *err)
{
	int r = inherited_fd("WG_TUN_FD", ret_fd);

	if (r < 0)
		return error_set(err, r, "WG_TUN_FD is not an open descriptor");
	if (r == 1) {
		r = tun_adopt(*ret_fd, p->ifname, caps);
		return r < 0 ? error_set(err, r, "WG_TUN_FD is not a TUN device") : 0;
	}
	for (int i = 0;; i++) {
		r = tun_open(name, false, p->ifname, ret_fd, caps, err);
		if (r != -EBUSY || i == TUN_TRIES)
			break;
		pause_briefly();
	}
	return r < 0 ? r : netlink_link_set(p->ifname, false, DEFAULT_MTU, err);
}

static int open_socket(struct program *p, int *ret_fd, struct error *err)
{
	int r = inherited_fd("WG_UAPI_FD", ret_fd);

	if (r < 0)
		return error_set(err, r, "WG_UAPI_FD is not an open descriptor");
	snprintf(p->socket_path, sizeof(p->socket_path), "%s/%s.sock", SOCKET_DIR, p->ifname);
	if (r == 0) {
		r = file_make_dirs(SOCKET_DIR, 0755);
		if (r < 0)
			return error_set(err, r, "cannot make %s: %s", SOCKET_DIR, strerror(-r));
		for (int i = 0;; i++) {
			r = unixsock_listen(p->socket_path, 0600, ret_fd, err);
			if (r != -EADDRINUSE || i == LISTEN_TRIES)
				break;
			pause_briefly();
		}
		if (r < 0)
			return r;
	}
	if (lstat(p->socket_path, &p->socket_stat) < 0)
		return error_set(err, -errno, "%s is not there: %s", p->socket_path,
				 strerror(errno));
	return 0;
}

/* After the fork: epoll would wake for the signals of the process that added the descriptor. */
static int open_signals(struct program *p)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signals < 0)
		return -errno;
	return tunnel_watch(p->tunnel, p->signals, signal_ready, p);
}

/* Without inotify (its instances are few) the socket is looked at once a second. */
static int open_watches(struct program *p)
{
	int r = netlink_monitor_open(&p->netlink);

	if (r == 0)
		r = tunnel_watch(p->tunnel, p->netlink, netlink_ready, p);
	if (r < 0)
		return r;
	p->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (p->inotify < 0 || inotify_add_watch(p->inotify, p->socket_path,
						IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
		file_close(&p->inotify);
		return 0;
	}
	return tunnel_watch(p->tunnel, p->inotify, inotify_ready, p);
}

static int start(struct program *p, const char *name, struct error *err)
{
	struct tunnel_config config = {
		.roaming = true, .max_peers = 1 << 16, .hooks = {.ctx = p, .event = event_hook}};
	struct tun_caps caps = {0};
	int tun = -1, listener = -1;
	int r = tunnel_new(&config, &p->tunnel);

	if (r < 0)
		return error_set(err, r, "cannot start: %s", strerror(-r));
	tunnel_set_bind_hook(p->tunnel, bind_hook, p);
	r = open_tun(p, name, &tun, &caps, err);
	if (r == 0)
		r = open_socket(p, &listener, err);
	if (r < 0)
		goto out;
	r = tunnel_attach_tun(p->tunnel, TUNNEL_PORT_MAIN, tun, &caps);
	if (r == 0) {
		tun = -1;
		r = uapi_server_new(p->tunnel, listener, &p->uapi);
	}
	if (r == 0) {
		listener = -1;
		r = open_watches(p);
	}
	if (r < 0)
		error_set(err, r, "cannot watch %s: %s", p->ifname, strerror(-r));
	log_debug("interface ready", "interface=%s vnet=%d tso=%d uso=%d", p->ifname, caps.vnet_hdr,
		  caps.tso, caps.uso);
out:
	file_close(&tun);
	file_close(&listener);
	return r;
}

static int run(struct program *p)
{
	if (p->inotify >= 0)
		return tunnel_run(p->tunnel);
	while (!tunnel_stopped(p->tunnel)) {
		int r = tunnel_run_once(p->tunnel, POLL_MS);

		if (r < 0)
			return r;
		check_socket(p);
	}
	return 0;
}

static void finish(struct program *p)
{
	/* The name is free for a successor before we are gone. */
	if (p->socket_path[0] && p->socket_stat.st_ino && socket_is_ours(p))
		unlink(p->socket_path);
	uapi_server_free(p->uapi);
	tunnel_free(p->tunnel);
	file_close(&p->inotify);
	file_close(&p->netlink);
	file_close(&p->signals);
}

/* The child goes on; the parent has nothing left to do. */
static int go_background(bool keep_output)
{
	pid_t pid = fork();
	int null;

	if (pid < 0)
		return -errno;
	if (pid > 0)
		_exit(WARREN_EXIT_OK);
	setsid();
	if (chdir("/") < 0)
		return -errno;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	for (int fd = 0; fd < (keep_output ? 1 : 3); fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	close(null);
	return 0;
}

int main(int argc, char **argv)
{
	struct program p = {.inotify = -1, .netlink = -1, .signals = -1, .fd4 = -1, .fd6 = -1};
	struct error err = {0};
	enum log_level level = LOG_LEVEL_ERROR;
	const char *word = getenv("LOG_LEVEL");
	const char *name = NULL;
	const char *environment = getenv("WG_PROCESS_FOREGROUND");
	bool foreground = environment && strcmp(environment, "1") == 0;
	int r;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--foreground") == 0)
			foreground = true;
		else if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0)
			return printf("warren-wg %s\n", WARREN_VERSION) < 0;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return usage(stdout, WARREN_EXIT_OK);
		else if (argv[i][0] == '-' || name)
			return usage(stderr, WARREN_EXIT_USAGE);
		else
			name = argv[i];
	}
	if (!name)
		return usage(stderr, WARREN_EXIT_USAGE);
	if (word && log_level_parse(word, &level) < 0)
		level = LOG_LEVEL_ERROR;
	log_init("warren-wg", 2, level, false);
	if (secret_process_init() < 0) {
		log_error("cannot protect this process's memory", NULL);
		return WARREN_EXIT_FAILED;
	}
	signal(SIGPIPE, SIG_IGN);
	r = start(&p, name, &err);
	if (r < 0) {
		log_error(error_text(&err), NULL);
		finish(&p);
		return WARREN_EXIT_FAILED;
	}
	if (!foreground)
		r = go_background(word && strcmp(word, "silent") != 0);
	if (r == 0)
		r = open_signals(&p);
	if (r == 0) {
		refresh_link(&p);
		r = run(&p);
	}
	if (r < 0)
		log_error("ending on an error", "error=%s", strerror(-r));
	finish(&p);
	return r < 0 ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}
