/* SPDX-License-Identifier: Apache-2.0
 *
 * One OIDC client per configured issuer: their secrets, their lives.
 */
#include "control/issuers_internal.h"
#include "control/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/file.h"
#include "platform/secret.h"

#define SECRET_BYTES 512

static int read_secret(const char *file, char **ret_secret, struct error *err)
{
	struct buffer text;
	int r;

	buffer_init(&text, SECRET_BYTES);
	r = file_read(file, &text);
	while (r == 0 && text.len && strchr("\r\n ", text.data[text.len - 1]))
		text.len--;
	if (r == 0 && buffer_cstring(&text))
		*ret_secret = secret_strdup(buffer_cstring(&text));
	else if (r == 0)
		r = -ENOMEM;
	buffer_done(&text);
	if (r == 0 && !*ret_secret)
		r = -ENOMEM;
	return r < 0 ? error_set(err, r, "%s cannot be read: %s", file, strerror(-r)) : 0;
}

int issuers_new(struct control *c, struct issuers **ret_issuers, struct error *err)
{
	struct issuers *is = calloc(1, sizeof(*is));
	int r = 0;

	if (!is)
		return error_set(err, -ENOMEM, "out of memory");
	is->c = c;
	if (!c->config->issuer[0])
		is->count++; /* the embedded one is the people's first */
	for (size_t i = 0; r == 0 && i < c->config->issuer_count; i++) {
		struct issuers_client *client = &is->clients[is->count++];

		client->config = &c->config->issuers[i];
		if (client->config->client_secret_file[0])
			r = read_secret(client->config->client_secret_file, &client->secret, err);
	}
	if (r < 0) {
		issuers_free(is);
		return r;
	}
	*ret_issuers = is;
	return 0;
}

static const char *text_or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static void keys_changed(void *ctx)
{
	struct control *c = ctx;

	if (c->state)
		state_renew_maps(c->state);
}

static json_t *token_issuer(const struct issuers *is, const struct issuers_client *client)
{
	const struct control_config *config = is->c->config;
	const struct control_issuer *i = client->config;
	const char *text;
	json_t *keys;

	if (!i)
		return json_pack("{s:s,s:s,s:s,s:O}", "issuer", config->public_url, "user_claim",
				 "email", "groups_claim", "groups", "jwks",
				 issuer_keys(is->c->issuer));
	text = client->oidc ? oidc_keys(client->oidc) : NULL;
	keys = text ? json_loads(text, 0, NULL) : NULL;
	if (!keys)
		return NULL;
	return json_pack("{s:s,s:s,s:s,s:o}", "issuer", i->issuer, "user_claim",
			 i->user_claim[0] ? i->user_claim : "email", "groups_claim",
			 i->groups_claim[0] ? i->groups_claim : "groups", "jwks", keys);
}

json_t *issuers_tokens(struct control *c)
{
	json_t *list = json_array();

	for (size_t i = 0; list && c->issuers && i < c->issuers->count; i++) {
		const struct issuers_client *client = &c->issuers->clients[i];
		json_t *entry = client->config && client->config->workload
					? NULL
					: token_issuer(c->issuers, client);

		if (entry)
			(void)json_array_append_new(list, entry);
	}
	return list;
}

static int start_client(struct issuers *is, struct issuers_client *client, const char *pin,
			struct error *err)
{
	const struct control_config *config = is->c->config;
	const struct control_issuer *i = client->config;
	const char *audiences[CONTROL_MAX_AUDIENCES + 1];
	struct oidc_config oidc = {
		.issuer = config->public_url,
		.client_id = config->client_id,
		.user_claim = config->user_claim,
		.groups_claim = config->groups_claim,
		.trust.pinned_spki = pin,
	};

	if (i) {
		issuers_list(i->audiences, i->audience_count, audiences);
		oidc = (struct oidc_config){
			.issuer = i->issuer,
			.client_id = i->client_id[0] ? i->client_id : "warren",
			.client_secret = client->secret,
			.user_claim = i->workload ? "sub" : i->user_claim,
			.groups_claim = i->workload ? "" : i->groups_claim,
			.audiences = i->audience_count ? audiences : NULL,
			.access_tokens = i->access_tokens,
			.workload = i->workload,
			.resource = text_or_null(i->resource),
			.skew_s = i->skew_s,
			.max_age_s = i->max_age_s,
			.trust.ca_file = text_or_null(i->ca_file),
		};
	}
	oidc.keys_changed = keys_changed;
	oidc.keys_ctx = is->c;
	return oidc_new(is->c->http, is->c->clock, is->c->random, &oidc, &client->oidc, err);
}

int issuers_start(struct issuers *is, const char *pin, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < is->count; i++)
		r = start_client(is, &is->clients[i], pin, err);
	if (r == 0)
		is->c->oidc = is->clients[0].oidc; /* config_finish puts people's first */
	return r;
}

void issuers_stop(struct issuers *is)
{
	for (size_t i = 0; is && i < is->count; i++) {
		oidc_free(is->clients[i].oidc);
		is->clients[i].oidc = NULL;
	}
	if (is)
		is->c->oidc = NULL;
}

void issuers_free(struct issuers *is)
{
	if (!is)
		return;
	for (size_t i = 0; i < is->count; i++)
		secret_free(is->clients[i].secret);
	free(is);
}
