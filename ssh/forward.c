/* SPDX-License-Identifier: Apache-2.0
 *
 * Forwards (RFC 4254 section 7) and agent sockets, all with the rights of the logged-in user: a
 * helper process becomes the user, resolves, connects or binds, and passes the descriptor back.
 * Policy and the machine's switches are asked before anything is started.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/addr.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "ssh/monitor.h"

void forward_init(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		m->listeners[i].fd = -1;
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		m->pending[i].fd = -1;
}

/* ------------------------------------------------------------------ direct-tcpip */

static void remember_destination(struct monitor *m, const char *host, uint16_t port)
{
	for (size_t i = 0; i < m->used_count; i++)
		if (m->used[i].port == port && strcmp(m->used[i].host, host) == 0)
			return;
	if (m->used_count == MONITOR_MAX_USED) {
		m->used_more = true;
		return;
	}
	m->used[m->used_count].port = port;
	snprintf(m->used[m->used_count++].host, sizeof(m->used[0].host), "%s", host);
}

/* Which connections are still open is only as sure as the worker's word: until all are said to be
 * closed every destination counts. */
bool forward_destinations_allowed(const struct monitor *m, const struct verifier_decision *d)
{
	if (m->direct_count == 0)
		return true;
	for (size_t i = 0; i < m->used_count; i++)
		if (!forward_allowed_by(d, m->used[i].host, m->used[i].port))
			return false;
	return !m->used_more || d->destination_count == 0;
}

uint32_t forward_caps_used(const struct monitor *m)
{
	uint32_t caps = m->direct_count > 0 ? POLICY_SSH_FORWARD : 0U;

	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		if (m->listeners[i].fd >= 0)
			caps |= m->listeners[i].agent ? POLICY_SSH_AGENT
						      : POLICY_SSH_REMOTE_FORWARD;
	return caps;
}

static int connected(struct monitor *m, uint32_t channel, int fd, const char *message)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, MONITOR_CONNECTED, 0);
	writer_u32(&w, channel);
	writer_u8(&w, fd >= 0 ? MONITOR_YES : MONITOR_NO);
	writer_cstring(&w, message);
	return monitor_reply(m, &w, &fd, fd >= 0 ? 1 : 0);
}

static int simple_reply(struct monitor *m, uint8_t type, uint32_t id, uint8_t result)
{
	uint8_t data[16];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, type, id);
	writer_u8(&w, result);
	return monitor_reply(m, &w, NULL, 0);
}

static struct pending_connect *free_pending(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		if (m->pending[i].fd < 0)
			return &m->pending[i];
	return NULL;
}

/* The worker numbers its channels and uses no number again. */
static bool channel_known(const struct monitor *m, uint32_t channel)
{
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		if (m->pending[i].fd >= 0 && m->pending[i].channel == channel)
			return true;
	for (size_t i = 0; i < m->direct_count; i++)
		if (m->direct[i].channel == channel)
			return true;
	return session_runs(m, channel);
}

int forward_connect(struct monitor *m, uint32_t id, struct reader *r)
{
	struct forward_task t = {.open = forward_helper_connect};
	struct pending_connect *p = free_pending(m);
	char originator[MONITOR_WIRE_HOST], what[300];
	struct ip_addr mesh;
	uint32_t channel, port;
	const char *why;
	int ret;

	channel = reader_u32(r);
	reader_cstring(r, t.host, sizeof(t.host));
	port = reader_u32(r);
	reader_cstring(r, originator, sizeof(originator));
	reader_u32(r);
	if (!reader_done(r))
		return -EBADMSG;
	snprintf(what, sizeof(what), "%s:%u", t.host, port);
	if (!forward_permit_take(m, MONITOR_FORWARD_CONNECT, t.host, port))
		return monitor_violation(m, "forward-denied", what);
	if (channel_known(m, channel))
		return monitor_violation(m, "channel-twice", what);
	why = forward_connect_forbidden(m, t.host, port); /* policy may have changed meanwhile */
	if (why == NULL && p == NULL)
		why = "too many connections are being opened at once";
	if (why == NULL && account_open_session(m, true) < 0)
		why = "PAM refuses a session on this machine";
	if (why != NULL) { /* at once, so that the client's open fails: -W must not end in 0 */
		monitor_audit_forward(m, what, why);
		return simple_reply(m, MONITOR_CONNECT, id, MONITOR_NO);
	}
	ret = simple_reply(m, MONITOR_CONNECT, id, MONITOR_PENDING);
	if (ret < 0)
		return ret;
	monitor_audit_forward(m, what, NULL);
	t.port = (uint16_t)port;
	memcpy(p->host, t.host, sizeof(p->host));
	/* Names of the mesh are known here and maybe nowhere else on this machine. */
	if (verifier_resolve(m->verifier, t.host, &mesh) == 0)
		ip_addr_format(&mesh, t.host);
	ret = forward_helper_start(m, &t, &p->fd, &p->pid);
	if (ret < 0) {
		p->fd = -1;
		return connected(m, channel, -1, strerror(-ret));
	}
	remember_destination(m, p->host, t.port);
	p->channel = channel;
	p->port = t.port;
	p->deadline_ns = monitor_now_ns() + FORWARD_CONNECT_LIMIT_S * NSEC_PER_SEC;
	return 0;
}

int forward_pending_ready(struct monitor *m, struct pending_connect *p, bool timed_out)
{
	char message[128];
	int fd = forward_helper_result(p->fd, NULL, 0, message);
	int r;

	if (timed_out && fd < 0 && p->pid > 0)
		kill(p->pid, SIGKILL);
	file_close(&p->fd);
	if (fd < 0) {
		char to[300];

		snprintf(to, sizeof(to), "%s:%u", p->host, p->port);
		monitor_audit_forward(m, to, message);
	} else if (m->direct_count < MONITOR_MAX_DIRECT) {
		struct direct_forward *d = &m->direct[m->direct_count++];

		d->channel = p->channel;
		d->port = p->port;
		d->began_ns = monitor_now_ns();
		memcpy(d->host, p->host, sizeof(d->host));
		monitor_state_changed(m);
	}
	r = connected(m, p->channel, fd, fd >= 0 ? "" : message);
	file_close(&fd);
	return r;
}

struct moved {
	uint64_t received, sent;
};

/* moved NULL: nobody says. */
static void audit_end(struct monitor *m, enum ssh_audit_key key, const char *place,
		      const char *from, uint64_t began_ns, const struct moved *moved)
{
	const struct ssh_audit_field fields[] = {
		{(uint8_t)key, place, 0},
		{SSH_AUDIT_FROM, from, 0},
		{SSH_AUDIT_DURATION_MS, NULL, (monitor_now_ns() - began_ns) / NSEC_PER_MSEC},
		{SSH_AUDIT_RECEIVED, NULL, moved != NULL ? moved->received : 0},
		{SSH_AUDIT_SENT, NULL, moved != NULL ? moved->sent : 0},
	};

	monitor_event(m, SSH_AUDIT_FORWARD_END, fields, moved != NULL ? 5 : 3);
}

static void direct_over(struct monitor *m, size_t i, const struct moved *moved)
{
	const struct direct_forward *d = &m->direct[i];
	char to[300];

	snprintf(to, sizeof(to), "%s:%u", d->host, d->port);
	audit_end(m, SSH_AUDIT_TO, to, "", d->began_ns, moved);
	m->direct[i] = m->direct[--m->direct_count];
	monitor_state_changed(m);
}

static void accepted_over(struct monitor *m, size_t i, const struct moved *moved)
{
	const struct accepted_forward *a = &m->accepted[i];

	audit_end(m, a->agent ? SSH_AUDIT_TO : SSH_AUDIT_ON, a->on, a->from, a->began_ns, moved);
	m->accepted[i] = m->accepted[--m->accepted_count];
}

/* The client no longer waits for it. */
static void forget_pending(struct monitor *m, uint32_t channel)
{
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++) {
		struct pending_connect *p = &m->pending[i];

		if (p->fd < 0 || p->channel != channel)
			continue;
		if (p->pid > 0)
			kill(p->pid, SIGKILL);
		file_close(&p->fd);
	}
}

void forward_closed(struct monitor *m, uint32_t channel, uint64_t received, uint64_t sent)
{
	const struct moved moved = {received, sent};

	forget_pending(m, channel);
	for (size_t i = 0; i < m->direct_count; i++)
		if (m->direct[i].channel == channel) {
			direct_over(m, i, &moved);
			break;
		}
	for (size_t i = 0; i < m->accepted_count; i++)
		if (m->accepted[i].channel == channel) {
			accepted_over(m, i, &moved);
			break;
		}
	if (m->direct_count == 0) {
		m->used_count = 0;
		m->used_more = false;
	}
}

void forward_audit_rest(struct monitor *m)
{
	while (m->direct_count > 0)
		direct_over(m, m->direct_count - 1, NULL);
	while (m->accepted_count > 0)
		accepted_over(m, m->accepted_count - 1, NULL);
}

void forward_reaped(struct monitor *m, pid_t pid)
{
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		if (m->pending[i].fd >= 0 && m->pending[i].pid == pid)
			m->pending[i].pid = -1;
}

/* ------------------------------------------------------------------ tcpip-forward */

static struct listener *free_listener(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		if (m->listeners[i].fd < 0)
			return &m->listeners[i];
	return NULL;
}

static int reply_listen(struct monitor *m, uint32_t id, uint8_t result, uint16_t port,
			const char *message)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, MONITOR_LISTEN, id);
	writer_u8(&w, result);
	writer_u32(&w, port);
	writer_cstring(&w, message);
	return monitor_reply(m, &w, NULL, 0);
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	struct endpoint ep;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return 0;
	endpoint_from_sockaddr((const struct sockaddr *)&ss, len, &ep);
	return endpoint_port(&ep);
}

/* GatewayPorts: one address, or IPv4 and IPv6 of loopback or of everything. 0: not an address. */
static size_t listen_addresses(const struct monitor *m, const char *address, struct ip_addr out[2])
{
	static const struct ip_addr loopback[] = {
		{.family = 4, .bytes = {127, 0, 0, 1}},
		{.family = 6, .bytes = {[15] = 1}},
	};
	int gateway = m->options->now.gateway_ports;
	bool all = address[0] == '\0' || strcmp(address, "*") == 0;

	if (gateway == SSHD_GATEWAY_NO ||
	    (gateway == SSHD_GATEWAY_CLIENT && strcmp(address, "localhost") == 0)) {
		memcpy(out, loopback, sizeof(loopback));
		return 2;
	}
	if (gateway == SSHD_GATEWAY_YES || all) {
		out[0] = (struct ip_addr){.family = 4};
		out[1] = (struct ip_addr){.family = 6};
		return 2;
	}
	return ip_addr_parse(address, &out[0]) == 0 ? 1 : 0;
}

/* IPv6 on the same port, where there is IPv6 and the port is free. */
static void listen_second(struct monitor *m, const struct listener *first,
			  const struct ip_addr *address)
{
	struct forward_task t = {
		.open = forward_helper_listen, .port = first->port, .listen = *address};
	struct listener *l = free_listener(m);
	char message[128];
	int fd = l != NULL ? forward_helper_run(m, &t, message) : -1;

	if (fd < 0)
		return;
	*l = *first;
	l->fd = fd;
	l->second = true;
}

int forward_listen(struct monitor *m, uint32_t id, struct reader *r)
{
	struct forward_task t = {.open = forward_helper_listen};
	struct listener *l = free_listener(m);
	char address[256], message[128] = "", what[300];
	struct ip_addr addresses[2];
	const char *why;
	uint32_t port;
	size_t count;
	int fd;

	reader_cstring(r, address, sizeof(address));
	port = reader_u32(r);
	if (!reader_done(r))
		return -EBADMSG;
	snprintf(what, sizeof(what), "%s:%u", address, port);
	if (!forward_permit_take(m, MONITOR_FORWARD_LISTEN, address, port))
		return monitor_violation(m, "forward-denied", what);
	why = forward_listen_forbidden(m, address, port);
	if (why == NULL && l == NULL)
		why = "too many remote forwards";
	count = listen_addresses(m, address, addresses);
	if (why == NULL && count == 0)
		why = "this is no address to listen on";
	if (why == NULL && account_open_session(m, true) < 0)
		why = "PAM refuses a session on this machine";
	if (why != NULL) {
		monitor_audit_listen(m, what, why);
		return reply_listen(m, id, MONITOR_NO, 0, why);
	}
	monitor_audit_listen(m, what, NULL);
	t.port = (uint16_t)port;
	t.listen = addresses[0];
	fd = forward_helper_run(m, &t, message);
	if (fd < 0)
		return reply_listen(m, id, MONITOR_NO, 0, message);
	*l = (struct listener){.fd = fd, .asked_port = (uint16_t)port, .port = bound_port(fd)};
	snprintf(l->address, sizeof(l->address), "%s", address);
	m->listener_count++;
	monitor_state_changed(m);
	if (count == 2)
		listen_second(m, l, &addresses[1]);
	return reply_listen(m, id, MONITOR_YES, l->port, "");
}

static void close_listener(struct monitor *m, struct listener *l)
{
	struct forward_task t = {.open = forward_helper_remove_agent};
	char message[128];

	if (l->fd < 0)
		return;
	file_close(&l->fd);
	if (l->agent) {
		snprintf(t.path, sizeof(t.path), "%s", l->path);
		if (forward_helper_run(m, &t, message) != -ECANCELED)
			log_debug("an agent's folder may stay", NULL);
	} else if (!l->second) {
		m->listener_count--;
	}
	l->agent = l->second = false;
	monitor_state_changed(m);
}

int forward_unlisten(struct monitor *m, uint32_t id, struct reader *r)
{
	char address[256];
	uint32_t port;
	uint16_t bound = 0; /* both sockets of the first that fits */

	reader_cstring(r, address, sizeof(address));
	port = reader_u32(r);
	if (!reader_done(r))
		return -EBADMSG;
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++) {
		struct listener *l = &m->listeners[i];

		if (l->fd < 0 || l->agent || strcmp(l->address, address) != 0 ||
		    (l->port != port && l->asked_port != port) || (bound != 0 && l->port != bound))
			continue;
		bound = l->port;
		close_listener(m, l);
	}
	return simple_reply(m, MONITOR_UNLISTEN, id, bound != 0 ? MONITOR_YES : MONITOR_NO);
}

/* Numbered by the monitor, since the worker knows the channel only afterwards. */
static struct accepted_forward *note_accepted(struct monitor *m, const struct listener *l,
					      const struct endpoint *from)
{
	struct accepted_forward *a = &m->accepted[m->accepted_count++];

	*a = (struct accepted_forward){
		.channel = MONITOR_WIRE_ACCEPTED | ++m->last_accepted,
		.agent = l->agent,
		.began_ns = monitor_now_ns(),
	};
	if (l->agent) {
		snprintf(a->on, sizeof(a->on), "agent");
	} else {
		snprintf(a->on, sizeof(a->on), "%s:%u", l->address, l->port);
		endpoint_format(from, a->from);
	}
	return a;
}

static void audit_accepted(struct monitor *m, const struct accepted_forward *a)
{
	const struct ssh_audit_field fields[] = {
		{a->agent ? SSH_AUDIT_TO : SSH_AUDIT_ON, a->on, 0},
		{SSH_AUDIT_FROM, a->from, 0},
	};

	monitor_event(m, SSH_AUDIT_FORWARD, fields, 2);
}

int forward_accept(struct monitor *m, struct listener *l)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));
	const struct accepted_forward *a;
	struct endpoint from = {0};
	struct ip_addr ip;
	char text[IP_ADDR_STRLEN] = "";
	int fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (fd < 0)
		return 0;
	if (m->accepted_count == MONITOR_MAX_DIRECT) {
		close(fd);
		return 0;
	}
	if (!l->agent)
		endpoint_from_sockaddr((const struct sockaddr *)&ss, len, &from);
	a = note_accepted(m, l, &from);
	audit_accepted(m, a);
	monitor_begin(&w, l->agent ? MONITOR_AGENT : MONITOR_ACCEPTED, 0);
	writer_u32(&w, a->channel);
	if (!l->agent) {
		endpoint_ip(&from, &ip);
		ip_addr_format(&ip, text);
		writer_cstring(&w, l->address);
		writer_u32(&w, l->port);
		writer_cstring(&w, text);
		writer_u32(&w, endpoint_port(&from));
	}
	r = monitor_reply(m, &w, &fd, 1);
	close(fd);
	return r;
}

/* ------------------------------------------------------------------ agents */

int forward_agent_open(struct monitor *m, uint32_t channel, char *ret_path, size_t cap)
{
	struct forward_task t = {.open = forward_helper_agent};
	struct listener *l = NULL;
	char message[128];
	int fd;

	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		if (m->listeners[i].fd >= 0 && m->listeners[i].agent)
			l = &m->listeners[i];
	if (l == NULL) {
		l = free_listener(m);
		if (l == NULL)
			return -EMFILE;
		fd = forward_helper_run(m, &t, message);
		if (fd < 0)
			return fd;
		*l = (struct listener){.fd = fd, .agent = true, .channel = channel};
		snprintf(l->path, sizeof(l->path), "%s", t.path);
		monitor_audit_listen(m, "agent", NULL);
	}
	snprintf(ret_path, cap, "%s", l->path);
	return 0;
}

void forward_close_all(struct monitor *m)
{
	for (size_t i = 0; i < MONITOR_MAX_LISTENERS; i++)
		close_listener(m, &m->listeners[i]);
	for (size_t i = 0; i < MONITOR_MAX_PENDING; i++)
		if (m->pending[i].fd >= 0) {
			if (m->pending[i].pid > 0)
				kill(m->pending[i].pid, SIGKILL);
			file_close(&m->pending[i].fd);
		}
}
