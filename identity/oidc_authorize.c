/* SPDX-License-Identifier: Apache-2.0
 *
 * The URL of a login for somebody else's page (control's own), once the metadata is there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "identity/oidc_internal.h"

/* A caller that waits for metadata to have a URL made. */
struct url_wish {
	struct oidc *oidc;
	char *redirect_uri, *state, *nonce, *challenge, *prompt;
	oidc_url_cb *on_done;
	void *ctx;
};

static void free_wish(struct url_wish *w)
{
	free(w->redirect_uri);
	free(w->state);
	free(w->nonce);
	free(w->challenge);
	free(w->prompt);
	free(w);
}

static void on_ready_for_url(void *ctx, const struct error *not_ready)
{
	struct url_wish *w = ctx;
	struct error err = {0};
	char *url = NULL;

	if (!not_ready)
		url = oidc_login_url(w->oidc, w->redirect_uri, w->state, w->nonce, w->challenge,
				     w->prompt, &err);
	w->on_done(w->ctx, url, url ? NULL : not_ready ? not_ready : &err);
	free(url);
	free_wish(w);
}

int oidc_authorize_url(struct oidc *o, const char *redirect_uri, const char *state,
		       const char *nonce, const char *code_challenge, const char *prompt,
		       oidc_url_cb *on_done, void *ctx)
{
	struct url_wish *w;

	if (o->closing)
		return -ECANCELED;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct url_wish){
		.oidc = o,
		.redirect_uri = strdup(redirect_uri),
		.state = strdup(state),
		.nonce = nonce ? strdup(nonce) : NULL,
		.challenge = code_challenge ? strdup(code_challenge) : NULL,
		.prompt = prompt ? strdup(prompt) : NULL,
		.on_done = on_done,
		.ctx = ctx,
	};
	if (!w->redirect_uri || !w->state || (nonce && !w->nonce) ||
	    (code_challenge && !w->challenge) || (prompt && !w->prompt)) {
		free_wish(w);
		return -ENOMEM;
	}
	oidc_need_metadata(o, on_ready_for_url, w);
	return 0;
}
