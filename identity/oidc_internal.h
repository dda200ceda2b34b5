/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the OIDC client share. oidc.c: configuration, discovery, keys;
 * oidc_verify.c: tokens; oidc_login.c: the life of a login and the token endpoint; oidc_authorize.c: a URL for
 * others; oidc_device.c and oidc_pkce.c: how the two flows come to a grant. Only identity/oidc*.c include this.
 */
#ifndef WARREN_IDENTITY_OIDC_INTERNAL_H
#define WARREN_IDENTITY_OIDC_INTERNAL_H

#include <uv.h>

#include "identity/oidc.h"
#include "platform/buffer.h"

struct oidc_metadata {
	char *authorization_endpoint; /* may be NULL */
	char *token_endpoint;
	char *device_endpoint; /* may be NULL */
	char *jwks_uri;
	char *revocation_endpoint; /* RFC 7009; may be NULL */
	bool revokes_for_public;   /* takes it from a client without secret */
};

enum { OIDC_METADATA_BYTES = 128 << 10 };

/* oidc_metadata.c */
int oidc_metadata_parse(const char *text, size_t len, const char *expected_issuer,
			struct oidc_metadata *ret_metadata, struct error *err) WARREN_MUST_USE;
void oidc_metadata_done(struct oidc_metadata *m);

/* err NULL: ready. */
typedef void oidc_ready_cb(void *ctx, const struct error *err);
struct oidc_waiter {
	struct oidc_waiter *next;
	oidc_ready_cb *ready;
	void *ctx;
};

/* Something fetched and kept for a while. */
struct oidc_cache {
	struct oidc *oidc;
	struct http_request *request;
	struct oidc_waiter *waiters; /* for the running request */
	struct oidc_waiter *waking;
	uint64_t fetched_ns, expires_ns; /* monotonic; 0: never fetched */
};

struct oidc_verification;

struct oidc {
	struct http *http;
	const struct clock *clock;
	const struct random_source *random;
	/* copies of the configuration */
	char *issuer, *client_id, *client_secret, *scope, *user_claim, *groups_claim,
		*discovery_url, *resource;
	char *ca_file, *pinned_spki;
	char **audiences, **token_types;
	struct http_trust trust;
	int64_t skew_s, max_age_s;
	bool require_email_verified, access_tokens, workload;
	uint16_t redirect_ports[OIDC_MAX_REDIRECT_PORTS];
	size_t redirect_port_count;

	struct oidc_cache metadata_cache, keys_cache;
	struct oidc_metadata metadata;
	struct jwks *jwks;
	char *jwks_text;
	bool keys_wanted; /* somebody lives on oidc_keys */
	void (*keys_changed)(void *ctx);
	void *keys_ctx;
	uint64_t keys_used_ns, refetched_ns; /* last use; last fetch for an unknown kid */
	uv_timer_t refresh_timer;
	struct oidc_verification *verifications;
	struct oidc_login *logins;
	bool closing;
};

enum oidc_grant { OIDC_GRANT_DEVICE, OIDC_GRANT_PKCE, OIDC_GRANT_REFRESH, OIDC_GRANT_CODE,
		  OIDC_GRANT_REVOKE };

struct oidc_device {
	char *code; /* secret */
	unsigned interval_s, backoff_s;
};

enum { OIDC_PKCE_CONNECTIONS = 8, OIDC_REQUEST_MAX = 8192 };

struct oidc_connection;

struct oidc_pkce {
	uv_tcp_t listener;
	struct oidc_connection *connections;
	unsigned connection_count;
	char verifier[64], state[32];
	char redirect_uri[64];
	uint16_t port;
	bool listening;
};

struct oidc_login {
	struct oidc *oidc;
	struct oidc_login *next;
	enum oidc_grant grant;
	struct oidc_login_ops ops;
	char *nonce;	    /* to be checked; NULL: not */
	bool nonce_given;   /* by the caller */
	struct buffer form; /* secret: the token request */
	uv_timer_t timer;
	unsigned open_handles;
	struct http_request *request;
	uint64_t deadline_ns; /* monotonic */
	struct oidc_tokens tokens;
	struct oidc_device device;
	struct oidc_pkce pkce;
	oidc_revoke_cb *on_revoked;
	bool ended, bearer_next; /* the id token holds, the access token is looked at */
};

/* oidc.c */
/* ready is called at once when it is there; else later. */
void oidc_need_metadata(struct oidc *o, oidc_ready_cb *ready, void *ctx);
void oidc_unwait(struct oidc *o, void *ctx);
int oidc_verify_login(struct oidc *o, const char *token, const char *nonce, oidc_verify_cb *on_done,
		      void *ctx) WARREN_MUST_USE;
void oidc_verify_forget(struct oidc *o, void *ctx);

/* oidc_login.c */
/* Nothing runs yet. */
int oidc_login_new(struct oidc *o, enum oidc_grant grant, const char *nonce,
		   const struct oidc_login_ops *ops, struct oidc_login **ret_login,
		   struct error *err) WARREN_MUST_USE;
/* Out of everything; nobody is told. The memory goes when its handles have closed. */
void oidc_login_end(struct oidc_login *l);
void oidc_login_fail(struct oidc_login *l, const struct error *err);
/* The one handle that all logins have; fn runs from the loop. */
void oidc_login_after(struct oidc_login *l, uint64_t ms, uv_timer_cb fn);
/* Starts a POST of l->form to url; one request at a time. */
int oidc_login_post(struct oidc_login *l, const char *url,
		    void (*on_done)(void *ctx, const struct http_response *response),
		    struct error *err) WARREN_MUST_USE;
/* Ends the login with what a token endpoint's answer holds, good or bad. */
void oidc_login_take_answer(struct oidc_login *l, const struct http_response *response);
/* The provider's "error" (RFC 6749 section 5.2) of an answer, "" if there is none. */
void oidc_login_error_code(const struct http_response *response, char *out, size_t cap);
void oidc_login_handle_closed(struct oidc_login *l);
/* Begins the token request's form: grant_type and client_id. */
int oidc_login_form(struct oidc_login *l, const char *grant_type) WARREN_MUST_USE;
/* application/x-www-form-urlencoded, with & between. */
int oidc_form_add(struct buffer *form, const char *name, const char *value) WARREN_MUST_USE;
/* base64url of len random bytes into out[cap]. */
void oidc_random_text(struct oidc *o, size_t len, char *out, size_t cap);
/* The URL to send a browser to; NULL without memory or authorization endpoint (err). Caller frees.
 */
char *oidc_login_url(struct oidc *o, const char *redirect_uri, const char *state, const char *nonce,
		     const char *challenge, const char *prompt, struct error *err);

/* oidc_revoke.c: tells instead of ops.on_done. */
void oidc_revoke_told(struct oidc_login *l, const struct error *err);

/* oidc_device.c, oidc_pkce.c: begin when metadata is there; stop closes and wipes what they have.
 */
void oidc_device_begin(struct oidc_login *l);
void oidc_device_stop(struct oidc_login *l);
void oidc_pkce_begin(struct oidc_login *l);
void oidc_pkce_stop(struct oidc_login *l);

/* ---- oidc.c */
void oidc_list_free(char **list);
int oidc_list_copy(const char *const *list, char ***ret_list) WARREN_MUST_USE;
int oidc_text_copy(const char *text, char **ret_copy) WARREN_MUST_USE;
bool oidc_cache_fresh(const struct oidc_cache *c);
/* Waits for a fetch of the keys, starting one when none runs. */
void oidc_keys_refetch(struct oidc *o, oidc_ready_cb *ready, void *ctx);

/* ---- oidc_verify.c */
/* Frees v and tells its owner. */
void oidc_verification_end(struct oidc_verification *v, enum jwt_fault fault,
			   struct jwt_identity *identity, const struct error *err);

#endif
