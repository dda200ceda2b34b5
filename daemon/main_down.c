/* SPDX-License-Identifier: Apache-2.0
 *
 * `warren down` ends the tunnel and keeps the enrolment; leaving the network tells control first,
 * then forgets keys, map and pin.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/login.h"
#include "daemon/logout.h"
#include "daemon/main_core.h"
#include "platform/log.h"
#include "platform/secret.h"

struct down {
	struct ipc_request *request; /* NULL: the client went away */
	struct main_core *m;
	json_t *result; /* NULL: {} */
};

static void on_gone(struct ipc_request *r)
{
	struct down *d = r->data;

	d->request = NULL;
}

static void answer(struct down *d, bool ok, const char *sentence)
{
	if (d->request != NULL) {
		d->request->on_gone = NULL;
		if (ok)
			ipc_request_result(d->request, d->result != NULL ? json_incref(d->result)
									 : json_object());
		else
			ipc_request_error(d->request, WARREN_EXIT_FAILED, "%s", sentence);
	}
	json_decref(d->result);
	free(d);
}

static struct down *begin(struct main_core *m, struct ipc_request *r)
{
	struct down *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "no memory");
		return NULL;
	}
	d->m = m;
	d->request = r;
	r->data = d;
	r->on_gone = on_gone;
	return d;
}

static void on_torn_down(struct main_core *m, void *ctx, bool ok, const char *sentence,
			 struct reader *r)
{
	(void)m;
	(void)r;
	answer(ctx, ok, sentence);
}

void main_down(struct main_core *m, struct ipc_request *r)
{
	struct down *d;
	struct error err = {0};

	if (m->state_error.code != 0) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "%s", m->state_error.text);
		return;
	}
	m->network.wanted_up = false;
	if (state_file_save_network(m->state_fd, &m->network, &err) < 0) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "%s", err.text);
		return;
	}
	d = begin(m, r);
	if (d == NULL)
		return;
	control_client_stop(m->control);
	login_forget_all(m); /* who comes up again logs in again */
	m->control_error[0] = '\0';
	main_apply_teardown(m, on_torn_down, d);
}

/* ---- leaving */

static void on_forgotten(struct main_core *m, void *ctx, bool ok, const char *sentence,
			 struct reader *r)
{
	struct state_keys *keys = NULL;
	struct error err = {0};

	(void)r;
	if (!ok) {
		answer(ctx, false, sentence);
		return;
	}
	if (state_file_forget(m->state_fd, &err) < 0) {
		answer(ctx, false, err.text);
		return;
	}
	/* New keys for the next network: nothing links the two. */
	if (state_file_keys(m->state_fd, m->random, &keys, &err) < 0) {
		m->state_error = err;
		answer(ctx, false, err.text);
		return;
	}
	log_info("left the network", NULL);
	answer(ctx, true, "");
	/* All that borrows the old keys is started anew by the broker. */
	secret_free(keys);
	main_stop(m, 0);
}

static void on_down(struct main_core *m, void *ctx, bool ok, const char *sentence, struct reader *r)
{
	(void)r;
	if (!ok)
		log_warn("the interface was not removed", "reason=\"%s\"", sentence);
	main_broker_request(m, WIRE_FORGET, NULL, -1, on_forgotten, ctx);
}

/* The machine is out, whatever the provider says to the logins that it had. */
static void on_revoked(void *ctx, const struct error *err)
{
	struct down *d = ctx;
	struct main_core *m = d->m;
	bool failed = err != NULL && err->code != -ENOTSUP;

	d->result = json_pack("{s:s,s:s}", "revocation",
			      failed ? "failed" : err == NULL ? "done" : "nothing",
			      "revocation_reason", failed ? error_text(err) : "");
	if (failed)
		log_warn("a refresh token was not revoked", "reason=\"%s\"", error_text(err));
	login_forget_all(m);
	main_apply_teardown(m, on_down, d);
}

static void on_deleted(void *ctx, const struct control_reply *reply)
{
	struct down *d = ctx;
	struct main_core *m = d->m;
	bool gone = strcmp(reply->code, "unknown_peer") == 0;

	if (!gone && (reply->error != 0 || reply->status < 200 || reply->status > 299)) {
		char text[600];

		(void)snprintf(text, sizeof(text), "the network was not left: %s", reply->message);
		answer(d, false, text);
		return;
	}
	m->network.wanted_up = false;
	m->network.enrolled = false;
	control_client_stop(m->control);
	logout_forget(m);
	if (login_revoke_all(m, on_revoked, d))
		return;
	login_forget_all(m);
	main_apply_teardown(m, on_down, d);
}

void main_deregister(struct main_core *m, struct ipc_request *r)
{
	struct down *d;

	if (!m->network.enrolled) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "this machine is in no network");
		return;
	}
	d = begin(m, r);
	if (d != NULL && control_client_call(m->control, "DELETE", "/v1/self", NULL, NULL, 0,
					     on_deleted, d, NULL) < 0)
		answer(d, false, "the control server cannot be asked");
}
