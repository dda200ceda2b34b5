/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitors of SSH connections ask for a person's login (ssh/PROTOCOL.md section 3): main starts
 * it at the control server, hands back the URL, and waits for the grant. It believes neither side:
 * the grant is text that the monitor's verifier opens.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/main_core.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/log.h"
#include "ssh/wire/ssh_wire.h"

#define MAX_MONITORS 1024
#define WAIT_QUERY   "wait=25"
#define WAIT_MS	     40000
#define RETRY_MS     1000
#define MAX_RETRIES  60
#define MAX_GRANT    32768

struct main_monitor {
	struct main_monitor *next, **link;
	struct main_core *m;
	struct main_link *channel;
	uint32_t session_id;
	uint32_t request_id; /* of LOGIN_START; 0: no login is under way */
	char login_id[64];
	struct control_call *call;
	uv_timer_t retry;
	unsigned retries;
};

static void poll_login(struct main_monitor *x);
static void on_retry(uv_timer_t *timer);

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_deleted(void *ctx, const struct control_reply *reply)
{
	(void)ctx;
	if (reply->error != 0)
		log_debug("a login was not taken back", "reason=\"%s\"", reply->message);
}

static void login_path(const struct main_monitor *x, char out[static 128])
{
	(void)snprintf(out, 128, "/v1/ssh/login/%s", x->login_id);
}

/* Ends what is under way; control is told when it knows of it. */
static void stop_login(struct main_monitor *x, bool tell)
{
	char path[128];

	control_call_cancel(x->call);
	x->call = NULL;
	(void)uv_timer_stop(&x->retry);
	if (tell && x->login_id[0] != '\0') {
		login_path(x, path);
		if (control_client_call(x->m->control, "DELETE", path, NULL, NULL, 0, on_deleted,
					NULL, NULL) < 0)
			log_debug("a login was not taken back", NULL);
	}
	x->login_id[0] = '\0';
	x->request_id = 0;
	x->retries = 0;
}

static void done(struct main_monitor *x, bool granted, const char *message, const char *grant)
{
	struct writer w = main_link_answer(x->channel, SSH_WIRE_LOGIN_DONE, x->request_id);

	writer_u8(&w, granted ? 0 : 1);
	writer_cstring(&w, message);
	writer_cstring(&w, granted ? grant : "");
	main_link_end(x->channel, &w, -1);
	stop_login(x, false);
}

static void on_state(void *ctx, const struct control_reply *reply)
{
	struct main_monitor *x = ctx;
	char state[16] = "", message[400] = "";
	const char *grant = "";

	x->call = NULL;
	if (reply->error != 0 || reply->status != 200) {
		bool passing = reply->error != 0 || reply->status >= 500 || reply->status == 429;

		if (passing && ++x->retries < MAX_RETRIES)
			(void)uv_timer_start(&x->retry, on_retry, RETRY_MS, 0);
		else
			done(x, false, reply->message, "");
		return;
	}
	x->retries = 0;
	if (json_get_string(reply->body, "state", state, sizeof(state), NULL) < 0)
		state[0] = '\0';
	if (json_get_string(reply->body, "message", message, sizeof(message), NULL) < 0)
		message[0] = '\0';
	if (strcmp(state, "pending") == 0)
		poll_login(x);
	else if (strcmp(state, "granted") == 0 &&
		 json_get_text(reply->body, "grant", MAX_GRANT, &grant, NULL) == 0)
		done(x, true, message, grant);
	else
		done(x, false, message[0] != '\0' ? message : "the login was not completed", "");
}

static void poll_login(struct main_monitor *x)
{
	char path[128];

	login_path(x, path);
	if (control_client_call(x->m->control, "GET", path, WAIT_QUERY, NULL, WAIT_MS, on_state, x,
				&x->call) < 0)
		done(x, false, "this machine has no connection to the control server", "");
}

static void on_retry(uv_timer_t *timer)
{
	poll_login(timer->data);
}

static void on_started(void *ctx, const struct control_reply *reply)
{
	struct main_monitor *x = ctx;
	const char *url = NULL;
	int64_t expires = 0;
	struct writer w;

	x->call = NULL;
	if (reply->error != 0 || (reply->status != 201 && reply->status != 200)) {
		done(x, false, reply->message, "");
		return;
	}
	if (json_get_string(reply->body, "id", x->login_id, sizeof(x->login_id), NULL) < 0 ||
	    strspn(x->login_id,
		   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
		    strlen(x->login_id) ||
	    json_get_text(reply->body, "url", 2048, &url, NULL) < 0 ||
	    json_get_int(reply->body, "expires", 0, INT64_MAX, &expires, NULL) < 0) {
		x->login_id[0] = '\0';
		done(x, false, "the control server's answer has a wrong form", "");
		return;
	}
	w = main_link_answer(x->channel, SSH_WIRE_LOGIN_URL, x->request_id);
	writer_cstring(&w, url);
	writer_u64(&w, (uint64_t)expires);
	main_link_end(x->channel, &w, -1);
	poll_login(x);
}

static int on_start(struct main_monitor *x, uint32_t id, struct reader *r)
{
	char login[128], session[129], caller[IP_ADDR_STRLEN];
	json_t *body;
	int rc;

	reader_cstring(r, login, sizeof(login));
	reader_cstring(r, session, sizeof(session));
	reader_cstring(r, caller, sizeof(caller));
	if (!reader_done(r) || id == 0)
		return -EBADMSG;
	stop_login(x, true);
	x->request_id = id;
	body = json_pack("{s:s,s:s,s:s}", "login", login, "caller", caller, "session", session);
	rc = body == NULL ? -ENOMEM
			  : control_client_call(x->m->control, "POST", "/v1/ssh/login", NULL, body,
						0, on_started, x, &x->call);
	json_decref(body);
	if (rc < 0)
		done(x, false,
		     "the target has no connection to the control server: try again later", "");
	return 0;
}

static int on_message(void *ctx, uint8_t type, uint32_t id, struct reader *r, int *fds, size_t nfds)
{
	struct main_monitor *x = ctx;

	(void)fds;
	if (nfds > 0)
		return -EBADMSG;
	switch (type) {
	case SSH_WIRE_LOGIN_START:
		return on_start(x, id, r);
	case SSH_WIRE_LOGIN_CANCEL:
		if (!reader_done(r))
			return -EBADMSG;
		stop_login(x, true);
		return 0;
	default:
		return -EBADMSG;
	}
}

static void on_ended(void *ctx)
{
	struct main_monitor *x = ctx;

	stop_login(x, true);
	*x->link = x->next;
	if (x->next != NULL)
		x->next->link = x->link;
	main_link_free(x->channel);
	uv_close((uv_handle_t *)&x->retry, on_closed);
}

void main_monitor_new(struct main_core *m, uint32_t session_id, int fd)
{
	struct main_monitor *x = calloc(1, sizeof(*x));
	struct main_link_ops ops = {x, on_message, on_ended};
	size_t count = 0;

	for (const struct main_monitor *other = m->monitors; other != NULL; other = other->next)
		count++;
	if (x == NULL || count >= MAX_MONITORS ||
	    main_link_new(m->loop, fd, "monitor", &ops, &x->channel) < 0) {
		log_warn("a monitor was not served", "session=%u", session_id);
		file_close(&fd);
		free(x);
		return;
	}
	(void)uv_timer_init(m->loop, &x->retry);
	x->retry.data = x;
	x->m = m;
	x->session_id = session_id;
	x->next = m->monitors;
	x->link = &m->monitors;
	if (m->monitors != NULL)
		m->monitors->link = &x->next;
	m->monitors = x;
}

void main_monitor_login_changed(struct main_core *m, const char *id)
{
	for (struct main_monitor *x = m->monitors; x != NULL; x = x->next)
		if (strcmp(x->login_id, id) == 0 && x->call == NULL) {
			(void)uv_timer_stop(&x->retry);
			poll_login(x);
			return;
		}
}
