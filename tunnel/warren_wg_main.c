/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-wg IFNAME [-f]: the data plane alone, in the place of `wireguard-go IFNAME`. Makes the TUN
 * and /var/run/wireguard/IFNAME.sock, goes to the background, and ends when the socket is removed,
 * the link is deleted, or by SIGTERM or SIGINT.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "platform/netlink.h"
#include "platform/secret.h"
#include "tunnel/tunnel.h"
#include "tunnel/uapi_server.h"
#include "tunnel/warren_wg_parts.h"

#define POLL_MS	   1000
#define MAX_SHARDS WARREN_WG_PARTS_SHARDS
#define LOCK_BYTES (64u << 20) /* keys of 20,000 peers with sessions */
/* As quiet as wireguard-go when all is well; like it, what is amiss at the start is said. */
#define DEFAULT_LEVEL LOG_LEVEL_WARN

struct program {
	struct tunnel *tunnel;
	struct uapi_server *uapi;
	struct warren_wg_parts parts;
	int ifindex;
	int inotify, netlink, routes, signals;
	bool link_up, up; /* link_up alone: somebody else has the port */
	int bind_error;	  /* that was said of it */
	uint16_t port;
	uint32_t fwmark;
	int fds4[MAX_SHARDS], fds6[MAX_SHARDS]; /* owned by the tunnel */
	bool bound;
};

static int usage(FILE *out, int code)
{
	fputs("usage: warren-wg [-f|--foreground] [--shards N] INTERFACE\n"
	      "       warren-wg --version\n"
	      "environment: LOG_LEVEL (debug, info, warn, error, silent; warn), WG_TUN_FD, "
	      "WG_UAPI_FD,\n"
	      "             WG_PROCESS_FOREGROUND=1, WARREN_WG_SHARDS=N (threads for packets; 1)\n",
	      out);
	return code;
}

/* ---- sockets ---- */

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		file_close(&fds[i]);
}

static int bind_sockets(struct program *p, uint16_t port, uint32_t fwmark)
{
	int fds4[MAX_SHARDS], fds6[MAX_SHARDS];
	int r = tunnel_udp_open_many(port, fwmark, p->parts.shards, fds4, fds6);

	if (r < 0)
		return r;
	r = tunnel_attach_udps(p->tunnel, fds4, fds6, p->parts.shards);
	if (r < 0) {
		close_all(fds4, p->parts.shards);
		close_all(fds6, p->parts.shards);
		return r;
	}
	memcpy(p->fds4, fds4, sizeof(fds4));
	memcpy(p->fds6, fds6, sizeof(fds6));
	p->bound = true;
	p->port = tunnel_listen_port(p->tunnel);
	return 0;
}

/* An interface that is down has no port, as in the kernel; it comes back with the same one. */
static void unbind_sockets(struct program *p)
{
	int none[MAX_SHARDS];

	memset(none, 0xff, sizeof(none)); /* -1 */
	if (p->bound && tunnel_attach_udps(p->tunnel, none, none, p->parts.shards) == 0)
		p->bound = false;
}

static int mark_sockets(const struct program *p, uint32_t fwmark)
{
	for (unsigned i = 0; i < 2 * p->parts.shards; i++) {
		int fd = i < p->parts.shards ? p->fds4[i] : p->fds6[i - p->parts.shards];

		if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &fwmark, sizeof(fwmark)) < 0)
			return -errno;
	}
	return 0;
}

static void begin(struct program *p)
{
	p->up = true;
	p->bind_error = 0;
	tunnel_set_up(p->tunnel, true);
	log_info("interface up", "interface=%s", p->parts.ifname);
}

static int bind_hook(void *ctx, uint16_t port, uint32_t fwmark)
{
	struct program *p = ctx;
	int r = 0;

	if (p->bound && fwmark != p->fwmark)
		r = mark_sockets(p, fwmark);
	else if (p->bound || (p->link_up && port != p->port))
		r = bind_sockets(p, port, fwmark);
	if (r < 0) {
		log_error("cannot use the port", "port=%u error=%s", port, strerror(-r));
		return r;
	}
	if (!p->bound)
		p->port = port;
	if (fwmark != p->fwmark) { /* it may lead elsewhere */
		p->fwmark = fwmark;
		tunnel_forget_sources(p->tunnel);
	}
	if (p->bound && !p->up) /* another port in the place of one that was taken */
		begin(p);
	return 0;
}

/* ---- the interface ---- */

/* A port that somebody else has is tried again each second (see run), and said once. */
static void go_up(struct program *p)
{
	int r = p->bound ? 0 : bind_sockets(p, p->port, p->fwmark);

	if (r == 0) {
		begin(p);
		return;
	}
	if (r != p->bind_error)
		log_error("cannot open the UDP port, trying again", "port=%u error=%s", p->port,
			  strerror(-r));
	p->bind_error = r;
}

static void set_up(struct program *p, bool up)
{
	p->link_up = up;
	if (up == p->up)
		return;
	if (up) {
		go_up(p);
		return;
	}
	p->up = false;
	tunnel_set_up(p->tunnel, false);
	unbind_sockets(p);
	log_info("interface down", "interface=%s", p->parts.ifname);
}

static void refresh_link(struct program *p)
{
	unsigned mtu;
	bool up;

	/* When it is not here it moved to another namespace (deletion is seen at its descriptor);
	 * what comes out of it proves that it is up there. */
	if (netlink_link_get_index(p->ifindex, &up, &mtu) < 0) {
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

static void check_socket(struct program *p)
{
	if (warren_wg_parts_socket_is_ours(&p->parts))
		return;
	log_info("ending because the socket was removed", "path=%s", p->parts.socket_path);
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
		log_info("ending because the interface is gone", "interface=%s", p->parts.ifname);
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

static bool source_hook(void *ctx, const struct endpoint *to, const struct ip_addr *source,
			unsigned ifindex)
{
	const struct program *p = ctx;
	struct ip_addr dst;
	unsigned leaves = 0;
	int r;

	endpoint_ip(to, &dst);
	r = netlink_route_get(p->routes, &dst, source, p->fwmark, &leaves);
	if (r == 0)
		return leaves == ifindex;
	return r != -EINVAL && r != -ENETUNREACH && r != -EHOSTUNREACH;
}

/* ---- start ---- */

/* Before anything is there that a signal's default action would leave behind, and before the fork:
 * whoever started us may end us as soon as the parent has returned. */
static void hold_signals(sigset_t *ret_set)
{
	sigemptyset(ret_set);
	sigaddset(ret_set, SIGTERM);
	sigaddset(ret_set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, ret_set, NULL);
}

/* After the fork: epoll would wake for the signals of the process that added the descriptor. */
static int open_signals(struct program *p, const sigset_t *set)
{
	p->signals = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signals < 0)
		return -errno;
	return tunnel_watch(p->tunnel, p->signals, signal_ready, p);
}

/* Without inotify (its instances are few) the socket is looked at once a second. */
static int open_watches(struct program *p)
{
	int r = netlink_monitor_open(&p->netlink);

	if (r == 0)
		r = netlink_route_open(&p->routes);
	if (r == 0)
		r = tunnel_watch(p->tunnel, p->netlink, netlink_ready, p);
	if (r < 0)
		return r;
	p->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (p->inotify < 0 || inotify_add_watch(p->inotify, p->parts.socket_path,
						IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
		file_close(&p->inotify);
		return 0;
	}
	return tunnel_watch(p->tunnel, p->inotify, inotify_ready, p);
}

/* Gives the tunnel what was made for it. */
static int assemble(struct program *p)
{
	struct warren_wg_parts *parts = &p->parts;
	struct tunnel_config config = {
		.roaming = true,
		.shards = parts->shards,
		.max_peers = 1 << 16,
		.hooks = {.ctx = p, .event = event_hook, .source = source_hook}};
	int r = tunnel_new(&config, &p->tunnel);

	if (r < 0)
		return r;
	tunnel_set_bind_hook(p->tunnel, bind_hook, p);
	r = tunnel_attach_tuns(p->tunnel, TUNNEL_PORT_MAIN, parts->tuns, parts->shards,
			       &parts->caps);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < parts->shards; i++)
		parts->tuns[i] = -1;
	if (parts->shards > 1) {
		r = tunnel_set_steering(p->tunnel, parts->map4, parts->map6);
		if (r < 0)
			return r;
		parts->map4 = parts->map6 = -1;
	}
	r = uapi_server_new(p->tunnel, parts->listener, &p->uapi);
	if (r < 0)
		return r;
	parts->listener = -1;
	return open_watches(p);
}

static int start(struct program *p, const char *name, struct error *err)
{
	const struct tun_caps *caps = &p->parts.caps;
	int r = warren_wg_parts_open(&p->parts, name, err);

	if (r == 0) {
		p->ifindex = netlink_link_index(p->parts.ifname);
		r = assemble(p);
		if (r < 0)
			error_set(err, r, "cannot start on %s: %s", p->parts.ifname, strerror(-r));
	}
	warren_wg_parts_close(&p->parts);
	log_debug("interface ready", "interface=%s shards=%u vnet=%d tso=%d uso=%d",
		  p->parts.ifname, p->parts.shards, caps->vnet_hdr, caps->tso, caps->uso);
	return r;
}

static int run(struct program *p)
{
	int r = 0;

	while (r == 0 && !tunnel_stopped(p->tunnel)) {
		bool look = p->inotify < 0 || p->link_up != p->up;

		r = tunnel_run_once(p->tunnel, look ? POLL_MS : -1);
		if (p->inotify < 0)
			check_socket(p);
		if (p->link_up != p->up && !tunnel_stopped(p->tunnel))
			set_up(p, p->link_up);
	}
	return r;
}

static void finish(struct program *p)
{
	/* The name is free for a successor before we are gone. */
	if (warren_wg_parts_socket_is_ours(&p->parts))
		unlink(p->parts.socket_path);
	uapi_server_free(p->uapi);
	tunnel_free(p->tunnel);
	file_close(&p->inotify);
	file_close(&p->netlink);
	file_close(&p->routes);
	file_close(&p->signals);
}

static int parse_shards(const char *text, unsigned *ret_shards)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || n < 1 || n > MAX_SHARDS) {
		fprintf(stderr, "warren-wg: \"%.32s\" is no number of shards: 1 to %d\n", text,
			MAX_SHARDS);
		return -EINVAL;
	}
	*ret_shards = (unsigned)n;
	return 0;
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
	struct program p = {.inotify = -1, .netlink = -1, .routes = -1, .signals = -1};
	struct error err = {0};
	enum log_level level = DEFAULT_LEVEL;
	const char *word = getenv("LOG_LEVEL");
	const char *name = NULL;
	const char *environment = getenv("WG_PROCESS_FOREGROUND");
	const char *shards = getenv("WARREN_WG_SHARDS");
	unsigned count = 1;
	sigset_t signals;
	bool foreground = environment && strcmp(environment, "1") == 0;
	int r;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--foreground") == 0)
			foreground = true;
		else if (strcmp(argv[i], "--shards") == 0 && i + 1 < argc)
			shards = argv[++i];
		else if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0)
			return printf("warren-wg %s\n", WARREN_VERSION) < 0;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return usage(stdout, WARREN_EXIT_OK);
		else if (argv[i][0] == '-' || name)
			return usage(stderr, WARREN_EXIT_USAGE);
		else
			name = argv[i];
	}
	if (!name || (shards && parse_shards(shards, &count) < 0))
		return usage(stderr, WARREN_EXIT_USAGE);
	warren_wg_parts_init(&p.parts, count);
	if (word && log_level_parse(word, &level) < 0)
		level = DEFAULT_LEVEL;
	log_init("warren-wg", 2, level, false);
	if (secret_process_init() < 0) {
		log_error("cannot protect this process's memory", NULL);
		return WARREN_EXIT_FAILED;
	}
	(void)secret_lock_limit(LOCK_BYTES);
	signal(SIGPIPE, SIG_IGN);
	hold_signals(&signals);
	r = start(&p, name, &err);
	if (r < 0) {
		log_error(error_text(&err), NULL);
		finish(&p);
		return WARREN_EXIT_FAILED;
	}
	if (!foreground)
		r = go_background(word && strcmp(word, "silent") != 0);
	if (r == 0)
		r = open_signals(&p, &signals);
	if (r == 0) {
		refresh_link(&p);
		r = run(&p);
	}
	if (r < 0)
		log_error("ending on an error", "error=%s", strerror(-r));
	finish(&p);
	return r < 0 ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}
