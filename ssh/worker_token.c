/* SPDX-License-Identifier: Apache-2.0
 *
 * `warren-ssh-worker --token`: one JWT that somebody gave as a password, for the monitor
 * (monitor_token.c), in a process without rights or network that ends with its answer. The keys are
 * the ones that the control server signed into this machine's object. A token is taken only when it
 * was made for SSH alone.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "identity/jwt.h"
#include "platform/buffer.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/unixsock.h"
#include "ssh/monitor.h"
#include "ssh/worker.h"
#include "ssh/worker_internal.h"

#define SKEW_S 60

/* OpenSSH's client cuts passwords there and says nothing. */
#define OPENSSH_PASSWORD_MAX 1023

static const json_t *issuer_of(const json_t *issuers, const char *token, size_t len)
{
	char name[1024], kid[256];
	const json_t *entry;
	size_t i;

	if (jwt_peek(token, len, name, sizeof(name), kid, sizeof(kid)) < 0)
		return NULL;
	json_array_foreach(issuers, i, entry)
	{
		const char *issuer = json_string_value(json_object_get(entry, "issuer"));

		if (issuer != NULL && strcmp(issuer, name) == 0)
			return entry;
	}
	return NULL;
}

/* A token with a second audience could be shown to somebody else, too. */
static bool for_ssh_alone(const json_t *claims)
{
	const json_t *aud = json_object_get(claims, "aud");

	if (json_is_array(aud) && json_array_size(aud) == 1)
		aud = json_array_get(aud, 0);
	return json_is_string(aud) && strcmp(json_string_value(aud), MONITOR_TOKEN_AUDIENCE) == 0;
}

static bool verify(const json_t *entry, const char *token, size_t len, int64_t now_s,
		   struct jwt_identity *ret_identity, struct error *err)
{
	static const char *const audiences[] = {MONITOR_TOKEN_AUDIENCE, NULL};
	struct jwt_expect expect = {
		.issuer = json_string_value(json_object_get(entry, "issuer")),
		.audiences = audiences,
		.user_claim = json_string_value(json_object_get(entry, "user_claim")),
		.groups_claim = json_string_value(json_object_get(entry, "groups_claim")),
		.now_s = now_s,
		.skew_s = SKEW_S,
		.any_party = true,
	};
	char *text = json_dumps(json_object_get(entry, "jwks"), JSON_COMPACT);
	enum jwt_fault fault = JWT_MALFORMED;
	struct jwks *jwks = NULL;

	if (text != NULL && jwks_parse(text, strlen(text), &jwks, err) == 0)
		fault = jwt_verify(token, len, jwks, &expect, ret_identity, err);
	free(text);
	jwks_free(jwks);
	/* Details are for who holds a token of the provider's, not for who tries some. */
	if (fault != JWT_OK && fault != JWT_AUDIENCE && fault != JWT_EXPIRED &&
	    fault != JWT_NOT_YET && fault != JWT_CLAIM)
		error_set(err, -1, "the token does not verify (%s)", jwt_fault_name(fault));
	if (fault != JWT_OK)
		return false;
	if (!for_ssh_alone(ret_identity->claims))
		error_set(err, -1, "the token is good for others, too");
	else if (now_s - ret_identity->issued_s > MONITOR_TOKEN_AGE_S + SKEW_S)
		error_set(err, -1, "the token was made more than %d minutes ago",
			  MONITOR_TOKEN_AGE_S / 60);
	else
		return true;
	jwt_identity_done(ret_identity);
	return false;
}

static void put_identity(struct writer *w, const struct jwt_identity *id)
{
	writer_u8(w, MONITOR_YES);
	writer_cstring(w, "");
	writer_cstring(w, id->user);
	writer_u64(w, (uint64_t)id->auth_time_s);
	writer_u64(w, (uint64_t)id->issued_s);
	writer_u32(w, (uint32_t)id->group_count);
	for (size_t i = 0; i < id->group_count; i++)
		writer_cstring(w, id->groups[i]);
}

static void put_refusal(struct writer *w, size_t token_len, const struct error *err)
{
	char text[256];

	if (token_len == OPENSSH_PASSWORD_MAX)
		snprintf(text, sizeof(text),
			 "the token was cut: OpenSSH sends %d characters of a password at most; "
			 "use Warren's drop-in, or a client without that limit",
			 OPENSSH_PASSWORD_MAX);
	else
		snprintf(text, sizeof(text), "%.255s", error_text(err));
	writer_u8(w, MONITOR_NO);
	writer_cstring(w, text);
	writer_cstring(w, "");
	writer_u64(w, 0);
	writer_u64(w, 0);
	writer_u32(w, 0);
}

static void judge_packet(struct reader *r, struct writer *w)
{
	size_t token_len = 0, issuers_len = 0;
	const uint8_t *token = reader_string(r, MONITOR_TOKEN_MAX, &token_len);
	const uint8_t *issuers_text = reader_string(r, MONITOR_WIRE_MAX, &issuers_len);
	int64_t now_s = (int64_t)reader_u64(r);
	struct jwt_identity identity = {0};
	struct error err = {0};
	json_t *issuers = NULL;
	const json_t *entry = NULL;

	if (!reader_done(r) || token == NULL || issuers_text == NULL) {
		error_set(&err, -1, "the request cannot be read");
	} else {
		issuers = json_load_strict((const char *)issuers_text, issuers_len,
					   MONITOR_WIRE_MAX, &err);
		entry = issuer_of(issuers, (const char *)token, token_len);
		if (entry == NULL)
			error_set(&err, -1, "no issuer that this machine knows made the token");
	}
	if (entry != NULL &&
	    verify(entry, (const char *)token, token_len, now_s, &identity, &err)) {
		put_identity(w, &identity);
		jwt_identity_done(&identity);
	} else {
		put_refusal(w, token_len, &err);
	}
	json_decref(issuers);
}

int worker_token(void)
{
	static uint8_t in[MONITOR_WIRE_MAX], out[MONITOR_WIRE_MAX];
	struct writer w = writer_init(out, sizeof(out));
	struct error err = {0};
	struct reader r;
	ssize_t n;

	/* Seeds jansson, which finds no /dev/urandom later. */
	if (secret_process_init() < 0 || worker_confine(NULL, &err) < 0) {
		log_error("cannot verify a token", "error=\"%s\"", error_text(&err));
		return WARREN_EXIT_FAILED;
	}
	n = unixsock_recv(WORKER_FD_MONITOR, in, sizeof(in), NULL, NULL, 0);
	r = reader_init(in, n > 0 ? (size_t)n : 0);
	judge_packet(&r, &w);
	secret_wipe(in, sizeof(in));
	return w.failed || unixsock_send(WORKER_FD_MONITOR, out, w.len, NULL, 0) < 0
		       ? WARREN_EXIT_FAILED
		       : WARREN_EXIT_OK;
}
