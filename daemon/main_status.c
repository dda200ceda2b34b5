/* SPDX-License-Identifier: Apache-2.0
 *
 * What people and scripts are told: `status` with the keys of design section 9, `peers`, `why`,
 * `sessions`, `policy explain`, the bundle. Counters come from the engine, for at most
 * STATUS_WAIT_MS; an engine that is slow costs fresh counters, never the answer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/main_core.h"
#include "platform/encode.h"
#include "platform/json.h"

#define STATUS_WAIT_MS 200
#define MAX_TEXT       (512u << 10)

/* ---- parts */

static bool is_up(const struct main_core *m)
{
	return m->network.wanted_up && main_apply_in_force(m) &&
	       control_map_valid(&m->map, main_now_s(m));
}

static const char *daemon_status(const struct main_core *m)
{
	if (!m->network.enrolled || m->removed[0] != '\0')
		return "NeedsLogin";
	if (!m->network.wanted_up)
		return "Idle";
	return is_up(m) ? "Connected" : "Connecting";
}

static json_t *time_text(int64_t when_s)
{
	time_t t = (time_t)when_s;
	char text[32];
	struct tm tm;

	if (when_s <= 0 || gmtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_null();
	return json_string(text);
}

static json_t *key_text(const uint8_t key[32])
{
	char text[ENCODE_BASE64_SIZE(32)];

	encode_base64(text, key, 32);
	return json_string(text);
}

static json_t *peer_object(const struct main_core *m, const struct peer *p, bool *ret_connected)
{
	const struct peers_engine_peer *e = peers_engine_find(&m->counters, p->node_key);
	struct path_info info = {0};
	char v4[IP_ADDR_STRLEN], v6[IP_ADDR_STRLEN], endpoint[ENDPOINT_STRLEN] = "";
	const char *status = "Idle";

	if (path_get(m->path, p->id, &info) < 0)
		info.state = PATH_IDLE;
	*ret_connected = info.state == PATH_DIRECT;
	if (*ret_connected) {
		status = "Connected";
		(void)endpoint_format(&info.endpoint, endpoint);
	} else if (info.state == PATH_CONNECTING) {
		status = "Connecting";
	}
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:s,s:o,s:I,s:I,s:f,s:{s:b,s:b}}",
			 "id", p->id, "name", p->name, "fqdn", p->fqdn, "overlayIp",
			 ip_addr_format(&p->overlay4, v4), "overlayIpv6",
			 ip_addr_format(&p->overlay6, v6), "publicKey", key_text(p->node_key),
			 "status", status, "connectionType",
			 info.state == PATH_DIRECT	 ? "direct"
			 : info.state == PATH_CONNECTING ? "connecting"
							 : "",
			 "endpoint", endpoint, "relayAddress", "", "lastWireguardHandshake",
			 time_text(e == NULL ? 0 : e->handshake_s), "transferReceived",
			 (json_int_t)(e == NULL ? 0 : e->rx_bytes), "transferSent",
			 (json_int_t)(e == NULL ? 0 : e->tx_bytes), "latency",
			 (double)info.rtt_ns / (double)NSEC_PER_MSEC, "ssh", "enabled",
			 (int)p->ssh_enabled, "advertised", (int)p->ssh_advertised);
}

static json_t *peer_list(const struct main_core *m, json_int_t *ret_connected)
{
	json_t *list = json_array();

	*ret_connected = 0;
	if (m->peers == NULL || !m->network.wanted_up || m->removed[0] != '\0')
		return list;
	for (size_t i = 0; i < m->peers->count; i++) {
		bool connected = false;

		(void)json_array_append_new(list, peer_object(m, &m->peers->list[i], &connected));
		*ret_connected += connected;
	}
	return list;
}

static json_t *session_list(const struct main_core *m)
{
	json_t *list = json_array(), *value;
	const char *key;

	json_object_foreach(m->sessions, key, value)(void) json_array_append(list, value);
	return list;
}

static void warn(json_t *list, const char *text)
{
	if (text[0] != '\0')
		(void)json_array_append_new(list, json_string(text));
}

/* The broker's warnings, one a line. */
static void warn_lines(json_t *list, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		if (len > 0)
			(void)json_array_append_new(list, json_stringn(text, len));
		text += len + (text[len] == '\n');
	}
}

static void warn_break_glass(json_t *list, json_t *sessions)
{
	const char *key, *method, *who, *login, *from;
	json_t *value;

	json_object_foreach(sessions, key, value)
	{
		method = json_string_value(json_object_get(value, "method"));
		who = json_string_value(json_object_get(value, "identity"));
		login = json_string_value(json_object_get(value, "login"));
		from = json_string_value(json_object_get(value, "from"));
		if (method && who && login && from && strcmp(method, "break-glass") == 0)
			(void)json_array_append_new(
				list, json_sprintf("a break-glass session is open: %s as %s from %s",
						   who, login, from));
	}
}

static json_t *warnings(const struct main_core *m)
{
	json_t *list = json_array();
	int64_t now_s = main_now_s(m);

	warn(list, m->state_error.code != 0 ? m->state_error.text : "");
	warn(list, m->removed);
	warn_lines(list, m->broker_warnings);
	warn_break_glass(list, m->sessions);
	if (m->network.wanted_up) {
		warn(list, main_apply_error(m));
		if (m->map.map != NULL && m->removed[0] == '\0' &&
		    !control_map_valid(&m->map, now_s))
			warn(list, "the map has ended and the control server has not renewed it: "
				   "no traffic passes");
		if (m->ssh_mode == WIRE_SSH_HOST)
			warn(list, "the SSH server listens in the host's network stack, because no "
				   "network "
				   "namespace could be made");
	}
	return list;
}

static const char *ssh_mode(const struct main_core *m)
{
	if (m->interface[0] == '\0')
		return "off";
	switch (m->ssh_mode) {
	case WIRE_SSH_NAMESPACE:
		return "namespace";
	case WIRE_SSH_HOST:
		return "host";
	default:
		return "off";
	}
}

static json_t *management(const struct main_core *m)
{
	const char *url = m->network.enrolled ? m->network.control_url : m->control_url;

	return json_pack("{s:s,s:b,s:s}", "url", url, "connected",
			 (int)control_client_connected(m->control), "error", m->control_error);
}

static json_t *status_object(const struct main_core *m)
{
	char v4[IP_ADDR_STRLEN] = "", v6[IP_ADDR_STRLEN] = "";
	bool on = main_switch(m, "allow_server_ssh") && m->peers != NULL &&
		  m->peers->self.ssh_enabled;
	json_int_t connected = 0;
	json_t *peers = peer_list(m, &connected);

	if (m->network.enrolled) {
		(void)ip_addr_format(&m->network.overlay4, v4);
		(void)ip_addr_format(&m->network.overlay6, v6);
	}
	return json_pack(
		"{s:s,s:s,s:o,s:{s:i,s:i,s:[]},s:s,s:s,s:o,s:b,s:i,s:s,s:s,s:s,s:s,s:{s:I,s:I,s:o},"
		"s:{s:b,s:b,s:s,s:o},s:o}",
		"daemonStatus", daemon_status(m), "daemonVersion", WARREN_VERSION, "management",
		management(m), "relays", "total", 0, "available", 0, "details", "overlayIp", v4,
		"overlayIpv6", v6, "publicKey",
		m->keys == NULL ? json_string("") : key_text(m->keys->node_public),
		"usesKernelInterface", 0, "wireguardPort", (int)m->port, "interface", m->interface,
		"fqdn", m->network.fqdn, "network", m->network.network, "peer", m->network.peer,
		"peers", "total", (json_int_t)json_array_size(peers), "connected", connected,
		"details", peers, "sshServer", "enabled", (int)on, "allowed",
		(int)main_switch(m, "allow_server_ssh"), "mode", ssh_mode(m), "sessions",
		session_list(m), "warnings", warnings(m));
}

/* ---- answers that want fresh counters */

struct job {
	struct main_core *m;
	struct ipc_request *request; /* NULL: answered, or the client went away */
	json_t *(*make)(const struct main_core *m);
	uv_timer_t timer;
	bool engine, closed; /* the engine's answer and the timer are still to come */
};

static void job_release(struct job *job)
{
	if (!job->engine && job->closed)
		free(job);
}

static void on_job_closed(uv_handle_t *handle)
{
	struct job *job = handle->data;

	job->closed = true;
	job_release(job);
}

static void job_answer(struct job *job)
{
	struct ipc_request *r = job->request;

	if (r == NULL)
		return;
	job->request = NULL;
	r->on_gone = NULL;
	ipc_request_result(r, job->make(job->m));
	uv_close((uv_handle_t *)&job->timer, on_job_closed);
}

static void on_job_timer(uv_timer_t *timer)
{
	job_answer(timer->data);
}

static void on_job_gone(struct ipc_request *r)
{
	struct job *job = r->data;

	job->request = NULL;
	uv_close((uv_handle_t *)&job->timer, on_job_closed);
}

static void on_counters(struct main_core *m, void *ctx, int result, const char *reply, size_t len)
{
	struct job *job = ctx;

	(void)m;
	(void)result;
	(void)reply;
	(void)len;
	job->engine = false;
	job_answer(job);
	job_release(job);
}

static void with_counters(struct main_core *m, struct ipc_request *r,
			  json_t *(*make)(const struct main_core *m))
{
	struct job *job;

	if (m->engine == NULL || m->interface[0] == '\0') {
		ipc_request_result(r, make(m));
		return;
	}
	job = calloc(1, sizeof(*job));
	if (job == NULL) {
		ipc_request_result(r, make(m));
		return;
	}
	job->m = m;
	job->request = r;
	job->make = make;
	job->engine = true;
	(void)uv_timer_init(m->loop, &job->timer);
	job->timer.data = job;
	r->data = job;
	r->on_gone = on_job_gone;
	(void)uv_timer_start(&job->timer, on_job_timer, STATUS_WAIT_MS, 0);
	main_engine_refresh(m, on_counters, job);
}

void main_status(struct main_core *m, struct ipc_request *r)
{
	with_counters(m, r, status_object);
}

static json_t *peers_object(const struct main_core *m)
{
	json_int_t connected;

	return json_pack("{s:o}", "peers", peer_list(m, &connected));
}

void main_peers(struct main_core *m, struct ipc_request *r)
{
	with_counters(m, r, peers_object);
}

/* ---- others */

void main_why(struct main_core *m, struct ipc_request *r)
{
	const struct peer *p = main_ipc_peer(m, r);
	json_t *candidates = NULL;
	struct buffer text;

	if (p == NULL)
		return;
	buffer_init(&text, MAX_TEXT);
	if (path_why(m->path, p->id, main_now_ns(m), &text, &candidates) < 0) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "there is no path to %s yet", p->name);
	} else {
		/* The last line break is the command line's. */
		size_t len =
			text.len > 0 && text.data[text.len - 1] == '\n' ? text.len - 1 : text.len;

		ipc_request_result(r, json_pack("{s:o,s:o}", "text",
						json_stringn((const char *)text.data, len),
						"candidates", candidates));
	}
	buffer_done(&text);
}

void main_policy_explain(struct main_core *m, struct ipc_request *r)
{
	static const struct {
		const char *name;
		uint8_t number;
	} protos[] = {{"tcp", POLICY_PROTO_TCP},
		      {"udp", POLICY_PROTO_UDP},
		      {"icmp", POLICY_PROTO_ICMP},
		      {"any", POLICY_PROTO_ANY}};
	char from[256], to[256], proto[16] = "tcp";
	struct error err = {0};
	struct buffer text;
	int64_t port = 0, at_s = main_now_s(m);
	int number = -1;

	if (json_get_string(r->args, "from", from, sizeof(from), &err) < 0 ||
	    json_get_string(r->args, "to", to, sizeof(to), &err) < 0 ||
	    (json_object_get(r->args, "proto") != NULL &&
	     json_get_string(r->args, "proto", proto, sizeof(proto), &err) < 0) ||
	    (json_object_get(r->args, "port") != NULL &&
	     json_get_int(r->args, "port", 0, 65535, &port, &err) < 0) ||
	    (json_object_get(r->args, "at") != NULL &&
	     json_get_int(r->args, "at", 0, INT64_C(253402300799), &at_s, &err) < 0)) {
		ipc_request_error(r, WARREN_EXIT_USAGE, "%s", error_text(&err));
		return;
	}
	for (size_t i = 0; i < sizeof(protos) / sizeof(protos[0]); i++)
		if (strcmp(proto, protos[i].name) == 0)
			number = protos[i].number;
	if (number < 0) {
		ipc_request_error(r, WARREN_EXIT_USAGE, "the protocol is tcp, udp, icmp or any");
		return;
	}
	if (m->policy == NULL) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "there is no map yet: run `warren up`");
		return;
	}
	buffer_init(&text, MAX_TEXT);
	if (policy_explain(m->policy, m->world, from, to, (uint8_t)number, (uint16_t)port,
			   at_s, &text, &err) < 0)
		ipc_request_error(r, WARREN_EXIT_FAILED, "%s", error_text(&err));
	else
		ipc_request_result(r, json_pack("{s:o}", "text",
						json_stringn((const char *)text.data, text.len)));
	buffer_done(&text);
}

struct session_end {
	struct ipc_request *request;
};

static void on_session_gone(struct ipc_request *r)
{
	((struct session_end *)r->data)->request = NULL;
}

static void on_session_ended(struct main_core *m, void *ctx, bool ok, const char *sentence,
			     struct reader *reader)
{
	struct session_end *end = ctx;

	(void)reader;
	if (end->request != NULL) {
		end->request->on_gone = NULL;
		if (ok)
			ipc_request_result(end->request,
					   json_pack("{s:o}", "sessions", session_list(m)));
		else
			ipc_request_error(end->request, WARREN_EXIT_FAILED, "%s", sentence);
	}
	free(end);
}

void main_sessions(struct main_core *m, struct ipc_request *r)
{
	uint8_t fields[4];
	struct writer w = writer_init(fields, sizeof(fields));
	struct session_end *end;
	char key[16];
	int64_t id;

	if (json_object_get(r->args, "end") == NULL) {
		ipc_request_result(r, json_pack("{s:o}", "sessions", session_list(m)));
		return;
	}
	if (!ipc_request_may_change(r)) {
		ipc_request_error(r, WARREN_EXIT_FAILED,
				  "ending a session needs root or the group " IPC_GROUP);
		return;
	}
	if (json_get_int(r->args, "end", 1, UINT32_MAX, &id, NULL) < 0) {
		ipc_request_error(r, WARREN_EXIT_USAGE,
				  "sessions end wants the number of a session");
		return;
	}
	(void)snprintf(key, sizeof(key), "%lld", (long long)id);
	end = json_object_get(m->sessions, key) == NULL ? NULL : calloc(1, sizeof(*end));
	if (end == NULL) {
		ipc_request_error(r, WARREN_EXIT_FAILED,
				  "there is no SSH session %lld on this machine", (long long)id);
		return;
	}
	end->request = r;
	r->data = end;
	r->on_gone = on_session_gone;
	writer_u32(&w, (uint32_t)id);
	main_broker_request(m, WIRE_SESSION_END, &w, -1, on_session_ended, end);
}

static int collect(void *ctx, const char *key, json_t *value)
{
	/* Not what the SSH monitor believes: it is long and of no use here. */
	return strcmp(key, "ssh") == 0 ? 0 : json_object_set(ctx, key, value) < 0 ? -ENOMEM : 0;
}

/* Nothing of it is secret: keys are in files of their own. */
void main_bundle(struct main_core *m, struct ipc_request *r)
{
	json_t *files = json_object(), *map = json_object();
	json_t *status = status_object(m);
	char *status_text = json_dumps(status, JSON_INDENT(2));
	char *map_text;
	struct buffer paths;

	if (m->map.map != NULL)
		(void)map_each(m->map.map, collect, map);
	map_text = json_dumps(map, JSON_INDENT(2));
	buffer_init(&paths, MAX_TEXT);
	for (size_t i = 0; m->peers != NULL && i < m->peers->count; i++) {
		json_t *candidates = NULL;

		if (path_why(m->path, m->peers->list[i].id, main_now_ns(m), &paths, &candidates) <
		    0)
			break;
		json_decref(candidates);
	}
	(void)json_object_set_new(files, "status.json", json_string(status_text));
	(void)json_object_set_new(files, "map.json", json_string(map_text));
	(void)json_object_set_new(files, "paths.txt",
				  json_stringn((const char *)paths.data, paths.len));
	buffer_done(&paths);
	free(status_text);
	free(map_text);
	json_decref(status);
	json_decref(map);
	ipc_request_result(r, json_pack("{s:o}", "files", files));
}
