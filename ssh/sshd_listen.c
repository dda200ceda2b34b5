/* SPDX-License-Identifier: Apache-2.0
 *
 * Sockets of warren-sshd: ListenAddress and Port, or handed over by a service manager
 * (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES; no library needed).
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "ssh/sshd_internal.h"

#define FIRST_HANDED_FD 3
#define BACKLOG		128

static int open_one(const struct endpoint *ep, bool free_bind, int *ret_fd, struct error *err)
{
	char text[ENDPOINT_STRLEN];
	const int on = 1;
	int fd, rc = 0;

	fd = socket(ep->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (ep->sa.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    (free_bind && setsockopt(fd, SOL_IP, IP_FREEBIND, &on, sizeof(on)) < 0) ||
	    bind(fd, &ep->sa, endpoint_len(ep)) < 0 || listen(fd, BACKLOG) < 0)
		rc = -errno;
	if (rc < 0) {
		file_close(&fd);
		return error_set(err, rc, "cannot listen on %s: %s%s", endpoint_format(ep, text),
				 strerror(-rc),
				 rc == -EACCES ? " (ports below 1024 are for root: say -p 2222)"
					       : "");
	}
	log_info("listening", "on=%s", endpoint_format(ep, text));
	*ret_fd = fd;
	return 0;
}

/* As sshd: what cannot be bound is told, and one address is enough. */
int sshd_listen_open(const struct sshd_options *o, struct sshd_listeners *l, struct error *err)
{
	struct endpoint at[SSHD_LISTEN_MAX];
	struct error one = {0};
	size_t count = 0;
	int rc = sshd_config_listen(o, at, &count, err);

	l->count = 0;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (open_one(&at[i], o->free_bind, &l->fds[l->count], &one) == 0)
			l->at[l->count++] = at[i];
		else
			log_error(error_text(&one), NULL);
	}
	if (rc == 0 && l->count == 0)
		rc = error_set(err, one.code != 0 ? one.code : -EADDRNOTAVAIL, "%s",
			       error_text(&one));
	return rc;
}

void sshd_listen_close(struct sshd_listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		file_close(&l->fds[i]);
	l->count = 0;
}

static int find(const struct sshd_listeners *l, const struct endpoint *ep)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->fds[i] >= 0 && endpoint_equal(&l->at[i], ep))
			return (int)i;
	return -1;
}

/* Opens what of at[] is not in l yet; true when all of it is there. */
static bool open_missing(const struct sshd_options *o, const struct endpoint *at, size_t count,
			 struct sshd_listeners *l, struct error *err)
{
	bool all = true;

	for (size_t i = 0; i < count; i++) {
		if (find(l, &at[i]) >= 0)
			continue;
		if (l->count < SSHD_LISTEN_MAX &&
		    open_one(&at[i], o->free_bind, &l->fds[l->count], err) == 0)
			l->at[l->count++] = at[i];
		else
			all = false;
	}
	return all;
}

int sshd_listen_change(const struct sshd_options *o, struct sshd_listeners *l, struct error *err)
{
	struct endpoint at[SSHD_LISTEN_MAX];
	struct sshd_listeners old = *l, next = {0};
	struct error one = {0};
	size_t count = 0;
	int rc = sshd_config_listen(o, at, &count, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		int kept = find(&old, &at[i]);
		if (kept < 0)
			continue;
		next.at[next.count] = at[i];
		next.fds[next.count++] = old.fds[kept];
		old.fds[kept] = -1;
	}
	if (!open_missing(o, at, count, &next, &one) && one.code == -EADDRINUSE) {
		/* One that is no longer wanted may be in the way (127.0.0.1 of 0.0.0.0). */
		sshd_listen_close(&old);
		if (!open_missing(o, at, count, &next, &one))
			log_error(error_text(&one), NULL);
		if (next.count == 0 && !open_missing(o, l->at, l->count, &next, &one))
			log_error(error_text(&one), NULL);
		*l = next;
	} else if (next.count > 0) {
		sshd_listen_close(&old);
		*l = next;
	}
	for (size_t i = 0; i < count; i++)
		if (find(l, &at[i]) >= 0)
			return 0;
	return error_set(err, -EADDRNOTAVAIL, "%s", error_text(&one));
}

static bool listening(int fd)
{
	int on = 0, type = 0;
	socklen_t len = sizeof(on), type_len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on != 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 && type == SOCK_STREAM;
}

/* Names that the units of this server and of people's own give to its sockets. */
static bool ours(const char *name, size_t len)
{
	static const char *const names[] = {"warren-sshd", "warren-sshd.socket", "ssh", "sshd",
					    "ssh.socket",  "sshd.socket",	 "unknown"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return true;
	return false;
}

static int take(struct sshd_listeners *l, int fd, struct error *err)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char text[ENDPOINT_STRLEN];

	if (l->count == SSHD_LISTEN_MAX)
		return error_set(err, -E2BIG, "more than %d sockets were handed over",
				 SSHD_LISTEN_MAX);
	if (!listening(fd))
		return error_set(err, -ENOTSOCK,
				 "descriptor %d, which was handed over, is no listening socket "
				 "(Accept=yes needs warren-sshd -i)",
				 fd);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || file_set_nonblock(fd, true) < 0 ||
	    getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return error_set(err, -errno, "a handed socket cannot be used: %s",
				 strerror(errno));
	endpoint_from_sockaddr((struct sockaddr *)&ss, len, &l->at[l->count]);
	l->fds[l->count] = fd;
	log_info("listening", "on=%s handed=%d", endpoint_format(&l->at[l->count], text), fd);
	l->count++;
	return 0;
}

int sshd_listen_handed(struct sshd_listeners *l, struct error *err)
{
	const char *pid = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	char *end;
	unsigned long count;
	int rc = 0;

	l->count = 0;
	if (pid == NULL || number == NULL || strtol(pid, &end, 10) != getpid() || *end != '\0')
		return 0;
	count = strtoul(number, &end, 10);
	if (*end != '\0' || count > 1024)
		return error_set(err, -EINVAL, "LISTEN_FDS=%s is no number", number);
	for (unsigned long i = 0; rc == 0 && i < count; i++) {
		size_t len = names != NULL ? strcspn(names, ":") : 0;

		if (names == NULL || ours(names, len))
			rc = take(l, FIRST_HANDED_FD + (int)i, err);
		else
			log_warn("a handed socket has another name and is left alone",
				 "name=%.*s", (int)len, names);
		if (names != NULL)
			names += len + (names[len] == ':');
	}
	if (rc == 0 && count > 0 && l->count == 0)
		rc = error_set(err, -ENOENT,
			       "none of the sockets that were handed over is named warren-sshd "
			       "(FileDescriptorName=)");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return rc;
}
