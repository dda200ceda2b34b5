/* SPDX-License-Identifier: Apache-2.0
 *
 * warrend with a main that does what a test says: broker, engine and verifier are the real ones.
 * Main takes one command a connection on the IPC socket and answers with text:
 *
 *   configure A4 A6 MTU PORT | teardown | user-dir UID | fingerprint | pin NETWORK PEER
 *   object SEQ ENABLED VALID_S PEER | session-end ID | forget | uapi FILE | up 0|1 | stats
 *   policy FILE SELF | raw HEX (to the broker) | names EVERY [NAME…] | die
 *
 * Events are printed on stderr as "event …". Signed objects are made with a fixed test key.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/broker.h"
#include "daemon/engine.h"
#include "daemon/verifier.h"
#include "daemon/wire.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "policy/policy.h"

static uint8_t packet[DAEMON_MAX_MESSAGE];

static void test_key(uint8_t public[32], uint8_t secret[64])
{
	const uint8_t seed[32] = {7};

	crypto_sign_seed_keypair(public, secret, seed);
}

static int sign(void *ctx, const void *data, size_t len, uint8_t ret_sig[64])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx);
}

static int sealed(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || file_write_all(fd, data, len) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		abort();
	return fd;
}

static void print_event(const char *from, struct reader *r, uint8_t type, int fd)
{
	char text[4096];
	uint32_t id;
	uint8_t u8;

	switch (type) {
	case WIRE_SWITCHES:
		for (int i = 0; i < 3; i++) {
			static const char *const names[] = {"switches", "hostkey", "warnings"};

			reader_cstring(r, text, sizeof(text));
			fprintf(stderr, "event %s %s\n", names[i], text);
		}
		break;
	case WIRE_CONTROL:
		reader_cstring(r, text, sizeof(text));
		u8 = reader_u8(r);
		reader_take(r, 16);
		fprintf(stderr, "event control %s %u\n", text, u8);
		break;
	case WIRE_MONITOR:
		id = reader_u32(r);
		fprintf(stderr, "event monitor %u fd=%d\n", id, fd >= 0);
		break;
	case WIRE_SESSION:
		id = reader_u32(r);
		reader_cstring(r, text, sizeof(text));
		fprintf(stderr, "event session %u %s\n", id, text);
		break;
	case WIRE_LINK:
		u8 = reader_u8(r);
		fprintf(stderr, "event link %u\n", u8);
		break;
	default:
		fprintf(stderr, "event %s type %u\n", from, type);
		return;
	}
	if (!reader_done(r))
		fprintf(stderr, "event DOES NOT PARSE\n");
}

/* Reads packets of fd until one answers id (0: until there is none). false: it is closed. */
static bool pump(int fd, const char *from, uint32_t id, struct reader *ret_reader)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int fds[UNIXSOCK_MAX_FDS];
		size_t nfds = 0;
		struct reader r;
		uint8_t type;
		ssize_t n;

		if (poll(&p, 1, id ? 15000 : 0) != 1)
			return true;
		n = unixsock_recv(fd, packet, sizeof(packet), fds, &nfds, 0);
		if (n <= 0)
			return false;
		r = reader_init(packet, (size_t)n);
		type = reader_u8(&r);
		if (reader_u32(&r) == id && id != 0) {
			*ret_reader = r;
			return true;
		}
		print_event(from, &r, type, nfds ? fds[0] : -1);
		for (size_t i = 0; i < nfds; i++)
			close(fds[i]);
	}
}

static uint32_t next_id;

/* Sends; *ret_reader stands behind the id of the answer. */
static bool call(int fd, struct writer *w, const int *fds, size_t nfds, struct reader *ret_reader)
{
	*ret_reader = reader_init("", 0);
	return unixsock_send(fd, w->data, w->len, fds, nfds) == 0 &&
	       pump(fd, fd == WIRE_FD_BROKER ? "broker" : "engine", next_id, ret_reader);
}

static struct writer begin(uint8_t type)
{
	static uint8_t out[DAEMON_MAX_MESSAGE];
	struct writer w = writer_init(out, sizeof(out));

	wire_begin(&w, type, ++next_id);
	return w;
}

static void put_addr(struct writer *w, const char *text, const char *route)
{
	struct ip_addr addr = {0};
	struct ip_prefix prefix = {0};
	size_t len;

	if (ip_addr_parse(text, &addr) < 0 || ip_prefix_parse(route, &prefix) < 0)
		abort();
	len = addr.family == 4 ? 4 : 16;
	writer_bytes(w, addr.bytes, len);
	writer_u8(w, (uint8_t)(len * 8));
}

static void put_route(struct writer *w, const char *text)
{
	struct ip_prefix prefix = {0};

	if (ip_prefix_parse(text, &prefix) < 0)
		abort();
	writer_bytes(w, prefix.addr.bytes, prefix.addr.family == 4 ? 4 : 16);
	writer_u8(w, prefix.bits);
}

static void answer(FILE *out, struct reader *r, bool configure)
{
	char sentence[1024], name[32];
	uint8_t failed = reader_u8(r);

	reader_cstring(r, sentence, sizeof(sentence));
	fprintf(out, "%s %s\n", failed ? "failed" : "ok", sentence);
	if (!failed && configure) {
		unsigned port, mode;

		reader_cstring(r, name, sizeof(name));
		port = reader_u16(r);
		mode = reader_u8(r);
		fprintf(out, "interface=%s port=%u ssh=%u\n", name, port, mode);
	}
	if (!reader_done(r))
		fprintf(out, "DOES NOT PARSE\n");
}

static void cmd_configure(FILE *out, char *const *arg)
{
	struct writer w = begin(WIRE_CONFIGURE);
	struct reader r;

	put_addr(&w, arg[1], "100.64.0.0/10");
	put_addr(&w, arg[2], "100.64.0.0/10");
	put_route(&w, arg[5] ? arg[5] : "100.64.0.0/10");
	put_route(&w, "fd77::/48");
	writer_u16(&w, (uint16_t)atoi(arg[3]));
	writer_u16(&w, (uint16_t)atoi(arg[4]));
	if (call(WIRE_FD_BROKER, &w, NULL, 0, &r))
		answer(out, &r, true);
}

static void cmd_simple(FILE *out, uint8_t type, const char *number)
{
	struct writer w = begin(type);
	struct reader r;

	if (number)
		writer_u32(&w, (uint32_t)strtoul(number, NULL, 10));
	if (call(WIRE_FD_BROKER, &w, NULL, 0, &r))
		answer(out, &r, false);
}

static void cmd_pin(FILE *out, char *const *arg)
{
	struct writer w = begin(WIRE_PIN);
	uint8_t public[32], secret[64];
	struct reader r;

	test_key(public, secret);
	if (arg[3]) /* another key */
	public[0] ^= 1;
	writer_bytes(&w, public, sizeof(public));
	writer_cstring(&w, arg[1]);
	writer_cstring(&w, arg[2]);
	if (call(WIRE_FD_BROKER, &w, NULL, 0, &r))
		answer(out, &r, false);
}

static void cmd_object(FILE *out, char *const *arg)
{
	struct writer w = begin(WIRE_SSH_OBJECT);
	uint8_t public[32], secret[64];
	json_t *payload = json_pack("{s:i, s:s, s:s, s:i, s:b, s:I}", "v", 1, "network", "n_test",
				    "peer", arg[4], "seq", atoi(arg[1]), "enabled", atoi(arg[2]),
				    "valid_until", (json_int_t)(time(NULL) + atoi(arg[3])));
	struct reader r;
	char *text;
	int fd;

	test_key(public, secret);
	if (signed_make("ssh", payload, sign, secret, &text) < 0)
		abort();
	if (arg[5]) /* forged */
		text[strlen(text) / 2] ^= 1;
	fd = sealed(text, strlen(text));
	if (call(WIRE_FD_BROKER, &w, &fd, 1, &r))
		answer(out, &r, false);
	close(fd);
	free(text);
	json_decref(payload);
}

static void read_file(const char *path, struct buffer *out)
{
	buffer_init(out, 1 << 20);
	if (file_read(path, out) < 0)
		abort();
}

static void cmd_uapi(FILE *out, const char *path)
{
	struct writer w = begin(WIRE_UAPI);
	struct buffer text;
	const uint8_t *part = NULL;
	struct reader r;
	size_t len = 0;

	read_file(path, &text);
	writer_string(&w, text.data, text.len);
	buffer_done(&text);
	if (!call(WIRE_FD_ENGINE, &w, NULL, 0, &r))
		return;
	do {
		part = reader_string(&r, DAEMON_MAX_MESSAGE, &len);
		fwrite(part, 1, len, out);
	} while (len >= 2 && memcmp(part + len - 2, "\n\n", 2) != 0 &&
		 pump(WIRE_FD_ENGINE, "engine", next_id, &r));
}

static void cmd_up(FILE *out, const char *up)
{
	struct writer w = begin(WIRE_UP);

	writer_u8(&w, (uint8_t)atoi(up));
	fprintf(out, "%d\n", unixsock_send(WIRE_FD_ENGINE, w.data, w.len, NULL, 0));
}

static void cmd_stats(FILE *out)
{
	struct writer w = begin(WIRE_STATS);
	struct reader r;

	if (!call(WIRE_FD_ENGINE, &w, NULL, 0, &r))
		return;
	for (uint32_t n = reader_u32(&r); n > 0 && !r.failed; n--) {
		char name[64];

		reader_cstring(&r, name, sizeof(name));
		fprintf(out, "%s=%llu\n", name, (unsigned long long)reader_u64(&r));
	}
	fprintf(out, "%s\n", reader_done(&r) ? "ok" : "DOES NOT PARSE");
}

static void add_peer(struct policy_world *world, const char *id, const char *name, const char *v4,
		     const char *v6)
{
	struct policy_peer peer = {
		.id = id, .name = name, .ssh_enabled = true, .ssh_advertised = true};

	if (ip_addr_parse(v4, &peer.v4) < 0 || ip_addr_parse(v6, &peer.v6) < 0 ||
	    policy_world_add_peer(world, &peer) < 0)
		abort();
}

static void cmd_policy(FILE *out, const char *path, const char *self)
{
	struct writer w = begin(WIRE_POLICY);
	struct policy_world *world;
	struct policy *policy;
	struct error err = {0};
	struct buffer text;
	struct reader r;
	size_t len;
	void *blob;
	int fd;

	read_file(path, &text);
	if (policy_world_new(&world) < 0)
		abort();
	add_peer(world, "p_a", "a", "100.64.0.1", "fd77::1");
	add_peer(world, "p_b", "b", "100.64.0.2", "fd77::2");
	if (policy_parse(path, (const char *)text.data, text.len, &policy, &err) < 0 ||
	    policy_compile(policy, world, self, time(NULL), &blob, &len, &err) < 0) {
		fprintf(out, "failed %s\n", error_text(&err));
		return;
	}
	fd = sealed(blob, len);
	if (call(WIRE_FD_ENGINE, &w, &fd, 1, &r))
		fprintf(out, "%s\n", reader_u8(&r) == 0 ? "ok" : "failed");
	close(fd);
	free(blob);
	policy_free(policy);
	policy_world_free(world);
	buffer_done(&text);
}

static void cmd_raw(FILE *out, const char *hex)
{
	uint8_t bytes[256];
	size_t len = 0;

	if (encode_hex_decode(bytes, sizeof(bytes), hex, strlen(hex), &len) < 0)
		abort();
	fprintf(out, "sent\n"); /* first: the broker may end us before the next line */
	fflush(out);
	if (unixsock_send(WIRE_FD_BROKER, bytes, len, NULL, 0) < 0)
		abort();
}

/* As they are given: main may lie. */
static void cmd_names(FILE *out, char *const *arg)
{
	struct writer w = begin(WIRE_SSH_NAMES);
	struct reader r;
	uint16_t count = 0;

	while (arg[2 + count])
		count++;
	writer_u8(&w, (uint8_t)strtoul(arg[1], NULL, 10));
	writer_u16(&w, count);
	for (uint16_t i = 0; i < count; i++) {
		writer_u8(&w, (uint8_t)strlen(arg[2 + i]));
		writer_bytes(&w, arg[2 + i], strlen(arg[2 + i]));
	}
	if (call(WIRE_FD_BROKER, &w, NULL, 0, &r))
		answer(out, &r, false);
}

static void cmd_fingerprint(FILE *out)
{
	char text[ENCODE_BASE64URL_SIZE(16)];
	uint8_t public[32], secret[64], fingerprint[16];

	test_key(public, secret);
	signed_fingerprint(public, fingerprint);
	encode_base64url(text, fingerprint, sizeof(fingerprint));
	fprintf(out, "%s\n", text);
}

static void serve(FILE *out, char *line)
{
	char *arg[8] = {0};
	size_t count = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *word = strtok(line, " "); word && count < 7; word = strtok(NULL, " "))
		arg[count++] = word;
	if (count == 0)
		return;
	if (strcmp(arg[0], "configure") == 0 && count >= 5)
		cmd_configure(out, arg);
	else if (strcmp(arg[0], "teardown") == 0)
		cmd_simple(out, WIRE_TEARDOWN, NULL);
	else if (strcmp(arg[0], "forget") == 0)
		cmd_simple(out, WIRE_FORGET, NULL);
	else if (strcmp(arg[0], "user-dir") == 0 && count == 2)
		cmd_simple(out, WIRE_USER_DIR, arg[1]);
	else if (strcmp(arg[0], "session-end") == 0 && count == 2)
		cmd_simple(out, WIRE_SESSION_END, arg[1]);
	else if (strcmp(arg[0], "pin") == 0 && count >= 3)
		cmd_pin(out, arg);
	else if (strcmp(arg[0], "object") == 0 && count >= 5)
		cmd_object(out, arg);
	else if (strcmp(arg[0], "uapi") == 0 && count == 2)
		cmd_uapi(out, arg[1]);
	else if (strcmp(arg[0], "up") == 0 && count == 2)
		cmd_up(out, arg[1]);
	else if (strcmp(arg[0], "stats") == 0)
		cmd_stats(out);
	else if (strcmp(arg[0], "policy") == 0 && count == 3)
		cmd_policy(out, arg[1], arg[2]);
	else if (strcmp(arg[0], "raw") == 0 && count == 2)
		cmd_raw(out, arg[1]);
	else if (strcmp(arg[0], "names") == 0 && count >= 2)
		cmd_names(out, arg);
	else if (strcmp(arg[0], "fingerprint") == 0)
		cmd_fingerprint(out);
	else if (strcmp(arg[0], "die") == 0)
		exit(9);
	else
		fprintf(out, "what?\n");
}

static int fake_main(void)
{
	const bool engine = unixsock_peer_cred(WIRE_FD_ENGINE, &(struct unixsock_cred){0}) == 0;
	struct reader unused;

	for (;;) {
		struct pollfd p[] = {{.fd = WIRE_FD_BROKER, .events = POLLIN},
				     {.fd = WIRE_FD_IPC, .events = POLLIN},
				     {.fd = engine ? WIRE_FD_ENGINE : -1, .events = POLLIN}};
		char line[4096];
		FILE *stream;
		int fd;

		if (poll(p, 3, -1) < 0)
			return 1;
		if (p[0].revents && !pump(WIRE_FD_BROKER, "broker", 0, &unused))
			return 0;
		if (p[2].revents && !pump(WIRE_FD_ENGINE, "engine", 0, &unused))
			return 1;
		fd = p[1].revents ? accept(WIRE_FD_IPC, NULL, NULL) : -1;
		stream = fd >= 0 ? fdopen(fd, "r+") : NULL;
		if (!stream)
			continue;
		if (fgets(line, sizeof(line), stream))
			serve(stream, line);
		fclose(stream);
	}
}

int main(int argc, char **argv)
{
	struct daemon_options options;
	struct error err = {0};

	if (secret_process_init() < 0 || options_parse(argc, argv, &options, &err) < 0) {
		fprintf(stderr, "%s\n", error_text(&err));
		return 2;
	}
	log_init(options.role[0] ? options.role : "broker", STDERR_FILENO, options.log_level,
		 false);
	if (strcmp(options.role, "engine") == 0)
		return engine_run(options.shards);
	if (strcmp(options.role, "verifier") == 0)
		return verifier_run();
	if (strcmp(options.role, "main") == 0)
		return fake_main();
	return broker_run(&options);
}
