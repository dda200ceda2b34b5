/* SPDX-License-Identifier: Apache-2.0
 *
 * Enrolment (control/PROTOCOL.md section 4): one request signed by the setup key and by our
 * identity key, with proofs that we hold the private halves of node and path key.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "control/proto/setup_key.h"
#include "daemon/control_client_internal.h"
#include "platform/encode.h"
#include "platform/secret.h"

static const char proof_label[] = "warren enroll v1";

static int proof(const struct control_client *c, const uint8_t secret[32],
		 const uint8_t public_key[32], const uint8_t enroll_key[32],
		 char out[static ENCODE_BASE64URL_SIZE(32)])
{
	crypto_generichash_state state;
	uint8_t shared[32], hash[32];

	if (crypto_scalarmult(shared, secret, enroll_key) != 0)
		return -EINVAL;
	crypto_generichash_init(&state, shared, sizeof(shared), sizeof(hash));
	crypto_generichash_update(&state, (const uint8_t *)proof_label, sizeof(proof_label) - 1);
	crypto_generichash_update(&state, public_key, 32);
	crypto_generichash_update(&state, c->keys->identity_public, 32);
	crypto_generichash_final(&state, hash, sizeof(hash));
	encode_base64url(out, hash, sizeof(hash));
	secret_wipe(shared, sizeof(shared));
	secret_wipe(&state, sizeof(state));
	return 0;
}

static json_t *key_text(const uint8_t key[32])
{
	char text[ENCODE_BASE64URL_SIZE(32)];

	encode_base64url(text, key, 32);
	return json_string(text);
}

static json_t *make_body(const struct control_client *c, const struct control_enroll *e)
{
	struct utsname host;
	json_t *host_keys = json_array();
	json_t *body;

	if (uname(&host) < 0 || host_keys == NULL ||
	    (e->host_key[0] != '\0' &&
	     json_array_append_new(host_keys, json_string(e->host_key)) < 0)) {
		json_decref(host_keys);
		return NULL;
	}
	body = json_pack("{s:s,s:o,s:o,s:o,s:o,s:s,s:s,s:{s:b,s:i,s:[]}}", "hostname", e->hostname,
			 "node_key", key_text(c->keys->node_public), "path_key",
			 key_text(c->keys->path_public), "identity_key",
			 key_text(c->keys->identity_public), "host_keys", host_keys, "os",
			 host.sysname, "version", WARREN_VERSION, "ssh", "advertised",
			 (int)e->ssh_advertised, "port", 22, "features");
	if (body != NULL && e->id_token != NULL &&
	    json_object_set_new(body, "id_token", json_string(e->id_token)) < 0) {
		json_decref(body);
		return NULL;
	}
	if (body != NULL && e->workload_token != NULL &&
	    json_object_set_new(body, "workload_token", json_string(e->workload_token)) < 0) {
		json_decref(body);
		return NULL;
	}
	return body;
}

/* The proofs need the server's enrolment key. */
static void on_server(void *ctx, const struct control_server *server, const struct error *err)
{
	struct control_call *call = ctx;
	struct control_client *c = call->client;
	char node[ENCODE_BASE64URL_SIZE(32)], path[ENCODE_BASE64URL_SIZE(32)];
	struct control_reply reply = {.error = -EIO};
	json_t *body = NULL;
	char *text = NULL;

	if (server != NULL &&
	    proof(c, c->keys->node_secret, c->keys->node_public, server->enroll_key, node) == 0 &&
	    proof(c, c->keys->path_secret, c->keys->path_public, server->enroll_key, path) == 0) {
		body = json_loads(call->body, 0, NULL);
		if (body != NULL &&
		    json_object_set_new(body, "proof_node", json_string(node)) == 0 &&
		    json_object_set_new(body, "proof_path", json_string(path)) == 0)
			text = json_dumps(body, JSON_COMPACT);
	}
	json_decref(body);
	if (text != NULL) {
		secret_wipe(call->body, call->body_len);
		free(call->body);
		call->body = text;
		call->body_len = strlen(text);
		control_call_run(call);
		return;
	}
	reply.error = server == NULL && err->code != 0 ? err->code : -EIO;
	(void)snprintf(reply.message, sizeof(reply.message), "%.399s",
		       server == NULL ? error_text(err)
				      : "the control server's enrolment key is no key");
	call->done(call->ctx, &reply);
	call->done = NULL;
	control_call_cancel(call);
}

int control_client_enroll(struct control_client *c, const struct control_enroll *e,
			  control_reply_cb *done, void *ctx, struct error *err)
{
	struct control_call *call = NULL;
	uint8_t seed[32], fingerprint[16], public_key[32];
	json_t *body;
	int r;

	if (e->setup_key != NULL) {
		if (setup_key_parse(e->setup_key, seed, fingerprint) < 0)
			return error_set(err, -EINVAL,
					 "this is not a setup key: it begins with wsk_ and has 68 "
					 "characters");
		if (c->has_fingerprint && !secret_equal(fingerprint, c->fingerprint, 16)) {
			secret_wipe(seed, sizeof(seed));
			return error_set(err, -EKEYREJECTED,
					 "the setup key belongs to another control server than %s",
					 c->url);
		}
		c->has_fingerprint = true;
		memcpy(c->fingerprint, fingerprint, 16);
		c->known = false;
	}
	body = make_body(c, e);
	r = body == NULL ? -ENOMEM
			 : control_call_new(c, "POST", "/v1/enroll", NULL, body, done, ctx, &call);
	json_decref(body);
	if (r == 0) {
		call->enrolment = true;
		if (e->setup_key != NULL) {
			setup_key_pair(seed, public_key, call->setup_secret);
			(void)stpcpy(call->setup_keyid, "sk_");
			encode_base64url(call->setup_keyid + 3, public_key, 32);
		}
		control_client_server(c, on_server, call);
	}
	if (e->setup_key != NULL)
		secret_wipe(seed, sizeof(seed));
	return r < 0 ? error_set(err, r, "cannot make the enrolment request: %s", strerror(-r)) : 0;
}

void control_client_nonce(const struct control_client *c, char out[static 44])
{
	crypto_hash_sha256_state state;
	uint8_t hash[32];

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, c->keys->node_public, 32);
	crypto_hash_sha256_update(&state, c->keys->path_public, 32);
	crypto_hash_sha256_update(&state, c->keys->identity_public, 32);
	crypto_hash_sha256_final(&state, hash);
	encode_base64url(out, hash, sizeof(hash));
}
