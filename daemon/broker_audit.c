/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log of this machine (platform/audit_log.h): the broker alone writes it, so parallel
 * connections make one chain, and adds to each event what it knows itself. A copy of each record
 * goes to the system's log. When a record cannot be written (a full disk) connections go on: an
 * administrator must get in to make room. The loss is said in the daemon's log and, as soon as
 * possible, in the chain.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon/broker_internal.h"
#include "platform/audit_log.h"
#include "platform/clock.h"
#include "platform/journal.h"
#include "platform/log.h"
#include "ssh/wire/ssh_wire_audit.h"

enum {
	PART_MIB = 16,
	PARTS = 16,
	SYNC_MS = 1000,
	RETRY_MS = 5000, /* to open a log that could not be opened */
	PRIORITY_ERROR = 3,
	PRIORITY_INFO = 6,
};

static int64_t now_ms(void)
{
	return (int64_t)(clock_realtime_ns(&clock_system) / NSEC_PER_MSEC);
}

static void open_log(struct broker *b)
{
	const struct audit_log_options options = {.part_bytes = (uint64_t)PART_MIB << 20,
						  .parts = PARTS};
	struct error note = {0};
	int rc = audit_log_open(b->root_dir, &options, now_ms(), &b->audit, &note);

	if (rc < 0) {
		b->audit = NULL;
		log_error("the audit log cannot be written", "folder=%s/root error=%s",
			  b->options->state_dir, strerror(-rc));
		return;
	}
	for (; b->audit_lost > 0; b->audit_lost--)
		audit_log_lost(b->audit);
	if (note.code < 0)
		log_error(error_text(&note), NULL);
}

void broker_audit_open(struct broker *b)
{
	b->journal = journal_new("warren-audit");
	broker_audit_append(b, "\"event\":\"audit.start\",\"version\":\"" WARREN_VERSION "\"");
}

void broker_audit_close(struct broker *b)
{
	if (b->audit)
		broker_audit_append(b, "\"event\":\"audit.stop\"");
	audit_log_close(b->audit);
	b->audit = NULL;
	journal_free(b->journal);
	b->journal = NULL;
}

/* The value of "event", which comes first. */
static const char *event_of(const char *members, char out[static 48])
{
	const char *at = strchr(members, ':');
	size_t n = at ? strcspn(at + 2, "\"") : 0;

	n = n < 47 ? n : 47;
	if (at)
		memcpy(out, at + 2, n);
	out[n] = '\0';
	return out;
}

static void lost(struct broker *b, int rc)
{
	static const uint64_t interval_ns = 10 * NSEC_PER_SEC;

	if (b->audit_limit.interval_ns == 0)
		b->audit_limit = (struct log_limit){.interval_ns = interval_ns, .burst = 3};
	if (log_limit_allow(&b->audit_limit, broker_now()))
		log_error(
			"an audit record cannot be written: the log has a gap until there is room",
			"folder=%s/root error=%s", b->options->state_dir, strerror(-rc));
}

void broker_audit_append(struct broker *b, const char *members)
{
	const char *line = NULL;
	char event[48];
	int rc = -EIO;

	if (!b->audit && broker_now() >= b->audit_retry_ns) {
		b->audit_retry_ns = broker_now() + RETRY_MS * NSEC_PER_MSEC;
		open_log(b);
	}
	if (!b->audit)
		b->audit_lost++;
	else if (!members)
		audit_log_lost(b->audit);
	else
		rc = audit_log_append(b->audit, now_ms(), members, &line);
	if (rc < 0)
		lost(b, rc);
	else if (b->audit_sync_ns == 0)
		b->audit_sync_ns = broker_now() + SYNC_MS * NSEC_PER_MSEC;
	if (members) {
		const struct journal_field field = {"WARREN_EVENT", event_of(members, event)};

		if (journal_send(b->journal, rc < 0 ? PRIORITY_ERROR : PRIORITY_INFO,
				 line ? line : members, &field, 1) < 0)
			log_debug("the system's log does not take audit records", NULL);
	}
}

void broker_audit_turned_away(struct broker *b, const struct endpoint *client, const char *line)
{
	const char *code = strstr(line, "MaxStartups") ? "max-startups"
			   : strstr(line, "is off")    ? "off"
						       : "limit";
	char address[ENDPOINT_STRLEN], members[512];

	snprintf(members, sizeof(members),
		 "\"event\":\"ssh.refused\",\"client\":\"%s\",\"code\":\"%s\",\"reason\":\"%.*s\"",
		 endpoint_format(client, address), code, (int)strcspn(line, "\r\n\"\\"), line);
	broker_audit_append(b, members);
}

void broker_audit_died(struct broker *b, const struct broker_session *s, int status)
{
	char address[ENDPOINT_STRLEN], members[512];

	snprintf(members, sizeof(members),
		 "\"event\":\"ssh.end\",\"connection\":%u,\"client\":\"%s\",\"code\":\"died\","
		 "\"reason\":\"the session's process ended before its time\",\"status\":%d",
		 s->id, endpoint_format(&s->client, address),
		 WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	broker_audit_append(b, members);
}

/* A record with one member: what root has set from now on. state: taken; NULL: no memory. */
static void append_state_take(struct broker *b, const char *event, const char *name, json_t *state)
{
	char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;
	struct buffer members;

	buffer_init(&members, 65536);
	if (text && buffer_printf(&members, "\"event\":\"%s\",\"%s\":%s", event, name, text) == 0)
		broker_audit_append(b, buffer_cstring(&members));
	else
		broker_audit_append(b, NULL);
	buffer_done(&members);
	free(text);
	json_decref(state);
}

void broker_audit_switches(struct broker *b)
{
	append_state_take(b, "machine.switches", "switches", switches_json(&b->state.switches));
}

void broker_audit_break_glass(struct broker *b)
{
	append_state_take(b, "machine.break_glass", "break_glass",
			  break_glass_json(&b->break_glass));
}

void broker_audit_tick(struct broker *b, uint64_t now_ns)
{
	int rc;

	if (b->audit_sync_ns == 0 || now_ns < b->audit_sync_ns)
		return;
	b->audit_sync_ns = 0;
	if (!b->audit)
		return;
	rc = audit_log_sync(b->audit);
	if (rc < 0) {
		log_error("the audit log cannot be synced", "error=%s", strerror(-rc));
		b->audit_sync_ns = now_ns + RETRY_MS * NSEC_PER_MSEC;
	}
}

uint64_t broker_audit_deadline(const struct broker *b)
{
	return b->audit_sync_ns != 0 ? b->audit_sync_ns : UINT64_MAX;
}
