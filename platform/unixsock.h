/* SPDX-License-Identifier: Apache-2.0
 *
 * Unix sockets: listeners whose path is ours alone, peer credentials, and packets with descriptors
 * (SOCK_SEQPACKET + SCM_RIGHTS), which join the processes of one program.
 */
#ifndef WARREN_PLATFORM_UNIXSOCK_H
#define WARREN_PLATFORM_UNIXSOCK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/error.h"

#define UNIXSOCK_MAX_FDS 8

struct unixsock_cred {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* Binds a stream listener at path with mode. A socket that somebody answers on is -EADDRINUSE with a
 * sentence; a stale one is replaced. Close-on-exec, non-blocking. */
int unixsock_listen(const char *path, mode_t mode, int *ret_fd, struct error *err) WARREN_MUST_USE;
int unixsock_connect(const char *path, int *ret_fd, struct error *err) WARREN_MUST_USE;
int unixsock_peer_cred(int fd, struct unixsock_cred *ret_cred) WARREN_MUST_USE;
/* Is uid/gid (with supplementary groups of the user) a member of group `name`? 1 or 0 (also when
 * there is no such group), or -errno. Only 1 is a yes. */
int unixsock_cred_in_group(const struct unixsock_cred *cred, const char *name) WARREN_MUST_USE;

#define UNIXSOCK_PACKET_MAX 147456 /* bytes that fit into one packet of a pair */
/* A pair of SOCK_SEQPACKET sockets, close-on-exec, blocking. */
int unixsock_pair(int ret_fds[static 2]) WARREN_MUST_USE;
/* Packets of that length fit also where net.core.wmem_default is small (with net.core.wmem_max too,
 * only as root). unixsock_pair has done it. */
int unixsock_make_room(int fd) WARREN_MUST_USE;
/* One packet with up to UNIXSOCK_MAX_FDS descriptors (borrowed). -EAGAIN, -EPIPE, … */
int unixsock_send(int fd, const void *data, size_t len, const int *fds, size_t nfds) WARREN_MUST_USE;
/* Receives one packet into data[cap]: its length, 0 at end of file, or -errno. A truncated packet or
 * too many descriptors is -EMSGSIZE (all received descriptors closed). fds[UNIXSOCK_MAX_FDS] and
 * *ret_nfds are filled; descriptors are close-on-exec and the caller's. fds may be NULL: any
 * descriptor that comes is then closed and -EBADMSG returned. flags: 0 or MSG_DONTWAIT. */
ssize_t unixsock_recv(int fd, void *data, size_t cap, int *fds, size_t *ret_nfds, int flags)
	WARREN_MUST_USE;

#endif
