/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS of the HTTP server: OpenSSL on memory BIOs, so that all I/O stays with libuv. TLS 1.2
 * and 1.3, ALPN http/1.1 only, no renegotiation, no session tickets, no compression.
 */
#include "control/server_impl.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <string.h>

#include "platform/secret.h"

static int select_alpn(SSL *tls, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)tls;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

int server_tls_new(const char *cert_file, const char *key_file, SSL_CTX **ret_ctx,
		   struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx)
		return error_set(err, -ENOMEM, "OpenSSL could not make a TLS context");
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
					 SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1) {
		SSL_CTX_free(ctx);
		return error_set(err, -EINVAL, "%s is not a readable PEM certificate", cert_file);
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1) {
		SSL_CTX_free(ctx);
		return error_set(err, -EINVAL, "%s is not the readable PEM private key of %s",
				 key_file, cert_file);
	}
	*ret_ctx = ctx;
	return 0;
}

/* All that is there now. */
static int read_plain(struct server_conn *c, char *plain, size_t cap, struct buffer *out)
{
	for (;;) {
		ERR_clear_error();
		int n = SSL_read(c->tls, plain, (int)cap);

		if (n > 0) {
			int r = c->state == CONN_DRAIN ? 0 : buffer_append(out, plain, (size_t)n);
			if (r < 0)
				return r;
			continue;
		}
		switch (SSL_get_error(c->tls, n)) {
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE:
			return 0;
		case SSL_ERROR_ZERO_RETURN:
			return -EPIPE;
		default:
			return -EPROTO;
		}
	}
}

int server_tls_read(struct server_conn *c, const void *wire, size_t len, struct buffer *out)
{
	char plain[16384];
	int r;

	if (len && BIO_write(c->tls_in, wire, (int)len) != (int)len)
		return -ENOMEM;
	r = read_plain(c, plain, sizeof(plain), out);
	secret_wipe(plain, sizeof(plain)); /* requests carry tokens */
	return r;
}

int server_tls_write(struct server_conn *c)
{
	while (c->out.len && BIO_ctrl_pending(c->tls_out) < SERVER_CHUNK) {
		size_t part = c->out.len < SERVER_CHUNK ? c->out.len : SERVER_CHUNK;

		ERR_clear_error();
		int n = SSL_write(c->tls, c->out.data, (int)part);
		if (n <= 0) {
			int e = SSL_get_error(c->tls, n);

			return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -EPROTO;
		}
		buffer_consume(&c->out, (size_t)n);
	}
	return 0;
}
