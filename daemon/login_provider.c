/* SPDX-License-Identifier: Apache-2.0
 *
 * See login_provider.h. A client of a provider is never freed by a callback of its own: those that are
 * out of use go when the next login begins.
 */
#include "daemon/login_provider.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "identity/oidc.h"

struct login_provider {
	struct login_provider *next;
	struct oidc *oidc;
	struct control_server server; /* what it was made from */
	unsigned uses;
};

static bool same(const struct control_server *a, const struct control_server *b)
{
	return strcmp(a->issuer, b->issuer) == 0 && strcmp(a->client_id, b->client_id) == 0 &&
	       a->embedded == b->embedded && (!a->embedded || strcmp(a->pins, b->pins) == 0) &&
	       strcmp(a->user_claim, b->user_claim) == 0 &&
	       strcmp(a->access_audience, b->access_audience) == 0 &&
	       strcmp(a->resource, b->resource) == 0 && a->login_max_age_s == b->login_max_age_s &&
	       a->redirect_port_count == b->redirect_port_count &&
	       memcmp(a->redirect_ports, b->redirect_ports, sizeof(a->redirect_ports)) == 0;
}

static void provider_free(struct login_provider *p)
{
	oidc_free(p->oidc); /* calls back what runs */
	p->oidc = NULL;
	if (p->uses == 0)
		free(p);
}

static void sweep(struct login_providers *all)
{
	for (struct login_provider **at = &all->old; *at != NULL;) {
		struct login_provider *p = *at;

		if (p->uses > 0) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		provider_free(p);
	}
}

static struct login_provider *make(struct main_core *m, const struct control_server *server,
				   struct error *err)
{
	struct login_provider *p = calloc(1, sizeof(*p));
	const char *const audiences[] = {server->access_audience, NULL};
	struct oidc_config config = {
		.issuer = server->issuer,
		.client_id = server->client_id,
		.user_claim = server->user_claim[0] ? server->user_claim : NULL,
		.access_tokens = server->access_audience[0] != '\0',
		.audiences = server->access_audience[0] ? audiences : NULL,
		.resource = server->resource[0] ? server->resource : NULL,
		.max_age_s = server->login_max_age_s,
		.redirect_port_count = server->redirect_port_count,
	};

	if (p == NULL) {
		(void)error_set(err, -ENOMEM, "no memory");
		return NULL;
	}
	memcpy(config.redirect_ports, server->redirect_ports, sizeof(config.redirect_ports));
	/* The embedded issuer stands behind control's own TLS, whose keys are pinned. */
	if (server->embedded)
		config.trust.pinned_spki = server->pins;
	else if (m->options.issuer_ca_file[0] != '\0')
		config.trust.ca_file = m->options.issuer_ca_file;
	if (oidc_new(m->http, m->clock, m->random, &config, &p->oidc, err) < 0) {
		free(p);
		return NULL;
	}
	p->server = *server;
	return p;
}

struct login_provider *login_provider_get(struct main_core *m, struct login_providers *all,
					  const struct control_server *server, struct error *err)
{
	sweep(all);
	if (login_providers_differ(all, server))
		login_providers_retire(all);
	if (all->current == NULL)
		all->current = make(m, server, err);
	if (all->current != NULL)
		all->current->uses++;
	return all->current;
}

void login_provider_put(struct login_provider *p)
{
	if (p == NULL)
		return;
	p->uses--;
	if (p->uses == 0 && p->oidc == NULL) /* login_providers_end is over it */
		free(p);
}

struct oidc *login_provider_oidc(const struct login_provider *p)
{
	return p->oidc;
}

bool login_providers_differ(const struct login_providers *all, const struct control_server *server)
{
	return all->current != NULL && !same(&all->current->server, server);
}

void login_providers_retire(struct login_providers *all)
{
	struct login_provider *p = all->current;

	if (p == NULL)
		return;
	all->current = NULL;
	p->next = all->old;
	all->old = p;
}

void login_providers_end(struct login_providers *all)
{
	login_providers_retire(all);
	while (all->old != NULL) {
		struct login_provider *p = all->old;

		all->old = p->next;
		provider_free(p);
	}
}
