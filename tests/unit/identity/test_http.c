/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client against a small server in a thread, over a Unix socket (no ports), plain and with
 * TLS: answers, limits, trust, and every order of starting, cancelling and freeing. Each test ends
 * with a loop that closes, so that a forgotten handle is seen.
 */
#include "identity/http.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/encode.h"

enum { SECRET_AT = 1000, SECRET_LEN = 48 }; /* memory given back is written on at its start */

static char folder[] = "/tmp/warren-http-XXXXXX";
static char plain_path[64], tls_path[64], ca_path[64], pin[64], other_pin[64];
static int listeners[2];
static pthread_t listener_threads[2];
static SSL_CTX *tls;
static atomic_int connections, asked, alpn_bad;
static uint8_t spki[32];

/* --- the server */

struct conn {
	int fd;
	SSL *ssl;
};

static ssize_t conn_read(struct conn *c, char *data, size_t cap)
{
	return c->ssl ? SSL_read(c->ssl, data, (int)cap) : read(c->fd, data, cap);
}

static void conn_write(struct conn *c, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = c->ssl ? SSL_write(c->ssl, data, (int)len)
				   : send(c->fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

static void conn_text(struct conn *c, const char *text)
{
	conn_write(c, text, strlen(text));
}

/* Until the other side closes. */
static void wait_for_close(struct conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

	(void)poll(&p, 1, 120000);
}

static void answer(struct conn *c, const char *status, const char *headers, const char *body)
{
	char head[512];

	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status,
		 strlen(body), headers);
	conn_text(c, head);
	conn_text(c, body);
}

/* What /secret answers is stored nowhere but on its way. */
static char secret_char(size_t i)
{
	return (char)('a' + i * 7 % 26 + i / 26 % 2);
}

/* False: the connection is over. request is the whole request. */
static bool serve(struct conn *c, const char *request)
{
	const char *path = strchr(request, ' ') + 1;

	atomic_fetch_add(&asked, 1);
#define IS(p) (strncmp(path, p " ", sizeof(p)) == 0)
	if (IS("/hello")) {
		answer(c, "200 OK",
		       "Content-Type: text/x; charset=y\r\nCache-Control: private, max-age=77\r\n",
		       "hello");
	} else if (IS("/echo")) {
		answer(c, "200 OK", "Cache-Control: no-store, max-age=5\r\n", request);
	} else if (IS("/secret")) {
		char secret[SECRET_AT + SECRET_LEN + 1] = "";

		memset(secret, '-', SECRET_AT);
		for (size_t i = 0; i < SECRET_LEN; i++)
			secret[SECRET_AT + i] = secret_char(i);
		answer(c, "200 OK", "", secret);
		explicit_bzero(secret, sizeof(secret));
	} else if (IS("/error")) {
		answer(c, "500 No", "", "{\"error\":1}");
	} else if (IS("/redirect")) {
		answer(c, "302 There", "Location: /hello\r\n", "");
	} else if (IS("/redirect-out")) {
		answer(c, "302 There", "Location: http://192.0.2.1/\r\n", "");
	} else if (IS("/redirect-file")) {
		answer(c, "302 There", "Location: file:///etc/passwd\r\n", "");
	} else if (IS("/loop")) {
		answer(c, "302 There", "Location: /loop\r\n", "");
	} else if (IS("/stream")) {
		conn_text(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			     "2\r\na\n\r\n2\r\nb\n\r\n0\r\n\r\n");
	} else if (IS("/stall")) {
		conn_text(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n");
		wait_for_close(c);
		return false;
	} else if (IS("/cut")) {
		conn_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
		return false;
	} else if (IS("/slow")) {
		wait_for_close(c);
		return false;
	} else {
		answer(c, "404 Not Found", "", "");
	}
	return true;
}

/* Head and body; 0 when there is none any more. */
static size_t read_request(struct conn *c, char *data, size_t cap)
{
	size_t len = 0, body = 0;
	char *end = NULL;

	while (len + 1 < cap) {
		ssize_t n = conn_read(c, data + len, cap - 1 - len);
		const char *length;

		if (n <= 0)
			return 0;
		len += (size_t)n;
		data[len] = '\0';
		end = strstr(data, "\r\n\r\n");
		length = strstr(data, "Content-Length: ");
		body = length ? strtoul(length + 16, NULL, 10) : 0;
		if (end && len >= (size_t)(end - data) + 4 + body)
			return len;
	}
	return 0;
}

static void *serve_connection(void *arg)
{
	struct conn *c = arg;
	char *data = malloc(65536);

	if (!c->ssl || SSL_accept(c->ssl) == 1)
		while (read_request(c, data, 65536) > 0 && serve(c, data))
			;
	if (c->ssl) {
		(void)SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
	}
	close(c->fd);
	free(c);
	free(data);
	return NULL;
}

static void *serve_listener(void *arg)
{
	int index = *(int *)arg, fd;
	pthread_t threads[512];
	size_t count = 0;

	while (count < 512 && (fd = accept(listeners[index], NULL, NULL)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		atomic_fetch_add(&connections, 1);
		c->fd = fd;
		if (index == 1) {
			c->ssl = SSL_new(tls);
			SSL_set_fd(c->ssl, fd);
		}
		if (pthread_create(&threads[count], NULL, serve_connection, c) == 0)
			count++;
	}
	while (count > 0)
		pthread_join(threads[--count], NULL);
	return NULL;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
		   const unsigned char *in, unsigned inlen, void *arg)
{
	(void)ssl, (void)arg;
	if (inlen != 9 || memcmp(in, "\x08http/1.1", 9) != 0)
		atomic_fetch_add(&alpn_bad, 1);
	*out = in + 1;
	*outlen = in[0];
	return SSL_TLSEXT_ERR_OK;
}

static void pin_of(EVP_PKEY *key, char out[64], uint8_t hash[32])
{
	unsigned char *der = NULL;
	char text[ENCODE_BASE64_SIZE(32)];
	int len = i2d_PUBKEY(key, &der);

	SHA256(der, (size_t)len, hash);
	encode_base64(text, hash, 32);
	snprintf(out, 64, "sha256//%s", text);
	OPENSSL_free(der);
}

static void make_certificate(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	X509_EXTENSION *san;
	X509 *cert = X509_new();
	uint8_t ignored[32];
	FILE *f;

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:good.example.com");
	X509_add_ext(cert, san, -1);
	X509_EXTENSION_free(san);
	X509_sign(cert, key, EVP_sha256());
	f = fopen(ca_path, "w");
	PEM_write_X509(f, cert);
	fclose(f);
	tls = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(tls, cert);
	SSL_CTX_use_PrivateKey(tls, key);
	SSL_CTX_set_alpn_select_cb(tls, on_alpn, NULL);
	pin_of(key, pin, spki);
	pin_of(other, other_pin, ignored);
	X509_free(cert);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static int start_server(void **state)
{
	static int indices[2] = {0, 1};

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(plain_path, sizeof(plain_path), "%s/plain", folder);
	snprintf(tls_path, sizeof(tls_path), "%s/tls", folder);
	snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", folder);
	make_certificate();
	listeners[0] = listen_at(plain_path);
	listeners[1] = listen_at(tls_path);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			pthread_create(&listener_threads[i], NULL, serve_listener, &indices[i]), 0);
	}
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		shutdown(listeners[i], SHUT_RDWR); /* ends accept */
		pthread_join(listener_threads[i], NULL);
		close(listeners[i]);
	}
	SSL_CTX_free(tls);
	unlink(plain_path);
	unlink(tls_path);
	unlink(ca_path);
	rmdir(folder);
	return 0;
}

/* --- the tests' own end */

struct result {
	int done, error;
	long status, max_age_s;
	char body[4096], text[256], type[128], location[256];
	char data[256]; /* streamed */
	int pieces, stop_at, spkis;
	uint8_t spki[32];
	void (*then)(struct result *r); /* in on_done */
	void (*on_piece)(struct result *r);
	struct http_request *request;
};

static uv_loop_t loop;
static struct http *http;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(http_new(&loop, "test/1", &http), 0);
	atomic_store(&connections, 0);
	atomic_store(&asked, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	http_free(http);
	http = NULL;
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static void on_done(void *ctx, const struct http_response *response)
{
	struct result *r = ctx;

	r->done++;
	r->error = response->error;
	r->status = response->status;
	r->max_age_s = response->max_age_s;
	if (response->body)
		snprintf(r->body, sizeof(r->body), "%s", response->body);
	snprintf(r->text, sizeof(r->text), "%s", response->error_text);
	snprintf(r->type, sizeof(r->type), "%s", response->content_type);
	snprintf(r->location, sizeof(r->location), "%.255s", response->location);
	if (r->then)
		r->then(r);
}

static int on_data(void *ctx, const char *data, size_t len)
{
	struct result *r = ctx;

	strncat(r->data, data, len);
	r->pieces++;
	if (r->on_piece)
		r->on_piece(r);
	return r->stop_at && r->pieces >= r->stop_at;
}

static void on_spki(void *ctx, const uint8_t sha256[32])
{
	struct result *r = ctx;

	r->spkis++;
	memcpy(r->spki, sha256, 32);
}

static struct http_options plain(struct result *r, const char *url)
{
	return (struct http_options){.method = "GET",
				     .url = url,
				     .unix_socket = plain_path,
				     .on_done = on_done,
				     .ctx = r};
}

static struct http_options with_tls(struct result *r, const char *url)
{
	struct http_options o = plain(r, url);

	o.unix_socket = tls_path;
	return o;
}

static void run(const struct http_options *o)
{
	struct result *r = o->ctx;
	struct error err = {0};

	assert_int_equal(http_start(http, o, &r->request, &err), 0);
	assert_int_equal(r->done, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(r->done, 1);
}

static void test_get(void **state)
{
	struct result r = {0};
	struct http_options o = plain(&r, "http://control/hello");

	(void)state;
	run(&o);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "hello");
	assert_string_equal(r.type, "text/x; charset=y");
	assert_int_equal(r.max_age_s, 77);
	r.done = 0;
	run(&o);
	assert_int_equal(atomic_load(&connections), 1); /* kept alive */
}

static bool secret_at(const char *data)
{
	for (size_t i = 0; i < SECRET_LEN; i++)
		if (data[i] != secret_char(i))
			return false;
	return true;
}

/* In a piece of this process' memory; what cannot be read holds nothing. */
static size_t secrets_in(uintptr_t begin, uintptr_t end)
{
	static char piece[65536];
	size_t found = 0;

	for (uintptr_t at = begin; at < end; at += sizeof(piece) - SECRET_LEN) {
		struct iovec here = {piece, sizeof(piece)};
		struct iovec there = {(void *)at,
				      end - at < sizeof(piece) ? end - at : sizeof(piece)};
		ssize_t n = process_vm_readv(getpid(), &here, 1, &there, 1, 0);

		for (ssize_t i = 0; i + SECRET_LEN <= n; i++)
			found += secret_at(piece + i);
		explicit_bzero(piece, sizeof(piece));
	}
	return found;
}

static size_t secrets_in_memory(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	size_t found = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		char *rest;
		uintptr_t begin = strtoull(line, &rest, 16), end = strtoull(rest + 1, &rest, 16);

		/* A sanitizer's own regions are huge. */
		if (strncmp(rest, " rw", 3) == 0 && end - begin < (1U << 30))
			found += secrets_in(begin, end);
	}
	fclose(maps);
	return found;
}

/* Tokens come over connections that stay open for others: libraries keep no copy of them. */
static void test_answer_is_wiped(void **state)
{
	struct result r = {0};
	struct http_options o = with_tls(&r, "https://good.example.com/secret");

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* its shadow memory is terabytes in small pieces */
#endif
	o.trust.ca_file = ca_path;
	run(&o);
	assert_int_equal(r.status, 200);
	assert_true(secret_at(r.body + SECRET_AT));
	assert_int_equal(secrets_in_memory(), 1); /* in r */
	explicit_bzero(r.body, sizeof(r.body));
	assert_int_equal(secrets_in_memory(), 0);
	r.done = 0;
	o.url = "https://good.example.com/hello";
	run(&o);
	assert_int_equal(r.status, 200);
	assert_int_equal(atomic_load(&connections), 1); /* the same one */
}

static void test_post(void **state)
{
	static const char *const headers[] = {"X-One: 1", "Content-Type: application/json", NULL};
	struct result r = {0};
	struct http_options o = plain(&r, "http://control/echo");

	(void)state;
	o.method = "POST";
	o.body = "{}\n";
	o.body_len = 3;
	o.headers = headers;
	run(&o);
	assert_int_equal(strncmp(r.body, "POST /echo HTTP/1.1\r\n", 21), 0);
	assert_non_null(strstr(r.body, "\r\nX-One: 1\r\n"));
	assert_non_null(strstr(r.body, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(r.body, "\r\nUser-Agent: test/1\r\n"));
	assert_non_null(strstr(r.body, "\r\n\r\n{}\n"));
	assert_null(strstr(r.body, "Expect:"));
	assert_int_equal(r.max_age_s, 0); /* no-store */
	r = (struct result){0};
	o = plain(&r, "http://control/echo");
	o.method = "DELETE";
	run(&o);
	assert_int_equal(strncmp(r.body, "DELETE /echo HTTP/1.1\r\n", 23), 0);
	assert_null(strstr(r.body, "Content-Type"));
	r = (struct result){0};
	o.method = "PUT";
	run(&o);
	assert_non_null(strstr(r.body, "\r\nContent-Length: 0\r\n"));
	assert_null(strstr(r.body, "Content-Type"));
}

static void test_refused(void **state)
{
	static const struct {
		const char *url, *word;
	} cases[] = {
		{"http://192.0.2.1/", "https"},
		{"http://example.com/", "https"},
		{"http://127.0.0.1.example.com/", "https"},
		{"http://localhost.example.com/", "https"},
		{"ftp://localhost/", "https"},
		{"file:///etc/passwd", ""},
		{"https://u:p@localhost/", "user"},
		{"", "URL"},
		{"localhost", "URL"},
		{"https://", "URL"},
	};
	static const char *const bad_header[] = {"X: a\r\nY: b", NULL};
	struct result r = {0};
	struct http_options o = plain(&r, "http://control/hello");
	struct http_request *request = NULL;
	struct error err;

	(void)state;
	o.unix_socket = NULL;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		o.url = cases[i].url;
		err = (struct error){0};
		assert_int_equal(http_start(http, &o, &request, &err), -EINVAL);
		if (!strstr(err.text, cases[i].word))
			fail_msg("%s: %s", cases[i].url, err.text);
	}
	o = plain(&r, "http://control/hello");
	o.headers = bad_header;
	assert_int_equal(http_start(http, &o, &request, NULL), -EINVAL);
	assert_null(request);
	assert_int_equal(r.done, 0);
}

static void test_errors(void **state)
{
	struct result r = {0};
	struct http_options o = plain(&r, "http://control/error");

	(void)state;
	run(&o);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.status, 500);
	assert_string_equal(r.body, "{\"error\":1}");
	r = (struct result){0};
	o.url = "http://control/cut";
	run(&o);
	assert_int_equal(r.error, -ECONNRESET);
	r = (struct result){0};
	o.url = "http://control/hello";
	o.unix_socket = "/nowhere/socket";
	run(&o);
	assert_true(r.error < 0);
	assert_non_null(strstr(r.text, "cannot reach the socket /nowhere/socket"));
	r = (struct result){0};
	o.unix_socket = plain_path;
	o.max_body = 4;
	run(&o);
	assert_int_equal(r.error, -EMSGSIZE);
	r = (struct result){0};
	o.max_body = 5;
	run(&o);
	assert_int_equal(r.error, 0);
	r = (struct result){0};
	o.url = "http://control/slow";
	o.timeout_ms = 50;
	run(&o);
	assert_int_equal(r.error, -ETIMEDOUT);
}

static void test_redirects(void **state)
{
	struct result r = {0};
	struct http_options o = plain(&r, "http://control/redirect");

	(void)state;
	run(&o);
	assert_int_equal(r.status, 302);
	assert_string_equal(r.location, "/hello");
	r = (struct result){0};
	o.follow_redirects = true;
	run(&o);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "hello");
	assert_string_equal(r.location, "");
	r = (struct result){0};
	o.url = "http://control/loop";
	run(&o);
	assert_int_equal(r.error, -ELOOP);
	r = (struct result){0};
	o.url = "http://control/redirect-file";
	run(&o);
	assert_true(r.error < 0);
	r = (struct result){0};
	o = with_tls(&r, "https://good.example.com/redirect-out");
	o.trust.ca_file = ca_path;
	o.follow_redirects = true;
	run(&o);
	assert_true(r.error < 0); /* https to http */
}

static void test_trust(void **state)
{
	struct result r = {0};
	struct http_options o = with_tls(&r, "https://good.example.com/hello");

	(void)state;
	run(&o);
	assert_int_equal(r.error, -EPROTO); /* the system does not know this CA */
	assert_non_null(strstr(r.text, "cannot reach"));
	r = (struct result){0};
	o.trust.ca_file = ca_path;
	o.trust.on_spki = on_spki;
	run(&o);
	assert_int_equal(r.error, 0);
	assert_string_equal(r.body, "hello");
	assert_int_equal(r.spkis, 1);
	assert_memory_equal(r.spki, spki, 32);
	r = (struct result){0};
	o.url = "https://bad.example.com/hello";
	run(&o);
	assert_int_equal(r.error, -EPROTO); /* another name */
	r = (struct result){0};
	o.trust.ca_file = "/nowhere/ca.pem";
	run(&o);
	assert_int_equal(r.error, -EPROTO);
	assert_int_equal(atomic_load(&asked), 1);
	assert_int_equal(atomic_load(&alpn_bad), 0);
}

static void test_pins(void **state)
{
	char both[160];
	struct result r = {0};
	struct http_options o = with_tls(&r, "https://any.example.com/hello");

	(void)state;
	o.trust.pinned_spki = pin;
	run(&o);
	assert_int_equal(r.error, 0);
	assert_int_equal(atomic_load(&asked), 1);
	/* The connection that is kept must not serve somebody with another pin or with CAs. */
	r = (struct result){0};
	o.trust.pinned_spki = other_pin;
	run(&o);
	assert_int_equal(r.error, -EPROTO);
	assert_non_null(strstr(r.text, "none of the pinned"));
	r = (struct result){0};
	o.trust.pinned_spki = NULL;
	run(&o);
	assert_int_equal(r.error, -EPROTO);
	assert_int_equal(atomic_load(&asked), 1);
	r = (struct result){0};
	snprintf(both, sizeof(both), "%s;%s", other_pin, pin);
	o.trust.pinned_spki = both;
	run(&o);
	assert_int_equal(r.error, 0);
	r = (struct result){0};
	o.trust.pinned_spki = "nonsense";
	run(&o);
	assert_int_equal(r.error, -EPROTO);
	r = (struct result){0};
	o.trust.pinned_spki = "";
	run(&o);
	assert_int_equal(r.error, -EPROTO);
	assert_int_equal(atomic_load(&asked), 2);
}

static void test_insecure_once(void **state)
{
	struct result r = {0};
	struct http_options o = with_tls(&r, "https://any.example.com/hello");

	(void)state;
	o.trust.insecure_once = true;
	o.trust.on_spki = on_spki;
	run(&o);
	assert_int_equal(r.error, 0);
	assert_memory_equal(r.spki, spki, 32);
	r.done = 0;
	run(&o);
	assert_int_equal(r.error, 0);
	assert_int_equal(atomic_load(&connections), 2); /* never kept */
	r = (struct result){0};
	o.trust.insecure_once = false;
	run(&o);
	assert_int_equal(r.error, -EPROTO);
}

static void test_stream(void **state)
{
	struct result r = {0};
	struct http_options o = plain(&r, "http://control/stream");

	(void)state;
	o.on_data = on_data;
	run(&o);
	assert_int_equal(r.error, 0);
	assert_string_equal(r.data, "a\nb\n");
	assert_string_equal(r.body, "");
	r = (struct result){0};
	o.url = "http://control/error"; /* no 2xx: the body comes whole */
	run(&o);
	assert_int_equal(r.status, 500);
	assert_string_equal(r.data, "");
	assert_string_equal(r.body, "{\"error\":1}");
	r = (struct result){.stop_at = 1};
	o.url = "http://control/stall";
	run(&o);
	assert_int_equal(r.error, -ECANCELED);
	assert_string_equal(r.data, "a\n");
	r = (struct result){0};
	o.idle_timeout_ms = 3000; /* the first piece comes before, also on a busy machine */
	run(&o);
	assert_int_equal(r.error, -ETIMEDOUT);
	assert_string_equal(r.data, "a\n");
	r = (struct result){0};
	o.url = "http://control/slow";
	o.timeout_ms = 50;
	run(&o);
	assert_int_equal(r.error, -ETIMEDOUT);
}

/* --- orders of starting, cancelling and freeing */

static void cancel_self(struct result *r)
{
	http_cancel(r->request);
	assert_int_equal(r->done, 1);
}

static void free_client(struct result *r)
{
	(void)r;
	http_free(http);
}

static struct result follower;

static void start_follower(struct result *r)
{
	struct http_options o = plain(&follower, "http://control/hello");

	(void)r;
	assert_int_equal(http_start(http, &o, &follower.request, NULL), 0);
	assert_int_equal(follower.done, 0);
}

static void test_cancel(void **state)
{
	struct result r = {0};
	struct http_options o = plain(&r, "http://control/slow");

	(void)state;
	assert_int_equal(http_start(http, &o, &r.request, NULL), 0);
	http_cancel(r.request); /* before the loop ran */
	assert_int_equal(r.done, 1);
	assert_int_equal(r.error, -ECANCELED);
	r = (struct result){0};
	assert_int_equal(http_start(http, &o, &r.request, NULL), 0);
	while (atomic_load(&asked) == 0)
		uv_run(&loop, UV_RUN_NOWAIT);
	http_cancel(r.request); /* while the server thinks */
	assert_int_equal(r.done, 1);
	r = (struct result){.on_piece = cancel_self};
	o = plain(&r, "http://control/stall");
	o.on_data = on_data;
	run(&o); /* from inside on_data */
	assert_int_equal(r.error, -ECANCELED);
	http_cancel(NULL);
}

static void test_start_from_callbacks(void **state)
{
	struct result r = {.then = start_follower};
	struct http_options o = plain(&r, "http://control/hello");

	(void)state;
	follower = (struct result){0};
	run(&o);
	assert_int_equal(follower.done, 1);
	assert_int_equal(follower.error, 0);
	follower = (struct result){0};
	r = (struct result){.on_piece = start_follower, .stop_at = 1};
	o = plain(&r, "http://control/stall");
	o.on_data = on_data;
	run(&o);
	assert_int_equal(follower.done, 1);
	assert_string_equal(follower.body, "hello");
}

static void test_free_from_done(void **state)
{
	struct result r = {.then = free_client}, other = {0};
	struct http_options o = plain(&r, "http://control/hello"),
			    slow = plain(&other, "http://control/slow");

	(void)state;
	assert_int_equal(http_start(http, &slow, &other.request, NULL), 0);
	run(&o);
	assert_int_equal(other.done, 1);
	assert_int_equal(other.error, -ECANCELED);
	http = NULL;
}

static void test_free_from_data(void **state)
{
	struct result r = {.on_piece = free_client};
	struct http_options o = plain(&r, "http://control/stall");

	(void)state;
	o.on_data = on_data;
	run(&o);
	assert_int_equal(r.error, -ECANCELED);
	http = NULL;
}

static void test_free_while_running(void **state)
{
	struct result r[8] = {0};

	(void)state;
	for (int i = 0; i < 8; i++) {
		struct http_options o = i % 2 ? plain(&r[i], "http://control/slow")
					      : with_tls(&r[i], "https://good.example.com/slow");

		o.trust.ca_file = ca_path;
		assert_int_equal(http_start(http, &o, &r[i].request, NULL), 0);
	}
	while (atomic_load(&asked) < 4)
		uv_run(&loop, UV_RUN_NOWAIT);
	http_free(http);
	http = NULL;
	for (int i = 0; i < 8; i++) {
		assert_int_equal(r[i].done, 1);
		assert_int_equal(r[i].error, -ECANCELED);
	}
}

static void test_many(void **state)
{
	static struct result r[64];

	(void)state;
	memset(r, 0, sizeof(r));
	for (int i = 0; i < 64; i++) {
		struct http_options o = i % 2 ? plain(&r[i], "http://control/hello")
					      : with_tls(&r[i], "https://good.example.com/hello");

		o.trust.ca_file = ca_path;
		assert_int_equal(http_start(http, &o, &r[i].request, NULL), 0);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(r[i].done, 1);
		assert_string_equal(r[i].body, "hello");
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_get),
		T(test_answer_is_wiped),
		T(test_post),
		T(test_refused),
		T(test_errors),
		T(test_redirects),
		T(test_trust),
		T(test_pins),
		T(test_insecure_once),
		T(test_stream),
		T(test_cancel),
		T(test_start_from_callbacks),
		T(test_free_from_done),
		T(test_free_from_data),
		T(test_free_while_running),
		T(test_many),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
