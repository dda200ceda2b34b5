/* SPDX-License-Identifier: Apache-2.0
 *
 * May this login forward? (ssh/PROTOCOL.md section 6, "Forwards".) The worker asks FORWARD for what a
 * client wants, and a no is only a refusal. A yes is good for one CONNECT or LISTEN of exactly that
 * place; one without it is a worker that lies, and ends the connection.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ssh/monitor.h"

#define FIRST_FREE_PORT 1024

bool forward_allowed_by(const struct verifier_decision *d, const char *host, uint16_t port)
{
	if (d->destination_count == 0)
		return true;
	for (size_t i = 0; i < d->destination_count; i++)
		if (policy_destination_matches(d->destinations[i], host, port))
			return true;
	return false;
}

const char *forward_connect_forbidden(const struct monitor *m, const char *host, uint32_t port)
{
	const char *why;

	if (!m->config.allow_local_forward)
		return "local port forwarding is off on this machine";
	why = monitor_options_connect(m, host, (uint16_t)port);
	if (why != NULL)
		return why;
	if ((m->decision.caps & POLICY_SSH_FORWARD) == 0)
		return "policy does not allow forwards for this login";
	if (port == 0 || port > 65535 || !forward_allowed_by(&m->decision, host, (uint16_t)port))
		return "policy does not allow this destination";
	if (m->key != NULL && !authorized_keys_may_open(m->key, host, (uint16_t)port))
		return "the key's line in authorized_keys does not allow this destination";
	return NULL;
}

const char *forward_listen_forbidden(const struct monitor *m, const char *address, uint32_t port)
{
	const char *why;

	if (!m->config.allow_remote_forward)
		return "remote port forwarding is off on this machine";
	why = monitor_options_listen(m, address, (uint16_t)port);
	if (why != NULL)
		return why;
	if ((m->decision.caps & POLICY_SSH_REMOTE_FORWARD) == 0)
		return "policy does not allow remote forwards for this login";
	if (port > 65535 || (port != 0 && port < FIRST_FREE_PORT && m->account.uid != 0))
		return "this port is not for this account";
	if (m->key != NULL && !authorized_keys_may_listen(m->key, address, (uint16_t)port))
		return "the key's line in authorized_keys does not allow this address";
	return NULL;
}

static const char *agent_forbidden(const struct monitor *m)
{
	return (m->decision.caps & POLICY_SSH_AGENT) == 0
		       ? "agent forwarding is not allowed for this login"
		       : NULL;
}

static int answer(struct monitor *m, uint32_t id, const char *why)
{
	uint8_t data[512];
	struct writer w = writer_init(data, sizeof(data));

	monitor_begin(&w, MONITOR_FORWARD, id);
	writer_u8(&w, why == NULL ? MONITOR_YES : MONITOR_NO);
	writer_cstring(&w, why != NULL ? why : "");
	return monitor_reply(m, &w, NULL, 0);
}

int forward_ask(struct monitor *m, uint32_t id, struct reader *r)
{
	struct forward_permit p = {.kind = reader_u8(r)};
	const char *why;
	char what[300];

	reader_cstring(r, p.host, sizeof(p.host));
	p.port = reader_u32(r);
	if (!reader_done(r) || p.kind > MONITOR_FORWARD_AGENT)
		return -EBADMSG;
	snprintf(what, sizeof(what), "%s:%u", p.host, p.port);
	if (p.kind == MONITOR_FORWARD_CONNECT) {
		why = forward_connect_forbidden(m, p.host, p.port);
		if (why != NULL)
			monitor_audit_forward(m, what, why);
	} else if (p.kind == MONITOR_FORWARD_LISTEN) {
		why = forward_listen_forbidden(m, p.host, p.port);
		if (why != NULL)
			monitor_audit_listen(m, what, why);
	} else {
		why = agent_forbidden(m);
		if (why != NULL)
			monitor_audit_forward(m, "agent", why);
	}
	p.good = why == NULL;
	if (p.kind == MONITOR_FORWARD_AGENT)
		m->agent_permitted = m->agent_permitted || p.good;
	else
		m->permit = p;
	return answer(m, id, why);
}

bool forward_permit_take(struct monitor *m, enum monitor_wire_forward kind, const char *host,
			 uint32_t port)
{
	bool good = m->permit.good && m->permit.kind == kind && m->permit.port == port &&
		    strcmp(m->permit.host, host) == 0;

	m->permit.good = false;
	return good;
}
