/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /v1/ssh/cert (PROTOCOL.md section 6): a user certificate for one target, one login, from the
 * addresses of the peer that asks, made by the target's own CA key after the policy agreed.
 * GET /v1/ssh/ca: the public half of that key.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/issuers.h"
#include "control/login_internal.h"
#include "control/store.h"
#include "control/workload.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/secret.h"

#define DEFAULT_TTL_S 300

/* OpenSSH knows no direction of forwards: sshd reads one word for -L and -R; our own server asks
 * the policy again for each. */
static uint32_t extensions(uint32_t caps)
{
	uint32_t ext = 0;
	if ((caps & (POLICY_SSH_SHELL | POLICY_SSH_EXEC)) != 0)
		ext |= SSHCERT_PERMIT_PTY | SSHCERT_PERMIT_USER_RC;
	if ((caps & (POLICY_SSH_FORWARD | POLICY_SSH_REMOTE_FORWARD)) != 0)
		ext |= SSHCERT_PERMIT_PORT_FORWARDING;
	if ((caps & POLICY_SSH_AGENT) != 0)
		ext |= SSHCERT_PERMIT_AGENT_FORWARDING;
	return ext;
}

static void add_source(struct sshcert *cert, const struct ip_addr *addr)
{
	struct ip_prefix *p = &cert->sources[cert->source_count];
	if (addr->family == 0 || cert->source_count == SSHCERT_MAX_SOURCES)
		return;
	p->addr = *addr;
	p->bits = addr->family == 4 ? 32 : 128;
	cert->source_count++;
}

int login_cert_fill(const struct login_cert_want *want, const struct policy_ssh_decision *decision,
		    struct sshcert *ret_cert)
{
	struct sshcert *cert = ret_cert;
	uint32_t ttl = decision->cert_ttl_s != 0 ? decision->cert_ttl_s : DEFAULT_TTL_S;

	if (!decision->allowed)
		return -EACCES;
	cert->type = 1;
	cert->serial = want->serial;
	if ((size_t)snprintf(cert->key_id, sizeof(cert->key_id),
			     "%s caller=%s target=%s request=%s auth=%lld", want->identity,
			     want->caller->id, want->target, want->request_id,
			     (long long)want->auth_time_s) >= sizeof(cert->key_id))
		return -EMSGSIZE;
	/* A space ends the identity in the key id: one with a space would pass as somebody else's.
	 */
	if (!login_name_ok(want->login) || strchr(want->identity, ' '))
		return -EINVAL;
	snprintf(cert->principals[0], sizeof(cert->principals[0]), "%s", want->login);
	cert->principal_count = 1;
	cert->valid_after_s = want->now_s - SSHCERT_BACKDATED_S;
	cert->valid_before_s = want->now_s + (ttl < SSHCERT_MAX_LIFE_S ? ttl : SSHCERT_MAX_LIFE_S);
	/* A rule that ends sooner ends the certificate. */
	if (decision->not_after_s != 0 && decision->not_after_s < cert->valid_before_s)
		cert->valid_before_s = decision->not_after_s;
	if (cert->valid_before_s <= want->now_s)
		return -EACCES;
	cert->source_count = 0;
	add_source(cert, &want->caller->v4);
	add_source(cert, &want->caller->v6);
	cert->has_source_address = true;
	if (cert->source_count == 0)
		return -EINVAL; /* would be good from everywhere */
	for (size_t i = 0; i < want->via_count; i++) {
		add_source(cert, &want->via[i]->v4);
		add_source(cert, &want->via[i]->v6);
	}
	cert->extensions = extensions(decision->caps);
	/* A stock sshd that trusts this CA knows nothing of policy. */
	if (decision->force_command[0] != '\0') {
		static_assert(sizeof(cert->force_command) >= sizeof(decision->force_command),
			      "no command is cut off");
		snprintf(cert->force_command, sizeof(cert->force_command), "%s",
			 decision->force_command);
		cert->extensions &= ~(uint32_t)SSHCERT_PERMIT_USER_RC;
	} else if ((decision->caps & (POLICY_SSH_SHELL | POLICY_SSH_EXEC)) == 0 &&
	    (decision->caps & POLICY_SSH_SFTP) != 0)
		snprintf(cert->force_command, sizeof(cert->force_command), "internal-sftp");
	return 0;
}

/* ---- the request */

struct cert_job {
	struct server_request *r;
	struct login_service *l;
	char caller[24], target[24];
	char login[LOGIN_NAME_SIZE];
	bool workload;
	struct sshcert cert;
};

static void job_free(struct cert_job *job)
{
	login_unref(job->l);
	free(job);
}

static const struct state_peer *ready_target(struct login_service *l, struct server_request *r,
					     const char *id)
{
	const struct state_peer *target = state_peer(l->c->state, id);
	if (target == NULL || target->removed) {
		server_reply_error(r, 404, "not_found", "there is no such peer in the network");
		return NULL;
	}
	if (!target->ssh_enabled || !target->ssh_advertised) {
		server_reply_error(
			r, 409, "ssh_off", "%s",
			target->ssh_enabled
				? "the SSH server of that peer is not on (warren up "
				  "--allow-server-ssh there)"
				: "SSH is not enabled for that peer on the control server");
		return NULL;
	}
	return target;
}

static void reply_cert(struct server_request *r, const struct sshcert *cert,
		       const struct buffer *blob)
{
	struct buffer text;
	json_t *body = NULL;
	buffer_init(&text, 64u << 10);
	if (sshcert_text(blob->data, blob->len, "warren", &text) == 0)
		body = json_pack("{s:s, s:I, s:I, s:[s]}", "certificate", buffer_cstring(&text),
				 "valid_after", (json_int_t)cert->valid_after_s, "valid_before",
				 (json_int_t)cert->valid_before_s, "principals",
				 cert->principals[0]);
	if (body != NULL)
		server_reply_json(r, 200, body);
	else
		server_reply_error(r, 503, "unavailable", "out of memory");
	json_decref(body);
	buffer_done(&text);
}

static void audit(struct login_service *l, const char *kind, const char *identity,
		  const struct cert_job *job, const char *reason)
{
	char serial[24];
	snprintf(serial, sizeof(serial), "%llu", (unsigned long long)job->cert.serial);
	const char *command = job->cert.force_command;
	json_t *detail = json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "caller", job->caller, "login",
				   job->login, "serial", serial, "reason", reason, "force_command",
				   command[0] != '\0' ? command : NULL);
	state_event(l->c->state, kind, identity, job->target, detail);
	json_decref(detail);
}

static void remember(const struct cert_job *job, const struct login_cert_want *want)
{
	struct store_cert made = {.serial = want->serial,
				  .issued_s = want->now_s,
				  .expires_s = job->cert.valid_before_s};

	snprintf(made.identity, sizeof(made.identity), "%s", want->identity);
	snprintf(made.caller, sizeof(made.caller), "%s", job->caller);
	snprintf(made.target, sizeof(made.target), "%s", job->target);
	snprintf(made.login, sizeof(made.login), "%s", job->login);
	state_cert_made(job->l->c->state, &made);
}

/* Signs and answers; r is gone after it. */
static void give_cert(struct cert_job *job, struct server_request *r,
		      const struct state_peer *caller, const struct login_question *question,
		      const struct policy_ssh_decision *decision)
{
	const struct state_peer *via[SSHCERT_MAX_SOURCES / 2];
	struct control *c = job->l->c;
	uint8_t raw[8 + 12];
	char request_id[ENCODE_BASE64URL_SIZE(12)];
	struct login_cert_want want = {.caller = caller,
				       .target = job->target,
				       .login = job->login,
				       .identity = question->identity->user,
				       .request_id = request_id,
				       .via = via,
				       .auth_time_s = question->identity->auth_time_s,
				       .now_s = state_issue_s(c->state, question->identity->user,
							      caller->id, question->now_s)};
	struct buffer blob;

	/* The caller's own two addresses come first. */
	want.via_count = login_via(c->state, question, decision, via, SSHCERT_MAX_SOURCES / 2 - 1);
	random_bytes(c->random, raw, sizeof(raw));
	memcpy(&want.serial, raw, sizeof(want.serial));
	want.serial &= INT64_MAX; /* as large as JSON and SQL write numbers */
	encode_base64url(request_id, raw + 8, 12);
	buffer_init(&blob, SSHCERT_MAX_BLOB);
	int e = login_cert_fill(&want, decision, &job->cert);
	if (e == 0)
		e = signer_cert(c->signer, job->target, state_ca_generation(c->state, job->target),
				&job->cert, &blob);
	if (e == 0) {
		remember(job, &want);
		reply_cert(r, &job->cert, &blob);
		audit(job->l, "ssh_cert", question->identity->user, job, NULL);
	} else if (e == -EACCES) {
		server_reply_error(r, 403, "denied", "the policy's permission ends now");
	} else if (e == -EINVAL || e == -EMSGSIZE) {
		server_reply_error(r, 400, "bad_request",
				   "no certificate can be made for this key, login and identity");
	} else {
		server_reply_error(r, 503, "unavailable", "the signer does not answer");
	}
	buffer_done(&blob);
}

static void token_verified(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
			   const struct error *err)
{
	struct cert_job *job = ctx;
	struct control *c = job->l->c;
	struct server_request *r = login_resume(&job->r);
	struct policy_ssh_decision decision = {0};
	const struct state_peer *caller, *target = NULL;
	struct login_question question = {.caller = job->caller,
					  .target = job->target,
					  .login = job->login,
					  .identity = identity};

	if (r == NULL || fault != JWT_OK || job->l->closing) {
		if (r != NULL)
			login_refuse_token(r, fault, err);
		goto out;
	}
	/* The network may have changed while the provider's keys were fetched. */
	caller = state_peer(c->state, job->caller);
	if (caller == NULL || caller->removed) {
		server_reply_error(r, 401, "unknown_peer", "this peer is not in the network");
		goto out;
	}
	if (login_refuse_void(c, r, identity, job->caller))
		goto out;
	target = ready_target(job->l, r, job->target);
	if (target == NULL)
		goto out;
	question.now_s = clock_realtime_s(c->clock);
	login_judge(c->state, &question, &decision);
	if (decision.allowed) {
		give_cert(job, r, caller, &question, &decision);
	} else {
		server_reply_error(r, 403, "denied", "%s", decision.reason);
		audit(job->l, "ssh_cert_denied", identity->user, job, decision.reason);
	}
out:
	if (identity != NULL)
		jwt_identity_done(identity);
	job_free(job);
}

static int read_request(const json_t *body, struct cert_job *job, const char **ret_token,
			struct error *err)
{
	const char *key;
	int r = json_get_string(body, "target", job->target, sizeof(job->target), err);
	if (r == 0)
		r = json_get_string(body, "login", job->login, sizeof(job->login), err);
	if (r == 0 && !login_name_ok(job->login))
		r = error_set(err, -EINVAL, "\"login\" is not a user name");
	if (r == 0)
		r = json_get_text(body, "public_key", 8192, &key, err);
	if (r == 0 && sshcert_text_decode(key, job->cert.subject, sizeof(job->cert.subject),
					  &job->cert.subject_len, job->cert.key_type) != 0)
		r = error_set(err, -EINVAL, "\"public_key\" is not an OpenSSH public key");
	if (r == 0 && strstr(job->cert.key_type, "-cert-v0") != NULL)
		r = error_set(err, -EINVAL, "\"public_key\" is a certificate, not a key");
	job->workload = json_object_get(body, "workload_token") != NULL;
	if (r == 0 && job->workload && json_object_get(body, "id_token") != NULL)
		r = error_set(err, -EINVAL, "\"id_token\" and \"workload_token\" are two ways");
	if (r == 0)
		r = json_get_text(body, job->workload ? "workload_token" : "id_token",
				  JWT_MAX_BYTES, ret_token, err);
	return r;
}

static void handle_cert(void *ctx, struct server_request *r)
{
	static const char *const keys[] = {"target",   "login",		 "public_key",
					   "id_token", "workload_token", NULL};
	struct login_service *l = ctx;
	const struct state_peer *caller = api_authenticate(l->c, r);
	const char *token;
	struct error err = {0};
	struct cert_job *job;
	json_t *body;

	if (caller == NULL)
		return;
	body = login_body(r, keys);
	if (body == NULL)
		return;
	job = calloc(1, sizeof(*job));
	if (job == NULL) {
		server_reply_error(r, 503, "unavailable", "out of memory");
		goto out;
	}
	job->l = login_ref(l);
	snprintf(job->caller, sizeof(job->caller), "%s", caller->id);
	if (read_request(body, job, &token, &err) != 0) {
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
		job_free(job);
		goto out;
	}
	if (ready_target(l, r, job->target) == NULL) {
		job_free(job);
		goto out;
	}
	login_hold(r, &job->r);
	if ((job->workload
		     ? workload_verify(l->c, ISSUERS_WORKLOAD_CERT, token, caller->identity_key,
				       token_verified, job)
		     : issuers_verify(l->c, ISSUERS_PERSON, token, token_verified, job)) != 0) {
		r = login_resume(&job->r);
		server_reply_error(r, 503, "unavailable", "the token cannot be checked now");
		job_free(job);
	}
out:
	json_decref(body);
}

/* "ssh-ed25519 AAAA…" (RFC 8709 section 4) */
static json_t *key_line(const uint8_t key[32])
{
	uint8_t blob[64];
	char text[ENCODE_BASE64_SIZE(sizeof(blob))];
	struct writer w = writer_init(blob, sizeof(blob));

	writer_cstring(&w, "ssh-ed25519");
	writer_string(&w, key, 32);
	if (w.failed)
		return NULL;
	encode_base64(text, blob, w.len);
	return json_sprintf("ssh-ed25519 %s", text);
}

/* The public keys that sign certificates for a target: for a stock sshd's TrustedUserCAKeys. */
static void handle_ca(void *ctx, struct server_request *r)
{
	struct login_service *l = ctx;
	struct control *c = l->c;
	char target[64];
	json_t *keys;

	if (api_authenticate(c, r) == NULL)
		return;
	if (server_form_value(server_request_query(r), "target", target, sizeof(target)) != 0) {
		server_reply_error(r, 400, "bad_request", "\"target\" is missing");
		return;
	}
	const struct state_peer *peer = state_peer(c->state, target);
	if (peer == NULL || peer->removed) {
		server_reply_error(r, 404, "not_found", "there is no such peer in the network");
		return;
	}
	uint32_t generation = state_ca_generation(c->state, target);
	keys = json_array();
	for (uint32_t i = 0; i < 2 && i <= generation; i++) {
		uint8_t ca[32];
		if (signer_ca_public(c->signer, target, generation - i, ca) < 0 ||
		    json_array_append_new(keys, key_line(ca)) < 0) {
			json_decref(keys);
			server_reply_error(r, 503, "unavailable", "the signer does not answer");
			return;
		}
	}
	json_t *body = json_pack("{s:o}", "keys", keys);
	if (body != NULL)
		server_reply_json(r, 200, body);
	else
		server_reply_error(r, 503, "unavailable", "out of memory");
	json_decref(body);
}

int login_cert_routes(struct login_service *l)
{
	int r = server_route(l->c->server, 1u << SERVER_PUBLIC, "POST", "/v1/ssh/cert", handle_cert,
			     l);
	if (r == 0)
		r = server_route(l->c->server, 1u << SERVER_PUBLIC, "GET", "/v1/ssh/ca", handle_ca,
				 l);
	return r;
}
