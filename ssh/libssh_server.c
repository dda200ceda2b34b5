/* SPDX-License-Identifier: Apache-2.0
 *
 * libssh's server side (RFC 4252, 4253, 4254): host key stand-in, algorithms, authentication in queue
 * mode, so that an answer can wait, and channels with callbacks afterwards. Decides nothing.
 */
#include "ssh/libssh_server.h"

/* The message interface is marked as old, but the callbacks cannot defer an answer. */
#define SSH_SUPPRESS_DEPRECATED 1
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/buffer.h"
#include "platform/clock.h"
#include "platform/encode.h"
#include "platform/secret.h"

#define PUMP_READS   64 /* of 4 KiB each, before channels get their turn */
#define MAX_BACKLOG  (8u << 20) /* more unread than any window we grant: the client ignores the window */
#define ED25519_BLOB 51

static const char kex[] = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
			  "ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group18-sha512,"
			  "diffie-hellman-group16-sha512,diffie-hellman-group14-sha256";
static const char ciphers[] = "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,"
			      "aes128-gcm@openssh.com,aes256-ctr,aes128-ctr";
static const char macs[] = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com";

struct libssh_channel {
	struct libssh_server *server;
	struct libssh_channel *next;
	ssh_channel ssh;
	void *user;
	size_t backlog;
	bool agent; /* which open to call again */
	char address[256], originator[256];
	uint32_t port, originator_port;
	struct ssh_channel_callbacks_struct callbacks;
};

struct libssh_server {
	ssh_session session;
	ssh_event event;
	struct ssh_counter_struct counter;
	ssh_message message; /* the newest authentication request */
	uint64_t seen, taken; /* authentication requests that libssh read, and that reached us */
	bool dead;
	const struct libssh_server_ops *ops;
	void *ctx;
	struct libssh_channel *channels;
	uint8_t signature[LIBSSH_HOOKS_SIGNATURE_MAX]; /* of the newest KEY, as SSH writes it */
};

/* ---- Start. */

/* An OpenSSH private key file in memory (PROTOCOL.key) with the right public half and a zeroed seed. */
static int make_stand_in(const uint8_t *blob, size_t len, ssh_key *ret_key)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
	static const char end[] = "\n-----END OPENSSH PRIVATE KEY-----\n";
	static const uint8_t zero[32];
	uint8_t secret[512], file[1024], expanded[64];
	char text[sizeof(begin) + ENCODE_BASE64_SIZE(sizeof(file)) + sizeof(end)];
	struct writer w = writer_init(secret, sizeof(secret));
	struct writer f = writer_init(file, sizeof(file));
	const uint8_t *public = blob + len - 32;
	uint8_t pad = 1;
	size_t at;

	memcpy(expanded, zero, 32);
	memcpy(expanded + 32, public, 32);
	writer_u32(&w, 0); /* two equal check numbers */
	writer_u32(&w, 0);
	writer_cstring(&w, "ssh-ed25519");
	writer_string(&w, public, 32);
	writer_string(&w, expanded, sizeof(expanded));
	writer_cstring(&w, "");
	while (w.len % 8)
		writer_u8(&w, pad++);

	writer_bytes(&f, "openssh-key-v1", sizeof("openssh-key-v1"));
	writer_cstring(&f, "none");
	writer_cstring(&f, "none");
	writer_cstring(&f, "");
	writer_u32(&f, 1);
	writer_string(&f, blob, len);
	writer_string(&f, w.data, w.len);
	if (w.failed || f.failed)
		return -EMSGSIZE;

	at = sizeof(begin) - 1;
	memcpy(text, begin, at);
	at += encode_base64(text + at, f.data, f.len);
	memcpy(text + at, end, sizeof(end));
	return ssh_pki_import_privkey_base64(text, NULL, NULL, NULL, ret_key) == SSH_OK ? 0
											: -EINVAL;
}

static bool is_ed25519_blob(const uint8_t *blob, size_t len)
{
	static const uint8_t head[] = "\0\0\0\x0bssh-ed25519\0\0\0\x20";

	return len == ED25519_BLOB && memcmp(blob, head, sizeof(head) - 1) == 0;
}

static int bind_options(ssh_bind bind, ssh_key key, const char *versions)
{
	bool no = false;
	int level = SSH_LOG_NOLOG;

	/* Or /etc/ssh/libssh_server_config would have the last word. */
	if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_LOG_VERBOSITY, &level) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, kex) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_C_S, ciphers) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_S_C, ciphers) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HMAC_C_S, macs) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HMAC_S_C, macs) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, "ssh-ed25519") < 0)
		return -EINVAL;
	if (*versions && ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BANNER, versions) < 0)
		return -EINVAL;
	/* Takes the key over when it succeeds. */
	return ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) < 0 ? -EINVAL : 0;
}

static int accept_connection(struct libssh_server *s, int fd, const uint8_t *host_public, size_t len,
			     const char *versions)
{
	ssh_bind bind = ssh_bind_new();
	ssh_key key = NULL;
	int rc = -ENOMEM;

	s->session = ssh_new();
	if (!bind || !s->session)
		goto out;
	rc = make_stand_in(host_public, len, &key);
	if (rc < 0)
		goto out;
	rc = bind_options(bind, key, versions);
	if (rc < 0) {
		ssh_key_free(key);
		goto out;
	}
	/* "no" would leave zlib on. */
	rc = -EINVAL;
	if (ssh_options_set(s->session, SSH_OPTIONS_COMPRESSION_C_S, "none") < 0 ||
	    ssh_options_set(s->session, SSH_OPTIONS_COMPRESSION_S_C, "none") < 0)
		goto out;
	ssh_set_blocking(s->session, 0);
	if (ssh_bind_accept_fd(bind, s->session, fd) != SSH_OK)
		goto out;
	ssh_set_counters(s->session, &s->counter, NULL);
	rc = 0;
out:
	ssh_bind_free(bind);
	return rc;
}

/* libssh drops a request with a key or signature that it can't read and answers nothing (0.10.6). This
 * line of its log comes first with each request; the user's words in it cannot forge its beginning. */
static void count_requests(int priority, const char *function, const char *buffer, void *userdata)
{
	static const char line[] = "ssh_packet_userauth_request: Auth request for service ";
	struct libssh_server *s = userdata;

	(void)priority;
	if (s && strcmp(function, "ssh_packet_userauth_request") == 0 &&
	    strncmp(buffer, line, sizeof(line) - 1) == 0)
		s->seen++;
}

static void ignore_log(int priority, const char *function, const char *buffer, void *userdata)
{
	(void)priority;
	(void)function;
	(void)buffer;
	(void)userdata;
}

int libssh_server_new(int fd, const uint8_t *host_public, size_t len, const char *versions,
		      libssh_hooks_sign_fn sign, void *sign_ctx, struct libssh_server **ret_server,
		      struct error *err)
{
	struct libssh_server *s;
	int rc;

	if (!is_ed25519_blob(host_public, len))
		return error_set(err, -EINVAL, "the host key is not an ssh-ed25519 key");
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, -ENOMEM, "no memory for an SSH connection");
	libssh_hooks_arm_sign(sign, sign_ctx);
	rc = accept_connection(s, fd, host_public, len, versions);
	if (rc == 0)
		rc = libssh_hooks_arm_verify();
	if (rc < 0) {
		libssh_server_free(s);
		return error_set(err, rc, "libssh cannot serve this connection");
	}
	ssh_set_log_callback(count_requests);
	ssh_set_log_userdata(s);
	ssh_set_log_level(SSH_LOG_PACKET);
	libssh_server_auth_methods(s, true, true);
	*ret_server = s;
	return 0;
}

void libssh_server_free(struct libssh_server *s)
{
	if (!s)
		return;
	ssh_set_log_level(SSH_LOG_NOLOG);
	ssh_set_log_userdata(NULL);
	libssh_hooks_arm_sign(NULL, NULL);
	libssh_hooks_disarm_verify();
	s->dead = true;
	while (s->channels)
		libssh_channel_free(s->channels);
	ssh_message_free(s->message);
	if (s->event)
		ssh_event_free(s->event);
	if (s->session) {
		ssh_disconnect(s->session);
		ssh_free(s->session);
	}
	free(s);
}

int libssh_server_key_exchange(struct libssh_server *s)
{
	int rc = ssh_handle_key_exchange(s->session);

	if (rc == SSH_AGAIN)
		return libssh_server_alive(s) ? 0 : -EPIPE;
	if (rc != SSH_OK || !libssh_server_alive(s))
		return -EPROTO;
	return 1;
}

bool libssh_server_alive(struct libssh_server *s)
{
	return !s->dead && ssh_is_connected(s->session) &&
	       !(ssh_get_status(s->session) & (SSH_CLOSED | SSH_CLOSED_ERROR));
}

const char *libssh_server_error(struct libssh_server *s)
{
	return ssh_get_error(s->session);
}

bool libssh_server_congested(struct libssh_server *s)
{
	return ssh_get_status(s->session) & SSH_WRITE_PENDING;
}

void libssh_server_bytes(struct libssh_server *s, uint64_t *ret_received, uint64_t *ret_sent)
{
	*ret_received = s->counter.in_bytes;
	*ret_sent = s->counter.out_bytes;
}

void libssh_server_ignore(struct libssh_server *s)
{
	ssh_send_ignore(s->session, "");
}

void libssh_server_disconnect(struct libssh_server *s, const char *text, int timeout_ms)
{
	if (libssh_server_alive(s)) {
		ssh_blocking_flush(s->session, timeout_ms);
		/* Arms libssh's "can write" again, or the last message would stay in its buffer. */
		if (s->event && libssh_server_alive(s))
			ssh_event_dopoll(s->event, 100);
	}
	ssh_session_set_disconnect_message(s->session, text);
	s->dead = true;
	while (s->channels)
		libssh_channel_free(s->channels);
	ssh_disconnect(s->session);
}

/* ---- Authentication. */

static void take_text(char *out, size_t cap, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	/* A name that does not fit is no account's: leave it empty, the monitor refuses that. */
	if (len >= cap)
		len = 0;
	if (len > 0)
		memcpy(out, text, len);
	out[len] = '\0';
}

static bool export_blob(ssh_key key, struct libssh_auth_request *r)
{
	char *text = NULL;
	bool ok;

	if (!key || ssh_pki_export_pubkey_base64(key, &text) != SSH_OK)
		return false;
	ok = encode_base64_decode(r->blob, sizeof(r->blob), text, strlen(text), &r->blob_len) == 0;
	ssh_string_free_char(text);
	return ok;
}

/* mpint r, mpint s (RFC 5656 section 3.1.2) from DER. */
static size_t ecdsa_blob(const uint8_t *der, size_t len, uint8_t *out, size_t cap)
{
	struct writer w = writer_init(out, cap);
	const unsigned char *at = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
	const BIGNUM *parts[2];

	if (!sig)
		return 0;
	ECDSA_SIG_get0(sig, &parts[0], &parts[1]);
	for (size_t i = 0; i < 2; i++) {
		uint8_t number[68] = {0}; /* a zero byte keeps it positive */
		int n = BN_num_bytes(parts[i]);

		if (n < 1 || n > 66) {
			w.failed = true;
			break;
		}
		BN_bn2bin(parts[i], number + 1);
		if (number[1] & 0x80)
			writer_string(&w, number, (size_t)n + 1);
		else
			writer_string(&w, number + 1, (size_t)n);
	}
	ECDSA_SIG_free(sig);
	return w.failed ? 0 : w.len;
}

/* The algorithm as the client signed it (RFC 4252 section 7). */
static bool signed_algorithm(const struct libssh_hooks_proof *proof, char *out, size_t cap)
{
	struct reader r = reader_init(proof->data, proof->data_len);
	size_t len;

	reader_string(&r, 64, &len); /* session id */
	reader_u8(&r);
	reader_string(&r, 1024, &len); /* login */
	reader_string(&r, 64, &len);   /* service */
	reader_string(&r, 64, &len);   /* method */
	reader_u8(&r);
	reader_cstring(&r, out, cap);
	return !r.failed;
}

static bool take_proof(struct libssh_server *s, struct libssh_auth_request *r)
{
	const struct libssh_hooks_proof *proof = libssh_hooks_find(r->blob, r->blob_len);

	if (!proof || !signed_algorithm(proof, r->algorithm, sizeof(r->algorithm)))
		return false;
	r->signed_data = proof->data;
	r->signed_data_len = proof->data_len;
	if (strncmp(r->algorithm, "ecdsa-", 6) == 0) {
		r->signature_len = ecdsa_blob(proof->signature, proof->signature_len, s->signature,
					      sizeof(s->signature));
	} else {
		memcpy(s->signature, proof->signature, proof->signature_len);
		r->signature_len = proof->signature_len;
	}
	r->signature = s->signature;
	return r->signature_len > 0;
}

static void take_publickey(struct libssh_server *s, ssh_message m, struct libssh_auth_request *r)
{
	ssh_key key = ssh_message_auth_pubkey(m);
	enum ssh_publickey_state_e state = ssh_message_auth_publickey_state(m);

	if (!export_blob(key, r))
		return;
	if (state == SSH_PUBLICKEY_STATE_NONE) {
		r->kind = LIBSSH_AUTH_QUERY;
		take_text(r->algorithm, sizeof(r->algorithm),
			  ssh_key_type_to_char(ssh_key_type(key)));
	} else if (state == SSH_PUBLICKEY_STATE_VALID && take_proof(s, r)) {
		r->kind = LIBSSH_AUTH_KEY;
	}
}

static void take_request(struct libssh_server *s, ssh_message m, struct libssh_auth_request *r)
{
	r->kind = LIBSSH_AUTH_OTHER;
	ssh_message_free(s->message);
	s->message = m;
	if (ssh_message_subtype(m) == SSH_AUTH_METHOD_INTERACTIVE &&
	    ssh_message_auth_kbdint_is_response(m)) {
		r->kind = LIBSSH_AUTH_RESPONSE;
		return;
	}
	s->taken++;
	take_text(r->login, sizeof(r->login), ssh_message_auth_user(m));
	switch (ssh_message_subtype(m)) {
	case SSH_AUTH_METHOD_NONE:
		r->kind = LIBSSH_AUTH_NONE;
		break;
	case SSH_AUTH_METHOD_INTERACTIVE:
		r->kind = LIBSSH_AUTH_INTERACTIVE;
		break;
	case SSH_AUTH_METHOD_PUBLICKEY:
		take_publickey(s, m, r);
		break;
	default:
		break;
	}
}

/* What is not authentication: 0 when it was dealt with. */
static int other_message(ssh_message m)
{
	int rc = -EPROTO;

	if (ssh_message_type(m) == SSH_REQUEST_SERVICE) {
		const char *service = ssh_message_service_service(m);

		if (service && strcmp(service, "ssh-userauth") == 0 &&
		    ssh_message_service_reply_success(m) == SSH_OK)
			rc = 0;
	} else if (ssh_message_type(m) == SSH_REQUEST_GLOBAL) {
		rc = ssh_message_reply_default(m) == SSH_OK ? 0 : -EPROTO;
	}
	ssh_message_free(m);
	return rc;
}

int libssh_server_auth_next(struct libssh_server *s, struct libssh_auth_request *ret_request)
{
	ssh_message m;

	memset(ret_request, 0, sizeof(*ret_request));
	while (libssh_server_alive(s) && (m = ssh_message_get(s->session))) {
		int rc;

		if (ssh_message_type(m) == SSH_REQUEST_AUTH) {
			take_request(s, m, ret_request);
			return 1;
		}
		rc = other_message(m);
		if (rc < 0)
			return rc;
	}
	if (!libssh_server_alive(s))
		return -EPIPE;
	if (s->seen > s->taken) {
		/* Without any earlier message there is nothing to answer with. */
		s->taken = s->seen;
		ret_request->kind = LIBSSH_AUTH_OTHER;
		return s->message ? 1 : -EPROTO;
	}
	return 0;
}

void libssh_server_auth_methods(struct libssh_server *s, bool publickey, bool interactive)
{
	/* libssh takes an empty set for "publickey,password". */
	unsigned methods = publickey || !interactive ? SSH_AUTH_METHOD_PUBLICKEY : 0;

	if (interactive)
		methods |= SSH_AUTH_METHOD_INTERACTIVE;
	ssh_set_auth_methods(s->session, (int)methods);
}

int libssh_server_auth_pk_ok(struct libssh_server *s)
{
	return ssh_message_auth_reply_pk_ok_simple(s->message) == SSH_OK ? 0 : -EIO;
}

int libssh_server_auth_refuse(struct libssh_server *s, bool partial)
{
	int rc = partial ? ssh_message_auth_reply_success(s->message, 1)
			 : ssh_message_reply_default(s->message);

	return rc == SSH_OK ? 0 : -EIO;
}

int libssh_server_auth_ask(struct libssh_server *s, const char *instruction)
{
	return ssh_message_auth_interactive_request(s->message, "", instruction, 0, NULL, NULL) ==
			       SSH_OK
		       ? 0
		       : -EIO;
}

int libssh_server_auth_banner(struct libssh_server *s, const char *text)
{
	ssh_string string = ssh_string_from_char(text);
	int rc;

	if (!string)
		return -ENOMEM;
	rc = ssh_send_issue_banner(s->session, string);
	ssh_string_free(string);
	return rc == SSH_OK ? 0 : -EIO;
}

/* ---- Channels. */

static struct libssh_channel *find_channel(struct libssh_server *s, ssh_channel ssh)
{
	struct libssh_channel *c = s->channels;

	while (c && c->ssh != ssh)
		c = c->next;
	return c;
}

static int on_data(ssh_session session, ssh_channel ssh, void *data, uint32_t len, int is_stderr,
		   void *userdata)
{
	struct libssh_channel *c = userdata;
	size_t taken;

	(void)session;
	(void)ssh;
	/* Nobody sends extended data to a server: taken and dropped. */
	if (is_stderr)
		return (int)len;
	taken = c->server->ops->data(c->user, data, len);
	c->backlog = len - taken;
	if (c->backlog > MAX_BACKLOG)
		c->server->dead = true;
	return (int)taken;
}

static void on_eof(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct libssh_channel *c = userdata;

	(void)session;
	(void)ssh;
	c->server->ops->eof(c->user);
}

static void on_close(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct libssh_channel *c = userdata;

	(void)session;
	(void)ssh;
	c->server->ops->closed(c->user);
}

static void on_signal(ssh_session session, ssh_channel ssh, const char *name, void *userdata)
{
	struct libssh_channel *c = userdata;

	(void)session;
	(void)ssh;
	c->server->ops->signal(c->user, name);
}

static void on_agent(ssh_session session, ssh_channel ssh, void *userdata)
{
	struct libssh_channel *c = userdata;

	(void)session;
	(void)ssh;
	c->server->ops->agent(c->user);
}

static struct libssh_channel *new_channel(struct libssh_server *s, void *user)
{
	struct libssh_channel *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->server = s;
	c->user = user;
	c->next = s->channels;
	s->channels = c;
	return c;
}

static int attach(struct libssh_channel *c, ssh_channel ssh, bool session)
{
	c->ssh = ssh;
	c->callbacks.userdata = c;
	c->callbacks.channel_data_function = on_data;
	c->callbacks.channel_eof_function = on_eof;
	c->callbacks.channel_close_function = on_close;
	if (session) {
		c->callbacks.channel_signal_function = on_signal;
		c->callbacks.channel_auth_agent_req_function = on_agent;
	}
	ssh_callbacks_init(&c->callbacks);
	return ssh_set_channel_callbacks(ssh, &c->callbacks) == SSH_OK ? 0 : -EIO;
}

static bool on_channel_open(struct libssh_server *s, ssh_message m)
{
	bool session = ssh_message_subtype(m) == SSH_CHANNEL_SESSION;
	struct libssh_channel *c;
	ssh_channel ssh;

	if (!session && ssh_message_subtype(m) != SSH_CHANNEL_DIRECT_TCPIP)
		return false;
	c = new_channel(s, NULL);
	if (!c)
		return false;
	if (session) {
		c->user = s->ops->open_session(s->ctx, c);
	} else {
		const char *host = ssh_message_channel_request_open_destination(m);
		const char *from = ssh_message_channel_request_open_originator(m);

		c->user = s->ops->open_direct(
			s->ctx, c, host ? host : "",
			(uint16_t)ssh_message_channel_request_open_destination_port(m),
			from ? from : "",
			(uint16_t)ssh_message_channel_request_open_originator_port(m));
	}
	if (!c->user) {
		libssh_channel_free(c);
		return false;
	}
	ssh = ssh_message_channel_request_open_reply_accept(m);
	if (!ssh || attach(c, ssh, session) < 0)
		s->dead = true;
	return true;
}

static bool on_channel_request(struct libssh_server *s, ssh_message m)
{
	struct libssh_channel *c = find_channel(s, ssh_message_channel_request_channel(m));
	const struct libssh_server_ops *ops = s->ops;
	struct libssh_window window = {0};
	const char *text;

	if (!c)
		return false;
	switch (ssh_message_subtype(m)) {
	case SSH_CHANNEL_REQUEST_PTY:
	case SSH_CHANNEL_REQUEST_WINDOW_CHANGE:
		window.cols = (uint32_t)ssh_message_channel_request_pty_width(m);
		window.rows = (uint32_t)ssh_message_channel_request_pty_height(m);
		window.xpixel = (uint32_t)ssh_message_channel_request_pty_pxwidth(m);
		window.ypixel = (uint32_t)ssh_message_channel_request_pty_pxheight(m);
		if (ssh_message_subtype(m) == SSH_CHANNEL_REQUEST_WINDOW_CHANGE) {
			ops->window(c->user, &window);
			return true;
		}
		text = ssh_message_channel_request_pty_term(m);
		return ops->pty(c->user, text ? text : "", &window);
	case SSH_CHANNEL_REQUEST_ENV: {
		const char *name = ssh_message_channel_request_env_name(m);

		text = ssh_message_channel_request_env_value(m);
		return name && text && ops->env(c->user, name, text);
	}
	case SSH_CHANNEL_REQUEST_SHELL:
		return ops->start(c->user, LIBSSH_SHELL, "");
	case SSH_CHANNEL_REQUEST_EXEC:
		text = ssh_message_channel_request_command(m);
		return ops->start(c->user, LIBSSH_EXEC, text ? text : "");
	case SSH_CHANNEL_REQUEST_SUBSYSTEM:
		text = ssh_message_channel_request_subsystem(m);
		return ops->start(c->user, LIBSSH_SUBSYSTEM, text ? text : "");
	default: /* X11, break and what is unknown */
		return false;
	}
}

/* True when it has been answered. */
static bool on_global(struct libssh_server *s, ssh_message m)
{
	const char *address = ssh_message_global_request_address(m);
	uint32_t port = (uint32_t)ssh_message_global_request_port(m), bound = 0;
	bool ok;

	if (!address || port > UINT16_MAX)
		return false;
	switch (ssh_message_subtype(m)) {
	case SSH_GLOBAL_REQUEST_TCPIP_FORWARD:
		ok = s->ops->listen(s->ctx, address, port, &bound) && bound <= UINT16_MAX;
		break;
	case SSH_GLOBAL_REQUEST_CANCEL_TCPIP_FORWARD:
		ok = s->ops->unlisten(s->ctx, address, port);
		break;
	default:
		return false;
	}
	if (ok)
		ssh_message_global_request_reply_success(m, (uint16_t)bound);
	return ok;
}

/* 1: libssh refuses it for us; 0: answered. libssh frees the message. */
static int on_message(ssh_session session, ssh_message m, void *userdata)
{
	struct libssh_server *s = userdata;

	(void)session;
	if (s->dead)
		return 1;
	switch (ssh_message_type(m)) {
	case SSH_REQUEST_CHANNEL_OPEN:
		return on_channel_open(s, m) ? 0 : 1;
	case SSH_REQUEST_CHANNEL:
		if (!on_channel_request(s, m))
			return 1;
		ssh_message_channel_request_reply_success(m);
		return 0;
	case SSH_REQUEST_GLOBAL:
		return on_global(s, m) ? 0 : 1;
	default: /* authentication and services are over */
		s->dead = true;
		return 0;
	}
}

int libssh_server_auth_accept(struct libssh_server *s, const struct libssh_server_ops *ops, void *ctx)
{
	ssh_message m;

	libssh_hooks_disarm_verify();
	ssh_set_log_level(SSH_LOG_NOLOG);
	ssh_set_log_callback(ignore_log);
	ssh_set_log_userdata(NULL);
	s->ops = ops;
	s->ctx = ctx;
	s->event = ssh_event_new();
	if (!s->event || ssh_event_add_session(s->event, s->session) != SSH_OK)
		return -ENOMEM;
	if (ssh_message_auth_reply_success(s->message, 0) != SSH_OK)
		return -EIO;
	ssh_message_free(s->message);
	s->message = NULL;
	ssh_set_message_callback(s->session, on_message, s);
	/* What was queued behind the request that was accepted: nobody sends anything there. */
	while (libssh_server_alive(s) && (m = ssh_message_get(s->session))) {
		ssh_message_free(m);
		s->dead = true;
	}
	return 0;
}

int libssh_server_pump(struct libssh_server *s)
{
	int rc = SSH_OK;

	for (int i = 0; i < PUMP_READS && rc == SSH_OK && libssh_server_alive(s); i++)
		rc = ssh_event_dopoll(s->event, 0);
	return libssh_server_alive(s) ? 0 : -EPIPE;
}

static int open_again(struct libssh_channel *c)
{
	int rc = c->agent ? ssh_channel_open_auth_agent(c->ssh)
			  : ssh_channel_open_reverse_forward(c->ssh, c->address, (int)c->port,
							     c->originator,
							     (int)c->originator_port);

	if (rc == SSH_OK)
		return 1;
	return rc == SSH_AGAIN ? 0 : -ECONNREFUSED;
}

static int open_channel(struct libssh_channel *c, struct libssh_channel **ret_channel)
{
	ssh_channel ssh = ssh_channel_new(c->server->session);
	int rc = -ENOMEM;

	if (ssh)
		rc = attach(c, ssh, false);
	if (rc == 0)
		rc = open_again(c);
	if (rc < 0) {
		libssh_channel_free(c);
		return rc;
	}
	*ret_channel = c;
	return 0;
}

int libssh_channel_open_forwarded(struct libssh_server *s, void *user, const char *address,
				  uint32_t port, const char *originator, uint32_t originator_port,
				  struct libssh_channel **ret_channel)
{
	struct libssh_channel *c = new_channel(s, user);

	if (!c)
		return -ENOMEM;
	take_text(c->address, sizeof(c->address), address);
	take_text(c->originator, sizeof(c->originator), originator);
	c->port = port;
	c->originator_port = originator_port;
	return open_channel(c, ret_channel);
}

int libssh_channel_open_agent(struct libssh_server *s, void *user, struct libssh_channel **ret_channel)
{
	struct libssh_channel *c = new_channel(s, user);

	if (!c)
		return -ENOMEM;
	c->agent = true;
	return open_channel(c, ret_channel);
}

int libssh_channel_opened(struct libssh_channel *c)
{
	return open_again(c);
}

uint32_t libssh_channel_window(struct libssh_channel *c)
{
	return ssh_channel_is_open(c->ssh) ? ssh_channel_window_size(c->ssh) : 0;
}

ssize_t libssh_channel_write(struct libssh_channel *c, const void *data, size_t len, bool is_stderr)
{
	uint32_t window = libssh_channel_window(c);
	int n;

	if (len > window)
		len = window;
	if (len == 0)
		return 0;
	n = is_stderr ? ssh_channel_write_stderr(c->ssh, data, (uint32_t)len)
		      : ssh_channel_write(c->ssh, data, (uint32_t)len);
	return n < 0 ? -EPIPE : n;
}

size_t libssh_channel_backlog(struct libssh_channel *c)
{
	return c->backlog;
}

ssize_t libssh_channel_read(struct libssh_channel *c, void *out, size_t cap)
{
	int n;

	if (c->backlog == 0)
		return 0;
	if (cap > c->backlog)
		cap = c->backlog;
	n = ssh_channel_read_nonblocking(c->ssh, out, (uint32_t)cap, 0);
	if (n <= 0) {
		c->backlog = 0;
		return n == 0 || n == SSH_EOF ? 0 : -EPIPE;
	}
	c->backlog -= (size_t)n < c->backlog ? (size_t)n : c->backlog;
	return n;
}

ssize_t libssh_channel_grow(struct libssh_channel *c, void *out, size_t window)
{
	int n = ssh_channel_read_timeout(c->ssh, out, (uint32_t)window, 0, 0);

	if (n <= 0)
		return n == SSH_ERROR ? -EPIPE : 0;
	c->backlog -= (size_t)n < c->backlog ? (size_t)n : c->backlog;
	return n;
}

void libssh_channel_exit_status(struct libssh_channel *c, uint32_t status)
{
	ssh_channel_request_send_exit_status(c->ssh, (int)status);
}

void libssh_channel_exit_signal(struct libssh_channel *c, const char *name, bool core)
{
	ssh_channel_request_send_exit_signal(c->ssh, name, core, "", "");
}

int libssh_channel_eof(struct libssh_channel *c)
{
	int rc = ssh_channel_send_eof(c->ssh);

	if (rc == SSH_ERROR)
		return -EPIPE;
	return rc == SSH_OK;
}

int libssh_channel_close(struct libssh_channel *c)
{
	/* SSH_AGAIN may mean that only the end of file went out. */
	int rc = ssh_channel_close(c->ssh);

	if (rc == SSH_ERROR)
		return -EPIPE;
	return rc == SSH_OK;
}

void libssh_channel_free(struct libssh_channel *c)
{
	struct libssh_channel **at;

	if (!c)
		return;
	for (at = &c->server->channels; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	if (c->ssh) {
		ssh_remove_channel_callbacks(c->ssh, &c->callbacks);
		ssh_channel_free(c->ssh);
	}
	free(c);
}
