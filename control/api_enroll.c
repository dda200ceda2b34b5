/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /v1/enroll (control/PROTOCOL.md section 4): a setup key or a person's login admits a machine
 * that proves all its private keys. What is wrong with a setup key is told only to who holds it.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/api.h"
#include "control/issuers.h"
#include "control/state.h"
#include "control/workload.h"
#include "platform/encode.h"
#include "platform/json.h"
#include "platform/secret.h"

struct admission {
	struct api_wait *wait;
	struct control *c;
	struct store_enroll wished;
	char *id_token; /* secret memory; NULL with a setup key */
	bool workload;	/* it is a workload's */
};

static void admission_free(struct admission *a)
{
	secret_free(a->id_token);
	free(a);
}

static void refuse_key(struct server_request *r, int why, const char *name)
{
	switch (why) {
	case -EKEYEXPIRED:
		server_reply_error(
			r, 403, "setup_key_expired",
			"the setup key \"%s\" has expired: ask for a new one (warren-control "
			"setup-key create)",
			name);
		break;
	case -EDQUOT:
		server_reply_error(
			r, 403, "setup_key_used_up",
			"the setup key \"%s\" has been used as often as it may be: ask for a "
			"new one (warren-control setup-key create)",
			name);
		break;
	case -EKEYREVOKED:
		server_reply_error(
			r, 403, "setup_key_revoked",
			"the setup key \"%s\" was revoked: ask for a new one (warren-control "
			"setup-key create)",
			name);
		break;
	default:
		server_reply_error(
			r, 403, "setup_key_unknown",
			"this control server does not know the setup key: check that it is "
			"complete and made by this server");
		break;
	}
}

static json_t *answer(struct control *c, const struct store_peer *p)
{
	char v4[IP_ADDR_STRLEN], v6[IP_ADDR_STRLEN], fqdn[256];
	char node[ENCODE_BASE64URL_SIZE(32)], path[sizeof(node)], identity[sizeof(node)];
	char *text = NULL;
	int64_t epoch = state_epoch(c->state);

	ip_addr_format(&p->v4, v4);
	ip_addr_format(&p->v6, v6);
	snprintf(fqdn, sizeof(fqdn), "%s.%s", p->name, c->config->domain);
	encode_base64url(node, p->node_key, 32);
	encode_base64url(path, p->path_key, 32);
	encode_base64url(identity, p->identity_key, 32);
	json_t *payload =
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I}", "peer", p->id, "name", p->name,
			  "node_key", node, "path_key", path, "identity_key", identity, "overlay4",
			  v4, "overlay6", v6, "epoch", (json_int_t)epoch);
	int r = payload ? signer_object(c->signer, "peer", payload, &text) : -ENOMEM;
	json_decref(payload);
	if (r < 0)
		return NULL;
	json_t *body = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:s}", "peer", p->id, "network",
				 state_network(c->state), "name", p->name, "fqdn", fqdn, "overlay4",
				 v4, "overlay6", v6, "epoch", (json_int_t)epoch, "signed", text);
	free(text);
	return body;
}

static void enrolled(void *ctx, int result, const struct store_enroll *stored)
{
	struct admission *a = ctx;
	struct server_request *r = api_wait_end(a->wait);
	json_t *body;

	if (r && result == 0) {
		body = answer(a->c, &stored->peer);
		if (body)
			server_reply_json(r, stored->existing ? 200 : 201, body);
		else
			server_reply_error(r, 503, "unavailable", "the signer does not answer");
		json_decref(body);
	} else if (r && result == -ENOSPC) {
		server_reply_error(r, 503, "unavailable", "the network has no address left");
	} else if (r && result == -EEXIST) {
		server_reply_error(r, 409, "name_taken",
				   "another peer has this node or path key: make new keys");
	} else if (r && (result == -ENOENT || result == -EKEYEXPIRED || result == -EKEYREVOKED ||
			 result == -EDQUOT)) {
		refuse_key(r, result, stored->key_name);
	} else if (r) {
		server_reply_error(r, 503, "unavailable",
				   "the store did not take the peer; try again");
	}
	admission_free(a);
}

/* Everything is proven: into the store. */
static void admit(struct admission *a)
{
	int r = state_enroll(a->c->state, &a->wished, enrolled, a);

	if (r < 0)
		enrolled(a, r, &a->wished);
}

/* ---- with a login ---- */

/* The flow must have named the machine's keys. */
static void expected_nonce(const struct store_peer *p, char out[static ENCODE_BASE64URL_SIZE(32)])
{
	crypto_hash_sha256_state state;
	uint8_t hash[32];

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, p->node_key, 32);
	crypto_hash_sha256_update(&state, p->path_key, 32);
	crypto_hash_sha256_update(&state, p->identity_key, 32);
	crypto_hash_sha256_final(&state, hash);
	encode_base64url(out, hash, sizeof(hash));
}

static void login_verified(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
			   const struct error *err)
{
	struct admission *a = ctx;
	char nonce[ENCODE_BASE64URL_SIZE(32)];
	const char *claimed = NULL, *why = NULL;

	if (fault == JWT_OK)
		why = state_refused(a->c->state, identity->user, "", identity->issued_s);
	if (fault == JWT_OK && !why) {
		expected_nonce(&a->wished.peer, nonce);
		if (json_get_text(identity->claims, "nonce", 64, &claimed, NULL) == 0 &&
		    strcmp(claimed, nonce) == 0) {
			snprintf(a->wished.peer.enrolled_by, sizeof(a->wished.peer.enrolled_by),
				 "%s", identity->user);
			jwt_identity_done(identity);
			admit(a);
			return;
		}
		jwt_identity_done(identity);
	}
	struct server_request *r = api_wait_end(a->wait);
	if (r && why)
		server_reply_error(r, 401, "login_required", "%s", why);
	else if (r && fault == JWT_OK)
		server_reply_error(
			r, 401, "login_required",
			"the login was not made for enrolling this machine's keys: log in "
			"again with warren up");
	else if (r)
		server_reply_error(r, 401, "login_required", "the login is not accepted: %s",
				   error_text(err));
	admission_free(a);
}

/* The machine of a workload, for as long as it is there. */
static void workload_verified(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
			      const struct error *err)
{
	struct admission *a = ctx;

	if (fault == JWT_OK) {
		snprintf(a->wished.peer.enrolled_by, sizeof(a->wished.peer.enrolled_by), "%s",
			 identity->user);
		a->wished.peer.ephemeral = true;
		jwt_identity_done(identity);
		admit(a);
		return;
	}
	struct server_request *r = api_wait_end(a->wait);
	if (r)
		server_reply_error(r, 401, "login_required", "the token is not accepted: %s",
				   error_text(err));
	admission_free(a);
}

static void admit_by_workload(struct admission *a)
{
	if (workload_verify(a->c, ISSUERS_WORKLOAD_ENROLL, a->id_token, a->wished.peer.identity_key,
			    workload_verified, a) < 0) {
		struct error err = {0};

		error_set(&err, -EIO, "its issuer cannot be asked");
		workload_verified(a, JWT_UNKNOWN_KEY, NULL, &err);
	}
}

static void admit_by_login(struct admission *a)
{
	struct server_request *r;

	if (!a->c->config->login_enrolls || !a->c->oidc) {
		r = api_wait_end(a->wait);
		if (r)
			server_reply_error(
				r, 403, "denied",
				"this network takes new machines with a setup key only: ask "
				"for one and use warren up --setup-key");
		admission_free(a);
		return;
	}
	if (issuers_verify(a->c, ISSUERS_PERSON, a->id_token, login_verified, a) < 0) {
		struct error err = {0};

		error_set(&err, -EIO, "the provider of logins cannot be asked");
		login_verified(a, JWT_UNKNOWN_KEY, NULL, &err);
	}
}

/* ---- the request ---- */

static int get_key(const json_t *body, const char *name, uint8_t out[32], struct error *err)
{
	const char *text;
	int r = json_get_text(body, name, 64, &text, err);

	if (r < 0)
		return r;
	if (encode_base64url_exact(out, 32, text) < 0)
		return error_set(err, -EINVAL, "\"%s\" is not 32 bytes in base64url", name);
	return 0;
}

static int optional_text(const json_t *body, const char *key, char *out, size_t cap,
			 struct error *err)
{
	int r = json_get_string(body, key, out, cap, err);

	return r == -ENOENT ? 0 : r;
}

static int read_machine(struct control *c, const json_t *body, struct store_peer *p,
			struct error *err)
{
	int r = json_get_string(body, "hostname", p->hostname, sizeof(p->hostname), err);

	memcpy(p->host_keys, "[]", 3);
	memcpy(p->ssh_features, "[]", 3);
	if (r == 0)
		r = get_key(body, "node_key", p->node_key, err);
	if (r == 0)
		r = get_key(body, "path_key", p->path_key, err);
	if (r == 0)
		r = get_key(body, "identity_key", p->identity_key, err);
	if (r == 0)
		r = optional_text(body, "os", p->os, sizeof(p->os), err);
	if (r == 0)
		r = optional_text(body, "version", p->version, sizeof(p->version), err);
	if (r == 0)
		r = api_ssh(body, p, err);
	if (r == 0)
		r = api_host_keys(body, p->host_keys, sizeof(p->host_keys), err);
	ident_make('p', c->random, p->id);
	ident_label(p->hostname, p->name, sizeof(p->name));
	p->ssh_enabled = c->config->ssh_default;
	p->created_s = clock_realtime_s(c->clock);
	return r;
}

/* Answers when a proof does not hold. */
static int check_proofs(struct control *c, struct server_request *r, const json_t *body,
			const struct store_peer *p)
{
	uint8_t node[32], path[32];
	struct error err = {0};
	int e = get_key(body, "proof_node", node, &err);

	if (e == 0)
		e = get_key(body, "proof_path", path, &err);
	if (e < 0) {
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
		return e;
	}
	e = signer_check_proof(c->signer, p->node_key, p->identity_key, node);
	if (e == 0)
		e = signer_check_proof(c->signer, p->path_key, p->identity_key, path);
	if (e == -EBADMSG)
		server_reply_error(r, 401, "bad_signature",
				   "the proofs of the machine's private keys do not hold");
	else if (e < 0)
		server_reply_error(r, 503, "unavailable", "the signer does not answer");
	return e;
}

/* Which setup key signs; the reason is told after its signature held. */
static const struct store_setup_key *find_key(struct control *c, struct server_request *r,
					      const char *keyid)
{
	uint8_t public_key[32];
	const struct store_setup_key *key = NULL;

	if (strncmp(keyid, "sk_", 3) == 0 && encode_base64url_exact(public_key, 32, keyid + 3) == 0)
		key = state_key_by_public(c->state, public_key);
	if (!key) {
		refuse_key(r, -ENOENT, "");
		return NULL;
	}
	return api_verify(r, 'w', key->public_key) == 0 ? key : NULL;
}

/* The identity key signs too: label i beside a setup key, label w alone with a login. */
static int check_identity(struct server_request *r, char label, const struct store_peer *p)
{
	struct httpsig_parsed parsed;
	char expected[4 + ENCODE_BASE64URL_SIZE(32)] = "ik_";

	if (api_signature(r, label, &parsed) < 0)
		return -EBADMSG;
	encode_base64url(expected + 3, p->identity_key, 32);
	if (strcmp(parsed.keyid, expected) != 0) {
		server_reply_error(r, 401, "bad_signature",
				   "the request is not signed by the identity key that it names");
		return -EBADMSG;
	}
	return api_verify(r, label, p->identity_key);
}

static int check_key_now(struct control *c, struct server_request *r,
			 const struct store_setup_key *key)
{
	int64_t now_s = clock_realtime_s(c->clock);
	int why = key->revoked				      ? -EKEYREVOKED
		  : key->expires_s && key->expires_s <= now_s ? -EKEYEXPIRED
							      : 0;

	if (why < 0)
		refuse_key(r, why, key->name);
	return why;
}

/* Signatures, time, nonce, proofs. Fills the key's name. */
static int check_request(struct control *c, struct server_request *r, const json_t *body,
			 struct store_enroll *wished, bool *ret_login)
{
	struct httpsig_parsed parsed;
	const struct store_setup_key *key = NULL;

	if (api_signature(r, 'w', &parsed) < 0)
		return -EBADMSG;
	*ret_login = strncmp(parsed.keyid, "ik_", 3) == 0;
	if (!*ret_login) {
		key = find_key(c, r, parsed.keyid);
		if (!key)
			return -EACCES;
		memcpy(wished->key_name, key->name, sizeof(wished->key_name));
		memcpy(wished->peer.setup_key, key->name, sizeof(wished->peer.setup_key));
	}
	if (check_identity(r, *ret_login ? 'w' : 'i', &wished->peer) < 0 ||
	    api_check_time(c, r, parsed.created_s) < 0 || (key && check_key_now(c, r, key) < 0) ||
	    api_take_nonce(c, r, parsed.nonce, true) < 0)
		return -EACCES;
	return check_proofs(c, r, body, &wished->peer);
}

static struct admission *read_request(struct control *c, struct server_request *r)
{
	static const char *const keys[] = {"hostname",	 "node_key",   "path_key", "identity_key",
					   "host_keys",	 "os",	       "version",  "ssh",
					   "proof_node", "proof_path", "id_token", "workload_token",
					   NULL};
	json_t *body = api_body(r, keys);
	struct admission *a = body ? calloc(1, sizeof(*a)) : NULL;
	const char *token = NULL;
	struct error err = {0};
	bool login = false;

	if (!a) {
		if (body)
			server_reply_error(r, 503, "unavailable", "out of memory");
		json_decref(body);
		return NULL;
	}
	a->c = c;
	a->wished.now_s = clock_realtime_s(c->clock);
	int e = read_machine(c, body, &a->wished.peer, &err);
	if (e < 0)
		server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
	else
		e = check_request(c, r, body, &a->wished, &login);
	if (e == 0 && login) {
		a->workload = json_object_get(body, "workload_token") != NULL;
		if (a->workload && json_object_get(body, "id_token"))
			e = error_set(&err, -EINVAL,
				      "\"id_token\" and \"workload_token\" are two ways");
		else
			e = json_get_text(body, a->workload ? "workload_token" : "id_token",
					  JWT_MAX_BYTES, &token, &err);
		if (e == 0 && !(a->id_token = secret_strdup(token)))
			e = error_set(&err, -ENOMEM, "out of memory");
		if (e < 0)
			server_reply_error(r, 400, "bad_request", "%s", error_text(&err));
	}
	json_decref(body);
	if (e < 0) {
		admission_free(a);
		return NULL;
	}
	return a;
}

static void post_enroll(void *ctx, struct server_request *r)
{
	struct admission *a = read_request(ctx, r);

	if (!a)
		return;
	a->wait = api_wait_new(ctx, r);
	if (!a->wait)
		admission_free(a);
	else if (a->workload)
		admit_by_workload(a);
	else if (a->id_token)
		admit_by_login(a);
	else
		admit(a);
}

int api_enroll_routes(struct control *c)
{
	return server_route(c->server, 1u << SERVER_PUBLIC, "POST", "/v1/enroll", post_enroll, c);
}
