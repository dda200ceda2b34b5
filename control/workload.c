/* SPDX-License-Identifier: Apache-2.0
 *
 * What a workload's token is worth. The first machine that shows one has it: its hash, and its hash
 * together with that machine's identity key, are remembered like nonces, also over restarts, for
 * longer than the token lives. Refuses tokens whose age is unknown.
 */
#include "control/workload.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/state.h"
#include "platform/encode.h"
#include "platform/secret.h"

#define CLAIM_MAX 1024

struct job {
	struct control *c;
	enum issuers_use use;
	uint8_t identity_key[32], token_hash[32];
	oidc_verify_cb *on_done;
	void *ctx;
};

/* ---- claims as the policy reads them ---- */

struct claims {
	const json_t *object;
	char number[32];
};

static const char *claim_value(void *ctx, const char *claim, size_t index)
{
	struct claims *c = ctx;
	const json_t *value = json_object_get(c->object, claim);

	if (json_is_array(value))
		value = json_array_get(value, index);
	else if (index > 0)
		return NULL;
	if (!value)
		return NULL;
	if (json_is_string(value) && json_string_length(value) <= CLAIM_MAX &&
	    strlen(json_string_value(value)) == json_string_length(value))
		return json_string_value(value);
	if (json_is_integer(value)) {
		snprintf(c->number, sizeof(c->number), "%lld",
			 (long long)json_integer_value(value));
		return c->number;
	}
	if (json_is_boolean(value))
		return json_is_true(value) ? "true" : "false";
	return ""; /* fits nothing: no pattern is empty or a lone star */
}

/* ---- whose token it is ---- */

static void mark(char kind, const uint8_t token_hash[32], const uint8_t *key, char out[32])
{
	uint8_t hash[16];
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	crypto_generichash_update(&state, (const uint8_t *)&kind, 1);
	crypto_generichash_update(&state, token_hash, 32);
	if (key)
		crypto_generichash_update(&state, key, 32);
	crypto_generichash_final(&state, hash, sizeof(hash));
	/* A colon is in no nonce of a request. */
	out[0] = kind;
	out[1] = ':';
	encode_base64url(out + 2, hash, sizeof(hash));
}

/* True for the machine that shows it first, as often as it likes. */
static bool take_token(struct job *job)
{
	char token[32], owner[32];
	/* A workload's token is at most a day old (config_issuers.c), give or take the skew. */
	int64_t until_s = clock_realtime_s(job->c->clock) + 86400 + 1200;

	mark('t', job->token_hash, NULL, token);
	mark('o', job->token_hash, job->identity_key, owner);
	if (state_nonce_known(job->c->state, owner))
		return true;
	return state_nonce_until(job->c->state, token, true, until_s) &&
	       state_nonce_until(job->c->state, owner, true, until_s);
}

/* ---- */

static enum jwt_fault judge(struct job *job, struct jwt_identity *identity, struct error *err)
{
	struct claims claims = {.object = identity->claims};
	const struct policy_claims source = {&claims, claim_value};
	const char *issuer = json_string_value(json_object_get(identity->claims, "iss"));
	const char *name;
	bool enroll;

	if (identity->issued_s == 0) {
		error_set(err, -EACCES,
			  "the token's claim \"iat\" is missing: nobody knows its age");
		return JWT_CLAIM;
	}
	if (policy_workload(state_policy(job->c->state), issuer ? issuer : "", &source, &name,
			    &enroll, err) < 0)
		return JWT_CLAIM;
	if (job->use == ISSUERS_WORKLOAD_ENROLL && !enroll) {
		error_set(
			err, -EACCES,
			"the policy's workload \"%s\" may not bring machines into the network (no "
			"\"enroll\": true)",
			name);
		return JWT_CLAIM;
	}
	if (!take_token(job)) {
		error_set(err, -EACCES,
			  "the token was shown by another machine before: get one for this machine "
			  "alone");
		return JWT_CLAIM;
	}
	snprintf(identity->user, sizeof(identity->user), POLICY_WORKLOAD_PREFIX "%s", name);
	free(identity->groups);
	identity->groups = NULL;
	identity->group_count = 0;
	/* Its own birth counts, not that of whatever it was made from. */
	identity->auth_time_s = identity->issued_s;
	return JWT_OK;
}

static void verified(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
		     const struct error *err)
{
	struct job *job = ctx;
	struct error own = {0};

	if (fault == JWT_OK)
		fault = judge(job, identity, &own);
	if (fault == JWT_OK) {
		job->on_done(job->ctx, JWT_OK, identity, NULL);
	} else {
		job->on_done(job->ctx, fault, NULL, identity ? &own : err);
		if (identity)
			jwt_identity_done(identity);
	}
	free(job);
}

int workload_verify(struct control *c, enum issuers_use use, const char *token,
		    const uint8_t identity_key[32], oidc_verify_cb *on_done, void *ctx)
{
	struct job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return -ENOMEM;
	*job = (struct job){.c = c, .use = use, .on_done = on_done, .ctx = ctx};
	memcpy(job->identity_key, identity_key, 32);
	/* Of what is signed: a signature may have several spellings. */
	const char *end = strrchr(token, '.');
	crypto_generichash(job->token_hash, 32, (const uint8_t *)token,
			   end ? (size_t)(end - token) : strlen(token), NULL, 0);
	r = issuers_verify(c, use, token, verified, job);
	if (r < 0)
		free(job);
	return r;
}
