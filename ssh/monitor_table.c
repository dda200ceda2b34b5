/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of permitted requests (ssh/PROTOCOL.md section 4). Model: OpenSSH's monitor.c. A request
 * that the table does not permit in this state, or that does not parse whole, is a lie of the worker:
 * an audit event names it, and the connection ends.
 */
#include <errno.h>
#include <stdio.h>

#include "platform/log.h"
#include "ssh/monitor.h"

#define MAX_SIGNATURES 100000 /* key exchanges of one connection */

/* OpenSSH's client says that it reads no more (`ssh host yes | head -n 1`) only to what begins so. */
#define SOFTWARE "OpenSSH_compatible_Warren"

struct request {
	uint8_t type;
	const char *name;
	unsigned states; /* bits of 1 << enum monitor_state */
	bool once;
	int (*handle)(struct monitor *m, uint32_t id, struct reader *r);
};

static int hello(struct monitor *m, uint32_t id, struct reader *r);
static int sign(struct monitor *m, uint32_t id, struct reader *r);
static int bytes(struct monitor *m, uint32_t id, struct reader *r);

#define IN(state) (1U << (state))
#define LOGIN	  IN(MONITOR_AUTH)
#define OPEN	  IN(MONITOR_OPEN)
#define ENDING	  IN(MONITOR_ENDING)

static const struct request requests[] = {
	{MONITOR_HELLO, "HELLO", IN(MONITOR_KEX), true, hello},
	{MONITOR_SIGN, "SIGN", IN(MONITOR_KEX) | LOGIN | OPEN | ENDING, false, sign},
	{MONITOR_USER, "USER", LOGIN, true, monitor_options_user},
	{MONITOR_AUTH_NONE, "AUTH_NONE", LOGIN, false, monitor_auth_none},
	{MONITOR_AUTH_QUERY, "AUTH_QUERY", LOGIN, false, monitor_auth_query},
	{MONITOR_AUTH_KEY, "AUTH_KEY", LOGIN, false, monitor_auth_key},
	{MONITOR_AUTH_INTERACTIVE, "AUTH_INTERACTIVE", LOGIN, false, monitor_auth_interactive},
	{MONITOR_AUTH_PASSWORD, "AUTH_PASSWORD", LOGIN, false, monitor_auth_password},
	{MONITOR_AUTH_CANCEL, "AUTH_CANCEL", LOGIN, false, monitor_auth_cancel},
	{MONITOR_LIMITS, "LIMITS", OPEN, true, monitor_options_limits},
	{MONITOR_SESSION, "SESSION", OPEN, false, session_start},
	{MONITOR_NO_MORE_SESSIONS, "NO_MORE_SESSIONS", OPEN | ENDING, true, session_no_more},
	{MONITOR_SIGNAL, "SIGNAL", OPEN, false, session_signal},
	{MONITOR_FORWARD, "FORWARD", OPEN, false, forward_ask},
	{MONITOR_CONNECT, "CONNECT", OPEN, false, forward_connect},
	{MONITOR_LISTEN, "LISTEN", OPEN, false, forward_listen},
	{MONITOR_UNLISTEN, "UNLISTEN", OPEN, false, forward_unlisten},
	{MONITOR_CLOSE, "CLOSE", OPEN | ENDING, false, session_close},
	{MONITOR_BYTES, "BYTES", OPEN | ENDING, false, bytes},
};

static int sign(struct monitor *m, uint32_t id, struct reader *r)
{
	if (++m->sign_count > MAX_SIGNATURES)
		return monitor_violation(m, "too-many", "SIGN");
	return monitor_auth_sign(m, id, r);
}

static int bytes(struct monitor *m, uint32_t id, struct reader *r)
{
	(void)id;
	m->received = reader_u64(r);
	m->sent = reader_u64(r);
	monitor_state_changed(m);
	return reader_done(r) ? 0 : -EBADMSG;
}

static int hello(struct monitor *m, uint32_t id, struct reader *r)
{
	const struct sshd_options *o = &m->options->now;
	uint8_t data[4096], blob[64];
	char versions[128];
	struct writer w = writer_init(data, sizeof(data));
	struct writer key = writer_init(blob, sizeof(blob));

	if (!reader_done(r))
		return -EBADMSG;
	writer_cstring(&key, "ssh-ed25519");
	writer_string(&key, m->host_public, sizeof(m->host_public));
	monitor_begin(&w, MONITOR_HELLO, id);
	writer_u32(&w, o->max_auth_tries);
	writer_u32(&w, o->login_grace_s);
	writer_u32(&w, o->max_sessions);
	writer_string(&w, blob, key.len);
	snprintf(versions, sizeof(versions), SOFTWARE "%s%.90s", o->version_addendum != NULL ? " " : "",
		 o->version_addendum != NULL ? o->version_addendum : "");
	writer_cstring(&w, versions);
	writer_cstring(&w, o->kex);
	writer_cstring(&w, o->ciphers);
	writer_cstring(&w, o->macs);
	writer_u64(&w, o->rekey_bytes);
	writer_u32(&w, o->rekey_s);
	return monitor_reply(m, &w, NULL, 0);
}

/* While the connection ends requests are still answered, or the worker would wait for ever. */
static int refuse_in_ending(struct monitor *m, uint8_t type, uint32_t id)
{
	uint8_t data[64];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, type, id);
	writer_u8(&w, MONITOR_NO);
	switch (type) {
	case MONITOR_AUTH_NONE:
	case MONITOR_AUTH_KEY:
	case MONITOR_AUTH_PASSWORD:
		writer_cstring(&w, "");
		writer_cstring(&w, "");
		break;
	case MONITOR_AUTH_QUERY:
	case MONITOR_AUTH_INTERACTIVE:
	case MONITOR_SESSION:
	case MONITOR_FORWARD:
		writer_cstring(&w, "");
		break;
	case MONITOR_LISTEN:
		writer_u32(&w, 0);
		writer_cstring(&w, "");
		break;
	case MONITOR_AUTH_CANCEL:
	case MONITOR_SIGNAL:
	case MONITOR_CONNECT:
	case MONITOR_UNLISTEN:
		break;
	default:
		return -EPERM;
	}
	return monitor_reply(m, &w, NULL, 0);
}

/* ------------------------------------------------------------------ the table is asked */

int monitor_violation(struct monitor *m, const char *code, const char *detail)
{
	struct monitor_who who = monitor_who(m);
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_CODE, code, 0},
		{SSH_AUDIT_DETAIL, detail, 0},
	};

	log_warn("ssh worker broke the rules",
		 "connection=%u client=%s identity=%s peer=%s login=%s code=%s detail=%s",
		 m->config.session_id, who.client, who.identity, who.peer, who.login, code, detail);
	monitor_event(m, SSH_AUDIT_VIOLATION, fields, 2);
	return -EPERM;
}

static const struct request *find(uint8_t type)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].type == type)
			return &requests[i];
	return NULL;
}

/* NULL, or the code of the lie. */
static const char *refused(const struct monitor *m, const struct request *request)
{
	if (request == NULL)
		return "unknown-request";
	if (request->once && (m->asked & (1U << request->type)) != 0)
		return "twice";
	if ((request->states & IN(m->state)) != 0)
		return NULL;
	if ((request->states & LOGIN) != 0)
		return m->state == MONITOR_OPEN ? "login-twice" : "before-key-exchange";
	return "before-login";
}

int monitor_packet(struct monitor *m, const uint8_t *data, size_t len)
{
	struct reader r = reader_init(data, len);
	uint8_t type = reader_u8(&r);
	uint32_t id = reader_u32(&r);
	const struct request *request;
	const char *code;
	char number[16];

	if (r.failed)
		return -EBADMSG;
	request = find(type);
	code = refused(m, request);
	if (code != NULL && m->state == MONITOR_ENDING)
		return refuse_in_ending(m, type, id);
	if (code != NULL) {
		snprintf(number, sizeof(number), "%u", type);
		return monitor_violation(m, code, request != NULL ? request->name : number);
	}
	if (request->once)
		m->asked |= 1U << request->type;
	return request->handle(m, id, &r);
}
