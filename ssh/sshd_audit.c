/* SPDX-License-Identifier: Apache-2.0
 *
 * Audit events of a server without a mesh: to journald or syslog, as `warren-audit`. The chained file is
 * warrend's, which is the only writer of its folder.
 */
#include <stdio.h>

#include "platform/journal.h"
#include "platform/log.h"
#include "ssh/sshd_internal.h"
#include "ssh/wire/ssh_wire_audit.h"

#define EVENT_MAX     (64 * 1024)
#define PRIORITY_INFO 6

void sshd_audit(struct journal *journal, uint32_t id, const struct endpoint *client,
		struct reader *event)
{
	struct buffer text;

	buffer_init(&text, EVENT_MAX);
	if (buffer_append(&text, "{", 1) < 0 ||
	    ssh_wire_audit_json(event, id, client, &text, NULL) < 0 ||
	    buffer_append(&text, "}", 1) < 0 || buffer_cstring(&text) == NULL)
		log_error("an audit event of a monitor does not parse", "connection=%u", id);
	else if (journal_send(journal, PRIORITY_INFO, (const char *)text.data, NULL, 0) < 0)
		log_debug("the system's log does not take audit events", NULL);
	buffer_done(&text);
}
