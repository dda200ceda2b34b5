/* SPDX-License-Identifier: Apache-2.0
 *
 * Plays broker and main for warren-ssh-session, so that the SSH server can be tried with real
 * clients and no mesh: session_launcher DIR PORT LOGIN [no-auth] [deny] [listen=IPv4]
 * [client=IPv4]. DIR/id.pub is the client's key; written are DIR/id-cert.pub (an hour, source:
 * client, else 127.0.0.1) and DIR/known_hosts. A keyboard-interactive login is granted after two
 * seconds. files-only: the rule says so. Audit events are printed as "audit {…}". brief: the rule ends fifteen seconds after the start. A line "withdraw" on standard input
 * sends an object without the rule, "narrow" one that allows exec only, "end" ends all.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "identity/signed.h"
#include "identity/sshcert.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/unixsock.h"
#include "ssh/wire/ssh_wire.h"
#include "ssh/wire/ssh_wire_audit.h"

#define MAX_CONNECTIONS 256
#define SELF		"p_second"

struct connection {
	int broker, main;
	uint32_t request, id;
	struct endpoint client;
	time_t grant_at;
	char login[64], session[80], caller[64];
};

static struct launcher {
	const char *dir, *login, *listen, *client; /* addresses: 127.0.0.1 unless said otherwise */
	bool no_auth, files_only;
	uint8_t signing_public[32], signing[64], ca_public[32], ca[64], host_seed[32],
		host_public[32];
	int64_t seq;
	char policy[1024];
	const char *sshd_config;
	struct connection c[MAX_CONNECTIONS];
	size_t count;
	uint32_t started;
} g;

static int sign_with(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx);
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "session_launcher: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int memfd_with(const void *data, size_t len)
{
	int fd = memfd_create("launcher", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	if (fd < 0 || file_write_all(fd, data, len) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		die("memfd");
	return fd;
}

static int object_memfd(void)
{
	char ca[ENCODE_BASE64URL_SIZE(32)];
	json_int_t now = time(NULL);
	char *text = NULL;
	json_t *payload;
	int fd;

	encode_base64url(ca, g.ca_public, 32);
	payload = json_pack("{s:i,s:s,s:s,s:I,s:I,s:b,s:[s],s:s,s:[{s:s,s:s,s:s,s:s,s:[],s:n},"
			    "{s:s,s:s,s:s,s:s,s:[],s:n}],s:{},s:[],s:I}",
			    "v", 1, "network", "n_one", "peer", SELF, "seq", (json_int_t)g.seq,
			    "valid_until", now + 3600, "enabled", 1, "ca", ca, "policy", g.policy,
			    "peers", "id", "p_first", "name", "first", "overlay4", g.client,
			    "overlay6", "::1", "identities", "setup_key", "id", SELF, "name",
			    "second", "overlay4", "100.64.0.2", "overlay6", "fd00::2", "identities",
			    "setup_key", "identities", "revoked", "now", now);
	if (payload == NULL || signed_make("ssh", payload, sign_with, g.signing, &text) < 0)
		die("object");
	json_decref(payload);
	fd = memfd_with(text, strlen(text));
	free(text);
	return fd;
}

static void write_file(const char *name, const char *text)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", g.dir, name);
	if (file_write_atomic(path, text, strlen(text), 0600) < 0)
		die(path);
}

static void write_certificate(void)
{
	struct sshcert *cert = calloc(1, sizeof(*cert));
	uint8_t nonce[32];
	struct buffer in, blob, text;
	char path[512], type[64], source[64];

	if (cert == NULL)
		die("memory");
	buffer_init(&in, 4096);
	buffer_init(&blob, SSHCERT_MAX_BLOB);
	buffer_init(&text, 16384);
	snprintf(path, sizeof(path), "%s/id.pub", g.dir);
	if (file_read(path, &in) < 0 || buffer_cstring(&in) == NULL)
		die(path);
	in.data[strcspn((char *)in.data, "\n")] = '\0';
	if (sshcert_text_decode((const char *)in.data, cert->subject, sizeof(cert->subject),
				&cert->subject_len, type) < 0)
		die("id.pub");
	snprintf(cert->key_type, sizeof(cert->key_type), "%s", type);
	cert->serial = 1;
	cert->type = 1;
	snprintf(cert->key_id, sizeof(cert->key_id),
		 "alice@example.com caller=p_first target=" SELF " request=r1");
	snprintf(cert->principals[0], sizeof(cert->principals[0]), "%s", g.login);
	cert->principal_count = 1;
	cert->valid_after_s = time(NULL) - 60;
	cert->valid_before_s = time(NULL) + 3600;
	cert->has_source_address = true;
	snprintf(source, sizeof(source), "%s/32", g.client);
	if (ip_prefix_parse(source, &cert->sources[cert->source_count++]) < 0)
		die("prefix");
	cert->extensions = SSHCERT_PERMIT_PTY | SSHCERT_PERMIT_PORT_FORWARDING |
			   SSHCERT_PERMIT_AGENT_FORWARDING;
	memcpy(cert->ca, g.ca_public, 32);
	randombytes_buf(nonce, sizeof(nonce));
	if (sshcert_make(cert, nonce, sign_with, g.ca, &blob) < 0 ||
	    sshcert_text(blob.data, blob.len, "test", &text) < 0)
		die("certificate");
	write_file("id-cert.pub", buffer_cstring(&text));
	buffer_done(&in);
	buffer_done(&blob);
	buffer_done(&text);
	free(cert);
}

static void write_known_hosts(unsigned port)
{
	uint8_t blob[64];
	char base64[ENCODE_BASE64_SIZE(64)], line[256];
	struct writer w = writer_init(blob, sizeof(blob));

	writer_cstring(&w, "ssh-ed25519");
	writer_string(&w, g.host_public, 32);
	encode_base64(base64, blob, w.len);
	snprintf(line, sizeof(line), "[%s]:%u ssh-ed25519 %s\n", g.listen, port, base64);
	write_file("known_hosts", line);
}

/* What is over is used again. */
static struct connection *free_connection(void)
{
	size_t i = 0;

	while (i < g.count && (g.c[i].broker >= 0 || g.c[i].main >= 0))
		i++;
	if (i == MAX_CONNECTIONS)
		die("too many connections");
	if (i == g.count)
		g.count++;
	memset(&g.c[i], 0, sizeof(g.c[i]));
	return &g.c[i];
}

static void start_session(int fd, const char *program)
{
	struct ssh_wire_config config = {.session_id = ++g.started,
					 .network = "n_one",
					 .peer_id = SELF,
					 .host_name = "vm",
					 .allow_root = true,
					 .allow_sftp = true,
					 .allow_local_forward = true,
					 .allow_remote_forward = true,
					 .no_auth = g.no_auth,
					 .through_mesh = true,
					 .sshd_config = (const uint8_t *)g.sshd_config,
					 .sshd_config_len = strlen(g.sshd_config)};
	struct connection *c = free_connection(); /* zeroed */
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	uint8_t data[16384];
	struct writer w = writer_init(data, sizeof(data));
	int broker[2], main_pair[2];

	if (unixsock_pair(broker) < 0 || unixsock_pair(main_pair) < 0)
		die("connection");
	getpeername(fd, (struct sockaddr *)&ss, &len);
	endpoint_from_sockaddr((struct sockaddr *)&ss, len, &config.client);
	len = sizeof(ss);
	getsockname(fd, (struct sockaddr *)&ss, &len);
	endpoint_from_sockaddr((struct sockaddr *)&ss, len, &config.server);
	memcpy(config.signing_key, g.signing_public, 32);
	memcpy(config.host_key_seed, g.host_seed, 32);
	ssh_wire_config_put(&w, &config);
	if (fork() == 0) {
		setsid(); /* as both real ones: for the scheduler, too, a connection is a group of its own */
		int fds[5] = {fd, memfd_with(data, w.len), object_memfd(), broker[1], main_pair[1]};

		for (int i = 0; i < 5; i++)
			fds[i] = fcntl(fds[i], F_DUPFD, 100);
		for (int i = 0; i < 5; i++)
			dup2(fds[i], SSH_WIRE_FD_CONNECTION + i);
		close_range(8, ~0U, 0);
		execl(program, "warren-ssh-session", (char *)NULL);
		_exit(127);
	}
	close(broker[1]);
	close(main_pair[1]);
	c->id = config.session_id;
	c->client = config.client;
	c->broker = broker[0];
	c->main = main_pair[0];
}

static void login_start(struct connection *c, struct reader *r, uint32_t id)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));

	reader_cstring(r, c->login, sizeof(c->login));
	reader_cstring(r, c->session, sizeof(c->session));
	reader_cstring(r, c->caller, sizeof(c->caller));
	c->request = id;
	c->grant_at = time(NULL) + 2;
	writer_u8(&w, SSH_WIRE_LOGIN_URL);
	writer_u32(&w, id);
	writer_cstring(&w, "https://control.example/ssh/abc");
	writer_u64(&w, (uint64_t)time(NULL) + 600);
	if (unixsock_send(c->main, data, w.len, NULL, 0) < 0)
		die("login url");
}

static void login_done(struct connection *c)
{
	json_int_t now = time(NULL);
	json_t *payload =
		json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:[],s:s,s:s,s:I,s:I,s:I}", "v", 1, "network",
			  "n_one", "target", SELF, "caller", "p_first", "caller_address", c->caller,
			  "identity", "alice@example.com", "groups", "login", c->login, "session",
			  c->session, "auth_time", now, "issued", now, "valid_until", now + 60);
	static uint8_t data[16384];
	struct writer w = writer_init(data, sizeof(data));
	char *text = NULL;

	if (payload == NULL || signed_make("grant", payload, sign_with, g.signing, &text) < 0)
		die("grant");
	writer_u8(&w, SSH_WIRE_LOGIN_DONE);
	writer_u32(&w, c->request);
	writer_u8(&w, 0);
	writer_cstring(&w, "");
	writer_cstring(&w, text);
	if (unixsock_send(c->main, data, w.len, NULL, 0) < 0)
		fprintf(stderr, "session_launcher: the monitor is gone\n");
	c->grant_at = 0;
	free(text);
	json_decref(payload);
}

static void print_audit(const struct connection *c, struct reader *r)
{
	struct buffer text;

	buffer_init(&text, 65536);
	if (ssh_wire_audit_json(r, c->id, &c->client, &text, NULL) < 0)
		die("audit event");
	printf("audit {%s}\n", buffer_cstring(&text));
	buffer_done(&text);
}

static void drain(struct connection *c, int *fd, bool is_main)
{
	static uint8_t data[65536];
	ssize_t n = unixsock_recv(*fd, data, sizeof(data), NULL, NULL, MSG_DONTWAIT);
	struct reader r;
	uint8_t type;
	uint32_t id;

	if (n <= 0) {
		if (n != -EAGAIN)
			file_close(fd);
		return;
	}
	r = reader_init(data, (size_t)n);
	type = reader_u8(&r);
	id = reader_u32(&r);
	if (is_main && type == SSH_WIRE_LOGIN_START)
		login_start(c, &r, id);
	else if (!is_main && type == SSH_WIRE_AUDIT)
		print_audit(c, &r);
	else if (!is_main && type == SSH_WIRE_STATE)
		printf("state %.*s\n", (int)(n - 9), data + 9);
	else
		printf("%s message %u\n", is_main ? "main" : "broker", type);
	fflush(stdout);
}

static void to_all(uint8_t type, int fd)
{
	for (size_t i = 0; i < g.count; i++) {
		uint8_t data[64];
		struct writer w = writer_init(data, sizeof(data));

		writer_u8(&w, type);
		writer_u32(&w, 0);
		if (type == SSH_WIRE_END)
			writer_cstring(&w, "an administrator ended it");
		if (g.c[i].broker >= 0 &&
		    unixsock_send(g.c[i].broker, data, w.len, &fd, fd >= 0 ? 1 : 0) < 0)
			fprintf(stderr, "session_launcher: connection %zu is gone\n", i);
	}
}

static void write_policy(const char *login, const char *allow, time_t not_after)
{
	char when[80] = "", end[32];
	struct tm tm;

	if (not_after != 0 && gmtime_r(&not_after, &tm) != NULL &&
	    strftime(end, sizeof(end), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		snprintf(when, sizeof(when), ", \"when\": {\"not_after\": \"%s\"}", end);
	snprintf(
		g.policy, sizeof(g.policy),
		"{ \"groups\": {\"ops\": [\"alice@example.com\"]}, \"ssh\": [ {\"from\": [\"%s\"], "
		"\"to\": [\"peer:second\"], \"logins\": [\"%s\"], \"auth\": \"%s\", "
		"\"allow\": [%s]%s%s} ] }",
		g.no_auth ? "peer:first" : "ops", login, g.no_auth ? "machine" : "identity",
		g.files_only ? "\"sftp\"" : allow, when,
		g.files_only ? ", \"files_only\": true" : "");
}

static bool command(void)
{
	char line[64] = "";

	if (fgets(line, sizeof(line), stdin) == NULL)
		return false;
	if (strncmp(line, "withdraw", 8) == 0 || strncmp(line, "narrow", 6) == 0) {
		g.seq++;
		if (line[0] == 'w')
			snprintf(g.policy, sizeof(g.policy), "{ \"ssh\": [] }");
		else
			write_policy(g.login, "\"exec\"", 0);
		int fd = object_memfd();

		to_all(SSH_WIRE_OBJECT, fd);
		close(fd);
	} else if (strncmp(line, "end", 3) == 0) {
		to_all(SSH_WIRE_END, -1);
	}
	return true;
}

static int listen_on(unsigned port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET, g.listen, &in.sin_addr) != 1)
		die(g.listen);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(fd, 256) < 0)
		die("listen");
	return fd;
}

static void loop(int listener, const char *program)
{
	static struct pollfd p[2 + 2 * MAX_CONNECTIONS];
	bool input = true;

	for (;;) {
		size_t n = g.count;

		p[0] = (struct pollfd){.fd = listener, .events = POLLIN};
		p[1] = (struct pollfd){.fd = input ? 0 : -1, .events = POLLIN};
		for (size_t i = 0; i < n; i++) {
			p[2 + 2 * i] = (struct pollfd){.fd = g.c[i].broker, .events = POLLIN};
			p[3 + 2 * i] = (struct pollfd){.fd = g.c[i].main, .events = POLLIN};
		}
		if (poll(p, 2 + 2 * n, 500) < 0 && errno != EINTR)
			die("poll");
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (p[1].revents != 0 && !command())
			input = false;
		for (size_t i = 0; i < n; i++) {
			if (p[2 + 2 * i].revents != 0)
				drain(&g.c[i], &g.c[i].broker, false);
			if (p[3 + 2 * i].revents != 0)
				drain(&g.c[i], &g.c[i].main, true);
			if (g.c[i].grant_at != 0 && time(NULL) >= g.c[i].grant_at)
				login_done(&g.c[i]);
		}
		if (p[0].revents != 0) {
			int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0)
				start_session(fd, program);
			file_close(&fd);
		}
	}
}

int main(int argc, char **argv)
{
	uint8_t secret[64];
	char program[512];
	bool deny = false, brief = false;

	if (argc < 4 || sodium_init() < 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	g.dir = argv[1];
	g.login = argv[3];
	g.listen = g.client = "127.0.0.1";
	g.sshd_config = getenv("SSHD_CONFIG") != NULL ? getenv("SSHD_CONFIG") : "LoginGraceTime 30\n";
	for (int i = 4; i < argc; i++) {
		g.files_only = g.files_only || strcmp(argv[i], "files-only") == 0;
		g.no_auth = g.no_auth || strcmp(argv[i], "no-auth") == 0;
		deny = deny || strcmp(argv[i], "deny") == 0;
		brief = brief || strcmp(argv[i], "brief") == 0;
		if (strncmp(argv[i], "listen=", 7) == 0)
			g.listen = argv[i] + 7;
		if (strncmp(argv[i], "client=", 7) == 0)
			g.client = argv[i] + 7;
	}
	g.seq = 1;
	write_policy(deny ? "nobody" : g.login,
		     "\"shell\", \"exec\", \"sftp\", \"forward\", \"remote-forward\", \"agent\"",
		     brief ? time(NULL) + 15 : 0);
	crypto_sign_keypair(g.signing_public, g.signing);
	crypto_sign_keypair(g.ca_public, g.ca);
	randombytes_buf(g.host_seed, sizeof(g.host_seed));
	crypto_sign_seed_keypair(g.host_public, secret, g.host_seed);
	snprintf(program, sizeof(program), "%s/warren-ssh-session",
		 getenv("WARREN_BIN") != NULL ? getenv("WARREN_BIN") : "../bin");
	write_certificate();
	write_known_hosts((unsigned)strtoul(argv[2], NULL, 10));
	loop(listen_on((unsigned)strtoul(argv[2], NULL, 10)), program);
	return 0;
}
