/* SPDX-License-Identifier: Apache-2.0
 *
 * The control server whole, but for TLS: its real signer child, an SQLite store in memory, its
 * routes on a Unix socket in a folder of its own, and a clock that the test owns. Peers enrol,
 * listen, and see each other come and go as the policy says; bad requests are refused with their
 * codes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/api.h"
#include "control/proto/map.h"
#include "control/proto/setup_key.h"
#include "control/signer.h"
#include "control/state_impl.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/secret.h"

/* The clock starts at the real time, because the signer child looks at its own. */
static int64_t start_s;
#define NOW start_s

struct fixture {
	char dir[64], public_path[96], admin_path[96], key_dir[96];
	uv_loop_t loop;
	struct clock_fake time;
	struct clock clock;
	struct control_config config;
	struct control c;
	struct api *api;
	uint8_t signing[32], enroll[32];
};

struct machine {
	char name[32], id[IDENT_SIZE], v4[IP_ADDR_STRLEN];
	uint8_t node[32], node_secret[32], path[32], path_secret[32], identity[32],
		identity_secret[64];
	bool ssh;
};

/* ---- a client on the same loop ---- */

struct client {
	struct fixture *f;
	uv_pipe_t pipe;
	uv_connect_t connect;
	uv_write_t write;
	struct buffer out, in;
	bool ended, closed;
};

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
	(void)h;
	(void)n;
	*buf = uv_buf_init(malloc(65536), 65536);
}

static void on_client_closed(uv_handle_t *h)
{
	((struct client *)h->data)->closed = true;
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = s->data;

	if (n > 0)
		assert_int_equal(0, buffer_append(&c->in, buf->base, (size_t)n));
	free(buf->base);
	if (n < 0)
		c->ended = true;
}

static void on_connected(uv_connect_t *connect, int status)
{
	struct client *c = connect->handle->data;
	uv_buf_t buf = uv_buf_init((char *)c->out.data, (unsigned)c->out.len);

	assert_int_equal(0, status);
	assert_int_equal(0, uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read));
	assert_int_equal(0, uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, NULL));
}

static void client_close(struct client *c)
{
	uv_close((uv_handle_t *)&c->pipe, on_client_closed);
	while (!c->closed)
		uv_run(&c->f->loop, UV_RUN_ONCE);
	buffer_done(&c->out);
	buffer_done(&c->in);
	free(c);
}

struct call {
	const char *method, *path, *query, *body;
	const struct httpsig_key *keys;
	size_t key_count;
	int64_t created_s; /* 0: now */
	bool admin, close;
	const uint8_t *nonce;	      /* NULL: random */
	struct httpsig_headers *keep; /* what was sent */
};

static struct client *client_open(struct fixture *f, const struct call *q)
{
	struct client *c = calloc(1, sizeof(*c));
	size_t len = q->body ? strlen(q->body) : 0;
	struct httpsig_message m = {q->method, "control:8443", q->path, q->query, q->body, len};
	struct httpsig_headers h = {0};
	uint8_t nonce[16];

	c->f = f;
	buffer_init(&c->out, 4u << 20);
	buffer_init(&c->in, 16u << 20);
	randombytes_buf(nonce, sizeof(nonce));
	if (q->key_count)
		assert_int_equal(0, httpsig_sign(&m, q->keys, q->key_count,
						 q->created_s ? q->created_s : NOW,
						 q->nonce ? q->nonce : nonce, &h));
	assert_int_equal(0, buffer_printf(&c->out,
					  "%s %s%s%s HTTP/1.1\r\nHost: control:8443\r\n"
					  "Content-Length: %zu\r\n%s",
					  q->method, q->path, q->query ? "?" : "",
					  q->query ? q->query : "", len,
					  q->close ? "Connection: close\r\n" : ""));
	if (q->key_count)
		assert_int_equal(0, buffer_printf(&c->out, "%s\r\n%s\r\n%s\r\n", h.digest, h.input,
						  h.signature));
	assert_int_equal(0, buffer_printf(&c->out, "\r\n%s", q->body ? q->body : ""));
	if (q->keep)
		*q->keep = h;
	assert_int_equal(0, uv_pipe_init(&f->loop, &c->pipe, 0));
	c->pipe.data = c;
	uv_pipe_connect(&c->connect, &c->pipe, q->admin ? f->admin_path : f->public_path,
			on_connected);
	return c;
}

/* Runs the loop until the answer is whole; its status, and the body as JSON (NULL: none). */
static int call(struct fixture *f, struct call q, json_t **ret_json)
{
	q.close = true;
	struct client *c = client_open(f, &q);
	int status;

	while (!c->ended)
		uv_run(&f->loop, UV_RUN_ONCE);
	const char *text = buffer_cstring(&c->in);
	assert_non_null(strstr(text, "\r\n\r\n"));
	status = (int)strtol(text + 9, NULL, 10);
	const char *body = strstr(text, "\r\n\r\n") + 4;
	json_t *root = *body ? json_loads(body, 0, NULL) : NULL;
	if (ret_json)
		*ret_json = root;
	else
		json_decref(root);
	client_close(c);
	return status;
}

static void expect_error(struct fixture *f, struct call q, int status, const char *code)
{
	json_t *root;

	assert_int_equal(status, call(f, q, &root));
	assert_string_equal(
		code, json_string_value(json_object_get(json_object_get(root, "error"), "code")));
	assert_true(json_string_length(json_object_get(json_object_get(root, "error"), "message")) >
		    10);
	json_decref(root);
}

/* ---- the server ---- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = {0};
	uint8_t issuer[32];

	snprintf(f->dir, sizeof(f->dir), "/tmp/warren-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->public_path, sizeof(f->public_path), "%s/public", f->dir);
	snprintf(f->admin_path, sizeof(f->admin_path), "%s/admin", f->dir);
	snprintf(f->key_dir, sizeof(f->key_dir), "%s/keys", f->dir);
	f->time = (struct clock_fake){1000 * NSEC_PER_SEC, (uint64_t)NOW * NSEC_PER_SEC};
	f->clock = clock_fake_clock(&f->time);
	f->config = (struct control_config){.public_url = "https://control:8443",
					    .stun_listen = "0.0.0.0:3478",
					    .domain = "warren.internal",
					    .client_id = "warren",
					    .map_ttl_s = 86400,
					    .login_ttl_s = 86400,
					    .ssh_default = true};
	f->c = (struct control){.config = &f->config,
				.loop = &f->loop,
				.clock = &f->clock,
				.random = &random_system};
	assert_int_equal(0, signer_new(f->key_dir, &f->c.signer, &err));
	assert_int_equal(0, uv_loop_init(&f->loop));
	const struct server_config config = {
		.loop = &f->loop, .admin_socket = f->admin_path, .public_socket = f->public_path};
	assert_int_equal(0, server_new(&config, &f->c.server, &err));
	assert_int_equal(0, store_new(&f->loop, &store_sqlite_ops, ":memory:", &random_system,
				      &f->c.store, &err));
	assert_int_equal(0, state_new(&f->c, &f->c.state, &err));
	assert_int_equal(0, api_new(&f->c, "AAAA", &f->api, &err));
	assert_int_equal(0, admin_routes(&f->c));
	assert_int_equal(0, server_start(f->c.server, &err));
	assert_int_equal(0, signer_public(f->c.signer, f->signing, issuer, f->enroll));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	state_stop(f->c.state);
	server_stop(f->c.server);
	store_close(f->c.store);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(0, uv_loop_close(&f->loop));
	api_free(f->api);
	state_free(f->c.state);
	store_free(f->c.store);
	server_free(f->c.server);
	signer_free(f->c.signer);
	static const char *const files[] = {"keys/signing.seed", "keys/issuer.seed", "keys/ca.seed",
					    "keys/enroll.key"};
	for (size_t i = 0; i < 4; i++) {
		snprintf(command, sizeof(command), "%s/%s", f->dir, files[i]);
		assert_int_equal(0, unlink(command));
	}
	assert_int_equal(0, rmdir(f->key_dir));
	assert_int_equal(0, rmdir(f->dir));
	free(f);
	return 0;
}

/* ---- machines ---- */

static void machine_make(struct machine *m, const char *name)
{
	*m = (struct machine){0};
	snprintf(m->name, sizeof(m->name), "%s", name);
	crypto_box_keypair(m->node, m->node_secret);
	crypto_box_keypair(m->path, m->path_secret);
	crypto_sign_keypair(m->identity, m->identity_secret);
}

static json_t *b64(const uint8_t *data, size_t len)
{
	char text[128];

	encode_base64url(text, data, len);
	return json_string(text);
}

static json_t *proof(const struct fixture *f, const uint8_t secret[32],
		     const uint8_t public_key[32], const uint8_t identity[32])
{
	uint8_t shared[32], out[32], text[16 + 64];

	assert_int_equal(0, crypto_scalarmult(shared, secret, f->enroll));
	memcpy(text, "warren enroll v1", 16);
	memcpy(text + 16, public_key, 32);
	memcpy(text + 48, identity, 32);
	crypto_generichash(out, 32, text, sizeof(text), shared, 32);
	return b64(out, 32);
}

static char *enroll_body(const struct fixture *f, const struct machine *m)
{
	json_t *body =
		json_pack("{s:s,s:o,s:o,s:o,s:[],s:s,s:s,s:{s:b,s:i,s:[]},s:o,s:o}", "hostname",
			  m->name, "node_key", b64(m->node, 32), "path_key", b64(m->path, 32),
			  "identity_key", b64(m->identity, 32), "host_keys", "os", "linux",
			  "version", "0.1.0", "ssh", "advertised", m->ssh, "port", 22022,
			  "features", "proof_node", proof(f, m->node_secret, m->node, m->identity),
			  "proof_path", proof(f, m->path_secret, m->path, m->identity));
	char *text = json_dumps(body, JSON_COMPACT);

	json_decref(body);
	return text;
}

/* The signatures of an enrolment with this setup key. */
struct enroll_keys {
	char sk[64], ik[64];
	uint8_t secret[64];
	struct httpsig_key keys[2];
};

static void make_enroll_keys(struct enroll_keys *k, const char *setup_key, const struct machine *m)
{
	uint8_t seed[32], print[16], public_key[32];

	assert_int_equal(0, setup_key_parse(setup_key, seed, print));
	setup_key_pair(seed, public_key, k->secret);
	memcpy(k->sk, "sk_", 4);
	encode_base64url(k->sk + 3, public_key, 32);
	memcpy(k->ik, "ik_", 4);
	encode_base64url(k->ik + 3, m->identity, 32);
	k->keys[0] = (struct httpsig_key){'w', k->sk, k->secret};
	k->keys[1] = (struct httpsig_key){'i', k->ik, m->identity_secret};
}

static void create_key(struct fixture *f, const char *body, char out[SETUP_KEY_TEXT_SIZE])
{
	json_t *root;

	assert_int_equal(
		201,
		call(f, (struct call){"POST", "/v1/admin/setup-keys", .body = body, .admin = true},
		     &root));
	snprintf(out, SETUP_KEY_TEXT_SIZE, "%s", json_string_value(json_object_get(root, "key")));
	json_decref(root);
}

static void enroll(struct fixture *f, struct machine *m, const char *setup_key, int status)
{
	struct enroll_keys k;
	char *body = enroll_body(f, m);
	json_t *root, *payload;
	const char *text;

	make_enroll_keys(&k, setup_key, m);
	assert_int_equal(status, call(f,
				      (struct call){"POST", "/v1/enroll", .body = body,
						    .keys = k.keys, .key_count = 2},
				      &root));
	text = json_string_value(json_object_get(root, "signed"));
	payload = signed_open(text, strlen(text), "peer", f->signing, NOW, 60, NULL);
	assert_non_null(payload);
	assert_string_equal(json_string_value(json_object_get(payload, "peer")),
			    json_string_value(json_object_get(root, "peer")));
	snprintf(m->id, sizeof(m->id), "%s", json_string_value(json_object_get(root, "peer")));
	snprintf(m->v4, sizeof(m->v4), "%s", json_string_value(json_object_get(root, "overlay4")));
	snprintf(m->name, sizeof(m->name), "%s", json_string_value(json_object_get(root, "name")));
	json_decref(payload);
	json_decref(root);
	free(body);
}

static struct httpsig_key machine_key(const struct machine *m)
{
	return (struct httpsig_key){'w', m->id, m->identity_secret};
}

/* ---- a listener ---- */

struct listener {
	struct fixture *f;
	const struct machine *m;
	struct client *client;
	size_t at; /* of what was not read yet */
	struct map *map;
	int64_t revision;
};

static struct listener *listen_open(struct fixture *f, const struct machine *m, const char *query)
{
	struct listener *l = calloc(1, sizeof(*l));
	struct httpsig_key key = machine_key(m);

	l->f = f;
	l->m = m;
	assert_int_equal(0, map_new(&l->map));
	l->client = client_open(
		f, &(struct call){"GET", "/v1/stream", query, .keys = &key, .key_count = 1});
	return l;
}

static void listen_close(struct listener *l)
{
	client_close(l->client);
	map_free(l->map);
	free(l);
}

/* The next line, out of the chunks; NULL: the answer ended. */
static json_t *next_line(struct listener *l)
{
	for (;;) {
		const char *text = buffer_cstring(&l->client->in);

		if (text && l->at == 0 && strstr(text, "\r\n\r\n")) {
			assert_int_equal(0, strncmp(text, "HTTP/1.1 200", 12));
			l->at = (size_t)(strstr(text, "\r\n\r\n") - text) + 4;
		}
		if (text && l->at && strstr(text + l->at, "\r\n")) {
			char *end;
			size_t len = strtoul(text + l->at, &end, 16);
			size_t from = (size_t)(end - text) + 2;

			if (len == 0)
				return NULL;
			if (l->client->in.len >= from + len + 2) {
				assert_int_equal('\n', text[from + len - 1]);
				json_t *line = json_loadb(text + from, len, 0, NULL);
				assert_non_null(line);
				l->at = from + len + 2;
				return line;
			}
		}
		if (l->client->ended)
			return NULL;
		uv_run(&l->f->loop, UV_RUN_ONCE);
	}
}

static const char *type_of(const json_t *line)
{
	return json_string_value(json_object_get(line, "type"));
}

static void check_head(struct listener *l, const json_t *line)
{
	const char *text = json_string_value(json_object_get(line, "signed"));
	json_t *head = signed_open(text, strlen(text), "map", l->f->signing, NOW, 60, NULL);
	uint8_t digest[32];
	char hex[65];

	assert_non_null(head);
	map_digest(l->map, digest);
	encode_hex(hex, digest, 32);
	assert_string_equal(hex, json_string_value(json_object_get(head, "digest")));
	assert_string_equal(l->m->id, json_string_value(json_object_get(head, "peer")));
	assert_int_equal(l->revision, json_integer_value(json_object_get(head, "revision")));
	json_decref(head);
}

/* hello, snapshot, sets, end. */
static void read_snapshot(struct listener *l)
{
	json_t *line = next_line(l);

	assert_string_equal("hello", type_of(line));
	json_decref(line);
	line = next_line(l);
	assert_string_equal("snapshot", type_of(line));
	l->revision = json_integer_value(json_object_get(line, "revision"));
	json_decref(line);
	while ((line = next_line(l)) && strcmp(type_of(line), "set") == 0) {
		assert_int_equal(0, map_set(l->map, json_string_value(json_object_get(line, "key")),
					    json_object_get(line, "value")));
		json_decref(line);
	}
	assert_string_equal("end", type_of(line));
	check_head(l, line);
	json_decref(line);
}

static void read_delta(struct listener *l)
{
	json_t *line = next_line(l);

	assert_string_equal("delta", type_of(line));
	assert_int_equal(l->revision, json_integer_value(json_object_get(line, "from")));
	l->revision = json_integer_value(json_object_get(line, "to"));
	assert_int_equal(0, map_apply(l->map, json_object_get(line, "ops"), NULL));
	check_head(l, line);
	json_decref(line);
}

static bool sees(const struct listener *l, const struct machine *m)
{
	char key[64];

	snprintf(key, sizeof(key), "peer:%s", m->id);
	return map_get(l->map, key) != NULL;
}

static void set_policy(struct fixture *f, const char *text)
{
	assert_int_equal(204, call(f,
				   (struct call){"PUT", "/v1/admin/policy", "file=p.json", text,
						 .admin = true},
				   NULL));
}

#define BOTH                                                                                       \
	"{\"rules\":[{\"from\":[\"peer:one\"],\"to\":[\"peer:two\"],\"proto\":\"tcp\",\"ports\":"  \
	"\"22\"}]}"

/* ---- tests ---- */

static void test_server_object(void **state)
{
	struct fixture *f = *state;
	json_t *root, *payload;

	assert_int_equal(200, call(f, (struct call){.method = "GET", .path = "/v1/server"}, &root));
	const char *text = json_string_value(json_object_get(root, "signed"));
	payload = signed_open(text, strlen(text), "server", f->signing, NOW, 60, NULL);
	assert_non_null(payload);
	assert_string_equal("warren.internal",
			    json_string_value(json_object_get(payload, "domain")));
	assert_string_equal("control:3478",
			    json_string_value(json_array_get(json_object_get(payload, "stun"), 0)));
	json_decref(payload);
	json_decref(root);
	expect_error(f, (struct call){.method = "GET", .path = "/v1/nothing"}, 404, "not_found");
	expect_error(f, (struct call){.method = "POST", .path = "/v1/server"}, 405, "bad_request");
	/* No admin route on the public side. */
	expect_error(f, (struct call){.method = "GET", .path = "/v1/admin/peers"}, 404,
		     "not_found");
}

static void test_enroll_and_see(void **state)
{
	struct fixture *f = *state;
	struct machine one, two, three;
	char key[SETUP_KEY_TEXT_SIZE];

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "One.example.com");
	machine_make(&two, "two");
	machine_make(&three, "one");
	two.ssh = true;
	enroll(f, &one, key, 201);
	enroll(f, &two, key, 201);
	enroll(f, &three, key, 201);
	assert_string_equal(one.name, "one");
	assert_string_equal(three.name, "one-2");
	assert_string_not_equal(one.v4, two.v4);
	/* Again with the same identity: the same peer. */
	struct machine again = one;
	enroll(f, &again, key, 200);
	assert_string_equal(again.id, one.id);
	assert_string_equal(again.v4, one.v4);

	struct listener *l1 = listen_open(f, &one, NULL), *l2 = listen_open(f, &two, NULL);
	read_snapshot(l1);
	read_snapshot(l2);
	assert_false(sees(l1, &two));
	assert_null(map_get(l1->map, "ssh"));
	assert_non_null(map_get(l2->map, "ssh"));
	set_policy(f, BOTH);
	read_delta(l1);
	read_delta(l2);
	assert_true(sees(l1, &two) && sees(l2, &one));
	assert_false(sees(l1, &three) || sees(l2, &three));
	/* The object for the monitor knows both machines and grows. */
	const char *text = json_string_value(json_object_get(map_get(l2->map, "ssh"), "signed"));
	json_t *ssh = signed_open(text, strlen(text), "ssh", f->signing, NOW, 60, NULL);
	assert_non_null(ssh);
	assert_int_equal(2, json_array_size(json_object_get(ssh, "peers")));
	assert_int_equal(1, json_array_size(json_object_get(ssh, "ca")));
	assert_true(json_integer_value(json_object_get(ssh, "seq")) > 0);
	json_decref(ssh);
	/* A third machine without a rule changes nothing for the others; removal of one does. */
	char path[64];
	snprintf(path, sizeof(path), "/v1/admin/peers/%s", two.id);
	assert_int_equal(204, call(f, (struct call){"DELETE", path, .admin = true}, NULL));
	/* First its sessions end, while there is a way for the line to their users. */
	read_delta(l2);
	text = json_string_value(json_object_get(map_get(l2->map, "ssh"), "signed"));
	ssh = signed_open(text, strlen(text), "ssh", f->signing, NOW, 60, NULL);
	assert_true(json_is_false(json_object_get(ssh, "enabled")));
	assert_true(sees(l2, &one));
	json_decref(ssh);
	json_t *reset = next_line(l2);
	assert_string_equal("reset", type_of(reset));
	assert_string_equal("removed", json_string_value(json_object_get(reset, "reason")));
	json_decref(reset);
	assert_null(next_line(l2));
	read_delta(l1);
	assert_false(sees(l1, &two));
	listen_close(l1);
	listen_close(l2);
	struct httpsig_key k = machine_key(&two);
	expect_error(f, (struct call){"GET", "/v1/stream", .keys = &k, .key_count = 1}, 401,
		     "unknown_peer");
}

static void test_cursor(void **state)
{
	struct fixture *f = *state;
	struct machine one, two;
	char key[SETUP_KEY_TEXT_SIZE], query[64];

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	machine_make(&two, "two");
	enroll(f, &one, key, 201);
	enroll(f, &two, key, 201);
	struct listener *l = listen_open(f, &one, NULL);
	read_snapshot(l);
	struct map *saved;
	int64_t revision = l->revision;
	assert_int_equal(0, map_copy(l->map, &saved));
	listen_close(l);
	for (int i = 0; i < 3; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	set_policy(f, BOTH); /* while nobody listens */
	snprintf(query, sizeof(query), "epoch=1&cursor=%lld", (long long)revision);
	l = listen_open(f, &one, query);
	map_free(l->map);
	l->map = saved;
	l->revision = revision;
	json_t *hello = next_line(l);
	json_decref(hello);
	read_delta(l);
	assert_true(sees(l, &two));
	/* A second stream of the same peer ends the first. */
	struct listener *other = listen_open(f, &one, "epoch=1&cursor=0");
	read_snapshot(other);
	json_t *reset = next_line(l);
	assert_string_equal("restart", json_string_value(json_object_get(reset, "reason")));
	json_decref(reset);
	listen_close(l);
	listen_close(other);
}

static void test_login_moves_maps(void **state)
{
	struct fixture *f = *state;
	struct machine one, two;
	char key[SETUP_KEY_TEXT_SIZE];
	const char *groups[] = {"admins", "others"};

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	machine_make(&two, "two");
	enroll(f, &one, key, 201);
	enroll(f, &two, key, 201);
	set_policy(f, "{\"groups\":{\"g\":[\"group:admins\"]},\"rules\":[{\"from\":[\"g\"],\"to\":"
		      "[\"peer:two\"],\"proto\":\"tcp\",\"ports\":\"22\"}]}");
	struct listener *l = listen_open(f, &two, NULL);
	read_snapshot(l);
	assert_false(sees(l, &one));
	state_login(f->c.state, one.id, "alice@example.com", groups, 2, NOW + 100, NULL, NULL);
	read_delta(l);
	assert_true(sees(l, &one));
	/* Only the group that the slice can ask for. */
	json_t *known = json_object_get(map_get(l->map, "identities"), "alice@example.com");
	assert_int_equal(1, json_array_size(known));
	/* Time ends it. */
	f->time.realtime_ns += 101 * NSEC_PER_SEC;
	f->time.monotonic_ns += 101 * NSEC_PER_SEC;
	state_tick(f->c.state);
	json_t *line = next_line(l); /* 25 s are over too */
	assert_string_equal("ping", type_of(line));
	json_decref(line);
	read_delta(l);
	assert_false(sees(l, &one));
	/* And so does forgetting the person. */
	state_login(f->c.state, one.id, "alice@example.com", groups, 2, NOW + 1000, NULL, NULL);
	read_delta(l);
	assert_true(sees(l, &one));
	state_forget(f->c.state, "bob@example.com");
	state_forget(f->c.state, "alice@example.com");
	read_delta(l);
	assert_false(sees(l, &one));
	listen_close(l);
}

static void took_result(void *ctx, int result)
{
	*(int *)ctx = result;
}

static size_t group_count(const struct listener *l)
{
	return json_array_size(
		json_object_get(map_get(l->map, "identities"), "alice@example.com"));
}

/* The newest login says the groups everywhere: not the one with more of them, not one that a machine
 * happens to see, not an old token that is shown again. */
static void test_newest_groups(void **state)
{
	struct fixture *f = *state;
	struct machine one, two, three;
	char key[SETUP_KEY_TEXT_SIZE];
	const char *groups[] = {"admins"};

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	machine_make(&two, "two");
	machine_make(&three, "three");
	enroll(f, &one, key, 201);
	enroll(f, &two, key, 201);
	enroll(f, &three, key, 201);
	set_policy(f, "{\"rules\":[{\"from\":[\"peer:one\"],\"to\":[\"peer:two\"]}],\"ssh\":["
		      "{\"from\":[\"group:admins\"],\"to\":[\"peer:two\"],\"logins\":[\"x\"]}]}");
	struct listener *l = listen_open(f, &two, NULL);
	read_snapshot(l);
	state_login(f->c.state, one.id, "alice@example.com", groups, 1, NOW + 1000, NULL, NULL);
	read_delta(l);
	assert_int_equal(1, group_count(l));
	/* On a machine that this one does not see. */
	state_login(f->c.state, three.id, "alice@example.com", NULL, 0, NOW + 2000, NULL, NULL);
	read_delta(l);
	assert_false(sees(l, &three));
	assert_int_equal(0, group_count(l));
	int result = -1;
	state_login(f->c.state, three.id, "alice@example.com", groups, 1, NOW + 1999, took_result,
		    &result);
	assert_int_equal(0, result);
	assert_int_equal(NOW + 2000 - 86400,
			 state_login_issued(f->c.state, "alice@example.com"));
	state_login(f->c.state, one.id, "alice@example.com", groups, 1, NOW + 3000, NULL, NULL);
	read_delta(l);
	assert_int_equal(1, group_count(l));
	listen_close(l);
}


/* The newest list "blocked" of the machine's object of type "ssh". */
static json_t *blocked_list(struct listener *l)
{
	const char *text = json_string_value(json_object_get(map_get(l->map, "ssh"), "signed"));
	assert_non_null(text);
	const char *payload = strchr(strchr(text, '.') + 1, '.') + 1;
	size_t len = strcspn(payload, "."), n;
	char *raw = malloc(len);
	assert_int_equal(0, encode_base64url_decode(raw, len, payload, len, &n));
	json_t *object = json_loadb(raw, n, 0, NULL);
	free(raw);
	assert_non_null(object);
	json_t *list = json_incref(json_object_get(object, "blocked"));
	json_decref(object);
	return list;
}

/* What a logout, a block and an old token are worth, here and in what targets are told. */
static void test_cutoffs(void **state)
{
	struct fixture *f = *state;
	struct machine one, two;
	char key[SETUP_KEY_TEXT_SIZE];
	int64_t ttl = f->config.login_ttl_s;
	struct state *s = f->c.state;

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	machine_make(&two, "two");
	two.ssh = true;
	enroll(f, &one, key, 201);
	enroll(f, &two, key, 201);
	set_policy(f, BOTH);
	struct listener *l = listen_open(f, &two, NULL);
	read_snapshot(l);
	assert_null(state_refused(s, "alice@example.com", one.id, NOW));
	assert_int_equal(NOW, state_issue_s(s, "alice@example.com", one.id, NOW));

	state_login(s, one.id, "alice@example.com", NULL, 0, NOW - 7 + ttl, NULL, NULL);
	read_delta(l);
	state_logout(s, one.id, "alice@example.com", NULL, NULL);
	/* At once: the store has not answered yet. The token of then is void on that machine. */
	assert_non_null(state_refused(s, "alice@example.com", one.id, NOW - 7));
	assert_null(state_refused(s, "alice@example.com", one.id, NOW - 6));
	assert_null(state_refused(s, "alice@example.com", two.id, NOW - 7));
	assert_int_equal(NOW + 1, state_issue_s(s, "alice@example.com", one.id, NOW));
	read_delta(l);
	json_t *list = blocked_list(l);
	assert_int_equal(1, json_array_size(list));
	json_t *row = json_array_get(list, 0);
	assert_string_equal("alice@example.com",
			    json_string_value(json_object_get(row, "identity")));
	assert_string_equal(one.id, json_string_value(json_object_get(row, "caller")));
	assert_int_equal(NOW, json_integer_value(json_object_get(row, "before")));
	json_decref(list);

	assert_int_equal(0, state_cut(s, "bob@example.com", true, true, "blocked", NULL, NULL));
	assert_non_null(state_refused(s, "bob@example.com", two.id, NOW + 1000));
	read_delta(l);
	list = blocked_list(l);
	assert_int_equal(2, json_array_size(list));
	json_decref(list);
	int result = 1;
	assert_int_equal(0, state_unblock(s, "bob@example.com", took_result, &result));
	while (result == 1)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(0, result);
	assert_null(state_refused(s, "bob@example.com", two.id, NOW + 1));
	assert_non_null(state_refused(s, "bob@example.com", two.id, NOW));
	/* Who logs in again in that second is not refused, and no token is of the far future. */
	assert_int_equal(NOW + 1, state_token_s(s, NOW));
	assert_int_equal(NOW + 1, state_token_s(s, NOW + 1));
	assert_int_equal(NOW - 60, state_token_s(s, NOW - 60));

	/* However many they are, the object stays small, and nothing is forgotten. */
	for (int i = 0; i < 4200; i++) {
		struct store_cutoff c = {.before_s = NOW + i, .until_s = NOW + 90000};
		snprintf(c.identity, sizeof(c.identity), "p%d@example.com", i);
		assert_int_equal(0, state_cut_now(s, &c));
	}
	listen_close(l);
	l = listen_open(f, &two, NULL);
	read_snapshot(l);
	list = blocked_list(l);
	assert_int_equal(4097, json_array_size(list));
	row = json_array_get(list, 4096);
	assert_string_equal("", json_string_value(json_object_get(row, "identity")));
	json_decref(list);
	listen_close(l);
}

static void test_signal(void **state)
{
	struct fixture *f = *state;
	struct machine one, two;
	char key[SETUP_KEY_TEXT_SIZE], body[128];
	json_t *line;

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	machine_make(&two, "two");
	enroll(f, &one, key, 201);
	enroll(f, &two, key, 201);
	struct httpsig_key k = machine_key(&one);
	struct listener *l = listen_open(f, &two, NULL);
	read_snapshot(l);
	snprintf(body, sizeof(body), "{\"to\":\"%s\",\"box\":\"AAAA\"}", two.id);
	struct call q = {"POST", "/v1/signal", .body = body, .keys = &k, .key_count = 1};
	expect_error(f, q, 404, "not_found"); /* no rule connects them */
	set_policy(f, BOTH);
	read_delta(l);
	assert_int_equal(202, call(f, q, NULL));
	line = next_line(l);
	assert_string_equal("signal", type_of(line));
	assert_string_equal(one.id, json_string_value(json_object_get(line, "from")));
	json_decref(line);
	for (int i = 0; i < 250; i++) {
		int status = call(f, q, NULL);

		if (status == 429) {
			assert_true(i > 100);
			listen_close(l);
			return;
		}
		assert_int_equal(202, status);
		json_decref(next_line(l));
	}
	fail_msg("signals are not limited");
}

static void test_setup_key_faults(void **state)
{
	struct fixture *f = *state;
	struct machine m;
	struct enroll_keys k;
	char once[SETUP_KEY_TEXT_SIZE], soon[SETUP_KEY_TEXT_SIZE], gone[SETUP_KEY_TEXT_SIZE];
	char unknown[SETUP_KEY_TEXT_SIZE];
	uint8_t seed[32] = {9}, print[16] = {0};

	create_key(f, "{\"name\":\"once\"}", once);
	create_key(f, "{\"name\":\"soon\",\"expires_in\":60}", soon);
	create_key(f, "{\"name\":\"gone\"}", gone);
	setup_key_format(seed, print, unknown);
	machine_make(&m, "m");
	enroll(f, &m, once, 201);
	machine_make(&m, "m2");
	char *body = enroll_body(f, &m);
	struct call q = {"POST", "/v1/enroll", .body = body, .keys = k.keys, .key_count = 2};

	make_enroll_keys(&k, once, &m);
	expect_error(f, q, 403, "setup_key_used_up");
	make_enroll_keys(&k, unknown, &m);
	expect_error(f, q, 403, "setup_key_unknown");
	assert_int_equal(
		204,
		call(f, (struct call){"DELETE", "/v1/admin/setup-keys/gone", .admin = true}, NULL));
	make_enroll_keys(&k, gone, &m);
	expect_error(f, q, 403, "setup_key_revoked");
	make_enroll_keys(&k, soon, &m);
	k.keys[0].secret = k.keys[1].secret; /* right keyid, wrong key */
	expect_error(f, q, 401, "bad_signature");
	f->time.realtime_ns += 60 * NSEC_PER_SEC;
	make_enroll_keys(&k, soon, &m);
	q.created_s = NOW + 60;
	expect_error(f, q, 403, "setup_key_expired");
	expect_error(f,
		     (struct call){"POST", "/v1/admin/setup-keys", .body = "{\"name\":\"once\"}",
				   .admin = true},
		     409, "name_taken");
	free(body);
}

static void test_enroll_faults(void **state)
{
	struct fixture *f = *state;
	struct machine m, other;
	struct enroll_keys k;
	char key[SETUP_KEY_TEXT_SIZE];
	uint8_t nonce[16] = {1};

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&m, "m");
	machine_make(&other, "other");
	char *body = enroll_body(f, &m);
	struct call q = {"POST", "/v1/enroll", .body = body, .keys = k.keys, .key_count = 2};

	make_enroll_keys(&k, key, &m);
	q.key_count = 1;
	expect_error(f, q, 401, "bad_signature");
	q.key_count = 2;
	make_enroll_keys(&k, key, &other); /* another identity than the body names */
	expect_error(f, q, 401, "bad_signature");
	make_enroll_keys(&k, key, &m);
	q.created_s = NOW - 3600;
	json_t *root;
	assert_int_equal(401, call(f, q, &root));
	json_t *error = json_object_get(root, "error");
	assert_string_equal("clock_skew", json_string_value(json_object_get(error, "code")));
	assert_non_null(strstr(json_string_value(json_object_get(error, "message")), "3600"));
	assert_int_equal(NOW, json_integer_value(json_object_get(error, "time")));
	json_decref(root);
	q.created_s = 0;
	/* A proof of other keys. */
	struct machine liar = m;
	memcpy(liar.node_secret, other.node_secret, 32);
	char *lie = enroll_body(f, &liar);
	q.body = lie;
	expect_error(f, q, 401, "bad_signature");
	free(lie);
	q.body = "{\"hostname\":\"m\",\"surprise\":1}";
	expect_error(f, q, 400, "bad_request");
	q.body = "{";
	expect_error(f, q, 400, "bad_request");
	q.body = body;
	q.nonce = nonce;
	assert_int_equal(201, call(f, q, NULL));
	expect_error(f, q, 409, "replayed");
	free(body);
	/* Login is off here. */
	assert_int_equal(1, state_peer_count(f->c.state));
}

static void test_self(void **state)
{
	struct fixture *f = *state;
	struct machine one, two;
	char key[SETUP_KEY_TEXT_SIZE];

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	machine_make(&two, "two");
	enroll(f, &one, key, 201);
	enroll(f, &two, key, 201);
	set_policy(f, BOTH);
	struct listener *l = listen_open(f, &one, NULL);
	read_snapshot(l);
	struct httpsig_key k = machine_key(&two);
	struct call q = {"PUT", "/v1/self", .keys = &k, .key_count = 1,
			 .body = "{\"ssh\":{\"advertised\":true,\"port\":22022,\"features\":[]}}"};
	assert_int_equal(204, call(f, q, NULL));
	read_delta(l);
	char name[64];
	snprintf(name, sizeof(name), "peer:%s", two.id);
	assert_true(json_is_true(
		json_object_get(json_object_get(map_get(l->map, name), "ssh"), "advertised")));
	q.body = "{\"host_keys\":[\"not a key\"]}";
	expect_error(f, q, 400, "bad_request");
	q.method = "DELETE";
	q.body = NULL;
	assert_int_equal(204, call(f, q, NULL));
	read_delta(l);
	assert_false(sees(l, &two));
	assert_int_equal(1, state_peer_count(f->c.state));
	listen_close(l);
}

/* Two changes of one peer on their way at once: neither undoes the other. */
static void count_done(void *ctx, int result)
{
	assert_int_equal(0, result);
	++*(int *)ctx;
}

static void test_changes_meet(void **state)
{
	struct fixture *f = *state;
	struct machine one;
	char key[SETUP_KEY_TEXT_SIZE];
	int done = 0;

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	enroll(f, &one, key, 201);
	struct store_peer a = *state_row(f->c.state, one.id), b = a;
	a.ssh_advertised = true;
	b.ssh_enabled = false;
	assert_int_equal(
		0, state_change_peer(f->c.state, &a, STORE_PEER_SSH, "self", count_done, &done));
	assert_int_equal(0, state_change_peer(f->c.state, &b, STORE_PEER_SSH_ENABLED, "admin",
					      count_done, &done));
	while (done < 2)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_true(state_row(f->c.state, one.id)->ssh_advertised);
	assert_false(state_row(f->c.state, one.id)->ssh_enabled);
}

/* ---- a slow reader ---- */

struct slow {
	size_t room; /* lines that are taken */
	struct map *map;
	int64_t revision;
	size_t lines, ends;
	bool complete;
};

static int slow_write(void *ctx, const void *data, size_t len)
{
	struct slow *w = ctx;

	if (w->room == 0)
		return -EAGAIN;
	w->room--;
	w->lines++;
	json_t *line = json_loadb(data, len, 0, NULL);
	assert_non_null(line);
	if (strcmp(type_of(line), "set") == 0) {
		assert_false(w->complete);
		assert_int_equal(0, map_set(w->map, json_string_value(json_object_get(line, "key")),
					    json_object_get(line, "value")));
	} else if (strcmp(type_of(line), "snapshot") == 0) {
		w->revision = json_integer_value(json_object_get(line, "revision"));
	} else if (strcmp(type_of(line), "end") == 0) {
		w->complete = true;
	} else if (strcmp(type_of(line), "delta") == 0) {
		assert_true(w->complete);
		assert_int_equal(w->revision, json_integer_value(json_object_get(line, "from")));
		w->revision = json_integer_value(json_object_get(line, "to"));
		assert_int_equal(0, map_apply(w->map, json_object_get(line, "ops"), NULL));
	}
	json_decref(line);
	return 0;
}

static void slow_end(void *ctx)
{
	((struct slow *)ctx)->ends++;
}

static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	struct machine one, other[12];
	char key[SETUP_KEY_TEXT_SIZE];
	struct slow w = {.room = 4};
	struct stream *t;

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	enroll(f, &one, key, 201);
	for (int i = 0; i < 12; i++) {
		machine_make(&other[i], "other");
		enroll(f, &other[i], key, 201);
	}
	set_policy(f, "{\"rules\":[{\"from\":[\"peer:one\"],\"to\":[\"setup-key:k\"]}]}");
	assert_int_equal(0, map_new(&w.map));
	const struct stream_sink sink = {slow_write, slow_end, &w};
	assert_int_equal(0, state_stream_open(f->c.state, one.id, 1, 0, &sink, &t));
	assert_int_equal(4, w.lines); /* hello, snapshot, two components */
	/* Things go on while it does not read: a peer leaves, the policy changes. */
	char path[64];
	snprintf(path, sizeof(path), "/v1/admin/peers/%s", other[3].id);
	assert_int_equal(204, call(f, (struct call){"DELETE", path, .admin = true}, NULL));
	state_flush(f->c.state);
	assert_int_equal(4, w.lines);
	for (int i = 0; i < 40; i++) {
		w.room = 3;
		state_stream_drained(t);
		state_flush(f->c.state);
	}
	/* In the end it holds what a fresh reader gets. */
	struct listener *l;
	assert_int_equal(0, w.ends);
	l = listen_open(f, &one, NULL);
	read_snapshot(l);
	uint8_t x[32], y[32];
	map_digest(w.map, x);
	map_digest(l->map, y);
	assert_memory_equal(x, y, 32);
	assert_int_equal(1, w.ends); /* the newer stream took its place */
	listen_close(l);
	map_free(w.map);
}

static int64_t valid_until(const struct fixture *f, const char *text, const char *type)
{
	json_t *payload = signed_open(text, strlen(text), type, f->signing, 0, 0, NULL);

	assert_non_null(payload);
	int64_t until = json_integer_value(json_object_get(payload, "valid_until"));
	json_decref(payload);
	return until;
}

static void pass_time(struct fixture *f, int64_t seconds)
{
	f->time.realtime_ns += (uint64_t)seconds * NSEC_PER_SEC;
	f->time.monotonic_ns += (uint64_t)seconds * NSEC_PER_SEC;
	state_tick(f->c.state);
}

static const char *ssh_text(const struct listener *l)
{
	return json_string_value(json_object_get(map_get(l->map, "ssh"), "signed"));
}

/* After half of a map's life the ping renews it, and the object of the SSH monitor comes anew. */
static void test_renewal(void **state)
{
	struct fixture *f = *state;
	struct machine one;
	char key[SETUP_KEY_TEXT_SIZE];

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	one.ssh = true;
	enroll(f, &one, key, 201);
	struct listener *l = listen_open(f, &one, NULL);
	read_snapshot(l);
	assert_int_equal(NOW + 86400, valid_until(f, ssh_text(l), "ssh"));
	pass_time(f, 26);
	json_t *line = next_line(l);
	assert_string_equal("ping", type_of(line));
	assert_int_equal(NOW + 86400,
			 valid_until(f, json_string_value(json_object_get(line, "signed")), "map"));
	json_decref(line);
	pass_time(f, 43200);
	line = next_line(l);
	assert_string_equal("ping", type_of(line));
	assert_int_equal(NOW + 26 + 43200 + 86400,
			 valid_until(f, json_string_value(json_object_get(line, "signed")), "map"));
	json_decref(line);
	read_delta(l);
	assert_int_equal(NOW + 26 + 43200 + 86400, valid_until(f, ssh_text(l), "ssh"));
	listen_close(l);
}

static void test_ephemeral(void **state)
{
	struct fixture *f = *state;
	struct machine one, two;
	char key[SETUP_KEY_TEXT_SIZE], stays[SETUP_KEY_TEXT_SIZE];

	create_key(f, "{\"name\":\"k\",\"uses\":-1,\"ephemeral\":true}", key);
	create_key(f, "{\"name\":\"s\"}", stays);
	machine_make(&one, "one");
	machine_make(&two, "two");
	enroll(f, &one, key, 201);
	enroll(f, &two, stays, 201);
	struct listener *l = listen_open(f, &one, NULL);
	read_snapshot(l);
	pass_time(f, 4000); /* connected: it stays */
	json_decref(next_line(l));
	assert_int_equal(2, state_peer_count(f->c.state));
	listen_close(l);
	while (state_online(f->c.state, one.id))
		uv_run(&f->loop, UV_RUN_ONCE);
	pass_time(f, 1799);
	assert_int_equal(2, state_peer_count(f->c.state));
	pass_time(f, 2);
	while (state_peer_count(f->c.state) == 2)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_non_null(state_peer(f->c.state, two.id));
}

static void test_policy_refused_keeps_old(void **state)
{
	struct fixture *f = *state;
	json_t *root;
	const struct policy *before;
	int64_t revision;

	set_policy(f, BOTH);
	before = state_policy(f->c.state);
	revision = state_revision(f->c.state);
	static const char *const bad[] = {
		"{\n  \"rules\": [ oops ]\n}",
		"{\"rules\":[{\"from\":[\"nobody\"],\"to\":[\"peer:two\"]}]}",
		"{\"rules\":[{\"from\":[\"peer:one\"],\"to\":[\"peer:two\"],\"proto\":\"tcp\","
		"\"ports\":\"22\"}],\"tests\":[{\"from\":\"peer:one\",\"accept\":[\"peer:two:23\"]}"
		"]}",
		"{\"unknown\":1}",
	};
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(422, call(f,
					   (struct call){"PUT", "/v1/admin/policy", "file=p.json",
							 bad[i], .admin = true},
					   &root));
		const char *message = json_string_value(
			json_object_get(json_object_get(root, "error"), "message"));
		assert_int_equal(0, strncmp(message, "p.json:", 7));
		json_decref(root);
		assert_ptr_equal(before, state_policy(f->c.state));
		assert_int_equal(revision, state_revision(f->c.state));
		assert_string_equal(BOTH, state_policy_text(f->c.state));
	}
}

static void test_admin_peers(void **state)
{
	struct fixture *f = *state;
	struct machine one, two;
	char key[SETUP_KEY_TEXT_SIZE];

	create_key(f, "{\"name\":\"k\",\"uses\":-1}", key);
	machine_make(&one, "one");
	machine_make(&two, "two");
	enroll(f, &one, key, 201);
	enroll(f, &two, key, 201);
	struct call q = {"PATCH", "/v1/admin/peers/one", .body = "{\"name\":\"uno\"}",
			 .admin = true};
	assert_int_equal(204, call(f, q, NULL));
	assert_string_equal("uno", state_row(f->c.state, one.id)->name);
	q.path = "/v1/admin/peers/uno";
	q.body = "{\"name\":\"two\"}";
	expect_error(f, q, 409, "name_taken");
	q.body = "{\"name\":\"Not a name\"}";
	expect_error(f, q, 400, "bad_request");
	q.body = "{\"ssh_enabled\":false}";
	assert_int_equal(204, call(f, q, NULL));
	assert_false(state_row(f->c.state, one.id)->ssh_enabled);
	assert_string_equal("uno", state_row(f->c.state, one.id)->name);
	/* A chosen name stays when the machine calls itself something else. */
	struct httpsig_key k = machine_key(&one);
	assert_int_equal(204, call(f,
				   (struct call){"PUT", "/v1/self", .keys = &k, .key_count = 1,
						 .body = "{\"hostname\":\"eins\"}"},
				   NULL));
	assert_string_equal("uno", state_row(f->c.state, one.id)->name);
	q = (struct call){"DELETE", "/v1/admin/peers/nobody", .admin = true};
	expect_error(f, q, 404, "not_found");
	json_t *root;
	assert_int_equal(200,
			 call(f, (struct call){"GET", "/v1/admin/events", .admin = true}, &root));
	assert_true(json_array_size(json_object_get(root, "events")) >= 3);
	json_decref(root);
}

static void test_signer_refuses(void **state)
{
	struct fixture *f = *state;
	char *text = NULL;
	struct {
		const char *type;
		json_t *payload;
	} bad[] = {
		{"root", json_pack("{s:I}", "valid_until", (json_int_t)1)},
		{"grant", json_pack("{s:I}", "valid_until", (json_int_t)4000000000)},
		{"grant", json_object()},
	};

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(-EPERM,
				 signer_object(f->c.signer, bad[i].type, bad[i].payload, &text));
		json_decref(bad[i].payload);
	}
	json_t *claims = json_pack("{s:s}", "iss", "https://elsewhere");
	assert_int_equal(-EPERM, signer_jwt(f->c.signer, claims, "JWT", &text));
	json_decref(claims);
	claims = json_pack("{s:s}", "iss", "https://control:8443");
	assert_int_equal(0, signer_jwt(f->c.signer, claims, "JWT", &text));
	free(text);
	assert_int_equal(-EPERM, signer_jwt(f->c.signer, claims, "other", &text));
	json_decref(claims);
	assert_int_equal(-EBADMSG, signer_init(f->c.signer, "n_aaaaaaaaaaaaaaaa", "https://other"));
	assert_false(signer_broken(f->c.signer));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_server_object),
		T(test_enroll_and_see),
		T(test_cursor),
		T(test_login_moves_maps),
		T(test_newest_groups),
		T(test_cutoffs),
		T(test_signal),
		T(test_setup_key_faults),
		T(test_enroll_faults),
		T(test_self),
		T(test_changes_meet),
		T(test_slow_reader),
		T(test_renewal),
		T(test_ephemeral),
		T(test_policy_refused_keeps_old),
		T(test_admin_peers),
		T(test_signer_refuses),
	};

	if (secret_process_init() < 0)
		return 1;
	start_s = clock_realtime_s(&clock_system);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
