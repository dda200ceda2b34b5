/* SPDX-License-Identifier: Apache-2.0
 *
 * Authentication as the client sees it (RFC 4252, RFC 4256): each request goes to the monitor, each
 * answer of the monitor to the client. A success that the monitor did not say would open nothing:
 * the monitor starts no session for it.
 */
#include "ssh/worker_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/secret.h"

#define IGNORE_EVERY_NS (3 * NSEC_PER_SEC)

static void read_text(struct reader *r, char *out, size_t cap)
{
	size_t len;
	const uint8_t *text = reader_string(r, MONITOR_WIRE_MAX, &len);

	out[0] = '\0';
	if (!text)
		return;
	if (len >= cap)
		len = cap - 1;
	memcpy(out, text, len);
	out[len] = '\0';
}

/* Shown once: a client that tries five keys reads the reason once. */
static int show(struct worker *w, const char *text)
{
	struct worker_auth *a = &w->auth;
	char line[WORKER_TEXT_MAX + 4];
	int len;

	if (!*text)
		return 0;
	for (size_t i = 0; i < a->banner_count; i++) {
		if (strcmp(a->banners[i], text) == 0)
			return 0;
	}
	if (a->banner_count == WORKER_BANNERS_MAX)
		return 0;
	a->banners[a->banner_count] = strdup(text);
	if (a->banners[a->banner_count])
		a->banner_count++;
	len = snprintf(line, sizeof(line), "%s\r\n", text);
	if (len < 0 || (size_t)len >= sizeof(line))
		return -EMSGSIZE;
	return libssh_server_auth_banner(w->server, line);
}

static bool has_method(const char *methods, const char *name)
{
	size_t len = strlen(name);

	while (*methods) {
		size_t part = strcspn(methods, ",");

		if (part == len && strncmp(methods, name, len) == 0)
			return true;
		methods += part + (methods[part] == ',');
	}
	return false;
}

static void use_methods(struct worker *w, const char *methods)
{
	if (*methods)
		libssh_server_auth_methods(w->server, has_method(methods, "publickey"),
					   has_method(methods, "keyboard-interactive"),
					   has_method(methods, "password"));
}

static int refuse(struct worker *w, const char *message, bool counts)
{
	int rc = show(w, message);

	if (rc == 0 && counts && ++w->auth.tries >= w->max_auth_tries) {
		worker_end(w, "Too many authentication failures");
		return 0;
	}
	return rc < 0 ? rc : libssh_server_auth_refuse(w->server, false);
}

static int accept_login(struct worker *w)
{
	int rc;

	w->authenticated = true;
	w->auth.interactive = INTERACTIVE_IDLE;
	rc = libssh_server_auth_accept(w->server, &worker_requests_ops, w);
	if (rc == 0)
		rc = worker_limits_ask(w);
	/* What start and key exchange needed; a session may be idle for days from here. */
	w->trim_due = true;
	return rc;
}

static int conclude(struct worker *w, uint8_t result, const char *methods, const char *message,
		    bool counts)
{
	int rc;

	if (result == MONITOR_YES) {
		rc = show(w, message);
		return rc < 0 ? rc : accept_login(w);
	}
	use_methods(w, methods);
	if (result != MONITOR_PARTIAL)
		return refuse(w, message, counts);
	rc = show(w, message);
	return rc < 0 ? rc : libssh_server_auth_refuse(w->server, true);
}

/* Sends the request that was begun; the answer is u8 result, string methods (with_methods), string
 * message. */
static int ask_monitor(struct worker *w, bool with_methods, uint8_t *ret_result, char *methods,
		       size_t cap, char *message, size_t message_cap)
{
	struct worker_packet *answer;
	int rc = worker_monitor_call(&w->monitor, &answer);

	if (rc < 0)
		return rc;
	methods[0] = '\0';
	*ret_result = reader_u8(&answer->fields);
	if (with_methods)
		read_text(&answer->fields, methods, cap);
	read_text(&answer->fields, message, message_cap);
	rc = reader_done(&answer->fields) ? 0 : -EBADMSG;
	worker_packet_free(answer);
	return rc;
}

static int on_none(struct worker *w)
{
	struct worker_auth *a = &w->auth;
	bool first = !a->asked_none;
	struct writer *out;
	uint8_t result;
	int rc;

	a->asked_none = true;
	out = worker_monitor_begin(&w->monitor, MONITOR_AUTH_NONE);
	writer_cstring(out, a->login);
	/* PuTTY keeps banners until its request is answered; it asks in batch mode, too. Who brings
	 * a certificate shows it after this one is refused. */
	writer_u8(out, !libssh_server_client_is(w->server, "PuTTY") && !w->certificate_comes);
	rc = ask_monitor(w, true, &result, a->methods, sizeof(a->methods), a->message,
			 sizeof(a->message));
	if (rc < 0 || result != MONITOR_PENDING)
		return rc < 0 ? rc : conclude(w, result, a->methods, a->message, !first);
	/* The request is held open: the client reads banners meanwhile, and cannot ask for more. */
	a->interactive = INTERACTIVE_HELD;
	a->responded = true;
	a->decided = false;
	a->ignored_ns = worker_now_ns();
	return 0;
}

static int on_query(struct worker *w)
{
	struct worker_auth *a = &w->auth;
	struct writer *out = worker_monitor_begin(&w->monitor, MONITOR_AUTH_QUERY);
	uint8_t result;
	int rc;

	writer_cstring(out, a->login);
	writer_cstring(out, a->request.algorithm);
	writer_string(out, a->request.blob, a->request.blob_len);
	rc = ask_monitor(w, false, &result, a->methods, sizeof(a->methods), a->message,
			 sizeof(a->message));
	if (rc < 0)
		return rc;
	if (result == MONITOR_YES)
		return libssh_server_auth_pk_ok(w->server);
	return refuse(w, a->message, true);
}

static int on_key(struct worker *w)
{
	struct worker_auth *a = &w->auth;
	struct writer *out = worker_monitor_begin(&w->monitor, MONITOR_AUTH_KEY);
	uint8_t result;
	int rc;

	writer_cstring(out, a->login);
	writer_cstring(out, a->request.algorithm);
	writer_string(out, a->request.blob, a->request.blob_len);
	writer_string(out, a->request.signature, a->request.signature_len);
	writer_string(out, a->request.signed_data, a->request.signed_data_len);
	rc = ask_monitor(w, true, &result, a->methods, sizeof(a->methods), a->message,
			 sizeof(a->message));
	return rc < 0 ? rc : conclude(w, result, a->methods, a->message, true);
}

/* A token, where the machine takes them: the monitor says whether. */
static int on_password(struct worker *w)
{
	struct worker_auth *a = &w->auth;
	char *password = a->request.password;
	size_t len = password ? strlen(password) : 0;
	struct writer *out;
	uint8_t result;
	int rc;

	a->request.password = NULL;
	out = worker_monitor_begin(&w->monitor, MONITOR_AUTH_PASSWORD);
	writer_cstring(out, a->login);
	writer_string(out, password ? password : "", len <= MONITOR_TOKEN_MAX ? len : 0);
	rc = ask_monitor(w, true, &result, a->methods, sizeof(a->methods), a->message,
			 sizeof(a->message));
	if (password)
		secret_wipe(password, len);
	free(password);
	secret_wipe(w->monitor.out, sizeof(w->monitor.out));
	return rc < 0 ? rc : conclude(w, result, a->methods, a->message, true);
}

/* The answer may take a while (control is asked for a login): worker_auth_packet goes on. */
static int on_interactive(struct worker *w)
{
	struct worker_auth *a = &w->auth;
	int rc;

	writer_cstring(worker_monitor_begin(&w->monitor, MONITOR_AUTH_INTERACTIVE), a->login);
	rc = worker_monitor_post(&w->monitor, &a->interactive_id);
	if (rc == 0) {
		a->interactive = INTERACTIVE_ASKED;
		a->responded = a->decided = false;
		a->ignored_ns = worker_now_ns();
	}
	return rc;
}

static bool waits(const struct worker_auth *a)
{
	return a->interactive == INTERACTIVE_PENDING || a->interactive == INTERACTIVE_HELD;
}

static int finish_interactive(struct worker *w)
{
	struct worker_auth *a = &w->auth;

	if (!waits(a) || !a->responded || !a->decided)
		return 0;
	a->interactive = INTERACTIVE_IDLE;
	return conclude(w, a->result, a->methods, a->message, true);
}

static int on_response(struct worker *w)
{
	if (w->auth.interactive != INTERACTIVE_PENDING || w->auth.responded)
		return refuse(w, "", true);
	w->auth.responded = true;
	return finish_interactive(w);
}

/* A new request abandons keyboard-interactive without an answer (RFC 4256 section 3.1). */
int worker_auth_abandon(struct worker *w)
{
	struct worker_packet *answer;
	int rc;

	if (w->auth.interactive == INTERACTIVE_IDLE)
		return 0;
	w->auth.interactive = INTERACTIVE_IDLE;
	worker_monitor_begin(&w->monitor, MONITOR_AUTH_CANCEL);
	rc = worker_monitor_call(&w->monitor, &answer);
	if (rc == 0)
		worker_packet_free(answer);
	return rc;
}

/* What the configuration says of this login: its tries, and a text before it (Banner). */
static int ask_user(struct worker *w)
{
	struct worker_packet *answer;
	char banner[8193];
	int rc;

	writer_cstring(worker_monitor_begin(&w->monitor, MONITOR_USER), w->auth.login);
	rc = worker_monitor_call(&w->monitor, &answer);
	if (rc < 0)
		return rc;
	w->max_auth_tries = reader_u32(&answer->fields);
	read_text(&answer->fields, banner, sizeof(banner));
	rc = reader_done(&answer->fields) ? 0 : -EBADMSG;
	worker_packet_free(answer);
	return rc == 0 && *banner ? libssh_server_auth_banner(w->server, banner) : rc;
}

static int on_request(struct worker *w)
{
	struct worker_auth *a = &w->auth;
	struct libssh_auth_request *r = &a->request;
	int rc;

	if (r->kind == LIBSSH_AUTH_RESPONSE)
		return on_response(w);
	rc = worker_auth_abandon(w);
	if (rc < 0)
		return rc;
	if (r->kind == LIBSSH_AUTH_OTHER || !*r->login)
		return refuse(w, "", true);
	if (!*a->login) {
		memcpy(a->login, r->login, sizeof(a->login));
		rc = ask_user(w);
		if (rc < 0)
			return rc;
	}
	if (strcmp(a->login, r->login) != 0) {
		worker_end(w, "Change of username or service not allowed");
		return 0;
	}
	switch (r->kind) {
	case LIBSSH_AUTH_NONE:
		return on_none(w);
	case LIBSSH_AUTH_QUERY:
		return on_query(w);
	case LIBSSH_AUTH_KEY:
		return on_key(w);
	case LIBSSH_AUTH_PASSWORD:
		return on_password(w);
	case LIBSSH_AUTH_INTERACTIVE:
		return on_interactive(w);
	case LIBSSH_AUTH_RESPONSE:
	case LIBSSH_AUTH_OTHER:
	default:
		return -EPROTO;
	}
}

int worker_auth_step(struct worker *w)
{
	int rc = 1;

	while (rc == 1 && !w->authenticated && !w->ending) {
		rc = libssh_server_auth_next(w->server, &w->auth.request);
		if (rc == 1) {
			rc = on_request(w);
			rc = rc < 0 ? rc : 1;
		}
	}
	return rc < 0 ? rc : 0;
}

static int on_banner(struct worker *w, struct worker_packet *p)
{
	char text[WORKER_TEXT_MAX];

	read_text(&p->fields, text, sizeof(text));
	if (!reader_done(&p->fields))
		return -EBADMSG;
	return w->auth.interactive == INTERACTIVE_HELD ? show(w, text) : 0;
}

int worker_auth_packet(struct worker *w, struct worker_packet *p)
{
	struct worker_auth *a = &w->auth;
	char text[WORKER_TEXT_MAX];
	uint8_t result;

	if (p->type == MONITOR_INTERACTIVE_DONE) {
		result = reader_u8(&p->fields);
		if (!waits(a) || a->decided)
			return 0; /* of one that was abandoned */
		a->result = result;
		read_text(&p->fields, a->methods, sizeof(a->methods));
		read_text(&p->fields, a->message, sizeof(a->message));
		if (!reader_done(&p->fields))
			return -EBADMSG;
		a->decided = true;
		return finish_interactive(w);
	}
	if (p->type == MONITOR_BANNER)
		return on_banner(w, p);
	if (p->type != MONITOR_AUTH_INTERACTIVE)
		return -EBADMSG;
	result = reader_u8(&p->fields);
	read_text(&p->fields, text, sizeof(text));
	if (!reader_done(&p->fields))
		return -EBADMSG;
	if (a->interactive != INTERACTIVE_ASKED || p->id != a->interactive_id)
		return 0;
	if (result == MONITOR_PENDING) {
		a->interactive = INTERACTIVE_PENDING;
		return libssh_server_auth_ask(w->server, text);
	}
	a->interactive = INTERACTIVE_IDLE;
	return conclude(w, result, "", text, true);
}

/* A person may take as long as the monitor allows. */
static uint64_t grace_end_ns(const struct worker *w)
{
	if (w->grace_s == 0 || w->auth.interactive != INTERACTIVE_IDLE)
		return UINT64_MAX;
	return w->started_ns + w->grace_s * NSEC_PER_SEC;
}

int worker_auth_timeout_ms(const struct worker *w, uint64_t now_ns)
{
	uint64_t at = grace_end_ns(w);

	if (w->auth.interactive != INTERACTIVE_IDLE)
		at = w->auth.ignored_ns + IGNORE_EVERY_NS;
	if (at == UINT64_MAX)
		return -1;
	if (at <= now_ns)
		return 0;
	at = (at - now_ns) / NSEC_PER_MSEC + 1;
	return at > 60000 ? 60000 : (int)at;
}

int worker_auth_tick(struct worker *w, uint64_t now_ns)
{
	struct worker_auth *a = &w->auth;

	if (now_ns >= grace_end_ns(w))
		return -ETIMEDOUT;
	if (a->interactive != INTERACTIVE_IDLE && now_ns >= a->ignored_ns + IGNORE_EVERY_NS) {
		a->ignored_ns = now_ns;
		libssh_server_ignore(w->server);
	}
	return 0;
}

void worker_auth_done(struct worker_auth *a)
{
	for (size_t i = 0; i < a->banner_count; i++)
		free(a->banners[i]);
	a->banner_count = 0;
}
