/* SPDX-License-Identifier: Apache-2.0
 *
 * libssh's server side (RFC 4253): host key stand-in, algorithms, the connection's start and end.
 * Decides nothing.
 */
#include "ssh/libssh_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/buffer.h"
#include "platform/encode.h"
#include "ssh/libssh_ahead.h"

#define PUMP_READS   64 /* of 4 KiB each, before channels get their turn */
#define ED25519_BLOB 51
#define UNHEARD_MAX  (256u << 10) /* bytes of answers that may wait */
#define PACKET_COST  64		/* of length, padding and MAC */

/* An OpenSSH private key file in memory (PROTOCOL.key) with the right public half and a zeroed
 * seed. */
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

/* RekeyLimit; libssh's own limits follow from the cipher. */
static int rekey_options(ssh_session session, const struct libssh_settings *settings)
{
	uint64_t bytes = settings->rekey_bytes;
	uint32_t seconds = settings->rekey_s;

	if (bytes > 0 && ssh_options_set(session, SSH_OPTIONS_REKEY_DATA, &bytes) < 0)
		return -EINVAL;
	if (seconds > 0 && ssh_options_set(session, SSH_OPTIONS_REKEY_TIME, &seconds) < 0)
		return -EINVAL;
	return 0;
}

/* "libssh_0.10.6 addendum" */
static int set_versions(ssh_bind bind, const char *versions)
{
	char text[256];
	const char *own = ssh_version(0);

	if (*versions == '\0')
		return 0;
	if (*versions != ' ')
		snprintf(text, sizeof(text), "%s", versions);
	else
		snprintf(text, sizeof(text), "libssh_%.*s%s", (int)strcspn(own, "/"), own,
			 versions);
	return ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BANNER, text) < 0 ? -EINVAL : 0;
}

static int bind_options(ssh_bind bind, ssh_key key, const struct libssh_settings *settings)
{
	bool no = false;
	int level = SSH_LOG_NOLOG;

	/* Or /etc/ssh/libssh_server_config would have the last word. */
	if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_LOG_VERBOSITY, &level) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, settings->kex) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_C_S, settings->ciphers) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_S_C, settings->ciphers) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HMAC_C_S, settings->macs) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HMAC_S_C, settings->macs) < 0 ||
	    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, "ssh-ed25519") < 0)
		return -EINVAL;
	if (set_versions(bind, settings->versions) < 0)
		return -EINVAL;
	/* Takes the key over when it succeeds. */
	return ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) < 0 ? -EINVAL : 0;
}

static int accept_connection(struct libssh_server *s, int fd, const uint8_t *host_public,
			     size_t len, const struct libssh_settings *settings)
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
	rc = bind_options(bind, key, settings);
	if (rc < 0) {
		ssh_key_free(key);
		goto out;
	}
	/* "no" would leave zlib on. */
	rc = -EINVAL;
	if (ssh_options_set(s->session, SSH_OPTIONS_COMPRESSION_C_S, "none") < 0 ||
	    ssh_options_set(s->session, SSH_OPTIONS_COMPRESSION_S_C, "none") < 0)
		goto out;
	if (rekey_options(s->session, settings) < 0)
		goto out;
	ssh_set_blocking(s->session, 0);
	if (ssh_bind_accept_fd(bind, s->session, fd) != SSH_OK)
		goto out;
	rc = libssh_ahead_start(fd);
	if (rc < 0)
		goto out;
	ssh_set_counters(s->session, &s->counter, &s->said);
	rc = 0;
out:
	ssh_bind_free(bind);
	return rc;
}

int libssh_server_new(int fd, const uint8_t *host_public, size_t len,
		      const struct libssh_settings *settings, libssh_hooks_sign_fn sign,
		      void *sign_ctx, struct libssh_server **ret_server, struct error *err)
{
	struct libssh_server *s;
	int rc;

	if (!is_ed25519_blob(host_public, len))
		return error_set(err, -EINVAL, "the host key is not an ssh-ed25519 key");
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, -ENOMEM, "no memory for an SSH connection");
	libssh_hooks_arm_sign(sign, sign_ctx);
	rc = accept_connection(s, fd, host_public, len, settings);
	if (rc == 0)
		rc = libssh_hooks_arm_verify();
	if (rc < 0) {
		libssh_server_free(s);
		return error_set(err, rc, "libssh cannot serve this connection");
	}
	libssh_log_start(s);
	libssh_server_auth_methods(s, true, true, false);
	*ret_server = s;
	return 0;
}

void libssh_server_free(struct libssh_server *s)
{
	if (!s)
		return;
	libssh_log_stop();
	libssh_hooks_arm_sign(NULL, NULL);
	libssh_hooks_disarm_verify();
	libssh_ahead_stop();
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

bool libssh_server_waiting(const struct libssh_server *s)
{
	return !s->dead && libssh_ahead_waiting();
}

bool libssh_server_congested(struct libssh_server *s)
{
	return ssh_get_status(s->session) & SSH_WRITE_PENDING;
}

bool libssh_server_pace(struct libssh_server *s)
{
	uint64_t said = s->said.out_bytes + s->said.out_packets * PACKET_COST;

	if (!libssh_server_congested(s))
		s->heard = said;
	libssh_ahead_pause(said - s->heard > UNHEARD_MAX);
	return said - s->heard > UNHEARD_MAX;
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

void libssh_server_keepalive(struct libssh_server *s)
{
	ssh_send_keepalive(s->session);
}

void libssh_server_disconnect(struct libssh_server *s, const char *text, int timeout_ms)
{
	ssh_message m;

	if (libssh_server_alive(s)) {
		ssh_blocking_flush(s->session, timeout_ms);
		/* Arms libssh's "can write" again, or the last message would stay in its buffer. */
		if (s->event && libssh_server_alive(s))
			ssh_event_dopoll(s->event, 100);
		while (!s->event && (m = ssh_message_get(s->session)))
			ssh_message_free(m);
	}
	ssh_session_set_disconnect_message(s->session, text);
	s->dead = true;
	while (s->channels)
		libssh_channel_free(s->channels);
	ssh_disconnect(s->session);
}

int libssh_server_pump(struct libssh_server *s)
{
	int rc = SSH_OK;

	for (int i = 0; i < PUMP_READS && rc == SSH_OK && libssh_server_alive(s) &&
			!libssh_log_unreadable(s); i++)
		rc = ssh_event_dopoll(s->event, 0);
	ssh_set_log_level(SSH_LOG_PROTOCOL);
	if (libssh_log_unreadable(s))
		return -EBADMSG;
	return libssh_server_alive(s) ? 0 : -EPIPE;
}
