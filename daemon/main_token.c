/* SPDX-License-Identifier: Apache-2.0
 *
 * `ssh_token`: a token that does as SSH password on machines that take it (ssh/PROTOCOL.md section
 * 8). A login of its own, by device code as the client "warren-ssh": control takes no token of this
 * audience, and the token of an ordinary login is never shown to a target. Nothing is kept.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/main_core.h"
#include "identity/oidc.h"
#include "platform/log.h"

#define CLIENT "warren-ssh"
#define SCOPE  "openid email profile groups"

struct token_job {
	struct main_core *m;
	struct ipc_request *request; /* NULL: gone */
	struct oidc *oidc;
	struct oidc_login *login;
	uv_timer_t end; /* the client is freed outside of its own callbacks */
};

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_end(uv_timer_t *timer)
{
	struct token_job *job = timer->data;

	oidc_free(job->oidc);
	job->oidc = NULL;
	uv_close((uv_handle_t *)timer, on_closed);
}

static void end(struct token_job *job)
{
	if (job->request != NULL)
		job->request->on_gone = NULL;
	job->request = NULL;
	(void)uv_timer_start(&job->end, on_end, 0, 0);
}

static void fail(struct token_job *job, int exit_code, const char *message)
{
	if (job->request != NULL)
		ipc_request_error(job->request, exit_code, "%s", message);
	end(job);
}

static void on_prompt(void *ctx, const struct oidc_prompt *prompt)
{
	struct token_job *job = ctx;

	if (job->request != NULL)
		ipc_request_event(job->request, "prompt",
				  json_pack("{s:s,s:s,s:s}", "url", prompt->url, "code",
					    prompt->user_code != NULL ? prompt->user_code : "",
					    "verification_uri",
					    prompt->verification_uri != NULL
						    ? prompt->verification_uri
						    : prompt->url));
}

static void on_done(void *ctx, struct oidc_tokens *tokens, const struct error *err)
{
	struct token_job *job = ctx;

	job->login = NULL;
	if (tokens == NULL) {
		fail(job, WARREN_EXIT_LOGIN_NEEDED, error_text(err));
		return;
	}
	if (job->request != NULL)
		ipc_request_result(job->request,
				   json_pack("{s:s,s:s,s:I}", "token", tokens->id_token,
					     "identity", tokens->identity.user, "expires",
					     (json_int_t)tokens->identity.expires_s));
	oidc_tokens_done(tokens);
	end(job);
}

static void on_server(void *ctx, const struct control_server *server, const struct error *server_err)
{
	struct token_job *job = ctx;
	struct main_core *m = job->m;
	struct oidc_login_ops ops = {on_prompt, on_done, job};
	struct oidc_config config = {.client_id = CLIENT, .scope = SCOPE};
	struct error err = {0};

	if (job->request == NULL || server == NULL) {
		fail(job, WARREN_EXIT_FAILED, error_text(server_err));
		return;
	}
	config.issuer = server->issuer;
	config.user_claim = server->user_claim[0] ? server->user_claim : NULL;
	if (server->embedded)
		config.trust.pinned_spki = server->pins;
	else if (m->options.issuer_ca_file[0] != '\0')
		config.trust.ca_file = m->options.issuer_ca_file;
	if (oidc_new(m->http, m->clock, m->random, &config, &job->oidc, &err) < 0 ||
	    oidc_login_start(job->oidc, OIDC_FLOW_DEVICE, &ops, &job->login, &err) < 0)
		fail(job, WARREN_EXIT_FAILED, error_text(&err));
}

static void on_gone(struct ipc_request *r)
{
	struct token_job *job = r->data;

	job->request = NULL;
	if (job->login != NULL)
		oidc_login_cancel(job->login); /* on_done ends the job */
}

void main_ssh_token(struct main_core *m, struct ipc_request *r)
{
	struct token_job *job;

	if (!m->network.enrolled) {
		ipc_request_error(r, WARREN_EXIT_FAILED,
				  "this machine is not enrolled: run `warren up` first");
		return;
	}
	job = calloc(1, sizeof(*job));
	if (job == NULL || uv_timer_init(m->loop, &job->end) < 0) {
		free(job);
		ipc_request_error(r, WARREN_EXIT_FAILED, "no memory");
		return;
	}
	job->end.data = job;
	job->m = m;
	job->request = r;
	r->data = job;
	r->on_gone = on_gone;
	control_client_server(m->control, on_server, job);
}
