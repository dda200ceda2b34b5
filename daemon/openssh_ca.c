/* SPDX-License-Identifier: Apache-2.0
 *
 * The public key that signs certificates for a peer, or for this machine: for a stock sshd's
 * TrustedUserCAKeys. Asked for at the control server.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/openssh.h"
#include "platform/json.h"

struct ask {
	struct ipc_request *request;
	struct control_call *call;
};

static void on_gone(struct ipc_request *r)
{
	struct ask *a = r->data;

	control_call_cancel(a->call);
	free(a);
}

static void on_keys(void *ctx, const struct control_reply *reply)
{
	struct ask *a = ctx;
	struct ipc_request *r = a->request;
	const json_t *keys = NULL;

	free(a);
	r->on_gone = NULL;
	if (reply->error == 0 && reply->status == 200)
		keys = json_object_get(reply->body, "keys");
	if (json_is_array(keys))
		ipc_request_result(r, json_pack("{s:O}", "keys", keys));
	else
		ipc_request_error(r, control_reply_exit(reply), "%s",
				  reply->message[0] != '\0'
					  ? reply->message
					  : "the control server's answer has no keys");
}

void openssh_ca(struct main_core *m, struct ipc_request *r)
{
	char host[256] = "", query[96];
	const struct peer *p = NULL;
	const char *id;
	bool self = true;
	struct ask *a;

	if (m->peers == NULL) {
		ipc_request_error(r, WARREN_EXIT_FAILED,
				  "the mesh is down on this machine: run `warren up`");
		return;
	}
	if (json_object_get(r->args, "host") != NULL) {
		if (json_get_string(r->args, "host", host, sizeof(host), NULL) < 0) {
			ipc_request_error(r, WARREN_EXIT_USAGE, "ssh_ca wants a host");
			return;
		}
		p = peers_by_host(m->peers, host, &self);
	}
	id = p != NULL ? p->id : m->peers->self.id;
	if (p == NULL && !self) {
		ipc_request_error(
			r, WARREN_EXIT_FAILED,
			"%s: there is no such machine in the mesh, or no rule connects it with "
			"this one",
			host);
		return;
	}
	a = calloc(1, sizeof(*a));
	(void)snprintf(query, sizeof(query), "target=%s", id);
	if (a == NULL) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "out of memory");
		return;
	}
	a->request = r;
	if (control_client_call(m->control, "GET", "/v1/ssh/ca", query, NULL, 0, on_keys, a,
				&a->call) < 0) {
		free(a);
		ipc_request_error(r, WARREN_EXIT_FAILED, "the control server cannot be asked");
		return;
	}
	r->data = a;
	r->on_gone = on_gone;
}
