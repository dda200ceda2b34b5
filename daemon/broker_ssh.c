/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections to the embedded SSH server: accepted here, counted (MaxStartups, per source, waiting
 * for a person), handed to a monitor each (ssh/PROTOCOL.md section 2). Monitors outlive main. The
 * broker reads no byte of SSH.
 */
#include "daemon/broker_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/sandbox.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "ssh/wire/ssh_wire.h"
#include "ssh/wire/ssh_wire_audit.h"

enum {
	MAX_WAITING = 100,
	MAX_WAITING_PER_SOURCE = 50, /* one peer does not shut the others out */
	ACCEPTS_PER_TURN = 16,
	MESSAGES_PER_TURN = 16,
	LINGER_MS = 300, /* for the last packets of an ended session */
	END_MS = 3000,	 /* for a monitor to end its session in good order */
	AUDIT_MAX = 64 * 1024, /* one event as JSON */
};

static bool executable(char *out, size_t cap, const char *folder, size_t folder_len)
{
	int len = snprintf(out, cap, "%.*s/warren-ssh-session", (int)folder_len, folder);

	return len > 0 && (size_t)len < cap && access(out, X_OK) == 0;
}

void broker_ssh_init(struct broker *b)
{
	static const char *const folders[] = {"/usr/libexec/warren", "/usr/bin"};
	struct broker_ssh *s = &b->ssh;
	char self[sizeof(s->program)];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *slash;

	broker_sshd_config_init(b);
	s->object = s->verification.pipe = s->verification.object = s->root = -1;
	s->verification.next_object = -1;
	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash && executable(s->program, sizeof(s->program), self, (size_t)(slash - self)))
		return;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (executable(s->program, sizeof(s->program), folders[i], strlen(folders[i])))
			return;
	s->program[0] = '\0';
}

/* Sessions in this state, and those of them from source. */
static void count(const struct broker *b, enum broker_session_state state,
		  const struct ip_addr *source, unsigned *ret_all, unsigned *ret_of_source)
{
	*ret_all = *ret_of_source = 0;
	for (const struct broker_session *s = b->ssh.sessions; s; s = s->next) {
		if (s->state != state)
			continue;
		++*ret_all;
		if (startups_same_source(&b->ssh.sshd.startups, source, &s->source))
			++*ret_of_source;
	}
}

static void free_session(struct broker *b, struct broker_session *s)
{
	for (struct broker_session **at = &b->ssh.sessions; *at; at = &(*at)->next) {
		if (*at != s)
			continue;
		*at = s->next;
		b->ssh.session_count--;
		break;
	}
	broker_loop_del(b->loop, s->sock);
	file_close(&s->sock);
	free(s->json);
	free(s);
}

bool broker_ssh_end(struct broker *b, uint32_t id, const char *reason)
{
	uint8_t packet[512];
	struct writer w = writer_init(packet, sizeof(packet));

	wire_begin(&w, SSH_WIRE_END, 0);
	writer_cstring(&w, reason);
	for (struct broker_session *s = b->ssh.sessions; s; s = s->next) {
		if (s->id != id)
			continue;
		if (s->kill_ns == 0)
			s->kill_ns = broker_now() + END_MS * NSEC_PER_MSEC;
		if (s->sock < 0 || w.failed || unixsock_send(s->sock, w.data, w.len, NULL, 0) < 0)
			kill(s->pid, SIGTERM);
		return true;
	}
	return false;
}

void broker_ssh_end_all(struct broker *b, const char *reason)
{
	for (struct broker_session *s = b->ssh.sessions; s; s = s->next)
		if (s->kill_ns == 0)
			broker_ssh_end(b, s->id, reason);
}

/* Makes room (startups.h): false when nobody is slow enough. */
static bool displace(struct broker *b, const struct ip_addr *source, bool same_source)
{
	struct broker_session *oldest = NULL;
	uint64_t now = broker_now();

	for (struct broker_session *s = b->ssh.sessions; s; s = s->next) {
		if (s->state != SESSION_UNAUTHENTICATED || s->exchanged ||
		    now - s->began_ns < STARTUPS_SLOW_NS ||
		    (same_source &&
		     !startups_same_source(&b->ssh.sshd.startups, source, &s->source)))
			continue;
		if (!oldest || s->began_ns < oldest->began_ns)
			oldest = s;
	}
	if (!oldest)
		return false;
	oldest->state = SESSION_DISPLACED;
	broker_ssh_end(b, oldest->id, STARTUPS_DISPLACED);
	return true;
}

static const char *refusal(struct broker *b, const struct ip_addr *source)
{
	const struct sshd_startups *limits = &b->ssh.sshd.startups;
	unsigned startups, of_source;
	const char *no;

	if (!b->ssh.serving)
		return "The SSH server of this machine is off.\r\n";
	if (!b->ssh.sshd.loaded)
		return "The SSH server's configuration of this machine cannot be read.\r\n";
	count(b, SESSION_UNAUTHENTICATED, source, &startups, &of_source);
	if (b->ssh.session_count >= BROKER_MAX_SESSIONS)
		return "Too many SSH sessions on this machine.\r\n";
	no = startups_refusal(limits, startups, of_source, randombytes_uniform(100));
	return no && displace(b, source, startups_of_source(limits, of_source)) ? NULL : no;
}

static void on_state(struct broker *b, struct broker_session *s, struct reader *r)
{
	size_t len = 0;
	const uint8_t *text = reader_string(r, BROKER_MAX_STATE, &len);
	char *copy;

	if (!reader_done(r)) {
		r->failed = true;
		return;
	}
	copy = strndup((const char *)text, len);
	if (!copy)
		return;
	free(s->json);
	s->json = copy;
	s->json_len = strlen(copy);
	/* In a string value the quotes would be escaped. */
	s->gone = strstr(copy, "\"ended\":") != NULL;
	broker_main_tell_session(b, s);
}

static void on_waiting(struct broker *b, struct broker_session *s)
{
	unsigned waiting, of_source;

	if (s->state != SESSION_UNAUTHENTICATED)
		return;
	count(b, SESSION_WAITING, &s->source, &waiting, &of_source);
	s->state = SESSION_WAITING;
	if (waiting >= MAX_WAITING || of_source >= MAX_WAITING_PER_SOURCE)
		broker_ssh_end(b, s->id,
			       "too many logins are waiting on this machine: try again later");
}

/* One event of a session for the audit log. */
static void on_audit(struct broker *b, struct broker_session *s, struct reader *r)
{
	struct buffer members;
	bool ended = false;
	int rc;

	buffer_init(&members, AUDIT_MAX);
	rc = ssh_wire_audit_json(r, s->id, &s->client, &members, &ended);
	if (rc == -EBADMSG)
		r->failed = true;
	else if (rc == 0)
		broker_audit_append(b, buffer_cstring(&members));
	s->audited_end |= rc == 0 && ended;
	buffer_done(&members);
}

static bool on_message(struct broker *b, struct broker_session *s, struct reader *r)
{
	uint8_t type = reader_u8(r);

	reader_u32(r); /* id: these are events */
	switch (type) {
	case SSH_WIRE_STATE:
		on_state(b, s, r);
		break;
	case SSH_WIRE_AUDIT:
		on_audit(b, s, r);
		break;
	case SSH_WIRE_AUTHENTICATED:
		if (reader_done(r))
			s->state = SESSION_AUTHENTICATED;
		break;
	case SSH_WIRE_KEYS:
		s->exchanged = true;
		break;
	case SSH_WIRE_WAITING:
		if (reader_done(r))
			on_waiting(b, s);
		break;
	default:
		r->failed = true;
	}
	return reader_done(r);
}

/* true: there may be more. */
static bool receive(struct broker *b, struct broker_session *s)
{
	ssize_t n = unixsock_recv(s->sock, b->in, sizeof(b->in), NULL, NULL, MSG_DONTWAIT);
	struct reader r;

	if (n == -EAGAIN)
		return false;
	r = reader_init(b->in, n > 0 ? (size_t)n : 0);
	if (n > 0 && on_message(b, s, &r))
		return true;
	if (n > 0) {
		log_error("a message of an SSH monitor does not parse: it is ended", "session=%u",
			  s->id);
		kill(s->pid, SIGKILL);
	}
	broker_loop_del(b->loop, s->sock);
	file_close(&s->sock);
	if (s->kill_ns == 0) /* it has ended, or must */
		s->kill_ns = broker_now() + END_MS * NSEC_PER_MSEC;
	return false;
}

static void on_monitor(struct broker *b, int fd, void *ctx)
{
	struct broker_session *s = ctx;

	(void)fd;
	for (int i = 0; i < MESSAGES_PER_TURN && s->sock >= 0 && receive(b, s); i++)
		;
}

enum { SSH_MESH_PORT = 22022, SSH_CLIENT_PORT = 22 };

/* Mesh clients connect to 22, which the engine rewrites to the port that is listened on; sessions
 * are told of the former, as sshd would. */
static struct endpoint as_client_sees(const struct endpoint *server)
{
	struct endpoint ep = *server;

	if (endpoint_port(server) != SSH_MESH_PORT)
		return ep;
	if (ep.sa.sa_family == AF_INET)
		ep.in.sin_port = htons(SSH_CLIENT_PORT);
	else
		ep.in6.sin6_port = htons(SSH_CLIENT_PORT);
	return ep;
}

static int config_memfd(const struct broker *b, const struct broker_session *s,
			const struct endpoint *client, const struct endpoint *server, int *ret_fd)
{
	const struct switches *sw = &b->state.switches;
	struct ssh_wire_config c = {
		.session_id = s->id,
		.min_seq = b->ssh.seq,
		.client = *client,
		.server = *server,
		.allow_root = sw->enable_ssh_root,
		.allow_sftp = sw->enable_ssh_sftp,
		.allow_local_forward = sw->enable_ssh_local_port_forwarding,
		.allow_remote_forward = sw->enable_ssh_remote_port_forwarding,
		.no_auth = sw->disable_ssh_auth,
		.authorized_keys = sw->enable_ssh_authorized_keys,
		.tokens = sw->enable_ssh_jwt_password,
		.through_mesh = b->net.ssh_mode == WIRE_SSH_NAMESPACE,
		.sshd_config = b->ssh.sshd.text.data,
		.sshd_config_len = b->ssh.sshd.text.len,
	};
	size_t cap = 8192 + b->ssh.sshd.text.len;
	uint8_t *packet = malloc(cap);
	struct writer w = writer_init(packet, cap);
	int rc;

	if (packet == NULL)
		return -ENOMEM;
	c.server = as_client_sees(server);

	c.break_glass_count = (uint32_t)b->break_glass.count;
	memcpy(c.break_glass, b->break_glass.keys, sizeof(c.break_glass));
	c.revoked_count = (uint32_t)b->break_glass.revoked_count;
	memcpy(c.revoked, b->break_glass.revoked, sizeof(c.revoked));
	memcpy(c.signing_key, b->state.pin.signing_key, sizeof(c.signing_key));
	memcpy(c.network, b->state.pin.network, sizeof(c.network));
	memcpy(c.peer_id, b->state.pin.peer_id, sizeof(c.peer_id));
	memcpy(c.host_key_seed, b->hostkey.seed, sizeof(c.host_key_seed));
	if (gethostname(c.host_name, sizeof(c.host_name) - 1) < 0)
		c.host_name[0] = '\0';
	ssh_wire_config_put(&w, &c);
	rc = w.failed ? -EMSGSIZE : broker_memfd("warren-ssh-config", w.data, w.len, ret_fd);
	secret_wipe(packet, cap);
	free(packet);
	secret_wipe(&c, sizeof(c));
	return rc;
}

static void tell_main_monitor(struct broker *b, const struct broker_session *s, int fd)
{
	struct writer w = writer_init(b->out, sizeof(b->out));

	wire_begin(&w, WIRE_MONITOR, 0);
	writer_u32(&w, s->id);
	/* Without main the monitor finds its socket closed and says so to who wants to log in. */
	(void)broker_main_send(b, &w, &fd, 1);
}

/* connection is borrowed. */
static int start_monitor(struct broker *b, struct broker_session *s, int connection,
			 const struct endpoint *client, const struct endpoint *server)
{
	static char name[] = "warren-ssh-session";
	char *const argv[] = {name, NULL};
	int with_broker[2] = {-1, -1}, with_main[2] = {-1, -1}, config = -1, object = -1;
	int rc;

	/* Without it each monitor makes its own. */
	if (b->ssh.root < 0 && sandbox_open_empty_root(&b->ssh.root) < 0)
		b->ssh.root = -1;
	rc = config_memfd(b, s, client, server, &config);
	/* Without an object only a break-glass certificate lets in. */
	if (rc == 0)
		rc = b->ssh.object >= 0 ? broker_reopen(b->ssh.object, &object)
					: broker_memfd("warren-no-object", "", 0, &object);
	if (rc == 0)
		rc = unixsock_pair(with_broker);
	if (rc == 0)
		rc = file_set_nonblock(with_broker[0], true);
	if (rc == 0)
		rc = unixsock_pair(with_main);
	if (rc == 0)
		rc = broker_loop_add(b->loop, with_broker[0], on_monitor, s);
	if (rc == 0) {
		const int fds[] = {connection,	   config,	 object,
				   with_broker[1], with_main[1], b->ssh.root};

		rc = broker_spawn(b->ssh.program, argv, fds, b->ssh.root >= 0 ? 6 : 5, true, &s->pid);
		if (rc < 0)
			broker_loop_del(b->loop, with_broker[0]);
	}
	if (rc == 0) {
		s->sock = with_broker[0];
		with_broker[0] = -1;
		tell_main_monitor(b, s, with_main[0]);
	}
	for (int i = 0; i < 2; i++) {
		file_close(&with_broker[i]);
		file_close(&with_main[i]);
	}
	file_close(&config);
	file_close(&object);
	return rc;
}

static int start_session(struct broker *b, int connection, const struct endpoint *client,
			 const struct ip_addr *source)
{
	struct broker_session *s = calloc(1, sizeof(*s));
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct endpoint server;
	int rc;

	if (!s)
		return -ENOMEM;
	if (getsockname(connection, (struct sockaddr *)&name, &len) < 0) {
		rc = -errno;
		free(s);
		return rc;
	}
	endpoint_from_sockaddr((struct sockaddr *)&name, len, &server);
	s->sock = -1;
	s->source = *source;
	s->client = *client;
	s->began_ns = broker_now();
	s->id = ++b->ssh.next_id;
	s->next = b->ssh.sessions;
	b->ssh.sessions = s;
	b->ssh.session_count++;
	rc = start_monitor(b, s, connection, client, &server);
	if (rc < 0)
		free_session(b, s);
	return rc;
}

void broker_ssh_accept(struct broker *b, int fd, void *ctx)
{
	(void)ctx;
	broker_sshd_config_refresh(b);
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage name;
		socklen_t len = sizeof(name);
		int connection = accept4(fd, (struct sockaddr *)&name, &len, SOCK_CLOEXEC);
		char text[ENDPOINT_STRLEN];
		struct endpoint client;
		struct ip_addr source;
		const char *no;
		int rc;

		if (connection < 0)
			return;
		if (startups_expect_an_end(connection, b->ssh.sshd.tcp_keep_alive) < 0)
			log_warn("an SSH connection may outlive its peer", NULL);
		endpoint_from_sockaddr((struct sockaddr *)&name, len, &client);
		endpoint_ip(&client, &source);
		no = refusal(b, &source);
		if (no) {
			log_info("turned an SSH connection away", "from=%s reason=%.*s",
				 endpoint_format(&client, text), (int)strcspn(no, "\r"), no);
			broker_audit_turned_away(b, &client, no);
			startups_turn_away(connection, no);
			continue;
		}
		rc = start_session(b, connection, &client, &source);
		if (rc < 0) {
			log_error("cannot serve an SSH connection", "error=%s", strerror(-rc));
			startups_turn_away(connection, "This machine cannot serve SSH now.\r\n");
			continue;
		}
		log_info("an SSH connection came in", "session=%u from=%s", b->ssh.next_id,
			 endpoint_format(&client, text));
		close(connection);
	}
}

bool broker_ssh_reaped(struct broker *b, pid_t pid, int status)
{
	struct broker_session *s = b->ssh.sessions;
	char text[96];

	while (s && s->pid != pid)
		s = s->next;
	if (!s)
		return false;
	while (s->sock >= 0 && receive(b, s)) /* its last words */
		;
	log_info("an SSH connection ended", "session=%u status=%d", s->id, status);
	if (!s->audited_end)
		broker_audit_died(b, s, status);
	if (!s->gone && (s->json || s->told)) {
		int len = snprintf(
			text, sizeof(text),
			"{\"id\":%u,\"ended\":true,\"reason\":\"the session's process ended\"}",
			s->id);

		free(s->json);
		s->json = strdup(text);
		s->json_len = s->json ? (size_t)len : 0;
	}
	if (s->json)
		broker_main_tell_session(b, s);
	free_session(b, s);
	if (b->ssh.linger_ns != 0)
		b->ssh.linger_ns = broker_now() + LINGER_MS * NSEC_PER_MSEC;
	return true;
}

static void end_linger(struct broker *b)
{
	b->ssh.linger_ns = 0;
	if (b->ssh.teardown)
		broker_ssh_teardown_now(b);
	else
		broker_ssh_apply(b);
}

void broker_ssh_tick(struct broker *b, uint64_t now_ns)
{
	/* Sessions that were ended are gone after END_MS at the latest. */
	if (b->ssh.linger_ns != 0 && b->ssh.session_count == 0 && now_ns >= b->ssh.linger_ns)
		end_linger(b);
	for (struct broker_session *s = b->ssh.sessions; s; s = s->next) {
		if (s->unsent)
			broker_main_tell_session(b, s);
		if (s->kill_ns != 0 && now_ns >= s->kill_ns) {
			kill(s->pid, SIGKILL);
			s->kill_ns = UINT64_MAX;
		}
	}
}

uint64_t broker_ssh_deadline(const struct broker *b)
{
	uint64_t deadline = UINT64_MAX;

	if (b->ssh.linger_ns != 0 && b->ssh.session_count == 0)
		deadline = b->ssh.linger_ns;
	for (const struct broker_session *s = b->ssh.sessions; s; s = s->next) {
		if (s->kill_ns != 0 && s->kill_ns < deadline)
			deadline = s->kill_ns;
		if (s->unsent)
			deadline = 0; /* the loop bounds how often it looks */
	}
	return deadline;
}

static void intercept(struct broker *b, bool on)
{
	struct writer w;

	if (on == b->net.intercepting)
		return;
	if (!on)
		b->net.intercepting = false;
	if (b->engine.sock < 0)
		return;
	w = broker_engine_begin(b, WIRE_SSH);
	writer_u8(&w, on ? b->net.ssh_mode : (uint8_t)WIRE_SSH_OFF);
	if (broker_engine_call(b, &w, NULL, 0) == 0)
		b->net.intercepting = on;
	log_info(on ? "SSH from the mesh is served" : "SSH from the mesh is not served", NULL);
}

void broker_ssh_apply(struct broker *b)
{
	const bool listen = b->privileged && b->net.up && b->state.switches.allow_server_ssh;
	/* No object, since the control server was not heard for too long: break-glass goes on. */
	const bool permitted = b->ssh.object >= 0 ? b->ssh.enabled : b->break_glass.count > 0;
	const bool serve = listen && b->state.pin.set && !b->state.pin.held && permitted &&
			   b->ssh.program[0] != '\0' && !b->ssh.teardown;
	bool linger;

	if (serve)
		b->ssh.linger_ns = 0;
	else if (b->ssh.session_count > 0 && b->ssh.linger_ns == 0)
		b->ssh.linger_ns = broker_now() + LINGER_MS * NSEC_PER_MSEC;
	b->ssh.serving = serve;
	if (!serve)
		broker_ssh_end_all(b, b->net.up && !b->ssh.teardown
					      ? "the SSH server of this machine was switched off"
					      : "this machine left the mesh");
	/* The way stays open until clients have been told. */
	linger = b->net.up && b->ssh.linger_ns != 0;
	if (listen && b->net.ssh_mode == WIRE_SSH_OFF)
		broker_ssh_net_start(b);
	intercept(b, (serve || (linger && b->net.intercepting)) && b->net.ssh_mode != WIRE_SSH_OFF);
	if (!listen && !linger && b->net.ssh_mode != WIRE_SSH_OFF)
		broker_ssh_net_stop(b);
}

void broker_ssh_teardown(struct broker *b, uint32_t request)
{
	broker_ssh_teardown_now(b);
	b->ssh.teardown = true;
	b->ssh.teardown_request = request;
	broker_ssh_apply(b);
	if (b->ssh.linger_ns == 0)
		broker_ssh_teardown_now(b);
}

void broker_ssh_teardown_now(struct broker *b)
{
	if (!b->ssh.teardown)
		return;
	broker_net_teardown(b);
	b->ssh.teardown = false;
	b->ssh.linger_ns = 0;
	broker_main_reply(b, b->ssh.teardown_request, 0, "");
}
