/* SPDX-License-Identifier: Apache-2.0
 *
 * What others learn of a connection: audit lines, and the state that `warren status` shows.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ssh/monitor.h"

static const char *or_dash(const char *text)
{
	return text[0] != '\0' ? text : "-";
}

struct monitor_who monitor_who(const struct monitor *m)
{
	struct monitor_who who = {
		.identity = or_dash(m->decision.identity),
		.peer = or_dash(m->decision.caller_name),
		.login = or_dash(m->login),
	};

	endpoint_format(&m->config.client, who.client);
	return who;
}

void monitor_state_changed(struct monitor *m)
{
	m->state_dirty = true;
}

uint32_t monitor_forwards(const struct monitor *m)
{
	return (uint32_t)(m->direct_count + m->listener_count);
}

static void format_time(int64_t t, char out[32])
{
	time_t when = (time_t)t;
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(out, 32, "%lld", (long long)t);
}

static json_t *state_object(const struct monitor *m)
{
	char since[32], from[ENDPOINT_STRLEN];

	format_time(m->since_s, since);
	endpoint_format(&m->config.client, from);
	return json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:I,s:I}", "id",
			 (json_int_t)m->config.session_id, "identity", m->decision.identity,
			 "login", m->login, "peer", m->decision.caller_name, "from", from, "method",
			 m->method, "since", since, "channels", (int)m->session_count, "forwards",
			 (int)monitor_forwards(m), "received", (json_int_t)m->received, "sent",
			 (json_int_t)m->sent);
}

void monitor_state_send(struct monitor *m, bool ended)
{
	uint8_t data[4096];
	struct writer w = writer_init(data, sizeof(data));
	json_t *state = state_object(m);
	char *text;

	m->state_dirty = false;
	m->state_sent_ns = monitor_now_ns();
	if (state == NULL)
		return;
	if (ended) {
		json_object_set_new(state, "ended", json_true());
		json_object_set_new(state, "reason", json_string(m->ending_reason));
	}
	text = json_dumps(state, JSON_COMPACT);
	json_decref(state);
	if (text == NULL)
		return;
	monitor_begin(&w, SSH_WIRE_STATE, 0);
	writer_cstring(&w, text);
	free(text);
	if (!w.failed && monitor_send(m->broker_fd, data, w.len, NULL, 0) < 0)
		log_debug("the broker does not take this session's state", NULL);
}
