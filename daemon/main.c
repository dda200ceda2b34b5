/* SPDX-License-Identifier: Apache-2.0
 *
 * The unprivileged process of warrend (design section 1, daemon/PROTOCOL.md): everything that needs
 * a library, the resolver or the network's other protocols, away from packets and from root. Owns
 * the start, the loop, and the joints between path machine, engine and control client.
 */
#include "daemon/main.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon/login.h"
#include "daemon/logout.h"
#include "daemon/main_core.h"
#include "daemon/openssh.h"
#include "identity/http.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/secret.h"

#define TICK_MS	      3000
#define SAVE_PATHS_NS (60 * NSEC_PER_SEC)
#define MAX_OPTIONS   65536

void main_stop(struct main_core *m, int exit_status)
{
	m->stopping = true;
	m->exit_status = exit_status;
	uv_stop(m->loop);
}

/* ---- options */

static int read_prefix(const json_t *o, const char *key, struct ip_prefix *ret_prefix)
{
	char text[IP_PREFIX_STRLEN];
	int r = json_get_string(o, key, text, sizeof(text), NULL);

	return r < 0 ? r : ip_prefix_parse(text, ret_prefix);
}

static int read_options(struct main_options *o, struct error *err)
{
	struct buffer text;
	json_t *object = NULL;
	int64_t port = 0, mtu = 0;
	int r;

	buffer_init(&text, MAX_OPTIONS);
	r = lseek(WIRE_FD_OPTIONS, 0, SEEK_SET) < 0 ? -errno : file_read_fd(WIRE_FD_OPTIONS, &text);
	if (r == 0) {
		object = json_load_strict((const char *)text.data, text.len, MAX_OPTIONS, NULL);
		if (object == NULL ||
		    json_get_string(object, "socket", o->socket, sizeof(o->socket), NULL) < 0 ||
		    json_get_string(object, "interface", o->interface, sizeof(o->interface), NULL) <
			    0 ||
		    json_get_int(object, "wireguard_port", 0, 65535, &port, NULL) < 0 ||
		    json_get_int(object, "mtu", 0, 65535, &mtu, NULL) < 0 ||
		    json_get_bool(object, "privileged", &o->privileged, NULL) < 0 ||
		    json_get_bool(object, "engine", &o->engine, NULL) < 0 ||
		    json_get_string(object, "issuer_ca_file", o->issuer_ca_file,
				    sizeof(o->issuer_ca_file), NULL) < 0 ||
		    read_prefix(object, "prefix4", &o->prefix4) < 0 ||
		    read_prefix(object, "prefix6", &o->prefix6) < 0)
			r = -EBADMSG;
	}
	json_decref(object);
	buffer_done(&text);
	o->port = (uint16_t)port;
	o->mtu = (uint16_t)mtu;
	return r < 0 ? error_set(err, r,
				 "the options of the broker (descriptor 7) cannot be read: is this "
				 "process "
				 "started by warrend?")
		     : 0;
}

/* ---- joints of the path machine */

static void on_path_send(void *ctx, const struct endpoint *to, const void *data, size_t len)
{
	main_engine_send(ctx, to, data, len);
}

struct signal_job {
	struct main_core *m;
	char peer[32];
};

static void on_signalled(void *ctx, const struct control_reply *reply)
{
	struct signal_job *job = ctx;
	int result = reply->error;

	if (result == 0 && reply->status == 404)
		result = -ENOENT;
	else if (result == 0 && (reply->status < 200 || reply->status > 299))
		result = -EIO;
	path_signal_outcome(job->m->path, job->peer, result);
	free(job);
}

static void on_path_signal(void *ctx, const char *peer_id, const uint8_t *box, size_t len)
{
	struct main_core *m = ctx;
	char text[ENCODE_BASE64URL_SIZE(PROBE_SIGNAL_MAX_BYTES)];
	struct signal_job *job = NULL;
	json_t *body = NULL;
	int r = -ENOTCONN;

	if (control_client_connected(m->control)) {
		encode_base64url(text, box, len);
		body = json_pack("{s:s,s:s}", "to", peer_id, "box", text);
		job = calloc(1, sizeof(*job));
		r = -ENOMEM;
	}
	if (job != NULL && body != NULL) {
		job->m = m;
		(void)snprintf(job->peer, sizeof(job->peer), "%s", peer_id);
		r = control_client_call(m->control, "POST", "/v1/signal", NULL, body, 0,
					on_signalled, job, NULL);
	}
	if (r < 0) {
		free(job);
		path_signal_outcome(m->path, peer_id, r);
	}
	json_decref(body);
}

static void on_endpoint_set(struct main_core *m, void *ctx, int result, const char *reply,
			    size_t len)
{
	(void)m;
	(void)ctx;
	(void)len;
	if (result < 0)
		log_warn("the engine refused an endpoint", "reply=\"%.20s\"",
			 reply == NULL ? "" : reply);
}

static void on_path_endpoint(void *ctx, const uint8_t node_key[32], const struct endpoint *ep)
{
	struct main_core *m = ctx;
	const struct peer *peer = peers_by_node_key(m->peers, node_key);
	char key[ENCODE_HEX_SIZE(32)], endpoint[ENDPOINT_STRLEN], text[256];
	int n;

	encode_hex(key, node_key, 32);
	(void)endpoint_format(ep, endpoint);
	/* One keepalive: where there is no session it makes one. The other side may still send in a
	 * session that ended with the engine before this one, and would notice only after 15 s. */
	n = snprintf(text, sizeof(text),
		     "set=1\npublic_key=%s\nupdate_only=true\nendpoint=%s\n"
		     "persistent_keepalive_interval=1\n",
		     key, endpoint);
	log_info("direct path", "peer=%s endpoint=%s", peer == NULL ? "?" : peer->name, endpoint);
	if (n > 0)
		main_engine_uapi(m, text, (size_t)n, on_endpoint_set, NULL);
	n = snprintf(text, sizeof(text),
		     "set=1\npublic_key=%s\nupdate_only=true\npersistent_keepalive_interval=0\n",
		     key);
	if (n > 0)
		main_engine_uapi(m, text, (size_t)n, on_endpoint_set, NULL);
}

static void on_path_pong(void *ctx, uint64_t token, uint64_t rtt_ns, const struct endpoint *ep)
{
	main_ping_pong(ctx, token, rtt_ns, ep);
}

/* ---- every few seconds */

static void save_paths(struct main_core *m)
{
	uint64_t now_ns = main_now_ns(m);
	json_t *paths;

	if (m->peers == NULL || now_ns - m->paths_saved_ns < SAVE_PATHS_NS)
		return;
	m->paths_saved_ns = now_ns;
	paths = json_object();
	for (size_t i = 0; i < m->peers->count; i++) {
		char text[ENDPOINT_STRLEN];
		struct path_info info;

		if (path_get(m->path, m->peers->list[i].id, &info) == 0 &&
		    info.state == PATH_DIRECT)
			(void)json_object_set_new(
				paths, m->peers->list[i].id,
				json_string(endpoint_format(&info.endpoint, text)));
	}
	if (json_object_size(paths) > 0 && !json_equal(paths, m->paths_saved)) {
		if (state_file_save_paths(m->state_fd, paths) == 0) {
			json_decref(m->paths_saved);
			m->paths_saved = json_incref(paths);
		}
	}
	json_decref(paths);
}

static void on_tick(uv_timer_t *timer);

/* The next tick; sooner when a rule comes into force or ends before it. */
static void tick_again(struct main_core *m)
{
	int64_t left_ms =
		m->policy_change_s * 1000 - (int64_t)(clock_realtime_ns(m->clock) / NSEC_PER_MSEC);
	bool sooner = m->policy_change_s != 0 && left_ms >= 0 && left_ms < TICK_MS;

	(void)uv_timer_start(&m->tick_timer, on_tick, sooner ? (uint64_t)left_ms + 1 : TICK_MS,
			     TICK_MS);
}

static void on_tick(uv_timer_t *timer)
{
	struct main_core *m = timer->data;
	int64_t now_s = main_now_s(m);

	if (!m->network.wanted_up)
		return;
	tick_again(m);
	if (m->peers != NULL && (m->map_was_valid != control_map_valid(&m->map, now_s) ||
				 (m->policy_change_s != 0 && now_s >= m->policy_change_s)))
		main_apply(m);
	if (m->interface[0] != '\0') {
		main_engine_refresh(m, NULL, NULL);
		main_network_path_tick(m);
	}
	save_paths(m);
}

static void on_signal(uv_signal_t *signal, int number)
{
	(void)number;
	main_stop(signal->data, 0);
}

/* ---- start */

static void load_state(struct main_core *m)
{
	if (state_file_keys(m->state_fd, m->random, &m->keys, &m->state_error) < 0 ||
	    state_file_network(m->state_fd, &m->network, &m->state_error) < 0) {
		log_error("nothing is done with a damaged state", "reason=\"%s\"",
			  m->state_error.text);
		m->network = (struct state_network){0};
	}
}

static int open_path(struct main_core *m)
{
	struct path_ops ops = {m, on_path_send, on_path_signal, on_path_endpoint, on_path_pong};
	uint8_t none[32];
	int r;

	random_bytes(m->random, none, sizeof(none)); /* with a damaged state: never active */
	r = path_new(m->keys != NULL ? m->keys->path_secret : none, m->random, &ops,
		     clock_realtime_ns(m->clock) / 1000, &m->path);
	secret_wipe(none, sizeof(none));
	return r;
}

static int start(struct main_core *m, struct error *err)
{
	struct control_client_ops ops;
	int r;

	m->sessions = json_object();
	main_control_ops(m, &ops);
	load_state(m);
	r = m->sessions == NULL ? -ENOMEM : open_path(m);
	if (r == 0)
		r = http_new(m->loop, "warrend/" WARREN_VERSION, &m->http);
	if (r == 0)
		r = control_client_new(m->loop, m->http, m->clock, m->random, &ops, &m->control);
	if (r == 0)
		r = main_apply_new(m);
	if (r == 0)
		r = login_service_new(m);
	if (r == 0)
		r = logout_new(m);
	if (r == 0)
		r = openssh_new(m);
	if (r < 0)
		return error_set(err, r, "cannot start: %s", strerror(-r));
	r = main_network_open(m);
	if (r < 0)
		return error_set(err, r, "changes of the network cannot be watched: %s",
				 strerror(-r));
	r = main_engine_open(m, err);
	if (r == 0)
		r = main_broker_open(m, err);
	if (r < 0)
		return r;
	r = ipc_server_new(m->loop, WIRE_FD_IPC, main_ipc_dispatch, m, &m->ipc);
	if (r < 0)
		return error_set(err, r, "the command socket (descriptor 5) cannot be used: %s",
				 strerror(-r));
	(void)uv_timer_init(m->loop, &m->tick_timer);
	m->tick_timer.data = m;
	(void)uv_timer_start(&m->tick_timer, on_tick, TICK_MS, TICK_MS);
	(void)uv_signal_init(m->loop, &m->sigterm);
	(void)uv_signal_init(m->loop, &m->sigint);
	m->sigterm.data = m->sigint.data = m;
	(void)uv_signal_start(&m->sigterm, on_signal, SIGTERM);
	(void)uv_signal_start(&m->sigint, on_signal, SIGINT);
	return 0;
}

static void harden(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		log_warn("no_new_privs could not be set", "error=%s", strerror(errno));
	if (geteuid() == 0)
		log_warn("main runs as root: only for tests", NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

int daemon_main_run(void)
{
	struct main_core *m = secret_alloc(sizeof(*m));
	struct error err = {0};
	uv_loop_t loop;
	int status;

	if (m == NULL || uv_loop_init(&loop) < 0)
		return WARREN_EXIT_FAILED;
	harden();
	m->loop = &loop;
	m->clock = &clock_system;
	m->random = &random_system;
	m->state_fd = WIRE_FD_STATE;
	m->netlink_fd = -1;
	if (read_options(&m->options, &err) < 0 || start(m, &err) < 0) {
		log_error("cannot start", "reason=\"%s\"", error_text(&err));
		return WARREN_EXIT_FAILED;
	}
	main_control_resume(m);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	m->paths_saved_ns = 0;
	save_paths(m);
	/* The process ends here; keys are wiped, the rest goes with it. */
	path_free(m->path);
	secret_free(m->keys);
	status = m->exit_status;
	secret_free(m);
	return status;
}
