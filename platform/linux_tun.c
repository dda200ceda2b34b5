/* SPDX-License-Identifier: Apache-2.0
 *
 * TUN on Linux (Documentation/networking/tuntap.rst): layer 3, no packet information, a virtio_net
 * header of 10 bytes, and the largest set of offloads that the kernel takes.
 */
#include "platform/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/file.h"

/* Linux 6.2; headers of Debian 12 are older than kernels it runs on. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20U
#endif
#ifndef TUN_F_USO6
#define TUN_F_USO6 0x40U
#endif

enum { VNET_HDR_BYTES = 10 };

/* Sets the header size and the best offloads; a refused set is tried again without its newest part.
 */
static int probe_offloads(int fd, struct tun_caps *ret_caps)
{
	static const struct {
		unsigned flags;
		bool tso, uso;
	} sets[] = {
		{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6, true, true},
		{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, true, false},
		{TUN_F_CSUM, false, false},
		{0, false, false},
	};
	int header = VNET_HDR_BYTES;

	*ret_caps = (struct tun_caps){.vnet_hdr = true};
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)sets[i].flags) == 0) {
			ret_caps->tso = sets[i].tso;
			ret_caps->uso = sets[i].uso;
			return 0;
		}
		if (errno != EINVAL)
			return -errno;
	}
	return 0; /* a kernel that takes no set has none on */
}

static bool name_valid(const char *name)
{
	return strlen(name) < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       !strpbrk(name, "/ \t\n:");
}

static int open_device(struct error *err)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return error_set(err, -errno,
				 "/dev/net/tun is missing: load the tun module (modprobe tun) or "
				 "give the container the device");
	case EACCES:
	case EPERM:
		return error_set(err, -EPERM,
				 "no permission to open /dev/net/tun: run as root, or allow the "
				 "container the device");
	default:
		return error_set(err, -errno, "cannot open /dev/net/tun: %s", strerror(errno));
	}
}

static int explain_refusal(const char *name, int code, struct error *err)
{
	if (code == EPERM)
		return error_set(err, -EPERM,
				 "no permission to make the network interface %s: run as root, or "
				 "give the program CAP_NET_ADMIN",
				 name);
	/* EINVAL: an interface of another kind, or a TUN made with other flags. */
	if (code == EBUSY || (code == EINVAL && if_nametoindex(name) > 0))
		return error_set(err, -EBUSY,
				 "the network interface %s is taken by another program: stop it or "
				 "choose another name",
				 name);
	return error_set(err, -code, "cannot make the network interface %s: %s", name,
			 strerror(code));
}

static int open_queue(const char *name, int flags, char ret_name[static IFNAMSIZ], int *ret_fd,
		      struct tun_caps *ret_caps, struct error *err)
{
	struct ifreq request = {0};
	int fd, rc;

	if (!name_valid(name))
		return error_set(
			err, -EINVAL,
			"\"%.64s\" is no name for a network interface: use 1 to %d letters "
			"and digits",
			name, IFNAMSIZ - 1);
	fd = open_device(err);
	if (fd < 0)
		return fd;
	request.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | flags);
	memcpy(request.ifr_name, name, strlen(name));
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		rc = explain_refusal(name, errno, err);
		file_close(&fd);
		return rc;
	}
	rc = probe_offloads(fd, ret_caps);
	if (rc < 0) {
		error_set(err, rc, "cannot set the offloads of %.15s: %s", request.ifr_name,
			  strerror(-rc));
		file_close(&fd);
		return rc;
	}
	memcpy(ret_name, request.ifr_name, IFNAMSIZ);
	ret_name[IFNAMSIZ - 1] = '\0';
	*ret_fd = fd;
	return 0;
}

int tun_open(const char *name, bool multi_queue, char ret_name[static IFNAMSIZ], int *ret_fd,
	     struct tun_caps *ret_caps, struct error *err)
{
	/* Or the kernel would have us share another program's. */
	return open_queue(name, multi_queue ? IFF_MULTI_QUEUE | IFF_TUN_EXCL : 0, ret_name, ret_fd,
			  ret_caps, err);
}

int tun_open_queues(const char *name, size_t count, int *fds, struct error *err)
{
	int rc = 0;

	for (size_t i = 1; i < count; i++)
		fds[i] = -1;
	for (size_t i = 1; i < count && rc == 0; i++) {
		char same[IFNAMSIZ];
		struct tun_caps caps;

		rc = open_queue(name, IFF_MULTI_QUEUE, same, &fds[i], &caps, err);
	}
	for (size_t i = 1; i < count && rc < 0; i++)
		file_close(&fds[i]);
	return rc;
}

bool tun_is(const char *name)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (char *)&info};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

	if (fd < 0 || strlen(name) >= IFNAMSIZ) {
		file_close(&fd);
		return false;
	}
	memcpy(request.ifr_name, name, strlen(name));
	rc = ioctl(fd, SIOCETHTOOL, &request);
	file_close(&fd);
	return rc == 0 && strcmp(info.driver, "tun") == 0;
}

int tun_adopt(int fd, char ret_name[static IFNAMSIZ], struct tun_caps *ret_caps)
{
	struct ifreq request = {0};
	int rc;

	if (ioctl(fd, TUNGETIFF, &request) < 0)
		return -errno;
	if (!(request.ifr_flags & IFF_TUN) || !(request.ifr_flags & IFF_NO_PI))
		return -EINVAL;
	*ret_caps = (struct tun_caps){0};
	rc = request.ifr_flags & IFF_VNET_HDR ? probe_offloads(fd, ret_caps) : 0;
	if (rc == 0)
		rc = file_set_nonblock(fd, true);
	if (rc < 0)
		return rc;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	memcpy(ret_name, request.ifr_name, IFNAMSIZ);
	ret_name[IFNAMSIZ - 1] = '\0';
	return 0;
}
