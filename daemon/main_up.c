/* SPDX-License-Identifier: Apache-2.0
 *
 * `warren up`, `down` and leaving the network. `up` enrols where needed (setup key or login), then
 * waits until the map is in force; it gives up with the sentence of the step that failed. Nothing
 * is written before the control server's answer was verified.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/proto/setup_key.h"
#include "daemon/login.h"
#include "daemon/main_core.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/secret.h"

#define OFFLINE_MS 3000 /* then a saved map will do */
#define LIMIT_MS   20000

#define MAX_TOKEN 65536

struct main_up {
	struct main_up *next, **link;
	struct main_core *m;
	struct ipc_request *request; /* NULL: the client went away */
	bool waiting;		     /* for the map to be in force */
	bool was_up;		     /* before this command */
	bool offline;		     /* OFFLINE_MS are over */
	bool busy;		     /* an answer is on its way that will come back to us */
	struct login_wait *wait;
	char *setup_key, *workload_token; /* secret_strdup or NULL */
	char hostname[64];
	uint16_t mtu; /* 0: not given */
	uv_timer_t timer;
};

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void up_end(struct main_up *up)
{
	*up->link = up->next;
	if (up->next != NULL)
		up->next->link = up->link;
	secret_free(up->setup_key);
	secret_free(up->workload_token);
	up->setup_key = up->workload_token = NULL;
	uv_close((uv_handle_t *)&up->timer, on_closed);
}

static void up_fail(struct main_up *up, int exit_code, const char *sentence)
{
	struct main_core *m = up->m;

	if (up->request != NULL) {
		up->request->on_gone = NULL;
		ipc_request_error(up->request, exit_code, "%s", sentence);
	}
	/* What did not come up is not left half up. */
	if (up->waiting && !up->was_up && m->network.wanted_up) {
		m->network.wanted_up = false;
		control_client_stop(m->control);
		main_apply_teardown(m, NULL, NULL);
	}
	up_end(up);
}

static void up_succeed(struct main_up *up)
{
	struct main_core *m = up->m;
	char v4[IP_ADDR_STRLEN];
	struct error err = {0};

	if (state_file_save_network(m->state_fd, &m->network, &err) < 0)
		log_error("the state was not saved", "reason=\"%s\"", err.text);
	if (up->request != NULL) {
		up->request->on_gone = NULL;
		ipc_request_result(up->request,
				   json_pack("{s:s,s:s}", "overlayIp",
					     ip_addr_format(&m->peers->self.overlay4, v4), "fqdn",
					     m->peers->self.fqdn));
	}
	up_end(up);
}

/* True when the command was answered. */
static bool up_look(struct main_up *up)
{
	struct main_core *m = up->m;
	bool valid = control_map_valid(&m->map, main_now_s(m));
	bool connected = control_client_connected(m->control);

	if (m->removed[0] != '\0') {
		char text[400];

		(void)snprintf(text, sizeof(text),
			       "%s: enrol it again with `warren up --setup-key KEY`", m->removed);
		up_fail(up, WARREN_EXIT_FAILED, text);
		return true;
	}
	if (main_apply_error(m)[0] != '\0') {
		up_fail(up, WARREN_EXIT_FAILED, main_apply_error(m));
		return true;
	}
	if (main_apply_done(m) && valid && (connected || up->offline)) {
		up_succeed(up);
		return true;
	}
	if (up->offline && !connected && !valid) {
		up_fail(up, WARREN_EXIT_FAILED,
			m->control_error[0] != '\0'
				? m->control_error
				: "the control server did not send a map in time");
		return true;
	}
	return false;
}

void main_up_check(struct main_core *m)
{
	struct main_up *next;

	for (struct main_up *up = m->ups; up != NULL; up = next) {
		next = up->next;
		if (up->waiting)
			(void)up_look(up);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct main_up *up = timer->data;

	if (up->offline) {
		up_fail(up, WARREN_EXIT_FAILED,
			"the mesh did not come up in time: `warren status` says what is missing");
		return;
	}
	up->offline = true;
	if (!up_look(up))
		(void)uv_timer_start(&up->timer, on_timer, LIMIT_MS - OFFLINE_MS, 0);
}

/* Enrolled: bring it up, or apply what has changed. */
static void proceed(struct main_up *up)
{
	struct main_core *m = up->m;

	if (up->hostname[0] != '\0')
		memcpy(m->network.hostname, up->hostname, sizeof(m->network.hostname));
	if (up->mtu != 0)
		m->network.mtu = up->mtu;
	up->was_up = m->network.wanted_up;
	m->network.wanted_up = true;
	up->waiting = true;
	main_apply_forget_error(m);
	main_control_put_self(m);
	main_control_resume(m);
	if (!up_look(up))
		(void)uv_timer_start(&up->timer, on_timer, OFFLINE_MS, 0);
}

/* ---- enrolment */

static void on_pinned(struct main_core *m, void *ctx, bool ok, const char *sentence,
		      struct reader *r)
{
	struct main_up *up = ctx;
	struct error err = {0};

	(void)r;
	up->busy = false;
	if (!ok) {
		up_fail(up, WARREN_EXIT_FAILED, sentence);
		return;
	}
	if (state_file_save_network(m->state_fd, &m->network, &err) < 0) {
		up_fail(up, WARREN_EXIT_FAILED, err.text);
		return;
	}
	if (main_control_configure(m, &err) < 0) {
		up_fail(up, WARREN_EXIT_FAILED, err.text);
		return;
	}
	log_info("enrolled", "peer=%s name=%s", m->network.peer, m->network.name);
	proceed(up);
}

static bool same_key(const json_t *payload, const char *key, const uint8_t expected[32])
{
	char text[64];
	uint8_t value[32];

	return json_get_string(payload, key, text, sizeof(text), NULL) == 0 &&
	       encode_base64url_exact(value, sizeof(value), text) == 0 &&
	       secret_equal(value, expected, 32);
}

static int get_addr(const json_t *object, const char *key, struct ip_addr *ret_addr)
{
	char text[IP_ADDR_STRLEN];
	int r = json_get_string(object, key, text, sizeof(text), NULL);

	return r < 0 ? r : ip_addr_parse(text, ret_addr);
}

/* The signed object of type "peer" must be about us, by our keys. */
static int read_enrolment(struct main_core *m, const json_t *body, struct state_network *n,
			  struct error *err)
{
	const struct control_server *server = control_client_known(m->control);
	struct error inner = {0};
	json_t *payload = NULL;
	const char *text;
	int r = -EBADMSG;

	if (server == NULL || body == NULL ||
	    json_get_text(body, "signed", SIGNED_MAX_BYTES, &text, NULL) < 0 ||
	    json_get_string(body, "fqdn", n->fqdn, sizeof(n->fqdn), NULL) < 0)
		return error_set(err, r, "the control server's answer has a wrong form");
	payload = signed_open(text, strlen(text), "peer", server->signing_key, 0, 0, &inner);
	if (payload == NULL)
		return error_set(err, r, "the control server's answer is not signed by its key: %s",
				 error_text(&inner));
	if (json_get_string(payload, "network", n->network, sizeof(n->network), NULL) < 0 ||
	    json_get_string(payload, "peer", n->peer, sizeof(n->peer), NULL) < 0 ||
	    json_get_string(payload, "name", n->name, sizeof(n->name), NULL) < 0 ||
	    json_get_int(payload, "epoch", 0, INT64_MAX, &n->epoch, NULL) < 0 ||
	    get_addr(payload, "overlay4", &n->overlay4) < 0 ||
	    get_addr(payload, "overlay6", &n->overlay6) < 0)
		(void)error_set(err, r, "the control server's answer has a wrong form");
	else if (!same_key(payload, "node_key", m->keys->node_public) ||
		 !same_key(payload, "path_key", m->keys->path_public) ||
		 !same_key(payload, "identity_key", m->keys->identity_public) ||
		 strcmp(n->network, server->network) != 0)
		(void)error_set(err, r, "the control server's answer is about another machine");
	else
		r = 0;
	json_decref(payload);
	memcpy(n->signing_key, server->signing_key, 32);
	return r;
}

static void on_enrolled(void *ctx, const struct control_reply *reply)
{
	struct main_up *up = ctx;
	struct main_core *m = up->m;
	struct state_network n = {.enrolled = true, .mtu = m->network.mtu};
	struct error err = {0};
	uint8_t fields[128];
	struct writer w = writer_init(fields, sizeof(fields));

	up->busy = false;
	m->enrolling = false;
	if (reply->error != 0 || reply->status < 200 || reply->status > 299) {
		int exit_code = reply->error != 0 ? WARREN_EXIT_FAILED : control_reply_exit(reply);

		up_fail(up, exit_code, reply->message);
		return;
	}
	if (read_enrolment(m, reply->body, &n, &err) < 0) {
		up_fail(up, WARREN_EXIT_FAILED, err.text);
		return;
	}
	(void)snprintf(n.control_url, sizeof(n.control_url), "%s", m->control_url);
	memcpy(n.hostname, up->hostname, sizeof(n.hostname));
	m->network = n;
	m->removed[0] = '\0';
	/* A former network's map is none of this one's. */
	control_map_done(&m->map);
	state_file_drop_map(m->state_fd);
	writer_bytes(&w, n.signing_key, 32);
	writer_cstring(&w, n.network);
	writer_cstring(&w, n.peer);
	up->busy = true;
	main_broker_request(m, WIRE_PIN, &w, -1, on_pinned, up);
}

static void enrol(struct main_up *up, const char *id_token)
{
	struct main_core *m = up->m;
	char name[65] = "peer";
	struct control_enroll e = {.setup_key = up->setup_key,
				   .id_token = id_token,
				   .workload_token = up->workload_token,
				   .hostname = up->hostname,
				   .host_key = m->host_key,
				   .ssh_advertised = main_switch(m, "allow_server_ssh")};
	struct error err = {0};

	if (up->hostname[0] == '\0') {
		if (gethostname(name, sizeof(name) - 1) < 0)
			(void)stpcpy(name, "peer");
		name[strcspn(name, ".")] = '\0';
		e.hostname = name;
	}
	up->busy = true;
	if (control_client_enroll(m->control, &e, on_enrolled, up, &err) < 0) {
		up->busy = false;
		m->enrolling = false;
		up_fail(up, WARREN_EXIT_FAILED, err.text);
	}
}

static void on_prompt(void *ctx, const struct login_prompt *prompt)
{
	struct main_up *up = ctx;

	if (up->request != NULL)
		ipc_request_event(up->request, "prompt",
				  json_pack("{s:s,s:s,s:s}", "url", prompt->url, "code",
					    prompt->code, "verification_uri",
					    prompt->verification_uri));
}

static void on_login(void *ctx, const struct login_result *result)
{
	struct main_up *up = ctx;

	up->wait = NULL;
	if (result->exit_code != WARREN_EXIT_OK) {
		up->m->enrolling = false;
		up_fail(up, result->exit_code, result->message);
		return;
	}
	enrol(up, result->token);
}

static void begin_enrolment(struct main_up *up)
{
	struct main_core *m = up->m;
	struct login_ops ops = {up, on_prompt, on_login};
	struct error err = {0};

	if (m->control_url[0] == '\0') {
		up_fail(up, WARREN_EXIT_FAILED,
			"this machine is not enrolled and knows no control server: give --control "
			"URL and "
			"--setup-key KEY or --token-file FILE");
		return;
	}
	if (m->enrolling) {
		up_fail(up, WARREN_EXIT_FAILED,
			"another `warren up` is enrolling this machine just now");
		return;
	}
	if (control_client_configure(m->control, m->control_url, NULL,
				     m->control_has_fingerprint ? m->control_fingerprint : NULL,
				     m->keys, &err) < 0) {
		up_fail(up, WARREN_EXIT_FAILED, err.text);
		return;
	}
	m->enrolling = true;
	memset(&m->pin, 0, sizeof(m->pin));
	if (up->setup_key != NULL || up->workload_token != NULL)
		enrol(up, NULL);
	else
		login_enrol(m, up->request->cred.uid, &ops, &up->wait);
}

/* ---- the command */

static void on_gone(struct ipc_request *r)
{
	struct main_up *up = r->data;

	up->request = NULL;
	if (up->wait != NULL) {
		login_cancel(up->wait);
		up->wait = NULL;
		up->m->enrolling = false;
		up_end(up);
	}
	/* An enrolment that was sent goes on, and so does coming up. */
}

static int read_args(struct main_up *up, const json_t *args, struct error *err)
{
	const char *text = NULL;
	int64_t mtu = 0;

	if (json_object_get(args, "setup_key") != NULL) {
		if (json_get_text(args, "setup_key", 256, &text, err) < 0)
			return -EINVAL;
		up->setup_key = secret_strdup(text);
		if (up->setup_key == NULL)
			return error_set(err, -ENOMEM, "no memory");
	}
	if (json_object_get(args, "workload_token") != NULL) {
		if (json_get_text(args, "workload_token", MAX_TOKEN, &text, err) < 0)
			return -EINVAL;
		up->workload_token = secret_strdup(text);
		if (up->workload_token == NULL)
			return error_set(err, -ENOMEM, "no memory");
		if (up->setup_key != NULL)
			return error_set(err, -EINVAL,
					 "a setup key and a token are two ways to join: give one");
	}
	if (json_object_get(args, "hostname") != NULL &&
	    json_get_string(args, "hostname", up->hostname, sizeof(up->hostname), err) < 0)
		return -EINVAL;
	if (json_object_get(args, "mtu") != NULL &&
	    json_get_int(args, "mtu", 1280, 65535, &mtu, err) < 0)
		return -EINVAL;
	up->mtu = (uint16_t)mtu;
	return 0;
}

/* Enrolled: do control server and setup key fit what we are enrolled at? */
static int check_same_network(struct main_up *up, struct error *err)
{
	struct main_core *m = up->m;
	uint8_t own[16], seed[32], fingerprint[16];
	int r = 0;

	signed_fingerprint(m->network.signing_key, own);
	if (m->control_url[0] != '\0' && strcmp(m->control_url, m->network.control_url) != 0) {
		if (!m->control_has_fingerprint || !secret_equal(own, m->control_fingerprint, 16))
			return error_set(
				err, -EEXIST,
				"this machine is enrolled at %s: run `warren logout --deregister` "
				"before it joins another network",
				m->network.control_url);
		(void)snprintf(m->network.control_url, sizeof(m->network.control_url), "%s",
			       m->control_url);
		r = main_control_configure(m, err);
	}
	if (r == 0 && up->setup_key != NULL) {
		if (setup_key_parse(up->setup_key, seed, fingerprint) < 0)
			r = error_set(err, -EINVAL,
				      "this is not a setup key: it begins with wsk_ and has 68 "
				      "characters");
		else if (!secret_equal(own, fingerprint, 16))
			r = error_set(err, -EEXIST,
				      "the setup key belongs to another control server than %s, "
				      "where this "
				      "machine is enrolled",
				      m->network.control_url);
		secret_wipe(seed, sizeof(seed));
	}
	return r;
}

void main_up(struct main_core *m, struct ipc_request *r)
{
	struct main_up *up;
	struct error err = {0};

	if (m->state_error.code != 0) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "%s", m->state_error.text);
		return;
	}
	up = calloc(1, sizeof(*up));
	if (up == NULL) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "no memory");
		return;
	}
	up->m = m;
	up->request = r;
	(void)uv_timer_init(m->loop, &up->timer);
	up->timer.data = up;
	up->next = m->ups;
	up->link = &m->ups;
	if (m->ups != NULL)
		m->ups->link = &up->next;
	m->ups = up;
	r->data = up;
	r->on_gone = on_gone;
	if (read_args(up, r->args, &err) < 0)
		up_fail(up, WARREN_EXIT_USAGE, error_text(&err));
	else if (!m->network.enrolled ||
		 (m->removed[0] != '\0' && (up->setup_key != NULL || up->workload_token != NULL)))
		begin_enrolment(up);
	else if (m->removed[0] != '\0')
		(void)up_look(up);
	else if (check_same_network(up, &err) < 0)
		up_fail(up, WARREN_EXIT_FAILED, err.text);
	else
		proceed(up);
}
