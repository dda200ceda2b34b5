/* SPDX-License-Identifier: Apache-2.0
 *
 * Authorization code with PKCE S256 (RFC 7636) on a loopback redirect (RFC 8252 section 7.3): a
 * listener on 127.0.0.1 with a port of the kernel's choice, or one of those configured, for as long
 * as the login lasts. A request with another state is answered and forgotten, so that no local page can end or hijack the
 * login.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "identity/jwt_claims.h"
#include "identity/oidc_internal.h"
#include "identity/oidc_redirect.h"
#include "platform/encode.h"
#include "platform/secret.h"

enum { LOGIN_MS = 10 * 60 * 1000 };

struct oidc_connection {
	struct oidc_connection *next;
	struct oidc_login *login;
	uv_tcp_t tcp;
	uv_write_t write;
	size_t len;
	bool answered, closing;
	char data[OIDC_REQUEST_MAX];
	char answer[1024];
};

#define HEADERS                                                                                    \
	"Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nConnection: "        \
	"close\r\n"                                                                                \
	"Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"                      \
	"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"

static void on_connection_closed(uv_handle_t *handle)
{
	struct oidc_connection *c = handle->data, **at = &c->login->pkce.connections;
	struct oidc_login *l = c->login;

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	l->pkce.connection_count--;
	secret_wipe(c->data, sizeof(c->data));
	free(c);
	oidc_login_handle_closed(l);
}

static void close_connection(struct oidc_connection *c)
{
	if (c->closing)
		return;
	c->closing = true;
	uv_close((uv_handle_t *)&c->tcp, on_connection_closed);
}

static void on_written(uv_write_t *write, int status)
{
	struct oidc_connection *c = write->data;

	(void)status;
	close_connection(c);
}

static void answer(struct oidc_connection *c, const char *status, const char *title,
		   const char *text)
{
	char page[512];
	uv_buf_t buf;
	int page_len, len;

	c->answered = true;
	uv_read_stop((uv_stream_t *)&c->tcp);
	page_len = snprintf(
		page, sizeof(page),
		"<!doctype html><html lang=\"en\"><title>Warren</title>"
		"<body style=\"font-family:sans-serif;margin:4em\"><h1>%s</h1><p>%s</p></html>\n",
		title, text);
	len = snprintf(c->answer, sizeof(c->answer),
		       "HTTP/1.1 %s\r\n" HEADERS "Content-Length: %d\r\n\r\n%s", status, page_len,
		       page);
	if (page_len < 0 || len < 0 || (size_t)page_len >= sizeof(page) ||
	    (size_t)len >= sizeof(c->answer)) {
		close_connection(c);
		return;
	}
	buf = uv_buf_init(c->answer, (unsigned)len);
	c->write.data = c;
	if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) < 0)
		close_connection(c);
}

static void close_listener(struct oidc_login *l);

static void on_token_answer(void *ctx, const struct http_response *response)
{
	struct oidc_login *l = ctx;

	if (l->ended)
		return;
	l->request = NULL;
	oidc_login_take_answer(l, response);
}

static void exchange(struct oidc_login *l, const char *code)
{
	struct error err = {0};
	int rc = oidc_login_form(l, "authorization_code");

	if (rc == 0)
		rc = oidc_form_add(&l->form, "code", code);
	if (rc == 0)
		rc = oidc_form_add(&l->form, "redirect_uri", l->pkce.redirect_uri);
	if (rc == 0)
		rc = oidc_form_add(&l->form, "code_verifier", l->pkce.verifier);
	if (rc == 0)
		rc = oidc_login_post(l, l->oidc->metadata.token_endpoint, on_token_answer, &err);
	else
		error_set(&err, rc, "the provider's code is too long");
	if (rc < 0)
		oidc_login_fail(l, &err);
}

static void refuse(struct oidc_login *l, const struct oidc_redirect *r)
{
	struct error err = {0};
	char code[64], text[256];

	jwt_printable(r->error, code, sizeof(code));
	jwt_printable(r->description, text, sizeof(text));
	error_set(&err, -EACCES, "%s refused the login: %s (%s)", l->oidc->issuer,
		  text[0] ? text : "no reason given", code);
	oidc_login_fail(l, &err);
}

/* A complete request. The login may end in here. */
static void handle_redirect(struct oidc_connection *c, const struct oidc_redirect *r)
{
	struct oidc_login *l = c->login;
	struct error err = {0};
	char shown[160];

	if (!r->for_us) {
		answer(c, "404 Not Found", "Nothing here", "This address only ends a login.");
		return;
	}
	if (strlen(r->state) != strlen(l->pkce.state) ||
	    !secret_equal(r->state, l->pkce.state, strlen(l->pkce.state))) {
		answer(c, "400 Bad Request", "Not this login",
		       "The login that waits here is another one. Open its link again.");
		return;
	}
	if (!r->error[0] && !r->code[0]) {
		answer(c, "400 Bad Request", "Not this login", "The provider sent no code.");
		return;
	}
	close_listener(l);
	if (r->error[0]) {
		answer(c, "200 OK", "Login refused", "You can close this window.");
		refuse(l, r);
		return;
	}
	/* RFC 9207: a provider that names itself must be the one that was asked. */
	if (r->issuer[0] && strcmp(r->issuer, l->oidc->issuer) != 0) {
		answer(c, "400 Bad Request", "Login failed", "Another provider answered.");
		error_set(&err, -EACCES,
			  "the answer to the login came from \"%s\", expected \"%s\"",
			  jwt_printable(r->issuer, shown, sizeof(shown)), l->oidc->issuer);
		oidc_login_fail(l, &err);
		return;
	}
	answer(c, "200 OK", "Logged in", "You can close this window and go back to the terminal.");
	exchange(l, r->code);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct oidc_connection *c = handle->data;

	(void)suggested;
	*buf = uv_buf_init(c->data + c->len, (unsigned)(sizeof(c->data) - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
	struct oidc_connection *c = stream->data;
	struct oidc_redirect *r;
	int rc;

	(void)buf;
	if (count < 0) {
		close_connection(c);
		return;
	}
	c->len += (size_t)count;
	r = calloc(1, sizeof(*r));
	if (!r) {
		close_connection(c);
		return;
	}
	rc = oidc_redirect_parse(c->data, c->len, c->login->pkce.port, r);
	if (rc == 0)
		handle_redirect(c, r);
	else if (rc != -EAGAIN || c->len == sizeof(c->data))
		answer(c, "400 Bad Request", "Not a login", "This request was not understood.");
	secret_wipe(r, sizeof(*r));
	free(r);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct oidc_login *l = listener->data;
	struct oidc_connection *c;

	if (status < 0 || l->ended)
		return;
	c = calloc(1, sizeof(*c));
	if (!c || uv_tcp_init(http_loop(l->oidc->http), &c->tcp) < 0) {
		free(c);
		return;
	}
	c->tcp.data = c;
	c->login = l;
	l->open_handles++;
	l->pkce.connection_count++;
	c->next = l->pkce.connections;
	l->pkce.connections = c;
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 ||
	    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) < 0) {
		close_connection(c);
		return;
	}
	/* Browsers open spare connections: the oldest one that says nothing has to go. */
	if (l->pkce.connection_count > OIDC_PKCE_CONNECTIONS) {
		struct oidc_connection *oldest = NULL;

		for (struct oidc_connection *i = l->pkce.connections; i; i = i->next)
			if (!i->closing && !i->answered)
				oldest = i;
		if (oldest)
			close_connection(oldest);
	}
}

static void on_listener_closed(uv_handle_t *handle)
{
	oidc_login_handle_closed(handle->data);
}

static void close_listener(struct oidc_login *l)
{
	if (!l->pkce.listening)
		return;
	l->pkce.listening = false;
	uv_close((uv_handle_t *)&l->pkce.listener, on_listener_closed);
}

/* A socket on the loopback with that port, or one of the kernel's choice (0). */
static int bind_port(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1, rc, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* A login that is over must not keep the next one waiting. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 8) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int bind_any(const struct oidc *o)
{
	int fd = -EADDRINUSE;

	if (o->redirect_port_count == 0)
		return bind_port(0);
	for (size_t i = 0; i < o->redirect_port_count && fd < 0; i++)
		fd = bind_port(o->redirect_ports[i]);
	return fd;
}

static int open_listener(struct oidc_login *l)
{
	struct sockaddr_in addr = {0};
	int len = sizeof(addr), rc, fd = bind_any(l->oidc);

	if (fd < 0)
		return fd;
	rc = uv_tcp_init(http_loop(l->oidc->http), &l->pkce.listener);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	l->pkce.listener.data = l;
	l->pkce.listening = true;
	l->open_handles++;
	rc = uv_tcp_open(&l->pkce.listener, fd);
	if (rc < 0)
		close(fd);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&l->pkce.listener, 8, on_connection);
	if (rc == 0)
		rc = uv_tcp_getsockname(&l->pkce.listener, (struct sockaddr *)&addr, &len);
	if (rc < 0)
		return rc;
	l->pkce.port = ntohs(addr.sin_port);
	snprintf(l->pkce.redirect_uri, sizeof(l->pkce.redirect_uri), "http://127.0.0.1:%u/callback",
		 l->pkce.port);
	return 0;
}

static void say_no_port(const struct oidc *o, int rc, struct error *err)
{
	char ports[64] = "";
	size_t n = 0;

	for (size_t i = 0; i < o->redirect_port_count; i++)
		n += (size_t)snprintf(ports + n, sizeof(ports) - n, "%s%u", i > 0 ? ", " : "",
				      o->redirect_ports[i]);
	if (n > 0)
		error_set(err, rc,
			  "none of the loopback ports that %s takes is free (%s): %s; try again "
			  "when other logins on this machine are done",
			  o->issuer, ports, uv_strerror(rc));
	else
		error_set(err, rc, "no loopback port for the login: %s", uv_strerror(rc));
}

static void on_too_late(uv_timer_t *timer)
{
	struct error err = {0};

	error_set(&err, -ETIMEDOUT, "nobody logged in within ten minutes; try again");
	oidc_login_fail(timer->data, &err);
}

/* RFC 7636 section 4.2. */
static void make_challenge(const char *verifier, char challenge[ENCODE_BASE64URL_SIZE(32)])
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const unsigned char *)verifier, strlen(verifier));
	encode_base64url(challenge, hash, sizeof(hash));
}

void oidc_pkce_begin(struct oidc_login *l)
{
	char challenge[ENCODE_BASE64URL_SIZE(32)], nonce[ENCODE_BASE64URL_SIZE(32)];
	struct oidc_prompt prompt;
	struct error err = {0};
	char *url = NULL;
	int rc;

	rc = open_listener(l);
	if (rc < 0) {
		say_no_port(l->oidc, rc, &err);
		oidc_login_fail(l, &err);
		return;
	}
	oidc_random_text(l->oidc, 32, l->pkce.verifier, sizeof(l->pkce.verifier));
	oidc_random_text(l->oidc, 16, l->pkce.state, sizeof(l->pkce.state));
	if (!l->nonce) {
		oidc_random_text(l->oidc, 32, nonce, sizeof(nonce));
		l->nonce = strdup(nonce);
	}
	make_challenge(l->pkce.verifier, challenge);
	/* Core section 11: without consent no refresh token. */
	if (l->nonce)
		url = oidc_login_url(
			l->oidc, l->pkce.redirect_uri, l->pkce.state, l->nonce, challenge,
			strstr(l->oidc->scope, "offline_access") ? "consent" : NULL, &err);
	else
		error_set(&err, -ENOMEM, "out of memory");
	if (!url) {
		oidc_login_fail(l, &err);
		return;
	}
	oidc_login_after(l, LOGIN_MS, on_too_late);
	prompt = (struct oidc_prompt){
		.url = url,
		.expires_s = clock_realtime_s(l->oidc->clock) + LOGIN_MS / 1000,
	};
	if (l->ops.on_prompt)
		l->ops.on_prompt(l->ops.ctx, &prompt); /* may cancel */
	free(url);
}

void oidc_pkce_stop(struct oidc_login *l)
{
	close_listener(l);
	/* A page that is being written goes out; its connection closes after that. */
	for (struct oidc_connection *c = l->pkce.connections; c; c = c->next)
		if (!c->answered)
			close_connection(c);
}
