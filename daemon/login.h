/* SPDX-License-Identifier: Apache-2.0
 *
 * Logins of the people on this machine: one pending login per local account whoever asks for it,
 * tokens cached per account (identity/token_cache.h), and control told who is logged in here.
 */
#ifndef WARREN_DAEMON_LOGIN_H
#define WARREN_DAEMON_LOGIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/main_core.h"

struct login_service;
struct login_wait;

int login_service_new(struct main_core *m) WARREN_MUST_USE;

struct login_prompt {
	const char *url, *code, *verification_uri; /* code "" with PKCE */
};
struct login_result {
	int exit_code;		      /* WARREN_EXIT_OK or the documented code */
	const char *message;	      /* sentence on failure */
	bool unreachable;	      /* it failed because a server does not answer */
	const char *token, *identity; /* on success; valid during the callback */
	int64_t expires_s;
};
struct login_ops {
	void *ctx;
	void (*prompt)(void *ctx, const struct login_prompt *prompt);
	void (*done)(void *ctx,
		     const struct login_result *result); /* exactly once unless cancelled */
};

enum login_flags {
	LOGIN_FORCE = 1 << 0,	    /* a new login even when one is cached */
	LOGIN_CACHED_ONLY = 1 << 1, /* no person can be asked: exit 4 without a cached login */
	LOGIN_BROWSER = 1 << 2,	    /* there is a browser here: authorization code with PKCE */
};
/* A fresh login of uid. The callbacks may come before it returns (then *ret_wait is NULL). */
void login_want(struct main_core *m, uid_t uid, unsigned flags, const struct login_ops *ops,
		struct login_wait **ret_wait);
/* The last one who waits cancels the login itself. NULL is fine. */
void login_cancel(struct login_wait *wait);
/* A login that enrols this machine: bound to its keys, never cached. */
void login_enrol(struct main_core *m, uid_t uid, const struct login_ops *ops,
		 struct login_wait **ret_wait);

/* Whose login is cached for uid; "" none. */
void login_identity(struct main_core *m, uid_t uid, char ret_identity[256]);
/* Forgets the tokens of uid. */
void login_forget(struct main_core *m, uid_t uid);
void login_forget_all(struct main_core *m);

/* For a logout, before login_forget: has the provider revoke what renews the login of uid, where
 * there is such a thing. True: done is called, once, within LOGIN_REVOKE_MS and not before it
 * returns; err NULL: revoked, -ENOTSUP: the provider knows no revocation. */
#define LOGIN_REVOKE_MS 3000
bool login_revoke(struct main_core *m, uid_t uid, void (*done)(void *ctx, const struct error *err),
		  void *ctx);
/* The same for all accounts; done once, err NULL: at least one was, and none failed. */
bool login_revoke_all(struct main_core *m, void (*done)(void *ctx, const struct error *err),
		      void *ctx);

/* Control has described itself anew: other settings of its provider apply from now on, and whoever is
 * logged in by the old ones logs in again. */
void login_server_changed(struct main_core *m);

#endif
