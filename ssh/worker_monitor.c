/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests to the monitor and its answers and events (ssh/PROTOCOL.md section 4).
 */
#include "ssh/worker_monitor.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"

void worker_monitor_init(struct worker_monitor *m, int fd)
{
	/* Not memset: 288 KiB of buffers would become resident for nothing. */
	m->fd = fd;
	m->last_id = 0;
	m->first = m->last = NULL;
	m->waiting = 0;
	m->request = writer_init(m->out, 0);
}

void worker_monitor_done(struct worker_monitor *m)
{
	while (m->first) {
		struct worker_packet *next = m->first->next;

		worker_packet_free(m->first);
		m->first = next;
	}
	m->last = NULL;
	m->waiting = 0;
	file_close(&m->fd);
}

void worker_packet_free(struct worker_packet *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nfds; i++)
		file_close(&p->fds[i]);
	free(p);
}

int worker_packet_take_fd(struct worker_packet *p, size_t n)
{
	int fd;

	if (n >= p->nfds)
		return -1;
	fd = p->fds[n];
	p->fds[n] = -1;
	return fd;
}

struct writer *worker_monitor_begin(struct worker_monitor *m, enum monitor_wire_request type)
{
	m->request = writer_init(m->out, sizeof(m->out));
	if (++m->last_id == 0)
		m->last_id = 1;
	writer_u8(&m->request, (uint8_t)type);
	writer_u32(&m->request, m->last_id);
	return &m->request;
}

int worker_monitor_post(struct worker_monitor *m, uint32_t *ret_id)
{
	int rc;

	if (m->request.failed)
		return -EMSGSIZE;
	do
		rc = unixsock_send(m->fd, m->out, m->request.len, NULL, 0);
	while (rc == -EINTR);
	if (rc == 0 && ret_id)
		*ret_id = m->last_id;
	return rc;
}

/* One packet; *ret_packet is NULL when flags say not to wait and there is none. */
static int receive(struct worker_monitor *m, int flags, struct worker_packet **ret_packet)
{
	struct worker_packet *p;
	int fds[UNIXSOCK_MAX_FDS];
	size_t nfds = 0;
	ssize_t n;

	*ret_packet = NULL;
	do
		n = unixsock_recv(m->fd, m->in, sizeof(m->in), fds, &nfds, flags);
	while (n == -EINTR);
	if (n == -EAGAIN && flags)
		return 0;
	if (n <= 0)
		return n == 0 ? -EPIPE : (int)n;
	p = calloc(1, sizeof(*p) + (size_t)n);
	if (!p) {
		for (size_t i = 0; i < nfds; i++)
			close(fds[i]);
		return -ENOMEM;
	}
	p->len = (size_t)n;
	p->nfds = nfds;
	memcpy(p->fds, fds, nfds * sizeof(fds[0]));
	memcpy(p->data, m->in, p->len);
	p->fields = reader_init(p->data, p->len);
	p->type = reader_u8(&p->fields);
	p->id = reader_u32(&p->fields);
	if (p->fields.failed) {
		worker_packet_free(p);
		return -EBADMSG;
	}
	*ret_packet = p;
	return 0;
}

static int queue(struct worker_monitor *m, struct worker_packet *p)
{
	if (m->waiting >= WORKER_MONITOR_EVENTS) {
		worker_packet_free(p);
		return -EOVERFLOW;
	}
	if (m->last)
		m->last->next = p;
	else
		m->first = p;
	m->last = p;
	m->waiting++;
	return 0;
}

int worker_monitor_call(struct worker_monitor *m, struct worker_packet **ret_answer)
{
	struct worker_packet *p;
	uint32_t id;
	int rc = worker_monitor_post(m, &id);

	while (rc == 0) {
		rc = receive(m, 0, &p);
		if (rc < 0)
			break;
		if (p->id == id && p->type == m->out[0]) {
			*ret_answer = p;
			return 0;
		}
		rc = queue(m, p);
	}
	return rc;
}

int worker_monitor_wait(struct worker_monitor *m, enum monitor_wire_request type, uint32_t first,
			int timeout_ms, struct worker_packet **ret_packet)
{
	uint64_t end_ns = clock_monotonic_ns(&clock_system) + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	struct pollfd readable = {.fd = m->fd, .events = POLLIN};
	struct worker_packet *p;
	int rc = 0;

	*ret_packet = NULL;
	while (rc == 0) {
		uint64_t now_ns = clock_monotonic_ns(&clock_system);
		struct reader fields;

		if (now_ns >= end_ns ||
		    poll(&readable, 1,
			 (int)((end_ns - now_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC)) == 0)
			break;
		rc = receive(m, MSG_DONTWAIT, &p);
		if (rc < 0 || !p)
			continue;
		fields = p->fields;
		if (p->type == type && reader_u32(&fields) == first && !fields.failed) {
			*ret_packet = p;
			break;
		}
		rc = queue(m, p);
	}
	return rc;
}

int worker_monitor_next(struct worker_monitor *m, struct worker_packet **ret_packet)
{
	if (!m->first)
		return receive(m, MSG_DONTWAIT, ret_packet);
	*ret_packet = m->first;
	m->first = m->first->next;
	if (!m->first)
		m->last = NULL;
	(*ret_packet)->next = NULL;
	m->waiting--;
	return 0;
}
