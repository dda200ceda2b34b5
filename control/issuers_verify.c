/* SPDX-License-Identifier: Apache-2.0
 *
 * Which issuer judges a token: the one of exactly the token's own "iss", if it is configured for
 * this use.
 */
#include <errno.h>
#include <string.h>

#include "control/issuers_internal.h"

void issuers_list(const char texts[][CONTROL_AUDIENCE_SIZE], size_t count,
		  const char *out[static CONTROL_MAX_AUDIENCES + 1])
{
	for (size_t i = 0; i < count; i++)
		out[i] = texts[i];
	out[count] = NULL;
}

static const char *name_of(const struct issuers *is, const struct issuers_client *client)
{
	return client->config ? client->config->issuer : is->c->config->public_url;
}

static bool for_use(const struct issuers_client *client, enum issuers_use use)
{
	return (client->config && client->config->workload) == (use != ISSUERS_PERSON);
}

/* The same but for final slashes: the mistake that is made most. */
static bool nearly(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	while (n && a[n - 1] == '/')
		n--;
	while (m && b[m - 1] == '/')
		m--;
	return n == m && memcmp(a, b, n) == 0;
}

/* No issuer of that name for this use: says which there are. */
static void unknown_issuer(const struct issuers *is, enum issuers_use use, const char *name,
			   oidc_verify_cb *on_done, void *ctx)
{
	const struct issuers_client *expected = NULL, *other = NULL;
	struct error err = {0};
	char shown[200];

	for (size_t i = 0; i < is->count; i++) {
		const struct issuers_client *client = &is->clients[i];

		if (for_use(client, use) && (!expected || nearly(name, name_of(is, client))))
			expected = client;
		if (!for_use(client, use) && strcmp(name, name_of(is, client)) == 0)
			other = client;
	}
	jwt_printable(name, shown, sizeof(shown));
	if (other)
		error_set(&err, -EACCES, "the token's issuer \"%s\" is configured for %s only",
			  shown, use == ISSUERS_PERSON ? "workloads" : "people");
	else if (!expected)
		error_set(&err, -EACCES,
			  "this control server takes no tokens of workloads: no issuer with "
			  "\"purpose\": \"workload\" is configured");
	else
		error_set(
			&err, -EACCES,
			"the token's issuer is \"%s\", expected exactly \"%s\"; both must be equal "
			"to the last character",
			shown, name_of(is, expected));
	on_done(ctx, JWT_ISSUER, NULL, &err);
}

int issuers_verify(struct control *c, enum issuers_use use, const char *token,
		   oidc_verify_cb *on_done, void *ctx)
{
	struct issuers *is = c->issuers;
	const char *audiences[CONTROL_MAX_AUDIENCES + 1];
	char name[1024], kid[256];
	struct oidc *oidc = c->oidc;

	if (is && jwt_peek(token, strlen(token), name, sizeof(name), kid, sizeof(kid)) == 0) {
		oidc = NULL;
		for (size_t i = 0; i < is->count; i++) {
			struct issuers_client *client = &is->clients[i];

			if (!for_use(client, use) || strcmp(name, name_of(is, client)) != 0)
				continue;
			oidc = client->oidc;
			if (use == ISSUERS_WORKLOAD_ENROLL)
				issuers_list(client->config->enroll_audiences,
					     client->config->enroll_audience_count, audiences);
		}
		if (!oidc) {
			unknown_issuer(is, use, name, on_done, ctx);
			return 0;
		}
	} else if (use != ISSUERS_PERSON) {
		struct error err = {0};

		error_set(&err, -EINVAL, "the token is no JWT");
		on_done(ctx, JWT_MALFORMED, NULL, &err);
		return 0;
	}
	return oidc_verify(oidc, token, use == ISSUERS_WORKLOAD_ENROLL ? audiences : NULL, 0,
			   on_done, ctx);
}
