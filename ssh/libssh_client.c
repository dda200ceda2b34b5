/* SPDX-License-Identifier: Apache-2.0
 *
 * libssh's client side (RFC 4253, 4252): the connection, its key exchange and the login. Decides
 * nothing: which host key is right and which method comes next is the caller's.
 */
#include "ssh/libssh_client_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/secret.h"
#include "ssh/libssh_ahead.h"

#define PUMP_READS 64 /* of 4 KiB each, before channels get their turn */

/* The authenticated ones only; which of them is fastest depends on the processor, and AES is in
 * hardware where it matters. */
static const char ciphers[] = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,"
			      "chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr";
static const char macs[] = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
			   "hmac-sha2-256,hmac-sha2-512";
static const char kex[] = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
			  "ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group16-sha512,"
			  "diffie-hellman-group18-sha512,diffie-hellman-group14-sha256";

/* text: "function: line", of one packet at most. */
static void read_log(int priority, const char *function, const char *text, void *userdata)
{
	static const char goodbye[] = "Received SSH_MSG_DISCONNECT ";
	struct libssh_client *c = userdata;
	const char *line = strstr(text, ": ");
	char *end;

	if (!c)
		return;
	/* libssh's error says it as well, until the next error, which may come within the same call. */
	if (line && strcmp(function, "ssh_packet_disconnect_callback") == 0 &&
	    strncmp(line + 2, goodbye, sizeof(goodbye) - 1) == 0 && !c->has_farewell) {
		c->farewell_code = (uint32_t)strtoul(line + 2 + sizeof(goodbye) - 1, &end, 10);
		c->has_farewell = *end == ':';
		if (c->has_farewell)
			(void)snprintf(c->farewell, sizeof(c->farewell), "%s", end + 1);
	}
	if (priority <= c->log)
		fprintf(stderr, "debug%d: %s\r\n", priority, text);
}

static int set_options(ssh_session s, int fd, const char *name, const char *user,
		       const char *host_keys)
{
	bool no = false;

	/* Or the user's and the machine's configuration would have the last word. */
	if (ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_HOST, name) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_USER, user) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_FD, &fd) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, "/dev/null") < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null") < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_HOSTKEYS, host_keys) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_KEY_EXCHANGE, kex) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_CIPHERS_C_S, ciphers) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_CIPHERS_S_C, ciphers) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_HMAC_C_S, macs) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_HMAC_S_C, macs) < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_COMPRESSION_C_S, "none") < 0 ||
	    ssh_options_set(s, SSH_OPTIONS_COMPRESSION_S_C, "none") < 0)
		return -EINVAL;
	return 0;
}

int libssh_client_new(int fd, const char *name, const char *user, int log, const char *host_keys,
		      const struct libssh_client_ops *ops, void *ctx,
		      struct libssh_client **ret_client, struct error *err)
{
	struct libssh_client *c = calloc(1, sizeof(*c));

	if (!c)
		return error_set(err, -ENOMEM, "no memory for an SSH connection");
	c->ops = ops;
	c->ctx = ctx;
	c->session = ssh_new();
	if (!c->session || set_options(c->session, fd, name, user, host_keys) < 0 ||
	    libssh_ahead_start(fd) < 0) {
		error_set(err, -EINVAL, "libssh cannot be set up: %s",
			  c->session ? ssh_get_error(c->session) : "no memory");
		libssh_client_free(c);
		return -EINVAL;
	}
	ssh_set_blocking(c->session, 0);
	ssh_set_counters(c->session, &c->counter, NULL);
	ssh_set_message_callback(c->session, libssh_client_message, c);
	c->log = log;
	ssh_set_log_userdata(c);
	ssh_set_log_callback(read_log);
	ssh_set_log_level(log > SSH_LOG_PACKET ? log : SSH_LOG_PACKET);
	*ret_client = c;
	return 0;
}

void libssh_client_free(struct libssh_client *c)
{
	if (!c)
		return;
	c->dead = true;
	while (c->channels)
		libssh_client_channel_free(c->channels);
	ssh_set_log_level(SSH_LOG_NOLOG);
	ssh_set_log_userdata(NULL);
	ssh_key_free(c->key);
	if (c->event)
		ssh_event_free(c->event);
	ssh_free(c->session);
	libssh_ahead_stop();
	free(c);
}

void libssh_client_disconnect(struct libssh_client *c)
{
	if (libssh_client_alive(c))
		ssh_blocking_flush(c->session, 200);
	c->dead = true;
	while (c->channels)
		libssh_client_channel_free(c->channels);
	ssh_disconnect(c->session);
}

int libssh_client_connect(struct libssh_client *c)
{
	int rc = ssh_connect(c->session);

	if (rc == SSH_AGAIN)
		return ssh_get_status(c->session) & (SSH_CLOSED | SSH_CLOSED_ERROR) ? -EPIPE : 0;
	if (rc != SSH_OK)
		return -EPROTO;
	c->event = ssh_event_new();
	if (!c->event || ssh_event_add_session(c->event, c->session) != SSH_OK)
		return -ENOMEM;
	return 1;
}

int libssh_client_host_key(struct libssh_client *c, char **ret_text)
{
	ssh_key key = NULL;
	char *base64 = NULL;
	int r = -EPROTO;

	if (ssh_get_server_publickey(c->session, &key) == SSH_OK &&
	    ssh_pki_export_pubkey_base64(key, &base64) == SSH_OK)
		r = asprintf(ret_text, "%s %s", ssh_key_type_to_char(ssh_key_type(key)), base64) < 0
			    ? -ENOMEM
			    : 0;
	ssh_string_free_char(base64);
	ssh_key_free(key);
	return r;
}

bool libssh_client_alive(struct libssh_client *c)
{
	return !c->dead && ssh_is_connected(c->session) &&
	       !(ssh_get_status(c->session) & (SSH_CLOSED | SSH_CLOSED_ERROR));
}

const char *libssh_client_error(struct libssh_client *c)
{
	return ssh_get_error(c->session);
}

const char *libssh_client_farewell(struct libssh_client *c, uint32_t *ret_code)
{
	if (c->has_farewell)
		*ret_code = c->farewell_code;
	return c->has_farewell ? c->farewell : NULL;
}

bool libssh_client_waiting(const struct libssh_client *c)
{
	return !c->dead && libssh_ahead_waiting();
}

bool libssh_client_congested(struct libssh_client *c)
{
	return ssh_get_status(c->session) & SSH_WRITE_PENDING;
}

uint64_t libssh_client_received(const struct libssh_client *c)
{
	return c->counter.in_bytes;
}

void libssh_client_keepalive(struct libssh_client *c)
{
	ssh_send_keepalive(c->session);
}

int libssh_client_pump(struct libssh_client *c)
{
	int rc = SSH_OK;

	for (int i = 0; i < PUMP_READS && rc == SSH_OK && libssh_client_alive(c); i++)
		rc = ssh_event_dopoll(c->event, 0);
	return libssh_client_alive(c) ? 0 : -EPIPE;
}

/* ---- Authentication. */

static enum libssh_client_auth translate(struct libssh_client *c, int rc)
{
	switch (rc) {
	case SSH_AUTH_SUCCESS:
		return LIBSSH_CLIENT_ACCEPTED;
	case SSH_AUTH_AGAIN:
		return libssh_client_alive(c) ? LIBSSH_CLIENT_AGAIN : LIBSSH_CLIENT_BROKEN;
	case SSH_AUTH_INFO:
		return LIBSSH_CLIENT_QUESTIONS;
	case SSH_AUTH_DENIED:
	case SSH_AUTH_PARTIAL:
		return libssh_client_alive(c) ? LIBSSH_CLIENT_DENIED : LIBSSH_CLIENT_BROKEN;
	default:
		return LIBSSH_CLIENT_BROKEN;
	}
}

enum libssh_client_auth libssh_client_auth_none(struct libssh_client *c)
{
	return translate(c, ssh_userauth_none(c->session, NULL));
}

unsigned libssh_client_methods(struct libssh_client *c)
{
	unsigned list = (unsigned)ssh_userauth_list(c->session, NULL);

	unsigned bits = 0;

	if (list & SSH_AUTH_METHOD_INTERACTIVE)
		bits |= LIBSSH_CLIENT_INTERACTIVE;
	if (list & SSH_AUTH_METHOD_PUBLICKEY)
		bits |= LIBSSH_CLIENT_PUBLICKEY;
	return bits;
}

char *libssh_client_banner(struct libssh_client *c)
{
	char *text = ssh_get_issue_banner(c->session);
	char *copy = text ? strdup(text) : NULL;

	ssh_string_free_char(text);
	return copy;
}

struct passphrase {
	libssh_client_passphrase_fn ask;
	void *ctx;
};

static int on_passphrase(const char *prompt, char *buf, size_t len, int echo, int verify,
			 void *userdata)
{
	const struct passphrase *p = userdata;

	(void)prompt;
	(void)echo;
	(void)verify;
	return p->ask && p->ask(p->ctx, buf, len) ? 0 : -1;
}

int libssh_client_load_key(struct libssh_client *c, const char *path,
			   libssh_client_passphrase_fn ask, void *ctx, struct error *err)
{
	struct passphrase passphrase = {ask, ctx};
	char certificate[512];
	ssh_key key = NULL, cert = NULL;

	if (ssh_pki_import_privkey_file(path, NULL, on_passphrase, &passphrase, &key) != SSH_OK)
		return error_set(err, -EINVAL, "cannot read the private key %s%s", path,
				 access(path, R_OK) < 0 ? ": no such file, or not readable" : "");
	if (snprintf(certificate, sizeof(certificate), "%s-cert.pub", path) <
		    (int)sizeof(certificate) &&
	    access(certificate, R_OK) == 0) {
		if (ssh_pki_import_cert_file(certificate, &cert) != SSH_OK ||
		    ssh_pki_copy_cert_to_privkey(cert, key) != SSH_OK) {
			ssh_key_free(cert);
			ssh_key_free(key);
			return error_set(err, -EINVAL, "cannot use the certificate %s",
					 certificate);
		}
		ssh_key_free(cert);
	}
	ssh_key_free(c->key);
	c->key = key;
	return 0;
}

enum libssh_client_auth libssh_client_auth_key(struct libssh_client *c)
{
	return translate(c, ssh_userauth_publickey(c->session, NULL, c->key));
}

enum libssh_client_auth libssh_client_auth_interactive(struct libssh_client *c)
{
	return translate(c, ssh_userauth_kbdint(c->session, NULL, NULL));
}

const char *libssh_client_name(struct libssh_client *c)
{
	const char *text = ssh_userauth_kbdint_getname(c->session);

	return text ? text : "";
}

const char *libssh_client_instruction(struct libssh_client *c)
{
	const char *text = ssh_userauth_kbdint_getinstruction(c->session);

	return text ? text : "";
}

unsigned libssh_client_prompts(struct libssh_client *c)
{
	int n = ssh_userauth_kbdint_getnprompts(c->session);

	return n > 0 ? (unsigned)n : 0;
}

const char *libssh_client_prompt(struct libssh_client *c, unsigned i, bool *ret_echo)
{
	char echo = 0;
	const char *text = ssh_userauth_kbdint_getprompt(c->session, i, &echo);

	*ret_echo = echo != 0;
	return text ? text : "";
}

int libssh_client_answer(struct libssh_client *c, unsigned i, const char *text)
{
	return ssh_userauth_kbdint_setanswer(c->session, i, text) < 0 ? -EPROTO : 0;
}

int libssh_client_listen(struct libssh_client *c, const char *address, uint16_t port,
			 uint16_t *ret_port)
{
	int bound = 0;
	int rc = ssh_channel_listen_forward(c->session, address, port, &bound);

	if (rc == SSH_AGAIN)
		return libssh_client_alive(c) ? 0 : -EPIPE;
	if (rc != SSH_OK)
		return -EACCES;
	*ret_port = port != 0 ? port : (uint16_t)bound;
	return 1;
}
