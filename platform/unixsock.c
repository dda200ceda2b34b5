/* SPDX-License-Identifier: Apache-2.0
 *
 * Unix sockets (unix(7)): a listener never steals a path that somebody answers on, a packet is
 * received whole with all its descriptors or not at all.
 */
#include "platform/unixsock.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/file.h"

enum {
	LISTEN_BACKLOG = 128,
	ACCOUNT_BYTES = 65536, /* the largest group or passwd entry read */
	MAX_GROUPS = 1024,
};

static int fill_address(const char *path, struct sockaddr_un *ret_addr, struct error *err)
{
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(ret_addr->sun_path))
		return error_set(err, len == 0 ? -EINVAL : -ENAMETOOLONG,
				 "the socket path \"%.120s\" must have 1 to %zu bytes: choose a "
				 "shorter one",
				 path, sizeof(ret_addr->sun_path) - 1);
	*ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret_addr->sun_path, path, len + 1);
	return 0;
}

static int connect_to(const struct sockaddr_un *addr, int flags, int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	int rc;

	if (fd < 0)
		return -errno;
	do
		rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
	while (rc == -EINTR);
	if (rc < 0) {
		file_close(&fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/* Removes a socket that nobody answers on; 0 when the path is free afterwards. */
static int remove_stale(const struct sockaddr_un *addr, struct error *err)
{
	const char *path = addr->sun_path;
	struct stat st;
	int fd = -1, rc;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0
				       : error_set(err, -errno, "cannot look at %s: %s", path,
						   strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, -EEXIST,
				 "%s exists and is not a socket: remove it or choose another path",
				 path);
	rc = connect_to(addr, SOCK_NONBLOCK, &fd);
	file_close(&fd);
	if (rc == -ENOENT)
		return 0;
	if (rc == -ECONNREFUSED) {
		if (unlink(path) < 0 && errno != ENOENT)
			return error_set(err, -errno, "cannot remove the stale socket %s: %s", path,
					 strerror(errno));
		return 0;
	}
	if (rc == 0 || rc == -EAGAIN || rc == -EPROTOTYPE)
		return error_set(err, -EADDRINUSE,
				 "another program already listens on %s: stop it or choose another "
				 "path",
				 path);
	return error_set(err, rc, "cannot tell who uses the socket %s: %s", path, strerror(-rc));
}

int unixsock_listen(const char *path, mode_t mode, int *ret_fd, struct error *err)
{
	struct sockaddr_un addr;
	int fd, rc;

	rc = fill_address(path, &addr, err);
	if (rc == 0)
		rc = remove_stale(&addr, err);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	/* Linux creates the name with the mode of the socket's own inode (less the umask), so that
	 * it is at no moment wider than asked; the chmod undoes the umask. */
	if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		rc = errno == EADDRINUSE ? error_set(err, -EADDRINUSE,
						     "another program took the socket %s", path)
					 : error_set(err, -errno, "cannot make the socket %s: %s",
						     path, strerror(errno));
		file_close(&fd);
		return rc;
	}
	if (chmod(path, mode) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
		rc = error_set(err, -errno, "cannot listen on %s: %s", path, strerror(errno));
		unlink(path);
		file_close(&fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int unixsock_connect(const char *path, int *ret_fd, struct error *err)
{
	struct sockaddr_un addr;
	int rc;

	rc = fill_address(path, &addr, err);
	if (rc < 0)
		return rc;
	rc = connect_to(&addr, 0, ret_fd);
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		return error_set(err, rc, "nobody answers on %s: is the daemon running?", path);
	if (rc == -EACCES || rc == -EPERM)
		return error_set(err, rc, "no permission to use %s", path);
	if (rc < 0)
		return error_set(err, rc, "cannot connect to %s: %s", path, strerror(-rc));
	return 0;
}

int unixsock_peer_cred(int fd, struct unixsock_cred *ret_cred)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	if (len != sizeof(cred) || cred.uid == (uid_t)-1)
		return -ENOTCONN;
	*ret_cred = (struct unixsock_cred){cred.pid, cred.uid, cred.gid};
	return 0;
}

/* 1, 0 or -errno. scratch[ACCOUNT_BYTES] */
static int listed_in_group(uid_t uid, gid_t wanted, char *scratch)
{
	struct passwd pw, *found = NULL;
	int count = MAX_GROUPS, rc, result = 0;
	gid_t *groups;

	rc = getpwuid_r(uid, &pw, scratch, ACCOUNT_BYTES, &found);
	if (!found)
		return rc == 0 || rc == ENOENT || rc == ESRCH ? 0 : -rc;
	groups = calloc(MAX_GROUPS, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	if (getgrouplist(pw.pw_name, pw.pw_gid, groups, &count) < 0)
		result = -EOVERFLOW;
	for (int i = 0; result == 0 && i < count; i++)
		if (groups[i] == wanted)
			result = 1;
	free(groups);
	return result;
}

int unixsock_cred_in_group(const struct unixsock_cred *cred, const char *name)
{
	struct group gr, *found = NULL;
	char *scratch = malloc(ACCOUNT_BYTES);
	gid_t wanted;
	int rc;

	if (!scratch)
		return -ENOMEM;
	rc = getgrnam_r(name, &gr, scratch, ACCOUNT_BYTES, &found);
	if (!found) {
		free(scratch);
		return rc == 0 || rc == ENOENT || rc == ESRCH ? 0 : -rc;
	}
	wanted = gr.gr_gid;
	rc = cred->gid == wanted ? 1 : listed_in_group(cred->uid, wanted, scratch);
	free(scratch);
	return rc;
}

int unixsock_make_room(int fd)
{
	int room = 0, want = UNIXSOCK_PACKET_MAX; /* the kernel counts it twice (socket(7)) */
	socklen_t len = sizeof(room);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0)
		return -errno;
	if (room >= UNIXSOCK_PACKET_MAX + 32 || /* unix_dgram_sendmsg keeps 32 */
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof(want)) == 0)
		return 0;
	return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want)) < 0 ? -errno : 0;
}

int unixsock_pair(int ret_fds[static 2])
{
	int fds[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	rc = unixsock_make_room(fds[0]);
	if (rc == 0)
		rc = unixsock_make_room(fds[1]);
	if (rc < 0) {
		file_close(&fds[0]);
		file_close(&fds[1]);
		return rc;
	}
	memcpy(ret_fds, fds, sizeof(fds));
	return 0;
}

int unixsock_send(int fd, const void *data, size_t len, const int *fds, size_t nfds)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * UNIXSOCK_MAX_FDS)] = {0};
	union {
		const void *in;
		void *out;
	} unconst = {.in = data};
	struct iovec iov = {unconst.out, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	/* An empty packet could not be told from the end. */
	if (len == 0 || nfds > UNIXSOCK_MAX_FDS)
		return -EINVAL;
	if (nfds > 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cmsg = CMSG_FIRSTHDR(&msg);
		assert(cmsg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * nfds);
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Collects the received descriptors; more than fit can't come (the control buffer is that size). */
static size_t take_descriptors(struct msghdr *msg, int out[static UNIXSOCK_MAX_FDS])
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (count < UNIXSOCK_MAX_FDS)
				out[count++] = fd;
			else
				close(fd);
		}
	}
	return count;
}

ssize_t unixsock_recv(int fd, void *data, size_t cap, int *fds, size_t *ret_nfds, int flags)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * UNIXSOCK_MAX_FDS)];
	struct iovec iov = {data, cap};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	int got[UNIXSOCK_MAX_FDS];
	size_t ngot;
	ssize_t n;

	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	ngot = take_descriptors(&msg, got);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		n = -EMSGSIZE;
	else if (ngot > 0 && (!fds || !ret_nfds))
		n = -EBADMSG;
	if (n < 0) {
		for (size_t i = 0; i < ngot; i++)
			close(got[i]);
		return n;
	}
	if (fds && ret_nfds) {
		memcpy(fds, got, ngot * sizeof(int));
		*ret_nfds = ngot;
	}
	return n;
}
