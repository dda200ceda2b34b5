/* SPDX-License-Identifier: Apache-2.0
 *
 * OIDC client: discovery, device code (RFC 8628), authorization code with PKCE on a loopback
 * redirect (RFC 7636, 8252), refresh and revocation, and a JWKS cache that is refreshed ahead of use. On a libuv
 * loop over http.h; any number of logins at once.
 */
#ifndef WARREN_IDENTITY_OIDC_H
#define WARREN_IDENTITY_OIDC_H

#include <stdbool.h>
#include <stdint.h>

#include "identity/http.h"
#include "identity/jwt.h"
#include "platform/clock.h"
#include "platform/error.h"

enum { OIDC_MAX_REDIRECT_PORTS = 8 };

struct oidc_config {
	const char *issuer; /* compared exactly with discovery and tokens */
	const char *client_id;
	const char *client_secret;    /* NULL: public client */
	const char *scope;	      /* NULL: "openid email profile groups offline_access" */
	const char *const *audiences; /* accepted aud, NULL-terminated; NULL: client_id */
	const char *user_claim, *groups_claim; /* NULL: email, groups */
	int64_t skew_s;			       /* 0: 60 */
	struct http_trust trust;	       /* strings copied */
	const char *discovery_url;	/* NULL: issuer + /.well-known/openid-configuration */
	const char *const *token_types; /* "typ" values that oidc_verify takes; NULL: as jwt.h */
	bool require_email_verified;
	/* The bearer is the access token (RFC 9068), not the id token: it says who it is, and
	 * audiences must be given. Logins then end with both, of the same subject. */
	bool access_tokens;
	bool workload;	      /* of machines: no "azp", no e-mail address, no logins */
	const char *resource; /* RFC 8707: asked for in logins; NULL: none */
	int64_t max_age_s;    /* how old a login may be; 0: any */
	/* Ports of the loopback redirect, for providers that compare it to the last character (RFC
	 * 8252 section 7.3 says that they should not); the first that is free is taken. None: any. */
	uint16_t redirect_ports[OIDC_MAX_REDIRECT_PORTS];
	size_t redirect_port_count;
	/* NULL, or told when oidc_keys says something else than before. */
	void (*keys_changed)(void *ctx);
	void *keys_ctx;
};

struct oidc;
int oidc_new(struct http *http, const struct clock *clock, const struct random_source *random,
	     const struct oidc_config *config, struct oidc **ret_oidc,
	     struct error *err) WARREN_MUST_USE;
/* Ends what runs with -ECANCELED; the loop must run on until its handles have closed. Free it
 * before its http. */
void oidc_free(struct oidc *o);

struct oidc_tokens {
	char *id_token, *access_token,
		*refresh_token;	      /* secret_alloc memory; refresh may be NULL */
	const char *bearer;	      /* of id_token and access_token the one to be shown */
	int64_t expires_s;	      /* of the bearer */
	struct jwt_identity identity; /* verified from the bearer */
};
void oidc_tokens_done(struct oidc_tokens *t); /* wipes */

enum oidc_flow { OIDC_FLOW_DEVICE, OIDC_FLOW_PKCE };

/* What the person must be shown. Strings valid during the callback. */
struct oidc_prompt {
	const char *url;	      /* to open; includes the code where the provider offers it */
	const char *verification_uri; /* device: the bare page */
	const char *user_code;	      /* device: NULL with PKCE */
	int64_t expires_s;
};

struct oidc_login;
struct oidc_login_ops {
	void (*on_prompt)(void *ctx, const struct oidc_prompt *prompt);
	/* Exactly once; tokens NULL and a sentence on failure. Takes over *tokens' contents. */
	void (*on_done)(void *ctx, struct oidc_tokens *tokens, const struct error *err);
	void *ctx;
};
/* No callback before it returns. ret_login is dead after on_done. */
int oidc_login_start(struct oidc *o, enum oidc_flow flow, const struct oidc_login_ops *ops,
		     struct oidc_login **ret_login, struct error *err) WARREN_MUST_USE;
/* The same with a nonce that the id token must carry (enrolment by login: PROTOCOL.md section 4).
 * The device flow sends it as a parameter too, which providers other than our own ignore: the login
 * then fails. */
int oidc_login_start_nonce(struct oidc *o, enum oidc_flow flow, const char *nonce,
			   const struct oidc_login_ops *ops, struct oidc_login **ret_login,
			   struct error *err) WARREN_MUST_USE;
/* on_done with -ECANCELED before it returns. */
void oidc_login_cancel(struct oidc_login *l);
/* Exchanges a refresh token; same callbacks (no prompt). The caller compares identity.subject with
 * the one it had. */
int oidc_refresh(struct oidc *o, const char *refresh_token, const struct oidc_login_ops *ops,
		 struct oidc_login **ret_login, struct error *err) WARREN_MUST_USE;

/* Has the provider revoke a refresh token (RFC 7009), in timeout_ms at most. err NULL: it did;
 * -ENOTSUP: it offers no revocation. on_done exactly once, not before it returns. */
typedef void oidc_revoke_cb(void *ctx, const struct error *err);
int oidc_revoke(struct oidc *o, const char *refresh_token, unsigned timeout_ms,
		oidc_revoke_cb *on_done, void *ctx, struct error *err) WARREN_MUST_USE;

/* Verifies a token of this issuer on the cached JWKS (fetched if missing or stale; an unknown kid
 * refetches once, rate-limited). on_done exactly once, possibly before return; not at all when the
 * result is negative. Keys that can't be had are JWT_UNKNOWN_KEY with the network's error in err.
 * audiences NULL: those of the configuration; max_age_s 0: the configuration's. identity is the
 * callback's to keep or done with. */
typedef void oidc_verify_cb(void *ctx, enum jwt_fault fault, struct jwt_identity *identity,
			    const struct error *err);
int oidc_verify(struct oidc *o, const char *token, const char *const *audiences, int64_t max_age_s,
		oidc_verify_cb *on_done, void *ctx) WARREN_MUST_USE;

/* The provider's key set as text, as far as it is known: NULL, and it is fetched, when it is not.
 * Valid until the loop runs. Keeps it refreshed ahead of its end from now on. */
const char *oidc_keys(struct oidc *o);

/* For a relying party on the web (control's login page): URL to send a browser to, and the exchange
 * of the code that comes back. redirect_uri, state and nonce are the caller's; verifier is PKCE's.
 * on_done possibly before return. prompt may be NULL. */
typedef void oidc_url_cb(void *ctx, const char *url, const struct error *err);
int oidc_authorize_url(struct oidc *o, const char *redirect_uri, const char *state,
		       const char *nonce, const char *code_challenge, const char *prompt,
		       oidc_url_cb *on_done, void *ctx) WARREN_MUST_USE;
int oidc_exchange_code(struct oidc *o, const char *code, const char *redirect_uri,
		       const char *code_verifier, const char *nonce,
		       const struct oidc_login_ops *ops, struct oidc_login **ret_login,
		       struct error *err) WARREN_MUST_USE;

#endif
