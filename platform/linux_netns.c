/* SPDX-License-Identifier: Apache-2.0
 *
 * Network namespaces on Linux (network_namespaces(7)). A new one is made by a short-lived thread,
 * so that the caller never leaves its own.
 */
#include "platform/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/file.h"

struct creation {
	int fd;
	int rc;
};

static int loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = 0;

	if (fd < 0)
		return -errno;
	request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		rc = -errno;
	file_close(&fd);
	return rc;
}

int netns_current(int *ret_fd)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static void *create(void *ctx)
{
	struct creation *c = ctx;

	c->rc = unshare(CLONE_NEWNET) < 0 ? -errno : 0;
	if (c->rc == 0)
		c->rc = loopback_up();
	if (c->rc == 0)
		c->rc = netns_current(&c->fd);
	return NULL;
}

int netns_create(int *ret_fd, struct error *err)
{
	struct creation c = {.fd = -1};
	pthread_t thread;
	int rc;

	rc = pthread_create(&thread, NULL, create, &c);
	if (rc != 0)
		return error_set(err, -rc, "cannot start a thread: %s", strerror(rc));
	rc = pthread_join(thread, NULL);
	if (rc != 0)
		abort(); /* c lives on this stack */
	if (c.rc == -EPERM)
		return error_set(
			err, c.rc,
			"no permission to make a network namespace: run as root, or give the "
			"container CAP_SYS_ADMIN");
	if (c.rc < 0)
		return error_set(err, c.rc, "cannot make a network namespace: %s", strerror(-c.rc));
	*ret_fd = c.fd;
	return 0;
}

int netns_run(int ns_fd, int (*fn)(void *ctx), void *ctx)
{
	int home = -1, rc;

	rc = netns_current(&home);
	if (rc < 0)
		return rc;
	if (setns(ns_fd, CLONE_NEWNET) < 0) {
		rc = -errno;
		file_close(&home);
		return rc;
	}
	rc = fn(ctx);
	if (setns(home, CLONE_NEWNET) < 0) {
		perror("cannot leave the network namespace");
		abort();
	}
	file_close(&home);
	return rc;
}
