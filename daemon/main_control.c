/* SPDX-License-Identifier: Apache-2.0
 *
 * Main's use of the control client: what the stream brings, the saved map at start, what we tell
 * about ourselves (PUT /v1/self), signals of the path machine.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "daemon/login.h"
#include "daemon/logout.h"
#include "daemon/main_core.h"
#include "daemon/openssh.h"
#include "daemon/wire.h"
#include "platform/encode.h"
#include "platform/log.h"

#define SSH_PORT 22022

static void on_connection(void *ctx, bool connected, const char *sentence)
{
	struct main_core *m = ctx;

	if (connected)
		log_info("connected to the control server", "url=%s", m->network.control_url);
	else if (strcmp(sentence, m->control_error) != 0)
		log_warn("no connection to the control server", "reason=\"%s\"", sentence);
	(void)snprintf(m->control_error, sizeof(m->control_error), "%s", connected ? "" : sentence);
	if (connected) {
		login_server_changed(m);
		main_control_put_self(m);
		logout_flush(m);
	}
	main_up_check(m);
}

static void on_map_changed(void *ctx, bool components)
{
	struct main_core *m = ctx;
	struct error err = {0};

	if (state_file_save_map(m->state_fd, m->map.map, m->map.signed_text, &err) < 0)
		log_warn("the map was not saved", "reason=\"%s\"", err.text);
	log_debug("map", "revision=%lld components=%d", (long long)m->map.revision,
		  (int)components);
	if (components)
		logout_map_changed(m);
	/* A renewal may also end the time without a valid map, and what could not be put in force is
	 * tried again: what a map withdraws must not go on because a verifier died, say. */
	if (components || !m->map_was_valid || main_apply_failed(m))
		main_apply(m);
	main_up_check(m);
}

static void on_signal(void *ctx, const char *from, const uint8_t *box, size_t len)
{
	struct main_core *m = ctx;

	path_signal(m->path, from, box, len, main_now_ns(m));
	main_network_path_tick(m);
}

static void on_ssh_login(void *ctx, const char *id)
{
	main_monitor_login_changed(ctx, id);
}

static void on_sessions_ended(struct main_core *m, void *ctx, bool ok, const char *sentence,
			      struct reader *r)
{
	(void)m;
	(void)ctx;
	(void)r;
	if (!ok)
		log_warn("SSH sessions were not ended", "reason=\"%s\"", sentence);
}

static void on_removed(void *ctx, const char *sentence)
{
	struct main_core *m = ctx;
	uint8_t all[4];
	struct writer w = writer_init(all, sizeof(all));

	log_error("removed from the network", "reason=\"%s\"", sentence);
	(void)snprintf(m->removed, sizeof(m->removed), "%s", sentence);
	writer_u32(&w, 0);
	main_broker_request(m, WIRE_SESSION_END, &w, -1, on_sessions_ended, NULL);
	/* No map, no traffic. */
	m->map.valid_until_s = 0;
	path_set_active(m->path, false, main_now_ns(m));
	main_apply(m);
	main_up_check(m);
}

void main_control_ops(struct main_core *m, struct control_client_ops *ret_ops)
{
	*ret_ops = (struct control_client_ops){m,	  on_connection, on_map_changed,
					       on_signal, on_ssh_login,	 on_removed};
}

int main_control_configure(struct main_core *m, struct error *err)
{
	int r = control_client_configure(m->control, m->network.control_url, m->network.signing_key,
					 NULL, m->keys, err);

	if (r < 0)
		return r;
	memcpy(m->pin.signing_key, m->network.signing_key, 32);
	memcpy(m->pin.network, m->network.network, sizeof(m->pin.network));
	memcpy(m->pin.peer, m->network.peer, sizeof(m->pin.peer));
	control_client_identify(m->control, &m->pin);
	return 0;
}

static void restore_map(struct main_core *m)
{
	struct error err = {0};
	struct map *map = NULL;
	char *text = NULL;
	int r = state_file_map(m->state_fd, &map, &text, &err);

	if (r < 0) {
		/* Damage of the map costs nothing but a snapshot; it stays until a new map replaces
		 * it. */
		log_warn("the saved map is not used", "reason=\"%s\"", err.text);
		return;
	}
	if (map == NULL)
		return;
	r = control_map_restore(&m->map, &m->pin, map, text, &err);
	if (r < 0) {
		log_warn("the saved map is not used", "reason=\"%s\"", err.text);
		map_free(map);
	}
	free(text);
}

void main_control_resume(struct main_core *m)
{
	struct error err = {0};

	if (m->state_error.code != 0 || !m->network.enrolled)
		return;
	if (strcmp(m->pin.peer, m->network.peer) != 0 && main_control_configure(m, &err) < 0) {
		log_error("the control server cannot be used", "reason=\"%s\"", err.text);
		return;
	}
	if (m->map.map == NULL)
		restore_map(m);
	if (!m->network.wanted_up)
		return;
	control_client_start(m->control, &m->map);
	main_apply(m);
}

/* ---- PUT /v1/self */

static void on_put(void *ctx, const struct control_reply *reply)
{
	struct main_core *m = ctx;

	if (reply->error == 0 && reply->status >= 200 && reply->status <= 299)
		return;
	log_warn("the control server did not take our description", "reason=\"%s\"",
		 reply->message);
	free(m->self_sent);
	m->self_sent = NULL;
}

void main_control_put_self(struct main_core *m)
{
	bool on = main_switch(m, "allow_server_ssh") && m->host_key[0] != '\0';
	struct utsname host;
	json_t *body;
	char *text;

	if (m->control == NULL || m->switches == NULL || !control_client_connected(m->control) ||
	    uname(&host) < 0)
		return;
	body = json_pack("{s:s,s:s,s:{s:b,s:i,s:[]},s:[]}", "os", host.sysname, "version",
			 WARREN_VERSION, "ssh", "advertised", (int)on, "port", SSH_PORT, "features",
			 "host_keys");
	if (body != NULL && on)
		(void)json_array_append_new(json_object_get(body, "host_keys"),
					    json_string(m->host_key));
	if (body != NULL && m->network.hostname[0] != '\0' &&
	    strcmp(m->network.hostname, m->network.name) != 0)
		(void)json_object_set_new(body, "hostname", json_string(m->network.hostname));
	text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
	if (text != NULL && (m->self_sent == NULL || strcmp(text, m->self_sent) != 0) &&
	    control_client_call(m->control, "PUT", "/v1/self", NULL, body, 0, on_put, m, NULL) ==
		    0) {
		free(m->self_sent);
		m->self_sent = text;
		text = NULL;
	}
	free(text);
	json_decref(body);
}
