/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker that lies (ssh/PROTOCOL.md section 4): the real monitor_run with its verifier, and in
 * the worker's place this very program, started by the monitor as `--worker`. The scenario comes
 * over what would be the client's connection, and what the worker saw goes back the same way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef assert /* cmocka has one of its own */
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
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
#include "platform/log.h"
#include "platform/unixsock.h"
#include "ssh/monitor.h"

#define SELF	  "p_second"
#define LOGIN	  "root"
#define ALGORITHM "ssh-ed25519-cert-v01@openssh.com"
#define TRIES	  3
#define CONFIG	  "LoginGraceTime 20\nMaxAuthTries 3\nMaxSessions 10\n"

/* Both processes derive the same keys. */
static struct keys {
	uint8_t signing_public[32], signing[64], ca_public[32], ca[64], subject_public[32],
		subject[64];
	uint8_t host_seed[32], host_public[32], host[64];
} k;

static void make_keys(void)
{
	uint8_t seed[32] = {1};

	assert(sodium_init() >= 0);
	crypto_sign_seed_keypair(k.signing_public, k.signing, seed);
	seed[0] = 2;
	crypto_sign_seed_keypair(k.ca_public, k.ca, seed);
	seed[0] = 3;
	crypto_sign_seed_keypair(k.subject_public, k.subject, seed);
	seed[0] = 4;
	memcpy(k.host_seed, seed, 32);
	crypto_sign_seed_keypair(k.host_public, k.host, seed);
}

static int sign_with(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx);
}

/* ------------------------------------------------------------------ the worker */

static uint8_t in[MONITOR_WIRE_MAX], out[MONITOR_WIRE_MAX];
static uint8_t hash[32] = {7};
static uint8_t cert_blob[SSHCERT_MAX_BLOB];
static size_t cert_len;

static void say(const char *text)
{
	assert(write(WORKER_FD_CONNECTION, text, strlen(text)) == (ssize_t)strlen(text));
}

static struct writer begin(uint8_t type, uint32_t id)
{
	struct writer w = writer_init(out, sizeof(out));

	writer_u8(&w, type);
	writer_u32(&w, id);
	return w;
}

/* The next packet of that type; says "gone" and ends this process when there is none. */
static struct reader receive(uint8_t type)
{
	for (;;) {
		int fds[UNIXSOCK_MAX_FDS];
		size_t nfds = 0;
		ssize_t n = unixsock_recv(WORKER_FD_MONITOR, in, sizeof(in), fds, &nfds, 0);
		struct reader r;

		if (n <= 0) {
			say("gone");
			_exit(0);
		}
		r = reader_init(in, (size_t)n);
		if (reader_u8(&r) == type) {
			reader_u32(&r);
			return r;
		}
	}
}

static struct reader call(const struct writer *w)
{
	if (unixsock_send(WORKER_FD_MONITOR, w->data, w->len, NULL, 0) < 0) {
		say("gone");
		_exit(0);
	}
	return receive(w->data[0]);
}

static void hello(void)
{
	struct writer w = begin(MONITOR_HELLO, 1);
	struct reader r = call(&w);
	size_t len;

	assert(reader_u32(&r) == TRIES);
	reader_u32(&r);
	reader_u32(&r);
	assert(reader_string(&r, 64, &len) != NULL && len == 51);
}

static void sign(size_t len)
{
	struct writer w = begin(MONITOR_SIGN, 2);
	const uint8_t *signature;
	struct reader r;

	writer_string(&w, hash, len);
	r = call(&w);
	signature = reader_string(&r, 64, &len);
	if (signature == NULL ||
	    crypto_sign_verify_detached(signature, hash, 32, k.host_public) != 0)
		say("bad-signature ");
}

/* Says the result as a digit. */
static void result(struct reader *r, bool methods)
{
	char text[1024], list[256] = "";
	char digit[2] = {(char)('0' + reader_u8(r)), '\0'};

	say(digit);
	if (methods)
		reader_cstring(r, list, sizeof(list));
	reader_cstring(r, text, sizeof(text));
	if (methods && strcmp(list, "publickey") == 0)
		say("[publickey]");
	if (text[0] != '\0') {
		say("(");
		say(text);
		say(")");
	}
	say(" ");
}

static void none(const char *login)
{
	struct writer w = begin(MONITOR_AUTH_NONE, 3);
	struct reader r;

	writer_cstring(&w, login);
	writer_u8(&w, 1);
	r = call(&w);
	result(&r, true);
}

static void query(void)
{
	struct writer w = begin(MONITOR_AUTH_QUERY, 4);
	struct reader r;

	writer_cstring(&w, LOGIN);
	writer_cstring(&w, ALGORITHM);
	writer_string(&w, cert_blob, cert_len);
	r = call(&w);
	result(&r, false);
}

/* A signature over session, login and algorithm as given; the request names LOGIN and ALGORITHM. */
static void key(const uint8_t *session, const char *login, const char *algorithm,
		const uint8_t *secret)
{
	static uint8_t data[16384];
	struct writer d = writer_init(data, sizeof(data)), w = begin(MONITOR_AUTH_KEY, 5);
	uint8_t signature[64];
	struct reader r;

	writer_string(&d, session, 32);
	writer_u8(&d, 50);
	writer_cstring(&d, login);
	writer_cstring(&d, "ssh-connection");
	writer_cstring(&d, "publickey");
	writer_u8(&d, 1);
	writer_cstring(&d, algorithm);
	writer_string(&d, cert_blob, cert_len);
	crypto_sign_detached(signature, NULL, data, d.len, secret);
	writer_cstring(&w, LOGIN);
	writer_cstring(&w, ALGORITHM);
	writer_string(&w, cert_blob, cert_len);
	writer_string(&w, signature, sizeof(signature));
	writer_string(&w, data, d.len);
	r = call(&w);
	result(&r, true);
}

static void make_cert(int64_t until)
{
	struct sshcert *cert = calloc(1, sizeof(*cert));
	const uint8_t nonce[32] = {1};
	struct buffer blob;
	struct writer w;

	assert(cert != NULL);
	buffer_init(&blob, sizeof(cert_blob));
	snprintf(cert->key_type, sizeof(cert->key_type), "ssh-ed25519");
	w = writer_init(cert->subject, sizeof(cert->subject));
	writer_cstring(&w, "ssh-ed25519");
	writer_string(&w, k.subject_public, 32);
	cert->subject_len = w.len;
	cert->serial = 1;
	cert->type = 1;
	snprintf(cert->key_id, sizeof(cert->key_id),
		 "alice@example.com caller=p_first target=" SELF " request=r1");
	snprintf(cert->principals[0], sizeof(cert->principals[0]), LOGIN);
	cert->principal_count = 1;
	cert->valid_after_s = time(NULL) - 3600;
	cert->valid_before_s = time(NULL) + until;
	cert->has_source_address = true;
	cert->extensions = SSHCERT_PERMIT_PORT_FORWARDING;
	assert(ip_prefix_parse("127.0.0.1/32", &cert->sources[cert->source_count++]) == 0);
	memcpy(cert->ca, k.ca_public, 32);
	assert(sshcert_make(cert, nonce, sign_with, k.ca, &blob) == 0);
	cert_len = blob.len;
	memcpy(cert_blob, blob.data, blob.len);
	buffer_done(&blob);
	free(cert);
}

static void session_with(uint8_t agent)
{
	struct writer w = begin(MONITOR_SESSION, 6);
	struct reader r;

	writer_u32(&w, 1);
	writer_u8(&w, MONITOR_EXEC);
	writer_cstring(&w, "true");
	writer_u8(&w, 0);
	writer_cstring(&w, "");
	for (int i = 0; i < 4; i++)
		writer_u32(&w, 0);
	writer_cstring(&w, "");
	writer_u32(&w, 0);
	writer_u8(&w, agent);
	r = call(&w);
	result(&r, false);
}

static void session(void)
{
	session_with(0);
}

static void ask(uint8_t kind, const char *host, uint32_t port)
{
	struct writer w = begin(MONITOR_FORWARD, 10);
	struct reader r;

	writer_u8(&w, kind);
	writer_cstring(&w, host);
	writer_u32(&w, port);
	r = call(&w);
	result(&r, false);
}

static void connect_to(const char *host, uint32_t port)
{
	struct writer w = begin(MONITOR_CONNECT, 7);
	struct reader r;

	writer_u32(&w, 9);
	writer_cstring(&w, host);
	writer_u32(&w, port);
	writer_cstring(&w, "127.0.0.1");
	writer_u32(&w, 1);
	r = call(&w);
	say(reader_u8(&r) == MONITOR_PENDING && reader_done(&r) ? "2 " : "? ");
}

static void listen_on(uint32_t port)
{
	struct writer w = begin(MONITOR_LISTEN, 8);
	struct reader r;
	uint8_t number;

	writer_cstring(&w, "localhost");
	writer_u32(&w, port);
	r = call(&w);
	number = reader_u8(&r);
	say(number == MONITOR_NO ? "1 " : "? ");
}

/* Requests of a login alone: USER, LIMITS. */
static void once(uint8_t type)
{
	struct writer w = begin(type, 11);

	if (type == MONITOR_USER)
		writer_cstring(&w, LOGIN);
	call(&w);
	say("answered ");
}

static void interactive(void)
{
	struct writer w = begin(MONITOR_AUTH_INTERACTIVE, 9);
	struct reader r;

	writer_cstring(&w, LOGIN);
	r = call(&w);
	say(reader_u8(&r) == MONITOR_PENDING ? "pending " : "no ");
}

static void interactive_done(void)
{
	struct reader r = receive(MONITOR_INTERACTIVE_DONE);

	result(&r, true);
}

static void end(void)
{
	struct reader r = receive(MONITOR_END);
	char text[512];

	reader_cstring(&r, text, sizeof(text));
	say("end(");
	say(text);
	say(")");
}

static void raw(const char *bytes, size_t len)
{
	struct writer w = writer_init(out, sizeof(out));

	writer_bytes(&w, bytes, len);
	call(&w);
	say("answered ");
}

static void login(void)
{
	hello();
	sign(32);
	key(hash, LOGIN, ALGORITHM, k.subject);
}

static void with_descriptor(void)
{
	struct writer w = begin(MONITOR_AUTH_NONE, 3);
	int fd = WORKER_FD_CONNECTION;

	writer_cstring(&w, LOGIN);
	writer_u8(&w, 1);
	assert(unixsock_send(WORKER_FD_MONITOR, w.data, w.len, &fd, 1) == 0);
	receive(MONITOR_AUTH_NONE);
	say("answered ");
}

/* Asks and never reads: the monitor must not wait for ever. */
static void deaf(void)
{
	struct pollfd p = {.fd = WORKER_FD_MONITOR, .events = POLLOUT};

	for (int i = 0; i < 20000 && poll(&p, 1, 3000) > 0; i++) {
		struct writer w = begin(MONITOR_SIGN, 2);

		writer_string(&w, hash, 32);
		if (unixsock_send(WORKER_FD_MONITOR, w.data, w.len, NULL, 0) < 0)
			break;
	}
	p.events = 0;
	say(poll(&p, 1, 60000) > 0 ? "gone" : "held up");
}

static int worker(void)
{
	static const uint8_t other[32] = {8};
	char scenario = 0;

	if (read(WORKER_FD_CONNECTION, &scenario, 1) != 1)
		return 1;
	make_keys();
	make_cert(scenario == 'e' ? -60 : 3600);
	if (strchr("lwnFLGMpPrR", scenario) != NULL) {
		login();
	} else if (strchr("kqxyzAfIiCgtU12345678d", scenario) != NULL) {
		hello();
		sign(32);
	}
	/* clang-format off */
	switch (scenario) {
	case 'l': none(LOGIN); break;                                  /* again, after the login */
	case 'w': end(); break;
	case 'n': ask(0, "127.0.0.1", 1); ask(1, "localhost", 0); ask(2, "", 0); session(); break; /* policy allows none of it */
	case 'F': ask(0, "127.0.0.1", 1); connect_to("127.0.0.1", 1); break; /* denied, and asked for all the same */
	case 'L': listen_on(0); break;
	case 'G': session_with(1); break;
	case 'p': ask(0, "127.0.0.1", 1); connect_to("127.0.0.1", 1); connect_to("127.0.0.1", 1); break; /* one yes, used twice */
	case 'P': ask(0, "127.0.0.1", 1); connect_to("127.0.0.1", 2); break; /* for another place */
	case 'r': ask(0, "localhost", 0); listen_on(0); break;
	case 'R': ask(3, "localhost", 0); break;
	case 'M': once(MONITOR_LIMITS); once(MONITOR_LIMITS); break;
	case 'U': once(MONITOR_USER); once(MONITOR_USER); break;
	case 'k': none(LOGIN); query(); key(hash, LOGIN, ALGORITHM, k.subject); break;
	case 'e': hello(); sign(32); query(); key(hash, LOGIN, ALGORITHM, k.subject); break;
	case 'q': session(); break;
	case 'x': key(other, LOGIN, ALGORITHM, k.subject); session(); break;
	case 'y': key(hash, "deploy", ALGORITHM, k.subject); break;
	case 'z': key(hash, LOGIN, ALGORITHM, k.ca); break;
	case 'A': key(hash, LOGIN, "ssh-ed25519", k.subject); break;
	case 'f': for (;;) key(other, LOGIN, ALGORITHM, k.subject);
	case 'I': interactive(); interactive(); break;
	case 'i': interactive(); interactive_done(); break;
	case 'g': interactive(); interactive_done(); session(); break;
	case 'C': interactive(); raw("\7\0\0\0\3", 5); interactive(); session(); break;
	case 't': none(LOGIN); none("deploy"); break;
	case 'h': hello(); hello(); break;
	case 's': hello(); session(); break;
	case 'a': hello(); none(LOGIN); break;
	case 'S': hello(); sign(20); break;
	case 'd': with_descriptor(); break;
	case 'D': hello(); deaf(); break;
	case '1': raw("\3", 1); break;
	case '2': raw("\3\0\0\0\3\0\0\0\5ab", 11); break;
	case '3': raw("\3\0\0\0\3\0\0\0\2ab\1X", 13); break;
	case '4': raw("\143\0\0\0\3", 5); break;
	case '5': raw("\51\0\0\0\3", 5); break;
	case '6': raw("\3\0\0\0\3\377\377\377\377ab\1", 12); break;
	case '7': raw("\3\0\0\0\3\0\0\0\2a\0\1", 12); break;
	default: break;
	}
	/* clang-format on */
	return 0;
}

/* ------------------------------------------------------------------ broker, main and client */

struct world {
	int connection, broker, main, log;
	pid_t monitor;
	char seen[4096], lines[16384];
};

static int memfd_with(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, data, len), 0);
	return fd;
}

static int object(bool allow, bool forwards, json_int_t seq)
{
	char ca[ENCODE_BASE64URL_SIZE(32)], policy[512], *text = NULL;
	json_t *payload;
	int fd;

	snprintf(policy, sizeof(policy),
		 "{\"ssh\": [ {\"from\": [\"alice@example.com\"], \"to\": [\"peer:second\"], "
		 "\"logins\": [\"%s\"], \"allow\": [%s]} ]}",
		 allow ? LOGIN : "nobody", forwards ? "\"forward\"" : "\"sftp\"");
	encode_base64url(ca, k.ca_public, 32);
	payload = json_pack("{s:i,s:s,s:s,s:I,s:I,s:b,s:[s],s:s,s:[{s:s,s:s,s:s,s:s,s:[],s:n},"
			    "{s:s,s:s,s:s,s:s,s:[],s:n}],s:{},s:[]}",
			    "v", 1, "network", "n_one", "peer", SELF, "seq", seq, "valid_until",
			    (json_int_t)time(NULL) + 3600, "enabled", 1, "ca", ca, "policy", policy,
			    "peers", "id", "p_first", "name", "first", "overlay4", "127.0.0.1",
			    "overlay6", "::1", "identities", "setup_key", "id", SELF, "name",
			    "second", "overlay4", "100.64.0.2", "overlay6", "fd00::2", "identities",
			    "setup_key", "identities", "revoked");
	assert_non_null(payload);
	assert_int_equal(signed_make("ssh", payload, sign_with, k.signing, &text), 0);
	json_decref(payload);
	fd = memfd_with(text, strlen(text));
	free(text);
	return fd;
}

static int config(void)
{
	struct ssh_wire_config c = {.session_id = 5,
				    .network = "n_one",
				    .peer_id = SELF,
				    .host_name = "second",
				    .min_seq = 10,
				    .allow_root = true,
				    .allow_local_forward = true,
				    .allow_remote_forward = true,
				    .through_mesh = true,
				    .sshd_config = (const uint8_t *)CONFIG,
				    .sshd_config_len = sizeof(CONFIG) - 1};
	uint8_t data[4096];
	struct writer w = writer_init(data, sizeof(data));

	assert_int_equal(endpoint_parse("127.0.0.1:4000", &c.client), 0);
	assert_int_equal(endpoint_parse("127.0.0.2:22", &c.server), 0);
	memcpy(c.signing_key, k.signing_public, 32);
	memcpy(c.host_key_seed, k.host_seed, 32);
	ssh_wire_config_put(&w, &c);
	return memfd_with(data, w.len);
}

static void start(struct world *t, char scenario, bool allow, json_int_t seq)
{
	int connection[2], broker[2], main_pair[2];
	int fds[5];

	memset(t, 0, sizeof(*t));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, connection), 0);
	assert_int_equal(unixsock_pair(broker), 0);
	assert_int_equal(unixsock_pair(main_pair), 0);
	t->connection = connection[0];
	t->broker = broker[0];
	t->main = main_pair[0];
	t->log = memfd_with("", 0);
	fds[0] = connection[1];
	fds[1] = config();
	fds[2] = object(allow, strchr("pPr", scenario) != NULL, seq);
	fds[3] = broker[1];
	fds[4] = main_pair[1];
	t->monitor = fork();
	if (t->monitor == 0) {
		alarm(120);
		dup2(t->log, 2);
		for (int i = 0; i < 5; i++)
			fds[i] = fcntl(fds[i], F_DUPFD, 100);
		for (int i = 0; i < 5; i++)
			dup2(fds[i], SSH_WIRE_FD_CONNECTION + i);
		close_range(8, ~0U, 0);
		log_init("test", 2, LOG_LEVEL_INFO, false);
		_exit(monitor_run());
	}
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	assert_int_equal(write(t->connection, &scenario, 1), 1);
}

/* Main's part: what the monitor asks for, answered with a URL. */
struct asked {
	uint32_t id;
	char login[64], session[80], address[64];
};

static void main_url(struct world *t, struct asked *a)
{
	ssize_t n = unixsock_recv(t->main, in, sizeof(in), NULL, NULL, 0);
	struct reader r = reader_init(in, n > 0 ? (size_t)n : 0);
	struct writer w;

	assert_int_equal(reader_u8(&r), SSH_WIRE_LOGIN_START);
	a->id = reader_u32(&r);
	reader_cstring(&r, a->login, sizeof(a->login));
	reader_cstring(&r, a->session, sizeof(a->session));
	reader_cstring(&r, a->address, sizeof(a->address));
	assert_true(reader_done(&r));
	w = begin(SSH_WIRE_LOGIN_URL, a->id);
	writer_cstring(&w, "https://control.example/x");
	writer_u64(&w, 0);
	assert_int_equal(unixsock_send(t->main, w.data, w.len, NULL, 0), 0);
}

static void main_grant(struct world *t, const struct asked *a)
{
	json_int_t now = time(NULL);
	json_t *payload = json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:[],s:s,s:s,s:I,s:I,s:I}", "v", 1,
				    "network", "n_one", "target", SELF, "caller", "p_first",
				    "caller_address", a->address, "identity", "alice@example.com",
				    "groups", "login", a->login, "session", a->session, "auth_time",
				    now, "issued", now, "valid_until", now + 60);
	char *text = NULL;
	struct writer w;

	assert_int_equal(signed_make("grant", payload, sign_with, k.signing, &text), 0);
	json_decref(payload);
	w = begin(SSH_WIRE_LOGIN_DONE, a->id);
	writer_u8(&w, 0);
	writer_cstring(&w, "");
	writer_cstring(&w, text);
	free(text);
	assert_int_equal(unixsock_send(t->main, w.data, w.len, NULL, 0), 0);
}

static void play_main(struct world *t, char scenario)
{
	struct asked a;

	if (strchr("IigC", scenario) == NULL)
		return;
	main_url(t, &a);
	if (scenario == 'g')
		a.session[0] = 'x';
	if (scenario == 'i' || scenario == 'g')
		main_grant(t, &a);
	if (scenario != 'C')
		return;
	assert_true(unixsock_recv(t->main, in, sizeof(in), NULL, NULL, 0) > 0);
	assert_int_equal(in[0], SSH_WIRE_LOGIN_CANCEL);
	main_grant(t, &a); /* too late: nobody waits for it */
	main_url(t, &a);
}

static void new_object(struct world *t, bool allow, json_int_t seq)
{
	struct writer w = begin(SSH_WIRE_OBJECT, 0);
	int fd = object(allow, false, seq);

	assert_int_equal(unixsock_send(t->broker, w.data, w.len, &fd, 1), 0);
	close(fd);
}

/* Until worker and monitor are gone. */
static void finish(struct world *t)
{
	size_t len = 0;
	ssize_t n;
	int status;

	while ((n = read(t->connection, t->seen + len, sizeof(t->seen) - 1 - len)) > 0)
		len += (size_t)n;
	/* Most workers are killed before they can say so. */
	if (len >= 4 && strcmp(t->seen + len - 4, "gone") == 0)
		t->seen[len - 4] = '\0';
	assert_int_equal(waitpid(t->monitor, &status, 0), t->monitor);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	n = pread(t->log, t->lines, sizeof(t->lines) - 1, 0);
	assert_true(n > 0);
	close(t->connection);
	close(t->broker);
	close(t->main);
	close(t->log);
	if (getenv("TEST_VERBOSE") != NULL)
		print_message("saw '%s'\n%s", t->seen, t->lines);
}

/* The worker saw exactly that, and the audit lines tell of it. */
static void expect(char scenario, const char *seen, const char *line)
{
	struct world t;

	start(&t, scenario, true, 10);
	play_main(&t, scenario);
	finish(&t);
	if (strcmp(t.seen, seen) != 0 || strstr(t.lines, line) == NULL)
		print_message("scenario %c saw '%s'\n%s", scenario, t.seen, t.lines);
	assert_string_equal(t.seen, seen);
	assert_non_null(strstr(t.lines, line));
}

/* The same, for a lie: its code is in the log and in the event for the audit log. */
static void caught(char scenario, const char *seen, const char *code)
{
	char line[128];

	snprintf(line, sizeof(line), "code=%s ", code);
	expect(scenario, seen, "ssh worker broke the rules");
	expect(scenario, seen, line);
}

static void order(void **state)
{
	(void)state;
	caught('h', "", "twice");		/* HELLO */
	caught('s', "", "before-login");	/* a session before the key exchange */
	caught('q', "", "before-login");	/* a session before the login */
	caught('a', "", "before-key-exchange"); /* a login */
	caught('t', "1 ", "another-login");
	caught('l', "0 ", "login-twice");
	caught('I', "pending ", "twice");
	caught('U', "answered ", "twice");
	caught('M', "0 answered ", "twice");
	caught('S', "", "malformed"); /* a hash of a strange length */
}

static void forwards(void **state)
{
	(void)state;
	expect('n',
	       "0 1(policy does not allow forwards for this login) "
	       "1(policy does not allow remote forwards for this login) "
	       "1(agent forwarding is not allowed for this login) "
	       "1(policy does not allow commands for this login) ",
	       "ssh session refused");
	caught('F', "0 1(policy does not allow forwards for this login) ", "forward-denied");
	caught('L', "0 ", "forward-denied");
	caught('G', "0 ", "forward-denied");
	caught('p', "0 0 2 ", "forward-denied");
	caught('P', "0 0 ", "forward-denied");
	caught('r', "0 1(policy does not allow this destination) ", "forward-denied");
	caught('R', "0 ", "malformed");
}

static void form(void **state)
{
	(void)state;
	for (const char *s = "12367"; *s != '\0'; s++)
		caught(*s, "", "malformed");
	caught('4', "", "unknown-request");
	caught('5', "", "unknown-request");
	caught('d', "", "descriptor");
	expect('D', "", "connection over");
}

static void proof(void **state)
{
	(void)state;
	expect('k', "1 0 0 ", "method=certificate");
	expect('x', "1 ", "does not prove the key"); /* another connection's session id */
	expect('y', "1 ", "does not prove the key");
	expect('z', "1 ", "does not prove the key");
	expect('A', "1 ", "does not prove the key");
	expect('f', "1 1 1 1 ", "too many attempts");
}

static void reasons(void **state)
{
	struct world t;

	(void)state;
	start(&t, 'e', true, 10); /* expired: still told, since the key was proven */
	finish(&t);
	assert_non_null(strstr(t.seen, "0 1(certificate has expired"));
	start(&t, 'k', false, 10); /* refused by policy: nobody is asked to log in again */
	finish(&t);
	assert_non_null(strstr(
		t.seen, "0 1[publickey](policy lets alice@example.com log in on second, but not"));
	start(&t, 'k', true, 9); /* rolled back */
	finish(&t);
	assert_non_null(strstr(t.seen, "1(this machine has no policy"));
	assert_non_null(strstr(t.lines, "older than one seen before"));
}

static void grants(void **state)
{
	(void)state;
	expect('i', "pending 0 ", "method=keyboard-interactive");
	expect('g', "pending 1(the control server's grant is for another connection) ", "code=before-login ");
	/* cancelled, and once more */
	expect('C', "pending answered pending ", "code=before-login ");
}

static void logged_in(struct world *t)
{
	start(t, 'w', true, 10);
	do /* audit events come in between */
		assert_true(unixsock_recv(t->broker, in, sizeof(in), NULL, NULL, 0) > 0);
	while (in[0] == SSH_WIRE_AUDIT || in[0] == SSH_WIRE_KEYS);
	assert_int_equal(in[0], SSH_WIRE_AUTHENTICATED);
}

static void policy(void **state)
{
	struct world t;

	(void)state;
	logged_in(&t);
	new_object(&t, false, 11);
	finish(&t);
	assert_non_null(
		strstr(t.seen, "0 end(access was withdrawn: policy lets alice@example.com"));
	/* The broker has a newer one, which cannot be judged here: what it withdraws is not known. */
	logged_in(&t);
	new_object(&t, true, 9);
	finish(&t);
	assert_non_null(strstr(t.seen, "0 end(access was withdrawn: the newest permissions"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),   cmocka_unit_test(form),   cmocka_unit_test(proof),
		cmocka_unit_test(reasons), cmocka_unit_test(grants), cmocka_unit_test(policy),
		cmocka_unit_test(forwards),
	};

	if (argc >= 2 && strcmp(argv[1], "--worker") == 0)
		return worker();
	if (geteuid() != 0) {
		print_message("skipped: the login of these scenarios is root's\n");
		return 0;
	}
	make_keys();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
