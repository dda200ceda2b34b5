/* SPDX-License-Identifier: Apache-2.0
 *
 * Audit events of a connection: a line of this process's own log, and a typed message to the broker,
 * which alone writes the chained log and adds what it knows itself (connection, caller).
 */
#include <stdio.h>
#include <string.h>

#include "ssh/monitor.h"

#define PACKET_MAX (8 * 1024)

/* The sentences of monitor_audit. */
static const struct {
	const char *sentence;
	uint8_t event, key;
	const char *code;
} sentences[] = {
	{"ssh connection", SSH_AUDIT_CONNECTION, SSH_AUDIT_NETWORK, NULL},
	{"ssh login", SSH_AUDIT_LOGIN, SSH_AUDIT_METHOD, NULL},
	{"ssh login refused", SSH_AUDIT_LOGIN_REFUSED, SSH_AUDIT_REASON, "refused"},
	{"ssh session refused", SSH_AUDIT_SESSION_REFUSED, SSH_AUDIT_REASON, "refused"},
	{"PAM refuses a session", SSH_AUDIT_SESSION_REFUSED, SSH_AUDIT_REASON, "pam"},
	{"ssh remote forward", SSH_AUDIT_LISTEN, SSH_AUDIT_ON, NULL},
	{"ssh connection is ended", SSH_AUDIT_ENDING, SSH_AUDIT_REASON, NULL},
};

void monitor_event(struct monitor *m, enum ssh_audit_event event,
		   const struct ssh_audit_field *fields, size_t count)
{
	uint8_t data[PACKET_MAX];
	struct writer w = writer_init(data, sizeof(data));
	const struct ssh_audit a = {
		.event = (uint8_t)event,
		.identity = m->decision.identity,
		.peer = m->decision.caller_name,
		.login = m->login,
		.fields = fields,
		.count = count,
	};

	if (m->broker_fd < 0)
		return;
	monitor_begin(&w, SSH_WIRE_AUDIT, 0);
	ssh_wire_audit_put(&w, &a);
	if ((w.failed || monitor_send(m->broker_fd, data, w.len, NULL, 0) < 0) &&
	    !m->config.standalone) /* without a broker there is no such log */
		log_error("an audit event is lost: the broker does not take it", "connection=%u",
			  m->config.session_id);
}

void monitor_audit_log(const struct monitor *m, const char *sentence, const char *key,
		       const char *value)
{
	struct monitor_who who = monitor_who(m);

	/* A pair's key is in the format, or its value would not be quoted by itself. */
#define LINE(pair)                                                                                 \
	log_info(sentence, "connection=%u client=%s identity=%s peer=%s login=%s " pair,           \
		 m->config.session_id, who.client, who.identity, who.peer, who.login, value)
	if (strcmp(key, "reason") == 0)
		LINE("reason=%s");
	else if (strcmp(key, "method") == 0)
		LINE("method=%s");
	else if (strcmp(key, "what") == 0)
		LINE("what=%s");
	else if (strcmp(key, "to") == 0)
		LINE("to=%s");
	else if (strcmp(key, "on") == 0)
		LINE("on=%s");
	else if (strcmp(key, "network") == 0)
		LINE("network=%s");
	else if (strcmp(key, "key") == 0)
		LINE("key=%s");
	else
		LINE("detail=%s");
#undef LINE
}

void monitor_audit(struct monitor *m, const char *sentence, const char *key, const char *value)
{
	struct ssh_audit_field fields[2];
	char text[512];
	size_t n = 0;

	monitor_audit_log(m, sentence, key, value);
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
		if (strcmp(sentences[i].sentence, sentence) != 0)
			continue;
		if (sentences[i].code != NULL)
			fields[n++] = (struct ssh_audit_field){SSH_AUDIT_CODE, sentences[i].code, 0};
		fields[n++] = (struct ssh_audit_field){sentences[i].key, value, 0};
		monitor_event(m, sentences[i].event, fields, n);
		return;
	}
	snprintf(text, sizeof(text), "%s: %s=%s", sentence, key, value);
	fields[0] = (struct ssh_audit_field){SSH_AUDIT_DETAIL, text, 0};
	monitor_event(m, SSH_AUDIT_NOTE, fields, 1);
}

void monitor_audit_refused(struct monitor *m, const char *code, const char *method,
			   const char *reason)
{
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_CODE, code, 0},
		{SSH_AUDIT_METHOD, method, 0},
		{SSH_AUDIT_REASON, reason, 0},
	};

	monitor_audit_log(m, "ssh login refused", "reason", reason);
	monitor_event(m, SSH_AUDIT_LOGIN_REFUSED, fields, 3);
}

void monitor_audit_forward(struct monitor *m, const char *to, const char *why)
{
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_TO, to, 0},
		{SSH_AUDIT_REASON, why != NULL ? why : "", 0},
	};

	monitor_audit_log(m, why != NULL ? "ssh forward refused" : "ssh forward", "to", to);
	monitor_event(m, why != NULL ? SSH_AUDIT_FORWARD_REFUSED : SSH_AUDIT_FORWARD, fields, 2);
}

void monitor_audit_listen(struct monitor *m, const char *on, const char *why)
{
	const struct ssh_audit_field fields[] = {
		{SSH_AUDIT_ON, on, 0},
		{SSH_AUDIT_REASON, why != NULL ? why : "", 0},
	};

	monitor_audit_log(m, why != NULL ? "ssh remote forward refused" : "ssh remote forward", "on",
			  on);
	monitor_event(m, why != NULL ? SSH_AUDIT_LISTEN_REFUSED : SSH_AUDIT_LISTEN, fields, 2);
}
