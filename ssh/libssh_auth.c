/* SPDX-License-Identifier: Apache-2.0
 *
 * Authentication through libssh (RFC 4252) in queue mode, so that an answer can wait; and the way
 * out for requests that libssh drops without an answer.
 */
#include "ssh/libssh_internal.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <string.h>

#include "platform/buffer.h"
#include "platform/encode.h"

void libssh_take_text(char *out, size_t cap, const char *text)
{
	size_t len = text ? strlen(text) : 0;

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
		libssh_take_text(r->algorithm, sizeof(r->algorithm),
				 ssh_key_type_to_char(ssh_key_type(key)));
	} else if (state == SSH_PUBLICKEY_STATE_VALID && take_proof(s, r)) {
		r->kind = LIBSSH_AUTH_KEY;
	}
}

/* libssh wants callbacks here, which can't wait for an answer. */
static char *password_of(ssh_message m)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	const char *text = ssh_message_auth_password(m);
#pragma GCC diagnostic pop

	return text ? strdup(text) : NULL;
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
	libssh_take_text(r->login, sizeof(r->login), ssh_message_auth_user(m));
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
	case SSH_AUTH_METHOD_PASSWORD:
		r->kind = LIBSSH_AUTH_PASSWORD;
		r->password = password_of(m);
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

void libssh_server_auth_methods(struct libssh_server *s, bool publickey, bool interactive,
				bool password)
{
	/* libssh takes an empty set for "publickey,password". */
	unsigned methods = publickey || !interactive ? SSH_AUTH_METHOD_PUBLICKEY : 0;

	if (interactive)
		methods |= SSH_AUTH_METHOD_INTERACTIVE;
	if (password)
		methods |= SSH_AUTH_METHOD_PASSWORD;
	ssh_set_auth_methods(s->session, (int)methods);
}

bool libssh_server_client_is(struct libssh_server *s, const char *software)
{
	const char *version = ssh_get_clientbanner(s->session);

	return version && strncmp(version, "SSH-2.0-", 8) == 0 &&
	       strncmp(version + 8, software, strlen(software)) == 0;
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

int libssh_server_auth_accept(struct libssh_server *s, const struct libssh_server_ops *ops,
			      void *ctx)
{
	ssh_message m;

	libssh_hooks_disarm_verify();
	libssh_log_listen();
	s->ops = ops;
	s->ctx = ctx;
	s->event = ssh_event_new();
	if (!s->event || ssh_event_add_session(s->event, s->session) != SSH_OK)
		return -ENOMEM;
	if (ssh_message_auth_reply_success(s->message, 0) != SSH_OK)
		return -EIO;
	ssh_message_free(s->message);
	s->message = NULL;
	ssh_set_message_callback(s->session, libssh_channel_message, s);
	/* Requests behind the one that was accepted are ignored without an answer (RFC 4252
	 * section 5.3). */
	while (libssh_server_alive(s) && (m = ssh_message_get(s->session))) {
		if (ssh_message_type(m) == SSH_REQUEST_AUTH)
			ssh_message_free(m);
		else if (other_message(m) < 0)
			return -EPROTO;
	}
	return 0;
}
