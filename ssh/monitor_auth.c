/* SPDX-License-Identifier: Apache-2.0
 *
 * Authentication as the monitor sees it (ssh/PROTOCOL.md section 4): nothing that the worker says
 * is believed. A login stands on a signature that the monitor verified over the session id it
 * signed itself, or on a grant bound to that id; the verifier judges both, then the local account
 * does.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/encode.h"
#include "platform/log.h"
#include "ssh/monitor.h"

#define MAX_REQUESTS 64 /* of one connection, whatever their answer */

static void tell_broker(struct monitor *m, uint8_t type)
{
	uint8_t data[16];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, type, 0);
	if (monitor_send(m->broker_fd, data, w.len, NULL, 0) < 0)
		log_debug("the broker does not listen", NULL);
}

int monitor_auth_sign(struct monitor *m, uint32_t id, struct reader *r)
{
	uint8_t data[128], signature[crypto_sign_BYTES], digest[crypto_hash_sha256_BYTES];
	struct writer w = writer_init(data, sizeof(data));
	size_t len;
	const uint8_t *hash = reader_string(r, 64, &len);

	if (!reader_done(r) || hash == NULL || (len != 32 && len != 48 && len != 64))
		return -EBADMSG;
	if (m->session_id_len == 0) {
		memcpy(m->session_id, hash, len);
		m->session_id_len = len;
		crypto_hash_sha256(digest, hash, len);
		encode_hex(m->session_hash, digest, sizeof(digest));
		m->state = MONITOR_AUTH;
		tell_broker(m, SSH_WIRE_KEYS);
	}
	crypto_sign_detached(signature, NULL, hash, len, m->host_secret);
	monitor_begin(&w, MONITOR_SIGN, id);
	writer_string(&w, signature, sizeof(signature));
	return monitor_reply(m, &w, NULL, 0);
}

static const char *methods(const struct monitor *m)
{
	bool key = monitor_options_method(m, "publickey");

	if (m->no_interactive)
		return "publickey";
	if (m->config.tokens && m->config.through_mesh && monitor_options_method(m, "password"))
		return key ? "publickey,keyboard-interactive,password"
			   : "keyboard-interactive,password";
	if (!monitor_options_method(m, "keyboard-interactive"))
		return "publickey";
	return key ? "publickey,keyboard-interactive" : "keyboard-interactive";
}

static int answer(struct monitor *m, uint8_t type, uint32_t id, enum monitor_wire_result result,
		  const char *message)
{
	uint8_t data[1024];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, type, id);
	writer_u8(&w, (uint8_t)result);
	if (result == MONITOR_NO && type != MONITOR_AUTH_NONE)
		monitor_options_delay(m);
	if (type == MONITOR_AUTH_NONE || type == MONITOR_AUTH_KEY || type == MONITOR_AUTH_PASSWORD)
		writer_cstring(&w, methods(m));
	writer_cstring(&w, message);
	return monitor_reply(m, &w, NULL, 0);
}

int monitor_auth_one_login(struct monitor *m, const char *login)
{
	if (m->login[0] == '\0') {
		snprintf(m->login, sizeof(m->login), "%s", login);
		monitor_options_login(m);
	}
	return strcmp(m->login, login) == 0 ? 0 : monitor_violation(m, "another-login", login);
}

static int count_request(struct monitor *m)
{
	uint32_t tries = m->options->now.max_auth_tries;

	m->options->attempt_ns = monitor_now_ns();
	if (++m->auth_requests <= MAX_REQUESTS + tries && m->auth_failures <= tries)
		return 0;
	monitor_audit_refused(m, "attempts", "", "too many attempts");
	snprintf(m->ending_reason, sizeof(m->ending_reason), "too many attempts");
	return -ECONNABORTED;
}

static int take_request(struct monitor *m, const char *login)
{
	int r = monitor_auth_one_login(m, login);

	return r == 0 ? count_request(m) : r;
}

static void client_addr(const struct monitor *m, struct ip_addr *ret_addr)
{
	endpoint_ip(&m->config.client, ret_addr);
}

/* The proof of d holds: do policy and the machine agree? Fills message on refusal. */
static bool admit(struct monitor *m, const struct verifier_decision *d, const char *method,
		  char message[static 256])
{
	struct error err = {0};
	const char *code = d->identity[0] != '\0' || d->caller_peer[0] != '\0' ? "policy"
									       : "certificate";
	const char *why;

	m->decision = *d;
	snprintf(m->method, sizeof(m->method), "%s", method);
	if (!d->allowed) {
		snprintf(message, 256, "%s", d->message);
	} else if (account_check(m, m->login, &err) < 0) {
		code = "account";
		snprintf(message, 256, "%.255s", error_text(&err));
	} else if ((why = monitor_options_admit(m, &m->decision, method)) != NULL ||
		   (monitor_options_account(m, &err) < 0 && (why = error_text(&err)) != NULL)) {
		snprintf(message, 256, "%.255s", why);
	} else {
		m->state = MONITOR_OPEN;
		m->logged_in = true;
		m->since_s = monitor_now_s();
		monitor_audit(m, "ssh login", "method", m->method);
		return true;
	}
	monitor_audit_refused(m, code, m->method, message);
	m->no_interactive = m->no_interactive || d->identity[0] != '\0';
	memset(&m->decision, 0, sizeof(m->decision));
	free(m->key); /* of a login that is not */
	m->key = NULL;
	m->auth_failures++;
	return false;
}

/* What has to happen before the worker may ask for sessions. */
static void opened(struct monitor *m)
{
	tell_broker(m, SSH_WIRE_AUTHENTICATED);
	m->state_sent_ns = 0;
	monitor_state_changed(m);
}

/* A login for this connection: main's answers go to monitor_auth_main. */
static int ask_main(struct monitor *m, const char *login)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));
	char address[IP_ADDR_STRLEN];
	struct ip_addr client;
	int result;

	client_addr(m, &client);
	ip_addr_format(&client, address);
	monitor_begin(&w, SSH_WIRE_LOGIN_START, ++m->main_last_id);
	writer_cstring(&w, login);
	writer_cstring(&w, m->session_hash);
	writer_cstring(&w, address);
	result = m->main_fd >= 0 ? monitor_send(m->main_fd, data, w.len, NULL, 0) : -EPIPE;
	if (result < 0)
		return result;
	m->main_request = m->main_last_id;
	m->waiting = m->holding = false;
	return 0;
}

static bool machine_let_in(struct monitor *m, const char *login, const struct ip_addr *client,
			   char message[static 256])
{
	struct verifier_decision d = {0};

	return m->config.no_auth && m->config.through_mesh &&
	       verifier_machine(m->verifier, login, client, monitor_now_s(), &d) == 0 &&
	       d.allowed && admit(m, &d, "none", message);
}

static bool banner_wanted(struct monitor *m, const char *login, const struct ip_addr *client)
{
	struct verifier_decision d = {0};

	return !m->no_interactive && monitor_options_method(m, "keyboard-interactive") &&
	       m->main_request == 0 && m->main_fd >= 0 &&
	       m->config.through_mesh &&
	       verifier_banner(m->verifier, login, client, monitor_now_s(), &d) == 0 && d.allowed;
}

int monitor_auth_none(struct monitor *m, uint32_t id, struct reader *r)
{
	struct ip_addr client;
	char login[64], message[256] = "";
	bool shows_banners;
	int ret;

	reader_cstring(r, login, sizeof(login));
	shows_banners = reader_u8(r) == 1;
	if (!reader_done(r))
		return -EBADMSG;
	ret = take_request(m, login);
	if (ret < 0)
		return ret;
	client_addr(m, &client);
	if (machine_let_in(m, login, &client, message)) {
		opened(m);
		return answer(m, MONITOR_AUTH_NONE, id, MONITOR_YES, message);
	}
	if (message[0] == '\0' && shows_banners && banner_wanted(m, login, &client) && ask_main(m, login) == 0) {
		m->holding = true;
		return answer(m, MONITOR_AUTH_NONE, id, MONITOR_PENDING, "");
	}
	return answer(m, MONITOR_AUTH_NONE, id, MONITOR_NO, message);
}

static int ask_cert(struct monitor *m, const char *login, const uint8_t *blob, size_t len,
		    bool remember, struct verifier_decision *d)
{
	struct ip_addr client;

	client_addr(m, &client);
	return verifier_cert(m->verifier, blob, len, login, &client, monitor_now_s(), remember, d);
}

int monitor_auth_query(struct monitor *m, uint32_t id, struct reader *r)
{
	struct verifier_decision d = {0};
	char login[64], algorithm[64];
	const uint8_t *blob;
	size_t len;
	bool good;
	int ret;

	reader_cstring(r, login, sizeof(login));
	reader_cstring(r, algorithm, sizeof(algorithm));
	blob = reader_string(r, MONITOR_WIRE_MAX, &len);
	if (!reader_done(r) || blob == NULL)
		return -EBADMSG;
	ret = take_request(m, login);
	if (ret < 0)
		return ret;
	/* A certificate is no secret: who shows it has proven nothing yet, so nothing is said. The
	 * signature is asked for even when the certificate will be refused, so that the refusal can
	 * name its reason to the one whose certificate it is. */
	good = monitor_signature_known(algorithm) && monitor_options_method(m, "publickey") &&
	       monitor_options_algorithm(m, algorithm);
	if (monitor_signature_certificate(blob, len))
		good = good && ask_cert(m, login, blob, len, false, &d) == 0 && d.subject_len > 0 &&
		       monitor_options_key_size(m, d.subject, d.subject_len);
	else
		good = good && monitor_options_key_size(m, blob, len) &&
		       monitor_keys_allow(m, blob, len, false, &d);
	if (!good) {
		const struct ssh_audit_field fields[] = {
			{SSH_AUDIT_CODE, "key", 0},
			{SSH_AUDIT_METHOD, "publickey", 0},
			{SSH_AUDIT_REASON, "the key is not let in", 0},
		};

		m->auth_failures++;
		monitor_event(m, SSH_AUDIT_LOGIN_REFUSED, fields, 3);
	}
	return answer(m, MONITOR_AUTH_QUERY, id, good ? MONITOR_YES : MONITOR_NO, "");
}

/* A KEY request's fields, borrowed. */
struct proof {
	char login[64], algorithm[64];
	const uint8_t *blob, *signature, *data;
	size_t blob_len, signature_len, data_len;
	const char *why; /* it is not proven */
};

/* The client holds the subject's key, and signed for this connection and this login. */
static bool proven(const struct monitor *m, struct proof *p, const uint8_t *subject, size_t len)
{
	p->why = "the signature does not prove the key";
	if (monitor_options_revoked(m, p->blob, p->blob_len)) {
		log_warn("a revoked key was refused", "login=%s", p->login);
		p->why = "the key is revoked on this machine (RevokedKeys)";
		return false;
	}
	if (!monitor_options_key_size(m, subject, len)) {
		p->why = "the RSA key is shorter than this machine takes (RequiredRSASize)";
		return false;
	}
	return monitor_signature_known(p->algorithm) &&
	       monitor_options_method(m, "publickey") &&
	       monitor_options_algorithm(m, p->algorithm) &&
	       monitor_signature_data(p->data, p->data_len, m->session_id, m->session_id_len,
				      p->login, p->algorithm, p->blob, p->blob_len) &&
	       monitor_proof_verify(m, &(struct monitor_proof){
		       .algorithm = p->algorithm,
		       .subject = subject,
		       .subject_len = len,
		       .signature = p->signature,
		       .signature_len = p->signature_len,
		       .data = p->data,
		       .data_len = p->data_len,
	       });
}

static bool unproven(struct monitor *m, const char *reason)
{
	m->auth_failures++;
	monitor_audit_refused(m, "key", "publickey", reason);
	return false;
}

/* Nobody but the offline CA vouches for this login: whoever reads the log is to see it, and so is
 * who came in. */
static bool tell_break_glass(const struct monitor *m, char message[static 256])
{
	struct monitor_who who = monitor_who(m);

	log_warn("BREAK-GLASS login: a certificate of the offline CA let somebody in without the "
		 "control server",
		 "connection=%u client=%s identity=%s peer=%s login=%s", m->config.session_id,
		 who.client, who.identity, who.peer, who.login);
	snprintf(message, 256,
		 "You came in by a break-glass certificate (%.100s). This is logged, and `warren "
		 "status` on %.60s shows it.",
		 m->decision.identity, m->config.host_name);
	return true;
}

/* Not of the control server's making: authorized_keys may have a cert-authority for it. */
static bool by_certificate(struct monitor *m, struct proof *p, char message[static 256])
{
	struct verifier_decision d = {0}, by_key = {0};

	p->why = "the certificate cannot be read";
	if (ask_cert(m, p->login, p->blob, p->blob_len, true, &d) < 0 || d.subject_len == 0 ||
	    !proven(m, p, d.subject, d.subject_len))
		return unproven(m, p->why);
	if (!d.allowed && monitor_keys_allow(m, p->blob, p->blob_len, true, &by_key))
		return admit(m, &by_key, "authorized_keys", message);
	if (!d.break_glass)
		return admit(m, &d, "certificate", message);
	return admit(m, &d, "break-glass", message) && tell_break_glass(m, message);
}

static bool by_key(struct monitor *m, struct proof *p, char message[static 256])
{
	struct verifier_decision d = {0};

	if (!proven(m, p, p->blob, p->blob_len))
		return unproven(m, p->why);
	if (!monitor_keys_allow(m, p->blob, p->blob_len, true, &d))
		return unproven(m, "the key is not let in");
	return admit(m, &d, "authorized_keys", message);
}

int monitor_auth_key(struct monitor *m, uint32_t id, struct reader *r)
{
	struct proof p;
	char message[256] = "";
	bool good;
	int ret;

	reader_cstring(r, p.login, sizeof(p.login));
	reader_cstring(r, p.algorithm, sizeof(p.algorithm));
	p.blob = reader_string(r, MONITOR_WIRE_MAX, &p.blob_len);
	p.signature = reader_string(r, 4096, &p.signature_len);
	p.data = reader_string(r, MONITOR_WIRE_MAX, &p.data_len);
	if (!reader_done(r) || p.blob == NULL || p.signature == NULL || p.data == NULL)
		return -EBADMSG;
	ret = take_request(m, p.login);
	if (ret < 0)
		return ret;
	good = monitor_signature_certificate(p.blob, p.blob_len) ? by_certificate(m, &p, message)
								 : by_key(m, &p, message);
	if (good)
		opened(m);
	return answer(m, MONITOR_AUTH_KEY, id, good ? MONITOR_YES : MONITOR_NO, message);
}

int monitor_auth_password(struct monitor *m, uint32_t id, struct reader *r)
{
	struct verifier_decision d = {0};
	char login[64], message[256] = "";
	const uint8_t *token;
	bool good = false;
	size_t len;
	int ret;

	reader_cstring(r, login, sizeof(login));
	token = reader_string(r, MONITOR_TOKEN_MAX, &len);
	if (!reader_done(r) || token == NULL)
		return -EBADMSG;
	ret = take_request(m, login);
	if (ret < 0)
		return ret;
	if (monitor_options_method(m, "password") &&
	    monitor_token_judge(m, token, len, &d, message) == 0)
		good = admit(m, &d, "token", message);
	else
		unproven(m, message[0] != '\0' ? message : "passwords are not taken");
	if (good)
		opened(m);
	return answer(m, MONITOR_AUTH_PASSWORD, id, good ? MONITOR_YES : MONITOR_NO, message);
}

/* ------------------------------------------------------------------ a person's login through
 * control */

int monitor_auth_interactive(struct monitor *m, uint32_t id, struct reader *r)
{
	char login[64];
	int ret;

	reader_cstring(r, login, sizeof(login));
	if (!reader_done(r))
		return -EBADMSG;
	if (m->main_request != 0)
		return monitor_violation(m, "twice", "a login by the control server");
	ret = take_request(m, login);
	if (ret < 0)
		return ret;
	if (m->no_interactive || !monitor_options_method(m, "keyboard-interactive"))
		return answer(m, MONITOR_AUTH_INTERACTIVE, id, MONITOR_NO, "");
	if (ask_main(m, login) < 0)
		return answer(m, MONITOR_AUTH_INTERACTIVE, id, MONITOR_NO,
			      "logins are not possible at this moment: the daemon is restarting");
	m->interactive_id = id;
	return 0; /* answered when main knows the URL */
}

/* Nobody is waited for any more: the time to log in is short again. */
static void interactive_over(struct monitor *m)
{
	m->main_request = 0;
	m->waiting = m->holding = false;
	m->grace_deadline_ns = monitor_grace_end_ns(m);
}

int monitor_auth_cancel(struct monitor *m, uint32_t id, struct reader *r)
{
	uint8_t data[16];
	struct writer w = writer_init(data, sizeof(data));
	struct writer reply;

	if (!reader_done(r))
		return -EBADMSG;
	if (m->main_request != 0 && m->main_fd >= 0) {
		monitor_begin(&w, SSH_WIRE_LOGIN_CANCEL, m->main_request);
		if (monitor_send(m->main_fd, data, w.len, NULL, 0) < 0)
			log_debug("main does not listen", NULL);
	}
	interactive_over(m);
	reply = writer_init(data, sizeof(data));
	monitor_begin(&reply, MONITOR_AUTH_CANCEL, id);
	writer_u8(&reply, MONITOR_YES);
	return monitor_reply(m, &reply, NULL, 0);
}

static int interactive_done(struct monitor *m, bool good, const char *message)
{
	uint8_t data[1024];
	struct writer w = writer_init(data, sizeof(data));
	uint32_t id = m->interactive_id;
	bool waiting = m->waiting || m->holding;

	interactive_over(m);
	if (!waiting) /* refused before there was a URL: this is the answer itself */
		return answer(m, MONITOR_AUTH_INTERACTIVE, id, good ? MONITOR_YES : MONITOR_NO,
			      message);
	monitor_begin(&w, MONITOR_INTERACTIVE_DONE, 0);
	writer_u8(&w, good ? MONITOR_YES : MONITOR_NO);
	writer_cstring(&w, methods(m));
	writer_cstring(&w, message);
	return monitor_reply(m, &w, NULL, 0);
}

/* Main is not believed: what it says to a person's terminal is one line of text. */
static void plain_text(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

static int show_url(struct monitor *m, const char *url)
{
	char text[1024];
	uint8_t data[1200];
	struct writer w = writer_init(data, sizeof(data));

	snprintf(text, sizeof(text),
		 "To log in as %s on %s, open this page in a browser:\n\n    %s\n\n"
		 "The connection goes on by itself.",
		 m->login, m->config.host_name, url);
	m->waiting = true;
	m->grace_deadline_ns = monitor_now_ns() + MONITOR_INTERACTIVE_S * NSEC_PER_SEC;
	tell_broker(m, SSH_WIRE_WAITING);
	monitor_begin(&w, m->holding ? MONITOR_BANNER : MONITOR_AUTH_INTERACTIVE,
		      m->holding ? 0 : m->interactive_id);
	if (!m->holding)
		writer_u8(&w, MONITOR_PENDING);
	writer_cstring(&w, text);
	return monitor_reply(m, &w, NULL, 0);
}

static int take_grant(struct monitor *m, const uint8_t *grant, size_t len)
{
	struct verifier_decision d = {0};
	struct ip_addr client;
	char message[256] = "";
	bool good = false;

	client_addr(m, &client);
	if (verifier_grant(m->verifier, (const char *)grant, len, m->login, m->session_hash,
			   &client, monitor_now_s(), &d) < 0) {
		snprintf(message, sizeof(message), "the login could not be verified");
		m->auth_failures++;
	} else {
		good = admit(m, &d, m->holding ? "banner" : "keyboard-interactive", message);
	}
	if (good)
		opened(m);
	return interactive_done(m, good, message);
}

int monitor_auth_main(struct monitor *m, uint8_t type, uint32_t id, struct reader *r)
{
	char url[512], message[256];
	const uint8_t *grant;
	size_t len;
	uint8_t result;

	if (id != m->main_request || id == 0 || m->state != MONITOR_AUTH)
		return 0; /* cancelled, or an old answer */
	if (type == SSH_WIRE_LOGIN_URL) {
		reader_cstring(r, url, sizeof(url));
		reader_u64(r);
		plain_text(url);
		return reader_done(r) && !m->waiting ? show_url(m, url) : 0;
	}
	if (type == SSH_WIRE_LOGIN_DONE) {
		result = reader_u8(r);
		reader_cstring(r, message, sizeof(message));
		grant = reader_string(r, MONITOR_WIRE_MAX, &len);
		if (reader_done(r) && grant != NULL && result == 0)
			return take_grant(m, grant, len);
		if (!reader_done(r) || grant == NULL)
			snprintf(message, sizeof(message), "the daemon's answer cannot be read");
	} else {
		snprintf(message, sizeof(message),
			 "the login was broken off: the daemon is restarting");
	}
	plain_text(message);
	m->auth_failures++;
	monitor_audit_refused(m, "login", "keyboard-interactive", message);
	return interactive_done(m, false, message);
}
