/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of commands of daemon/PROTOCOL.md section 4, with what each asks of its caller, and the
 * commands about a person's login.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/login.h"
#include "daemon/logout.h"
#include "daemon/main_core.h"
#include "daemon/openssh.h"
#include "platform/json.h"
#include "platform/log.h"

const struct peer *main_ipc_peer(struct main_core *m, struct ipc_request *r)
{
	char host[256];
	const struct peer *p;
	bool self;

	if (json_get_string(r->args, "peer", host, sizeof(host), NULL) < 0) {
		ipc_request_error(r, WARREN_EXIT_USAGE, "%s wants a peer", r->cmd);
		return NULL;
	}
	if (m->peers == NULL || !m->network.wanted_up) {
		ipc_request_error(r, WARREN_EXIT_FAILED,
				  "the mesh is down on this machine: run `warren up`");
		return NULL;
	}
	p = peers_by_host(m->peers, host, &self);
	if (p == NULL)
		ipc_request_error(r, WARREN_EXIT_FAILED,
				  "there is no machine \"%s\" in the mesh, or no rule connects it "
				  "with this one",
				  host);
	else if (self)
		ipc_request_error(r, WARREN_EXIT_FAILED, "%s is this machine", host);
	return self ? NULL : p;
}

/* ---- login, logout */

struct login_job {
	struct main_core *m;
	struct ipc_request *request;
	struct login_wait *wait;
};

static void on_prompt(void *ctx, const struct login_prompt *prompt)
{
	struct login_job *job = ctx;

	ipc_request_event(job->request, "prompt",
			  json_pack("{s:s,s:s,s:s}", "url", prompt->url, "code", prompt->code,
				    "verification_uri", prompt->verification_uri));
}

static void on_login(void *ctx, const struct login_result *result)
{
	struct login_job *job = ctx;
	struct ipc_request *r = job->request;

	job->wait = NULL;
	r->on_gone = NULL;
	if (result->exit_code != WARREN_EXIT_OK)
		ipc_request_error(r, result->exit_code, "%s", result->message);
	else
		ipc_request_result(r, json_pack("{s:s,s:I}", "identity", result->identity,
						"expires", (json_int_t)result->expires_s));
	free(job);
}

static void on_login_gone(struct ipc_request *r)
{
	struct login_job *job = r->data;

	login_cancel(job->wait);
	free(job);
}

static void command_login(struct main_core *m, struct ipc_request *r)
{
	struct login_job *job = calloc(1, sizeof(*job));
	struct login_ops ops = {job, on_prompt, on_login};
	unsigned flags = 0;

	if (job == NULL) {
		ipc_request_error(r, WARREN_EXIT_FAILED, "no memory");
		return;
	}
	job->m = m;
	job->request = r;
	r->data = job;
	r->on_gone = on_login_gone;
	if (json_is_true(json_object_get(r->args, "force")))
		flags |= LOGIN_FORCE;
	if (json_is_true(json_object_get(r->args, "browser")) &&
	    !json_is_true(json_object_get(r->args, "no_browser")))
		flags |= LOGIN_BROWSER;
	login_want(m, r->cred.uid, flags, &ops, &job->wait);
}

static void command_logout(struct main_core *m, struct ipc_request *r)
{
	if (json_is_true(json_object_get(r->args, "deregister"))) {
		if (ipc_request_may_change(r))
			main_deregister(m, r);
		else
			ipc_request_error(r, WARREN_EXIT_FAILED,
					  "leaving the network needs root or the group " IPC_GROUP);
		return;
	}
	logout_command(m, r);
}

/* ---- the table */

static const struct {
	const char *cmd;
	void (*run)(struct main_core *m, struct ipc_request *r);
	bool changes; /* needs root or group warren */
} commands[] = {
	{"status", main_status, false},
	{"peers", main_peers, false},
	{"ping", main_ping, false},
	{"why", main_why, false},
	{"sessions", main_sessions, false}, /* `end` asks for itself */
	{"policy_explain", main_policy_explain, false},
	{"bundle", main_bundle, true},
	{"up", main_up, true},
	{"down", main_down, true},
	/* A person's own login changes nothing for others. */
	{"login", command_login, false},
	{"logout", command_logout, false}, /* `deregister` asks for itself */
	{"ssh_detect", openssh_detect, false},
	{"ssh_prepare", openssh_prepare, false},
	{"ssh_hostkey", openssh_hostkey, false},
	{"ssh_ca", openssh_ca, false},
	{"ssh_token", main_ssh_token, false},
};

void main_ipc_dispatch(void *ctx, struct ipc_request *r)
{
	struct main_core *m = ctx;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].cmd, r->cmd) != 0)
			continue;
		if (commands[i].changes && !ipc_request_may_change(r))
			ipc_request_error(r, WARREN_EXIT_FAILED,
					  "`%s` needs root or membership in the group " IPC_GROUP,
					  r->cmd);
		else
			commands[i].run(m, r);
		return;
	}
	ipc_request_error(r, WARREN_EXIT_USAGE, "this daemon does not know the command \"%s\"",
			  r->cmd);
}
