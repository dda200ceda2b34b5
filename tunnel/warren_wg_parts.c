/* SPDX-License-Identifier: Apache-2.0
 *
 * How warren-wg comes to its interface and its socket, in the place of `wireguard-go IFNAME`: a
 * name that is just being left can be taken at once, one in use is never shared.
 */
#include "tunnel/warren_wg_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "platform/bpf.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/netlink.h"
#include "platform/unixsock.h"

#define SOCKET_DIR   "/var/run/wireguard"
#define DEFAULT_MTU  1420
#define OWNED_TRIES  10	 /* of 50 ms, for a name whose owner seems to stay */
#define ENDING_TRIES 100 /* for one whose owner is going away, and for its socket */

void warren_wg_parts_init(struct warren_wg_parts *parts, unsigned shards)
{
	memset(parts, 0, sizeof(*parts));
	parts->shards = shards;
	memset(parts->tuns, 0xff, sizeof(parts->tuns)); /* -1 */
	parts->map4 = parts->map6 = parts->program = parts->listener = -1;
}

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

/* The owner of the interface has no socket any more (it goes first), or the interface is gone
 * meanwhile. */
static bool is_ending(const char *name)
{
	struct error nobody = {0};
	char path[PATH_MAX];
	int fd = -1;

	if (if_nametoindex(name) == 0)
		return true;
	if (!tun_is(name))
		return false;
	snprintf(path, sizeof(path), "%s/%s.sock", SOCKET_DIR, name);
	if (unixsock_connect(path, &fd, &nobody) < 0)
		return true;
	close(fd);
	return false;
}

static void pause_briefly(void)
{
	struct timespec pause = {.tv_nsec = 50000000};

	nanosleep(&pause, NULL);
}

/* Several shards need the kernel's help; without it there is one. */
static void prepare_shards(struct warren_wg_parts *parts)
{
	struct error why = {0};

	if (parts->shards > 1 && getenv("WG_TUN_FD"))
		log_warn("one shard only: the interface was handed over with one queue", NULL);
	else if (parts->shards > 1 &&
		 bpf_steer_new(&parts->map4, &parts->map6, &parts->program, &why) < 0)
		log_warn("one shard only", "error=%s", error_text(&why));
	if (parts->program < 0)
		parts->shards = 1;
}

static int open_queues(struct warren_wg_parts *parts, const char *name, struct error *err)
{
	int r;

	for (int i = 0;; i++) {
		r = tun_open(name, parts->shards > 1, parts->ifname, &parts->tuns[0], &parts->caps,
			     err);
		if (r != -EBUSY || i == ENDING_TRIES || (i >= OWNED_TRIES && !is_ending(name)))
			break;
		pause_briefly();
	}
	if (r == 0)
		r = netlink_link_set(parts->ifname, false, DEFAULT_MTU, err);
	if (r < 0 || parts->shards == 1)
		return r;
	r = tun_open_queues(parts->ifname, parts->shards, parts->tuns, err);
	if (r < 0)
		return r;
	r = bpf_steer_attach(parts->tuns[0], parts->program);
	return r < 0 ? error_set(err, r, "cannot spread packets of %s: %s", parts->ifname,
				 strerror(-r))
		     : 0;
}

static int open_tun(struct warren_wg_parts *parts, const char *name, struct error *err)
{
	int r;

	prepare_shards(parts);
	r = inherited_fd("WG_TUN_FD", &parts->tuns[0]);
	if (r < 0)
		return error_set(err, r, "WG_TUN_FD is not an open descriptor");
	if (r == 0)
		return open_queues(parts, name, err);
	r = tun_adopt(parts->tuns[0], parts->ifname, &parts->caps);
	return r < 0 ? error_set(err, r, "WG_TUN_FD is not a TUN device") : 0;
}

static int open_socket(struct warren_wg_parts *parts, struct error *err)
{
	int r = inherited_fd("WG_UAPI_FD", &parts->listener);

	if (r < 0)
		return error_set(err, r, "WG_UAPI_FD is not an open descriptor");
	snprintf(parts->socket_path, sizeof(parts->socket_path), "%s/%s.sock", SOCKET_DIR,
		 parts->ifname);
	if (r == 0) {
		r = file_make_dirs(SOCKET_DIR, 0755);
		if (r < 0)
			return error_set(err, r, "cannot make %s: %s", SOCKET_DIR, strerror(-r));
		for (int i = 0;; i++) {
			r = unixsock_listen(parts->socket_path, 0600, &parts->listener, err);
			if (r != -EADDRINUSE || i == ENDING_TRIES)
				break;
			pause_briefly();
		}
		if (r < 0)
			return r;
	}
	if (lstat(parts->socket_path, &parts->socket_stat) < 0)
		return error_set(err, -errno, "%s is not there: %s", parts->socket_path,
				 strerror(errno));
	return 0;
}

int warren_wg_parts_open(struct warren_wg_parts *parts, const char *name, struct error *err)
{
	int r = open_tun(parts, name, err);

	return r < 0 ? r : open_socket(parts, err);
}

void warren_wg_parts_close(struct warren_wg_parts *parts)
{
	for (size_t i = 0; i < WARREN_WG_PARTS_SHARDS; i++)
		file_close(&parts->tuns[i]);
	file_close(&parts->map4);
	file_close(&parts->map6);
	file_close(&parts->program);
	file_close(&parts->listener);
}

bool warren_wg_parts_socket_is_ours(const struct warren_wg_parts *parts)
{
	struct stat st;

	return parts->socket_stat.st_ino && lstat(parts->socket_path, &st) == 0 &&
	       st.st_dev == parts->socket_stat.st_dev && st.st_ino == parts->socket_stat.st_ino;
}
