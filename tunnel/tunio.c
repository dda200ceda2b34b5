/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads what a TUN has into one arena, packet behind packet, and hands the batch to tx.c; writes
 * super-packets with one writev.
 */
#include "tunnel/tunio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tunnel/loop.h"
#include "tunnel/segment.h"
#include "tunnel/shards.h"

#define ALIGN	 64
#define READ_MAX (UINT16_MAX + 64) /* IPv6's length does not count its header */

struct port {
	struct tunio *io;
	enum tunnel_port number;
	int fd;
	struct tun_caps caps;
};

struct tunio {
	struct tunnel *device;
	struct port ports[2];
	bool watching_input;
	struct superpacket packets[DEVICE_TX_READS];
	uint8_t *scratch; /* for software segmentation; made with the first TUN that needs it */
};

int tunio_new(struct tunnel *t, struct tunio **ret_tunio)
{
	struct tunio *io = calloc(1, sizeof(*io));

	if (!io)
		return -ENOMEM;
	io->device = t;
	io->watching_input = true;
	for (int i = 0; i < 2; i++)
		io->ports[i] = (struct port){.io = io, .number = (enum tunnel_port)i, .fd = -1};
	*ret_tunio = io;
	return 0;
}

static void port_close(struct port *port)
{
	if (port->fd < 0)
		return;
	loop_unwatch(port->io->device->loop, port->fd);
	close(port->fd);
	port->fd = -1;
}

void tunio_free(struct tunio *io)
{
	if (!io)
		return;
	port_close(&io->ports[0]);
	port_close(&io->ports[1]);
	free(io->scratch);
	free(io);
}

/* Reads one packet to arena + at. 1: *ret is it; 0: not one; -errno. *ret_end: where it ends. */
static int read_packet(const struct port *port, uint8_t *arena, size_t at, struct superpacket *ret,
		       size_t *ret_end)
{
	size_t head = port->caps.vnet_hdr ? SEGMENT_VNET_BYTES : 0;
	uint8_t *start = arena + at + ALIGN - head;
	ssize_t n = read(port->fd, start, READ_MAX + head);

	if (n < 0)
		return -errno;
	if ((size_t)n <= head)
		return 0;
	*ret_end = at + ALIGN + (size_t)n - head;
	if (port->caps.vnet_hdr) {
		if (!segment_from_vnet(start, start + head, (uint32_t)((size_t)n - head), ret))
			return 0;
	} else {
		*ret = (struct superpacket){.data = start, .len = (uint32_t)n, .count = 1};
	}
	ret->port = port->number;
	return 1;
}

static void closed(struct port *port)
{
	port_close(port);
	if (port->number == TUNNEL_PORT_MAIN)
		shards_closed(port->io->device);
}

static void port_ready(void *ctx, int fd, uint32_t events)
{
	struct port *port = ctx;
	struct tunio *io = port->io;
	struct tunnel *t = io->device;
	size_t count = 0;
	size_t at = 0;
	int r = 1;

	(void)fd;
	(void)events;
	while (count < DEVICE_TX_READS && at + ALIGN + READ_MAX <= DEVICE_TX_ARENA) {
		size_t end = at;

		r = read_packet(port, t->tx.arena, at, &io->packets[count], &end);
		if (r == -EINTR)
			continue;
		if (r < 0)
			break;
		if (r == 0) {
			DEVICE_COUNT(t->drops[DROP_TX_BAD_INNER], 1);
			continue;
		}
		count++;
		at = (end + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	}
	if (count)
		tx_packets(t, io->packets, count, device_now(t));
	if (r < 0 && r != -EAGAIN && r != -EINTR && r != -EIO)
		closed(port);
}

int tunio_attach(struct tunio *io, enum tunnel_port number, int fd, const struct tun_caps *caps)
{
	struct port *port = &io->ports[number];
	struct tun_caps none = {0};

	if (fd == port->fd && fd >= 0)
		return -EEXIST;
	if (!caps)
		caps = &none;
	if (fd >= 0) {
		int r;

		if (!io->scratch)
			io->scratch = malloc((size_t)2 * DEVICE_PACKET_MAX);
		if (!io->scratch)
			return -ENOMEM;
		r = loop_watch(io->device->loop, fd, io->watching_input ? EPOLLIN : 0, port_ready,
			       port);
		if (r < 0)
			return r;
	}
	port_close(port);
	port->fd = fd;
	port->caps = *caps;
	if (number == TUNNEL_PORT_MAIN)
		rx_set_offloads(io->device, caps->vnet_hdr && caps->tso,
				caps->vnet_hdr && caps->uso);
	return 0;
}

void tunio_release(struct tunio *io, enum tunnel_port number)
{
	loop_unwatch(io->device->loop, io->ports[number].fd);
	io->ports[number].fd = -1;
}

int tunio_watch_input(struct tunio *io, bool on)
{
	int r = 0;

	if (io->watching_input == on)
		return 0;
	io->watching_input = on;
	for (int i = 0; i < 2 && r == 0; i++)
		if (io->ports[i].fd >= 0)
			r = loop_change(io->device->loop, io->ports[i].fd, on ? EPOLLIN : 0);
	return r;
}

static bool takes(const struct port *port, const struct superpacket *p)
{
	if (!port->caps.vnet_hdr)
		return p->count == 1 && !p->needs_csum;
	if (p->count == 1)
		return true;
	return p->gso_type == SEGMENT_GSO_UDP_L4 ? port->caps.uso : port->caps.tso;
}

/* The second TUN may be able to do less than the first, for which packets were coalesced. */
static bool deliver_segments(struct tunio *io, const struct port *port, const struct superpacket *p,
			     const struct iovec *iov, int count)
{
	static const uint8_t plain_vnet[SEGMENT_VNET_BYTES];
	struct superpacket whole = *p;
	struct segment_plan plan;
	uint8_t *out = io->scratch + DEVICE_PACKET_MAX;
	size_t at = 0;
	bool ok = true;

	for (int i = 1; i < count; i++) {
		if (at + iov[i].iov_len > DEVICE_PACKET_MAX)
			return false;
		memcpy(io->scratch + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	whole.data = io->scratch;
	whole.head_len = 0;
	if (!segment_plan(&whole, &plan))
		return false;
	for (uint16_t i = 0; i < whole.count; i++) {
		struct iovec one[2] = {
			{.iov_base = (void *)(uintptr_t)plain_vnet, .iov_len = SEGMENT_VNET_BYTES},
			{.iov_base = out, .iov_len = segment_len(&whole, &plan, i)}};
		bool vnet = port->caps.vnet_hdr;

		segment_write(&whole, &plan, i, out);
		if (writev(port->fd, vnet ? one : one + 1, vnet ? 2 : 1) < 0)
			ok = false;
	}
	return ok;
}

bool tunio_deliver(void *tunio, enum tunnel_port number, const struct superpacket *p,
		   const struct iovec *iov, int count)
{
	struct tunio *io = tunio;
	const struct port *port = &io->ports[number == TUNNEL_PORT_SSH ? 1 : 0];

	if (port->fd < 0)
		return false;
	if (!takes(port, p))
		return deliver_segments(io, port, p, iov, count);
	if (port->caps.vnet_hdr)
		return writev(port->fd, iov, count) >= 0;
	return writev(port->fd, iov + 1, count - 1) >= 0;
}
